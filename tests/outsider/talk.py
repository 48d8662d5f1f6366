"""Conversations of an outsider over a connection: create, send, receive, acknowledge (messages.md)."""

from collections.abc import Iterable
from dataclasses import dataclass

from .device import Device
from .forms import Map, RefusedError, canonical, data, inner, new_id, number, text
from .harness import Node
from .letters import (
    Chain,
    OutSession,
    Ratchet,
    Sealed,
    accept_open,
    check_receipt,
    check_state,
    ciphertext_hash,
    make_receipt,
    make_state,
    now_us,
    open_session,
    seal,
    unseal,
    users_of,
    wrap,
)
from .papers import Peer
from .wire import Connection


@dataclass(frozen=True)
class Got:
    """A message that was opened, and the receipt for it."""

    received: Map
    inner: Map
    receipt: Map

    @property
    def text(self) -> str:
        return text(self.inner, "body")


class Talker:
    """What a device remembers of its conversations; in memory alone, so an outsider that ends is gone."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.states: dict[str, list[Map]] = {}
        """By conversation_id, from epoch 1 on."""
        self._out: dict[tuple[str, str], OutSession] = {}
        self._in: dict[tuple[str, str, str], Ratchet] = {}
        self._chains: dict[str, Chain] = {}
        self._heard: dict[tuple[str, str, str], tuple[int, bytes]] = {}
        self._seen: dict[tuple[str, str, str], Got] = {}
        self._listed: dict[str, list[Peer]] = {}

    # --- conversations ---

    def create(self, line: Connection, kind: str, roles: dict[str, str]) -> str:
        """Create a conversation of people whose keys are pinned; the id of the one that stands then."""
        device = self.device
        state = make_state(kind, {user: (role, device.pins[user]) for user, role in roles.items()})
        line.send({**self.carrier("conversation_create", state), "conversation_type": kind})
        return self._take_state(line, line.expect("conversation_state"))

    def change(self, line: Connection, conversation: str, roles: dict[str, str]) -> None:
        """The next state, with these people."""
        device, previous = self.device, self.states[conversation][-1]
        people = {user: (role, device.pins[user]) for user, role in roles.items()}
        state = make_state(text(previous, "type"), people, previous, device.key)
        line.send(self.carrier("conversation_update", state))
        self._take_state(line, line.expect("conversation_state"))

    def carrier(self, kind: str, state: Map) -> Map:
        """A message with a state that this device signs."""
        return {
            "type": kind,
            "conversation_id": state["conversation_id"],
            "state": state,
            "signer_user": self.device.user_id,
            "signer_device": self.device.device_id,
            "signature": self.device.key.sign("conversation:v1", canonical(state)),
        }

    def state(self, line: Connection, conversation: str, epoch: int) -> Map:
        """The state of an epoch, with all before it asked for and checked."""
        known = self.states.setdefault(conversation, [])
        while len(known) < epoch:
            wanted = len(known) + 1
            line.send({"type": "conversation_state", "conversation_id": conversation, "epoch": wanted})
            answer = line.expect("conversation_state", where=lambda m: m["conversation_id"] == conversation)
            self._take_state(line, answer)
            if len(known) != wanted:
                raise RefusedError("another epoch than was asked for")
        return known[epoch - 1]

    def _take_state(self, line: Connection, carrier: Map) -> str:
        conversation = text(carrier, "conversation_id")
        known = self.states.setdefault(conversation, [])
        if inner(carrier, "state") in known:
            return conversation
        signer = self._peer(line, text(carrier, "signer_user"), text(carrier, "signer_device"))
        known.append(check_state(carrier, signer, known[-1] if known else None, self.device.pins))
        return conversation

    def _peer(self, line: Connection, user_id: str, device_id: str) -> Peer:
        own = self.device
        if (user_id, device_id) == (own.user_id, own.device_id):
            return Peer(user_id, device_id, own.key.public, own.suites, None, None)
        if (user_id, device_id) not in own.peers:
            own.ask(line, user_id, devices=[device_id])
        return own.peers[user_id, device_id]

    # --- sending ---

    def prepare(
        self, line: Connection, conversation: str, said: str, *, peers: list[Peer] | None = None, classification: str
    ) -> Sealed:
        """A message for the devices of all members (or for these), wrapped, not sent."""
        own, state = self.device, self.states[conversation][-1]
        peers = self._others(self.devices(line, users_of(state)) if peers is None else peers)
        chain = self._chains.setdefault(conversation, Chain())
        body: Map = {"message_type": "text", "body": said}
        sealed = seal(own, state, chain, body, [peer.suites for peer in peers], classification)
        self.add_wraps(sealed, peers)
        return sealed

    def add_wraps(self, sealed: Sealed, peers: Iterable[Peer]) -> None:
        """Wrap a message for more devices."""
        wraps = inner(sealed.message, "encrypted_keys")
        for peer in peers:
            session = self._out.get((peer.user_id, peer.device_id))
            if session is None or not session.usable:
                session = self._out[peer.user_id, peer.device_id] = open_session(self.device, peer)
            wraps[peer.device_id] = wrap(self.device, sealed, peer, session)

    def devices(self, line: Connection, users: list[str]) -> list[Peer]:
        """The users' devices as the server last listed them, asked for where one is not known or needs a session."""
        own = self.device
        fresh = [
            user for user in users if user not in self._listed or any(map(self._needs_session, self._listed[user]))
        ]
        if fresh:
            peers = own.ask(line, *fresh)
            self._listed |= {user: [peer for peer in peers if peer.user_id == user] for user in fresh}
        return [peer for user in users for peer in self._listed[user]]

    def _needs_session(self, peer: Peer) -> bool:
        session = self._out.get((peer.user_id, peer.device_id))
        own = (peer.user_id, peer.device_id) == (self.device.user_id, self.device.device_id)
        return not own and (session is None or not session.usable)

    def _others(self, peers: Iterable[Peer]) -> list[Peer]:
        """All but this device."""
        own = self.device
        return [peer for peer in peers if (peer.user_id, peer.device_id) != (own.user_id, own.device_id)]

    def mend(self, sealed: Sealed, ack: Map) -> list[Peer]:
        """Make the wraps those of the devices that a 2002 lists; the devices."""
        listed = self.device.learn_stale(ack)
        self._listed |= {user: [peer for peer in listed if peer.user_id == user] for user in self._listed}
        wraps, peers = inner(sealed.message, "encrypted_keys"), self._others(listed)
        for gone in wraps.keys() - {peer.device_id for peer in peers}:
            del wraps[gone]
        self.add_wraps(sealed, [peer for peer in peers if peer.device_id not in wraps])
        return peers

    def send(self, line: Connection, conversation: str, said: str, *, classification: str = "unclassified") -> Map:
        """Send a text and wait until the server has it; a stale list of devices is mended once."""
        sealed = self.prepare(line, conversation, said, classification=classification)
        ack = self.submit(line, sealed.message)
        if ack.get("error_code") == 2002:
            self.mend(sealed, ack)
            ack = self.submit(line, sealed.message)
        if ack["status"] != "sent":
            raise RefusedError(f"not sent: {ack}")
        return sealed.message

    def submit(self, line: Connection, message: Map) -> Map:
        """Send a message as it is; the `message_ack` that answers it."""
        line.send(message)
        return line.expect(
            "message_ack",
            where=lambda ack: ack["message_id"] == message["message_id"] and ack["status"] in ("sent", "failed"),
        )

    def receipt(self, line: Connection, sent: Map, status: str) -> Peer:
        """Wait for a signed receipt of this status; the device whose it is."""
        ack = line.expect(
            "message_ack", where=lambda ack: ack["message_id"] == sent["message_id"] and ack["status"] == status
        )
        receipt = inner(ack, "receipt")
        by = self._peer(line, text(receipt, "user_id"), text(receipt, "device_id"))
        if check_receipt(receipt, sent, by) != status:
            raise RefusedError("a receipt of another status than its acknowledgement")
        session = self._out.get((by.user_id, by.device_id))
        if session is not None:
            session.open = None
        return by

    # --- receiving ---

    def receive(self, line: Connection) -> Got:
        """The next message, opened, checked and acknowledged."""
        got = self.take(line, line.expect("message_received"))
        self.acknowledge(line, got, "delivered")
        return got

    def take(self, line: Connection, received: Map) -> Got:
        """Open a message, or `RefusedError`; what came before is given again."""
        own = self.device
        user, device = text(received, "sender_user"), text(received, "sender_device")
        key = user, device, text(received, "message_id")
        if key in self._seen:
            if ciphertext_hash(self._seen[key].received) != ciphertext_hash(received):
                raise RefusedError("another message under a known id")
            return self._seen[key]
        sender = self._peer(line, user, device)
        state = self.state(line, text(received, "conversation_id"), number(received, "epoch"))
        wrapped = inner(inner(received, "encrypted_keys"), own.device_id)
        session = user, device, text(wrapped, "session_id")
        if session not in self._in:
            if "open" not in wrapped:
                raise RefusedError("no such session")
            self._in[session] = accept_open(own, sender, inner(wrapped, "open"))
        said = unseal(own, received, sender, self._in[session], wrapped, state)
        self._in_chain(received)
        got = Got(received, said, make_receipt(own, received, "delivered"))
        self._seen[key] = got
        return got

    def _in_chain(self, received: Map) -> None:
        """In order and without gaps, from wherever it was first heard: all that a test needs."""
        chain = text(received, "sender_device"), text(received, "conversation_id"), text(received, "chain_id")
        at, last = number(received, "sequence_number"), self._heard.get(chain)
        if last is not None and (at, data(received, "prev_message_hash")) != (last[0] + 1, last[1]):
            raise RefusedError("a message out of its chain")
        self._heard[chain] = at, ciphertext_hash(received)

    def acknowledge(self, line: Connection, got: Got, status: str) -> None:
        """`delivered` or `read`, with a receipt."""
        receipt = got.receipt if status == "delivered" else make_receipt(self.device, got.received, status)
        line.send(
            {
                "type": "message_ack",
                "message_id": got.received["message_id"],
                "status": status,
                "timestamp": now_us(),
                "receipt": receipt,
            }
        )


def talker(home: Node, name: str, *, suites: list[str] | None = None, algorithm: str = "ed25519") -> Talker:
    """A new user with one device, let in by work."""
    device = Device(home.place, f"{name}-{new_id()[:8]}@localhost", suites=suites, algorithm=algorithm)
    device.enrol()
    return Talker(device)


def direct(line: Connection, one: Talker, user_id: str) -> str:
    """The direct conversation of two users, as one of them sees it."""
    one.device.ask(line, user_id)
    return one.create(line, "direct", {one.device.user_id: "owner", user_id: "owner"})
