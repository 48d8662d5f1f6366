"""One group commit: many operations, few statements.

A batch is carried out in runs, each with one `executemany` per table. What may be moved is what commutes:
- all `Accept`s go first, and relays that are no supplement: they touch no row that another operation knew before, and
  one that means an accepted message finds it;
- `Acknowledge`s gather until a supplement comes, which may put back what an earlier acknowledgement took;
- `Confirm`s go last: the receipts of this batch have higher numbers than any that a device can confirm. Receipts for
  other servers are written at the end: no `Sent` can name one before it was read.
Outcomes keep the batch's order.
"""

from collections.abc import Sequence

from norc_actors.ids import DeviceId, MessageId, ServerId, UserId, server_of
from norc_actors.store.database import Cursor, Row
from norc_actors.store.message_sql import MESSAGE_NUMBERS, RECEIPT_NUMBERS, MessageStatements
from norc_actors.store.operations import (
    Accept,
    Accepted,
    AcceptRelay,
    Acknowledge,
    Acknowledged,
    Confirm,
    Confirmed,
    Duplicate,
    Enqueue,
    Forward,
    Operation,
    Outcome,
    RemoteReceipt,
    Sent,
    Settle,
    Settled,
    Supplement,
    Supplemented,
    Unknown,
)
from norc_actors.store.relay_batch import RelayBatch
from norc_actors.store.relay_sql import RelayStatements

_UNKNOWN = Unknown()

_ReceiptRow = tuple[str, int, str, str, str, int, bytes]
"""target_device, id, message_id, from_device, status, stored_at, receipt: from_device names a device of this server by
its id, one of another as device@server, and another server itself by its name"""


