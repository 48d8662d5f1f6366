"""Devices of the client library against a server that is a dictionary: no loop, no socket, one clock.

`World` plays the home server as far as the client's rules see it: entries of devices with fresh prekeys, signed states,
wraps handed out per device. It can lie where a test wants it to.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec

from norc_actors.client.engine import Engine, make_engine
from norc_actors.client.events import Event
from norc_actors.client.keyring import Where, new_device
from norc_actors.client.needs import Need, WantingError
from norc_actors.client.profile import create_profile
from norc_actors.client.receiving import Outcome
from norc_actors.client.records import INBOX, OUTBOX, PINS, SELF, Draft, Incoming, Outgoing, Pin
from norc_actors.client.transaction import Ledger, Transaction
from norc_actors.client.vault import Unlock
from norc_actors.crypto.signatures import SigningKey
from norc_actors.ids import DeviceId, UserId, new_uuid
from norc_actors.protocol.codec import decode_as
from norc_actors.protocol.devices import make_certificate, sign_record
from norc_actors.protocol.messages import (
    ConversationCreate,
    ConversationState,
    ConversationUpdate,
    DeviceInfo,
    MessageReceived,
    MessageSend,
    Platform,
    PrekeyStatus,
)
from norc_actors.protocol.schema import SignedMap
from tests.support.people import NOW

R = TypeVar("R")

SERVER = "a.example"
INFO = DeviceInfo(name="test", type="unknown", capabilities=(), platform=Platform(os="o", version="v", app_version="a"))


@dataclass
class Clock:
    """A clock that stands until it is moved."""

    now: float = NOW

    def __call__(self) -> float:
        return self.now


@dataclass
class Peer:
    """A device: its profile and its rules."""

    world: "World"
    ledger: Ledger
    engine: Engine
    entry: SignedMap
    one_times: list[SignedMap] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    @property
    def user_id(self) -> str:
        return self.engine.own.user_id

    @property
    def device_id(self) -> str:
        return self.engine.own.device_id

    def do(self, operation: Callable[[Transaction], R]) -> R:
        """Run and commit; a need is asked for and the operation run again."""
        for _ in range(20):
            transaction = self.ledger.begin()
            try:
                result = operation(transaction)
            except WantingError as wanting:
                self.satisfy(wanting.need)
                continue
            self.ledger.profile.commit(transaction.writes())
            self.ledger.absorb(transaction)
            return result
        raise AssertionError("the same need again and again")

    def look(self, operation: Callable[[Transaction], R]) -> R:
        """Run without committing."""
        return operation(self.ledger.begin())

    def satisfy(self, need: Need) -> None:
        """What the resolver does, with the world as server."""
        now = self.engine.now()
        if need.direct:
            for user in (need.direct, self.user_id):
                self.learn(user)
            create = self.do(lambda tx: self.engine.conversations.make_direct(tx, new_uuid(os.urandom), need.direct))
            self.take(self.world.store(create, need.direct, self.user_id))
        elif need.conversation:
            self.take(self.world.state(need.conversation, need.epoch))
        elif need.devices:
            listing = {d: e for d, e in self.world.listing(need.users[0], all_=True).items() if d in need.devices}
            self.do(lambda tx: self.engine.directory.learn(tx, need.users[0], listing, now, complete=False))
        else:
            for user in need.users:
                self.learn(user)

    def learn(self, user: str) -> None:
        """Ask for the active devices of a user and open sessions."""
        now = self.engine.now()

        def learn(tx: Transaction) -> list[Event]:
            learned = self.engine.directory.learn(tx, user, self.world.listing(user), now, complete=True)
            return learned.events + self.engine.sending.open_sessions(tx, learned.devices, now)

        self.events += self.do(learn)

    def take(self, carrier: ConversationCreate | ConversationUpdate | ConversationState) -> None:
        """Take a state over."""
        self.events += self.do(lambda tx: self.engine.conversations.take(tx, carrier, self.engine.now()))

    def say(self, lane: str, *texts: str, classification: str = "unclassified") -> list[MessageSend]:
        """Send texts to a user or a conversation; the finished messages."""
        made = []
        for text in texts:
            draft = Draft(message_type="text", text=text, lane=lane, direct="@" in lane, classification=classification)
            message_id = new_uuid(os.urandom)
            sequence, ready = self.do(
                lambda tx, draft=draft, message_id=message_id: self.engine.sending.submit(  # type: ignore[misc]
                    tx, message_id, draft, self.engine.now_us(), self.events
                )
            )
            if not ready:
                row = self.row(sequence)
                self.do(
                    lambda tx, sequence=sequence, row=row: self.engine.sending.prepare(  # type: ignore[misc]
                        tx, sequence, row, self.engine.now_us(), self.events
                    )
                )
            made.append(decode_as(MessageSend, self.row(sequence).frame).message)
        return made

    def row(self, sequence: int) -> Outgoing:
        """A row of the outbox."""
        return dict(self.look(lambda tx: tx.queue(OUTBOX)))[sequence]

    def receive(self, message: MessageReceived, *, held: bool = False) -> Outcome:
        """What the intake does, without waiting: needs are asked for once."""
        tried: set[Need] = set()
        while True:
            transaction = self.ledger.begin()
            try:
                outcome = self.engine.receiving.receive(
                    transaction, message, self.engine.now_us(), held=held, tried=tried
                )
            except WantingError as wanting:
                if wanting.need in tried:
                    raise
                tried.add(wanting.need)
                try:
                    self.satisfy(wanting.need)
                except LookupError:
                    continue
                continue
            self.ledger.profile.commit(transaction.writes())
            self.ledger.absorb(transaction)
            self.events += outcome.events
            return outcome

    def inbox(self) -> list[Incoming]:
        """What the application would be shown."""
        return [incoming for _, incoming in self.look(lambda tx: tx.queue(INBOX))]

    def texts(self) -> list[str]:
        """The inbox in short: texts, and causes of what could not be shown."""
        return [f"!{row.cause}" if row.cause else row.text for row in self.inbox()]


@dataclass
class World:
    """The server and everybody's devices."""

    folder: Path
    clock: Clock = field(default_factory=Clock)
    key: SigningKey = field(default_factory=lambda: SigningKey.generate("ed25519", os.urandom))
    peers: list[Peer] = field(default_factory=list)
    states: dict[str, list[ConversationState]] = field(default_factory=dict)
    directs: dict[frozenset[str], str] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)
    ghosts: dict[str, dict[str, SignedMap]] = field(default_factory=dict)
    serial: int = 0

    def peer(self, name: str) -> Peer:
        """A device of `name`, the first one or a further one (then vouched for by the first one's user key)."""
        user_id = f"{name}@{SERVER}"
        first = next((peer for peer in self.peers if peer.user_id == user_id), None)
        where = Where(server_id=SERVER, host="h", port=1, ca_pem=b"")
        own = new_device(
            user_id, where, first=first is None, token=None, info=INFO, now=int(self.clock()), random=os.urandom
        )
        user_key = first.engine.keyring.user_key if first else SigningKey("ed25519", own.user_seed)
        assert user_key is not None
        entry = self.entry(own.record, user_key)
        path = self.folder / f"{own.device_id}.norc"
        ledger = Ledger(create_profile(path, Unlock(key_file=b"k" * 32), os.urandom))
        begin = ledger.begin()
        begin.put(SELF, "self", msgspec.structs.replace(own, stage="enrolled", user_key=user_key.public_key))
        begin.put(PINS, user_id, Pin(user_key=user_key.public_key, pinned_at=NOW, order=1, verified=True))
        engine = make_engine(begin, own, random=os.urandom, clock=self.clock)
        engine.directory.server_keys = (self.key.public_key,)
        peer = Peer(world=self, ledger=ledger, engine=engine, entry=entry)
        upload = engine.keyring.refill(
            begin, PrekeyStatus(one_time_left=29, bundle_expires_at=0), engine.now(), os.urandom
        )
        assert upload is not None
        peer.entry = {**entry, "bundle": upload.bundle or {}}
        peer.one_times = list(upload.one_time or ())
        ledger.profile.commit(begin.writes())
        ledger.absorb(begin)
        self.peers.append(peer)
        return peer

    def entry(self, record: SignedMap, user_key: SigningKey) -> SignedMap:
        """An entry without prekeys."""
        self.serial += 1
        return {
            "record": record,
            "user_key": user_key.public_key,
            "user_signature": sign_record(user_key, record),
            "certificate": make_certificate(self.key, SERVER, self.serial, record),
        }

    def listing(self, user: str, *, all_: bool = False) -> Mapping[str, SignedMap]:
        """What the server lists for a user; each answer hands out a one-time key."""
        found: dict[str, SignedMap] = {}
        for peer in self.peers:
            if peer.user_id == user and (all_ or peer.device_id not in self.hidden):
                found[peer.device_id] = dict(peer.entry)
                if peer.one_times:
                    found[peer.device_id]["one_time"] = peer.one_times.pop()
        return found | self.ghosts.get(user, {})

    def store(self, carrier: ConversationCreate | ConversationUpdate, *users: str) -> ConversationState:
        """Store a state; a direct conversation that exists is the answer."""
        known = self.directs.get(frozenset(users)) if users else None
        if known is not None:
            return self.states[known][-1]
        if users:
            self.directs[frozenset(users)] = carrier.conversation_id
        state = ConversationState(
            conversation_id=carrier.conversation_id,
            state=carrier.state,
            signer_user=carrier.signer_user,
            signer_device=carrier.signer_device,
            signature=carrier.signature,
        )
        self.states.setdefault(carrier.conversation_id, []).append(state)
        return state

    def state(self, conversation_id: str, epoch: int) -> ConversationState:
        """A stored state; `LookupError` if there is none."""
        return self.states[conversation_id][epoch - 1 if epoch else -1]

    def hand_out(self, message: MessageSend, sender: Peer, to: Peer) -> MessageReceived:
        """A message as one device gets it."""
        device_id = DeviceId(to.device_id)
        return MessageReceived(
            message_id=message.message_id,
            conversation_id=message.conversation_id,
            epoch=message.epoch,
            suite=message.suite,
            chain_id=message.chain_id,
            sequence_number=message.sequence_number,
            prev_message_hash=message.prev_message_hash,
            key_commitment=message.key_commitment,
            ciphertext=message.ciphertext,
            encrypted_keys={device_id: message.encrypted_keys[device_id]},
            supplement=message.supplement,
            metadata=message.metadata,
            sender_user=UserId(sender.user_id),
            sender_device=DeviceId(sender.device_id),
            accepted_at=int(self.clock()),
        )

    def close(self) -> None:
        """Close all profiles."""
        for peer in self.peers:
            peer.ledger.profile.close()
