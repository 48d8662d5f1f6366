"""Rung 2: the room in two parts, generic and specific. Broken: one bad request ends everybody. Fixed: only itself."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import trio

Handle = Callable[[object], Awaitable[object]]


# region: specific
@dataclass(frozen=True)
class Join:
    name: str


@dataclass(frozen=True)
class Say:
    name: str
    text: str


class Room:
    """Specific: what a chat room is. No task, no channel, no waiting for requests."""

    def __init__(self) -> None:
        self.members: set[str] = set()
        self.history: list[str] = []

    async def handle(self, request: object) -> object:
        match request:
            case Join(name):
                self.members.add(name)
                return len(self.members)
            case Say(name, text):
                if name not in self.members:
                    raise PermissionError(f"{name} is not in the room")
                self.history.append(f"{name}: {text}")
                return len(self.history)
            case _:
                raise TypeError(f"a room does not understand {request!r}")


# endregion


# region: generic
@dataclass(frozen=True)
class Envelope:
    request: object
    reply: "trio.MemorySendChannel[Answer]"


@dataclass(frozen=True)
class Answer:
    value: object = None
    error: Exception | None = None


class Server:
    """Generic: a mailbox, a loop, and an answer for each request. Knows nothing of chat."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._to_server, self._mailbox = trio.open_memory_channel[Envelope](100)

    async def run(self) -> None:
        async for envelope in self._mailbox:
            envelope.reply.send_nowait(await self.answer(envelope.request))

    async def answer(self, request: object) -> Answer:
        return Answer(await self._handle(request))

    async def call(self, request: object) -> object:
        send, receive = trio.open_memory_channel[Answer](1)
        await self._to_server.send(Envelope(request, send))
        answer = await receive.receive()
        if answer.error is not None:
            raise answer.error
        return answer.value


# endregion


# region: walled
class WalledServer(Server):
    """What a request raises goes back to whoever asked, and the loop goes on."""

    async def answer(self, request: object) -> Answer:
        try:
            return Answer(await self._handle(request))
        except Exception as error:  # noqa: BLE001 - the wall between one caller and all others
            return Answer(error=error)


# endregion


# region: people
async def bob(room: Server) -> None:
    """Joins, makes tea, says something. Does nothing wrong."""
    try:
        await room.call(Join("bob"))
        await trio.sleep(0.2)
        number = await room.call(Say("bob", "tea is ready"))
        print(f"  bob: my line has the number {number}")
    except trio.Cancelled:
        print("  bob was cancelled while he made tea")
        raise


async def mallory(room: Server) -> None:
    """Speaks without having joined."""
    await trio.sleep(0.1)
    try:
        await room.call(Say("mallory", "buy my coins"))
    except PermissionError as error:
        print(f"  mallory was refused: {error}")


async def evening(room: Server) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(room.run)
        async with trio.open_nursery() as people:
            people.start_soon(bob, room)
            people.start_soon(mallory, room)
        nursery.cancel_scope.cancel()


# endregion


async def main() -> None:
    print("broken: the exception leaves the room's task")
    try:
        await evening(Server(Room().handle))
    except* PermissionError as group:
        print(f"  the evening is over for everybody: {group.exceptions[0]}")
    print("fixed: the exception goes to whoever asked")
    await evening(WalledServer(Room().handle))


if __name__ == "__main__":
    trio.run(main)
