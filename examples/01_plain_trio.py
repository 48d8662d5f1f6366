"""Rung 1: one chat room as a plain Trio program. Broken: every task changes it. Fixed: one task owns it."""

from dataclasses import dataclass

import trio


# region: disk
async def write_to_disk(line: str) -> None:
    """Stands for a file or a database: it takes a moment, and other tasks run meanwhile."""
    await trio.sleep(0.01)


# endregion


# region: shared
class SharedRoom:
    """An ordinary object. Every task calls it, so every task changes it."""

    def __init__(self) -> None:
        self.history: dict[int, str] = {}

    async def say(self, line: str) -> int:
        number = len(self.history) + 1
        await write_to_disk(line)
        self.history[number] = line
        return number


# endregion


# region: broken
async def broken() -> None:
    print("broken: every task changes the history")
    room = SharedRoom()
    numbers: list[int] = []

    async def say(line: str) -> None:
        numbers.append(await room.say(line))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(say, "alice: hello")
        nursery.start_soon(say, "bob: hi")
    print(f"  two lines were said and got the numbers {sorted(numbers)}")
    print(f"  lines in the history: {len(room.history)}")


# endregion


# region: owner
@dataclass(frozen=True)
class Say:
    line: str
    reply: trio.MemorySendChannel[int]


@dataclass(frozen=True)
class Count:
    reply: trio.MemorySendChannel[int]


async def room(mailbox: trio.MemoryReceiveChannel[Say | Count]) -> None:
    history: dict[int, str] = {}
    async for message in mailbox:
        if isinstance(message, Say):
            number = len(history) + 1
            await write_to_disk(message.line)
            history[number] = message.line
        message.reply.send_nowait(len(history))


# endregion


# region: ask
async def say(to_room: trio.MemorySendChannel[Say | Count], line: str) -> int:
    send, receive = trio.open_memory_channel[int](1)
    await to_room.send(Say(line, send))
    return await receive.receive()


async def count(to_room: trio.MemorySendChannel[Say | Count]) -> int:
    send, receive = trio.open_memory_channel[int](1)
    await to_room.send(Count(send))
    return await receive.receive()


# endregion


# region: fixed
async def fixed() -> None:
    print("fixed: one task owns the history")
    to_room, mailbox = trio.open_memory_channel[Say | Count](10)
    numbers: list[int] = []

    async def speak(line: str) -> None:
        numbers.append(await say(to_room, line))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(room, mailbox)
        async with trio.open_nursery() as people:
            people.start_soon(speak, "alice: hello")
            people.start_soon(speak, "bob: hi")
        print(f"  two lines were said and got the numbers {sorted(numbers)}")
        print(f"  lines in the history: {await count(to_room)}")
        nursery.cancel_scope.cancel()


# endregion


async def main() -> None:
    await broken()
    await fixed()


if __name__ == "__main__":
    trio.run(main)
