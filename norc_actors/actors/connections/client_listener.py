"""client_listener: accepts connections and hands each to a worker of its own (rows A4, B29, B34).

Owns the listening sockets and the count of unauthenticated connections per source. Beyond `unauthenticated_per_source`,
or when the workers' supervisor is full, a connection is closed at once: TCP's answer is cheaper than TLS's.
"""

from collections import Counter
from collections.abc import Mapping

import structlog
import trio

from norc_actors import limits
from norc_actors.actors import names
from norc_actors.actors.connections.connection_worker import Authenticated, ConnectionWorker, Door
from norc_actors.net.listener import accept_forever
from supervision import (
    ActorRef,
    CallTimeout,
    ChildSpec,
    Down,
    GenServer,
    Mailbox,
    MaxChildren,
    MonitorRef,
    ServerDown,
    start_child,
)

log = structlog.get_logger("norc.listener")


class ClientListener(GenServer):
    """See the module. `listeners` are open already: a port in use is known before the tree starts."""

    def __init__(self, *, listeners: list[trio.SocketListener], door: Door) -> None:
        self._listeners = listeners
        self._door = door
        self._greeting: dict[ActorRef, tuple[str, MonitorRef]] = {}
        self._by_source: Counter[str] = Counter()
        self._accepted = 0
        self._refused = 0

    async def init(self) -> None:
        for listener in self._listeners:
            self.spawn(accept_forever, listener, self._accept)

    async def handle_cast(self, message: object) -> None:
        if isinstance(message, Authenticated):
            self._no_longer_greeting(message.worker)

    async def handle_info(self, message: object) -> None:
        if isinstance(message, Down):
            self._no_longer_greeting(message.ref)

    def statistics(self) -> Mapping[str, int]:
        """Connections accepted and refused by this incarnation, and those that are not authenticated yet."""
        return {"accepted": self._accepted, "refused": self._refused, "greeting": len(self._greeting)}

    async def _accept(self, stream: trio.SocketStream) -> None:
        try:
            source = stream.socket.getpeername()[0]
        except OSError:  # gone before we looked
            await trio.aclose_forcefully(stream)
            return
        workers = self.system.whereis(names.CONNECTION_WORKERS)
        if workers is None or self._by_source[source] >= self._door.rates.unauthenticated_per_source:
            await self._turn_away(stream, source, "too many unauthenticated connections")
            return
        spec = ChildSpec(
            id=f"worker-{self._accepted}",
            start=lambda: ConnectionWorker(stream=stream, source=source, door=self._door),
            restart="temporary",
            shutdown=limits.GOODBYE_SECONDS + 1,
            mailbox=Mailbox(capacity=limits.WORKER_MAILBOX, overflow="refuse"),
        )
        try:
            worker = await start_child(workers, spec)
        except (MaxChildren, ServerDown, CallTimeout) as error:
            await self._turn_away(stream, source, str(error))
            return
        self._accepted += 1
        self._greeting[worker] = source, self.monitor(worker)
        self._by_source[source] += 1

    async def _turn_away(self, stream: trio.SocketStream, source: str, why: str) -> None:
        self._refused += 1
        log.warning("connection turned away", source=source, why=why)
        await trio.aclose_forcefully(stream)

    def _no_longer_greeting(self, worker: ActorRef) -> None:
        greeting = self._greeting.pop(worker, None)
        if greeting is not None:
            source, monitor = greeting
            self.demonitor(monitor)
            self._by_source[source] -= 1
            if not self._by_source[source]:
                del self._by_source[source]
