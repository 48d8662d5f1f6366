"""check_store, audit: the chain of section 10."""

from collections.abc import Callable

import pytest
from sqlalchemy import text

from norc_actors.protocol.audit_chain import entry_hash, genesis
from norc_actors.store.audit import AuditBrokenError, AuditStore
from norc_actors.store.database import Database
from tests.support.vectors import section


@pytest.fixture
def log(database: Database) -> AuditStore:
    return AuditStore(database, "node-1")


def test_the_hashes_are_the_vectors() -> None:
    vector = section("audit")
    first = genesis(vector["node_id"])
    assert first.hex() == vector["genesis"]
    second = entry_hash(first, vector["entry_1"]["canonical"].encode())
    assert second.hex() == vector["hash_1"]
    assert entry_hash(second, vector["entry_2"]["canonical"].encode()).hex() == vector["hash_2"]


def test_entries_are_numbered_and_chained(log: AuditStore) -> None:
    assert log.head() == (0, genesis("node-1"))
    assert log.append([{"event_type": "access_granted"}, {"event_type": "access_denied"}]) == [1, 2]
    assert log.append([]) == []
    assert log.append([{"actor": b"\x01"}]) == [3]
    entries = log.entries()
    assert entries[0].event == b'{"event_type":"access_granted","seq":1}'
    assert entries[0].prev_hash == genesis("node-1")
    assert [e.prev_hash for e in entries[1:]] == [e.entry_hash for e in entries[:-1]]
    assert log.head() == (3, entries[-1].entry_hash)
    assert log.verify() == 3
    assert [e.seq for e in log.entries(1, 1)] == [2]


def test_each_node_has_its_own_chain(opener: Callable[[], Database], log: AuditStore) -> None:
    other = AuditStore(opener(), "node-2")
    log.append([{"n": 1}])
    assert other.append([{"n": 1}]) == [1]
    assert other.entries()[0].entry_hash != log.entries()[0].entry_hash


@pytest.mark.parametrize(
    ("damage", "seq"),
    [
        ('UPDATE audit SET event = \'{"n":9,"seq":2}\' WHERE seq = 2', 2),
        ("DELETE FROM audit WHERE seq = 2", 2),
        ("UPDATE audit SET entry_hash = prev_hash WHERE seq = 3", 3),
        ("UPDATE audit SET prev_hash = entry_hash WHERE seq = 1", 1),
        ("UPDATE audit SET seq = 7 WHERE seq = 3", 3),
    ],
)
def test_damage_is_found_where_it_is(log: AuditStore, database: Database, damage: str, seq: int) -> None:
    log.append([{"n": n} for n in range(4)])
    with database.transaction() as connection:
        connection.exec_driver_sql(damage)
    with pytest.raises(AuditBrokenError) as caught:
        log.verify()
    assert caught.value.seq == seq


def test_an_entry_with_a_false_number_is_found_though_its_hash_fits(log: AuditStore, database: Database) -> None:
    log.append([{"n": 1}])
    for forged in (b'{"seq":5}', b"[]", b"\xff"):
        forged_hash = entry_hash(genesis("node-1"), forged)
        with database.transaction() as connection:
            connection.execute(text("UPDATE audit SET event = :e, entry_hash = :h"), {"e": forged, "h": forged_hash})
        with pytest.raises(AuditBrokenError, match="entry 1: changed"):
            log.verify()
