"""WebSockets over TLS, behind an interface of our own.

Rules
- Binary messages only. A text message closes the connection with 1003, one longer than `max_message_size` with 1009.
- No extension is offered or accepted (D-27: no compression).
- A client that offers none of our subprotocols is answered HTTP 400, another path 404; the first of *our* order that
  it offers is selected.
- One task receives, any number send: messages of one `send_many` stay together, in one TLS record run and one system
  call, and the order of calls is the order on the wire.
- Every wait on a peer has a deadline: opening (`HANDSHAKE_SECONDS`), closing (`CLOSE_SECONDS`). A peer that is silent
  in between is the caller's to judge (ping).
- Closing: a WebSocket close frame, a TLS close_notify, then the socket. Who is cancelled does not wait for the peer:
  close_notify and the socket alone. Whatever happens, the socket is closed in the end.

This file is the client's side and the only one that knows trio-websocket; the server's side is `accepted`, the
interface of both `interface`. `connect_websocket` holds the nursery of the library's reader task; what the body
raises comes out as it is, not in an exception group.
"""

import os
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio
import trio_websocket

from norc_actors import limits
from norc_actors.net.accepted import serve_websocket
from norc_actors.net.errors import ClosedError, ConnectError, RefusedError
from norc_actors.net.frames import binary_frames
from norc_actors.net.interface import WebSocket
from norc_actors.net.opening import opening
from norc_actors.net.tls_stream import TLSStream

__all__ = ["WebSocket", "connect_websocket", "serve_websocket"]

_QUEUE = 1
_READ_BYTES = 64 * 1024


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
    with opening(peer):
        stream = await trio.open_tcp_stream(host, port)
    async with _library(stream, ssl_context, peer, server_name) as (secured, nursery):
        with opening(peer, secured):
            await secured.do_handshake()
            try:
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
            except trio_websocket.ConnectionClosed as error:
                raise ConnectError(f"{peer}: closed the connection while opening it") from error
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


def _closed(error: trio_websocket.ConnectionClosed) -> ClosedError:
    if error.reason is None:
        return ClosedError(1006)
    return ClosedError(error.reason.code, error.reason.reason or "")
