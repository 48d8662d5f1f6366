"""What servers tell each other about users: look-ups, presence, archives, calls (fields.md; section 8, *Other
traffic*)."""

from typing import Annotated, Literal

from norc_actors.limits import MAX_USERS_PER_KEY_REQUEST
from norc_actors.protocol.schema import (
    Atoms,
    Bound,
    Bytes32,
    Count,
    DeviceUuid,
    EntryMap,
    Map,
    Message,
    MessageUuid,
    PublicKey,
    Seconds,
    Server,
    User,
    Uuid,
)

from .message import Classification
from .vocabulary import Address, Name, PageToken, Period, Port, PresenceStatus, Remark, Url, Word


class UserLookup(Message, frozen=True, kw_only=True, omit_defaults=True, tag="user_lookup"):
    """Asks about users of another server, for one device of an own user."""

    request_id: Uuid
    requesting_server: Server
    target_server: Server
    user_queries: Annotated[tuple[User, ...], Bound(1, MAX_USERS_PER_KEY_REQUEST)]
    lookup_type: Literal["basic", "detailed", "presence", "keys"]
    requester_user: User
    requester_device: DeviceUuid


class PublicProfile(Map, frozen=True, kw_only=True, omit_defaults=True):
    """What a user shows to other organisations."""

    display_name: Name | None = None
    avatar_url: Url | None = None


class FoundDevice(Map, frozen=True, kw_only=True, omit_defaults=True):
    """A device as a look-up shows it; keys to write to come by `keys` alone, signed."""

    device_id: DeviceUuid
    public_key: PublicKey
    last_seen: Seconds
    capabilities: Atoms


class FoundUser(Map, frozen=True, kw_only=True, omit_defaults=True):
    """The answer for one user; `error` is a code's name."""

    depth = 3  # a result stands in the list of results of a message

    user_id: User
    exists: bool
    public_profile: PublicProfile | None = None
    devices: tuple[FoundDevice, ...] | None = None
    keys: dict[DeviceUuid, EntryMap] | None = None
    federation_allowed: bool | None = None
    error: Word | None = None


class UserLookupResponse(Message, frozen=True, kw_only=True, omit_defaults=True, tag="user_lookup_response"):
    """The answers, one per user that was asked for."""

    request_id: Uuid
    results: Annotated[tuple[FoundUser, ...], Bound(0, MAX_USERS_PER_KEY_REQUEST)]
    timestamp: Seconds


class PresenceData(Map, frozen=True, kw_only=True, omit_defaults=True):
    """Presence as other organisations see it."""

    status: PresenceStatus
    status_message: Remark | None = None
    last_seen: Seconds
    capabilities: Atoms


class PresenceFederation(Message, frozen=True, kw_only=True, omit_defaults=True, tag="presence_federation"):
    """Presence of a user of the origin, for subscribers elsewhere."""

    user_id: User
    device_id: DeviceUuid
    origin_server: Server
    target_servers: tuple[Server, ...]
    presence_data: PresenceData
    subscribers: tuple[User, ...]
    timestamp: Seconds


class ArchiveSync(Message, frozen=True, kw_only=True, omit_defaults=True, tag="archive_sync"):
    """Asks for metadata of what was archived, under an audit."""

    requesting_server: Server
    target_server: Server
    sync_period: Period
    user_filter: tuple[User, ...]
    classification_levels: tuple[Classification, ...]
    audit_id: Uuid
    page_token: PageToken | None = None


class ArchivedMessage(Map, frozen=True, kw_only=True, omit_defaults=True):
    """An archived message without content; participants are the requester's own users only (D-35)."""

    message_id: MessageUuid
    timestamp: Seconds
    participants: tuple[User, ...]
    message_hash: Bytes32
    classification: Classification
    archived_at: Seconds


class ArchiveSyncResponse(Message, frozen=True, kw_only=True, omit_defaults=True, tag="archive_sync_response"):
    """One page; without `next_page_token` it is the last (D-40)."""

    audit_id: Uuid
    message_count: Count
    messages: tuple[ArchivedMessage, ...]
    sync_status: Literal["complete", "partial", "failed"]
    next_page_token: PageToken | None = None


class CallMetadata(Map, frozen=True, kw_only=True, omit_defaults=True):
    """What servers agree on about a call."""

    classification: Classification
    max_duration: Seconds
    recording_allowed: bool


class CallInviteFederation(Message, frozen=True, kw_only=True, omit_defaults=True, tag="call_invite_federation"):
    """call_invite between servers; no SDP, no addresses (D-36)."""

    call_id: Uuid
    origin_server: Server
    target_server: Server
    caller: User
    callees: tuple[User, ...]
    call_type: Literal["audio", "video", "conference"]
    media_relay_required: bool
    call_metadata: CallMetadata


class MediaEndpoint(Map, frozen=True, kw_only=True, omit_defaults=True):
    """A port of a media relay."""

    protocol: Literal["rtp", "rtcp"]
    address: Address
    port: Port


class MediaRelayInfo(Message, frozen=True, kw_only=True, omit_defaults=True, tag="media_relay_info"):
    """Where media goes; the key protects the hop to the relay alone (D-14)."""

    call_id: Uuid
    relay_server: Server
    relay_endpoints: Annotated[tuple[MediaEndpoint, ...], Bound(0, 16)]
    encryption_key: Bytes32
    relay_expires_at: Seconds
