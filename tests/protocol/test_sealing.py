"""Sealing: every suite, sizes, targets, stale lists and supplements."""

import time

import pytest

from norc_actors.crypto.suites import PREFERENCE, SUITES
from norc_actors.protocol import sealing
from norc_actors.protocol.chains import SendingChain
from norc_actors.protocol.conversations import without_member
from norc_actors.protocol.opening import Cause, MessageRefusedError, Opened
from norc_actors.protocol.sessions import NoCommonSuiteError, SessionEndedError, open_session
from tests.support.chat import delivered, text
from tests.support.people import ALGORITHMS, NOW
from tests.support.world import World
from tests.vectors.files import holds, recorded

# --- What is made ---


@recorded("messages")
def test_recorded(entry):
    assert holds(entry)


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


def test_hashes_of_sent_and_received_agree(world):
    sealed = world.a.send("x", world.targets)
    assert sealing.ciphertext_hash(sealed.message) == sealing.ciphertext_hash(world.to_bob(sealed))
    assert sealing.ciphertext_hash(sealed.message) == sealed.ciphertext_hash == world.a.chain.last_hash


def test_server_sees_only_buckets():
    w = World()
    sizes = {len(w.a.send("x" * n, [w.bob_device]).message.ciphertext) for n in range(0, 3000, 37)}
    assert sizes <= {size + 16 for size in (256, 512, 1024, 2048, 4096)}


def test_a_hundred_devices_in_under_50_ms():
    """Of processor time, or a busy neighbour would decide."""
    w = World()
    devices = [w.bob.device(w.bob.phone()) for _ in range(100)]
    w.a.send("open the sessions", devices)
    took = []
    for _ in range(3):
        begun = time.process_time()
        sealed = w.a.send("x" * 512, devices)
        took.append(time.process_time() - begun)
    assert len(sealed.message.encrypted_keys) == 100
    assert min(took) < 0.05


# --- What is refused ---


def test_observers_do_not_send(world):
    world.a.state = world.b.state = world.group(alice="observer", bob="owner")
    with pytest.raises(sealing.SealRefusedError, match="role"):
        world.a.send("x", [world.bob_device])


def test_a_removed_member_is_not_written_to(world):
    state = world.group(alice="owner", bob="member", carol="member")
    world.a.state = without_member(state, world.alice.user_id, world.bob.user_id, world.phone.key.public_key)
    with pytest.raises(sealing.SealRefusedError, match="no member"):
        world.a.send("x", [world.bob_device])


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


def test_targets_that_are_refused(world):
    outgoing = sealing.Outgoing(
        message_id="00000000-0000-4000-8000-000000000001", state=world.state, inner=text("x"),
        timestamp_us=NOW * 10**6, classification="secret",
    )  # fmt: skip
    chain = SendingChain.start(world.state.conversation_id, world.a.random)
    arguments = {"own": world.phone.own, "now": NOW, "random": world.a.random}
    bob = world.target(world.bob_device)
    for targets, match in (
        ([bob, bob], "two recipients"),
        ([sealing.Target(device=world.laptop_device, session=bob.session)], "another device"),
        ([world.target(world.alice_device, world.laptop)], "itself"),
        ([world.target(world.bob_device, suite="0001")], "hybrid session"),
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
            targets=[world.target(old)], now=NOW,
        )  # fmt: skip


# --- More devices ---


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
