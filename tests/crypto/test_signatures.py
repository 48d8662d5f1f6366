"""Labelled signatures of both algorithms: shapes, edges, and what a changed part does."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from norc_actors.crypto.errors import BadKeyError, BadSignatureError, UnlabelledError
from norc_actors.crypto.signatures import SigningKey, algorithm_of, verify
from tests.support.people import ALGORITHMS, seeded
from tests.vectors.files import holds, recorded

N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@recorded("signatures", "ed25519_edges", "p256_edges")
def test_recorded(entry):
    assert holds(entry)


@pytest.fixture(params=ALGORITHMS)
def key(request):
    return SigningKey.generate(request.param, seeded(request.param))


def test_shapes(key):
    signature = key.sign("auth:v1", b"body")
    assert len(signature) == 64
    assert len(key.public_key) == (32 if key.algorithm == "ed25519" else 33)
    assert algorithm_of(key.public_key) == key.algorithm
    assert signature == key.sign("auth:v1", b"body")  # both are deterministic
    assert SigningKey(key.algorithm, key.private_bytes()).public_key == key.public_key


def test_any_changed_part_is_refused(key):
    other = SigningKey.generate(key.algorithm, seeded("other"))
    signature = key.sign("auth:v1", b"body")
    verify(key.public_key, "auth:v1", b"body", signature)
    for public_key, label, body, signed in (
        (other.public_key, "auth:v1", b"body", signature),
        (key.public_key, "register:v1", b"body", signature),
        (key.public_key, "auth:v1", b"bodx", signature),
        (key.public_key, "auth:v1", b"", signature),
        (key.public_key, "auth:v1", b"body", signature[:-1]),
        (key.public_key, "auth:v1", b"body", signature + b"\0"),
        (key.public_key, "auth:v1", b"body", b""),
        (key.public_key[:-1], "auth:v1", b"body", signature),
        (b"", "auth:v1", b"body", signature),
        (b"\x04" + key.public_key, "auth:v1", b"body", signature),
        (bytes(len(key.public_key)), "auth:v1", b"body", signature),
        (b"\xff" * len(key.public_key), "auth:v1", b"body", signature),
    ):
        with pytest.raises(BadSignatureError):
            verify(public_key, label, body, signed)


@settings(max_examples=60, deadline=None)
@given(bit=st.integers(0, 511))
def test_a_flipped_bit_is_refused(bit):
    for algorithm in ALGORITHMS:
        key = SigningKey.generate(algorithm, seeded(algorithm))
        signature = bytearray(key.sign("message:v1", b"body"))
        signature[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadSignatureError):
            verify(key.public_key, "message:v1", b"body", bytes(signature))


def test_p256_signatures_have_one_spelling():
    for number in range(40):
        key = SigningKey.generate("p256", seeded(number))
        signature = key.sign("auth:v1", b"body")
        r, s = signature[:32], int.from_bytes(signature[32:], "big")
        assert 0 < s <= N // 2
        verify(key.public_key, "auth:v1", b"body", signature)
        with pytest.raises(BadSignatureError):
            verify(key.public_key, "auth:v1", b"body", r + (N - s).to_bytes(32, "big"))


@pytest.mark.parametrize(("r", "s"), [(0, 1), (1, 0), (N, 1), (1, N), (N + 1, 1), (2**256 - 1, 1), (0, 0)])
def test_p256_range(r, s):
    key = SigningKey.generate("p256", seeded(0))
    with pytest.raises(BadSignatureError):
        verify(key.public_key, "auth:v1", b"body", r.to_bytes(32, "big") + s.to_bytes(32, "big"))


def test_p256_keys_are_compressed_points_on_the_curve():
    key = SigningKey.generate("p256", seeded(0))
    signature = key.sign("auth:v1", b"body")
    other_half = bytes([key.public_key[0] ^ 1]) + key.public_key[1:]
    off_curve = b"\x02" + bytes(31) + b"\x01"
    for public_key in (other_half, off_curve, b"\x04" + key.public_key[1:], b"\x00" + key.public_key[1:]):
        with pytest.raises(BadSignatureError):
            verify(public_key, "auth:v1", b"body", signature)


@pytest.mark.parametrize("scalar", [0, N, N + 1, 2**256 - 1])
def test_p256_scalars(scalar):
    with pytest.raises(BadKeyError):
        SigningKey("p256", scalar.to_bytes(32, "big"))
    draws = iter([scalar.to_bytes(32, "big"), b"\1" * 32])
    assert SigningKey.generate("p256", lambda size: next(draws)).private_bytes() == b"\1" * 32


def test_keys_hide_and_have_one_length(key):
    assert repr(key.private_bytes()) not in repr(key)
    assert key.private_bytes().hex() not in repr(key)
    for length in (0, 31, 33, 64):
        with pytest.raises(BadKeyError):
            SigningKey(key.algorithm, bytes(length))
    with pytest.raises(BadKeyError):
        algorithm_of(bytes(31))


def test_no_signature_without_a_label(key):
    for label in ("", "auth", "auth:v2", "AUTH:v1", "norc:auth:v1", "trust-TYPE:v1"):
        with pytest.raises(UnlabelledError):
            key.sign(label, b"")
        with pytest.raises(UnlabelledError):
            verify(key.public_key, label, b"", bytes(64))
