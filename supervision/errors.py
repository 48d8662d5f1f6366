# ruff: noqa: N818 - OTP and Trio name these by what happened (`Cancelled`, `noproc`), and so do we
"""Every error the runtime raises, each telling what to do next.

Rules
- A call raises `ServerDown`, `CallTimeout`, `CallCycle`, `MailboxFull` (only under the policy `refuse`), or what the
  server gave to `caller.fail`; nothing else.
- Starting raises `StartError` or one of its children; asking a supervisor about a child raises `ChildError`.
- What a caller must tell apart has a type or a field, never a text.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._core.reasons import ExitReason
    from .ref import ActorRef


class SupervisionError(Exception):
    """The base of everything below."""


class Exit(SupervisionError):
    """Raise it in a callback to end the actor with `reason`, where `self.stop` cannot be reached. OTP: `exit/1`."""

    def __init__(self, reason: "ExitReason") -> None:
        super().__init__(f"exit: {reason}")
        self.reason = reason


class ServerDown(SupervisionError):
    """The server is gone, is ending, or was never there; `reason` says which. No reply will come."""

    def __init__(self, ref: "ActorRef", reason: "ExitReason") -> None:
        super().__init__(f"{ref} is down ({reason}); its supervisor may bring it back: ask again by name, or give up")
        self.ref = ref
        self.reason = reason


class CallTimeout(SupervisionError):
    """No reply within `seconds`. The server may still act on the request; its late reply goes nowhere."""

    def __init__(self, ref: "ActorRef", seconds: float) -> None:
        super().__init__(f"{ref} did not reply within {seconds:g} s; it may still act on the request")
        self.ref = ref
        self.seconds = seconds


class CallCycle(SupervisionError):
    """The server called is waiting, over others or directly, for the caller: they would wait for each other."""

    def __init__(self, ref: "ActorRef", over: Sequence[str]) -> None:
        path = " → ".join((str(ref), *over, str(ref)))
        super().__init__(f"the call would close a circle ({path}); cast one of its messages, or spawn one of its calls")
        self.ref = ref


class SelfCall(CallCycle):
    """An actor called itself from its own callback: it would wait for itself. Use `self.spawn`, or a plain method."""

    def __init__(self, ref: "ActorRef") -> None:
        super().__init__(ref, ())


class MailboxFull(SupervisionError):
    """The mailbox holds as many messages as its policy allows; slow down or drop."""

    def __init__(self, ref: "ActorRef", capacity: int) -> None:
        super().__init__(f"the mailbox of {ref} is full ({capacity} messages); slow down, or raise its capacity")
        self.ref = ref
        self.capacity = capacity


class UnhandledMessage(SupervisionError):
    """An actor got a call, cast or continue for which it has no handler; it crashes with this."""

    def __init__(self, actor: str, kind: str, message: object) -> None:
        super().__init__(f"{actor} got a {kind} of type {type(message).__name__} but defines no handle_{kind}")


class UnansweredCall(SupervisionError):
    """`handle_call` returned None to a request whose answer cannot be None; the actor crashes with this."""

    def __init__(self, actor: str, request: object) -> None:
        super().__init__(
            f"{actor} answered {type(request).__name__} with None, which its Call[...] does not allow. Did no case of a"
            " match fit? End it with `case _: return await super().handle_call(request, caller)`. Or return NO_REPLY"
        )


class StartError(SupervisionError):
    """The child did not start; `reason` is why. Its name is free and nothing of it runs."""

    def __init__(self, child: str, reason: "ExitReason") -> None:
        super().__init__(f"{child} did not start: {reason}")
        self.child = child
        self.reason = reason


class AlreadyStarted(StartError):
    """A child of that id, or an actor of that name, runs already: `ref`."""

    def __init__(self, child: str, ref: "ActorRef", reason: "ExitReason") -> None:
        super().__init__(child, reason)
        self.ref = ref


class AlreadyPresent(StartError):
    """A child of that id is known and not running; restart it or delete it."""


class MaxChildren(StartError):
    """The dynamic supervisor holds as many children as it may."""


class ChildError(SupervisionError):
    """The supervisor cannot do that with that child."""

    word = "error"
    advice = "ask which_children"

    def __init__(self, child: str) -> None:
        super().__init__(f"child {child!r}: {self.word}; {self.advice}")
        self.child = child


class ChildNotFound(ChildError):
    """No child of that id."""

    word = "not_found"
    advice = "see which_children for those there are"


class ChildRunning(ChildError):
    """The child runs; terminate it first."""

    word = "running"
    advice = "terminate it first"


class ChildRestarting(ChildError):
    """The child is about to be tried again; terminate it first, or wait."""

    word = "restarting"
    advice = "terminate it first, or wait"


class AlreadyRegistered(SupervisionError):
    """A unique key is held by another actor: `ref`."""

    def __init__(self, key: object, ref: "ActorRef") -> None:
        super().__init__(f"the key {key!r} is held by {ref}; unregister it there first")
        self.key = key
        self.ref = ref


class RootDown(SupervisionError):
    """The root of a tree ended while its `start_tree` block was still running."""

    def __init__(self, ref: "ActorRef", reason: "ExitReason") -> None:
        super().__init__(f"the root {ref} ended by itself: {reason}")
        self.ref = ref
        self.reason = reason
