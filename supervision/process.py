"""One life of one actor: its mailbox, its task, and its end (OTP: a process).

Rules
- A process is its own boundary. Nothing that happens inside leaves its task as an exception: it becomes the reason.
- It goes `starting → running → stopping → down`, never back. A restart is another process.
- Its end is one synchronous step (`_finish`), in this order: names and registries are free; callers get `ServerDown`;
  monitors and waiters learn of it; its supervisor learns of it. So whoever hears of a death can act on it at once.
- Two scopes, one at a time: one around init and the loop, one around `terminate`. Killing cancels whichever is open and
  skips `terminate`. Cancellation from further out (its supervisor was killed) is a kill.
- Linked tasks (`spawn`) run in the supervisor's nursery and are tied to the process by hand: a nursery for each actor
  would cost every one of 20,000 connections what a few of them use (decision 004). What they raise breaks the process;
  when it ends, they are cancelled and waited for before anybody is told.

The mailbox is one deque of `(tag, message, time)`, where the tag is `CAST`, `INFO`, `CONTROL`, `EXIT` or the caller's
slot. Order is kept over all of them: who told an actor something and then ended is heard in that order. `CONTROL` and
`EXIT` are not subject to the capacity. Only depths from `_mark` on take the slow path: the mark is the smallest depth
at which there is something to do (a new maximum, the high-water mark, a full box).

Cases at the one place where a process parks: a message arrives (woken by the sender); it is killed or its supervisor is
(cancelled; `unpark`); its receive timeout ends (woken by the timer). All others are the callbacks' own awaits.
"""

from abc import abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from math import inf
from typing import ClassVar, Final, TypeAlias, TypeVar

import trio
from trio.lowlevel import Abort, current_task, reschedule, wait_task_rescheduled

from ._core.reasons import ExitReason, Killed, NoProc, Normal, consequences, crash
from ._core.specs import ChildSpec, Startable
from .errors import Exit, MailboxFull, SelfCall, ServerDown
from .events import CrashReport, HighWaterReport
from .messages import Call, Continue, Ignore
from .ref import ActorRef
from .reply import Deferred, From
from .snapshot import MailboxStatistics, Scalar, Status, Tree
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
EXIT: Final = Tag("exit")

Entry: TypeAlias = tuple[Tag | From, object, float]

TERMINATE_LIMIT: Final = 5.0
"""Seconds for `terminate` where the spec names none (brutal_kill, and the actor ended by itself)."""


class ChildExit:
    """Told to a supervisor when one of its children that had started is down."""

    __slots__ = ("process", "reason")

    def __init__(self, process: "Process", reason: ExitReason) -> None:
        self.process = process
        self.reason = reason


class Body(Startable):
    """What a process runs; `Actor` implements it, its kinds fill it in."""

    __slots__ = ()
    hosts_children: ClassVar[bool] = False

    @abstractmethod
    def bind(self, process: "Process") -> None:
        """The process that runs this body, before `init`."""

    async def init(self) -> Ignore | Continue | None:
        """Set up. The starter waits for it. Raising refuses to start: `StartError` at the starter, the name is free.

        `IGNORE`: not needed, the spec is kept. `Continue(value)`: the rest is done after the starter went on.
        """
        return None

    @abstractmethod
    async def loop(self, first: Continue | None) -> ExitReason:
        """Handle messages until there is a reason to end."""

    async def terminate(self, reason: ExitReason) -> None:
        """Clean up, within the shutdown time. Runs on every end but a kill, and only if `init` went through."""

    def told_to_exit(self) -> None:
        """An exit was asked for; a supervisor that waits for a child's start gives that start up."""

    def describe_children(self, limit: int | None) -> tuple[tuple[Tree, ...], int]:
        """The children's snapshots and how many were left out."""
        return (), 0

    @property
    def strategy_name(self) -> str | None:
        """A supervisor's strategy."""
        return None

    def statistics(self) -> Mapping[str, Scalar]:
        """What the actor tells about itself in snapshots; must be quick."""
        return {}


class _Sender:
    """Who waits to cast into a full mailbox."""

    __slots__ = ("task",)

    def __init__(self, task: trio.lowlevel.Task) -> None:
        self.task: trio.lowlevel.Task | None = task

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


