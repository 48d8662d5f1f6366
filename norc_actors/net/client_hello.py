"""What a client offers by ALPN, read from its ClientHello before OpenSSL sees it (RFC 8446 4.1.2, RFC 7301).

Python's `ssl` lets a server's handshake go on when no protocol is common and has no hook to refuse it, but RFC 7301
wants the alert `no_application_protocol`. The ClientHello is plain text and we own the bytes, so it is read here, and
the alert is a plain record too, as it is when OpenSSL itself answers a ClientHello.

Rules
- Bytes in; out the names in the client's order, `None` while more is needed. `ValueError`: this is no ClientHello that
  can be read, and OpenSSL shall say what it thinks of it. No other exception, whatever the bytes.
- Nothing is decided by a ClientHello that OpenSSL would read otherwise: what counts in the end is its own selection,
  which the caller looks at after the handshake.
"""

from norc_actors import limits

NO_APPLICATION_PROTOCOL = bytes((21, 3, 3, 0, 2, 2, 120))
"""The record of the fatal alert."""

_HANDSHAKE, _CLIENT_HELLO, _ALPN = 22, 1, 16


def offered_protocols(data: bytes | bytearray) -> tuple[bytes, ...] | None:
    """The ALPN names in the ClientHello that `data`, the first bytes of a connection, holds: none if it names none.

    `None`: it is not all there. Raises `ValueError`.
    """
    hello = _handshake_message(data)
    if hello is None:
        return None
    reader = _Reader(hello)
    reader.take(2 + 32)  # legacy_version, random
    for size in (1, 2, 1):  # session id, cipher suites, compression methods
        reader.vector(size)
    extensions = _Reader(reader.vector(2))
    while extensions.left:
        kind, content = int.from_bytes(extensions.take(2), "big"), extensions.vector(2)
        if kind == _ALPN:
            names = _Reader(_Reader(content).vector(2))
            found = []
            while names.left:
                found.append(names.vector(1))
            return tuple(found)
    return ()


def _handshake_message(data: bytes | bytearray) -> bytes | None:
    """The body of the first handshake message, put together from its records."""
    content = bytearray()
    at = 0
    while True:
        if len(data) > at and data[at] != _HANDSHAKE:
            raise ValueError("no handshake record")
        if content and content[0] != _CLIENT_HELLO:
            raise ValueError("no ClientHello")
        if len(content) >= 4:
            end = 4 + int.from_bytes(content[1:4], "big")
            if end > limits.CLIENT_HELLO_BYTES:
                raise ValueError("too long")
            if len(content) >= end:
                return bytes(content[4:end])
        if len(data) < at + 5:
            return None
        length = int.from_bytes(data[at + 3 : at + 5], "big")
        if not 0 < length <= 2**14:
            raise ValueError("no record of a handshake")
        if len(data) < at + 5 + length:
            return None
        content += data[at + 5 : at + 5 + length]
        at += 5 + length


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        if self.left < count:
            raise ValueError("cut")
        self._at += count
        return self._data[self._at - count : self._at]

    def vector(self, size: int) -> bytes:
        """A vector whose length stands before it in `size` bytes."""
        return self.take(int.from_bytes(self.take(size), "big"))
