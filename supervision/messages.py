"""What travels between actors, and the two answers that mean something to the runtime (OTP: `gen_server`'s returns).

Rules
- A request is a frozen value that names the type of its answer: `class Get(Call[int])`. `ref.call(Get())` is an `int`
  for the type checker, and sending one actor's request to another that answers differently is a type error at once.
- Casts and infos are any value.
- `NO_REPLY` from `handle_call` means: the caller stays waiting, someone will call `caller.reply(value)` later.
- `IGNORE` from `init` means: no need for me now; the spec is kept, no actor runs.
"""

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, Generic, Literal, TypeVar

if TYPE_CHECKING:
    from ._core.reasons import ExitReason
    from .ref import ActorRef

R_co = TypeVar("R_co", covariant=True)


class Call(Generic[R_co]):
    """A request that is answered by an `R`. Derive a frozen dataclass from it."""

    __slots__ = ()


class NoReply(Enum):
    """The type of `NO_REPLY`."""

    NO_REPLY = "no_reply"


class Ignore(Enum):
    """The type of `IGNORE`."""

    IGNORE = "ignore"


NO_REPLY: Final[Literal[NoReply.NO_REPLY]] = NoReply.NO_REPLY
"""`handle_call` returns it when the reply comes later, through `caller.reply` or `caller.fail`."""

IGNORE: Final[Literal[Ignore.IGNORE]] = Ignore.IGNORE
"""`init` returns it when the actor is not needed: it ends normally, and its supervisor keeps the spec."""


@dataclass(frozen=True, slots=True)
class Continue:
    """Returned by `init`: `handle_continue(value)` runs before any message, after the starter went on."""

    value: object = None


@dataclass(frozen=True, slots=True)
class Timeout:
    """The info that `set_timeout` promised: the mailbox stayed empty that long."""


@dataclass(frozen=True, slots=True)
class Diverted:
    """A cast: `message` was for `ref`, whose mailbox was full and whose policy is to divert here."""

    ref: "ActorRef"
    message: object


@dataclass(frozen=True, slots=True)
class Down:
    """The info that `monitor` promised: `ref` (as it was given to `monitor`) is gone, for this reason."""

    ref: "ActorRef"
    reason: "ExitReason"
    tag: object = None
