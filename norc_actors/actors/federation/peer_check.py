"""Looking at the way to a peer step by step (complaints C.10, C.11): one error, one cause, the next command.

DNS, TCP, TLS, ALPN, certificate, HTTP/2 (`net/probe.py`), then what only a server can look at: hello and handshake,
trust both ways, and how far the clocks are apart. The first step that fails is the last. It makes a connection of its
own and leaves the peer's links alone.
"""

from contextlib import aclosing

import trio

from norc_actors import limits
from norc_actors.actors import names
from norc_actors.actors.crypto.key_manager import Sign
from norc_actors.actors.federation.dialling import in_words, shake_hands
from norc_actors.actors.federation.door import FederationDoor
from norc_actors.actors.federation.hints import HINTS
from norc_actors.actors.federation.requests import Endpoint, EndpointsOf, PeerUnreachable
from norc_actors.actors.trust.requests import StandingOf
from norc_actors.ids import ServerId
from norc_actors.net.dns import DnsResolver
from norc_actors.net.errors import NetError
from norc_actors.net.http2 import Http2Client, open_http2
from norc_actors.net.probe import probe
from norc_actors.net.srv import Endpoint as Place
from norc_actors.protocol.batches import pack
from norc_actors.protocol.codec import decode_as, encode
from norc_actors.protocol.errors import PeerError, ProtocolError
from norc_actors.protocol.link_traffic import LinkTraffic
from norc_actors.protocol.links import LinkEstablished
from norc_actors.protocol.messages import HealthCheck, HealthStatus
from norc_actors.protocol.registry import code_of
from supervision import CallTimeout, ServerDown, System

CheckStep = dict[str, str | bool]
"""`name`, `ok`, `found`; of a failure `cause` and `next`."""
_FAILURES = (NetError, ProtocolError, PeerError, PeerUnreachable, ServerDown, CallTimeout, trio.TooSlowError)


async def check_peer(
    system: System, door: FederationDoor, resolver: DnsResolver, configured: Endpoint | None, server: ServerId
) -> list[CheckStep]:
    """The steps, the one that failed last."""
    taken: list[CheckStep] = []
    endpoint = None if configured is None else Place(configured.host, configured.port)
    steps = probe(
        server,
        resolver=resolver,
        context=door.contexts.client,
        alpn=door.alpn,
        now=door.clock(),
        endpoint=endpoint,
    )
    async with aclosing(steps):
        async for step in steps:
            taken.append(
                {"name": step.name, "ok": step.ok, "found": step.found, "cause": step.cause, "next": step.advice}
            )
            if not step.ok:
                return taken
    return taken + await _talk(system, door, server)


async def _talk(system: System, door: FederationDoor, server: ServerId) -> list[CheckStep]:
    standing = await system.ref(names.TRUST_MANAGER).call(StandingOf(server))
    try:
        endpoint = (await system.ref(names.DNS_RESOLVER).call(EndpointsOf(server)))[0]
        with trio.fail_after(limits.LINK_HANDSHAKE_SECONDS):
            opened = open_http2(
                endpoint.host,
                endpoint.port,
                context=door.contexts.client,
                server_name=server,
                alpn=door.alpn,
                max_body=limits.BATCH_BYTES,
            )
            async with opened as client:
                link = await shake_hands(system, door, client, standing)
                offset = await _clock_offset(system, door, client, link) if link.trusted else None
    except _FAILURES as error:
        return [_failed("handshake", in_words(error), _advice(error, server))]
    steps = [
        _good("handshake", f"suite {link.suite.name}, version {link.version}, shared: {', '.join(link.capabilities)}")
    ]
    if standing.state != "trusted":
        advice = "norc trust show " + server if standing.why else f"norc trust request {server}"
        return [*steps, _failed("trust", " ".join(standing.why) or f"there is none ({standing.state})", advice)]
    steps.append(_good("trust", " ".join(standing.why)))
    if offset is not None and abs(offset) > limits.BATCH_SKEW_SECONDS // 2:
        steps.append(
            _failed("time", f"its clock is {offset:+d} s from ours", "compare both with a time server: date -u")
        )
    else:
        steps.append(_good("time", "the clocks agree" if offset is None else f"its clock is {offset:+d} s from ours"))
    return steps


async def _clock_offset(system: System, door: FederationDoor, client: Http2Client, link: LinkEstablished) -> int | None:
    """Whole seconds by which the peer's clock is ahead; None if it did not say."""
    traffic: LinkTraffic[int] = LinkTraffic(link, own_server=door.server_id, max_frame=limits.DEFAULT_FEDERATION_FRAME)
    now = int(door.clock())
    query = HealthCheck(requesting_server=door.server_id, target_server=link.peer, check_level="basic", timestamp=now)
    packed = b"".join(pack([(code_of(HealthCheck), encode(query))]))
    signature = await system.ref(names.KEY_MANAGER).call(Sign("fed-request:v1", traffic.to_sign(packed, now)))
    answer = await client.post(traffic.seal(packed, now, signature))
    for arrived in traffic.arrived(0, answer, door.clock()):
        for frame in arrived.frames or ():
            if frame.type == code_of(HealthStatus):
                return decode_as(HealthStatus, frame.body).message.timestamp - int(door.clock())
    return None


def _advice(error: Exception, server: ServerId) -> str:
    if isinstance(error, ProtocolError) and error.code in HINTS:
        return HINTS[error.code].replace("SERVER", server)
    if isinstance(error, PeerError) and error.info.code in HINTS:
        return HINTS[error.info.code].replace("SERVER", server)
    return f"norc trust show {server}; compare the identity keys with their operator"


def _good(name: str, found: str) -> CheckStep:
    return {"name": name, "ok": True, "found": found, "cause": "", "next": ""}


def _failed(name: str, cause: str, advice: str) -> CheckStep:
    return {"name": name, "ok": False, "found": "", "cause": cause, "next": advice}
