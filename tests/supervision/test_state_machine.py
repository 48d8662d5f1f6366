"""State machines: states, postponed and inserted events, the three kinds of time-outs, entering."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from supervision import (
    ActorRef,
    Call,
    ChildSpec,
    Continue,
    DynamicSupervisor,
    ServerDown,
    Shutdown,
    StateMachine,
    start_child,
    start_tree,
)
from supervision.introspect import get_state, replace_state
from supervision.state_machine import (
    Action,
    After,
    CallEvent,
    CastEvent,
    Event,
    InfoEvent,
    Insert,
    Internal,
    Keep,
    Next,
    Postpone,
    Reply,
    Stop,
    TimedOut,
)
from tests.support.actors import crashed_with, quiet, root

from .conftest import run_on_virtual_time


class Lock(Enum):
    LOCKED = auto()
    OPEN = auto()


@dataclass(frozen=True)
class Code(Call[str]):
    digits: str


class Door(StateMachine[Lock]):
    """The door of OTP's design principles: opens for the code, locks itself after 10 s, postpones codes while open."""

    initial = Lock.LOCKED

    def __init__(self, notes: list[object]) -> None:
        self.notes = notes

    async def enter(self, state: Lock, old: Lock | None) -> Sequence[Action]:
        self.notes.append((old, state))
        return [After(10, "lock")] if state is Lock.OPEN else []

    async def in_locked(self, event: Event) -> object:
        match event:
            case CallEvent(Code("1234"), caller):
                return Next(Lock.OPEN, Reply(caller, "open"))
            case CallEvent(Code(), caller):
                return Keep(Reply(caller, "wrong"))
            case _:
                return None

    async def in_open(self, event: Event) -> object:
        match event:
            case CallEvent():
                return Keep(Postpone())
            case TimedOut("state", "lock"):
                return Next(Lock.LOCKED)
            case CastEvent("break"):
                return Stop(Shutdown("broken"))
            case _:
                return None


