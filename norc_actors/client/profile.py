"""An encrypted profile: one SQLite file per device, owned by one process (B33, B58).

Tables
- `header`: one row of MessagePack: how the data key is locked (`vault`), in clear.
- `items(kind tag, key tag, expires, value)`: records by name; `expires` is a day number (0 = never), for pruning alone.
- `outbox(seq, value)`, `inbox(seq, value)`: records in order.
Every value is the MessagePack pair [key, record], encrypted for its place.

Rules
- `commit` is the only way to change anything: all of a set of writes or none, on disk (synchronous=FULL) when it
  returns. A kill at any moment leaves the state before or after a commit; a full disk leaves the one before.
- The file is never opened beside SQLite: closing a second descriptor would drop the process's lock (POSIX).
- One process at a time: the file is locked exclusively from opening to closing; the lock dies with the process.
- A newer schema, another kind of file, a wrong secret and a damaged record are four different errors, and none of them
  changes the file.
- Everything here blocks; the one owner (`committer`) calls `commit` in a thread. Reads are short.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from norc_actors.client.errors import (
    DiskFullError,
    PassphraseError,
    ProfileDamagedError,
    ProfileError,
    ProfileExistsError,
    ProfileInUseError,
    ProfileMissingError,
    ProfileTooNewError,
)
from norc_actors.client.vault import (
    DATA_KEY_BYTES,
    SALT_BYTES,
    Unlock,
    Vault,
    key_encryption_key,
    place,
    unwrap_data_key,
    wrap_data_key,
)
from norc_actors.crypto.errors import CryptoError, DecryptionFailedError
from norc_actors.crypto.layout import u64
from norc_actors.crypto.passphrase import ESCROW_COST, Cost
from norc_actors.ids import Random

SCHEMA = 1
APPLICATION_ID = 0x4E4F5243
"""`NORC`, in the file's header, so that another database is not taken for a profile."""
QUEUES = ("outbox", "inbox")

_TABLES = (
    "CREATE TABLE header (id INTEGER PRIMARY KEY CHECK (id = 1), value BLOB NOT NULL)",
    "CREATE TABLE items (kind BLOB NOT NULL, key BLOB NOT NULL, expires INTEGER NOT NULL, value BLOB NOT NULL, "
    "PRIMARY KEY (kind, key)) WITHOUT ROWID",
    "CREATE INDEX items_expires ON items (expires) WHERE expires > 0",
    "CREATE TABLE outbox (seq INTEGER PRIMARY KEY, value BLOB NOT NULL)",
    "CREATE TABLE inbox (seq INTEGER PRIMARY KEY, value BLOB NOT NULL)",
)
_QUEUE_SQL = {
    queue: (
        f"INSERT OR REPLACE INTO {queue} (seq, value) VALUES (?, ?)",
        f"DELETE FROM {queue} WHERE seq = ?",
        f"SELECT seq, value FROM {queue} WHERE seq > ? ORDER BY seq LIMIT ?",
        f"SELECT COALESCE(MAX(seq), 0) FROM {queue}",
    )
    for queue in QUEUES
}


class CostMap(msgspec.Struct, frozen=True, kw_only=True):
    """Argon2id's parameters as stored."""

    memory_kib: int
    passes: int
    lanes: int


