"""The audit log: one hash chain per node, appended in groups (section 10).

Rules
- Entries and their hashes are those of `protocol/audit_chain.py`. The stored bytes are what was hashed, so that
  verifying needs no second encoding.
- One appender per node_id. `append` is one transaction: all of a group or nothing, and the next group starts where it
  ended.
- Events come with users as pseudonyms and without content (rows B79, B177); this module does not look inside them.
- Nothing is ever changed or removed here.
"""

import json
from collections.abc import Mapping, Sequence

import msgspec
from sqlalchemy import insert, select

from norc_actors.protocol.audit_chain import canonical_entry, entry_hash, genesis
from norc_actors.protocol.canonical import Value
from norc_actors.store.database import Database
from norc_actors.store.schema import audit

_PAGE = 1000


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One stored entry: `event` is canonical(the event with its `seq`), `entry_hash` = BLAKE3(prev_hash ‖ event)."""

    seq: int
    event: bytes
    prev_hash: bytes
    entry_hash: bytes


class AuditBrokenError(Exception):
    """The chain does not verify: `seq` is the first entry that was changed, lost or inserted."""

    def __init__(self, seq: int, why: str) -> None:
        super().__init__(f"audit entry {seq}: {why}")
        self.seq = seq


class AuditStore:
    """The chain of `node_id` on one `Database`, which it owns."""

    def __init__(self, database: Database, node_id: str) -> None:
        self._database = database
        self._node_id = node_id

    def append(self, events: Sequence[Mapping[str, Value]]) -> list[int]:
        """Append a group of events (strict plain maps without `seq`) in one transaction; return their numbers, from 1.

        Raises `StoreError`; then nothing was appended.
        """
        if not events:
            return []
        with self._database.transaction() as connection:
            newest = select(audit.c.seq, audit.c.entry_hash).where(audit.c.node_id == self._node_id)
            row = connection.execute(newest.order_by(audit.c.seq.desc()).limit(1)).one_or_none()
            seq, head = (int(row.seq), bytes(row.entry_hash)) if row is not None else (0, genesis(self._node_id))
            rows = []
            for event in events:
                seq += 1
                entry = canonical_entry(event, seq)
                prev, head = head, entry_hash(head, entry)
                rows.append(
                    {"node_id": self._node_id, "seq": seq, "event": entry, "prev_hash": prev, "entry_hash": head}
                )
            connection.execute(insert(audit), rows)
        return list(range(seq - len(events) + 1, seq + 1))

    def verify(self) -> int:
        """Walk the whole chain; return how many entries it has, or raise `AuditBrokenError`.

        A chain that was cut at its end verifies: compare `head` with the newest signed `audit_root`.
        """
        count, head = 0, genesis(self._node_id)
        while page := self.entries(count, _PAGE):
            for entry in page:
                count += 1
                if entry.seq != count:
                    raise AuditBrokenError(count, "missing")
                if entry.prev_hash != head:
                    raise AuditBrokenError(count, "does not follow the entry before it")
                if entry_hash(head, entry.event) != entry.entry_hash or not _numbered(entry.event, count):
                    raise AuditBrokenError(count, "changed")
                head = entry.entry_hash
        return count

    def head(self) -> tuple[int, bytes]:
        """(count, entry_hash of the newest entry), as `audit_root` signs it; the genesis hash for an empty chain."""
        newest = select(audit.c.seq, audit.c.entry_hash).where(audit.c.node_id == self._node_id)
        with self._database.reading() as connection:
            row = connection.execute(newest.order_by(audit.c.seq.desc()).limit(1)).one_or_none()
        return (0, genesis(self._node_id)) if row is None else (int(row.seq), bytes(row.entry_hash))

    def entries(self, after_seq: int = 0, limit: int = _PAGE) -> list[AuditEntry]:
        """Entries above `after_seq`, in order."""
        query = (
            select(audit.c.seq, audit.c.event, audit.c.prev_hash, audit.c.entry_hash)
            .where(audit.c.node_id == self._node_id, audit.c.seq > after_seq)
            .order_by(audit.c.seq)
            .limit(limit)
        )
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        return [
            AuditEntry(seq=r.seq, event=_bytes(r.event), prev_hash=_bytes(r.prev_hash), entry_hash=_bytes(r.entry_hash))
            for r in rows
        ]

    def close(self) -> None:
        """Close the database."""
        self._database.close()


def _bytes(value: object) -> bytes:
    """A column's bytes, also where somebody put text into it (SQLite lets them): then the hash tells."""
    return value if isinstance(value, bytes) else str(value).encode()


def _numbered(entry: bytes, seq: int) -> bool:
    try:
        event = json.loads(entry)
    except ValueError:
        return False
    return isinstance(event, dict) and event.get("seq") == seq
