"""Opening, refusing and failing: every bad state of the file has a type and a text that says what to do."""

import errno
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text

from norc_actors.store.database import Database
from norc_actors.store.errors import (
    ConflictError,
    NewerSchemaError,
    StoreBusyError,
    StoreCorruptError,
    StoreFullError,
    StoreIOError,
    StoreReadOnlyError,
    StoreUnavailableError,
)
from norc_actors.store.messages import Accept, MessageStore
from norc_actors.store.schema import SCHEMA, metadata

COLUMNS = Path(__file__).parent / "columns.txt"


def accept(number: int, size: int = 100) -> Accept:
    return Accept(
        sender_user="alice@example.org",
        sender_device="a",
        message_id=str(number),
        conversation_id="c",
        accepted_at=1,
        expires_at=None,
        payload=bytes(size),
        deliveries=[("b", b"wrap")],
    )


def test_the_stored_columns_are_the_golden_ones(database: Database) -> None:
    """Row B177: whoever adds a column to what the server stores changes this file, and says why in a decision."""
    with database.reading() as connection:
        tables = connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")).scalars()
        found = [
            f"{table}.{row.name} {row.type}"
            for table in tables.all()
            for row in connection.execute(text(f"PRAGMA table_info({table})"))
        ]
    assert found == COLUMNS.read_text().splitlines()


def test_the_migrations_lead_to_the_schema(database: Database) -> None:
    with database.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata) == []
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == SCHEMA


def test_a_commit_is_synchronous_and_the_file_private(database: Database, tmp_path: Path) -> None:
    with database.reading() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar_one() == 2
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_opening_again_finds_what_was_stored(tmp_path: Path) -> None:
    for count in (1, 2):
        database = Database.open(tmp_path / "x.db")
        MessageStore(database, "example.org").commit([accept(count)])
        assert len(MessageStore(database, "example.org").pending("b")) == count
        assert database.integrity() == []
        database.close()
        database.close()


def test_a_url_opens_the_same_file(tmp_path: Path) -> None:
    Database.open(tmp_path / "x.db").close()
    Database.open(f"sqlite:///{tmp_path}/x.db").close()
    assert [path.name for path in tmp_path.iterdir()] == ["x.db"]


def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    Database.open(tmp_path / "x.db").close()
    with sqlite3.connect(tmp_path / "x.db") as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
        raw.execute("UPDATE about SET value = '7.1.0' WHERE key = 'written_by'")
    raw.close()
    before = (tmp_path / "x.db").read_bytes()
    with pytest.raises(NewerSchemaError, match=r"7\.1\.0") as caught:
        Database.open(tmp_path / "x.db")
    assert (caught.value.written_by, caught.value.revision) == ("7.1.0", "9999")
    assert (tmp_path / "x.db").read_bytes() == before


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "x.db") as raw:
        raw.execute("CREATE TABLE recipes (name)")
    raw.close()
    with pytest.raises(StoreCorruptError, match="another program"):
        Database.open(tmp_path / "x.db")


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"not a database at all " * 500)
    with pytest.raises(StoreCorruptError, match="no database"):
        Database.open(tmp_path / "x.db")


def test_a_damaged_database_is_refused_or_reported(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "x.db")
    MessageStore(database, "example.org").commit([accept(n, 4000) for n in range(20)])
    database.close()
    with (tmp_path / "x.db").open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(40 * 4096))
    with pytest.raises(StoreCorruptError, match="backup"):
        assert Database.open(tmp_path / "x.db").integrity() == []


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match="missing"):
        Database.open(tmp_path / "missing" / "x.db")


def test_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match="directory"):
        Database.open(tmp_path)


def test_a_read_only_connection_is_a_read_only_error(database: Database) -> None:
    with database.reading() as connection:
        connection.exec_driver_sql("PRAGMA query_only=ON")
    with pytest.raises(StoreReadOnlyError, match="read-only"):
        MessageStore(database, "example.org").commit([accept(1)])


@pytest.mark.parametrize(
    ("number", "error"),
    [(errno.EACCES, StoreReadOnlyError), (errno.EROFS, StoreReadOnlyError), (errno.ENOSPC, StoreFullError)],
)
def test_a_file_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, error: type) -> None:
    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(error, match=r"x\.db"):
        Database.open(tmp_path / "x.db")


