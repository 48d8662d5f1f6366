"""Finding the hog: the actor whose callback computes, or blocks, and lets nobody else run (row A38).

Rules
- Trio cannot pre-empt a task and cannot cancel one that does not wait. What can be done is to say who it is, at once.
- A thread asks the scheduler for a sign of life every `interval` seconds and, if none came for `threshold`, takes the
  stack of the scheduler's thread. The busy path pays nothing: one callback an interval, no hook at any step.
- It is logged from the watching thread at once, because the loop may never come back; when it does, `HogReport` goes
  to `system.events` with the whole length. Both name the actor and the place in the code.
- The report also tells how much of that time the scheduler's thread computed. A hog computes; a stall waits in a
  blocking call; and so it looks when the machine had no time for us.
- What holds the whole interpreter (C code that keeps the lock) holds this thread too, and is seen when it lets go.
"""

import sys
import threading
import time
from dataclasses import dataclass
from types import FrameType

import trio

from .events import LOGGER, HogReport
from .linked import LinkedTasks
from .process import Process
from .ref import ActorRef
from .system import System


@dataclass(frozen=True, slots=True)
class _Beat:
    """A sign of life: when it came, and what the scheduler's thread had computed by then, in seconds."""

    time: float
    computed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    actor: ActorRef | None
    where: str
    since: _Beat


class Watchdog:
    """`with Watchdog(system): ...` inside `trio.run`: hogs are reported while the block runs.

    `threshold` and `interval` in seconds of the machine's clock, not of a test's.
    """

    def __init__(self, system: System, threshold: float = 0.2, interval: float = 0.05) -> None:
        self._system = system
        self._threshold = threshold
        self._interval = interval
        self._over = threading.Event()
        self._beat = _Beat(0, 0)
        self._asked = False
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "Watchdog":
        token, target = trio.lowlevel.current_trio_token(), threading.get_ident()
        self._sign_of_life()
        self._thread = threading.Thread(target=self._watch, args=(token, target), name="watchdog", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _sign_of_life(self) -> None:
        self._beat = _Beat(time.monotonic(), time.thread_time())
        self._asked = False

    def _watch(self, token: trio.lowlevel.TrioToken, target: int) -> None:
        seen: _Seen | None = None
        while not self._over.wait(self._interval):
            try:
                if not self._asked:
                    if seen is not None:
                        token.run_sync_soon(self._emit, seen, self._beat)
                        seen = None
                    self._asked = True
                    token.run_sync_soon(self._sign_of_life)
            except trio.RunFinishedError:
                return
            late = time.monotonic() - self._beat.time
            if self._asked and late > self._threshold + self._interval and seen is None:
                actor, where = _look(target)
                seen = _Seen(actor=actor, where=where, since=self._beat)
                who = actor or "something that is no actor"
                LOGGER.warning("%s holds everybody up for %.2f s already, at %s", who, late, where)

    def _emit(self, seen: _Seen, until: _Beat) -> None:
        seconds, computed = until.time - seen.since.time, until.computed - seen.since.computed
        report = HogReport(actor=seen.actor, where=seen.where, seconds=seconds, computed=computed)
        self._system.events.emit(report)


def _look(thread: int) -> tuple[ActorRef | None, str]:
    """Whose code runs on that thread right now, and where."""
    frame: FrameType | None = sys._current_frames().get(thread)  # noqa: SLF001 - the documented way to see other threads
    where = "an unknown place"
    actor: ActorRef | None = None
    if frame is not None:
        where = f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
    while frame is not None:
        holder = frame.f_locals.get("self")
        if frame.f_code is Process.run.__code__ and isinstance(holder, Process):
            actor = holder
            break
        if frame.f_code is LinkedTasks.run.__code__ and isinstance(holder, LinkedTasks):
            actor = holder.owner
            break
        frame = frame.f_back
    return actor, where
