"""Old databases come forward with all that they hold."""

import sqlite3
from importlib import resources
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from norc_actors.store.accounts import AccountStore
from norc_actors.store.database import Database
from norc_actors.store.messages import Accepted, Acknowledged, Duplicate, MessageStore
from norc_actors.store.schema import SCHEMA
from tests.store.relaying import ALICE, BOB, EAST, NOW, OWN, accept, ack, message_id, relaying

TALK = "c"


def config() -> Config:
    made = Config()
    made.set_main_option("script_location", str(resources.files("norc_actors.store") / "migrations"))
    return made


def at(revision: str, path: Path) -> None:
    """Make a database as the release with this schema left it."""
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        made = config()
        made.attributes["connection"] = connection
        command.upgrade(made, revision)
    engine.dispose()
    path.chmod(0o600)


def fill(path: Path) -> None:
    """What a running 0001 leaves: users, a conversation, a message that waits, one that is done, a receipt."""
    with sqlite3.connect(path) as raw:
        raw.executescript(f"""
            UPDATE counters SET value = 7;
            INSERT INTO users VALUES ('alice@{OWN}', x'01', NULL);
            INSERT INTO devices VALUES ('{ALICE}', 'alice@{OWN}', x'02', x'03', x'04', x'05', 'active', {NOW}, 0);
            INSERT INTO conversations VALUES ('{TALK}', 1, 'direct', x'06');
            INSERT INTO conversation_members VALUES ('{TALK}', 'alice@{OWN}'), ('{TALK}', 'bob@{OWN}');
            INSERT INTO direct_pairs VALUES ('alice@{OWN}', 'bob@{OWN}', '{TALK}');
            INSERT INTO messages VALUES
                (6, '{message_id(1)}', '{ALICE}', 'alice@{OWN}', '{TALK}', {NOW}),
                (7, '{message_id(2)}', '{ALICE}', 'alice@{OWN}', '{TALK}', {NOW});
            INSERT INTO payloads VALUES (7, NULL, x'07');
            INSERT INTO deliveries VALUES ('{BOB}', 7, x'08');
            INSERT INTO receipts VALUES ('{ALICE}', 7, '{message_id(1)}', '{BOB}', 'delivered', {NOW}, x'09');
            INSERT INTO audit VALUES ('n', 1, x'0a', x'0b', x'0c');
        """)
    raw.close()


def rows(path: Path) -> dict[str, list[tuple[object, ...]]]:
    with sqlite3.connect(path) as raw:
        tables = [name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = {table: sorted(raw.execute(f"SELECT * FROM {table}").fetchall(), key=repr) for table in tables}
    raw.close()
    return found


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "norc.db"
    at("0001", path)
    fill(path)
    return path


def test_the_migrations_are_one_line_that_ends_with_the_schema() -> None:
    revisions = [script.revision for script in ScriptDirectory.from_config(config()).walk_revisions()]
    assert revisions == sorted(revisions, reverse=True)
    assert revisions[0] == SCHEMA


def test_no_row_of_an_old_database_changes(old: Path) -> None:
    before = rows(old)
    Database.open(old).close()
    after = rows(old)
    changed = {"alembic_version", "counters", "about"}
    assert {table: after[table] for table in before if table not in changed} == {
        table: found for table, found in before.items() if table not in changed
    }
    assert set(before["counters"]) < set(after["counters"])
    assert [found for table, found in after.items() if table not in before] == [[]] * (len(after) - len(before))
    assert after["alembic_version"] == [(SCHEMA,)]


def test_an_old_database_goes_on(old: Path) -> None:
    store = MessageStore(Database.open(old), OWN)
    known, new = store.commit([accept(2, relaying("f1")), accept(3, relaying("f2"), devices=(BOB,))])
    assert (known, isinstance(new, Accepted), new.seq > 7) == (Duplicate(seq=7), True, True)
    assert [row.federation_id for row in store.outbox.page(EAST, 2)] == ["f2"]
    [pending, _] = store.pending(BOB)
    assert (pending.seq, pending.payload, pending.wrap) == (7, b"\x07", b"\x08")
    waiting = ack(2, BOB)
    [acknowledged] = store.commit([type(waiting)(**{**_fields(waiting), "conversation_id": TALK})])
    assert isinstance(acknowledged, Acknowledged)
    assert acknowledged.receipt_id == 8
    assert [receipt.id for receipt in store.receipts(ALICE)] == [7, 8]
    store.close()
    accounts = AccountStore(Database.open(old))
    assert (accounts.members(TALK), accounts.servers_of(TALK)) == ([f"alice@{OWN}", f"bob@{OWN}"], [OWN])
    assert accounts.next_serial() == 8
    accounts.close()


def _fields(value: object) -> dict[str, object]:
    return {name: getattr(value, name) for name in value.__struct_fields__}
