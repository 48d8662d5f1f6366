"""The generic server: one state, one mailbox, callbacks (OTP: `gen_server`).

Rules
- Callbacks run one at a time, in the order the messages came. State needs no lock.
- `handle_call`'s value is the reply; `NO_REPLY` leaves the caller waiting for `caller.reply` or `caller.fail`.
- An exception in a callback is a crash: `terminate` runs, callers learn `ServerDown`, the supervisor decides.
  An expected failure is not an exception here: give it to the caller with `caller.fail`.
- An exit that was asked for is handled in its turn: what was sent before it is done first. The shutdown time bounds it.
- A busy server handles message after message without giving way, at most `SLICE_MESSAGES` or `SLICE_SECONDS`: waking
  a task costs more than most callbacks. A callback that computes for long holds everybody up; so it would in Trio.
"""

from typing import Final

from trio.lowlevel import checkpoint, wait_task_rescheduled

from ._core.reasons import ExitReason
from .actor import Actor
from .errors import UnhandledMessage
from .events import UnexpectedMessageReport
from .inbox import CAST, EXIT
from .messages import NO_REPLY, Continue, Timeout
from .process import Process
from .reply import From
from .timers import Timer

SLICE_MESSAGES: Final = 64
"""Messages in a row before others get their turn."""

SLICE_SECONDS: Final = 0.005
"""Seconds in a row before others get their turn; looked at every eighth message."""


class GenServer(Actor):
    """Derive from it and define the callbacks you need."""

    async def handle_call(self, request: object, caller: From) -> object:
        """Answer a request. The value returned is the reply, `NO_REPLY` means later."""
        raise UnhandledMessage(type(self).__name__, "call", request)

    async def handle_cast(self, message: object) -> None:
        """Act on a message that wants no answer."""
        raise UnhandledMessage(type(self).__name__, "cast", message)

    async def handle_info(self, message: object) -> None:
        """Act on anything else: `Down`, `Timeout`, timers, what was sent with `ref.send`."""
        self.system.events.emit(UnexpectedMessageReport(actor=self.ref, message_type=type(message).__name__))

    async def handle_continue(self, value: object) -> None:
        """What `init` put off with `Continue(value)`; runs before any message."""
        raise UnhandledMessage(type(self).__name__, "continue", value)

    def set_timeout(self, seconds: float | None) -> None:
        """If the mailbox stays empty for `seconds` from the end of this callback, `handle_info(Timeout())` runs, once.

        Any message takes it back; None does too. 0: as soon as the mailbox is empty.
        """
        self._process.idle = seconds

    async def loop(self, first: Continue | None) -> ExitReason:
        process = self._process
        queue = process.queue
        now = self.system.now
        if first is not None:
            await self.handle_continue(first.value)
        left, until = SLICE_MESSAGES, now() + SLICE_SECONDS
        while process.stopping is None:
            if process.crowded:
                process.relieve()
            if not queue:
                if process.idle is not None:
                    await self._idle(process)
                    continue
                process.parked = True
                await wait_task_rescheduled(process.unpark)
                left, until = SLICE_MESSAGES, now() + SLICE_SECONDS
                continue
            tag, message, _ = queue.popleft()
            process.idle = None
            process.handled += 1
            if tag is CAST:
                await self.handle_cast(message)
            elif isinstance(tag, From):
                await self._answer(process, tag, message)
            elif tag is EXIT:
                return process.reason  # type: ignore[return-value]  # set by whoever asked for the exit
            else:
                await self.handle_info(message)
            left -= 1
            if not left & 7 and (left <= 0 or now() >= until):
                await checkpoint()
                left, until = SLICE_MESSAGES, now() + SLICE_SECONDS
        return process.stopping

    async def _answer(self, process: Process, caller: From, request: object) -> None:
        process.current = caller
        value = await self.handle_call(request, caller)
        process.current = None
        if value is not NO_REPLY:
            caller.reply(value)
        elif caller.live:
            process.owe(caller)

    async def _idle(self, process: Process) -> None:
        """The mailbox is empty and a receive timeout was asked for: park until a message, or put the timeout in."""
        seconds, process.idle = process.idle or 0.0, None
        if seconds <= 0:
            process.post(Timeout())
            return
        timer = Timer(lambda: process.post(Timeout()) if process.parked else None)
        self.system.timers.add(self.system.now() + seconds, timer)
        process.parked = True
        await wait_task_rescheduled(process.unpark)
        timer.cancel()
