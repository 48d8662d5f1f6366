"""Supervisors at work: order, strategies, shutdown times, intensity, and the calls made at run time."""

from collections.abc import Sequence

import pytest
import trio
import trio.lowlevel
from trio.testing import wait_all_tasks_blocked

from supervision import (
    IGNORE,
    ActorRef,
    AlreadyPresent,
    AlreadyStarted,
    Backoff,
    ChildCounts,
    ChildNotFound,
    ChildRestarting,
    ChildRunning,
    ChildSpec,
    Crash,
    CrashReport,
    FailedToStart,
    GenServer,
    Ignore,
    InvalidSpecError,
    Killed,
    RootDown,
    Shutdown,
    StartError,
    Supervisor,
    SupervisorReport,
    System,
    UnhandledMessage,
    count_children,
    delete_child,
    get_childspec,
    restart_child,
    start_child,
    start_tree,
    terminate_child,
    which_children,
)
from tests.support.actors import Boom, Get, Stubborn, Witness, boom, crashed_with, puppet, quiet, root

from .conftest import Within


def witness(name: str, told: list[str], **spec: object) -> ChildSpec:
    return ChildSpec(name, lambda: Witness(name, told), name=name, **spec)  # type: ignore[arg-type]


def witnesses(told: list[str], names: str = "abc") -> Sequence[ChildSpec]:
    return [witness(name, told) for name in names]


class Unwilling(GenServer):
    """Refuses to start as long as the list is not empty."""

    def __init__(self, refusals: list[BaseException]) -> None:
        self.refusals = refusals

    async def init(self) -> None:
        if self.refusals:
            raise self.refusals.pop()


async def settled(supervisor: ActorRef) -> None:
    """The supervisor has dealt with all that happened."""
    await wait_all_tasks_blocked()
    await count_children(supervisor)


async def lose(system: System, supervisor: ActorRef, name: str) -> None:
    """Crash the child of that name and let its supervisor deal with it."""
    await system.ref(name).cast(Boom())
    await settled(supervisor)


# Start and stop


async def test_children_start_from_the_left_and_end_from_the_right() -> None:
    told: list[str] = []
    async with start_tree(root(*witnesses(told)), quiet()):
        assert told == ["start a", "start b", "start c"]
        told.clear()
    assert told == ["end c", "end b", "end a"]


async def test_the_next_child_waits_for_init_of_the_one_before(within: Within) -> None:
    class Slow(Witness):
        async def init(self) -> None:
            await trio.sleep(3)
            await super().init()

    told: list[str] = []
    with within(3):
        async with start_tree(root(ChildSpec("a", lambda: Slow("a", told)), witness("b", told)), quiet()):
            pass
    assert told[:2] == ["start a", "start b"]


async def test_a_child_that_does_not_start_ends_those_before_it_and_the_supervisors_start() -> None:
    told: list[str] = []
    spec = root(*witnesses(told, "ab"), ChildSpec("bad", lambda: Unwilling([Boom("no")])), witness("c", told))
    with pytest.raises(StartError) as caught:
        async with start_tree(spec, quiet()):
            pytest.fail("it started")
    assert told == ["start a", "start b", "end b", "end a"]
    reason = caught.value.reason
    assert isinstance(reason, Shutdown)
    assert isinstance(reason.detail, FailedToStart)
    assert reason.detail.child == "bad"
    assert isinstance(crashed_with(reason.detail.reason), Boom)


async def test_a_failing_init_is_the_starters_error_and_the_name_is_free_first() -> None:
    free: list[bool] = []
    async with start_tree(root(), quiet()) as (system, supervisor):
        with pytest.raises(StartError) as caught:
            await start_child(supervisor, ChildSpec("bad", lambda: Unwilling([Boom("no")]), name="bad"))
        free.append(system.whereis("bad") is None)
        assert isinstance(caught.value.__cause__, StartError | Boom)
        assert isinstance(crashed_with(caught.value.reason), Boom)
        await start_child(supervisor, ChildSpec("bad", lambda: Unwilling([]), name="bad"))
    assert free == [True]


