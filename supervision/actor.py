"""What every kind of actor is given by the runtime, whatever its callbacks look like.

Rules
- An actor is constructed by its spec's `start`, plainly; the runtime's gifts (`ref`, `system`, `monitor`, …) are there
  from `init` on, not in the constructor.
- All of them are synchronous: they note a wish, and the runtime acts on it after the callback or at its time.
- What an actor starts ends with it: timers fire into nothing, monitors are taken back, spawned tasks are cancelled.
"""

from collections.abc import Awaitable, Callable

import trio

from ._core.reasons import ExitReason, Normal
from .messages import Down
from .process import Body, Process
from .ref import ActorRef
from .system import System
from .timers import Timer


class MonitorRef:
    """One monitor; hand it to `demonitor`."""

    __slots__ = ("forget", "ref", "tag")

    def __init__(self, ref: ActorRef, tag: object) -> None:
        self.ref = ref
        self.tag = tag
        self.forget: Callable[[], None] = _nothing


class Actor(Body):
    """The base of `GenServer` and of every other kind."""

    _process: Process
    _monitors: "set[MonitorRef] | None" = None

    def bind(self, process: Process) -> None:
        self._process = process

    @property
    def ref(self) -> ActorRef:
        """The reference to this life of this actor."""
        return self._process

    @property
    def system(self) -> System:
        """The system this actor lives in."""
        return self._process.system

    def stop(self, reason: ExitReason | None = None) -> None:
        """Leave after this callback, with `reason` (`Normal()` if none is given)."""
        if self._process.stopping is None:
            self._process.stopping = Normal() if reason is None else reason

    def monitor(self, ref: ActorRef, tag: object = None) -> MonitorRef:
        """Have `Down(ref, reason, tag)` delivered to `handle_info` when `ref` is down; at once if it is already."""
        monitor = MonitorRef(ref, tag)
        if self._monitors is None:
            self._monitors = set()
            self._process.at_down(self._forget_monitors)
        monitors, process = self._monitors, self._process
        monitors.add(monitor)

        def tell(reason: ExitReason) -> None:
            monitors.discard(monitor)
            process.post(Down(ref, reason, tag))

        monitor.forget = ref.watch(tell)
        return monitor

    def demonitor(self, monitor: MonitorRef) -> None:
        """Take a monitor back. A `Down` that is in the mailbox already is still delivered."""
        if self._monitors is not None:
            self._monitors.discard(monitor)
        monitor.forget()

    def send_after(self, seconds: float, message: object) -> Timer:
        """Have `message` delivered to `handle_info` after `seconds`, unless the timer is cancelled."""
        process = self._process
        timer = Timer(lambda: process.post(message))
        self.system.timers.add(trio.current_time() + seconds, timer)
        return timer

    def spawn(self, async_fn: Callable[..., Awaitable[object]], *args: object) -> trio.CancelScope:
        """Run a task linked to this actor: what it raises is the actor's crash; it is cancelled when the actor ends.

        Returns the scope that ends this one task.
        """
        return self._process.spawn(async_fn, *args)

    def _forget_monitors(self, _reason: ExitReason) -> None:
        for monitor in self._monitors or ():
            monitor.forget()
        self._monitors = None


def _nothing() -> None:
    return None
