"""One connection to the database, opened by its owner.

Rules
- SQLite file, WAL, `synchronous=FULL`: a commit that returned is on the disk. Each owner (message store, account
  store, audit) opens its own `Database` on the same file; writers take turns by SQLite's lock, readers never wait.
- Blocking and not thread-safe: the owner calls it in a worker thread, one call at a time (any thread).
- `open` brings the schema forward in the foreground, in one transaction, and refuses a newer one with
  `NewerSchemaError`.
- A write transaction begins with BEGIN IMMEDIATE, so that it fails at its start and not in its middle.
- Every error that leaves here is a `StoreError`: callers decide by its class, never by the driver's text.

Hot statements are SQLAlchemy Core expressions, compiled once to the engine's SQL (`Statement`) and run on the
driver's cursor: Core's own `execute` costs more than the insert that it carries (docs/decisions/030).
"""

import errno
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Connection, Engine, Insert, Table, create_engine, event, make_url, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.pool import ConnectionPoolEntry, NullPool
from sqlalchemy.sql import Executable
from sqlalchemy.sql.compiler import SQLCompiler

from norc_actors import limits
from norc_actors.store.errors import (
    ConflictError,
    StoreBusyError,
    StoreCorruptError,
    StoreError,
    StoreFullError,
    StoreIOError,
    StoreReadOnlyError,
    StoreUnavailableError,
)
from norc_actors.store.migrate import bring_forward

Value = int | bytes | str | None
Row = Sequence[Any]  # of the driver: the types are the schema's columns

_BEGIN = "norc_begin"


class Cursor(Protocol):
    """The part of a driver's cursor that hot statements use."""

    @property
    def rowcount(self) -> int: ...
    def execute(self, sql: str, parameters: Sequence[Value], /) -> object: ...
    def executemany(self, sql: str, parameters: Sequence[Sequence[Value]], /) -> object: ...
    def fetchone(self) -> Row | None: ...
    def fetchall(self) -> Sequence[Row]: ...


class Database:
    """An open database; see the rules above. Make one with `Database.open`."""

    def __init__(self, engine: Engine, connection: Connection, location: str) -> None:
        self._engine = engine
        self._connection = connection
        self.location = location

    @classmethod
    def open(cls, location: Path | str, *, busy_seconds: float = limits.STORE_BUSY_SECONDS) -> "Database":
        """Open (and make, if need be) the SQLite file `location`, or an SQLAlchemy URL, with the newest schema.

        Raises `StoreUnavailableError`, `NewerSchemaError`, `StoreCorruptError`, `StoreReadOnlyError`, `StoreFullError`,
        `StoreBusyError`.
        """
        name = str(location)
        url = make_url(name) if "://" in name else make_url("sqlite://").set(database=name)
        if url.drivername == "sqlite":
            _make_private(Path(url.database or ""))
        with translating(name):
            engine = create_engine(url, poolclass=NullPool, connect_args=_connect_args(url.drivername, busy_seconds))
            if url.drivername == "sqlite":
                event.listen(engine, "connect", _set_pragmas)
                event.listen(engine, "begin", _begin)
            database = cls(engine, engine.connect(), name)
            try:
                with database.transaction() as connection:
                    bring_forward(connection, name)
            except BaseException:
                database.close()
                raise
            return database

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._engine.dialect.name

    def statement(self, expression: Executable, names: Sequence[str]) -> "Statement":
        """Compile a Core expression once; `names` are its bind parameters in the order in which values will be
        given."""
        return Statement(expression, names, self._engine)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A write transaction: commits at the end of the block, rolls back on any exception."""
        with translating(self.location):
            self._connection.info[_BEGIN] = "BEGIN IMMEDIATE"
            with self._connection.begin():
                yield self._connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A read transaction: one consistent snapshot, no lock."""
        with translating(self.location):
            self._connection.info[_BEGIN] = "BEGIN"
            with self._connection.begin():
                yield self._connection

    @contextmanager
    def writing(self) -> Iterator[Cursor]:
        """A write transaction on the driver's own cursor, for `Statement`s."""
        with self._on_driver("BEGIN IMMEDIATE") as cursor:
            yield cursor

    @contextmanager
    def reading_cursor(self) -> Iterator[Cursor]:
        """A read transaction on the driver's own cursor."""
        with self._on_driver("BEGIN") as cursor:
            yield cursor

    @contextmanager
    def _on_driver(self, begin: str) -> Iterator[Cursor]:
        """A transaction past Core, whose bookkeeping costs as much as a small batch."""
        with translating(self.location):
            driver = self._connection.connection.dbapi_connection
            assert driver is not None
            cursor = driver.cursor()
            try:
                if self.dialect == "sqlite":  # others begin by themselves
                    cursor.execute(begin)
                yield cursor
                driver.commit()
            except BaseException:
                driver.rollback()
                raise
            finally:
                cursor.close()

    def integrity(self) -> list[str]:
        """What the engine's own check finds wrong; empty if nothing. Slow on a large file."""
        if self.dialect != "sqlite":
            return []
        with self.reading() as connection:
            found = [str(row[0]) for row in connection.execute(text("PRAGMA quick_check"))]
        return [] if found == ["ok"] else found

    def close(self) -> None:
        """Close the connection; a second time does nothing."""
        self._connection.close()
        self._engine.dispose()


