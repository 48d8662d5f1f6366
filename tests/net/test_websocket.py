"""WebSockets over real TLS sockets."""

import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
import trio

from norc_actors import limits
from norc_actors.devpki import DevFiles
from norc_actors.net.errors import CertificateError, ClosedError, ConnectError, RefusedError
from norc_actors.net.listener import accept_forever
from norc_actors.net.tls import client_context, server_context
from norc_actors.net.websocket import WebSocket, serve_websocket
from tests.support.loopback import PROTOCOLS, Loopback, serving, until

GET = (
    b"GET %s HTTP/1.1\r\nHost: chat.example.org\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: %s\r\n\r\n"
)


async def echo(websocket: WebSocket) -> None:
    try:
        while True:
            await websocket.send(await websocket.receive())
    except ClosedError:
        pass


def frame(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    """A client's frame, masked with zeroes."""
    first = opcode | (0x80 if fin else 0)
    if len(payload) < 126:
        return struct.pack("!BB", first, 0x80 | len(payload)) + bytes(4) + payload
    if len(payload) < 65536:
        return struct.pack("!BBH", first, 0x80 | 126, len(payload)) + bytes(4) + payload
    return struct.pack("!BBQ", first, 0x80 | 127, len(payload)) + bytes(4) + payload


@asynccontextmanager
async def raw_websocket(loopback: Loopback) -> AsyncIterator[trio.SSLStream]:
    """A stream after the opening, which was written by hand."""
    async with loopback.tls() as stream:
        await stream.send_all(GET % (b"/norc-c", b"norc-c-v1"))
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 101")
        yield stream


async def receive_to_the_end(stream: trio.abc.ReceiveStream) -> bytes:
    data = b""
    while chunk := await stream.receive_some():
        data += chunk
    return data


async def test_messages_go_both_ways(pki: DevFiles) -> None:
    async with serving(pki, echo) as loopback, loopback.connect() as client:
        for message in (b"", b"one", bytes(65536)):
            await client.send(message)
            assert await client.receive() == message


async def test_both_sides_know_what_was_agreed(pki: DevFiles) -> None:
    seen = []

    async def handler(websocket: WebSocket) -> None:
        seen.append((websocket.remote, websocket.subprotocol, websocket.path))
        await echo(websocket)

    async with serving(pki, handler) as loopback:
        async with loopback.connect() as client:
            assert client.subprotocol == "norc-c-v2.0"
        async with loopback.connect(subprotocols=["norc-c-v1", "something"]) as client:
            assert client.subprotocol == "norc-c-v1"
    assert seen[0] == ("127.0.0.1", "norc-c-v2.0", "/norc-c?version=2.0")


async def test_many_messages_keep_their_order(pki: DevFiles) -> None:
    messages = [b"%d" % n * 100 for n in range(300)]
    received: list[bytes] = []

    async def collect(websocket: WebSocket) -> None:
        while len(received) < len(messages):
            received.append(await websocket.receive())
        await websocket.send_many(received)

    async with serving(pki, collect) as loopback, loopback.connect() as client:
        await client.send_many(messages)
        assert [await client.receive() for _ in messages] == messages == received


async def test_writers_do_not_disturb_each_other(pki: DevFiles) -> None:
    received: list[bytes] = []
    done = trio.Event()

    async def collect(websocket: WebSocket) -> None:
        while len(received) < 200:
            received.append(await websocket.receive())
        done.set()

    async with serving(pki, collect) as loopback, loopback.connect() as client:

        async def write(writer: int) -> None:
            for number in range(20):
                await client.send(b"%d %d " % (writer, number) + bytes(20_000))

        async with trio.open_nursery() as nursery:
            for writer in range(10):
                nursery.start_soon(write, writer)
        await done.wait()
    for writer in range(10):
        mine = [message.rstrip(b"\0") for message in received if message.startswith(b"%d " % writer)]
        assert mine == [b"%d %d " % (writer, number) for number in range(20)]


async def test_the_order_of_sends_is_the_order_of_calls(pki: DevFiles) -> None:
    """Also of tasks that are blocked by a full socket: what a caller encrypts in sequence must go out in sequence."""
    received: list[int] = []
    go = trio.Event()

    async def collect(websocket: WebSocket) -> None:
        await go.wait()
        while len(received) < 100:
            received.append(int(bytes(await websocket.receive()).split(b" ")[0]))
        await websocket.send(b"all")

    async with serving(pki, collect) as loopback, loopback.connect() as client, trio.open_nursery() as nursery:
        started = []

        async def send(number: int) -> None:
            started.append(number)
            await client.send(b"%d " % number + bytes(60_000))

        for number in range(100):
            nursery.start_soon(send, number)
        while len(started) < 100:
            await trio.lowlevel.checkpoint()
        go.set()
        assert await client.receive() == b"all"
    assert received == started


@pytest.mark.parametrize("offered", [[], ["norc-c-v9.0"]])
async def test_an_unknown_subprotocol_is_http_400(pki: DevFiles, offered: list[str]) -> None:
    async with serving(pki, echo) as loopback:
        with pytest.raises(RefusedError) as caught:
            async with loopback.connect(subprotocols=offered):
                pass
        assert caught.value.status == 400
        await until(lambda: loopback.refused)
        assert [error.status for error in loopback.refused if isinstance(error, RefusedError)] == [400]


async def test_another_path_is_http_404(pki: DevFiles) -> None:
    async with serving(pki, echo) as loopback:
        with pytest.raises(RefusedError) as caught:
            async with loopback.connect(path="/other?version=2.0"):
                pass
        assert caught.value.status == 404


async def test_a_text_message_closes_with_1003(pki: DevFiles) -> None:
    outcome: list[ClosedError] = []

    async def handler(websocket: WebSocket) -> None:
        with pytest.raises(ClosedError) as caught:
            await websocket.receive()
        outcome.append(caught.value)

    async with serving(pki, handler) as loopback, raw_websocket(loopback) as stream:
        await stream.send_all(frame(1, b"hello"))
        answer = await stream.receive_some()
        assert answer[:2] == bytes([0x88, len(answer) - 2])
        assert struct.unpack("!H", answer[2:4]) == (1003,)
        await stream.send_all(frame(8, answer[2:4]))
        assert await receive_to_the_end(stream) == b""
    assert outcome[0].code == 1003


@pytest.mark.parametrize("parts", [1, 3])
async def test_an_oversize_message_closes_with_1009(pki: DevFiles, parts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CLOSE_SECONDS", 0.1)  # this client does not answer a close
    outcome: list[ClosedError] = []

    async def handler(websocket: WebSocket) -> None:
        with pytest.raises(ClosedError) as caught:
            await websocket.receive()
        outcome.append(caught.value)

    async with serving(pki, handler) as loopback, raw_websocket(loopback) as stream:
        size = 65537 // parts + 1
        for part in range(parts):
            await stream.send_all(frame(2 if part == 0 else 0, bytes(size), fin=part == parts - 1))
        answer = await stream.receive_some()
        assert struct.unpack("!H", answer[2:4]) == (1009,)
        with trio.move_on_after(limits.CLOSE_SECONDS + 1):
            await receive_to_the_end(stream)
    assert outcome[0].code == 1009


async def test_a_message_in_fragments_arrives_whole(pki: DevFiles) -> None:
    async with serving(pki, echo) as loopback, raw_websocket(loopback) as stream:
        message = frame(2, b"one ", fin=False) + frame(9, b"ping") + frame(0, b"two", fin=True)
        for byte in message:
            await stream.send_all(bytes([byte]))
        data = b""
        while len(data) < 15:
            data += await stream.receive_some()
        assert data == b"\x8a\x04ping" + b"\x82\x07one two"


async def test_garbage_after_the_opening_ends_the_connection(pki: DevFiles) -> None:
    outcome: list[ClosedError] = []

    async def handler(websocket: WebSocket) -> None:
        with pytest.raises(ClosedError) as caught:
            await websocket.receive()
        outcome.append(caught.value)

    async with serving(pki, handler) as loopback, raw_websocket(loopback) as stream:
        await stream.send_all(b"\xff" * 100)
        await receive_to_the_end(stream)
    assert len(outcome) == 1


async def test_a_client_that_leaves_before_its_opening_is_noticed_at_once(pki: DevFiles) -> None:
    async with serving(pki, echo) as loopback:
        async with loopback.tls() as stream:
            await stream.do_handshake()
        await until(lambda: loopback.refused)
        assert not isinstance(loopback.refused[0], RefusedError)


async def test_garbage_instead_of_an_opening_is_refused(pki: DevFiles) -> None:
    async with serving(pki, echo) as loopback, loopback.tls() as stream:
        await stream.send_all(b"EHLO chat.example.org\r\n\r\n")
        await receive_to_the_end(stream)
        await until(lambda: loopback.refused)


async def test_plain_text_to_the_tls_port_is_refused(pki: DevFiles) -> None:
    async with serving(pki, echo) as loopback, loopback.tcp() as stream:
        await stream.send_all(b"GET / HTTP/1.1\r\n\r\n")
        with suppress(trio.BrokenResourceError):  # an alert, then the end
            await receive_to_the_end(stream)
        await until(lambda: loopback.refused)


async def test_a_close_has_its_code_and_reason(pki: DevFiles) -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.close(4000, "enough")
        await websocket.close()
        with pytest.raises(ClosedError):
            await websocket.send(b"late")
        with pytest.raises(ClosedError):
            await websocket.receive()

    async with serving(pki, handler) as loopback, loopback.connect() as client:
        with pytest.raises(ClosedError) as caught:
            await client.receive()
        assert (caught.value.code, caught.value.reason) == (4000, "enough")
        with pytest.raises(ClosedError):
            await client.send(b"late")


async def test_messages_before_a_close_are_received(pki: DevFiles) -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.send_many([b"1", b"2", b"3"])
        await websocket.close(4000)

    async with serving(pki, handler) as loopback, loopback.connect() as client:
        assert [await client.receive() for _ in range(3)] == [b"1", b"2", b"3"]
        with pytest.raises(ClosedError):
            await client.receive()


async def test_a_cut_connection_is_1006(pki: DevFiles) -> None:
    outcome: list[ClosedError] = []

    async def handler(websocket: WebSocket) -> None:
        with pytest.raises(ClosedError) as caught:
            await websocket.receive()
        outcome.append(caught.value)

    async with serving(pki, handler) as loopback, raw_websocket(loopback) as stream:
        tcp = stream.transport_stream
        tcp.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await trio.aclose_forcefully(tcp)
        await until(lambda: outcome)
    assert outcome[0].code == 1006


async def test_the_bodys_exception_comes_out_bare_and_the_peer_sees_an_end(pki: DevFiles) -> None:
    ended = trio.Event()

    async def handler(websocket: WebSocket) -> None:
        await echo(websocket)
        ended.set()

    async with serving(pki, handler) as loopback:
        with pytest.raises(LookupError):
            async with loopback.connect():
                raise LookupError
        await ended.wait()


async def test_a_cancelled_handler_closes_its_socket_at_once(pki: DevFiles) -> None:
    times: list[float] = []

    async def handler(_: WebSocket) -> None:
        with trio.CancelScope() as scope:
            times.append(trio.current_time())
            scope.cancel()
            await trio.sleep_forever()

    async with serving(pki, handler) as loopback, loopback.connect() as client:
        with pytest.raises(ClosedError):
            await client.receive()
        assert trio.current_time() - times[0] < limits.CLOSE_SECONDS


async def test_a_cancelled_connection_does_not_wait_for_a_dead_peer(pki: DevFiles) -> None:
    scope, ended = trio.CancelScope(), trio.Event()

    async def handler(websocket: WebSocket) -> None:
        await websocket.receive()

    async def serve(stream: trio.SocketStream) -> None:
        with scope:
            await serve_websocket(
                stream,
                handler,
                ssl_context=server_context(pki.certificate, pki.key),
                subprotocols=PROTOCOLS,
                max_message_size=1000,
            )
        ended.set()

    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener, trio.open_nursery() as nursery:
        loopback = Loopback(pki, listener.socket.getsockname()[1])
        nursery.start_soon(lambda: accept_forever(listener, lambda stream: start(nursery, serve, stream)))
        async with raw_websocket(loopback):
            began = trio.current_time()
            scope.cancel()
            await ended.wait()
            assert trio.current_time() - began < limits.CLOSE_SECONDS / 4
        nursery.cancel_scope.cancel()


async def start(
    nursery: trio.Nursery, task: Callable[[trio.SocketStream], Awaitable[None]], stream: trio.SocketStream
) -> None:
    nursery.start_soon(task, stream)


async def test_a_close_does_not_wait_for_a_dead_peer(pki: DevFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half-open: the peer neither answers nor reads."""
    monkeypatch.setattr(limits, "CLOSE_SECONDS", 0.05)
    closed = trio.Event()

    async def handler(websocket: WebSocket) -> None:
        with trio.move_on_after(0.05):
            while True:
                await websocket.send(bytes(60_000))
        await websocket.close()
        closed.set()

    async with serving(pki, handler) as loopback, raw_websocket(loopback):
        with trio.fail_after(5):
            await closed.wait()


@pytest.mark.parametrize("stage", ["tcp", "tls"])
async def test_a_silent_client_is_dropped(pki: DevFiles, monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    monkeypatch.setattr(limits, "HANDSHAKE_SECONDS", 0.1)
    async with serving(pki, echo) as loopback, getattr(loopback, stage)() as stream:
        if isinstance(stream, trio.SSLStream):
            await stream.do_handshake()
        with trio.fail_after(5):
            assert await stream.receive_some() == b""
        await until(lambda: loopback.refused)
        assert "no answer within 0.1 s" in str(loopback.refused[0])


async def test_a_silent_server_is_given_up(pki: DevFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HANDSHAKE_SECONDS", 0.1)
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        silent = Loopback(pki, listener.socket.getsockname()[1])
        with pytest.raises(ConnectError, match="no answer"):
            async with silent.connect():
                pass


async def test_nobody_listens(pki: DevFiles) -> None:
    async with serving(pki, echo) as loopback:
        pass
    with pytest.raises(ConnectError, match="refused"):
        async with loopback.connect():
            pass


async def test_a_host_that_does_not_exist(pki: DevFiles) -> None:
    async with serving(pki, echo) as loopback:
        with pytest.raises(ConnectError):
            async with loopback.connect(host="no such host"):
                pass


async def test_a_certificate_for_another_name_is_refused(pki: DevFiles) -> None:
    async with serving(pki, echo) as loopback:
        with pytest.raises(CertificateError, match=r"other\.example\.org"):
            async with loopback.connect(server_name="other.example.org"):
                pass
        await until(lambda: loopback.refused)


async def test_a_certificate_of_an_unknown_ca_is_refused(pki: DevFiles) -> None:
    async with serving(pki, echo) as loopback:
        with pytest.raises(CertificateError, match="none of the CAs"):
            async with loopback.connect(ssl_context=client_context()):
                pass


async def test_headers_reach_the_server(pki: DevFiles) -> None:
    async with serving(pki, echo) as loopback, loopback.connect(headers=[("X-Test", "1")]) as client:
        await client.send(b"x")
        assert await client.receive() == b"x"


async def test_a_hundred_connections_at_once(pki: DevFiles) -> None:
    done = 0

    async def one(loopback, number: int) -> None:
        nonlocal done
        async with loopback.connect() as client:
            await client.send(b"%d" % number)
            assert await client.receive() == b"%d" % number
        done += 1

    async with serving(pki, echo) as loopback, trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(one, loopback, number)
    assert done == 100
