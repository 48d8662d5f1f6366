"""Who computes ML-KEM-768: one interface, two libraries (section 1; D-5; docs/decisions/080).

| provider | library | when |
|---|---|---|
| `CryptographyKem` | `cryptography` (OpenSSL) | always: the default |
| `LiboqsKem` | liboqs, by its C functions | where the library is installed, `find_liboqs()` |

Rules
- A private key is the 64-byte seed (d ‖ z) of FIPS 203, whoever computes; so keys outlive a change of provider.
- FIPS 203's input checks are the provider's duty: `ValueError` for a key whose coefficients are out of range. Lengths
  were checked before (`kem.py`), which is what makes the C calls safe: they are given buffers, not lengths. A foreign
  ciphertext gives an unrelated secret, not an error.
- liboqs is called directly. Its Python package is never imported: without the library it would fetch and build one,
  and with it, it writes to standard output.
"""

import ctypes
import ctypes.util
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey

_Q = 3329
_COEFFICIENT_BYTES = 1152
_PUBLIC_BYTES, _PRIVATE_BYTES, _CIPHERTEXT_BYTES, _SECRET_BYTES = 1184, 2400, 1088, 32


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
    """liboqs's ML-KEM-768 (`oqs/kem_ml_kem.h`); made by `find_liboqs`. `AttributeError` if the library, of before
    0.13 or built without it, has no such function."""

    name = "liboqs"

    def __init__(self, library: ctypes.CDLL) -> None:
        library.OQS_init()
        self._keypair = library.OQS_KEM_ml_kem_768_keypair_derand  # public, private ← seed
        self._encapsulate = library.OQS_KEM_ml_kem_768_encaps  # ciphertext, secret ← public
        self._decapsulate = library.OQS_KEM_ml_kem_768_decaps  # secret ← ciphertext, private
        for function in (self._keypair, self._encapsulate, self._decapsulate):
            function.argtypes, function.restype = [ctypes.c_char_p] * 3, ctypes.c_int

    def public_key(self, seed: bytes) -> bytes:
        with self._keys(seed) as (public, _):
            return public.raw

    def encapsulate(self, public_key: bytes) -> tuple[bytes, bytes]:
        check_coefficients(public_key)
        ciphertext = ctypes.create_string_buffer(_CIPHERTEXT_BYTES)
        with _secret(_SECRET_BYTES) as secret:
            _require(self._encapsulate(ciphertext, secret, public_key))
            return ciphertext.raw, secret.raw

    def decapsulate(self, seed: bytes, ciphertext: bytes) -> bytes:
        with self._keys(seed) as (_, private), _secret(_SECRET_BYTES) as secret:
            _require(self._decapsulate(secret, ciphertext, private))
            return secret.raw

    @contextmanager
    def _keys(self, seed: bytes) -> "Iterator[tuple[ctypes.Array[ctypes.c_char], ctypes.Array[ctypes.c_char]]]":
        public = ctypes.create_string_buffer(_PUBLIC_BYTES)
        with _secret(_PRIVATE_BYTES) as private:
            _require(self._keypair(public, private, seed))
            yield public, private


@contextmanager
def _secret(length: int) -> "Iterator[ctypes.Array[ctypes.c_char]]":
    """A buffer that is wiped after use."""
    buffer = ctypes.create_string_buffer(length)
    try:
        yield buffer
    finally:
        ctypes.memset(buffer, 0, length)


def _require(status: int) -> None:
    if status != 0:
        raise ValueError(f"liboqs refused: {status}")


def check_coefficients(public_key: bytes) -> None:
    """FIPS 203's check of an encapsulation key: `ValueError` unless every coefficient is below 3329."""
    value = int.from_bytes(public_key[:_COEFFICIENT_BYTES], "little")
    while value:
        if value & 0xFFF >= _Q:
            raise ValueError("a coefficient of the ML-KEM key is out of range")
        value >>= 12


def find_liboqs() -> LiboqsKem | None:
    """The provider over liboqs, None where the dynamic loader finds none, or one without what it takes."""
    name = ctypes.util.find_library("oqs")
    if name is None:
        return None
    try:
        return LiboqsKem(ctypes.CDLL(name))
    except (OSError, AttributeError):
        return None


DEFAULT: KemProvider = CryptographyKem()
