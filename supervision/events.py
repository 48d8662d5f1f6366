"""What the runtime tells about itself: structured reports to plain synchronous subscribers (rows A28, A22, A27).

Rules
- A report is a frozen value. Subscribers are called in the order they came, inside the step that caused the report:
  they must be quick and must not wait. Slow consumers put the report into their own queue.
- A subscriber that raises is dropped and reported to the others: reporting must never hurt what is reported on.
- A snapshot is costly, so a report that carries one is only built if somebody asked for its kind (`wants`).
- A system logs what is listed in `LOGGED_BY_DEFAULT` to the logger `supervision` unless it is told not to.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ._core.reasons import Crash, ExitReason, Normal, Shutdown
from .ref import ActorRef
from .snapshot import Tree

LOGGER = logging.getLogger("supervision")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressReport:
    """A child stands: its `init` went through. OTP: progress report."""

    supervisor: ActorRef | None
    child: ActorRef


@dataclass(frozen=True, slots=True, kw_only=True)
class CrashReport:
    """An actor ended in a way that is worth a line in the log. OTP: crash report."""

    actor: ActorRef
    kind: str
    reason: ExitReason
    handled: int


SupervisorContext = Literal["child_terminated", "start_error", "shutdown", "shutdown_error"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorReport:
    """A supervisor had to do something. OTP: supervisor report, with its error contexts.

    `child_terminated` a child ended and that matters · `start_error` a child did not start · `shutdown` too many
    restarts, the supervisor ends · `shutdown_error` a child ended otherwise than it was told to.
    `tree` shows the whole tree as it stood, wide supervisors cut.
    """

    supervisor: ActorRef
    context: SupervisorContext
    child: str
    reason: ExitReason
    tree: Tree | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StuckReport:
    """A child was told to end, then cancelled, and still runs after `seconds`. Trio cannot kill it: we wait."""

    supervisor: ActorRef | None
    child: ActorRef
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HighWaterReport:
    """A mailbox got fuller than its policy likes: `depth` of `capacity` messages, the oldest `oldest_age` s old."""

    actor: ActorRef
    depth: int
    capacity: int
    oldest_age: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HogReport:
    """A callback did not give way for `seconds`; everybody waited. `actor` is None if it was none.

    `computed`: how many of the seconds were CPU time. If few, it blocked, or the machine had no time for us.
    """

    actor: ActorRef | None
    where: str
    seconds: float
    computed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ShutdownBudgetReport:
    """A tree started whose end in order may take `seconds`, more than the `allowed` it will be given."""

    root: ActorRef
    seconds: float
    allowed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineReport:
    """`child` crashed `crashes` times within `within` seconds, always on a message of this `kind` ("cast Say").

    `exception`: type and place of the last crash. `messages`: the last ones of the life that ended so, redacted, the
    culprit last. Neither holds a value unless the spec's own `redact` tells it.
    """

    supervisor: ActorRef
    child: str
    kind: str
    crashes: int
    within: float
    exception: str
    messages: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnexpectedMessageReport:
    """An actor that defines no `handle_info` got an info of this type; it was dropped."""

    actor: ActorRef
    message_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriberFailed:
    """A subscriber raised and was dropped."""

    subscriber: str
    exception: Exception


Report: TypeAlias = (
    ProgressReport
    | CrashReport
    | SupervisorReport
    | StuckReport
    | HighWaterReport
    | HogReport
    | ShutdownBudgetReport
    | QuarantineReport
    | UnexpectedMessageReport
    | SubscriberFailed
)
Subscriber = Callable[[Report], None]


class Events:
    """The reports of one system."""

    __slots__ = ("_subscribers", "_wanted")

    def __init__(self) -> None:
        self._subscribers: list[tuple[Subscriber, tuple[type[Report], ...]]] = []
        self._wanted: frozenset[type[Report]] = frozenset()

    def subscribe(self, callback: Subscriber, *kinds: type[Report]) -> Callable[[], None]:
        """Call `callback` with each report of these kinds (none named: all). Returns what unsubscribes it."""
        entry = (callback, kinds or Report.__args__)
        self._subscribers.append(entry)
        self._note_wishes()

        def unsubscribe() -> None:
            if entry in self._subscribers:
                self._subscribers.remove(entry)
                self._note_wishes()

        return unsubscribe

    def wants(self, kind: type[Report]) -> bool:
        """Does anybody listen to this kind?"""
        return kind in self._wanted

    def emit(self, report: Report) -> None:
        """Tell everybody who listens to its kind."""
        if type(report) not in self._wanted:
            return
        for entry in tuple(self._subscribers):
            callback, kinds = entry
            if type(report) not in kinds:
                continue
            try:
                callback(report)
            except Exception as error:  # the wall between the runtime and whoever watches it
                if entry in self._subscribers:
                    self._subscribers.remove(entry)
                    self._note_wishes()
                LOGGER.exception("a subscriber of the runtime's reports failed and was dropped")
                self.emit(SubscriberFailed(subscriber=repr(callback), exception=error))

    def _note_wishes(self) -> None:
        self._wanted = frozenset(kind for _, kinds in self._subscribers for kind in kinds)


def log_report(report: Report) -> None:
    """Write one report to the logger `supervision`: the default subscriber."""
    match report:
        case CrashReport(reason=Crash(exception=exception)):
            LOGGER.error("%s (%s) crashed: %r", report.actor, report.kind, exception, exc_info=exception)
        case CrashReport():
            LOGGER.error("%s (%s) ended: %s", report.actor, report.kind, report.reason)
        case SupervisorReport(context="child_terminated", reason=Normal() | Shutdown()):
            text = "%s: %s of %s: %s"
            LOGGER.info(text, report.supervisor, report.context, report.child, report.reason)
        case SupervisorReport():
            LOGGER.error("%s: %s of %s: %s", report.supervisor, report.context, report.child, report.reason)
        case StuckReport():
            LOGGER.error("%s is stuck: cancelled, and still running after %g s", report.child, report.seconds)
        case HighWaterReport():
            text = "%s has %d of at most %d messages waiting, the oldest for %.3f s"
            LOGGER.warning(text, report.actor, report.depth, report.capacity, report.oldest_age)
        case UnexpectedMessageReport():
            LOGGER.warning("%s got an info of type %s and has no handler", report.actor, report.message_type)
        case ShutdownBudgetReport():
            text = "%s may take %g s to end in order, and will be given %g"
            LOGGER.warning(text, report.root, report.seconds, report.allowed)
        case QuarantineReport():
            text = "%s: child %s crashed %d times in %g s, each time on a %s (%s); its last messages, redacted: %s"
            messages = "; ".join(report.messages)
            count = report.crashes
            LOGGER.error(
                text, report.supervisor, report.child, count, report.within, report.kind, report.exception, messages
            )
        case ProgressReport() | SubscriberFailed() | HogReport():
            pass


LOGGED_BY_DEFAULT: tuple[type[Report], ...] = (
    CrashReport,
    SupervisorReport,
    StuckReport,
    HighWaterReport,
    ShutdownBudgetReport,
    QuarantineReport,
    UnexpectedMessageReport,
)
