"""The trust store: certificates, exchanges, revocations, lists, and what other servers said of themselves (section 9;
rows B135–B150).

Rules
- Rules of trust are the caller's: what comes here was judged. Signed maps are bytes, stored and returned unread.
- `apply` is one transaction: a decision and its certificate, a revocation and those who have to be told.
- Certificates and revocations are only ever added. What one of them says is never changed here; the same one again is
  no error and changes nothing.
- `records` is what an actor begins with: all that still counts, in one consistent snapshot.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, Table, delete, func, select

from norc_actors.ids import ServerId
from norc_actors.limits import PURGE_ROWS, TRUST_CERTIFICATE_KEPT_SECONDS, TRUST_EXCHANGE_KEPT_SECONDS
from norc_actors.store.database import Database, insert_new, insert_or_replace
from norc_actors.store.rows import as_value, one
from norc_actors.store.schema import (
    trust_certificates,
    trust_exchanges,
    trust_lists,
    trust_peers,
    trust_pushes,
    trust_recommendations,
    trust_revocations,
)
from norc_actors.store.trust_values import (
    StoredCertificate,
    StoredExchange,
    StoredList,
    StoredPeer,
    StoredPush,
    StoredRecommendation,
    StoredRevocation,
    TrustChanges,
    TrustRecords,
)

__all__ = [
    "StoredCertificate",
    "StoredExchange",
    "StoredList",
    "StoredPeer",
    "StoredPush",
    "StoredRecommendation",
    "StoredRevocation",
    "TrustChanges",
    "TrustRecords",
    "TrustStore",
]

V = TypeVar("V", bound=msgspec.Struct)
OVER = ("done", "closed")
"""States of an exchange that does not go on."""


class TrustStore:
    """The trust tables on one `Database`, which it owns."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def records(self) -> TrustRecords:
        """All that counts now."""
        with self._database.reading() as connection:
            return TrustRecords(
                certificates=_all(connection, StoredCertificate, trust_certificates, "number"),
                exchanges=_all(
                    connection, StoredExchange, trust_exchanges, "updated_at", trust_exchanges.c.state.not_in(OVER)
                ),
                revocations=_all(connection, StoredRevocation, trust_revocations, "number"),
                lists=_all(connection, StoredList, trust_lists, "issuer"),
                peers=_all(connection, StoredPeer, trust_peers, "server"),
                recommendations=_all(connection, StoredRecommendation, trust_recommendations, "subject"),
            )

    def apply(self, changes: TrustChanges) -> None:
        """Put all of it on the disk, or nothing. Raises `StoreError`."""
        with self._database.transaction() as connection:
            self._add(connection, trust_certificates, changes.certificates)
            self._add(connection, trust_revocations, changes.revocations)
            for table, rows in (
                (trust_exchanges, changes.exchanges),
                (trust_pushes, changes.pushes),
                (trust_lists, changes.lists),
                (trust_peers, changes.peers),
                (trust_recommendations, changes.recommendations),
            ):
                self._put(connection, table, rows)

    def exchange(self, remote: ServerId, role: str, request_id: str) -> StoredExchange | None:
        """One exchange, whatever its state."""
        table = trust_exchanges
        where = (table.c.remote == remote) & (table.c.role == role) & (table.c.request_id == request_id)
        with self._database.reading() as connection:
            return one(connection, StoredExchange, table, where)

    def exchanges(self, remote: ServerId, limit: int = 20) -> Sequence[StoredExchange]:
        """The newest exchanges with a server, the newest first."""
        table = trust_exchanges
        query = select(table).where(table.c.remote == remote).order_by(table.c.updated_at.desc()).limit(limit)
        with self._database.reading() as connection:
            return [as_value(StoredExchange, row) for row in connection.execute(query).mappings()]

    def list(self, issuer: ServerId) -> StoredList | None:
        """What is known of an issuer's list."""
        with self._database.reading() as connection:
            return one(connection, StoredList, trust_lists, trust_lists.c.issuer == issuer)

    def pushes(self, revocation_hash: bytes) -> Sequence[StoredPush]:
        """To whom a revocation was told, and what they answered."""
        table = trust_pushes
        query = select(table).where(table.c.hash == revocation_hash).order_by(table.c.remote)
        with self._database.reading() as connection:
            return [as_value(StoredPush, row) for row in connection.execute(query).mappings()]

    def unacknowledged(self) -> tuple[StoredPush, ...]:
        """Whom a revocation has still to be told."""
        with self._database.reading() as connection:
            return _all(connection, StoredPush, trust_pushes, "created_at", trust_pushes.c.acknowledged_at.is_(None))

    def purge(self, now: int) -> int:
        """Forget what has been over for long: exchanges after 90 days, certificates a year after their end,
        recommendations with theirs. At most `PURGE_ROWS` exchanges at a time. Returns how many rows went."""
        over = trust_exchanges.c.state.in_(OVER) & (trust_exchanges.c.updated_at < now - TRUST_EXCHANGE_KEPT_SECONDS)
        some = select(trust_exchanges.c.request_id).where(over).limit(PURGE_ROWS)
        ended = trust_certificates.c.not_after < now - TRUST_CERTIFICATE_KEPT_SECONDS
        with self._database.transaction() as connection:
            gone = (
                delete(trust_exchanges).where(over, trust_exchanges.c.request_id.in_(some)),
                delete(trust_certificates).where(ended),
                delete(trust_recommendations).where(trust_recommendations.c.expires <= now),
            )
            return sum(connection.execute(statement).rowcount for statement in gone)

    def statistics(self) -> dict[str, int]:
        """How many certificates, exchanges and revocations there are."""
        tables = {
            "certificates": trust_certificates,
            "exchanges": trust_exchanges,
            "revocations": trust_revocations,
        }
        with self._database.reading() as connection:
            return {
                name: connection.execute(select(func.count()).select_from(table)).scalar_one()
                for name, table in tables.items()
            }

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def _add(self, connection: Connection, table: Table, rows: tuple[msgspec.Struct, ...]) -> None:
        if rows:
            statement = insert_new(self._database.dialect, table)
            connection.execute(statement, [msgspec.structs.asdict(row) for row in rows])

    def _put(self, connection: Connection, table: Table, rows: tuple[msgspec.Struct, ...]) -> None:
        if rows:
            changed = [column.name for column in table.columns if not column.primary_key]
            statement = insert_or_replace(self._database.dialect, table, *changed)
            connection.execute(statement, [msgspec.structs.asdict(row) for row in rows])


def _all(connection: Connection, kind: type[V], table: Table, order: str, where: Any = None) -> tuple[V, ...]:
    query = select(table).order_by(table.c[order])
    if where is not None:
        query = query.where(where)
    return tuple(as_value(kind, row) for row in connection.execute(query).mappings())
