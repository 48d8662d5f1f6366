"""Cases of OTP's supervisor_SUITE that a scenario of the corpus cannot tell: nested and dynamic supervisors, races.

Each test's name ends with the case it is after; tests/conformance/CHECKLIST.md has the whole list.
"""

import gc
import weakref
from collections.abc import Callable

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from supervision import (
    IGNORE,
    ActorRef,
    ChildCounts,
    ChildNotFound,
    ChildRunning,
    ChildSpec,
    DynamicSupervisor,
    ExitReason,
    GenServer,
    Ignore,
    Shutdown,
    StartError,
    Supervisor,
    System,
    count_children,
    delete_child,
    restart_child,
    start_child,
    start_tree,
    terminate_child,
    which_children,
)
from supervision.testing import CrashesOnCue, HangsOnStop, assert_tree, clean_tree
from tests.support.actors import Boom, quiet, root


def dynamic(**flags: object) -> ChildSpec:
    """A dynamic supervisor under a root."""
    return root(ChildSpec("dynamic", lambda: DynamicSupervisor(**flags), name="dynamic", type="supervisor"))  # type: ignore[arg-type]


def held(system: System, name: str = "dynamic") -> ActorRef:
    ref = system.whereis(name)
    assert ref is not None
    return ref


def worker(name: str, **spec: object) -> ChildSpec:
    return ChildSpec(name, CrashesOnCue, name=name, **spec)  # type: ignore[arg-type]


class Moody(GenServer):
    """Refuses, ignores or starts, as its switch says."""

    mood = "start"

    async def init(self) -> Ignore | None:
        if Moody.mood == "refuse":
            raise Boom
        return IGNORE if Moody.mood == "ignore" else None


@pytest.fixture(autouse=True)
def good_mood() -> None:
    Moody.mood = "start"


async def crash(ref: ActorRef) -> None:
    await ref.cast(Boom())
    await ref.wait_down()
    await wait_all_tasks_blocked()


# Ends


class LeavesOnCue(GenServer):
    """Ends by itself, as it was made to, a while after it started."""

    def __init__(self, leave: Callable[["LeavesOnCue"], None]) -> None:
        self.leave = leave

    async def init(self) -> None:
        self.send_after(0.2, "leave")

    async def handle_info(self, message: object) -> None:
        self.leave(self)


def crashes(_server: GenServer) -> None:
    raise Boom


async def test_children_that_leave_while_their_supervisor_ends_sup_stop_race() -> None:
    ways = (lambda s: s.stop(), lambda s: s.stop(Shutdown()), lambda s: s.stop(Shutdown("test")), crashes)
    leaving = [
        ChildSpec(f"{restart}-{number}", lambda way=way: LeavesOnCue(way), restart=restart)  # type: ignore[misc, arg-type]
        for restart in ("temporary", "transient", "permanent")
        for number, way in enumerate(ways)
    ]
    last = ChildSpec("last", lambda: HangsOnStop(1), restart="temporary", shutdown=2.0)
    children = [worker("first"), *leaving, last]
    inner = ChildSpec("inner", lambda: Supervisor(children), restart="temporary", type="supervisor", name="inner")
    async with clean_tree(root(inner), quiet()) as (system, _):
        supervisor, first = held(system, "inner"), held(system, "first")
        supervisor.exit(Shutdown())
        assert await supervisor.wait_down() == Shutdown()
        assert await first.wait_down() == Shutdown()


@pytest.mark.parametrize("restart", ["temporary", "transient", "permanent"])
async def test_children_may_end_otherwise_than_told_sup_stop_non_shutdown_exit_dynamic(restart: str) -> None:
    class EndsOtherwise(GenServer):
        async def terminate(self, reason: ExitReason) -> None:
            raise Boom

    async with clean_tree(dynamic(), quiet()) as (system, _):
        supervisor = held(system)
        for name, build in (("calm", GenServer), ("otherwise", EndsOtherwise)):
            await start_child(supervisor, ChildSpec(name, build, restart=restart))  # type: ignore[arg-type]
        supervisor.exit(Shutdown())
        assert await supervisor.wait_down() == Shutdown()


async def test_dynamic_children_have_their_times_sup_stop_timeout_dynamic() -> None:
    async with clean_tree(dynamic(), quiet()) as (system, _):
        spec = ChildSpec("child", GenServer, restart="temporary", shutdown=1.0)
        calm = await start_child(held(system), spec)
        hangs = await start_child(held(system), ChildSpec("hangs", HangsOnStop, restart="temporary", shutdown=1.0))
        brutal = [
            await start_child(held(system), ChildSpec("b", HangsOnStop, restart="temporary", shutdown="brutal_kill"))
            for _ in range(10)
        ]
        begun = trio.current_time()
        held(system).exit(Shutdown())
        ends = [str(await ref.wait_down()) for ref in (calm, hangs, *brutal)]
        assert ends == ["shutdown", *["killed"] * 11]
        assert trio.current_time() - begun == 1


