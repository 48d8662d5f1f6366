"""What all links of a node share, both those that it dials and those that it accepts."""

from collections.abc import Callable
from dataclasses import dataclass

from norc_actors.ids import Clock, Random, ServerId
from norc_actors.net.tls import PeerContexts
from norc_actors.protocol.links import LinkOffer, Peer
from norc_actors.protocol.messages import ServerInfo
from norc_actors.trust.relations import Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class FederationDoor:
    """`contexts` and `offer` are asked at each link: the certificate, and with it its fingerprint, may have been
    renewed. `info` gives the `server_info` for (request_id, now), not yet signed."""

    server_id: ServerId
    contexts: PeerContexts
    offer: Callable[[], LinkOffer]
    info: Callable[[str, int], ServerInfo]
    alpn: tuple[str, ...]
    clock: Clock
    random: Random

    @property
    def public_key(self) -> bytes:
        """The identity key that signs relays."""
        return self.offer().public_keys["ed25519"]


def peer_of(fingerprint: bytes, standing: Standing, remembered_version: str | None) -> Peer:
    """What the handshake is told of the other end: the keys that its trust certificate pins, if it has one, and the
    highest version that it ever spoke."""
    return Peer(
        server_id=standing.other,
        tls_fingerprint=fingerprint,
        keys=standing.keys,
        hybrid_required=standing.hybrid,
        remembered_version=remembered_version,
        sees_key=True,
    )
