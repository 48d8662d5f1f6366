"""The client's rules without a loop: what is sent, received, refused and shown, whoever lies."""

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from norc_actors.client.events import (
    DeviceRefused,
    DeviceRevoked,
    GroupChanged,
    IntegrityAlert,
    MessageDelayed,
    StatusChanged,
    UserKeyChanged,
    UserKeyPinned,
)
from norc_actors.client.model import Status
from norc_actors.client.needs import FinalError, WantingError
from norc_actors.client.outbox import Change, status_of
from norc_actors.client.records import (
    IN_SESSIONS,
    OUT_CHAINS,
    OUT_SESSIONS,
    OUTBOX,
    PINS,
    PREKEYS,
    SENT,
    Prekeys,
    join,
)
from norc_actors.client.transaction import Transaction
from norc_actors.crypto.signatures import SigningKey
from norc_actors.ids import new_uuid
from norc_actors.protocol.codec import decode_as
from norc_actors.protocol.conversations import State, sign_state, with_member, without_member
from norc_actors.protocol.devices import make_record, make_user_rotation, sign_record
from norc_actors.protocol.messages import ConversationState, MessageReceived, MessageSend, PrekeyStatus
from norc_actors.protocol.receipts import make_receipt
from norc_actors.protocol.revocation import make_revocation
from norc_actors.protocol.sessions import verify_unknown
from tests.support.duo import SERVER, Peer, World

ALICE, BOB, CAROL = (f"{name}@{SERVER}" for name in ("alice", "bob", "carol"))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


@pytest.fixture
def alice(world: World) -> Peer:
    return world.peer("alice")


@pytest.fixture
def bob(world: World) -> Peer:
    return world.peer("bob")


def events_of(peer: Peer, kind: type) -> list[object]:
    return [event for event in peer.events if isinstance(event, kind)]


# --- Receiving ---


def test_what_is_sent_is_received_and_acknowledged(world: World, alice: Peer, bob: Peer) -> None:
    (message,) = alice.say(BOB, "hello")
    outcome = bob.receive(world.hand_out(message, alice, bob))
    assert [ack.status for ack in outcome.acks] == ["delivered"]
    row = bob.inbox()[0]
    assert (row.text, row.sender, row.gap, row.new_chain, row.own) == ("hello", ALICE, False, False, False)
    assert len(events_of(alice, UserKeyPinned)) == 1


def test_the_same_message_again_gets_the_recorded_receipt(world: World, alice: Peer, bob: Peer) -> None:
    (message,) = alice.say(BOB, "hello")
    received = world.hand_out(message, alice, bob)
    first = bob.receive(received)
    world.clock.now += 100
    again = bob.receive(received)
    assert again.acks[0].receipt == first.acks[0].receipt
    assert not again.shown
    assert bob.texts() == ["hello"]


def deliver(bob: Peer, arriving: list[MessageReceived]) -> None:
    """What the intake does with messages in this order, its timers running out at the end."""
    held: dict[int, MessageReceived] = {}
    for message in arriving:
        outcome = bob.receive(message)
        if outcome.hold:
            held[message.sequence_number] = message
        number = message.sequence_number
        while not outcome.hold and (following := held.pop(number + 1, None)) is not None:
            outcome, number = bob.receive(following), number + 1
    for number in sorted(held):
        bob.receive(held[number], held=True)


@given(st.data())
@settings(max_examples=15, deadline=None)
def test_any_order_with_repetitions_gives_each_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    world = World(tmp_path_factory.mktemp("w"))
    alice, bob = world.peer("alice"), world.peer("bob")
    messages = [world.hand_out(m, alice, bob) for m in alice.say(BOB, *"abcdef")]
    first, rest = messages[0], messages[1:]
    arriving = [first, *data.draw(st.permutations(rest))]
    for index in data.draw(st.lists(st.integers(0, 5), max_size=4)):
        arriving.insert(data.draw(st.integers(1, len(arriving))), messages[index])
    deliver(bob, arriving)
    assert bob.texts() == list("abcdef")
    assert not any(row.gap for row in bob.inbox())
    world.close()


