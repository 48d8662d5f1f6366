"""Real TLS over loopback: a private CA, a server on a free port, clients."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import trio

from norc_actors.devpki import DevFiles
from norc_actors.ids import ServerId
from norc_actors.net.errors import ConnectError
from norc_actors.net.listener import accept_forever, bound_address, open_listeners
from norc_actors.net.tls import client_context, server_context
from norc_actors.net.websocket import WebSocket, connect_websocket, serve_websocket

SERVER = ServerId("chat.example.org")
PROTOCOLS = ("norc-c-v2.0", "norc-c-v1")

Handler = Callable[[WebSocket], Awaitable[None]]


class Loopback:
    """A server on loopback. `refused` collects why openings failed."""

    def __init__(self, pki: DevFiles, port: int) -> None:
        self.port = port
        self.context = client_context(pki.ca)
        self.refused: list[ConnectError] = []

    def connect(self, **changed: object):
        """`connect_websocket` to it."""
        values: dict = {
            "host": "127.0.0.1",
            "port": self.port,
            "ssl_context": self.context,
            "server_name": SERVER,
            "path": "/norc-c?version=2.0",
            "subprotocols": PROTOCOLS,
            "max_message_size": 2**20,
        }
        return connect_websocket(**(values | changed))

    @asynccontextmanager
    async def tcp(self) -> AsyncIterator[trio.SocketStream]:
        """A TCP connection without TLS."""
        stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        try:
            yield stream
        finally:
            await trio.aclose_forcefully(stream)

    @asynccontextmanager
    async def tls(self) -> AsyncIterator[trio.SSLStream]:
        """A TLS connection without a WebSocket, by trio's own means."""
        async with self.tcp() as stream:
            yield trio.SSLStream(stream, self.context, server_hostname=SERVER)


@asynccontextmanager
async def serving(pki: DevFiles, handler: Handler, context: ssl.SSLContext | None = None) -> AsyncIterator[Loopback]:
    """Serve `handler` on a free port."""
    [listener] = await open_listeners("127.0.0.1:0")
    async with listener, trio.open_nursery() as nursery:
        loopback = Loopback(pki, bound_address(listener)[1])
        tls = context or server_context(pki.certificate, pki.key)

        async def serve(stream: trio.SocketStream) -> None:
            try:
                await serve_websocket(stream, handler, ssl_context=tls, subprotocols=PROTOCOLS, max_message_size=2**16)
            except ConnectError as error:
                loopback.refused.append(error)

        async def accepted(stream: trio.SocketStream) -> None:
            nursery.start_soon(serve, stream)

        nursery.start_soon(partial(accept_forever, listener, accepted))
        try:
            yield loopback
        finally:
            nursery.cancel_scope.cancel()


async def until(condition: Callable[[], object]) -> None:
    """Real sockets tell nobody when the other side has noticed."""
    with trio.fail_after(5):
        while not condition():  # noqa: ASYNC110
            await trio.sleep(0.001)
