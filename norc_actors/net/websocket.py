"""WebSockets over TLS, behind an interface of our own: the one file that knows the library beneath.

Rules
- Binary messages only. A text message closes the connection with 1003, one longer than `max_message_size` with 1009.
- No extension is offered or accepted (D-27: no compression).
- A client that offers none of our subprotocols is answered HTTP 400, another path 404; the first of *our* order that
  it offers is selected.
- One task receives, any number send: messages of one `send_many` stay together, in one TLS record run and one system
  call.
- Every wait on a peer has a deadline: opening (`HANDSHAKE_SECONDS`), closing (`CLOSE_SECONDS`). A peer that is silent
  in between is the caller's to judge (ping).
- Closing: a WebSocket close frame, a TLS close_notify, then the socket. Whatever happens, the socket is closed in the
  end.

`serve_websocket` and `connect_websocket` hold the nursery of the library's reader task; what the body raises comes
out as it is, not in an exception group.
"""

import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Protocol

import trio
import trio_websocket

from norc_actors import limits
from norc_actors.net.errors import CertificateError, ClosedError, ConnectError, RefusedError
from norc_actors.net.frames import binary_frames
from norc_actors.net.tls_stream import TLSStream

_QUEUE = 1
_READ_BYTES = 64 * 1024


class WebSocket(Protocol):
    """An open connection."""

    @property
    def remote(self) -> str:
        """The peer's address without its port, as limits per source count it."""
        ...

    @property
    def subprotocol(self) -> str:
        """The selected subprotocol."""
        ...

    @property
    def path(self) -> str:
        """The request's target, query included."""
        ...

    async def send(self, message: bytes) -> None:
        """Send one binary message. Raises `ClosedError`."""
        ...

    async def send_many(self, messages: Sequence[bytes]) -> None:
        """Send messages in one go. Raises `ClosedError`; some of them may have arrived then."""
        ...

    async def receive(self) -> bytes:
        """The next binary message. Raises `ClosedError`."""
        ...

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close in order, at the latest after `CLOSE_SECONDS`; on a closed connection nothing happens."""
        ...


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
    async with _library(stream, ssl_context, f"client {remote}") as (secured, nursery):
        with _opening(f"client {remote}", secured):
            await secured.do_handshake()
            request = await trio_websocket.wrap_server_stream(
                nursery, secured, _QUEUE, max_message_size, receive_buffer_size=_READ_BYTES
            )
            chosen = _choose(request, subprotocols, path)
            if isinstance(chosen, int):
                await request.reject(chosen)
                raise RefusedError(f"client {remote}: refused with HTTP {chosen}", chosen)
            connection = await request.accept(subprotocol=chosen)
        del request  # its headers would stay as long as the connection
        websocket = _Connection(connection, secured, remote)
        try:
            await handler(websocket)
        except trio.Cancelled:
            raise  # whoever cancels does not wait for the peer: the socket is cut below
        except BaseException:
            await websocket.close()
            raise
        await websocket.close()


@asynccontextmanager
async def connect_websocket(
    host: str,
    port: int,
    *,
    ssl_context: ssl.SSLContext,
    server_name: str,
    path: str,
    subprotocols: Sequence[str],
    max_message_size: int,
    headers: Sequence[tuple[str, str]] = (),
) -> AsyncIterator[WebSocket]:
    """Connect to `host:port`, check the certificate for `server_name`, open a WebSocket; closed at the end of the
    block.

    Raises `ConnectError`, `CertificateError`, `RefusedError`.
    """
    peer = f"{host}:{port}"
    with _opening(peer):
        stream = await trio.open_tcp_stream(host, port)
    async with _library(stream, ssl_context, peer, server_name) as (secured, nursery):
        with _opening(peer, secured):
            await secured.do_handshake()
            connection = await trio_websocket.wrap_client_stream(
                nursery,
                secured,  # type: ignore[arg-type]  # any trio stream will do
                server_name,
                path,
                subprotocols=subprotocols,
                extra_headers=[(name.encode("ascii"), value.encode("latin-1")) for name, value in headers],
                message_queue_size=_QUEUE,
                max_message_size=max_message_size,
                receive_buffer_size=_READ_BYTES,
            )
        websocket = _Connection(connection, secured, host)
        try:
            yield websocket
        except trio.Cancelled:
            raise  # the library's reader is cancelled too: nobody would see the peer's half of a close
        except BaseException:
            await websocket.close()
            raise
        await websocket.close()


class _Connection:
    """`WebSocket` over the library's connection; data frames go to the stream directly (see `frames`)."""

    __slots__ = ("_client", "_connection", "_stream", "path", "remote", "subprotocol")

    def __init__(self, connection: trio_websocket.WebSocketConnection, stream: TLSStream, remote: str) -> None:
        self._connection = connection
        self._stream = stream
        self._client = connection.is_client
        self.remote = remote
        self.subprotocol = connection.subprotocol or ""
        self.path = connection.path or ""

    async def send(self, message: bytes) -> None:
        await self.send_many((message,))

    async def send_many(self, messages: Sequence[bytes]) -> None:
        reason = self._connection.closed
        if reason is not None:
            raise ClosedError(reason.code, reason.reason or "")
        data = binary_frames(messages, os.urandom(4 * len(messages)) if self._client else None)
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ClosedError(1006) from error

    async def receive(self) -> bytes:
        try:
            message = await self._connection.get_message()
        except trio_websocket.ConnectionClosed as error:
            raise _closed(error) from error
        if isinstance(message, bytes):
            return message
        await self.close(1003, "binary messages only")
        raise ClosedError(1003, "the peer sent a text message")

    async def close(self, code: int = 1000, reason: str = "") -> None:
        with trio.move_on_after(limits.CLOSE_SECONDS):
            await self._connection.aclose(code, reason or None)