async def test_a_failing_constructor_is_the_starters_error_too() -> None:
    async with start_tree(root(), quiet()) as (_, supervisor):
        with pytest.raises(StartError) as caught:
            await start_child(supervisor, ChildSpec("bad", lambda: boom()))  # type: ignore[arg-type, return-value]
        assert isinstance(crashed_with(caught.value.reason), Boom)
        with pytest.raises(StartError, match="no actor"):
            await start_child(supervisor, ChildSpec("bad", lambda: "hello"))  # type: ignore[arg-type, return-value]


async def test_an_actor_is_not_started_twice() -> None:
    shared = GenServer()
    async with start_tree(root(ChildSpec("a", lambda: shared)), quiet()) as (_, supervisor):
        with pytest.raises(StartError, match="must build a new actor each time"):
            await start_child(supervisor, ChildSpec("b", lambda: shared))


async def test_a_name_that_is_held_refuses_the_second() -> None:
    async with start_tree(root(puppet("one")), quiet()) as (system, supervisor):
        with pytest.raises(AlreadyStarted) as caught:
            await start_child(supervisor, ChildSpec("two", GenServer, name="one"))
        assert caught.value.ref is system.whereis("one")


async def test_ignore_keeps_the_spec_without_an_actor() -> None:
    class NotNeeded(GenServer):
        async def init(self) -> Ignore:
            return IGNORE

    async with start_tree(root(ChildSpec("a", NotNeeded, name="a")), quiet()) as (system, supervisor):
        (info,) = await which_children(supervisor)
        assert (info.ref, info.status) == (None, "undefined")
        assert await count_children(supervisor) == ChildCounts(specs=1, active=0, supervisors=0, workers=1)
        assert system.whereis("a") is None
        ref = await start_child(supervisor, ChildSpec("b", NotNeeded, restart="temporary"))
        assert not ref.alive
        assert len(await which_children(supervisor)) == 1


# Shutdown times


@pytest.mark.parametrize(("shutdown", "seconds"), [("brutal_kill", 0), (2.0, 2), ("infinity", 7), (10.0, 7)])
async def test_a_child_has_its_shutdown_time(shutdown: object, seconds: float, within: Within) -> None:
    spec = ChildSpec("slow", lambda: Stubborn(7), shutdown=shutdown)  # type: ignore[arg-type]
    async with start_tree(root(spec), quiet()) as (_, supervisor):
        with within(seconds):
            await terminate_child(supervisor, "slow")


async def test_a_worker_has_five_seconds_unless_it_says_otherwise(within: Within) -> None:
    async with start_tree(root(ChildSpec("slow", lambda: Stubborn(100))), quiet()) as (_, supervisor):
        with within(5):
            await terminate_child(supervisor, "slow")


async def test_a_supervisor_has_as_long_as_its_children_need(within: Within) -> None:
    spec = ChildSpec("slow", lambda: Stubborn(20), shutdown=25.0)
    with within(20):
        async with start_tree(root(ChildSpec("inner", lambda: Supervisor([spec]), type="supervisor")), quiet()):
            pass


async def test_a_child_that_ended_otherwise_than_told_is_reported() -> None:
    system, reports = quiet(), []
    system.events.subscribe(reports.append, SupervisorReport)
    async with start_tree(root(ChildSpec("slow", lambda: Stubborn(9), shutdown=1.0)), system):
        pass
    assert [(report.context, report.child, report.reason) for report in reports] == [
        ("shutdown_error", "slow", Killed())
    ]


# Strategies


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("one_for_one", ["end b", "start b"]),
        ("rest_for_one", ["end b", "end c", "start b", "start c"]),
        ("one_for_all", ["end b", "end c", "end a", "start a", "start b", "start c"]),
    ],
)
async def test_a_crash_restarts_by_strategy(strategy: str, expected: list[str]) -> None:
    told: list[str] = []
    async with start_tree(root(*witnesses(told), strategy=strategy), quiet()) as (system, supervisor):
        told.clear()
        await lose(system, supervisor, "b")
        assert told == expected


