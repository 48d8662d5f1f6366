"""The table of suites: choice, labels, which hash runs under which key."""

from itertools import chain, combinations

import pytest

from norc_actors.crypto.errors import BadKeyError, DecryptionFailedError, UnlabelledError
from norc_actors.crypto.hkdf import blake3, sha256
from norc_actors.crypto.suites import FIPS_SUITES, PREFERENCE, SUITES, choose, hash_for_key, suite_for_key


def test_the_table():
    assert [(s.name, s.code, s.hybrid, s.identity) for s in map(SUITES.__getitem__, PREFERENCE)] == [
        ("0101", 0x0101, True, "ed25519"),
        ("0102", 0x0102, True, "p256"),
        ("0001", 0x0001, False, "ed25519"),
        ("0002", 0x0002, False, "p256"),
    ]
    assert {name for name, suite in SUITES.items() if suite.hash is sha256} == FIPS_SUITES


def _subsets(items):
    return chain.from_iterable(combinations(items, size) for size in range(len(items) + 1))


@pytest.mark.parametrize("hybrid_required", [False, True])
@pytest.mark.parametrize("fips", [False, True])
def test_choice_is_the_first_common_one(hybrid_required, fips):
    for a in _subsets(PREFERENCE):
        for b in _subsets(PREFERENCE):
            expected = next(
                (
                    name
                    for name in PREFERENCE
                    if name in a
                    and name in b
                    and (not hybrid_required or name in ("0101", "0102"))
                    and (not fips or name in ("0102", "0002"))
                ),
                None,
            )
            chosen = choose(reversed(a), b, hybrid_required=hybrid_required, fips=fips)
            assert (chosen.name if chosen else None) == expected


def test_unknown_entries_choose_nothing():
    assert choose(["9999", "0002"], ["0002", "9999"]) is SUITES["0002"]
    assert choose(["9999"], ["9999"]) is None


def test_hash_under_a_key():
    assert hash_for_key(bytes(32)) is blake3
    assert hash_for_key(bytes(33)) is sha256
    assert suite_for_key(bytes(32)) is SUITES["0001"]
    assert suite_for_key(bytes(33)) is SUITES["0002"]


@pytest.mark.parametrize("suite", SUITES.values(), ids=str)
def test_no_derivation_without_a_label(suite):
    assert len(suite.hkdf(b"k", b"", b"norc:wrap:v1" + b"more", 80)) == 80
    for info in (b"", b"wrap:v1", b"norc:wrap", b"norc:wrap:v2", b"norc:test:v1", b"xnorc:wrap:v1"):
        with pytest.raises(UnlabelledError):
            suite.hkdf(b"k", b"", info)


def test_ciphers_hide_and_want_32_bytes():
    for suite in SUITES.values():
        assert "Cipher" in repr(suite.cipher(bytes(32)))
        assert repr(suite) == f"Suite({suite.name})"
        for length in (0, 16, 31, 33):
            with pytest.raises(BadKeyError):
                suite.cipher(bytes(length))


@pytest.mark.parametrize("suite", SUITES.values(), ids=str)
def test_what_is_sealed_opens_under_the_same_key_nonce_and_data_alone(suite):
    key, nonce, aad = b"k" * 32, b"n" * 12, b"data"
    sealed = suite.seal(key, nonce, aad, b"text")
    assert len(sealed) == 4 + 16
    assert suite.open(key, nonce, aad, sealed) == suite.cipher(key).open(nonce, aad, sealed) == b"text"
    for changed in (
        (b"l" * 32, nonce, aad, sealed), (key, b"m" * 12, aad, sealed), (key, nonce, b"datb", sealed),
        (key, nonce, aad, sealed[:-1]), (key, nonce, aad, sealed + b"x"), (key, nonce, aad, b""),
        (key, nonce, aad, bytes((sealed[0] ^ 1,)) + sealed[1:]),
    ):  # fmt: skip
        with pytest.raises(DecryptionFailedError):
            suite.open(*changed)
