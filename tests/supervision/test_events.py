"""Reports: who is told, and that telling hurts nobody."""

import logging

import pytest
import trio.testing

from supervision import Events, HighWaterReport, ProgressReport, Shutdown, System, start_tree
from supervision.events import SubscriberFailed
from tests.support.actors import boom, puppet, quiet, root


async def test_a_subscriber_gets_the_kinds_it_asked_for_until_it_leaves() -> None:
    system, reports = quiet(), []
    leave = system.events.subscribe(reports.append, ProgressReport)
    assert system.events.wants(ProgressReport)
    assert not system.events.wants(HighWaterReport)
    async with start_tree(root(puppet("a")), system):
        assert [report.child.id for report in reports] == ["a.2", "root.1"]
        leave()
        leave()
    assert not system.events.wants(ProgressReport)


def test_a_subscriber_that_fails_is_dropped_and_the_others_are_told(caplog: pytest.LogCaptureFixture) -> None:
    events, heard = Events(), []
    events.subscribe(boom)
    events.subscribe(heard.append)
    report = ProgressReport(supervisor=None, child=System(log=False).ref("a"))
    events.emit(report)
    events.emit(report)
    assert [type(each) for each in heard] == [SubscriberFailed, ProgressReport, ProgressReport]
    assert "a subscriber of the runtime's reports failed" in caplog.text


async def test_a_system_logs_what_matters(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "supervision")
    async with start_tree(root(puppet("a")), System()) as (system, _):
        ref = system.whereis("a")
        assert ref is not None
        await ref.cast(boom)
        await ref.wait_down()
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]
    assert "<a.2> (Puppet) crashed: Boom('boom')" in caplog.text
    assert "<root.1>: child_terminated of a: crash: Boom: boom" in caplog.text


async def test_an_end_that_was_in_order_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    """A permanent child that shuts itself down comes back, and nobody is called for it."""
    caplog.set_level(logging.INFO, "supervision")
    async with start_tree(root(puppet("a")), System()) as (system, _):
        ref = system.whereis("a")
        assert ref is not None
        ref.exit(Shutdown("the peer has gone"))
        await ref.wait_down()
        await trio.testing.wait_all_tasks_blocked()
        assert system.whereis("a") not in (None, ref)
    assert [record.levelname for record in caplog.records] == ["INFO"]
