"""Conversations: signed states and the messages that carry them (fields.md; section 6, *Conversations*)."""

from itertools import pairwise
from typing import Annotated, Literal

from norc_actors.protocol.errors import malformed
from norc_actors.protocol.schema import (
    Bound,
    Bytes32,
    ConversationUuid,
    Count,
    DeviceUuid,
    Map,
    Message,
    Seconds,
    Signature,
    SignedMap,
    StateMap,
    User,
)

from .message import Epoch

ConversationType = Literal["direct", "group", "channel", "broadcast"]
Role = Literal["owner", "admin", "moderator", "member", "observer"]


class Member(Map, frozen=True, kw_only=True, omit_defaults=True):
    """A user in a state, bound to the user key that the signer saw."""

    user_id: User
    role: Role
    user_key_hash: Bytes32


class Settings(Map, frozen=True, kw_only=True, omit_defaults=True):
    """Settings of a conversation; `max_members` is 100 unless its owner says otherwise."""

    is_public: bool
    history_visible: bool
    message_ttl: Seconds | None = None
    max_members: Count


class State(Map, frozen=True, kw_only=True, omit_defaults=True):
    """Who a conversation is, at one epoch; signed (`conversation:v1` over its canonical form), chained by hash."""

    conversation_id: ConversationUuid
    type: ConversationType
    epoch: Epoch
    prev_state_hash: Bytes32 | None = None
    members: Annotated[tuple[Member, ...], Bound(1, 4096)]
    settings: Settings

    def _rule(self) -> None:
        """`prev_state_hash` is absent in epoch 1, and only there; `members` are sorted by user_id, none twice."""
        if (self.epoch == 1) != (self.prev_state_hash is None):
            raise malformed("State.prev_state_hash is absent in the first epoch, and only there")
        if any(a.user_id >= b.user_id for a, b in pairwise(self.members)):
            raise malformed("State.members are sorted by user_id, none twice")


class ConversationCreate(Message, frozen=True, kw_only=True, omit_defaults=True, tag="conversation_create"):
    """The first state of a conversation."""

    conversation_id: ConversationUuid
    conversation_type: ConversationType
    state: StateMap
    signer_user: User
    signer_device: DeviceUuid
    signature: Signature

    def _rule(self) -> None:
        """`conversation_type` and `conversation_id` are the state's."""
        if self.state.get("type") != self.conversation_type:
            raise malformed("ConversationCreate.conversation_type is the state's type")
        _check_id(self.state, self.conversation_id)


class ConversationUpdate(Message, frozen=True, kw_only=True, omit_defaults=True, tag="conversation_update"):
    """The next state of a conversation."""

    conversation_id: ConversationUuid
    state: StateMap
    signer_user: User
    signer_device: DeviceUuid
    signature: Signature

    def _rule(self) -> None:
        """`conversation_id` is the state's."""
        _check_id(self.state, self.conversation_id)


class ConversationState(Message, frozen=True, kw_only=True, omit_defaults=True, tag="conversation_state"):
    """A stored state, as answer."""

    conversation_id: ConversationUuid
    state: StateMap
    signer_user: User
    signer_device: DeviceUuid
    signature: Signature

    def _rule(self) -> None:
        """`conversation_id` is the state's."""
        _check_id(self.state, self.conversation_id)


class ConversationStateRequest(Message, frozen=True, kw_only=True, omit_defaults=True, tag="conversation_state"):
    """Asks for a state: that of `epoch`, else the latest."""

    conversation_id: ConversationUuid
    epoch: Epoch | None = None


class ConversationJoin(Message, frozen=True, kw_only=True, omit_defaults=True, tag="conversation_join"):
    """A request to join, signed by the device of who joins (`conversation:v1`, less signature)."""

    conversation_id: ConversationUuid
    user_id: User
    device_id: DeviceUuid
    invite_code: Annotated[str, Bound(0, 256)] | None = None
    timestamp: Seconds
    signature: Signature


class ConversationLeave(Message, frozen=True, kw_only=True, omit_defaults=True, tag="conversation_leave"):
    """Who leaves says so, signed (`conversation:v1`, less signature); the audience changes with the next state."""

    conversation_id: ConversationUuid
    epoch: Epoch
    user_id: User
    device_id: DeviceUuid
    reason: Annotated[str, Bound(0, 256)] | None = None
    timestamp: Seconds
    signature: Signature


def _check_id(state: SignedMap, conversation_id: str) -> None:
    if state.get("conversation_id") != conversation_id:
        raise malformed("the state is of another conversation")
