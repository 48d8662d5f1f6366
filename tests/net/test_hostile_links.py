"""Hostile peers, over real TLS: what they do costs the server little memory, ends their own connection, and a good
peer beside them notices nothing.

The server is a process of its own, so that its resident memory is its own. Attackers are written by hand with
hyperframe and a plain TLS stream.
"""

import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trio
from hpack import Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from norc_actors import limits
from norc_actors.net.errors import ClosedError, ConnectError
from norc_actors.net.http2 import Http2Served, open_http2
from tests.support.http2 import ALPN, BOB, MAX_BODY, Organisations, listening, request
from tests.support.loopback import until

ROOT = Path(__file__).parents[2]
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SettingsFrame(0).serialize()
BOUND = 40 * 2**20
"""Of resident memory that an attack may add: what one connection may hold by design, and Python's own waste of it."""
assert limits.HTTP2_STREAMS * limits.HTTP2_WINDOW_BYTES + MAX_BODY + limits.HTTP2_LINE_BYTES < BOUND / 3


class Child:
    """The server."""

    def __init__(self, organisations: Organisations) -> None:
        certificate, key = organisations.bob.write(organisations.folder, "bob")
        ca = organisations.folder / "trusted.pem"
        ca.write_text(organisations.trusted)
        command = [sys.executable, "-m", "tests.support.http2_child", str(certificate), str(key), str(ca)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    @property
    def peak(self) -> int:
        """The most bytes that were ever resident."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))

    def stop(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


@pytest.fixture(scope="module")
def organisations(tmp_path_factory: pytest.TempPathFactory) -> Organisations:
    return Organisations(tmp_path_factory.mktemp("organisations"))


@pytest.fixture(scope="module")
def child(organisations: Organisations) -> Iterator[Child]:
    made = Child(organisations)
    yield made
    made.stop()


@asynccontextmanager
async def attacker(organisations: Organisations, port: int, *, read: bool = True) -> AsyncIterator["Attacker"]:
    context = organisations.client
    context.set_alpn_protocols(list(ALPN))
    tcp = await trio.open_tcp_stream("127.0.0.1", port)
    stream = trio.SSLStream(tcp, context, server_hostname=BOB)
    await stream.do_handshake()
    made = Attacker(stream)
    await made.send(PREFACE)
    async with tcp, trio.open_nursery() as nursery:
        if read:
            nursery.start_soon(made.listen)
        yield made
        nursery.cancel_scope.cancel()


class Attacker:
    def __init__(self, stream: trio.SSLStream) -> None:
        self._stream = stream
        self.encoder = Encoder()
        self.goaway: GoAwayFrame | None = None
        self.ended = trio.Event()

    async def send(self, data: bytes) -> None:
        await self._stream.send_all(data)

    async def listen(self) -> None:
        buffer = b""
        with suppress(trio.BrokenResourceError):
            while data := await self._stream.receive_some():
                buffer += data
                while len(buffer) >= 9 and len(buffer) >= 9 + int.from_bytes(buffer[:3], "big"):
                    size = 9 + int.from_bytes(buffer[:3], "big")
                    frame, _ = Frame.parse_frame_header(memoryview(buffer[:9]))
                    frame.parse_body(memoryview(buffer[9:size]))
                    buffer = buffer[size:]
                    if isinstance(frame, GoAwayFrame):
                        self.goaway = frame
        self.ended.set()

    def headers(self, stream: int, *, end: bool = False, block: bytes | None = None) -> bytes:
        flags = ["END_HEADERS", *(["END_STREAM"] if end else [])]
        return HeadersFrame(stream, block or self.encoder.encode(request()), flags=flags).serialize()

    async def until_closed(self, make: Callable[[int], bytes]) -> None:
        """Send until the server ends it."""
        with trio.fail_after(20):
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                for number in range(20_000):
                    if self.ended.is_set():
                        return
                    await self.send(make(number))
            await self.ended.wait()


Attack = Callable[[Attacker], Awaitable[None]]


async def pings(peer: Attacker) -> None:
    await peer.until_closed(lambda _: PingFrame(0, b"12345678").serialize() * 20)


async def settings(peer: Attacker) -> None:
    """Each names others, which a naive end keeps."""

    def make(number: int) -> bytes:
        payload = b"".join(((30 * number + k) % 65000 + 100).to_bytes(2, "big") + bytes(4) for k in range(30))
        return len(payload).to_bytes(3, "big") + b"\x04\x00" + bytes(4) + payload

    await peer.until_closed(make)


async def rapid_reset(peer: Attacker) -> None:
    def make(number: int) -> bytes:
        return peer.headers(2 * number + 1) + RstStreamFrame(2 * number + 1, 8).serialize()

    await peer.until_closed(make)


async def continuations(peer: Attacker) -> None:
    piece = bytes(limits.HTTP2_FRAME_BYTES)
    await peer.until_closed(lambda n: (HeadersFrame(1, piece) if n == 0 else ContinuationFrame(1, piece)).serialize())


async def hpack_bomb(peer: Attacker) -> None:
    """One entry of the table, named a thousand times in each of many requests."""
    block = peer.encoder.encode([*request(), ("x-long", "y" * 3500)])
    await peer.until_closed(lambda n: peer.headers(2 * n + 1, end=True, block=block if n == 0 else b"\xbe" * 8000))


async def long_frame(peer: Attacker) -> None:
    """A frame of 16 MiB, byte for byte."""
    head = (2**24 - 1).to_bytes(3, "big") + b"\x00\x00\x00\x00\x00\x01"
    await peer.until_closed(lambda n: peer.headers(1) + head if n == 0 else bytes(16384))


async def single_bytes(peer: Attacker) -> None:
    await peer.until_closed(lambda n: (peer.headers(1) if n == 0 else b"") + DataFrame(1, b"x").serialize() * 50)


async def padding(peer: Attacker) -> None:
    frame = DataFrame(1, b"", flags=["PADDED"], pad_length=255).serialize()
    await peer.until_closed(lambda n: (peer.headers(1) if n == 0 else b"") + frame * 20)


async def empty_frames(peer: Attacker) -> None:
    await peer.until_closed(lambda n: (peer.headers(1) if n == 0 else b"") + DataFrame(1).serialize() * 50)


async def window_overflow(peer: Attacker) -> None:
    await peer.until_closed(lambda _: WindowUpdateFrame(0, 2**31 - 1).serialize())


async def beyond_the_window(peer: Attacker) -> None:
    """Bodies that take no notice of flow control."""
    frame = DataFrame(1, bytes(16384)).serialize()
    await peer.until_closed(lambda n: (peer.headers(1) if n == 0 else b"") + frame)


async def too_many_streams(peer: Attacker) -> None:
    await peer.until_closed(lambda n: peer.headers(2 * n + 1))


async def garbage(peer: Attacker) -> None:
    await peer.until_closed(lambda n: bytes((n * 7 + k) % 256 for k in range(1000)))


ENDED = [
    pings, settings, rapid_reset, continuations, hpack_bomb, long_frame, single_bytes, padding, empty_frames,
    window_overflow, beyond_the_window, too_many_streams, garbage,
]  # fmt: skip


async def full_first_windows(peer: Attacker) -> None:
    """A hundred bodies that are begun, and never ended."""
    for number in range(limits.HTTP2_STREAMS):
        stream = 2 * number + 1
        await peer.send(peer.headers(stream) + b"".join(DataFrame(stream, bytes(16000)).serialize() for _ in range(2)))
    await trio.sleep(0.3)


async def answers_not_taken(peer: Attacker) -> None:
    """Long answers asked for, with no window to send them in."""
    await peer.send(SettingsFrame(0, {SettingsFrame.INITIAL_WINDOW_SIZE: 0}).serialize())
    for number in range(limits.HTTP2_STREAMS):
        stream = 2 * number + 1
        body = [DataFrame(stream, bytes(16000)).serialize() for _ in range(3)]
        last = DataFrame(stream, bytes(16000), flags=["END_STREAM"]).serialize()
        await peer.send(peer.headers(stream) + b"".join(body) + last)
    await trio.sleep(0.3)


HELD = [full_first_windows, answers_not_taken]


async def with_a_good_peer(organisations: Organisations, child: Child, attack: Attack, **how: bool) -> Attacker:
    """Run the attack while a good peer asks; every answer of its is right, and soon there."""
    slowest = 0.0
    opened = open_http2(
        "127.0.0.1", child.port, context=organisations.client, server_name=BOB, alpn=ALPN, max_body=MAX_BODY
    )
    async with opened as good:
        assert await good.post(bytes(MAX_BODY)) == bytes(MAX_BODY)  # warm
        before = child.peak
        async with trio.open_nursery() as nursery, attacker(organisations, child.port, **how) as peer:

            async def ask() -> None:
                nonlocal slowest
                while True:
                    begin = trio.current_time()
                    assert await good.post(b"good" * 100) == b"good" * 100
                    slowest = max(slowest, trio.current_time() - begin)
                    await trio.sleep(0.01)

            nursery.start_soon(ask)
            await attack(peer)
            nursery.cancel_scope.cancel()
    assert child.peak - before < BOUND
    assert slowest < 2.0
    return peer


@pytest.mark.parametrize("attack", ENDED)
async def test_it_is_ended_and_costs_little(organisations: Organisations, child: Child, attack: Attack) -> None:
    await with_a_good_peer(organisations, child, attack)


@pytest.mark.parametrize("attack", HELD)
@pytest.mark.parametrize("read", [True, False])
async def test_what_is_held_is_bounded(organisations: Organisations, child: Child, attack: Attack, read: bool) -> None:
    await with_a_good_peer(organisations, child, attack, read=read)


async def test_many_at_once(organisations: Organisations, child: Child) -> None:
    """Ten attackers of several kinds beside one good peer."""

    async def all_of_them(_: Attacker) -> None:
        async def one(attack: Attack) -> None:
            async with attacker(organisations, child.port) as peer:
                await attack(peer)

        async with trio.open_nursery() as nursery:
            for attack in ENDED[:10]:
                nursery.start_soon(one, attack)

    await with_a_good_peer(organisations, child, all_of_them)


# --- Deadlines, in this process ---


async def test_a_hello_that_does_not_come(organisations: Organisations, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HANDSHAKE_SECONDS", 0.1)
    async with listening(organisations) as bob, await trio.open_tcp_stream("127.0.0.1", bob.port) as stream:
        await stream.send_all(b"\x16\x03\x01\x02\x00\x01")
        await until(lambda: bob.refused)
        assert isinstance(bob.refused[0], ConnectError)
        assert "no answer within" in str(bob.refused[0])


async def test_a_server_that_says_nothing_after_tls(
    organisations: Organisations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HANDSHAKE_SECONDS", 0.3)
    context = organisations.server
    context.set_alpn_protocols(["norc-f/2.0"])

    async def silent(tcp: trio.SocketStream) -> None:
        stream = trio.SSLStream(tcp, context, server_side=True)
        await stream.do_handshake()
        await trio.sleep_forever()

    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, silent, [listener])
        port = listener.socket.getsockname()[1]
        with pytest.raises(ConnectError, match="no answer within"):
            async with open_http2(
                "127.0.0.1", port, context=organisations.client, server_name=BOB, alpn=ALPN, max_body=MAX_BODY
            ):
                pass
        nursery.cancel_scope.cancel()


async def test_a_peer_that_reads_nothing_is_left(organisations: Organisations, monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks for answers, and takes none out of its socket: the write has its deadline."""
    monkeypatch.setattr(limits, "HTTP2_STALL_SECONDS", 0.3)
    ended: list[ClosedError] = []

    async def serve(served: Http2Served) -> None:
        try:
            while (asked := await served.next()) is not None:
                await asked.respond(bytes(2**22))
        except ClosedError as error:
            ended.append(error)

    async with listening(organisations, serve) as bob, attacker(organisations, bob.port, read=False) as peer:
        await peer.send(SettingsFrame(0, {SettingsFrame.INITIAL_WINDOW_SIZE: 2**31 - 1}).serialize())
        await peer.send(WindowUpdateFrame(0, 2**30).serialize())
        for number in range(10):
            await peer.send(peer.headers(2 * number + 1, end=True))
        await until(lambda: bob.ended)
    assert ended[0].code == 1008


async def test_answers_of_the_protocol_are_bounded(
    organisations: Organisations, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if nothing counted the frames: what waits for a peer that reads nothing has its limit."""
    monkeypatch.setattr(limits, "HTTP2_WASTE", 10**9)
    monkeypatch.setattr(limits, "HTTP2_REPLY_BYTES", 20_000)
    over = trio.Event()

    async def serve(served: Http2Served) -> None:
        assert await served.next() is None
        over.set()

    async with listening(organisations, serve) as bob, attacker(organisations, bob.port, read=False) as peer:
        with suppress(trio.BrokenResourceError), trio.move_on_after(20):
            async with trio.open_nursery() as nursery:

                async def flood() -> None:
                    while True:
                        await peer.send(PingFrame(0, b"12345678").serialize() * 200)

                nursery.start_soon(flood)
                await over.wait()
                nursery.cancel_scope.cancel()
    assert over.is_set()


async def test_a_connection_of_strangers_does_not_last(
    organisations: Organisations, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who speaks HTTP/2 and not NORC-F is let stay for half a minute."""
    monkeypatch.setattr(limits, "HTTP2_STALL_SECONDS", 0.2)
    context = organisations.client
    context.set_alpn_protocols(["h2"])
    async with listening(organisations) as bob, await trio.open_tcp_stream("127.0.0.1", bob.port) as tcp:
        stream = trio.SSLStream(tcp, context, server_hostname=BOB)
        await stream.do_handshake()
        await stream.send_all(PREFACE)
        with trio.fail_after(5):
            while await stream.receive_some():
                pass
        await until(lambda: bob.ended)
        assert not bob.refused
