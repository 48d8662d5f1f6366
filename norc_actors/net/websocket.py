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

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

import trio


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
    stream is always closed when this returns.
    """
    raise NotImplementedError


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
    raise NotImplementedError
    yield
