"""What happens to a client besides messages: a closed set of frozen events, read with `Client.events()`.

Events inform; nothing is lost if they are not read (each subscriber has a bounded buffer, oldest first out, and
`Missed` says how many went). What must not be lost is in the profile: messages, statuses, pins, groups.
"""

from dataclasses import dataclass

from norc_actors.client.model import Cause, DeviceInfo, Group, MessageStatus, PendingDevice

__all__ = [
    "ConnectionDown",
    "ConnectionUp",
    "DeviceApprovalWanted",
    "DeviceRefused",
    "DeviceRevoked",
    "Event",
    "GroupChanged",
    "IntegrityAlert",
    "MessageDelayed",
    "Missed",
    "NewDevice",
    "SecurityEvent",
    "ServerKeyPinned",
    "StatusChanged",
    "UserKeyChanged",
    "UserKeyPinned",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Any event."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Missed(Event):
    """This subscriber was too slow: `count` events were dropped before this one."""

    count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ConnectionUp(Event):
    """Authenticated and ready. `suite`: of the connection, as four hex digits."""

    suite: str
    session_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ConnectionDown(Event):
    """The connection is gone; the client tries again in `retry_in` seconds (negative: it does not)."""

    reason: str
    retry_in: float


@dataclass(frozen=True, kw_only=True, slots=True)
class StatusChanged(Event):
    """A sent message moved on (sent, delivered, read, failed), or one more device of a recipient has it."""

    status: MessageStatus


@dataclass(frozen=True, kw_only=True, slots=True)
class MessageDelayed(Event):
    """A message waits for keys: its sender was asked and will send them."""

    message_id: str
    conversation_id: str
    sender: str
    sender_device: str
    cause: Cause


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupChanged(Event):
    """A group was made, renamed, changed members, or left. `by`: whose signed state or message did it."""

    group: Group
    by: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceApprovalWanted(Event):
    """A further device of this user waits: compare the code on its screen, then `Client.approve`."""

    device: PendingDevice


@dataclass(frozen=True, kw_only=True, slots=True)
class NewDevice(Event):
    """A device of this user was enrolled (vouched for by the user key)."""

    device: DeviceInfo


@dataclass(frozen=True, kw_only=True, slots=True)
class SecurityEvent(Event):
    """Something that the user should see; `text` is a whole sentence."""

    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerKeyPinned(SecurityEvent):
    """The server's key was pinned at first use, or moved on by a signed rotation."""

    fingerprint: str


@dataclass(frozen=True, kw_only=True, slots=True)
class UserKeyPinned(SecurityEvent):
    """A user's key was pinned at first use."""

    user_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class UserKeyChanged(SecurityEvent):
    """A user's key changed (`accepted`: by a rotation that is in order), or another one was shown and refused."""

    user_id: str
    accepted: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceRefused(SecurityEvent):
    """The server listed a device that the user's key does not vouch for: nothing is encrypted to it."""

    user_id: str
    device_id: str
    cause: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceRevoked(SecurityEvent):
    """A device was revoked. `signed_by`: user, device or server ("by operator")."""

    user_id: str
    device_id: str
    signed_by: str


@dataclass(frozen=True, kw_only=True, slots=True)
class IntegrityAlert(SecurityEvent):
    """A chain was broken, an id used twice, a state or receipt forged: someone on the way does what they must not."""

    conversation_id: str | None
    user_id: str
    device_id: str
    cause: str
