"""The table of suites: choice, labels, which hash runs under which key."""

from itertools import chain, combinations

import pytest

from norc_actors.crypto.errors import BadKeyError, UnlabelledError
from norc_actors.crypto.hkdf import blake3, expand, hmac_blake3, hmac_sha256, sha256
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


def test_empty_salt_is_zeroes():
    for mac in (hmac_blake3, hmac_sha256):
        assert mac(b"", b"x") == mac(bytes(32), b"x")


@pytest.mark.parametrize("length", [0, -1, 255 * 32 + 1])
def test_lengths(length):
    with pytest.raises(ValueError, match="8160"):
        expand(hmac_sha256, bytes(32), b"", length)
    assert len(expand(hmac_blake3, bytes(32), b"", 255 * 32)) == 255 * 32


def test_ciphers_hide_and_want_32_bytes():
    for suite in SUITES.values():
        assert "Cipher" in repr(suite.cipher(bytes(32)))
        assert repr(suite) == f"Suite({suite.name})"
        for length in (0, 16, 31, 33):
            with pytest.raises(BadKeyError):
                suite.cipher(bytes(length))
