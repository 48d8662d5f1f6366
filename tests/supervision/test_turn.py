"""While a child starts, its supervisor handles nothing else, whoever's step the start was begun in."""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from supervision import (
    ActorRef,
    CallCycle,
    ChildCounts,
    ChildNotFound,
    ChildSpec,
    Crash,
    DynamicSupervisor,
    GenServer,
    Killed,
    MaxChildren,
    ServerDown,
    Shutdown,
    StartError,
    System,
    Timeout,
    count_children,
    start_child,
    terminate_child,
    which_children,
)
from supervision.introspect import get_state, resume, suspend, trace
from supervision.testing import clean_tree
from tests.support.actors import Boom, Stubborn, boom, quiet, root

from .conftest import Within


class Host(DynamicSupervisor):
    """A dynamic supervisor with linked tasks and time-outs, as one's own may have."""

    def __init__(self, heard: list[object]) -> None:
        super().__init__(max_children=3)
        self.heard = heard

    async def handle_cast(self, message: object) -> None:
        if callable(message):
            message(self)

    async def handle_info(self, message: object) -> None:
        if isinstance(message, Timeout):
            self.heard.append((trio.current_time(), message))
        else:
            await super().handle_info(message)


class Slow(GenServer):
    """Takes ten seconds to start, then fails if it is told so."""

    def __init__(self, fails: bool = False) -> None:
        self.fails = fails

    async def init(self) -> None:
        await trio.sleep(10)
        if self.fails:
            boom()


SLOW = ChildSpec("slow", Slow, restart="temporary", name="slow")
QUICK = ChildSpec("quick", GenServer, restart="temporary")


def host_spec(heard: list[object]) -> ChildSpec:
    return ChildSpec("host", lambda: Host(heard), name="host", type="supervisor", restart="temporary")


def held(system: System) -> ActorRef:
    ref = system.whereis("host")
    assert ref is not None
    return ref


async def idle(_host: ActorRef) -> None:
    """The start is begun in the step of who asks."""
    await wait_all_tasks_blocked()


async def busy(host: ActorRef) -> None:
    """The host has other things to do first, so the start is a message like others."""
    await wait_all_tasks_blocked()
    await host.cast("nothing")


@pytest.fixture(params=[idle, busy])
def before(request: pytest.FixtureRequest) -> Callable[[ActorRef], Awaitable[None]]:
    """What the host is doing when a start is asked for."""
    way: Callable[[ActorRef], Awaitable[None]] = request.param
    return way


Before = Callable[[ActorRef], Awaitable[None]]


async def outcome(host: ActorRef, spec: ChildSpec, into: list[object] | None = None) -> object:
    """The child, or the error; appended to `into` as well."""
    answer: object
    try:
        answer = await start_child(host, spec)
    except (StartError, ServerDown) as error:
        answer = error
    if into is not None:
        into.append(answer)
    return answer


@pytest.mark.parametrize("fails", [False, True])
async def test_what_is_asked_meanwhile_waits_in_order(before: Before, fails: bool, within: Within) -> None:
    answers: dict[str, tuple[float, object]] = {}
    slow = ChildSpec("slow", lambda: Slow(fails), restart="temporary", name="slow")
    async with clean_tree(root(host_spec([])), quiet()) as (system, _), trio.open_nursery() as nursery:
        host = held(system)

        async def ask(name: str, what: Awaitable[object]) -> None:
            answer = await what
            answers[name] = trio.current_time(), answer

        await before(host)
        nursery.start_soon(ask, "slow", outcome(host, slow))
        await wait_all_tasks_blocked()
        nursery.start_soon(ask, "count", count_children(host))
        nursery.start_soon(ask, "state", get_state(host, timeout=60))
        await wait_all_tasks_blocked()
        nursery.start_soon(ask, "quick", outcome(host, QUICK))
        await trio.sleep(9)
        assert answers == {}
        await trio.sleep(2)
        assert {time for time, _ in answers.values()} == {10}
        assert isinstance(answers["slow"][1], StartError) if fails else answers["slow"][1] is system.whereis("slow")
        assert (system.whereis("slow") is None) == fails
        assert answers["count"][1] == ChildCounts(specs=not fails, active=not fails, supervisors=0, workers=not fails)
        assert (await count_children(host)).active == 2 - fails
        with within(0):
            await start_child(host, QUICK)


