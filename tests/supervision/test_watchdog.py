"""Hogs are named. These tests run on the machine's clock: the watching thread knows no other."""

import time

import pytest
import trio

from supervision import HogReport, Watchdog, start_child, start_tree
from tests.support.actors import Puppet, puppet, quiet, root


def burn(_puppet: Puppet) -> None:
    until = time.monotonic() + 0.4
    while time.monotonic() < until:
        pass


async def burn_in_a_task() -> None:
    burn(Puppet())


@pytest.mark.parametrize("spawned", [False, True])
def test_a_hog_is_named_with_its_place_and_length(spawned: bool, caplog: pytest.LogCaptureFixture) -> None:
    reports: list[object] = []

    async def main() -> None:
        system = quiet()
        system.events.subscribe(reports.append, HogReport)
        async with start_tree(root(), system) as (_, supervisor):
            hog = await start_child(supervisor, puppet("hog"))
            with Watchdog(system, threshold=0.1, interval=0.02):
                await trio.sleep(0.1)
                await hog.cast((lambda puppet: (puppet.spawn(burn_in_a_task), None)[1]) if spawned else burn)
                await trio.sleep(0.6)

    trio.run(main)
    (report,) = reports
    assert isinstance(report, HogReport)
    assert report.actor is not None
    assert report.actor.id.startswith("hog.")
    assert __file__ in report.where
    assert report.where.endswith("in burn")
    assert 0.3 < report.seconds < 5
    assert "holds everybody up" in caplog.text


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
