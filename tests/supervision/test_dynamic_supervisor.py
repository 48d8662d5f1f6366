"""Children that come and go."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from supervision import (
    ActorRef,
    Backoff,
    ChildCounts,
    ChildNotFound,
    ChildRunning,
    ChildSpec,
    DynamicSupervisor,
    GenServer,
    InvalidSpecError,
    Killed,
    MaxChildren,
    ProgressReport,
    Shutdown,
    StartError,
    SupervisorReport,
    System,
    count_children,
    delete_child,
    get_childspec,
    restart_child,
    start_child,
    start_tree,
    terminate_child,
    which_children,
)
from supervision.testing import run_seeded
from tests.support.actors import Boom, Stubborn, Witness, boom, puppet, quiet, root

from .conftest import Within


def dynamic(**flags: object) -> ChildSpec:
    return root(
        ChildSpec("dynamic", lambda: DynamicSupervisor(**flags), name="dynamic", type="supervisor")  # type: ignore[arg-type]
    )


def held(system: System) -> ActorRef:
    ref = system.whereis("dynamic")
    assert ref is not None
    return ref


@pytest.mark.parametrize("seed", range(20))
def test_whoever_was_answered_finds_the_child_everywhere(seed: int) -> None:
    """The child answers before its supervisor's next turn; nobody may see a difference, in whatever order."""

    async def main() -> None:
        system, reported = quiet(), list[object]()
        system.events.subscribe(lambda report: reported.append(report.child), ProgressReport)  # type: ignore[union-attr]
        async with start_tree(dynamic(), system):
            child = await start_child(held(system), puppet("child", restart="temporary"))
            assert child in reported
            assert system.snapshot().find("child") is not None
            assert [info.ref for info in await which_children(held(system))] == [child]
            child = await start_child(held(system), puppet("brief", restart="temporary"))
            child.kill()
            await child.wait_down()
            await wait_all_tasks_blocked()
            assert (await count_children(held(system))).specs == 1
            child = await start_child(held(system), puppet("told", restart="temporary"))
            await terminate_child(held(system), child)
            assert not child.alive

    run_seeded(main, seed)


async def test_many_children_may_share_a_spec() -> None:
    async with start_tree(dynamic(), quiet()) as (system, _):
        spec = ChildSpec("worker", GenServer, restart="temporary")
        refs = [await start_child(held(system), spec) for _ in range(3)]
        assert len({ref.id for ref in refs}) == 3
        assert await count_children(held(system)) == ChildCounts(specs=3, active=3, supervisors=0, workers=3)
        assert [info.ref for info in await which_children(held(system))] == refs
        assert await get_childspec(held(system), refs[1]) is spec
        await terminate_child(held(system), refs[1])
        assert [info.ref for info in await which_children(held(system))] == [refs[0], refs[2]]
        with pytest.raises(ChildNotFound):
            await terminate_child(held(system), refs[1])
        with pytest.raises(ChildNotFound):
            await terminate_child(held(system), "nobody")
        for ask in (restart_child, delete_child):
            with pytest.raises(ChildRunning):
                await ask(held(system), "worker")


async def test_max_children_refuses_the_next_until_one_ends() -> None:
    async with start_tree(dynamic(max_children=2), quiet()) as (system, _):
        spec = puppet("w", restart="temporary")
        first = await start_child(held(system), ChildSpec("w", GenServer, restart="temporary"))
        await start_child(held(system), ChildSpec("w", GenServer, restart="temporary"))
        with pytest.raises(MaxChildren):
            await start_child(held(system), spec)
        first.exit(Shutdown())
        await first.wait_down()
        await start_child(held(system), spec)
        with pytest.raises(InvalidSpecError):
            DynamicSupervisor(max_children=-1)


async def test_restarts_are_one_for_one_and_counted_together() -> None:
    told: list[str] = []
    async with start_tree(dynamic(intensity=2), quiet()) as (system, _):
        supervisor = held(system)
        for name in "abc":
            await start_child(supervisor, ChildSpec(name, lambda name=name: Witness(name, told), name=name))  # type: ignore[misc]
        told.clear()
        for name in "ab":
            await system.ref(name).cast(Boom())
            await wait_all_tasks_blocked()
        assert told == ["end a", "start a", "end b", "start b"]
        assert system.snapshot().find("b").restarts == 1  # type: ignore[union-attr]
        told.clear()
        await system.ref("c").cast(Boom())
        assert await supervisor.wait_down() == Shutdown()
        assert sorted(told[:3]) == ["end a", "end b", "end c"]


