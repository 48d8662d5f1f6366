"""Whose turn it is: first in, first out, with every signal a place in the queue."""

from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.lowlevel import Abort, Task, checkpoint, current_task, reschedule, wait_task_rescheduled

from supervision.conformance.beam import RunQueue, Trace
from supervision.testing.schedule import run_in_order


class Processes:
    """Parked tasks that note their turns, by name."""

    def __init__(self, queue: RunQueue) -> None:
        self.queue = queue
        self.turns: list[str] = []
        self.parked: dict[str, Task] = {}

    async def park(self, name: str, then: Callable[[], None] = lambda: None) -> None:
        self.parked[name] = current_task()
        await wait_task_rescheduled(lambda _: Abort.SUCCEEDED)
        self.turns.append(name)
        then()

    def wake(self, *names: str) -> None:
        for name in names:
            reschedule(self.parked[name])

    def nudge(self, *names: str) -> None:
        for name in names:
            self.queue.nudge(self.parked[name])


def turns(main: Callable[[Processes], Awaitable[None]], **then: Callable[[Processes], None]) -> list[str]:
    """Park a task for each keyword, its value what it does in its turn; then run `main` and all that it wakes."""
    queue = RunQueue()
    processes = Processes(queue)

    async def run() -> None:
        async with trio.open_nursery() as nursery:
            for name, act in then.items():
                nursery.start_soon(processes.park, name, lambda act=act: act(processes))
            await trio.sleep(1)
            await main(processes)
            await trio.sleep(1)
            nursery.cancel_scope.cancel()

    run_in_order(run, queue, limit=60, instruments=[queue])
    return processes.turns


def nothing(_: Processes) -> None:
    pass


def test_who_is_woken_first_runs_first_whoever_is_older() -> None:
    async def main(all_: Processes) -> None:
        all_.wake("c", "a", "d", "b")

    assert turns(main, a=nothing, b=nothing, c=nothing, d=nothing) == ["c", "a", "d", "b"]


def test_the_woken_wait_behind_those_who_wait_already() -> None:
    async def main(all_: Processes) -> None:
        all_.wake("a", "b")

    assert turns(main, a=lambda all_: all_.wake("c"), b=nothing, c=nothing) == ["a", "b", "c"]


def test_what_comes_before_the_turn_of_one_nudged_is_dealt_with_in_that_turn() -> None:
    async def main(all_: Processes) -> None:
        all_.nudge("b")
        all_.wake("a", "b")

    assert turns(main, a=nothing, b=nothing) == ["b", "a"]


def test_one_nudged_is_let_in_between_those_of_a_batch_that_runs() -> None:
    async def main(all_: Processes) -> None:
        all_.wake("a")
        all_.nudge("b")
        all_.wake("c", "d")

    assert turns(main, a=lambda all_: all_.wake("b"), b=nothing, c=nothing, d=nothing) == ["a", "b", "c", "d"]


def test_a_nudge_whose_turn_has_passed_is_worth_nothing() -> None:
    async def main(all_: Processes) -> None:
        all_.nudge("b")
        all_.wake("a", "c")

    assert turns(main, a=nothing, b=nothing, c=lambda all_: all_.wake("d", "b"), d=nothing) == ["a", "c", "d", "b"]


def test_a_nudge_is_over_when_everybody_waited() -> None:
    async def main(all_: Processes) -> None:
        all_.nudge("b")
        await trio.sleep(1)
        all_.wake("a", "b")

    assert turns(main, a=nothing, b=nothing) == ["a", "b"]


def test_a_checkpoint_is_no_turn() -> None:
    async def main(all_: Processes) -> None:
        all_.wake("a")
        await checkpoint()
        all_.turns.append("main")
        await all_.queue.give_way()
        all_.turns.append("main")

    assert turns(main, a=nothing) == ["main", "a", "main"]


@pytest.mark.parametrize("busy", [False, True])
def test_a_visit_lasts_until_the_visited_had_its_turn(busy: bool) -> None:
    async def main(all_: Processes) -> None:
        all_.wake("a", "b") if busy else all_.wake("a")
        all_.wake("c")
        await all_.queue.visit(all_.parked["b"])
        all_.turns.append("main")

    def wakes(all_: Processes) -> None:
        all_.wake("d")

    expected = ["a", "b", "c", "main", "d"] if busy else ["a", "c", "main"]
    assert turns(main, a=nothing, b=wakes, c=nothing, d=nothing) == expected


def test_it_is_quiet_when_nobody_else_waits_for_a_turn() -> None:
    async def main(all_: Processes) -> None:
        assert all_.queue.quiet
        all_.wake("a")
        assert not all_.queue.quiet
        await all_.queue.give_way()
        assert all_.queue.quiet

    assert turns(main, a=nothing) == ["a"]


def test_lines_are_told_one_after_the_other_those_of_the_dead_too() -> None:
    queue = RunQueue()
    lines: list[str] = []
    told: list[str] = []
    trace = Trace(queue, lines.append)

    async def tell(line: str, scope: trio.CancelScope) -> None:
        with scope:
            await trace.say(line)
            told.append(line)

    async def run() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trace.run)
            scopes = {line: trio.CancelScope() for line in ("one", "two", "three")}
            for line, scope in scopes.items():
                nursery.start_soon(tell, line, scope)
            await queue.give_way()
            scopes["two"].cancel()
            await trio.sleep(1)
            trace.close()
            await trace.say("four")
            nursery.cancel_scope.cancel()

    run_in_order(run, queue, limit=60, instruments=[queue])
    assert lines == ["one", "two", "three"]
    assert told == ["one", "three"]