Start = Callable[[StateMachine[object]], Awaitable[ActorRef]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    async with start_tree(ChildSpec("d", DynamicSupervisor, type="supervisor"), quiet()) as (_, supervisor):
        yield lambda machine: start_child(supervisor, ChildSpec("machine", lambda: machine, restart="temporary"))


async def test_a_door(start: Start) -> None:
    notes: list[object] = []
    door = await start(Door(notes))  # type: ignore[arg-type]
    assert await door.call(Code("0000")) == "wrong"
    assert await door.call(Code("1234")) == "open"
    answers: dict[str, tuple[float, str]] = {}

    async def ask(digits: str) -> None:
        answer = await door.call(Code(digits), None)
        answers[digits] = (trio.current_time(), answer)

    async with trio.open_nursery() as nursery:
        for digits in ("0000", "1234", "1111"):
            nursery.start_soon(ask, digits)
            await wait_all_tasks_blocked()
    assert answers == {"0000": (10, "wrong"), "1234": (10, "open"), "1111": (20, "wrong")}
    assert notes[:3] == [(None, Lock.LOCKED), (Lock.LOCKED, Lock.OPEN), (Lock.OPEN, Lock.LOCKED)]


async def test_callers_of_postponed_calls_learn_of_its_end(start: Start) -> None:
    door = await start(Door([]))  # type: ignore[arg-type]
    await door.call(Code("1234"))

    async def ask() -> None:
        with pytest.raises(ServerDown) as caught:
            await door.call(Code("1234"))
        assert caught.value.reason == Shutdown("broken")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        await door.cast("break")


async def test_its_state_can_be_seen_and_replaced(start: Start) -> None:
    notes: list[object] = []
    door = await start(Door(notes))  # type: ignore[arg-type]
    assert await get_state(door) == (Lock.LOCKED, {"notes": notes})
    await replace_state(door, lambda pair: (Lock.OPEN, pair[1]))  # type: ignore[index]
    assert (await get_state(door))[0] is Lock.OPEN  # type: ignore[index]
    with pytest.raises(TypeError):
        await replace_state(door, lambda _pair: 1)


class Scripted(StateMachine[str]):
    """Answers each event with what a function says, and notes it all."""

    initial = "a"

    def __init__(self, script: Callable[[str, Event], object], on_enter: Sequence[Action] = ()) -> None:
        self.script = script
        self.on_enter = on_enter
        self.notes: list[object] = []

    async def handle_event(self, state: str, event: Event) -> Next[str] | Keep | Stop | None:
        self.notes.append((trio.current_time(), state, event))
        return self.script(state, event)  # type: ignore[return-value]

    async def enter(self, state: str, old: str | None) -> Sequence[Action]:
        return self.on_enter if old is None else ()


async def run(start: Start, script: dict[object, object], *casts: object, wait: float = 100) -> list[object]:
    """Cast these to a machine that answers by the message; returns (time, state, event) of all it handled."""

    def answer(_state: str, event: Event) -> object:
        match event:
            case CastEvent(message) | InfoEvent(message):
                return script.get(message)
            case Internal(content):
                return script.get(("internal", content))
            case TimedOut(name, content):
                return script.get((name, content))
        return None

    machine, begun = Scripted(answer), trio.current_time()
    ref = await start(machine)  # type: ignore[arg-type]
    for message in casts:
        if isinstance(message, float):
            await trio.sleep(message)
        else:
            await ref.cast(message)
    await trio.sleep(wait)
    return [(time - begun, state, event) for time, state, event in machine.notes]  # type: ignore[misc]


async def test_the_time_out_of_a_state_ends_with_it(start: Start) -> None:
    script = {"set": Keep(After(5, "late")), "go": Next("b"), "same": Next("a")}
    assert await run(start, script, "set", 4.0, "same") == [
        (0, "a", CastEvent("set")), (4, "a", CastEvent("same")), (5, "a", TimedOut("state", "late")),
    ]  # fmt: skip
    assert len(await run(start, script, "set", 4.0, "go")) == 2


async def test_a_time_out_set_while_changing_state_belongs_to_the_new_one(start: Start) -> None:
    notes = await run(start, {"go": Next("b", After(5, "late"))}, "go")
    assert notes[1:] == [(5, "b", TimedOut("state", "late"))]


async def test_the_time_out_of_an_event_ends_with_the_next(start: Start) -> None:
    script = {"set": Keep(After(5, None, "event"))}
    assert [time for time, _, _ in await run(start, script, "set", 4.0, "any")] == [0, 4]  # type: ignore[misc]
    assert (await run(start, script, "set"))[-1] == (5, "a", TimedOut("event"))


async def test_a_named_time_out_outlives_states_and_can_be_moved_and_cancelled(start: Start) -> None:
    script = {
        "set": Keep(After(5, 1, "x"), After(7, 2, "y")),
        "go": Next("b"),
        "move": Keep(After(10, 3, "x")),
        "off": Keep(After(None, name="y")),
    }
    notes = await run(start, script, "set", "go", 4.0, "move", "off")
    assert notes[4:] == [(14, "b", TimedOut("x", 3))]


async def test_a_time_out_on_its_way_is_void_once_cancelled(start: Start) -> None:
    """The machine is busy while the time-out fires, and then leaves the state."""
    machine = Scripted(lambda _state, event: {"set": Keep(After(1)), "go": Next("b")}.get(event.message))  # type: ignore[union-attr]
    ref = await start(machine)  # type: ignore[arg-type]
    await ref.cast("set")
    await wait_all_tasks_blocked()
    await ref.cast("go")
    machine.send_after(0, "wake")
    await trio.sleep(50)
    assert not any(isinstance(event, TimedOut) for _, _, event in machine.notes)  # type: ignore[misc]


async def test_inserted_events_come_first_and_postponed_ones_after_a_change(start: Start) -> None:
    script = {
        "later": Keep(Postpone()),
        "go": Next("b", Insert(1), Insert(2)),
        ("internal", 1): Keep(Insert(3)),
    }
    machine = Scripted(
        lambda state, event: (
            script.get(event.message if isinstance(event, CastEvent) else ("internal", event.content))  # type: ignore[union-attr]
            if state == "a" or isinstance(event, Internal)
            else None
        )
    )
    ref = await start(machine)  # type: ignore[arg-type]
    for message in ("later", "x", "go", "y"):
        await ref.cast(message)
    await wait_all_tasks_blocked()
    assert [(state, event) for _, state, event in machine.notes] == [  # type: ignore[misc]
        ("a", CastEvent("later")), ("a", CastEvent("x")), ("a", CastEvent("go")),
        ("b", Internal(1)), ("b", Internal(3)), ("b", Internal(2)),
        ("b", CastEvent("later")), ("b", CastEvent("y")),
    ]  # fmt: skip


async def test_what_entering_inserts_comes_after_what_the_event_inserted(start: Start) -> None:
    """Its actions are done as if appended; what was postponed comes after both."""

    class Enters(Scripted):
        async def enter(self, state: str, old: str | None) -> Sequence[Action]:
            return [Insert("from enter")] if state == "b" else []

    script: dict[object, object] = {"later": Keep(Postpone()), "go": Next("b", Insert("from the event"))}
    machine = Enters(
        lambda state, event: script.get(event.message) if state == "a" and isinstance(event, CastEvent) else None
    )
    ref = await start(machine)  # type: ignore[arg-type]
    for message in ("later", "go"):
        await ref.cast(message)
    await wait_all_tasks_blocked()
    assert [event for _, state, event in machine.notes if state == "b"] == [  # type: ignore[misc]
        Internal("from the event"), Internal("from enter"), CastEvent("later"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["state", "event", "mine"])
async def test_a_time_out_of_zero_comes_before_what_waits_in_the_mailbox(start: Start, name: str) -> None:
    script = {"set": Keep(After(0, 1, name)), "set and insert": Keep(After(0, 1, name), Insert("inserted"))}
    notes = await run(start, script, "set", "waits", wait=1)
    assert [event for _, _, event in notes] == [CastEvent("set"), TimedOut(name, 1), CastEvent("waits")]  # type: ignore[misc]
    notes = await run(start, script, "set and insert", "waits", wait=1)
    late = [] if name == "event" else [TimedOut(name, 1)]  # any event ends the time-out of an event
    assert [event for _, _, event in notes][1:] == [Internal("inserted"), *late, CastEvent("waits")]  # type: ignore[misc]


async def test_a_time_out_of_zero_comes_after_what_was_postponed_and_may_be_cancelled(start: Start) -> None:
    script = {
        "later": Keep(Postpone()),
        "go": Next("b", After(0, "of the state"), After(0, "mine", "mine"), After(0, "event", "event")),
        "set": Keep(After(0), Insert("leave")),
        ("internal", "leave"): Next("b"),
    }
    machine = Scripted(
        lambda state, event: (
            script.get(event.message if isinstance(event, CastEvent) else ("internal", getattr(event, "content", None)))
            if state == "a"
            else None
        )
    )
    ref = await start(machine)  # type: ignore[arg-type]
    for message in ("later", "go", "last"):
        await ref.cast(message)
    await wait_all_tasks_blocked()
    assert [event for _, state, event in machine.notes if state == "b"] == [  # type: ignore[misc]
        CastEvent("later"), TimedOut("state", "of the state"), TimedOut("mine", "mine"), CastEvent("last"),
    ]  # fmt: skip
    notes = await run(start, script, "set", wait=1)
    assert [event for _, _, event in notes] == [CastEvent("set"), Internal("leave")]  # type: ignore[misc]


async def test_entering_may_set_and_insert_but_not_postpone(start: Start) -> None:
    machine = Scripted(lambda _state, _event: None, on_enter=[Insert("first"), After(3)])
    ref = await start(machine)  # type: ignore[arg-type]
    ref.send("info")
    await trio.sleep(5)
    assert [event for _, _, event in machine.notes] == [Internal("first"), InfoEvent("info"), TimedOut("state")]  # type: ignore[misc]
    bad = await start(Scripted(lambda _state, _event: None, on_enter=[Postpone()]))  # type: ignore[arg-type]
    assert isinstance(crashed_with(await bad.wait_down()), ValueError)


async def test_an_unknown_state_is_a_crash_and_continue_is_an_internal_event(start: Start) -> None:
    class Lost(StateMachine[str]):
        initial = "nowhere"

        async def init(self) -> Continue:
            return Continue("go")

    ref = await start(Lost())  # type: ignore[arg-type]
    assert "in state nowhere got a event of type Internal" in str(crashed_with(await ref.wait_down()))


@given(st.lists(st.sampled_from(["later", "go", "x"]), max_size=30))
def test_no_postponed_event_is_lost_doubled_or_overtaken(messages: list[str]) -> None:
    """`later` is postponed in state a and taken in state b; `go` changes the state."""
    machine = Scripted(
        lambda state, event: {
            ("a", "later"): Keep(Postpone()), ("a", "go"): Next("b"), ("b", "go"): Next("a"),
        }.get((state, event.message[0]))  # type: ignore[union-attr]
    )  # fmt: skip

    async def main() -> None:
        spec = ChildSpec("machine", lambda: machine)
        async with start_tree(root(spec), quiet()) as (system, _):
            ref = system.root.describe().children  # type: ignore[union-attr]
            assert ref
            process = machine.ref
            for number, message in enumerate([*messages, "go", "end"]):
                await process.cast((message, number))
            await wait_all_tasks_blocked()

    run_on_virtual_time(main)
    taken = [event.message for _, state, event in machine.notes if (state, event.message[0]) != ("a", "later")]  # type: ignore[union-attr, misc]
    seen = [number for _, number in taken]
    waiting = [number for number, message in enumerate(messages) if message == "later" and number not in seen]
    assert sorted(seen + waiting) == list(range(len(messages) + 2))
    laters = [number for message, number in taken if message == "later"]
    assert laters == sorted(laters)
