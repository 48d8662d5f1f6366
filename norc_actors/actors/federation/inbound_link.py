"""inbound_link: one link that another server dialled (section 8; F§7.1; rows B107, B110, B120).

One task reads its requests in order. The handshake first: the name in the hello must be one of the TLS certificate's,
the keys are those that the peer's trust certificate pins. Then every batch is opened and answered; what moves messages
is taken one batch after the other, so that a sender's chain keeps its order, all else beside it (`answers.py`).

Every end of a link, and what is lost with it
- the peer goes, breaks a rule, or trust ends: normal end. What was not answered is sent again by the peer;
- the trust manager or a part that answers restarts: the batch gets 9000 for what it asked, and the link stays;
- it crashes: temporary, nobody restarts it; the peer dials again.
A refusal in the handshake is one `federation_error`, generic to whoever has no trust (row B107).
"""

from collections.abc import Mapping

import structlog
import trio

from norc_actors import limits
from norc_actors.actors import names
from norc_actors.actors.crypto.key_manager import Sign
from norc_actors.actors.federation.answers import Answers
from norc_actors.actors.federation.door import FederationDoor, peer_of
from norc_actors.actors.federation.hints import HINTS
from norc_actors.actors.federation.requests import INBOUND, Heard
from norc_actors.actors.trust.requests import Completed, StandingOf, VersionOf
from norc_actors.ids import ServerId, new_uuid
from norc_actors.net.errors import NetError
from norc_actors.net.http2 import Http2Request, Http2Served, serve_http2
from norc_actors.protocol.batches import pack
from norc_actors.protocol.codec import decode_as, encode
from norc_actors.protocol.errors import Code, PeerError, ProtocolError, malformed
from norc_actors.protocol.federation_handshake import ResponderHandshake
from norc_actors.protocol.frames import FederationFrame, encode_federation, federation_stream
from norc_actors.protocol.link_traffic import Arrived, LinkTraffic
from norc_actors.protocol.links import LinkEstablished
from norc_actors.protocol.messages.federation import FederationError, FederationHello
from norc_actors.protocol.registry import CODES
from supervision import CallTimeout, GenServer, Normal, ServerDown

log = structlog.get_logger("norc.federation")

_ERROR = CODES["federation_error"]
_MOVES = frozenset(
    CODES[name]
    for name in ("message_relay", "relay_ack", "conversation_create", "conversation_update", "conversation_state")
)
"""What has to keep its order from batch to batch: messages, and the states by which they are judged."""
_BAD_REQUEST = 400
_ENDS = (ProtocolError, PeerError, ServerDown, CallTimeout, trio.TooSlowError, NetError)
"""What ends a link without being a fault of ours."""


