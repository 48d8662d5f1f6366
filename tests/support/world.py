"""Three devices in a direct conversation, and what tests of sealing and opening do with them."""

import pytest

from norc_actors.crypto.suites import PREFERENCE
from norc_actors.protocol.conversations import State, direct_state, first_state
from norc_actors.protocol.devices import Device, KeyPeriod
from norc_actors.protocol.messages import MessageReceived
from norc_actors.protocol.opening import Cause, MessageRefusedError
from norc_actors.protocol.sealing import Target
from norc_actors.protocol.sessions import open_session
from tests.support.chat import Chatter, delivered
from tests.support.people import NOW, Person, make_server


class World:
    """Alice (phone, laptop) and Bob in a direct conversation; Carol stands outside."""

    def __init__(self, algorithm="ed25519", suites=PREFERENCE):
        server = make_server(algorithm=algorithm)
        self.server = server
        self.alice, self.bob, self.carol = (
            Person(name, server, algorithm=algorithm) for name in ("alice", "bob", "carol")
        )
        self.phone, self.laptop = (self.alice.phone(suites=suites) for _ in range(2))
        self.bobs, self.carols = self.bob.phone(suites=suites), self.carol.phone(suites=suites)
        self.state = direct_state(
            "2cd6bf73-5d0d-4567-96b2-70548f57d0df",
            self.alice.user_id, self.alice.user_key.public_key, self.bob.user_id, self.bob.user_key.public_key,
        )  # fmt: skip
        self.a = Chatter.of(self.phone, self.state)
        self.a2 = Chatter.of(self.laptop, self.state)
        self.b = Chatter.of(self.bobs, self.state)
        self.alice_device = self.alice.device(self.phone)
        self.bob_device = self.bob.device(self.bobs)
        self.laptop_device = self.alice.device(self.laptop)

    @property
    def targets(self):
        return [self.bob_device, self.laptop_device]

    def to_bob(self, sealed, **changes):
        return delivered(sealed.message, self.phone, self.bobs.id, **changes)

    def group(self, **roles: str) -> State:
        """A group of alice, bob and carol in the roles given."""
        people = {"alice": self.alice, "bob": self.bob, "carol": self.carol}
        members = {people[name].user_id: (role, people[name].user_key.public_key) for name, role in roles.items()}
        return first_state("00000000-0000-4000-8000-0000000000aa", "group", members)

    def target(self, device: Device, phone=None, **changes) -> Target:
        """A device with a new session of Alice's phone towards it."""
        session = open_session((phone or self.phone).own, device, now=NOW, random=self.a.random)
        return Target(device=device, session=replace_fields(session, **changes))

    def refusal(self, received: MessageReceived, **changes) -> Cause:
        """Why Bob's device refuses a message."""
        with pytest.raises(MessageRefusedError) as refused:
            self.b.open(received, changes.pop("sender", self.alice_device), **changes)
        return refused.value.cause


def replace_fields(state, **changes):
    """A session or chain with some of its members exchanged."""
    return type(state).from_map({**state.to_map(), **changes})


def known_device(user_id: str, device_id: str, key: bytes) -> Device:
    """A device of which only the key is known, good for ever."""
    period = KeyPeriod(public_key=key, not_before=0, not_after=2**40)
    return Device(
        user_id=user_id, device_id=device_id, user_key=key, public_key=key, e2e_suites=PREFERENCE, e2e_version="2.0",
        not_before=0, not_after=2**40, keys=(period,), entry={},
    )  # fmt: skip


def flip(data: bytes, bit: int) -> bytes:
    """The data with one bit changed."""
    out = bytearray(data)
    out[bit // 8] ^= 1 << bit % 8
    return bytes(out)


def raw(uuid: str) -> bytes:
    """The 16 bytes of a UUID."""
    return bytes.fromhex(uuid.replace("-", ""))
