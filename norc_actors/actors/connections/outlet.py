"""The port of one authenticated connection: what other actors may hand to it, without ever waiting for it.

The connection worker owns the state behind it; the router and the others only call these methods, which put a message
into the worker's mailbox or leave the row to the store (`lane.py`). Nothing here blocks, so a slow device slows nobody.
"""

from dataclasses import dataclass

from norc_actors import limits
from norc_actors.actors.connections.budget import Budget
from norc_actors.actors.connections.lane import Lane
from norc_actors.ids import DeviceId, MessageId, UserId
from norc_actors.protocol.codec import Received
from norc_actors.protocol.errors import Code
from norc_actors.protocol.schema import Message, SignedMap
from supervision import ActorRef, MailboxFull


@dataclass(frozen=True, slots=True)
class Deliver:
    """A committed delivery: row number, the stored `message_received` without its entry, and this device's wrap."""

    seq: int
    message_id: MessageId
    payload: bytes
    wrap: bytes


@dataclass(frozen=True, slots=True)
class PassReceipt:
    """A committed receipt for a message that this device sent: row number and the encoded `message_ack`."""

    number: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Settled:
    """The fate of a submission of this connection: `sent`, or refused with a code; `stale` are the current entries."""

    message_id: MessageId
    refusal: Code | None = None
    stale: tuple[SignedMap, ...] | None = None


@dataclass(frozen=True, slots=True)
class Push:
    """A message for this device, as received, that nobody waits for; lost with the connection, the device asks
    again."""

    outlet: "Outlet"
    received: Received[Message]


@dataclass(frozen=True, slots=True)
class Close:
    """Tell the device this error and end the connection."""

    code: Code
    retry_after: int | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """An authenticated session (row B42). `expires_at` in seconds since the epoch."""

    session_id: str
    user_id: UserId
    device_id: DeviceId
    expires_at: int
    permissions: tuple[str, ...]


class Outlet:
    """See the module. One per authenticated connection, found through the `Directory`. `budget` is the device's, and
    outlives the connection; `pushes` are on their way to the worker."""

    __slots__ = ("budget", "closing", "messages", "pushes", "receipts", "ref", "session")

    def __init__(self, ref: ActorRef, session: Session, budget: Budget) -> None:
        self.ref = ref
        self.session = session
        self.budget = budget
        self.closing = False
        self.pushes = 0
        self.messages = Lane(limits.DELIVERY_WINDOW)
        self.receipts = Lane(limits.RECEIPT_WINDOW)

    def deliver(self, row: Deliver) -> None:
        """Offer a committed delivery."""
        if self.messages.offer(row.seq):
            self._put(row)

    def supplement(self, row: Deliver) -> None:
        """Offer a further or replaced entry of a message that may have been passed already: its number is no news."""
        if row.seq <= self.messages.last:
            self._put(row)
        else:
            self.deliver(row)

    def receipt(self, row: PassReceipt) -> None:
        """Offer a committed receipt."""
        if self.receipts.offer(row.number):
            self._put(row)

    def settled(self, settled: Settled) -> None:
        """Answer a submission of this connection; there are at most `limits.SUBMISSION_WINDOW`, so it always fits."""
        self._put(settled)

    def push(self, received: Received[Message]) -> None:
        """Hand over a message that may be lost: dropped when `limits.PUSH_WINDOW` are on their way, for anybody may
        cause pushes, and they must not take the room of what cannot be dropped."""
        if self.pushes >= limits.PUSH_WINDOW:
            return
        self.pushes += 1
        self._put(Push(self, received))

    def close(self, code: Code, retry_after: int | None = None) -> None:
        """End the connection with an error; once."""
        if self.closing:
            return
        self.closing = True
        self._put(Close(code, retry_after))

    def _put(self, message: Deliver | PassReceipt | Settled | Push | Close) -> None:
        # The mailbox holds more than all windows together. Should it be full all the same, the connection is of no use:
        # what it missed is in the store and comes with the next one.
        try:
            self.ref.cast_nowait(message)
        except MailboxFull:
            self.ref.kill()
