"""The TLS stream against trio's own, and its order and cancellation."""

import ssl
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from norc_actors.devpki import DevFiles
from norc_actors.net.tls import client_context, server_context
from norc_actors.net.tls_stream import TLSStream
from tests.support.loopback import SERVER

Peer = TLSStream | trio.SSLStream

Pair = tuple[TLSStream, Peer]


@asynccontextmanager
async def tcp_pair() -> AsyncIterator[tuple[trio.SocketStream, trio.SocketStream]]:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        client = await trio.open_tcp_stream(*listener.socket.getsockname())
        server = await listener.accept()
    yield client, server


@asynccontextmanager
async def pair(pki: DevFiles, *, ours_is_client: bool = False, both: bool = False) -> AsyncIterator[Pair]:
    """Our stream and a peer: trio's, or with `both` ours as well."""
    server_tls, client_tls = server_context(pki.certificate, pki.key), client_context(pki.ca)
    async with tcp_pair() as (client, server):
        ours: TLSStream
        peer: Peer
        if ours_is_client:
            ours = TLSStream(client, client_tls, server_hostname=SERVER)
            peer = TLSStream(server, server_tls) if both else trio.SSLStream(server, server_tls, server_side=True)
        else:
            ours = TLSStream(server, server_tls)
            peer = trio.SSLStream(client, client_tls, server_hostname=SERVER)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ours.do_handshake)
            nursery.start_soon(peer.do_handshake)
        try:
            yield ours, peer
        finally:
            await trio.aclose_forcefully(ours)
            await trio.aclose_forcefully(peer)


@pytest.mark.parametrize("ours_is_client", [True, False])
async def test_it_speaks_with_trios(pki: DevFiles, ours_is_client: bool) -> None:
    async with pair(pki, ours_is_client=ours_is_client) as (ours, peer):
        data = bytes(range(256)) * 4000
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ours.send_all, data)
            got = b""
            while len(got) < len(data):
                got += await peer.receive_some()
        assert got == data
        await peer.send_all(b"back")
        assert await ours.receive_some(2) == b"ba"
        assert await ours.receive_some() == b"ck"


async def test_trios_contract_of_a_stream(pki: DevFiles) -> None:
    async def maker() -> tuple[TLSStream, TLSStream]:
        server_tls, client_tls = server_context(pki.certificate, pki.key), client_context(pki.ca)
        async with tcp_pair() as (client, server):
            one, two = TLSStream(client, client_tls, server_hostname=SERVER), TLSStream(server, server_tls)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(one.do_handshake)
                nursery.start_soon(two.do_handshake)
            return one, two

    one, two = await maker()
    await one.send_all(b"x")
    assert await two.receive_some() == b"x"
    await one.aclose()
    await one.aclose()
    assert await two.receive_some() == b""
    assert await two.receive_some() == b""
    for use in (lambda: one.send_all(b"x"), one.receive_some, one.wait_send_all_might_not_block):
        with pytest.raises(trio.ClosedResourceError):
            await use()
    await two.aclose()


@pytest.mark.parametrize("use", ["receive_some", "send"])
async def test_a_cut_is_broken_not_an_end(pki: DevFiles, use: str) -> None:
    async with pair(pki) as (ours, peer):
        await trio.aclose_forcefully(peer.transport_stream)

        async def send() -> None:
            while True:
                await ours.send_all(bytes(100_000))

        ended: list[int] = []
        ours.on_end = lambda: ended.append(1)
        with pytest.raises(trio.BrokenResourceError):
            await (ours.receive_some() if use == "receive_some" else send())
        assert ended


async def test_closing_wakes_who_waits(pki: DevFiles) -> None:
    async with pair(pki) as (ours, _), trio.open_nursery() as nursery:

        async def receive() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await ours.receive_some()

        async def flood() -> None:
            while True:
                await ours.send_all(bytes(200_000))

        async def send() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await flood()

        for task in (receive, send, send):
            nursery.start_soon(task)
        await trio.testing.wait_all_tasks_blocked()
        await ours.aclose()


async def test_a_cancelled_sender_leaves_a_whole_stream(pki: DevFiles) -> None:
    """The records of a cancelled sender still go out, in order, with the next sender's."""
    async with pair(pki) as (ours, peer):
        big = 4_000_000
        with trio.move_on_after(0.05) as scope:
            await ours.send_all(b"a" * big)
        assert scope.cancelled_caught
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ours.send_all, b"b")
            got = bytearray()
            while len(got) < big + 1:
                got += await peer.receive_some()
        assert bytes(got) == b"a" * big + b"b"


async def test_when_the_flusher_is_cancelled_a_waiter_takes_over(pki: DevFiles) -> None:
    async with pair(pki) as (ours, peer), trio.open_nursery() as nursery:
        scope = trio.CancelScope()
        finished: list[str] = []

        async def first() -> None:
            with scope:
                await ours.send_all(b"a" * 4_000_000)

        async def other(name: bytes) -> None:
            await ours.send_all(name)
            finished.append(name.decode())

        nursery.start_soon(first)
        await trio.testing.wait_all_tasks_blocked()
        for name in (b"b", b"c"):
            nursery.start_soon(other, name)
            await trio.testing.wait_all_tasks_blocked()
        scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert finished == []
        got = bytearray()
        while len(got) < 4_000_002:
            got += await peer.receive_some()
        assert bytes(got) == b"a" * 4_000_000 + b"bc"
    assert sorted(finished) == ["b", "c"]


async def test_what_was_sent_is_not_kept(pki: DevFiles) -> None:
    """A connection that once sent a large message is as light as before when it idles."""
    async with pair(pki) as (ours, peer):
        for size in (10, 70_000, 3_000_000, 10):
            data = bytearray(size)
            tracemalloc.start()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ours.send_all, data)
                got = 0
                while got < size:
                    got += len(await peer.receive_some())
            held = tracemalloc.get_traced_memory()[0]
            tracemalloc.stop()
            assert held < 20_000


async def test_a_cancelled_call_sends_nothing(pki: DevFiles) -> None:
    async with pair(pki) as (ours, peer):
        with trio.CancelScope() as scope:
            scope.cancel()
            await ours.send_all(b"never")
        assert scope.cancelled_caught
        await ours.send_all(b"this")
        assert await peer.receive_some() == b"this"


async def test_a_key_update_is_answered(pki: DevFiles) -> None:
    """Reading alone keeps a long connection alive: what TLS itself has to say is sent while receiving."""
    async with pair(pki, ours_is_client=True, both=True) as (one, two):
        for _ in range(5):
            await one.send_all(b"x" * 100_000)
            got = 0
            while got < 100_000:
                got += len(await two.receive_some())


async def test_a_failed_handshake_tells_the_peer(pki: DevFiles) -> None:
    old = client_context(pki.ca)
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2
    async with tcp_pair() as (client, server):
        ours = TLSStream(server, server_context(pki.certificate, pki.key))
        async with client, ours, trio.open_nursery() as nursery:

            async def handshake() -> None:
                with pytest.raises(trio.BrokenResourceError):
                    await ours.do_handshake()

            nursery.start_soon(handshake)
            with pytest.raises(trio.BrokenResourceError) as caught:
                await trio.SSLStream(client, old, server_hostname=SERVER).do_handshake()
            assert "ALERT_PROTOCOL_VERSION" in str(caught.value.__cause__)
