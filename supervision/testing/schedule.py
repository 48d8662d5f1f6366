"""Virtual time and an order of tasks that is somebody's decision, not chance (row A35).

Trio runs the tasks of one batch in random order. Here that order comes from outside, so a test that fails for a seed
fails for it again. This is the one place that uses a private part of Trio: the same switch that pytest-trio throws for
Hypothesis (decision 007).
"""

from collections.abc import Awaitable, Callable, Iterator, MutableSequence, Sequence
from contextlib import contextmanager
from random import Random
from typing import Any, Protocol, TypeVar

import trio
import trio._core._run as trio_run
import trio.testing

T = TypeVar("T")


class Arranges(Protocol):
    """Whoever puts batches of tasks into order; `random.Random` does."""

    def shuffle(self, x: MutableSequence[Any]) -> None:
        """Arrange `x`, tasks by their age; the last of the list runs first."""


def run_seeded(
    async_fn: Callable[[], Awaitable[T]],
    seed: int = 0,
    *,
    limit: float = 1e7,
    instruments: Sequence[trio.abc.Instrument] = (),
) -> T:
    """`trio.run` on virtual time with the schedule of `seed`; `TooSlowError` after `limit` virtual seconds."""
    return run_in_order(async_fn, Random(seed), limit=limit, instruments=instruments)


def run_in_order(
    async_fn: Callable[[], Awaitable[T]],
    order: Arranges,
    *,
    limit: float,
    instruments: Sequence[trio.abc.Instrument] = (),
) -> T:
    """The same, with `order.shuffle` called on each batch of tasks, oldest first; the last of the list runs first."""

    async def main() -> T:
        with trio.fail_after(limit):
            return await async_fn()

    with _order_by(order):
        return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0), instruments=instruments)


@contextmanager
def _order_by(order: Arranges) -> Iterator[None]:
    before = trio_run._ALLOW_DETERMINISTIC_SCHEDULING, trio_run._r  # noqa: SLF001 - see above
    trio_run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]  # noqa: SLF001
    trio_run._r = order  # type: ignore[assignment]  # noqa: SLF001 - nothing but `shuffle` is asked of it
    try:
        yield
    finally:
        trio_run._ALLOW_DETERMINISTIC_SCHEDULING = before[0]  # type: ignore[misc]  # noqa: SLF001
        trio_run._r = before[1]  # noqa: SLF001
