"""Whose turn it is on an Erlang machine with one scheduler, so that lines come in the order in which they come there.

Rules
- One run queue, first in, first out. A process has its turn until it waits; woken, it goes to the end of the queue.
- Every signal puts its receiver into the queue, also one that has nothing to do then: a message it does not wait for, a
  monitor set or taken back. What it does wait for and what comes before its turn is dealt with in that turn (`nudge`).
- A process is a Trio task. What answers at once and does nothing else (Erlang's terminal, its code server) needs no
  task, only its place in the queue (`visit`).
- A mere checkpoint of Trio's is no turn: the task goes on at once.
- Not told here: a process that runs for 4,000 reductions, or wants to collect garbage, gives its turn away early.

Trio runs tasks in batches. Within a batch this decides; and a task that belongs between two of a batch that runs
already (it was nudged before, and woken only now) is let in by holding those behind it back for the next batch.
"""

from collections import deque
from collections.abc import Callable, MutableSequence
from typing import Any, Final

import trio
from trio.lowlevel import Abort, Task, cancel_shielded_checkpoint, current_task, reschedule, wait_task_rescheduled

Place = tuple[float, int]
"""Where in the queue since the beginning, and a number that tells equals apart."""

TERMINAL: Final = "user"
CODE_SERVER: Final = "code_server"


class RunQueue(trio.abc.Instrument):
    """The order of turns: give it to a run as its order and as an instrument."""

    def __init__(self) -> None:
        self._last = 0
        self._now = 0.0
        self._running: Task | None = None
        self._queued: dict[Task, Place] = {}
        self._nudged: dict[object, float] = {}
        self._wanted: dict[Task, float] = {}
        self._batch: MutableSequence[Task] = []
        self._held: list[Task] = []
        self._serial = 0

    # For the processes

    def nudge(self, process: object) -> float:
        """Something reaches `process`: it gets a place at the end unless it has one; returns its place."""
        if isinstance(process, Task) and process in self._queued:
            return self._queued[process][0]
        place = self._nudged.get(process, 0.0)
        if place <= self._now:
            place = self._nudged[process] = self._end()
        return place

    @property
    def quiet(self) -> bool:
        """Has nobody else anything to do? Then all wait for the one that has its turn, or for time to pass."""
        return not self._queued

    async def visit(self, process: object) -> None:
        """Ask `process` for what it answers in its next turn, and wait for the answer."""
        await self._go_to(self.nudge(process) - 0.5)
        await self.give_way()

    async def give_way(self) -> None:
        """Go to the end of the queue."""
        await self._go_to(self._end())

    async def _go_to(self, place: float) -> None:
        self._wanted[current_task()] = place
        await cancel_shielded_checkpoint()

    def _end(self) -> float:
        self._last += 1
        return float(self._last)

    # For Trio

    def task_scheduled(self, task: Task) -> None:
        """It was woken: find its place."""
        if task is self._running:
            place = self._wanted.pop(task, self._now)
        elif self._running is None and not self._queued:  # all have waited: no old nudge counts any more
            self._now, place = float(self._last), self._end()
        else:
            place = self.nudge(task)
        self._serial += 1
        self._queued[task] = (place, self._serial)
        behind = [other for other in self._batch if self._queued[other] > self._queued[task]]
        for other in behind:
            self._batch.remove(other)
        self._held += behind

    def shuffle(self, x: MutableSequence[Any]) -> None:
        """Arrange a batch; its last is the first to run."""
        x += self._held
        self._held = []
        x.sort(key=self._queued.__getitem__, reverse=True)  # type: ignore[attr-defined]  # Trio's is a list
        self._batch = x

    def before_task_step(self, task: Task) -> None:
        self._running = task
        self._now = self._queued.pop(task)[0]

    def after_task_step(self, task: Task) -> None:
        self._running = None


class _Line:
    """What somebody tells, and who waits until it is told."""

    __slots__ = ("task", "text")

    def __init__(self, text: str, task: Task) -> None:
        self.text = text
        self.task: Task | None = task

    def told(self) -> None:
        task, self.task = self.task, None
        if task is not None:
            reschedule(task)

    def abandon(self, _raise_cancel: object) -> Abort:
        self.task = None
        return Abort.SUCCEEDED


class Trace:
    """The process that everybody tells their lines to; it prints one after the other, each by the terminal."""

    def __init__(self, queue: RunQueue, show: Callable[[str], None]) -> None:
        self._queue = queue
        self._show = show
        self._lines: deque[_Line] = deque()
        self._task: Task | None = None
        self._idle = self._closed = False

    async def run(self) -> None:
        """The task of this process."""
        self._task = current_task()
        while True:
            while not self._lines:
                self._idle = True
                await wait_task_rescheduled(lambda _: Abort.SUCCEEDED)
            line = self._lines.popleft()
            await self._queue.visit(TERMINAL)
            self._queue.nudge(TERMINAL)
            if not self._closed:
                self._show(line.text)
            line.told()

    async def say(self, text: str) -> None:
        """Tell a line, and wait until it is printed."""
        if self._closed:
            return
        line = _Line(text, current_task())
        self._lines.append(line)
        self._queue.nudge(self._task)
        if self._idle and self._task is not None:
            self._idle = False
            reschedule(self._task)
        await wait_task_rescheduled(line.abandon)

    def close(self) -> None:
        """From now on nothing is printed."""
        self._closed = True
        for line in self._lines:
            line.told()
        self._lines.clear()
