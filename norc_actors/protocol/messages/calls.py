"""Calls: their signalling in the clear, and what their invitation holds inside (fields.md; section 6; D-14, D-36)."""

from typing import Annotated, Literal

from norc_actors.protocol.schema import (
    Bound,
    Bytes32,
    ConversationUuid,
    DeviceUuid,
    Map,
    Message,
    Seconds,
    User,
    Uuid,
)

from .vocabulary import Word

CallType = Literal["audio", "video", "screen_share", "conference"]


class CallInvite(Message, frozen=True, kw_only=True, omit_defaults=True, tag="call_invite"):
    """A call begins; keys and addresses go inside an end-to-end message (`CallInviteBody`)."""

    call_id: Uuid
    conversation_id: ConversationUuid
    caller_user_id: User
    caller_device_id: DeviceUuid
    participants: tuple[User, ...]
    call_type: CallType
    expires_at: Seconds


class CallResponse(Message, frozen=True, kw_only=True, omit_defaults=True, tag="call_response"):
    """A device answers an invitation."""

    call_id: Uuid
    response: Literal["accept", "reject", "busy"]
    callee_device_id: DeviceUuid


class CallUpdate(Message, frozen=True, kw_only=True, omit_defaults=True, tag="call_update"):
    """A device says how it takes part now (muted, on hold, …)."""

    call_id: Uuid
    device_id: DeviceUuid
    state: Word


class CallEnd(Message, frozen=True, kw_only=True, omit_defaults=True, tag="call_end"):
    """The call is over for all; how long it was is told to no server."""

    call_id: Uuid
    ended_by: User
    reason: Literal["normal", "busy", "failed", "network_error"]


class CallInviteBody(Map, frozen=True, kw_only=True, omit_defaults=True):
    """The body of a `call_invite` inside an end-to-end message."""

    call_id: Uuid
    call_secret: Bytes32
    sdp: Annotated[str, Bound(0, 65536)] | None = None
    ice: Annotated[tuple[Annotated[str, Bound(0, 1024)], ...], Bound(0, 256)] | None = None
