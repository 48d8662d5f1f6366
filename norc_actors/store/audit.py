"""The audit log: one hash chain per node, appended in groups (section 10)."""

from collections.abc import Mapping, Sequence

import msgspec

from norc_actors.store.database import Database


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


def genesis(node_id: str) -> bytes:
    """BLAKE3("norc:audit:genesis:v1" ‖ len‖node_id), the `prev_hash` of entry 1."""
    raise NotImplementedError


class AuditStore:
    """The chain of `node_id`; one appender."""

    def __init__(self, database: Database, node_id: str) -> None:
        self._database = database
        self._node_id = node_id

    def append(self, events: Sequence[Mapping[str, object]]) -> list[int]:
        """Append a group of events (strict plain maps, users as pseudonyms, without `seq`) in one transaction; return
        their numbers."""
        raise NotImplementedError

    def verify(self) -> int:
        """Walk the whole chain; return how many entries it has, or raise `AuditBrokenError`."""
        raise NotImplementedError

    def head(self) -> tuple[int, bytes]:
        """(count, entry_hash of the newest entry), as `audit_root` signs it; the genesis hash for an empty chain."""
        raise NotImplementedError

    def entries(self, after_seq: int = 0, limit: int = 1000) -> list[AuditEntry]:
        """Entries above `after_seq`, in order."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the database."""
        self._database.close()
