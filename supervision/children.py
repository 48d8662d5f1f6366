"""Starting and ending one child, and what supervisors are asked: shared by all kinds of supervisors.

Rules
- A child's `init` runs in the child's own task; the supervisor waits for it and for nothing else. It never uses
  `nursery.start`: that dead-locks when the nursery is being cancelled.
- Ending a child: exit(shutdown), its shutdown time, then cancel. A task that does not end when cancelled cannot be
  killed in Trio: it is reported as stuck, again and again, and waited for. Nothing is started in its place.
- The functions below are OTP's supervisor calls. They raise `ServerDown` when the supervisor is gone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import trio
from trio.lowlevel import current_task, wait_task_rescheduled

from . import turn
from ._core.reasons import Crash, ExitReason, Killed, NameTaken, Normal, Shutdown
from ._core.roster import ChildStatus
from ._core.specs import ChildSpec, ChildType, ShutdownTime
from .errors import AlreadyStarted, StartError
from .events import StuckReport
from .messages import Call
from .process import Process
from .ref import ActorRef
from .reply import From
from .system import System

STUCK_AFTER: Final = 5.0
"""Seconds a cancelled child may take before it is reported as stuck; and between reports."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildInfo:
    """One line of `which_children`. `ref` is None unless the child runs."""

    id: str
    ref: ActorRef | None
    type: ChildType
    status: ChildStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildCounts:
    """What `count_children` tells: specs known, children that run, and how many of each type."""

    specs: int
    active: int
    supervisors: int
    workers: int


@dataclass(frozen=True, slots=True)
class StartChild(Call[ActorRef]):
    spec: ChildSpec


@dataclass(frozen=True, slots=True)
class TerminateChild(Call[None]):
    child: str | ActorRef


@dataclass(frozen=True, slots=True)
class RestartChild(Call[ActorRef]):
    child: str


@dataclass(frozen=True, slots=True)
class DeleteChild(Call[None]):
    child: str


@dataclass(frozen=True, slots=True)
class WhichChildren(Call[Sequence[ChildInfo]]):
    pass


@dataclass(frozen=True, slots=True)
class CountChildren(Call[ChildCounts]):
    pass


@dataclass(frozen=True, slots=True)
class GetChildSpec(Call[ChildSpec]):
    child: str | ActorRef


async def start_child(supervisor: ActorRef, spec: ChildSpec) -> ActorRef:
    """Add a child and start it. One whose `init` answers `IGNORE` is returned as a reference that is not alive.

    Raises `StartError` (or its kinds `AlreadyStarted`, `AlreadyPresent`, `MaxChildren`), `InvalidSpecError`.
    """
    host = supervisor.resolve()
    if not isinstance(host, Process) or not turn.is_offered(host):
        return await supervisor.call(StartChild(spec), None)
    task = current_task()
    caller = From(host, task, None)
    turn.take(host, spec, caller)
    task.custom_sleep_data = caller
    await wait_task_rescheduled(caller.abandon)
    child: ActorRef = caller.outcome()
    return child


async def terminate_child(supervisor: ActorRef, child: str | ActorRef) -> None:
    """End a child; its spec stays (a temporary one's does not). Raises `ChildNotFound`."""
    await supervisor.call(TerminateChild(child), None)


async def restart_child(supervisor: ActorRef, child: str) -> ActorRef:
    """Start a child again that does not run. Raises `StartError` or a `ChildError`: not found, running, restarting."""
    return await supervisor.call(RestartChild(child), None)


async def delete_child(supervisor: ActorRef, child: str) -> None:
    """Forget the spec of a child that does not run. Raises a `ChildError`: not found, running, restarting."""
    await supervisor.call(DeleteChild(child), None)


async def which_children(supervisor: ActorRef) -> Sequence[ChildInfo]:
    """The children in start order (OTP's list is the other way round)."""
    return await supervisor.call(WhichChildren(), None)


async def count_children(supervisor: ActorRef) -> ChildCounts:
    """How many there are."""
    return await supervisor.call(CountChildren(), None)


async def get_childspec(supervisor: ActorRef, child: str | ActorRef) -> ChildSpec:
    """The spec of a child. Raises `ChildNotFound`."""
    return await supervisor.call(GetChildSpec(child), None)


def launch(process: Process) -> None:
    """Let `process` run in its home, its name taken. Raises `AlreadyStarted` when another has that name."""
    spec = process.spec
    if spec.name is not None:
        holder = process.system.take_name(spec.name, process)
        if holder is not None:
            raise AlreadyStarted(spec.id, holder, Shutdown(NameTaken(spec.name)))
    process.home.start_soon(process.run, name=spec.id)


async def start_process(process: Process) -> bool:
    """Launch `process` and wait for its `init`; False if it was not needed (`IGNORE`). Raises `StartError`."""
    launch(process)
    if await process.wait_ready():
        return True
    if process.ignored:
        return False
    raise failed_start(process)


def failed_start(process: Process) -> StartError:
    """The error of a process that is down without having stood."""
    reason = process.reason or Killed()
    error = StartError(process.spec.id, reason)
    error.__cause__ = reason.exception if isinstance(reason, Crash) else None
    return error


async def end_process(process: Process, shutdown: ShutdownTime) -> ExitReason:
    """End `process` and wait until it is down: in order if its shutdown time allows it, cancelled if not."""
    if shutdown != "brutal_kill":
        process.exit(Shutdown())
        with trio.move_on_after(trio_seconds(shutdown)):
            return await process.wait_down()
    return await kill_process(process)


async def kill_process(process: Process) -> ExitReason:
    """Cancel `process` and wait until it is down, however long; say so if that is long.

    It was told to end, so its being killed is no news by itself; its supervisor says what was wrong.
    """
    process.told = True
    process.kill()
    waited = 0.0
    while process.alive:
        with trio.move_on_after(STUCK_AFTER):
            return await process.wait_down()
        waited += STUCK_AFTER
        process.system.events.emit(StuckReport(supervisor=process.parent, child=process, seconds=waited))
    return await process.wait_down()


def trio_seconds(shutdown: float | Literal["infinity", "brutal_kill"]) -> float:
    """A shutdown time as seconds for a deadline."""
    if isinstance(shutdown, (int, float)):
        return float(shutdown)
    return float("inf") if shutdown == "infinity" else 0.0


def ended_as_told(spec: ChildSpec, reason: ExitReason) -> bool:
    """Did a child that was told to end do so, as far as its supervisor cares (OTP `shutdown/1`)?"""
    if isinstance(reason, Killed):
        return spec.shutdown_time == "brutal_kill"
    if reason == Shutdown():
        return spec.shutdown_time != "brutal_kill" or spec.restart != "permanent"
    return isinstance(reason, (Shutdown, Normal)) and spec.restart != "permanent"


def new_process(spec: ChildSpec, system: System, supervisor: Process) -> Process:
    """A process for `spec` under `supervisor`, not yet running."""
    if supervisor.nursery is None:
        raise RuntimeError(f"{supervisor} hosts no children")
    return Process(spec, system, supervisor, supervisor.nursery)