def test_a_missing_message_is_a_gap_that_it_may_fill_later(world: World, alice: Peer, bob: Peer) -> None:
    one, two, three = (world.hand_out(m, alice, bob) for m in alice.say(BOB, "1", "2", "3"))
    bob.receive(one)
    assert bob.receive(three).hold
    assert bob.texts() == ["1"]
    bob.receive(three, held=True)
    assert [(row.text, row.gap) for row in bob.inbox()] == [("1", False), ("3", True)]
    bob.receive(two)
    assert bob.texts() == ["1", "3", "2"]


def flipped(data: bytes) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:]


def lies(message: MessageReceived, other: MessageReceived) -> dict[str, MessageReceived]:
    """Everything that a server can change about a message."""
    replace = msgspec.structs.replace
    device_id, wrap = next(iter(message.encrypted_keys.items()))
    later = replace(message.metadata, timestamp=message.metadata.timestamp + 1)
    return {
        "ciphertext": replace(message, ciphertext=flipped(message.ciphertext)),
        "other ciphertext": replace(message, ciphertext=other.ciphertext),
        "wrap": replace(message, encrypted_keys={device_id: replace(wrap, wrapped=flipped(wrap.wrapped))}),
        "other wrap": replace(message, encrypted_keys=other.encrypted_keys),
        "commitment": replace(message, key_commitment=flipped(message.key_commitment)),
        "message_id": replace(message, message_id=other.message_id),
        "sequence": replace(message, sequence_number=message.sequence_number + 1),
        "previous": replace(message, prev_message_hash=flipped(message.prev_message_hash)),
        "chain": replace(message, chain_id=new_uuid(os.urandom)),
        "time": replace(message, metadata=later),
        "classification": replace(message, metadata=replace(message.metadata, classification="secret")),
        "sender": replace(message, sender_user=BOB),
        "suite": replace(message, suite="0001"),
    }


@pytest.mark.parametrize("lie", [
    "ciphertext", "other ciphertext", "wrap", "other wrap", "commitment", "message_id", "sequence", "previous", "chain",
    "time", "classification", "sender", "suite",
])  # fmt: skip
def test_an_altered_message_is_shown_with_its_cause_once_and_the_genuine_one_comes_through(
    world: World, alice: Peer, bob: Peer, lie: str
) -> None:
    one, two = (world.hand_out(m, alice, bob) for m in alice.say(BOB, "one", "two"))
    altered = lies(one, two)[lie]
    outcome = bob.receive(altered)
    assert [ack.status for ack in outcome.acks] == ["failed"]
    assert outcome.acks[0].receipt is None
    bob.receive(altered)
    (cause,) = bob.texts()
    assert cause.startswith("!")
    assert bob.receive(one).acks[0].status == "delivered"
    assert bob.receive(two, held=True).acks[0].status == "delivered"
    assert bob.texts()[1:] == ["one", "two"]


def test_a_message_exchanged_under_a_known_id_is_an_alert(world: World, alice: Peer, bob: Peer) -> None:
    one, two = (world.hand_out(m, alice, bob) for m in alice.say(BOB, "one", "two"))
    bob.receive(one)
    bob.receive(msgspec.structs.replace(two, message_id=one.message_id))
    assert bob.texts() == ["one", "!replayed"]
    assert [alert.cause for alert in events_of(bob, IntegrityAlert)] == ["replayed"]  # type: ignore[attr-defined]
    assert bob.receive(two).shown


def test_a_device_that_lost_its_chain_starts_anew_and_that_is_shown(world: World, alice: Peer, bob: Peer) -> None:
    (one,) = alice.say(BOB, "one")
    bob.receive(world.hand_out(one, alice, bob))
    alice.do(lambda tx: tx.delete(OUT_CHAINS, one.conversation_id))
    (two,) = alice.say(BOB, "two")
    bob.receive(world.hand_out(two, alice, bob))
    assert [(row.text, row.new_chain) for row in bob.inbox()] == [("one", False), ("two", True)]


