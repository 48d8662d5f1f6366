"""Who is there: presence between a device and its home server (fields.md; row B91, B92)."""

from norc_actors.protocol.schema import Atoms, DeviceUuid, Message, Seconds, User

from .vocabulary import PresenceStatus, Remark


class PresenceUpdate(Message, frozen=True, kw_only=True, omit_defaults=True, tag="presence_update"):
    """What a device says of itself; `invisible` is told to nobody else as such."""

    user_id: User
    device_id: DeviceUuid
    status: PresenceStatus
    status_message: Remark | None = None
    capabilities: Atoms
    last_seen: Seconds
    idle_since: Seconds | None = None


class PresenceSubscribe(Message, frozen=True, kw_only=True, omit_defaults=True, tag="presence_subscribe"):
    """Asks to be told about users, or no longer."""

    user_ids: tuple[User, ...]
    subscribe: bool


class PresenceNotification(Message, frozen=True, kw_only=True, omit_defaults=True, tag="presence_notification"):
    """What a subscriber is told about one device of a user."""

    user_id: User
    device_id: DeviceUuid
    status: PresenceStatus
    status_message: Remark | None = None
    timestamp: Seconds
