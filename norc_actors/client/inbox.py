"""What the application reads: committed messages, each once, also across restarts.

Rules
- A message is yielded until it is consumed: asking for the next one, or reading it, commits that (fsynced) first. So a
  kill leaves at most the message that the application was just handling to be seen again, and never one unseen.
- One stream at a time; a new one begins with what is not consumed.
"""

from collections import deque
from collections.abc import AsyncIterator

from norc_actors.client.core import Core
from norc_actors.client.errors import UnknownMessageError
from norc_actors.client.model import Cause, Message, Received, Undecryptable
from norc_actors.client.records import INBOX, READS, SEEN, Incoming, PendingRead, join
from norc_actors.client.transaction import Transaction
from norc_actors.limits import INBOX_BATCH
from norc_actors.protocol.receipts import make_receipt


class MessageStream(AsyncIterator[Received]):
    """The inbox as an async iterator."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._ahead: deque[tuple[int, Incoming]] = deque()
        self._last = 0
        self._current: tuple[int, str] | None = None
        self.ended = False

    def __aiter__(self) -> "MessageStream":
        return self

    async def __anext__(self) -> Received:
        while True:
            since = self._core.inbox_changed.count
            if self.ended or self._core.closed:
                raise StopAsyncIteration
            self._core.check()
            await self._advance()
            if self._ahead:
                break
            await self._core.inbox_changed.wait(since)
        sequence, incoming = self._ahead.popleft()
        self._current = (sequence, key_of(incoming))
        return shown(incoming)

    async def _advance(self) -> None:
        """Consume the current message, and read ahead if nothing is left."""
        if self._current is None and self._ahead:
            return
        consumed, last, wanted = self._current, self._last, not self._ahead

        def operation(tx: Transaction) -> list[tuple[int, Incoming]]:
            if consumed is not None:
                tx.remove(INBOX, consumed[0])
            return tx.queue(INBOX, last, INBOX_BATCH) if wanted else []

        rows = await self._core.do(operation)
        self._current = None
        if rows:
            self._ahead.extend(rows)
            self._last = rows[-1][0]

    def is_current(self, key: str) -> int | None:
        """The sequence number of the message that was yielded last, if it is this one."""
        return self._current[0] if self._current is not None and self._current[1] == key else None

    def consumed(self, sequence: int) -> None:
        """The message was read."""
        if self._current is not None and self._current[0] == sequence:
            self._current = None


async def read(core: Core, stream: MessageStream | None, message: Message) -> None:
    """Consume a message and sign and send its read receipt; `UnknownMessageError` if it was never received here."""
    key = join(message.sender, message.sender_device, message.message_id)
    sequence = stream.is_current(key) if stream is not None else None

    def operation(tx: Transaction) -> PendingRead:
        seen = tx.get(SEEN, key)
        if seen is None:
            raise UnknownMessageError("This message was not received by this device.")
        engine = core.engine
        receipt = make_receipt(
            engine.own.key,
            message_id=message.message_id,
            conversation_id=seen.conversation_id,
            ciphertext_hash=seen.ciphertext_hash,
            status="read",
            user_id=engine.own.user_id,
            device_id=engine.own.device_id,
            timestamp_us=engine.now_us(),
        )
        pending = PendingRead(receipt=receipt)
        tx.put(READS, key, pending)
        if sequence is not None:
            tx.remove(INBOX, sequence)
        return pending

    await core.do(operation, lambda pending: core.tell_read(key, pending))
    if stream is not None and sequence is not None:
        stream.consumed(sequence)


def key_of(incoming: Incoming) -> str:
    """The dedupe key of a received message."""
    return join(incoming.sender, incoming.sender_device, incoming.message_id)


def shown(incoming: Incoming) -> Received:
    """A record of the inbox as the application sees it."""
    if incoming.cause:
        return Undecryptable(
            message_id=incoming.message_id,
            conversation_id=incoming.conversation_id,
            sender=incoming.sender,
            sender_device=incoming.sender_device,
            cause=Cause(incoming.cause),
            accepted_at=incoming.accepted_at,
        )
    return Message(
        message_id=incoming.message_id,
        conversation_id=incoming.conversation_id,
        sender=incoming.sender,
        sender_device=incoming.sender_device,
        message_type=incoming.message_type,
        text=incoming.text,
        body=incoming.body or {},
        sent_us=incoming.sent_us,
        accepted_at=incoming.accepted_at,
        classification=incoming.classification,
        reply_to=incoming.reply_to,
        own=incoming.own,
        group=incoming.group,
        gap=incoming.gap,
        new_chain=incoming.new_chain,
        verified=incoming.verified,
    )
