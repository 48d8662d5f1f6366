"""The weather of a simulated network: how long packets take, and what may happen to them.

Rules
- Each packet's fate comes from the seed, its link and its number on that link, and from nothing else.
- A course may take the trouble away from all packets but some; they arrive then, after their plain delay.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final, TypeVar

from .course import Course


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Chances from 0 to 1, times in seconds. `CALM` has none of them.

    A packet takes `delay[0]`–`delay[1]`. `slow`: it takes up to `slow_by` longer, and those behind it overtake (in a
    stream they wait). `loss`: a datagram is gone; a stream sends the packet again after `resend_after`.
    `duplication`: a datagram comes twice. `split`: bytes sent
    together come apart. `silence`: a host that crashes leaves its peers without a word.
    `give_up_after`: a stream whose packets get nowhere for so long is broken, at the sender.
    """

    delay: tuple[float, float] = (0.001, 0.02)
    slow: float = 0.05
    slow_by: float = 0.5
    loss: float = 0.02
    resend_after: float = 0.2
    duplication: float = 0.02
    split: float = 0.1
    silence: float = 0.5
    give_up_after: float = 60.0
    connect_within: float = 30.0


S = TypeVar("S", bound=Callable[..., object])


def in_weather(faults: "Faults") -> Callable[[S], S]:
    """Decorator: a scenario that is simulated in this weather unless somebody says otherwise."""

    def brings(scenario: S) -> S:
        scenario.faults = faults  # type: ignore[attr-defined]
        return scenario

    return brings


def weather_of(scenario: Callable[..., object]) -> "Faults":
    """The weather that a scenario brings, else the usual one."""
    faults = getattr(scenario, "faults", None)
    return faults if isinstance(faults, Faults) else Faults()


CALM: Final = Faults(slow=0.0, loss=0.0, duplication=0.0, split=0.0, silence=0.0)
"""Delay, and nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """Of one packet: `name` on its link, seconds until it arrives, `lost`, seconds until it arrives again or None."""

    name: str
    delay: float
    lost: bool = False
    again: float | None = None
    trouble: str = ""


class Weather:
    """The fates of all packets of one run, in order on each link."""

    __slots__ = ("_course", "_faults", "_links", "_only", "troubled")

    def __init__(self, course: Course, faults: Faults) -> None:
        self.troubled: list[str] = []
        self._course = course
        self._faults = faults
        self._only = None if course.packets is None else frozenset(course.packets)
        self._links: dict[str, tuple[Random, int]] = {}

    def next(self, source: str, target: str) -> Fate:
        """The fate of the next packet from `source` to `target`."""
        link = f"{source}:{target}"
        dice, number = self._links.get(link) or (self._course.dice(link), 0)
        self._links[link] = (dice, number + 1)
        return self._judge(f"{link}.{number}", dice.random(), dice.random(), dice.random())

    def _judge(self, name: str, base: float, luck: float, amount: float) -> Fate:
        faults = self._faults
        shortest, longest = faults.delay
        plain = Fate(name=name, delay=shortest + base * (longest - shortest))
        if luck < faults.loss:
            fate = Fate(name=name, delay=plain.delay + faults.resend_after, lost=True, trouble="lost")
        elif luck < faults.loss + faults.duplication:
            again = plain.delay + amount * faults.slow_by
            fate = Fate(name=name, delay=plain.delay, again=again, trouble="twice")
        elif luck < faults.loss + faults.duplication + faults.slow:
            fate = Fate(name=name, delay=plain.delay + amount * faults.slow_by, trouble="slow")
        else:
            return plain
        if self._only is not None and name not in self._only:
            return plain
        self.troubled.append(name)
        return fate
