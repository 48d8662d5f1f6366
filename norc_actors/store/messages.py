"""The message store: what waits for a device, and what makes a retry harmless (section 7; rows B79, B82).

Rules
- `commit` takes a batch and is one transaction: when it returns, all of it is on the disk; when it raises, none of it
  is. Nothing is acknowledged to anybody before it returned. Operations take effect in the order of the batch.
- A message is one row in `messages` (the dedupe record, 30 days), one payload, and one delivery per recipient device.
  An acknowledgement deletes the delivery; the last one takes the payload along.
- (sender_user, sender_device, message_id) names a message. A second `Accept` of it changes nothing and says
  `Duplicate`.
- A receipt is kept for the sending device until that confirms it, once per (message, from device, status).
- Numbers (`seq`, receipt ids) only rise. A device's deliveries come in the order of `seq`.
- The store reads no payload: bytes in, bytes out. Times are integer seconds and passed in.

Every function blocks; the owner runs it in a thread, one at a time.
"""

from collections.abc import Sequence

from sqlalchemy import func, select

from norc_actors import limits
from norc_actors.ids import DeviceId
from norc_actors.store.batch import Batch
from norc_actors.store.database import Cursor, Database
from norc_actors.store.message_sql import MessageStatements
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
    Pending,
    Purged,
    Receipt,
    Status,
    Supplement,
    Supplemented,
    Unknown,
)
from norc_actors.store.schema import deliveries, messages, payloads, receipts

__all__ = [
    "Accept",
    "Accepted",
    "Acknowledge",
    "Acknowledged",
    "Confirm",
    "Confirmed",
    "Duplicate",
    "MessageStore",
    "Operation",
    "Outcome",
    "Pending",
    "Purged",
    "Receipt",
    "Status",
    "Supplement",
    "Supplemented",
    "Unknown",
]


class MessageStore:
    """The tables of this module on one `Database`, which it owns."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = MessageStatements(database)

    def commit(self, batch: Sequence[Operation]) -> list[Outcome]:
        """Do all of `batch` in one transaction and return one outcome per operation, in order.

        Raises `StoreError`: then nothing was done.
        """
        with self._database.writing() as cursor:
            return Batch(cursor, self._sql, batch).run()

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
        """Remove what is past its time: expired messages, and everything older than 30 days (`RETENTION_SECONDS`).

        One call is short: at most `PURGE_ROWS` messages and as many dedupe rows; `more` says that another call has
        work.
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
            more = most in (len(expired), len(aged), forgotten)
            return Purged(
                expired=len(gone), deliveries=deliveries, receipts=cursor.rowcount, forgotten=forgotten, more=more
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
