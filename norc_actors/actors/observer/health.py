"""health: how this node is, in one place: `health_status` to other servers, and the operator's own view (row B131).

Samples the process every `limits.HEALTH_SECONDS`; what the tree says of itself is read when asked. Memory only.
"""

import os
import resource
from dataclasses import dataclass

import trio

from norc_actors import limits
from norc_actors.actors import names
from norc_actors.actors.connections.directory import Directory
from norc_actors.actors.federation.requests import Peers
from norc_actors.actors.storage.message_store import FetchWaiting
from norc_actors.ids import Clock, ServerId
from norc_actors.protocol.messages import CapabilityStatus, FederationHealth, HealthStatus, LoadMetrics
from supervision import Call, CallTimeout, From, GenServer, ServerDown


@dataclass(frozen=True, slots=True)
class HealthOf(Call[HealthStatus]):
    """How this node is; `level` basic leaves out what needs other actors."""

    level: str


@dataclass(frozen=True, slots=True)
class _Sample:
    """Info: time for a sample."""


class Health(GenServer):
    """See the module."""

    def __init__(self, *, server_id: ServerId, capabilities: tuple[str, ...], clock: Clock) -> None:
        self._server_id = server_id
        self._capabilities = capabilities
        self._clock = clock
        self._cpu_percent = 0
        self._messages_per_second = 0

    async def init(self) -> None:
        self._directory = Directory(self.system)
        self._last = (trio.current_time(), _cpu_seconds(), 0)
        self.send_after(limits.HEALTH_SECONDS, _Sample())

    async def handle_info(self, message: object) -> None:
        if isinstance(message, _Sample):
            at, cpu, accepted = self._last
            now, used, total = trio.current_time(), _cpu_seconds(), self._accepted()
            span = max(now - at, 0.001)
            self._cpu_percent = min(100, int(100 * (used - cpu) / span / (os.cpu_count() or 1)))
            self._messages_per_second = max(0, int((total - accepted) / span))
            self._last = now, used, total
            self.send_after(limits.HEALTH_SECONDS, _Sample())

    async def handle_call(self, request: object, caller: From) -> object:
        if not isinstance(request, HealthOf):
            raise TypeError(f"health knows no {request!r}")
        federation = FederationHealth(trusted_servers=0, active_connections=0, pending_messages=0)
        whole = True
        if request.level != "basic":
            try:
                federation = await self._federation()
            except (ServerDown, CallTimeout):
                whole = False
        return HealthStatus(
            server_id=self._server_id,
            status="healthy" if whole else "degraded",
            load_metrics=LoadMetrics(
                cpu_percent=self._cpu_percent,
                memory_percent=_memory_percent(),
                active_connections=len(self._directory),
                messages_per_second=self._messages_per_second,
            ),
            federation_status=federation,
            capabilities_status=tuple(
                CapabilityStatus(capability=name, status="operational" if whole else "degraded")
                for name in self._capabilities
            ),
            timestamp=int(self._clock()),
        )

    async def _federation(self) -> FederationHealth:
        peers = await self.system.ref(names.FEDERATION_MANAGER).call(Peers())
        waiting = await self.system.ref(names.MESSAGE_STORE).call(FetchWaiting())
        return FederationHealth(
            trusted_servers=len(peers),
            active_connections=sum(peer.status == "active" for peer in peers),
            pending_messages=sum(one.count for one in waiting),
        )

    def _accepted(self) -> int:
        router = self.system.whereis(names.MESSAGE_ROUTER)
        accepted = 0 if router is None else router.describe().statistics.get("accepted", 0)
        return accepted if isinstance(accepted, int) else 0


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _memory_percent() -> int:
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return min(100, int(100 * held / pages))
