"""Sealing and opening: the recorded messages, every suite, every refusal, and the known attacks."""

import time

import pytest

from norc_actors.crypto import padding
from norc_actors.crypto import sessions as schedule
from norc_actors.crypto.errors import DecryptionFailedError
from norc_actors.crypto.signatures import SigningKey, verify
from norc_actors.crypto.suites import PREFERENCE, SUITES
from norc_actors.protocol import opening, sealing
from norc_actors.protocol.chains import SendingChain
from norc_actors.protocol.codec import convert, decode_as, encode_map, to_map
from norc_actors.protocol.conversations import State, direct_state, first_state, read_state, with_member, without_member
from norc_actors.protocol.devices import Device, EntryFault, EntryRefusedError, KeyPeriod, OwnDevice, verify_entry
from norc_actors.protocol.messages import Inner, MessageReceived, MessageSend
from norc_actors.protocol.opening import Again, Cause, Hold, MessageRefusedError, Opened
from norc_actors.protocol.sessions import NoCommonSuiteError, ReceivingSession, SessionEndedError, open_session
from tests.support.chat import Chatter, delivered, text
from tests.support.people import ALGORITHMS, NOW, Person, make_server, seeded
from tests.support.vectors import b, cases, map_of

# --- Recorded messages ---


def _state(entry, key: str) -> State:
    return read_state(map_of(entry[key]))


def _device(user_id: str, device_id: str, key: bytes) -> Device:
    period = KeyPeriod(public_key=key, not_before=0, not_after=2**40)
    return Device(
        user_id=user_id, device_id=device_id, user_key=key, public_key=key, e2e_suites=PREFERENCE, e2e_version="2.0",
        not_before=0, not_after=2**40, keys=(period,), entry={},
    )  # fmt: skip


def _session(session_id: str, suite: str, sender: Device, key: bytes, index: int = 0) -> ReceivingSession:
    return ReceivingSession(
        session_id=session_id, suite=suite, sender_user=sender.user_id, sender_device=sender.device_id, prekey_id=5,
        chain_key=key, next_index=index, skipped={}, expires_at=2**40,
    )  # fmt: skip


