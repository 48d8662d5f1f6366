"""A client's connection: TLS, WebSocket, handshake, sealed messages both ways (connection.md). It blocks, with a
deadline."""

import socket
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import wsproto
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Message,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.utilities import RemoteProtocolError

from .forms import Map, RefusedError, number
from .sealed import Handshake, Sealed, read_v1, v1_frame

WAIT = 20.0
"""Seconds for any one answer; a test that waits so long has failed."""


class EndedError(Exception):
    """The connection is over: the WebSocket's close code, or the HTTP status that refused it."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class AnsweredError(Exception):
    """The server answered with `error`."""

    def __init__(self, error: Map) -> None:
        super().__init__(error)
        self.error = error
        self.code = number(error, "error_code")


@dataclass(frozen=True)
class Place:
    """Where a server is, and what is known of it before."""

    host: str
    port: int
    ca: Path
    server_id: str = "localhost"


class Socket:
    """A WebSocket of binary messages."""

    def __init__(self, place: Place, *, target: str, subprotocols: list[str]) -> None:
        context = ssl.create_default_context(cafile=str(place.ca))
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        plain = socket.create_connection((place.host, place.port), WAIT)
        try:
            self._tls = context.wrap_socket(plain, server_hostname=place.server_id)
        except BaseException:
            plain.close()
            raise
        self._ws = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
        self._messages: deque[bytes] = deque()
        self._part = b""
        self.subprotocol = ""
        self._accepted = False
        self.ended: int | None = None
        try:
            host = f"{place.server_id}:{place.port}"
            self._write(self._ws.send(Request(host=host, target=target, subprotocols=subprotocols)))
            while not self._accepted:
                self._read()
        except BaseException:
            self._tls.close()
            raise

    def send(self, message: bytes) -> None:
        """One binary message."""
        self._write(self._ws.send(Message(data=message)))

    def send_text(self, message: str) -> None:
        """One text message, which no server of this protocol takes here."""
        self._write(self._ws.send(Message(data=message)))

    def send_raw(self, octets: bytes) -> None:
        """Bytes that are no WebSocket frame of ours."""
        self._write(octets)

    def receive(self) -> bytes:
        """The next message, or `EndedError`."""
        while not self._messages:
            if self.ended is not None:
                raise EndedError(self.ended)
            self._read()
        return self._messages.popleft()

    def answer_and_end(self) -> tuple[int | None, int]:
        """How an unsealed connection ends now: (code of the `error` that was sent, WebSocket's close code)."""
        code: int | None = None
        try:
            while True:
                code = number(read_v1(self.receive()), "error_code")
        except EndedError as ended:
            return code, ended.code

    def close(self) -> None:
        self._tls.close()

    def __enter__(self) -> "Socket":
        return self

    def __exit__(self, *of_the_block: object) -> None:
        self.close()

    def _write(self, octets: bytes) -> None:
        try:
            self._tls.sendall(octets)
        except OSError as error:
            raise EndedError(1006 if self.ended is None else self.ended) from error

    def _read(self) -> None:
        try:
            octets = self._tls.recv(65536)
        except (ConnectionError, ssl.SSLEOFError):
            octets = b""
        if not octets:
            self.ended = self.ended or 1006
            raise EndedError(self.ended)
        try:
            self._ws.receive_data(octets)
            for event in self._ws.events():
                self._take(event)
        except RemoteProtocolError as error:
            raise RefusedError("no WebSocket") from error

    def _take(self, event: object) -> None:
        match event:
            case AcceptConnection(subprotocol=subprotocol):
                self._accepted, self.subprotocol = True, subprotocol or ""
            case RejectConnection(status_code=status):
                raise EndedError(status)
            case BytesMessage(data=octets, message_finished=finished):
                self._part += bytes(octets)
                if finished:
                    self._messages.append(self._part)
                    self._part = b""
            case TextMessage():
                raise RefusedError("a text message")
            case CloseConnection() as close:
                self.ended = int(close.code)
                self._tls.sendall(self._ws.send(close.response()))
            case _:
                pass


class Connection:
    """A connection after its handshake. `change` alters the request before it leaves, for those who mean harm."""

    def __init__(
        self,
        place: Place,
        *,
        suites: list[str] | None = None,
        pinned: bytes | None = None,
        key_hashes: list[bytes] | None = None,
        subprotocols: list[str] | None = None,
        target: str = "/norc-c?version=2.0",
        change: Callable[[Map], None] | None = None,
    ) -> None:
        self.socket = Socket(place, target=target, subprotocols=subprotocols or ["norc-c-v2.0", "norc-c-v1"])
        self._waiting: deque[Map] = deque()
        try:
            handshake = Handshake(place.server_id, self.socket.subprotocol, suites or ["0101", "0001"])
            if change is not None:
                change(handshake.request)
            self.socket.send(v1_frame(handshake.request))
            answer = read_v1(self.socket.receive())
            if answer["type"] == "error":
                raise AnsweredError(answer)
            self.accepted = answer
            self.sealed: Sealed = handshake.accept(answer, pinned, key_hashes or [])
        except BaseException:
            self.socket.close()
            raise

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *of_the_block: object) -> None:
        self.socket.close()

    def send(self, message: Map, code: int | None = None) -> None:
        """Seal and send a message."""
        self.send_frames(self.sealed.seal(message, code))

    def send_frames(self, frames: list[bytes]) -> None:
        for frame in frames:
            self.socket.send(frame)

    def receive(self) -> Map:
        """The next message; pings are answered, which says that all before them is kept."""
        return self._waiting.popleft() if self._waiting else self._next()

    def _next(self) -> Map:
        while True:
            message, frames = self.sealed.open(self.socket.receive())
            self.send_frames(frames)
            if message is None:
                continue
            if message["type"] != "ping":
                return message
            self.send({"type": "pong", "timestamp": message["timestamp"]})

    def expect(self, *types: str, where: Callable[[Map], bool] = lambda message: True) -> Map:
        """The next message of these types; others wait for whoever expects them. An `error` raises `AnsweredError`."""
        for message in self._waiting:
            if message["type"] in types and where(message):
                self._waiting.remove(message)
                return message
        while True:
            message = self._next()
            if message["type"] in types and where(message):
                return message
            if message["type"] == "error":
                raise AnsweredError(message)
            self._waiting.append(message)

    def roundtrip(self) -> None:
        """Return when the server has served all that was sent before."""
        self.send({"type": "ping", "timestamp": 7})
        assert number(self.expect("pong"), "timestamp") == 7

    def end(self) -> tuple[int | None, int]:
        """How a connection ends now: (code of its last `error` without a request, WebSocket's close code)."""
        code: int | None = None
        try:
            while True:
                message = self._next()
                if message["type"] == "error" and "request_id" not in message:
                    code = number(message, "error_code")
        except EndedError as ended:
            return code, ended.code

    def rekey(self) -> None:
        """A new agreement, and back when both directions run under the new keys."""
        before = self.sealed.agreements
        self.send_frames(self.sealed.ask_dh())
        while self.sealed.agreements == before:
            message, frames = self.sealed.open(self.socket.receive())
            self.send_frames(frames)
            if message is not None:
                self._waiting.append(message)
        self.roundtrip()

    @property
    def server_key(self) -> bytes:
        """The identity key that the server has shown and proved."""
        key = self.accepted["server_public_key"]
        assert isinstance(key, bytes)
        return key