def test_an_old_message_counts_only_in_its_place(world: World, alice: Peer, bob: Peer) -> None:
    one, two, three, four = (world.hand_out(m, alice, bob) for m in alice.say(BOB, "1", "2", "3", "4"))
    world.clock.now += 86400
    bob.receive(one)
    bob.receive(three, held=True)
    bob.receive(two)
    assert bob.texts() == ["1", "!stale", "2"]
    world.clock.now += 30 * 86400
    bob.receive(four, held=True)
    assert bob.texts()[-1] == "!stale"


# --- Sessions ---


def test_a_lost_session_is_asked_for_and_mended_by_a_supplement(world: World, alice: Peer, bob: Peer) -> None:
    one, two, three = alice.say(BOB, "one", "two", "three")
    bob.receive(world.hand_out(one, alice, bob))
    for key in bob.look(lambda tx: list(tx.all(IN_SESSIONS))):
        bob.do(lambda tx, key=key: tx.delete(IN_SESSIONS, key))  # type: ignore[misc]
    bob.do(lambda tx: tx.put(PREKEYS, "prekeys", Prekeys(next_prekey_id=2, next_one_time_id=1000)))
    outcome = bob.receive(world.hand_out(two, alice, bob))
    assert outcome.waiting
    assert not outcome.acks
    (unknown,) = outcome.unknown
    assert events_of(bob, MessageDelayed)
    assert not bob.receive(world.hand_out(three, alice, bob)).unknown, "asked once"
    upload = bob.do(
        lambda tx: bob.engine.keyring.refill(
            tx, PrekeyStatus(one_time_left=29, bundle_expires_at=0), bob.engine.now(), os.urandom
        )
    )
    assert upload is not None
    bob.entry = {**bob.entry, "bundle": upload.bundle or {}}
    device = alice.look(lambda tx: alice.engine.directory.device(tx, BOB, bob.device_id))
    assert device is not None
    plain = msgspec.msgpack.decode(msgspec.msgpack.encode(unknown))
    verify_unknown(plain, own=alice.engine.own, device=device)
    lost = alice.look(lambda tx: alice.engine.outbox.lost(tx, unknown.session_id, device))
    assert set(lost) == {one.message_id, two.message_id, three.message_id}
    bob.one_times = list(upload.one_time or ())
    fresh = world.listing(BOB)

    def renew(tx: Transaction) -> Change:
        learned = alice.engine.directory.learn(tx, BOB, fresh, alice.engine.now(), complete=True)
        alice.engine.sending.open_sessions(tx, learned.devices, alice.engine.now(), renew=True)
        return alice.engine.outbox.supplement(tx, lost, learned.devices, alice.engine.now_us())

    change = alice.do(renew)
    made = [decode_as(MessageSend, alice.row(sequence).frame).message for sequence, _ in change.added]
    assert all(message.supplement for message in made)
    for message in made:
        bob.receive(world.hand_out(message, alice, bob))
    assert bob.texts() == ["one", "two", "three"]


def test_sessions_end_after_a_day_and_open_goes_until_the_first_receipt(world: World, alice: Peer, bob: Peer) -> None:
    one, two = alice.say(BOB, "one", "two")
    wraps = [message.encrypted_keys[bob.device_id] for message in (one, two)]  # type: ignore[index]
    assert [wrap.open is not None for wrap in wraps] == [True, True]
    outcome = bob.receive(world.hand_out(one, alice, bob))
    receipt = outcome.acks[0].receipt
    assert receipt is not None
    alice.do(lambda tx: alice.engine.outbox.receipt(tx, one.message_id, receipt, alice.engine.now_us()))
    (three,) = alice.say(BOB, "three")
    assert three.encrypted_keys[bob.device_id].open is None  # type: ignore[index]
    world.clock.now += 86400
    (four,) = alice.say(BOB, "four")
    last = four.encrypted_keys[bob.device_id]  # type: ignore[index]
    assert last.open is not None
    assert last.session_id != wraps[0].session_id
    for message in (two, three, four):
        bob.receive(world.hand_out(message, alice, bob))
    assert bob.texts() == ["one", "two", "three", "four"]


