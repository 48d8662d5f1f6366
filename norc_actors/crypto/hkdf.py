"""HMAC and HKDF (RFC 2104, RFC 5869) over BLAKE3 and SHA-256, both with block 64 and output 32.

Raw forms, for `suites.py`, which adds the label check; nothing else imports them. They are written out because client
devices derive three keys per message and device: one HMAC here is two hash calls and two table look-ups (1 µs), against
40 µs of the generic `hmac` module around a pure-Python digest object.
"""

import hashlib
import hmac as _hmac
from collections.abc import Callable
from typing import Protocol

from blake3 import blake3 as _blake3

Hash = Callable[[bytes], bytes]

BLOCK_BYTES = 64
HASH_BYTES = 32

_INNER = bytes(value ^ 0x36 for value in range(256))
_OUTER = bytes(value ^ 0x5C for value in range(256))


def blake3(data: bytes) -> bytes:
    """The plain BLAKE3 hash, 32 bytes."""
    return _blake3(data).digest()


def sha256(data: bytes) -> bytes:
    """SHA-256, 32 bytes."""
    return hashlib.sha256(data).digest()


class Streaming(Protocol):
    """A hash that takes its input in pieces."""

    def update(self, data: bytes, /) -> object: ...
    def digest(self) -> bytes: ...


def streaming(hash_: Hash) -> Streaming:
    """The same hash for input that does not fit into memory; `hash_` is `blake3` or `sha256`."""
    return hashlib.sha256() if hash_ is sha256 else _blake3()


def hmac_blake3(key: bytes, message: bytes) -> bytes:
    """HMAC over BLAKE3 with block 64; a longer key is hashed first, as RFC 2104 has it."""
    if len(key) > BLOCK_BYTES:
        key = blake3(key)
    block = key.ljust(BLOCK_BYTES, b"\0")
    inner = _blake3(block.translate(_INNER) + message).digest()
    return _blake3(block.translate(_OUTER) + inner).digest()


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """HMAC-SHA-256."""
    return _hmac.digest(key, message, "sha256")


def extract(mac: Callable[[bytes, bytes], bytes], salt: bytes, ikm: bytes) -> bytes:
    """RFC 5869 extract; an empty salt is 32 zeroes (which HMAC pads to the same block)."""
    return mac(salt, ikm)


def expand(mac: Callable[[bytes, bytes], bytes], prk: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869 expand to `length` bytes, 1 … 255·32."""
    if not 0 < length <= 255 * HASH_BYTES:
        raise ValueError("HKDF gives 1 to 8160 bytes")
    block = mac(prk, info + b"\x01")
    if length <= HASH_BYTES:
        return block[:length]
    blocks = [block]
    for counter in range(2, -(-length // HASH_BYTES) + 1):
        block = mac(prk, block + info + bytes((counter,)))
        blocks.append(block)
    return b"".join(blocks)[:length]
