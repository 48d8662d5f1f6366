"""The mailbox of a process: what gets in, in which order, and what happens when it is full (row A21, A22, A39).

Rules
- One deque of `(tag, message, time)`; the tag is `CAST`, `INFO`, `CONTROL`, `SYSTEM`, `EXIT` or the caller's slot.
  Order is kept over all of them: who told an actor something and then ended is heard in that order.
- `CONTROL` (exits of children, `Down`, timers), `SYSTEM` (what the runtime itself asks) and `EXIT` are not subject to
  the capacity.
- Only depths from `_mark` on take the slow path: the mark is the smallest depth at which there is something to do (a
  new maximum, the high-water mark, a full box). So the bound costs a message one comparison.
- Senders wait in line behind a full mailbox that blocks, their messages with them: when there is room, the owner moves
  message and sender on in one step, and nobody overtakes. A caller in line waits only once, for its reply.
- Waking the owner is one `reschedule`, and only if it is parked; a busy owner costs its senders nothing more.
- A task that waits in a call, for a start or for an end says so in its own `custom_sleep_data`, so a circle of calls is
  found by walking it, and refused, instead of waiting for its time-outs.
- `special` is the one flag the owner looks at before each message: somebody waits for room, the box was crowded, the
  actor is suspended, traced, or keeps its last messages (`recent`, for a quarantine). `attend` deals with all of them.

Cases at the one place where an owner parks: a message arrives (its sender wakes it); it is killed or its supervisor is
(cancelled, `unpark`); its receive timeout ends (the timer posts, and so wakes it).
"""

from abc import abstractmethod
from collections import deque
from typing import ClassVar, Final, Protocol, TypeAlias, TypeVar

import trio
from trio.lowlevel import Abort, current_task, reschedule, wait_task_rescheduled

from ._core.reasons import ExitReason, NoProc
from ._core.specs import ChildSpec
from .errors import CallCycle, MailboxFull, SelfCall, ServerDown
from .events import HighWaterReport
from .messages import Call, Diverted
from .ref import ActorRef
from .reply import Deferred, From
from .snapshot import MailboxStatistics
from .system import System

R = TypeVar("R")


class Tag:
    """What kind of message an entry of a mailbox is."""

    __slots__ = ("word",)

    def __init__(self, word: str) -> None:
        self.word = word

    def __repr__(self) -> str:
        return self.word


CAST: Final = Tag("cast")
INFO: Final = Tag("info")
CONTROL: Final = Tag("control")
SYSTEM: Final = Tag("system")
EXIT: Final = Tag("exit")

Entry: TypeAlias = tuple[Tag | From, object, float]


class SystemMessage:
    """What the runtime itself asks of an actor, between two of its messages; also while it is suspended."""

    __slots__ = ()
    is_news: ClassVar[bool] = False
    """Does the actor learn something by it, as by a message of its own?"""

    @abstractmethod
    async def deliver(self, process: "Inbox") -> None:
        """Do it, in the actor's own task."""

    def give_up(self, reason: ExitReason) -> None:
        """The actor ended before it came to this."""


class Tracer(Protocol):
    """Sees each message just before it is handled."""

    def see(self, process: "Inbox", entry: Entry) -> None:
        """Must be quick, must not raise."""


class _Sender:
    """Who waits to cast into a full mailbox."""

    __slots__ = ("task", "waits")

    def __init__(self, task: trio.lowlevel.Task) -> None:
        self.task: trio.lowlevel.Task | None = task
        self.waits = False

    @property
    def live(self) -> bool:
        return self.task is not None

    def wake(self) -> None:
        task, self.task = self.task, None
        if task is not None:
            reschedule(task)

    def abandon(self, _raise_cancel: object) -> Abort:
        self.task = None
        return Abort.SUCCEEDED


