"""Run one scenario on our supervisor and tell it as OTP's runner does, step by step the same way.

Rules
- Virtual time: a scenario that sleeps for minutes takes milliseconds here.
- After each step the supervisor is asked until it has dealt with everything that happened, its own retries included.
- A child that keeps refusing to start is tried again all the while, beside the runner. How their lines mix is decided
  by whose turn it is on OTP's machine, so turns are taken here as there (`beam`).
- Where OTP's runner itself breaks off, so does this one: without a word when the supervisor is gone while its state is
  asked, with a `ScenarioError` when the step makes no sense.
"""

from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Final, TypeVar, cast

import trio

from supervision._core.reasons import ExitReason, Shutdown
from supervision._core.specs import (
    AutoShutdown,
    ChildSpec,
    InvalidSpecError,
    Restart,
    ShutdownTime,
    Strategy,
    check_flags,
    check_significant,
)
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
from supervision.ref import ActorRef
from supervision.system import System
from supervision.testing.schedule import run_in_order
from supervision.tree import start_tree

from .beam import CODE_SERVER
from .scenario import LONGEST_TIME, ChildLine, Scenario, child_line
from .stage import BYSTANDER, FRAGILE, MACHINE, OfOnePattern, ScriptedChild, Stage, SupervisorUnderTest
from .words import ATOM_LENGTH, BAD_START_SPEC, ScenarioError, as_atom, as_integer, atom, why

R = TypeVar("R")

REQUESTS: Final[dict[str, Callable[[ActorRef, str], Coroutine[object, object, object]]]] = {
    "terminate": terminate_child,
    "restart": restart_child,
    "delete": delete_child,
}

QUIET_SECONDS: Final = 3.0
QUESTIONS: Final = 50
"""How often the supervisor is asked after each step: it has retried as often by then."""

FOR_EVER: Final = 1e12
"""Seconds; a scenario that lasts longer than this has no end."""


def run_scenario(scenario: Scenario, say: Callable[[str], None]) -> None:
    """Run `scenario`, telling each line to `say`. Raises `ScenarioError` where OTP's runner would break off."""
    stage = Stage(say)
    run = _Run(scenario, stage)
    try:
        run_in_order(run.run, stage.queue, limit=FOR_EVER, instruments=[stage.queue])
    except trio.TooSlowError:
        raise ScenarioError("it has no end: a child hangs, and may take for ever to shut down") from None
    if run.broken is not None:
        raise run.broken


class _Over(Exception):  # noqa: N818 - no error: OTP's runner is gone, and nobody misses it
    """The supervisor was gone when its state was asked."""


class _Server:
    """The supervisor, as a process on Erlang's machine calls it."""

    def __init__(self, ref: ActorRef, stage: Stage) -> None:
        self.ref = ref
        self._stage = stage
        self._signalled = False

    async def call(self, question: Coroutine[object, object, R]) -> R:
        """The answer. Raises what it is answered with, and `ServerDown` not before the supervisor is down."""
        self._nudge()
        try:
            return await question
        except ServerDown:
            await self.ref.wait_down()
            raise
        finally:
            self._signalled = True  # the call's monitor is taken back
            self._nudge()

    async def alive(self) -> bool:
        """Does it live? One that has a signal to see to is given its turn first."""
        if self.ref.alive and self._signalled:
            await self._stage.queue.give_way()
            if self.ref.alive:
                await self._stage.queue.visit(self._stage.supervisor)
                return True
        return self.ref.alive

    async def stop(self) -> ExitReason:
        """Tell it to shut down, and wait for that."""
        self._nudge()
        self.ref.exit(Shutdown())
        return await self.ref.wait_down()

    def _nudge(self) -> None:
        self._stage.queue.nudge(self._stage.supervisor)


