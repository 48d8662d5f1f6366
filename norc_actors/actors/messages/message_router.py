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
from norc_actors.actors.federation.requests import PeerUnreachable, Pump
from norc_actors.actors.messages.abroad import Abroad, nobody
from norc_actors.actors.messages.cache import Cache
from norc_actors.actors.messages.requests import (
    Commit,
    ConfirmReceipts,
    DeviceAck,
    DevicesChanged,
    Done,
    MembersChanged,
    RelayIn,
    Submit,
)
from norc_actors.actors.storage.account_store import Accounts
from norc_actors.actors.storage.message_store import Committed, NotCommitted, Resume, Store
from norc_actors.actors.trust.requests import RELATIONS, RelationChanged
from norc_actors.ids import Clock, ConversationId, DeviceId, MessageId, Random, ServerId, UserId
from norc_actors.protocol.codec import Received, encode_map
from norc_actors.protocol.delivery import Membership, judge, longest, membership_of, shared_part, wraps_of
from norc_actors.protocol.errors import Code, ProtocolError
from norc_actors.protocol.frames import TAG_BYTES
from norc_actors.protocol.messages import MessageAck, MessageSend
from norc_actors.protocol.relaying import as_send, payload_of, relay_ack
from norc_actors.protocol.schema import SignedMap
from norc_actors.store.messages import (
    Accept,
    Accepted,
    AcceptRelay,
    Acknowledge,
    Acknowledged,
    Confirm,
    Duplicate,
    Outcome,
    Relaying,
    Supplement,
    Supplemented,
    Unknown,
)
from norc_actors.store.messages import Settled as StoreSettled
from supervision import ActorRef, CallTimeout, Crash, Down, GenServer, ServerDown
from supervision.groups import Groups
from supervision.partition import route

Deliveries = tuple[tuple[DeviceId, bytes], ...]
"""Each device with its encoded wrap."""


@dataclass(frozen=True, slots=True)
class _Submitted:
    """Tag of a store operation: whose it is, and what goes where once it is committed."""

    outlet: Outlet
    message_id: MessageId
    payload: bytes
    deliveries: Deliveries
    relays: tuple[Relaying, ...]


@dataclass(frozen=True, slots=True)
class _Relayed:
    """Tag of a store operation for a relay that came: who waits for it, and what goes where once it is committed."""

    relay: RelayIn
    payload: bytes
    deliveries: Deliveries
    ack: SignedMap


