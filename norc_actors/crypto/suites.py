"""The four cipher suites in one table (section 1, *Suites*).

| suite | hybrid | identity key | AEAD | hash and KDF |
|---|---|---|---|---|
| 0101 | yes | Ed25519 | ChaCha20-Poly1305 | BLAKE3 |
| 0102 | yes | P-256 | AES-256-GCM | SHA-256 |
| 0001 | no | Ed25519 | ChaCha20-Poly1305 | BLAKE3 |
| 0002 | no | P-256 | AES-256-GCM | SHA-256 |

Rules
- Which suite a formula runs under is the caller's knowledge (the second table of section 1); a `Suite` is passed, never
  looked up by a default.
- Preference is the order of the table and nothing else: the order inside a peer's list chooses nothing.
- A FIPS policy allows 0102 and 0002 alone; there is no fallback when nothing is left.
- A signature is under the algorithm of the signer's key, whatever the suite; `identity` binds a server only.
- `hkdf` refuses an `info` outside the label list (`labels.py`).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from .errors import BadKeyError, DecryptionFailedError
from .hkdf import Hash, blake3, expand, extract, hmac_blake3, hmac_sha256, sha256
from .labels import check_info

Algorithm = Literal["ed25519", "p256"]

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16


class _Aead(Protocol):
    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None, /) -> bytes: ...
    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None, /) -> bytes: ...


class Cipher:
    """One AEAD key, set up once: for many frames under the same key (1 µs each instead of 1.7)."""

    __slots__ = ("_aead",)

    def __init__(self, aead: _Aead) -> None:
        self._aead = aead

    def seal(self, nonce: bytes, aad: bytes, plaintext: bytes) -> bytes:
        """ciphertext ‖ 16-byte tag; the caller owns the promise that `nonce` (12) is new under this key."""
        return self._aead.encrypt(nonce, plaintext, aad)

    def open(self, nonce: bytes, aad: bytes, ciphertext: bytes) -> bytes:
        """The plaintext, or `DecryptionFailedError`."""
        try:
            return self._aead.decrypt(nonce, ciphertext, aad)
        except (InvalidTag, ValueError) as error:
            raise DecryptionFailedError("AEAD open failed") from error

    def __repr__(self) -> str:
        return "Cipher(…)"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Suite:
    """One row of the table; compared by identity, since each exists once."""

    name: str
    code: int
    hybrid: bool
    identity: Algorithm
    hash: Hash
    hmac: Callable[[bytes, bytes], bytes]
    _aead: Callable[[bytes], _Aead]

    def hkdf(self, ikm: bytes, salt: bytes, info: bytes, length: int = 32) -> bytes:
        """RFC 5869 over this suite's HMAC; `UnlabelledError` unless `info` begins with a listed label."""
        check_info(info)
        return expand(self.hmac, extract(self.hmac, salt, ikm), info, length)

    def cipher(self, key: bytes) -> Cipher:
        """The AEAD under `key` (32 bytes), for repeated use; `BadKeyError` for another length."""
        if len(key) != KEY_BYTES:
            raise BadKeyError("an AEAD key has 32 bytes")
        return Cipher(self._aead(key))

    def seal(self, key: bytes, nonce: bytes, aad: bytes, plaintext: bytes) -> bytes:
        """AEAD(key, nonce, aad, plaintext) = ciphertext ‖ tag."""
        return self.cipher(key).seal(nonce, aad, plaintext)

    def open(self, key: bytes, nonce: bytes, aad: bytes, ciphertext: bytes) -> bytes:
        """The plaintext, or `DecryptionFailedError`."""
        return self.cipher(key).open(nonce, aad, ciphertext)

    def __repr__(self) -> str:
        return f"Suite({self.name})"


def _modern(name: str, *, hybrid: bool) -> Suite:
    return Suite(
        name=name, code=int(name, 16), hybrid=hybrid, identity="ed25519",
        hash=blake3, hmac=hmac_blake3, _aead=ChaCha20Poly1305,
    )  # fmt: skip


def _fips(name: str, *, hybrid: bool) -> Suite:
    return Suite(
        name=name, code=int(name, 16), hybrid=hybrid, identity="p256",
        hash=sha256, hmac=hmac_sha256, _aead=AESGCM,
    )  # fmt: skip


PREFERENCE: tuple[str, ...] = ("0101", "0102", "0001", "0002")
"""Highest first; the only order that chooses."""

SUITES: dict[str, Suite] = {
    "0101": _modern("0101", hybrid=True),
    "0102": _fips("0102", hybrid=True),
    "0001": _modern("0001", hybrid=False),
    "0002": _fips("0002", hybrid=False),
}

FIPS_SUITES: frozenset[str] = frozenset({"0102", "0002"})


def choose(*lists: Iterable[str], hybrid_required: bool = False, fips: bool = False) -> Suite | None:
    """The first suite of `PREFERENCE` that is in every list; None if there is none. Unknown entries are ignored."""
    common = set(PREFERENCE).intersection(*lists)
    for name in PREFERENCE:
        suite = SUITES[name]
        if name in common and (suite.hybrid or not hybrid_required) and (not fips or name in FIPS_SUITES):
            return suite
    return None


def hash_for_key(public_key: bytes) -> Hash:
    """The hash that runs under a key (section 1's table): P-256 (33 bytes) ⇒ SHA-256, else BLAKE3."""
    return sha256 if len(public_key) == 33 else blake3


def suite_for_key(public_key: bytes) -> Suite:
    """The classical suite of a key's algorithm, for formulas that run "under the key in it" (escrow)."""
    return SUITES["0002" if len(public_key) == 33 else "0001"]
