"""Key agreement: X25519 (RFC 7748) and ML-KEM-768 (FIPS 203), with the input checks that section 1 asks for.

Rules
- An all-zero X25519 result aborts (`BadKeyError`): it means a small-order point, so a key that the peer did not make.
- ML-KEM keys are kept as the 64-byte seed (d ‖ z) of FIPS 203. A public key whose coefficients are out of range and a
  ciphertext of another length are refused; a well-formed wrong ciphertext gives an unrelated secret (implicit
  rejection), which the key commitment or the AEAD then catches.
- In a hybrid suite both results enter the key; nothing here falls back to one of them.

`encapsulate` is the one place of the pure core whose randomness is not passed in: the libraries offer no derandomised
form, so tests use recorded ciphertexts (docs/decisions/021). Which library computes is `kem_providers.py`'s.
"""

import nacl.bindings
import nacl.exceptions

from norc_actors.ids import Random

from .errors import BadKeyError
from .kem_providers import DEFAULT, KemProvider
from .secret import same

X25519_BYTES = 32
MLKEM_SEED_BYTES = 64
MLKEM_PUBLIC_BYTES = 1184
MLKEM_CIPHERTEXT_BYTES = 1088


def x25519_private(random: Random) -> bytes:
    """A fresh private key, 32 bytes."""
    return random(X25519_BYTES)


def x25519_public(private_key: bytes) -> bytes:
    """The public half of a private key, 32 bytes."""
    if len(private_key) != X25519_BYTES:
        raise BadKeyError("an X25519 key has 32 bytes")
    return nacl.bindings.crypto_scalarmult_base(private_key)


def x25519(private_key: bytes, public_key: bytes) -> bytes:
    """The shared secret, 32 bytes; `BadKeyError` for a wrong length and for an all-zero result."""
    if len(private_key) != X25519_BYTES or len(public_key) != X25519_BYTES:
        raise BadKeyError("an X25519 key has 32 bytes")
    try:
        return nacl.bindings.crypto_scalarmult(private_key, public_key)  # refuses an all-zero result itself
    except nacl.exceptions.CryptoError as error:
        raise BadKeyError("X25519 with a small-order point") from error


_ANY_PRIVATE = bytes(31) + b"\x01"
"""To try a public key with; nothing is ever agreed under it."""


def check_x25519(public_key: bytes) -> None:
    """`BadKeyError` for a public key that no agreement works with (another length, a point of small order)."""
    x25519(_ANY_PRIVATE, public_key)


def mlkem_seed(random: Random) -> bytes:
    """A fresh ML-KEM-768 private key as its 64-byte seed."""
    return random(MLKEM_SEED_BYTES)


def mlkem_public(seed: bytes, provider: KemProvider = DEFAULT) -> bytes:
    """The encapsulation key of a seed, 1184 bytes."""
    return provider.public_key(_checked(seed))


def encapsulate(public_key: bytes, provider: KemProvider = DEFAULT) -> tuple[bytes, bytes]:
    """(ciphertext of 1088 bytes, secret of 32) to an encapsulation key; `BadKeyError` if it fails FIPS 203's checks."""
    if len(public_key) != MLKEM_PUBLIC_BYTES:
        raise BadKeyError("an ML-KEM-768 public key has 1184 bytes")
    try:
        return provider.encapsulate(public_key)
    except ValueError as error:
        raise BadKeyError("the ML-KEM-768 public key is out of range") from error


def check_mlkem_public(public_key: bytes) -> None:
    """Raise `BadKeyError` unless the bytes pass FIPS 203's encapsulation-key check."""
    encapsulate(public_key)


def decapsulate(seed: bytes, ciphertext: bytes, provider: KemProvider = DEFAULT) -> bytes:
    """The 32-byte secret; `BadKeyError` for a wrong length. A foreign ciphertext gives a secret nobody else has."""
    if len(ciphertext) != MLKEM_CIPHERTEXT_BYTES:
        raise BadKeyError("an ML-KEM-768 ciphertext has 1088 bytes")
    return provider.decapsulate(_checked(seed), ciphertext)


def agree(one: KemProvider, other: KemProvider, seed: bytes) -> bool:
    """Whether two providers make the same public key of a seed, and each opens what the other encapsulates, as well as
    what nobody did."""
    public_key = mlkem_public(seed, one)
    if mlkem_public(seed, other) != public_key:
        return False
    for sender, receiver in ((one, other), (other, one)):
        ciphertext, secret = encapsulate(public_key, sender)
        foreign = ciphertext[:-1] + bytes((ciphertext[-1] ^ 1,))
        if not same(decapsulate(seed, ciphertext, receiver), secret):
            return False
        if not same(decapsulate(seed, foreign, sender), decapsulate(seed, foreign, receiver)):
            return False
    return True


def _checked(seed: bytes) -> bytes:
    if len(seed) != MLKEM_SEED_BYTES:
        raise BadKeyError("an ML-KEM-768 private key is kept as its 64-byte seed")
    return seed
