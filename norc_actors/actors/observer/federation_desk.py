"""What the operator asks about other servers, for `control`: how they stand, the way to them, dialling them now.

{"command": "peers"}                                  all servers that this node has to do with
{"command": "peer_check", "server": "b.example"}      the way there, step by step
{"command": "peer_retry", "server": "b.example"}      dial it now, whatever its back-off
"""

from collections.abc import Mapping

from norc_actors.actors import names
from norc_actors.actors.federation.parts import FederationParts
from norc_actors.actors.federation.peer_check import check_peer
from norc_actors.actors.federation.requests import Peers, PeerStatus, RetryPeer
from norc_actors.actors.observer.answers import Answer, RefusedError
from norc_actors.actors.storage.message_store import FetchWaiting
from norc_actors.actors.trust.requests import StandingOf
from norc_actors.ids import InvalidIdError, ServerId, parse_server_id
from norc_actors.store.messages import Waiting
from supervision import System


class FederationDesk:
    """See the module. `here` is None for a node without other organisations."""

    def __init__(self, system: System, here: FederationParts | None) -> None:
        self._system = system
        self._here = here

    async def peers(self) -> Answer:
        """One line a server: its link, its queue, what it is to us."""
        self._parts()
        waiting = await self._system.ref(names.MESSAGE_STORE).call(FetchWaiting())
        peers = await self._system.ref(names.FEDERATION_MANAGER).call(Peers())
        return {"peers": [await self._told(peer, waiting) for peer in peers]}

    async def check(self, request: Mapping[str, object]) -> Answer:
        """Every step on the way to a peer, until one fails."""
        here, server = self._parts(), server_in(request)
        configured = here.endpoints.get(server, ())
        steps = await check_peer(self._system, here.door, here.resolver, configured[0] if configured else None, server)
        return {"server": server, "steps": steps}

    async def retry(self, request: Mapping[str, object]) -> Answer:
        """Dial a peer now."""
        self._parts()
        server = server_in(request)
        await self._system.ref(names.FEDERATION_MANAGER).call(RetryPeer(server))
        return {"server": server}

    async def _told(self, peer: PeerStatus, waiting: list[Waiting]) -> dict[str, object]:
        standing = await self._system.ref(names.TRUST_MANAGER).call(StandingOf(peer.server))
        queued = [one for one in waiting if one.target == peer.server]
        return {
            "server": peer.server,
            "link": peer.status,
            "trust": standing.state,
            "level": standing.level,
            "since": int(peer.since),
            "last_success": int(peer.last_success),
            "last_heard": int(peer.last_heard),
            "last_error": peer.last_error,
            "queued": sum(one.count for one in queued),
            "queued_since": min((one.oldest for one in queued), default=0),
        }

    def _parts(self) -> FederationParts:
        if self._here is None:
            raise RefusedError("this node has no links to other organisations", "set federation.listen, then restart")
        return self._here


def server_in(request: Mapping[str, object]) -> ServerId:
    """The server that a request names."""
    try:
        return parse_server_id(str(request.get("server")))
    except InvalidIdError as error:
        raise RefusedError(str(error), "give a server's name, like b.example") from None
