"""What a request says about its answer, and the one mistake that is found out: None where it cannot be one."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Literal, Optional

import pytest

from supervision import (
    ActorRef,
    Call,
    ChildSpec,
    From,
    GenServer,
    ServerDown,
    UnansweredCall,
    UnhandledMessage,
    start_child,
    start_tree,
)
from tests.support.actors import crashed_with, quiet, root


class Number(Call[int]):
    """None is no answer to it."""


class Several(Call[list[int]]):
    """Nor to this one."""


class Inherits(Number):
    """Nor to this one."""


@dataclass(frozen=True, slots=True)
class Slotted(Call[int]):
    """Nor to this one; with slots, a class is built twice."""


class Told(Call[None]):
    """None is its only answer."""


class Perhaps(Call[int | None]):
    """It may be its answer."""


class PerhapsOld(Call[Optional[int]]):  # noqa: UP045 - the older way to say so
    """It may be its answer."""


class Choice(Call[Literal["a"] | None]):
    """It may be its answer."""


class Anything(Call[object]):
    """It may be its answer."""


class Whatever(Call[Any]):
    """It may be its answer."""


class Named(Call["Number"]):
    """It says so in a way that is not looked up."""


class Forgets(GenServer):
    """Its match has no last case."""

    async def handle_call(self, request: object, caller: From) -> object:
        match request:
            case int():
                return 1


class Replies(GenServer):
    """Gives its answer before it returns, and returns nothing."""

    async def handle_call(self, request: object, caller: From) -> object:
        caller.reply(5)
        return None


class Complete(GenServer):
    """Its match has the last case that is shown everywhere."""

    async def handle_call(self, request: object, caller: From) -> object:
        match request:
            case int():
                return 1
            case _:
                return await super().handle_call(request, caller)


Start = Callable[[type[GenServer]], Any]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    async with start_tree(root(), quiet()) as (_, supervisor):
        yield lambda kind: start_child(supervisor, ChildSpec("server", kind, restart="temporary"))


@pytest.mark.parametrize("kind", [Number, Several, Inherits, Slotted])
async def test_none_where_it_cannot_be_the_answer_is_a_crash(start: Start, kind: type[Call[object]]) -> None:
    server: ActorRef = await start(Forgets)
    with pytest.raises(ServerDown) as caught:
        await server.call(kind())
    error = crashed_with(caught.value.reason)
    assert isinstance(error, UnansweredCall)
    assert str(error).startswith(f"Forgets answered {kind.__name__} with None")


@pytest.mark.parametrize("kind", [Told, Perhaps, PerhapsOld, Choice, Anything, Whatever, Named, Call])
async def test_none_is_an_answer_where_it_may_be_one(start: Start, kind: type[Call[object]]) -> None:
    server: ActorRef = await start(Forgets)
    assert await server.call(kind()) is None


async def test_what_is_returned_after_the_answer_does_not_matter(start: Start) -> None:
    server: ActorRef = await start(Replies)
    assert await server.call(Number()) == 5
    assert server.alive


async def test_the_last_case_of_a_match_makes_any_other_request_a_crash(start: Start) -> None:
    server: ActorRef = await start(Complete)
    with pytest.raises(ServerDown) as caught:
        await server.call(Told())
    assert isinstance(crashed_with(caught.value.reason), UnhandledMessage)
