"""What two people compare to know that no server stands between them (section 5, *User key*).

```
h    = first 30 bytes of H("norc:fingerprint:v1" ‖ len‖user_id ‖ user key)      H: P-256 key ⇒ SHA-256, else BLAKE3
half = each 5 bytes of h, big-endian, modulo 100000, as 5 digits: 6 groups
fingerprint = both users' halves, sorted as text, joined: 12 groups
```
Sorting makes both sides show the same text; the user_id inside keeps a key from vouching for another name.
"""

from norc_actors.crypto.layout import lv
from norc_actors.crypto.secret import same
from norc_actors.crypto.suites import hash_for_key

GROUPS = 12
GROUP_DIGITS = 5


def user_key_hash(user_key: bytes) -> bytes:
    """`user_key_hash` of states and trust in a person: the hash of the key under the key's own algorithm."""
    return hash_for_key(user_key)(user_key)


def half(user_id: str, user_key: bytes) -> str:
    """The 30 digits of one user, without blanks."""
    h = hash_for_key(user_key)(b"norc:fingerprint:v1" + lv(user_id.encode()) + user_key)
    return digits(h[:30])


def digits(data: bytes) -> str:
    """Each 5 bytes of `data`, big-endian, modulo 100000, as 5 digits."""
    return "".join(f"{int.from_bytes(data[at : at + 5], 'big') % 100000:05d}" for at in range(0, len(data), 5))


def grouped(text: str) -> str:
    """Digits in groups of five, parted by blanks, as they are shown."""
    return " ".join(text[at : at + GROUP_DIGITS] for at in range(0, len(text), GROUP_DIGITS))


def safety_number(user_a: str, key_a: bytes, user_b: str, key_b: bytes) -> str:
    """The fingerprint of two users, 12 groups of 5 digits; the same whoever asks."""
    return grouped("".join(sorted((half(user_a, key_a), half(user_b, key_b)))))


def matches(typed: str, shown: str) -> bool:
    """Whether what a person typed is the shown number; blanks, dashes and line breaks are ignored."""
    strip = str.maketrans("", "", " \t\r\n-")
    return same(typed.translate(strip).encode(errors="surrogatepass"), shown.translate(strip).encode())