class Inbox(ActorRef):
    """The receiving half of a process. The attributes are the runtime's."""

    __slots__ = (
        "_above_high_water",
        "_blocked",
        "_capacity",
        "_mark",
        "_now",
        "_peak",
        "current",
        "deferred",
        "down",
        "handled",
        "open",
        "parked",
        "queue",
        "reason",
        "recent",
        "spec",
        "special",
        "stopping",
        "suspended",
        "system",
        "task",
        "tracer",
    )

    def __init__(self, spec: ChildSpec, system: System) -> None:
        self.spec = spec
        self.system = system
        self.task: trio.lowlevel.Task | None = None
        self.queue: deque[Entry] = deque()
        self.open = True
        self.down = False
        self.parked = False
        self.reason: ExitReason | None = None
        self.stopping: ExitReason | None = None
        self.current: From | None = None
        self.deferred: Deferred | None = None
        self.suspended = False
        self.recent: deque[Entry] | None = None if spec.quarantine is None else deque(maxlen=spec.quarantine.keep)
        self.special = self.recent is not None
        self.tracer: Tracer | None = None
        self.handled = 0
        self._now = system.now
        self._capacity = spec.policy.capacity
        self._blocked: deque[tuple[Entry, From | _Sender]] | None = None
        self._mark = self._peak = 0
        self._above_high_water = False

    async def call(self, request: Call[R], timeout: float | None = 5.0) -> R:  # noqa: ASYNC109 - OTP's own argument
        task = current_task()
        if not self.open:
            raise ServerDown(self, self._why_closed())
        target = self.task
        if target is not None and (target is task or target.custom_sleep_data is not None):
            self.refuse_a_circle(task)
        caller = From(self, task, timeout)
        now = self._now()
        entry: Entry = (caller, request, now)
        queue = self.queue
        depth = len(queue)
        if depth < self._mark or self._admits(depth, entry, caller):
            queue.append(entry)
        if self.parked:
            self.parked = False
            reschedule(self.task)  # type: ignore[arg-type]  # who is parked has a task
        if timeout is not None:
            self.system.timers.add(now + timeout, caller)
        task.custom_sleep_data = caller
        await wait_task_rescheduled(caller.abandon)
        outcome: R = caller.outcome()
        return outcome

    async def cast(self, message: object) -> None:
        if not self.open:
            return
        queue = self.queue
        depth = len(queue)
        entry = (CAST, message, self._now())
        if depth >= self._mark:
            sender = _Sender(current_task())
            if not self._admits(depth, entry, sender):
                if sender.waits:
                    await wait_task_rescheduled(sender.abandon)
                return
        queue.append(entry)
        if self.parked:
            self.parked = False
            reschedule(self.task)  # type: ignore[arg-type]

    def cast_nowait(self, message: object) -> None:
        self._put_nowait(CAST, message)

    def send(self, message: object) -> None:
        self._put_nowait(INFO, message)

    def post(self, message: object) -> None:
        if not self.down:
            self.queue.append((CONTROL, message, self._now()))
            self._wake()

    def _put_nowait(self, tag: Tag, message: object) -> None:
        if not self.open:
            return
        depth = len(self.queue)
        entry = (tag, message, self._now())
        if depth < self._mark or self._admits(depth, entry, None):
            self.queue.append(entry)
            self._wake()

    def ask(self, message: SystemMessage) -> None:
        """Have `message` delivered between two messages of the actor. For the runtime."""
        if self.down:
            message.give_up(self._why_closed())
        else:
            self.queue.append((SYSTEM, message, self._now()))
            self._wake()

    def refuse_a_circle(self, task: trio.lowlevel.Task) -> None:
        """Raise if this actor waits for `task`, directly or over others: a call from `task` would close a circle.

        A reply that was put off may come from elsewhere, so whoever waits for one waits for nobody in particular. Some
        may wait for each other's end; that circle is not ours.
        """
        path: dict[Inbox, str] = {}
        target = self
        while target.task is not task:
            path[target] = str(target)
            waits = None if target.task is None else target.task.custom_sleep_data
            if isinstance(waits, From):
                waits = None if waits.deferred else waits.ref
            if not isinstance(waits, Inbox) or waits in path:
                return
            target = waits
        raise CallCycle(target, tuple(path.values())) if path else SelfCall(self)

    def _wake(self) -> None:
        if self.parked and self.task is not None:
            self.parked = False
            reschedule(self.task)

    def _why_closed(self) -> ExitReason:
        return NoProc() if self.down or self.reason is None else self.reason

    # A crowded mailbox: the slow path

    def _admits(self, depth: int, entry: Entry, waiter: From | _Sender | None) -> bool:
        """May `entry` be appended now? If not, it was seen to: put in line with `waiter`, or diverted."""
        policy = self.spec.policy
        if depth >= self._capacity or self._blocked is not None:
            if policy.overflow == "drop_oldest":
                self._drop_oldest()
            elif policy.overflow == "block" and waiter is not None:
                if self._blocked is None:
                    self._blocked = deque()
                self._blocked.append((entry, waiter))
                self.special = True
                self._set_mark()
                if isinstance(waiter, _Sender):
                    waiter.waits = True
                return False
            elif policy.divert_to is not None and not isinstance(waiter, From):
                self._divert(policy.divert_to, entry)
                return False
            else:
                raise MailboxFull(self, self._capacity)
        self._peak = max(self._peak, min(depth + 1, self._capacity))
        if depth + 1 >= policy.high_mark and not self._above_high_water:
            self._above_high_water = self.special = True
            age = entry[2] - self.queue[0][2] if self.queue else 0.0
            self.system.events.emit(
                HighWaterReport(actor=self, depth=depth + 1, capacity=self._capacity, oldest_age=age)
            )
        self._set_mark()
        return True

    def _set_mark(self) -> None:
        mark = min(self._peak, self._capacity)
        if self._blocked is not None:
            mark = 0  # whoever comes now stands in line as well
        elif not self._above_high_water:
            mark = min(mark, self.spec.policy.high_mark - 1)
        self._mark = mark

    def _divert(self, name: str, entry: Entry) -> None:
        """Hand `entry` to the actor of that name; if that is full as well, its own policy decides. Never twice."""
        other, message = self.system.whereis(name), entry[1]
        been: list[ActorRef] = [self]
        while isinstance(message, Diverted):
            been.append(message.ref)
            message = message.message
        if other is None or other in been:
            raise MailboxFull(self, self._capacity)
        other.cast_nowait(Diverted(self, entry[1]))

    def _drop_oldest(self) -> None:
        for index, (tag, _, _) in enumerate(self.queue):
            if tag is CAST or tag is INFO or isinstance(tag, From):
                del self.queue[index]
                if isinstance(tag, From):
                    tag.end(MailboxFull(self, self._capacity))
                return

    async def attend(self) -> None:
        """Do what `special` stands for, before the next message is taken."""
        while self.suspended and self.stopping is None and await self._work_while_suspended():
            pass
        self._relieve()
        if self.queue:
            if self.tracer is not None:
                self.tracer.see(self, self.queue[0])
            if self.recent is not None and self.queue[0][0] not in (SYSTEM, EXIT):
                self.recent.append(self.queue[0])
        self.note_special()

    async def _work_while_suspended(self) -> bool:
        """Wait for a system message and see to it; False if an exit came, which is then the next message."""
        for index, (tag, message, _) in enumerate(self.queue):
            if tag is EXIT:
                self.queue.rotate(-index)
                self.suspended = False
                return False
            if isinstance(message, SystemMessage):
                del self.queue[index]
                await message.deliver(self)
                return True
        self.parked = True
        await wait_task_rescheduled(self.unpark)
        return True

    def note_special(self) -> None:
        """Set `special` anew."""
        crowded = self._above_high_water or self._blocked is not None
        self.special = crowded or self.suspended or self.tracer is not None or self.recent is not None

    def _relieve(self) -> None:
        """Let senders in who wait for room; forget the high-water mark once the mailbox is empty."""
        queue, blocked = self.queue, self._blocked
        while blocked and len(queue) < self._capacity:
            entry, waiter = blocked.popleft()
            if waiter.live:
                queue.append(entry)
                if isinstance(waiter, _Sender):
                    waiter.wake()
        if not blocked:
            self._blocked = None
        if not queue:
            self._above_high_water = False
        self._set_mark()

    def mailbox_statistics(self) -> MailboxStatistics:
        """The mailbox as it stands."""
        return MailboxStatistics(
            depth=len(self.queue),
            high_water=self._peak,
            oldest_age=max(0.0, self._now() - self.queue[0][2]) if self.queue else 0.0,
            blocked=0 if self._blocked is None else len(self._blocked),
            capacity=self._capacity,
            handled=self.handled,
        )

    def fail_callers(self, reason: ExitReason) -> None:
        if self.current is not None:
            self.current.server_down(reason)
            self.current = None
        for caller in () if self.deferred is None else tuple(self.deferred.callers):
            caller.server_down(reason)
        for tag, message, _ in self.queue:
            if isinstance(tag, From):
                tag.server_down(reason)
            elif isinstance(message, SystemMessage):
                message.give_up(reason)
        self.queue.clear()
        for _, waiter in self._blocked or ():
            if isinstance(waiter, From):
                waiter.server_down(reason)
            else:
                waiter.wake()
        self._blocked = None

    def owe(self, caller: From) -> None:
        """The callback is over and `caller` still waits: it learns of our end if no reply comes before."""
        if self.deferred is None:
            self.deferred = Deferred()
        caller.defer(self.deferred)

    def unpark(self, _raise_cancel: object) -> Abort:
        """Cancelled while parked."""
        self.parked = False
        return Abort.SUCCEEDED


def word_of(entry: Entry) -> str:
    """How a message came: `call`, `cast`, `info` or `control`."""
    return "call" if isinstance(entry[0], From) else entry[0].word


def kind_of(entry: Entry) -> str:
    """How it came and what it is: `cast Say`."""
    return f"{word_of(entry)} {type(entry[1]).__name__}"
