"""Can a peer be reached, step by step: DNS, TCP, TLS, ALPN, its certificate, HTTP/2 (row B107, `norc peer check`).

Rules
- A step has one result: what was found, or one cause and the one command or change that comes next. The first step
  that fails is the last.
- Nothing is held open between two steps, so a caller may stop at any; every step ends within its own deadline.
- The last step opens what a link opens: the peer has then accepted this server's certificate. Hello, handshake and
  trust are the caller's.
"""

import ssl
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Literal

import trio

from norc_actors import limits
from norc_actors.ids import ServerId
from norc_actors.net.dns import DnsResolver
from norc_actors.net.errors import (
    CertificateCause,
    CertificateError,
    ConnectError,
    DnsCause,
    DnsError,
    NoProtocolError,
)
from norc_actors.net.http2 import open_http2
from norc_actors.net.opening import opening, reason_of
from norc_actors.net.peer_certificate import read_certificate
from norc_actors.net.srv import SERVICE, Endpoint, Located
from norc_actors.net.tls_stream import TLSStream

StepName = Literal["dns", "tcp", "tls", "alpn", "certificate", "http2"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One result. `found` says what is there; of a failure, `cause` says why and `advice` what to do next."""

    name: StepName
    ok: bool
    found: str = ""
    cause: str = ""
    advice: str = ""


_CERTIFICATE_ADVICE = {
    CertificateCause.UNTRUSTED: "put the CA that issued it among the trusted ones, if its organisation confirms it",
    CertificateCause.WRONG_NAME: "ask them for a certificate with {server} among its names",
    CertificateCause.WRONG_USAGE: "ask them for a certificate for servers and clients (serverAuth, clientAuth)",
    CertificateCause.EXPIRED: "ask them to renew it; if it looks valid there, compare the clocks: date -u",
    CertificateCause.NOT_YET_VALID: "compare the clocks: date -u",
    CertificateCause.REVOKED: "ask them for a new one",
    CertificateCause.MISSING: "ask them for one",
    CertificateCause.OTHER: "openssl s_client -connect {address} -servername {server} -showcerts",
}


async def probe(
    server: ServerId,
    *,
    resolver: DnsResolver,
    context: ssl.SSLContext,
    alpn: Sequence[str],
    now: float,
    endpoint: Endpoint | None = None,
) -> AsyncGenerator[Step]:
    """The steps, until one fails. `context` is a client's of `tls.peer_contexts`; `endpoint` is configured for this
    peer, else DNS has it; `now` in seconds since the epoch."""
    step, found = await _find(server, resolver, endpoint)
    yield step
    if found is None:
        return
    step, address = await _connect(found, resolver)
    yield step
    if address is None:
        return
    for step in await _shake_hands(server, address, context, alpn, now):
        yield step
        if not step.ok:
            return
    yield await _open(server, address, context, alpn)


async def _find(server: ServerId, resolver: DnsResolver, endpoint: Endpoint | None) -> tuple[Step, Located | None]:
    if endpoint is not None:
        found = Located((endpoint,))
        return Step(name="dns", ok=True, found=f"configured: {_places(found)}"), found
    try:
        found = await resolver.locate(server)
    except DnsError as error:
        advice = f"dig SRV {SERVICE}.{server}"
        if error.cause in (DnsCause.UNREACHABLE, DnsCause.TIMEOUT):
            advice = "check the name servers that are configured here"
        return Step(name="dns", ok=False, cause=str(error), advice=advice), None
    kind = "SRV" if found.ttl else "no SRV record, so its own name and the default port"
    return Step(name="dns", ok=True, found=f"{kind}: {_places(found)}"), found


def _places(found: Located) -> str:
    return ", ".join(f"{one.host}:{one.port}" for one in found.endpoints)


async def _connect(found: Located, resolver: DnsResolver) -> tuple[Step, tuple[str, int] | None]:
    """The first address that answers."""
    failures: list[str] = []
    for one in found.endpoints:
        try:
            addresses = await resolver.addresses(one.host)
        except DnsError as error:
            failures.append(str(error))
            continue
        for address in addresses:
            try:
                with trio.fail_after(limits.TCP_SECONDS):
                    stream = await trio.open_tcp_stream(address, one.port)
            except trio.TooSlowError:
                failures.append(f"{address}:{one.port}: no answer within {limits.TCP_SECONDS:g} s")
            except OSError as error:
                failures.append(f"{address}:{one.port}: {reason_of(error)}")
            else:
                await trio.aclose_forcefully(stream)
                return Step(name="tcp", ok=True, found=f"{address}:{one.port}"), (address, one.port)
    first = found.endpoints[0]
    advice = f"ask them whether it runs and a firewall lets port {first.port} through: nc -vz {first.host} {first.port}"
    return Step(name="tcp", ok=False, cause="; ".join(failures), advice=advice), None


async def _shake_hands(
    server: ServerId, address: tuple[str, int], context: ssl.SSLContext, alpn: Sequence[str], now: float
) -> list[Step]:
    """TLS, ALPN and the certificate: one handshake tells of all three."""
    host, port = address
    peer = f"{host}:{port}"
    steps: list[Step] = []
    try:
        with opening(peer):
            tcp = await trio.open_tcp_stream(host, port)
        stream = TLSStream(tcp, context, server_hostname=server, alpn=alpn, silent=True)
    except ConnectError as error:
        return [Step(name="tls", ok=False, cause=str(error), advice=f"norc peer check {server}")]
    try:
        with opening(peer):
            await stream.do_handshake()
        certificate = read_certificate(stream.peer_certificate or b"", peer)
        steps += [_tls(stream), _alpn(stream)]
        certificate.require_name(server)
    except NoProtocolError as error:
        advice = f"compare versions with them: here it is {', '.join(alpn)}"
        return [_tls(stream), Step(name="alpn", ok=False, cause=str(error), advice=advice)]
    except CertificateError as error:
        advice = _CERTIFICATE_ADVICE[error.cause].format(server=server, address=peer)
        return [_tls(stream), _alpn(stream), Step(name="certificate", ok=False, cause=str(error), advice=advice)]
    except ConnectError as error:
        advice = f"openssl s_client -connect {peer} -servername {server} -tls1_3"
        return [Step(name="tls", ok=False, cause=str(error), advice=advice)]
    finally:
        await trio.aclose_forcefully(stream)
    days = int((certificate.not_after - now) // 86400)
    names = ", ".join(sorted(certificate.names))
    found = f"for {names}, {days} more days, fingerprint {certificate.fingerprint.hex()}"
    return [*steps, Step(name="certificate", ok=True, found=found)]


def _tls(stream: TLSStream) -> Step:
    return Step(name="tls", ok=True, found=stream.version or "it answers")


def _alpn(stream: TLSStream) -> Step:
    return Step(name="alpn", ok=True, found=stream.alpn or "not settled before the certificate was refused")


async def _open(server: ServerId, address: tuple[str, int], context: ssl.SSLContext, alpn: Sequence[str]) -> Step:
    host, port = address
    opened = open_http2(host, port, context=context, server_name=server, alpn=alpn, max_body=limits.BATCH_BYTES)
    try:
        async with opened:
            return Step(name="http2", ok=True, found="it accepts this server's certificate and speaks HTTP/2")
    except ConnectError as error:
        advice = "norc doctor, for this server's certificate; then ask them to trust the CA that issued it"
        return Step(name="http2", ok=False, cause=str(error), advice=advice)
