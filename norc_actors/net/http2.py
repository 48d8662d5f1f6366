"""HTTP/2 between servers: `POST /norc-f` over mutual TLS 1.3, behind an interface of our own.

Rules
- Many requests at once, written in the order of the calls, answers in the order of theirs; whatever is ready leaves
  in one write (`http2_core` holds the protocol, this file the tasks).
- Every wait on a peer has a deadline: opening (`HANDSHAKE_SECONDS`), a write or a body without progress
  (`HTTP2_STALL_SECONDS`), silence (ping after `PING_SECONDS`, closed after `DEAD_PEER_SECONDS`), closing
  (`CLOSE_SECONDS`). How long an answer may take is the caller's to say.
- What the peer makes us say is bounded: it waits, at most `HTTP2_REPLY_BYTES`, while the peer reads nothing, and the
  reader goes on, so that two ends which both send much never wait for each other.
- Closing: what is answered leaves, GOAWAY, and the peer's end is waited for before the socket is closed, since a
  socket with unread data cuts off what it sent last. Who is cancelled does not wait.
- A peer whose certificate is refused is told nothing (row B107). One that speaks HTTP/2 (ALPN `h2`) and not NORC-F
  gets an answer that says so (docs/decisions/100).

Three tasks per connection, in a nursery that ends with it: the reader, the writer, and one that looks for stalls. They
end the connection and never raise; what the body raises comes out as it is.
"""

import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import trio

from norc_actors import limits
from norc_actors.net.errors import (
    CertificateCause,
    CertificateError,
    ClosedError,
    ConnectError,
    NoProtocolError,
    RefusedError,
)
from norc_actors.net.http2_core import Answered, End, Ended, Event, Lost, Outgoing, Ready, Requested
from norc_actors.net.http2_ends import ClientEnd, ServerEnd
from norc_actors.net.opening import opening
from norc_actors.net.peer_certificate import PeerCertificate, read_certificate
from norc_actors.net.tls_stream import TLSStream

__all__ = ["Http2Client", "Http2Request", "Http2Served", "PeerCertificate", "open_http2", "serve_http2"]

PLAIN = "h2"


@asynccontextmanager
async def open_http2(
    host: str,
    port: int,
    *,
    context: ssl.SSLContext,
    server_name: str,
    alpn: Sequence[str],
    max_body: int,
) -> AsyncIterator["Http2Client"]:
    """Connect to `host:port`; closed at the end of the block. `context` is a client's of `tls.peer_contexts`, `alpn`
    what is offered, best first, `max_body` how long an answer may be.

    When the block begins, the server has our certificate accepted, its own has `server_name` among its names, letter
    for letter, and a protocol is agreed. Raises `ConnectError`, `NoProtocolError`, `CertificateError`.
    """
    peer = f"{host}:{port}"
    with opening(peer):
        stream = await trio.open_tcp_stream(host, port)
    secured = TLSStream(stream, context, server_hostname=server_name, alpn=alpn, silent=True)
    try:
        with opening(peer):
            await secured.do_handshake()
        certificate = _certificate(secured, peer)
        certificate.require_name(server_name)
        end = ClientEnd(authority=server_name, max_body=max_body, now=trio.current_time())
        client = Http2Client(secured, end, certificate, peer)
        async with client._running():  # noqa: SLF001  # one module
            yield client
    finally:
        await trio.aclose_forcefully(secured)


async def serve_http2(
    stream: trio.SocketStream,
    serve: Callable[["Http2Served"], Awaitable[None]],
    *,
    context: ssl.SSLContext,
    alpn: Sequence[str],
    max_body: int,
) -> None:
    """Run `serve` on the connection that a client opens over the accepted TCP `stream`, and close it after. `context`
    is a server's of `tls.peer_contexts`, `alpn` what is spoken, best first.

    A client that fails TLS or takes over `HANDSHAKE_SECONDS` raises `ConnectError`, `NoProtocolError` or
    `CertificateError`. The socket is always closed when this returns.
    """
    remote = _host_of(stream)
    peer = f"client {remote}"
    secured = TLSStream(stream, context, alpn=[*alpn, PLAIN], silent=True)
    try:
        with opening(peer):
            await secured.do_handshake()
        certificate = _certificate(secured, peer)
        plain = secured.alpn == PLAIN
        end = ServerEnd(max_body=max_body, plain=plain, now=trio.current_time())
        served = Http2Served(secured, end, certificate, remote)
        async with served._running():  # noqa: SLF001  # one module
            if plain:
                with trio.move_on_after(limits.HTTP2_STALL_SECONDS):
                    await served.next()
            else:
                await serve(served)
    finally:
        await trio.aclose_forcefully(secured)


