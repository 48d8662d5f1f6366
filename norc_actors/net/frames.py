"""WebSocket frames (RFC 6455, section 5), without I/O: writing for both sides, reading for a server.

Rules of `FrameReader`
- Bytes in, events out, in order: a binary message (`bytes`), `Ping`, `Closing` (the peer's close), `Refused` (what
  the reader will not take; the connection is to be closed with its code). Pongs are dropped. No bytes raise.
- A frame is judged by its header, before its payload is waited for: unmasked, a reserved bit (no extension is ever
  agreed), an unknown opcode, a long or cut control frame, a length not in its shortest form: 1002. Text: 1003. Longer
  than the limit, fragments together: 1009.
- After a refusal nothing but the peer's close is reported. If frames can still be told apart (1003, 1009) reading
  goes on for it; else never.
- What is kept between two calls: an incomplete frame, and the fragments so far, both within the limit.

Frames are never fragmented by the writer: a message is at most `max_frame` long, and control frames may go between
messages.
"""

from collections.abc import Sequence
from dataclasses import dataclass

_BINARY = 0x82  # FIN, opcode 2
_MASKED = 0x80
_CONTINUATION, _TEXT, _BYTES, _CLOSE, _PING, _PONG = 0, 1, 2, 8, 9, 10
_CODES = frozenset((1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014))

PROTOCOL_ERROR, NO_TEXT, TOO_BIG, NO_STATUS = 1002, 1003, 1009, 1005


@dataclass(frozen=True, slots=True)
class Ping:
    """To be answered with a pong of the same payload."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Closing:
    """The peer closes; 1005 if it gave no code."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The peer broke a rule. `lost`: where its next frame begins cannot be known."""

    code: int
    reason: str
    lost: bool


Event = bytes | Ping | Closing | Refused


def binary_frames(messages: Sequence[bytes], masks: bytes | None = None) -> bytes:
    """The frames of binary messages, unmasked as a server sends them, or masked with four bytes of `masks` each (a
    client)."""
    parts: list[bytes] = []
    bit = 0 if masks is None else _MASKED
    for number, message in enumerate(messages):
        length = len(message)
        if length < 126:
            parts.append(bytes((_BINARY, bit | length)))
        elif length < 65536:
            parts.append(bytes((_BINARY, bit | 126, length >> 8, length & 255)))
        else:
            parts.append(bytes((_BINARY, bit | 127)) + length.to_bytes(8, "big"))
        if masks is None:
            parts.append(message)
        else:
            mask = masks[4 * number : 4 * number + 4]
            parts.append(mask)
            parts.append(_xor(message, mask))
    return b"".join(parts)


def pong_frame(payload: bytes) -> bytes:
    """A server's answer to a ping."""
    return bytes((0x80 | _PONG, len(payload))) + payload


def close_frame(code: int, reason: str = "") -> bytes:
    """A server's close; the reason is cut to what fits. 1005 is no code to send: an empty close."""
    payload = b"" if code == NO_STATUS else code.to_bytes(2, "big") + _cut(reason.encode(), 123)
    return bytes((0x80 | _CLOSE, len(payload))) + payload


