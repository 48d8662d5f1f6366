"""Keys on request: look-ups, prekeys, and the opening of end-to-end sessions (fields.md; sections 5 and 6)."""

from typing import Annotated, Literal

from norc_actors.limits import MAX_ONE_TIME_BATCH, MAX_USERS_PER_KEY_REQUEST
from norc_actors.protocol.errors import malformed
from norc_actors.protocol.schema import (
    Bound,
    BundleMap,
    Bytes32,
    Bytes48,
    Count,
    DeviceUuid,
    EntryMap,
    KemCiphertext,
    Map,
    Message,
    OneTimeKeyMap,
    Plain,
    Seconds,
    Signature,
    SignedMap,
    SuiteName,
    Uint32,
    User,
    Uuid,
)

from .connection import HYBRID_SUITES


class KeyRequest(Message, frozen=True, kw_only=True, omit_defaults=True, tag="key_request"):
    """Asks for the entries of up to 100 users."""

    request_id: Uuid
    user_ids: Annotated[tuple[User, ...], Bound(1, MAX_USERS_PER_KEY_REQUEST)]
    device_filter: Literal["all", "active"] | tuple[DeviceUuid, ...]
    include_revoked: bool


class KeyResponse(Message, frozen=True, kw_only=True, omit_defaults=True, tag="key_response"):
    """Entries by user and device; in parts, `more` in all but the last."""

    request_id: Uuid
    keys: dict[User, dict[DeviceUuid, EntryMap]]
    more: bool = False
    timestamp: Seconds


class PrekeyUpload(Message, frozen=True, kw_only=True, omit_defaults=True, tag="prekey_upload"):
    """A fresh bundle, one-time keys, or both."""

    bundle: BundleMap | None = None
    one_time: Annotated[tuple[OneTimeKeyMap, ...], Bound(0, MAX_ONE_TIME_BATCH)] | None = None


class PrekeyStatus(Message, frozen=True, kw_only=True, omit_defaults=True, tag="prekey_status"):
    """What is left at the server; `bundle_expires_at` is 0 if there is none."""

    one_time_left: Count
    bundle_expires_at: Seconds


class SessionOpening(Message, frozen=True, kw_only=True, omit_defaults=True, tag="session_key_exchange"):
    """`open`: a session key wrapped to a prekey, signed by the opener (`session:v1`, over the map less signature)."""

    session_id: Uuid
    sender_user: User
    sender_device: DeviceUuid
    target_user: User
    target_device: DeviceUuid
    suite: SuiteName
    prekey_id: Uint32
    one_time_id: Uint32 | None = None
    ephemeral_public_key: Bytes32
    pq_ciphertext: KemCiphertext | None = None
    key_commitment: Bytes32
    wrapped: Bytes48
    expires_at: Seconds
    signature: Signature

    def _rule(self) -> None:
        """`pq_ciphertext` goes with a hybrid `suite`, and only then."""
        if (self.pq_ciphertext is not None) != (self.suite in HYBRID_SUITES):
            raise malformed("SessionOpening.pq_ciphertext goes with a hybrid suite, and only then")


class UnknownSession(Message, frozen=True, kw_only=True, omit_defaults=True, tag="session_key_exchange"):
    """A receiver has no such session; the opener answers with a supplement."""

    session_id: Uuid
    sender_user: User
    sender_device: DeviceUuid
    target_user: User
    target_device: DeviceUuid
    status: Literal["unknown"]
    timestamp: Seconds
    signature: Signature


class Wrap(Map, frozen=True, kw_only=True, omit_defaults=True):
    """A content key for one device; `open` (a whole session_key_exchange) until that device's first receipt."""

    depth = 3  # a wrap stands in the map of wraps of a message

    session_id: Uuid
    index: Uint32
    wrapped: Bytes48
    open: Annotated[SignedMap, Plain("SessionOpening")] | None = None
