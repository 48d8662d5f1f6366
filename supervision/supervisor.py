"""A supervisor with an ordered list of children (OTP: `supervisor`; one_for_one, one_for_all, rest_for_one).

Rules
- What to do is decided in `_core.roster`; this file starts, stops, waits and reports, and decides nothing.
- A supervisor is an actor: it takes one event at a time, in order. While it carries out a plan, exits of other children
  wait in its mailbox; those of children it stopped itself mean nothing by then and are dropped (as OTP's unlink does).
- Its children run in a nursery inside its own task. Killed, it takes them with it at once; ended in order, it ends them
  first, right to left.
- When a start fails within a restart, the next try is a message to itself: requests that wait get their turn between.
- Told to end while a child's `init` runs, it kills that child instead of waiting for it (OTP waits; decision 003).
"""

from collections.abc import Sequence
from typing import Final, TypeAlias, assert_never

from ._core.backoff import Patience
from ._core.intensity import Window
from ._core.quarantine import Ward
from ._core.reasons import Crash, ExitReason, FailedToStart, Shutdown, consequences
from ._core.roster import Child, Plan, Refusal, Roster
from ._core.specs import (
    AutoShutdown,
    ChildSpec,
    InvalidSpecError,
    Strategy,
    check_children,
    check_flags,
    check_significant,
)
from .children import (
    ChildCounts,
    ChildInfo,
    CountChildren,
    DeleteChild,
    GetChildSpec,
    RestartChild,
    StartChild,
    TerminateChild,
    WhichChildren,
    end_process,
    ended_as_told,
    new_process,
    start_process,
)
from .errors import (
    AlreadyPresent,
    AlreadyStarted,
    ChildError,
    ChildNotFound,
    ChildRestarting,
    ChildRunning,
    Exit,
    StartError,
)
from .events import QuarantineReport, SupervisorContext, SupervisorReport
from .gen_server import GenServer
from .inbox import kind_of, word_of
from .messages import NO_REPLY
from .process import ChildExit, Process
from .ref import ActorRef
from .reply import From
from .snapshot import Status, Tree
from .timers import Timer

SupervisorRequest: TypeAlias = (
    StartChild | TerminateChild | RestartChild | DeleteChild | WhichChildren | CountChildren | GetChildSpec
)
REQUESTS: Final = (
    StartChild,
    TerminateChild,
    RestartChild,
    DeleteChild,
    WhichChildren,
    CountChildren,
    GetChildSpec,
)


class TryAgain:
    """To itself: it is this child's turn to be tried again."""

    __slots__ = ("child",)

    def __init__(self, child: str) -> None:
        self.child = child


class SupervisorBase(GenServer):
    """What both kinds share: hosting children and reporting on them."""

    hosts_children = True
    _starting: Process | None = None
    _ward: Ward | None = None

    async def start_one(self, spec: ChildSpec, restarts: int = 0) -> Process:
        """Start a child; the process returned runs, or is not alive because it was not needed. Raises `StartError`."""
        process = new_process(spec, self.system, self._process)
        process.restarts = restarts
        self._starting = process
        try:
            await start_process(process)
        finally:
            self._starting = None
        return process

    def told_to_exit(self) -> None:
        if self._starting is not None:
            self._starting.kill()

    def note_crash(self, process: Process, reason: ExitReason) -> None:
        """Count a child's crash if its spec asks for a quarantine, and report the crash that is one too many."""
        policy, culprit = process.spec.quarantine, process.culprit
        if policy is None or culprit is None or not isinstance(reason, Crash):
            return
        if self._ward is None:
            self._ward = Ward()
        kind = kind_of(culprit)
        if self._ward.crashed(process.spec.id, kind, policy, self.system.now()):
            report = QuarantineReport(
                supervisor=self.ref,
                child=process.spec.id,
                kind=kind,
                crashes=policy.crashes,
                within=policy.within,
                exception=_place(reason.exception),
                messages=tuple(f"{word_of(entry)} {policy.tell(entry[1])}" for entry in process.recent or ()),
            )
            self.system.quarantined.append(report)
            self.system.events.emit(report)

    def report(self, context: SupervisorContext, child: str, reason: ExitReason) -> None:
        """A supervisor report, with the tree as it stands."""
        events = self.system.events
        if events.wants(SupervisorReport):
            tree = self.system.report_tree()
            events.emit(SupervisorReport(supervisor=self.ref, context=context, child=child, reason=reason, tree=tree))


