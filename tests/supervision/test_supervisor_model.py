"""A naive model of a supervisor beside the real one: the same requests, crashes and refusals, line for line.

The model is a list of children and a list of restart times, and decides in the most literal way that OTP's manual
can be read. Hypothesis lives lives on the model; then the real supervisor lives them again on virtual time, and must
have told the same, answered the same and come to the same children after every step.
"""

from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Literal

import trio
import trio.testing
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from supervision import (
    ActorRef,
    AlreadyPresent,
    AlreadyStarted,
    ChildError,
    ChildSpec,
    DynamicSupervisor,
    ExitReason,
    GenServer,
    InvalidSpecError,
    Shutdown,
    StartError,
    Supervisor,
    count_children,
    delete_child,
    restart_child,
    start_child,
    start_tree,
    terminate_child,
    which_children,
)
from supervision._core.specs import AutoShutdown, Restart, Strategy
from tests.support.actors import Boom, quiet

Leave = Literal["crash", "normal", "shutdown", "kill"]
IDS = st.sampled_from("abcd")
RESTARTS = st.sampled_from(["permanent", "transient", "temporary"])
PERIOD = 5


@dataclass
class ModelChild:
    id: str
    restart: Restart
    significant: bool
    runs: bool = False


@dataclass
class Model:
    """What OTP's manual says."""

    strategy: Strategy
    intensity: int
    auto_shutdown: AutoShutdown
    children: list[ModelChild] = field(default_factory=list)
    refusals: dict[str, int] = field(default_factory=dict)
    restarts: list[int] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    now: int = 0
    alive: bool = True

    def child(self, name: str) -> ModelChild | None:
        return next((child for child in self.children if child.id == name), None)

    def start(self, child: ModelChild) -> bool:
        if self.refusals.get(child.id, 0) > 0:
            self.refusals[child.id] -= 1
            self.told.append(f"{child.id} refuses")
            return False
        self.told.append(f"{child.id} starts")
        child.runs = True
        return True

    def stop(self, child: ModelChild) -> None:
        if child.runs:
            self.told.append(f"{child.id} ends")
            child.runs = False
        if child.restart == "temporary":
            self.children.remove(child)

    def end(self) -> None:
        for child in self.children[::-1]:
            self.stop(child)
        self.alive = False

    def leaves(self, child: ModelChild, how: Leave) -> None:
        child.runs = False
        if how != "kill":
            self.told.append(f"{child.id} ends")
        if child.restart == "permanent" or (child.restart == "transient" and how in ("crash", "kill")):
            self.restart(child)
            return
        if child.restart == "temporary":
            self.children.remove(child)
        others = any(other.significant and other.runs for other in self.children)
        if child.significant and (self.auto_shutdown == "any_significant" or not others):
            self.end()

    def restart(self, child: ModelChild) -> None:
        """Until it succeeds or there were too many."""
        while True:
            self.restarts = [time for time in self.restarts if self.now - time <= PERIOD] + [self.now]
            if len(self.restarts) > self.intensity:
                self.end()
                return
            first = {"one_for_one": child, "rest_for_one": child, "one_for_all": self.children[0]}[self.strategy]
            at = self.children.index(first)
            group = [child] if self.strategy == "one_for_one" else self.children[at:]
            for each in group[::-1]:
                if each is not child:
                    self.stop(each)
            failed = next((each for each in group if each in self.children and not self.start(each)), None)
            if failed is None:
                return
            child = failed


@dataclass(frozen=True)
class Step:
    """What was done, and what the model came to: its answer, what was told, its children."""

    what: tuple[str, ...]
    spec: ModelChild | None
    answer: str
    told: list[str]
    children: list[tuple[str, bool]]
    alive: bool


