"""What the message store is asked to do, and what it answers: plain frozen values (rules in `messages`)."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

import msgspec

from norc_actors.ids import ConversationId, DeviceId, MessageId, UserId

Status = Literal["delivered", "read", "failed"]


class Accept(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A new message. `payload` is the encoded `message_received` map without its per-device entry; `deliveries` pairs
    each recipient device with its own encoded entry. Gives `Accepted`, or `Duplicate` of an earlier one."""

    sender_user: UserId
    sender_device: DeviceId
    message_id: MessageId
    conversation_id: ConversationId
    accepted_at: int
    expires_at: int | None
    payload: bytes
    deliveries: Sequence[tuple[DeviceId, bytes]]


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


class Acknowledge(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A device's `message_ack`. Deletes its delivery, whatever the status. `receipt` is the encoded `message_ack` to
    keep for the sending device (None: nothing is kept). `conversation_id` comes from the receipt; a `read` whose
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


Operation: TypeAlias = Accept | Supplement | Acknowledge | Confirm


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
    already."""

    seq: int
    sender_user: UserId
    sender_device: DeviceId
    receipt_id: int | None


class Confirmed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """So many receipts went."""

    count: int


class Unknown(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Nothing here by that name; nothing changed."""


Outcome: TypeAlias = Accepted | Duplicate | Supplemented | Acknowledged | Confirmed | Unknown


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


class Purged(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What `purge` removed: messages past their time (`expired`), deliveries that were still waiting, receipts,
    dedupe rows."""

    expired: int
    deliveries: int
    receipts: int
    forgotten: int
    more: bool
