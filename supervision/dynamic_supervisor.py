"""A supervisor of any number of children that come and go (OTP: `simple_one_for_one`; Elixir: `DynamicSupervisor`).

Rules
- No order and no ids: a child is known by its process, and many may share one spec. Restarts are one_for_one; the
  intensity window is the supervisor's.
- `max_children` refuses the next start (`MaxChildren`): that is a limit on connections, said in one place.
- It ends its children all at the same time, each within its own shutdown time.
- A child that ended for good leaves nothing behind here.
"""

from collections.abc import Iterable
from functools import partial
from typing import assert_never

import trio

from . import turn
from ._core.backoff import Patience
from ._core.intensity import Window
from ._core.reasons import ExitReason, Shutdown, consequences
from ._core.roster import decide
from ._core.specs import AutoShutdown, ChildSpec, InvalidSpecError, check_flags, check_significant
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
    failed_start,
    kill_process,
    launch,
    new_process,
    trio_seconds,
)
from .errors import ChildError, ChildNotFound, ChildRunning, MaxChildren, StartError
from .messages import NO_REPLY
from .process import ChildExit, Process
from .ref import ActorRef
from .reply import From
from .snapshot import Tree
from .supervisor import REQUESTS, SupervisorBase, SupervisorRequest
from .timers import Timer


class _TryAgain:
    """To itself: it is the turn of this lost child to be tried again."""

    __slots__ = ("lost",)

    def __init__(self, lost: Process) -> None:
        self.lost = lost