class Statement:
    """One compiled statement; run it on a `Cursor` with values in the order of its names."""

    __slots__ = ("_constants", "_order", "sql")

    def __init__(self, expression: Executable, names: Sequence[str], engine: Engine) -> None:
        compiled = expression.compile(engine)  # type: ignore[attr-defined]  # every Executable here is a ClauseElement
        assert isinstance(compiled, SQLCompiler)
        positions = compiled.positiontup or ()
        extra = [name for name in dict.fromkeys(positions) if name not in names]  # Core binds its own constants too
        if any(compiled.params[name] is None for name in extra) or not set(names) <= set(positions):
            raise ValueError(f"{compiled} takes {positions}, not {names}")
        self.sql = str(compiled)
        self._constants = tuple(compiled.params[name] for name in extra)
        every = [*names, *extra]
        order = tuple(every.index(name) for name in positions)
        self._order = None if order == tuple(range(len(names))) else order

    def _arrange(self, values: Sequence[Value]) -> Sequence[Value]:
        if self._order is None:
            return values
        every = (*values, *self._constants)
        return [every[i] for i in self._order]

    def run(self, cursor: Cursor, *values: Value) -> None:
        """Execute once."""
        cursor.execute(self.sql, self._arrange(values))

    def row(self, cursor: Cursor, *values: Value) -> Row | None:
        """Execute and return the first row."""
        self.run(cursor, *values)
        return cursor.fetchone()

    def rows(self, cursor: Cursor, *values: Value) -> Sequence[Row]:
        """Execute and return all rows."""
        self.run(cursor, *values)
        return cursor.fetchall()

    def many(self, cursor: Cursor, rows: Sequence[Sequence[Value]]) -> None:
        """Execute once per row."""
        if rows:
            cursor.executemany(self.sql, rows if self._order is None else [self._arrange(row) for row in rows])


def insert_new(dialect: str, table: Table) -> Insert:
    """INSERT … ON CONFLICT DO NOTHING."""
    insert = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
    return insert.on_conflict_do_nothing()


def insert_or_replace(dialect: str, table: Table, *changed: str) -> Insert:
    """INSERT … ON CONFLICT (primary key) DO UPDATE SET the columns `changed`."""
    insert = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
    key = list(table.primary_key.columns)
    return insert.on_conflict_do_update(index_elements=key, set_={name: insert.excluded[name] for name in changed})


@contextmanager
def translating(location: str) -> Iterator[None]:
    """Turn the driver's errors into ours."""
    try:
        yield
    except DBAPIError as error:
        if isinstance(error, IntegrityError):
            raise ConflictError(f"{location}: {error.orig}") from error
        raise _translate(error.orig or error, location) from error
    except sqlite3.IntegrityError as error:
        raise ConflictError(f"{location}: {error}") from error
    except sqlite3.Error as error:
        raise _translate(error, location) from error


_BY_CODE: dict[int, tuple[type[StoreError], str]] = {
    sqlite3.SQLITE_FULL: (StoreFullError, "no room left on the disk: free some space"),
    sqlite3.SQLITE_READONLY: (StoreReadOnlyError, "the file or its folder is read-only: let this user write there"),
    sqlite3.SQLITE_PERM: (StoreReadOnlyError, "the file or its folder is read-only: let this user write there"),
    sqlite3.SQLITE_CORRUPT: (StoreCorruptError, "the database is damaged: restore it from a backup"),
    sqlite3.SQLITE_NOTADB: (StoreCorruptError, "this file is no database: move it away, or point `data` elsewhere"),
    sqlite3.SQLITE_BUSY: (StoreBusyError, "another process keeps the database locked: is a second node running?"),
    sqlite3.SQLITE_LOCKED: (StoreBusyError, "another process keeps the database locked: is a second node running?"),
    sqlite3.SQLITE_IOERR: (StoreIOError, "the disk refused a read or write (a full quota, or failing hardware)"),
    sqlite3.SQLITE_CANTOPEN: (StoreUnavailableError, "cannot be opened: check that its folder exists and is writable"),
}


def _translate(error: BaseException, location: str) -> StoreError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the low byte is the primary code
    kind, advice = _BY_CODE.get(code, (StoreError, "the database failed"))
    return kind(f"{location}: {advice} ({error})")


def _connect_args(driver: str, busy_seconds: float) -> dict[str, object]:
    if driver != "sqlite":
        return {}
    return {"isolation_level": None, "check_same_thread": False, "timeout": busy_seconds, "cached_statements": 256}


def _set_pragmas(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "temp_store=MEMORY",
        f"wal_autocheckpoint={limits.STORE_CHECKPOINT_PAGES}",
        f"journal_size_limit={limits.STORE_JOURNAL_BYTES}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.info.get(_BEGIN, "BEGIN"))


def _make_private(path: Path) -> None:
    """Make the file, readable by its owner alone, before SQLite makes it readable by the umask's idea (its WAL copies
    the mode)."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise StoreReadOnlyError(
                f"{path}: cannot be written: let this user write there ({error.strerror})"
            ) from error
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreFullError(f"{path}: no room left on the disk: free some space") from error
        raise StoreUnavailableError(
            f"{path}: cannot be opened ({error.strerror}): check that its folder exists"
        ) from error