# Dynamic supervisors


async def test_a_child_that_is_ignored_is_not_kept_sup_start_ignore_child_start_child_simple() -> None:
    async with clean_tree(dynamic(), quiet()) as (system, _):
        for restart in ("temporary", "permanent"):
            Moody.mood = "ignore"
            await start_child(held(system), ChildSpec("child", Moody, restart=restart))  # type: ignore[arg-type]
            assert await which_children(held(system)) == []
            Moody.mood = "start"
            child = await start_child(held(system), ChildSpec("child", Moody, restart=restart))  # type: ignore[arg-type]
            assert [info.ref for info in await which_children(held(system))] == [child]
            await terminate_child(held(system), child)


@pytest.mark.parametrize("restart", ["transient", "permanent"])
async def test_a_restart_may_be_ignored_simple_one_for_one_restart_ignore(restart: str) -> None:
    async with clean_tree(dynamic(intensity=10), quiet()) as (system, _):
        child = await start_child(held(system), ChildSpec("child", Moody, restart=restart))  # type: ignore[arg-type]
        child.kill()
        await wait_all_tasks_blocked()
        (info,) = await which_children(held(system))
        assert info.ref not in (None, child)
        Moody.mood = "ignore"
        assert info.ref is not None
        info.ref.kill()
        await wait_all_tasks_blocked()
        assert await which_children(held(system)) == []


async def test_restarts_that_are_refused_end_it_simple_one_for_one_escalation() -> None:
    async with clean_tree(dynamic(intensity=4), quiet()) as (system, _):
        supervisor = held(system)
        child = await start_child(supervisor, ChildSpec("moody", Moody))
        other = await start_child(supervisor, worker("other"))
        Moody.mood = "refuse"
        child.kill()
        assert await supervisor.wait_down() == Shutdown()
        assert await other.wait_down() == Shutdown()


async def test_while_children_are_tried_again_hanging_restart_loop_simple() -> None:
    async with clean_tree(dynamic(intensity=10**9), quiet()) as (system, _):
        supervisor = held(system)
        children = [await start_child(supervisor, ChildSpec(name, Moody)) for name in "abc"]
        Moody.mood = "refuse"
        for child in children[:2]:
            child.kill()
            await child.wait_down()
        for ask in (restart_child, delete_child):
            with pytest.raises(ChildRunning):
                await ask(supervisor, "a")
        assert await count_children(supervisor) == ChildCounts(specs=3, active=1, supervisors=0, workers=3)
        assert sorted(str(info.status) for info in await which_children(supervisor)) == [
            "restarting", "restarting", "running",
        ]  # fmt: skip
        await terminate_child(supervisor, children[0])
        with pytest.raises(ChildNotFound):
            await terminate_child(supervisor, children[0])
        Moody.mood = "start"
        await wait_all_tasks_blocked()
        assert (await count_children(supervisor)).active == 2
        Moody.mood = "refuse"
        children[2].kill()
        await children[2].wait_down()
        supervisor.exit(Shutdown())
        assert await supervisor.wait_down() == Shutdown()


async def test_thousands_are_counted_count_children_supervisor() -> None:
    async with clean_tree(dynamic(), quiet()) as (system, _):
        supervisor = held(system)
        for _ in range(200):
            await start_child(supervisor, ChildSpec("w", GenServer, restart="temporary"))
            await start_child(
                supervisor, ChildSpec("s", lambda: Supervisor([]), restart="temporary", type="supervisor")
            )
        assert await count_children(supervisor) == ChildCounts(specs=400, active=400, supervisors=200, workers=200)
        for info in await which_children(supervisor):
            assert info.ref is not None
            info.ref.kill()
        await wait_all_tasks_blocked()
        assert await count_children(supervisor) == ChildCounts(specs=0, active=0, supervisors=0, workers=0)


@pytest.mark.parametrize("kind", ["supervisor", "dynamic"])
async def test_nothing_is_kept_of_a_temporary_child_do_not_save_start_parameters(kind: str) -> None:
    class Big:
        pass

    def spec_with(big: Big) -> ChildSpec:
        return ChildSpec("child", lambda: LeavesOnCue(lambda _server, _kept=big: crashes(_server)), restart="temporary")  # type: ignore[misc]

    async with clean_tree(dynamic(), quiet()) as (system, root_ref):
        supervisor = held(system) if kind == "dynamic" else root_ref
        big = Big()
        known = weakref.ref(big)
        child = await start_child(supervisor, spec_with(big))
        del big
        await child.wait_down()
        await wait_all_tasks_blocked()
        del child
        gc.collect()
        assert known() is None


