"""The protocol core beside the sum of the primitive operations that it cannot do without, in the same run.

| figure | baseline |
|---|---|
| frame | one AEAD seal and one open with keys set up, two hashes of the ciphertext, a random message_id |
| message | per device two HKDFs of its chain, the wrap's HKDF, a hash, a seal under a new key; once: signature, seal |
| session | X25519 key, two agreements, ML-KEM encapsulation, HKDF, seal, hashes, one signature made, two verified |
| decode | msgspec alone into plain structs of the same members: types, no other rule |
| decode, same rules | msgspec alone with the same lengths, ranges, atoms and grammars as constraints of its own |

The first baseline of decode is the sharper one and the one to be judged by: what reading and checking cost beside
reading. The second says what the same checks cost in msgspec's own words, still without what it has none for (duplicate
members, nulls, free maps).

All in µs of CPU: frame is a 1 KiB frame sealed and opened; message one text for 100 devices with open sessions; session
a hybrid `open_session` towards a device whose entry came fresh; decode a message_send for 10 devices read and checked.
Rounds of the two sides alternate, so that a machine whose speed drifts is unfair to neither.
"""

import os
import time
from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec

from bench.figures import Figures, figure
from norc_actors.crypto import hkdf, kem
from norc_actors.crypto.signatures import SigningKey, verify
from norc_actors.crypto.suites import PREFERENCE, SUITES
from norc_actors.ids import new_uuid
from norc_actors.protocol import devices, prekeys, sealing
from norc_actors.protocol.chains import SendingChain
from norc_actors.protocol.codec import decode, encode
from norc_actors.protocol.conversations import State, first_state
from norc_actors.protocol.messages import Classification, Inner, MessageSend
from norc_actors.protocol.sealed import SealedSession, traffic_keys
from norc_actors.protocol.sessions import open_session

QUICK = bool(os.environ.get("QUICK"))
ROUNDS = 5 if QUICK else 15
NOW = 1_790_000_000
SUITE = SUITES["0101"]
DEVICES = 100
DECODED_DEVICES = 10
Work = Callable[[], object]


def _pair(ours: Work, theirs: Work, repeat: int) -> tuple[list[float], list[float]]:
    """µs of CPU per call of both, in alternating rounds."""
    samples: tuple[list[float], list[float]] = ([], [])
    for work in (ours, theirs):
        work()
    for _ in range(ROUNDS):
        for work, into in zip((ours, theirs), samples, strict=True):
            began = time.process_time()
            for _ in range(repeat):
                work()
            into.append((time.process_time() - began) / repeat * 1e6)
    return samples


# --- A frame ---


def _frame() -> tuple[Work, Work]:
    th, keys, body = bytes(32), traffic_keys(SUITE, bytes(32)), bytes(1024)
    ends = [
        SealedSession(
            role=role, suite=SUITE, th=th, keys=keys, random=os.urandom, now=0.0, send_limit=2**20, receive_limit=2**20
        )
        for role in ("client", "server")
    ]  # fmt: skip
    client, server = ends

    def ours() -> None:
        for frame in client.seal(0x10, body):
            server.receive(frame)

    cipher, nonce, aad = SUITE.cipher(keys.c2s), bytes(12), bytes(95)

    def theirs() -> None:
        os.urandom(16)
        ciphertext = cipher.seal(nonce, aad, body)
        SUITE.hash(ciphertext)
        SUITE.hash(ciphertext)
        cipher.open(nonce, aad, ciphertext)

    return ours, theirs


# --- People ---


class Person:
    """A user with devices, as a peer who pinned the user key knows them."""

    def __init__(self, name: str, count: int) -> None:
        self.user_id = f"{name}@a.example"
        self.user_key = SigningKey.generate("ed25519", os.urandom)
        self.keys = [SigningKey.generate("ed25519", os.urandom) for _ in range(count)]
        self.devices = [self._device(key) for key in self.keys]

    def _device(self, key: SigningKey) -> devices.Device:
        device_id = new_uuid(os.urandom)
        record = devices.make_record(self.user_id, device_id, key.public_key, now=NOW, e2e_suites=PREFERENCE)
        bundle, _ = prekeys.make_bundle(
            key, self.user_id, device_id, 1, hybrid=True, now=NOW, random=os.urandom
        )  # fmt: skip
        (one_time,), _ = prekeys.make_one_time_keys(key, 1, 1, os.urandom)
        server = SigningKey.generate("ed25519", os.urandom)
        entry: dict[str, Any] = {
            "record": record,
            "user_key": self.user_key.public_key,
            "user_signature": devices.sign_record(self.user_key, record),
            "certificate": devices.make_certificate(server, "a.example", 1, record),
            "bundle": bundle,
            "one_time": one_time,
        }
        return devices.verify_entry(
            entry, user_id=self.user_id, device_id=device_id, pinned=self.user_key.public_key,
            server_keys=[server.public_key],
        )  # fmt: skip

    def own(self) -> devices.OwnDevice:
        return devices.OwnDevice(
            user_id=self.user_id, device_id=self.devices[0].device_id, key=self.keys[0], e2e_suites=PREFERENCE
        )


def _conversation(alice: Person, bob: Person) -> State:
    return first_state(
        new_uuid(os.urandom), "group",
        {person.user_id: ("owner", person.user_key.public_key) for person in (alice, bob)},
    )  # fmt: skip


# --- A message for many devices ---


