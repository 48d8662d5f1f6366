"""Errands reach a server that is away, again and again, and go at once when it speaks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio
import trio.lowlevel

from norc_actors.actors import names
from norc_actors.actors.federation.requests import Ask, PeerUnreachable, ShownKey
from norc_actors.actors.trust.errands import Answered, Errands, Retry
from norc_actors.ids import ServerId
from norc_actors.limits import ERRAND_BACKOFF_SECONDS
from norc_actors.protocol.frames import FederationFrame
from supervision import Call, ChildSpec, From, GenServer, Supervisor
from supervision.testing import clean_tree
from tests.support.people import seeded

B = ServerId("b.example")
FRAMES = ((0xA7, b"question"),)
ANSWER = (FederationFrame(version=2, type=0xA8, body=b"answer"),)


@dataclass
class Away:
    """The world outside: when it was asked, and whether it answers."""

    reachable: bool = False
    asked: list[float] = field(default_factory=list)
    answered: list[Answered] = field(default_factory=list)


class Federation(GenServer):
    def __init__(self, away: Away) -> None:
        self.away = away

    async def handle_call(self, request: object, caller: From) -> object:
        if isinstance(request, Ask):
            self.away.asked.append(trio.current_time())
            if not self.away.reachable:
                raise_later(caller, PeerUnreachable(request.remote, "it is away"))
                return await trio.lowlevel.checkpoint()
            return ANSWER
        assert isinstance(request, ShownKey)
        return b"key"


def raise_later(caller: From, error: Exception) -> None:
    caller.fail(error)


@dataclass(frozen=True)
class Do(Call[object]):
    what: str
    after: float = 0.0


class Owner(GenServer):
    def __init__(self, away: Away) -> None:
        self.away = away

    async def init(self) -> None:
        self.errands = Errands(self.system, self.ref, self.spawn, self.send_after, seeded("errands"))

    async def handle_call(self, request: object, caller: From) -> object:
        assert isinstance(request, Do)
        match request.what:
            case "begin":
                self.errands.begin("tag", B, FRAMES, after=request.after)
            case "end":
                self.errands.end("tag")
            case "heard":
                self.errands.heard_from(B)
            case "trouble":
                return self.errands.trouble("tag")
        return len(self.errands)

    async def handle_info(self, message: object) -> None:
        if isinstance(message, Retry):
            self.errands.retry(message)
        elif isinstance(message, Answered) and self.errands.answered(message):
            self.away.answered.append(message)


@asynccontextmanager
async def owner() -> AsyncIterator[tuple[Away, object]]:
    away = Away()
    children = [
        ChildSpec("federation", lambda: Federation(away), name=names.FEDERATION_MANAGER),
        ChildSpec("owner", lambda: Owner(away), name="owner"),
    ]
    async with clean_tree(ChildSpec("root", lambda: Supervisor(children), type="supervisor")) as (system, _):

        async def do(what: str, after: float = 0.0) -> object:
            return await system.ref("owner").call(Do(what, after))

        yield away, do


async def test_an_answer_ends_it(autojump_clock):
    async with owner() as (away, do):
        away.reachable = True
        await do("begin")
        await trio.sleep(500)
        assert len(away.asked) == 1
        [answer] = away.answered
        assert (answer.tag, answer.remote, answer.key, answer.frames) == ("tag", B, b"key", ANSWER)
        assert await do("count") == 0


async def test_it_is_tried_again_at_growing_intervals_with_jitter(autojump_clock):
    async with owner() as (away, do):
        await do("begin")
        await trio.sleep(600)
        pauses = [later - earlier for earlier, later in zip(away.asked, away.asked[1:], strict=False)]
        for number, pause in enumerate(pauses):
            most = min(2.0**number, ERRAND_BACKOFF_SECONDS)
            assert most / 2 <= pause <= most
        assert len(set(pauses[6:])) > 1
        assert await do("trouble") == "b.example cannot be reached: it is away"
        away.reachable = True
        await trio.sleep(ERRAND_BACKOFF_SECONDS)
        assert len(away.answered) == 1


async def test_when_the_remote_speaks_it_goes_at_once(autojump_clock):
    async with owner() as (away, do):
        await do("begin")
        await trio.sleep(600)
        away.reachable = True
        asked = len(away.asked)
        await do("heard")
        await trio.sleep(0.01)
        assert (len(away.asked), len(away.answered)) == (asked + 1, 1)


async def test_what_is_taken_back_is_not_tried_again_nor_answered(autojump_clock):
    async with owner() as (away, do):
        await do("begin")
        await trio.sleep(1)
        await do("end")
        asked = len(away.asked)
        away.reachable = True
        await trio.sleep(600)
        assert (len(away.asked), away.answered, await do("trouble")) == (asked, [], "")


async def test_a_new_one_under_the_tag_takes_its_place(autojump_clock):
    async with owner() as (away, do):
        await do("begin")
        await trio.sleep(1)
        away.reachable = True
        await do("begin", 50)
        await trio.sleep(49)
        assert away.answered == []
        await trio.sleep(2)
        assert len(away.answered) == 1