async def test_a_supervisor_that_gives_up_ends_with_shutdown_and_its_parent_decides() -> None:
    told: list[str] = []
    inner = ChildSpec(
        "inner", lambda: Supervisor(witnesses(told), intensity=1, period=5.0), name="inner", type="supervisor"
    )
    async with start_tree(root(inner), quiet()) as (system, supervisor):
        first = system.whereis("inner")
        assert first is not None
        await lose(system, first, "a")
        told.clear()
        await system.ref("a").cast(Boom())
        assert await first.wait_down() == Shutdown()
        await settled(supervisor)
        assert told == ["end a", "end c", "end b", "start a", "start b", "start c"]
        assert system.whereis("inner") not in (None, first)


async def test_restarts_long_ago_do_not_count() -> None:
    told: list[str] = []
    async with start_tree(root(*witnesses(told), intensity=1, period=5.0), quiet()) as (system, supervisor):
        for _ in range(5):
            await lose(system, supervisor, "a")
            await trio.sleep(5.1)
        assert supervisor.alive


async def test_the_root_that_gives_up_cancels_the_block() -> None:
    told: list[str] = []
    with pytest.raises(RootDown) as caught:  # noqa: PT012 - it is the end of the block that raises
        async with start_tree(root(*witnesses(told), intensity=0), quiet()) as (system, _):
            await system.ref("a").cast(Boom())
            await trio.sleep_forever()
    assert caught.value.reason == Shutdown()
    assert told[-3:] == ["end a", "end c", "end b"]


async def test_a_restart_that_fails_is_tried_again_and_counted_again() -> None:
    refusals: list[BaseException] = []
    shy = ChildSpec("shy", lambda: Unwilling(refusals), name="shy")
    inner = ChildSpec("inner", lambda: Supervisor([shy], intensity=3), restart="temporary", type="supervisor")
    async with start_tree(root(), quiet()) as (system, supervisor):
        under_test = await start_child(supervisor, inner)
        refusals += [Boom(), Boom()]
        system.ref("shy").kill()
        await settled(under_test)
        assert system.snapshot().find("shy").restarts == 3  # type: ignore[union-attr]
        system.ref("shy").kill()
        assert await under_test.wait_down() == Shutdown()


async def test_requests_get_their_turn_between_retries() -> None:
    refusals: list[BaseException] = []
    spec = ChildSpec("shy", lambda: Unwilling(refusals))
    async with start_tree(root(spec), quiet()) as (_, supervisor):
        (info,) = await which_children(supervisor)
        refusals += [Boom() for _ in range(50)]
        assert info.ref is not None
        info.ref.kill()
        await info.ref.wait_down()
        with pytest.raises(ChildRestarting):
            await restart_child(supervisor, "shy")
        with pytest.raises(ChildRestarting):
            await delete_child(supervisor, "shy")
        await terminate_child(supervisor, "shy")
        left = len(refusals)
        await settled(supervisor)
        assert 0 < left == len(refusals)


# Back-off


async def test_a_backoff_spaces_restarts_out() -> None:
    times: list[float] = []

    class Dies(GenServer):
        async def init(self) -> None:
            times.append(trio.current_time())
            self.send_after(0, "die")

        async def handle_info(self, message: object) -> None:
            raise Boom

    spec = ChildSpec("dies", Dies, backoff=Backoff(minimum=3, maximum=30))
    async with start_tree(root(spec), quiet()) as (system, supervisor):
        await trio.sleep(3 + 6 + 12 + 24 + 30 + 30 - 1)
        assert system.snapshot().find("dies").status == "restarting"  # type: ignore[union-attr]
        await trio.sleep(2)
        assert times == [0, 3, 9, 21, 45, 75, 105]
        await terminate_child(supervisor, "dies")
        await trio.sleep(100)
        assert len(times) == 7


async def test_waiting_is_not_standing() -> None:
    """A child that does not even start again earns no fresh back-off, however long its waits are by now."""
    times: list[float] = []

    class StartsOnce(GenServer):
        async def init(self) -> None:
            times.append(trio.current_time())
            if len(times) > 1:
                raise Boom

    spec = ChildSpec("once", StartsOnce, name="once", backoff=Backoff(minimum=1, maximum=4))
    async with start_tree(root(spec), quiet()) as (system, _):
        system.ref("once").kill()
        await trio.sleep(25)
    assert times == [0, 1, 3, 7, 11, 15, 19, 23]


