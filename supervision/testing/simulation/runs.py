"""`simulate`: a scenario under many seeds, and one line for each failure that brings it back.

Rules
- The first seed is run twice. If the two traces differ, the scenario depends on something that no seed decides (the
  machine's clock or randomness, a thread, the order of a set), and no failure of it could be repeated:
  `NotRepeatable` says where they part.
- A failure is made smaller, then raised as `SimulationFailed` with the line that replays it. Where `SIMULATE` is set in
  the environment, every `simulate` runs that course alone and prints its whole trace.
"""

import os
import shlex
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Protocol

from .course import Course
from .faults import Faults, weather_of
from .shrink import shrink
from .world import Run, Scenario, run_course

ENVIRONMENT = "SIMULATE"

LIMIT = 1e6
"""Virtual seconds that a run may last: who waits longer waits for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A seed that failed: its own run, the smallest that fails in the same way, and the line that replays that one."""

    found: Run
    smallest: Run
    replay: str

    def __str__(self) -> str:
        run = self.smallest
        return (
            f"seed {run.course.seed} fails: {run.failure!r}; {len(run.picks)} of {run.decisions} decisions "
            f"out of order (found with {len(self.found.picks)}), {len(run.troubled)} of {run.packets} packets "
            f"in trouble; trace {run.trace}; replay: {self.replay}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """What came of all seeds. `slowest` by the machine's clock, `longest` by the virtual one."""

    runs: int
    steps: int
    decisions: int
    packets: int
    took: float
    slowest: Run
    longest: Run
    hashes: dict[int, str]
    failures: tuple[Failure, ...]

    def __str__(self) -> str:
        return (
            f"{self.runs} runs, {len(self.failures)} failed; {self.steps} steps, {self.decisions} decisions, "
            f"{self.packets} packets in {self.took:.1f} s; slowest: seed {self.slowest.course.seed} "
            f"({self.slowest.took * 1000:.0f} ms), longest: seed {self.longest.course.seed} "
            f"({self.longest.lasted:.1f} virtual s)"
        )


class SimulationFailed(AssertionError):  # noqa: N818 - it is what it says
    """A seed failed; `failure` has the run, the exception is its cause."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure))
        self.failure = failure


class NotRepeatable(AssertionError):  # noqa: N818 - it is what it says
    """The same seed gave two different runs."""


def simulate(
    scenario: Scenario,
    seeds: Iterable[int | str | Course] = range(1000),
    *,
    faults: Faults | None = None,
    limit: float = LIMIT,
    keep_going: bool = False,
    smaller: bool = True,
    progress: Callable[[Run], None] | None = None,
    command: str | None = None,
) -> Results:
    """Run `await scenario(simulation)` once for each seed, on virtual time, each in the order that its seed decides.

    `seeds` may hold courses too (`"17/43.2"`, from a failure's line). `faults` None: the scenario's own (`in_weather`),
    else the usual ones. A run fails if it raises, lasts `limit` virtual seconds, or leaves names behind. The first
    failure ends it, as `SimulationFailed`, unless `keep_going`, when all are in the results. `smaller=False`: failures
    are left as found. `progress` hears of each run. `command` is what the line for a replay says to run. Raises
    `NotRepeatable`, and `ValueError` if there are no seeds.
    """
    weather = weather_of(scenario) if faults is None else faults

    def run(course: Course, *, whole: bool = False) -> Run:
        return run_course(scenario, course, weather, limit, whole=whole)

    forced = os.environ.get(ENVIRONMENT)
    courses = [_course(seed) for seed in (seeds if forced is None else forced.split())]
    if not courses:
        raise ValueError("there are no seeds to run")
    _check_repeatable(run, courses[0])
    tally = _Tally()
    for course in courses:
        one = run(course, whole=forced is not None)
        tally.add(one)
        if progress is not None:
            progress(one)
        if forced is not None:
            _say("\n".join(one.events))
        if one.failure is None:
            continue
        smallest = shrink(one, run) if smaller and forced is None else one
        failure = Failure(found=one, smallest=smallest, replay=_replay(smallest.course, command))
        _say(f"simulation: {failure}")
        if not keep_going:
            raise SimulationFailed(failure) from smallest.failure
        tally.failures.append(failure)
    return tally.results()


class _Runner(Protocol):
    def __call__(self, course: Course, *, whole: bool = False) -> Run: ...


def _course(seed: int | str | Course) -> Course:
    if isinstance(seed, Course):
        return seed
    return Course(seed=seed) if isinstance(seed, int) else Course.parse(seed)


def _check_repeatable(run: _Runner, course: Course) -> None:
    first, second = run(course, whole=True), run(course, whole=True)
    if first.trace == second.trace:
        return
    pairs = zip_longest(first.events, second.events, fillvalue="(nothing more)")
    one, other = next((pair for pair in pairs if pair[0] != pair[1]), ("the order of tasks", "another order"))
    raise NotRepeatable(
        f"seed {course.seed} gave two different runs, so no failure could be repeated: something depends on the "
        f"machine's clock, randomness, threads or addresses. They part here:\n  {one}\n  {other}"
    )


class _Tally:
    """Results in the making; keeps two runs, however many there are."""

    def __init__(self) -> None:
        self.failures: list[Failure] = []
        self._hashes: dict[int, str] = {}
        self._runs = self._steps = self._decisions = self._packets = 0
        self._took = 0.0
        self._slowest: Run | None = None
        self._longest: Run | None = None

    def add(self, run: Run) -> None:
        run = replace(run, events=())
        self._runs += 1
        self._steps += run.steps
        self._decisions += run.decisions
        self._packets += run.packets
        self._took += run.took
        self._hashes[run.course.seed] = run.trace
        if self._slowest is None or run.took > self._slowest.took:
            self._slowest = run
        if self._longest is None or run.lasted > self._longest.lasted:
            self._longest = run

    def results(self) -> Results:
        if self._slowest is None or self._longest is None:
            raise ValueError("there are no seeds to run")
        return Results(
            runs=self._runs,
            steps=self._steps,
            decisions=self._decisions,
            packets=self._packets,
            took=self._took,
            slowest=self._slowest,
            longest=self._longest,
            hashes=self._hashes,
            failures=tuple(self.failures),
        )


def _replay(course: Course, command: str | None) -> str:
    if command is None:
        test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
        command = f"python -m pytest {shlex.quote(test)}" if test else shlex.join(["python", *sys.argv])
    return f"{ENVIRONMENT}={shlex.quote(str(course))} {command}"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
