"""Rung 8: the room on a network, under simulation. Broken: a line comes twice, once in many runs. Fixed: in no run."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import trio

from supervision import NO_REPLY, Call, CallTimeout, ChildSpec, From, GenServer, ServerDown, Supervisor, start_tree
from supervision.testing.simulation import Host, Run, Scenario, SimulatedStream, Simulation, SimulationFailed, simulate

NAMES = ("alice", "bob")
LINES = 5


# region: requests
@dataclass(frozen=True)
class Say(Call[None]):
    """Answered when the line is safe. The line is its own id: `alice/3`."""

    line: str


async def write_to_disk(disk: list[str], line: str) -> None:
    """The disk outlives the server. Writing takes a moment."""
    await trio.sleep(0.02)
    disk.append(line)


# endregion


# region: broken
class HastyRoom(GenServer):
    """Lets nobody wait: each line is written by a task of its own. What is on the disk already is not written again."""

    def __init__(self, disk: list[str]) -> None:
        self.disk = disk

    async def handle_call(self, request: object, caller: From) -> object:
        match request:
            case Say(line) if line in self.disk:
                return None
            case Say(line):
                self.spawn(self.keep, line, caller)
                return NO_REPLY
            case _:
                return await super().handle_call(request, caller)

    async def keep(self, line: str, caller: From) -> None:
        await write_to_disk(self.disk, line)
        caller.reply(None)


# endregion


# region: fixed
class Room(GenServer):
    """Remembers what is being written, too, and who waits for it."""

    def __init__(self, disk: list[str]) -> None:
        self.disk = disk
        self.writing: dict[str, list[From]] = {}

    async def handle_call(self, request: object, caller: From) -> object:
        match request:
            case Say(line) if line in self.disk:
                return None
            case Say(line) if line in self.writing:
                self.writing[line].append(caller)
                return NO_REPLY
            case Say(line):
                self.writing[line] = [caller]
                self.spawn(self.keep, line)
                return NO_REPLY
            case _:
                return await super().handle_call(request, caller)

    async def keep(self, line: str) -> None:
        await write_to_disk(self.disk, line)
        for caller in self.writing.pop(line):
            caller.reply(None)


# endregion


# region: server
async def read_line(stream: SimulatedStream) -> str:
    """The next line, empty at the end. Nobody sends a second one before the first is answered."""
    data = b""
    while not data.endswith(b"\n"):
        part = await stream.receive_some()
        if not part:
            return ""
        data += part
    return data.decode().strip()


class Door(GenServer):
    """Takes connections. A line comes in, the room keeps it, the same line goes back: confirmed."""

    def __init__(self, host: Host) -> None:
        self.host = host

    async def init(self) -> None:
        self.spawn(trio.serve_listeners, self.talk, [self.host.listen()])

    async def talk(self, stream: SimulatedStream) -> None:
        room = self.system.ref("room")
        try:
            while line := await read_line(stream):
                await room.call(Say(line))
                await stream.send_all(f"{line}\n".encode())
        except (trio.BrokenResourceError, ServerDown, CallTimeout):
            pass  # not confirmed: the writer will come again
        await stream.aclose()


async def serve(host: Host, room: Callable[[list[str]], GenServer], disk: list[str]) -> None:
    """What the server's machine runs, after each start."""
    children = [ChildSpec("room", lambda: room(disk), name="room"), ChildSpec("door", lambda: Door(host))]
    house = Supervisor.child_spec("house", children, strategy="rest_for_one")
    async with start_tree(house, host.system()):
        await trio.sleep_forever()


# endregion


# region: client
async def write(host: Host) -> None:
    """Says line after line; each again, on a new connection, until it is confirmed."""
    for number in range(LINES):
        confirmed = False
        while not confirmed:
            confirmed = await say(host, f"{host.name}/{number}")


async def say(host: Host, line: str) -> bool:
    """One try, of at most 0.3 s."""
    with trio.move_on_after(0.3):
        try:
            async with await host.connect("server") as stream:
                await stream.send_all(f"{line}\n".encode())
                return await read_line(stream) == line
        except (OSError, trio.BrokenResourceError):
            await trio.sleep(0.1)
    return False


# endregion


# region: scenario
async def scenario(simulation: Simulation, room: Callable[[list[str]], GenServer]) -> None:
    """Two people write; the network fails, the server's power fails; at the end every line is there once, in order."""
    disk: list[str] = []
    server = simulation.host("server")
    server.boot(partial(serve, room=room, disk=disk))
    async with trio.open_nursery() as people:
        for name in NAMES:
            people.start_soon(write, simulation.host(name))
        await trio.sleep(simulation.random.uniform(0, 0.5))
        simulation.network.partition({"alice"}, {"server"})
        await trio.sleep(simulation.random.uniform(0, 0.5))
        simulation.network.heal()
        await trio.sleep(simulation.random.uniform(0, 0.5))
        server.crash()
        await server.reboot()
    for name in NAMES:
        kept = [line for line in disk if line.startswith(name)]
        if kept != [f"{name}/{number}" for number in range(LINES)]:
            raise AssertionError(f"on the disk: {kept}")


# endregion


# region: main
def main() -> None:
    print("broken: a task of its own for each line")
    hasty = partial(scenario, room=HastyRoom)
    try:
        simulate(hasty, seeds=range(1000))
    except SimulationFailed as failed:
        found, smallest = failed.failure.found, failed.failure.smallest
        print(f"  {smallest.failure}")
        print(f"  found by seed {found.course}, made smaller: {smallest.course}")
        print(f"  replayed: {replayed(hasty, smallest)}")
    print("fixed: who comes twice waits for the first")
    results = simulate(partial(scenario, room=Room), seeds=range(100))
    print(f"  {results.runs} seeds, {len(results.failures)} failed")


def replayed(scenario: Scenario, run: Run) -> str:
    """Is it the same again, down to the order of every step of every task?"""
    results = simulate(scenario, seeds=[run.course], keep_going=True, smaller=False)
    again = results.failures[0].found
    return "the same trace" if again.trace == run.trace else "another trace"


# endregion


if __name__ == "__main__":
    main()
