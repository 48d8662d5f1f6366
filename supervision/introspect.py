"""Looking into a running actor, and holding it still (row A24; OTP: `sys`).

Rules
- What is asked here is done in the actor's own task, between two of its messages, so no state is ever half changed.
  It works on suspended actors too, and is not held up by a full mailbox.
- A suspended actor keeps its mailbox, its timers and its links; it handles what this module asks, exits, nothing else.
- An error in a function given here is raised at whoever gave it; the actor goes on.
- Asking oneself, or in a circle, is refused as it is for calls (`SelfCall`, `CallCycle`).
- All of it is for debugging, tests and tools. An actor that needs it to work is designed wrong.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import trio
from trio.lowlevel import current_task, wait_task_rescheduled

from ._core.reasons import ExitReason, NoProc
from .actor import Actor
from .errors import ServerDown
from .events import LOGGER
from .inbox import CAST, CONTROL, EXIT, INFO, Entry, Inbox, SystemMessage
from .process import Process
from .ref import ActorRef
from .reply import From

Work = Callable[[Process, Actor], object]


class _Request(SystemMessage):
    """Something to do in the actor's task, and who waits for it."""

    __slots__ = ("_caller", "_work")

    def __init__(self, work: Work, caller: From) -> None:
        self._work = work
        self._caller = caller

    async def deliver(self, process: Inbox) -> None:
        if not isinstance(process, Process) or not isinstance(process.actor, Actor):
            self._caller.server_down(NoProc())
            return
        try:
            answer = self._work(process, process.actor)
        except Exception as error:  # noqa: BLE001 - the asker's mistake is the asker's error
            self._caller.fail(error)
        else:
            self._caller.reply(answer)

    def give_up(self, reason: ExitReason) -> None:
        self._caller.server_down(reason)


async def get_state(ref: ActorRef, timeout: float = 5.0) -> object:  # noqa: ASYNC109 - as for calls
    """The actor's state, as its `get_state` gives it. Raises `ServerDown`, `CallTimeout`."""
    return await _ask(ref, lambda _process, actor: actor.get_state(), timeout)


async def replace_state(
    ref: ActorRef,
    change: Callable[[object], object],
    timeout: float = 5.0,  # noqa: ASYNC109 - as for calls
) -> object:
    """Put `change(state)` in the place of the state; returns the new one. What `change` raises is raised here."""

    def work(_process: Process, actor: Actor) -> object:
        state = change(actor.get_state())
        actor.replace_state(state)
        return state

    return await _ask(ref, work, timeout)


async def suspend(ref: ActorRef, timeout: float = 5.0) -> None:  # noqa: ASYNC109 - as for calls
    """Hold the actor still after the message it is at. Its mailbox goes on filling."""
    await _ask(ref, _set_suspended(True), timeout)


async def resume(ref: ActorRef, timeout: float = 5.0) -> None:  # noqa: ASYNC109 - as for calls
    """Let a suspended actor go on."""
    await _ask(ref, _set_suspended(False), timeout)


TracedKind = Literal["call", "cast", "info", "control", "exit", "system"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """A message just before it is handled: its kind, itself, how long it waited (s), and how many were not told since
    the last one because of the rate."""

    actor: ActorRef
    kind: TracedKind
    message: object
    waited: float
    skipped: int


def trace(ref: ActorRef, tell: Callable[[Traced], None], rate: float = 100.0) -> Callable[[], None]:
    """Have `tell` called for each message `ref` is about to handle, at most `rate` in a second; returns what ends it.

    A `tell` that raises ends the tracing. One trace an actor: a second one takes the place of the first.
    """
    process = ref.resolve()
    if not isinstance(process, Process) or process.down:
        return lambda: None
    tracer = _Tracer(tell, rate, process.system.now)
    process.tracer = tracer
    process.note_special()

    def end() -> None:
        if process.tracer is tracer:
            process.tracer = None

    return end


_KINDS: dict[object, TracedKind] = {CAST: "cast", INFO: "info", CONTROL: "control", EXIT: "exit"}


class _Tracer:
    """Counts tokens: `rate` a second, at most as many at once."""

    def __init__(self, tell: Callable[[Traced], None], rate: float, now: Callable[[], float]) -> None:
        self._tell = tell
        self._rate = rate
        self._now = now
        self._tokens, self._since = max(1.0, rate), now()
        self._skipped = 0

    def see(self, process: Inbox, entry: Entry) -> None:
        tag, message, sent = entry
        now = self._now()
        self._tokens = min(max(1.0, self._rate), self._tokens + (now - self._since) * self._rate)
        self._since = now
        if self._tokens < 1:
            self._skipped += 1
            return
        self._tokens -= 1
        kind: TracedKind = "call" if isinstance(tag, From) else _KINDS.get(tag, "system")
        skipped, self._skipped = self._skipped, 0
        told = Traced(actor=process, kind=kind, message=message, waited=now - sent, skipped=skipped)
        try:
            self._tell(told)
        except Exception as error:  # noqa: BLE001 - watching must never hurt what is watched
            process.tracer = None
            LOGGER.warning("a trace of %s failed and was ended: %r", process, error)


def _set_suspended(value: bool) -> Work:
    def work(process: Process, _actor: Actor) -> None:
        process.suspended = value
        process.note_special()

    return work


async def _ask(ref: ActorRef, work: Work, seconds: float) -> object:
    process = ref.resolve()
    if not isinstance(process, Process) or process.down:
        raise ServerDown(ref, NoProc())
    task = current_task()
    process.refuse_a_circle(task)
    caller = From(process, task, seconds)
    process.ask(_Request(work, caller))
    process.system.timers.add(trio.current_time() + seconds, caller)
    task.custom_sleep_data = caller
    await wait_task_rescheduled(caller.abandon)
    return caller.outcome()
