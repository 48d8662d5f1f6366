"""Rung 7: the room under chaos. Broken: lines that were confirmed are lost, others come twice. Fixed: neither."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from random import Random

import trio

from supervision import (
    Call,
    CallTimeout,
    ChildSpec,
    From,
    GenServer,
    ServerDown,
    Supervisor,
    System,
    start_tree,
)
from supervision.testing import run_seeded

LINES = 12


# region: requests
@dataclass(frozen=True)
class Line:
    """`id` names the line, however often it is sent."""

    id: str
    text: str


@dataclass(frozen=True)
class Say(Call[None]):
    """Answered when the line is safe."""

    line: Line


@dataclass(frozen=True)
class Keep(Call[None]):
    line: Line


# endregion


# region: careless
class CarelessRoom(GenServer):
    """Hands the line on and says that all is well."""

    async def handle_call(self, request: object, caller: From) -> object:
        match request:
            case Say(line):
                await self.system.ref("archive").cast(line)
                await trio.sleep(0.02)
                return None
            case _:
                return await super().handle_call(request, caller)


class CarelessArchive(GenServer):
    """Writes what comes."""

    def __init__(self, disk: list[Line]) -> None:
        self.disk = disk

    async def handle_cast(self, message: object) -> None:
        if isinstance(message, Line):
            await trio.sleep(0.01)
            self.disk.append(message)


# endregion


# region: careful
class Room(GenServer):
    """Confirms what the archive confirmed. If that ends, so does this callback: who waits learns of it."""

    async def handle_call(self, request: object, caller: From) -> object:
        match request:
            case Say(line):
                await self.system.ref("archive").call(Keep(line))
                await trio.sleep(0.02)
                return None
            case _:
                return await super().handle_call(request, caller)


class Archive(GenServer):
    """Writes, then confirms. What it has already, it confirms again."""

    def __init__(self, disk: list[Line]) -> None:
        self.disk = disk

    async def init(self) -> None:
        self.known = {line.id for line in self.disk}

    async def handle_call(self, request: object, caller: From) -> object:
        match request:
            case Keep(line):
                if line.id not in self.known:
                    await trio.sleep(0.01)
                    self.disk.append(line)
                    self.known.add(line.id)
                return None
            case _:
                return await super().handle_call(request, caller)


# endregion


# region: chaos
async def monkey(system: System, random: Random) -> None:
    """Kills one actor of the tree after the other, for ever."""
    while True:
        await trio.sleep(random.uniform(0.01, 0.05))
        victim = system.whereis(random.choice(["archive", "room"]))
        if victim is not None:
            victim.kill()


async def writer(system: System, name: str, confirmed: set[str]) -> None:
    """Says line after line; each again and again until it is confirmed."""
    for number in range(LINES):
        line = Line(f"{name}/{number}", f"{name}: line {number}")
        while line.id not in confirmed:
            try:
                await system.ref("room").call(Say(line), timeout=0.5)
                confirmed.add(line.id)
            except (ServerDown, CallTimeout):
                await trio.sleep(0.01)


# endregion


# region: evening
Start = Callable[[list[Line]], GenServer]


async def evening(room: type[GenServer], archive: Start, disk: list[Line], seed: int) -> Collection[str]:
    """Two people write while the monkey kills. Returns the ids of what was confirmed."""
    children = [
        ChildSpec("archive", lambda: archive(disk), name="archive"),
        ChildSpec("room", room, name="room"),
    ]
    spec = Supervisor.child_spec("house", children, intensity=1000)
    confirmed: set[str] = set()
    async with start_tree(spec, System(log=False)) as (system, _), trio.open_nursery() as nursery:
        nursery.start_soon(monkey, system, Random(seed))
        async with trio.open_nursery() as people:
            people.start_soon(writer, system, "alice", confirmed)
            people.start_soon(writer, system, "bob", confirmed)
        nursery.cancel_scope.cancel()
    return confirmed


def judge(confirmed: Collection[str], disk: list[Line]) -> None:
    kept = [line.id for line in disk]
    lost = set(confirmed) - set(kept)
    print(f"  confirmed: {len(confirmed)} lines; any lost? {bool(lost)}; any twice? {len(set(kept)) < len(kept)}")


# endregion


async def main(seed: int = 1) -> None:
    print("broken: confirmed before it is safe, written as often as it comes")
    disk: list[Line] = []
    judge(await evening(CarelessRoom, CarelessArchive, disk, seed), disk)
    print("fixed: confirmed when it is safe, written once")
    disk = []
    judge(await evening(Room, Archive, disk, seed), disk)


if __name__ == "__main__":
    run_seeded(main, seed=1)