class Supervisor(SupervisorBase):
    """Starts `children` in order, keeps them by `strategy`, gives up at more than `intensity` restarts in `period` s.

    Raises `InvalidSpecError`.
    """

    def __init__(
        self,
        children: Sequence[ChildSpec],
        strategy: Strategy = "one_for_one",
        intensity: int = 1,
        period: float = 5.0,
        auto_shutdown: AutoShutdown = "never",
    ) -> None:
        check_flags(strategy, intensity, period, auto_shutdown)
        check_children(children, auto_shutdown)
        window = Window(intensity=intensity, period=period)
        self._roster = Roster(children, strategy=strategy, window=window, auto_shutdown=auto_shutdown)
        self._processes: dict[str, Process] = {}
        self._patience = Patience()
        self._waiting: dict[str, Timer] = {}

    # The gen_server

    async def init(self) -> None:
        for child in tuple(self._roster):
            spec = child.spec
            try:
                await self._start(child)
            except StartError as error:
                self.report("start_error", spec.id, error.reason)
                await self._stop_all()
                raise Exit(Shutdown(FailedToStart(spec.id, error.reason))) from error

    async def handle_call(self, request: object, caller: From) -> object:
        if not isinstance(request, REQUESTS):
            return await super().handle_call(request, caller)
        try:
            return await self._handle(request)
        except (StartError, ChildError, InvalidSpecError) as error:
            caller.fail(error)
            return NO_REPLY

    async def handle_info(self, message: object) -> None:
        match message:
            case ChildExit():
                await self._child_ended(message.process, message.reason)
            case TryAgain():
                self._waiting.pop(message.child, None)
                await self._carry_out(message.child, self._roster.try_again(message.child, self.now()))
            case _:
                await super().handle_info(message)

    async def terminate(self, reason: ExitReason) -> None:
        await self._stop_all()

    def now(self) -> float:
        """Seconds; what restarts are counted by."""
        return self.system.now()

    # Events

    async def _child_ended(self, process: Process, reason: ExitReason) -> None:
        name = process.spec.id
        if self._processes.get(name) is not process:
            return
        del self._processes[name]
        self.note_crash(process, reason)
        if process.spec.restart == "permanent" or consequences(reason).restarts_transient:
            self.report("child_terminated", name, reason)
        await self._carry_out(name, self._roster.exited(name, reason, self.now()))

    async def _carry_out(self, name: str, plan: Plan) -> None:
        if plan.refused:
            self.report("shutdown", name, Shutdown("reached_max_restart_intensity"))
        for name in plan.stops:
            await self._stop(name)
        if plan.later is not None:
            self._put_off(plan.later)
        for name in plan.starts:
            try:
                await self._start(self._roster.children[name])
            except StartError as error:
                self._roster.waits(name)
                if not self._process.open:
                    return  # told to end meanwhile: this start was given up, it did not fail
                self.report("start_error", name, error.reason)
                self._put_off(name)
                break
        if plan.shutdown:
            self.stop(Shutdown())

    def _put_off(self, name: str) -> None:
        """Try this child again: after its back-off if it has one, at once if not."""
        backoff = self._roster.children[name].spec.backoff
        if backoff is None:
            self._process.post(TryAgain(name))
            return
        wait = self._patience.failed(name, backoff, self.now(), self.system.chance())
        self._waiting[name] = self.send_after(wait, TryAgain(name))

    async def _start(self, child: Child) -> Process:
        name = child.spec.id
        process = await self.start_one(child.spec, child.restarts)
        self._roster.started(name, alive=process.ready)
        if process.ready:
            self._processes[name] = process
            self._patience.stands(name, self.now())
        return process

    async def _stop(self, name: str) -> None:
        timer = self._waiting.pop(name, None)
        if timer is not None:
            timer.cancel()
        process = self._processes.pop(name, None)
        spec = self._roster.children[name].spec
        if process is not None:
            reason = await end_process(process, spec.shutdown_time)
            if not ended_as_told(spec, reason):
                self.report("shutdown_error", name, reason)
        self._roster.stopped(name)

    async def _stop_all(self) -> None:
        for name in self._roster.plan_stop().stops:
            await self._stop(name)

    # Requests

    async def _handle(self, request: SupervisorRequest) -> object:
        match request:
            case StartChild():
                return await self._add(request.spec)
            case TerminateChild():
                name = self._id(request.child)
                await self._stop(name)
                self._patience.forget(name)
                return None
            case RestartChild():
                self._refuse(request.child, self._roster.may_leave_rest(request.child))
                return await self._start(self._roster.children[request.child])
            case DeleteChild():
                self._refuse(request.child, self._roster.may_leave_rest(request.child))
                self._roster.remove(request.child)
                return None
            case WhichChildren():
                return [self._info(child) for child in self._roster]
            case CountChildren():
                return self._count()
            case GetChildSpec():
                return self._roster.children[self._id(request.child)].spec
            case _:
                assert_never(request)

    async def _add(self, spec: ChildSpec) -> ActorRef:
        check_significant(spec, self._roster.auto_shutdown)
        self._refuse(spec.id, self._roster.may_add(spec.id))
        process = await self.start_one(spec)
        self._roster.add(spec)
        self._roster.started(spec.id, alive=process.ready)
        if process.ready:
            self._processes[spec.id] = process
        return process

    def _id(self, child: str | ActorRef) -> str:
        if isinstance(child, ActorRef):
            process = child.resolve()
            for name, known in self._processes.items():
                if known is process:
                    return name
            raise ChildNotFound(child.id)
        if child not in self._roster.children:
            raise ChildNotFound(child)
        return child

    def _refuse(self, name: str, refusal: Refusal | None) -> None:
        match refusal:
            case None:
                return
            case Refusal.ALREADY_STARTED:
                raise AlreadyStarted(name, self._processes[name], Shutdown("already_started"))
            case Refusal.ALREADY_PRESENT:
                raise AlreadyPresent(name, Shutdown("already_present"))
            case Refusal.NOT_FOUND:
                raise ChildNotFound(name)
            case Refusal.RUNNING:
                raise ChildRunning(name)
            case Refusal.RESTARTING:
                raise ChildRestarting(name)
            case _:
                assert_never(refusal)

    def _info(self, child: Child) -> ChildInfo:
        ref = self._processes.get(child.spec.id)
        return ChildInfo(id=child.spec.id, ref=ref, type=child.spec.type, status=child.status)

    def _count(self) -> ChildCounts:
        specs = [child.spec for child in self._roster]
        supervisors = sum(spec.type == "supervisor" for spec in specs)
        active = sum(process.alive for process in self._processes.values())
        return ChildCounts(specs=len(specs), active=active, supervisors=supervisors, workers=len(specs) - supervisors)

    # Snapshots

    def children_budget(self) -> float:
        return sum(process.shutdown_budget() for process in self._processes.values())

    @property
    def strategy_name(self) -> str:
        return self._roster.strategy

    def describe_children(self, limit: int | None) -> tuple[tuple[Tree, ...], int]:
        children = tuple(self._roster)
        shown = children if limit is None else children[:limit]
        return tuple(self._describe(child, limit) for child in shown), len(children) - len(shown)

    def _describe(self, child: Child, limit: int | None) -> Tree:
        process = self._processes.get(child.spec.id)
        if process is not None:
            return process.describe(limit)
        status: Status = "restarting" if child.status == "restarting" else "undefined"
        return Tree(spec=child.spec.id, id=None, name=child.spec.name, status=status, restarts=child.restarts)


def _place(raised: BaseException) -> str:
    """Type and place of an exception, and nothing that it says: that may be out of a message."""
    trace = raised.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = "" if trace is None else f" at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
    return type(raised).__name__ + where