class Process(ActorRef):
    """See the module. Users hold it as an `ActorRef`; the attributes are the runtime's."""

    __slots__ = (
        "__weakref__",
        "_above_high_water",
        "_blocked",
        "_broken",
        "_capacity",
        "_cleanups",
        "_down",
        "_killed",
        "_leaving",
        "_linked",
        "_linked_done",
        "_mark",
        "_now",
        "_peak",
        "_scope",
        "_serial",
        "_starter",
        "_watchers",
        "actor",
        "crowded",
        "current",
        "deferred",
        "handled",
        "home",
        "idle",
        "ignored",
        "nursery",
        "open",
        "parent",
        "parked",
        "queue",
        "ready",
        "reason",
        "restarts",
        "spec",
        "stopping",
        "system",
        "task",
    )

    def __init__(self, spec: ChildSpec, system: System, parent: "Process | None", home: trio.Nursery) -> None:
        self.spec = spec
        self.system = system
        self.parent = parent
        self.home = home
        self.nursery: trio.Nursery | None = None
        self.actor: Body | None = None
        self.task: trio.lowlevel.Task | None = None
        self.queue: deque[Entry] = deque()
        self.open = True
        self.parked = False
        self.ready = False
        self.ignored = False
        self.reason: ExitReason | None = None
        self.stopping: ExitReason | None = None
        self.current: From | None = None
        self.deferred: Deferred | None = None
        self.crowded = False
        self.idle: float | None = None
        self.handled = 0
        self.restarts = 0
        self._serial = next(system.serials)
        self._now = system.now
        self._capacity = spec.policy.capacity
        self._blocked: deque[tuple[Entry, From | _Sender]] | None = None
        self._mark = self._peak = 0
        self._above_high_water = False
        self._down = False
        self._killed = self._leaving = False
        self._broken: ExitReason | None = None
        self._scope: trio.CancelScope | None = None
        self._starter: trio.lowlevel.Task | None = None
        self._linked: set[trio.CancelScope] | None = None
        self._linked_done: trio.Event | None = None
        self._cleanups: dict[object, Callable[[ExitReason], None]] | None = None
        self._watchers: dict[object, Callable[[ExitReason], None]] | None = None

    def __repr__(self) -> str:
        return f"<{self.id}>"

    @property
    def id(self) -> str:
        return f"{self.spec.id}.{self._serial}"

    @property
    def name(self) -> str | None:
        return self.spec.name

    @property
    def path(self) -> str:
        """Its place in the tree: the ids from the root down."""
        above = "" if self.parent is None else f"{self.parent.path}/"
        return above + self.spec.id

    @property
    def alive(self) -> bool:
        return not self._down

    @property
    def kind(self) -> str:
        """The actor's class."""
        return "" if self.actor is None else type(self.actor).__name__

    @property
    def status(self) -> Status:
        """Where in its life it is."""
        if self._down:
            return "down"
        if not self.open:
            return "stopping"
        return "running" if self.ready else "starting"

    # Messages in

    async def call(self, request: Call[R], timeout: float | None = 5.0) -> R:  # noqa: ASYNC109 - OTP's own argument
        task = current_task()
        if task is self.task:
            raise SelfCall(self)
        if not self.open:
            raise ServerDown(self, self._why_closed())
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
        if not self._down:
            self.queue.append((CONTROL, message, self._now()))
            self._wake()

    def exit(self, reason: ExitReason) -> None:
        if isinstance(reason, Killed):
            self.kill()
        elif self.open:
            self.open = False
            self.reason = reason
            self.queue.append((EXIT, reason, self._now()))
            self._wake()
            if self.actor is not None:
                self.actor.told_to_exit()

    def kill(self) -> None:
        if not self._down:
            self._killed = True
            self._close(Killed())
            if self._scope is not None:
                self._scope.cancel()

    def _put_nowait(self, tag: Tag, message: object) -> None:
        if not self.open:
            return
        depth = len(self.queue)
        entry = (tag, message, self._now())
        if depth < self._mark or self._admits(depth, entry, None):
            self.queue.append(entry)
            self._wake()

    def _wake(self) -> None:
        if self.parked and self.task is not None:
            self.parked = False
            reschedule(self.task)

    def _why_closed(self) -> ExitReason:
        return NoProc() if self._down or self.reason is None else self.reason

    # A crowded mailbox: the slow path

    def _admits(self, depth: int, entry: Entry, waiter: From | _Sender | None) -> bool:
        """May `entry` be appended now? If not, `waiter` was put in line behind the full mailbox."""
        policy = self.spec.policy
        if depth >= self._capacity:
            if policy.overflow == "drop_oldest":
                self._drop_oldest()
            elif policy.overflow == "block" and waiter is not None:
                if self._blocked is None:
                    self._blocked = deque()
                self._blocked.append((entry, waiter))
                self.crowded = True
                return False
            else:
                raise MailboxFull(self, self._capacity)
        self._peak = max(self._peak, min(depth + 1, self._capacity))
        if depth + 1 >= policy.high_mark and not self._above_high_water:
            self._above_high_water = self.crowded = True
            self.system.events.emit(HighWaterReport(actor=self, depth=depth + 1, capacity=self._capacity))
        self._set_mark()
        return True

    def _set_mark(self) -> None:
        mark = min(self._peak, self._capacity)
        self._mark = mark if self._above_high_water else min(mark, self.spec.policy.high_mark - 1)

    def _drop_oldest(self) -> None:
        for index, (tag, _, _) in enumerate(self.queue):
            if tag is CAST or tag is INFO or isinstance(tag, From):
                del self.queue[index]
                if isinstance(tag, From):
                    tag.end(MailboxFull(self, self._capacity))
                return

    def relieve(self) -> None:
        """For a crowded one: let senders in who wait for room; forget the high-water mark once the mailbox is empty."""
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
        self.crowded = self._above_high_water or self._blocked is not None

    # Watching it

    def at_down(self, callback: Callable[[ExitReason], None]) -> Callable[[], None]:
        if self._cleanups is None:
            self._cleanups = {}
        return _enter(self._cleanups, callback)

    def watch(self, callback: Callable[[ExitReason], None]) -> Callable[[], None]:
        if self._down:
            callback(NoProc())
            return _nothing
        if self._watchers is None:
            self._watchers = {}
        return _enter(self._watchers, callback)

    async def wait_down(self) -> ExitReason:
        if not self._down:
            task = current_task()
            forget = self.watch(lambda _reason: reschedule(task))

            def abandon(_raise_cancel: object) -> Abort:
                forget()
                return Abort.SUCCEEDED

            await wait_task_rescheduled(abandon)
        return NoProc() if self.reason is None else self.reason

    def resolve(self) -> ActorRef | None:
        return self

    def describe(self, limit: int | None = None) -> Tree:
        actor = self.actor
        children, omitted = ((), 0) if actor is None else actor.describe_children(limit)
        return Tree(
            spec=self.spec.id,
            id=self.id,
            name=self.spec.name,
            kind=self.kind,
            status=self.status,
            strategy=None if actor is None else actor.strategy_name,
            restarts=self.restarts,
            mailbox=self.mailbox_statistics(),
            statistics={} if actor is None else actor.statistics(),
            children=children,
            omitted=omitted,
        )

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

    # Its life

    async def wait_ready(self) -> bool:
        """Wait until it runs; False if it ended before that, or was not needed (`ignored`). One waiter: its starter."""
        if not self.ready and not self._down:
            self._starter = current_task()
            await wait_task_rescheduled(self._forget_starter)
        return self.ready

    def _forget_starter(self, _raise_cancel: object) -> Abort:
        self._starter = None
        return Abort.SUCCEEDED

    async def run(self) -> None:
        """The task of this process."""
        self.task = current_task()
        reason: ExitReason = Killed()
        try:
            if not self._killed:
                reason = await self._run_body()
        except trio.Cancelled:
            reason = Killed()
            raise
        except BaseException as raised:  # noqa: BLE001 - the boundary of the actor: it ends here, as a reason
            reason = self._caught(raised)
        finally:
            self._close(reason)
            self._leaving = True
            if self._linked:
                await self._end_linked()
            self._finish(reason)

    async def _run_body(self) -> ExitReason:
        actor = self.spec.start()
        if not isinstance(actor, Body):
            raise TypeError(f"child {self.spec.id!r}: start gave a {type(actor).__name__}, which is no actor")
        self.actor = actor
        actor.bind(self)
        if not actor.hosts_children:
            return await self._live(actor)
        async with trio.open_nursery() as self.nursery:
            reason = await self._live(actor)
            self.nursery.cancel_scope.cancel()
        return reason

    async def _live(self, actor: Body) -> ExitReason:
        reason: ExitReason | None = None
        with trio.CancelScope() as self._scope:
            reason = await self._work(actor)
        if self._killed:
            return Killed()
        if reason is None or self._broken is not None:
            reason = self._broken or Killed()
        self._close(reason)
        self._leaving = True
        if not self.ready or type(actor).terminate is Body.terminate:
            return reason
        return await self._leave(actor, reason)

    async def _work(self, actor: Body) -> ExitReason:
        try:
            answer = await actor.init()
            if isinstance(answer, Ignore):
                self.ignored = True
                return Normal()
            self.ready = True
            if self._starter is not None:
                reschedule(self._starter)
                self._starter = None
            return await actor.loop(answer)
        except trio.Cancelled:
            raise
        except BaseException as raised:  # noqa: BLE001 - a callback failed: that is what a reason is for
            return self._caught(raised)

    async def _leave(self, actor: Body, reason: ExitReason) -> ExitReason:
        """Let the actor clean up, within its shutdown time; a supervisor's children have theirs."""
        limit = self.spec.shutdown_time
        if limit == "infinity" or actor.hosts_children:
            seconds = inf
        else:
            seconds = limit if isinstance(limit, (int, float)) else TERMINATE_LIMIT
        ended: ExitReason = Killed()
        with trio.CancelScope(deadline=self._now() + seconds) as self._scope:
            try:
                await actor.terminate(reason)
                ended = reason
            except trio.Cancelled:
                raise
            except BaseException as raised:  # noqa: BLE001 - as above
                ended = self._caught(raised)
        return Killed() if self._killed else ended

    def _caught(self, raised: BaseException) -> ExitReason:
        if isinstance(raised, BaseExceptionGroup):
            real = raised.split(trio.Cancelled)[1]
            if real is None:
                raise raised
            raised = real
        reason = crash(raised)
        if isinstance(reason.exception, Exit):
            return reason.exception.reason
        if not isinstance(reason.exception, Exception):
            self.system.interrupt(reason.exception)
        return reason

    def _close(self, reason: ExitReason) -> None:
        """From now on it takes no message and no call."""
        self.open = False
        self.reason = reason

    # Tasks of its own

    def spawn(self, async_fn: Callable[..., Awaitable[object]], *args: object) -> trio.CancelScope:
        """Run a task linked to this process; returns the scope that ends it."""
        scope = trio.CancelScope()
        if self._linked is None:
            self._linked = set()
        self._linked.add(scope)
        self.home.start_soon(self._run_linked, scope, async_fn, args, name=self.spec.id)
        return scope

    async def _run_linked(
        self, scope: trio.CancelScope, async_fn: Callable[..., Awaitable[object]], args: tuple[object, ...]
    ) -> None:
        try:
            with scope:
                try:
                    await async_fn(*args)
                except trio.Cancelled:
                    raise
                except BaseException as raised:  # noqa: BLE001 - what a linked task raises is the actor's crash
                    self._break(self._caught(raised))
        finally:
            if self._linked is not None:
                self._linked.discard(scope)
                if not self._linked and self._linked_done is not None:
                    self._linked_done.set()

    def _break(self, reason: ExitReason) -> None:
        """A linked task failed. While the actor is leaving anyway, its tasks are about to be cancelled: no news."""
        if self._broken is None and not self._leaving:
            self._broken = reason
            self._close(reason)
            if self._scope is not None:
                self._scope.cancel()

    async def _end_linked(self) -> None:
        self._linked_done = trio.Event()
        for scope in tuple(self._linked or ()):
            scope.cancel()
        with trio.CancelScope(shield=True):
            await self._linked_done.wait()

    # Its end

    @trio.lowlevel.enable_ki_protection
    def _finish(self, reason: ExitReason) -> None:
        self.reason = reason
        self._down = True
        kind, self.actor = self.kind, None
        _run_all(self._cleanups, reason)
        if self.ready and consequences(reason).logged:
            self.system.events.emit(CrashReport(actor=self, kind=kind, reason=reason, handled=self.handled))
        self._fail_callers(reason)
        _run_all(self._watchers, reason)
        self._cleanups = self._watchers = None
        if self.parent is not None and self.ready:
            self.parent.post(ChildExit(self, reason))
        if self._starter is not None:
            reschedule(self._starter)
            self._starter = None

    def _fail_callers(self, reason: ExitReason) -> None:
        if self.current is not None:
            self.current.server_down(reason)
            self.current = None
        for caller in () if self.deferred is None else tuple(self.deferred.callers):
            caller.server_down(reason)
        for tag, _, _ in self.queue:
            if isinstance(tag, From):
                tag.server_down(reason)
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


def _enter(
    callbacks: dict[object, Callable[[ExitReason], None]], callback: Callable[[ExitReason], None]
) -> Callable[[], None]:
    key = object()
    callbacks[key] = callback
    return lambda: callbacks.pop(key, None) and None


def _run_all(callbacks: dict[object, Callable[[ExitReason], None]] | None, reason: ExitReason) -> None:
    while callbacks:
        callbacks.pop(next(iter(callbacks)))(reason)


def _nothing() -> None:
    return None
