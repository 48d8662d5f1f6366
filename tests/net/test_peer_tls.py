"""Mutual TLS between servers: five ways to be wrong, one thing that the peer sees; reloading; ALPN."""

import datetime
import shutil
import ssl
from contextlib import suppress
from pathlib import Path

import pytest
import trio
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from norc_actors import limits
from norc_actors.net.client_hello import NO_APPLICATION_PROTOCOL, offered_protocols
from norc_actors.net.errors import (
    CertificateCause,
    CertificateError,
    ClosedError,
    ConnectError,
    NoProtocolError,
    TLSConfigurationError,
)
from norc_actors.net.http2 import Http2Served
from norc_actors.net.peer_certificate import read_certificate
from norc_actors.net.tls import PeerContexts, client_context, peer_contexts
from tests.support.http2 import ALICE, BOB, Listening, Organisations, echo, listening
from tests.support.loopback import until
from tests.support.pki import DAY, Authority, Issued, now, usage

WRONG = {
    CertificateCause.UNTRUSTED: lambda ca, name: Authority("Nobody's CA").issue(name),
    CertificateCause.EXPIRED: lambda ca, name: ca.issue(name, since=now() - 9 * DAY, until=now() - DAY),
    CertificateCause.NOT_YET_VALID: lambda ca, name: ca.issue(name, since=now() + DAY),
    CertificateCause.WRONG_USAGE: lambda ca, name: ca.issue(name, uses=[ExtendedKeyUsageOID.CODE_SIGNING]),
}


@pytest.fixture(scope="module")
def organisations(tmp_path_factory: pytest.TempPathFactory) -> Organisations:
    return Organisations(tmp_path_factory.mktemp("organisations"))


async def test_five_ways_to_be_wrong_at_the_server_that_is_called(organisations: Organisations) -> None:
    """What we call shows a wrong certificate: five causes, five texts, and the server sees the same each time."""
    wrong = {cause: make(organisations.bob_ca, BOB) for cause, make in WRONG.items()}
    wrong[CertificateCause.WRONG_NAME] = organisations.bob_ca.issue("other.example.org")
    texts, seen = [], []
    for cause, issued in wrong.items():
        server, _ = organisations.contexts(issued)
        async with listening(organisations, server=server) as bob:
            with pytest.raises(CertificateError) as caught:
                async with bob.open():
                    pass
            assert caught.value.cause is cause
            texts.append(str(caught.value).partition(":")[2])
            await until(lambda: bob.refused)
            seen.append(type(bob.refused[0]))
    assert len(set(texts)) == 5
    assert set(seen) == {ConnectError}


async def raw_refusal(organisations: Organisations, issued: Issued, port: int) -> type[BaseException]:
    """What a client with this certificate sees of TLS, to the byte."""
    _, context = organisations.contexts(issued)
    context.set_alpn_protocols(["norc-f/2.0"])
    stream = trio.SSLStream(await trio.open_tcp_stream("127.0.0.1", port), context, server_hostname=BOB)
    async with stream.transport_stream:
        await stream.do_handshake()  # TLS 1.3: the client is done before the server has looked
        with pytest.raises(trio.BrokenResourceError) as caught:
            assert await stream.receive_some() == b"never"
        assert not isinstance(caught.value.__cause__, ssl.SSLError) or "ALERT" not in str(caught.value.__cause__)
        return type(caught.value)


async def test_five_ways_to_be_wrong_at_the_server_that_calls(organisations: Organisations) -> None:
    async def strict(served: Http2Served) -> None:
        await served.next()
        served.peer.require_name(ALICE)

    texts, seen = [], []
    async with listening(organisations, strict) as bob:
        for cause, make in WRONG.items():
            seen.append(await raw_refusal(organisations, make(organisations.alice_ca, ALICE), bob.port))
            await until(lambda: len(bob.refused) == len(seen))
            error = bob.refused[-1]
            assert isinstance(error, CertificateError)
            assert error.cause is cause
            texts.append(str(error))
        assert set(seen) == {trio.BrokenResourceError}
        _, context = organisations.contexts(organisations.alice_ca.issue("other.example.org"))
        async with bob.open(context=context) as client:
            with pytest.raises(ClosedError):
                await client.post(b"x")
        await until(lambda: len(bob.refused) == 5)
        assert isinstance(bob.refused[-1], CertificateError)
        assert bob.refused[-1].cause is CertificateCause.WRONG_NAME
        assert len({*texts, str(bob.refused[-1])}) == 5


async def test_our_client_says_that_its_certificate_may_be_the_reason(organisations: Organisations) -> None:
    _, context = organisations.contexts(Authority("Nobody's CA").issue(ALICE))
    async with listening(organisations) as bob:
        with pytest.raises(ConnectError, match="may not accept this server's certificate"):
            async with bob.open(context=context):
                pass


