"""The message store: what waits for a device, and what makes a retry harmless (section 7; rows B79, B82).

Rules
- `commit` takes a batch and is one transaction: when it returns, all of it is on the disk; when it raises, none of it
  is. Nothing is acknowledged to anybody before it returned. Operations take effect in the order of the batch.
- A message is one row in `messages` (the dedupe record, 30 days), one payload, and one delivery per recipient device.
  An acknowledgement deletes the delivery; the last one takes the payload along.
- (sender_user, sender_device, message_id) names a message. A second `Accept` of it changes nothing and says
  `Duplicate`.
- A receipt is kept for the sending device until that confirms it, once per (message, from device, status); for a
  sender of another server it is in the outbox until that server has it.
- What leaves for other servers, and what came from them, is committed with the messages and deliveries that belong to
  it (`outbox`, `relay_batch`). A message within this server touches none of those tables.
- Numbers (`seq`, receipt ids) only rise. A device's deliveries come in the order of `seq`.
- The store reads no payload: bytes in, bytes out. Times are integer seconds and passed in.

Every function blocks; the owner runs it in a thread, one at a time.
"""

from collections.abc import Sequence

from sqlalchemy import func, select

from norc_actors import limits
from norc_actors.ids import DeviceId, ServerId
from norc_actors.store.batch import Batch
from norc_actors.store.database import Cursor, Database
from norc_actors.store.message_sql import MessageStatements
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
    Enqueued,
    Forward,
    Operation,
    OutboxRow,
    Outcome,
    Pending,
    Purged,
    QuotaFull,
    Receipt,
    Relaying,
    RelayKnown,
    RemoteReceipt,
    Sent,
    Settle,
    Settled,
    Status,
    Supplement,
    Supplemented,
    Taken,
    Unknown,
    Waiting,
)
from norc_actors.store.outbox import Outbox
from norc_actors.store.relay_sql import RelayStatements
from norc_actors.store.schema import deliveries, messages, payloads, receipts

__all__ = [
    "Accept",
    "AcceptRelay",
    "Accepted",
    "Acknowledge",
    "Acknowledged",
    "Confirm",
    "Confirmed",
    "Duplicate",
    "Enqueue",
    "Enqueued",
    "Forward",
    "MessageStore",
    "Operation",
    "OutboxRow",
    "Outcome",
    "Pending",
    "Purged",
    "QuotaFull",
    "Receipt",
    "RelayKnown",
    "Relaying",
    "RemoteReceipt",
    "Sent",
    "Settle",
    "Settled",
    "Status",
    "Supplement",
    "Supplemented",
    "Taken",
    "Unknown",
    "Waiting",
]


class MessageStore:
    """The tables of this module on one `Database`, which it owns. `outbox` reads what waits for other servers."""

    def __init__(self, database: Database, server_id: ServerId) -> None:
        self._database = database
        self._server_id = server_id
        self._sql = MessageStatements(database)
        self._relay_sql = RelayStatements(database)
        self.outbox = Outbox(database, self._relay_sql)

    def commit(self, batch: Sequence[Operation]) -> list[Outcome]:
        """Do all of `batch` in one transaction and return one outcome per operation, in order.

        Raises `StoreError`: then nothing was done.
        """
        with self._database.writing() as cursor:
            return Batch(cursor, self._sql, self._relay_sql, self._server_id, batch).run()

    def pending(self, device_id: DeviceId, after_seq: int = 0, limit: int = 100) -> list[Pending]:
        """The device's waiting deliveries with a number above `after_seq`, oldest first, at most `limit`."""
        with self._database.reading_cursor() as cursor:
            rows = self._sql.pending.rows(cursor, device_id, after_seq, limit)
        return [
            Pending(seq=seq, message_id=message_id, payload=payload, wrap=wrap)
            for seq, message_id, payload, wrap in rows
        ]

    def receipts(self, device_id: DeviceId, after_id: int = 0, limit: int = 100) -> list[Receipt]:
        """The receipts that wait for a sending device with an id above `after_id`, oldest first, at most `limit`."""
        with self._database.reading_cursor() as cursor:
            rows = self._sql.receipts.rows(cursor, device_id, after_id, limit)
        return [Receipt(id=number, receipt=receipt) for number, receipt in rows]

    def drop_device(self, device_id: DeviceId) -> int:
        """Remove all that waits for a revoked device; return how many deliveries that were."""
        with self._database.writing() as cursor:
            waiting = [seq for (seq,) in self._sql.waiting_of.rows(cursor, device_id)]
            self._sql.delete_delivery.many(cursor, [(device_id, seq) for seq in waiting])
            self._sql.free_payload.many(cursor, [(seq,) for seq in waiting])
            self._sql.drop_receipts.run(cursor, device_id)
        return len(waiting)

    def purge(self, now: int) -> Purged:
        """Remove what is past its time: expired messages, everything older than 30 days (`RETENTION_SECONDS`), old
        hours of the relay cache, and what expired in the outbox unless somebody is to be told.

        One call is short: at most `PURGE_ROWS` messages and as many rows of each other kind; `more` says that another
        call has work.
        """
        most, old = limits.PURGE_ROWS, now - limits.RETENTION_SECONDS
        with self._database.writing() as cursor:
            keep_from = self._keep_from(cursor, old)
            expired = [seq for (seq,) in self._sql.expired.rows(cursor, now, most)]
            aged = [seq for (seq,) in self._sql.older_payloads.rows(cursor, keep_from, most)]
            gone, deliveries = {*expired, *aged}, 0
            for seq in gone:
                self._sql.delete_deliveries.run(cursor, seq)
                deliveries += cursor.rowcount
            self._sql.free_payload.many(cursor, [(seq,) for seq in gone])
            forgotten = 0
            if len(aged) < most:  # else payloads of older rows are still there
                self._sql.forget_older.run(cursor, keep_from, most)
                forgotten = cursor.rowcount
            self._sql.old_receipts.run(cursor, old)
            receipts = cursor.rowcount
            relays, unsent, more = self.outbox.purge(cursor, now, keep_from)
            return Purged(
                expired=len(gone),
                deliveries=deliveries,
                receipts=receipts,
                forgotten=forgotten,
                relays=relays,
                unsent=unsent,
                more=more or most in (len(expired), len(aged), forgotten),
            )

    def _keep_from(self, cursor: Cursor, old: int) -> int:
        """The number of the first message accepted since `old`: a clock that was once wrong keeps more, never less."""
        row = self._sql.first_young.row(cursor, old, 1)
        if row is not None:
            return int(row[0])
        row = self._sql.newest.row(cursor)
        return int(row[0]) + 1 if row is not None and row[0] is not None else 0

    def statistics(self) -> dict[str, int]:
        """Rows by table: `messages`, `payloads`, `deliveries`, `receipts`."""
        with self._database.reading() as connection:
            return {
                table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
                for table in (messages, payloads, deliveries, receipts)
            }

    def close(self) -> None:
        """Close the database."""
        self._database.close()
