"""The account store: users, devices, enrolment tokens, prekeys, revocations, conversations (sections 5, 6; rows
B38–B45, B48).

Rules
- Every function is one transaction. A refused change raises an `AccountError` and leaves nothing behind.
- Rules about signatures are the caller's: what comes here was verified. Signed maps are bytes, stored and returned
  unread.
- Nothing is single-use by memory: a token is marked used in the transaction that inserts its device, and a one-time
  key is marked handed out before anybody sees it. A handed-out key leaves its id behind, so that an upload sent twice
  does not bring it back.
- Status of a device is `active` or `revoked`; an active one past `not_after` is not listed as active.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

from norc_actors.ids import ConversationId, DeviceId, UserId
from norc_actors.store.database import Database

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


class AccountStore:
    """The account tables on one `Database`, which it owns."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- tokens, users, devices ---

    def add_token(self, token: Token) -> None:
        """Record a new enrolment token."""
        raise NotImplementedError

    def token(self, token_hash: bytes) -> Token | None:
        """The token with this hash, used or not."""
        raise NotImplementedError

    def next_serial(self) -> int:
        """A fresh certificate serial number, from 1; never given twice."""
        raise NotImplementedError

    def register_first(
        self, device: Device, *, user_key: bytes, token_hash: bytes, now: int, user_rotation: bytes | None = None
    ) -> None:
        """Redeem the token, create the user and insert its first device, all or nothing.

        With `user_rotation` (an encoded map, verified) an existing user's key is replaced instead.
        Raises `TokenUnknownError` (also: issued for another user), `TokenUsedError`, `TokenExpiredError`,
        `UserExistsError`, `DeviceExistsError`.
        """
        raise NotImplementedError

    def add_device(self, device: Device, *, user_key: bytes) -> None:
        """Insert a further device of a user whose key is `user_key`. Raises `UserUnknownError`, `UserExistsError`
        (another key), `DeviceExistsError`."""
        raise NotImplementedError

    def rotate_device(self, device: Device, *, replaces: bytes, now: int) -> None:
        """Replace the record of an active device whose public key is `replaces`; the old one joins `old_records`.
        Raises `DeviceUnknownError`."""
        raise NotImplementedError

    def user(self, user_id: UserId) -> User | None:
        """One user."""
        raise NotImplementedError

    def users(self) -> list[User]:
        """All users, by user_id."""
        raise NotImplementedError

    def device(self, device_id: DeviceId) -> Device | None:
        """One device, whatever its status."""
        raise NotImplementedError

    def devices(self, user_ids: Sequence[UserId], *, now: int, include_revoked: bool = False) -> list[Device]:
        """The users' devices, ordered by (user_id, device_id): active and not expired, with `include_revoked` all."""
        raise NotImplementedError

    def old_records(self, device_ids: Sequence[DeviceId], *, now: int) -> list[OldRecord]:
        """Replaced records of the last 37 days."""
        raise NotImplementedError

    def seen(self, device_id: DeviceId, *, now: int) -> None:
        """Note that the device authenticated."""
        raise NotImplementedError

    # --- prekeys ---

    def put_prekeys(
        self, device_id: DeviceId, *, bundle: tuple[bytes, int] | None, one_time: Sequence[tuple[int, bytes]]
    ) -> PrekeyStatus:
        """Store a new bundle (encoded, its not_after) and one-time keys (one_time_id, encoded); return what stands
        then. Ids known already are left as they are. Raises `DeviceUnknownError`."""
        raise NotImplementedError

    def prekey_status(self, device_id: DeviceId) -> PrekeyStatus:
        """How many one-time keys are left and when the bundle ends."""
        raise NotImplementedError

    def hand_out(self, requesting: DeviceId, targets: Sequence[DeviceId], *, now: int) -> dict[DeviceId, HandOut]:
        """The targets' bundles that are not expired, each with a one-time key if the requester had none of that
        target within 24 h. Committed when this returns. Targets without a bundle are absent."""
        raise NotImplementedError

    # --- revocation ---

    def revoke(self, revocation: Revocation) -> bool:
        """Mark the device revoked, store the map, delete its prekeys. False if it was revoked before (nothing changes).
        Raises `DeviceUnknownError`."""
        raise NotImplementedError

    def revocation(self, device_id: DeviceId) -> Revocation | None:
        """The revocation of a device."""
        raise NotImplementedError

    def last_revocation(self, user_id: UserId, signed_by: SignedBy) -> Revocation | None:
        """The newest one with this user and signer, which the next names in `prev_revocation_hash`."""
        raise NotImplementedError

    # --- conversations ---

    def put_conversation(self, conversation: Conversation, members: Sequence[UserId]) -> None:
        """Store the next epoch, and its members as the current ones. Epoch 1 creates; of type direct it needs two
        members.
        Raises `ConversationExistsError`, `DirectExistsError`, `EpochConflictError`."""
        raise NotImplementedError

    def conversation(self, conversation_id: ConversationId, epoch: int | None = None) -> Conversation | None:
        """One epoch, the newest if none is named."""
        raise NotImplementedError

    def members(self, conversation_id: ConversationId) -> list[UserId]:
        """Members of the newest epoch, sorted."""
        raise NotImplementedError

    def conversations_of(self, user_id: UserId) -> list[ConversationId]:
        """The conversations whose newest epoch has the user."""
        raise NotImplementedError

    # --- housekeeping ---

    def purge(self, now: int) -> int:
        """Remove expired tokens, bundles, hand-outs, old records and revocations past their time; return how many
        rows."""
        raise NotImplementedError

    def statistics(self) -> dict[str, int]:
        """Rows: `users`, `devices`, `conversations`."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the database."""
        self._database.close()
