"""Restart back-off (row A11): how long to wait before the next try. OTP has none; the shape is Pekko's.

Rules
- The n-th restart in a row waits `min(maximum, minimum * factor ** (n - 1))` seconds, plus up to `jitter` of that,
  the randomness passed in as a number from 0 to 1.
- A child that has stood for `reset_after` seconds has earned a fresh count.
- Back-off spaces restarts out; intensity still counts them. With a back-off, choose the period so that a real loop
  of crashes still ends the supervisor.
"""

from collections.abc import Hashable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Seconds: `minimum` before the first restart, doubling (`factor`) up to `maximum`; `jitter` is a part (0–1)."""

    minimum: float = 3.0
    maximum: float = 30.0
    factor: float = 2.0
    jitter: float = 0.0
    reset_after: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.minimum <= self.maximum:
            raise ValueError(f"back-off from {self.minimum} to {self.maximum} s: the first must not exceed the second")
        if self.factor < 1:
            raise ValueError(f"back-off factor is {self.factor}; waits must not become shorter")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"back-off jitter is {self.jitter}; it is a part of the wait, from 0 to 1")

    def delay(self, attempt: int, chance: float) -> float:
        """Seconds to wait before the `attempt`-th restart in a row (from 1); `chance` is random, from 0 to 1."""
        wait = self.minimum
        for _ in range(attempt - 1):
            wait = min(self.maximum, wait * self.factor)
            if wait >= self.maximum:
                break
        return wait * (1 + self.jitter * chance)

    def attempt(self, previous: int, stood: float) -> int:
        """The number of the next restart after one that made the child stand for `stood` seconds."""
        return 1 if stood >= (self.maximum if self.reset_after is None else self.reset_after) else previous + 1


class Patience:
    """How often each child of a supervisor failed in a row; only children with a back-off are in it."""

    __slots__ = ("_failures",)

    def __init__(self) -> None:
        self._failures: dict[Hashable, tuple[int, float | None]] = {}
        """How often in a row, and since when it stands again; None while it does not."""

    def __len__(self) -> int:
        return len(self._failures)

    def failed(self, child: Hashable, backoff: Backoff, now: float, chance: float) -> float:
        """`child` ended, or did not start: the seconds to wait before its next try."""
        previous, since = self._failures.get(child, (0, None))
        attempt = previous + 1 if since is None else backoff.attempt(previous, now - since)
        self._failures[child] = (attempt, None)
        return backoff.delay(attempt, chance)

    def stands(self, child: Hashable, now: float, successor: Hashable | None = None) -> None:
        """`child` started again, known from now on as `successor` if that is given; its time counts from `now`."""
        known = self._failures.pop(child, None)
        if known is not None:
            self._failures[child if successor is None else successor] = (known[0], now)

    def forget(self, child: Hashable) -> None:
        """`child` is gone for good, or was ended by hand."""
        self._failures.pop(child, None)
