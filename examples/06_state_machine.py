"""Rung 6: a room that can be paused. Broken: flags and a timer that is out of date. Fixed: a state machine."""

from dataclasses import dataclass
from enum import Enum, auto

import trio

from supervision import Call, CallTimeout, ChildSpec, From, GenServer, StateMachine, System, start_tree
from supervision.state_machine import After, CallEvent, CastEvent, Event, Keep, Next, Postpone, Reply, TimedOut


# region: requests
@dataclass(frozen=True)
class Say(Call[int]):
    """Say a line; answered by its number as soon as the room is open."""

    line: str


@dataclass(frozen=True)
class Pause:
    """Nobody speaks for so many seconds from now."""

    seconds: float


# endregion


# region: flags
@dataclass(frozen=True)
class Reopen:
    """The timer's message."""


class FlagRoom(GenServer):
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.paused = False

    async def handle_call(self, request: object, caller: From) -> object:
        match request:
            case Say(line) if not self.paused:
                self.lines.append(line)
                return len(self.lines)
            case Say():
                return 0
            case _:
                return await super().handle_call(request, caller)

    async def handle_cast(self, message: object) -> None:
        match message:
            case Pause(seconds):
                self.paused = True
                self.send_after(seconds, Reopen())
            case _:
                await super().handle_cast(message)

    async def handle_info(self, message: object) -> None:
        match message:
            case Reopen():
                self.paused = False
            case _:
                await super().handle_info(message)


# endregion


# region: machine
class State(Enum):
    OPEN = auto()
    PAUSED = auto()


class Room(StateMachine[State]):
    initial = State.OPEN

    def __init__(self) -> None:
        self.lines: list[str] = []

    async def in_open(self, event: Event) -> Next[State] | Keep:
        match event:
            case CallEvent(Say(line), caller):
                self.lines.append(line)
                return Keep(Reply(caller, len(self.lines)))
            case CastEvent(Pause(seconds)):
                return Next(State.PAUSED, After(seconds))
            case _:
                return Keep()  # anything else means nothing here

    async def in_paused(self, event: Event) -> Next[State] | Keep:
        match event:
            case CallEvent(Say()):
                return Keep(Postpone())
            case CastEvent(Pause(seconds)):
                return Keep(After(seconds))
            case TimedOut("state"):
                return Next(State.OPEN)
            case _:
                return Keep()


# endregion


# region: evening
async def evening(room: type[GenServer] | type[Room]) -> None:
    """Paused at 0 s for 1 s, and at 0.8 s for 1 s more: open again at 1.8 s."""
    answers: dict[float, str] = {}
    async with start_tree(ChildSpec("room", room)) as (_, ref), trio.open_nursery() as people:
        begun = trio.current_time()

        async def say(at: float, line: str) -> None:
            await trio.sleep_until(begun + at)
            number = await ref.call(Say(line))
            answer = f"line {number}" if number else "lost"
            answers[at] = f"{line!r} said at {at} s: {answer}, at {trio.current_time() - begun:.1f} s"

        await ref.cast(Pause(1))
        people.start_soon(say, 0.5, "is it over?")
        people.start_soon(say, 1.4, "and now?")
        await trio.sleep_until(begun + 0.8)
        await ref.cast(Pause(1))
    for at in sorted(answers):
        print(f"  {answers[at]}")


# endregion


# region: patience
async def patience() -> None:
    print("a caller that does not want to wait so long")
    async with start_tree(ChildSpec("room", Room), System(log=False)) as (_, ref):
        await ref.cast(Pause(1))
        try:
            await ref.call(Say("quick!"), timeout=0.5)
        except CallTimeout as error:
            print(f"  {error}")


# endregion


async def main() -> None:
    print("broken: a flag, a lost line, and the timer of the first pause")
    await evening(FlagRoom)
    print("fixed: two states, lines that wait, one timer that belongs to the state")
    await evening(Room)
    await patience()


if __name__ == "__main__":
    trio.run(main)
