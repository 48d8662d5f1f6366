"""The part of a group commit that concerns other servers: relay cache, outbox, what became of relays (section 8).

Rules
- The relay cache has one row per (origin, federation_id), and each remote a number of rows that it may hold. A row is
  written with what it stands for, in one transaction; nothing but age removes it.
- Numbers of the outbox are allocated when the first one is needed, in one go for all that the batch may put there:
  numbers that are left over are never used, and a batch that puts nothing there touches nothing.
- A relay's federation_id is drawn by this server: one that waits already is a fault, and the batch fails. What other
  servers chose is looked at first.
"""

from collections.abc import Callable, Sequence

from norc_actors import limits
from norc_actors.ids import DeviceId, MessageId, ServerId
from norc_actors.protocol.registry import CODES
from norc_actors.store.database import Cursor, Value
from norc_actors.store.operations import (
    NORMAL,
    Accept,
    Acknowledge,
    Confirmed,
    Enqueue,
    Enqueued,
    Forward,
    Kind,
    Operation,
    QuotaFull,
    Relaying,
    RelayKnown,
    Sent,
    Settle,
    Supplement,
    Taken,
)
from norc_actors.store.relay_sql import OUTBOX_NUMBERS, RelayStatements

_MESSAGE_ACK, _RELAY_ACK = CODES["message_ack"], CODES["relay_ack"]

_Row = tuple[Value, ...]
"""id, target, priority, kind, code, once, federation_id, origin, message_id, device_id, created_at, expires_at, body"""