def _seal(alice: Person, bob: Person, count: int) -> Callable[[], MessageSend]:
    own, state = alice.own(), _conversation(alice, bob)
    sessions = [open_session(own, device, now=NOW, random=os.urandom).acknowledged() for device in bob.devices[:count]]
    targets = [
        sealing.Target(device=device, session=session)
        for device, session in zip(bob.devices[:count], sessions, strict=True)
    ]
    chain = SendingChain.start(state.conversation_id, os.urandom)
    inner = Inner(message_type="text", body="x" * 100)

    def work() -> MessageSend:
        outgoing = sealing.Outgoing(
            message_id=new_uuid(os.urandom), state=state, inner=inner, timestamp_us=NOW * 10**6,
            classification="confidential",
        )  # fmt: skip
        return sealing.seal(outgoing, own=own, chain=chain, targets=targets, now=NOW, random=os.urandom).message

    return work


def _message(alice: Person, bob: Person) -> tuple[Work, Work]:
    key, info, signer = bytes(32), b"norc:wrap:v1" + bytes(60), alice.keys[0]
    nonce, aad, body, plaintext = bytes(12), bytes(100), bytes(700), bytes(256)

    def derive() -> bytes:
        return hkdf.expand(SUITE.hmac, hkdf.extract(SUITE.hmac, b"", key), info, 32)

    def theirs() -> None:
        signer.sign("message:v1", body)
        SUITE.hash(body)
        SUITE.hash(body)
        ciphertext = SUITE.seal(key, nonce, aad, plaintext)
        SUITE.hash(ciphertext)
        for _ in range(DEVICES):
            derive()
            derive()
            wrap = derive()
            SUITE.hash(aad)
            SUITE.seal(wrap, nonce, aad, key)

    return _seal(alice, bob, DEVICES), theirs


# --- Opening a session ---


def _session(alice: Person, bob: Person) -> tuple[Work, Work]:
    own, device = alice.own(), bob.devices[0]
    body, signature = bytes(2000), alice.keys[0].sign("prekey:v1", bytes(2000))
    public = kem.mlkem_public(os.urandom(64))
    prekey = kem.x25519_public(os.urandom(32))

    def theirs() -> None:
        for _ in ("bundle", "one-time key"):
            verify(alice.keys[0].public_key, "prekey:v1", body, signature)
        private = os.urandom(32)
        kem.x25519_public(private)
        kem.x25519(private, prekey)
        kem.x25519(private, prekey)
        kem.encapsulate(public)
        SUITE.hash(body)
        SUITE.hash(private)
        SUITE.hash(private)
        SUITE.hkdf(private, private, b"norc:session:v1" + bytes(80))
        SUITE.seal(private, bytes(12), body[:80], private)
        alice.keys[0].sign("session:v1", body)

    return lambda: open_session(own, device, now=NOW, random=os.urandom), theirs


# --- Decoding ---


_Uuid = Annotated[
    str, msgspec.Meta(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z")
]  # fmt: skip
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_User = Annotated[str, msgspec.Meta(pattern=rf"^[a-z0-9._+-]{{1,64}}@{_LABEL}(?:\.{_LABEL})*\Z")]
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
_Hash = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


class _Wrap(msgspec.Struct, frozen=True):
    session_id: _Uuid
    index: Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
    wrapped: Annotated[bytes, msgspec.Meta(min_length=48, max_length=48)]


class _Metadata(msgspec.Struct, frozen=True):
    timestamp: _Count
    classification: Classification


class _Send(msgspec.Struct, frozen=True, tag_field="type", tag="message_send"):
    """message_send for msgspec alone, with the same rules as constraints of its own."""

    message_id: _Uuid
    conversation_id: _Uuid
    epoch: _Count
    recipients: tuple[_User, ...]
    suite: Literal["0101", "0102", "0001", "0002"]
    chain_id: _Uuid
    sequence_number: _Count
    prev_message_hash: _Hash
    key_commitment: _Hash
    ciphertext: Annotated[bytes, msgspec.Meta(min_length=16)]
    encrypted_keys: dict[_Uuid, _Wrap]
    metadata: _Metadata


class _BareWrap(msgspec.Struct, frozen=True):
    session_id: str
    index: int
    wrapped: bytes


class _BareMetadata(msgspec.Struct, frozen=True):
    timestamp: int
    classification: str


class _BareSend(msgspec.Struct, frozen=True, tag_field="type", tag="message_send"):
    """The same members without a rule."""

    message_id: str
    conversation_id: str
    epoch: int
    recipients: tuple[str, ...]
    suite: str
    chain_id: str
    sequence_number: int
    prev_message_hash: bytes
    key_commitment: bytes
    ciphertext: bytes
    encrypted_keys: dict[str, _BareWrap]
    metadata: _BareMetadata


def _decode(alice: Person, bob: Person, alone: type[msgspec.Struct]) -> tuple[Work, Work]:
    data = encode(_seal(alice, bob, DECODED_DEVICES)())
    decoder = msgspec.msgpack.Decoder(alone)
    return lambda: decode(0x10, data), lambda: decoder.decode(data)


def measure() -> Figures:
    """Every figure beside its baseline."""
    alice, bob = Person("alice", 1), Person("bob", DEVICES)
    questions: dict[str, tuple[tuple[Work, Work], int]] = {
        "frame": (_frame(), 400),
        "message": (_message(alice, bob), 5),
        "session": (_session(alice, bob), 40),
        "decode": (_decode(alice, bob, _BareSend), 400),
        "decode, same rules": (_decode(alice, bob, _Send), 400),
    }
    figures: Figures = {}
    for name, ((ours, theirs), repeat) in questions.items():
        mine, baseline = _pair(ours, theirs, repeat)
        figures[name] = figure(mine, baseline=baseline)
        figures[f"{name}: baseline"] = figure(baseline)
    return figures
