"""Rung 3: the room as a GenServer. Broken: two servers wait for each other for ever. Then refused, then fixed."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import trio

from supervision import (
    Call,
    ChildSpec,
    From,
    GenServer,
    ServerDown,
    Supervisor,
    System,
    start_tree,
)


# region: requests
@dataclass(frozen=True)
class Say(Call[int]):
    """Say a line; answered by its number."""

    line: str


@dataclass(frozen=True)
class Title(Call[str]):
    """What is the room about?"""


@dataclass(frozen=True)
class Keep(Call[int]):
    """Keep a line; answered by its number."""

    line: str


# endregion


# region: by_hand
class HandMade:
    """The generic part of rung 2, in short."""

    def __init__(self, handle: Callable[[object], Awaitable[object]]) -> None:
        self._handle = handle
        self._to, self._mailbox = trio.open_memory_channel[tuple[object, trio.MemorySendChannel[object]]](100)

    async def run(self) -> None:
        async for request, reply in self._mailbox:
            reply.send_nowait(await self._handle(request))

    async def call(self, request: object) -> object:
        send, receive = trio.open_memory_channel[object](1)
        await self._to.send((request, send))
        return await receive.receive()


# endregion


# region: broken
async def broken() -> None:
    print("broken: the room asks the archive, the archive asks the room")
    lines: list[str] = []

    async def handle_room(request: object) -> object:
        match request:
            case Say(line):
                return await archive.call(Keep(line))
            case _:
                return "tea"

    async def handle_archive(request: object) -> object:
        if isinstance(request, Keep):
            lines.append(f"[{await room.call(Title())}] {request.line}")
        return len(lines)

    room, archive = HandMade(handle_room), HandMade(handle_archive)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(room.run)
        nursery.start_soon(archive.run)
        with trio.move_on_after(1) as patience:
            await room.call(Say("alice: hello"))
        if patience.cancelled_caught:
            print(f"  no answer for 1 s; lines kept: {len(lines)}")
        nursery.cancel_scope.cancel()


# endregion


# region: circle
class AskingArchive(GenServer):
    """Asks the room for its title, while the room waits for the archive."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    async def handle_call(self, request: object, caller: From) -> object:
        match request:
            case Keep(line):
                title = await self.system.ref("room").call(Title())
                self.lines.append(f"[{title}] {line}")
                return len(self.lines)
            case _:
                return await super().handle_call(request, caller)


class AskingRoom(GenServer):
    async def handle_call(self, request: object, caller: From) -> object:
        match request:
            case Say(line):
                return await self.system.ref("archive").call(Keep(line))
            case Title():
                return "tea"
            case _:
                return await super().handle_call(request, caller)


# endregion


# region: fixed
class Archive(GenServer):
    """Keeps what it is given. It asks nobody."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    async def handle_call(self, request: object, caller: From) -> object:
        match request:
            case Keep(line):
                self.lines.append(line)
                return len(self.lines)
            case _:
                return await super().handle_call(request, caller)


class Room(GenServer):
    """Knows its title, and sends it along."""

    async def init(self) -> None:
        self.title = "tea"

    async def handle_call(self, request: object, caller: From) -> object:
        match request:
            case Say(line):
                return await self.system.ref("archive").call(Keep(f"[{self.title}] {line}"))
            case Title():
                return self.title
            case _:
                return await super().handle_call(request, caller)


# endregion


# region: run
def house(archive: type[GenServer], room: type[GenServer]) -> ChildSpec:
    """A tree of two servers. What a supervisor does is the next rung."""
    children = [ChildSpec("archive", archive, name="archive"), ChildSpec("room", room, name="room")]
    return Supervisor.child_spec("house", children)


async def refused() -> None:
    print("refused: the same mistake with GenServer")
    async with start_tree(house(AskingArchive, AskingRoom), System(log=False)) as (system, _):
        try:
            await system.ref("room").call(Say("alice: hello"))
        except ServerDown as down:
            print(f"  at once: {root_cause(down)}")


async def fixed() -> None:
    print("fixed: the room sends along what the archive needs")
    async with start_tree(house(Archive, Room)) as (system, _):
        room = system.ref("room")
        number = await room.call(Say("alice: hello"))
        print(f"  kept as number {number}")
        print(f"  title: {await room.call(Title())}")


# endregion


def root_cause(error: BaseException) -> str:
    """The first exception of a chain of causes."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {error}"


# region: gone
async def gone() -> None:
    print("gone: a call to a server that is no more")
    async with start_tree(house(Archive, Room)) as (system, _):
        room = system.ref("room")
    try:
        await room.call(Title())
    except ServerDown as down:
        print(f"  at once: {down.reason}")


# endregion


async def main() -> None:
    await broken()
    await refused()
    await fixed()
    await gone()


if __name__ == "__main__":
    trio.run(main)
