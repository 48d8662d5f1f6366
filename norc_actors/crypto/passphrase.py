"""Keys from passphrases: Argon2id over the NFC form of the text (section 5, *Escrow*; row `B47`).

One derivation serves the escrow map of the user key and the client's profile. `Cost` is stored beside what it protects,
so that it can rise later; a reader refuses costs beyond `MAX_COST`, or a hostile file could ask for all memory.
OpenSSL's Argon2id is used, since libsodium's has one lane only and the escrow formula wants four.
"""

import unicodedata
from dataclasses import dataclass

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from .errors import BadKeyError

KEY_BYTES = 32
SALT_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Argon2id's parameters: memory in KiB, passes, lanes."""

    memory_kib: int
    passes: int
    lanes: int


ESCROW_COST = Cost(memory_kib=262144, passes=3, lanes=4)
"""Section 5's m, t, p: about 0.9 s on one core."""
MAX_COST = Cost(memory_kib=1024 * 1024, passes=16, lanes=16)


def derive_key(passphrase: str, salt: bytes, cost: Cost = ESCROW_COST) -> bytes:
    """32 bytes of key; `BadKeyError` for a salt that has not 16 bytes, a lone surrogate or a cost out of bounds."""
    if len(salt) != SALT_BYTES:
        raise BadKeyError("the salt has 16 bytes")
    if not (
        0 < cost.passes <= MAX_COST.passes
        and 0 < cost.lanes <= MAX_COST.lanes
        and 8 * cost.lanes <= cost.memory_kib <= MAX_COST.memory_kib
    ):
        raise BadKeyError("the cost of this passphrase is out of bounds")
    try:
        secret = unicodedata.normalize("NFC", passphrase).encode()
    except UnicodeEncodeError as error:
        raise BadKeyError("the passphrase is no Unicode text") from error
    return Argon2id(
        salt=salt, length=KEY_BYTES, iterations=cost.passes, lanes=cost.lanes, memory_cost=cost.memory_kib
    ).derive(secret)
