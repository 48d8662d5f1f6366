"""The tools for tests do what they say, above all when something is wrong."""

import pytest
import trio

from supervision import CallTimeout, ChildSpec, Down, Killed, Shutdown, StartError, start_child, terminate_child
from supervision.testing import (
    CrashesOnCue,
    HangsOnStop,
    LeftOver,
    Probe,
    RefusesToStart,
    assert_tree,
    clean_tree,
    run_seeded,
)
from supervision.testing.probe import Asked
from tests.support.actors import Boom, Get, crashed_with, doze, puppet, quiet, root


async def test_a_probe_keeps_messages_and_hands_them_out_by_kind() -> None:
    async with clean_tree(root(), quiet()) as (system, supervisor):
        probe = await Probe.start(supervisor, "probe")
        await system.ref("probe").cast(1)
        probe.ref.send("two")
        assert (await probe.next(str), await probe.next(int)) == ("two", 1)
        with pytest.raises(AssertionError, match="no int came within 5 s"):
            await probe.next(int)
        await probe.nothing()
        probe.ref.send("three")
        with pytest.raises(AssertionError, match="three"):
            await probe.nothing()


async def test_a_probe_watches_and_answers() -> None:
    async with clean_tree(root(), quiet()) as (_, supervisor), trio.open_nursery() as nursery:
        probe = await Probe.start(supervisor)
        other = await start_child(supervisor, puppet(restart="temporary"))
        await probe.watch(other, "tag")
        other.kill()
        assert await probe.next(Down) == Down(other, Killed(), "tag")

        async def ask() -> None:
            assert await probe.ref.call(Get()) == ["answer"]

        nursery.start_soon(ask)
        asked = await probe.next(Asked)
        assert asked.request == Get()
        asked.caller.reply(["answer"])


async def test_children_misbehave_on_cue() -> None:
    async with clean_tree(root(), quiet()) as (_, supervisor):
        crashes = await start_child(supervisor, ChildSpec("c", CrashesOnCue, restart="temporary"))
        assert await crashes.call(Get()) == Get()
        await crashes.cast(Boom())
        assert isinstance(crashed_with(await crashes.wait_down()), Boom)
        hangs = await start_child(supervisor, ChildSpec("h", HangsOnStop, shutdown=1.0))
        await terminate_child(supervisor, "h")
        assert await hangs.wait_down() == Killed()
        refusals: list[BaseException] = [Boom()]
        with pytest.raises(StartError):
            await start_child(supervisor, ChildSpec("r", lambda: RefusesToStart(refusals)))
        assert (await start_child(supervisor, ChildSpec("r", lambda: RefusesToStart(refusals)))).alive


async def test_a_clean_tree_tells_what_is_left() -> None:
    system = quiet()
    with pytest.raises(LeftOver, match="name stray"):
        async with clean_tree(root(puppet("a")), system) as (_, supervisor):
            system.names["stray"] = supervisor
    with pytest.raises(LeftOver, match=r"1 messages in the mailbox of <a\.\d+>"):  # noqa: PT012 - as below
        async with clean_tree(root(puppet("a")), quiet()) as (system, supervisor):
            first = system.whereis("a")
            await terminate_child(supervisor, "a")
            first.queue.append("forgotten")  # type: ignore[union-attr]
    with pytest.raises(CallTimeout):  # noqa: PT012 - what the block raises comes out
        async with clean_tree(root(puppet("a")), quiet()) as (system, _):
            await system.ref("a").cast(doze(100))
            await system.ref("a").call(Get(), 1)


async def test_the_shape_of_a_tree_can_be_asserted() -> None:
    inner = ChildSpec("inner", lambda: root(puppet("b"), puppet("c")).start(), type="supervisor")
    async with clean_tree(root(puppet("a"), inner), quiet()) as (system, _):
        assert_tree(system, {"a": None, "inner": {"b": {}, "c": None}})
        for wrong in ({"a": None}, {"inner": {"b": {}, "c": None}, "a": None}, {"a": None, "inner": {"b": {"c": {}}}}):
            with pytest.raises(AssertionError, match="not as expected"):
                assert_tree(system, wrong)  # type: ignore[arg-type]


def test_one_seed_is_one_run() -> None:
    async def main() -> list[int]:
        order: list[int] = []

        async def note(number: int) -> None:
            for _ in range(3):
                await trio.lowlevel.checkpoint()
                order.append(number)

        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(note, number)
        return order

    runs = [run_seeded(main, seed) for seed in (1, 2, 3) for _ in range(2)]
    assert runs[0] == runs[1] != runs[2] == runs[3] != runs[4] == runs[5]


def test_a_seeded_run_that_waits_for_ever_fails() -> None:
    with pytest.raises(trio.TooSlowError):
        run_seeded(trio.sleep_forever)


async def test_exit_reasons_of_a_clean_tree() -> None:
    async with clean_tree(puppet("alone"), quiet()) as (_, alone):
        pass
    assert await alone.wait_down() == Shutdown()
