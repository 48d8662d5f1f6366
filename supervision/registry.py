"""Keys to actors, with metadata, read at once without asking anybody (row A17; OTP: `via`, Elixir: `Registry`).

Rules
- `unique`: one actor a key. `duplicate`: many, in the order they came.
- An entry goes when its actor goes down, before anybody is told of that: whoever hears of a death looks up the next.
- Reads are plain synchronous dictionary reads. What was looked up may be dead a moment later; using it says so.
- A registry holds no actor alive and starts none.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator
from typing import ClassVar, Literal

from ._core.reasons import ExitReason
from .errors import AlreadyRegistered
from .ref import ActorRef

Entry = tuple[ActorRef, object]
"""An actor and the metadata it was registered with."""


class Registry(ABC):
    """What both kinds share."""

    keys_are: ClassVar[Literal["unique", "duplicate"]]

    def __init__(self, name: str) -> None:
        self.name = name
        self._undo: dict[tuple[Hashable, ActorRef], Callable[[], None]] = {}

    def __repr__(self) -> str:
        return f"<{self.keys_are} registry {self.name!r}, {len(self)} keys>"

    @abstractmethod
    def __len__(self) -> int:
        """How many keys there are."""

    @abstractmethod
    def keys(self) -> Iterator[Hashable]:
        """The keys there are."""

    def register(self, key: Hashable, ref: ActorRef, metadata: object = None) -> None:
        """Enter `ref` under `key` until it is down; a dead one is not entered. Again: its metadata is replaced.

        Raises `AlreadyRegistered` when the key is unique and another's.
        """
        target = ref.resolve()
        if target is None or not target.alive:
            return
        self._enter(key, target, metadata)
        if (key, target) not in self._undo:

            def gone(_reason: ExitReason) -> None:
                self._undo.pop((key, target), None)
                self._remove(key, target)

            self._undo[key, target] = target.at_down(gone)

    def unregister(self, key: Hashable, ref: ActorRef) -> None:
        """Take the entry back; nothing happens if there is none."""
        target = ref.resolve()
        undo = None if target is None else self._undo.pop((key, target), None)
        if target is not None and undo is not None:
            undo()
            self._remove(key, target)

    @abstractmethod
    def _enter(self, key: Hashable, ref: ActorRef, metadata: object) -> None: ...

    @abstractmethod
    def _remove(self, key: Hashable, ref: ActorRef) -> None: ...


class UniqueRegistry(Registry):
    """One actor a key."""

    keys_are = "unique"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._entries: dict[Hashable, Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def keys(self) -> Iterator[Hashable]:
        return iter(tuple(self._entries))

    def lookup(self, key: Hashable) -> ActorRef | None:
        """Who holds `key`."""
        entry = self._entries.get(key)
        return None if entry is None else entry[0]

    def metadata(self, key: Hashable) -> object:
        """What was registered beside `key`; None if nobody holds it."""
        entry = self._entries.get(key)
        return None if entry is None else entry[1]

    def _enter(self, key: Hashable, ref: ActorRef, metadata: object) -> None:
        entry = self._entries.get(key)
        if entry is not None and entry[0] is not ref:
            raise AlreadyRegistered(key, entry[0])
        self._entries[key] = (ref, metadata)

    def _remove(self, key: Hashable, ref: ActorRef) -> None:
        entry = self._entries.get(key)
        if entry is not None and entry[0] is ref:
            del self._entries[key]


class DuplicateRegistry(Registry):
    """Many actors a key: groups, subscriptions."""

    keys_are = "duplicate"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._entries: dict[Hashable, dict[ActorRef, object]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def keys(self) -> Iterator[Hashable]:
        return iter(tuple(self._entries))

    def lookup(self, key: Hashable) -> list[Entry]:
        """All that are entered under `key`, in the order they came."""
        return list(self._entries.get(key, {}).items())

    def dispatch(self, key: Hashable, deliver: Callable[[ActorRef, object], None]) -> int:
        """Call `deliver(ref, metadata)` for each entry of `key`; returns how many there were."""
        entries = self.lookup(key)
        for ref, metadata in entries:
            deliver(ref, metadata)
        return len(entries)

    def _enter(self, key: Hashable, ref: ActorRef, metadata: object) -> None:
        self._entries.setdefault(key, {})[ref] = metadata

    def _remove(self, key: Hashable, ref: ActorRef) -> None:
        entries = self._entries.get(key)
        if entries is not None:
            entries.pop(ref, None)
            if not entries:
                del self._entries[key]
