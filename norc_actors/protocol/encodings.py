"""The two encodings of a connection, behind one interface (section 3, §8.2).

The subprotocol fixes the encoding and nothing else: `norc-c-json-v1` is JSON, every other one MessagePack. Signatures,
transcripts and hashes are the same in both, since they are computed from maps and raw ciphertexts. Whoever makes or
reads a frame of a connection does it through its `Encoding`.
"""

from typing import Protocol, TypeVar

from . import codec, json_form
from .codec import Received
from .frames import V1Frame, decode_v1, encode_v1
from .json_frames import JsonSession, decode_bare, encode_bare
from .registry import code_of
from .schema import Map, Message
from .sealed import SealedSession

T = TypeVar("T", bound=Map)

JSON_SUBPROTOCOL = "norc-c-json-v1"


class Encoding(Protocol):
    """How the messages and frames of one connection are written."""

    @property
    def session(self) -> type[SealedSession]:
        """The sealed session that writes such frames."""

    def encode(self, message: Message) -> bytes:
        """A message, to be sealed."""

    def decode(self, code: int, data: bytes) -> Received[Message]:
        """The message of type `code` in what was opened; `ProtocolError` for what is refused."""

    def decode_as(self, kind: type[T], data: bytes) -> Received[T]:
        """Like `decode` for one expected struct."""

    def pack(self, message: Message) -> bytes:
        """An unsealed frame: a whole WebSocket message."""

    def unpack(self, data: bytes, max_frame: int) -> V1Frame:
        """The code and payload of an unsealed frame; `ProtocolError` for what is refused."""


class _MessagePack:
    """Binary WebSocket messages: v1 and v2 frames."""

    session = SealedSession

    def encode(self, message: Message) -> bytes:
        return codec.encode(message)

    def decode(self, code: int, data: bytes) -> Received[Message]:
        return codec.decode(code, data)

    def decode_as(self, kind: type[T], data: bytes) -> Received[T]:
        return codec.decode_as(kind, data)

    def pack(self, message: Message) -> bytes:
        return encode_v1(code_of(type(message)), codec.encode(message))

    def unpack(self, data: bytes, max_frame: int) -> V1Frame:
        return decode_v1(data, max_frame)


class _Json:
    """Text WebSocket messages: one object each."""

    session = JsonSession

    def encode(self, message: Message) -> bytes:
        return encode_bare(message)

    def decode(self, code: int, data: bytes) -> Received[Message]:
        return json_form.decode_json(code, data)

    def decode_as(self, kind: type[T], data: bytes) -> Received[T]:
        return json_form.decode_json_as(kind, data)

    def pack(self, message: Message) -> bytes:
        return encode_bare(message)

    def unpack(self, data: bytes, max_frame: int) -> V1Frame:
        return decode_bare(data, max_frame)


MESSAGEPACK: Encoding = _MessagePack()
JSON: Encoding = _Json()


def encoding_of(subprotocol: str) -> Encoding:
    """The encoding that a WebSocket subprotocol fixes."""
    return JSON if subprotocol == JSON_SUBPROTOCOL else MESSAGEPACK