async def test_a_child_that_stood_long_enough_has_a_fresh_backoff() -> None:
    tell, started = trio.open_memory_channel[float](100)

    class Tells(GenServer):
        async def init(self) -> None:
            tell.send_nowait(trio.current_time())

    spec = ChildSpec("p", Tells, name="p", backoff=Backoff(minimum=1, maximum=8, reset_after=60))
    async with start_tree(root(spec), quiet()) as (system, _):
        waits = []
        await started.receive()
        for stand in (0, 0, 0, 61, 0):
            await trio.sleep(stand)
            system.ref("p").kill()
            killed = trio.current_time()
            waits.append(await started.receive() - killed)
        assert waits == [1, 2, 4, 1, 2]


# Calls at run time


async def test_the_calls_answer_as_otps_do() -> None:
    async with start_tree(root(puppet("a"), puppet("t", restart="temporary")), quiet()) as (_, supervisor):
        with pytest.raises(AlreadyStarted):
            await start_child(supervisor, puppet("a"))
        with pytest.raises(ChildRunning):
            await restart_child(supervisor, "a")
        with pytest.raises(ChildRunning):
            await delete_child(supervisor, "a")
        await terminate_child(supervisor, "a")
        await terminate_child(supervisor, "a")
        with pytest.raises(AlreadyPresent):
            await start_child(supervisor, puppet("a"))
        assert (await restart_child(supervisor, "a")).alive
        await terminate_child(supervisor, "a")
        await delete_child(supervisor, "a")
        await terminate_child(supervisor, "t")
        for missing in ("a", "t"):
            with pytest.raises(ChildNotFound):
                await terminate_child(supervisor, missing)
            with pytest.raises(ChildNotFound):
                await restart_child(supervisor, missing)
            with pytest.raises(ChildNotFound):
                await delete_child(supervisor, missing)
            with pytest.raises(ChildNotFound):
                await get_childspec(supervisor, missing)
        assert await which_children(supervisor) == []
        with pytest.raises(InvalidSpecError):
            await start_child(supervisor, puppet("s", restart="transient", significant=True))


async def test_a_child_is_found_by_its_reference_too() -> None:
    async with start_tree(root(puppet("a"), puppet("b")), quiet()) as (system, supervisor):
        ref = system.whereis("b")
        assert ref is not None
        assert (await get_childspec(supervisor, ref)).id == "b"
        await terminate_child(supervisor, ref)
        with pytest.raises(ChildNotFound):
            await terminate_child(supervisor, ref)


async def test_an_added_child_is_the_last_in_order() -> None:
    told: list[str] = []
    async with start_tree(root(*witnesses(told, "ab")), quiet()) as (_, supervisor):
        await start_child(supervisor, witness("c", told))
        assert [info.id for info in await which_children(supervisor)] == ["a", "b", "c"]
        told.clear()
    assert told == ["end c", "end b", "end a"]


async def test_a_supervisor_is_no_server_for_other_requests() -> None:
    async with start_tree(root(puppet("a")), quiet()) as (_, supervisor):
        with pytest.raises(RootDown) as caught:  # noqa: PT012 - as above
            async with start_tree(root(), quiet()) as (_, other):
                await other.cast("what?")
                await trio.sleep_forever()
        assert isinstance(caught.value.reason, Crash)
        assert isinstance(caught.value.reason.exception, UnhandledMessage)
        assert supervisor.alive


async def test_a_killed_supervisor_takes_its_children_with_it_at_once(within: Within) -> None:
    told: list[str] = []
    inner = ChildSpec("inner", lambda: Supervisor(witnesses(told)), name="inner", type="supervisor")
    async with start_tree(root(inner), quiet()) as (system, supervisor):
        children = [system.whereis(name) for name in "abc"]
        told.clear()
        with within(0):
            system.ref("inner").kill()
            for child in children:
                assert child is not None
                assert await child.wait_down() == Killed()
        await settled(supervisor)
        assert told == ["start a", "start b", "start c"]


