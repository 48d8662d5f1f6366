"""HMAC and HKDF over both hashes: recorded ones, edges, and hashing in pieces."""

import hashlib

import pytest
from blake3 import blake3 as reference

from norc_actors.crypto.hkdf import blake3, expand, extract, hmac_blake3, hmac_sha256, sha256, streaming
from tests.vectors.files import holds, recorded


@recorded("hkdf", "hmac")
def test_recorded(entry):
    assert holds(entry)


def test_empty_salt_is_zeroes():
    for mac in (hmac_blake3, hmac_sha256):
        assert mac(b"", b"x") == mac(bytes(32), b"x")


@pytest.mark.parametrize("length", [0, -1, 255 * 32 + 1])
def test_lengths(length):
    with pytest.raises(ValueError, match="8160"):
        expand(hmac_sha256, bytes(32), b"", length)
    assert len(expand(hmac_blake3, bytes(32), b"", 255 * 32)) == 255 * 32


@pytest.mark.parametrize("mac", [hmac_blake3, hmac_sha256])
def test_what_is_expanded_begins_alike(mac):
    """A shorter key is the beginning of a longer one of the same input, block by block."""
    prk = extract(mac, b"salt", b"ikm")
    longest = expand(mac, prk, b"info", 100)
    for length in (1, 31, 32, 33, 64, 65, 96, 97, 99):
        assert expand(mac, prk, b"info", length) == longest[:length]
    assert expand(mac, prk, b"infp", 100) != longest


@pytest.mark.parametrize(("ours", "plain"), [(blake3, reference), (sha256, hashlib.sha256)])
def test_in_pieces(ours, plain):
    data = bytes(range(256)) * 40
    running = streaming(ours)
    for at in range(0, len(data), 1000):
        running.update(data[at : at + 1000])
    assert running.digest() == ours(data) == plain(data).digest()