class _Connection:
    """The tasks of one connection."""

    def __init__(self, stream: TLSStream, end: End, peer: PeerCertificate, name: str) -> None:
        self._stream = stream
        self._end = end
        self._name = name
        self._replies = bytearray()
        self._idle = True  # the writer waits
        self._work = trio.lowlevel.ParkingLot()
        self._moved = trio.lowlevel.ParkingLot()  # the writer got on
        self._silent = trio.Event()  # the reader has met the end
        self._closed: ClosedError | None = None
        self._over = trio.Event()
        self._left = trio.Event()  # the socket is closed
        self.alpn = stream.alpn or ""
        self.peer = peer

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        failure: BaseException | None = None
        async with trio.open_nursery() as nursery:
            for task in (self._read, self._write, self._watch):
                nursery.start_soon(task)
            try:
                await self._opened()
                yield
                await self._finish()
            except trio.Cancelled as error:
                failure = error  # whoever cancels does not wait for the peer
            except BaseException as error:  # noqa: BLE001  # raised again below, outside the nursery and its group
                failure = error
                await self._finish()
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def wait_closed(self) -> ClosedError:
        """Until the connection is closed, by whomever; why."""
        await self._over.wait()
        return self._why()

    async def _opened(self) -> None:
        """Until the connection can be used."""

    def _happened(self, event: Event) -> None:
        raise NotImplementedError

    def _wake_all(self) -> None:
        """Wake who waits: the connection is closed."""

    async def _read(self) -> None:
        try:
            while data := await self._stream.receive_some():
                if self._closed is None:
                    self._take(data)
                await trio.lowlevel.checkpoint()  # a peer that sends without pause does not keep others waiting
            self._fail(ClosedError(1006, "the peer closed the connection without a word"))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            self._fail(ClosedError(1006, str(error.__cause__ or error)))
        finally:
            self._silent.set()

    def _take(self, data: bytes) -> None:
        self._handle(self._end.receive(data, trio.current_time()))
        self._replies += self._end.replies()
        if len(self._replies) > limits.HTTP2_REPLY_BYTES:
            self._fail(ClosedError(1008, "it reads none of the answers that it asks for"))
        self._wake()

    def _handle(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Ended):
                self._fail(ClosedError(event.code, event.reason), by_peer=event.by_peer)
            else:
                self._happened(event)

    async def _write(self) -> None:
        """Send what there is; after the end what is left of it, and then close the socket."""
        try:
            while self._closed is None:
                if data := self._next():
                    with trio.fail_after(limits.HTTP2_STALL_SECONDS):
                        await self._stream.send_all(data)
                    self._moved.unpark_all()
                    await trio.lowlevel.checkpoint()  # so that a long body does not keep others waiting
                else:
                    self._idle = True
                    await self._work.park()
            with trio.move_on_after(limits.CLOSE_SECONDS):
                await self._stream.send_all(self._next())
                if not self._left_by_peer:
                    await self._silent.wait()
        except trio.TooSlowError:
            self._fail(ClosedError(1008, "it takes nothing"))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            self._fail(ClosedError(1006, str(error.__cause__ or error)))
        await self._stream.aclose()
        self._left.set()

    _left_by_peer = False

    def _next(self) -> bytes:
        data = self._end.frames_to_send(trio.current_time())
        if self._replies:
            data = bytes(self._replies) + data
            self._replies.clear()
        return data

    async def _watch(self) -> None:
        while self._closed is None:
            await trio.sleep(limits.HTTP2_CHECK_SECONDS)
            self._handle(self._end.check(trio.current_time()))
            self._replies += self._end.replies()
            self._wake()

    def _wake(self) -> None:
        if self._idle:
            self._idle = False
            self._work.unpark()

    def _fail(self, why: ClosedError, *, by_peer: bool = False) -> None:
        """The connection is over; the first reason stays."""
        if self._closed is None:
            self._closed = why
            self._left_by_peer = by_peer or why.code == 1006
            self._over.set()
            self._wake_all()
            self._moved.unpark_all()
            self._wake()

    async def _finish(self) -> None:
        """Close in order."""
        with trio.move_on_after(limits.CLOSE_SECONDS):
            while self._closed is None and self._end.unsent:
                await self._moved.park()
        self._end.goodbye()
        self._replies += self._end.replies()
        self._fail(ClosedError(1000))
        with trio.move_on_after(limits.CLOSE_SECONDS):
            await self._left.wait()

    def _why(self) -> ClosedError:
        """A new exception for every caller."""
        closed = self._closed
        return ClosedError(1000) if closed is None else ClosedError(closed.code, closed.reason)


