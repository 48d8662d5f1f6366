"""One connection to the home server: TLS, WebSocket, handshake, sealed frames (section 4).

Rules
- States and what may come when are `protocol.states`' table; what is not in it ends the connection.
- A message is sealed when it is put, and frames leave in the order in which they were sealed (the sealed session's
  chain asks for it); one task writes, and takes all that waits in one go.
- Whatever ends the connection is one of `ConnectionFailedError`'s kinds: refused for a reason that trying again will
  not change, or `LostError`, after which the client comes back.
- Nothing falls back: no other version, suite, key or certificate than the right one.
"""

import ssl
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio

from norc_actors.client.errors import (
    ClockWrongError,
    ConnectionFailedError,
    HandshakeRefusedError,
    ServerKeyChangedError,
    TlsRefusedError,
    UnreachableError,
    VersionRefusedError,
)
from norc_actors.client.options import Tap
from norc_actors.ids import Clock, Random, ServerId
from norc_actors.limits import AUTH_SKEW_SECONDS, DEFAULT_MAX_FRAME, HANDSHAKE_SECONDS
from norc_actors.net.errors import CertificateError, ClosedError, ConnectError, RefusedError
from norc_actors.net.websocket import WebSocket, connect_websocket
from norc_actors.protocol.codec import Received, decode, decode_as, encode
from norc_actors.protocol.errors import Code, PeerError, ProtocolError
from norc_actors.protocol.frames import V2_HEADER, decode_v1, encode_v1
from norc_actors.protocol.handshake import ClientHandshake, Established, KnownKeys
from norc_actors.protocol.messages import ConnectionAccepted
from norc_actors.protocol.registry import code_of
from norc_actors.protocol.schema import Message
from norc_actors.protocol.sealed import Discarded, Rekeyed
from norc_actors.protocol.states import Link

PATH = "/norc-c?version=2.0"
SUBPROTOCOLS = ("norc-c-v2.0", "norc-c-v1")


class LostError(ConnectionFailedError):
    """The connection ended. `retry_after`: seconds that the server asked to wait."""

    code = "connection_lost"
    default_advice = "The client connects again by itself."

    def __init__(self, what: str, retry_after: float = 0.0) -> None:
        self.retry_after = retry_after
        super().__init__(what)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dial:
    """Whom to dial and what is known of them."""

    host: str
    port: int
    server_id: str
    tls: ssl.SSLContext
    known: KnownKeys
    tap: Tap | None = None


class Connection:
    """A sealed connection, not yet authenticated. Made by `connect`."""

    def __init__(self, socket: WebSocket, established: Established, clock: Clock, tap: Tap | None = None) -> None:
        self._socket = socket
        self._tap = tap
        self._clock = clock
        self._sealed = established.sealed
        self._link = Link("client")
        self._link.state = "unauthenticated"
        self._waiting: deque[bytes] = deque()
        self._wake = trio.Event()
        self._idle = trio.Event()
        self._writing = False
        self.established = established
        self.heard_at = trio.current_time()
        self.discarded = 0

    def check_clock(self, asked_at: float, answered_at: float) -> None:
        """`ClockWrongError` if the server's time, told between these two moments, is more than authentication's skew
        away from both: a slow handshake is no wrong clock."""
        told = self.established.server_time
        if told < asked_at - AUTH_SKEW_SECONDS - 1:  # it is told in whole seconds
            raise ClockWrongError(int(asked_at) - told)
        if told > answered_at + AUTH_SKEW_SECONDS:
            raise ClockWrongError(int(answered_at) - told)

    # --- Sending ---

    def put(self, message: Message) -> None:
        """Seal a message and queue it. `LostError` if the connection is over."""
        self.put_encoded(code_of(type(message)), encode(message))

    def offer(self, message: Message) -> bool:
        """Like `put`, for what the server asks for again by itself: whether it was put, False if it is too late."""
        try:
            self.put(message)
        except LostError:
            return False
        return True

    def put_encoded(self, code: int, data: bytes) -> None:
        """Seal the encoded bytes of a message and queue them."""
        try:
            self._link.sent(code)
            frames = self._sealed.seal(code, data)
        except ProtocolError as error:
            raise LostError(f"The connection is over ({error.code.name.lower()}).") from error
        if self._tap is not None:
            self._tap("sent", encode_v1(code, data))
        self._queue(frames)

    def renew_keys(self) -> None:
        """Ask for new keys if 24 h have passed."""
        if self._sealed.dh_due(self._clock()):
            self._queue(self._sealed.ask_dh(self._clock()))

    @property
    def max_message(self) -> int:
        """The longest encoded message that the server takes."""
        return self.established.peer_max_frame - 16

    def _queue(self, frames: list[bytes]) -> None:
        self._waiting.extend(frames)
        self._wake.set()

    async def write(self) -> None:
        """Write what is put, until the connection ends (`LostError`)."""
        while True:
            while self._waiting:
                frames = list(self._waiting)
                self._waiting.clear()
                self._writing = True
                try:
                    await self._socket.send_many(frames)
                except ClosedError as error:
                    raise LostError("The connection was closed.") from error
            self._writing = False
            self._idle.set()
            self._wake = trio.Event()
            await self._wake.wait()

    async def wait_written(self) -> None:
        """Wait until all that was put so far is written."""
        while self._waiting or self._writing:
            self._idle = trio.Event()
            await self._idle.wait()

    # --- Receiving ---

    async def receive(self) -> Received[Message]:
        """The next message. `LostError` when the connection ends or the server breaks a rule."""
        while True:
            try:
                event = self._sealed.receive(await self._socket.receive())
                self.heard_at = trio.current_time()
                if isinstance(event, Rekeyed):
                    self._queue(list(event.frames))
                elif isinstance(event, Discarded):
                    self.discarded += 1
                else:
                    if self._tap is not None:
                        self._tap("received", encode_v1(event.code, event.plaintext))
                    self._link.received(event.code)
                    return decode(event.code, event.plaintext)
            except ClosedError as error:
                raise LostError("The connection was closed.") from error
            except ProtocolError as error:
                raise LostError(f"The server broke a rule ({error.code.name.lower()}).") from error

    def close(self) -> None:
        """Wipe the keys; the socket closes with its block."""
        self._link.close()
        self._sealed.close()


