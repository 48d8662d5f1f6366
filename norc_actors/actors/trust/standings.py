"""What others are to this server, as an actor outside trust holds it: a cache of what trust_manager says.

An entry counts until the time at which it may change by itself; what changes otherwise, trust_manager tells
(`RelationChanged`, on which the holder forgets).
"""

from norc_actors import limits
from norc_actors.actors import names
from norc_actors.actors.messages.cache import Cache
from norc_actors.actors.trust.requests import StandingOf
from norc_actors.ids import Clock, ServerId
from norc_actors.trust.relations import Standing
from supervision import System


class Standings:
    """The standings that one actor has asked for."""

    def __init__(self, system: System, clock: Clock) -> None:
        self._system = system
        self._clock = clock
        self._known: Cache[ServerId, Standing] = Cache(limits.STANDINGS_CACHE)

    async def of(self, server: ServerId) -> Standing:
        """How this server stands to another, now. Raises `ServerDown`, `CallTimeout`."""
        known = self.known(server)
        if known is None:
            known = self._known[server] = await self._system.ref(names.TRUST_MANAGER).call(StandingOf(server))
        return known

    def known(self, server: ServerId) -> Standing | None:
        """The same without asking: None if it was not asked for, or no longer counts."""
        if server not in self._known:
            return None
        standing = self._known[server]
        return standing if standing.until is None or self._clock() < standing.until else None

    def forget(self, server: ServerId) -> None:
        """It has changed."""
        self._known.forget(server)