def _received(entry) -> MessageReceived:
    """A recorded message; the recordings leave out the home server's time of acceptance."""
    members = map_of(entry)
    return convert({"accepted_at": members["metadata"]["timestamp"] // 10**6, **members}, MessageReceived)


def _own(user_id: str, device_id: str, suites=PREFERENCE) -> OwnDevice:
    return OwnDevice(
        user_id=user_id, device_id=device_id, key=SigningKey("ed25519", bytes(32)), e2e_suites=tuple(suites)
    )


@pytest.mark.parametrize("v", cases("messages"))
def test_recorded_messages_open(v):
    state = _state(v, "state")
    suite = SUITES[v["suite"]]
    assert suite.hash(state.form) == b(v, "audience")
    chains: dict[str, object] = {}
    for m in v["messages"]:
        for d in m["devices"]:
            received = _received(d["message_received"])
            sender = _device(received.sender_user, received.sender_device, b(v, "sender_key"))
            session = _session(d["session_id"], v["suite"], sender, b"")
            session = ReceivingSession.from_map(
                {**session.to_map(), "next_index": 1000, "skipped": {str(d["index"]): b(d, "mk")}}
            )
            arguments = {
                "own": _own(d["user"], d["device"]), "sender": sender, "recorded_hash": None, "session": session,
                "state": state, "chain": chains.get(d["device"]), "now": received.metadata.timestamp / 1e6,
                "held": True,
            }  # fmt: skip
            opened = opening.open_message(received, **arguments)
            assert opened.inner == decode_as(Inner, b(m, "inner")).message
            assert opened.ciphertext_hash == b(m, "ciphertext_hash")
            chains[d["device"]] = opened.chain


@pytest.mark.parametrize("v", cases("messages"))
def test_recorded_signature_and_padding(v):
    for m in v["messages"]:
        sent = convert(map_of(m["message_send"]), MessageSend)
        received = map_of(m["devices"][0]["message_received"])
        body = sealing.signed_body(
            sent, received["sender_user"], received["sender_device"], b(v, "audience"),
            SUITES[sent.suite].hash(b(m, "inner")),
        )  # fmt: skip
        assert body == b(m, "body")
        verify(b(v, "sender_key"), "message:v1", body, b(m, "signature"))
        assert SigningKey("ed25519", b(v, "sender_seed")).sign("message:v1", body) == b(m, "signature")
        assert padding.pad(b(m, "inner"), b(m, "signature")) == b(m, "plaintext")
        assert padding.unpad(b(m, "plaintext")) == (b(m, "inner"), b(m, "signature"))


@pytest.mark.parametrize("v", cases("refused_messages"))
def test_recorded_refusals(v, monkeypatch):
    received = _received(v["message_received"])
    sender = _device(received.sender_user, received.sender_device, b(v, "sender_key"))
    wrap = received.encrypted_keys[v["device"]]
    key = b(v, "session_key")
    suite = SUITES[v["suite"]]
    for _ in range(v["index"]):
        key = schedule.next_chain_key(suite, key)
    state = direct_state(received.conversation_id, received.sender_user, bytes(32), v["user"], bytes(32))
    state = State(**{name: getattr(state, name) for name in State.__slots__} | {"epoch": received.epoch})
    monkeypatch.setattr(opening, "audience", lambda suite, state: b(v, "audience"))
    monkeypatch.setattr(opening, "needs_hybrid", lambda classification: False)

    def attempt():
        return opening.open_message(
            received, own=_own(v["user"], v["device"]), sender=sender, recorded_hash=None,
            session=_session(wrap.session_id, v["suite"], sender, key, v["index"]), state=state, chain=None,
            now=received.metadata.timestamp / 1e6,
        )  # fmt: skip

    if v["accept"]:
        assert isinstance(attempt(), Opened)
        return
    with pytest.raises(MessageRefusedError) as refused:
        attempt()
    expected = {
        "last padding byte not zero": Cause.NOT_OPENED,
        "not padded": Cause.NOT_OPENED,
        "padded to twice the least size": Cause.NOT_OPENED,
        "signature cut to 63 bytes": Cause.NOT_OPENED,
        "inner length beyond the plaintext": Cause.NOT_OPENED,
        "commitment to another key": Cause.NOT_OPENED,
        "inner has a null": Cause.MALFORMED,
        "inner has a duplicate key": Cause.MALFORMED,
    }.get(v["why"], Cause.BAD_SIGNATURE)
    assert refused.value.cause is expected


# --- A conversation of three devices ---


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


@pytest.fixture(params=[("ed25519", PREFERENCE), ("p256", ("0102", "0002"))], ids=["ed25519", "p256"])
def world(request):
    return World(*request.param)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("suite", PREFERENCE)
def test_every_suite_and_key(algorithm, suite):
    w = World(algorithm, [suite])
    classification = "secret" if SUITES[suite].hybrid else "unclassified"
    sealed = w.a.send("Grüße, 雪", w.targets, classification=classification)
    assert sealed.message.suite == suite
    for chatter, phone in ((w.b, w.bobs), (w.a2, w.laptop)):
        opened = chatter.open(delivered(sealed.message, w.phone, phone.id), w.alice_device)
        assert opened.inner.body == "Grüße, 雪"
        assert opened.place == "start"


def test_suites_mix_to_what_all_list():
    w = World()
    old = w.bob.phone(suites=["0001", "0002"])
    device = w.bob.device(old)
    sealed = w.a.send("hi", [w.bob_device, device], classification="unclassified")
    assert sealed.message.suite == "0001"
    assert w.a.sending[w.bobs.id].suite == "0101"  # the session is the best that the two devices share
    assert w.a.sending[old.id].suite == "0001"
    with pytest.raises(NoCommonSuiteError):
        w.a.send("hi", [w.bob_device, device], classification="confidential")


def test_a_sequence_of_messages(world):
    for number in range(5):
        sealed = world.a.send(f"message {number}", world.targets)
        opened = world.b.open(world.to_bob(sealed), world.alice_device)
        assert opened.inner.body == f"message {number}"
        assert opened.place == ("start" if number == 0 else "next")
        assert opened.new_session is (number == 0)
        assert len(sealed.message.ciphertext) == 256 + 16
    assert world.b.phone.one_times == {}


def test_open_travels_until_the_first_receipt(world):
    for _ in range(2):
        sealed = world.a.send("x", [world.bob_device])
        assert sealed.message.encrypted_keys[world.bobs.id].open is not None
    world.a.sending[world.bobs.id] = world.a.sending[world.bobs.id].acknowledged()
    sealed = world.a.send("x", [world.bob_device])
    assert sealed.message.encrypted_keys[world.bobs.id].open is None


def test_the_same_message_again_and_another_under_its_id(world):
    sealed = world.a.send("one", world.targets)
    received = world.to_bob(sealed)
    assert isinstance(world.b.open(received, world.alice_device), Opened)
    assert world.b.open(received, world.alice_device) == Again()
    other = world.to_bob(world.a.send("two", world.targets))
    forged = convert({**to_map(other), "message_id": received.message_id}, MessageReceived)
    with pytest.raises(MessageRefusedError) as refused:
        world.b.open(forged, world.alice_device)
    assert refused.value.cause is Cause.REPLAYED
    assert refused.value.alert


# --- Tampering ---


def _flip(data: bytes, bit: int) -> bytes:
    out = bytearray(data)
    out[bit // 8] ^= 1 << bit % 8
    return bytes(out)


@pytest.mark.parametrize("where", ["ciphertext", "wrapped", "key_commitment", "prev_message_hash"])
def test_a_flipped_bit_is_refused(world, where):
    sealed = world.a.send("the text", world.targets)
    plain = to_map(world.to_bob(sealed))
    holder = plain["encrypted_keys"][world.bobs.id] if where == "wrapped" else plain
    original = holder[where]
    for bit in range(0, len(original) * 8, 7):
        holder[where] = _flip(original, bit)
        with pytest.raises(MessageRefusedError) as refused:
            world.b.open(convert(plain, MessageReceived), world.alice_device)
        assert refused.value.cause is Cause.NOT_OPENED
    holder[where] = original
    assert isinstance(world.b.open(convert(plain, MessageReceived), world.alice_device), Opened)


def test_a_flipped_bit_anywhere_in_open_is_refused(world):
    sealed = world.a.send("the text", world.targets)
    plain = to_map(world.to_bob(sealed))
    opened = plain["encrypted_keys"][world.bobs.id]["open"]
    for name, original in list(opened.items()):
        if isinstance(original, bytes):
            changes = [_flip(original, bit) for bit in range(0, len(original) * 8, 331)]
        elif isinstance(original, int):
            changes = [original + 1]
        else:
            changes = [original[:-1] + ("a" if original[-1] != "a" else "b")]
        for changed in changes:
            opened[name] = changed
            with pytest.raises(MessageRefusedError) as refused:
                world.b.open(convert(plain, MessageReceived), world.alice_device)
            assert refused.value.cause in {Cause.BAD_SIGNATURE, Cause.MALFORMED, Cause.NOT_OPENED}, name
        opened[name] = original
    assert world.b.receiving == {}
    assert isinstance(world.b.open(convert(plain, MessageReceived), world.alice_device), Opened)


CLEAR = {
    "conversation_id": "00000000-0000-4000-8000-000000000001",
    "chain_id": "00000000-0000-4000-8000-000000000001",
    "message_id": "00000000-0000-4000-8000-000000000001",
    "sequence_number": 1,
    "suite": "0001",
    "metadata.timestamp": NOW * 1_000_000 + 1,
    "metadata.classification": "unclassified",
    "metadata.expires_at": NOW + 60,
}


@pytest.mark.parametrize("name", CLEAR)
def test_a_changed_clear_member_is_refused(world, name):
    plain = to_map(world.to_bob(world.a.send("the text", world.targets)))
    holder, _, last = name.rpartition(".")
    (plain[holder] if holder else plain)[last] = CLEAR[name]
    received = convert(plain, MessageReceived)
    state = direct_state(
        received.conversation_id, world.alice.user_id, world.alice.user_key.public_key,
        world.bob.user_id, world.bob.user_key.public_key,
    )  # fmt: skip
    with pytest.raises(MessageRefusedError) as refused:
        world.b.open(received, world.alice_device, state=state)
    assert refused.value.cause in {Cause.NOT_OPENED, Cause.BAD_SIGNATURE}


def test_a_refused_message_changes_nothing(world):
    good = world.to_bob(world.a.send("good", world.targets))
    before = world.b.dump()
    plain = to_map(good)
    plain["ciphertext"] = _flip(plain["ciphertext"], 9)
    with pytest.raises(MessageRefusedError):
        world.b.open(convert(plain, MessageReceived), world.alice_device)
    assert world.b.dump() == before
    assert isinstance(world.b.open(good, world.alice_device), Opened)


# --- Attacks ---


def test_forward_secrecy(world):
    """A state taken after a message was opened does not open its ciphertext."""
    first = world.to_bob(world.a.send("one", world.targets))
    world.b.open(first, world.alice_device)
    stolen, sender_stolen = world.b.dump(), world.a.sending[world.bobs.id]
    thief = Chatter.of(world.bobs, world.state, "thief")
    thief.restore(stolen)
    thief.seen.clear()
    with pytest.raises(MessageRefusedError) as refused:
        thief.open(first, world.alice_device)
    assert refused.value.cause is Cause.KEY_USED
    thief.receiving.clear()  # even with the session forgotten: its one-time key is gone
    with pytest.raises(MessageRefusedError) as refused:
        thief.open(first, world.alice_device)
    assert refused.value.cause is Cause.UNKNOWN_SESSION
    suite = SUITES[first.suite]
    used = schedule.message_key(suite, world.b.receiving[sender_stolen.session_id].chain_key)
    wrap = first.encrypted_keys[world.bobs.id]
    names = schedule.WrapNames(
        sender_user=b"alice@a.example", sender_device=bytes.fromhex(world.phone.id.replace("-", "")),
        user=b"bob@a.example", device=bytes.fromhex(world.bobs.id.replace("-", "")),
        message_id=bytes.fromhex(first.message_id.replace("-", "")),
        session_id=bytes.fromhex(wrap.session_id.replace("-", "")), index=0,
    )  # fmt: skip
    with pytest.raises(DecryptionFailedError):
        schedule.unwrap_content_key(suite, used, first.key_commitment, names, wrap.wrapped)


def test_a_stolen_device_opens_no_other_devices_wrap(world):
    sealed = world.a.send("for Bob and the laptop", world.targets)
    plain = to_map(world.to_bob(sealed))
    plain["encrypted_keys"] = {world.laptop.id: plain["encrypted_keys"][world.bobs.id]}
    with pytest.raises(MessageRefusedError):
        world.a2.open(convert(plain, MessageReceived), world.alice_device)


def test_ghost_device(world):
    """A device that the server invents for Bob is never encrypted to."""
    mallory = Person("bob", world.server, seed="mallory")
    ghost = mallory.phone()
    with pytest.raises(EntryRefusedError) as refused:
        verify_entry(ghost.entry, user_id=world.bob.user_id, device_id=ghost.id, pinned=world.bob.user_key.public_key)
    assert refused.value.fault is EntryFault.USER_KEY_CHANGED
    entry = {**ghost.entry, "user_key": world.bob.user_key.public_key}
    with pytest.raises(EntryRefusedError) as refused:
        verify_entry(entry, user_id=world.bob.user_id, device_id=ghost.id, pinned=world.bob.user_key.public_key)
    assert refused.value.fault is EntryFault.BAD_SIGNATURE


def test_ghost_member(world):
    """Carol, listed by the server but in no signed state, gets no wrap."""
    with pytest.raises(sealing.SealRefusedError, match="no member"):
        world.a.send("private", [world.bob_device, world.carol.device(world.carols)])


def test_ghost_member_in_the_state_breaks_the_audience(world):
    """If Bob is shown another state than Alice signed for, her message does not verify."""
    sealed = world.a.send("private", world.targets)
    other = first_state(
        world.state.conversation_id, "group",
        {
            world.alice.user_id: ("owner", world.alice.user_key.public_key),
            world.bob.user_id: ("member", world.bob.user_key.public_key),
            world.carol.user_id: ("member", world.carol.user_key.public_key),
        },
    )  # fmt: skip
    with pytest.raises(MessageRefusedError) as refused:
        world.b.open(world.to_bob(sealed), world.alice_device, state=other)
    assert refused.value.cause is Cause.BAD_SIGNATURE


def test_surreptitious_forwarding(world):
    """Bob wraps what Alice signed for him to Carol, in a conversation of his own: her signature does not hold there."""
    sealed = world.a.send("I love you", [world.bob_device])
    received = world.to_bob(sealed)
    world.b.open(received, world.alice_device)
    state = first_state(
        "00000000-0000-4000-8000-000000000001", "group",
        {
            world.alice.user_id: ("owner", world.alice.user_key.public_key),
            world.carol.user_id: ("member", world.carol.user_key.public_key),
        },
    )  # fmt: skip
    carol_device = world.carol.device(world.carols)
    session = open_session(world.bobs.own, carol_device, now=NOW, random=seeded("forward"))
    plain = to_map(received)
    suite = SUITES[received.suite]
    inner, signature = _peek(world, sealed)
    clear = sealed.message
    names = sealing.content_names(clear)
    names = schedule.ContentNames(
        message_id=names.message_id, chain_id=names.chain_id, conversation_id=_raw(state.conversation_id),
        sequence_number=names.sequence_number, prev_message_hash=names.prev_message_hash,
    )  # fmt: skip
    plain |= {
        "conversation_id": state.conversation_id,
        "ciphertext": schedule.seal_content(suite, sealed.content_key, names, padding.pad(inner, signature)),
        "sender_user": world.bob.user_id,
        "sender_device": world.bobs.id,
    }
    key = schedule.message_key(suite, session.chain_key)
    wrap_names = schedule.WrapNames(
        sender_user=world.bob.user_id.encode(), sender_device=_raw(world.bobs.id), user=world.carol.user_id.encode(),
        device=_raw(world.carols.id), message_id=names.message_id, session_id=_raw(session.session_id), index=0,
    )  # fmt: skip
    wrapped = schedule.wrap_content_key(suite, key, received.key_commitment, wrap_names, sealed.content_key)
    plain["encrypted_keys"] = {
        world.carols.id: {"session_id": session.session_id, "index": 0, "wrapped": wrapped, "open": session.open}
    }
    carol = Chatter.of(world.carols, state)
    with pytest.raises(MessageRefusedError) as refused:
        carol.open(convert(plain, MessageReceived), world.bob.device(world.bobs))
    assert refused.value.cause is Cause.BAD_SIGNATURE


def _raw(uuid: str) -> bytes:
    return bytes.fromhex(uuid.replace("-", ""))


def _peek(world, sealed):
    suite = SUITES[sealed.message.suite]
    plaintext = schedule.open_content(
        suite, sealed.content_key, sealing.content_names(sealed.message), sealed.message.ciphertext
    )
    return padding.unpad(plaintext)


def test_signed_by_another_device_of_the_sender(world):
    received = world.to_bob(world.a.send("x", world.targets))
    impostor = _device(world.alice.user_id, world.phone.id, world.laptop.key.public_key)
    with pytest.raises(MessageRefusedError) as refused:
        world.b.open(received, impostor)
    assert refused.value.cause is Cause.BAD_SIGNATURE


def test_revoked_device_counts_until_effective(world):
    before = world.to_bob(world.a.send("before", world.targets), accepted_at=NOW + 9)
    after = world.to_bob(world.a.send("after", world.targets), accepted_at=NOW + 10)
    revoked = world.alice.device(world.phone, revoked_at=NOW + 10)
    assert isinstance(world.b.open(before, revoked), Opened)
    with pytest.raises(MessageRefusedError) as refused:
        world.b.open(after, revoked)
    assert refused.value.cause is Cause.UNTRUSTED_DEVICE
    with pytest.raises(EntryRefusedError):
        world.b.send("to a revoked device", [revoked])


# --- Audience, conversation, classification ---


def test_unknown_conversation_is_not_final(world):
    received = world.to_bob(world.a.send("x", world.targets))
    with pytest.raises(MessageRefusedError) as refused:
        world.b.open(received, world.alice_device, state=None)
    assert refused.value.cause is Cause.UNKNOWN_CONVERSATION
    assert not refused.value.final
    assert isinstance(world.b.open(received, world.alice_device), Opened)


def _group(world, **roles):
    people = {"alice": world.alice, "bob": world.bob, "carol": world.carol}
    members = {people[name].user_id: (role, people[name].user_key.public_key) for name, role in roles.items()}
    return first_state("00000000-0000-4000-8000-0000000000aa", "group", members)


def test_observers_do_not_send(world):
    world.a.state = world.b.state = _group(world, alice="observer", bob="owner")
    with pytest.raises(sealing.SealRefusedError, match="role"):
        world.a.send("x", [world.bob_device])


def test_receivers_refuse_an_observer_too(world, monkeypatch):
    """A home server that lets an observer speak is no help to it."""
    world.a.state = world.b.state = _group(world, alice="observer", bob="owner")
    monkeypatch.setattr(sealing, "_check_outgoing", lambda *_: None)
    received = world.to_bob(world.a.send("x", [world.bob_device]))
    with pytest.raises(MessageRefusedError) as refused:
        world.b.open(received, world.alice_device)
    assert refused.value.cause is Cause.WRONG_AUDIENCE


def test_stale_list(world):
    """A server that keeps showing a device after its record ran out, or that withholds a revocation once known."""
    year = NOW + 365 * 86400
    world.a.sending[world.bobs.id] = open_session(world.phone.own, world.bob_device, now=NOW, random=world.a.random)
    with pytest.raises(EntryRefusedError) as refused:
        world.a.send("x", [world.bob_device], now=year)
    assert refused.value.fault is EntryFault.EXPIRED
    with pytest.raises(EntryRefusedError) as refused:
        world.a.send("x", [world.bob.device(world.bobs, revoked_at=NOW + 1)])
    assert refused.value.fault is EntryFault.REVOKED


def test_a_removed_member_is_not_written_to(world):
    state = _group(world, alice="owner", bob="member", carol="member")
    world.a.state = without_member(state, world.alice.user_id, world.bob.user_id, world.phone.key.public_key)
    with pytest.raises(sealing.SealRefusedError, match="no member"):
        world.a.send("x", [world.bob_device])


def test_a_receiver_outside_the_audience_discards(world):
    """A colluding sender wraps for Bob under a state without him."""
    outside = _group(world, alice="owner", carol="member")
    inside = with_member(
        outside, world.alice.user_id, world.bob.user_id, world.bob.user_key.public_key, "member",
        world.phone.key.public_key,
    )  # fmt: skip
    world.a.state = inside
    received = world.to_bob(world.a.send("x", [world.bob_device]))
    trick = State(**{name: getattr(inside, name) for name in State.__slots__} | {"members": outside.members})
    with pytest.raises(MessageRefusedError) as refused:
        world.b.open(received, world.alice_device, state=trick)
    assert refused.value.cause is Cause.WRONG_AUDIENCE


def test_ended_sessions_seal_nothing(world):
    session = open_session(world.phone.own, world.bob_device, now=NOW, random=world.a.random)
    ended = type(session).from_map({**session.to_map(), "index": 1000})
    world.a.sending[world.bobs.id] = session
    target = sealing.Target(device=world.bob_device, session=ended)
    outgoing = sealing.Outgoing(
        message_id="00000000-0000-4000-8000-000000000001", state=world.state, inner=text("x"), timestamp_us=NOW * 10**6
    )
    chain = SendingChain.start(world.state.conversation_id, world.a.random)
    with pytest.raises(SessionEndedError):
        sealing.seal(outgoing, own=world.phone.own, chain=chain, targets=[target], now=NOW, random=world.a.random)


# --- Misuse and odd cases ---


def _target(world, device, phone=None, **changes):
    session = open_session((phone or world.phone).own, device, now=NOW, random=world.a.random)
    return sealing.Target(device=device, session=replace_fields(session, **changes))


def replace_fields(session, **changes):
    return type(session).from_map({**session.to_map(), **changes})


def test_targets_that_are_refused(world):
    outgoing = sealing.Outgoing(
        message_id="00000000-0000-4000-8000-000000000001", state=world.state, inner=text("x"),
        timestamp_us=NOW * 10**6, classification="secret",
    )  # fmt: skip
    chain = SendingChain.start(world.state.conversation_id, world.a.random)
    arguments = {"own": world.phone.own, "now": NOW, "random": world.a.random}
    bob = _target(world, world.bob_device)
    for targets, match in (
        ([bob, bob], "two recipients"),
        ([sealing.Target(device=world.laptop_device, session=bob.session)], "another device"),
        ([_target(world, world.alice_device, world.laptop)], "itself"),
        ([_target(world, world.bob_device, suite="0001")], "hybrid session"),
    ):
        with pytest.raises(sealing.SealRefusedError, match=match):
            sealing.seal(outgoing, chain=chain, targets=targets, **arguments)
    elsewhere = SendingChain.start("00000000-0000-4000-8000-000000000009", world.a.random)
    with pytest.raises(sealing.SealRefusedError, match="chain"):
        sealing.seal(outgoing, chain=elsewhere, targets=[bob], **arguments)


def test_a_later_device_without_the_suite_needs_a_new_message(world):
    sealed = world.a.send("x", [world.bob_device])
    old = world.bob.device(world.bob.phone(suites=[world.phone.own.e2e_suites[-1]]))
    with pytest.raises(sealing.SealRefusedError, match="new message"):
        sealing.supplement(
            sealed.message, sealed.content_key, own=world.phone.own, state=world.state,
            targets=[_target(world, old)], now=NOW,
        )  # fmt: skip


def test_hashes_of_sent_and_received_agree(world):
    sealed = world.a.send("x", world.targets)
    assert sealing.ciphertext_hash(sealed.message) == sealing.ciphertext_hash(world.to_bob(sealed))
    assert sealing.ciphertext_hash(sealed.message) == sealed.ciphertext_hash == world.a.chain.last_hash


def _refusal(world, received, **changes):
    with pytest.raises(MessageRefusedError) as refused:
        world.b.open(received, changes.pop("sender", world.alice_device), **changes)
    return refused.value.cause


def test_causes_before_the_ciphertext_is_opened(world):
    sealed = world.a.send("x", world.targets)
    received = world.to_bob(sealed)
    other = OwnDevice(user_id=world.bob.user_id, device_id=world.bobs.id, key=world.bobs.key, e2e_suites=("0001",))
    assert _refusal(world, received, own=other) is Cause.NOT_OPENED
    assert _refusal(world, delivered(sealed.message, world.phone, world.laptop.id)) is Cause.MALFORMED
    assert _refusal(world, received, session_ended=True) is Cause.KEY_USED
    assert _refusal(world, received, bundle=None) is Cause.UNKNOWN_SESSION
    revoked = world.alice.device(world.phone, revoked_at=NOW)
    assert _refusal(world, received, sender=revoked) is Cause.UNTRUSTED_DEVICE
    plain = to_map(received)
    plain["encrypted_keys"][world.bobs.id]["session_id"] = sealed.message.message_id
    assert _refusal(world, convert(plain, MessageReceived)) is Cause.MALFORMED
    del plain["encrypted_keys"][world.bobs.id]["open"]
    assert _refusal(world, convert(plain, MessageReceived)) is Cause.UNKNOWN_SESSION


def test_what_belongs_to_another_message_is_a_bug_of_the_caller(world):
    first, second = (world.to_bob(world.a.send("x", [world.bob_device])) for _ in range(2))
    opened = world.b.open(first, world.alice_device)
    other_state = direct_state(
        "00000000-0000-4000-8000-000000000001", world.alice.user_id, b"a" * 32, world.bob.user_id, b"b" * 32
    )
    for changes, match in (
        ({"session": replace_fields(opened.session, session_id=first.message_id)}, "session"),
        ({"chain": replace_fields(opened.chain, chain_id=first.message_id)}, "chain"),
        ({"state": other_state}, "state"),
        ({"sender": world.laptop_device}, "sender"),
    ):
        with pytest.raises(ValueError, match=match):
            world.b.open(second, changes.pop("sender", world.alice_device), **changes)


def test_causes_of_refused_entries():
    assert opening.cause_of(EntryFault.USER_KEY_CHANGED) is Cause.KEY_CHANGED
    assert opening.cause_of(EntryFault.USER_KEY_UNKNOWN) is Cause.KEY_CHANGED
    assert opening.cause_of(EntryFault.EXPIRED) is Cause.UNTRUSTED_DEVICE
    assert str(MessageRefusedError(Cause.STALE)) == "stale"


def test_secret_content_in_a_classical_session_is_refused(world):
    """A sender that breaks the rule: hybrid suite, but the key came through a classical session."""
    own = world.phone.own
    classical = OwnDevice(user_id=own.user_id, device_id=own.device_id, key=own.key, e2e_suites=own.e2e_suites[-1:])
    session = open_session(classical, world.bob_device, now=NOW, random=world.a.random)
    chain = SendingChain.start(world.state.conversation_id, world.a.random)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealing, "needs_hybrid", lambda classification: False)
        outgoing = sealing.Outgoing(
            message_id="00000000-0000-4000-8000-000000000001", state=world.state, inner=text("x"),
            timestamp_us=NOW * 10**6, classification="secret",
        )  # fmt: skip
        sealed = sealing.seal(
            outgoing, own=own, chain=chain, targets=[sealing.Target(device=world.bob_device, session=session)], now=NOW,
            random=world.a.random,
        )  # fmt: skip
    assert SUITES[sealed.message.suite].hybrid
    assert _refusal(world, world.to_bob(sealed)) is Cause.MALFORMED


# --- Stale lists and supplements ---


def test_more_devices_after_a_stale_list(world):
    sealed = world.a.send("x", [world.bob_device])
    target = sealing.Target(
        device=world.laptop_device,
        session=open_session(world.phone.own, world.laptop_device, now=NOW, random=world.a.random),
    )
    again, sessions = sealing.add_devices(
        sealed.message, sealed.content_key, own=world.phone.own, state=world.state, targets=[target], now=NOW
    )
    assert again.encrypted_keys[world.bobs.id] == sealed.message.encrypted_keys[world.bobs.id]
    assert again.ciphertext == sealed.message.ciphertext
    assert sessions[0].index == 1
    for chatter, phone in ((world.b, world.bobs), (world.a2, world.laptop)):
        assert isinstance(chatter.open(delivered(again, world.phone, phone.id), world.alice_device), Opened)
    fewer, _ = sealing.add_devices(
        again, sealed.content_key, own=world.phone.own, state=world.state, targets=[], now=NOW, gone={world.bobs.id}
    )
    assert list(fewer.encrypted_keys) == [world.laptop.id]


def test_supplement_after_an_unknown_session(world):
    sealed = world.a.send("x", world.targets)
    world.a.sending[world.bobs.id] = world.a.sending[world.bobs.id].acknowledged()
    second = world.a.send("y", world.targets)
    with pytest.raises(MessageRefusedError) as refused:
        world.b.open(world.to_bob(second), world.alice_device)
    assert refused.value.cause is Cause.UNKNOWN_SESSION
    assert not refused.value.final
    fresh = open_session(world.phone.own, world.bob_device, now=NOW, random=world.a.random)
    message, _ = sealing.supplement(
        second.message, second.content_key, own=world.phone.own, state=world.state,
        targets=[sealing.Target(device=world.bob_device, session=fresh)], now=NOW,
    )  # fmt: skip
    assert message.supplement
    assert list(message.encrypted_keys) == [world.bobs.id]
    opened = world.b.open(world.to_bob(sealing.Sealed(**{**_fields(second), "message": message})), world.alice_device)
    assert opened.inner.body == "y"
    assert opened.place == "middle"
    assert (world.phone.id, sealed.message.message_id) not in world.b.seen


def _fields(sealed):
    return {name: getattr(sealed, name) for name in sealing.Sealed.__slots__}


# --- Gaps and time ---


def test_a_gap_is_held_and_then_marked(world):
    first, second, third = (world.a.send(str(n), world.targets) for n in range(3))
    world.b.open(world.to_bob(first), world.alice_device)
    assert world.b.open(world.to_bob(third), world.alice_device, held=False) == Hold()
    late = world.b.open(world.to_bob(third), world.alice_device, held=True)
    assert (late.place, late.after_gap, late.incomplete) == ("gap", True, True)
    filled = world.b.open(world.to_bob(second), world.alice_device)
    assert (filled.place, filled.after_gap) == ("fill", False)


def test_two_messages_with_one_number_raise_an_alert(world):
    """A sender's device that was cloned: both go on from the same chain state."""
    world.b.open(world.to_bob(world.a.send("0", [world.bob_device])), world.alice_device)
    chain = world.a.chain
    one = world.a.send("one", [world.bob_device])
    world.a.chain = chain
    two = world.a.send("two", [world.bob_device])
    world.b.open(world.to_bob(one), world.alice_device)
    with pytest.raises(MessageRefusedError) as refused:
        world.b.open(world.to_bob(two), world.alice_device)
    assert refused.value.cause is Cause.REPLAYED
    assert refused.value.alert


def test_a_message_that_does_not_follow_raises_an_alert(world):
    world.b.open(world.to_bob(world.a.send("0", [world.bob_device])), world.alice_device)
    world.a.chain = type(world.a.chain)(
        chain_id=world.a.chain.chain_id, conversation_id=world.a.chain.conversation_id,
        next_number=world.a.chain.next_number, last_hash=bytes(range(32)),
    )  # fmt: skip
    with pytest.raises(MessageRefusedError) as refused:
        world.b.open(world.to_bob(world.a.send("1", [world.bob_device])), world.alice_device)
    assert refused.value.cause is Cause.BROKEN_CHAIN


def test_old_messages_in_order_are_taken_and_expired_ones_are_not(world):
    first, second, third = (world.a.send(str(n), world.targets) for n in range(3))
    expiring = world.a.send("soon", world.targets, expires_at=NOW + 60)
    later = NOW + 86400
    for sealed in (first, second, third):
        assert isinstance(world.b.open(world.to_bob(sealed), world.alice_device, now=later), Opened)
    with pytest.raises(MessageRefusedError) as refused:
        world.b.open(world.to_bob(expiring), world.alice_device, now=later)
    assert refused.value.cause is Cause.STALE


def test_an_old_message_over_a_gap_is_stale_until_the_gap_is_known(world):
    first, lost, third = (world.a.send(str(n), world.targets) for n in range(3))
    later = NOW + 86400
    world.b.open(world.to_bob(first), world.alice_device, now=later)
    with pytest.raises(MessageRefusedError) as refused:
        world.b.open(world.to_bob(third), world.alice_device, now=later)
    assert refused.value.cause is Cause.STALE
    chain_id = first.message.chain_id
    world.b.chains[chain_id] = world.b.chains[chain_id].lost(lost.message.sequence_number)
    opened = world.b.open(world.to_bob(third), world.alice_device, now=later)
    assert (opened.place, opened.after_gap) == ("next", True)
    assert world.b.open(world.to_bob(lost), world.alice_device, now=later).place == "fill"


def test_server_sees_only_buckets():
    w = World()
    sizes = {len(w.a.send("x" * n, [w.bob_device]).message.ciphertext) for n in range(0, 3000, 37)}
    assert sizes <= {size + 16 for size in (256, 512, 1024, 2048, 4096)}


# --- What is inside ---


def test_a_system_message_has_a_body_of_its_kind(world):
    good = world.a.send(Inner(message_type="system", body={"name": "Group", "new": 1}), world.targets)
    assert world.b.open(world.to_bob(good), world.alice_device).inner.body["name"] == "Group"
    bad = world.a.send(Inner(message_type="system", body={"name": 7}), world.targets)
    with pytest.raises(MessageRefusedError) as refused:
        world.b.open(world.to_bob(bad), world.alice_device)
    assert refused.value.cause is Cause.MALFORMED


def _sealed_raw(world, inner: bytes, monkeypatch):
    """A message whose inner map is any bytes, otherwise made as always."""
    with monkeypatch.context() as patch:
        patch.setattr(sealing, "encode", lambda message: inner)
        return world.a.send("x", world.targets)


def test_unknown_members_inside_are_handed_on(world, monkeypatch):
    plain = {"message_type": "text", "body": "x", "colour": "green"}
    received = world.to_bob(_sealed_raw(world, encode_map(plain), monkeypatch))
    assert world.b.open(received, world.alice_device).extra == {"colour": "green"}


@pytest.mark.parametrize(
    "inner",
    [
        b"", b"\x80", b"\xc0", b"\xff" * 20, encode_map({"message_type": "text"}),
        encode_map({"message_type": "text", "body": {}}), encode_map({"message_type": "image", "body": "x"}),
        encode_map({"message_type": "dance", "body": "x"}), encode_map({"message_type": "text", "body": "x"}) + b"\x00",
        encode_map({"message_type": "text", "body": "x", "reply_to": "nonsense"}),
    ],
)  # fmt: skip
def test_signed_nonsense_is_refused(world, inner, monkeypatch):
    with pytest.raises(MessageRefusedError) as refused:
        world.b.open(world.to_bob(_sealed_raw(world, inner, monkeypatch)), world.alice_device)
    assert refused.value.cause is Cause.MALFORMED
    assert refused.value.final


def test_a_hundred_devices_in_under_50_ms():
    w = World()
    devices = [w.bob.device(w.bob.phone()) for _ in range(100)]
    w.a.send("open the sessions", devices)
    took = []
    for _ in range(3):
        begun = time.perf_counter()
        sealed = w.a.send("x" * 512, devices)
        took.append(time.perf_counter() - begun)
    assert len(sealed.message.encrypted_keys) == 100
    assert min(took) < 0.05
