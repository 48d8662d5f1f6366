"""Row A41: a child that crashes again and again on one kind of message leaves a report, and the report no secrets."""

from dataclasses import dataclass
from enum import Enum

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from supervision import (
    ActorRef,
    Call,
    ChildSpec,
    DynamicSupervisor,
    From,
    GenServer,
    Quarantine,
    QuarantineReport,
    ServerDown,
    StateMachine,
    Supervisor,
    System,
    introspect,
    start_child,
    start_tree,
)
from supervision._core.quarantine import Ward, shape
from supervision.state_machine import CastEvent, Event
from tests.support.actors import Boom

SECRET = "hunter2"


@dataclass(frozen=True)
class Open(Call[None]):
    password: str
    door: int = 1


@dataclass(frozen=True)
class Poison:
    secret: str


class Fragile(GenServer):
    """Breaks at poison."""

    async def handle_call(self, request: object, caller: From) -> object:
        if isinstance(request, Open) and request.door == 0:
            raise Boom(request.password)
        return None

    async def handle_cast(self, message: object) -> None:
        match message:
            case Poison():
                raise Boom(message.secret)
            case "task":
                self.spawn(self.fail)

    async def handle_info(self, message: object) -> None:
        if message == "timer":
            raise Boom(SECRET)

    async def fail(self) -> None:
        raise Boom


class FragileMachine(StateMachine[str]):
    initial = "calm"

    async def handle_event(self, state: str, event: Event) -> None:
        match event:
            case CastEvent(Poison()):
                raise Boom


def fragile(**policy: object) -> ChildSpec:
    return ChildSpec("fragile", Fragile, name="fragile", quarantine=Quarantine(**policy))  # type: ignore[arg-type]


def root(*children: ChildSpec) -> ChildSpec:
    return ChildSpec("root", lambda: Supervisor(children, intensity=1000), name="root", type="supervisor")


async def poison(system: System, message: object = Poison(SECRET)) -> None:
    """Have it crash, and wait until it is back."""
    old = system.whereis("fragile")
    assert old is not None
    await old.cast(message)
    await old.wait_down()
    await back(system, old)


async def back(system: System, old: ActorRef) -> None:
    while system.whereis("fragile") in (None, old):  # noqa: ASYNC110 - the name is what is waited for
        await trio.sleep(0.001)


async def test_the_third_crash_on_one_kind_of_message_leaves_a_report() -> None:
    async with start_tree(root(fragile()), System(log=False)) as (system, supervisor):
        heard: list[object] = []
        system.events.subscribe(heard.append, QuarantineReport)
        for _ in range(2):
            await poison(system)
            await trio.sleep(10)
        assert heard == []
        await system.ref("fragile").call(Open(SECRET))
        system.ref("fragile").send(3)
        await poison(system)
        (report,) = system.quarantined
        assert heard == [report]
        assert (report.supervisor, report.child, report.kind) == (supervisor, "fragile", "cast Poison")
        assert (report.crashes, report.within) == (3, 60.0)
        assert report.messages == ("call Open(password=str[7], door=int)", "info int", "cast Poison(secret=str[7])")
        assert report.exception.startswith("Boom at ")
        assert __file__ in report.exception
        assert SECRET not in repr(report)
        for _ in range(3):
            await poison(system)
        assert len(system.quarantined) == 2, "the count began anew"


async def test_other_kinds_old_crashes_and_tasks_do_not_count() -> None:
    async with start_tree(root(fragile(crashes=2, within=5)), System(log=False)) as (system, _):
        old = system.whereis("fragile")
        assert old is not None
        await poison(system)
        with pytest.raises(ServerDown):
            await system.ref("fragile").call(Open(SECRET, 0))
        await trio.sleep(1)
        for _ in range(3):
            await poison(system, "task")
        await trio.sleep(5)
        await poison(system)
        assert not system.quarantined
        await poison(system)
        assert len(system.quarantined) == 1