def test_a_secret_message_makes_the_answer_start_a_fresh_session(world: World, alice: Peer, bob: Peer) -> None:
    (answer,) = bob.say(ALICE, "before")
    alice.receive(world.hand_out(answer, bob, alice))
    before = bob.look(lambda tx: tx.get(OUT_SESSIONS, join(ALICE, alice.device_id)))
    (secret,) = alice.say(BOB, "psst", classification="secret")
    bob.receive(world.hand_out(secret, alice, bob))
    assert bob.texts() == ["psst"]
    assert before is not None
    assert bob.look(lambda tx: tx.get(OUT_SESSIONS, join(ALICE, alice.device_id))) is None
    (after,) = bob.say(ALICE, "after")
    assert after.encrypted_keys[alice.device_id].session_id != before.state["session_id"]  # type: ignore[index]


# --- Devices ---


def test_own_and_all_recipient_devices_get_a_wrap(world: World, alice: Peer, bob: Peer) -> None:
    second, further = world.peer("alice"), world.peer("bob")
    (message,) = alice.say(BOB, "to all")
    assert set(message.encrypted_keys) == {second.device_id, bob.device_id, further.device_id}
    for peer in (second, bob, further):
        peer.receive(world.hand_out(message, alice, peer))
        assert [(row.text, row.own) for row in peer.inbox()] == [("to all", peer is second)]


def ghost(world: World, user: str, signer: SigningKey, user_key: bytes) -> dict[str, object]:
    """An entry for a device that the user's key never saw, with prekeys of its own."""
    device_id = new_uuid(os.urandom)
    key = SigningKey.generate("ed25519", os.urandom)
    record = make_record(user, device_id, key.public_key, now=int(world.clock()), e2e_suites=("0101",))
    entry = world.entry(record, signer)
    return {**entry, "user_key": user_key, "user_signature": sign_record(signer, record)}


def test_a_ghost_device_is_shown_once_and_gets_nothing(world: World, alice: Peer, bob: Peer) -> None:
    bob_key = bob.engine.keyring.user_key
    assert bob_key is not None
    mallory = SigningKey.generate("ed25519", os.urandom)
    entry = ghost(world, BOB, mallory, bob_key.public_key)
    ghost_id = str(entry["record"]["device_id"])  # type: ignore[index]
    world.ghosts[BOB] = {ghost_id: entry}  # type: ignore[dict-item]
    (message,) = alice.say(BOB, "for Bob alone")
    alice.learn(BOB)
    assert set(message.encrypted_keys) == {bob.device_id}
    (refused,) = events_of(alice, DeviceRefused)
    assert (refused.device_id, refused.cause) == (ghost_id, "bad_signature")  # type: ignore[attr-defined]


def test_a_server_that_insists_on_a_ghost_device_makes_the_message_fail(world: World, alice: Peer, bob: Peer) -> None:
    (message,) = alice.say(BOB, "for Bob alone")
    bob_key = bob.engine.keyring.user_key
    assert bob_key is not None
    entry = ghost(world, BOB, SigningKey.generate("ed25519", os.urandom), bob_key.public_key)
    sequence = alice.look(lambda tx: tx.queue(OUTBOX))[0][0]
    entries = [*world.listing(BOB).values(), *world.listing(ALICE).values(), entry]
    change = alice.do(lambda tx: alice.engine.outbox.stale(tx, sequence, entries, alice.engine.now_us()))  # type: ignore[arg-type]
    assert change.removed == [sequence]
    assert [type(event) for event in change.events] == [DeviceRefused, StatusChanged]
    record = alice.look(lambda tx: tx.get(SENT, message.message_id))
    assert record is not None
    assert (record.status, record.cause, record.content_key) == ("failed", "untrusted_device", b"")


def test_a_stale_list_adds_and_takes_off_devices_and_leaves_the_rest(world: World, alice: Peer, bob: Peer) -> None:
    leaving = world.peer("bob")
    (message,) = alice.say(BOB, "hello")
    coming, own = world.peer("bob"), world.peer("alice")
    world.hidden.add(leaving.device_id)
    sequence = alice.look(lambda tx: tx.queue(OUTBOX))[0][0]
    entries = [*world.listing(BOB).values(), *world.listing(ALICE).values()]
    change = alice.do(lambda tx: alice.engine.outbox.stale(tx, sequence, entries, alice.engine.now_us()))
    assert change.again == [sequence]
    again = decode_as(MessageSend, alice.row(sequence).frame).message
    assert set(again.encrypted_keys) == {bob.device_id, coming.device_id, own.device_id}
    assert again.encrypted_keys[bob.device_id] == message.encrypted_keys[bob.device_id]  # type: ignore[index]
    assert again.ciphertext == message.ciphertext
    for peer in (bob, coming, own):
        peer.receive(world.hand_out(again, alice, peer))
        assert peer.texts() == ["hello"]
    (following,) = alice.say(BOB, "next")
    assert set(following.encrypted_keys) == set(again.encrypted_keys)
    one, two = (row for _, row in alice.look(lambda tx: tx.queue(OUTBOX)))
    assert one.fanout == two.fanout


