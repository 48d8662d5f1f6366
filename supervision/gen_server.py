"""The generic server: one state, one mailbox, callbacks (OTP: `gen_server`).

Rules
- Callbacks run one at a time, in the order the messages came. State needs no lock.
- `handle_call`'s value is the reply; `NO_REPLY` leaves the caller waiting for `caller.reply` or `caller.fail`.
- An exception in a callback is a crash: `terminate` runs, callers learn `ServerDown`, the supervisor decides.
  An expected failure is not an exception here: give it to the caller with `caller.fail`.
"""

from .errors import UnhandledMessage
from .events import UnexpectedMessageReport
from .loop import MessageLoop
from .reply import From


class GenServer(MessageLoop):
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