class _Run:
    def __init__(self, scenario: Scenario, stage: Stage) -> None:
        self.scenario = scenario
        self.stage = stage
        self.system = System(log=False)
        self.say = stage.trace.say
        self.told_down = False
        self.of_one_pattern = scenario.strategy == "simple_one_for_one"
        self.broken: ScenarioError | None = None

    async def run(self) -> None:
        harness = ChildSpec("harness", lambda: DynamicSupervisor(intensity=0), type="supervisor")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.stage.trace.run)
            async with start_tree(harness, self.system) as (_, root):
                self.stage.runner = trio.lowlevel.current_task()
                try:
                    await self._scenario(root)
                except _Over:
                    pass
                except ScenarioError as error:
                    self.broken = error
                finally:
                    self.stage.trace.close()
            nursery.cancel_scope.cancel()

    async def _scenario(self, root: ActorRef) -> None:
        await start_child(root, BYSTANDER)
        under_test = ChildSpec("supervisor", self._supervisor, restart="temporary", type="supervisor")
        try:
            supervisor = await start_child(root, under_test)
        except StartError as error:
            await self.say(f"supervisor failed {why(error.reason)}")
            return
        await self.say("supervisor up")
        await self._steps(_Server(supervisor, self.stage))

    def _supervisor(self) -> SupervisorUnderTest | OfOnePattern:
        """In OTP's order: first the flags, then the number of children, then the children."""
        scenario = self.scenario
        limits = (scenario.intensity, float(min(scenario.period, LONGEST_TIME)))
        auto_shutdown = cast("AutoShutdown", scenario.auto_shutdown)
        strategy = cast("Strategy", "one_for_one" if self.of_one_pattern else scenario.strategy)
        check_flags(strategy, *limits, auto_shutdown)
        if self.of_one_pattern and len(scenario.children) != 1:
            raise InvalidSpecError(BAD_START_SPEC, "simple_one_for_one takes one spec")
        specs = [self._spec(line) for line in scenario.children]
        supervisor = (
            OfOnePattern() if self.of_one_pattern else SupervisorUnderTest(specs, strategy, *limits, auto_shutdown)
        )
        supervisor.stage = self.stage
        return supervisor

    def _spec(self, line: ChildLine) -> ChildSpec:
        """Raises `InvalidSpecError` with the first rule that is broken, in OTP's order."""
        spec = ChildSpec(
            line.id,
            lambda: ScriptedChild(line.id, self.stage),
            name=line.id,
            restart=cast("Restart", line.restart),
            significant=line.significant,
        )
        check_significant(spec, cast("AutoShutdown", self.scenario.auto_shutdown))
        time = line.shutdown / 1000 if isinstance(line.shutdown, int) else cast("ShutdownTime", line.shutdown)
        return replace(spec, shutdown=time)

    # Steps

    async def _steps(self, supervisor: _Server) -> None:
        for step in self.scenario.steps:
            words = " ".join(step)
            if await supervisor.alive():
                await self.say(f"step {words}")
                await self._step(supervisor, step)
                await self._settle(supervisor)
            else:
                await self.say(f"step {words} skipped")
        await self._settle(supervisor)
        if await supervisor.alive():
            await self._state(supervisor)
            await self.say("stop")
            await self.say(f"supervisor down {why(await supervisor.stop())}")

    async def _step(self, supervisor: _Server, step: tuple[str, ...]) -> None:
        match step:
            case ("crash" | "normal" | "shutdown" | "kill" as how, name):
                await self._leave(as_atom(name), how)
            case ("terminate" | "restart" | "delete" as what, name):
                if len(name) > ATOM_LENGTH:  # caught there, and taken for this
                    await self.say(f"{what} {name} noproc")
                else:
                    await self._ask(supervisor, step, REQUESTS[what](supervisor.ref, name))
            case ("add", _, *_):
                await self._add(supervisor, step)
            case ("failnext", name, times):
                self.stage.refusals[as_atom(name)] = as_integer(times)
            case ("hang", name):
                self.stage.hangs.add(as_atom(name))
            case ("state",):
                await self._state(supervisor)
            case ("sleep", milliseconds) if as_integer(milliseconds) >= 0:
                await trio.sleep(min(int(milliseconds), FOR_EVER * 1000) / 1000)
            case _:
                raise ScenarioError(f"no such step: {' '.join(step)!r}")

    async def _leave(self, name: str, how: str) -> None:
        child, task = self.system.whereis(name), self.stage.registered.get(name)
        if child is None or (task is None and name not in MACHINE):
            await self.say(f"no process {name}")
            return
        if name in FRAGILE or (name in MACHINE and how == "kill"):
            raise ScenarioError(f"Erlang itself does not survive it: {how} {name}")
        self.stage.queue.nudge(task)
        child.kill() if how == "kill" else child.cast_nowait(how)
        with trio.move_on_after(QUIET_SECONDS) as quiet:
            await child.wait_down()
        if quiet.cancelled_caught:
            child.watch(self.stage.tell_runner)
            await self.say("stuck")

    async def _add(self, supervisor: _Server, step: tuple[str, ...]) -> None:
        try:
            line = child_line(step[1:])
        except ScenarioError:  # caught there, and taken for this
            await self.say(f"add {step[1]} noproc")
            return
        await self.stage.queue.visit(CODE_SERVER)
        self.stage.queue.nudge(CODE_SERVER)
        try:
            spec = self._spec(self.scenario.children[0] if self.of_one_pattern else line)
        except InvalidSpecError as error:
            await self._ask(supervisor, step, _refused(supervisor, error))
        else:
            await self._ask(supervisor, step, start_child(supervisor.ref, spec))

    async def _ask(
        self, supervisor: _Server, step: tuple[str, ...], question: Coroutine[object, object, object]
    ) -> None:
        await self.say(f"{step[0]} {step[1]} {await self._answer(supervisor, question)}")

    async def _answer(self, supervisor: _Server, question: Coroutine[object, object, object]) -> str:
        try:
            await supervisor.call(question)
        except ChildError as error:
            return f"error {error.word}"
        except InvalidSpecError as error:
            return f"error {error.rule}"
        except AlreadyStarted:
            return "error already_started"
        except AlreadyPresent:
            return "error already_present"
        except StartError as error:
            return f"error {why(error.reason)}"
        except ServerDown:
            return "noproc"
        return "ok"

    async def _settle(self, supervisor: _Server) -> None:
        for _ in range(QUESTIONS):
            try:
                await supervisor.call(count_children(supervisor.ref))
            except ServerDown:
                break
            if self.stage.queue.quiet:
                break  # however often it is asked, nothing changes
        if not supervisor.ref.alive and not self.told_down:
            self.told_down = True
            await self.say(f"supervisor down {why(await supervisor.ref.wait_down())}")

    async def _state(self, supervisor: _Server) -> None:
        try:
            for child in await supervisor.call(which_children(supervisor.ref)):
                await self.say(f"child {atom(child.id)} {child.status}")
            counts = await supervisor.call(count_children(supervisor.ref))
        except ServerDown:
            raise _Over from None
        await self.say(f"count specs={counts.specs} active={counts.active} workers={counts.workers}")


async def _refused(supervisor: _Server, error: InvalidSpecError) -> object:
    """OTP's supervisor is who refuses a spec; ours cannot even be written down. It is asked all the same."""
    await count_children(supervisor.ref)
    raise error
