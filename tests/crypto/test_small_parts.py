"""Layouts, padding, key agreement, passphrases, secrets."""

import pickle

import nacl.pwhash
import pytest
from hypothesis import given
from hypothesis import strategies as st

from norc_actors.crypto import kem, layout, padding
from norc_actors.crypto.errors import BadKeyError, DecryptionFailedError
from norc_actors.crypto.passphrase import ESCROW_COST, MAX_COST, Cost, derive_key
from norc_actors.crypto.secret import Secret, same
from tests.support.people import seeded

# --- Layout ---


@given(st.lists(st.binary(max_size=20), max_size=4), st.lists(st.binary(max_size=20), max_size=4))
def test_length_prefixes_are_injective(a, b):
    assert (b"".join(map(layout.lv, a)) == b"".join(map(layout.lv, b))) == (a == b)


def test_integers():
    assert layout.u16(0x0101) == b"\1\1"
    assert layout.u32(1) == b"\0\0\0\1"
    assert layout.u64(2**64 - 1) == b"\xff" * 8
    assert layout.sequence_nonce(7) == bytes(11) + b"\7"
    with pytest.raises(ValueError, match="AAD"):
        layout.aad_v1(2, 0, 16, 0, bytes(15), 16, bytes(32), bytes(32))


# --- Padding ---


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


# --- Key agreement ---


def test_x25519_agrees():
    a, b = kem.x25519_private(seeded("a")), kem.x25519_private(seeded("b"))
    assert kem.x25519(a, kem.x25519_public(b)) == kem.x25519(b, kem.x25519_public(a))


def test_mlkem_agrees_and_rejects_implicitly():
    seed = kem.mlkem_seed(seeded("kem"))
    ciphertext, secret = kem.encapsulate(kem.mlkem_public(seed))
    assert (len(ciphertext), len(secret)) == (1088, 32)
    assert kem.decapsulate(seed, ciphertext) == secret
    wrong = bytes([ciphertext[0] ^ 1]) + ciphertext[1:]
    assert kem.decapsulate(seed, wrong) != secret
    assert kem.encapsulate(kem.mlkem_public(seed)) != (ciphertext, secret)


def test_lengths_of_keys():
    for call in (
        lambda: kem.x25519(bytes(31), bytes(32)),
        lambda: kem.x25519(bytes(32), bytes(33)),
        lambda: kem.x25519_public(bytes(31)),
        lambda: kem.encapsulate(bytes(1183)),
        lambda: kem.decapsulate(bytes(64), bytes(1087)),
        lambda: kem.decapsulate(bytes(63), bytes(1088)),
        lambda: kem.mlkem_public(bytes(32)),
        lambda: kem.check_mlkem_public(b"\xff" * 1184),
    ):
        with pytest.raises(BadKeyError):
            call()


# --- Passphrases ---

CHEAP = Cost(memory_kib=64, passes=1, lanes=1)


def test_argon2id_against_libsodium():
    salt = bytes(range(16))
    expected = nacl.pwhash.argon2id.kdf(32, b"passphrase", salt, opslimit=2, memlimit=64 * 1024)
    assert derive_key("passphrase", salt, Cost(memory_kib=64, passes=2, lanes=1)) == expected


def test_one_passphrase_has_one_key_however_it_is_typed():
    salt = bytes(16)
    assert derive_key("Caf\u00e9", salt, CHEAP) == derive_key("Cafe\u0301", salt, CHEAP)
    assert derive_key("Cafe", salt, CHEAP) != derive_key("Caf\u00e9", salt, CHEAP)
    assert derive_key("x", salt, CHEAP) != derive_key("x", b"\1" * 16, CHEAP)


def test_costs_and_salts_out_of_bounds():
    assert (ESCROW_COST.memory_kib, ESCROW_COST.passes, ESCROW_COST.lanes) == (262144, 3, 4)
    for cost in (
        Cost(memory_kib=MAX_COST.memory_kib + 1, passes=1, lanes=1),
        Cost(memory_kib=64, passes=0, lanes=1),
        Cost(memory_kib=64, passes=17, lanes=1),
        Cost(memory_kib=7, passes=1, lanes=1),
        Cost(memory_kib=64, passes=1, lanes=0),
    ):
        with pytest.raises(BadKeyError):
            derive_key("x", bytes(16), cost)
    for salt in (b"", bytes(15)):
        with pytest.raises(BadKeyError):
            derive_key("x", salt, CHEAP)
    with pytest.raises(BadKeyError):
        derive_key("\ud800", bytes(16), CHEAP)


# --- Secrets ---


def test_a_secret_does_not_show_itself():
    secret = Secret(b"top secret bytes")
    assert "secret bytes" not in f"{secret} {secret!r}"
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        hash(secret)
    assert secret == Secret(b"top secret bytes")
    assert secret != Secret(b"other")
    assert secret != b"top secret bytes"
    assert len(secret) == 16


def test_wiping():
    with Secret(b"bytes") as secret:
        assert secret.reveal() == b"bytes"
    with pytest.raises(ValueError, match="wiped"):
        secret.reveal()
    secret.wipe()


def test_same():
    assert same(b"a", b"a")
    assert not same(b"a", b"b")
    assert not same(b"a", b"aa")
