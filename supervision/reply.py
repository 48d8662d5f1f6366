"""The caller's slot: where a reply goes, once (OTP: the alias of a `gen_server` call).

Rules
- A `From` belongs to one call. The first of reply, failure, time-out, death of the server and the caller's own
  cancellation closes it; whatever comes later goes nowhere, in silence, as in OTP.
- The caller is parked as a plain Trio task and woken directly: no channel, no event, no scope.
- An exception given to `fail` is raised at the caller as a copy whose cause is the original: one server may fail many
  callers with one exception, and tracebacks of tasks must not grow into each other.
"""

from typing import TYPE_CHECKING, Any

import trio

from ._core.reasons import Crash, ExitReason
from .errors import CallTimeout, ServerDown

if TYPE_CHECKING:
    from .ref import ActorRef


class Deferred:
    """The callers a server still owes a reply, beyond the callback that took the request."""

    __slots__ = ("callers",)

    def __init__(self) -> None:
        self.callers: set[From] = set()


class From:
    """Who asked. Handed to `handle_call`; keep it and return `NO_REPLY` to answer later, from anywhere."""

    __slots__ = ("_deferred", "_failure", "_ref", "_seconds", "_task", "_value")

    def __init__(self, ref: "ActorRef", task: trio.lowlevel.Task, seconds: float | None) -> None:
        self._ref = ref
        self._task: trio.lowlevel.Task | None = task
        self._seconds = seconds
        self._value: Any = None
        self._failure: BaseException | None = None
        self._deferred: Deferred | None = None

    @property
    def live(self) -> bool:
        """Does somebody still wait for this reply?"""
        return self._task is not None

    def reply(self, value: object) -> None:
        """Answer. Does nothing if the call has ended otherwise."""
        task = self._task
        if task is not None:
            self._task = None
            self._value = value
            if self._deferred is not None:
                self._deferred.callers.discard(self)
            trio.lowlevel.reschedule(task)

    def fail(self, error: Exception) -> None:
        """Answer with an error: the caller's `call` raises it. Does nothing if the call has ended otherwise."""
        self.end(_copy_of(error))

    # For the runtime

    @property
    def ref(self) -> "ActorRef":
        """The server that was called."""
        return self._ref

    @property
    def deferred(self) -> bool:
        """Is the reply owed beyond the callback that took the request?"""
        return self._deferred is not None

    def fire(self) -> None:
        """The time is up."""
        self.end(CallTimeout(self._ref, self._seconds or 0.0))

    def server_down(self, reason: ExitReason) -> None:
        """No reply will come."""
        if self._task is not None:
            error = ServerDown(self._ref, reason)
            if isinstance(reason, Crash):
                error.__cause__ = reason.exception
            self.end(error)

    def end(self, failure: BaseException) -> None:
        """Close with `failure`."""
        task = self._close()
        if task is not None:
            self._failure = failure
            trio.lowlevel.reschedule(task)

    def abandon(self, _raise_cancel: object = None) -> trio.lowlevel.Abort:
        """The caller was cancelled and no longer waits."""
        self._close()
        return trio.lowlevel.Abort.SUCCEEDED

    def defer(self, deferred: Deferred) -> None:
        """The callback is over and the reply is still owed."""
        if self._task is not None:
            self._deferred = deferred
            deferred.callers.add(self)

    def outcome(self) -> Any:
        """What the call came to; raises its failure. Taken once, so that a slot waiting for its sweep is small."""
        failure, value = self._failure, self._value
        self._failure = self._value = None
        if failure is not None:
            raise failure
        return value

    def _close(self) -> trio.lowlevel.Task | None:
        task, self._task = self._task, None
        if self._deferred is not None:
            self._deferred.callers.discard(self)
        return task


_KEPT_WHOLE = (OSError, UnicodeError, SyntaxError, ImportError, NameError, AttributeError, StopIteration)
"""These keep state outside `args` and `__dict__`; they are raised as they are."""


def _copy_of(error: Exception) -> Exception:
    if isinstance(error, (ExceptionGroup, *_KEPT_WHOLE)):
        return error
    kind = type(error)
    try:
        copy = kind.__new__(kind, *error.args)  # not __init__: its arguments are unknown
        copy.__dict__.update(error.__dict__)
        BaseException.__setattr__(copy, "args", error.args)  # also where the class forbids it
        BaseException.__setattr__(copy, "__cause__", error)
    except TypeError:
        return error  # it cannot be made without its own arguments
    return copy
