"""Who computes ML-KEM-768: one interface, two libraries (section 1; D-5; docs/decisions/080).

| provider | library | when |
|---|---|---|
| `CryptographyKem` | `cryptography` (OpenSSL) | always: the default |
| `LiboqsKem` | liboqs through its Python package | where the C library is installed, `find_liboqs()` |

Rules
- A private key is the 64-byte seed (d ‖ z) of FIPS 203, whoever computes; so keys outlive a change of provider.
- FIPS 203's input checks are the provider's duty: `ValueError` for a key whose coefficients are out of range. Lengths
  were checked before (`kem.py`). A foreign ciphertext gives an unrelated secret, not an error.
- liboqs's Python package builds the C library when it is imported without one. So it is imported only after the
  dynamic loader has found the library; where it has not, there is no provider.
"""

import ctypes.util
import importlib
from collections.abc import Callable
from typing import Any, Protocol

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey

_Q = 3329
_COEFFICIENT_BYTES = 1152


class KemProvider(Protocol):
    """ML-KEM-768; all lengths are checked by the caller."""

    @property
    def name(self) -> str: ...

    def public_key(self, seed: bytes) -> bytes:
        """The encapsulation key of a seed."""

    def encapsulate(self, public_key: bytes) -> tuple[bytes, bytes]:
        """(ciphertext, secret), or `ValueError` for a key that fails FIPS 203's check."""

    def decapsulate(self, seed: bytes, ciphertext: bytes) -> bytes:
        """The secret; for a foreign ciphertext that of the implicit rejection."""


class CryptographyKem:
    """OpenSSL's, through `cryptography`."""

    name = "cryptography"

    def public_key(self, seed: bytes) -> bytes:
        return MLKEM768PrivateKey.from_seed_bytes(seed).public_key().public_bytes_raw()

    def encapsulate(self, public_key: bytes) -> tuple[bytes, bytes]:
        secret, ciphertext = MLKEM768PublicKey.from_public_bytes(public_key).encapsulate()
        return ciphertext, secret

    def decapsulate(self, seed: bytes, ciphertext: bytes) -> bytes:
        return MLKEM768PrivateKey.from_seed_bytes(seed).decapsulate(ciphertext)


class LiboqsKem:
    """liboqs's; made by `find_liboqs`, which passes its `KeyEncapsulation`."""

    name = "liboqs"

    def __init__(self, key_encapsulation: Callable[[str], Any]) -> None:
        self._new = key_encapsulation

    def public_key(self, seed: bytes) -> bytes:
        with self._new("ML-KEM-768") as kem:
            return bytes(kem.generate_keypair_seed(seed))

    def encapsulate(self, public_key: bytes) -> tuple[bytes, bytes]:
        check_coefficients(public_key)
        with self._new("ML-KEM-768") as kem:
            ciphertext, secret = kem.encap_secret(public_key)
        return bytes(ciphertext), bytes(secret)

    def decapsulate(self, seed: bytes, ciphertext: bytes) -> bytes:
        with self._new("ML-KEM-768") as kem:
            kem.generate_keypair_seed(seed)
            return bytes(kem.decap_secret(ciphertext))


def check_coefficients(public_key: bytes) -> None:
    """FIPS 203's check of an encapsulation key: `ValueError` unless every coefficient is below 3329."""
    value = int.from_bytes(public_key[:_COEFFICIENT_BYTES], "little")
    while value:
        if value & 0xFFF >= _Q:
            raise ValueError("a coefficient of the ML-KEM key is out of range")
        value >>= 12


def find_liboqs() -> LiboqsKem | None:
    """The provider over liboqs, None where its C library or its Python package is missing."""
    if not any(ctypes.util.find_library(name) for name in ("oqs", "liboqs")):
        return None
    try:
        oqs = importlib.import_module("oqs")
    except ImportError:
        return None
    return LiboqsKem(oqs.KeyEncapsulation)


DEFAULT: KemProvider = CryptographyKem()
