"""A state machine as an actor: what it does with an event depends on the state it is in (row A14; OTP: `gen_statem`).

Rules
- A handler returns what happens next: `Next(state, *actions)`, `Keep(*actions)`, `Stop(reason)`; None keeps the state.
- Events are calls, casts, infos, time-outs, and those the machine gives itself (`Insert`): these come before others.
- `Postpone()` puts an event back; it comes again after the next *change* of state, before anything newer, in order.
- Time-outs: of the state (ends with it), of the event (ends with the next event, whatever it is), and by name (ends
  when it fires, is set anew or is cancelled). Setting one again replaces it; None seconds cancels it. A time-out that
  was cancelled in time is never delivered, even if it was on its way.
- A time-out of 0 s comes when what was inserted and what was postponed is done, before anything from the mailbox.
- `enter(state, old)` runs whenever a state is entered, the first included (old is None), before any event. Its actions
  are done as if they were appended to those of the event that led there: it may set time-outs, reply and insert events
  (OTP refuses that last one); it may not change the state.
- An event without a handler in this state is a crash: a machine that ignores must say so (`Keep()`).

The default `handle_event` calls the method `in_<state>`: an `Enum` member's name in lower case, or the text itself.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Generic, TypeAlias, TypeVar

from ._core.reasons import ExitReason, Normal
from .errors import UnhandledMessage
from .loop import MessageLoop
from .messages import NO_REPLY, Continue
from .reply import From
from .timers import Timer

S = TypeVar("S")


# What happens


@dataclass(frozen=True, slots=True)
class CallEvent:
    """A call: answer it with `event.caller.reply(...)` or `Reply`, now or later."""

    request: object
    caller: From


@dataclass(frozen=True, slots=True)
class CastEvent:
    """A cast."""

    message: object


@dataclass(frozen=True, slots=True)
class InfoEvent:
    """Anything else that was sent: `Down`, timers, `ref.send`."""

    message: object


@dataclass(frozen=True, slots=True)
class Internal:
    """What the machine gave itself with `Insert`."""

    content: object


@dataclass(frozen=True, slots=True)
class TimedOut:
    """A time-out: `"state"`, `"event"`, or the name it was set with; and what was set with it."""

    name: str
    content: object = None


Event: TypeAlias = CallEvent | CastEvent | InfoEvent | Internal | TimedOut


# What to do


@dataclass(frozen=True, slots=True)
class Postpone:
    """Have this event again after the next change of state."""


@dataclass(frozen=True, slots=True)
class Insert:
    """Handle `Internal(content)` next, before all that waits."""

    content: object


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer a call."""

    caller: From
    value: object


@dataclass(frozen=True, slots=True)
class After:
    """Set the time-out `name` (`"state"` and `"event"` are the two special ones); None seconds cancels it."""

    seconds: float | None
    content: object = None
    name: str = "state"


Action: TypeAlias = Postpone | Insert | Reply | After


class Next(Generic[S]):
    """Go to `state` (which may be the same one), then do `actions` in order."""

    __slots__ = ("actions", "state")

    def __init__(self, state: S, *actions: Action) -> None:
        self.state = state
        self.actions = actions


class Keep:
    """Stay in this state and do `actions` in order."""

    __slots__ = ("actions",)

    def __init__(self, *actions: Action) -> None:
        self.actions = actions


class Stop:
    """End with `reason`."""

    __slots__ = ("reason",)

    def __init__(self, reason: ExitReason | None = None) -> None:
        self.reason: ExitReason = Normal() if reason is None else reason


_MACHINERY: Final = {"_process", "_monitors", "_state", "_entered", "_timers", "_due", "_postponed", "_inserted"}
EVENT: Final = "event"
STATE: Final = "state"


class _Fired:
    """A time-out on its way through the mailbox; void if it is no longer the one that is set."""

    __slots__ = ("event",)

    def __init__(self, event: TimedOut) -> None:
        self.event = event


