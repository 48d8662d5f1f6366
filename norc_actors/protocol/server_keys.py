"""What a client knows of a server's identity keys, and how it judges the one it is shown (section 4; D-25; row B41).

Rules
- An enrolment token names the keys by hash and decides alone where there is one; else the pinned keys do; with neither,
  the key is taken at first use, pinned, and shown.
- A key that is not known is accepted only if a chain of `server_rotation` entries leads to it from a known one, each
  signed by the old and the new key (`server-rotate:v1`, both over the entry less `signatures`).
- A server has a key per algorithm. A pin of one algorithm says nothing for the other: a server that suddenly shows a
  key of another algorithm needs a rotation entry like for any new key.
"""

from dataclasses import dataclass
from typing import Literal

from norc_actors.crypto.errors import BadSignatureError
from norc_actors.crypto.signatures import verify
from norc_actors.crypto.suites import hash_for_key

from .canonical import canonical
from .codec import convert
from .errors import Code, ProtocolError
from .messages import ConnectionAccepted, ServerRotation
from .schema import SignedMap

KeyStatus = Literal["token", "pinned", "rotated", "first use"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownKeys:
    """Hashes from an enrolment token (32 bytes each), or the keys pinned before."""

    token_hashes: tuple[bytes, ...] = ()
    pinned: tuple[bytes, ...] = ()

    def has(self, public_key: bytes) -> bool:
        """Whether this key is one of them."""
        if self.token_hashes:
            return hash_for_key(public_key)(public_key) in self.token_hashes
        return public_key in self.pinned

    def judge(self, accepted: ConnectionAccepted) -> KeyStatus:
        """How the server's key is known, or `ProtocolError` INVALID_SIGNATURE: a new key needs the old one's word."""
        if self.has(accepted.server_public_key):
            return "token" if self.token_hashes else "pinned"
        if not self.token_hashes and not self.pinned:
            return "first use"
        if self._rotated(accepted):
            return "rotated"
        raise ProtocolError(Code.INVALID_SIGNATURE, "the server's key is neither the known one nor signed by it")

    def _rotated(self, accepted: ConnectionAccepted) -> bool:
        """Whether a chain of server_rotation entries leads from a known key to the one in use."""
        entries = [(convert(entry, ServerRotation), entry) for entry in accepted.server_rotation or ()]
        key = accepted.server_public_key
        for _ in entries:
            step = next((pair for pair in entries if pair[0].new_public_key == key), None)
            if step is None:
                return False
            _check_rotation(*step, accepted.server_id)
            key = step[0].old_public_key
            if self.has(key):
                return True
        return False


def _check_rotation(rotation: ServerRotation, entry: SignedMap, server_id: str) -> None:
    if rotation.server_id != server_id:
        raise ProtocolError(Code.INVALID_SIGNATURE, "a server_rotation of another server")
    body = canonical(entry, less=("signatures",))
    by_old, by_new = rotation.signatures
    try:
        verify(rotation.old_public_key, "server-rotate:v1", body, by_old)
        verify(rotation.new_public_key, "server-rotate:v1", body, by_new)
    except BadSignatureError as error:
        raise ProtocolError(Code.INVALID_SIGNATURE, "a server_rotation that is not signed by both keys") from error
