"""What the message router is asked, and what it answers to federation's relays."""

from dataclasses import dataclass

from norc_actors.actors.connections.outlet import Outlet
from norc_actors.ids import ConversationId, DeviceId, ServerId, UserId
from norc_actors.protocol.codec import Received
from norc_actors.protocol.messages import MessageAck, MessageRelay, MessageSend
from norc_actors.protocol.schema import SignedMap
from norc_actors.store.messages import Operation, Outcome
from supervision import ActorRef


@dataclass(frozen=True, slots=True)
class Submit:
    """Cast: a device's `message_send`, as received."""

    outlet: Outlet
    received: Received[MessageSend]


@dataclass(frozen=True, slots=True)
class DeviceAck:
    """Cast: a device's `message_ack` for a message that was delivered to it, as received."""

    outlet: Outlet
    received: Received[MessageAck]


@dataclass(frozen=True, slots=True)
class ConfirmReceipts:
    """Cast: a device has committed its receipts up to this number."""

    device_id: DeviceId
    number: int


@dataclass(frozen=True, slots=True)
class MembersChanged:
    """Cast: forget what is cached of a conversation."""

    conversation_id: ConversationId


@dataclass(frozen=True, slots=True)
class DevicesChanged:
    """Cast: forget what is cached of a user's devices."""

    user_id: UserId


@dataclass(frozen=True, slots=True)
class RelayIn:
    """Cast to the router: a relay for users of this server that passed every check of a link. Answered with `Done`; its
    `ack` is the `relay_ack`, not yet signed, also of one that was accepted before."""

    received: Received[MessageRelay]
    remote: ServerId
    tag: object
    reply_to: ActorRef


@dataclass(frozen=True, slots=True)
class Commit:
    """Cast to the router: have this committed, in order with all that it commits itself (receipts are numbered, and one
    actor has to hand them on), then tell `reply_to`. `receipts` are handed to the sending device with their numbers."""

    operation: Operation
    receipts: tuple[bytes, ...]
    tag: object
    reply_to: ActorRef


@dataclass(frozen=True, slots=True)
class Done:
    """Cast back by the router: it is committed (`outcome`), or the disk refused and nothing remains of it (None)."""

    tag: object
    outcome: Outcome | None
    ack: SignedMap | None = None
