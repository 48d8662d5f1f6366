"""End-to-end key schedule as bytes (section 6, *Session* and *Message*): no maps, no state, no clock.

```
ss             = X25519(e, prekey) ‖ [X25519(e, one-time)] ‖ [mlkem_secret]
bind           = H(len‖e_pub ‖ len‖prekey ‖ [len‖one-time] ‖ [len‖mlkem768 ‖ len‖pq_ciphertext])
key_commitment = H("norc:commit:v1" ‖ key)
wrap_key       = HKDF(ss, key_commitment, "norc:session:v1" ‖ len‖"2.0" ‖ suite ‖ target_device ‖ len‖user ‖ bind)
mk_i           = HKDF(ck_i, "", "norc:session:msg:v1")         ck_{i+1} = HKDF(ck_i, "", "norc:session:chain:v1")
wk_d           = HKDF(mk_i, key_commitment, "norc:wrap:v1" ‖ len‖"2.0" ‖ suite ‖ device ‖ len‖user)
```
Devices, sessions and messages are 16 raw bytes here, users their ASCII bytes. The caller passes the suite that the
formula runs under: the session's for `ss … ck`, the message's for `content_*` and `wrap_*`.

Why a commitment (D-6): the AEADs are not key-committing; without it one ciphertext could open under two content keys
and say different things to two devices.
"""

from dataclasses import dataclass

from .errors import DecryptionFailedError
from .kem import decapsulate, encapsulate, x25519, x25519_public
from .layout import MESSAGE_SEND_CODE, aad_v1, lv, u16, u32
from .secret import same
from .suites import Suite

E2E_VERSION = lv(b"2.0")
"""The literal `len‖"2.0"` of section 6; it stays at every wire version."""
KEY_BYTES = 32
WRAPPED_BYTES = 48


def commitment(suite: Suite, key: bytes) -> bytes:
    """key_commitment of a session key or content key, 32 bytes."""
    return suite.hash(b"norc:commit:v1" + key)


def check_commitment(suite: Suite, key: bytes, expected: bytes) -> None:
    """Raise `DecryptionFailedError` unless `key` has 32 bytes and this commitment."""
    if len(key) != KEY_BYTES or not same(commitment(suite, key), expected):
        raise DecryptionFailedError("the opened key does not fit its commitment")


# --- Opening a session ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Prekeys:
    """The target's public halves that an opening uses, as in its bundle; `mlkem768` exactly in a hybrid suite."""

    x25519: bytes
    one_time: bytes | None = None
    mlkem768: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class PrekeySecrets:
    """The private halves at the receiver; `mlkem_seed` exactly in a hybrid suite."""

    x25519: bytes
    one_time: bytes | None = None
    mlkem_seed: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Agreement:
    """What both ends compute: the shared secret and the hash of every public value that led to it."""

    ss: bytes
    bind: bytes
    ephemeral_public_key: bytes
    pq_ciphertext: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Who opens towards whom: 16-byte ids, ASCII user ids and the number of the prekey used."""

    sender_user: bytes
    sender_device: bytes
    target_user: bytes
    target_device: bytes
    session_id: bytes
    prekey_id: int


def bind(suite: Suite, ephemeral_public_key: bytes, prekeys: Prekeys, pq_ciphertext: bytes | None) -> bytes:
    """`bind`, 32 bytes, from public values alone."""
    parts = [lv(ephemeral_public_key), lv(prekeys.x25519)]
    if prekeys.one_time is not None:
        parts.append(lv(prekeys.one_time))
    if prekeys.mlkem768 is not None and pq_ciphertext is not None:
        parts += (lv(prekeys.mlkem768), lv(pq_ciphertext))
    return suite.hash(b"".join(parts))


def agree_sender(suite: Suite, ephemeral_private: bytes, prekeys: Prekeys) -> Agreement:
    """The opener's half; `BadKeyError` for unusable prekeys. A hybrid suite without `mlkem768` is a `ValueError`."""
    if suite.hybrid != (prekeys.mlkem768 is not None):
        raise ValueError("mlkem768 goes with a hybrid suite and with no other")
    secrets = [x25519(ephemeral_private, prekeys.x25519)]
    if prekeys.one_time is not None:
        secrets.append(x25519(ephemeral_private, prekeys.one_time))
    pq_ciphertext = None
    if prekeys.mlkem768 is not None:
        pq_ciphertext, pq_secret = encapsulate(prekeys.mlkem768)
        secrets.append(pq_secret)
    public = x25519_public(ephemeral_private)
    return Agreement(
        ss=b"".join(secrets),
        bind=bind(suite, public, prekeys, pq_ciphertext),
        ephemeral_public_key=public,
        pq_ciphertext=pq_ciphertext,
    )


def agree_receiver(
    suite: Suite, own: PrekeySecrets, public: Prekeys, ephemeral_public_key: bytes, pq_ciphertext: bytes | None
) -> Agreement:
    """The target's half, from its private prekeys and their public halves; `BadKeyError` as above."""
    if not suite.hybrid == (pq_ciphertext is not None) == (own.mlkem_seed is not None):
        raise ValueError("pq_ciphertext and mlkem_seed go with a hybrid suite and with no other")
    secrets = [x25519(own.x25519, ephemeral_public_key)]
    if own.one_time is not None:
        secrets.append(x25519(own.one_time, ephemeral_public_key))
    if own.mlkem_seed is not None and pq_ciphertext is not None:
        secrets.append(decapsulate(own.mlkem_seed, pq_ciphertext))
    return Agreement(
        ss=b"".join(secrets),
        bind=bind(suite, ephemeral_public_key, public, pq_ciphertext),
        ephemeral_public_key=ephemeral_public_key,
        pq_ciphertext=pq_ciphertext,
    )


