"""One group commit: many operations, few statements.

A batch is carried out in runs, each with one `executemany` per table. What may be moved is what commutes:
- all `Accept`s go first: they touch no row that another operation knew before, and one that means an accepted message
  finds it;
- `Acknowledge`s gather until a `Supplement` comes, which may put back what an earlier acknowledgement took;
- `Confirm`s go last: the receipts of this batch have higher numbers than any that a device can confirm.
Outcomes keep the batch's order.
"""

from collections.abc import Sequence

from norc_actors.ids import DeviceId, UserId
from norc_actors.store.database import Cursor
from norc_actors.store.message_sql import MESSAGE_NUMBERS, RECEIPT_NUMBERS, MessageStatements
from norc_actors.store.operations import (
    Accept,
    Accepted,
    Acknowledge,
    Acknowledged,
    Confirm,
    Confirmed,
    Duplicate,
    Operation,
    Outcome,
    Supplement,
    Supplemented,
    Unknown,
)

_UNKNOWN = Unknown()

_ReceiptRow = tuple[str, int, str, str, str, int, bytes]
"""target_device, id, message_id, from_device, status, stored_at, receipt"""


class Batch:
    """Carries out one batch inside the caller's transaction."""

    def __init__(self, cursor: Cursor, sql: MessageStatements, operations: Sequence[Operation]) -> None:
        self._cursor = cursor
        self._sql = sql
        self._operations = operations
        self._outcomes: list[Outcome] = [_UNKNOWN] * len(operations)
        self._taken: dict[tuple[str, int], None] = {}  # (device, seq) of deliveries to delete, in order
        self._receipts: list[tuple[int, _ReceiptRow]] = []  # with the place of their operation
        self._next_receipt = 0

    def run(self) -> list[Outcome]:
        """Carry it out; the outcomes in the order of the operations."""
        accepts: list[tuple[int, Accept]] = []
        confirms: list[tuple[int, Confirm]] = []
        others: list[tuple[int, Acknowledge | Supplement]] = []
        receipts = 0
        for place, operation in enumerate(self._operations):
            if isinstance(operation, Accept):
                accepts.append((place, operation))
            elif isinstance(operation, Confirm):
                confirms.append((place, operation))
            else:
                others.append((place, operation))
                receipts += isinstance(operation, Acknowledge) and operation.receipt is not None
        self._accept(accepts)
        if receipts:
            self._next_receipt = self._allocate(receipts, RECEIPT_NUMBERS)
        for place, other in others:
            if isinstance(other, Acknowledge):
                self._acknowledge(place, other)
            else:
                self._flush()
                self._supplement(place, other)
        self._flush()
        for place, confirm in confirms:
            self._sql.confirm.run(self._cursor, confirm.device_id, confirm.receipt_id)
            self._outcomes[place] = Confirmed(count=self._cursor.rowcount)
        return self._outcomes

    def _allocate(self, count: int, counter: str) -> int:
        """The first of `count` fresh numbers. The counter's row stays locked until the commit: see `schema`."""
        row = self._sql.allocate.row(self._cursor, count, counter)
        assert row is not None, "the first migration makes the counters"
        return int(row[0]) - count + 1

    def _accept(self, accepts: list[tuple[int, Accept]]) -> None:
        if not accepts:
            return
        first = self._allocate(len(accepts), MESSAGE_NUMBERS)
        numbered = [(first + i, place, accept) for i, (place, accept) in enumerate(accepts)]
        rows = [
            (seq, a.message_id, a.sender_device, a.sender_user, a.conversation_id, a.accepted_at)
            for seq, _, a in numbered
        ]
        self._sql.insert_message.many(self._cursor, rows)
        if self._cursor.rowcount != len(rows):
            numbered = self._without_duplicates(numbered)
        for seq, place, _ in numbered:
            self._outcomes[place] = Accepted(seq=seq)
        self._sql.put_payload.many(
            self._cursor, [(seq, a.expires_at, a.payload) for seq, _, a in numbered if a.deliveries]
        )
        self._sql.put_delivery.many(
            self._cursor, [(device, seq, wrap) for seq, _, a in numbered for device, wrap in a.deliveries]
        )

    def _without_duplicates(self, numbered: list[tuple[int, int, Accept]]) -> list[tuple[int, int, Accept]]:
        """Those of `numbered` whose row was inserted; the others, of the same message as an earlier row, get their
        outcome."""
        new = []
        for seq, place, accept in numbered:
            row = self._sql.find_sent.row(self._cursor, accept.message_id, accept.sender_device, accept.sender_user)
            assert row is not None, "inserted by this batch or known before"
            if row[0] == seq:
                new.append((seq, place, accept))
            else:
                self._outcomes[place] = Duplicate(seq=row[0])
        return new

    def _supplement(self, place: int, supplement: Supplement) -> None:
        key = (supplement.message_id, supplement.sender_device, supplement.sender_user)
        row = self._sql.find_sent.row(self._cursor, *key)
        if row is None:
            return
        seq = row[0]
        if supplement.deliveries:
            self._sql.put_payload.run(self._cursor, seq, supplement.expires_at, supplement.payload)
            self._sql.put_delivery.many(self._cursor, [(device, seq, wrap) for device, wrap in supplement.deliveries])
        self._outcomes[place] = Supplemented(seq=seq)

    def _acknowledge(self, place: int, ack: Acknowledge) -> None:
        found = self._find(ack)
        if found is None:
            return
        seq, sender_user, sender_device = found
        number = None
        if ack.receipt is not None:
            number = self._next_receipt
            self._next_receipt += 1
            row = (sender_device, number, ack.message_id, ack.device_id, ack.status, ack.now, ack.receipt)
            self._receipts.append((place, row))
        self._outcomes[place] = Acknowledged(
            seq=seq, sender_user=sender_user, sender_device=sender_device, receipt_id=number
        )

    def _find(self, ack: Acknowledge) -> tuple[int, UserId, DeviceId] | None:
        """(seq, sender_user, sender_device) of the message that `ack` means: of those with its id (two senders may
        have drawn one id), the one that waits for the device, else, for `read`, the one of its conversation."""
        for seq, user, device, conversation, waits in self._sql.find.rows(self._cursor, ack.device_id, ack.message_id):
            if ack.conversation_id not in (None, conversation):
                continue
            if waits is not None and (ack.device_id, seq) not in self._taken:
                self._taken[ack.device_id, seq] = None
                return seq, user, device
            if ack.status == "read" and ack.conversation_id is not None:
                return seq, user, device
        return None

    def _flush(self) -> None:
        """Delete what was acknowledged, with the payloads that nobody waits for any more, and store the receipts."""
        if self._taken:
            self._sql.delete_delivery.many(self._cursor, list(self._taken))
            self._sql.free_payload.many(self._cursor, [(seq,) for seq in dict.fromkeys(seq for _, seq in self._taken)])
            self._taken.clear()
        if self._receipts:
            self._sql.insert_receipt.many(self._cursor, [row for _, row in self._receipts])
            if self._cursor.rowcount != len(self._receipts):
                self._without_known_receipts()
            self._receipts.clear()

    def _without_known_receipts(self) -> None:
        for place, (target, number, message_id, device, status, _, _) in self._receipts:
            row = self._sql.find_receipt.row(self._cursor, target, message_id, device, status)
            outcome = self._outcomes[place]
            if (row is None or row[0] != number) and isinstance(outcome, Acknowledged):
                self._outcomes[place] = Acknowledged(
                    seq=outcome.seq,
                    sender_user=outcome.sender_user,
                    sender_device=outcome.sender_device,
                    receipt_id=None,
                )
