"""Frames on the wire (section 3; §7.1.3, §8.1, F§13.4; D-4, D-17, D-28; row B19).

```
v1          type:u8 length:u32 payload
v2          ver:u8=2 type:u8 length:u32 message_id:16 sequence:u64 prev_message_hash:32 ciphertext      header: 62 bytes
federation  ver:u8 type:u8 length:u32 body                                                   ver: 1 for 1.x, 2 for 2.0
```
Rules
- `length` counts what follows the header; in v2 that is the ciphertext with its tag, so under 16 is refused.
- A frame that is too long is refused from its header, before any of it is kept: `FrameStream` never holds more than one
  allowed frame and the piece last fed.
- On a WebSocket one message is one frame (`decode_v1`, `decode_v2`): bytes that are missing or left over are refused.
  On a stream frames follow one another (`FrameStream`), cut anywhere.
- Nothing here knows what a type means: that is the codec's.
"""

import struct
from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from norc_actors.limits import DEFAULT_MAX_FRAME

from .errors import Code, ProtocolError, malformed

V1_HEADER = struct.Struct(">BI")
V2_HEADER = struct.Struct(">BBI16sQ32s")
FEDERATION_HEADER = struct.Struct(">BBI")
V2_VERSION = 2
FEDERATION_VERSIONS = (1, 2)
TAG_BYTES = 16


class V1Frame(msgspec.Struct, frozen=True):
    """An unsealed frame: a type code and a MessagePack map."""

    type: int
    payload: bytes


class V2Frame(msgspec.Struct, frozen=True):
    """A sealed frame: header and ciphertext, not opened."""

    type: int
    message_id: bytes
    sequence: int
    prev_message_hash: bytes
    ciphertext: bytes


class FederationFrame(msgspec.Struct, frozen=True):
    """A frame between servers; `version` is the major that is spoken."""

    version: int
    type: int
    body: bytes


Frame = TypeVar("Frame", V1Frame, V2Frame, FederationFrame)


def encode_v1(code: int, payload: bytes) -> bytes:
    """A v1 frame."""
    return V1_HEADER.pack(code, len(payload)) + payload


def encode_v2(frame: V2Frame) -> bytes:
    """A v2 frame around a finished ciphertext."""
    header = V2_HEADER.pack(
        V2_VERSION, frame.type, len(frame.ciphertext), frame.message_id, frame.sequence, frame.prev_message_hash
    )
    return header + frame.ciphertext


def encode_federation(version: int, code: int, body: bytes) -> bytes:
    """A federation frame."""
    return FEDERATION_HEADER.pack(version, code, len(body)) + body


def decode_v1(data: bytes, max_frame: int = DEFAULT_MAX_FRAME) -> V1Frame:
    """The one v1 frame that `data` is, or `ProtocolError`."""
    _check_whole(data, V1_HEADER.size, _v1_length, max_frame)
    return _v1(data)


def decode_v2(data: bytes, max_frame: int = DEFAULT_MAX_FRAME) -> V2Frame:
    """The one v2 frame that `data` is, or `ProtocolError`."""
    _check_whole(data, V2_HEADER.size, _v2_length, max_frame)
    return _v2(data)


def _check_whole(data: bytes, header: int, length_of: Callable[[bytes, int], int], max_frame: int) -> None:
    if len(data) < header:
        raise malformed("a frame shorter than its header")
    if len(data) != header + length_of(data, max_frame):
        raise malformed("a frame of another length than its header says")


class FrameStream(Generic[Frame]):
    """Frames out of a stream of bytes cut anywhere; make one with `v1_stream`, `v2_stream` or `federation_stream`.

    `feed` returns the frames that are whole now and raises `ProtocolError` at the first header that breaks a rule; the
    stream is of no use afterwards.
    """

    __slots__ = ("_buffer", "_header", "_length_of", "_max_frame", "_parse")

    def __init__(
        self, header: int, length_of: Callable[[bytes, int], int], parse: Callable[[bytes], Frame], max_frame: int
    ) -> None:
        self._header = header
        self._length_of = length_of
        self._parse: Callable[[bytes], Frame] = parse
        self._max_frame = max_frame
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames completed by `data`."""
        buffer = self._buffer  # grows in place: a long frame in small pieces costs its length, not the square of it
        buffer += data
        frames = []
        start = 0
        while len(buffer) - start >= self._header:
            head = bytes(buffer[start : start + self._header])
            end = start + self._header + self._length_of(head, self._max_frame)
            if end > len(buffer):
                break
            frames.append(self._parse(bytes(buffer[start:end])))
            start = end
        del buffer[:start]
        return frames

    @property
    def between_frames(self) -> bool:
        """Whether the stream may end here."""
        return not self._buffer


def v1_stream(max_frame: int = DEFAULT_MAX_FRAME) -> FrameStream[V1Frame]:
    """A reader of v1 frames in a row."""
    return FrameStream(V1_HEADER.size, _v1_length, _v1, max_frame)


def v2_stream(max_frame: int = DEFAULT_MAX_FRAME) -> FrameStream[V2Frame]:
    """A reader of v2 frames in a row."""
    return FrameStream(V2_HEADER.size, _v2_length, _v2, max_frame)


def split_v2(data: bytes, max_frame: int) -> list[bytes]:
    """The v2 frames in a row that `data` is, each as its bytes; `ProtocolError` if it is anything else."""
    stream: FrameStream[V2Frame] = v2_stream(max_frame)
    frames = [encode_v2(frame) for frame in stream.feed(data)]
    if not frames or not stream.between_frames:
        raise malformed("no row of whole v2 frames")
    return frames


def federation_stream(max_frame: int) -> FrameStream[FederationFrame]:
    """A reader of federation frames in a row."""
    return FrameStream(FEDERATION_HEADER.size, _federation_length, _federation, max_frame)


def _bounded(length: int, max_frame: int) -> int:
    if length > max_frame:
        raise ProtocolError(Code.TOO_LARGE, f"a frame of {length} bytes, {max_frame} are allowed")
    return length


def _v1_length(head: bytes, max_frame: int) -> int:
    return _bounded(int.from_bytes(head[1:5], "big"), max_frame)


def _v1(data: bytes) -> V1Frame:
    return V1Frame(data[0], data[V1_HEADER.size :])


def _v2_length(head: bytes, max_frame: int) -> int:
    if head[0] != V2_VERSION:
        raise malformed("no v2 frame")
    length = _bounded(int.from_bytes(head[2:6], "big"), max_frame)
    if length < TAG_BYTES:
        raise malformed("a sealed frame shorter than its tag")
    return length


def _v2(data: bytes) -> V2Frame:
    _, code, _, message_id, sequence, prev = V2_HEADER.unpack_from(data)
    return V2Frame(code, message_id, sequence, prev, data[V2_HEADER.size :])


def _federation_length(head: bytes, max_frame: int) -> int:
    if head[0] not in FEDERATION_VERSIONS:
        raise malformed("no federation frame")
    return _bounded(int.from_bytes(head[2:6], "big"), max_frame)


def _federation(data: bytes) -> FederationFrame:
    return FederationFrame(data[0], data[1], data[FEDERATION_HEADER.size :])