def test_another_user_key_is_refused_until_a_person_accepts_it(world: World, alice: Peer, bob: Peer) -> None:
    alice.say(BOB, "before")
    alice.do(lambda tx: alice.engine.directory.set_verified(tx, BOB))
    other = SigningKey.generate("ed25519", os.urandom)
    genuine = bob.entry
    record = genuine["record"]
    bob.entry = {**genuine, "user_key": other.public_key, "user_signature": sign_record(other, record)}  # type: ignore[arg-type]
    alice.learn(BOB)
    (changed,) = events_of(alice, UserKeyChanged)
    assert not changed.accepted  # type: ignore[attr-defined]
    alice.learn(BOB)
    assert len(events_of(alice, UserKeyChanged)) == 1
    with pytest.raises(FinalError) as final:
        alice.say(BOB, "to whom?")
    assert final.value.cause == "no_devices"
    assert alice.do(lambda tx: alice.engine.directory.accept_key(tx, BOB))
    alice.learn(BOB)
    device = alice.look(lambda tx: alice.engine.directory.active(tx, BOB, alice.engine.now()))
    assert device is not None
    assert len(device) == 1


def test_a_rotation_signed_by_the_old_key_moves_the_pin_and_clears_verified(
    world: World, alice: Peer, bob: Peer
) -> None:
    alice.learn(BOB)
    alice.do(lambda tx: alice.engine.directory.set_verified(tx, BOB))
    old = bob.engine.keyring.user_key
    assert old is not None
    new = SigningKey.generate("ed25519", os.urandom)
    rotation = make_user_rotation(old, BOB, old.public_key, new.public_key, now=int(world.clock()), by="old")
    bob.entry = {
        **bob.entry,
        "user_key": new.public_key,
        "user_signature": sign_record(new, bob.entry["record"]),  # type: ignore[arg-type]
        "user_rotation": rotation,
    }
    alice.learn(BOB)
    (changed,) = events_of(alice, UserKeyChanged)
    assert changed.accepted  # type: ignore[attr-defined]
    pin = alice.look(lambda tx: tx.get(PINS, BOB))
    assert pin is not None
    assert (pin.user_key, pin.verified) == (new.public_key, False)


def test_what_a_revoked_device_sent_before_counts_and_nothing_after(world: World, alice: Peer, bob: Peer) -> None:
    before, after = alice.say(BOB, "before", "after")
    early = world.hand_out(before, alice, bob)
    world.clock.now += 100
    late = world.hand_out(after, alice, bob)
    bob.learn(ALICE)
    key = alice.engine.keyring.user_key
    assert key is not None
    revocation = make_revocation(
        key, user_id=ALICE, device_id=alice.device_id, reason="lost", signed_by="user",
        effective=int(world.clock()) - 50, revocation_id=new_uuid(os.urandom), previous=None,
    )  # fmt: skip
    events = bob.do(lambda tx: bob.engine.directory.revoke(tx, revocation, world.key.public_key))
    assert [type(event) for event in events] == [DeviceRevoked]
    assert not bob.do(lambda tx: bob.engine.directory.revoke(tx, revocation, world.key.public_key))
    bob.receive(early)
    bob.receive(late)
    assert bob.texts() == ["before", "!untrusted_device"]
    with pytest.raises(FinalError):
        bob.say(ALICE, "to nobody")


# --- Receipts ---