class SupervisorMachine(RuleBasedStateMachine):
    """A life of the model, written down; `teardown` has the real supervisor live it."""

    def __init__(self) -> None:
        super().__init__()
        self.lives: list[tuple[Model, list[Step]]] = []

    def living(self) -> bool:
        return bool(self.lives) and self.model.alive

    def dead(self) -> bool:
        return not self.living()

    @precondition(dead)
    @rule(
        strategy=st.sampled_from(["one_for_one", "one_for_all", "rest_for_one"]),
        intensity=st.integers(0, 6),
        auto_shutdown=st.sampled_from(["never", "any_significant", "all_significant"]),
        kinds=st.lists(st.tuples(RESTARTS, st.booleans()), max_size=4),
    )
    def begin(
        self, strategy: Strategy, intensity: int, auto_shutdown: AutoShutdown, kinds: list[tuple[Restart, bool]]
    ) -> None:
        self.model = Model(strategy, intensity, auto_shutdown)
        self.steps: list[Step] = []
        self.lives.append((self.model, self.steps))
        for name, (restart, significant) in zip("abcd", kinds, strict=False):
            self.add_child(name, restart, significant and restart != "permanent" and auto_shutdown != "never")

    def note(self, *what: str, answer: str = "ok", spec: ModelChild | None = None) -> None:
        model = self.model
        children = [(child.id, child.runs) for child in model.children]
        self.steps.append(Step(what, spec, answer, model.told, children, model.alive))
        model.told = []

    @precondition(living)
    @rule(name=IDS, restart=RESTARTS, significant=st.booleans())
    def add(self, name: str, restart: Restart, significant: bool) -> None:
        self.add_child(name, restart, significant)

    def add_child(self, name: str, restart: Restart, significant: bool) -> None:
        model, child = self.model, ModelChild(name, restart, significant)
        present = model.child(name)
        spec = ModelChild(name, restart, significant)
        if significant and (restart == "permanent" or model.auto_shutdown == "never"):
            answer = "InvalidSpecError"
        elif present is not None:
            answer = "AlreadyStarted" if present.runs else "AlreadyPresent"
        elif model.start(child):
            model.children.append(child)
            answer = "ok"
        else:
            answer = "StartError"
        self.note("add", name, answer=answer, spec=spec)

    def busy(self) -> bool:
        return self.living() and any(child.runs for child in self.model.children)

    @precondition(busy)
    @rule(index=st.integers(0, 3), how=st.sampled_from(["crash", "normal", "shutdown", "kill"]))
    def leave(self, index: int, how: Leave) -> None:
        running = [child for child in self.model.children if child.runs]
        child = running[index % len(running)]
        self.model.leaves(child, how)
        self.note(how, child.id)

    @precondition(busy)
    @rule(index=st.integers(0, 3), other=IDS, times=st.integers(1, 3))
    def leave_and_be_refused(self, index: int, other: str, times: int) -> None:
        self.refuse(other, times)
        self.leave(index, "crash")

    def refuse(self, name: str, times: int) -> None:
        self.model.refusals[name] = times
        self.note("refuse", name, str(times))

    @precondition(living)
    @rule(name=IDS, what=st.sampled_from(["terminate", "terminate", "restart", "restart", "delete"]))
    def ask(self, name: str, what: str) -> None:
        model, child = self.model, self.model.child(name)
        answer = "ok"
        if child is None:
            answer = "ChildNotFound"
        elif what == "terminate":
            model.stop(child)
        elif child.runs:
            answer = "ChildRunning"
        elif what == "delete":
            model.children.remove(child)
        elif not model.start(child):
            answer = "StartError"
        self.note(what, name, answer=answer)

    @precondition(living)
    @rule(seconds=st.sampled_from([1, 2, PERIOD + 1]))
    def wait(self, seconds: int) -> None:
        self.model.now += seconds
        self.note("wait", str(seconds))

    def teardown(self) -> None:
        for model, steps in self.lives:
            flags = (model.strategy, model.intensity, float(PERIOD), model.auto_shutdown)
            trio.run(Life(flags, steps).live, clock=trio.testing.MockClock(autojump_threshold=0))


class RealChild(GenServer):
    def __init__(self, name: str, life: "Life") -> None:
        self.name = name
        self.life = life

    async def init(self) -> None:
        self.life.refs[self.name] = self.ref
        if self.life.refusals.get(self.name, 0) > 0:
            self.life.refusals[self.name] -= 1
            self.life.told.append(f"{self.name} refuses")
            raise Boom
        self.life.told.append(f"{self.name} starts")

    async def handle_cast(self, message: object) -> None:
        if message == "crash":
            raise Boom
        self.stop() if message == "normal" else self.stop(Shutdown())

    async def terminate(self, reason: ExitReason) -> None:
        self.life.told.append(f"{self.name} ends")


class Life:
    """The same on the real supervisor."""

    def __init__(self, flags: tuple[Strategy, int, float, AutoShutdown], steps: list[Step]) -> None:
        self.flags = flags
        self.steps = steps
        self.refusals: dict[str, int] = {}
        self.refs: dict[str, ActorRef] = {}
        self.told: list[str] = []

    async def live(self) -> None:
        harness = ChildSpec("harness", lambda: DynamicSupervisor(intensity=0), type="supervisor")
        async with start_tree(harness, quiet()) as (_, root):
            spec = ChildSpec("real", lambda: Supervisor([], *self.flags), restart="temporary", type="supervisor")
            supervisor = await start_child(root, spec)
            for step in self.steps:
                answer = await self.act(supervisor, step)
                await trio.testing.wait_all_tasks_blocked()
                assert (step.what, answer) == (step.what, step.answer)
                assert (step.what, self.told) == (step.what, step.told)
                assert (step.what, supervisor.alive) == (step.what, step.alive)
                if step.alive:
                    await self.compare(supervisor, step)
                self.told.clear()
            if not supervisor.alive:
                assert await supervisor.wait_down() == Shutdown()

    async def compare(self, supervisor: ActorRef, step: Step) -> None:
        infos = await which_children(supervisor)
        assert [(info.id, info.status == "running") for info in infos] == step.children, step.what
        counts = await count_children(supervisor)
        assert (counts.specs, counts.active) == (len(infos), sum(runs for _, runs in step.children))

    async def act(self, supervisor: ActorRef, step: Step) -> str:
        match step.what:
            case ("add", name):
                return await self.answer(self.add(supervisor, name, step.spec))
            case ("terminate", name):
                return await self.answer(terminate_child(supervisor, name))
            case ("restart", name):
                return await self.answer(restart_child(supervisor, name))
            case ("delete", name):
                return await self.answer(delete_child(supervisor, name))
            case ("refuse", name, times):
                self.refusals[name] = int(times)
            case ("wait", seconds):
                await trio.sleep(int(seconds))
            case ("kill", name):
                self.refs[name].kill()
            case (how, name):
                await self.refs[name].cast(how)
        return "ok"

    async def add(self, supervisor: ActorRef, name: str, child: ModelChild | None) -> None:
        assert child is not None
        build = lambda: RealChild(name, self)  # noqa: E731 - as in a specification
        spec = ChildSpec(name, build, restart=child.restart, significant=child.significant)
        await start_child(supervisor, spec)

    async def answer(self, asked: Awaitable[object]) -> str:
        try:
            await asked
        except (AlreadyStarted, AlreadyPresent, ChildError, InvalidSpecError) as error:
            return type(error).__name__
        except StartError:
            return "StartError"
        return "ok"


TestSupervisorModel = SupervisorMachine.TestCase
TestSupervisorModel.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