async def test_a_client_without_a_certificate(organisations: Organisations) -> None:
    async with listening(organisations) as bob:
        with pytest.raises(ConnectError):
            async with bob.open(context=client_context(pem=organisations.trusted)):
                pass
        await until(lambda: bob.refused)
        assert isinstance(bob.refused[0], CertificateError)
        assert bob.refused[0].cause is CertificateCause.MISSING


@pytest.mark.parametrize("part", ["key_usage", "one_use"])
async def test_the_wrong_use_alone(organisations: Organisations, part: str) -> None:
    """A key that may not sign, or a certificate for servers shown by a client."""
    changed: dict = (
        {"key_usage": usage(key_cert_sign=True)} if part == "key_usage" else {"uses": [ExtendedKeyUsageOID.SERVER_AUTH]}
    )
    async with listening(organisations) as bob:
        await raw_refusal(organisations, organisations.alice_ca.issue(ALICE, **changed), bob.port)
        await until(lambda: bob.refused)
        assert isinstance(bob.refused[0], CertificateError)
        assert bob.refused[0].cause is CertificateCause.WRONG_USAGE


async def test_a_wildcard_is_no_name(organisations: Organisations) -> None:
    server, _ = organisations.contexts(organisations.bob_ca.issue("*.example.org"))
    async with listening(organisations, server=server) as bob:
        with pytest.raises(CertificateError, match=r"\*\.example\.org") as caught:
            async with bob.open():
                pass
        assert caught.value.cause is CertificateCause.WRONG_NAME


def test_a_leaf_without_names() -> None:
    leaf = read_certificate(Authority().issue().der, "peer")
    assert leaf.names == frozenset()
    with pytest.raises(CertificateError, match="no name"):
        leaf.require_name("x")


def test_what_is_no_certificate() -> None:
    with pytest.raises(CertificateError, match="cannot be read") as caught:
        read_certificate(b"no", "peer")
    assert caught.value.cause is CertificateCause.OTHER


# --- Reloading ---


async def test_a_new_certificate_is_used_in_both_directions(organisations: Organisations, tmp_path: Path) -> None:
    """Row B167: files are swapped, and the next connection of either direction shows the new certificate."""
    files = organisations.bob.write(tmp_path, "bob")
    contexts = PeerContexts(*files, pem=organisations.trusted)
    assert not contexts.refresh()
    new = organisations.bob_ca.issue(BOB)
    shown: list[bytes] = []

    async def serve(served: Http2Served) -> None:
        shown.append(served.peer.der)
        await echo(served)

    async def look() -> tuple[bytes, bytes]:
        """What is shown by the server, and by the client."""
        async with listening(organisations, serve, server=contexts.server) as bob:
            async with bob.open() as client:
                as_server = client.peer.der
            async with bob.open(context=contexts.client) as client:
                await client.post(b"x")
        return as_server, shown[-1]

    assert await look() == (organisations.bob.der, organisations.bob.der)
    shutil.copy(new.write(tmp_path / "new")[0], files[0])
    with pytest.raises(TLSConfigurationError):  # half of the pair: the old one stays
        contexts.refresh()
    assert await look() == (organisations.bob.der, organisations.bob.der)
    shutil.copy(new.write(tmp_path / "new")[1], files[1])
    assert contexts.refresh()
    assert not contexts.refresh()
    assert await look() == (new.der, new.der)