class FrameReader:
    """A server's reader of a client's frames; see the module."""

    __slots__ = ("_buffer", "_fragments", "_limit", "_refused", "_skip")

    def __init__(self, max_message_size: int) -> None:
        self._limit = max_message_size
        self._buffer: bytes | bytearray = b""
        self._fragments: bytearray | None = None
        self._skip = 0  # bytes of a refused payload that are still to come
        self._refused: Refused | None = None

    def feed(self, data: bytes) -> list[Event]:
        """What `data` completes."""
        events: list[Event] = []
        if self._refused is not None and self._refused.lost:
            return events
        have: bytes | bytearray = data
        if self._buffer:
            self._buffer += data
            have = self._buffer
        at = 0
        while (after := self._frame(have, at, events)) is not None:
            at = after
        self._buffer = bytearray(have[at:]) if at < len(have) else b""
        return events

    def _frame(self, data: bytes | bytearray, at: int, events: list[Event]) -> int | None:
        """Read one frame at `at` and return where the next begins; None if it is not complete."""
        if self._skip:
            step = min(self._skip, len(data) - at)
            self._skip -= step
            return at + step if step else None
        header = _header(data, at)
        if header is None:
            return None
        first, length, start = header
        plain = first == _BINARY and 0 <= length <= self._limit and self._refused is None and self._fragments is None
        refused = None if plain else self._judge(first, length)
        if refused is not None:
            if self._refused is None:
                events.append(refused)
            self._refused = refused
            if refused.lost:
                return None
            self._fragments = None
            self._skip = length
            return start
        end = start + length
        if end > len(data):
            return None
        payload = _xor(data[start:end], data[start - 4 : start])
        if plain:
            events.append(payload)
        elif self._refused is None or first & 0x0F == _CLOSE:
            self._take(first, payload, events)
        return end

    def _judge(self, first: int, length: int) -> Refused | None:
        """Whether a frame with this first byte may come now; length < 0 stands for a header that is wrong in itself."""
        opcode, last = first & 0x0F, first & 0x80
        if length < 0 or first & 0x70 or opcode not in (_CONTINUATION, _TEXT, _BYTES, _CLOSE, _PING, _PONG):
            return Refused(PROTOCOL_ERROR, "no frame", lost=True)
        if opcode >= _CLOSE:
            return None if last and length < 126 else Refused(PROTOCOL_ERROR, "no control frame", lost=True)
        if self._refused is not None:  # read on for the peer's close, and take nothing else
            return Refused(self._refused.code, self._refused.reason, lost=False)
        if (opcode == _CONTINUATION) != (self._fragments is not None):
            return Refused(PROTOCOL_ERROR, "a fragment out of place", lost=True)
        if opcode == _TEXT:
            return Refused(NO_TEXT, "binary messages only", lost=False)
        if length + len(self._fragments or b"") > self._limit:
            return Refused(TOO_BIG, f"a message has at most {self._limit} bytes", lost=False)
        return None

    def _take(self, first: int, payload: bytes, events: list[Event]) -> None:
        """A whole frame that may come."""
        opcode = first & 0x0F
        if opcode == _BYTES and first & 0x80:
            events.append(payload)
        elif opcode <= _BYTES:
            self._fragments = (self._fragments or bytearray()) + payload
            if first & 0x80:
                events.append(bytes(self._fragments))
                self._fragments = None
        elif opcode == _PING:
            events.append(Ping(payload))
        elif opcode == _CLOSE:
            closing = _closing(payload)
            events.append(closing)
            self._refused = Refused(PROTOCOL_ERROR, "after a close", lost=True)


def _header(data: bytes | bytearray, at: int) -> tuple[int, int, int] | None:
    """(first byte, length or -1 for a wrong header, where the payload begins), or None if it is not all there."""
    have = len(data) - at
    if have < 2:
        return None
    first, second = data[at], data[at + 1]
    if not second & _MASKED:
        return first, -1, at
    length, start = second & 0x7F, at + 2
    if length >= 126:
        size = 2 if length == 126 else 8
        if have < 2 + size:
            return None
        length = int.from_bytes(data[start : start + size], "big")
        start += size
        if length < (126 if size == 2 else 65536) or length >= 2**63:
            return first, -1, at
    return (first, length, start + 4) if len(data) >= start + 4 else None


def _closing(payload: bytes) -> Closing | Refused:
    if not payload:
        return Closing(NO_STATUS, "")
    code = int.from_bytes(payload[:2], "big")
    if len(payload) < 2 or not (code in _CODES or 3000 <= code < 5000):
        return Refused(PROTOCOL_ERROR, "no close code", lost=True)
    try:
        return Closing(code, payload[2:].decode())
    except UnicodeDecodeError:
        return Refused(1007, "the reason is not UTF-8", lost=True)


def _cut(text: bytes, length: int) -> bytes:
    """UTF-8 cut between characters."""
    return text if len(text) <= length else text[:length].decode(errors="ignore").encode()


def _xor(message: bytes | bytearray, mask: bytes | bytearray) -> bytes:
    """`message` under the repeated mask: as one large number, which is the fastest way in pure Python."""
    length = len(message)
    key = (mask * (length // 4 + 1))[:length]
    return (int.from_bytes(message, "little") ^ int.from_bytes(key, "little")).to_bytes(length, "little")
