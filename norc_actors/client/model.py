"""What the application sees: messages, statuses, people, devices, groups. Frozen values, no behaviour.

Times are integers: `*_us` microseconds since the epoch, all others seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = [
    "Address",
    "Cause",
    "Classification",
    "DeviceInfo",
    "Enrolled",
    "Group",
    "Member",
    "Message",
    "MessageStatus",
    "PendingDevice",
    "Received",
    "RecipientStatus",
    "Role",
    "Status",
    "Undecryptable",
    "UserInfo",
]

Body = str | Mapping[str, object]
Classification = str
"""One of fields.md's eight atoms."""


class Status(StrEnum):
    """How far a sent message has come; it only ever moves down this list, or to `failed`."""

    WAITING = "waiting"
    """Committed here, waiting for keys or for the connection."""
    SENDING = "sending"
    """Encrypted and committed; sent or about to be."""
    SENT = "sent"
    """The home server has committed it."""
    DELIVERED = "delivered"
    """Every recipient has it on at least one device (signed receipts)."""
    READ = "read"
    """Every recipient has read it on at least one device (signed receipts)."""
    FAILED = "failed"
    """It will not be sent, finally."""


class Cause(StrEnum):
    """Why a received message could not be shown."""

    UNKNOWN_SESSION = "unknown_session"
    """Its keys are not here; its sender was asked for new ones and has not answered."""
    KEY_USED = "key_used"
    """Its message key was used or erased already."""
    NOT_OPENED = "not_opened"
    """The ciphertext or key wrap does not open: altered on the way, or made wrongly."""
    BAD_SIGNATURE = "bad_signature"
    """It is not signed by the device that it names."""
    UNTRUSTED_DEVICE = "untrusted_device"
    """Its device is not vouched for by its user's pinned key, or is revoked or expired."""
    KEY_CHANGED = "key_changed"
    """Its user's key is another one than the pinned one."""
    WRONG_AUDIENCE = "wrong_audience"
    """It was made for another set of members than the conversation's."""
    UNKNOWN_CONVERSATION = "unknown_conversation"
    """Its conversation's signed state cannot be had."""
    BROKEN_CHAIN = "broken_chain"
    """It does not continue what this device sent before: something was inserted, replaced or reordered."""
    REPLAYED = "replayed"
    """Another message came under an id that was used already."""
    STALE = "stale"
    """Too old, or expired."""
    MALFORMED = "malformed"
    """What is inside is no message."""


class Role(StrEnum):
    """A member's role in a group."""

    OWNER = "owner"
    ADMIN = "admin"
    MODERATOR = "moderator"
    MEMBER = "member"
    OBSERVER = "observer"


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """Where to dial when it is not the server's own name: the TLS and protocol name stays the server_id."""

    host: str
    port: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """A received message, its signature and chain checked. `own`: sent by another device of this user."""

    message_id: str
    conversation_id: str
    sender: str
    sender_device: str
    message_type: str
    text: str
    """The text of a `text` message, "" for other types."""
    body: Mapping[str, object]
    """The body of other types, empty for `text`."""
    sent_us: int
    accepted_at: int
    classification: Classification
    reply_to: str | None = None
    own: bool = False
    group: bool = False
    gap: bool = False
    """Messages of this sender before this one are missing so far."""
    new_chain: bool = False
    """The sender's device started anew: earlier messages may never come."""
    verified: bool = False
    """The sender's fingerprint was compared."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Undecryptable:
    """A message that could not be shown, and why (B65). Its sender was told if the cause is final."""

    message_id: str
    conversation_id: str
    sender: str
    sender_device: str
    cause: Cause
    accepted_at: int


Received = Message | Undecryptable


@dataclass(frozen=True, kw_only=True, slots=True)
class RecipientStatus:
    """One recipient device of a sent message. `receipt_us`: the signed time of its last receipt."""

    user_id: str
    device_id: str
    status: Status
    receipt_us: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class MessageStatus:
    """All that is known of a sent message."""

    message_id: str
    conversation_id: str | None
    status: Status
    created_us: int
    accepted_us: int = 0
    recipients: tuple[RecipientStatus, ...] = ()
    cause: str = ""
    """For `failed`: a stable word, "" otherwise."""
    error_code: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceInfo:
    """A device of this user as the directory shows it. `trusted`: vouched for by the pinned user key and in force."""

    device_id: str
    this_device: bool
    trusted: bool
    revoked: bool
    not_before: int
    not_after: int
    fingerprint: str
    """The code of its public key: the same that was shown when it was enrolled."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PendingDevice:
    """A further device of this user that waits for approval. The code is on *its* screen, so it is not here."""

    device_id: str
    name: str
    since: int


@dataclass(frozen=True, kw_only=True, slots=True)
class UserInfo:
    """A user whose key is pinned."""

    user_id: str
    verified: bool
    key_changed: bool
    """The server has shown another key than the pinned one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """A member of a group."""

    user_id: str
    role: Role


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """A group as its latest verified state has it. `name` is end-to-end, "" if not told yet; no server sees it."""

    conversation_id: str
    name: str
    epoch: int
    members: tuple[Member, ...] = field(default=())
    left: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Enrolled:
    """What an enrolment ended with.

    `server_fingerprint`: of the pinned server key; show it when no link named it. `user_fingerprint`: of the user key;
    a further device learned that key through the server, so show it beside the one of the device that approved.
    """

    user_id: str
    device_id: str
    server_id: str
    server_fingerprint: str
    user_fingerprint: str
