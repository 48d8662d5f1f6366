"""Escrow: round trip, wrong passphrase, every altered member, and the formula written out once more."""

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from norc_actors.crypto.errors import DecryptionFailedError
from norc_actors.crypto.passphrase import Cost, derive_key
from norc_actors.protocol.codec import decode_map, encode_map
from norc_actors.protocol.errors import ProtocolError
from norc_actors.protocol.escrow import make_escrow, open_escrow
from tests.support.people import ALGORITHMS, Person, make_server, seeded

CHEAP = Cost(memory_kib=64, passes=1, lanes=1)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_round_trip_and_alterations(algorithm):
    alice = Person("alice", make_server(), algorithm=algorithm)
    escrow = make_escrow(alice.user_key, alice.user_id, "Café", seeded("escrow"), cost=CHEAP)
    stored = decode_map(encode_map(escrow))
    assert open_escrow(stored, "Cafe\u0301", cost=CHEAP).private_bytes() == alice.user_key.private_bytes()
    with pytest.raises(DecryptionFailedError):
        open_escrow(stored, "cafe", cost=CHEAP)
    other = Person("bob", make_server(), algorithm=algorithm).user_key.public_key
    for member, value in (
        ("user_id", "alicf@a.example"),
        ("user_key", other),
        ("salt", bytes(16)),
        ("nonce", bytes(12)),
        ("ciphertext", bytes(48)),
    ):
        with pytest.raises(DecryptionFailedError):
            open_escrow({**stored, member: value}, "Café", cost=CHEAP)
    for member, value in (("v", 2), ("salt", bytes(15)), ("nonce", b""), ("user_key", bytes(31))):
        with pytest.raises(ProtocolError):
            open_escrow({**stored, member: value}, "Café", cost=CHEAP)


def test_an_escrow_holds_the_key_that_it_names():
    """A map that was made with the right passphrase but around another private key, or none."""
    alice = Person("alice", make_server(), algorithm="p256")
    named = alice.user_key.public_key
    for private in (Person("bob", make_server(), algorithm="p256").user_key.private_bytes(), bytes(32)):
        salt, nonce = bytes(16), bytes(12)
        aad = b"norc:escrow:v1" + len(alice.user_id).to_bytes(4, "big") + alice.user_id.encode() + named
        ciphertext = AESGCM(derive_key("x", salt, CHEAP)).encrypt(nonce, private, aad)
        escrow = {"v": 1, "user_id": alice.user_id, "user_key": named, "salt": salt, "nonce": nonce}
        with pytest.raises(DecryptionFailedError, match="escrow holds"):
            open_escrow({**escrow, "ciphertext": ciphertext}, "x", cost=CHEAP)


@pytest.mark.parametrize(("algorithm", "aead"), [("ed25519", ChaCha20Poly1305), ("p256", AESGCM)])
def test_the_formula(algorithm, aead):
    alice = Person("alice", make_server(), algorithm=algorithm)
    escrow = make_escrow(alice.user_key, alice.user_id, "x", seeded("escrow"), cost=CHEAP)
    user_id = alice.user_id.encode()
    aad = b"norc:escrow:v1" + len(user_id).to_bytes(4, "big") + user_id + alice.user_key.public_key
    key = derive_key("x", escrow["salt"], CHEAP)
    assert aead(key).decrypt(escrow["nonce"], escrow["ciphertext"], aad) == alice.user_key.private_bytes()
