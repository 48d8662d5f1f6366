"""Specs, flags, mailbox policies and back-offs say what is wrong with them when they are built."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervision import Backoff, ChildSpec, GenServer, InvalidSpecError, Mailbox, Supervisor
from supervision._core.mailbox import CONTROL_MAILBOX, DEFAULT_MAILBOX


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"id": ""}, "missing_id"),
        ({"start": 5}, "invalid_mfa"),
        ({"restart": "sometimes"}, "invalid_restart_type"),
        ({"type": "boss"}, "invalid_child_type"),
        ({"shutdown": -1}, "invalid_shutdown"),
        ({"shutdown": "soon"}, "invalid_shutdown"),
        ({"shutdown": True}, "invalid_shutdown"),
    ],
)
def test_a_wrong_spec_is_refused_with_otps_word(changes: dict[str, object], rule: str) -> None:
    with pytest.raises(InvalidSpecError) as caught:
        ChildSpec(**{"id": "a", "start": GenServer, **changes})  # type: ignore[arg-type]
    assert caught.value.rule == rule


@pytest.mark.parametrize(
    ("children", "flags", "rule"),
    [
        ([], {"strategy": "one_for_some"}, "invalid_strategy"),
        ([], {"intensity": -1}, "invalid_intensity"),
        ([], {"period": 0}, "invalid_period"),
        ([], {"auto_shutdown": "maybe"}, "invalid_auto_shutdown"),
        ([ChildSpec("a", GenServer), ChildSpec("a", GenServer)], {}, "duplicate_child_name"),
        ([ChildSpec("a", GenServer, restart="transient", significant=True)], {}, "bad_combination"),
        ([ChildSpec("a", GenServer, significant=True)], {"auto_shutdown": "any_significant"}, "bad_combination"),
    ],
)
def test_a_wrong_supervisor_is_refused_with_otps_word(
    children: list[ChildSpec], flags: dict[str, object], rule: str
) -> None:
    with pytest.raises(InvalidSpecError) as caught:
        Supervisor(children, **flags)  # type: ignore[arg-type]
    assert caught.value.rule == rule


def test_the_defaults_are_otps() -> None:
    worker, supervisor = ChildSpec("a", GenServer), ChildSpec("b", GenServer, type="supervisor")
    assert (worker.restart, worker.shutdown_time, worker.policy) == ("permanent", 5.0, DEFAULT_MAILBOX)
    assert (supervisor.shutdown_time, supervisor.policy) == ("infinity", CONTROL_MAILBOX)
    assert ChildSpec("a", GenServer, shutdown="brutal_kill").shutdown_time == "brutal_kill"


@pytest.mark.parametrize("wrong", [{"capacity": 0}, {"overflow": "explode"}, {"high_water": 0}, {"high_water": 1.1}])
def test_a_wrong_mailbox_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="mailbox"):
        Mailbox(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [{"minimum": 5, "maximum": 1}, {"minimum": -1}, {"factor": 0.5}, {"jitter": 2}])
def test_a_wrong_backoff_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="back-off"):
        Backoff(**wrong)


def test_the_default_backoff_waits_as_pekko_does() -> None:
    assert [Backoff().delay(attempt, 0.5) for attempt in range(1, 7)] == [3, 6, 12, 24, 30, 30]


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_a_backoff_stays_within_its_bounds(attempt: int, chance: float) -> None:
    backoff = Backoff(minimum=0.1, maximum=7, jitter=0.5)
    assert 0.1 <= backoff.delay(attempt, chance) <= 7 * 1.5


def test_a_child_that_stood_long_enough_starts_afresh() -> None:
    backoff = Backoff(reset_after=60)
    assert backoff.attempt(4, stood=59) == 5
    assert backoff.attempt(4, stood=60) == 1
