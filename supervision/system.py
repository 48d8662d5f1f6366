"""What all actors of one tree share: names, registries, deadlines, reports. Passed around, never global.

Rules
- One system serves one tree (`start_tree`); it may be made and subscribed to before.
- Names are unique: a name belongs to the actor whose spec names it, from before its `init` until just before anybody
  is told of its death.
- The system holds no actor's state and takes no decision; supervisors do.
"""

from collections import deque
from collections.abc import Callable
from itertools import count
from secrets import SystemRandom
from typing import TYPE_CHECKING, Literal, overload

import trio

from .events import LOGGED_BY_DEFAULT, Events, ProgressReport, QuarantineReport, Report, log_report
from .ref import ActorRef, NamedRef
from .registry import DuplicateRegistry, Registry, UniqueRegistry
from .snapshot import Tree
from .timers import Timers

if TYPE_CHECKING:
    from ._core.reasons import ExitReason

QUARANTINED = 20
"""How many quarantine reports a system keeps for whoever asks later."""

REPORTED_CHILDREN = 20
"""How many children of each supervisor the snapshot in a report shows."""


class System:
    """The common ground of one tree. `log=False` keeps reports out of the logger `supervision`.

    `chance` gives numbers from 0 to 1, for the jitter of back-offs; None means the machine's randomness.
    """

    def __init__(self, *, log: bool = True, chance: Callable[[], float] | None = None) -> None:
        self.chance = SystemRandom().random if chance is None else chance
        self.events = Events()
        self.timers = Timers()
        self.serials = count(1)
        self.names: dict[str, ActorRef] = {}
        self.root: ActorRef | None = None
        self.interrupted: BaseException | None = None
        self.quarantined: deque[QuarantineReport] = deque(maxlen=QUARANTINED)
        self._registries: dict[str, UniqueRegistry | DuplicateRegistry] = {}
        self._on_interrupt: Callable[[], None] | None = None
        self._now: Callable[[], float] | None = None
        if log:
            self.events.subscribe(log_report, *LOGGED_BY_DEFAULT)

    @property
    def now(self) -> Callable[[], float]:
        """Trio's clock, asked without detours: it stamps every message."""
        if self._now is None:
            self._now = trio.lowlevel.current_clock().current_time
        return self._now

    def whereis(self, name: str) -> ActorRef | None:
        """The actor that holds `name` now."""
        return self.names.get(name)

    async def wait_up(self, name: str) -> ActorRef:
        """Wait until an actor of that name is running and return it: the one that is, or the next life after a restart.

        It may end as soon as it is returned, like everything one has a reference to.
        """
        await trio.lowlevel.checkpoint()
        holder = self.names.get(name)
        if holder is not None and holder.running:
            return holder
        stands: list[ActorRef] = []
        one_stands = trio.Event()

        def note(report: Report) -> None:
            if isinstance(report, ProgressReport) and report.child.name == name:
                stands.append(report.child)
                one_stands.set()

        forget = self.events.subscribe(note, ProgressReport)
        try:
            await one_stands.wait()
        finally:
            forget()
        return stands[-1]

    def ref(self, name: str) -> NamedRef:
        """A reference to whoever holds `name` when it is used."""
        return NamedRef(name, self.whereis)

    @overload
    def registry(self, name: str, keys: Literal["unique"] = ...) -> UniqueRegistry: ...
    @overload
    def registry(self, name: str, keys: Literal["duplicate"]) -> DuplicateRegistry: ...
    def registry(self, name: str, keys: Literal["unique", "duplicate"] = "unique") -> Registry:
        """The registry of that name, made at its first use. Raises `ValueError` if it has the other kind of keys."""
        registry = self._registries.get(name)
        if registry is None:
            registry = UniqueRegistry(name) if keys == "unique" else DuplicateRegistry(name)
            self._registries[name] = registry
        if registry.keys_are != keys:
            raise ValueError(f"the registry {name!r} has {registry.keys_are} keys, not {keys}")
        return registry

    def registries(self) -> tuple[Registry, ...]:
        """All there are."""
        return tuple(self._registries.values())

    def snapshot(self, limit: int | None = None) -> Tree:
        """The tree as it stands; at most `limit` children of each supervisor (None: all)."""
        if self.root is None:
            return Tree(spec="(no tree)", id=None, status="undefined")
        return self.root.describe(limit)

    def report_tree(self) -> Tree | None:
        """The snapshot that reports carry."""
        return None if self.root is None else self.snapshot(REPORTED_CHILDREN)

    def take_name(self, name: str, ref: ActorRef) -> ActorRef | None:
        """Give `name` to `ref` until it is down; returns who holds it already, if somebody does."""
        holder = self.names.get(name)
        if holder is not None:
            return holder
        self.names[name] = ref

        def free(_reason: "ExitReason") -> None:
            del self.names[name]

        ref.at_down(free)
        return None

    def on_interrupt(self, callback: Callable[[], None]) -> None:
        """Who ends the tree when an actor meets a `KeyboardInterrupt` or a `SystemExit`."""
        self._on_interrupt = callback

    def interrupt(self, raised: BaseException) -> None:
        """An actor met an exception that is meant for the whole program: `start_tree` will raise it."""
        if self.interrupted is None:
            self.interrupted = raised
        if self._on_interrupt is not None:
            self._on_interrupt()
