"""A supervised chat room and people who write in it, on hosts that crash, over a network that is cut and loses packets.

What is promised, whatever happens: a line that was confirmed is kept, once; and when the trouble is over, everybody
has every line, in one order.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from functools import partial

import trio

from supervision import (
    ActorRef,
    Call,
    ChildSpec,
    Down,
    DynamicSupervisor,
    From,
    GenServer,
    RootDown,
    ServerDown,
    StartError,
    Supervisor,
    start_child,
    start_tree,
)
from supervision.testing.simulation import Host, SimulatedStream, Simulation

PEOPLE = ("alice", "bob", "carol")
LINES = 4
"""Each of them writes."""

TROUBLE = 10.0
"""Seconds that it lasts."""

SILENCE = 4.0
"""Seconds after which either side gives a connection up."""

Lost = (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError, OSError)


async def lines_of(stream: SimulatedStream) -> AsyncGenerator[list[str], None]:
    """The words of each line that comes; `TooSlowError` if none comes for too long."""
    begun = b""
    while True:
        with trio.fail_after(SILENCE):
            data = await stream.receive_some()
        if not data:
            return
        *lines, begun = (begun + data).split(b"\n")
        for line in lines:
            yield line.decode().split(" ")


# The server


@dataclass(frozen=True)
class Say(Call[None]):
    """Answered when the line is on the disk."""

    line: str


@dataclass(frozen=True)
class Join(Call[None]):
    """Hear of new lines."""

    member: ActorRef


class Room(GenServer):
    """Owns the lines."""

    def __init__(self, disk: list[str]) -> None:
        self.disk = disk
        self.members: set[ActorRef] = set()

    async def handle_call(self, request: object, caller: From) -> object:
        match request:
            case Say(line):
                if line not in self.disk:
                    await trio.sleep(0.01)
                    self.disk.append(line)
                    for member in self.members:
                        member.cast_nowait("news")
            case Join(member):
                self.members.add(member)
                self.monitor(member)
            case _:
                return await super().handle_call(request, caller)
        return None

    async def handle_info(self, message: object) -> None:
        if isinstance(message, Down):
            self.members.discard(message.ref)


class Connection(GenServer):
    """Speaks with one client. Ends with the stream, and with the room."""

    def __init__(self, stream: SimulatedStream, disk: list[str]) -> None:
        self.stream = stream
        self.disk = disk
        self.told: int | None = None

    async def init(self) -> None:
        await self.system.ref("room").call(Join(self.ref))
        self.link(self.system.ref("room"))
        self.spawn(self.listen)

    async def listen(self) -> None:
        async with self.stream:
            with suppress(*Lost):
                async with aclosing(lines_of(self.stream)) as lines:
                    async for words in lines:
                        await self.ref.cast(words)
            self.stop()

    async def handle_cast(self, message: object) -> None:
        with suppress(*Lost):
            match message:
                case ["from", str(number)]:
                    self.told = int(number)
                case ["say", str(line)]:
                    await self.system.ref("room").call(Say(line))
                    await self.stream.send_all(f"ok {line}\n".encode())
                case ["ping"]:
                    await self.stream.send_all(b"pong\n")
            await self.tell()

    async def tell(self) -> None:
        while self.told is not None and self.told < len(self.disk):
            number, self.told = self.told, self.told + 1
            await self.stream.send_all(f"line {number} {self.disk[number]}\n".encode())


class Door(GenServer):
    """Lets clients in."""

    def __init__(self, host: Host, disk: list[str]) -> None:
        self.host = host
        self.disk = disk

    async def init(self) -> None:
        self.listener = self.host.listen()
        self.spawn(self.open)

    async def open(self) -> None:
        async with self.listener:
            while True:
                connection = partial(Connection, await self.listener.accept(), self.disk)
                spec = ChildSpec("connection", connection, restart="temporary")
                with suppress(ServerDown, StartError):
                    await start_child(self.system.ref("connections"), spec)


def house(host: Host, disk: list[str]) -> ChildSpec:
    children = [
        ChildSpec("room", lambda: Room(disk), name="room"),
        ChildSpec("connections", DynamicSupervisor, name="connections", type="supervisor"),
        ChildSpec("door", lambda: Door(host, disk), name="door"),
    ]
    return ChildSpec("house", lambda: Supervisor(children, "rest_for_one", intensity=100), type="supervisor")


# A client


@dataclass
class Person:
    """What a client's disk holds."""

    name: str
    to_say: list[str]
    heard: list[str] = field(default_factory=list)
    confirmed: list[str] = field(default_factory=list)

    async def run(self, host: Host) -> None:
        while True:
            with suppress(*Lost):
                await self.talk(await host.connect("server"))
            await trio.sleep(0.1 + host.random.random())

    async def talk(self, stream: SimulatedStream) -> None:
        async with stream, trio.open_nursery() as nursery:
            nursery.start_soon(self.ping, stream)
            with suppress(*Lost):
                await stream.send_all(f"from {len(self.heard)}\n".encode())
                for line in self.to_say:
                    await stream.send_all(f"say {line}\n".encode())
                async with aclosing(lines_of(stream)) as lines:
                    async for words in lines:
                        self.hear(words)
            nursery.cancel_scope.cancel()

    def hear(self, words: list[str]) -> None:
        match words:
            case ["ok", line]:
                if line in self.to_say:
                    self.to_say.remove(line)
                    self.confirmed.append(line)
            case ["line", number, line]:
                assert int(number) == len(self.heard), f"{self.name} missed a line"
                self.heard.append(line)

    async def ping(self, stream: SimulatedStream) -> None:
        with suppress(*Lost):
            while True:
                await trio.sleep(1)
                await stream.send_all(b"ping\n")


# The evening


async def trouble(simulation: Simulation) -> None:
    random, network = simulation.random, simulation.network
    names = ["server", *PEOPLE]
    while True:
        await trio.sleep(random.random() * 4)
        match random.randrange(4):
            case 0:
                host = simulation.host(random.choice(names))
                host.crash()
                await trio.sleep(random.random() * 3)
                await host.reboot()
            case 1:
                cut = random.sample(names, 2)
                network.partition(cut, set(names) - set(cut), one_way=random.random() < 0.3)
                await trio.sleep(random.random() * 8)
                network.heal()
            case _:
                for system in simulation.host("server").systems[-1:]:
                    victim = random.choice(("room", "door", "connections"))
                    simulation.record(f"kill the {victim}")
                    system.ref(victim).kill()


async def evening(simulation: Simulation, room: Callable[[Host, list[str]], ChildSpec] = house) -> None:
    """See the module."""
    disk: list[str] = []
    people = [Person(name, [f"{name}/{number}" for number in range(LINES)]) for name in PEOPLE]

    async def serve(host: Host) -> None:
        with suppress(RootDown):
            async with start_tree(room(host, disk), host.system()):
                await trio.sleep_forever()

    hosts = [simulation.host(name) for name in ("server", *PEOPLE)]
    hosts[0].boot(serve)
    for host, person in zip(hosts[1:], people, strict=True):
        host.boot(person.run)
    with trio.move_on_after(TROUBLE):
        await trouble(simulation)
    simulation.network.heal()
    for host in hosts:
        if not host.up:
            await host.reboot()
    with trio.fail_after(120):
        while any(person.to_say or len(person.heard) < len(PEOPLE) * LINES for person in people):  # noqa: ASYNC110
            await trio.sleep(1)
    simulation.record(" ".join(disk))
    assert len(disk) == len(set(disk)) == len(PEOPLE) * LINES
    assert all(person.heard == disk for person in people)
