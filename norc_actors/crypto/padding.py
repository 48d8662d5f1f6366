"""Message padding (section 6; D-15; row `B62`): what a server sees of a message's size is its bucket.

```
plaintext = len‖inner ‖ 64:u16 ‖ signature ‖ zeroes
```
The length is the least that fits of 256 B, 512 B … 64 KiB and, above, the multiples of 64 KiB. A reader refuses any
other length and any non-zero padding byte, so one message has one plaintext and nothing can hide in the padding.
"""

from .errors import DecryptionFailedError
from .layout import lv

LEAST_BYTES = 256
LARGEST_BUCKET = 64 * 1024
SIGNATURE_BYTES = 64

_SIGNATURE_LENGTH = b"\x00\x40"
_FRAME = 4 + 2 + SIGNATURE_BYTES


def padded_length(length: int) -> int:
    """The bucket of `length` bytes."""
    if length <= LEAST_BYTES:
        return LEAST_BYTES
    if length <= LARGEST_BUCKET:
        return 1 << (length - 1).bit_length()
    return -(-length // LARGEST_BUCKET) * LARGEST_BUCKET


def pad(inner: bytes, signature: bytes) -> bytes:
    """The padded plaintext of an inner map and its signature (64 bytes)."""
    if len(signature) != SIGNATURE_BYTES:
        raise ValueError("a signature has 64 bytes")
    content = lv(inner) + _SIGNATURE_LENGTH + signature
    return content.ljust(padded_length(len(content)), b"\0")


def unpad(plaintext: bytes) -> tuple[bytes, bytes]:
    """(inner, signature), or `DecryptionFailedError` for any plaintext that `pad` does not make."""
    length = int.from_bytes(plaintext[:4], "big")
    end = length + _FRAME
    if end > len(plaintext) or len(plaintext) != padded_length(end):
        raise DecryptionFailedError("the plaintext has not the length of its bucket")
    if plaintext[4 + length : 6 + length] != _SIGNATURE_LENGTH:
        raise DecryptionFailedError("the signature has not 64 bytes")
    if plaintext.count(0, end) != len(plaintext) - end:
        raise DecryptionFailedError("the padding is not zero")
    return plaintext[4 : 4 + length], plaintext[6 + length : end]
