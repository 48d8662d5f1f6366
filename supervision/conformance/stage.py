"""Who plays in a scenario: the supervisor under test, its children, and what else has a name on an Erlang machine.

Rules
- Every child tells when it starts and when it ends; a killed one is silent, because it gets no chance to speak.
- Whoever tells another something nudges it (`beam`): that is all there is to Erlang's order.
- OTP counts restarts by a clock of whole seconds, ours does not (decision 002). So that the same scenario has the same
  outcome, the supervisor under test reads such a clock here, half a second into its first second.
"""

from collections.abc import Callable
from math import floor, inf
from typing import Final

import trio
from trio.lowlevel import Task, checkpoint_if_cancelled, current_task

from supervision._core.reasons import Crash, ExitReason, Normal, Shutdown
from supervision._core.specs import ChildSpec
from supervision.children import (
    ChildCounts,
    CountChildren,
    DeleteChild,
    RestartChild,
    StartChild,
    TerminateChild,
    WhichChildren,
)
from supervision.errors import ChildError, StartError
from supervision.gen_server import GenServer
from supervision.messages import NO_REPLY
from supervision.reply import From
from supervision.supervisor import Supervisor

from .beam import RunQueue, Trace
from .words import BadArguments, Boom, Refused, atom, why

FRAGILE: Final = frozenset(
    [
        "application_controller",
        "kernel_safe_sup",
        "kernel_sup",
        "logger",
        "logger_proxy",
        "logger_std_h_default",
        "logger_sup",
    ]
)
"""Processes of Erlang itself that do not survive a message they do not know."""

MACHINE: Final = FRAGILE | {
    "code_server",
    "erl_prim_loader",
    "erl_signal_server",
    "erts_code_purger",
    "file_server_2",
    "global_group",
    "global_group_check",
    "global_name_server",
    "inet_db",
    "init",
    "kernel_refc",
    "logger_handler_watcher",
    "rex",
    "socket_registry",
    "standard_error",
    "standard_error_sup",
    "trace",
    "user",
}
"""Names that are taken before a scenario begins: Erlang's own, and `trace`, which the lines are told to."""

NOBODY: Final = "undefined"
"""No process can have this name: it is Erlang's word for none."""


class Stage:
    """What the children are to do, and whom one can reach. `show` gets each line."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self.queue = RunQueue()
        self.trace = Trace(self.queue, show)
        self.refusals: dict[str, int] = {}
        self.hangs: set[str] = set()
        self.registered: dict[str, Task] = {}
        self.runner: Task | None = None
        self.supervisor: Task | None = None

    def tell_runner(self, _reason: ExitReason) -> None:
        """Somebody whom the runner is linked to, or has an eye on, is down."""
        self.queue.nudge(self.runner)

    def tell_supervisor(self, _reason: ExitReason) -> None:
        """A child is down."""
        self.queue.nudge(self.supervisor)


class ScriptedChild(GenServer):
    """Tells when it starts and ends; leaves, refuses and hangs on cue."""

    terminate_within = inf

    def __init__(self, name: str, stage: Stage) -> None:
        self.name = name
        self.stage = stage
        self.task = stage.registered[name] = current_task()

    async def init(self) -> None:
        self.ref.at_down(self._unregister)
        self.ref.at_down(self.stage.tell_supervisor)
        if self.stage.refusals.get(self.name, 0) > 0:
            self.stage.refusals[self.name] -= 1
            await self._tell(f"start {atom(self.name)} refused")
            raise Refused(self.name)
        await self._tell(f"start {atom(self.name)}")

    async def handle_cast(self, message: object) -> None:
        if message == "crash":
            raise Boom
        self.stop(Normal() if message == "normal" else Shutdown())

    async def terminate(self, reason: ExitReason) -> None:
        await self._tell(f"exit {atom(self.name)} {why(reason)}")
        if self.name in self.stage.hangs:
            self.stage.hangs.discard(self.name)
            if reason == Shutdown():
                await trio.sleep_forever()

    def told_to_exit(self) -> None:
        self.stage.queue.nudge(self.task)

    async def _tell(self, line: str) -> None:
        await self.stage.trace.say(line)
        await checkpoint_if_cancelled()  # killed before its turn came: it never has it

    def _unregister(self, _reason: ExitReason) -> None:
        del self.stage.registered[self.name]


class SupervisorUnderTest(Supervisor):
    """Counts restarts by OTP's clock."""

    stage: Stage

    async def init(self) -> None:
        self.stage.supervisor = current_task()
        self.ref.at_down(self.stage.tell_runner)
        await super().init()

    def now(self) -> float:
        return floor(self.system.now() + 0.5)

    def told_to_exit(self) -> None:
        """As OTP: it waits for a child that starts (decision 003 says why ours does not)."""


class OfOnePattern(GenServer):
    """OTP's `simple_one_for_one`: children of one spec, without ids, each started with arguments of its own.

    No scenario can name such a child or give it arguments, so it has none, and every request is refused.
    """

    stage: Stage

    async def init(self) -> None:
        self.stage.supervisor = current_task()
        self.ref.at_down(self.stage.tell_runner)

    async def handle_call(self, request: object, caller: From) -> object:
        match request:
            case WhichChildren():
                return []
            case CountChildren():
                return ChildCounts(specs=1, active=0, supervisors=0, workers=0)
            case StartChild():
                caller.fail(StartError(request.spec.id, Crash(BadArguments())))
            case TerminateChild() | RestartChild() | DeleteChild():
                caller.fail(WithoutIds(str(request.child)))
            case _:
                return await super().handle_call(request, caller)
        return NO_REPLY


class WithoutIds(ChildError):  # noqa: N818 - as its kind
    """Children of one pattern have no ids."""

    word = "simple_one_for_one"


class Bystander(GenServer):
    """Holds the names that are taken, and takes no notice of what it is told."""

    async def init(self) -> None:
        for name in (*MACHINE, NOBODY):
            self.system.take_name(name, self.ref)

    async def handle_cast(self, message: object) -> None:
        pass


BYSTANDER: Final = ChildSpec("machine", Bystander)