async def test_a_supervisor_told_to_end_gives_up_a_start_that_hangs(within: Within) -> None:
    class Hangs(GenServer):
        async def init(self) -> None:
            await trio.sleep_forever()

    told: list[str] = []
    inner = ChildSpec("inner", lambda: Supervisor([witness("a", told)]), name="inner", type="supervisor")
    with within(0):
        async with start_tree(root(inner), quiet()) as (system, _), trio.open_nursery() as nursery:

            async def add() -> None:
                with pytest.raises(StartError):
                    await start_child(system.ref("inner"), ChildSpec("hangs", Hangs))

            nursery.start_soon(add)
            await wait_all_tasks_blocked()
            system.ref("inner").exit(Shutdown())
    assert told[:2] == ["start a", "end a"]


# auto_shutdown


async def test_a_connection_subtree_ends_with_its_significant_child() -> None:
    told: list[str] = []
    socket = witness("socket", told, restart="transient", significant=True)
    inner = ChildSpec(
        "inner",
        lambda: Supervisor([witness("a", told), socket], auto_shutdown="any_significant"),
        restart="transient",
        type="supervisor",
    )
    async with start_tree(root(inner), quiet()) as (system, supervisor):
        (info,) = await which_children(supervisor)
        await system.ref("socket").cast("stop")
        assert info.ref is not None
        assert await info.ref.wait_down() == Shutdown()
        assert told[-2:] == ["end socket", "end a"]
        await settled(supervisor)
        assert (await which_children(supervisor))[0].status == "undefined"


# Reports and snapshots


async def test_reports_carry_the_tree() -> None:
    system, reports = quiet(), []
    system.events.subscribe(reports.append, SupervisorReport)
    async with start_tree(root(puppet("a"), intensity=1), system) as (_, supervisor):
        await system.ref("a").cast(boom)
        await settled(supervisor)
    (report,) = reports
    assert (report.context, report.child) == ("child_terminated", "a")
    assert [node.spec for node in report.tree] == ["root", "a"]


async def test_a_snapshot_shows_the_tree_and_is_plain_json() -> None:
    import json

    inner = ChildSpec(
        "inner", lambda: Supervisor([puppet("b")], strategy="one_for_all"), name="inner", type="supervisor"
    )
    async with start_tree(root(puppet("a"), inner), quiet()) as (system, _):
        await system.ref("a").call(Get())
        tree = system.snapshot()
        assert [(node.spec, node.kind, node.strategy, node.status) for node in tree] == [
            ("root", "Supervisor", "one_for_one", "running"),
            ("a", "Puppet", None, "running"),
            ("inner", "Supervisor", "one_for_all", "running"),
            ("b", "Puppet", None, "running"),
        ]
        plain = json.loads(json.dumps(tree.as_json()))
        assert plain["children"][0]["mailbox"]["handled"] == 1
        assert tree.render().count("\n") == 3


async def test_the_rest_of_the_group_is_stopped_while_a_backoff_runs() -> None:
    told: list[str] = []
    specs = [witness("a", told, backoff=Backoff(minimum=5)), witness("b", told), witness("c", told)]
    async with start_tree(root(*specs, strategy="rest_for_one"), quiet()) as (system, supervisor):
        told.clear()
        await lose(system, supervisor, "a")
        assert told == ["end a", "end c", "end b"]
        assert (await count_children(supervisor)).active == 0
        await trio.sleep(6)
        assert told[3:] == ["start a", "start b", "start c"]


@pytest.mark.parametrize("shutdown", ["brutal_kill", 1.0])
async def test_a_child_killed_as_told_is_no_crash(shutdown: object) -> None:
    system, reports = quiet(), []
    system.events.subscribe(reports.append, CrashReport)
    async with start_tree(root(ChildSpec("s", lambda: Stubborn(9), shutdown=shutdown)), system):  # type: ignore[arg-type]
        pass
    assert reports == []