class RelayBatch:
    """Carries out one batch's share of these tables, inside the caller's transaction."""

    def __init__(
        self,
        cursor: Cursor,
        sql: RelayStatements,
        operations: Sequence[Operation],
        allocate: Callable[[int, str], int],
    ) -> None:
        self._cursor = cursor
        self._sql = sql
        self._operations = operations
        self._allocate = allocate
        self._held: dict[ServerId, int] = {}  # rows of the relay cache of the remotes in this batch …
        self._more: dict[ServerId, int] = {}  # … and how many of them are new
        self._receipts: list[_Row] = []
        self._next_number = 0  # of the outbox, once some are allocated

    # --- in ---

    def admit(
        self, origin: ServerId, federation_id: str, remote: ServerId, ack: bytes | None, now: int
    ) -> RelayKnown | QuotaFull | None:
        """Record a relay as accepted; what speaks against it, None if nothing does."""
        if self._room(remote):
            self._sql.record.run(self._cursor, origin, federation_id, remote, now, ack)
            if self._cursor.rowcount == 1:
                self._more[remote] = self._more.get(remote, 0) + 1
                return None
        return self.known(origin, federation_id) or QuotaFull()

    def known(self, origin: ServerId, federation_id: str) -> RelayKnown | None:
        """The recorded answer to a relay that was accepted before."""
        row = self._sql.find_recorded.row(self._cursor, origin, federation_id)
        return None if row is None else RelayKnown(ack=row[0])

    def _room(self, remote: ServerId) -> bool:
        if remote not in self._held:
            row = self._sql.held.row(self._cursor, remote)
            self._held[remote] = 0 if row is None else int(row[0])
        return self._held[remote] + self._more.get(remote, 0) < limits.RELAY_QUOTA

    def brought(self, sources: Sequence[tuple[int, str]]) -> None:
        """Note which relay brought each message: (seq, federation_id)."""
        self._sql.put_source.many(self._cursor, sources)

    def source_of(self, seq: int) -> str | None:
        """The federation_id of the relay that brought a message; None for a message of a user of this server."""
        row = self._sql.find_source.row(self._cursor, seq)
        return None if row is None else str(row[0])

    # --- out ---

    def relay(self, sent: Accept | Supplement) -> None:
        """Put the relays of an accepted message in the outbox."""
        rows = [self._relay_row(relay, "relay", None, sent.message_id, sent.sender_device) for relay in sent.relays]
        self._sql.insert_relay.many(self._cursor, rows)

    def forward(self, forward: Forward) -> Enqueued | RelayKnown | QuotaFull | Taken:
        """Hand a relay on."""
        relaying, origin, remote = forward.relaying, forward.origin, forward.remote
        known = self.known(origin, relaying.federation_id)
        if known is not None:
            return known
        if not self._room(remote):
            return QuotaFull()
        number = self._put(self._relay_row(relaying, "transit", origin, forward.message_id, None))
        if number is None:
            return Taken()
        self.admit(origin, relaying.federation_id, remote, None, relaying.created_at)
        return Enqueued(id=number)

    def enqueue(self, enqueue: Enqueue) -> Enqueued:
        """Put what is addressed to a server in the outbox."""
        once = None if enqueue.key is None else f"key/{enqueue.key}"
        row = (enqueue.target, enqueue.priority, "addressed", enqueue.code, once, None, None, None, None)
        return Enqueued(id=self._put((self._number(), *row, enqueue.created_at, enqueue.expires_at, enqueue.body)))

    def receipt(self, ack: Acknowledge, body: bytes, seq: int, target: ServerId, federation_id: str) -> None:
        """Keep a receipt for a sender elsewhere; written by `finish`."""
        once = f"ack/{seq}/{ack.device_id}/{ack.status}"
        row = (target, NORMAL, "receipt", _MESSAGE_ACK, once, federation_id, None, ack.message_id, ack.device_id)
        self._receipts.append((self._number(), *row, ack.now, ack.now + limits.RETENTION_SECONDS, body))

    def sent(self, sent: Sent) -> Confirmed:
        """Forget what a target has."""
        count = 0
        for number in sent.ids:
            self._sql.delete_sent.run(self._cursor, sent.target, number)
            count += self._cursor.rowcount
        return Confirmed(count=count)

    def settle(self, settle: Settle) -> tuple[MessageId, DeviceId | None, ServerId | None] | None:
        """Take a relay or transit out of the outbox; the message, the device that sent it (None for a transit), and the
        server that a transit's answer waits for."""
        row = self._sql.find_relay.row(self._cursor, settle.target, settle.federation_id)
        if row is None:
            return None
        number, origin, message_id, device_id = row
        self._sql.delete_relay.run(self._cursor, number)
        back = None
        if origin is not None and settle.ack is not None:
            self._sql.answer.run(self._cursor, settle.ack, origin, settle.federation_id)
            back = self._send_back(origin, settle.federation_id, settle.ack, settle.now)
        return message_id, device_id, back

    def _send_back(self, origin: ServerId, federation_id: str, ack: bytes, now: int) -> ServerId | None:
        """Put the answer of a transit in the outbox for the server that handed it on; None if that is forgotten."""
        row = self._sql.find_remote.row(self._cursor, origin, federation_id)
        if row is None:
            return None
        remote = ServerId(row[0])
        kept = (remote, NORMAL, "addressed", _RELAY_ACK, f"back/{origin}/{federation_id}", None, None, None, None)
        self._put((self._number(), *kept, now, now + limits.RELAY_CACHE_SECONDS, ack))
        return remote

    # --- the end ---

    def finish(self) -> None:
        """After the last operation: write the receipts that gathered, and the numbers that remotes hold."""
        self._sql.enqueue.many(self._cursor, self._receipts)
        for remote, more in self._more.items():
            if self._held[remote] == 0:
                self._sql.first_held.run(self._cursor, remote, 0)
            self._sql.hold.run(self._cursor, more, remote)

    def _relay_row(
        self, relaying: Relaying, kind: Kind, origin: ServerId | None, message_id: MessageId, device_id: DeviceId | None
    ) -> _Row:
        r = relaying
        names = (r.federation_id, r.federation_id, origin, message_id, device_id)
        return (self._number(), r.target, r.priority, kind, r.code, *names, r.created_at, r.expires_at, r.body)

    def _put(self, row: _Row) -> int | None:
        """The row's number; None if the same one waits already."""
        self._sql.enqueue.run(self._cursor, *row)
        return int(str(row[0])) if self._cursor.rowcount == 1 else None

    def _number(self) -> int:
        """A fresh number of the outbox."""
        if not self._next_number:
            self._next_number = self._allocate(sum(map(_rows_of, self._operations)), OUTBOX_NUMBERS)
        self._next_number += 1
        return self._next_number - 1


def _rows_of(operation: Operation) -> int:
    """How many rows of the outbox an operation may make."""
    match operation:
        case Accept(relays=relays) | Supplement(relays=relays):
            return len(relays)
        case Acknowledge() | Forward() | Enqueue():
            return 1
        case Settle(ack=ack):
            return ack is not None
        case _:
            return 0