class MessageRouter(GenServer):
    """See the module."""

    def __init__(self, *, server_id: ServerId, clock: Clock, random: Random) -> None:
        self._server_id = server_id
        self._clock = clock
        self._random = random
        self._members: Cache[ConversationId, Membership | None] = Cache(limits.MEMBERS_CACHE)
        self._devices: Cache[UserId, frozenset[DeviceId]] = Cache(limits.DEVICES_CACHE)
        self._accepted = 0
        self._refused = 0
        self._delivered = 0

    async def init(self) -> None:
        self._directory = Directory(self.system)
        self._abroad = Abroad(self.system, server_id=self._server_id, clock=self._clock, random=self._random)
        self._accounts = self.system.ref(names.ACCOUNT_STORE)
        self._keys = self.system.ref(names.KEY_MANAGER)
        Groups(self.system).join(RELATIONS, self.ref)
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
                self._abroad.forget_user(user_id)
            case RelationChanged(server=server):
                self._abroad.forget_server(server)
            case RelayIn():
                await self._relay_in(message)
            case Commit():
                await self._store.cast(Store(message.operation, message, self.ref))
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
            "cached": len(self._members) + len(self._devices) + len(self._abroad),
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
        here, relays = frozenset(message.encrypted_keys), tuple[Relaying, ...]()
        users = (*message.recipients, sender.user_id)
        if not all(map(self._abroad.is_here, users)):
            try:
                await self._abroad.permit(message)
            except ProtocolError as error:
                self._refuse(outlet, message.message_id, error.code)
                return
            split = await self._abroad.split(message)
            users = tuple(filter(self._abroad.is_here, users))
            here = split.here
            relays = self._abroad.relays(received, split.shares, sender.user_id, sender.device_id)
        current = await self._current_devices(users, sender.device_id)
        if not _covers(here, current, message.supplement):
            for user in users:  # a bundle that expired, an upload whose connection died: the store decides
                self._devices.forget(user)
            current = await self._current_devices(users, sender.device_id)
        if not _covers(here, current, message.supplement):
            await self._refuse_stale(outlet, message, current)
            return
        await self._commit(outlet, received, here, relays)

    async def _commit(
        self,
        outlet: Outlet,
        received: Received[MessageSend],
        here: frozenset[DeviceId],
        relays: tuple[Relaying, ...],
    ) -> None:
        message, sender = received.message, outlet.session
        now = int(self._clock())
        payload = shared_part(received, sender.user_id, sender.device_id, now)
        deliveries = wraps_of(received)
        if relays:
            deliveries = tuple(delivery for delivery in deliveries if delivery[0] in here)
        if _is_too_long(payload, deliveries):
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
                relays=relays,
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
                relays=relays,
            )
        tag = _Submitted(outlet, message.message_id, payload, deliveries, relays)
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

    async def _relay_in(self, message: RelayIn) -> None:
        """A relay for users of this server: who of them gets it, and one store operation for those."""
        relay, now = message.received.message, self._clock()
        users = await self._abroad.existing(relay.target_users)
        await self._current_devices(tuple(users), relay.sender_device)
        judgement = await self._abroad.judge(
            relay, await self._membership(relay.conversation_id), {user: self._devices[user] for user in users}
        )
        ack = relay_ack(relay, judgement, int(now * 1_000_000))
        if not judgement.delivered and not judgement.stale:
            message.reply_to.post(Done(message.tag, Unknown(), ack))
            return
        payload = payload_of(message.received, int(now))
        reached = frozenset(judgement.devices)
        deliveries = tuple(pair for pair in wraps_of(as_send(message.received)) if pair[0] in reached)
        if _is_too_long(payload, deliveries):
            ack = relay_ack(relay, nobody(relay, Code.TOO_LARGE), int(now * 1_000_000))
            message.reply_to.post(Done(message.tag, Unknown(), ack))
            return
        operation = AcceptRelay(
            origin=relay.origin_server,
            federation_id=relay.federation_id,
            remote=message.remote,
            sender_user=relay.sender_user,
            sender_device=relay.sender_device,
            message_id=relay.message_id,
            conversation_id=relay.conversation_id,
            accepted_at=int(now),
            expires_at=relay.expires_at,
            payload=payload,
            deliveries=deliveries,
            ack=encode_map(ack),
            supplement=relay.supplement,
        )
        await self._store.cast(Store(operation, _Relayed(message, payload, deliveries, ack), self.ref))

    # --- after the commit ---

    def _pass_on(self, tag: object, outcome: Outcome) -> None:
        match tag, outcome:
            case _Relayed(relay=relay), _:
                self._relayed(tag, outcome)
                relay.reply_to.post(Done(relay.tag, outcome, tag.ack))
            case Commit(), _:
                self._committed(tag, outcome)
                tag.reply_to.post(Done(tag.tag, outcome))
            case _Submitted(), Accepted(seq=seq):
                self._accepted += 1
                tag.outlet.settled(Settled(tag.message_id))
                for target, row in self._rows(tag.message_id, tag.payload, tag.deliveries, seq):
                    target.deliver(row)
                self._pump(tag.relays)
            case _Submitted(), Supplemented(seq=seq):
                tag.outlet.settled(Settled(tag.message_id))
                for target, row in self._rows(tag.message_id, tag.payload, tag.deliveries, seq):
                    target.supplement(row)
                self._pump(tag.relays)
            case _Submitted(), Duplicate():
                tag.outlet.settled(Settled(tag.message_id))
            case _Submitted(), _:
                self._refuse(tag.outlet, tag.message_id, Code.NOT_PERMITTED)
            case bytes(), Acknowledged(sender_device=device_id, receipt_id=int(number)):
                sender = self._directory.outlet_of(device_id)
                if sender is not None:
                    sender.receipt(PassReceipt(number, tag))
            case bytes(), Acknowledged(relayed_to=str(server)):
                route(self.system, names.RELAYS, server).post(Pump(server))
            case _:
                return

    def _relayed(self, tag: _Relayed, outcome: Outcome) -> None:
        """Hand a committed relay to the devices that are connected."""
        message_id = tag.relay.received.message.message_id
        if isinstance(outcome, Accepted):
            self._accepted += 1
            for target, row in self._rows(message_id, tag.payload, tag.deliveries, outcome.seq):
                target.deliver(row)
        elif isinstance(outcome, Supplemented):
            for target, row in self._rows(message_id, tag.payload, tag.deliveries, outcome.seq):
                target.supplement(row)

    def _committed(self, commit: Commit, outcome: Outcome) -> None:
        """Hand on what another server said of a message of ours, in the order of its numbers."""
        match outcome:
            case StoreSettled(relayed_to=str(server)):
                route(self.system, names.RELAYS, server).post(Pump(server))
                return
            case StoreSettled(sender_device=device, receipt_ids=numbers):
                pass
            case Acknowledged(sender_device=device, receipt_id=int(number)):
                numbers = (number,)
            case _:
                return
        sender = None if device is None else self._directory.outlet_of(device)
        if sender is not None:
            for number, receipt in zip(numbers, commit.receipts, strict=True):
                if number is not None:
                    sender.receipt(PassReceipt(number, receipt))

    def _pump(self, relays: tuple[Relaying, ...]) -> None:
        for relay in relays:
            route(self.system, names.RELAYS, relay.target).post(Pump(relay.target))

    def _not_committed(self, tags: tuple[object, ...]) -> None:
        """The disk refused. A connection that lost a message ends, so that its device sends again from there, in order;
        an acknowledgement that was lost comes again with its delivery."""
        for outlet in {tag.outlet for tag in tags if isinstance(tag, _Submitted)}:
            self._refused += 1
            outlet.close(Code.SERVER, limits.DISK_RETRY_SECONDS)
        for tag in tags:
            if isinstance(tag, _Relayed):
                tag.relay.reply_to.post(Done(tag.relay.tag, None))
            elif isinstance(tag, Commit):
                tag.reply_to.post(Done(tag.tag, None))

    def _rows(
        self, message_id: MessageId, payload: bytes, deliveries: Deliveries, seq: int
    ) -> Iterator[tuple[Outlet, Deliver]]:
        """The row of each device that is connected, with its outlet."""
        for device_id, wrap in deliveries:
            outlet = self._directory.outlet_of(device_id)
            if outlet is not None:
                self._delivered += 1
                yield outlet, Deliver(seq, message_id, payload, wrap)

    # --- refusals ---

    def _refuse(
        self, outlet: Outlet, message_id: MessageId, code: Code, stale: tuple[SignedMap, ...] | None = None
    ) -> None:
        self._refused += 1
        outlet.settled(Settled(message_id, code, stale))

    async def _refuse_stale(self, outlet: Outlet, message: MessageSend, current: frozenset[DeviceId]) -> None:
        session = outlet.session
        users = tuple(filter(self._abroad.is_here, (*message.recipients, session.user_id)))
        fresh = current - message.encrypted_keys.keys()
        try:
            keys = await self._keys.call(EntriesOf(users, session.device_id, fresh_for=frozenset(fresh)))
            abroad = await self._abroad.entries(message, session.user_id, session.device_id)
        except (ServerDown, CallTimeout, PeerUnreachable, ProtocolError):
            self._refuse(outlet, message.message_id, Code.SERVER)
            return
        entries = (*(entry for devices in keys.values() for entry in devices.values()), *abroad)
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


def _is_too_long(payload: bytes, deliveries: Deliveries) -> bool:
    """Whether a device could not be handed it in one frame."""
    return longest(payload, deliveries) + TAG_BYTES > limits.DEFAULT_MAX_FRAME


def _covers(named: frozenset[DeviceId], current: frozenset[DeviceId], supplement: bool) -> bool:
    """Whether a message has a wrap for each current device and no other; a supplement only no other."""
    return named <= current and (supplement or named == current)


def _conversation_of(ack: MessageAck) -> ConversationId | None:
    """The conversation that a receipt names: a `read` finds its message by it when the delivery is gone."""
    named = ack.receipt.get("conversation_id") if ack.receipt is not None else None
    return ConversationId(named) if isinstance(named, str) else None
