"""Labelled signatures (section 1, *Signatures*): Ed25519 through libsodium, ECDSA P-256 through OpenSSL.

`Sign(sk, label, body) = sig(sk, "norc:" ‖ label ‖ 0x00 ‖ body)`; a key signs nothing else, because `SigningKey` has no
other method that signs.

Rules
- The algorithm is that of the key: 32 bytes Ed25519, 33 bytes P-256 (SEC1 compressed). A signature has 64 bytes.
- Ed25519 is RFC 8032, cofactorless, S < L; small-order or non-canonical A and small-order R are refused. libsodium does
  exactly this; OpenSSL takes R = identity, so it is not used for verification.
- P-256 is ECDSA with SHA-256, r‖s, 0 < r < n, 0 < s ≤ n/2: the other half of every signature (n − s) is refused, or
  each would have two spellings and a hash over it two values. Nonces are RFC 6979.
- `verify` raises `BadSignatureError` for everything that is wrong, a malformed key included.
"""

from functools import lru_cache
from typing import Protocol

import nacl.bindings
import nacl.exceptions
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from norc_actors.ids import Random

from .errors import BadKeyError, BadSignatureError
from .labels import signing_input
from .suites import Algorithm

SIGNATURE_BYTES = 64
SEED_BYTES = 32
ED25519_PUBLIC_BYTES = 32
P256_PUBLIC_BYTES = 33

_CURVE = ec.SECP256R1()
_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_SIGN_P256 = ec.ECDSA(SHA256(), deterministic_signing=True)
_VERIFY_P256 = ec.ECDSA(SHA256())


class Signer(Protocol):
    """What rules ask of a signing key: its public half and `sign`; a hardware key could stand behind it."""

    @property
    def public_key(self) -> bytes: ...
    def sign(self, label: str, body: bytes) -> bytes: ...


class SigningKey:
    """A private signing key of either algorithm; made from 32 bytes of seed (Ed25519) or scalar (P-256)."""

    __slots__ = ("_expanded", "_p256", "_seed", "algorithm", "public_key")

    def __init__(self, algorithm: Algorithm, seed: bytes) -> None:
        """`BadKeyError` for a wrong length or a scalar outside 1 … n−1."""
        if len(seed) != SEED_BYTES:
            raise BadKeyError("a private signing key has 32 bytes")
        self.algorithm: Algorithm = algorithm
        self._seed = seed
        self._expanded = b""
        self._p256: ec.EllipticCurvePrivateKey | None = None
        if algorithm == "ed25519":
            self.public_key, self._expanded = nacl.bindings.crypto_sign_seed_keypair(seed)
            return
        scalar = int.from_bytes(seed, "big")
        if not 0 < scalar < _N:
            raise BadKeyError("a P-256 scalar lies between 1 and n-1")
        self._p256 = ec.derive_private_key(scalar, _CURVE)
        self.public_key = self._p256.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)

    @classmethod
    def generate(cls, algorithm: Algorithm, random: Random) -> "SigningKey":
        """A fresh key; a P-256 scalar out of range (2⁻³²) is drawn again."""
        while True:
            try:
                return cls(algorithm, random(SEED_BYTES))
            except BadKeyError:
                continue

    def sign(self, label: str, body: bytes) -> bytes:
        """64 bytes over `norc:label ‖ 0x00 ‖ body`; `UnlabelledError` for a label outside the list."""
        data = signing_input(label, body)
        if self._p256 is None:
            return nacl.bindings.crypto_sign(data, self._expanded)[:SIGNATURE_BYTES]
        r, s = decode_dss_signature(self._p256.sign(data, _SIGN_P256))
        return r.to_bytes(32, "big") + min(s, _N - s).to_bytes(32, "big")

    def private_bytes(self) -> bytes:
        """The 32 bytes of seed or scalar, for the encrypted profile and escrow alone."""
        return self._seed

    def __repr__(self) -> str:
        return f"SigningKey({self.algorithm}, public {self.public_key.hex()[:16]}…)"


def algorithm_of(public_key: bytes) -> Algorithm:
    """The algorithm that a public key's length names; `BadKeyError` for any other length."""
    if len(public_key) == ED25519_PUBLIC_BYTES:
        return "ed25519"
    if len(public_key) == P256_PUBLIC_BYTES:
        return "p256"
    raise BadKeyError("a signing key has 32 bytes (Ed25519) or 33 (P-256)")


def verify(public_key: bytes, label: str, body: bytes, signature: bytes) -> None:
    """Return if `signature` holds for (key, label, body), else raise `BadSignatureError`."""
    data = signing_input(label, body)
    if len(signature) != SIGNATURE_BYTES:
        raise BadSignatureError("a signature has 64 bytes")
    if len(public_key) == ED25519_PUBLIC_BYTES:
        try:
            nacl.bindings.crypto_sign_open(signature + data, public_key)
        except nacl.exceptions.CryptoError as error:
            raise BadSignatureError(f"{label}: signature does not hold") from error
    elif len(public_key) == P256_PUBLIC_BYTES:
        _verify_p256(public_key, label, data, signature)
    else:
        raise BadSignatureError("no key of a known algorithm")


def _verify_p256(public_key: bytes, label: str, data: bytes, signature: bytes) -> None:
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    if not (0 < r < _N and 0 < s <= _N // 2):
        raise BadSignatureError(f"{label}: r or s out of range")
    try:
        _p256_public(public_key).verify(encode_dss_signature(r, s), data, _VERIFY_P256)
    except (InvalidSignature, ValueError) as error:
        raise BadSignatureError(f"{label}: signature does not hold") from error


@lru_cache(maxsize=1024)  # decompressing a point costs as much as the verification
def _p256_public(public_key: bytes) -> ec.EllipticCurvePublicKey:
    return ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, public_key)