async def test_a_supervisor_killed_meanwhile_is_down_for_its_caller(before: Before) -> None:
    answers: list[object] = []
    async with clean_tree(root(host_spec([])), quiet()) as (system, _), trio.open_nursery() as nursery:
        host = held(system)
        await before(host)
        nursery.start_soon(outcome, host, SLOW, answers)
        await wait_all_tasks_blocked()
        child = system.whereis("slow")
        assert child is not None
        host.kill()
        assert await host.wait_down() == Killed()
        assert not child.alive
    (error,) = answers
    assert isinstance(error, ServerDown)
    assert error.reason == Killed()


async def test_a_supervisor_told_to_end_meanwhile_gives_the_start_up(before: Before, within: Within) -> None:
    answers: list[object] = []
    async with clean_tree(root(host_spec([])), quiet()) as (system, _), trio.open_nursery() as nursery:
        host = held(system)
        await before(host)
        nursery.start_soon(outcome, host, SLOW, answers)
        await wait_all_tasks_blocked()
        with within(0):
            host.exit(Shutdown())
            assert await host.wait_down() == Shutdown()
    (error,) = answers
    assert isinstance(error, StartError)
    assert error.reason == Killed()


async def test_a_supervisor_that_breaks_meanwhile_gives_the_start_up(before: Before, within: Within) -> None:
    """At once: the child must not come to stand while its supervisor ends the others."""

    async def fail() -> None:
        await trio.sleep(5)
        boom()

    answers: list[object] = []
    async with clean_tree(root(host_spec([])), quiet()) as (system, _), trio.open_nursery() as nursery:
        host = held(system)
        await start_child(host, ChildSpec("stubborn", lambda: Stubborn(20), shutdown=50.0))
        await host.cast(lambda actor: actor.spawn(fail))
        await before(host)
        nursery.start_soon(outcome, host, SLOW, answers)
        await wait_all_tasks_blocked()
        with within(5):
            assert await system.ref("slow").wait_down() == Killed()
        with within(20):
            reason = await host.wait_down()
        assert isinstance(reason, Crash)
    (error,) = answers
    assert isinstance(error, ServerDown)
    assert error.reason == reason


async def test_a_supervisor_that_stops_by_itself_meanwhile_starts_the_child_and_ends(before: Before) -> None:
    """As when it stops in a callback: what it is at is done first."""

    async def later(actor: Host) -> None:
        await trio.sleep(5)
        actor.stop(Shutdown("enough"))

    answers: list[object] = []
    async with clean_tree(root(host_spec([])), quiet()) as (system, _), trio.open_nursery() as nursery:
        host = held(system)
        await host.cast(lambda actor: actor.spawn(later, actor))
        await before(host)
        nursery.start_soon(outcome, host, SLOW, answers)
        assert await host.wait_down() == Shutdown("enough")
        assert trio.current_time() == 10
    (child,) = answers
    assert isinstance(child, ActorRef)
    assert await child.wait_down() == Shutdown()


async def test_a_child_that_its_starter_no_longer_waits_for_is_a_child_all_the_same(before: Before) -> None:
    async with clean_tree(root(host_spec([])), quiet()) as (system, _):
        host = held(system)
        await before(host)
        with trio.move_on_after(3):
            await start_child(host, SLOW)
        assert trio.current_time() == 3
        assert [info.ref for info in await which_children(host)] == [system.whereis("slow")]
        assert trio.current_time() == 10
        system.ref("slow").kill()
        await wait_all_tasks_blocked()
        assert (await count_children(host)).specs == 0


