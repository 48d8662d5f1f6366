"""What trust_manager and crl_manager tell one another: plain values, no behaviour.

crl_manager stands below in the tree and may call; trust_manager casts, and calls only from tasks of its own, so that
neither ever waits for the other in its loop.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from norc_actors.ids import ServerId
from norc_actors.protocol.codec import Received
from norc_actors.protocol.messages.trust_decision import RevokedCertificate
from norc_actors.protocol.schema import Message
from norc_actors.store.trust import StoredPush
from norc_actors.trust.crl import Known
from supervision import Call


@dataclass(frozen=True, slots=True)
class Push:
    """Cast: tell these revocations (by hash, encoded) to these servers; the rows are on the disk."""

    pushes: tuple[StoredPush, ...]
    revocations: Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class OwnChanged:
    """Cast: what this server's own list has to say from now on."""

    entries: tuple[RevokedCertificate, ...]


@dataclass(frozen=True, slots=True)
class PollNow:
    """Cast: ask this server for its list at once."""

    server: ServerId


@dataclass(frozen=True, slots=True)
class CrlFrames(Call[tuple[tuple[int, bytes], ...]]):
    """From a task of trust_manager: `crl_request`, `trust_crl` and `revocation_acknowledgment` that came on a link."""

    remote: ServerId
    key: bytes
    messages: tuple[Received[Message], ...]


@dataclass(frozen=True, slots=True)
class ListNews:
    """Cast to trust_manager: what is known of an issuer's list now; it is on the disk."""

    issuer: ServerId
    known: Known
    new: tuple[RevokedCertificate, ...]


@dataclass(frozen=True, slots=True)
class Watched:
    """Whose lists are wanted, with the keys that sign them."""

    server: ServerId
    keys: tuple[bytes, ...]
    known: Known


@dataclass(frozen=True, slots=True)
class ListsWanted(Call[tuple[Watched, ...]]):
    """To trust_manager: whose lists are wanted now."""


@dataclass(frozen=True, slots=True)
class Untold:
    """What crl_manager begins with: the revocations that somebody has to be told yet, by hash and encoded, and what the
    own list says."""

    pushes: tuple[StoredPush, ...]
    revocations: Mapping[bytes, bytes]
    own: tuple[RevokedCertificate, ...]


@dataclass(frozen=True, slots=True)
class UntoldWanted(Call[Untold]):
    """To trust_manager."""