class DynamicSupervisor(SupervisorBase):
    """Children are added with `start_child`. More than `intensity` restarts in `period` s and it gives up.

    `max_children` bounds how many there may be at a time (None: no bound). Raises `InvalidSpecError`.
    """

    starts_at_once = True

    def __init__(
        self,
        max_children: int | None = None,
        intensity: int = 3,
        period: float = 5.0,
        auto_shutdown: AutoShutdown = "never",
    ) -> None:
        check_flags("one_for_one", intensity, period, auto_shutdown)
        if max_children is not None and max_children < 0:
            raise InvalidSpecError("invalid_max_children", f"max_children is {max_children}; it cannot be negative")
        self._max_children = max_children
        self._window = Window(intensity=intensity, period=period)
        self._auto_shutdown: AutoShutdown = auto_shutdown
        self._children: dict[Process, None] = {}
        self._lost: dict[Process, Timer | None] = {}
        self._patience = Patience()

    # The gen_server

    async def handle_call(self, request: object, caller: From) -> object:
        if not isinstance(request, REQUESTS):
            return await super().handle_call(request, caller)
        try:
            return await self._handle(request, caller)
        except (StartError, ChildError, InvalidSpecError) as error:
            caller.fail(error)
            return NO_REPLY

    async def handle_info(self, message: object) -> None:
        match message:
            case ChildExit():
                await self._child_ended(message.process, message.reason)
            case _TryAgain():
                if message.lost in self._lost:
                    self._lost[message.lost] = None
                    await self._restart(message.lost)
            case _:
                await super().handle_info(message)

    async def terminate(self, reason: ExitReason) -> None:
        """End all children at the same time: all are told, then each is waited for until its own time is up."""
        begun = trio.current_time()
        children = sorted(self._children, key=lambda child: trio_seconds(child.spec.shutdown_time))
        for child in children:
            if child.spec.shutdown_time == "brutal_kill":
                child.told = True
                child.kill()
            else:
                child.exit(Shutdown())
        late = []
        for child in children:
            deadline = begun + trio_seconds(child.spec.shutdown_time)
            if child.alive:
                with trio.CancelScope(deadline=deadline):
                    await child.wait_down()
            if child.alive:
                child.told = True
                child.kill()
                late.append(child)
        for child in late:
            await kill_process(child)
        for child in children:
            if child.reason is not None and not ended_as_told(child.spec, child.reason):
                self.report("shutdown_error", child.spec.id, child.reason)
        self._children.clear()

    # Events

    async def _child_ended(self, process: Process, reason: ExitReason) -> None:
        if process not in self._children:
            return
        del self._children[process]
        self.note_crash(process, reason)
        spec = process.spec
        if spec.restart == "permanent" or consequences(reason).restarts_transient:
            self.report("child_terminated", spec.id, reason)
        if decide(spec.restart, reason) == "restart":
            self._lost[process] = None
            if spec.backoff is None:
                await self._restart(process)
            else:
                self._put_off(process)
            return
        self._patience.forget(process)
        if spec.significant and self._auto_shutdown != "never":
            others = any(child.spec.significant for child in (*self._children, *self._lost))
            if self._auto_shutdown == "any_significant" or not others:
                self.stop(Shutdown())

    def _put_off(self, lost: Process) -> None:
        """Try this child again: after its back-off if it has one, at once if not."""
        backoff = lost.spec.backoff
        if backoff is None:
            self._process.post(_TryAgain(lost))
        else:
            wait = self._patience.failed(lost, backoff, self.system.now(), self.system.chance())
            self._lost[lost] = self.send_after(wait, _TryAgain(lost))

    async def _restart(self, lost: Process) -> None:
        self._window, allowed = self._window.add(self.system.now())
        if not allowed:
            del self._lost[lost]
            self.report("shutdown", lost.spec.id, Shutdown("reached_max_restart_intensity"))
            self.stop(Shutdown())
            return
        try:
            process = await self.start_one(lost.spec, lost.restarts + 1)
        except StartError as error:
            if not self._process.open:
                return
            self.report("start_error", lost.spec.id, error.reason)
            self._put_off(lost)
            return
        del self._lost[lost]
        self._patience.stands(lost, self.system.now(), process)
        if process.ready:
            self._children[process] = None
        else:
            self._patience.forget(process)

    # Requests

    async def _handle(self, request: SupervisorRequest, caller: From) -> object:
        match request:
            case StartChild():
                await turn.hold(self._process, self.begin_start(request.spec, caller))
                return NO_REPLY
            case TerminateChild():
                await self._end(self._find(request.child))
                return None
            case RestartChild() | DeleteChild():
                self._find(request.child)
                raise ChildRunning(request.child)
            case WhichChildren():
                return [*self._infos()]
            case CountChildren():
                return self._count()
            case GetChildSpec():
                return self._find(request.child).spec
            case _:
                assert_never(request)

    def begin_start(self, spec: ChildSpec, caller: From) -> Process:
        check_significant(spec, self._auto_shutdown)
        if self._max_children is not None and len(self._children) + len(self._lost) >= self._max_children:
            raise MaxChildren(spec.id, Shutdown(f"max_children is {self._max_children}"))
        child = new_process(spec, self.system, self._process)
        launch(child)
        child.at_start = partial(self._started, child, caller)
        self._starting = child
        return child

    def _started(self, child: Process, caller: From) -> None:
        """In the child's own step: it stands, or is down without having stood. It answers `caller` itself."""
        self._starting = None
        if child.ready:
            self._children[child] = None
        if child.ready or child.ignored:
            caller.reply(child)
        elif turn.held(self._process, child):  # if not, it is we who are ending, and the caller will learn that
            caller.fail(failed_start(child))
        turn.release(self._process, child)

    async def _end(self, process: Process) -> None:
        self._patience.forget(process)
        if process in self._lost:
            timer = self._lost.pop(process)
            if timer is not None:
                timer.cancel()
            return
        del self._children[process]
        reason = await end_process(process, process.spec.shutdown_time)
        if not ended_as_told(process.spec, reason):
            self.report("shutdown_error", process.spec.id, reason)

    def _find(self, child: str | ActorRef) -> Process:
        if isinstance(child, ActorRef):
            target = child.resolve()
            if isinstance(target, Process) and (target in self._children or target in self._lost):
                return target
            raise ChildNotFound(child.id)
        for process in (*self._children, *self._lost):
            if process.spec.id == child:
                return process
        raise ChildNotFound(child)

    def _infos(self) -> Iterable[ChildInfo]:
        for process in self._children:
            spec = process.spec
            yield ChildInfo(id=spec.id, ref=process, type=spec.type, status="running")
        for process in self._lost:
            spec = process.spec
            yield ChildInfo(id=spec.id, ref=None, type=spec.type, status="restarting")

    def _count(self) -> ChildCounts:
        infos = list(self._infos())
        supervisors = sum(info.type == "supervisor" for info in infos)
        return ChildCounts(
            specs=len(infos),
            active=sum(process.alive for process in self._children),
            supervisors=supervisors,
            workers=len(infos) - supervisors,
        )

    # Snapshots

    def children_budget(self) -> float:
        return max((process.shutdown_budget() for process in self._children), default=0.0)

    @property
    def strategy_name(self) -> str:
        return "dynamic"

    def describe_children(self, limit: int | None) -> tuple[tuple[Tree, ...], int]:
        children = tuple(self._children)
        shown = children if limit is None else children[:limit]
        trees = [child.describe(limit) for child in shown]
        trees += [
            Tree(spec=lost.spec.id, id=None, name=lost.spec.name, status="restarting", restarts=lost.restarts)
            for lost in self._lost
        ]
        return tuple(trees), len(children) - len(shown)
