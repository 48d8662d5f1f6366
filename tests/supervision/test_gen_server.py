"""The contract of a generic server, one sentence a test. Time is virtual: `within(0)` means at once."""

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from supervision import (
    NO_REPLY,
    ActorRef,
    CallTimeout,
    ChildSpec,
    Continue,
    Crash,
    Exit,
    From,
    GenServer,
    Killed,
    NoProc,
    Normal,
    SelfCall,
    ServerDown,
    Shutdown,
    System,
    Timeout,
    UnhandledMessage,
    start_child,
    start_tree,
)
from supervision.introspect import get_state
from supervision.testing import clean_tree
from tests.support.actors import Boom, Do, Get, Puppet, add_puppet, boom, crashed_with, doze, puppet, quiet, root

Within = Callable[[float], AbstractContextManager[None]]


@pytest.fixture
async def tree() -> AsyncIterator[tuple[System, ActorRef]]:
    async with start_tree(root(), quiet()) as (system, supervisor):
        yield system, supervisor


@pytest.fixture
async def server(tree: tuple[System, ActorRef]) -> ActorRef:
    return await add_puppet(tree[1])


# A call ends in a reply ...


async def test_the_value_of_handle_call_is_the_reply(server: ActorRef) -> None:
    assert await server.call(Do(lambda _puppet, _caller: 42)) == 42


async def test_messages_are_handled_in_the_order_they_came(server: ActorRef) -> None:
    await server.cast(1)
    server.send(2)
    server.cast_nowait(3)
    assert await server.call(Get()) == [1, ("info", 2), 3]


async def test_none_is_a_reply_like_any_other(server: ActorRef) -> None:
    assert await server.call(Do(lambda _puppet, _caller: None)) is None


async def test_a_reply_may_come_later_and_from_elsewhere(server: ActorRef, within: Within) -> None:
    async def later(caller: From) -> None:
        await trio.sleep(2)
        caller.reply("later")

    def keep(server: Puppet, caller: From) -> object:
        server.spawn(later, caller)
        return NO_REPLY

    with within(2):
        assert await server.call(Do(keep)) == "later"


async def test_a_reply_may_come_before_the_callback_is_over(server: ActorRef) -> None:
    def early(_puppet: Puppet, caller: From) -> object:
        caller.reply("early")
        return NO_REPLY

    assert await server.call(Do(early)) == "early"


async def test_only_the_first_reply_counts(server: ActorRef) -> None:
    def twice(_puppet: Puppet, caller: From) -> object:
        caller.reply(1)
        caller.fail(Boom())
        return 2

    assert await server.call(Do(twice)) == 1


async def test_an_error_for_the_caller_is_raised_there_and_the_server_lives(server: ActorRef) -> None:
    original = Boom("no")

    def refuse(_puppet: Puppet, caller: From) -> object:
        caller.fail(original)
        return NO_REPLY

    with pytest.raises(Boom, match="no") as caught:
        await server.call(Do(refuse))
    assert caught.value is not original
    assert caught.value.__cause__ is original
    assert server.alive


async def test_an_error_keeps_what_it_carries_however_it_is_built(server: ActorRef) -> None:
    class Refusal(Exception):  # noqa: N818
        def __init__(self, *, code: int) -> None:
            super().__init__(f"code {code}")
            self.code = code

    @dataclass(frozen=True)
    class Frozen(Exception):  # noqa: N818
        code: int

    class Stubborn(Exception):  # noqa: N818
        def __new__(cls, one: int, two: int) -> "Stubborn":
            return super().__new__(cls, one)

    def fail_with(error: Exception) -> Do:
        return Do(lambda _puppet, caller: (caller.fail(error), NO_REPLY)[1])

    with pytest.raises(Refusal, match=r"^code 5$") as refused:
        await server.call(fail_with(Refusal(code=5)))
    assert refused.value.code == 5
    with pytest.raises(Frozen) as frozen:
        await server.call(fail_with(Frozen(code=6)))
    assert frozen.value.code == 6
    with pytest.raises(Stubborn):
        await server.call(fail_with(Stubborn(1, 2)))
    with pytest.raises(FileNotFoundError) as missing:
        await server.call(fail_with(FileNotFoundError(2, "no such file", "here")))
    assert (missing.value.errno, missing.value.filename) == (2, "here")


# ... or a timeout ...


async def test_a_call_times_out(server: ActorRef, within: Within) -> None:
    with within(3), pytest.raises(CallTimeout) as caught:
        await server.call(Do(lambda _puppet, _caller: NO_REPLY), 3)
    assert caught.value.seconds == 3