class InboundLink(GenServer):
    """See the module. `stream` is an accepted TCP connection, still before TLS; `source` its address."""

    def __init__(self, *, stream: trio.SocketStream, source: str, door: FederationDoor) -> None:
        self._stream = stream
        self._source = source
        self._door = door
        self._remote: ServerId | None = None
        self._status = "tls_handshake"
        self._batches = 0

    async def init(self) -> None:
        self.spawn(self._run)

    def statistics(self) -> Mapping[str, int | str]:
        """Who is at the other end, the link's status, and the batches that came."""
        return {"remote": self._remote or self._source, "status": self._status, "batches": self._batches}

    @property
    def remote(self) -> ServerId | None:
        """The server at the other end, once the handshake is over."""
        return self._remote

    # --- the reader ---

    async def _run(self) -> None:
        try:
            await serve_http2(
                self._stream,
                self._serve,
                context=self._door.contexts.server,
                alpn=self._door.alpn,
                max_body=limits.DEFAULT_FEDERATION_FRAME + limits.BODY_OVERHEAD,
            )
        except NetError as error:
            log.info("link refused", source=self._source, why=str(error))
        self.ref.exit(Normal())

    async def _serve(self, served: Http2Served) -> None:
        self._status = "authenticating"
        try:
            with trio.fail_after(limits.LINK_HANDSHAKE_SECONDS):
                established = await self._greet(served)
            if established is not None:
                await self._converse(served, established)
        except _ENDS as error:
            log.info("link ended", remote=self._remote, source=self._source, why=str(error))

    async def _greet(self, served: Http2Served) -> LinkEstablished | None:
        """The handshake; None if it was refused, which the peer was told."""
        request = await served.next()
        if request is None:
            return None
        try:
            handshake = await self._handshake(served, request)
            await request.respond(handshake.receive_hello(request.body))
            following = await served.next()
            if following is None:
                return None
            request = following
            wanted = handshake.receive_handshake(request.body)
            signature = await self.system.ref(names.KEY_MANAGER).call(Sign(wanted.label, wanted.body))
            answer, established = handshake.finish(signature, self._door.clock())
            await request.respond(answer)
        except ProtocolError as error:
            log.warning("link refused", remote=self._remote, source=self._source, why=str(error))
            await request.respond(self._refusal(error))
            return None
        return established

    async def _handshake(self, served: Http2Served, request: Http2Request) -> ResponderHandshake:
        claimed = _claimed(request.body)
        if claimed not in served.peer.names:
            raise ProtocolError(Code.BAD_SIGNATURE, f"{claimed} is no name of the certificate that TLS showed")
        self._remote = claimed
        trust = self.system.ref(names.TRUST_MANAGER)
        standing = await trust.call(StandingOf(claimed))
        remembered = await trust.call(VersionOf(claimed))
        return ResponderHandshake(
            self._door.offer(),
            peer_of(served.peer.fingerprint, standing, remembered),
            alpn=served.alpn,
            random=self._door.random,
        )

    async def _converse(self, served: Http2Served, established: LinkEstablished) -> None:
        traffic: LinkTraffic[Http2Request] = LinkTraffic(
            established, own_server=self._door.server_id, max_frame=limits.DEFAULT_FEDERATION_FRAME
        )
        answers = Answers(self.system, established, self._door)
        self._status = "active" if established.trusted else "trusted"
        await self.system.ref(names.TRUST_MANAGER).cast(Completed(established.peer, established.version))
        self.system.registry(INBOUND, keys="duplicate").register(established.peer, self.ref)
        await self.system.ref(names.FEDERATION_MANAGER).cast(Heard(established.peer))
        while (request := await served.next()) is not None:
            for arrived in await self._arrived(traffic, request):
                self._batches += 1
                if arrived.rekey:
                    await arrived.key.respond(arrived.rekey)
                elif arrived.frames is None:
                    await arrived.key.respond(b"", _BAD_REQUEST)
                elif any(frame.type in _MOVES for frame in arrived.frames):
                    await self._respond(traffic, answers, arrived.key, arrived.frames)
                else:
                    self.spawn(self._beside, traffic, answers, arrived.key, arrived.frames)

    async def _arrived(self, traffic: LinkTraffic[Http2Request], request: Http2Request) -> list[Arrived[Http2Request]]:
        """What is due. A body that breaks a rule ends the link, and its request is told why, unsealed: it may be that
        we can no longer open what the peer seals, nor it what we do."""
        try:
            return traffic.arrived(request, request.body, self._door.clock())
        except ProtocolError as error:
            await request.respond(self._refusal(error), _BAD_REQUEST)
            raise

    def _refusal(self, error: ProtocolError) -> bytes:
        now, request_id = self._door.clock(), new_uuid(self._door.random)
        refusal = FederationError.of(error.code, now=now, request_id=request_id, resolution_hint=HINTS.get(error.code))
        return encode_federation(2, _ERROR, encode(refusal))

    async def _beside(
        self,
        traffic: LinkTraffic[Http2Request],
        answers: Answers,
        request: Http2Request,
        frames: tuple[FederationFrame, ...],
    ) -> None:
        """An answer that the next batch need not wait for."""
        try:
            await self._respond(traffic, answers, request, frames)
        except _ENDS as error:
            log.info("link ended", remote=self._remote, why=str(error))
            self.stop(Normal())

    async def _respond(
        self,
        traffic: LinkTraffic[Http2Request],
        answers: Answers,
        request: Http2Request,
        frames: tuple[FederationFrame, ...],
    ) -> None:
        packed = b"".join(pack(await answers.to(frames)))
        now = int(self._door.clock())
        signature = await self.system.ref(names.KEY_MANAGER).call(Sign("fed-request:v1", traffic.to_sign(packed, now)))
        await request.respond(traffic.seal(packed, now, signature))


def _claimed(body: bytes) -> ServerId:
    """The name in a hello, before anything of it is believed."""
    frames = federation_stream(limits.DEFAULT_FEDERATION_FRAME).feed(body)
    if len(frames) != 1 or frames[0].type != CODES["federation_hello"]:
        raise malformed("a link begins with one federation_hello")
    return decode_as(FederationHello, frames[0].body).message.server_id