@asynccontextmanager
async def _library(
    stream: trio.SocketStream, context: ssl.SSLContext, peer: str, server_name: str | None = None
) -> AsyncIterator[tuple[TLSStream, trio.Nursery]]:
    """TLS over `stream`, and a nursery for the library's reader task; both end with the block, and the block's
    exception comes out bare."""
    secured = TLSStream(stream, context, server_hostname=server_name)
    failure: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            try:
                yield secured, nursery
            except BaseException as error:  # noqa: BLE001  # raised again below, outside the nursery and its group
                failure = error
            nursery.cancel_scope.cancel()
    except* trio_websocket.ConnectionRejected as group:
        rejected = group.exceptions[0]
        assert isinstance(rejected, trio_websocket.ConnectionRejected)
        failure = RefusedError(f"{peer}: refused the WebSocket with HTTP {rejected.status_code}", rejected.status_code)
    finally:
        await trio.aclose_forcefully(secured)
    if failure is not None:
        raise failure


@contextmanager
def _opening(peer: str, stream: TLSStream | None = None) -> Iterator[None]:
    """A deadline, and our errors, for the opening of a connection.

    The library goes on waiting when `stream` ends; this does not.
    """
    try:
        with trio.fail_after(limits.HANDSHAKE_SECONDS), trio.CancelScope() as ended:
            if stream is not None:
                stream.on_end = ended.cancel
            yield
        if stream is not None:
            stream.on_end = None
        if ended.cancelled_caught:
            raise ConnectError(f"{peer}: closed the connection while opening it")
    except trio.TooSlowError as error:
        raise ConnectError(f"{peer}: no answer within {limits.HANDSHAKE_SECONDS:g} s") from error
    except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
        cause = error.__cause__
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise CertificateError(f"{peer}: its TLS certificate is not trusted: {cause.verify_message}") from error
        raise ConnectError(f"{peer}: {getattr(cause, 'reason', None) or error}") from error
    except trio_websocket.ConnectionClosed as error:
        raise ConnectError(f"{peer}: closed the connection while opening it") from error
    except socket.gaierror as error:
        raise ConnectError(f"{peer}: no such host") from error
    except OSError as error:
        raise ConnectError(f"{peer}: {_reason(error)}") from error


def _reason(error: OSError) -> str:
    """Why, in words: trio has tried all addresses of a name and put what it met into a group."""
    cause = error.__cause__
    inner = cause.exceptions[0] if isinstance(cause, BaseExceptionGroup) else error
    return getattr(inner, "strerror", None) or str(inner)


def _choose(request: trio_websocket.WebSocketRequest, subprotocols: Sequence[str], path: str) -> str | int:
    """The subprotocol to select, or the HTTP status to refuse with."""
    if request.path.partition("?")[0] != path:
        return 404
    offered = request.proposed_subprotocols
    return next((name for name in subprotocols if name in offered), 400)


def _closed(error: trio_websocket.ConnectionClosed) -> ClosedError:
    if error.reason is None:
        return ClosedError(1006)
    return ClosedError(error.reason.code, error.reason.reason or "")


def _host_of(stream: trio.SocketStream) -> str:
    try:
        return str(stream.socket.getpeername()[0])
    except OSError:
        return "unknown"  # gone already
