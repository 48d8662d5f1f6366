"""Links, trapped exits, and calls that would wait for each other."""

from collections.abc import AsyncIterator

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from supervision import (
    NO_REPLY,
    ActorRef,
    CallCycle,
    CallTimeout,
    ChildSpec,
    ExitReason,
    From,
    Killed,
    NoProc,
    Normal,
    SelfCall,
    Shutdown,
    StartError,
    Supervisor,
    System,
    start_child,
    start_tree,
    terminate_child,
    which_children,
)
from tests.support.actors import Boom, Do, Get, Puppet, boom, crashed_with, doze, puppet, quiet, root

from .conftest import Within

Pair = tuple[ActorRef, ActorRef]


@pytest.fixture
async def tree() -> AsyncIterator[tuple[System, ActorRef]]:
    async with start_tree(root(), quiet()) as (system, supervisor):
        yield system, supervisor


class Trapper(Puppet):
    async def handle_exit(self, ref: ActorRef, reason: ExitReason) -> None:
        self.notes.append((ref, reason))


async def add(supervisor: ActorRef, name: str, notes: list[object] | None = None) -> ActorRef:
    return await start_child(supervisor, puppet(name, notes, restart="temporary"))


def link(here: ActorRef, there: ActorRef) -> object:
    return here.call(Do(lambda puppet, _caller: (puppet.link(there), None)[1]))


@pytest.mark.parametrize("turned", [False, True])
async def test_a_crash_breaks_the_other_side_with_the_same_reason(
    tree: tuple[System, ActorRef], turned: bool, within: Within
) -> None:
    notes: list[object] = []
    a, b = await add(tree[1], "a", notes), await add(tree[1], "b", notes)
    await link(*((b, a) if turned else (a, b)))
    await b.cast(doze(100))
    await wait_all_tasks_blocked()
    with within(0):
        await a.cast(boom)
        reason = await b.wait_down()
    assert isinstance(crashed_with(reason), Boom)
    assert notes == [("terminate", reason)] * 2


@pytest.mark.parametrize(("reason", "follows"), [(Normal(), False), (Shutdown("x"), True), (Killed(), True)])
async def test_which_ends_are_followed(tree: tuple[System, ActorRef], reason: ExitReason, follows: bool) -> None:
    a, b = await add(tree[1], "a"), await add(tree[1], "b")
    await link(a, b)
    a.exit(reason)
    await wait_all_tasks_blocked()
    assert b.alive != follows
    if follows:
        assert await b.wait_down() == reason


async def test_an_unlinked_actor_lives_on(tree: tuple[System, ActorRef]) -> None:
    a, b = await add(tree[1], "a"), await add(tree[1], "b")
    await a.call(Do(lambda puppet, _caller: puppet.unlink(puppet.link(b))))
    a.kill()
    await wait_all_tasks_blocked()
    assert b.alive


async def test_a_link_may_last_for_a_block(tree: tuple[System, ActorRef]) -> None:
    a, b = await add(tree[1], "a"), await add(tree[1], "b")

    async def briefly(puppet: Puppet) -> None:
        with puppet.linked(b):
            await trio.sleep(1)
        await trio.sleep(1)

    for wait, survives in ((1.5, True), (0.5, False)):
        await a.cast(briefly)
        await trio.sleep(wait)
        if not survives:
            b.kill()
            await wait_all_tasks_blocked()
        assert a.alive == survives
        await trio.sleep(2)


async def test_a_link_to_the_dead_breaks_at_once(tree: tuple[System, ActorRef]) -> None:
    a = await add(tree[1], "a")
    await a.cast(lambda puppet: (puppet.link(tree[0].ref("nobody")), None)[1])
    assert await a.wait_down() == NoProc()


async def test_whoever_traps_exits_is_told_instead(tree: tuple[System, ActorRef]) -> None:
    notes: list[object] = []
    spec = ChildSpec("trapper", lambda: Trapper(notes), restart="temporary")
    trapper = await start_child(tree[1], spec)
    told = []
    for reason in (Normal(), Shutdown(), Killed()):
        other = await add(tree[1], "other")
        await link(trapper, other)
        other.exit(reason)
        await wait_all_tasks_blocked()
        told.append((other, reason))
    assert notes == told
    assert trapper.alive


