"""What travels between actors, and the two answers that mean something to the runtime (OTP: `gen_server`'s returns).

Rules
- A request is a frozen value that names the type of its answer: `class Get(Call[int])`. `ref.call(Get())` is an `int`
  for the type checker, and sending one actor's request to another that answers differently is a type error at once.
- What `handle_call` returns is not checked, but for the one mistake that is easily made: None, because no case of a
  `match` fitted, to a request whose answer cannot be None. That is an `UnansweredCall`, a crash (decision 088).
- Casts and infos are any value.
- `NO_REPLY` from `handle_call` means: the caller stays waiting, someone will call `caller.reply(value)` later.
- `IGNORE` from `init` means: no need for me now; the spec is kept, no actor runs.
"""

from dataclasses import dataclass
from enum import Enum
from types import UnionType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Literal, TypeVar, Union, get_args, get_origin

if TYPE_CHECKING:
    from ._core.reasons import ExitReason
    from .ref import ActorRef

R_co = TypeVar("R_co", covariant=True)


class Call(Generic[R_co]):
    """A request that is answered by an `R`. Derive a frozen dataclass from it."""

    __slots__ = ()
    answers_none: ClassVar[bool] = True
    """May the answer be None, as far as the `R` says?"""

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        for base in vars(cls).get("__orig_bases__", ()):
            if get_origin(base) is Call:
                cls.answers_none = _admits_none(*get_args(base))


def _admits_none(answer: object) -> bool:
    origin = get_origin(answer)
    if origin in (Union, UnionType):
        return any(_admits_none(each) for each in get_args(answer))
    kind = answer if origin is None else origin
    return not isinstance(kind, type) or kind in (object, Any, type(None))


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
