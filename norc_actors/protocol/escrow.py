"""The escrow map: the user key under a passphrase, for safe-keeping and for taking it to another device (section 5).

```
key        = Argon2id(NFC passphrase, salt, m 262144 KiB, t 3, p 4)
ciphertext = AEAD(key, nonce, "norc:escrow:v1" ‖ len‖user_id ‖ user_key, private user key: 32 bytes)
```
Rules
- The user key alone: device, session, chain and prekey state is never backed up, as it would come back with used nonces
  (D-33). A restored device is a new device.
- The cost is fixed by the formula and not in the map, so that nobody can lower it.
- The AEAD is that of the key inside: P-256 ⇒ AES-256-GCM, else ChaCha20-Poly1305.
- Whoever imports asks the user first and audits it; nothing here does so silently.
"""

from norc_actors.crypto.errors import BadKeyError, DecryptionFailedError
from norc_actors.crypto.layout import lv
from norc_actors.crypto.passphrase import ESCROW_COST, SALT_BYTES, Cost, derive_key
from norc_actors.crypto.secret import same
from norc_actors.crypto.signatures import SigningKey, algorithm_of
from norc_actors.crypto.suites import NONCE_BYTES, suite_for_key
from norc_actors.ids import Random

from .codec import convert
from .messages import Escrow
from .schema import SignedMap


def _aad(user_id: str, user_key: bytes) -> bytes:
    return b"norc:escrow:v1" + lv(user_id.encode()) + user_key


def make_escrow(
    user_key: SigningKey, user_id: str, passphrase: str, random: Random, *, cost: Cost = ESCROW_COST
) -> SignedMap:
    """The escrow map of a user key; about 0.9 s. `cost` differs from the formula's in tests alone."""
    salt, nonce = random(SALT_BYTES), random(NONCE_BYTES)
    key = derive_key(passphrase, salt, cost)
    aad = _aad(user_id, user_key.public_key)
    return {
        "v": 1,
        "user_id": user_id,
        "user_key": user_key.public_key,
        "salt": salt,
        "nonce": nonce,
        "ciphertext": suite_for_key(user_key.public_key).seal(key, nonce, aad, user_key.private_bytes()),
    }


def open_escrow(escrow: SignedMap, passphrase: str, *, cost: Cost = ESCROW_COST) -> SigningKey:
    """The user key of an escrow map; `DecryptionFailedError` for a wrong passphrase or an altered map, `ProtocolError`
    for a malformed one."""
    typed = convert(escrow, Escrow)
    key = derive_key(passphrase, typed.salt, cost)
    aad = _aad(typed.user_id, typed.user_key)
    private = suite_for_key(typed.user_key).open(key, typed.nonce, aad, typed.ciphertext)
    try:
        user_key = SigningKey(algorithm_of(typed.user_key), private)
    except BadKeyError as error:
        raise DecryptionFailedError("the escrow holds no key") from error
    if not same(user_key.public_key, typed.user_key):
        raise DecryptionFailedError("the escrow holds another key")
    return user_key
