"""Rung 4: the room supervised. Broken: a restart that nobody finds and that forgets. Fixed: names, and an archive."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import trio

from supervision import (
    ActorRef,
    Call,
    ChildSpec,
    From,
    GenServer,
    RootDown,
    ServerDown,
    Supervisor,
    SupervisorReport,
    System,
    start_tree,
)
from supervision.events import Report

R = TypeVar("R")


# region: requests
@dataclass(frozen=True)
class Say(Call[int]):
    line: str


@dataclass(frozen=True)
class History(Call[tuple[bytes, ...]]):
    """All lines."""


@dataclass(frozen=True)
class Keep(Call[int]):
    line: bytes


# endregion


# region: room
class Room(GenServer):
    """Keeps the history itself. It has a bug: somebody thought that lines are ASCII."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    async def handle_call(self, request: object, caller: From) -> object:
        match request:
            case Say(line):
                self.lines.append(line.encode("ascii"))
                return len(self.lines)
            case History():
                return tuple(self.lines)
            case _:
                return await super().handle_call(request, caller)


# endregion


# region: archived
class Archive(GenServer):
    """Owns the lines. `disk` stands for a file: it outlives the actor."""

    def __init__(self, disk: list[bytes]) -> None:
        self.disk = disk

    async def handle_call(self, request: object, caller: From) -> object:
        match request:
            case Keep(line):
                self.disk.append(line)
                return len(self.disk)
            case History():
                return tuple(self.disk)
            case _:
                return await super().handle_call(request, caller)


class ArchivedRoom(GenServer):
    """The same bug, but the lines are somebody else's."""

    async def handle_call(self, request: object, caller: From) -> object:
        archive = self.system.ref("archive")
        match request:
            case Say(line):
                return await archive.call(Keep(line.encode("ascii")))
            case History():
                return await archive.call(request)
            case _:
                return await super().handle_call(request, caller)


# endregion


# region: trees
def forgetful() -> ChildSpec:
    children = [ChildSpec("room", Room, name="room")]
    return Supervisor.child_spec("house", children)


def lasting() -> ChildSpec:
    disk: list[bytes] = []
    children = [
        ChildSpec("archive", lambda: Archive(disk), name="archive"),
        ChildSpec("room", ArchivedRoom, name="room"),
    ]
    return Supervisor.child_spec("house", children, strategy="rest_for_one")


# endregion


# region: asking
async def ask(ref: ActorRef, request: Call[R], tries: int = 5) -> R:
    """Ask again if the server is down. Right for questions; rung 7 says what else is needed for orders."""
    for _ in range(tries - 1):
        try:
            return await ref.call(request)
        except ServerDown:
            await trio.sleep(0.05)
    return await ref.call(request)


# endregion


def quiet() -> System:
    """Crashes are expected here: do not log them."""
    return System(log=False)


# region: evening
async def evening(room: ActorRef) -> Sequence[bytes]:
    """Two good lines around one that crashes the room; then the history."""
    await room.call(Say("alice: hello"))
    try:
        await room.call(Say("mallory: ☕"))
    except ServerDown as down:
        print(f"  the room crashed: {type(down.__cause__).__name__}")
    await trio.sleep(0.1)  # meanwhile the supervisor starts it again
    await room.call(Say("bob: tea is ready"))
    return await ask(room, History())


# endregion


# region: broken
async def broken() -> None:
    print("broken: a reference to the first life of the room")
    async with start_tree(forgetful(), quiet()) as (system, _):
        first_life = system.whereis("room")
        assert first_life is not None
        try:
            await evening(first_life)
        except ServerDown as down:
            print(f"  bob was told: {down.reason}")
        print(f"  is there a room? {system.whereis('room') is not None}")
    print("broken: found by name, but its memory is gone")
    async with start_tree(forgetful(), quiet()) as (system, _):
        history = await evening(system.ref("room"))
        print(f"  history: {[line.decode() for line in history]}")


# endregion


# region: fixed
async def fixed() -> None:
    print("fixed: found by name, and the lines belong to an actor that has no bug")
    async with start_tree(lasting(), quiet()) as (system, _):
        history = await evening(system.ref("room"))
        print(f"  history: {[line.decode() for line in history]}")


# endregion


# region: gives_up
async def gives_up() -> None:
    print("gives up: the fault comes back at once, again and again")
    system = quiet()

    def tell(report: Report) -> None:
        if isinstance(report, SupervisorReport):
            print(f"  {report.context}: {report.child}")

    system.events.subscribe(tell, SupervisorReport)
    try:
        async with start_tree(lasting(), system):
            room = system.ref("room")
            while True:
                try:
                    await room.call(Say("mallory: ☕"))
                except ServerDown:
                    await trio.sleep(0.1)
    except RootDown as down:
        print(f"  the program learns of it: {down.reason}")


# endregion


async def main() -> None:
    await broken()
    await fixed()
    await gives_up()


if __name__ == "__main__":
    trio.run(main)