@asynccontextmanager
async def connect(dial: Dial, *, random: Random, clock: Clock) -> AsyncIterator[Connection]:
    """Dial, check, shake hands; the connection is closed at the end of the block.

    Raises `UnreachableError`, `TlsRefusedError`, `HandshakeRefusedError`, `ServerKeyChangedError`,
    `VersionRefusedError`, `ClockWrongError`, `LostError`.
    """
    try:
        async with connect_websocket(
            dial.host,
            dial.port,
            ssl_context=dial.tls,
            server_name=dial.server_id,
            path=PATH,
            subprotocols=SUBPROTOCOLS,
            max_message_size=DEFAULT_MAX_FRAME + V2_HEADER.size,
        ) as socket:
            asked_at = clock()
            connection = Connection(socket, await _shake_hands(socket, dial, random, clock), clock, dial.tap)
            connection.check_clock(asked_at, clock())
            try:
                yield connection
            finally:
                connection.close()
    except CertificateError as error:
        raise TlsRefusedError(f"The certificate of {dial.host}:{dial.port} is not acceptable: {error}.") from error
    except RefusedError as error:
        if error.status == 400:
            raise VersionRefusedError(f"The server speaks none of our subprotocols: {error}.") from error
        raise UnreachableError(f"The server refused the WebSocket: {error}.") from error
    except ConnectError as error:
        raise UnreachableError(f"No connection to {dial.host}:{dial.port}: {error}.") from error


async def _shake_hands(socket: WebSocket, dial: Dial, random: Random, clock: Clock) -> Established:
    shake = ClientHandshake(
        server_name=ServerId(dial.server_id), known=dial.known, random=random, subprotocol=socket.subprotocol
    )
    answer = b""
    try:
        with trio.fail_after(HANDSHAKE_SECONDS):
            await socket.send(shake.request)
            answer = await socket.receive()
        if dial.tap is not None:
            dial.tap("sent", shake.request)
            dial.tap("received", answer)
        return shake.accept(answer, clock())
    except trio.TooSlowError as error:
        raise LostError("The server did not answer the handshake in time.") from error
    except ClosedError as error:
        raise LostError("The server closed the connection during the handshake.") from error
    except PeerError as error:
        if error.error_code == Code.NO_COMPATIBLE_VERSION:
            raise VersionRefusedError("The server speaks no version that this client speaks.") from error
        raise LostError("The server refused the handshake.", float(error.retry_after or 0)) from error
    except ProtocolError as error:
        if error.code is Code.INVALID_SIGNATURE and _other_key(answer, dial.known):
            raise ServerKeyChangedError(
                f"{dial.server_id} shows another identity key than the one known here."
            ) from error
        raise HandshakeRefusedError(f"The handshake of {dial.server_id} is refused: {error.detail}.") from error


def _other_key(answer: bytes, known: KnownKeys) -> bool:
    """Whether what is wrong with a refused answer is its key."""
    try:
        accepted = decode_as(ConnectionAccepted, decode_v1(answer).payload).message
    except ProtocolError:
        return False
    return bool(known.pinned or known.token_hashes) and not known.has(accepted.server_public_key)
