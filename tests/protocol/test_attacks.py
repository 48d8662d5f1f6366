"""The known attacks: stolen states, ghosts, stale lists, forwarding, lying senders."""

from dataclasses import replace

import pytest

from norc_actors.crypto import padding
from norc_actors.crypto import sessions as schedule
from norc_actors.crypto.errors import DecryptionFailedError
from norc_actors.crypto.suites import SUITES
from norc_actors.protocol import sealing
from norc_actors.protocol.chains import SendingChain
from norc_actors.protocol.codec import convert, to_map
from norc_actors.protocol.conversations import State, first_state, with_member
from norc_actors.protocol.devices import EntryFault, EntryRefusedError, OwnDevice, verify_entry
from norc_actors.protocol.messages import MessageReceived
from norc_actors.protocol.opening import Cause, MessageRefusedError, Opened
from norc_actors.protocol.sessions import ReceivingSession, open_session
from tests.support.chat import Chatter, text
from tests.support.people import NOW, Person, seeded
from tests.support.world import known_device, raw


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

    # Even under one message key (a session that two devices share) a wrap opens under one device's names alone.
    message = sealed.message
    suite, mk, key = SUITES[message.suite], b"m" * 32, b"k" * 32
    names = schedule.WrapNames(
        sender_user=b"alice@a.example", sender_device=raw(world.phone.id), user=b"bob@a.example",
        device=raw(world.bobs.id), message_id=raw(message.message_id), session_id=bytes(16), index=0,
    )  # fmt: skip
    wrapped = schedule.wrap_content_key(suite, mk, schedule.commitment(suite, key), names, key)
    stolen = replace(names, device=raw(world.laptop.id))
    assert schedule.unwrap_content_key(suite, mk, schedule.commitment(suite, key), names, wrapped) == key
    with pytest.raises(DecryptionFailedError):
        schedule.unwrap_content_key(suite, mk, schedule.commitment(suite, key), stolen, wrapped)


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
        message_id=names.message_id, chain_id=names.chain_id, conversation_id=raw(state.conversation_id),
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
        sender_user=world.bob.user_id.encode(), sender_device=raw(world.bobs.id), user=world.carol.user_id.encode(),
        device=raw(world.carols.id), message_id=names.message_id, session_id=raw(session.session_id), index=0,
    )  # fmt: skip
    wrapped = schedule.wrap_content_key(suite, key, received.key_commitment, wrap_names, sealed.content_key)
    plain["encrypted_keys"] = {
        world.carols.id: {"session_id": session.session_id, "index": 0, "wrapped": wrapped, "open": session.open}
    }
    carol = Chatter.of(world.carols, state)
    with pytest.raises(MessageRefusedError) as refused:
        carol.open(convert(plain, MessageReceived), world.bob.device(world.bobs))
    assert refused.value.cause is Cause.BAD_SIGNATURE


def test_surreptitious_forwarding_as_the_sender(world):
    """The worst case: Carol already trusts a session that Bob knows the keys of as Alice's, and is shown a state of
    the same conversation and epoch with herself in it. Alice signed for other members."""
    sealed = world.a.send("I love you", [world.bob_device])
    received = world.to_bob(sealed)
    state = first_state(
        world.state.conversation_id, "group",
        {
            world.alice.user_id: ("owner", world.alice.user_key.public_key),
            world.carol.user_id: ("member", world.carol.user_key.public_key),
        },
    )  # fmt: skip
    session = ReceivingSession(
        session_id="00000000-0000-4000-8000-00000000000a", suite=received.suite, sender_user=world.alice.user_id,
        sender_device=world.phone.id, prekey_id=1, chain_key=b"c" * 32, next_index=0, skipped={}, expires_at=NOW + 9,
    )  # fmt: skip
    suite = SUITES[received.suite]
    names = schedule.WrapNames(
        sender_user=world.alice.user_id.encode(), sender_device=raw(world.phone.id), user=world.carol.user_id.encode(),
        device=raw(world.carols.id), message_id=raw(received.message_id), session_id=raw(session.session_id), index=0,
    )  # fmt: skip
    key = schedule.message_key(suite, session.chain_key)
    wrapped = schedule.wrap_content_key(suite, key, received.key_commitment, names, sealed.content_key)
    plain = to_map(received)
    wrap = {"session_id": session.session_id, "index": 0, "wrapped": wrapped}
    plain["encrypted_keys"] = {world.carols.id: wrap}
    carol = Chatter.of(world.carols, state)
    with pytest.raises(MessageRefusedError) as refused:
        carol.open(convert(plain, MessageReceived), world.alice_device, session=session)
    assert refused.value.cause is Cause.BAD_SIGNATURE


def _peek(world, sealed):
    suite = SUITES[sealed.message.suite]
    plaintext = schedule.open_content(
        suite, sealed.content_key, sealing.content_names(sealed.message), sealed.message.ciphertext
    )
    return padding.unpad(plaintext)


def test_signed_by_another_device_of_the_sender(world):
    received = world.to_bob(world.a.send("x", world.targets))
    impostor = known_device(world.alice.user_id, world.phone.id, world.laptop.key.public_key)
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


def test_receivers_refuse_an_observer_too(world, monkeypatch):
    """A home server that lets an observer speak is no help to it."""
    world.a.state = world.b.state = world.group(alice="observer", bob="owner")
    monkeypatch.setattr(sealing, "_check_outgoing", lambda *_: None)
    received = world.to_bob(world.a.send("x", [world.bob_device]))
    with pytest.raises(MessageRefusedError) as refused:
        world.b.open(received, world.alice_device)
    assert refused.value.cause is Cause.WRONG_AUDIENCE


def test_a_receiver_outside_the_audience_discards(world):
    """A colluding sender wraps for Bob under a state without him."""
    outside = world.group(alice="owner", carol="member")
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
    assert world.refusal(world.to_bob(sealed)) is Cause.MALFORMED


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
