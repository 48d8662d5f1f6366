"""The initiator's side of a link's handshake, and what ends a link in words: shared by links and by `norc peer
check`."""

from contextlib import suppress

from norc_actors import limits
from norc_actors.actors import names
from norc_actors.actors.crypto.key_manager import Sign
from norc_actors.actors.federation.door import FederationDoor, peer_of
from norc_actors.actors.trust.requests import Completed, VersionOf
from norc_actors.net.errors import RefusedError
from norc_actors.net.http2 import Http2Client
from norc_actors.protocol.codec import decode_as
from norc_actors.protocol.errors import ProtocolError, info_of
from norc_actors.protocol.federation_handshake import InitiatorHandshake
from norc_actors.protocol.frames import federation_stream
from norc_actors.protocol.links import LinkEstablished
from norc_actors.protocol.messages import FederationError
from norc_actors.trust.relations import Standing
from supervision import System


async def shake_hands(system: System, door: FederationDoor, client: Http2Client, standing: Standing) -> LinkEstablished:
    """The two requests of a link's handshake. Raises `ProtocolError`, `PeerError`, `NetError`."""
    trust = system.ref(names.TRUST_MANAGER)
    remembered = await trust.call(VersionOf(standing.other))
    initiator = InitiatorHandshake(
        door.offer(),
        peer_of(client.peer.fingerprint, standing, remembered),
        alpn=client.alpn,
        alpn_offered=door.alpn,
        random=door.random,
    )
    wanted = initiator.receive_response(await client.post(initiator.hello))
    signature = await system.ref(names.KEY_MANAGER).call(Sign(wanted.label, wanted.body))
    link = initiator.finish(await client.post(initiator.handshake(signature)), door.clock())
    await trust.cast(Completed(link.peer, link.version))
    return link


def in_words(error: Exception) -> str:
    """What ended a link, with the peer's own words if it said any: a body that broke a rule is refused unsealed."""
    if isinstance(error, RefusedError) and error.body:
        with suppress(ProtocolError):
            for frame in federation_stream(limits.DEFAULT_FEDERATION_FRAME).feed(error.body):
                refusal = decode_as(FederationError, frame.body).message
                return f"it refuses our batch: {refusal.error_code} {info_of(refusal.error_code).name}"
    return str(error)
