"""The order of tasks, decided by a course: the instrument and the shuffle that Trio is given.

Rules
- Trio runs tasks in batches: all that can run now, then all that those woke. Within a batch the order is free, and this
  is where it is chosen.
- First in, first out is by the step in which a task was woken; those woken by one and the same step, by their age. The
  order in which one step wakes several is often a set's, and a set's order is that of addresses: no course could repeat
  it.
- Tasks are told apart by their number of birth.
"""

from collections.abc import MutableSequence
from random import Random
from typing import Any

import trio
from trio.lowlevel import Task, current_task

from .course import Course, Picks
from .trace import Trace


class Order(trio.abc.Instrument):
    """Watches which task wakes which, and arranges each batch."""

    def __init__(self, course: Course, trace: Trace) -> None:
        self.picks = Picks(course)
        self.steps = 0
        self._trace = trace
        self._numbers: dict[Task, int] = {}
        self._born = 0
        self._woken: dict[Task, int] = {}
        self._wakes = 0
        self._waker: Task | None = None

    def task_spawned(self, task: Task) -> None:
        self._numbers[task] = self._born
        self._born += 1

    def task_exited(self, task: Task) -> None:
        self._numbers.pop(task, None)
        self._woken.pop(task, None)

    def task_scheduled(self, task: Task) -> None:
        try:
            waker: Task | None = current_task()
        except RuntimeError:  # between two batches: a deadline is over
            waker = None
        if waker is not self._waker:
            self._waker = waker
            self._wakes += 1
        self._woken[task] = self._wakes

    def arrange(self, batch: MutableSequence[Task]) -> None:
        """Put the tasks, oldest first, into the order they are to run in: the last first."""
        self.steps += len(batch)
        self._wakes += 1
        self._waker = None
        if len(batch) > 1:
            waiting = sorted(batch, key=self._woken_at)
            pick, before = self.picks.next, len(self.picks.taken)
            chosen = [waiting.pop(pick(left)) for left in range(len(waiting), 1, -1)]
            chosen.append(waiting[0])
            chosen.reverse()
            batch[:] = chosen
            if self._trace.whole and len(self.picks.taken) > before:
                self._trace.remark(f"order {', '.join(task.name for task in reversed(batch))}")
        numbers = self._numbers
        self._trace.mix(",".join([str(numbers.get(task, "?")) for task in batch]))

    def _woken_at(self, task: Task) -> int:
        return self._woken.get(task, 0)


class Shuffle(Random):
    """What Trio asks to shuffle a batch."""

    def __init__(self, order: Order) -> None:
        super().__init__(0)
        self._order = order

    def shuffle(self, x: MutableSequence[Any]) -> None:
        """Not at random at all."""
        self._order.arrange(x)
