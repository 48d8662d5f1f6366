"""Run one scenario on our supervisor and tell it as OTP would.

Rules
- Virtual time: a scenario that sleeps for minutes takes milliseconds here.
- Every child tells when it starts and when it ends; a killed one is silent, because it gets no chance to speak.
- After each step the supervisor is asked until it has dealt with everything that happened, its own retries included.
- A child that keeps refusing to start is tried again all the while, and how often between two lines is up to OTP's
  scheduler. There, on one core, runner and children tell their lines to one process in turn; so here a child's line
  waits at a gate until the runner has asked something, or has told a line itself (`Gate`).
- OTP counts restarts by a clock of whole seconds, ours does not (decision 002). So that the same scenario has the same
  outcome, the supervisor under test reads such a clock here, half a second into its first second.
"""

import re
from collections.abc import Callable, Coroutine
from math import floor, inf
from typing import cast

import trio
import trio.testing
from trio.testing import wait_all_tasks_blocked

from supervision._core.reasons import Crash, ExitReason, FailedToStart, Killed, NameTaken, Normal, Shutdown
from supervision._core.specs import AutoShutdown, ChildSpec, InvalidSpecError, Restart, ShutdownTime, Strategy
from supervision.children import (
    count_children,
    delete_child,
    restart_child,
    start_child,
    terminate_child,
    which_children,
)
from supervision.dynamic_supervisor import DynamicSupervisor
from supervision.errors import AlreadyPresent, AlreadyStarted, ChildError, ServerDown, StartError
from supervision.gen_server import GenServer
from supervision.ref import ActorRef
from supervision.reply import From
from supervision.supervisor import Supervisor
from supervision.system import System
from supervision.tree import start_tree

from .scenario import ChildLine, Scenario, ScenarioError, child_line

QUIET_SECONDS = 3.0
QUESTIONS = 50
"""How often the supervisor is asked after each step: it has retried as often by then."""

FLAGS = {"invalid_strategy", "invalid_intensity", "invalid_period", "invalid_auto_shutdown"}
RESERVED = frozenset(
    [
        "after",
        "and",
        "andalso",
        "band",
        "begin",
        "bnot",
        "bor",
        "bsl",
        "bsr",
        "bxor",
        "case",
        "catch",
        "cond",
        "div",
        "end",
        "fun",
        "if",
        "let",
        "not",
        "of",
        "or",
        "orelse",
        "receive",
        "rem",
        "try",
        "when",
        "xor",
    ]
)


class Boom(Exception):  # noqa: N818 - OTP's reason
    """The child was told to crash."""

    def __str__(self) -> str:
        return "boom"


class Refused(Exception):  # noqa: N818 - OTP's reason
    """The child was told to refuse its next start."""


class Gate:
    """Where the children's lines wait: open while the supervisor has a question to answer, else for one line."""

    def __init__(self) -> None:
        self._open = True
        self._waiting: list[trio.Event] = []

    def open(self) -> None:
        """Let everything pass until `close`."""
        self._open = True
        for waiting in self._waiting:
            waiting.set()

    def close(self) -> None:
        """From now on lines wait."""
        self._open = False

    async def passed(self) -> None:
        """Wait to be let through."""
        if self._open:
            return
        mine = trio.Event()
        self._waiting.append(mine)
        try:
            await mine.wait()
        finally:
            self._waiting.remove(mine)

    async def one(self, which: int = 0) -> None:
        """Let one line pass if any waits: the oldest, or with -1 the newest."""
        await wait_all_tasks_blocked()
        if self._waiting:
            self._waiting[which].set()
            await wait_all_tasks_blocked()


class Script:
    """What the children are to do, and what they told."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self.gate = Gate()
        self.refusals: dict[str, int] = {}
        self.hangs: set[str] = set()
        self.starting: set[str] = set()

    async def tell(self, line: str) -> None:
        """A child's line, when it is its turn."""
        await self.gate.passed()
        self._say(line)


