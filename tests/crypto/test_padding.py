"""Padding: buckets, their edges, and that a plaintext has one spelling."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from norc_actors.crypto import padding
from norc_actors.crypto.errors import DecryptionFailedError
from tests.vectors.files import holds, recorded


@recorded("padding")
def test_recorded(entry):
    assert holds(entry)


@given(st.binary(max_size=3000))
def test_padding_round_trip(inner):
    plaintext = padding.pad(inner, b"s" * 64)
    assert len(plaintext) in (256, 512, 1024, 2048, 4096)
    assert padding.unpad(plaintext) == (inner, b"s" * 64)


@pytest.mark.parametrize("length", [0, 186, 187, 442, 443, 65466, 65467, 131002, 131003])
def test_bucket_edges(length):
    plaintext = padding.pad(bytes(length), b"s" * 64)
    assert len(plaintext) == padding.padded_length(length + 70)
    assert padding.unpad(plaintext)[0] == bytes(length)


@given(st.binary(max_size=600))
def test_any_plaintext_is_one_that_pad_makes_or_refused(plaintext):
    try:
        inner, signature = padding.unpad(plaintext)
    except DecryptionFailedError:
        return
    assert padding.pad(inner, signature) == plaintext


def test_only_signatures_of_64_bytes():
    with pytest.raises(ValueError, match="64"):
        padding.pad(b"", b"s" * 63)


def _plain(inner: bytes = b"inner", signature: bytes = b"s" * 64, marker: bytes = b"\0\x40") -> bytes:
    return len(inner).to_bytes(4, "big") + inner + marker + signature


@pytest.mark.parametrize(
    ("plaintext", "why"),
    [
        (b"", "shorter than any"), (bytes(255), "no bucket"), (_plain(), "not padded"),
        (_plain().ljust(512, b"\0"), "another bucket"), (_plain().ljust(257, b"\0"), "a byte too many"),
        (_plain().ljust(255, b"\0") + b"\1", "last byte not zero"),
        (_plain() + b"\1" + bytes(180), "first byte not zero"),
        (_plain(marker=b"\0\x3f").ljust(256, b"\0"), "signature of 63 bytes"),
        (_plain(marker=b"\0\x41").ljust(256, b"\0"), "signature of 65 bytes"),
        (b"\xff\xff\xff\xff" + bytes(252), "inner beyond the plaintext"),
        ((187).to_bytes(4, "big") + bytes(252), "signature beyond the plaintext"),
    ],
)  # fmt: skip
def test_what_pad_never_makes(plaintext, why):
    with pytest.raises(DecryptionFailedError):
        padding.unpad(plaintext)
    assert padding.unpad(_plain().ljust(256, b"\0")) == (b"inner", b"s" * 64), why