class StateMachine(MessageLoop, Generic[S]):
    """Derive from it, set `initial`, and define `in_<state>` for each state, or `handle_event`."""

    initial: S
    _state: S
    _entered = False
    _timers: dict[str, tuple[Timer, _Fired]]
    _due: dict[str, TimedOut]

    @property
    def state(self) -> S:
        """The state it is in."""
        return self._state if self._entered else self.initial

    async def handle_event(self, state: S, event: Event) -> "Next[S] | Keep | Stop | None":
        """What to do with `event` in `state`. The default calls `in_<state>(event)`."""
        handler = getattr(self, f"in_{_name_of(state)}", None)
        if handler is None:
            raise UnhandledMessage(f"{type(self).__name__} in state {state}", "event", event)
        answer: Any = await handler(event)
        return answer  # type: ignore[no-any-return]  # checked by `_carry_out`

    async def enter(self, state: S, old: S | None) -> Sequence[Action]:
        """A state was entered; the actions returned are done before the next event."""
        return ()

    def get_state(self) -> object:
        """The state and the machine's own attributes. OTP: `{State, Data}`."""
        data = {name: value for name, value in vars(self).items() if name not in _MACHINERY}
        return self.state, data

    def replace_state(self, state: object) -> None:
        """Take over such a pair; `enter` is not called."""
        match state:
            case (new, dict(data)):
                self._state = new  # type: ignore[assignment]  # the caller made it of an earlier state
                vars(self).update(data)
            case _:
                raise TypeError(f"the state of {type(self).__name__} is a pair: the state, a dict of its attributes")

    # The machine

    async def loop(self, first: Continue | None) -> ExitReason:
        self._state, self._entered = self.initial, True
        self._timers, self._due = {}, {}
        self._postponed: list[Event] = []
        self._inserted: deque[Event] = deque()
        if first is not None:
            self._inserted.append(Internal(first.value))
        self._inserted.extend(await self._enter(None))
        await self._run_inserted()
        return await super().loop(None)

    async def handle_call(self, request: object, caller: From) -> object:
        event = CallEvent(request, caller)
        await self._happen(event)
        return NO_REPLY

    async def handle_cast(self, message: object) -> None:
        await self._happen(CastEvent(message))

    async def handle_info(self, message: object) -> None:
        if not isinstance(message, _Fired):
            await self._happen(InfoEvent(message))
        elif self._timers.get(message.event.name, (None, None))[1] is message:
            del self._timers[message.event.name]
            await self._happen(message.event)

    async def handle_continue(self, value: object) -> None:
        await self._happen(Internal(value))

    async def _happen(self, event: Event) -> None:
        self._inserted.append(event)
        await self._run_inserted()

    async def _run_inserted(self) -> None:
        while (self._inserted or self._due) and self._process.stopping is None:
            event = self._inserted.popleft() if self._inserted else self._due.pop(next(iter(self._due)))
            self._cancel(EVENT)
            await self._carry_out(event, await self.handle_event(self._state, event))

    async def _carry_out(self, event: Event, answer: "Next[S] | Keep | Stop | None") -> None:
        if answer is None:
            return
        if isinstance(answer, Stop):
            self.stop(answer.reason)
            return
        old = self._state
        inserted = self._do(answer.actions, event)
        if isinstance(answer, Next) and answer.state != old:
            self._state = answer.state
            if not any(isinstance(action, After) and action.name == STATE for action in answer.actions):
                self._cancel(STATE)
            inserted += await self._enter(old)
            self._inserted.extendleft(reversed(self._postponed))
            self._postponed.clear()
        self._inserted.extendleft(reversed(inserted))

    async def _enter(self, old: S | None) -> list[Event]:
        """Enter the state it is in; returns the events to insert."""
        return self._do(await self.enter(self._state, old), None)

    def _do(self, actions: Sequence[Action], event: Event | None) -> list[Event]:
        """Do the actions; returns the events to insert."""
        inserted: list[Event] = []
        for action in actions:
            match action:
                case Postpone() if event is not None:
                    self._postponed.append(event)
                case Postpone():
                    raise ValueError("there is no event to postpone when a state is entered")
                case Insert(content):
                    inserted.append(Internal(content))
                case Reply(caller, value):
                    caller.reply(value)
                case After():
                    self._set(action)
        return inserted

    def _set(self, after: After) -> None:
        self._cancel(after.name)
        if after.seconds is None:
            return
        event = TimedOut(after.name, after.content)
        if after.seconds <= 0:
            self._due[after.name] = event
        else:
            fired = _Fired(event)
            self._timers[after.name] = (self.send_after(after.seconds, fired), fired)

    def _cancel(self, name: str) -> None:
        self._due.pop(name, None)
        known = self._timers.pop(name, None)
        if known is not None:
            known[0].cancel()


def _name_of(state: object) -> str:
    return state.name.lower() if isinstance(state, Enum) else str(state)
