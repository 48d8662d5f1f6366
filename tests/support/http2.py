"""HTTP/2 ends: two in memory, and real ones over mutual TLS on loopback."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import trio
from h2.config import H2Configuration
from h2.connection import H2Connection

from norc_actors.net.errors import ConnectError
from norc_actors.net.http2 import Http2Served, open_http2, serve_http2
from norc_actors.net.http2_core import Ended, Event
from norc_actors.net.http2_ends import ClientEnd, ServerEnd
from norc_actors.net.listener import accept_forever, bound_address, open_listeners
from norc_actors.net.tls import peer_contexts
from tests.support.pki import Authority, Issued

ALPN = ("norc-f/2.0", "norc-f/1.2", "norc-f/1.1", "norc-f/1.0")
ALICE, BOB = "alice.example.org", "bob.example.org"
MAX_BODY = 2**20


class Duo:
    """A client's and a server's end, and the bytes between them, in memory. Time stands unless it is moved."""

    def __init__(self, *, max_body: int = MAX_BODY, plain: bool = False) -> None:
        self.now = 0.0
        self.client = ClientEnd(authority=BOB, max_body=max_body, now=0.0)
        self.server = ServerEnd(max_body=max_body, plain=plain, now=0.0)
        self.at_client: list[Event] = []
        self.at_server: list[Event] = []

    def exchange(self, chunk: int = 2**16) -> None:
        """Carry bytes to and fro, `chunk` at a time, until both are quiet."""
        while True:
            forth = self.client.replies() + self.client.frames_to_send(self.now)
            back = self.server.replies() + self.server.frames_to_send(self.now)
            if not forth and not back:
                return
            for at in range(0, len(forth), chunk):
                self.at_server += self.server.receive(forth[at : at + chunk], self.now)
            for at in range(0, len(back), chunk):
                self.at_client += self.client.receive(back[at : at + chunk], self.now)


class Hand:
    """A peer driven by hand, with h2 alone, against an end of ours."""

    def __init__(self, end: ServerEnd | ClientEnd) -> None:
        self.end = end
        self.now = 0.0
        client = isinstance(end, ServerEnd)
        self.h2 = H2Connection(
            H2Configuration(client_side=client, header_encoding=None, validate_outbound_headers=False)
        )
        self.h2.initiate_connection()
        self.events: list[Event] = []
        self.heard: list[object] = []
        self.send()

    def send(self, raw: bytes = b"") -> list[Event]:
        """What h2 has to send, and `raw` after it; the events at our end. Its answers are read."""
        got = self.end.receive(self.h2.data_to_send() + raw, self.now)
        self.events += got
        self.listen()
        return got

    def listen(self) -> None:
        back = self.end.replies() + self.end.frames_to_send(self.now)
        if back:
            self.heard += self.h2.receive_data(back)

    @property
    def ended(self) -> Ended | None:
        return next((event for event in self.events if isinstance(event, Ended)), None)


def request(path: str = "/norc-f", method: str = "POST", **more: str) -> list[tuple[str, str]]:
    named = [(name.replace("_", "-"), value) for name, value in more.items()]
    return [(":method", method), (":scheme", "https"), (":authority", BOB), (":path", path), *named]


@dataclass
class Organisations:
    """Two servers' certificates, under a CA each, and what each trusts (both CAs)."""

    folder: Path
    alice_ca: Authority = field(default_factory=lambda: Authority("Alice's CA"))
    bob_ca: Authority = field(default_factory=lambda: Authority("Bob's CA"))

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.alice, self.bob = self.alice_ca.issue(ALICE), self.bob_ca.issue(BOB)

    @property
    def trusted(self) -> str:
        return self.alice_ca.pem + self.bob_ca.pem

    def contexts(self, issued: Issued, name: str = "some") -> tuple[ssl.SSLContext, ssl.SSLContext]:
        """(server's, client's)."""
        return peer_contexts(*issued.write(self.folder, name), pem=self.trusted)

    @property
    def client(self) -> ssl.SSLContext:
        return self.contexts(self.alice, "alice")[1]

    @property
    def server(self) -> ssl.SSLContext:
        return self.contexts(self.bob, "bob")[0]


async def echo(served: Http2Served) -> None:
    while (asked := await served.next()) is not None:
        await asked.respond(asked.body)


@dataclass
class Listening:
    port: int
    context: ssl.SSLContext
    refused: list[ConnectError] = field(default_factory=list)
    ended: int = 0

    def open(self, **changed: object):
        """`open_http2` to it."""
        values: dict = {
            "host": "127.0.0.1",
            "port": self.port,
            "context": self.context,
            "server_name": BOB,
            "alpn": ALPN,
            "max_body": MAX_BODY,
        }
        return open_http2(**(values | changed))


@asynccontextmanager
async def listening(
    organisations: Organisations,
    serve: Callable[[Http2Served], Awaitable[None]] = echo,
    *,
    server: ssl.SSLContext | None = None,
    alpn: Sequence[str] = ALPN,
    max_body: int = MAX_BODY,
) -> AsyncIterator[Listening]:
    """Bob's server on a free port; `Listening.context` is Alice's."""
    [listener] = await open_listeners("127.0.0.1:0")
    context = server or organisations.server
    async with listener, trio.open_nursery() as nursery:
        state = Listening(bound_address(listener)[1], organisations.client)

        async def one(stream: trio.SocketStream) -> None:
            try:
                await serve_http2(stream, serve, context=context, alpn=alpn, max_body=max_body)
            except ConnectError as error:
                state.refused.append(error)
            state.ended += 1

        async def accepted(stream: trio.SocketStream) -> None:
            nursery.start_soon(one, stream)

        nursery.start_soon(partial(accept_forever, listener, accepted))
        try:
            yield state
        finally:
            nursery.cancel_scope.cancel()
