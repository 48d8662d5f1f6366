"""How a profile's records are named and encrypted: keys in, bytes out, no file.

```
kek        = Argon2id(passphrase, salt, cost)  or  HKDF(key file's bytes, salt, "norc:profile:v1" ‖ "file")
wrapped    = nonce (12) ‖ AEAD(kek, nonce, header less wrapped, data key)
tag key    = HKDF(data key, "", "norc:profile:v1" ‖ "tag")
value key  = HKDF(data key, "", "norc:profile:v1" ‖ "value" ‖ writer)
tag        = first 16 bytes of HMAC-BLAKE3(tag key, len‖kind ‖ key)
value      = writer (16) ‖ counter:u64 ‖ AEAD(value key, 0⁴ ‖ counter, aad, plaintext)
aad        = len‖table ‖ len‖kind tag ‖ key tag or seq:u64
```
Rules
- A file without its secret shows how many records there are, how long, and when they change; not of whom or what.
- `writer` is drawn at each opening and `counter` only rises, so no nonce comes twice under a value key, however often
  the process is killed or the file copied back. (Random nonces under one key would reach their
  bound in weeks of traffic.)
- The aad binds table, kind and key: a record moved to another place does not open.
- Not promised: an old copy of the whole file is not recognised as old.
"""

from dataclasses import dataclass

from norc_actors.crypto.errors import DecryptionFailedError
from norc_actors.crypto.layout import lv, u64
from norc_actors.crypto.passphrase import Cost, derive_key
from norc_actors.crypto.suites import SUITES, Cipher
from norc_actors.ids import Random

DATA_KEY_BYTES = 32
SALT_BYTES = 16
NONCE_BYTES = 12
WRITER_BYTES = 16
TAG_BYTES = 16
MIN_KEY_FILE_BYTES = 32

_SUITE = SUITES["0001"]
_LABEL = b"norc:profile:v1"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Unlock:
    """What opens a profile: exactly one of a passphrase and the bytes of a key file."""

    passphrase: str | None = None
    key_file: bytes | None = None

    def __post_init__(self) -> None:
        if (self.passphrase is None) == (self.key_file is None):
            raise ValueError("either a passphrase or a key file")


def key_encryption_key(unlock: Unlock, salt: bytes, cost: Cost | None) -> bytes:
    """The kek, 32 bytes; `cost` is that of the header, None for a key file. About 0.9 s for a passphrase."""
    if unlock.passphrase is not None:
        if cost is None:
            raise DecryptionFailedError("this profile was locked with a key file")
        return derive_key(unlock.passphrase, salt, cost)
    if cost is not None:
        raise DecryptionFailedError("this profile was locked with a passphrase")
    return _SUITE.hkdf(unlock.key_file or b"", salt, _LABEL + b"file")


def wrap_data_key(kek: bytes, header: bytes, data_key: bytes, random: Random) -> bytes:
    """`wrapped`: the data key under the kek, bound to the header's bytes."""
    nonce = random(NONCE_BYTES)
    return nonce + _SUITE.seal(kek, nonce, header, data_key)


def unwrap_data_key(kek: bytes, header: bytes, wrapped: bytes) -> bytes:
    """The data key, or `DecryptionFailedError` (wrong secret, or an altered header: they cannot be told apart)."""
    return _SUITE.open(kek, wrapped[:NONCE_BYTES], header, wrapped[NONCE_BYTES:])


class Vault:
    """Tags and encrypts the records of one opening of a profile."""

    __slots__ = ("_ciphers", "_counter", "_data_key", "_kinds", "_tag_key", "_writer")

    def __init__(self, data_key: bytes, random: Random) -> None:
        self._data_key = data_key
        self._tag_key = _SUITE.hkdf(data_key, b"", _LABEL + b"tag")
        self._writer = random(WRITER_BYTES)
        self._counter = 0
        self._ciphers: dict[bytes, Cipher] = {}
        self._kinds: dict[str, bytes] = {}

    def kind_tag(self, kind: str) -> bytes:
        """The 16 bytes under which all records of a kind stand."""
        tag = self._kinds.get(kind)
        if tag is None:
            tag = self._kinds[kind] = _SUITE.hmac(self._tag_key, lv(kind.encode()))[:TAG_BYTES]
        return tag

    def key_tag(self, kind: str, key: str) -> bytes:
        """The 16 bytes that name one record of a kind."""
        return _SUITE.hmac(self._tag_key, lv(kind.encode()) + key.encode())[:TAG_BYTES]

    def seal(self, place: bytes, plaintext: bytes) -> bytes:
        """A record's value for its place (see `place`)."""
        self._counter += 1
        counter = u64(self._counter)
        return self._writer + counter + self._cipher(self._writer).seal(b"\0\0\0\0" + counter, place, plaintext)

    def open(self, place: bytes, value: bytes) -> bytes:
        """The plaintext, or `DecryptionFailedError` for anything that was not sealed for this place."""
        writer, counter = value[:WRITER_BYTES], value[WRITER_BYTES : WRITER_BYTES + 8]
        if len(counter) < 8:
            raise DecryptionFailedError("the record is too short")
        return self._cipher(writer).open(b"\0\0\0\0" + counter, place, value[WRITER_BYTES + 8 :])

    def _cipher(self, writer: bytes) -> Cipher:
        cipher = self._ciphers.get(writer)
        if cipher is None:
            cipher = _SUITE.cipher(_SUITE.hkdf(self._data_key, b"", _LABEL + b"value" + writer))
            self._ciphers[writer] = cipher
        return cipher


def place(table: bytes, kind_tag: bytes, key: bytes) -> bytes:
    """The aad of a record: where it stands."""
    return lv(table) + lv(kind_tag) + key