class Http2Client(_Connection):
    """An open connection to a server."""

    _end: ClientEnd

    def __init__(self, stream: TLSStream, end: ClientEnd, peer: PeerCertificate, name: str) -> None:
        super().__init__(stream, end, peer, name)
        self._waiting: dict[Outgoing, trio.Event] = {}
        self._answers: dict[Outgoing, Answered | Lost] = {}
        self._ready = trio.Event()

    async def post(self, body: bytes) -> bytes:
        """Send a request and wait for its answer. Any number of tasks may do so; requests leave in the order of the
        calls, more than the server takes at once wait their turn.

        Cancelled, the request is withdrawn: it may have arrived all the same. Raises `ClosedError`, and `RefusedError`
        for another status than 200 (0: the server reset the request).
        """
        if self._closed is not None:
            raise self._why()
        request = self._end.request(body)
        done = self._waiting[request] = trio.Event()
        self._wake()
        try:
            await done.wait()
        except trio.Cancelled:
            self._end.cancel(request, trio.current_time())
            self._wake()
            raise
        finally:
            del self._waiting[request]
        match self._answers.pop(request, None):
            case Answered(status=200, body=answer):
                return answer
            case Answered(status=status, body=answer):
                raise RefusedError(f"{self._name}: refused the request with HTTP {status}", status, answer)
            case Lost(why=why):
                raise RefusedError(f"{self._name}: reset the request ({why})", 0)
            case None:
                raise self._why()

    async def _opened(self) -> None:
        """The settings are the first thing that a server says once it has accepted our certificate."""
        with trio.move_on_after(limits.HANDSHAKE_SECONDS):
            await self._ready.wait()
        if self._closed is not None:
            raise ConnectError(
                f"{self._name}: closed the connection after TLS ({self._closed.reason}): it may not accept this"
                " server's certificate, which its own log tells"
            )
        if not self._ready.is_set():
            raise ConnectError(f"{self._name}: no answer within {limits.HANDSHAKE_SECONDS:g} s")

    def _happened(self, event: Event) -> None:
        if isinstance(event, Ready):
            self._ready.set()
        elif isinstance(event, Answered | Lost) and event.request in self._waiting:
            self._answers[event.request] = event
            self._waiting[event.request].set()

    def _wake_all(self) -> None:
        self._ready.set()
        for done in self._waiting.values():
            done.set()


class Http2Request:
    """A request that waits for its answer."""

    __slots__ = ("_served", "_stream", "body")

    def __init__(self, served: "Http2Served", stream: int, body: bytes) -> None:
        self._served = served
        self._stream = stream
        self.body = body

    async def respond(self, body: bytes, status: int = 200) -> None:
        """Answer it, once. The answer stands in line at once, which keeps the order of the calls; returns when there
        are at most `HTTP2_LINE_BYTES` before it and it together, so that a client which takes no answers makes who
        serves it wait. An answer that the client wants no more is dropped. Raises `ClosedError`."""
        await self._served._respond(self._stream, status, body)  # noqa: SLF001  # one module


class Http2Served(_Connection):
    """A connection that a client opened."""

    _end: ServerEnd

    def __init__(self, stream: TLSStream, end: ServerEnd, peer: PeerCertificate, remote: str) -> None:
        super().__init__(stream, end, peer, f"client {remote}")
        self._requests: deque[Http2Request] = deque()
        self._arrived = trio.lowlevel.ParkingLot()
        self.remote = remote
        """The client's address without its port, as limits per source count it."""

    async def next(self) -> Http2Request | None:
        """The next whole request; `None` when the connection is closed."""
        await trio.lowlevel.checkpoint_if_cancelled()
        while not self._requests and self._closed is None:
            await self._arrived.park()
        return None if self._closed is not None else self._requests.popleft()

    async def _respond(self, stream: int, status: int, body: bytes) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._closed is not None:
            raise self._why()
        self._end.respond(stream, status, body, trio.current_time())
        self._wake()
        while self._end.unsent > limits.HTTP2_LINE_BYTES:
            await self._moved.park()
            if self._closed is not None:
                raise self._why()

    def _happened(self, event: Event) -> None:
        if isinstance(event, Requested):
            self._requests.append(Http2Request(self, event.stream, event.body))
            self._arrived.unpark()

    def _wake_all(self) -> None:
        self._arrived.unpark_all()


def _certificate(stream: TLSStream, peer: str) -> PeerCertificate:
    if stream.alpn is None:
        raise NoProtocolError(f"{peer}: it settles on no protocol")
    der = stream.peer_certificate
    if der is None:  # a context that does not ask for one
        raise CertificateError(peer, CertificateCause.MISSING)
    return read_certificate(der, peer)


def _host_of(stream: trio.SocketStream) -> str:
    try:
        return str(stream.socket.getpeername()[0])
    except OSError:
        return "unknown"  # gone already
