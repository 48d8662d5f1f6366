"""Two or more devices in one conversation, without network or disk: what a client keeps, held in dictionaries.

`Chatter` follows the rules that a client follows: it replaces its states only by what the protocol returned, and can be
saved and restored at any moment (`dump`, `restore`).
"""

import copy
from dataclasses import dataclass, field

from norc_actors.ids import Random, new_uuid
from norc_actors.protocol import opening, sealing
from norc_actors.protocol.chains import ReceivingChain, SendingChain
from norc_actors.protocol.codec import decode_as, encode_map, to_map
from norc_actors.protocol.conversations import State
from norc_actors.protocol.devices import Device
from norc_actors.protocol.messages import Inner, MessageReceived, MessageSend
from norc_actors.protocol.prekeys import BundleSecret
from norc_actors.protocol.sessions import ReceivingSession, SendingSession, open_session
from tests.support.people import NOW, Phone, seeded


def text(body: str) -> Inner:
    return Inner(message_type="text", body=body)


def delivered(message: MessageSend, sender: Phone, device_id: str, *, accepted_at: int = NOW) -> MessageReceived:
    """The message as the home server hands it to one device; through bytes, as on the wire."""
    members = to_map(message)
    members.pop("recipients")
    members.pop("more", None)
    members["type"] = "message_received"
    members["encrypted_keys"] = {device_id: members["encrypted_keys"][device_id]}
    members |= {"sender_user": sender.own.user_id, "sender_device": sender.id, "accepted_at": accepted_at}
    return decode_as(MessageReceived, encode_map(members)).message


@dataclass
class Chatter:
    """One device with its states."""

    phone: Phone
    random: Random
    state: State
    chain: SendingChain | None = None
    sending: dict[str, SendingSession] = field(default_factory=dict)
    receiving: dict[str, ReceivingSession] = field(default_factory=dict)
    chains: dict[str, ReceivingChain] = field(default_factory=dict)
    seen: dict[tuple[str, str], bytes] = field(default_factory=dict)

    @classmethod
    def of(cls, phone: Phone, state: State, seed: object = 0) -> "Chatter":
        return cls(phone=phone, random=seeded(("chatter", phone.id, seed)), state=state)

    def send(
        self, body: str | Inner, to: list[Device], *, now: int = NOW, classification="confidential", expires_at=None
    ) -> sealing.Sealed:
        """Seal, opening sessions where there are none in force."""
        chain = self.chain or SendingChain.start(self.state.conversation_id, self.random)
        targets = []
        for device in to:
            session = self.sending.get(device.device_id)
            if session is None or not session.usable(now):
                session = open_session(self.phone.own, device, now=now, random=self.random)
            targets.append(sealing.Target(device=device, session=session))
        sealed = sealing.seal(
            sealing.Outgoing(
                message_id=new_uuid(self.random),
                state=self.state,
                inner=text(body) if isinstance(body, str) else body,
                timestamp_us=now * 1_000_000,
                classification=classification,
                expires_at=expires_at,
            ),
            own=self.phone.own,
            chain=chain,
            targets=targets,
            now=now,
            random=self.random,
        )
        self.chain = sealed.chain
        self.sending |= {session.target_device: session for session in sealed.sessions}
        return sealed

    def open(self, received: MessageReceived, sender: Device, *, now: float = NOW, held: bool = True, **changes):
        """Open and, if that worked, store."""
        wrap = received.encrypted_keys.get(self.phone.id)
        prekey_id, one_time_id = opening.prekeys_named(received, self.phone.id)
        arguments = {
            "own": self.phone.own,
            "sender": sender,
            "recorded_hash": self.seen.get((received.sender_device, received.message_id)),
            "session": self.receiving.get(wrap.session_id) if wrap is not None else None,
            "bundle": self.phone.bundles.get(prekey_id),
            "one_time": self.phone.one_times.get(one_time_id),
            "state": self.state,
            "chain": self.chains.get(received.chain_id),
            "now": now,
            "held": held,
        } | changes
        result = opening.open_message(received, **arguments)
        if isinstance(result, opening.Opened):
            self.receiving[result.session.session_id] = result.session
            self.chains[received.chain_id] = result.chain
            self.seen[received.sender_device, received.message_id] = result.ciphertext_hash
            if result.used_one_time is not None:
                del self.phone.one_times[result.used_one_time]
        return result

    def dump(self) -> dict:
        """Everything that must survive a restart, as plain maps (bundles and one-time keys beside them)."""
        return {
            "chain": self.chain.to_map() if self.chain else {},
            "sending": {key: session.to_map() for key, session in self.sending.items()},
            "receiving": {key: session.to_map() for key, session in self.receiving.items()},
            "chains": {key: chain.to_map() for key, chain in self.chains.items()},
            "seen": dict(self.seen),
            "bundles": {key: secret.to_map() for key, secret in self.phone.bundles.items()},
            "one_times": dict(self.phone.one_times),
        }

    def restore(self, dumped: dict) -> None:
        """Back to a dump."""
        dumped = copy.deepcopy(dumped)
        self.chain = SendingChain.from_map(dumped["chain"]) if dumped["chain"] else None
        self.sending = {key: SendingSession.from_map(value) for key, value in dumped["sending"].items()}
        self.receiving = {key: ReceivingSession.from_map(value) for key, value in dumped["receiving"].items()}
        self.chains = {key: ReceivingChain.from_map(value) for key, value in dumped["chains"].items()}
        self.seen = dumped["seen"]
        self.phone.bundles = {key: BundleSecret.from_map(value) for key, value in dumped["bundles"].items()}
        self.phone.one_times = dumped["one_times"]
