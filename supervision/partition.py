"""N copies of one actor, and a key that always leads to the same one (row A19; Elixir: `PartitionSupervisor`).

Rules
- The copies are named `NAME/0` … `NAME/N-1` and are ordinary permanent children of an ordinary supervisor.
- `partition_of(key, n)` is stable: the same key goes to the same partition in every process and every run, because it
  hashes the key's bytes or text and not Python's own, randomised hash.
- `route` needs only the name: how many partitions there are is registered beside it while the supervisor lives.
"""

from collections.abc import Callable
from zlib import crc32

from ._core.mailbox import Mailbox
from ._core.specs import ChildSpec, InvalidSpecError, ShutdownTime, Startable
from .ref import ActorRef
from .supervisor import Supervisor
from .system import System

PARTITIONS = "partitions"
"""The registry that says how many partitions each name has."""

Key = str | bytes | int


def partition_of(key: Key, partitions: int) -> int:
    """Which of so many partitions `key` belongs to."""
    return crc32(key if isinstance(key, bytes) else str(key).encode()) % partitions


class PartitionSupervisor(Supervisor):
    """Runs `start(0)` … `start(partitions - 1)` under the names `name/0` …; one_for_one. Raises `InvalidSpecError`."""

    def __init__(
        self,
        name: str,
        start: Callable[[int], Startable],
        partitions: int,
        *,
        shutdown: ShutdownTime | None = None,
        mailbox: Mailbox | None = None,
        intensity: int = 3,
        period: float = 5.0,
    ) -> None:
        if partitions < 1:
            raise InvalidSpecError("invalid_partitions", f"{name!r} has {partitions} partitions; it needs one at least")

        def spec(number: int) -> ChildSpec:
            copy = f"{name}/{number}"
            return ChildSpec(copy, lambda: start(number), name=copy, shutdown=shutdown, mailbox=mailbox)

        super().__init__([spec(number) for number in range(partitions)], intensity=intensity, period=period)
        self._partitioned = name
        self._partitions = partitions

    async def init(self) -> None:
        self.system.registry(PARTITIONS).register(self._partitioned, self.ref, self._partitions)
        await super().init()


def route(system: System, name: str, key: Key) -> ActorRef:
    """The partition of `name` that `key` belongs to, by name: it survives restarts. Calls to it raise `ServerDown`
    while there is none."""
    partitions = system.registry(PARTITIONS).metadata(name)
    number = partition_of(key, partitions) if isinstance(partitions, int) else 0
    return system.ref(f"{name}/{number}")
