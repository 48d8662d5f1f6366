"""`start_tree`: whatever ends the block, the tree ends in order and nothing of it is left."""

import pytest
import trio

from supervision import (
    ChildSpec,
    DynamicSupervisor,
    GenServer,
    Killed,
    RootDown,
    Shutdown,
    ShutdownBudgetReport,
    StuckReport,
    Supervisor,
    System,
    start_child,
    start_tree,
)
from tests.support.actors import Boom, Puppet, Stubborn, Witness, puppet, quiet, root

from .conftest import Within


def witnesses(told: list[str]) -> list[ChildSpec]:
    return [ChildSpec(name, lambda name=name: Witness(name, told), name=name) for name in "ab"]  # type: ignore[misc]


async def test_nothing_is_left_after_the_block() -> None:
    task = trio.lowlevel.current_task()
    before = {nursery: set(nursery.child_tasks) for nursery in task.child_nurseries}
    system = quiet()
    async with start_tree(root(puppet("a"), puppet("b")), system):
        pass
    assert {nursery: set(nursery.child_tasks) for nursery in task.child_nurseries} == before
    assert system.names == {}


async def test_what_the_block_raises_comes_out_as_it_is_after_the_tree_ended_in_order() -> None:
    told: list[str] = []
    with pytest.raises(Boom) as caught:
        async with start_tree(root(*witnesses(told)), quiet()):
            raise Boom("mine")
    assert str(caught.value) == "mine"
    assert told == ["start a", "start b", "end b", "end a"]


async def test_a_group_raised_in_the_block_stays_the_group_it_was() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with start_tree(root(), quiet()):
            raise ExceptionGroup("mine", [Boom(), Boom()])
    assert caught.value.message == "mine"


async def test_cancelled_from_outside_the_tree_still_ends_in_order(within: Within) -> None:
    told: list[str] = []

    class Careful(Witness):
        async def terminate(self, reason: object) -> None:
            await trio.sleep(2)
            await super().terminate(Shutdown())

    spec = root(*witnesses(told), ChildSpec("careful", lambda: Careful("careful", told)))
    with within(12), trio.move_on_after(10) as scope:
        async with start_tree(spec, quiet()):
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert told[-3:] == ["end careful", "end b", "end a"]


async def test_an_actor_in_the_middle_of_a_call_to_another_can_finish_when_cancelled_from_outside() -> None:
    notes: list[object] = []

    async def work(puppet: Puppet) -> None:
        await trio.sleep(3)
        puppet.notes.append("finished")

    with trio.move_on_after(1):
        async with start_tree(root(puppet("worker", notes)), quiet()) as (system, _):
            await system.ref("worker").cast(work)
            await trio.sleep_forever()
    assert notes == ["finished", ("terminate", Shutdown())]


async def test_stop_within_bounds_the_end_of_the_whole_tree(within: Within) -> None:
    system, reports = quiet(), []
    system.events.subscribe(reports.append, StuckReport)
    spec = root(ChildSpec("slow", lambda: Stubborn(1000), shutdown="infinity"))
    with within(7):
        async with start_tree(spec, system, stop_within=7):
            pass
    assert [(report.child, report.seconds) for report in reports] == [(system.root, 7)]
    assert await reports[0].child.wait_down() == Killed()


@pytest.mark.parametrize("exception", [KeyboardInterrupt, SystemExit])
async def test_an_interrupt_inside_an_actor_ends_the_tree_in_order_and_comes_out(
    exception: type[BaseException],
) -> None:
    told: list[str] = []

    async def interrupt(_puppet: Puppet) -> None:
        raise exception

    with pytest.raises(exception):  # noqa: PT012 - it is the end of the block that raises
        async with start_tree(root(*witnesses(told), puppet("worker")), quiet()) as (system, _):
            await system.ref("worker").cast(interrupt)
            await trio.sleep_forever()
    assert told[-2:] == ["end b", "end a"]


async def test_an_interrupt_in_the_block_comes_out_too() -> None:
    told: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        async with start_tree(root(*witnesses(told)), quiet()):
            raise KeyboardInterrupt
    assert told[-2:] == ["end b", "end a"]


async def test_the_block_is_cancelled_when_the_root_ends_by_itself() -> None:
    with pytest.raises(RootDown):  # noqa: PT012 - as above
        async with start_tree(root(), quiet()) as (_, supervisor):
            supervisor.exit(Shutdown())
            await trio.sleep_forever()


async def test_any_actor_may_be_the_root() -> None:
    async with start_tree(puppet("alone"), quiet()) as (system, alone):
        assert system.whereis("alone") is alone
        assert system.snapshot().spec == "alone"


async def test_cancelled_while_the_root_starts_nothing_is_left() -> None:
    class Slow(GenServer):
        async def init(self) -> None:
            await trio.sleep(100)

    system = quiet()
    with trio.move_on_after(1) as scope:
        async with start_tree(ChildSpec("slow", Slow, name="slow"), system):
            pytest.fail("it started")
    assert scope.cancelled_caught
    assert trio.current_time() == 1
    assert system.names == {}


async def test_two_trees_stand_side_by_side() -> None:
    async with start_tree(puppet("a"), quiet()) as (one, _), start_tree(puppet("a"), quiet()) as (two, _):
        assert one.whereis("a") is not two.whereis("a")


async def test_a_system_may_be_watched_before_its_tree_starts() -> None:
    system, reports = System(log=False), []
    system.events.subscribe(reports.append)
    async with start_tree(root(puppet("a")), system):
        pass
    assert [type(report).__name__ for report in reports] == ["ProgressReport", "ProgressReport"]


async def test_the_shutdown_budget_adds_up_in_order_and_takes_the_longest_in_parallel() -> None:
    def slow(name: str, shutdown: object) -> ChildSpec:
        return ChildSpec(name, GenServer, shutdown=shutdown)  # type: ignore[arg-type]

    inner = ChildSpec("inner", lambda: Supervisor([slow("c", 4.0), slow("d", "brutal_kill")]), type="supervisor")
    pool = ChildSpec("pool", DynamicSupervisor, name="pool", type="supervisor")
    system, reports = quiet(), []
    system.events.subscribe(reports.append, ShutdownBudgetReport)
    async with start_tree(root(slow("a", 3.0), inner, pool), system, stop_within=6) as (_, supervisor):
        assert supervisor.shutdown_budget() == 7
        for seconds in (2.0, 5.0):
            await start_child(system.ref("pool"), slow("w", seconds))
        assert supervisor.shutdown_budget() == 12
        await start_child(supervisor, slow("endless", "infinity"))
        assert supervisor.shutdown_budget() == float("inf")
    assert [(report.seconds, report.allowed) for report in reports] == [(7, 6)]
