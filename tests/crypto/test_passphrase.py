"""Keys from passphrases: Argon2id, one key however a passphrase is typed, bounds."""

import nacl.pwhash
import pytest

from norc_actors.crypto.errors import BadKeyError
from norc_actors.crypto.passphrase import ESCROW_COST, MAX_COST, Cost, derive_key

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