def test_receipts_move_the_status_and_forged_ones_do_not(world: World, alice: Peer, bob: Peer) -> None:
    further = world.peer("bob")
    (message,) = alice.say(BOB, "hello")
    outbox, now_us = alice.engine.outbox, alice.engine.now_us()
    sequence = alice.look(lambda tx: tx.queue(OUTBOX))[0][0]

    def status() -> tuple[str, bool]:
        record = alice.look(lambda tx: tx.get(SENT, message.message_id))
        assert record is not None
        return status_of(message.message_id, record).status.value, bool(record.content_key)

    assert status() == ("sending", True)
    alice.do(lambda tx: outbox.accepted(tx, sequence, message.message_id, now_us))
    assert status() == ("sent", True)
    assert not alice.look(lambda tx: tx.queue(OUTBOX))
    receipts = {}
    for peer in (bob, further):
        receipts[peer.device_id] = peer.receive(world.hand_out(message, alice, peer)).acks[0].receipt
    genuine = receipts[bob.device_id]
    assert genuine is not None
    for forged in (
        {**genuine, "status": "read"},
        {**genuine, "device_id": further.device_id},
        {**genuine, "signature": flipped(genuine["signature"])},  # type: ignore[arg-type]
        {**genuine, "user_id": ALICE, "device_id": alice.device_id},
        {},
    ):
        change = alice.do(lambda tx, forged=forged: outbox.receipt(tx, message.message_id, forged, now_us))  # type: ignore[misc]
        assert [type(event) for event in change.events] == [IntegrityAlert]
        assert status() == ("sent", True)
    alice.do(lambda tx: outbox.receipt(tx, message.message_id, genuine, now_us))
    assert status() == ("delivered", True)
    assert not alice.do(lambda tx: outbox.receipt(tx, message.message_id, genuine, now_us)).events
    other = receipts[further.device_id]
    assert other is not None
    alice.do(lambda tx: outbox.receipt(tx, message.message_id, other, now_us))
    assert status() == ("delivered", False), "all devices have it: no supplement can be asked for"
    read = make_receipt(
        bob.engine.own.key, message_id=message.message_id, conversation_id=message.conversation_id,
        ciphertext_hash=genuine["ciphertext_hash"],  # type: ignore[arg-type]
        status="read", user_id=BOB, device_id=bob.device_id, timestamp_us=now_us,
    )  # fmt: skip
    alice.do(lambda tx: outbox.receipt(tx, message.message_id, read, now_us))
    assert status() == ("read", False)
    alice.do(lambda tx: outbox.receipt(tx, message.message_id, genuine, now_us))
    assert status() == (Status.READ.value, False)


# --- Conversations ---


def group_of(alice: Peer, *users: str) -> str:
    """A group that Alice owns."""
    for user in users:
        alice.learn(user)
    conversation_id = new_uuid(os.urandom)
    create = alice.do(lambda tx: alice.engine.conversations.make_group(tx, conversation_id, list(users)))
    alice.take(alice.world.store(create))
    return conversation_id


def update(peer: Peer, conversation_id: str, change: str, user: str) -> None:
    """Add or remove a member, signed by `peer`, and have the world store it."""
    engine = peer.engine

    def make(tx: Transaction) -> State:
        latest = engine.conversations.latest(tx, conversation_id)
        assert latest is not None
        if change == "remove":
            return without_member(latest, peer.user_id, user, engine.own.key.public_key)
        pin = tx.get(PINS, user)
        assert pin is not None
        return with_member(latest, peer.user_id, user, pin.user_key, "member", engine.own.key.public_key)

    state = peer.look(make)
    peer.take(peer.world.store(engine.conversations.make_update(state)))


def test_a_group_is_followed_through_its_epochs(world: World, alice: Peer, bob: Peer) -> None:
    carol = world.peer("carol")
    group = group_of(alice, BOB)
    (one,) = alice.say(group, "one")
    alice.learn(CAROL)
    update(alice, group, "add", CAROL)
    (two,) = alice.say(group, "two")
    update(alice, group, "remove", BOB)
    (three,) = alice.say(group, "three")
    assert [m.epoch for m in (one, two, three)] == [1, 2, 3]
    assert set(three.encrypted_keys) == {carol.device_id}
    carol.receive(world.hand_out(two, alice, carol))
    carol.receive(world.hand_out(three, alice, carol))
    assert carol.texts() == ["two", "three"]
    bob.receive(world.hand_out(one, alice, bob))
    bob.receive(world.hand_out(two, alice, bob))
    assert bob.texts() == ["one", "two"]
    bob.take(world.state(group, 3))
    seen = bob.look(lambda tx: bob.engine.conversations.group(tx, group))
    assert seen is not None
    assert seen.left
    assert len(events_of(bob, GroupChanged)) == 3


