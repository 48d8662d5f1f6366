"""A bounded dictionary for what can be asked again: full, it forgets the entry that was put first."""

from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Cache(Generic[K, V]):
    """At most `limit` entries; a value is only ever a copy of what its owner has."""

    __slots__ = ("_entries", "_limit")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: dict[K, V] = {}

    def __contains__(self, key: K) -> bool:
        return key in self._entries

    def __getitem__(self, key: K) -> V:
        return self._entries[key]

    def __setitem__(self, key: K, value: V) -> None:
        if key not in self._entries and len(self._entries) >= self._limit:
            self._entries.pop(next(iter(self._entries)))
        self._entries[key] = value

    def __len__(self) -> int:
        return len(self._entries)

    def forget(self, key: K) -> None:
        """Drop an entry, if it is there."""
        self._entries.pop(key, None)
