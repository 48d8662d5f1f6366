"""Making a failure smaller: the fewest picks out of order, then the fewest packets in trouble, that still fail.

Rules
- Halves, then quarters, and so on (delta debugging): each part is left out in turn; what still fails goes on without
  it. Last, each single one. So what is left cannot lose any one more.
- It is bounded by a number of runs, and what it has by then is given.
- A smaller run counts only if it fails in the same way: the same type of exception at the same place.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from .course import Course
from .world import Run

T = TypeVar("T")

RUNS = 300
"""Runs that one failure is worth."""


def signature(failure: BaseException | None) -> str:
    """What makes two failures the same."""
    if failure is None:
        return ""
    where, trace = "", failure.__traceback__
    while trace is not None:
        where = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"{type(failure).__qualname__} {where}"


def shrink(failed: Run, again: Callable[[Course], Run], runs: int = RUNS) -> Run:
    """The smallest run found that fails as `failed` did; `failed` itself if none is smaller."""
    wanted, best = signature(failed.failure), failed

    def attempt(course: Course) -> bool:
        nonlocal runs, best
        if runs <= 0:
            return False
        runs -= 1
        run = again(course)
        if signature(run.failure) != wanted:
            return False
        best = run
        return True

    course = replace(failed.course, picks=failed.picks)
    picks = fewest(failed.picks, lambda fewer: attempt(replace(course, picks=tuple(fewer))))
    course = replace(course, picks=tuple(picks))
    packets = fewest(best.troubled, lambda fewer: attempt(replace(course, packets=tuple(fewer))))
    attempt(replace(course, packets=tuple(packets)))
    return best


def fewest(things: Sequence[T], fails: Callable[[Sequence[T]], bool]) -> Sequence[T]:
    """The fewest of `things`, in order, with which it still `fails`; all of them are known to."""
    if not things or fails(()):
        return ()
    size = len(things)
    while size > 1:
        size = (size + 1) // 2
        start = 0
        while start < len(things):
            fewer = [*things[:start], *things[start + size :]]
            if fewer and fails(fewer):
                things = fewer
            else:
                start += size
    start = 0
    while start < len(things) > 1:
        fewer = [*things[:start], *things[start + 1 :]]
        if fails(fewer):
            things = fewer
        else:
            start += 1
    return things
