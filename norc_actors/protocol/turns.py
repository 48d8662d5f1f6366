"""Whose turn it is when four queues share one link (section 8; F§8; D-42; row B123).

Rules
- Smooth weighted round robin, 8:4:2:1: over any stretch in which all have something, each gets its share, spread out;
  whoever has nothing gives its share to the others, and saves none of it.
- No queue starves: a row of the lowest priority waits for at most fourteen others.
"""

from collections.abc import Container
from typing import Final, Literal, get_args

Level = Literal[0, 1, 2, 3]
"""A priority as the outbox has it: 0 urgent, 1 high, 2 normal, 3 low."""
LEVELS: Final[tuple[Level, ...]] = get_args(Level)
LEVEL_OF: Final[dict[str, Level]] = {"urgent": 0, "high": 1, "normal": 2, "low": 3}
WEIGHTS: Final[dict[Level, int]] = {0: 8, 1: 4, 2: 2, 3: 1}


class Turns:
    """The turns of one link."""

    __slots__ = ("_credit",)

    def __init__(self) -> None:
        self._credit: dict[Level, int] = dict.fromkeys(LEVELS, 0)

    def next(self, waiting: Container[Level]) -> Level | None:
        """Whose turn it is among the levels that have something; None if none has."""
        here = [level for level in LEVELS if level in waiting]
        if not here:
            return None
        for level in LEVELS:
            self._credit[level] = self._credit[level] + WEIGHTS[level] if level in here else 0
        chosen = max(here, key=lambda level: self._credit[level])
        self._credit[chosen] -= sum(WEIGHTS[level] for level in here)
        return chosen