class Header(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the data key is locked: with `cost` a passphrase, without it a key file."""

    version: int
    salt: bytes
    cost: CostMap | None = None
    wrapped: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One change: `value` None deletes. In a queue (`kind` one of `QUEUES`) the key is its sequence number."""

    kind: str
    key: str | int
    value: bytes | None
    expires: int = 0


class Profile:
    """An open profile. Made by `create` or `open_profile`."""

    def __init__(self, path: Path, connection: sqlite3.Connection, vault: Vault) -> None:
        self.path = path
        self._db = connection
        self._vault = vault

    def get(self, kind: str, key: str) -> bytes | None:
        """The plaintext pair of a record, None if there is none."""
        kind_tag, key_tag = self._vault.kind_tag(kind), self._vault.key_tag(kind, key)
        with _errors(self.path):
            row = self._db.execute("SELECT value FROM items WHERE kind = ? AND key = ?", (kind_tag, key_tag)).fetchone()
        return None if row is None else self._open(b"items", kind_tag, key_tag, row[0])

    def scan(self, kind: str) -> list[bytes]:
        """The plaintext pairs of all records of a kind, in no order."""
        kind_tag = self._vault.kind_tag(kind)
        with _errors(self.path):
            rows = self._db.execute("SELECT key, value FROM items WHERE kind = ?", (kind_tag,)).fetchall()
        return [self._open(b"items", kind_tag, key, value) for key, value in rows]

    def queue(self, queue: str, after: int, limit: int) -> list[tuple[int, bytes]]:
        """(sequence, plaintext pair) of the next records of a queue, in order."""
        with _errors(self.path):
            rows = self._db.execute(_QUEUE_SQL[queue][2], (after, limit)).fetchall()
        return [(seq, self._open(queue.encode(), b"", u64(seq), value)) for seq, value in rows]

    def records(self) -> Iterator[tuple[str, bytes]]:
        """(table, plaintext pair) of everything in the file, for inspection: each pair is plain MessagePack."""
        with _errors(self.path):
            items = self._db.execute("SELECT kind, key, value FROM items").fetchall()
        for kind_tag, key_tag, value in items:
            yield "items", self._open(b"items", kind_tag, key_tag, value)
        for queue in QUEUES:
            for _, pair in self.queue(queue, 0, -1):
                yield queue, pair

    def last_sequence(self, queue: str) -> int:
        """The highest sequence number in a queue, 0 if it is empty."""
        with _errors(self.path):
            return int(self._db.execute(_QUEUE_SQL[queue][3]).fetchone()[0])

    def commit(self, writes: Sequence[Write]) -> None:
        """Make all the writes, or none of them and raise (`DiskFullError`, `ProfileDamagedError`)."""
        with _errors(self.path):
            try:
                self._db.execute("BEGIN IMMEDIATE")
                for write in writes:
                    self._write(write)
                self._db.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._db.rollback()
                raise

    def prune(self, today: int) -> None:
        """Delete the items whose day has passed."""
        with _errors(self.path):
            self._db.execute("DELETE FROM items WHERE expires > 0 AND expires < ?", (today,))

    def close(self) -> None:
        """Close the file and give up the lock; idempotent."""
        self._db.close()

    def _write(self, write: Write) -> None:
        if isinstance(write.key, int):
            put, delete, _, _ = _QUEUE_SQL[write.kind]
            if write.value is None:
                self._db.execute(delete, (write.key,))
            else:
                aad = place(write.kind.encode(), b"", u64(write.key))
                self._db.execute(put, (write.key, self._vault.seal(aad, write.value)))
            return
        kind_tag, key_tag = self._vault.kind_tag(write.kind), self._vault.key_tag(write.kind, write.key)
        if write.value is None:
            self._db.execute("DELETE FROM items WHERE kind = ? AND key = ?", (kind_tag, key_tag))
        else:
            value = self._vault.seal(place(b"items", kind_tag, key_tag), write.value)
            self._db.execute(
                "INSERT INTO items (kind, key, expires, value) VALUES (?, ?, ?, ?) ON CONFLICT (kind, key) "
                "DO UPDATE SET expires = excluded.expires, value = excluded.value",
                (kind_tag, key_tag, write.expires, value),
            )

    def _open(self, table: bytes, kind_tag: bytes, key: bytes, value: bytes) -> bytes:
        try:
            return self._vault.open(place(table, kind_tag, key), value)
        except CryptoError as error:
            raise ProfileDamagedError(f"A record of the profile {self.path} does not open.") from error


def create_profile(path: Path, unlock: Unlock, random: Random, cost: Cost = ESCROW_COST) -> Profile:
    """Make a profile; `ProfileExistsError` if there is one. A creation that was killed half-way is no profile yet."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        pass  # SQLite looks at what it is; opening it here would drop the lock of an owner in this process
    except OSError as error:
        raise ProfileError(f"Cannot make {path}: {error.strerror}.", "Choose a place you may write to.") from error
    connection = _connect(path)
    with _closing_on_error(connection), _errors(path):
        if _pragma(connection, "application_id") or _pragma(connection, "schema_version"):
            raise ProfileExistsError(f"There is a file at {path} already.")
        _configure(connection)
        stored_cost = (
            CostMap(memory_kib=cost.memory_kib, passes=cost.passes, lanes=cost.lanes) if unlock.passphrase else None
        )
        bare = Header(version=SCHEMA, salt=random(SALT_BYTES), cost=stored_cost)
        data_key = random(DATA_KEY_BYTES)
        kek = key_encryption_key(unlock, bare.salt, cost if unlock.passphrase else None)
        wrapped = wrap_data_key(kek, msgspec.msgpack.encode(bare), data_key, random)
        header = msgspec.structs.replace(bare, wrapped=wrapped)
        connection.execute("BEGIN EXCLUSIVE")
        for statement in _TABLES:
            connection.execute(statement)
        connection.execute("INSERT INTO header VALUES (1, ?)", (msgspec.msgpack.encode(header),))
        connection.execute(f"PRAGMA user_version = {SCHEMA}")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("COMMIT")
        return Profile(path, connection, Vault(data_key, random))
    raise AssertionError("unreachable")


def open_profile(path: Path, unlock: Unlock, random: Random) -> Profile:
    """Open a profile; one typed error for each reason why not."""
    if not path.is_file():
        raise ProfileMissingError(f"There is no profile at {path}.")
    connection = _connect(path)
    with _closing_on_error(connection), _errors(path):
        schema = _check_kind(path, connection)
        if schema > SCHEMA:
            raise ProfileTooNewError(f"The profile {path} has schema {schema}; this version knows {SCHEMA}.")
        row = connection.execute("SELECT value FROM header WHERE id = 1").fetchone()
        try:
            header = msgspec.msgpack.decode(row[0], type=Header)
        except (msgspec.DecodeError, TypeError) as error:
            raise ProfileDamagedError(f"The header of {path} cannot be read.") from error
        vault = Vault(_data_key(path, header, unlock), random)
        _configure(connection)
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("UPDATE header SET id = 1")
        connection.execute("COMMIT")
        return Profile(path, connection, vault)
    raise AssertionError("unreachable")


def _check_kind(path: Path, connection: sqlite3.Connection) -> int:
    application = _pragma(connection, "application_id")
    if application == 0 and _pragma(connection, "schema_version") == 0:
        raise ProfileMissingError(f"The profile at {path} was never finished.")
    if application != APPLICATION_ID:
        raise ProfileDamagedError(f"The file {path} is no norc profile.", "Give the right path.")
    return _pragma(connection, "user_version")


def _data_key(path: Path, header: Header, unlock: Unlock) -> bytes:
    stored = header.cost
    cost = None if stored is None else Cost(memory_kib=stored.memory_kib, passes=stored.passes, lanes=stored.lanes)
    try:
        kek = key_encryption_key(unlock, header.salt, cost)
        bare = msgspec.msgpack.encode(msgspec.structs.replace(header, wrapped=b""))
        return unwrap_data_key(kek, bare, header.wrapped)
    except DecryptionFailedError as error:
        locked = "passphrase" if header.cost else "key file"
        raise PassphraseError(f"This does not open the profile {path}, which is locked with a {locked}.") from error
    except CryptoError as error:
        raise ProfileDamagedError(f"The header of {path} is damaged: {error}.") from error


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    with _closing_on_error(connection), _errors(path):
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA trusted_schema = OFF")
    return connection


def _configure(connection: sqlite3.Connection) -> None:
    """What would change a file that is not ours; so only once it is known to be."""
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON", "temp_store = MEMORY"):
        connection.execute(f"PRAGMA {pragma}")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


@contextlib.contextmanager
def _closing_on_error(connection: sqlite3.Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise


@contextlib.contextmanager
def _errors(path: Path) -> Iterator[None]:
    """SQLite's errors as ours: each one says what to do."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            raise DiskFullError(f"The disk is full: {path} was left as it was.") from error
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise ProfileInUseError(f"Another program uses the profile {path}.") from error
        if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            raise ProfileDamagedError(f"The file {path} is damaged or no norc profile.") from error
        raise ProfileError(f"The profile {path} cannot be used: {error}.", "Check the disk and permissions.") from error
