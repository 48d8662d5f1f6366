"""For those who know Erlang: a server with everything, and the one thing that Python does not do: copy messages."""

from dataclasses import dataclass
from functools import partial
from typing import Protocol

import trio

from supervision import (
    NO_REPLY,
    Call,
    ChildSpec,
    Continue,
    Down,
    ExitReason,
    From,
    GenServer,
    Shutdown,
    Supervisor,
    System,
    Timeout,
    start_tree,
)


# region: messages
@dataclass(frozen=True)
class Pop(Call[str]):
    """{pop} — answered when there is something."""


@dataclass(frozen=True)
class Push:
    """{push, Item}"""

    item: str


# endregion


# region: server
class Stack(GenServer):
    def __init__(self, items: tuple[str, ...]) -> None:
        self.items = list(items)
        self.waiting: list[From] = []

    async def init(self) -> Continue:
        return Continue("warm up")  # {ok, State, {continue, "warm up"}}

    async def handle_continue(self, value: object) -> None:
        print(f"  handle_continue: {value}")

    async def handle_call(self, request: object, caller: From) -> object:
        match request:
            case Pop() if self.items:
                return self.items.pop()  # {reply, Item, State}
            case Pop():
                self.waiting.append(caller)
                return NO_REPLY  # {noreply, State}
            case _:
                return await super().handle_call(request, caller)

    async def handle_cast(self, message: object) -> None:
        match message:
            case Push(item) if self.waiting:
                self.waiting.pop(0).reply(item)  # gen_server:reply(From, Item)
            case Push(item):
                self.items.append(item)
                self.set_timeout(1)  # {noreply, State, 1000}
            case _:
                await super().handle_cast(message)

    async def handle_info(self, message: object) -> None:
        match message:
            case Timeout():
                print("  handle_info: Timeout()")
                self.stop(Shutdown("idle"))  # {stop, {shutdown, idle}, State}
            case Down(_, reason):
                print(f"  handle_info: Down, {reason}")
            case _:
                await super().handle_info(message)

    async def terminate(self, reason: ExitReason) -> None:
        print(f"  terminate: {reason}")


# endregion


# region: use
def tree() -> ChildSpec:
    children = [
        ChildSpec("stack", lambda: Stack(("a",)), restart="transient", shutdown=2.0, name="stack"),
    ]
    return Supervisor.child_spec("top", children, intensity=1, period=5)


async def use() -> None:
    print("a gen_server")
    async with start_tree(tree()) as (system, _):
        stack = system.ref("stack")
        print(f"  call: {await stack.call(Pop())}")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pop_and_print, system)
            await trio.sleep(0.1)
            await stack.cast(Push("b"))
        await stack.cast(Push("c"))
        reason = await stack.wait_down()
        await trio.sleep(0.1)
        print(f"  down: {reason}; started again? {system.whereis('stack') is not None}")


async def pop_and_print(system: System) -> None:
    print(f"  late reply: {await system.ref('stack').call(Pop())}")


# endregion


# region: protocol
class StackRef(Protocol):
    """What a stack takes, and nothing else."""

    async def call(self, request: Pop, timeout: float | None = 5.0) -> str: ...  # noqa: ASYNC109 - as in ActorRef
    async def cast(self, message: Push) -> None: ...


async def swap(here: StackRef, there: StackRef) -> None:
    mine, theirs = await here.call(Pop()), await there.call(Pop())
    await here.cast(Push(theirs))
    await there.cast(Push(mine))


async def swapped() -> None:
    print("two references with a protocol")
    one, two = (ChildSpec(name, partial(Stack, (name,)), name=name) for name in ("one", "two"))
    async with start_tree(Supervisor.child_spec("top", [one, two])) as (system, _):
        await swap(system.ref("one"), system.ref("two"))
        print(f"  {await system.ref('one').call(Pop())}, {await system.ref('two').call(Pop())}")


# endregion


# region: copied
@dataclass(frozen=True)
class SharedLines:
    lines: list[str]


@dataclass(frozen=True)
class Lines:
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Length(Call[int]):
    pass


class Keeper(GenServer):
    async def handle_call(self, request: object, caller: From) -> object:
        return len(self.kept.lines) if isinstance(request, Length) else await super().handle_call(request, caller)

    async def handle_cast(self, message: object) -> None:
        if isinstance(message, SharedLines | Lines):
            self.kept = message


async def not_copied() -> None:
    async with start_tree(ChildSpec("keeper", Keeper)) as (_, keeper):
        lines = ["one", "two"]
        print("broken: a message that the sender can still change")
        await keeper.cast(SharedLines(lines))
        lines.clear()
        print(f"  lines kept: {await keeper.call(Length())}")
        lines = ["one", "two"]
        print("fixed: a message that nobody can change")
        await keeper.cast(Lines(tuple(lines)))
        lines.clear()
        print(f"  lines kept: {await keeper.call(Length())}")


# endregion


async def main() -> None:
    await use()
    await swapped()
    await not_copied()


if __name__ == "__main__":
    trio.run(main)
