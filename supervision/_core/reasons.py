"""Why an actor ended: a closed set of reasons and one table of what follows from each.

Rules
- Every actor ends with exactly one `ExitReason`; nothing else is ever handed to a monitor, a caller or a supervisor.
- What a reason causes is read from `CONSEQUENCES` alone, by code, tests and documentation: is it logged, does a
  *transient* child come back after it, do linked peers end as well. A new reason is a new row, never a new `if`.

| here | OTP | logged | restarts transient | linked peers exit |
|---|---|---|---|---|
| `Normal()` | `normal` | no | no | no |
| `Shutdown(detail)` | `shutdown`, `{shutdown, Detail}` | no | no | yes |
| `Killed()` | `killed` | yes | yes | yes |
| `Crash(exception)` | any other term | yes | yes | yes |
| `NoProc()` | `noproc` | yes | yes | yes |

`NoProc` is never how an actor ended: it is the answer to asking for one that is not there.

Trio forces one difference: in OTP any term is a reason; here a crash *is* an exception, so it carries its traceback.
When a body opened nurseries, what arrives is an exception group; the reason is its first real exception and the group
stays reachable in `Crash.group`.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias


@dataclass(frozen=True, slots=True)
class Normal:
    """It was done. OTP: `normal`."""

    def __str__(self) -> str:
        return "normal"


@dataclass(frozen=True, slots=True)
class Shutdown:
    """It was told to end, or ended in good order for a reason worth naming. OTP: `shutdown`, `{shutdown, Detail}`."""

    detail: object = None

    def __str__(self) -> str:
        return "shutdown" if self.detail is None else f"shutdown: {self.detail}"


@dataclass(frozen=True, slots=True)
class Killed:
    """It was ended at once, without `terminate`. OTP: `killed`."""

    def __str__(self) -> str:
        return "killed"


@dataclass(frozen=True, slots=True, eq=False)
class Crash:
    """An exception nobody handled. `exception` is the first real one; `group` is what carried it, if a group did."""

    exception: BaseException
    group: BaseExceptionGroup[BaseException] | None = None

    def __str__(self) -> str:
        return f"crash: {type(self.exception).__name__}: {self.exception}"


@dataclass(frozen=True, slots=True)
class NoProc:
    """There is no such actor, or it was gone before it was asked. OTP: `noproc`."""

    def __str__(self) -> str:
        return "no such actor"


ExitReason: TypeAlias = Normal | Shutdown | Killed | Crash | NoProc


@dataclass(frozen=True, slots=True, kw_only=True)
class Consequences:
    """One row of the table."""

    logged: bool
    restarts_transient: bool
    links_exit: bool


CONSEQUENCES: Final[dict[type[ExitReason], Consequences]] = {
    Normal: Consequences(logged=False, restarts_transient=False, links_exit=False),
    Shutdown: Consequences(logged=False, restarts_transient=False, links_exit=True),
    Killed: Consequences(logged=True, restarts_transient=True, links_exit=True),
    Crash: Consequences(logged=True, restarts_transient=True, links_exit=True),
    NoProc: Consequences(logged=True, restarts_transient=True, links_exit=True),
}


def consequences(reason: ExitReason) -> Consequences:
    """The row of `reason`."""
    return CONSEQUENCES[type(reason)]


def first_exception(raised: BaseException) -> BaseException:
    """The first exception of `raised` that is no group, depth first; `raised` itself if it is none."""
    while isinstance(raised, BaseExceptionGroup):
        raised = raised.exceptions[0]
    return raised


def crash(raised: BaseException) -> Crash:
    """The reason of an actor that let `raised` out."""
    group = raised if isinstance(raised, BaseExceptionGroup) else None
    return Crash(first_exception(raised), group)


@dataclass(frozen=True, slots=True)
class FailedToStart:
    """The detail of a supervisor's `Shutdown` when a child refused to start. OTP: `failed_to_start_child`."""

    child: str
    reason: ExitReason

    def __str__(self) -> str:
        return f"child {self.child!r} failed to start ({self.reason})"


@dataclass(frozen=True, slots=True)
class NameTaken:
    """The detail of a `Shutdown` when an actor's name was held by another. OTP: `already_started`."""

    name: str

    def __str__(self) -> str:
        return f"the name {self.name!r} is taken"