async def test_only_the_last_messages_are_kept_and_only_on_request() -> None:
    plain = ChildSpec("fragile", Fragile, name="fragile")
    async with start_tree(root(plain), System(log=False)) as (system, _):
        await poison(system)
        assert not system.quarantined
    async with start_tree(root(fragile(crashes=1, keep=2)), System(log=False)) as (system, _):
        for number in range(5):
            system.ref("fragile").send(number)
        await poison(system)
        assert system.quarantined[0].messages == ("info int", "cast Poison(secret=str[7])")


async def test_a_redaction_of_ones_own_and_one_that_fails() -> None:
    def tell(message: object) -> str:
        return f"door {message.door}"  # type: ignore[attr-defined]

    async with start_tree(root(fragile(crashes=1, redact=tell)), System(log=False)) as (system, _):
        await system.ref("fragile").call(Open(SECRET, 7))
        await poison(system)
        assert system.quarantined[0].messages == ("call door 7", "cast Poison")


async def test_a_dynamic_supervisor_counts_over_its_children_of_one_id() -> None:
    pool = ChildSpec("pool", lambda: DynamicSupervisor(intensity=1000), type="supervisor")
    async with start_tree(pool, System(log=False)) as (system, ref):
        spec = ChildSpec("session", Fragile, restart="temporary", quarantine=Quarantine())
        for _ in range(3):
            child = await start_child(ref, spec)
            await child.cast(Poison(SECRET))
            await child.wait_down()
        await trio.sleep(0.1)
        (report,) = system.quarantined
        assert (report.child, report.kind) == ("session", "cast Poison")


async def test_state_machines_timers_suspension_and_tracing() -> None:
    machine = ChildSpec("fragile", FragileMachine, name="fragile", quarantine=Quarantine(crashes=1))
    async with start_tree(root(machine), System(log=False)) as (system, _):
        await poison(system)
        assert system.quarantined[0].messages == ("cast Poison(secret=str[7])",)
    async with start_tree(root(fragile(crashes=1)), System(log=False)) as (system, _):
        ref = system.whereis("fragile")
        assert ref is not None
        await introspect.suspend(ref)
        ref.send("timer")
        await introspect.resume(ref)
        await back(system, ref)
        assert [report.kind for report in system.quarantined] == ["info str"]


async def test_it_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with start_tree(root(fragile(crashes=1))) as (system, _):
        await system.ref("fragile").cast(1)
        await poison(system)
    (line,) = [record.getMessage() for record in caplog.records if "redacted" in record.getMessage()]
    assert "child fragile crashed 1 times in 60 s, each time on a cast Poison (Boom at " in line
    assert line.endswith("cast int; cast Poison(secret=str[7])")


def test_policies_that_mean_nothing_are_refused() -> None:
    for wrong in ({"crashes": 0}, {"within": 0.0}, {"keep": 0}):
        with pytest.raises(ValueError, match="more than nothing"):
            Quarantine(**wrong)


class Colour(Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (b"12", "bytes[2]"),
        ([1, 2], "list[2]"),
        ({"a": 1}, "dict[1]"),
        (None, "NoneType"),
        (3.5, "float"),
        (Colour.RED, "Colour"),
        (Poison, "type"),
        (Open("x"), "Open(password=str[1], door=int)"),
        (Poison([Open("x")]), "Poison(secret=list[1])"),  # type: ignore[arg-type]
    ],
)
def test_a_shape_tells_no_value(message: object, told: str) -> None:
    assert shape(message) == told


@given(st.lists(st.floats(0, 10), max_size=30), st.integers(1, 5))
def test_the_ward_counts_what_a_window_holds(steps: list[float], crashes: int) -> None:
    ward, policy, times, now = Ward(), Quarantine(crashes=crashes, within=10.0), list[float](), 0.0
    for step in steps:
        now += step
        times = [*(time for time in times if time >= now - 10), now]
        assert ward.crashed("a", "cast Poison", policy, now) == (len(times) >= crashes)
        if len(times) >= crashes:
            times = []
