"""What the message store is asked to do, and what it answers: plain frozen values (rules in `messages`)."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

import msgspec

from norc_actors.ids import ConversationId, DeviceId, MessageId, ServerId, UserId

Status = Literal["delivered", "read", "failed"]
Kind = Literal["relay", "transit", "receipt", "addressed"]
"""What a row of the outbox is: a message of a user of this server; a relay that this server hands on; a receipt for a
sender elsewhere; anything else for that server."""
URGENT, HIGH, NORMAL, LOW = range(4)
"""Priorities, the first to go first."""


class Relaying(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One relay to go out: `body` is the encoded map of type `code` for the server `target`, which may have it until
    `expires_at`. The origin draws `federation_id` per target and per supplement."""

    target: ServerId
    federation_id: str
    priority: int
    created_at: int
    expires_at: int
    code: int
    body: bytes


class Accept(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A new message. `payload` is the encoded `message_received` map without its per-device entry; `deliveries` pairs
    each recipient device with its own encoded entry; `relays` has one for each other server with recipients. Gives
    `Accepted`, or `Duplicate` of an earlier one, which relays nothing."""

    sender_user: UserId
    sender_device: DeviceId
    message_id: MessageId
    conversation_id: ConversationId
    accepted_at: int
    expires_at: int | None
    payload: bytes
    deliveries: Sequence[tuple[DeviceId, bytes]]
    relays: Sequence[Relaying] = ()


class Supplement(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Further or replaced entries of an accepted message (section 6, *Session*; section 7). A waiting entry is
    replaced, a missing one added; `payload` is stored again if it was freed. Gives `Supplemented`, or `Unknown` if
    there is no such message."""

    sender_user: UserId
    sender_device: DeviceId
    message_id: MessageId
    expires_at: int | None
    payload: bytes
    deliveries: Sequence[tuple[DeviceId, bytes]]
    relays: Sequence[Relaying] = ()


class Acknowledge(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A device's `message_ack`. Deletes its delivery, whatever the status. `receipt` is the encoded `message_ack` to
    keep for the sending device (None: nothing is kept); for a sender elsewhere it goes to the outbox, with the
    federation_id of the relay that brought the message. `conversation_id` comes from the receipt; a `read` whose
    delivery is gone needs it to find the message. Gives `Acknowledged`, or `Unknown` (no such message, or nothing
    waited and the status is not `read`)."""

    device_id: DeviceId
    message_id: MessageId
    conversation_id: ConversationId | None
    status: Status
    receipt: bytes | None
    now: int


class Confirm(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A device has committed its receipts up to and including `receipt_id`. Gives `Confirmed`."""

    device_id: DeviceId
    receipt_id: int


class AcceptRelay(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A relay that passed the checks of ingress, with the `ack` (encoded `relay_ack`) that answers it now and whenever
    it comes again. `accepted_at` is the time here. Gives `RelayKnown` if it came before, `QuotaFull` if `remote` (the
    link's other end) holds too many, else as `Accept`, or as `Supplement` if it is a `supplement`: a message that
    another relay brought is a `Duplicate`, and is recorded as answered."""

    origin: ServerId
    federation_id: str
    remote: ServerId
    sender_user: UserId
    sender_device: DeviceId
    message_id: MessageId
    conversation_id: ConversationId
    accepted_at: int
    expires_at: int | None
    payload: bytes
    deliveries: Sequence[tuple[DeviceId, bytes]]
    ack: bytes
    supplement: bool = False


class Forward(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A relay in transit, from `origin` by the link of `remote`, to be handed on as `relaying`. Gives `Enqueued`,
    `RelayKnown`, `QuotaFull`, or `Taken` if another origin's relay to the same target waits under its name."""

    origin: ServerId
    remote: ServerId
    message_id: MessageId
    relaying: Relaying


class Enqueue(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Anything else for another server: the encoded map `body` of type `code`. What has a `key` waits for a target only
    once. Gives `Enqueued`."""

    target: ServerId
    priority: int
    created_at: int
    expires_at: int
    code: int
    body: bytes
    key: str | None = None


class RemoteReceipt(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A device's receipt that its server `from_server` passed on; `receipt` is the encoded `message_ack` for the
    sending device. `conversation_id` None means any (a failure has no receipt that names it). Gives `Acknowledged`, or
    `Unknown`: no such message of a user of this server."""

    from_server: ServerId
    message_id: MessageId
    conversation_id: ConversationId | None
    device_id: DeviceId
    status: Status
    receipt: bytes
    now: int


class Sent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """`target` has committed these rows of the outbox. Relays and transits are not taken by this: see `Settle`. Gives
    `Confirmed`."""

    target: ServerId
    ids: Sequence[int]


class Settle(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A relay to `target` is final, answered or given up. Each of `notices` (encoded `message_ack`) is kept for the
    device that sent the message. Of a transit the answer `ack` (encoded `relay_ack`) is recorded for when the relay
    comes again, and put in the outbox for the server that handed it on. Gives `Settled`, or `Unknown` if no such relay
    waits (and then nothing is done)."""

    target: ServerId
    federation_id: str
    now: int
    notices: Sequence[bytes] = ()
    ack: bytes | None = None


Operation: TypeAlias = (
    Accept | Supplement | Acknowledge | Confirm | AcceptRelay | Forward | Enqueue | RemoteReceipt | Sent | Settle
)


class Accepted(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Stored as number `seq`."""

    seq: int


class Duplicate(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Known already as number `seq`; nothing changed. Answer `sent` again."""

    seq: int


class Supplemented(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The entries are stored with message `seq`."""

    seq: int


class Acknowledged(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The sender of the message, for forwarding. `receipt_id` is None if no receipt was given or the same one waits
    already, and for a sender elsewhere: then `relayed_to` is the server whose outbox has the receipt."""

    seq: int
    sender_user: UserId
    sender_device: DeviceId
    receipt_id: int | None
    relayed_to: ServerId | None = None


class Confirmed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """So many receipts, or rows of the outbox, went."""

    count: int


class Unknown(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Nothing here by that name; nothing changed."""


class RelayKnown(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Accepted before; nothing changed. `ack` is the answer to give again, None for a transit that has none yet."""

    ack: bytes | None


class QuotaFull(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The remote holds `limits.RELAY_QUOTA` rows of the relay cache (5403); nothing changed."""


class Taken(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Another relay waits for the target under this federation_id; nothing changed."""


class Enqueued(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """In the outbox with this number; None if the same key waits there already."""

    id: int | None


class Settled(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The row went. `sender_device` and the numbers of the notices kept for it, in order; None and empty for a
    transit, whose answer waits for `relayed_to` if there is one."""

    sender_device: DeviceId | None
    receipt_ids: tuple[int, ...]
    relayed_to: ServerId | None = None


Outcome: TypeAlias = (
    Accepted
    | Duplicate
    | Supplemented
    | Acknowledged
    | Confirmed
    | Unknown
    | RelayKnown
    | QuotaFull
    | Taken
    | Enqueued
    | Settled
)


class Pending(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One delivery that waits: the message's `payload` and the device's own entry `wrap`."""

    seq: int
    message_id: MessageId
    payload: bytes
    wrap: bytes


class Receipt(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One receipt that waits for the sending device, as the encoded `message_ack`."""

    id: int
    receipt: bytes


class OutboxRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One row of the outbox. `federation_id`: of a relay or transit its own, of a receipt that of the relay which
    brought the message. `origin` of a transit; `message_id` of all but what is addressed; `device_id` of a relay the
    one that sent it, of a receipt the one that gave it."""

    id: int
    target: ServerId
    priority: int
    kind: Kind
    code: int
    federation_id: str | None
    origin: ServerId | None
    message_id: MessageId | None
    device_id: DeviceId | None
    created_at: int
    expires_at: int
    body: bytes


class Waiting(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How much waits for a server at one priority, and since when."""

    target: ServerId
    priority: int
    count: int
    oldest: int


class Purged(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What `purge` removed: messages past their time (`expired`), deliveries that were still waiting, receipts,
    dedupe rows, rows of the relay cache (`relays`), and of the outbox what nobody is told about (`unsent`)."""

    expired: int
    deliveries: int
    receipts: int
    forgotten: int
    relays: int
    unsent: int
    more: bool
