"""Suites, key derivation, key agreement and signatures (values.md), from `cryptography`, `blake3` and `hmac` alone."""

import hashlib
import hmac
import os
from collections.abc import Callable
from dataclasses import dataclass

from blake3 import blake3
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from .forms import RefusedError

Hash = Callable[[bytes], bytes]
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def _blake3(message: bytes) -> bytes:
    return blake3(message).digest()


def _sha256(message: bytes) -> bytes:
    return hashlib.sha256(message).digest()


@dataclass(frozen=True)
class Suite:
    """A row of the table of suites."""

    name: str
    hybrid: bool
    modern: bool

    @property
    def code(self) -> int:
        return int(self.name, 16)

    def hash(self, message: bytes) -> bytes:
        """H."""
        return _blake3(message) if self.modern else _sha256(message)

    def _mac(self, key: bytes, message: bytes) -> bytes:
        if not self.modern:
            return hmac.digest(key, message, "sha256")
        block = (_blake3(key) if len(key) > 64 else key).ljust(64, b"\0")
        inner = _blake3(bytes(octet ^ 0x36 for octet in block) + message)
        return _blake3(bytes(octet ^ 0x5C for octet in block) + inner)

    def hkdf(self, ikm: bytes, salt: bytes, info: bytes) -> bytes:
        """HKDF(ikm, salt, info, 32): one block of expand is enough."""
        extracted = self._mac(salt or bytes(32), ikm)
        return self._mac(extracted, info + b"\x01")

    def seal(self, key: bytes, nonce: bytes, aad: bytes, plaintext: bytes) -> bytes:
        """AEAD."""
        return (ChaCha20Poly1305(key) if self.modern else AESGCM(key)).encrypt(nonce, plaintext, aad)

    def open(self, key: bytes, nonce: bytes, aad: bytes, ciphertext: bytes) -> bytes:
        """The plaintext, or `RefusedError`."""
        try:
            return (ChaCha20Poly1305(key) if self.modern else AESGCM(key)).decrypt(nonce, ciphertext, aad)
        except InvalidTag as error:
            raise RefusedError("a ciphertext does not open") from error


SUITES = {
    "0101": Suite("0101", hybrid=True, modern=True),
    "0102": Suite("0102", hybrid=True, modern=False),
    "0001": Suite("0001", hybrid=False, modern=True),
    "0002": Suite("0002", hybrid=False, modern=False),
}
"""Best first."""


def best(*lists: list[str]) -> Suite:
    """The first suite that is in every list."""
    for name, suite in SUITES.items():
        if all(name in listed for listed in lists):
            return suite
    raise RefusedError("no suite in common")


def hash_of_key(public_key: bytes) -> Hash:
    """The hash that runs under a key."""
    return _sha256 if len(public_key) == 33 else _blake3


# --- Key agreement ---


class Agreement:
    """A private X25519 key, and an ML-KEM-768 key beside it if wanted."""

    def __init__(self, *, hybrid: bool) -> None:
        self._x25519 = X25519PrivateKey.generate()
        self._mlkem = MLKEM768PrivateKey.generate() if hybrid else None
        self.public = self._x25519.public_key().public_bytes_raw()
        self.mlkem_public = self._mlkem.public_key().public_bytes_raw() if self._mlkem else None

    def shared(self, public: bytes) -> bytes:
        """X25519; an all-zero result is refused."""
        try:
            return self._x25519.exchange(X25519PublicKey.from_public_bytes(public))
        except ValueError as error:
            raise RefusedError("X25519 with a small-order point") from error

    def decapsulated(self, ciphertext: bytes) -> bytes:
        """The secret of an ML-KEM ciphertext."""
        if self._mlkem is None:
            raise RefusedError("no ML-KEM key here")
        return self._mlkem.decapsulate(ciphertext)


def encapsulate(public: bytes) -> tuple[bytes, bytes]:
    """(ciphertext, secret) to an ML-KEM key."""
    secret, ciphertext = MLKEM768PublicKey.from_public_bytes(public).encapsulate()
    return ciphertext, secret


# --- Signatures ---


def _signed(label: str, body: bytes) -> bytes:
    return b"norc:" + label.encode() + b"\x00" + body


class SigningKey:
    """An Ed25519 or P-256 key; `algorithm` as in `key_algorithm`."""

    def __init__(self, algorithm: str = "ed25519") -> None:
        self.algorithm = algorithm
        self._ed25519: Ed25519PrivateKey | None = None
        self._p256: ec.EllipticCurvePrivateKey | None = None
        if algorithm == "ed25519":
            self._ed25519 = Ed25519PrivateKey.generate()
            self.public = self._ed25519.public_key().public_bytes_raw()
        else:
            self._p256 = ec.generate_private_key(ec.SECP256R1())
            self.public = self._p256.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)

    def sign(self, label: str, body: bytes) -> bytes:
        """Sign(key, label, body)."""
        if self._ed25519 is not None:
            return self._ed25519.sign(_signed(label, body))
        assert self._p256 is not None
        r, s = decode_dss_signature(self._p256.sign(_signed(label, body), ec.ECDSA(SHA256())))
        return r.to_bytes(32, "big") + min(s, P256_ORDER - s).to_bytes(32, "big")


def verify(public: bytes, label: str, body: bytes, signature: bytes) -> None:
    """Return if the signature holds, else `RefusedError`."""
    if len(signature) != 64:
        raise RefusedError("a signature has 64 bytes")
    try:
        if len(public) == 32:
            Ed25519PublicKey.from_public_bytes(public).verify(signature, _signed(label, body))
            return
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        if not (0 < r < P256_ORDER and 0 < s <= P256_ORDER // 2):
            raise RefusedError("r or s out of range")
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public)
        key.verify(encode_dss_signature(r, s), _signed(label, body), ec.ECDSA(SHA256()))
    except (InvalidSignature, ValueError) as error:
        raise RefusedError(f"a signature {label} does not hold") from error


def random32() -> bytes:
    """32 bytes of the system's randomness."""
    return os.urandom(32)
