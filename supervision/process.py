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
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from math import inf
from typing import Final

import trio
from trio.lowlevel import Abort, current_task, reschedule, wait_task_rescheduled

from ._core.reasons import ExitReason, Killed, NoProc, Normal, consequences, crash
from ._core.specs import ChildSpec
from .body import Body
from .errors import Exit, ServerDown
from .events import LOGGER, CrashReport, ProgressReport
from .inbox import EXIT, Entry, Inbox, SystemMessage
from .linked import LinkedTasks
from .messages import Ignore
from .ref import ActorRef
from .snapshot import Scalar, Status, Tree
from .system import System

TERMINATE_LIMIT: Final = 5.0
"""Seconds for `terminate` of an actor that ends by itself and would be killed if told to (brutal_kill)."""


class ChildExit:
    """Told to a supervisor when one of its children that had started is down."""

    __slots__ = ("process", "reason")

    def __init__(self, process: "Process", reason: ExitReason) -> None:
        self.process = process
        self.reason = reason


class LinkedExit(SystemMessage):
    """To an actor that traps exits: one it is linked to is down."""

    __slots__ = ("reason", "ref")
    is_news = True

    def __init__(self, ref: ActorRef, reason: ExitReason) -> None:
        self.ref = ref
        self.reason = reason

    async def deliver(self, process: Inbox) -> None:
        if isinstance(process, Process) and process.actor is not None:
            await process.actor.linked_exit(self.ref, self.reason)


