"""Many seeds of many scenarios, on all processors, for as long as one likes.

    python -m supervision.testing.simulation examples/*.py tests/chat.py:evening --seeds 0:10000 --jobs 2 --minutes 30

Prints progress, a line for each failure that replays it, and what it came to. Exits with 1 if a seed failed, with 3 if
the time was up first.
"""

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from time import monotonic

from .programs import scenario_of
from .runs import ENVIRONMENT, simulate

CHUNK = 50
"""Seeds that one worker runs at a time."""

SAY_EVERY = 10.0
"""Seconds."""


@dataclass(frozen=True)
class Done:
    """What came of some seeds of one scenario."""

    target: str
    runs: int
    steps: int
    failures: tuple[str, ...]


def run_some(target: str, seeds: range) -> Done:
    """In a worker."""
    command = f"python -m supervision.testing.simulation {target}"
    results = simulate(scenario_of(target), seeds, keep_going=True, command=command)
    return Done(target, results.runs, results.steps, tuple(str(failure) for failure in results.failures))


def soak(targets: Sequence[str], seeds: range, jobs: int, seconds: float) -> int:
    """Run them all; returns the exit status."""
    begun = monotonic()
    parts = _parts(targets, seeds)
    wanted = len(targets) * len(seeds)
    runs = steps = failed = 0
    said = begun
    with ProcessPoolExecutor(jobs) as pool:
        waiting: set[Future[Done]] = {pool.submit(run_some, *part) for part in islice(parts, 2 * jobs)}
        while waiting:
            finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for done in (future.result() for future in finished):
                runs, steps, failed = runs + done.runs, steps + done.steps, failed + len(done.failures)
            in_time = monotonic() - begun < seconds
            waiting |= {pool.submit(run_some, *part) for part in islice(parts, len(finished) if in_time else 0)}
            if monotonic() - said >= SAY_EVERY or not waiting:
                said = monotonic()
                print(f"{said - begun:5.0f} s  {runs} of {wanted} runs, {steps} steps, {failed} failed", flush=True)
    if failed:
        return 1
    return 0 if runs == wanted else 3


def _parts(targets: Sequence[str], seeds: range) -> Iterator[tuple[str, range]]:
    for start in range(0, len(seeds), CHUNK):
        for target in targets:
            yield target, seeds[start : start + CHUNK]


def _arguments(words: Sequence[str]) -> Namespace:
    parser = ArgumentParser(prog="python -m supervision.testing.simulation", description=__doc__.split("\n", 1)[0])
    parser.add_argument("targets", nargs="+", metavar="PROGRAM.py[:FUNCTION]")
    parser.add_argument("--seeds", type=_seeds, default=range(1000), metavar="FROM:TO", help="default 0:1000")
    parser.add_argument("--jobs", type=int, default=1, help="processes, default 1")
    parser.add_argument("--minutes", type=float, default=30.0, help="no new seeds after that, default 30")
    return parser.parse_args(words)


def _seeds(text: str) -> range:
    start, _, end = text.rpartition(":")
    return range(int(start or 0), int(end))


if __name__ == "__main__":
    wishes = _arguments(sys.argv[1:])
    seeds = range(1) if ENVIRONMENT in os.environ else wishes.seeds  # a replay is one run
    sys.exit(soak(wishes.targets, seeds, wishes.jobs, wishes.minutes * 60))