# Trees of supervisors


async def test_a_tree_is_restarted_without_what_was_added_tree() -> None:
    def inner(name: str, *children: ChildSpec, **spec: object) -> ChildSpec:
        return ChildSpec(
            name, lambda: Supervisor(children, intensity=4, period=3600), name=name, type="supervisor", **spec
        )  # type: ignore[arg-type]

    async with clean_tree(root(strategy="one_for_all", intensity=4), quiet()) as (system, top):
        await start_child(top, inner("s1", worker("c1"), worker("c2")))
        await start_child(top, inner("s2"))
        await start_child(top, inner("s3", restart="transient"))
        await terminate_child(top, "s3")
        assert await count_children(top) == ChildCounts(specs=3, active=2, supervisors=3, workers=0)
        await start_child(held(system, "s2"), ChildSpec("c3", Moody, name="c3"))
        c4 = await start_child(held(system, "s2"), worker("c4"))
        kept = {name: held(system, name) for name in ("c1", "c2", "c3")}
        await crash(c4)
        assert {name: held(system, name) for name in kept} == kept
        assert held(system, "c4") is not c4
        Moody.mood = "refuse"
        held(system, "c3").kill()
        await kept["c1"].wait_down()
        await wait_all_tasks_blocked()
        assert_tree(system, {"s1": {"c1": None, "c2": None}, "s2": {}, "s3": {}})
        assert await count_children(top) == ChildCounts(specs=3, active=3, supervisors=3, workers=0)


@pytest.mark.parametrize("significant", [True, False])
async def test_a_significant_end_climbs_as_far_as_it_matters_significant_escalation(significant: bool) -> None:
    child = worker("child", restart="transient", significant=True)
    below = ChildSpec(
        "below", lambda: Supervisor([child], auto_shutdown="any_significant"),
        restart="transient", type="supervisor", significant=significant, name="below",
    )  # fmt: skip
    above = ChildSpec(
        "above", lambda: Supervisor([below], auto_shutdown="any_significant"),
        restart="temporary", type="supervisor", name="above",
    )  # fmt: skip
    async with clean_tree(root(above), quiet()) as (system, _):
        refs = [held(system, name) for name in ("below", "above")]
        held(system, "child").exit(Shutdown())
        await wait_all_tasks_blocked()
        assert [ref.alive for ref in refs] == [False, not significant]


async def test_a_killed_supervisor_and_its_worker_come_back_under_their_names_simple_global_supervisor() -> None:
    middle = ChildSpec(
        "middle", lambda: Supervisor([worker("server")], "one_for_all", 3, 60), name="middle", type="supervisor"
    )
    async with clean_tree(root(middle, strategy="one_for_all", intensity=3), quiet()) as (system, _):
        for loser in ("middle", "server"):
            before = held(system, "server")
            held(system, loser).kill()
            await before.wait_down()
            await wait_all_tasks_blocked()
            assert held(system, "server") is not before
        before = held(system, "server")
        await terminate_child(held(system, "middle"), "server")
        assert system.whereis("server") is None
        await restart_child(held(system, "middle"), "server")
        assert held(system, "server") is not before


async def test_an_error_deep_in_a_start_names_its_way_up_faulty_application_shutdown() -> None:
    inner = ChildSpec("inner", lambda: Supervisor([ChildSpec("faulty", Moody)]), type="supervisor")
    Moody.mood = "refuse"
    with pytest.raises(StartError) as caught:
        async with start_tree(root(inner), quiet()):
            pytest.fail("it started")
    told = str(caught.value.reason)
    assert "inner" in told
    assert "faulty" in told


async def test_another_child_is_refused_while_one_is_restarted_one_for_all_other_child_fails_restart() -> None:
    ends: list[str] = []

    class Told(Moody):
        def __init__(self, name: str) -> None:
            self.name = name

        async def init(self) -> Ignore | None:
            if self.name == "b":
                return await super().init()
            return None

        async def terminate(self, reason: ExitReason) -> None:
            ends.append(f"{self.name} {reason}")

    specs = [ChildSpec(name, lambda name=name: Told(name), name=name) for name in "ab"]  # type: ignore[misc]
    tree = root(*specs, strategy="one_for_all", intensity=10**9)
    async with clean_tree(tree, quiet()) as (system, _):
        Moody.mood = "refuse"
        held(system, "a").kill()
        while "a shutdown" not in ends[1:]:
            await trio.lowlevel.checkpoint()
        Moody.mood = "start"
        await wait_all_tasks_blocked()
        assert_tree(system, {"a": None, "b": None})
