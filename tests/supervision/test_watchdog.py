"""Hogs are named. These tests run on the machine's clock: the watching thread knows no other."""

import time
from collections.abc import Callable

import pytest
import trio

from supervision import HogReport, Report, Watchdog, start_child, start_tree
from tests.support.actors import Puppet, puppet, quiet, root

BURNT = 0.1
"""Seconds of CPU time that `burn` takes at least, and that nothing else here comes near."""


def burn(_puppet: Puppet) -> None:
    until, computed = time.monotonic() + 0.4, time.thread_time() + 2 * BURNT
    while time.monotonic() < until or time.thread_time() < computed:
        pass


def block(_puppet: Puppet) -> None:
    time.sleep(0.4)


def in_a_task(work: Callable[[Puppet], None]) -> Callable[[Puppet], None]:
    async def run(puppet: Puppet) -> None:
        work(puppet)

    return lambda puppet: (puppet.spawn(run, puppet), None)[1]


@pytest.mark.parametrize("work", [burn, block])
@pytest.mark.parametrize("spawned", [False, True])
def test_who_holds_everybody_up_is_named_with_place_and_length(
    work: Callable[[Puppet], None], spawned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    reports: list[Report] = []
    reported = trio.Event()

    def note(report: Report) -> None:
        if isinstance(report, HogReport) and report.actor is not None:  # a busy machine may hold us up as well
            reports.append(report)
            reported.set()

    async def main() -> None:
        system = quiet()
        system.events.subscribe(note, HogReport)
        async with start_tree(root(), system) as (_, supervisor):
            hog = await start_child(supervisor, puppet("hog"))
            with Watchdog(system, threshold=0.1, interval=0.02), trio.fail_after(60):
                await trio.sleep(0.1)
                await hog.cast(in_a_task(work) if spawned else work)
                await reported.wait()

    trio.run(main)
    (report,) = reports
    assert isinstance(report, HogReport)
    assert report.actor is not None
    assert report.actor.id.startswith("hog.")
    assert __file__ in report.where
    assert report.where.endswith(f"in {work.__name__}")
    assert 0.3 < report.seconds < 50
    assert (report.computed > BURNT) == (work is burn)
    assert f"{report.actor} holds everybody up" in caplog.text


def test_a_lively_system_has_no_hogs() -> None:
    reports: list[object] = []

    async def main() -> None:
        system = quiet()
        system.events.subscribe(reports.append, HogReport)
        async with start_tree(root(puppet("a")), system):
            with Watchdog(system, threshold=5, interval=0.01):
                await trio.sleep(0.2)

    trio.run(main)
    assert reports == []