class Batch:
    """Carries out one batch inside the caller's transaction."""

    def __init__(
        self,
        cursor: Cursor,
        sql: MessageStatements,
        relay_sql: RelayStatements,
        own_server: ServerId,
        operations: Sequence[Operation],
    ) -> None:
        self._cursor = cursor
        self._sql = sql
        self._relays = RelayBatch(cursor, relay_sql, operations, self._allocate)
        self._own_users = f"@{own_server}"
        self._operations = operations
        self._outcomes: list[Outcome] = [_UNKNOWN] * len(operations)
        self._taken: dict[tuple[str, int], None] = {}  # (device, seq) of deliveries to delete, in order
        self._receipts: list[tuple[int, _ReceiptRow]] = []  # with the place of their operation
        self._next_receipt = 0

    def run(self) -> list[Outcome]:
        """Carry it out; the outcomes in the order of the operations."""
        accepts: list[tuple[int, Accept | AcceptRelay]] = []
        confirms: list[tuple[int, Confirm]] = []
        others: list[tuple[int, Operation]] = []
        receipts = 0
        for place, operation in enumerate(self._operations):
            if isinstance(operation, Accept):
                accepts.append((place, operation))
            elif isinstance(operation, Acknowledge):
                others.append((place, operation))
                receipts += operation.receipt is not None
            elif isinstance(operation, Confirm):
                confirms.append((place, operation))
            elif isinstance(operation, AcceptRelay) and not operation.supplement:
                if self._admitted(place, operation):
                    accepts.append((place, operation))
            else:
                others.append((place, operation))
                receipts += _receipts_of(operation)
        self._accept(accepts)
        if receipts:
            self._next_receipt = self._allocate(receipts, RECEIPT_NUMBERS)
        for place, other in others:
            if isinstance(other, Acknowledge):
                self._acknowledge(place, other)
            else:
                self._other(place, other)
        self._flush()
        self._relays.finish()
        for place, confirm in confirms:
            self._sql.confirm.run(self._cursor, confirm.device_id, confirm.receipt_id)
            self._outcomes[place] = Confirmed(count=self._cursor.rowcount)
        return self._outcomes

    def _other(self, place: int, operation: Operation) -> None:
        match operation:
            case Supplement() | AcceptRelay():
                self._flush()
                self._supplement(place, operation)
            case RemoteReceipt():
                self._remote_receipt(place, operation)
            case Forward():
                self._outcomes[place] = self._relays.forward(operation)
            case Enqueue():
                self._outcomes[place] = self._relays.enqueue(operation)
            case Sent():
                self._outcomes[place] = self._relays.sent(operation)
            case Settle():
                self._settle(place, operation)
            case _:
                raise TypeError(f"the message store knows no {operation!r}")

    def _allocate(self, count: int, counter: str) -> int:
        """The first of `count` fresh numbers. The counter's row stays locked until the commit: see `schema`."""
        row = self._sql.allocate.row(self._cursor, count, counter)
        assert row is not None, "the first migration makes the counters"
        return int(row[0]) - count + 1

    def _admitted(self, place: int, relay: AcceptRelay) -> bool:
        """Whether a relay is new and has room in the relay cache, where it is then; else its outcome is set."""
        refused = self._relays.admit(relay.origin, relay.federation_id, relay.remote, relay.ack, relay.accepted_at)
        if refused is not None:
            self._outcomes[place] = refused
        return refused is None

    def _accept(self, accepts: list[tuple[int, Accept | AcceptRelay]]) -> None:
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
        sources = []
        for seq, place, accept in numbered:
            self._outcomes[place] = Accepted(seq=seq)
            if isinstance(accept, AcceptRelay):
                sources.append((seq, accept.federation_id))
            elif accept.relays:
                self._relays.relay(accept)
        self._relays.brought(sources)
        self._sql.put_payload.many(
            self._cursor, [(seq, a.expires_at, a.payload) for seq, _, a in numbered if a.deliveries]
        )
        self._sql.put_delivery.many(
            self._cursor, [(device, seq, wrap) for seq, _, a in numbered for device, wrap in a.deliveries]
        )

    def _without_duplicates(
        self, numbered: list[tuple[int, int, Accept | AcceptRelay]]
    ) -> list[tuple[int, int, Accept | AcceptRelay]]:
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

    def _supplement(self, place: int, supplement: Supplement | AcceptRelay) -> None:
        key = (supplement.message_id, supplement.sender_device, supplement.sender_user)
        row = self._sql.find_sent.row(self._cursor, *key)
        if row is None:
            return  # and if a relay brought it, it is not recorded: it may come again, after its message
        seq = row[0]
        if isinstance(supplement, AcceptRelay):
            if not self._admitted(place, supplement):
                return
        elif supplement.relays:
            self._relays.relay(supplement)
        if supplement.deliveries:
            self._sql.put_payload.run(self._cursor, seq, supplement.expires_at, supplement.payload)
            self._sql.put_delivery.many(self._cursor, [(device, seq, wrap) for device, wrap in supplement.deliveries])
        self._outcomes[place] = Supplemented(seq=seq)

    def _acknowledge(self, place: int, ack: Acknowledge) -> None:
        found = self._find(ack)
        if found is None:
            return
        seq, sender_user, sender_device = found
        number = relayed_to = None
        if ack.receipt is not None:
            if not sender_user.endswith(self._own_users):
                relayed_to = self._receipt_elsewhere(ack, ack.receipt, seq, sender_user)
            if relayed_to is None:
                number = self._keep(
                    place, sender_device, ack.message_id, ack.device_id, ack.status, ack.now, ack.receipt
                )
        self._outcomes[place] = Acknowledged(
            seq=seq, sender_user=sender_user, sender_device=sender_device, receipt_id=number, relayed_to=relayed_to
        )

    def _receipt_elsewhere(self, ack: Acknowledge, receipt: bytes, seq: int, sender_user: UserId) -> ServerId | None:
        """Send a receipt to the sender's server; None if no relay brought the message."""
        federation_id = self._relays.source_of(seq)
        if federation_id is None:
            return None
        target = server_of(sender_user)
        self._relays.receipt(ack, receipt, seq, target, federation_id)
        return target

    def _remote_receipt(self, place: int, receipt: RemoteReceipt) -> None:
        for seq, user, device, conversation, _ in self._named(None, receipt.message_id):
            if user.endswith(self._own_users) and receipt.conversation_id in (None, conversation):
                # A device is named by its server too: no server can take the place of another's receipt.
                source = f"{receipt.device_id}@{receipt.from_server}"
                number = self._keep(
                    place, device, receipt.message_id, source, receipt.status, receipt.now, receipt.receipt
                )
                self._outcomes[place] = Acknowledged(seq=seq, sender_user=user, sender_device=device, receipt_id=number)
                return

    def _settle(self, place: int, settle: Settle) -> None:
        found = self._relays.settle(settle)
        if found is None:
            return
        message_id, device, back = found
        numbers = []
        if device is not None:
            for index, notice in enumerate(settle.notices):
                status = f"{settle.federation_id}/{index}"
                numbers.append(self._keep(place, device, message_id, settle.target, status, settle.now, notice))
        self._outcomes[place] = Settled(sender_device=device, receipt_ids=tuple(numbers), relayed_to=back)

    def _keep(
        self, place: int, target: DeviceId, message_id: MessageId, source: str, status: str, now: int, receipt: bytes
    ) -> int:
        """Keep a receipt for a device, written with the next `_flush`; its number."""
        number = self._next_receipt
        self._next_receipt += 1
        self._receipts.append((place, (target, number, message_id, source, status, now, receipt)))
        return number

    def _find(self, ack: Acknowledge) -> tuple[int, UserId, DeviceId] | None:
        """(seq, sender_user, sender_device) of the message that `ack` means: of those with its id (two senders may
        have drawn one id), the one that waits for the device, else, for `read`, the one of its conversation."""
        read = None
        for seq, user, device, conversation, waits in self._named(ack.device_id, ack.message_id):
            if ack.conversation_id not in (None, conversation):
                continue
            if waits is not None and (ack.device_id, seq) not in self._taken:
                self._taken[ack.device_id, seq] = None
                return seq, user, device
            if read is None and ack.status == "read" and ack.conversation_id is not None:
                read = seq, user, device
        return read

    def _named(self, device_id: DeviceId | None, message_id: MessageId) -> Sequence[Row]:
        """Messages with an id, the oldest first: one that is sent later under a known id takes nothing from the first.
        Each as (seq, sender_user, sender_device, conversation_id, whether it waits for the device)."""
        rows = self._sql.find.rows(self._cursor, device_id, message_id)
        return rows if len(rows) < 2 else sorted(rows, key=lambda row: int(row[0]))

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


def _receipts_of(operation: Operation) -> int:
    """How many receipts an operation other than `Acknowledge` may make."""
    if isinstance(operation, Settle):
        return len(operation.notices)
    return isinstance(operation, RemoteReceipt)
