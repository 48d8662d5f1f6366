"""From a message to its relays and back, and what a server says of them (section 8, *Relay*; F§5.1–5.2; D-34).

Rules
- A relay is the `message_send` as its device made it, for the users and devices of one server; what the device signed
  is not touched, and unknown members travel on.
- The origin's server draws a `federation_id` per target and per supplement. What changes with each try (the link's
  numbers, the route, the hop's time) is set when it is sent: `on_link`.
- At the target the map becomes the `message_received` that a home server would have made of the message itself.
- A `relay_ack` names every device: those for which the message waits, those that get nothing and why, and the current
  entries of devices that the sender did not know.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from norc_actors.ids import ConversationId, DeviceId, MessageId, ServerId, UserId

from .canonical import Value
from .codec import Received, convert, received_map
from .delivery import shared_part
from .errors import ERRORS, Code, info_of, malformed
from .messages import MessageAck, MessageRelay, MessageSend, ReadReceipt, RelayAck
from .messages.relay import Priority
from .schema import SignedMap

RELAY_TTL_SECONDS = 86400
"""F§5.1: a relay that has not arrived within a day fails."""

_OF_SEND = (
    "message_id", "conversation_id", "epoch", "suite", "chain_id", "sequence_number", "prev_message_hash",
    "key_commitment", "ciphertext",
)  # fmt: skip
_SERVERS = frozenset(
    {
        "federation_id", "origin_server", "target_server", "target_users", "route_path", "route_signatures",
        "link_epoch", "link_sequence", "signature", "classification", "expires_at", "encrypted_payloads",
    }
)  # fmt: skip
"""Members of a relay that its servers set; no message_send has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """One server's part of a message: its users among the recipients, and the wraps of their devices."""

    target: ServerId
    users: tuple[UserId, ...]
    devices: tuple[DeviceId, ...]


def relay_of(
    received: Received[MessageSend],
    share: Share,
    *,
    federation_id: str,
    origin: ServerId,
    sender_user: UserId,
    sender_device: DeviceId,
    priority: Priority,
) -> SignedMap:
    """The relay of this share, not yet signed and with no route: what the outbox keeps."""
    message = received.message
    wraps, metadata = received.map["encrypted_keys"], message.metadata
    assert isinstance(wraps, dict), "its struct says so"
    relay: SignedMap = {name: received.map[name] for name in _OF_SEND}
    relay |= {name: value for name, value in received.extra.items() if name not in _SERVERS}
    relay |= {
        "type": "message_relay",
        "federation_id": federation_id,
        "origin_server": origin,
        "target_server": share.target,
        "target_users": [*share.users],
        "sender_user": sender_user,
        "sender_device": sender_device,
        "encrypted_payloads": {device: wraps[device] for device in share.devices},
        "classification": metadata.classification,
        "metadata": {
            "original_timestamp": metadata.timestamp,
            "ttl": RELAY_TTL_SECONDS,
            "priority": priority,
            "delivery_requirements": ["acknowledge"],
        },
    }
    if metadata.expires_at is not None:
        relay["expires_at"] = metadata.expires_at
    if message.supplement:
        relay["supplement"] = True
    return relay


def on_link(relay: Mapping[str, Value], *, epoch: int, sequence: int) -> SignedMap:
    """The relay with its place on a link; signature and route come before or after, in any order."""
    return {**relay, "link_epoch": epoch, "link_sequence": sequence}


def as_send(relay: Received[MessageRelay]) -> Received[MessageSend]:
    """The `message_send` that a relay carries, for its target's own devices."""
    message, plain = relay.message, relay.map
    members: dict[str, Value] = {name: plain[name] for name in _OF_SEND}
    members |= {name: value for name, value in relay.extra.items() if name not in MessageSend.__struct_fields__}
    metadata: dict[str, Value] = {
        "timestamp": message.metadata.original_timestamp,
        "classification": message.classification,
    }
    if message.expires_at is not None:
        metadata["expires_at"] = message.expires_at
    members |= {
        "type": "message_send",
        "recipients": [*message.target_users],
        "encrypted_keys": plain["encrypted_payloads"],
        "metadata": metadata,
    }
    if message.supplement:
        members["supplement"] = True
    return received_map(members, MessageSend)


def payload_of(relay: Received[MessageRelay], accepted_at: int) -> bytes:
    """What every device of the target gets, as `delivery.shared_part` makes it of a local message."""
    return shared_part(as_send(relay), relay.message.sender_user, relay.message.sender_device, accepted_at)


# --- What became of it ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """How a target server takes a relay: who gets it, who does not and why, and which devices the sender missed."""

    delivered: Mapping[UserId, tuple[DeviceId, ...]]
    failed: Mapping[tuple[UserId, Code], tuple[DeviceId, ...]] = field(default_factory=dict)
    stale: tuple[SignedMap, ...] = ()

    @property
    def devices(self) -> tuple[DeviceId, ...]:
        """All devices that get it."""
        return tuple(device for devices in self.delivered.values() for device in devices)


