"""Byte layouts of the formulas (section 1, *Layouts*): big-endian integers and length-prefixed parts.

Every variable-length part of a hash, signature or KDF input is written with `lv`, so that two different inputs never
give the same bytes (D-2). What is fixed, last, or fixed by the whole length stands bare.
"""

import struct

AAD_V1_BYTES = 95
MESSAGE_SEND_CODE = 0x10
"""The type code of `message_send`, which stands in the AAD of every end-to-end ciphertext (section 6)."""
ZERO_HASH = bytes(32)

_U16 = struct.Struct(">H")
_U32 = struct.Struct(">I")
_U64 = struct.Struct(">Q")
_AAD_V1 = struct.Struct(">BBBQ16sI32s32s")


def u16(value: int) -> bytes:
    """Two bytes, big-endian; `struct.error` beyond 2¹⁶−1."""
    return _U16.pack(value)


def u32(value: int) -> bytes:
    """Four bytes, big-endian; `struct.error` beyond 2³²−1."""
    return _U32.pack(value)


def u64(value: int) -> bytes:
    """Eight bytes, big-endian; `struct.error` beyond 2⁶⁴−1."""
    return _U64.pack(value)


def lv(part: bytes) -> bytes:
    """`len‖part`: a uint32 length and then the part itself."""
    return _U32.pack(len(part)) + part


def sequence_nonce(sequence: int) -> bytes:
    """`0⁴ ‖ sequence:u64`, the 12-byte nonce of everything that is counted."""
    return b"\0\0\0\0" + _U64.pack(sequence)


def aad_v1(
    major: int,
    minor: int,
    type_code: int,
    sequence: int,
    message_id: bytes,
    length: int,
    prev_message_hash: bytes,
    transcript_hash: bytes,
) -> bytes:
    """AAD_v1 of section 3, 95 bytes; `message_id` is 16 raw bytes, both hashes 32, `length` counts the tag."""
    if len(message_id) != 16 or len(prev_message_hash) != 32 or len(transcript_hash) != 32:
        raise ValueError("AAD_v1 wants a 16-byte message_id and two 32-byte hashes")
    return _AAD_V1.pack(major, minor, type_code, sequence, message_id, length, prev_message_hash, transcript_hash)
