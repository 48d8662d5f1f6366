"""How many restarts are too many (row A6, OTP `add_restart`).

Rules
- One window per *supervisor*, not per child: `Window.add(now)` notes a restart and says whether the supervisor may
  go on. More than `intensity` restarts within `period` seconds, and it may not.
- A restart exactly `period` ago still counts, as in OTP. OTP's clock here ticks in whole seconds; ours does not
  (decision 002).
- A retry after a failed restart is another restart.
- Pure: the time is passed in, in seconds, and never goes backwards.
"""

from bisect import bisect_left
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The restarts that still count: `times`, newest last, in seconds."""

    intensity: int
    period: float
    times: tuple[float, ...] = ()

    def add(self, now: float) -> tuple["Window", bool]:
        """The window with a restart at `now`, and whether that restart is allowed."""
        times = (*self.times[bisect_left(self.times, now - self.period) :], now)
        return replace(self, times=times), len(times) <= self.intensity