class ScriptedChild(GenServer):
    """Tells the script when it starts and ends; leaves, refuses and hangs on cue."""

    terminate_within = inf

    def __init__(self, name: str, script: Script) -> None:
        self.name = name
        self.script = script

    async def init(self) -> None:
        self.script.starting.add(self.name)
        try:
            await self._init()
        finally:
            self.script.starting.discard(self.name)

    async def _init(self) -> None:
        if self.script.refusals.get(self.name, 0) > 0:
            self.script.refusals[self.name] -= 1
            await self.script.tell(f"start {atom(self.name)} refused")
            raise Refused(self.name)
        await self.script.tell(f"start {atom(self.name)}")

    async def handle_cast(self, message: object) -> None:
        if message == "crash":
            raise Boom
        self.stop(Normal() if message == "normal" else Shutdown())

    async def terminate(self, reason: ExitReason) -> None:
        await self.script.tell(f"exit {atom(self.name)} {why(reason)}")
        if self.name in self.script.hangs:
            self.script.hangs.discard(self.name)
            if reason == Shutdown():
                await trio.sleep(inf)


class SupervisorUnderTest(Supervisor):
    """Counts restarts by OTP's clock; once it has answered, its children's lines wait."""

    gate: Gate

    def now(self) -> float:
        return floor(self.system.now() + 0.5)

    async def handle_call(self, request: object, caller: From) -> object:
        answer = await super().handle_call(request, caller)
        self.gate.close()
        return answer

    def told_to_exit(self) -> None:
        """As OTP: it waits for a child that starts (decision 003 says why ours does not)."""


def run_scenario(scenario: Scenario, say: Callable[[str], None]) -> None:
    """Run `scenario`, telling each line to `say`."""
    clock = trio.testing.MockClock(autojump_threshold=0)
    trio.run(_Run(scenario, say).run, clock=clock)


