"""Taking messages one after the other: what every kind of actor with a mailbox does in its task.

Rules
- One message at a time, in the order they came; the next is taken when the callback is over. State needs no lock.
- An exit that was asked for is handled in its turn: what was sent before it is done first. The shutdown time bounds it.
- A busy actor handles message after message without giving way, at most `SLICE_MESSAGES` or `SLICE_SECONDS`: waking
  a task costs more than most callbacks. A callback that computes for long holds everybody up; so it would in Trio.
- The loop looks at two things before each message, `stopping` and `special`; all that is rare hides behind the latter.

The loop is one function on purpose: each `await` of a coroutine of our own adds a sixth of a cast.
"""

from abc import abstractmethod
from typing import Final

from trio.lowlevel import checkpoint, wait_task_rescheduled

from ._core.reasons import ExitReason
from .actor import Actor
from .errors import UnansweredCall
from .inbox import CAST, EXIT, SystemMessage
from .messages import NO_REPLY, Call, Continue, Timeout
from .process import Process
from .reply import From
from .timers import Timer

SLICE_MESSAGES: Final = 64
"""Messages in a row before others get their turn."""

SLICE_SECONDS: Final = 0.005
"""Seconds in a row before others get their turn; looked at every eighth message."""


class MessageLoop(Actor):
    """An actor that takes messages; its kinds say what they do with them."""

    @abstractmethod
    async def handle_call(self, request: object, caller: From) -> object:
        """Answer a request. The value returned is the reply, `NO_REPLY` means later."""

    @abstractmethod
    async def handle_cast(self, message: object) -> None:
        """Act on a message that wants no answer."""

    @abstractmethod
    async def handle_info(self, message: object) -> None:
        """Act on anything else."""

    @abstractmethod
    async def handle_continue(self, value: object) -> None:
        """What `init` put off."""

    async def loop(self, first: Continue | None) -> ExitReason:
        process = self._process
        queue = process.queue
        now = self.system.now
        if first is not None:
            await self.handle_continue(first.value)
        left, until = SLICE_MESSAGES, now() + SLICE_SECONDS
        tag: object
        message: object
        while process.stopping is None:
            if process.special:
                await process.attend()
                if process.stopping is not None:
                    break
            if not queue:
                tag = message = None  # whoever waits holds nothing of what it was told last
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
            elif isinstance(message, SystemMessage):
                await message.deliver(process)
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
        if value is None and caller.live and isinstance(request, Call) and not request.answers_none:
            raise UnansweredCall(type(self).__name__, request)
        process.current = None
        if value is not NO_REPLY:
            caller.reply(value)
        elif caller.live:
            process.owe(caller)

    async def _idle(self, process: Process) -> None:
        """The mailbox is empty and a receive timeout was asked for: park until a message, or put the timeout in.

        `idle` stays set: whoever takes the next message takes it back. What `introspect` asks is no such message, and
        the time runs anew after it (OTP's too).
        """
        seconds = process.idle or 0.0
        if seconds <= 0:
            process.post(Timeout())
            process.idle = None
            return
        timer = Timer(lambda: process.post(Timeout()) if process.parked else None, process)
        self.system.timers.add(self.system.now() + seconds, timer)
        process.parked = True
        await wait_task_rescheduled(process.unpark)
        timer.cancel()
        while process.queue and isinstance(asked := process.queue[0][1], SystemMessage) and not asked.is_news:
            process.queue.popleft()
            await asked.deliver(process)
