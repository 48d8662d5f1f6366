"""message_router: judges every message, has it committed, and passes it on (section 7; rows B75, B78–B82).

A submission comes from a connection worker that has authenticated its device. Here: is the sender a member who may
send, are the recipients the members, does the message name exactly the devices that are current? Then one store
operation; and after the commit, and only then, `sent` to the sender and the row to each recipient device that is
connected.

Owns: two caches (members of a conversation, devices of a user), filled from the account store when missed and emptied
entry by entry when their owner says so. Memory only: a restart begins with none.

What happens when a part dies
- message_store: what it had gathered is lost, unacknowledged. If this router went on, a later message of the same
  sender could be committed before the lost one is sent again, out of its chain's order. So the router ends with the
  store, each connection ends with its router, and devices send again from their first unacknowledged message
  (decision 060).
- a connection: its answers go nowhere; the device asks again on its next connection, and duplicates are recognised.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import trio

from norc_actors import limits
from norc_actors.actors import names
from norc_actors.actors.connections.directory import Directory
from norc_actors.actors.connections.outlet import Deliver, Outlet, PassReceipt, Settled
from norc_actors.actors.crypto.key_manager import EntriesOf
from norc_actors.actors.messages.cache import Cache
from norc_actors.actors.storage.account_store import Accounts
from norc_actors.actors.storage.message_store import Committed, NotCommitted, Resume, Store
from norc_actors.ids import Clock, ConversationId, DeviceId, MessageId, UserId
from norc_actors.protocol.codec import Received
from norc_actors.protocol.delivery import Membership, judge, longest, membership_of, shared_part, wraps_of
from norc_actors.protocol.errors import Code
from norc_actors.protocol.frames import TAG_BYTES
from norc_actors.protocol.messages import MessageAck, MessageSend
from norc_actors.protocol.schema import SignedMap
from norc_actors.store.messages import (
    Accept,
    Accepted,
    Acknowledge,
    Acknowledged,
    Confirm,
    Duplicate,
    Outcome,
    Supplement,
    Supplemented,
)
from supervision import ActorRef, CallTimeout, Crash, Down, GenServer, ServerDown


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
class _Submitted:
    """Tag of a store operation: whose it is, and what goes where once it is committed."""

    outlet: Outlet
    message_id: MessageId
    payload: bytes
    deliveries: tuple[tuple[DeviceId, bytes], ...]


class MessageRouter(GenServer):
    """See the module."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._members: Cache[ConversationId, Membership | None] = Cache(limits.MEMBERS_CACHE)
        self._devices: Cache[UserId, frozenset[DeviceId]] = Cache(limits.DEVICES_CACHE)
        self._accepted = 0
        self._refused = 0
        self._delivered = 0

    async def init(self) -> None:
        self._directory = Directory(self.system)
        self._accounts = self.system.ref(names.ACCOUNT_STORE)
        self._keys = self.system.ref(names.KEY_MANAGER)
        self._store = await self._find_store()
        self.monitor(self._store)

    async def _find_store(self) -> ActorRef:
        """The message store's present life. This router may be here because the last one ended a moment ago: opening
        the database takes longer than starting a router, and failing at once would only use up the restarts allowed."""
        with trio.fail_after(limits.STORE_WAIT_SECONDS):
            return await self.system.wait_up(names.MESSAGE_STORE)

    async def handle_cast(self, message: object) -> None:
        match message:
            case Submit(outlet=outlet, received=received):
                await self._submit(outlet, received)
            case DeviceAck(outlet=outlet, received=received):
                await self._acknowledge(outlet, received)
            case ConfirmReceipts(device_id=device_id, number=number):
                await self._store.cast(Store(Confirm(device_id=device_id, receipt_id=number), None, self.ref))
            case MembersChanged(conversation_id=conversation_id):
                self._members.forget(conversation_id)
            case DevicesChanged(user_id=user_id):
                self._devices.forget(user_id)
            case _:
                raise TypeError(f"message_router knows no {message!r}")

    async def handle_info(self, message: object) -> None:
        match message:
            case Committed(results=results):
                for tag, outcome in results:
                    self._pass_on(tag, outcome)
            case NotCommitted(tags=tags):
                self._not_committed(tags)
                await self._store.cast(Resume(self.ref))
            case Down(reason=reason):
                self.stop(Crash(ServerDown(self._store, reason)))
            case _:
                raise TypeError(f"message_router knows no {message!r}")

    def statistics(self) -> Mapping[str, int]:
        """Messages accepted, refused and rows handed to connections by this incarnation; entries cached."""
        return {
            "accepted": self._accepted,
            "refused": self._refused,
            "delivered": self._delivered,
            "cached": len(self._members) + len(self._devices),
        }

    # --- in ---

    async def _submit(self, outlet: Outlet, received: Received[MessageSend]) -> None:
        if outlet.closing:
            return  # it lost a message before this one, and will send both again
        message, sender = received.message, outlet.session
        membership = await self._membership(message.conversation_id)
        refusal = judge(message, sender.user_id, membership)
        if refusal is not None:
            self._refuse(outlet, message.message_id, refusal)
            return
        users = (*message.recipients, sender.user_id)
        current = await self._current_devices(users, sender.device_id)
        if not _covers(message, current):
            for user in users:  # a bundle that expired, an upload whose connection died: the store decides
                self._devices.forget(user)
            current = await self._current_devices(users, sender.device_id)
        if not _covers(message, current):
            await self._refuse_stale(outlet, message, current)
            return
        now = int(self._clock())
        payload = shared_part(received, sender.user_id, sender.device_id, now)
        deliveries = wraps_of(received)
        if longest(payload, deliveries) + TAG_BYTES > limits.DEFAULT_MAX_FRAME:
            self._refuse(outlet, message.message_id, Code.TOO_LARGE)  # accepted, it could be delivered to nobody
            return
        operation: Accept | Supplement
        if message.supplement:
            operation = Supplement(
                sender_user=sender.user_id,
                sender_device=sender.device_id,
                message_id=message.message_id,
                expires_at=message.metadata.expires_at,
                payload=payload,
                deliveries=deliveries,
            )
        else:
            operation = Accept(
                sender_user=sender.user_id,
                sender_device=sender.device_id,
                message_id=message.message_id,
                conversation_id=message.conversation_id,
                accepted_at=now,
                expires_at=message.metadata.expires_at,
                payload=payload,
                deliveries=deliveries,
            )
        tag = _Submitted(outlet, message.message_id, payload, deliveries)
        await self._store.cast(Store(operation, tag, self.ref))

    async def _acknowledge(self, outlet: Outlet, received: Received[MessageAck]) -> None:
        ack, conversation_id = received.message, _conversation_of(received.message)
        if ack.status == "sent":
            return
        if ack.status == "read":
            # Its delivery is gone, so nothing else says that this device ever had the message.
            membership = None if conversation_id is None else await self._membership(conversation_id)
            if membership is None or outlet.session.user_id not in membership.roles:
                return
        operation = Acknowledge(
            device_id=outlet.session.device_id,
            message_id=ack.message_id,
            conversation_id=conversation_id,
            status=ack.status,
            receipt=received.data,
            now=int(self._clock()),
        )
        await self._store.cast(Store(operation, received.data, self.ref))

    # --- after the commit ---

    def _pass_on(self, tag: object, outcome: Outcome) -> None:
        match tag, outcome:
            case _Submitted(), Accepted(seq=seq):
                self._accepted += 1
                tag.outlet.settled(Settled(tag.message_id))
                for target, row in self._rows(tag, seq):
                    target.deliver(row)
            case _Submitted(), Supplemented(seq=seq):
                tag.outlet.settled(Settled(tag.message_id))
                for target, row in self._rows(tag, seq):
                    target.supplement(row)
            case _Submitted(), Duplicate():
                tag.outlet.settled(Settled(tag.message_id))
            case _Submitted(), _:
                self._refuse(tag.outlet, tag.message_id, Code.NOT_PERMITTED)
            case bytes(), Acknowledged(sender_device=device_id, receipt_id=int(number)):
                sender = self._directory.outlet_of(device_id)
                if sender is not None:
                    sender.receipt(PassReceipt(number, tag))
            case _:
                return

    def _not_committed(self, tags: tuple[object, ...]) -> None:
        """The disk refused. A connection that lost a message ends, so that its device sends again from there, in order;
        an acknowledgement that was lost comes again with its delivery."""
        for outlet in {tag.outlet for tag in tags if isinstance(tag, _Submitted)}:
            self._refused += 1
            outlet.close(Code.SERVER, limits.DISK_RETRY_SECONDS)

    def _rows(self, tag: _Submitted, seq: int) -> Iterator[tuple[Outlet, Deliver]]:
        """The row of each device that is connected, with its outlet."""
        for device_id, wrap in tag.deliveries:
            outlet = self._directory.outlet_of(device_id)
            if outlet is not None:
                self._delivered += 1
                yield outlet, Deliver(seq, tag.message_id, tag.payload, wrap)

    # --- refusals ---

    def _refuse(
        self, outlet: Outlet, message_id: MessageId, code: Code, stale: tuple[SignedMap, ...] | None = None
    ) -> None:
        self._refused += 1
        outlet.settled(Settled(message_id, code, stale))

    async def _refuse_stale(self, outlet: Outlet, message: MessageSend, current: frozenset[DeviceId]) -> None:
        users = (*message.recipients, outlet.session.user_id)
        fresh = current - message.encrypted_keys.keys()
        try:
            keys = await self._keys.call(EntriesOf(users, outlet.session.device_id, fresh_for=frozenset(fresh)))
        except (ServerDown, CallTimeout):
            self._refuse(outlet, message.message_id, Code.SERVER)
            return
        entries = tuple(entry for devices in keys.values() for entry in devices.values())
        self._refuse(outlet, message.message_id, Code.STALE_DEVICES, entries)

    # --- caches ---

    async def _membership(self, conversation_id: ConversationId) -> Membership | None:
        if conversation_id not in self._members:
            row = await self._accounts.call(Accounts(lambda store: store.conversation(conversation_id)))
            self._members[conversation_id] = None if row is None else membership_of(row.signed_state)
        return self._members[conversation_id]

    async def _current_devices(self, users: tuple[UserId, ...], sender: DeviceId) -> frozenset[DeviceId]:
        """The devices that a message must be wrapped for: those with which a session can be opened. One that has not
        uploaded prekeys yet, or not for 30 days, would else make its user unreachable."""
        missing = [user for user in users if user not in self._devices]
        if missing:
            now = int(self._clock())
            rows = await self._accounts.call(Accounts(lambda store: store.devices(missing, now=now, reachable=True)))
            for user in missing:
                self._devices[user] = frozenset(row.device_id for row in rows if row.user_id == user)
        return frozenset().union(*(self._devices[user] for user in users)) - {sender}


def _covers(message: MessageSend, current: frozenset[DeviceId]) -> bool:
    """Whether a message has a wrap for each current device and no other; a supplement only no other."""
    named = message.encrypted_keys.keys()
    return named <= current and (message.supplement or named == current)


def _conversation_of(ack: MessageAck) -> ConversationId | None:
    """The conversation that a receipt names: a `read` finds its message by it when the delivery is gone."""
    named = ack.receipt.get("conversation_id") if ack.receipt is not None else None
    return ConversationId(named) if isinstance(named, str) else None
