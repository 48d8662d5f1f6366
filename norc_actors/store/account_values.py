"""What the account store keeps, as plain frozen values (rules in `accounts`)."""

from typing import Literal

import msgspec

from norc_actors.ids import ConversationId, DeviceId, UserId

SignedBy = Literal["user", "device", "server"]
ConversationType = Literal["direct", "group", "channel", "broadcast"]


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A user: public user key, and the encoded `user_rotation` that led to it, if any."""

    user_id: UserId
    user_key: bytes
    user_rotation: bytes | None = None


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """A device as others see it: encoded `record`, the user key's signature of it, encoded `device_certificate`."""

    device_id: DeviceId
    user_id: UserId
    public_key: bytes
    record: bytes
    user_signature: bytes
    certificate: bytes
    not_after: int
    status: Literal["active", "revoked"] = "active"
    last_seen: int = 0


class OldRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A record that a rotation replaced; listed for 37 days."""

    device_id: DeviceId
    public_key: bytes
    record: bytes
    user_signature: bytes
    certificate: bytes
    replaced_at: int


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """An enrolment token, known by its hash alone."""

    token_hash: bytes
    user_id: UserId
    expires_at: int
    used_at: int | None = None


class HandOut(msgspec.Struct, frozen=True, kw_only=True):
    """What a requesting device gets of a target: the fresh bundle, and a one-time key if one is due and left
    (encoded)."""

    bundle: bytes | None
    one_time: bytes | None


class PrekeyStatus(msgspec.Struct, frozen=True, kw_only=True):
    """As in `prekey_status`: 0 for a missing bundle."""

    one_time_left: int
    bundle_expires_at: int


class Revocation(msgspec.Struct, frozen=True, kw_only=True):
    """A `device_revoke`, encoded, with what it is looked up by. Kept until `keep_until` (not_after + 30 days)."""

    device_id: DeviceId
    user_id: UserId
    revocation_id: str
    signed_by: SignedBy
    effective: int
    keep_until: int
    revocation: bytes


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """One epoch: `signed_state` is the encoded map with state, signer_user, signer_device, signature."""

    conversation_id: ConversationId
    epoch: int
    type: ConversationType
    signed_state: bytes
