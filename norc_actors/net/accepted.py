"""A server's WebSockets: no task of their own, read in the task that receives.

The library has a reader task, a channel and a parser's state for every connection, 14 KB of an idle one; a node holds
thousands of idle ones (docs/decisions/031). So the server reads frames itself (`frames`), and wsproto, the library's
own core, does the opening alone.

Who reads: one task, in `receive`. It answers pings and closes. `close` may come from any task: it says goodbye, and
then waits for the peer's half in the reader's place, or for the reader if there is one.
"""

import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import trio
import wsproto
from wsproto.events import AcceptConnection, RejectConnection, Request
from wsproto.utilities import RemoteProtocolError

from norc_actors import limits
from norc_actors.net.errors import ClosedError, ConnectError, RefusedError
from norc_actors.net.frames import Closing, Event, FrameReader, Ping, Refused, binary_frames, close_frame, pong_frame
from norc_actors.net.interface import WebSocket
from norc_actors.net.opening import opening
from norc_actors.net.tls_stream import TLSStream

_CUT = 1006


async def serve_websocket(
    stream: trio.SocketStream,
    handler: Callable[[WebSocket], Awaitable[None]],
    *,
    ssl_context: ssl.SSLContext,
    subprotocols: Sequence[str],
    max_message_size: int,
    path: str = "/norc-c",
) -> None:
    """Run `handler` on the WebSocket that a client opens over the accepted TCP `stream`, and close it after.

    A client that fails TLS or the WebSocket opening, or takes over `HANDSHAKE_SECONDS`, raises `ConnectError`. The
    socket is always closed when this returns.
    """
    remote = _host_of(stream)
    secured = TLSStream(stream, ssl_context)
    try:
        with opening(f"client {remote}"):
            await secured.do_handshake()
            target, subprotocol = await _accept(secured, f"client {remote}", subprotocols, path)
        websocket = AcceptedWebSocket(secured, max_message_size, remote, subprotocol, target)
        try:
            await handler(websocket)
        except trio.Cancelled:
            raise  # whoever cancels does not wait for the peer: the socket is cut below
        except BaseException:
            await websocket.close()
            raise
        await websocket.close()
    finally:
        await trio.aclose_forcefully(secured)


class AcceptedWebSocket:
    """`WebSocket` of an accepted connection; see the module."""

    __slots__ = (
        "_closed",
        "_ended",
        "_reader",
        "_ready",
        "_receiving",
        "_said_goodbye",
        "_stream",
        "path",
        "remote",
        "subprotocol",
    )

    def __init__(self, stream: TLSStream, max_message_size: int, remote: str, subprotocol: str, path: str) -> None:
        self._stream = stream
        self._reader = FrameReader(max_message_size)
        self._ready: list[Event] = []  # newest first
        self._receiving = False
        self._said_goodbye = False
        self._closed: ClosedError | None = None
        self._ended: trio.Event | None = None  # made by a close that waits for the reader
        self.remote = remote
        self.subprotocol = subprotocol
        self.path = path

    async def send(self, message: bytes) -> None:
        await self.send_many((message,))

    async def send_many(self, messages: Sequence[bytes]) -> None:
        if self._closed is not None or self._said_goodbye:
            raise self._why()
        await self._write(binary_frames(messages))

    async def receive(self) -> bytes:
        if self._receiving:
            raise trio.BusyResourceError("another task receives already")
        if self._said_goodbye or self._closed is not None:
            raise self._why()
        self._receiving = True
        try:
            while True:
                event = await self._next()
                if not isinstance(event, bytes):
                    await self._react(event)
                elif not self._said_goodbye:
                    return event
        finally:
            self._receiving = False

    async def close(self, code: int = 1000, reason: str = "") -> None:
        if self._said_goodbye or self._closed is not None:
            return
        await self._leave(ClosedError(code, reason), drain=not self._receiving)

    async def _next(self) -> Event:
        """The next event; at the end of the stream `ClosedError`."""
        while not self._ready:
            try:
                data = await self._stream.receive_some()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                data = b""
            if not data:
                await self._end(ClosedError(_CUT))
                raise self._why()
            self._ready = self._reader.feed(data)
            self._ready.reverse()
        return self._ready.pop()

    async def _react(self, event: Event) -> None:
        """Answer what is no message; what ends the connection raises `ClosedError`."""
        match event:
            case Ping(payload=payload):
                await self._write(pong_frame(payload))
            case Closing(code=code, reason=reason):
                if not self._said_goodbye:
                    await self._say_goodbye(code)
                await self._end(ClosedError(code, reason))
                raise self._why()
            case Refused(code=code, reason=reason, lost=lost):
                why = ClosedError(code, reason)
                if lost or self._said_goodbye:
                    await self._say_goodbye(code, reason)
                    await self._end(why)
                else:
                    await self._leave(why, drain=True)
                raise self._why()

    async def _leave(self, why: ClosedError, *, drain: bool) -> None:
        """Say goodbye and wait for the peer's half: read here (`drain`), or let the task read that does so already."""
        try:
            with trio.move_on_after(limits.CLOSE_SECONDS), suppress(ClosedError):
                await self._say_goodbye(why.code, why.reason)
                if drain:
                    while not isinstance(await self._next(), Closing):
                        pass
                else:
                    self._ended = trio.Event()
                    await self._ended.wait()
        finally:
            await self._end(why)

    async def _say_goodbye(self, code: int, reason: str = "") -> None:
        self._said_goodbye = True
        with suppress(ClosedError):
            await self._write(close_frame(code, reason))

    async def _end(self, why: ClosedError) -> None:
        """Close the socket; the first reason stays."""
        if self._closed is None:
            self._closed = why
        if self._ended is not None:
            self._ended.set()
        await self._stream.aclose()

    async def _write(self, data: bytes) -> None:
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ClosedError(_CUT) from error

    def _why(self) -> ClosedError:
        """A new exception for every caller."""
        closed = self._closed
        return ClosedError(1000) if closed is None else ClosedError(closed.code, closed.reason)


async def _accept(stream: TLSStream, peer: str, subprotocols: Sequence[str], path: str) -> tuple[str, str]:
    """(the request's target, the subprotocol that was selected) of an opening that was answered."""
    opening_side = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
    while True:
        data = await stream.receive_some()
        if not data:
            raise ConnectError(f"{peer}: closed the connection while opening it")
        try:
            opening_side.receive_data(data)
            request = next(iter(opening_side.events()), None)
        except RemoteProtocolError as error:
            if error.event_hint is not None:
                await stream.send_all(opening_side.send(error.event_hint))
            raise ConnectError(f"{peer}: no WebSocket opening ({error})") from error
        if isinstance(request, Request):
            chosen = _choose(request, subprotocols, path)
            if isinstance(chosen, int):
                await stream.send_all(opening_side.send(RejectConnection(status_code=chosen)))
                raise RefusedError(f"{peer}: refused with HTTP {chosen}", chosen)
            await stream.send_all(opening_side.send(AcceptConnection(subprotocol=chosen)))
            return request.target, chosen


def _choose(request: Request, subprotocols: Sequence[str], path: str) -> str | int:
    """The subprotocol to select, or the HTTP status to refuse with."""
    if request.target.partition("?")[0] != path:
        return 404
    return next((name for name in subprotocols if name in request.subprotocols), 400)


def _host_of(stream: trio.SocketStream) -> str:
    try:
        return str(stream.socket.getpeername()[0])
    except OSError:
        return "unknown"  # gone already
