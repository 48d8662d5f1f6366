"""Messages from server to server, and what became of them (fields.md; section 8, *Relay*)."""

from typing import Annotated, Literal

from norc_actors.limits import MAX_HOPS
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
    Server,
    Signature,
    SignedMap,
    SuiteName,
    User,
    Uuid,
)

from .keys import Wrap
from .message import Classification, Epoch, Sealed
from .vocabulary import Word

Priority = Literal["low", "normal", "high", "urgent"]
Requirement = Literal["acknowledge", "encrypt_transport", "no_archive"]
RoutePath = Annotated[tuple[Server, ...], Bound(1, MAX_HOPS)]


class RouteSignature(Map, frozen=True, kw_only=True, omit_defaults=True):
    """A hop's entry (`route:v1`)."""

    federation_timestamp: Micros
    signature: Signature


class RelayMetadata(Map, frozen=True, kw_only=True, omit_defaults=True):
    """How a relay is to be treated on its way; each hop rewrites federation_timestamp and hop_count."""

    original_timestamp: Micros
    federation_timestamp: Micros
    hop_count: Annotated[int, Range(1, MAX_HOPS)]
    ttl: Seconds
    priority: Priority
    delivery_requirements: tuple[Requirement, ...]


class MessageRelay(Message, frozen=True, kw_only=True, omit_defaults=True, tag="message_relay"):
    """A message_send for the users of one server, signed by its origin (`relay:v1`) and by each hop."""

    federation_id: Uuid
    message_id: MessageUuid
    origin_server: Server
    target_server: Server
    target_users: tuple[User, ...]
    route_path: RoutePath
    route_signatures: Annotated[tuple[RouteSignature, ...], Bound(1, MAX_HOPS)] | None = None
    link_epoch: Count
    link_sequence: Count
    signature: Signature
    sender_user: User
    sender_device: DeviceUuid
    conversation_id: ConversationUuid
    epoch: Epoch
    suite: SuiteName
    chain_id: Uuid
    sequence_number: Count
    prev_message_hash: Bytes32
    key_commitment: Bytes32
    ciphertext: Sealed
    encrypted_payloads: dict[DeviceUuid, Wrap]
    encrypted_content: dict[DeviceUuid, bytes] | None = None
    supplement: bool = False
    classification: Classification
    expires_at: Seconds | None = None
    metadata: RelayMetadata

    def _rule(self) -> None:
        """`metadata.hop_count` is the length of `route_path`, which begins with `origin_server`; `route_signatures`
        has an entry per hop, and may be absent for one hop alone."""
        hops = len(self.route_path)
        if self.metadata.hop_count != hops:
            raise malformed("MessageRelay.metadata.hop_count is the length of route_path")
        if self.route_path[0] != self.origin_server:
            raise malformed("MessageRelay.route_path begins with origin_server")
        if hops != (1 if self.route_signatures is None else len(self.route_signatures)):
            raise malformed("MessageRelay.route_signatures has an entry per hop; only a direct origin may omit them")


class Delivered(Map, frozen=True, kw_only=True, omit_defaults=True):
    """Devices of a user that have the message, or for which it waits."""

    user_id: User
    device_ids: tuple[DeviceUuid, ...]
    timestamp: Micros


class FailedDelivery(Map, frozen=True, kw_only=True, omit_defaults=True):
    """Devices of a user that do not get the message; `error_code` is a code's name."""

    user_id: User
    device_ids: tuple[DeviceUuid, ...]
    error_code: Word
    timestamp: Micros


class RelayAck(Message, frozen=True, kw_only=True, omit_defaults=True, tag="relay_ack"):
    """What became of a relay, signed by its target (`relay:v1`, over the map less signature); receipts follow in
    further ones."""

    federation_id: Uuid
    message_id: MessageUuid
    target_server: Server
    status: Literal["delivered", "partial", "failed"]
    delivered_to: tuple[Delivered, ...]
    failed_deliveries: tuple[FailedDelivery, ...]
    stale_devices: tuple[EntryMap, ...] | None = None
    receipt: tuple[Annotated[SignedMap, Plain("ReadReceipt")], ...] | None = None
    timestamp: Micros
    signature: Signature


class DeliveryAck(Message, frozen=True, kw_only=True, omit_defaults=True, tag="delivery_ack"):
    """relay_ack at 1.x: devices alone, nothing signed."""

    message_id: MessageUuid
    delivered_to: tuple[DeviceUuid, ...]
    failed_devices: tuple[DeviceUuid, ...]
    timestamp: Seconds