async def test_the_default_timeout_is_five_seconds(server: ActorRef, within: Within) -> None:
    with within(5), pytest.raises(CallTimeout):
        await server.call(Do(lambda _puppet, _caller: NO_REPLY))


async def test_without_timeout_a_call_waits_as_long_as_it_takes(server: ActorRef, within: Within) -> None:
    with within(1000):
        assert await server.call(Do(lambda _puppet, _caller: _sleep_and_say(1000)), None) == "slept"


async def _sleep_and_say(seconds: float) -> str:
    await trio.sleep(seconds)
    return "slept"


async def test_a_late_reply_goes_nowhere(server: ActorRef) -> None:
    callers: list[From] = []
    with pytest.raises(CallTimeout):
        await server.call(Do(lambda _puppet, caller: (callers.append(caller), NO_REPLY)[1]), 1)
    callers[0].reply("late")
    callers[0].fail(Boom())
    assert not callers[0].live
    assert await server.call(Get()) == []


async def test_a_busy_server_still_handles_the_request_whose_caller_gave_up(server: ActorRef) -> None:
    await server.cast(doze(10))
    with pytest.raises(CallTimeout):
        await server.call(Do(lambda puppet, _caller: puppet.notes.append("handled")), 1)
    assert await server.call(Get(), None) == ["handled"]


async def test_a_caller_may_be_cancelled(server: ActorRef) -> None:
    with trio.move_on_after(1) as scope:
        await server.call(Do(lambda _puppet, _caller: NO_REPLY), None)
    assert scope.cancelled_caught
    assert await server.call(Get()) == []


# ... or the news that the server is down


async def test_pending_callers_of_a_crashed_server_all_learn_it_at_once(server: ActorRef, within: Within) -> None:
    ends: list[ServerDown] = []

    async def ask(request: Do) -> None:
        with pytest.raises(ServerDown) as caught:
            await server.call(request)
        ends.append(caught.value)

    with within(1):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, Do(lambda _puppet, _caller: NO_REPLY))  # deferred
            await wait_all_tasks_blocked()
            await server.cast(doze(1))
            await server.cast(boom)
            for _ in range(10):
                nursery.start_soon(ask, Do(boom))  # waiting in the mailbox
    assert len(ends) == 11
    assert all(isinstance(crashed_with(end.reason), Boom) and isinstance(end.__cause__, Boom) for end in ends)


async def test_the_caller_whose_request_crashes_the_server_learns_it(server: ActorRef) -> None:
    with pytest.raises(ServerDown) as caught:
        await server.call(Do(boom))
    assert isinstance(crashed_with(caught.value.reason), Boom)


async def test_a_call_to_a_dead_server_fails_at_once(server: ActorRef, within: Within) -> None:
    server.kill()
    assert await server.wait_down() == Killed()
    with within(0), pytest.raises(ServerDown) as caught:
        await server.call(Get(), None)
    assert caught.value.reason == NoProc()


async def test_a_call_to_a_dying_server_fails_at_once(server: ActorRef, within: Within) -> None:
    await server.cast(doze(3))
    server.exit(Shutdown("enough"))
    with within(0), pytest.raises(ServerDown) as caught:
        await server.call(Get(), None)
    assert caught.value.reason == Shutdown("enough")
    assert server.alive


async def test_a_call_to_a_name_that_nobody_holds_fails_at_once(tree: tuple[System, ActorRef], within: Within) -> None:
    ref = tree[0].ref("nobody")
    with within(0), pytest.raises(ServerDown) as caught:
        await ref.call(Get())
    assert caught.value.reason == NoProc()
    assert not ref.alive
    await ref.cast(1)
    ref.send(1)
    ref.kill()
    assert await ref.wait_down() == NoProc()


async def test_casting_and_sending_to_the_dead_does_nothing(server: ActorRef) -> None:
    server.kill()
    await server.wait_down()
    await server.cast(1)
    server.cast_nowait(1)
    server.send(1)
    server.exit(Normal())
    server.kill()


async def test_a_server_that_calls_itself_is_told_so(server: ActorRef) -> None:
    async def call_myself(puppet: Puppet) -> object:
        with pytest.raises(SelfCall):
            await puppet.ref.call(Get())
        return "told"

    assert await server.call(Do(lambda puppet, _caller: call_myself(puppet))) == "told"


async def test_a_spawned_task_may_call_its_own_actor(server: ActorRef) -> None:
    async def ask(puppet: Puppet, caller: From) -> None:
        caller.reply(await puppet.ref.call(Get()))

    def spawn(puppet: Puppet, caller: From) -> object:
        puppet.spawn(ask, puppet, caller)
        return NO_REPLY

    assert await server.call(Do(spawn)) == []