@pytest.mark.parametrize(
    ("restart", "end", "back"),
    [
        ("permanent", "stop", True),
        ("transient", "stop", False),
        ("transient", Boom(), True),
        ("temporary", Boom(), False),
    ],
)
async def test_restart_types(restart: str, end: object, back: bool) -> None:
    told: list[str] = []
    async with start_tree(dynamic(), quiet()) as (system, _):
        spec = ChildSpec("w", lambda: Witness("w", told), restart=restart)  # type: ignore[arg-type]
        child = await start_child(held(system), spec)
        await child.cast(end)
        await child.wait_down()
        await wait_all_tasks_blocked()
        assert (await count_children(held(system))).active == back


async def test_a_restart_that_fails_is_tried_again() -> None:
    fails = [0]

    class Shy(GenServer):
        async def init(self) -> None:
            if fails[0]:
                fails[0] -= 1
                raise Boom

    async with start_tree(dynamic(intensity=5), quiet()) as (system, _):
        child = await start_child(held(system), ChildSpec("shy", Shy, name="shy"))
        fails[0] = 1
        with pytest.raises(StartError):
            await start_child(held(system), ChildSpec("other", Shy))
        fails[0] = 3
        child.kill()
        await child.wait_down()
        await wait_all_tasks_blocked()
        assert system.ref("shy").alive
        assert (await count_children(held(system))).specs == 1


async def test_children_end_all_at_the_same_time_each_within_its_time(within: Within) -> None:
    system, reports = quiet(), []
    system.events.subscribe(reports.append, SupervisorReport)
    with within(4):
        async with start_tree(dynamic(), system) as (_, root_ref):
            for seconds, shutdown in ((3, 10.0), (3, 10.0), (100, 2.0), (100, 4.0), (100, "brutal_kill")):
                spec = ChildSpec("s", lambda s=seconds: Stubborn(s), shutdown=shutdown)  # type: ignore[misc, arg-type]
                await start_child(held(system), spec)
            assert root_ref.alive
    assert [(report.context, report.reason) for report in reports] == [("shutdown_error", Killed())] * 2


async def test_a_thousand_connections_come_and_go() -> None:
    async with start_tree(dynamic(max_children=1000), quiet()) as (system, _):
        spec = ChildSpec("connection", GenServer, restart="temporary")
        refs = [await start_child(held(system), spec) for _ in range(1000)]
        for ref in refs[::2]:
            ref.kill()
        await wait_all_tasks_blocked()
        assert (await count_children(held(system))).active == 500
        tree = system.snapshot(limit=10).find("dynamic")
        assert tree is not None
        assert (len(tree.children), tree.omitted) == (10, 490)


async def test_any_significant_ends_it() -> None:
    async with start_tree(dynamic(auto_shutdown="any_significant"), quiet()) as (system, _):
        supervisor = held(system)
        child = await start_child(supervisor, puppet("p", restart="temporary", significant=True))
        await start_child(supervisor, puppet("q", restart="temporary"))
        await child.cast(boom)
        assert await supervisor.wait_down() == Shutdown()


async def test_all_significant_ends_it_with_the_last() -> None:
    async with start_tree(dynamic(auto_shutdown="all_significant"), quiet()) as (system, _):
        supervisor = held(system)
        for name in "pq":
            await start_child(supervisor, puppet(name, restart="temporary", significant=True))
        system.ref("p").kill()
        await wait_all_tasks_blocked()
        assert supervisor.alive
        system.ref("q").kill()
        with trio.fail_after(1):
            assert await supervisor.wait_down() == Shutdown()


async def test_a_backoff_spaces_restarts_out_here_too() -> None:
    times: list[float] = []

    class Dies(GenServer):
        async def init(self) -> None:
            times.append(trio.current_time())
            self.send_after(0, "die")

        async def handle_info(self, message: object) -> None:
            raise Boom

    async with start_tree(dynamic(intensity=100), quiet()) as (system, _):
        await start_child(held(system), ChildSpec("dies", Dies, backoff=Backoff(minimum=1, maximum=4)))
        await trio.sleep(12)
        assert times == [0, 1, 3, 7, 11]
        assert [info.status for info in await which_children(held(system))] == ["restarting"]
        await terminate_child(held(system), "dies")
        await trio.sleep(100)
        assert len(times) == 5