class _Run:
    def __init__(self, scenario: Scenario, say: Callable[[str], None]) -> None:
        self.scenario = scenario
        self.say = say
        self.script = Script(say)
        self.gate = self.script.gate
        self.system = System(log=False)
        self.told_down = False

    async def run(self) -> None:
        harness = DynamicSupervisor.child_spec("harness", intensity=0)
        async with start_tree(harness, self.system) as (_, root):
            self.system.take_name("trace", root)  # as there
            under_test = ChildSpec("supervisor", self._supervisor, restart="temporary", type="supervisor")
            try:
                supervisor = await start_child(root, under_test)
            except StartError as error:
                self.say(f"supervisor failed {why(error.reason)}")
                return
            self.say("supervisor up")
            await self._steps(supervisor)

    def _supervisor(self) -> Supervisor:
        scenario = self.scenario
        flags = (
            cast("Strategy", scenario.strategy),
            scenario.intensity,
            float(scenario.period),
            cast("AutoShutdown", scenario.auto_shutdown),
        )
        Supervisor((), *flags)  # OTP looks at the flags before it looks at any child
        supervisor = SupervisorUnderTest([self._spec(line) for line in scenario.children], *flags)
        supervisor.gate = self.script.gate
        return supervisor

    def _spec(self, line: ChildLine) -> ChildSpec:
        return ChildSpec(
            line.id,
            lambda: ScriptedChild(line.id, self.script),
            name=line.id,
            restart=cast("Restart", line.restart),
            shutdown=_shutdown(line.shutdown),
            significant=line.significant,
        )

    # Steps

    async def _steps(self, supervisor: ActorRef) -> None:
        for step in self.scenario.steps:
            words = " ".join(step)
            if not supervisor.alive:
                self.say(f"step {words} skipped")
                continue
            await self.gate.one()
            self.say(f"step {words}")
            await self._step(supervisor, step)
            await self._settle(supervisor)
        await self._settle(supervisor)
        if supervisor.alive:
            await self._state(supervisor)
            await self.gate.one()
            self.say("stop")
            supervisor.exit(Shutdown())
            self.gate.open()
            self.say(f"supervisor down {why(await supervisor.wait_down())}")

    async def _step(self, supervisor: ActorRef, step: tuple[str, ...]) -> None:
        match step:
            case ("crash" | "normal" | "shutdown" | "kill" as how, name):
                await self._leave(name, how)
            case ("terminate", name):
                await self._ask("terminate", name, terminate_child(supervisor, name))
            case ("restart", name):
                await self._ask("restart", name, restart_child(supervisor, name))
            case ("delete", name):
                await self._ask("delete", name, delete_child(supervisor, name))
            case ("add", *words):
                await self._add(supervisor, child_line(tuple(words)))
            case ("failnext", name, times):
                self.script.refusals[name] = int(times)
            case ("hang", name):
                self.script.hangs.add(name)
            case ("state",):
                await self._state(supervisor)
            case ("sleep", milliseconds):
                self.gate.open()
                await trio.sleep(int(milliseconds) / 1000)
                self.gate.close()
            case _:
                raise ScenarioError(f"no such step: {' '.join(step)}")

    async def _leave(self, name: str, how: str) -> None:
        child = self.system.whereis(name)
        if child is None or name in self.script.starting:  # there, it would not have been tried again yet
            self.say(f"no process {name}")
            return
        if how == "kill":
            child.kill()
        else:
            await self.gate.one()
            await child.cast(how)
            await self.gate.one(-1)
        with trio.move_on_after(QUIET_SECONDS) as quiet:
            await child.wait_down()
        if quiet.cancelled_caught:
            self.say("stuck")

    async def _add(self, supervisor: ActorRef, line: ChildLine) -> None:
        try:
            spec = self._spec(line)
        except InvalidSpecError as error:
            self.say(f"add {line.id} error {error.rule}")
        else:
            await self._ask("add", line.id, start_child(supervisor, spec))

    async def _ask(self, what: str, name: str, answer: Coroutine[object, object, object]) -> None:
        self.gate.open()
        try:
            await answer
        except ChildError as error:
            self.say(f"{what} {name} error {error.word}")
        except InvalidSpecError as error:
            self.say(f"{what} {name} error {error.rule}")
        except AlreadyStarted:
            self.say(f"{what} {name} error already_started")
        except AlreadyPresent:
            self.say(f"{what} {name} error already_present")
        except StartError as error:
            self.say(f"{what} {name} error {why(error.reason)}")
        except ServerDown:
            self.say(f"{what} {name} noproc")
        else:
            self.say(f"{what} {name} ok")

    async def _settle(self, supervisor: ActorRef) -> None:
        try:
            for _ in range(QUESTIONS):
                self.gate.open()
                await count_children(supervisor)
        except ServerDown:
            reason = await supervisor.wait_down()
            if not self.told_down:
                self.told_down = True
                self.say(f"supervisor down {why(reason)}")

    async def _state(self, supervisor: ActorRef) -> None:
        self.gate.open()
        children = await which_children(supervisor)
        for index, child in enumerate(children):
            self.say(f"child {atom(child.id)} {child.status}")
            if index % 2 == 0 and index + 1 < len(children):  # the runner tells two lines while a child tells one
                await self.gate.one()
        self.gate.open()
        counts = await count_children(supervisor)
        self.say(f"count specs={counts.specs} active={counts.active} workers={counts.workers}")


def _shutdown(word: str) -> ShutdownTime:
    if word == "infinity":
        return "infinity"
    return "brutal_kill" if word == "brutal_kill" else int(word) / 1000


def why(reason: ExitReason) -> str:
    """A reason in the words of the trace."""
    match reason:
        case Normal():
            return "normal"
        case Killed():
            return "killed"
        case Shutdown(detail=FailedToStart(child=child, reason=inner)):
            return f"failed_to_start {atom(child)} {why(inner)}"
        case Shutdown(detail=NameTaken()):
            return "already_started"
        case Shutdown():
            return "shutdown"
        case Crash(exception=Refused()):
            return "refused"
        case Crash(exception=InvalidSpecError(rule=rule)):
            return "supervisor_data" if rule in FLAGS else "start_spec"
        case Crash():
            return str(reason.exception)
        case _:
            return "noproc"


def atom(text: str) -> str:
    """An atom as Erlang writes it: quoted unless it is a plain word."""
    return text if re.fullmatch(r"[a-z][A-Za-z0-9_@]*", text) and text not in RESERVED else f"'{text}'"
