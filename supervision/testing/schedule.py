"""Virtual time and a seeded order of tasks: one seed, one run (row A35, its small half).

Trio runs the tasks of one batch in random order. Here that order comes from the seed, so a test that fails for a seed
fails for it again. This is the one place that uses a private part of Trio: the same switch that pytest-trio throws for
Hypothesis.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import trio
import trio._core._run as trio_run
import trio.testing

T = TypeVar("T")


def run_seeded(
    async_fn: Callable[[], Awaitable[T]],
    seed: int = 0,
    *,
    limit: float = 1e7,
    instruments: Sequence[trio.abc.Instrument] = (),
) -> T:
    """`trio.run` on virtual time with the schedule of `seed`; `TooSlowError` after `limit` virtual seconds."""

    async def main() -> T:
        with trio.fail_after(limit):
            return await async_fn()

    before = trio_run._ALLOW_DETERMINISTIC_SCHEDULING, trio_run._r.getstate()  # noqa: SLF001 - see above
    trio_run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]  # noqa: SLF001
    trio_run._r.seed(seed)  # noqa: SLF001
    try:
        return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0), instruments=instruments)
    finally:
        trio_run._ALLOW_DETERMINISTIC_SCHEDULING = before[0]  # type: ignore[misc]  # noqa: SLF001
        trio_run._r.setstate(before[1])  # noqa: SLF001