def test_two_states_of_one_epoch_are_an_alert(world: World, alice: Peer, bob: Peer) -> None:
    world.peer("carol")
    group = group_of(alice, BOB)
    bob.take(world.state(group, 1))
    alice.learn(CAROL)
    latest = alice.look(lambda tx: alice.engine.conversations.latest(tx, group))
    assert latest is not None
    update(alice, group, "add", CAROL)
    bob.take(world.state(group, 2))
    forked = without_member(latest, ALICE, BOB, alice.engine.own.key.public_key)
    bob.take(alice.engine.conversations.make_update(forked))
    assert [alert.cause for alert in events_of(bob, IntegrityAlert)] == ["forked_state"]  # type: ignore[attr-defined]
    seen = bob.look(lambda tx: bob.engine.conversations.group(tx, group))
    assert seen is not None
    assert not seen.left


def test_a_state_that_a_server_made_is_refused(world: World, alice: Peer, bob: Peer) -> None:
    mallory = world.peer("mallory")
    group = group_of(alice, BOB)
    bob.take(world.state(group, 1))
    bob.learn(mallory.user_id)
    latest = alice.look(lambda tx: alice.engine.conversations.latest(tx, group))
    assert latest is not None
    key = mallory.engine.keyring.user_key
    assert key is not None
    rogue = with_member(latest, ALICE, mallory.user_id, key.public_key, "member", alice.engine.own.key.public_key)
    signed = ConversationState(
        conversation_id=latest.map["conversation_id"],  # type: ignore[arg-type]
        state=rogue.map,
        signer_user=ALICE,  # type: ignore[arg-type]
        signer_device=alice.device_id,  # type: ignore[arg-type]
        signature=sign_state(mallory.engine.own.key, rogue),
    )
    with pytest.raises(FinalError) as final:
        bob.take(signed)
    assert final.value.cause == "bad_state"
    own = msgspec.structs.replace(signed, signer_user=mallory.user_id, signer_device=mallory.device_id)
    with pytest.raises(FinalError):
        bob.take(own)
    (message,) = bob.say(group, "to Alice alone")
    assert set(message.encrypted_keys) == {alice.device_id}


def test_a_message_of_an_unknown_conversation_is_shown_as_such(world: World, alice: Peer, bob: Peer) -> None:
    group = group_of(alice, BOB)
    (message,) = alice.say(group, "where?")
    del world.states[group]
    bob.receive(world.hand_out(message, alice, bob))
    assert bob.texts() == ["!unknown_conversation"]


def test_only_a_member_who_may_sends(world: World, alice: Peer, bob: Peer) -> None:
    group = group_of(alice, BOB)
    bob.take(world.state(group, 1))
    update(alice, group, "remove", BOB)
    bob.take(world.state(group, 2))
    with pytest.raises(FinalError) as final:
        bob.say(group, "still here")
    assert final.value.cause == "left"


def test_what_is_missing_is_named(world: World, alice: Peer, bob: Peer) -> None:
    (message,) = alice.say(BOB, "hello")
    received = world.hand_out(message, alice, bob)
    needs = []
    for _ in range(2):
        transaction = bob.ledger.begin()
        with pytest.raises(WantingError) as wanting:
            bob.engine.receiving.receive(transaction, received, bob.engine.now_us())
        needs.append(wanting.value.need)
        assert transaction.empty
        bob.satisfy(wanting.value.need)
    assert needs[0].users == (ALICE,)
    assert needs[0].devices == (alice.device_id,)
    assert (needs[1].conversation, needs[1].epoch) == (message.conversation_id, 1)
    bob.receive(received)
    assert bob.texts() == ["hello"]
