"""Child specs and supervisor flags, checked when they are built (OTP: `check_childspec`, `check_flags`).

Rules
- A spec is a frozen value: it can be shared, compared and started many times. `start` builds a *new* actor each time
  and runs inside that actor's own task, so what it raises is the starter's error and nobody else's.
- Defaults are OTP's: permanent, worker, 5 s to shut down, supervisors without limit.
- `significant` makes sense only for a child that may end by itself (not permanent) under a supervisor whose
  `auto_shutdown` is not `never`; `check_children` says so with OTP's words.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from .backoff import Backoff
from .mailbox import CONTROL_MAILBOX, DEFAULT_MAILBOX, Mailbox
from .quarantine import Quarantine

Restart = Literal["permanent", "transient", "temporary"]
"""When a child comes back: always, after an abnormal exit, never."""

ShutdownTime = float | Literal["brutal_kill", "infinity"]
"""How long a child may take to end: seconds, no time at all, or as long as it needs."""

ChildType = Literal["worker", "supervisor"]
Strategy = Literal["one_for_one", "one_for_all", "rest_for_one"]
AutoShutdown = Literal["never", "any_significant", "all_significant"]

WORKER_SHUTDOWN: Final = 5.0
"""Seconds; OTP's 5000 ms."""


class Startable:
    """What a spec's `start` builds: every kind of actor derives from it."""

    __slots__ = ()


class InvalidSpecError(ValueError):
    """A child spec or a supervisor's flags contradict themselves. `rule` is OTP's word for it."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """How a supervisor starts, keeps and ends one child.

    `shutdown` in seconds, `"brutal_kill"` or `"infinity"`; None means the type's default (worker 5 s, supervisor
    infinity). `name` registers the child in its system before its `init` runs. `backoff` spaces out its restarts.
    `quarantine` reports it when it crashes again and again on one kind of message.
    Raises `InvalidSpecError`.
    """

    id: str
    start: Callable[[], Startable]
    restart: Restart = field(default="permanent", kw_only=True)
    shutdown: ShutdownTime | None = field(default=None, kw_only=True)
    type: ChildType = field(default="worker", kw_only=True)
    significant: bool = field(default=False, kw_only=True)
    name: str | None = field(default=None, kw_only=True)
    mailbox: Mailbox | None = field(default=None, kw_only=True)
    backoff: Backoff | None = field(default=None, kw_only=True)
    quarantine: Quarantine | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not self.id:
            raise InvalidSpecError("missing_id", "a child spec needs an id")
        if not callable(self.start):
            raise InvalidSpecError("invalid_mfa", f"child {self.id!r}: start must be callable without arguments")
        if self.restart not in {"permanent", "transient", "temporary"}:
            raise InvalidSpecError("invalid_restart_type", f"child {self.id!r}: restart {self.restart!r} is unknown")
        if self.type not in {"worker", "supervisor"}:
            raise InvalidSpecError("invalid_child_type", f"child {self.id!r}: type {self.type!r} is unknown")
        if not _valid_shutdown(self.shutdown):
            raise InvalidSpecError(
                "invalid_shutdown",
                f"child {self.id!r}: shutdown {self.shutdown!r} is neither seconds, 'brutal_kill' nor 'infinity'",
            )

    @property
    def shutdown_time(self) -> ShutdownTime:
        """`shutdown` with the type's default filled in."""
        if self.shutdown is not None:
            return self.shutdown
        return "infinity" if self.type == "supervisor" else WORKER_SHUTDOWN

    @property
    def policy(self) -> Mailbox:
        """`mailbox` with the type's default filled in."""
        if self.mailbox is not None:
            return self.mailbox
        return CONTROL_MAILBOX if self.type == "supervisor" else DEFAULT_MAILBOX


def _valid_shutdown(shutdown: object) -> bool:
    if shutdown is None or shutdown in {"brutal_kill", "infinity"}:
        return True
    return isinstance(shutdown, (int, float)) and not isinstance(shutdown, bool) and shutdown >= 0


def check_significant(spec: ChildSpec, auto_shutdown: AutoShutdown) -> None:
    """Raise `InvalidSpecError` when `spec` is significant where that means nothing."""
    if not spec.significant:
        return
    if auto_shutdown == "never":
        raise InvalidSpecError(
            "bad_combination",
            f"child {spec.id!r} is significant, but its supervisor's auto_shutdown is 'never'",
        )
    if spec.restart == "permanent":
        raise InvalidSpecError(
            "bad_combination",
            f"child {spec.id!r} is significant and permanent: it would never end by itself; make it transient",
        )


def check_children(specs: Sequence[ChildSpec], auto_shutdown: AutoShutdown) -> None:
    """Raise `InvalidSpecError` for the first spec that cannot stand in this list."""
    seen: set[str] = set()
    for spec in specs:
        check_significant(spec, auto_shutdown)
        if spec.id in seen:
            raise InvalidSpecError("duplicate_child_name", f"two children have the id {spec.id!r}")
        seen.add(spec.id)


def check_flags(strategy: Strategy, intensity: int, period: float, auto_shutdown: AutoShutdown) -> None:
    """Raise `InvalidSpecError` when a supervisor's flags mean nothing."""
    if strategy not in {"one_for_one", "one_for_all", "rest_for_one"}:
        raise InvalidSpecError("invalid_strategy", f"strategy {strategy!r} is unknown")
    if intensity < 0:
        raise InvalidSpecError("invalid_intensity", f"intensity is {intensity}; it cannot be negative")
    if period <= 0:
        raise InvalidSpecError("invalid_period", f"period is {period} s; it must be longer than nothing")
    if auto_shutdown not in {"never", "any_significant", "all_significant"}:
        raise InvalidSpecError("invalid_auto_shutdown", f"auto_shutdown {auto_shutdown!r} is unknown")
