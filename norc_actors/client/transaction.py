"""Typed records over a profile: one transaction reads its own changes and is committed whole or dropped whole.

Rules
- A `Kind` is a kind of record with its struct; a `Queue` an ordered table with its struct. Keys are text, made from ids
  joined by "/" (none of which holds one).
- A `Transaction` is a layer of changes over what is below it: another transaction, or the `Ledger` (the profile and its
  cache). `nested` gives a layer that its maker absorbs or forgets: one bad message of a burst drops its own only.
- The cache changes only by `Ledger.absorb`, after the commit: a commit that failed leaves memory and disk agreeing.
- Records are frozen structs, so that a value that was read may be kept and never has to be copied.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar, cast

import msgspec

from norc_actors.client.errors import ProfileDamagedError
from norc_actors.client.profile import QUEUES, Profile, Write
from norc_actors.limits import PROFILE_CACHE_RECORDS

T = TypeVar("T", bound=msgspec.Struct)

_encoder = msgspec.msgpack.Encoder()


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """A kind of records: `name` as in the profile, `type` of its values."""

    name: str
    type: type[T]


@dataclass(frozen=True, slots=True)
class Queue(Generic[T]):
    """An ordered table: `name` is the table's."""

    name: str
    type: type[T]


@dataclass(frozen=True, slots=True)
class _Entry:
    """A changed or cached record; `value` None: deleted."""

    value: msgspec.Struct | None
    expires: int = 0


class _Below(Protocol):
    """What a transaction stands on."""

    def lookup(self, kind: Kind[T], key: str) -> T | None: ...
    def lookup_all(self, kind: Kind[T]) -> dict[str, T]: ...
    def lookup_queue(self, queue: Queue[T], after: int, limit: int) -> list[tuple[int, T]]: ...
    def next_sequence(self, queue: str) -> int: ...


class Transaction:
    """A layer of changes; see the module."""

    def __init__(self, below: _Below) -> None:
        self._below = below
        self._items: dict[tuple[str, str], _Entry] = {}
        self._queues: dict[str, dict[int, msgspec.Struct | None]] = {}
        self._next: dict[str, int] = {}

    # --- Reading ---

    def get(self, kind: Kind[T], key: str) -> T | None:
        """The record of this key, None if there is none."""
        entry = self._items.get((kind.name, key))
        if entry is not None:
            return cast("T | None", entry.value)
        return self._below.lookup(kind, key)

    def all(self, kind: Kind[T]) -> dict[str, T]:
        """All records of a kind by key; for kinds that stay small."""
        found = self._below.lookup_all(kind)
        for (name, key), entry in self._items.items():
            if name == kind.name:
                if entry.value is None:
                    found.pop(key, None)
                else:
                    found[key] = cast("T", entry.value)
        return found

    def queue(self, queue: Queue[T], after: int = 0, limit: int = 1000) -> list[tuple[int, T]]:
        """The next `limit` records of a queue beyond `after`, in order, with their sequence numbers."""
        changed = self._queues.get(queue.name)
        if not changed:
            return self._below.lookup_queue(queue, after, limit)
        found = dict(self._below.lookup_queue(queue, after, limit + len(changed)))
        for sequence, value in changed.items():
            if value is None:
                found.pop(sequence, None)
            elif sequence > after:
                found[sequence] = cast("T", value)
        return sorted(found.items())[:limit]

    # --- Changing ---

    def put(self, kind: Kind[T], key: str, value: T, expires: int = 0) -> None:
        """Set a record; `expires` is the day number after which it may go, 0 = never."""
        self._items[(kind.name, key)] = _Entry(value, expires)

    def delete(self, kind: Kind[T], key: str) -> None:
        """Delete a record; nothing happens if there is none."""
        self._items[(kind.name, key)] = _Entry(None)

    def append(self, queue: Queue[T], value: T) -> int:
        """Put a record at the end of a queue; returns its sequence number."""
        sequence = self.next_sequence(queue.name)
        self._next[queue.name] = sequence + 1
        self._queues.setdefault(queue.name, {})[sequence] = value
        return sequence

    def replace(self, queue: Queue[T], sequence: int, value: T) -> None:
        """Change a record of a queue in its place."""
        self._queues.setdefault(queue.name, {})[sequence] = value

    def remove(self, queue: Queue[T], sequence: int) -> None:
        """Take a record out of a queue."""
        self._queues.setdefault(queue.name, {})[sequence] = None

    # --- Layers ---

    def nested(self) -> "Transaction":
        """A layer over this one."""
        return Transaction(self)

    def absorb(self, child: "Transaction") -> None:
        """Take over the changes of a layer over this one."""
        self._items.update(child.entries())
        for name, changes in child.queue_changes().items():
            self._queues.setdefault(name, {}).update(changes)
        self._next.update(child.sequences())

    @property
    def empty(self) -> bool:
        """Whether there is nothing to commit."""
        return not self._items and not any(self._queues.values())

    def writes(self) -> list[Write]:
        """The changes as the profile takes them."""
        found = [
            Write(kind=name, key=key, value=_pair(key, entry.value), expires=entry.expires)
            for (name, key), entry in self._items.items()
        ]
        for name, changes in self._queues.items():
            found += [Write(kind=name, key=seq, value=_pair(seq, value)) for seq, value in changes.items()]
        return found

    def entries(self) -> Iterable[tuple[tuple[str, str], _Entry]]:
        """The changed items, for the cache."""
        return self._items.items()

    def queue_changes(self) -> dict[str, dict[int, msgspec.Struct | None]]:
        """The changed records of the queues."""
        return self._queues

    def sequences(self) -> dict[str, int]:
        """The next sequence numbers that this layer has moved on."""
        return self._next

    # --- What a layer above sees ---

    def lookup(self, kind: Kind[T], key: str) -> T | None:
        return self.get(kind, key)

    def lookup_all(self, kind: Kind[T]) -> dict[str, T]:
        return self.all(kind)

    def lookup_queue(self, queue: Queue[T], after: int, limit: int) -> list[tuple[int, T]]:
        return self.queue(queue, after, limit)

    def next_sequence(self, queue: str) -> int:
        moved = self._next.get(queue)
        return self._below.next_sequence(queue) if moved is None else moved