async def test_the_end_of_another_takes_a_receive_timeout_back_like_any_message(tree: tuple[System, ActorRef]) -> None:
    notes: list[object] = []
    trapper = await start_child(tree[1], ChildSpec("trapper", lambda: Trapper(notes), restart="temporary"))
    other = await add(tree[1], "other")
    await link(trapper, other)
    await trapper.cast(lambda puppet: puppet.set_timeout(2))
    await trio.sleep(1)
    other.kill()
    await trio.sleep(10)
    assert notes == [(other, Killed())]


async def test_a_link_made_in_init_that_breaks_there_refuses_the_start(tree: tuple[System, ActorRef]) -> None:
    class Leans(Puppet):
        async def init(self) -> None:
            self.link(tree[0].ref("nobody"))
            await trio.sleep(1)

    with pytest.raises(StartError, match="no such actor"):
        await start_child(tree[1], ChildSpec("leans", Leans))


# Circles


def ask(*path: ActorRef) -> Do:
    """A request to ask the next in the path to ask the next …; the answer is what the last one raised or returned."""

    async def forward(_puppet: Puppet, _caller: From) -> object:
        try:
            return await path[0].call(ask(*path[1:]) if path[1:] else Get())
        except CallCycle as error:
            return error

    return Do(forward)


async def test_a_circle_of_calls_is_refused_at_once(tree: tuple[System, ActorRef], within: Within) -> None:
    a, b, c = [await add(tree[1], name) for name in "abc"]
    with within(0):
        answer = await a.call(ask(b, c, a))
    assert isinstance(answer, CallCycle)
    assert not isinstance(answer, SelfCall)
    assert str(answer).startswith(f"the call would close a circle ({c!r} → {a!r} → {b!r} → {c!r})")
    with within(0):
        assert isinstance(await a.call(ask(a)), SelfCall)
        assert await a.call(ask(b, c)) == []


async def test_those_who_wait_for_each_others_end_are_no_circle_of_a_third(tree: tuple[System, ActorRef]) -> None:
    a, b = await add(tree[1], "a"), await add(tree[1], "b")
    for here, there in ((a, b), (b, a)):
        await here.cast(lambda _puppet, there=there: there.wait_down())
    await wait_all_tasks_blocked()
    with pytest.raises(CallTimeout):
        await a.call(Get(), 1)
    c = await add(tree[1], "c")
    assert isinstance(await c.call(Do(lambda _puppet, _caller: timed_out(a))), CallTimeout)


async def timed_out(ref: ActorRef) -> object:
    try:
        return await ref.call(Get(), 1)
    except CallTimeout as error:
        return error


async def test_a_reply_that_was_put_off_may_come_from_elsewhere(tree: tuple[System, ActorRef]) -> None:
    """a waits for b, b has put its reply off to a task and calls a: that is no dead-lock."""
    a, b = await add(tree[1], "a"), await add(tree[1], "b")

    async def later(caller: From) -> None:
        await trio.sleep(1)
        caller.reply([])

    def put_off(puppet: Puppet, caller: From) -> object:
        puppet.spawn(later, caller)
        return NO_REPLY

    async with trio.open_nursery() as nursery:
        nursery.start_soon(a.call, Do(lambda _puppet, _caller: b.call(Do(put_off))))
        await wait_all_tasks_blocked()
        assert await b.call(ask(a)) == []


async def test_a_child_that_calls_its_supervisor_while_it_starts_or_ends_is_told(within: Within) -> None:
    """Either would wait for the other: the supervisor for the child, the child for the supervisor."""
    told: list[object] = []

    class Asks(Puppet):
        async def ask(self) -> None:
            try:
                await which_children(self.system.ref("inner"))
            except CallCycle as error:
                told.append(str(error).partition(" (")[0])

        async def init(self) -> None:
            await self.ask()

        async def terminate(self, reason: ExitReason) -> None:
            await self.ask()

    inner = ChildSpec("inner", lambda: Supervisor([]), name="inner", type="supervisor")
    with within(0):
        async with start_tree(root(inner), quiet()) as (system, _):
            await start_child(system.ref("inner"), ChildSpec("asks", Asks))
            await terminate_child(system.ref("inner"), "asks")
    assert told == ["the call would close a circle"] * 2
