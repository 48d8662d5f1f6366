"""One timer for all deadlines: in order, exact, and small however many are answered in time."""

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from supervision.timers import SWEEP_AT_LEAST, Timer, Timers

from .conftest import run_on_virtual_time


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50), st.booleans()), max_size=30))
def test_timers_fire_in_order_at_their_time_unless_cancelled(plan: list[tuple[int, int, bool]]) -> None:
    """Each entry: added at, due after, cancelled at once."""
    fired: list[tuple[float, int]] = []

    async def main() -> None:
        timers = Timers()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(timers.run)

            async def add(number: int, at: int, after: int, cancelled: bool) -> None:
                await trio.sleep(at)
                timer = Timer(lambda: fired.append((trio.current_time(), number)))
                timers.add(trio.current_time() + after, timer)
                if cancelled:
                    timer.cancel()

            for number, entry in enumerate(plan):
                nursery.start_soon(add, number, *entry)
            await trio.sleep(200)
            nursery.cancel_scope.cancel()

    run_on_virtual_time(main)
    expected = [(at + after, number) for number, (at, after, cancelled) in enumerate(plan) if not cancelled]
    assert sorted(fired) == sorted(expected)
    assert [time for time, _ in fired] == sorted(time for time, _ in fired)


@pytest.mark.parametrize("count", [100_000])
def test_cancelled_timers_are_swept(count: int) -> None:
    timers = Timers()
    for number in range(count):
        timer = Timer(lambda: None)
        timers.add(number, timer)
        timer.cancel()
    assert len(timers) <= SWEEP_AT_LEAST