def test_a_full_database_refuses_the_batch_and_goes_on(database: Database) -> None:
    """`max_page_count` makes SQLite answer SQLITE_FULL, as it does for ENOSPC."""
    store = MessageStore(database, "example.org")
    store.commit([accept(1)])
    with database.reading() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 5}")
    with pytest.raises(StoreFullError, match="free some space"):
        store.commit([accept(2), accept(3, 100_000)])
    assert [p.message_id for p in store.pending("b")] == ["1"]
    with database.reading() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count=100000")
    store.commit([accept(2), accept(3, 100_000)])
    assert [p.message_id for p in store.pending("b")] == ["1", "2", "3"]


def test_a_write_refused_by_the_system_is_an_error_and_loses_nothing(tmp_path: Path) -> None:
    """RLIMIT_FSIZE: the kernel refuses to let the file grow, as with a quota."""
    program = f"""
        import resource, signal
        from norc_actors.store.database import Database
        from norc_actors.store.errors import StoreFullError, StoreIOError
        from norc_actors.store.messages import MessageStore
        from tests.store.test_database import accept
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        store = MessageStore(Database.open({str(tmp_path / "x.db")!r}), "example.org")
        store.commit([accept(1)])
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, resource.RLIM_INFINITY))
        try:
            store.commit([accept(2, 3_000_000)])
        except (StoreFullError, StoreIOError) as error:
            print(type(error).__name__)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        store.commit([accept(3)])
        print([p.message_id for p in store.pending("b")])
    """
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[0] in (StoreFullError.__name__, StoreIOError.__name__)
    assert done.stdout.split("\n")[1] == "['1', '3']"


def test_a_killed_process_loses_nothing_that_was_committed(tmp_path: Path) -> None:
    program = f"""
        import os, signal
        from norc_actors.store.database import Database
        from norc_actors.store.messages import MessageStore
        from tests.store.test_database import accept
        store = MessageStore(Database.open({str(tmp_path / "x.db")!r}), "example.org")
        for number in range(40):
            store.commit([accept(number)])
        with store._database.writing() as cursor:
            cursor.execute("DELETE FROM deliveries", ())
            os.kill(os.getpid(), signal.SIGKILL)
    """
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], cwd=root, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    database = Database.open(tmp_path / "x.db")
    assert len(MessageStore(database, "example.org").pending("b")) == 40
    database.close()


def test_a_second_writer_waits_and_then_gives_up(tmp_path: Path) -> None:
    holder = Database.open(tmp_path / "x.db")
    waiter = Database.open(tmp_path / "x.db", busy_seconds=0.05)
    with holder.transaction(), pytest.raises(StoreBusyError, match="second node"):
        MessageStore(waiter, "example.org").commit([accept(1)])
    assert MessageStore(waiter, "example.org").commit([accept(1)])
    holder.close()
    waiter.close()


def test_owners_may_open_a_new_file_at_the_same_time(tmp_path: Path) -> None:
    failures: list[Exception] = []

    def open_and_close() -> None:
        try:
            Database.open(tmp_path / "x.db").close()
        except Exception as error:  # noqa: BLE001  # shown below
            failures.append(error)

    threads = [threading.Thread(target=open_and_close) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_readers_do_not_wait_for_a_writer(tmp_path: Path) -> None:
    writer = Database.open(tmp_path / "x.db")
    reader = Database.open(tmp_path / "x.db", busy_seconds=0.05)
    MessageStore(writer, "example.org").commit([accept(1)])
    with writer.transaction() as connection:
        connection.execute(text("DELETE FROM deliveries"))
        assert len(MessageStore(reader, "example.org").pending("b")) == 1
    assert MessageStore(reader, "example.org").pending("b") == []
    writer.close()
    reader.close()


def test_a_broken_uniqueness_is_a_conflict(database: Database) -> None:
    with pytest.raises(ConflictError), database.transaction() as connection:
        connection.execute(text("INSERT INTO counters (name, value) VALUES ('messages', 1)"))


def test_an_exception_in_a_transaction_leaves_nothing(database: Database) -> None:
    def fail() -> None:
        with database.transaction() as connection:
            connection.execute(text("UPDATE counters SET value = 99"))
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    with database.reading() as connection:
        assert connection.execute(text("SELECT max(value) FROM counters")).scalar_one() == 0
