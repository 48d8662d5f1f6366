"""What decides one run: a seed, and what was taken out of it while a failure was made smaller.

Rules
- A seed alone decides everything: the order of tasks, the fate of each packet, the scenario's own dice. All of it comes
  from `random.Random` over text, which is the same on every machine and whatever `PYTHONHASHSEED` says.
- Decisions of the schedule are counted from the start of the run. At each, pick 0 is first-in-first-out: of the tasks
  that may run, the one that was woken first. Any other pick is *out of order*.
- A packet is known by its link and its number on that link (`a:b.4`), whatever else happens, so that a change of the
  schedule leaves the network's weather as it is.
- A course written out is one word: `17`, `17/43.2,81.1` (only these picks are out of order), `17/43.2/a:b.4` (and only
  this packet has trouble). `Course.parse` reads it back.
"""

from dataclasses import dataclass
from random import Random

LAZY = (0.02, 0.2, 1.0)
"""How often a schedule leaves first-in-first-out where it could; each seed has one of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """`picks`: decision and pick of those that are out of order; `packets`: those that have trouble. None: as the seed
    has it."""

    seed: int
    picks: tuple[tuple[int, int], ...] | None = None
    packets: tuple[str, ...] | None = None

    @classmethod
    def parse(cls, text: str) -> "Course":
        """Read what `str(course)` wrote. Raises `ValueError`."""
        seed, *rest = text.split("/")
        if len(rest) > 2:
            raise ValueError(f"{text!r} is no course: write SEED, SEED/PICKS or SEED/PICKS/PACKETS")
        picks = None if not rest or rest[0] == "*" else tuple(_pick(word) for word in rest[0].split(",") if word)
        packets = tuple(word for word in rest[1].split(",") if word) if len(rest) == 2 else None
        return cls(seed=int(seed), picks=picks, packets=packets)

    def __str__(self) -> str:
        words = [str(self.seed)]
        if self.picks is not None:
            words.append(",".join(f"{decision}.{pick}" for decision, pick in self.picks))
        elif self.packets is not None:
            words.append("*")
        if self.packets is not None:
            words.append(",".join(self.packets))
        return "/".join(words)

    def dice(self, purpose: str) -> Random:
        """The randomness of this seed for one purpose."""
        return Random(f"{self.seed}/{purpose}")


def _pick(word: str) -> tuple[int, int]:
    decision, _, pick = word.partition(".")
    return int(decision), int(pick)


class Picks:
    """The decisions of one schedule, taken one after the other."""

    __slots__ = ("_dice", "_given", "_often", "decisions", "taken")

    def __init__(self, course: Course) -> None:
        self.decisions = 0
        self.taken: list[tuple[int, int]] = []
        self._given = None if course.picks is None else dict(course.picks)
        self._dice = course.dice("schedule")
        self._often = self._dice.choice(LAZY)

    def next(self, among: int) -> int:
        """Which of `among` tasks (at least 2) runs next, counted from the one that was woken first."""
        if self._given is not None:
            pick = self._given.get(self.decisions, 0) % among
        elif self._dice.random() < self._often:
            pick = int(self._dice.random() * among)
        else:
            pick = 0
        if pick:
            self.taken.append((self.decisions, pick))
        self.decisions += 1
        return pick
