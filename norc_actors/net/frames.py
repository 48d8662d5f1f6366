"""Writing WebSocket data frames (RFC 6455, section 5.2): many messages, one buffer.

The library writes one frame per call and lets the scheduler run in between; a batch of sealed messages has to leave
whole and in order, in one TLS write. So data frames are written here; control frames, the opening and all reading
stay with the library. Frames are never fragmented: a message is at most `max_frame` long, and control frames may go
between messages.
"""

from collections.abc import Sequence

_BINARY = 0x82  # FIN, opcode 2
_MASKED = 0x80


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


def _xor(message: bytes, mask: bytes) -> bytes:
    """`message` under the repeated mask: as one large number, which is the fastest way in pure Python."""
    length = len(message)
    key = (mask * (length // 4 + 1))[:length]
    return (int.from_bytes(message, "little") ^ int.from_bytes(key, "little")).to_bytes(length, "little")