def judge_relay(
    relay: MessageRelay, current: Mapping[UserId, frozenset[DeviceId]]
) -> tuple[Judgement, dict[UserId, frozenset[DeviceId]]]:
    """Who of the target's users gets a relay, given each existing user's current devices; and the devices of each for
    which it has no wrap (a supplement never misses one).

    A device that no target user has is named with the first of them: a relay does not say whose a device is.
    """
    delivered: dict[UserId, tuple[DeviceId, ...]] = {}
    failed: dict[tuple[UserId, Code], tuple[DeviceId, ...]] = {}
    missing: dict[UserId, frozenset[DeviceId]] = {}
    left = set(relay.encrypted_payloads)
    for user in relay.target_users:
        if user not in current:
            failed[user, Code.USER_NOT_FOUND] = ()
            continue
        devices = sorted(device for device in current[user] if device in left)
        left.difference_update(devices)
        if devices:
            delivered[user] = tuple(devices)
        lacking = current[user].difference(devices)
        if lacking and not relay.supplement:
            missing[user] = lacking
    if left:
        failed[relay.target_users[0], Code.INVALID_DEVICE] = tuple(sorted(left))
    return Judgement(delivered=delivered, failed=failed), missing


def relay_ack(relay: MessageRelay, judgement: Judgement, now_us: int) -> SignedMap:
    """The `relay_ack` of a relay, not yet signed."""
    partly = bool(judgement.failed or judgement.stale)
    status = ("partial" if partly else "delivered") if judgement.delivered else "failed"
    ack: SignedMap = {
        "type": "relay_ack",
        "federation_id": relay.federation_id,
        "message_id": relay.message_id,
        "target_server": relay.target_server,
        "status": status,
        "delivered_to": [
            {"user_id": user, "device_ids": [*devices], "timestamp": now_us}
            for user, devices in judgement.delivered.items()
        ],
        "failed_deliveries": [
            {"user_id": user, "device_ids": [*devices], "error_code": ERRORS[code].name, "timestamp": now_us}
            for (user, code), devices in judgement.failed.items()
        ],
        "timestamp": now_us,
    }
    if judgement.stale:
        ack["stale_devices"] = [*judgement.stale]
    return ack


def receipts_ack(
    federation_id: str,
    message_id: str,
    target_server: ServerId,
    answers: Iterable[tuple[UserId, DeviceId, MessageAck]],
    now_us: int,
) -> SignedMap:
    """A further `relay_ack`, not yet signed: what devices of the target have answered since. It has `receipt`, also
    where that is empty: the first one has none."""
    receipts: list[Value] = []
    failed: list[Value] = []
    for user, device, ack in answers:
        if ack.receipt is not None:
            receipts.append(ack.receipt)
        elif ack.status == "failed":
            name = info_of(ack.error_code or Code.SERVER).name
            failed.append({"user_id": user, "device_ids": [device], "error_code": name, "timestamp": ack.timestamp})
    made: SignedMap = {
        "type": "relay_ack",
        "federation_id": federation_id,
        "message_id": message_id,
        "target_server": target_server,
        "status": "failed" if failed and not receipts else "delivered",
        "delivered_to": [],
        "failed_deliveries": failed,
        "timestamp": now_us,
    }
    made["receipt"] = receipts
    return made


# --- What the sender's device is told of it ---


def refusal(message_id: MessageId, code: int, now_us: int) -> MessageAck:
    """A relay that will not arrive."""
    return MessageAck(message_id=message_id, status="failed", timestamp=now_us, error_code=code)


def told(ack: RelayAck) -> tuple[MessageAck, ...]:
    """What a `relay_ack` means to the sending device: a refusal if nobody of the target gets the message or a device
    could not open it, the entries of devices that it missed, each receipt."""
    answers: list[MessageAck] = []
    reached = {delivered.user_id for delivered in ack.delivered_to}
    codes = {failed.error_code for failed in ack.failed_deliveries if failed.user_id not in reached}
    if codes:
        answers.append(refusal(ack.message_id, code_named(min(codes)), ack.timestamp))
    if ack.stale_devices:
        answers.append(
            MessageAck(
                message_id=ack.message_id,
                status="sent",
                timestamp=ack.timestamp,
                error_code=Code.REMOTE_STALE_DEVICES.value,
                stale_devices=ack.stale_devices,
            )
        )
    return tuple(answers)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceAnswer:
    """What one device of the target answered, and the `message_ack` that carries it on to the sending device."""

    user_id: UserId
    device_id: DeviceId
    conversation_id: ConversationId | None
    status: Literal["delivered", "read", "failed"]
    carrier: MessageAck


def answers_of(ack: RelayAck) -> list[DeviceAnswer]:
    """The devices' answers in a further `relay_ack`. `ProtocolError` for a receipt of another message."""
    found = []
    for receipt in ack.receipt or ():
        typed = convert(receipt, ReadReceipt)
        if typed.message_id != ack.message_id:
            raise malformed("a receipt of another message than its relay_ack names")
        carrier = MessageAck(message_id=ack.message_id, status=typed.status, timestamp=typed.timestamp, receipt=receipt)
        found.append(
            DeviceAnswer(
                user_id=typed.user_id,
                device_id=typed.device_id,
                conversation_id=typed.conversation_id,
                status=typed.status,
                carrier=carrier,
            )
        )
    for failed in ack.failed_deliveries:
        carrier = refusal(ack.message_id, code_named(failed.error_code), failed.timestamp)
        found += [
            DeviceAnswer(
                user_id=failed.user_id, device_id=device, conversation_id=None, status="failed", carrier=carrier
            )
            for device in failed.device_ids
        ]
    return found


def code_named(name: str) -> int:
    """The code that another server named; a name of no registry counts as a failed federation."""
    return _NAMED.get(name, Code.FEDERATION).value


_NAMED = {info.name: code for code, info in reversed(ERRORS.items())}
