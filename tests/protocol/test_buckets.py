"""Token buckets against a naive model, and exact at the edges on a virtual clock (row B36, §6.16)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from norc_actors.protocol.buckets import TokenBucket


def test_sixty_a_minute_with_burst_120_is_exact_at_the_edges() -> None:
    bucket = TokenBucket(rate=1.0, burst=120, now=0.0)
    assert [bucket.take(0.0) for _ in range(120)] == [0.0] * 120
    assert bucket.take(0.0) == pytest.approx(1.0)
    assert bucket.take(0.999) == pytest.approx(0.001)
    assert bucket.take(1.0) == 0.0
    assert bucket.take(1.0) == pytest.approx(1.0)


def test_a_clock_that_steps_back_refills_nothing() -> None:
    bucket = TokenBucket(rate=1.0, burst=1, now=1000.0)
    assert bucket.take(1000.0) == 0.0
    assert bucket.take(10.0) > 0.0
    assert bucket.take(1000.5) == pytest.approx(0.5)


@pytest.mark.parametrize(("rate", "burst"), [(0.0, 1), (-1.0, 5), (1.0, 0)])
def test_a_bucket_that_could_never_pass_is_refused(rate: float, burst: float) -> None:
    with pytest.raises(ValueError, match="token bucket"):
        TokenBucket(rate=rate, burst=burst, now=0.0)


@given(st.lists(st.floats(0, 5), max_size=60), st.integers(1, 10))
def test_never_more_than_burst_plus_rate_times_time(gaps: list[float], burst: int) -> None:
    bucket = TokenBucket(rate=2.0, burst=burst, now=0.0)
    now, passed = 0.0, 0
    for gap in gaps:
        now += gap
        passed += bucket.take(now) == 0.0
        assert passed <= burst + 2.0 * now + 1e-6


@given(st.lists(st.floats(0, 3), min_size=1, max_size=40))
def test_waiting_as_told_always_passes(gaps: list[float]) -> None:
    bucket = TokenBucket(rate=0.5, burst=3, now=0.0)
    now = 0.0
    for gap in gaps:
        now += gap
        wait = bucket.take(now)
        if wait:
            now += wait + 1e-9
            assert bucket.take(now) == 0.0


def test_a_full_bucket_holds_nothing_worth_remembering() -> None:
    bucket = TokenBucket(rate=2.0, burst=4, now=0.0)
    assert bucket.full(0.0)
    bucket.take(0.0)
    assert not bucket.full(0.49)
    assert bucket.full(0.5)
    assert not bucket.full(-100.0)