def wrap_key(suite: Suite, agreement: Agreement, key_commitment: bytes, names: Names) -> bytes:
    """The key under which a session key travels, 32 bytes; used once."""
    info = (
        b"norc:session:v1"
        + E2E_VERSION
        + u16(suite.code)
        + names.target_device
        + lv(names.target_user)
        + agreement.bind
    )
    return suite.hkdf(agreement.ss, key_commitment, info)


def _opening_layout(suite: Suite, names: Names) -> tuple[bytes, bytes]:
    nonce = suite.hash(names.target_device + names.session_id)[:12]
    aad = lv(names.sender_user) + names.sender_device + names.session_id + u32(names.prekey_id)
    return nonce, aad


def wrap_session_key(suite: Suite, agreement: Agreement, names: Names, session_key: bytes) -> tuple[bytes, bytes]:
    """(key_commitment, wrapped): what an `open` carries of a session key."""
    key_commitment = commitment(suite, session_key)
    nonce, aad = _opening_layout(suite, names)
    return key_commitment, suite.seal(wrap_key(suite, agreement, key_commitment, names), nonce, aad, session_key)


def unwrap_session_key(
    suite: Suite, agreement: Agreement, names: Names, key_commitment: bytes, wrapped: bytes
) -> bytes:
    """The session key, 32 bytes that fit the commitment; else `DecryptionFailedError`."""
    nonce, aad = _opening_layout(suite, names)
    key = suite.open(wrap_key(suite, agreement, key_commitment, names), nonce, aad, wrapped)
    check_commitment(suite, key, key_commitment)
    return key


# --- The chain of a session ---


def message_key(suite: Suite, chain_key: bytes) -> bytes:
    """mk_i of ck_i."""
    return suite.hkdf(chain_key, b"", b"norc:session:msg:v1")


def next_chain_key(suite: Suite, chain_key: bytes) -> bytes:
    """ck_{i+1} of ck_i; the old one is then dropped, which is the forward secrecy of a session."""
    return suite.hkdf(chain_key, b"", b"norc:session:chain:v1")


# --- Content and its wraps ---


@dataclass(frozen=True, slots=True, kw_only=True)
class WrapNames:
    """Whose wrap of which message: 16-byte ids, ASCII user ids, the session and the index of its message key."""

    sender_user: bytes
    sender_device: bytes
    user: bytes
    device: bytes
    message_id: bytes
    session_id: bytes
    index: int


def _wrap_layout(suite: Suite, mk: bytes, key_commitment: bytes, names: WrapNames) -> tuple[bytes, bytes, bytes]:
    info = b"norc:wrap:v1" + E2E_VERSION + u16(suite.code) + names.device + lv(names.user)
    nonce = suite.hash(names.device + names.message_id)[:12]
    aad = (
        lv(names.sender_user)
        + names.sender_device
        + names.device
        + names.message_id
        + names.session_id
        + u32(names.index)
    )
    return suite.hkdf(mk, key_commitment, info), nonce, aad


def wrap_content_key(suite: Suite, mk: bytes, key_commitment: bytes, names: WrapNames, content_key: bytes) -> bytes:
    """`wrapped_d`, 48 bytes: the content key for one device. About 12 µs."""
    wk, nonce, aad = _wrap_layout(suite, mk, key_commitment, names)
    return suite.seal(wk, nonce, aad, content_key)


def unwrap_content_key(suite: Suite, mk: bytes, key_commitment: bytes, names: WrapNames, wrapped: bytes) -> bytes:
    """The content key, 32 bytes that fit the commitment; else `DecryptionFailedError`."""
    wk, nonce, aad = _wrap_layout(suite, mk, key_commitment, names)
    key = suite.open(wk, nonce, aad, wrapped)
    check_commitment(suite, key, key_commitment)
    return key


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentNames:
    """Where a ciphertext stands: 16-byte ids, its number in the chain and the hash of the one before it."""

    message_id: bytes
    chain_id: bytes
    conversation_id: bytes
    sequence_number: int
    prev_message_hash: bytes


def _content_layout(suite: Suite, content_key: bytes, names: ContentNames, length: int) -> tuple[bytes, bytes]:
    nonce = suite.hash(b"norc:nonce:v1" + content_key + names.message_id)[:12]
    where = suite.hash(names.chain_id + names.conversation_id)
    aad = aad_v1(
        2, 0, MESSAGE_SEND_CODE, names.sequence_number, names.message_id, length, names.prev_message_hash, where
    )
    return nonce, aad


def seal_content(suite: Suite, content_key: bytes, names: ContentNames, plaintext: bytes) -> bytes:
    """`ciphertext` of a padded plaintext; `length` in the AAD counts the tag too."""
    nonce, aad = _content_layout(suite, content_key, names, len(plaintext) + 16)
    return suite.seal(content_key, nonce, aad, plaintext)


def open_content(suite: Suite, content_key: bytes, names: ContentNames, ciphertext: bytes) -> bytes:
    """The padded plaintext, or `DecryptionFailedError`."""
    nonce, aad = _content_layout(suite, content_key, names, len(ciphertext))
    return suite.open(content_key, nonce, aad, ciphertext)
