"""Reading what waits for other servers, and forgetting what is past its time (section 8).

Rules
- Rows of one target and priority come in the order of their numbers. A reader goes on after the last number that it
  saw; a row stays until `Sent` or `Settle` names it.
- A page is bounded in rows and in bytes, but has one row if any waits: a body may be larger than a page.
- The relay cache forgets by the hour, as `protocol.relay_cache` does. What brought a message is known as long as the
  message is.
- Expired relays and transits stay until they are settled, for somebody is to be told; all else that expired goes.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from norc_actors import limits
from norc_actors.ids import ServerId
from norc_actors.store.database import Cursor, Database, Row
from norc_actors.store.operations import OutboxRow, Waiting
from norc_actors.store.relay_sql import RelayStatements

_HOUR = 3600


class Outbox:
    """The reading side; the writing one is `relay_batch`."""

    def __init__(self, database: Database, sql: RelayStatements) -> None:
        self._database = database
        self._sql = sql

    def page(
        self, target: ServerId, priority: int, after_id: int = 0, *, rows: int = 100, size: int = limits.BATCH_BYTES
    ) -> list[OutboxRow]:
        """What waits for `target` at this priority with a number above `after_id`: at most `rows`, and bodies of at
        most `size` bytes together unless there is only one."""
        with self._database.reading_cursor() as cursor:
            fitting = _fitting(self._sql.sizes.rows(cursor, target, priority, after_id, rows), size)
            if not fitting:
                return []
            return [_outbox_row(row) for row in self._sql.page.rows(cursor, target, priority, after_id, fitting[-1])]

    def expired(self, now: int, *, rows: int = 100, size: int = limits.BATCH_BYTES) -> list[OutboxRow]:
        """Relays and transits past their time, to be settled; bounded as a page is."""
        with self._database.reading_cursor() as cursor:
            fitting = _fitting(self._sql.expired_sizes.rows(cursor, now, rows), size)
            return [_outbox_row(row) for number in fitting for row in self._sql.row.rows(cursor, number)]

    def waiting(self) -> list[Waiting]:
        """How much waits, by target and priority."""
        with self._database.reading_cursor() as cursor:
            found = self._sql.waiting.rows(cursor)
        return [
            Waiting(target=target, priority=priority, count=count, oldest=oldest)
            for target, priority, count, oldest in found
        ]

    def recorded(self, relays: Iterable[tuple[ServerId, str]]) -> Mapping[tuple[ServerId, str], bytes | None]:
        """Those of `relays` (origin, federation_id) that were accepted, with the answer: None for a transit without
        one yet."""
        with self._database.reading_cursor() as cursor:
            found = [(key, self._sql.find_recorded.row(cursor, *key)) for key in relays]
        return {key: row[0] for key, row in found if row is not None}

    def purge(self, cursor: Cursor, now: int, keep_from: int) -> tuple[int, int, bool]:
        """Inside the caller's transaction: forget old relays, sources of messages that are forgotten (`keep_from`
        counts if none is left), and what expired unsent. How many relays, how many unsent, and whether there is more.
        """
        most = limits.PURGE_ROWS
        old = self._sql.old_relays.rows(cursor, (now - limits.RELAY_CACHE_SECONDS) // _HOUR * _HOUR, most)
        self._sql.forget_relay.many(cursor, [(origin, federation_id) for origin, federation_id, _ in old])
        held = Counter(remote for _, _, remote in old)
        self._sql.hold.many(cursor, [(-count, remote) for remote, count in held.items()])
        self._sql.forget_sources.run(cursor, keep_from, most)
        sources = cursor.rowcount
        self._sql.drop_unsent.run(cursor, now, most)
        return len(old), cursor.rowcount, most in (len(old), sources, cursor.rowcount)


def _fitting(sizes: Sequence[Row], most: int) -> list[int]:
    """The first numbers whose bodies fit, one at least."""
    numbers: list[int] = []
    total = 0
    for number, size in sizes:
        total += size
        if numbers and total > most:
            break
        numbers.append(number)
    return numbers


def _outbox_row(row: Row) -> OutboxRow:
    number, target, priority, kind, code, _, federation_id, origin, message_id, device_id, created, expires, body = row
    return OutboxRow(
        id=number,
        target=target,
        priority=priority,
        kind=kind,
        code=code,
        federation_id=federation_id,
        origin=origin,
        message_id=message_id,
        device_id=device_id,
        created_at=created,
        expires_at=expires,
        body=body,
    )
