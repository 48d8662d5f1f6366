"""What a system tells of its actors: who is up by a name, how long each has stood, how often it was restarted."""

from dataclasses import replace

import pytest
import trio

from supervision import (
    ChildSpec,
    DynamicSupervisor,
    GenServer,
    InvalidSpecError,
    ProgressReport,
    Shutdown,
    StartError,
    Supervisor,
    start_child,
    start_tree,
    which_children,
)
from supervision.partition import PartitionSupervisor
from supervision.testing import assert_tree, clean_tree
from tests.support.actors import Boom, Get, Puppet, Stubborn, crashed_with, puppet, quiet, root

from .conftest import Within

# Waiting for a name


class Slow(Puppet):
    """Takes three seconds to start."""

    async def init(self) -> None:
        await trio.sleep(3)


async def test_whoever_is_up_is_there_at_once(within: Within) -> None:
    async with clean_tree(root(puppet("one")), quiet()) as (system, _):
        with within(0):
            assert await system.wait_up("one") is system.whereis("one")


async def test_the_next_life_is_waited_for_while_the_last_one_ends(within: Within) -> None:
    """The name is held all the time, first by one that ends, then by one that starts."""
    lives = iter([Stubborn(2), Slow()])
    spec = ChildSpec("one", lambda: next(lives), name="one")
    async with clean_tree(root(spec), quiet()) as (system, _):
        first = system.whereis("one")
        assert first is not None
        assert first.running
        first.kill()
        assert not first.running
        with within(3):
            second = await system.wait_up("one")
        assert second is not first
        assert second.running
        assert await second.call(Get()) == []


async def test_one_that_is_told_to_end_is_not_up(within: Within) -> None:
    async with clean_tree(root(ChildSpec("one", lambda: Stubborn(2), name="one")), quiet()) as (system, _):
        first = await system.wait_up("one")
        with within(2):
            first.exit(Shutdown())
            assert not system.ref("one").running
            assert await system.wait_up("one") is not first


async def test_one_that_nobody_has_started_yet_and_one_that_does_not_start(within: Within) -> None:
    async with clean_tree(root(), quiet()) as (system, supervisor), trio.open_nursery() as nursery:

        async def wait() -> None:
            with within(4):
                assert (await system.wait_up("late")).name == "late"

        nursery.start_soon(wait)
        await trio.sleep(1)

        def fail() -> GenServer:
            raise Boom

        with pytest.raises(StartError):
            await start_child(supervisor, ChildSpec("late", fail, name="late"))
        await start_child(supervisor, puppet("other"))
        await start_child(supervisor, ChildSpec("late", Slow, name="late"))


async def test_whoever_stops_waiting_leaves_nothing_behind() -> None:
    async with start_tree(root(), quiet()) as (system, _):
        with trio.move_on_after(1):
            await system.wait_up("nobody")
        assert trio.current_time() == 1
        assert not system.events.wants(ProgressReport)


# The snapshot, across lives


async def test_a_count_that_began_anew_has_a_short_age_beside_it() -> None:
    """A supervisor that is restarted itself counts its children's restarts from 0."""
    inner = replace(Supervisor.child_spec("inner", [puppet("a"), puppet("b")]), name="inner")
    async with clean_tree(root(inner), quiet()) as (system, _):

        def seen() -> dict[str, tuple[int, float]]:
            return {node.spec: (node.restarts, node.age) for node in system.snapshot()}

        await trio.sleep(10)
        system.ref("a").kill()
        await trio.sleep(5)
        assert seen() == {"root": (0, 15), "inner": (0, 15), "a": (1, 5), "b": (0, 15)}
        system.ref("inner").kill()
        await trio.sleep(2)
        assert seen() == {"root": (0, 17), "inner": (1, 2), "a": (0, 2), "b": (0, 2)}
        assert "inner  Supervisor  running  one_for_one  restarts=1  age=2s" in system.snapshot().render()
        assert system.snapshot().as_json()["age"] == 17


async def test_one_that_does_not_stand_has_no_age() -> None:
    async with clean_tree(root(), quiet()) as (system, supervisor), trio.open_nursery() as nursery:
        nursery.start_soon(start_child, supervisor, ChildSpec("slow", Slow, name="slow"))
        await trio.sleep(1)
        slow = system.whereis("slow")
        assert slow is not None
        assert (slow.describe().status, slow.describe().age) == ("starting", 0)
        await trio.sleep(3)
        assert (slow.describe().status, slow.describe().age) == ("running", 1)


# Specs


async def test_a_class_gives_the_spec_of_its_children() -> None:
    inner = replace(Supervisor.child_spec("inner", [Puppet.child_spec("a", [1])], intensity=0), restart="temporary")
    assert (inner.id, inner.type, inner.shutdown_time, inner.restart) == (
        "inner",
        "supervisor",
        "infinity",
        "temporary",
    )
    worker = Puppet.child_spec("a", [1])
    assert (worker.id, worker.type, worker.shutdown_time, worker.restart) == ("a", "worker", 5, "permanent")
    parts = PartitionSupervisor.child_spec("parts", "part", lambda _number: Puppet(), partitions=2)
    dynamic = DynamicSupervisor.child_spec("dynamic", max_children=1)
    async with clean_tree(root(inner, parts, dynamic, worker), quiet()) as (system, supervisor):
        assert_tree(system, {"inner": {"a": None}, "parts": {"part/0": None, "part/1": None}, "dynamic": {}, "a": None})
        *_, info = await which_children(supervisor)
        assert info.ref is not None
        assert await info.ref.call(Get()) == [1]
        with pytest.raises(StartError) as caught:
            await start_child(supervisor, Supervisor.child_spec("wrong", [], intensity=-1))
        assert isinstance(crashed_with(caught.value.reason), InvalidSpecError)
