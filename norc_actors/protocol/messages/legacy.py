"""Messages as 1.x has them, where a type lost or changed members (fields.md; section 2).

These shapes have the type names of their 2.0 forms and are read at 1.x alone, through `translation.py`; the registry of
structs does not list them.
"""

from typing import Annotated

from norc_actors.limits import MAX_HOPS
from norc_actors.protocol.errors import malformed
from norc_actors.protocol.schema import (
    Bound,
    Bytes32,
    ConversationUuid,
    Count,
    DeviceUuid,
    Map,
    Message,
    MessageUuid,
    Micros,
    Range,
    Seconds,
    Server,
    Signature,
    SuiteName,
    User,
    Uuid,
)

from .keys import Wrap
from .message import Classification, Epoch, Metadata, Sealed
from .relay import RelayMetadata


class Blob(Map, frozen=True, kw_only=True, omit_defaults=True):
    """A whole end-to-end message for one device, made by its sender: what stands in `encrypted_content` as bytes."""

    v: Annotated[int, Range(1, 1)]
    suite: SuiteName
    sender_user: User
    sender_device: DeviceUuid
    epoch: Epoch
    chain_id: Uuid
    sequence_number: Count
    prev_message_hash: Bytes32
    key_commitment: Bytes32
    classification: Classification
    timestamp: Micros
    expires_at: Seconds | None = None
    ciphertext: Sealed
    wrap: Wrap


BlobBytes = Annotated[bytes, Bound(1, 2**32 - 1)]


class MessageSend1(Message, frozen=True, kw_only=True, omit_defaults=True, tag="message_send"):
    """message_send at 1.x: blobs alone."""

    message_id: MessageUuid
    conversation_id: ConversationUuid
    recipients: tuple[User, ...]
    encrypted_content: dict[DeviceUuid, BlobBytes]
    metadata: Metadata


class MessageReceived1(Message, frozen=True, kw_only=True, omit_defaults=True, tag="message_received"):
    """message_received at 1.x: the receiving device's blob alone."""

    message_id: MessageUuid
    conversation_id: ConversationUuid
    encrypted_content: dict[DeviceUuid, BlobBytes]
    metadata: Metadata
    sender_user: User
    sender_device: DeviceUuid
    accepted_at: Seconds

    def _rule(self) -> None:
        """`encrypted_content` has one entry."""
        if len(self.encrypted_content) != 1:
            raise malformed("MessageReceived1.encrypted_content has one entry")


class MessageRelay1(Message, frozen=True, kw_only=True, omit_defaults=True, tag="message_relay"):
    """message_relay at 1.x: F§5.2's members, the blobs as payloads, signed as at 2.0 with an empty ciphertext. The last
    three are ours: without them no receiving server could deliver; an older one ignores them."""

    federation_id: Uuid
    message_id: MessageUuid
    origin_server: Server
    target_server: Server
    target_users: tuple[User, ...]
    route_path: Annotated[tuple[Server, ...], Bound(1, MAX_HOPS)]
    encrypted_payloads: dict[DeviceUuid, BlobBytes]
    metadata: RelayMetadata
    classification: Classification
    signature: Signature
    sender_user: User | None = None
    sender_device: DeviceUuid | None = None
    conversation_id: ConversationUuid | None = None

    def _rule(self) -> None:
        """`metadata.hop_count` is the length of `route_path`."""
        if self.metadata.hop_count != len(self.route_path):
            raise malformed("MessageRelay1.metadata.hop_count is the length of route_path")