async def test_a_ca_that_is_taken_out_is_not_trusted_by_the_next(organisations: Organisations, tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text(organisations.trusted)
    contexts = PeerContexts(*organisations.bob.write(tmp_path, "bob"), ca)
    for trusted in (True, False, True):
        async with listening(organisations, server=contexts.server) as bob:
            if trusted:
                async with bob.open() as client:
                    await client.post(b"x")
            else:
                with pytest.raises(ConnectError):
                    async with bob.open():
                        pass
        ca.write_text(organisations.bob_ca.pem if trusted else organisations.trusted)
        assert contexts.refresh()
    ca.write_text("nothing")
    with pytest.raises(TLSConfigurationError, match="no CA certificates"):
        contexts.refresh()


def test_only_tls_1_3(organisations: Organisations) -> None:
    for context in peer_contexts(*organisations.alice.write(organisations.folder, "alice"), pem=organisations.trusted):
        assert context.minimum_version is ssl.TLSVersion.TLSv1_3
        assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


# --- ALPN ---


@pytest.mark.parametrize(
    ("offered", "spoken", "selected"),
    [
        (("norc-f/2.0", "norc-f/1.2"), ("norc-f/2.0", "norc-f/1.2"), "norc-f/2.0"),
        (("norc-f/1.0", "norc-f/1.2"), ("norc-f/2.0", "norc-f/1.2", "norc-f/1.0"), "norc-f/1.2"),
        (("norc-f/3.0", "norc-f/1.0"), ("norc-f/2.0", "norc-f/1.0"), "norc-f/1.0"),
    ],
)
async def test_the_servers_first_that_the_client_offers(
    organisations: Organisations, offered: tuple[str, ...], spoken: tuple[str, ...], selected: str
) -> None:
    async with listening(organisations, alpn=spoken) as bob, bob.open(alpn=offered) as client:
        assert client.alpn == selected


@pytest.mark.parametrize("offered", [("norc-f/3.0",), ("http/1.1", "spdy/3")])
async def test_without_a_common_protocol_tls_says_so(organisations: Organisations, offered: tuple[str, ...]) -> None:
    async with listening(organisations) as bob:
        with pytest.raises(NoProtocolError):
            async with bob.open(alpn=offered):
                pass
        await until(lambda: bob.refused)
        assert isinstance(bob.refused[0], NoProtocolError)
        assert offered[0] in str(bob.refused[0])


async def test_a_server_that_knows_no_alpn(organisations: Organisations) -> None:
    context = organisations.server

    async def serve(tcp: trio.SocketStream) -> None:
        stream = trio.SSLStream(tcp, context, server_side=True)
        await stream.do_handshake()
        await trio.aclose_forcefully(stream)

    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, serve, [listener])
        state = Listening(listener.socket.getsockname()[1], organisations.client)
        with pytest.raises(NoProtocolError, match="settles on no protocol"):
            async with state.open():
                pass
        nursery.cancel_scope.cancel()


async def test_the_alert_as_openssl_sees_it(organisations: Organisations) -> None:
    """Without any ALPN too, and byte by byte."""
    async with listening(organisations) as bob:
        stream = await trio.open_tcp_stream("127.0.0.1", bob.port)
        async with stream:
            into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = organisations.client.wrap_bio(into, out, server_hostname=BOB)
            with pytest.raises(ssl.SSLWantReadError):
                tls.do_handshake()
            for byte in out.read():
                await stream.send_all(bytes([byte]))
            alert = await stream.receive_some()
            assert alert == NO_APPLICATION_PROTOCOL
            into.write(alert)
            with pytest.raises(ssl.SSLError, match=r"(?i)no.application.protocol"):
                tls.do_handshake()


async def test_no_tls_at_all_is_openssls_to_answer(organisations: Organisations) -> None:
    async with listening(organisations) as bob:
        for said in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05\x01\xff\xff\xff\x00", b""):
            async with await trio.open_tcp_stream("127.0.0.1", bob.port) as stream:
                if said:
                    await stream.send_all(said)
                await stream.send_eof()
                with trio.fail_after(5):
                    assert await stream.receive_some() != NO_APPLICATION_PROTOCOL
        await until(lambda: len(bob.refused) == 3)
        assert {type(error) for error in bob.refused} == {ConnectError}


def hello(*alpn: str, name: str = "x") -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    out = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name).do_handshake()
    return out.read()


def test_what_a_client_hello_offers() -> None:
    assert offered_protocols(hello("norc-f/2.0", "h2")) == (b"norc-f/2.0", b"h2")
    assert offered_protocols(hello()) == ()
    whole = hello("a" * 255, *(f"name-{number}" for number in range(20)))
    assert len(offered_protocols(whole) or ()) == 21
    for cut in range(len(whole)):
        assert offered_protocols(whole[:cut]) is None


def test_a_client_hello_in_many_records() -> None:
    whole = hello("norc-f/2.0")
    body = whole[5:]
    pieces = [body[at : at + 7] for at in range(0, len(body), 7)]
    records = b"".join(whole[:3] + len(piece).to_bytes(2, "big") + piece for piece in pieces)
    assert offered_protocols(records) == (b"norc-f/2.0",)


def test_a_client_hello_without_end_is_not_waited_for() -> None:
    with pytest.raises(ValueError, match="too long"):
        offered_protocols(b"\x16\x03\x01\x00\x04\x01" + (limits.CLIENT_HELLO_BYTES).to_bytes(3, "big"))


@given(data=st.binary(max_size=200), at=st.integers(0, 400), keep=st.booleans())
def test_any_bytes_are_read_or_refused(data: bytes, at: int, keep: bool) -> None:
    whole = hello("norc-f/2.0")
    altered = whole[:at] + data + whole[at + (0 if keep else len(data)) :]
    with suppress(ValueError):
        offered_protocols(altered)


def test_expiry_of_the_leaf_is_told() -> None:
    until_ = now().replace(microsecond=0) + datetime.timedelta(days=3)
    assert read_certificate(Authority().issue("x", until=until_).der, "x").not_after == int(until_.timestamp())
