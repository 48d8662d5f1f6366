"""What an operator is told of a peer that cannot be reached: the step, one cause, what comes next."""

import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import dns.rcode
import pytest
import trio
from cryptography.x509.oid import ExtendedKeyUsageOID

from norc_actors.ids import ServerId
from norc_actors.net.dns import DnsResolver
from norc_actors.net.probe import Step, probe
from norc_actors.net.srv import Endpoint
from tests.support.dns_server import DnsServer, Manners, dns_server
from tests.support.http2 import ALPN, BOB, Organisations, listening
from tests.support.pki import DAY, Authority, now

SRV = f"_norc-federation._tcp.{BOB}"


@pytest.fixture
def organisations(tmp_path: Path) -> Organisations:
    return Organisations(tmp_path / "organisations")


@pytest.fixture
async def names() -> AsyncIterator[DnsServer]:
    async with dns_server() as running:
        yield running


async def steps(organisations: Organisations, names: DnsServer, **changed: object) -> list[Step]:
    values: dict = {
        "resolver": DnsResolver([names.address], random=os.urandom),
        "context": organisations.client,
        "alpn": ALPN,
        "now": time.time(),
    }
    return [step async for step in probe(ServerId(BOB), **(values | changed))]


def point_to(names: DnsServer, port: int, host: str = "norc1.example.org", address: str = "127.0.0.1") -> None:
    names.set(SRV, "SRV", f"10 5 {port} {host}.")
    names.set(host, "A", address)


async def test_all_is_well(organisations: Organisations, names: DnsServer) -> None:
    async with listening(organisations) as bob:
        point_to(names, bob.port)
        found = await steps(organisations, names)
    assert [step.name for step in found] == ["dns", "tcp", "tls", "alpn", "certificate", "http2"]
    assert all(step.ok and step.found and not step.cause for step in found)
    assert found[0].found == f"SRV: norc1.example.org:{bob.port}"
    assert (found[2].found, found[3].found) == ("TLSv1.3", "norc-f/2.0")
    assert "59 more days" in found[4].found


async def test_a_configured_endpoint_asks_no_dns(organisations: Organisations, names: DnsServer) -> None:
    async with listening(organisations) as bob:
        found = await steps(organisations, names, endpoint=Endpoint("127.0.0.1", bob.port))
    assert found[-1].name == "http2"
    assert not names.asked


async def test_the_second_endpoint_is_tried(organisations: Organisations, names: DnsServer) -> None:
    async with listening(organisations) as bob:
        names.set(SRV, "SRV", "1 0 1 closed.example.org.", f"2 0 {bob.port} norc1.example.org.")
        names.set("closed.example.org", "A", "127.0.0.1")
        names.set("norc1.example.org", "A", "127.0.0.1")
        found = await steps(organisations, names)
    assert found[-1].ok
    assert found[1].found == f"127.0.0.1:{bob.port}"


async def fails(found: list[Step], at: str, cause: str, advice: str) -> None:
    assert [step.name for step in found if not step.ok] == [at]
    last = found[-1]
    assert last.name == at
    assert cause in last.cause
    assert advice in last.advice


async def test_dns(organisations: Organisations, names: DnsServer) -> None:
    names.set(SRV, "SRV", "0 0 0 .")
    await fails(await steps(organisations, names), "dns", "not offered", f"dig SRV {SRV}")
    names.manners.append(Manners(rcode=dns.rcode.SERVFAIL))
    await fails(await steps(organisations, names), "dns", "SERVFAIL", "dig SRV")


async def test_tcp(organisations: Organisations, names: DnsServer) -> None:
    async with listening(organisations) as bob:
        port = bob.port
    point_to(names, port)
    await fails(await steps(organisations, names), "tcp", "refused", f"nc -vz norc1.example.org {port}")
    names.set("norc1.example.org", "A")
    await fails(await steps(organisations, names), "tcp", "no such", "nc -vz")


async def test_tls(organisations: Organisations, names: DnsServer) -> None:
    async def http(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()
            await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, http, [listener])
        point_to(names, listener.socket.getsockname()[1])
        await fails(await steps(organisations, names), "tls", "WRONG_VERSION", "openssl s_client")
        nursery.cancel_scope.cancel()


async def test_alpn(organisations: Organisations, names: DnsServer) -> None:
    async with listening(organisations) as bob:
        point_to(names, bob.port)
        await fails(
            await steps(organisations, names, alpn=["norc-f/3.0"]), "alpn", "none of the protocols", "norc-f/3.0"
        )


@pytest.mark.parametrize(
    ("wrong", "cause", "advice"),
    [
        ("issuer", "none of the CAs", "put the CA"),
        ("name", "for another name", f"certificate with {BOB}"),
        ("wildcard", "for another name", f"certificate with {BOB}"),
        ("use", "not for this use", "clientAuth"),
        ("expired", "has expired", "renew"),
        ("early", "not valid yet", "date -u"),
    ],
)
async def test_certificate(organisations: Organisations, names: DnsServer, wrong: str, cause: str, advice: str) -> None:
    ca = organisations.bob_ca
    issued = {
        "issuer": lambda: Authority("Nobody's CA").issue(BOB),
        "name": lambda: ca.issue("other.example.org"),
        "wildcard": lambda: ca.issue("*.example.org"),
        "use": lambda: ca.issue(BOB, uses=[ExtendedKeyUsageOID.CLIENT_AUTH]),
        "expired": lambda: ca.issue(BOB, since=now() - 9 * DAY, until=now() - DAY),
        "early": lambda: ca.issue(BOB, since=now() + DAY),
    }[wrong]()
    server, _ = organisations.contexts(issued)
    async with listening(organisations, server=server) as bob:
        point_to(names, bob.port)
        found = await steps(organisations, names)
        await fails(found, "certificate", cause, advice)
    assert [step.name for step in found] == ["dns", "tcp", "tls", "alpn", "certificate"]


async def test_they_do_not_accept_us(organisations: Organisations, names: DnsServer) -> None:
    _, context = organisations.contexts(Authority("Nobody's CA").issue("alice.example.org"))
    async with listening(organisations) as bob:
        point_to(names, bob.port)
        await fails(
            await steps(organisations, names, context=context), "http2", "may not accept this server's", "norc doctor"
        )
