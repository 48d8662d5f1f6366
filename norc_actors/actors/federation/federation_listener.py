"""federation_listener: accepts links of other servers and hands each to an inbound_link of its own (rows B107, B108).

Beyond `limits.LINKS_PER_SOURCE` that are still greeting, or when the links' supervisor is full, a connection is closed
at once: TCP's answer is cheaper than TLS's.
"""

from collections import Counter
from collections.abc import Mapping

import structlog
import trio

from norc_actors import limits
from norc_actors.actors import names
from norc_actors.actors.federation.door import FederationDoor
from norc_actors.actors.federation.inbound_link import InboundLink
from norc_actors.net.listener import accept_forever
from supervision import ActorRef, CallTimeout, ChildSpec, Down, GenServer, MaxChildren, ServerDown, start_child

log = structlog.get_logger("norc.federation")


class FederationListener(GenServer):
    """See the module. `listeners` are open already: a port in use is known before the tree starts."""

    def __init__(self, *, listeners: list[trio.SocketListener], door: FederationDoor) -> None:
        self._listeners = listeners
        self._door = door
        self._sources: dict[ActorRef, str] = {}
        self._by_source: Counter[str] = Counter()
        self._accepted = 0
        self._refused = 0

    async def init(self) -> None:
        for listener in self._listeners:
            self.spawn(accept_forever, listener, self._accept)

    async def handle_info(self, message: object) -> None:
        if isinstance(message, Down) and (source := self._sources.pop(message.ref, None)) is not None:
            self._by_source[source] -= 1
            if not self._by_source[source]:
                del self._by_source[source]

    def statistics(self) -> Mapping[str, int]:
        """Links accepted and refused by this incarnation, and those that stand."""
        return {"accepted": self._accepted, "refused": self._refused, "standing": len(self._sources)}

    async def _accept(self, stream: trio.SocketStream) -> None:
        try:
            source = str(stream.socket.getpeername()[0])
        except OSError:  # gone before we looked
            await trio.aclose_forcefully(stream)
            return
        links = self.system.whereis(names.INBOUND_LINKS)
        if links is None or self._by_source[source] >= limits.LINKS_PER_SOURCE:
            await self._turn_away(stream, source, "too many links from there")
            return
        spec = ChildSpec(
            id=f"inbound-{self._accepted}",
            start=lambda: InboundLink(stream=stream, source=source, door=self._door),
            restart="temporary",
            shutdown=limits.ACTOR_SHUTDOWN_SECONDS,
        )
        try:
            link = await start_child(links, spec)
        except (MaxChildren, ServerDown, CallTimeout) as error:
            await self._turn_away(stream, source, str(error))
            return
        self._accepted += 1
        self._sources[link] = source
        self._by_source[source] += 1
        self.monitor(link)

    async def _turn_away(self, stream: trio.SocketStream, source: str, why: str) -> None:
        self._refused += 1
        log.warning("link turned away", source=source, why=why)
        await trio.aclose_forcefully(stream)
