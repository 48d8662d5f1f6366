"""Getting a device in: token links, proof of work, the registration signature, the code that people compare (section 5;
rows `B40`, `B48`).

Rules
- The token is one-time and expiring; it travels as a link or QR code, `norc://server_id/enroll?v=1&t=…&k=…`, with one
  `k` (hash of a server identity key) per key, so that the first connection needs no trust at first use.
- A server keeps `token_hash`, never the token.
- Proof of work answers the server's own challenge (D-32); any solution with enough leading zero bits counts.
- `registration_response` signs th ‖ challenge ‖ the whole `device_register`: nothing in it can be exchanged on the way.
- `device_code` is for a further device: it shows the code, the person types it on the device that approves. The server
  would have to find a key with the same 20 digits within the ten minutes of the hold.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from norc_actors.crypto.errors import BadSignatureError
from norc_actors.crypto.hkdf import blake3
from norc_actors.crypto.layout import lv, u64
from norc_actors.crypto.secret import same
from norc_actors.crypto.signatures import Signer, verify
from norc_actors.crypto.suites import Suite, hash_for_key
from norc_actors.ids import InvalidIdError, Random, ServerId, parse_server_id, uuid_bytes
from norc_actors.limits import MAX_INTEGER, MAX_POW_DIFFICULTY

from .canonical import base64url, canonical, from_base64url
from .errors import ProtocolError
from .fingerprint import digits, grouped, matches
from .schema import SignedMap

TOKEN_BYTES = 32
CODE_BYTES = 20
"""Four groups of five digits."""

_LINK = re.compile(r"norc://([^/?#]*)/enroll\?([^#\s]*)")  # not urlsplit, which repairs input and keeps it in a cache
_PAIR = re.compile(r"([a-z]+)=(.*)")


class BadLinkError(ValueError):
    """The text is no enrolment link; the message says what is wrong with it, never the token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentLink:
    """What an administrator hands over: the server, the token, and the hash of each of the server's identity keys."""

    server_id: ServerId
    token: bytes
    key_hashes: tuple[bytes, ...]

    def __str__(self) -> str:
        keys = "".join(f"&k={base64url(key_hash)}" for key_hash in self.key_hashes)
        return f"norc://{self.server_id}/enroll?v=1&t={base64url(self.token)}{keys}"

    def __repr__(self) -> str:
        return f"EnrolmentLink({self.server_id}, token hidden, {len(self.key_hashes)} keys)"

    def names_key(self, server_public_key: bytes) -> bool:
        """Whether the link vouches for this server key."""
        return any(same(key_hash, server_key_hash(server_public_key)) for key_hash in self.key_hashes)


def server_key_hash(server_public_key: bytes) -> bytes:
    """`k` of a link: the hash of an identity key under the key's own algorithm."""
    return hash_for_key(server_public_key)(server_public_key)


def parse_link(text: str) -> EnrolmentLink:
    """The link in `text` (blanks around it are ignored), or `BadLinkError`. Unknown parameters are ignored."""
    match = _LINK.fullmatch(text.strip())
    if match is None:
        raise BadLinkError("an enrolment link looks like norc://server/enroll?v=1&t=…&k=…; ask for a new one")
    try:
        server_id = parse_server_id(match[1])
    except InvalidIdError as error:
        raise BadLinkError(f"the link names no server: {error}") from error
    token, version, key_hashes = b"", "", []
    for name, value in _pairs(match[2]):
        if name == "v":
            version = value
        elif name == "t":
            token = _bytes32(value)
        elif name == "k":
            key_hashes.append(_bytes32(value))
    if version != "1":
        raise BadLinkError("the link is of another version; update this program")
    if not token or not key_hashes:
        raise BadLinkError("the link is cut off: copy the whole of it")
    return EnrolmentLink(server_id=server_id, token=token, key_hashes=tuple(key_hashes))


def _pairs(query: str) -> Iterator[tuple[str, str]]:
    for part in query.split("&"):
        match = _PAIR.fullmatch(part)
        if match is not None:
            yield match[1], match[2]


def _bytes32(value: str) -> bytes:
    try:
        data = from_base64url(value)
    except ProtocolError as error:
        raise BadLinkError("the link is damaged: copy it again") from error
    if len(data) != 32:
        raise BadLinkError("the link is cut off: copy the whole of it")
    return data


def new_token(random: Random) -> bytes:
    """A fresh enrolment token, 32 bytes."""
    return random(TOKEN_BYTES)


def token_hash(token: bytes) -> bytes:
    """What a server stores and looks a token up by."""
    return blake3(token)


# --- Proof of work ---


def work_hash(suite: Suite, challenge: bytes, device_id: str, public_key: bytes, solution: int) -> bytes:
    """The hash whose leading zero bits count; `suite` is the connection's."""
    return suite.hash(b"norc:pow:v1" + challenge + uuid_bytes(device_id) + public_key + u64(solution))


def zero_bits(data: bytes) -> int:
    """Leading zero bits, the first byte's highest bit first."""
    return len(data) * 8 - int.from_bytes(data, "big").bit_length()


def solve(suite: Suite, challenge: bytes, device_id: str, public_key: bytes, difficulty: int) -> int:
    """A solution, after about 2^difficulty hashes (1 µs each); `ValueError` beyond difficulty 28."""
    if not 0 <= difficulty <= MAX_POW_DIFFICULTY:
        raise ValueError("the server asks for more work than the protocol allows")
    return next(
        solution
        for solution in count()
        if zero_bits(work_hash(suite, challenge, device_id, public_key, solution)) >= difficulty
    )


def is_solution(
    suite: Suite, challenge: bytes, device_id: str, public_key: bytes, difficulty: int, solution: int
) -> bool:
    """Whether `solution` (0 … 2⁵³−1) has at least `difficulty` leading zero bits."""
    if not 0 <= solution <= MAX_INTEGER:
        return False
    return zero_bits(work_hash(suite, challenge, device_id, public_key, solution)) >= difficulty


# --- The registration signature ---


def registration_body(transcript_hash: bytes, challenge: bytes, register: SignedMap) -> bytes:
    """`th ‖ challenge ‖ len‖canonical(device_register)`, the map as it was sent."""
    return transcript_hash + challenge + lv(canonical(register))


def sign_registration(device_key: Signer, transcript_hash: bytes, challenge: bytes, register: SignedMap) -> bytes:
    """`registration_response.signature`, by the new device key."""
    return device_key.sign("register:v1", registration_body(transcript_hash, challenge, register))


def verify_registration(transcript_hash: bytes, challenge: bytes, register: SignedMap, signature: bytes) -> None:
    """`BadSignatureError` unless the key in `register` signed this registration on this connection."""
    public_key = register.get("public_key")
    if not isinstance(public_key, bytes):
        raise BadSignatureError("device_register has no public_key")
    verify(public_key, "register:v1", registration_body(transcript_hash, challenge, register), signature)


# --- The code that people compare ---


def device_code(device_id: str, public_key: bytes) -> str:
    """Four groups of five digits for a device that waits for approval: `12345 67890 12345 67890`."""
    hashed = hash_for_key(public_key)(b"norc:device-code:v1" + uuid_bytes(device_id) + public_key)
    return grouped(digits(hashed[:CODE_BYTES]))


def code_matches(typed: str, device_id: str, public_key: bytes) -> bool:
    """Whether a typed code is this device's; blanks and dashes are ignored."""
    return matches(typed, device_code(device_id, public_key))
