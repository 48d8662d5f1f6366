"""End-to-end messages on the wire and inside, their acknowledgements and receipts (fields.md; sections 6 and 7)."""

from typing import Annotated, Literal

from norc_actors.protocol.errors import malformed
from norc_actors.protocol.schema import (
    Bound,
    Bytes32,
    ConversationUuid,
    Count,
    DeviceUuid,
    EntryMap,
    Map,
    Message,
    MessageUuid,
    Micros,
    Plain,
    Range,
    Seconds,
    Signature,
    SignedMap,
    SuiteName,
    User,
    Uuid,
)

from .keys import Wrap

Classification = Literal[
    "unclassified",
    "official_use_only",
    "confidential",
    "secret",
    "top_secret",
    "nato_restricted",
    "nato_confidential",
    "nato_secret",
]
Epoch = Annotated[int, Range(1, 2**53 - 1)]
Sealed = Annotated[bytes, Bound(16, 2**32 - 1)]
"""A ciphertext with its tag."""


class Metadata(Map, frozen=True, kw_only=True, omit_defaults=True):
    """What a server must know to deliver; all of it is signed by the sender."""

    timestamp: Micros
    classification: Classification
    expires_at: Seconds | None = None


class MessageSend(Message, frozen=True, kw_only=True, omit_defaults=True, tag="message_send"):
    """One ciphertext and a wrap for each device that shall read it."""

    message_id: MessageUuid
    conversation_id: ConversationUuid
    epoch: Epoch
    recipients: tuple[User, ...]
    suite: SuiteName
    chain_id: Uuid
    sequence_number: Count
    prev_message_hash: Bytes32
    key_commitment: Bytes32
    ciphertext: Sealed
    encrypted_keys: dict[DeviceUuid, Wrap]
    encrypted_content: dict[DeviceUuid, bytes] | None = None
    supplement: bool = False
    more: bool = False
    metadata: Metadata


class MessageReceived(Message, frozen=True, kw_only=True, omit_defaults=True, tag="message_received"):
    """message_send as one device gets it: who sent it, when it was accepted, and that device's wrap alone."""

    message_id: MessageUuid
    conversation_id: ConversationUuid
    epoch: Epoch
    suite: SuiteName
    chain_id: Uuid
    sequence_number: Count
    prev_message_hash: Bytes32
    key_commitment: Bytes32
    ciphertext: Sealed
    encrypted_keys: dict[DeviceUuid, Wrap]
    encrypted_content: dict[DeviceUuid, bytes] | None = None
    supplement: bool = False
    metadata: Metadata
    sender_user: User
    sender_device: DeviceUuid
    accepted_at: Seconds

    def _rule(self) -> None:
        """`encrypted_keys` has one entry."""
        if len(self.encrypted_keys) != 1:
            raise malformed("MessageReceived.encrypted_keys has one entry")


class MessageAck(Message, frozen=True, kw_only=True, omit_defaults=True, tag="message_ack"):
    """`sent` once committed; `delivered` and `read` with a receipt; `failed` with an error code."""

    message_id: MessageUuid
    status: Literal["sent", "delivered", "read", "failed"]
    timestamp: Micros
    error_code: Count | None = None
    stale_devices: tuple[EntryMap, ...] | None = None
    receipt: Annotated[SignedMap, Plain("ReadReceipt")] | None = None


class ReadReceipt(Message, frozen=True, kw_only=True, omit_defaults=True, tag="read_receipt"):
    """A device's signed word (`receipt:v1`) that it has, or its user read, this ciphertext."""

    message_id: MessageUuid
    conversation_id: ConversationUuid
    ciphertext_hash: Bytes32
    status: Literal["delivered", "read"]
    user_id: User
    device_id: DeviceUuid
    timestamp: Micros
    signature: Signature


class Inner(Map, frozen=True, kw_only=True, omit_defaults=True):
    """What is inside a ciphertext; `body` is text for `text` and a map for every other type."""

    message_type: Literal["text", "image", "video", "audio", "file", "voice", "call_invite", "system"]
    body: str | Annotated[SignedMap, Plain("body")]
    reply_to: MessageUuid | None = None
    thread_id: Uuid | None = None
    mentions: tuple[User, ...] | None = None
    edit_of: MessageUuid | None = None
    chain_depth: Count | None = None

    def _rule(self) -> None:
        """`body` is text for `text`, and a map for every other type."""
        if (self.message_type == "text") != (type(self.body) is str):
            raise malformed("Inner.body is text for text and a map for every other type")


class SystemBody(Map, frozen=True, kw_only=True, omit_defaults=True):
    """The body of a `system` message: name and description of the conversation."""

    name: Annotated[str, Bound(0, 256)] | None = None
    description: Annotated[str, Bound(0, 4096)] | None = None
