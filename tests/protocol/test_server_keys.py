"""How a client comes to accept a server's key: token, pin, first use, and a chain of rotations."""

from typing import Any

import pytest

from norc_actors.crypto.signatures import SigningKey
from norc_actors.crypto.suites import hash_for_key
from norc_actors.protocol.canonical import Value, canonical
from norc_actors.protocol.errors import Code, ProtocolError
from norc_actors.protocol.handshake import ClientHandshake, Established, KnownKeys, ServerHandshake
from tests.support.links import SERVER, keys, offer, seeded, shake_hands

OLD, MIDDLE, NEW = (SigningKey("ed25519", bytes([n]) * 32) for n in (1, 2, 3))
P256 = keys()["p256"]


def _rotation(old: SigningKey, new: SigningKey, **changes: Any) -> dict[str, Value]:
    entry: dict[str, Value] = {
        "server_id": SERVER, "old_public_key": old.public_key, "new_public_key": new.public_key, "timestamp": 1,
    }  # fmt: skip
    entry |= changes.pop("signed", {})
    entry["signatures"] = [key.sign("server-rotate:v1", canonical(entry)) for key in (old, new)]
    return entry | changes


def _connect(known: KnownKeys, key: SigningKey, *rotations: dict[str, Value], suite: str = "0001") -> Established:
    identity: Any = {"p256" if suite == "0002" else "ed25519": key}
    client = ClientHandshake(server_name=SERVER, known=known, random=seeded(1), suites=(suite,))
    server = ServerHandshake(offer(identity, suites=(suite,), rotations=rotations or None), random=seeded(2))
    return shake_hands(client, server, identity).client


def _refused(known: KnownKeys, key: SigningKey, *rotations: dict[str, Value], suite: str = "0001") -> None:
    with pytest.raises(ProtocolError) as caught:
        _connect(known, key, *rotations, suite=suite)
    assert caught.value.code is Code.INVALID_SIGNATURE


def test_known_keys() -> None:
    assert _connect(KnownKeys(), OLD).key_status == "first use"
    assert _connect(KnownKeys(pinned=(OLD.public_key,)), OLD).key_status == "pinned"
    token = KnownKeys(token_hashes=tuple(hash_for_key(key.public_key)(key.public_key) for key in (OLD, P256)))
    assert _connect(token, OLD).key_status == "token"
    assert _connect(token, P256, suite="0002").key_status == "token"


def test_unknown_keys() -> None:
    _refused(KnownKeys(pinned=(OLD.public_key,)), NEW)
    _refused(KnownKeys(token_hashes=(hash_for_key(OLD.public_key)(OLD.public_key),)), NEW)
    # A token decides alone: a pin does not help a key that the token does not name.
    _refused(KnownKeys(token_hashes=(bytes(32),), pinned=(OLD.public_key,)), OLD)
    # A pin of one algorithm is no licence for a key of the other.
    _refused(KnownKeys(pinned=(OLD.public_key,)), P256, suite="0002")


def test_rotation() -> None:
    pinned = KnownKeys(pinned=(OLD.public_key,))
    token = KnownKeys(token_hashes=(hash_for_key(OLD.public_key)(OLD.public_key),))
    for known in (pinned, token):
        assert _connect(known, NEW, _rotation(OLD, NEW)).key_status == "rotated"
        chain = _rotation(MIDDLE, NEW), _rotation(OLD, MIDDLE)
        assert _connect(known, NEW, *chain).key_status == "rotated"
        assert _connect(known, NEW, *reversed(chain)).key_status == "rotated"
    assert _connect(pinned, P256, _rotation(OLD, P256), suite="0002").key_status == "rotated"
    assert _connect(pinned, NEW, _rotation(OLD, NEW, signed={"x_unknown": 1})).key_status == "rotated"


def test_rotation_refused() -> None:
    known = KnownKeys(pinned=(OLD.public_key,))
    good = _rotation(OLD, NEW)
    by_old, by_new = good["signatures"]  # type: ignore[misc]
    _refused(known, NEW, _rotation(MIDDLE, NEW))
    _refused(known, NEW, _rotation(OLD, MIDDLE))
    _refused(known, NEW, good | {"timestamp": 2})
    _refused(known, NEW, good | {"signatures": [by_new, by_old]})
    _refused(known, NEW, good | {"signatures": [by_old, by_old]})
    _refused(known, NEW, _rotation(OLD, NEW, signed={"server_id": "b.example"}))
    _refused(known, NEW, _rotation(NEW, NEW))
    _refused(known, NEW, _rotation(MIDDLE, NEW), _rotation(NEW, MIDDLE))


def test_a_malformed_entry_is_malformed() -> None:
    entry = _rotation(OLD, NEW) | {"signatures": [bytes(64)]}
    with pytest.raises(ProtocolError) as caught:
        _connect(KnownKeys(pinned=(OLD.public_key,)), NEW, entry)
    assert caught.value.code is Code.MALFORMED