# Starting


class Picky(GenServer):
    """Looks at its own name while it starts, then refuses."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    async def init(self) -> None:
        assert self.system.whereis("picky") is self.ref
        await trio.sleep(1)
        raise self.error


async def test_continue_runs_before_any_message_and_after_the_starter_went_on(
    tree: tuple[System, ActorRef], within: Within
) -> None:
    class Slow(Puppet):
        async def init(self) -> Continue:
            self.ref.send("early")
            return Continue("rest")

        async def handle_continue(self, value: object) -> None:
            await trio.sleep(7)
            self.notes.append(value)

    with within(0):
        ref = await start_child(tree[1], ChildSpec("slow", Slow))
    assert await ref.call(Get(), None) == ["rest", ("info", "early")]


async def test_messages_sent_while_init_runs_are_kept(tree: tuple[System, ActorRef]) -> None:
    class Late(Puppet):
        async def init(self) -> None:
            await trio.sleep(5)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(start_child, tree[1], ChildSpec("late", Late, name="late"))
        await wait_all_tasks_blocked()
        assert await tree[0].ref("late").call(Get(), None) == []


# Stopping


async def test_stop_ends_it_after_the_callback(server: ActorRef) -> None:
    def stop(puppet: Puppet, _caller: From) -> object:
        puppet.stop(Shutdown("done"))
        return "bye"

    assert await server.call(Do(stop)) == "bye"
    assert await server.wait_down() == Shutdown("done")


async def test_stop_is_normal_unless_it_says_otherwise(server: ActorRef) -> None:
    await server.cast(lambda puppet: puppet.stop())
    assert await server.wait_down() == Normal()


async def test_what_was_sent_before_an_exit_is_handled_before_it(tree: tuple[System, ActorRef]) -> None:
    notes: list[object] = []
    server = await add_puppet(tree[1], notes)
    await server.cast(1)
    server.exit(Shutdown())
    await server.cast(2)
    await server.wait_down()
    assert notes == [1, ("terminate", Shutdown())]


async def test_terminate_runs_on_a_crash_with_its_reason(tree: tuple[System, ActorRef]) -> None:
    notes: list[object] = []
    server = await add_puppet(tree[1], notes)
    await server.cast(boom)
    reason = await server.wait_down()
    assert notes == [("terminate", reason)]
    assert isinstance(crashed_with(reason), Boom)


async def test_terminate_does_not_run_when_killed(tree: tuple[System, ActorRef]) -> None:
    notes: list[object] = []
    server = await add_puppet(tree[1], notes)
    server.kill()
    assert await server.wait_down() == Killed()
    assert notes == []


async def test_a_crash_in_terminate_becomes_the_reason(tree: tuple[System, ActorRef]) -> None:
    class Clumsy(Puppet):
        async def terminate(self, reason: object) -> None:
            raise Boom("in terminate")

    server = await start_child(tree[1], ChildSpec("clumsy", Clumsy, restart="temporary"))
    server.exit(Shutdown())
    assert isinstance(crashed_with(await server.wait_down()), Boom)


async def test_terminate_of_a_crashed_actor_has_its_shutdown_time_and_no_more(
    tree: tuple[System, ActorRef], within: Within
) -> None:
    class Endless(Puppet):
        async def terminate(self, reason: object) -> None:
            await trio.sleep_forever()

    server = await start_child(tree[1], ChildSpec("endless", Endless, restart="temporary", shutdown=2.0))
    with within(2):
        await server.cast(boom)
        assert await server.wait_down() == Killed()


async def test_a_pending_caller_may_still_be_answered_in_terminate(tree: tuple[System, ActorRef]) -> None:
    class Polite(Puppet):
        def __init__(self) -> None:
            super().__init__()
            self.callers: list[From] = []

        async def handle_call(self, request: object, caller: From) -> object:
            self.callers.append(caller)
            return NO_REPLY

        async def terminate(self, reason: object) -> None:
            for caller in self.callers:
                caller.reply("closing")

    server = await start_child(tree[1], ChildSpec("polite", Polite, restart="temporary"))
    async with trio.open_nursery() as nursery:

        async def ask() -> None:
            assert await server.call(Get()) == "closing"  # type: ignore[comparison-overlap]

        nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        server.exit(Shutdown())


async def test_exit_can_be_raised(server: ActorRef) -> None:
    async def leave() -> None:
        raise Exit(Shutdown("left"))

    await server.cast(lambda _puppet: leave())
    assert await server.wait_down() == Shutdown("left")


async def test_a_group_gives_its_first_real_exception(server: ActorRef) -> None:
    async def fail_soon() -> None:
        await trio.sleep(1)
        raise Boom

    async def fail_inside() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            nursery.start_soon(fail_soon)

    await server.cast(lambda _puppet: fail_inside())
    reason = await server.wait_down()
    assert isinstance(reason, Crash)
    assert isinstance(reason.exception, Boom)
    assert isinstance(reason.group, BaseExceptionGroup)


async def test_unhandled_calls_and_casts_crash_and_unhandled_infos_do_not(tree: tuple[System, ActorRef]) -> None:
    class Bare(GenServer):
        pass

    for message in (1, 2):
        ref = await start_child(tree[1], ChildSpec("bare", Bare, restart="temporary"))
        ref.send("what?")
        if message == 1:
            await ref.cast(message)
        else:
            with pytest.raises(ServerDown):
                await ref.call(Get())
        assert isinstance(crashed_with(await ref.wait_down()), UnhandledMessage)


# Timers and the receive timeout


async def test_a_receive_timeout_comes_when_the_mailbox_stayed_empty(server: ActorRef, within: Within) -> None:
    with within(3):
        await server.cast(lambda puppet: puppet.set_timeout(2))
        await trio.sleep(3)
        assert await server.call(Get()) == [("info", Timeout())]
    await trio.sleep(100)
    assert await server.call(Get()) == [("info", Timeout())]


async def test_any_message_takes_a_receive_timeout_back(server: ActorRef) -> None:
    await server.cast(lambda puppet: puppet.set_timeout(2))
    await trio.sleep(1)
    await server.cast("message")
    await trio.sleep(10)
    assert await server.call(Get()) == ["message"]


async def test_looking_into_an_actor_lets_its_receive_timeout_run_anew(server: ActorRef) -> None:
    """What `introspect` asks is no message to the actor; OTP starts the time anew as well."""
    await server.cast(lambda puppet: puppet.set_timeout(2))
    await trio.sleep(1)
    await get_state(server)
    await trio.sleep(1.5)
    assert await get_state(server) == {"notes": []}
    await trio.sleep(2.5)
    assert await get_state(server) == {"notes": [("info", Timeout())]}


async def test_timers_are_forgotten_with_their_actor() -> None:
    """Not only when they would fire: a timer of a day must not keep every connection of that day."""
    async with clean_tree(root(), quiet()) as (system, supervisor):
        server = await add_puppet(supervisor)
        await server.cast(lambda puppet: (puppet.send_after(100, "late"), None)[1])
        await wait_all_tasks_blocked()
        assert system.timers.waiting() == 1
        server.kill()
        await server.wait_down()
        assert system.timers.waiting() == 0


async def test_a_receive_timeout_of_zero_comes_as_soon_as_the_mailbox_is_empty(server: ActorRef) -> None:
    for value in range(3):
        await server.cast(lambda puppet, value=value: (puppet.notes.append(value), puppet.set_timeout(0))[0])
    await wait_all_tasks_blocked()
    assert await server.call(Get()) == [0, 1, 2, ("info", Timeout())]


async def test_a_server_that_never_rests_lets_others_run(server: ActorRef) -> None:
    class Restless(Puppet):
        async def handle_info(self, message: object) -> None:
            self.set_timeout(0)

    async with start_tree(root(ChildSpec("restless", Restless, name="restless")), quiet()) as (system, _):
        system.ref("restless").send("go")
        with trio.fail_after(1):
            for _ in range(10):
                await trio.lowlevel.checkpoint()


async def test_send_after_delivers_once_and_can_be_cancelled(server: ActorRef) -> None:
    timers: list[object] = []
    await server.cast(lambda puppet: timers.append(puppet.send_after(2, "two")))
    await server.cast(lambda puppet: timers.append(puppet.send_after(1, "one")))
    await server.cast(lambda puppet: puppet.send_after(1.5, "never").cancel())
    await trio.sleep(1.2)
    assert await server.call(Get()) == [("info", "one")]
    await trio.sleep(1)
    assert await server.call(Get()) == [("info", "one"), ("info", "two")]


async def test_a_busy_server_gives_way() -> None:
    seen: list[int] = []
    async with start_tree(root(puppet(notes=[])), quiet()) as (system, _):
        server = system.whereis("puppet")
        assert server is not None
        for value in range(200):
            server.cast_nowait(value)
        while len(seen) < 10:
            await trio.lowlevel.checkpoint()
            seen.append(server.describe().mailbox.handled)  # type: ignore[union-attr]
            if seen[-1] == 200:
                break
    assert all(after - before <= 2 * 64 for before, after in itertools.pairwise([0, *seen]))
    assert seen[-1] == 200