def _pair(key: str | int, value: msgspec.Struct | None) -> bytes | None:
    return None if value is None else _encoder.encode((key, value))


class Ledger:
    """A profile with a bounded cache of decoded records: what the lowest transaction stands on."""

    def __init__(self, profile: Profile, capacity: int = PROFILE_CACHE_RECORDS) -> None:
        self.profile = profile
        self._capacity = capacity
        self._cache: OrderedDict[tuple[str, str], msgspec.Struct] = OrderedDict()
        self._decoders: dict[str, msgspec.msgpack.Decoder[tuple[str | int, msgspec.Struct]]] = {}
        # from the start on, not when first used: a number must not come again once its record was consumed
        self._next = {queue: profile.last_sequence(queue) + 1 for queue in QUEUES}

    def begin(self) -> Transaction:
        """A transaction over what is committed."""
        return Transaction(self)

    def absorb(self, transaction: Transaction) -> None:
        """Make a transaction that was committed the state in memory."""
        for name, entry in transaction.entries():
            self._cache.pop(name, None)
            if entry.value is not None:
                self._remember(name, entry.value)
        self._next.update(transaction.sequences())

    def lookup(self, kind: Kind[T], key: str) -> T | None:
        name = (kind.name, key)
        value = self._cache.get(name)
        if value is not None:
            self._cache.move_to_end(name)
            return cast("T", value)
        raw = self.profile.get(kind.name, key)
        if raw is None:
            return None
        _, decoded = self._decode(kind, raw)
        self._remember(name, decoded)
        return decoded

    def lookup_all(self, kind: Kind[T]) -> dict[str, T]:
        return {str(key): value for key, value in (self._decode(kind, raw) for raw in self.profile.scan(kind.name))}

    def lookup_queue(self, queue: Queue[T], after: int, limit: int) -> list[tuple[int, T]]:
        return [(seq, self._decode(queue, raw)[1]) for seq, raw in self.profile.queue(queue.name, after, limit)]

    def next_sequence(self, queue: str) -> int:
        return self._next[queue]

    def _remember(self, name: tuple[str, str], value: msgspec.Struct) -> None:
        self._cache[name] = value
        if len(self._cache) > self._capacity:
            self._cache.popitem(last=False)

    def _decode(self, kind: Kind[T] | Queue[T], raw: bytes) -> tuple[str | int, T]:
        decoder = self._decoders.get(kind.name)
        if decoder is None:
            decoder = msgspec.msgpack.Decoder(tuple[str | int, kind.type])  # type: ignore[name-defined]
            self._decoders[kind.name] = decoder
        try:
            key, value = decoder.decode(raw)
        except msgspec.DecodeError as error:
            raise ProfileDamagedError(f"A {kind.name} record of {self.profile.path} cannot be read.") from error
        return key, cast("T", value)