class Process(Inbox):
    """See the module. Users hold it as an `ActorRef`; the attributes are the runtime's."""

    __slots__ = (
        "__weakref__",
        "_broken",
        "_cleanups",
        "_killed",
        "_leaving",
        "_linked",
        "_scope",
        "_serial",
        "_watchers",
        "actor",
        "at_start",
        "culprit",
        "home",
        "idle",
        "ignored",
        "nursery",
        "parent",
        "ready",
        "restarts",
        "since",
        "told",
    )

    def __init__(self, spec: ChildSpec, system: System, parent: "Process | None", home: trio.Nursery) -> None:
        super().__init__(spec, system)
        self.parent = parent
        self.home = home
        self.nursery: trio.Nursery | None = None
        self.actor: Body | None = None
        self.ready = self.told = False
        self.ignored = False
        self.idle: float | None = None
        self.restarts = 0
        self.since: float | None = None
        self.at_start: Callable[[], None] | None = None
        self.culprit: Entry | None = None
        self._serial = next(system.serials)
        self._killed = self._leaving = False
        self._broken: ExitReason | None = None
        self._scope: trio.CancelScope | None = None
        self._linked: LinkedTasks | None = None
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
        return not self.down

    @property
    def running(self) -> bool:
        return self.ready and self.open

    @property
    def kind(self) -> str:
        """The actor's class."""
        return "" if self.actor is None else type(self.actor).__name__

    @property
    def status(self) -> Status:
        """Where in its life it is."""
        if self.down:
            return "down"
        if not self.open:
            return "stopping"
        if self.suspended:
            return "suspended"
        return "running" if self.ready else "starting"

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
        if not self.down:
            self._killed = True
            self._cut_short(Killed())

    # Watching it

    def at_down(self, callback: Callable[[ExitReason], None]) -> Callable[[], None]:
        if self._cleanups is None:
            self._cleanups = {}
        return _enter(self._cleanups, callback)

    def watch(self, callback: Callable[[ExitReason], None]) -> Callable[[], None]:
        if self.down:
            callback(NoProc())
            return _nothing
        if self._watchers is None:
            self._watchers = {}
        return _enter(self._watchers, callback)

    @property
    def watched(self) -> int:
        """How many monitors, links and waiters wait for its end."""
        return len(self._watchers or ())

    async def wait_down(self) -> ExitReason:
        if not self.down:
            task = current_task()
            forget = self.watch(lambda _reason: reschedule(task))

            def abandon(_raise_cancel: object) -> Abort:
                forget()
                return Abort.SUCCEEDED

            task.custom_sleep_data = self
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
            age=0.0 if self.since is None else self._now() - self.since,
            mailbox=self.mailbox_statistics(),
            statistics={} if actor is None else _statistics_of(actor),
            children=children,
            omitted=omitted,
        )

    def shutdown_budget(self) -> float:
        """Seconds it may take to end in order, at most, all below included."""
        actor = self.actor
        own = self.spec.shutdown_time
        if own == "brutal_kill":
            return 0.0
        seconds = inf if own == "infinity" else own
        return seconds if actor is None or not actor.hosts_children else min(seconds, actor.children_budget())

    # Its life

    async def wait_ready(self) -> bool:
        """Wait until it runs; False if it ended before that, or was not needed (`ignored`). One waiter: its starter."""
        if not self.ready and not self.down:
            starter = current_task()
            self.at_start = partial(reschedule, starter)
            starter.custom_sleep_data = self
            await wait_task_rescheduled(self._forget_starter)
        return self.ready

    def _stands(self) -> None:
        """`init` went through: all who wait for that learn of it in this one step, so none sees less than another."""
        self.ready = True
        self.since = self._now()
        events = self.system.events
        if events.wants(ProgressReport):
            events.emit(ProgressReport(supervisor=self.parent, child=self))
        self._tell_starter()

    def _tell_starter(self) -> None:
        """It stands, or is down without having stood."""
        at_start, self.at_start = self.at_start, None
        if at_start is not None:
            at_start()

    def _forget_starter(self, _raise_cancel: object) -> Abort:
        self.at_start = None
        return Abort.SUCCEEDED

    async def run(self) -> None:
        """The task of this process."""
        self.task = current_task()
        reason: ExitReason = Killed()
        try:
            if not self._killed:
                self.actor = actor = self._construct()
                if not actor.hosts_children:
                    reason = await self._live(actor)
                else:
                    async with trio.open_nursery() as self.nursery:
                        reason = await self._live(actor)
                        self.nursery.cancel_scope.cancel()
        except trio.Cancelled:
            reason = Killed()
            raise
        except BaseException as raised:  # noqa: BLE001 - the boundary of the actor: it ends here, as a reason
            reason = self._caught(raised)
        finally:
            self._close(reason)
            self._leaving = True
            if self._linked is not None:
                await self._linked.end()
            self._finish(reason)

    def _construct(self) -> Body:
        actor = self.spec.start()
        if not isinstance(actor, Body):
            raise TypeError(f"child {self.spec.id!r}: start gave a {type(actor).__name__}, which is no actor")
        actor.bind(self)
        return actor

    async def _live(self, actor: Body) -> ExitReason:
        reason: ExitReason | None = None
        with trio.CancelScope() as self._scope:
            try:
                answer = await actor.init()
                if isinstance(answer, Ignore):
                    self.ignored, reason = True, Normal()
                elif not self._killed and self._broken is None:
                    self._stands()
                    reason = await actor.loop(answer)
            except trio.Cancelled:
                raise
            except BaseException as raised:  # noqa: BLE001 - a callback failed: that is what a reason is for
                self.culprit = self.recent[-1] if self.recent else None
                reason = self._caught(raised)
        if self._killed:
            return Killed()
        if reason is None or self._broken is not None:
            reason = self._broken or Killed()
        self._close(reason)
        self._leaving = True
        if not self.ready or type(actor).terminate is Body.terminate:
            return reason
        return await self._leave(actor, reason)

    async def _leave(self, actor: Body, reason: ExitReason) -> ExitReason:
        """Let the actor clean up, within its shutdown time; a supervisor's children have theirs."""
        seconds = inf if actor.hosts_children else actor.terminate_within
        if seconds is None:
            limit = self.spec.shutdown_time
            seconds = {"infinity": inf, "brutal_kill": TERMINATE_LIMIT}[limit] if isinstance(limit, str) else limit
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

    def _cut_short(self, reason: ExitReason) -> None:
        """Let whatever runs be cancelled; and if that is a callback which does not wait, let it be the last."""
        self._close(reason)
        self.stopping = reason
        if self._scope is not None:
            self._scope.cancel()

    def _close(self, reason: ExitReason) -> None:
        """From now on it takes no message and no call."""
        self.open = False
        self.reason = reason

    # Tasks of its own

    def end_of_linked(self, ref: ActorRef, reason: ExitReason) -> None:
        """An actor this one is linked to is down."""
        if self.actor is not None and self.actor.traps_exits:
            self.ask(LinkedExit(ref, reason))
        elif consequences(reason).links_exit:
            self.break_with(reason)

    def stop(self, reason: ExitReason) -> None:
        """Leave as soon as the callback that runs is over; at once if none does."""
        if self.stopping is None:
            self.stopping = reason
            self._wake()

    def spawn(self, async_fn: Callable[..., Awaitable[object]], *args: object) -> trio.CancelScope:
        """Run a task linked to this process; returns the scope that ends it. Raises `ServerDown` once it is down."""
        if self.down:
            raise ServerDown(self, self._why_closed())
        if self._linked is None:
            self._linked = LinkedTasks(self)
        return self._linked.spawn(self.home, self.spec.id, self._task_failed, async_fn, args)

    def _task_failed(self, raised: BaseException) -> None:
        """A linked task failed. While the actor is leaving anyway, its tasks are about to be cancelled: no news."""
        self.break_with(self._caught(raised))

    def break_with(self, reason: ExitReason) -> None:
        """End for a cause outside the callbacks: whatever runs is cancelled, then `terminate` runs with `reason`."""
        if self._broken is None and not self._leaving:
            self._broken = reason
            self._cut_short(reason)
            if self.actor is not None:
                self.actor.told_to_exit()

    # Its end

    @trio.lowlevel.enable_ki_protection
    def _finish(self, reason: ExitReason) -> None:
        self.reason = reason
        self.down = True
        kind, self.actor = self.kind, None
        _run_all(self._cleanups, reason)
        unexpected = not isinstance(reason, Killed) or (self._killed and not self.told)
        if self.ready and consequences(reason).logged and unexpected:
            self.system.events.emit(CrashReport(actor=self, kind=kind, reason=reason, handled=self.handled))
        self.fail_callers(reason)
        _run_all(self._watchers, reason)
        self._cleanups = self._watchers = None
        self._scope = self._linked = self.deferred = self.tracer = None
        if self.parent is not None and self.ready:
            self.parent.post(ChildExit(self, reason))
        self._tell_starter()


def _enter(
    callbacks: dict[object, Callable[[ExitReason], None]], callback: Callable[[ExitReason], None]
) -> Callable[[], None]:
    key = object()
    callbacks[key] = callback
    return lambda: callbacks.pop(key, None) and None


def _run_all(callbacks: dict[object, Callable[[ExitReason], None]] | None, reason: ExitReason) -> None:
    while callbacks:
        callback = callbacks.pop(next(iter(callbacks)))
        try:
            callback(reason)
        except Exception:  # noqa: BLE001 - the end of an actor must reach everybody else who waits for it
            LOGGER.exception("a callback for the end of an actor failed")


def _statistics_of(actor: Body) -> Mapping[str, Scalar]:
    try:
        return dict(actor.statistics())
    except Exception as error:  # noqa: BLE001 - a picture of the tree must not fail, nor crash who takes it
        return {"statistics_failed": repr(error)}


def _nothing() -> None:
    return None
