"""The key schedule of sessions and messages: recorded values, both ends, and what is refused before any formula."""

import pytest

from norc_actors.crypto import kem, sessions
from norc_actors.crypto.errors import BadKeyError, DecryptionFailedError
from norc_actors.crypto.suites import SUITES
from tests.support.people import seeded
from tests.vectors.files import holds, recorded

ALL = pytest.mark.parametrize("suite", SUITES.values(), ids=str)
NAMES = sessions.Names(
    sender_user=b"alice@a.example", sender_device=b"a" * 16, target_user=b"bob@b.example", target_device=b"b" * 16,
    session_id=b"s" * 16, prekey_id=5,
)  # fmt: skip
WRAP = sessions.WrapNames(
    sender_user=b"alice@a.example", sender_device=b"a" * 16, user=b"bob@b.example", device=b"b" * 16,
    message_id=b"m" * 16, session_id=b"s" * 16, index=3,
)  # fmt: skip


@recorded("sessions", "refused_sessions", "chain_keys", "messages", "refused_messages")
def test_recorded(entry):
    assert holds(entry)


def _secrets(suite, one_time):
    random = seeded((suite.name, one_time))
    return sessions.PrekeySecrets(
        x25519=kem.x25519_private(random), one_time=kem.x25519_private(random) if one_time else None,
        mlkem_seed=kem.mlkem_seed(random) if suite.hybrid else None,
    )  # fmt: skip


def _public(secrets):
    return sessions.Prekeys(
        x25519=kem.x25519_public(secrets.x25519),
        one_time=kem.x25519_public(secrets.one_time) if secrets.one_time else None,
        mlkem768=kem.mlkem_public(secrets.mlkem_seed) if secrets.mlkem_seed else None,
    )


@ALL
@pytest.mark.parametrize("one_time", [False, True])
def test_both_ends_agree_and_nobody_else(suite, one_time):
    secrets = _secrets(suite, one_time)
    public, key = _public(secrets), b"k" * 32
    sent = sessions.agree_sender(suite, kem.x25519_private(seeded("e")), public)
    commitment, wrapped = sessions.wrap_session_key(suite, sent, NAMES, key)
    got = sessions.agree_receiver(suite, secrets, public, sent.ephemeral_public_key, sent.pq_ciphertext)
    assert (got.ss, got.bind) == (sent.ss, sent.bind)
    assert sessions.unwrap_session_key(suite, got, NAMES, commitment, wrapped) == key
    other = _secrets(suite, not one_time)
    stranger = sessions.agree_receiver(suite, other, _public(other), sent.ephemeral_public_key, sent.pq_ciphertext)
    with pytest.raises(DecryptionFailedError):
        sessions.unwrap_session_key(suite, stranger, NAMES, commitment, wrapped)


@ALL
def test_the_hybrid_part_is_there_exactly_in_a_hybrid_suite(suite):
    secrets = _secrets(suite, False)
    public = _public(secrets)
    other = SUITES["0001" if suite.hybrid else "0101"]
    with pytest.raises(ValueError, match="hybrid"):
        sessions.agree_sender(other, b"e" * 32, public)
    for ciphertext in {None, b"c" * 1088} - {b"c" * 1088 if suite.hybrid else None}:
        with pytest.raises(ValueError, match="hybrid"):
            sessions.agree_receiver(suite, secrets, public, kem.x25519_public(b"e" * 32), ciphertext)


@ALL
def test_keys_of_small_order_agree_on_nothing(suite):
    secrets = _secrets(suite, False)
    with pytest.raises(BadKeyError):
        sessions.agree_receiver(suite, secrets, _public(secrets), bytes(32), b"c" * 1088 if suite.hybrid else None)


@ALL
def test_a_key_that_does_not_fit_its_commitment(suite):
    """Two keys that open one ciphertext are possible under these AEADs: the commitment decides between them."""
    mk, key = b"m" * 32, b"k" * 32
    commitment = sessions.commitment(suite, key)
    wrapped = sessions.wrap_content_key(suite, mk, commitment, WRAP, key)
    assert sessions.unwrap_content_key(suite, mk, commitment, WRAP, wrapped) == key
    for other in (b"l" * 32, b"k" * 31):
        wrong = sessions.wrap_content_key(suite, mk, commitment, WRAP, other)
        with pytest.raises(DecryptionFailedError, match="commitment"):
            sessions.unwrap_content_key(suite, mk, commitment, WRAP, wrong)
    sessions.check_commitment(suite, key, commitment)
    with pytest.raises(DecryptionFailedError):
        sessions.check_commitment(suite, key, sessions.commitment(suite, b"l" * 32))
