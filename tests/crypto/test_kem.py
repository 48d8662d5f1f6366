"""Key agreement: recorded secrets, agreement, lengths, keys that are refused."""

import pytest

from norc_actors.crypto import kem
from norc_actors.crypto.errors import BadKeyError
from tests.support.people import seeded
from tests.vectors.files import holds, recorded


@recorded("kem", "x25519_refused", "mlkem_refused")
def test_recorded(entry):
    assert holds(entry)


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