async def test_a_child_that_calls_its_supervisor_as_it_starts_is_told(before: Before, within: Within) -> None:
    told: list[object] = []

    class Asks(GenServer):
        async def init(self) -> None:
            with pytest.raises(CallCycle):
                await count_children(self.system.ref("host"))

        async def handle_info(self, message: object) -> None:
            told.append(await count_children(self.system.ref("host")))

    async with clean_tree(root(host_spec([])), quiet()) as (system, _):
        host = held(system)
        await before(host)
        with within(0):
            child = await start_child(host, ChildSpec("asks", Asks, restart="temporary"))
            child.send("now you may")
            await wait_all_tasks_blocked()
        assert len(told) == 1


async def test_a_child_lives_in_its_supervisors_context(before: Before) -> None:
    var: ContextVar[str] = ContextVar("var", default="the tree's")
    seen: list[str] = []

    class Looks(GenServer):
        async def init(self) -> None:
            seen.append(var.get())

    async with clean_tree(root(host_spec([])), quiet()) as (system, _):
        var.set("the caller's")
        await before(held(system))
        await start_child(held(system), ChildSpec("looks", Looks, restart="temporary"))
    assert seen == ["the tree's"]


async def test_a_start_that_is_refused_changes_nothing(before: Before) -> None:
    async with clean_tree(root(host_spec([])), quiet()) as (system, _):
        host = held(system)
        for _ in range(3):
            await start_child(host, QUICK)
        for _ in range(2):
            await before(host)
            with pytest.raises(MaxChildren):
                await start_child(host, QUICK)
        (first, *_) = await which_children(host)
        assert first.ref is not None
        await terminate_child(host, first.ref)
        await start_child(host, QUICK)
        with pytest.raises(ChildNotFound):
            await terminate_child(host, "nobody")


async def test_a_supervisor_held_still_starts_nothing_and_a_traced_one_shows_it() -> None:
    async with clean_tree(root(host_spec([])), quiet()) as (system, _), trio.open_nursery() as nursery:
        host, answers, seen = held(system), list[object](), list[object]()
        await suspend(host)
        nursery.start_soon(outcome, host, QUICK, answers)
        await trio.sleep(5)
        assert (answers, [child.status for child in system.snapshot().find("host").children]) == ([], [])  # type: ignore[union-attr]
        await resume(host)
        await wait_all_tasks_blocked()
        assert len(answers) == 1
        end = trace(host, lambda traced: seen.append(traced.kind))
        await start_child(host, QUICK)
        end()
        assert seen == ["call"]


async def test_a_start_takes_a_receive_time_out_back_like_any_message() -> None:
    heard: list[object] = []
    async with clean_tree(root(host_spec(heard)), quiet()) as (system, _):
        await held(system).cast(lambda actor: actor.set_timeout(2))
        await trio.sleep(1)
        await start_child(held(system), QUICK)
        await trio.sleep(5)
        await held(system).cast(lambda actor: actor.set_timeout(2))
        await trio.sleep(5)
    assert heard == [(8, Timeout())]


async def test_every_request_counts_as_handled(before: Before) -> None:
    async with clean_tree(root(host_spec([])), quiet()) as (system, _):
        await before(held(system))
        await wait_all_tasks_blocked()
        was = held(system).describe().mailbox
        await start_child(held(system), QUICK)
        now = held(system).describe().mailbox
        assert was is not None
        assert now is not None
        assert now.handled - was.handled == 1


async def test_one_that_crashes_at_once_is_started_and_ended(before: Before) -> None:
    class Brief(GenServer):
        async def init(self) -> None:
            self.send_after(0, "die")

        async def handle_info(self, message: object) -> None:
            raise Boom

    async with clean_tree(root(host_spec([])), quiet()) as (system, _):
        for _ in range(5):
            await before(held(system))
            child = await start_child(held(system), ChildSpec("brief", Brief, restart="temporary"))
            await child.wait_down()
        await wait_all_tasks_blocked()
        assert (await count_children(held(system))).specs == 0
