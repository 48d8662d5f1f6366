"""Opening: the recorded messages, every cause, tampering, gaps and time, what is inside."""

from unittest import mock

import pytest

from norc_actors.protocol import opening, sealing
from norc_actors.protocol.codec import convert, encode_map, to_map
from norc_actors.protocol.conversations import direct_state
from norc_actors.protocol.devices import EntryFault, OwnDevice
from norc_actors.protocol.messages import BODIES, Inner, MessageReceived
from norc_actors.protocol.opening import Again, Cause, Hold, MessageRefusedError, Opened
from tests.support.chat import delivered
from tests.support.people import NOW
from tests.support.samples import sample
from tests.support.world import World, flip, replace_fields
from tests.vectors.files import holds, recorded


@recorded("messages", "refused_messages")
def test_recorded(entry):
    assert holds(entry)


# --- Causes ---


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


def test_unknown_conversation_is_not_final(world):
    received = world.to_bob(world.a.send("x", world.targets))
    with pytest.raises(MessageRefusedError) as refused:
        world.b.open(received, world.alice_device, state=None)
    assert refused.value.cause is Cause.UNKNOWN_CONVERSATION
    assert not refused.value.final
    assert isinstance(world.b.open(received, world.alice_device), Opened)


def test_causes_before_the_ciphertext_is_opened(world):
    sealed = world.a.send("x", world.targets)
    received = world.to_bob(sealed)
    other = OwnDevice(user_id=world.bob.user_id, device_id=world.bobs.id, key=world.bobs.key, e2e_suites=("0001",))
    assert world.refusal(received, own=other) is Cause.NOT_OPENED
    assert world.refusal(delivered(sealed.message, world.phone, world.laptop.id)) is Cause.MALFORMED
    assert world.refusal(received, session_ended=True) is Cause.KEY_USED
    assert world.refusal(received, bundle=None) is Cause.UNKNOWN_SESSION
    revoked = world.alice.device(world.phone, revoked_at=NOW)
    assert world.refusal(received, sender=revoked) is Cause.UNTRUSTED_DEVICE
    plain = to_map(received)
    plain["encrypted_keys"][world.bobs.id]["session_id"] = sealed.message.message_id
    assert world.refusal(convert(plain, MessageReceived)) is Cause.MALFORMED
    del plain["encrypted_keys"][world.bobs.id]["open"]
    assert world.refusal(convert(plain, MessageReceived)) is Cause.UNKNOWN_SESSION


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


def test_a_sender_that_was_revoked_between_two_messages(world):
    first, second = (world.to_bob(world.a.send("x", [world.bob_device])) for _ in range(2))
    world.b.open(first, world.alice_device)
    revoked = world.alice.device(world.phone, revoked_at=NOW)
    assert world.refusal(second, sender=revoked) is Cause.UNTRUSTED_DEVICE


def test_a_key_opens_once(world):
    received = world.to_bob(world.a.send("x", [world.bob_device]))
    opened = world.b.open(received, world.alice_device)
    assert world.refusal(received, recorded_hash=None, session=opened.session) is Cause.KEY_USED


def test_what_does_not_fit_the_chain(world):
    first, second, third = (world.to_bob(world.a.send(str(n), [world.bob_device])) for n in range(3))
    opened = world.b.open(first, world.alice_device)
    number = first.sequence_number
    other = replace_fields(opened.chain, hashes={str(number): b"x" * 32})
    assert world.refusal(second, chain=other) is Cause.BROKEN_CHAIN
    seen = world.b.open(third, world.alice_device).chain
    again = replace_fields(seen, seen=(2**7 - 1).to_bytes(128, "big"), highest=number + 2)
    assert world.refusal(second, chain=again) is Cause.REPLAYED
    assert world.b.open(second, world.alice_device).place == "fill"


def _in_state(world, state, classification="unclassified"):
    """A message sealed and opened in the same state, whoever may write there."""
    world.a.state = world.b.state = state
    with mock.patch.object(sealing, "_check_outgoing"), mock.patch.object(sealing, "_check_target"):
        return world.to_bob(world.a.send("x", [world.bob_device], classification=classification))


def test_who_may_write_and_who_may_read(world):
    """The signature covers the state, so only what the state itself says can be wrong here."""
    cases = ({"alice": "owner", "carol": "member"}, {"alice": "observer", "bob": "owner"}, {"bob": "owner"})
    for roles in cases:
        received = _in_state(world, world.group(**roles))
        assert world.refusal(received) is Cause.WRONG_AUDIENCE
    assert isinstance(
        world.b.open(_in_state(world, world.group(alice="owner", bob="observer")), world.alice_device), Opened
    )


def test_higher_classifications_want_hybrid_suites():
    world = World(suites=["0001"])
    with mock.patch.object(sealing, "needs_hybrid", return_value=False):
        received = world.to_bob(world.a.send("x", [world.bob_device], classification="confidential"))
    assert world.refusal(received) is Cause.MALFORMED


def test_causes_of_refused_entries():
    assert opening.cause_of(EntryFault.USER_KEY_CHANGED) is Cause.KEY_CHANGED
    assert opening.cause_of(EntryFault.USER_KEY_UNKNOWN) is Cause.KEY_CHANGED
    assert opening.cause_of(EntryFault.EXPIRED) is Cause.UNTRUSTED_DEVICE
    assert str(MessageRefusedError(Cause.STALE)) == "stale"


# --- Tampering ---


@pytest.mark.parametrize("where", ["ciphertext", "wrapped", "key_commitment", "prev_message_hash"])
def test_a_flipped_bit_is_refused(world, where):
    sealed = world.a.send("the text", world.targets)
    plain = to_map(world.to_bob(sealed))
    holder = plain["encrypted_keys"][world.bobs.id] if where == "wrapped" else plain
    original = holder[where]
    for bit in range(0, len(original) * 8, 7):
        holder[where] = flip(original, bit)
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
            changes = [flip(original, bit) for bit in range(0, len(original) * 8, 331)]
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
    plain["ciphertext"] = flip(plain["ciphertext"], 9)
    with pytest.raises(MessageRefusedError):
        world.b.open(convert(plain, MessageReceived), world.alice_device)
    assert world.b.dump() == before
    assert isinstance(world.b.open(good, world.alice_device), Opened)


# --- Gaps and time ---


def test_a_gap_is_held_and_then_marked(world):
    first, second, third = (world.a.send(str(n), world.targets) for n in range(3))
    world.b.open(world.to_bob(first), world.alice_device)
    assert world.b.open(world.to_bob(third), world.alice_device, held=False) == Hold()
    late = world.b.open(world.to_bob(third), world.alice_device, held=True)
    assert (late.place, late.after_gap, late.incomplete) == ("gap", True, True)
    filled = world.b.open(world.to_bob(second), world.alice_device)
    assert (filled.place, filled.after_gap) == ("fill", False)


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


# --- What is inside ---


def test_a_system_message_has_a_body_of_its_kind(world):
    good = world.a.send(Inner(message_type="system", body={"name": "Group", "new": 1}), world.targets)
    assert world.b.open(world.to_bob(good), world.alice_device).inner.body["name"] == "Group"
    bad = world.a.send(Inner(message_type="system", body={"name": 7}), world.targets)
    with pytest.raises(MessageRefusedError) as refused:
        world.b.open(world.to_bob(bad), world.alice_device)
    assert refused.value.cause is Cause.MALFORMED


@pytest.mark.parametrize("message_type", BODIES)
def test_every_body_that_is_a_map_is_of_its_kind(world, message_type):
    body = to_map(sample(BODIES[message_type], full=True)) | {"x_new": 1}
    good = world.a.send(Inner(message_type=message_type, body=body), world.targets)
    assert world.b.open(world.to_bob(good), world.alice_device).inner.body == body
    name = next(name for name in body if name != "type")
    bad = world.a.send(Inner(message_type=message_type, body=body | {name: [1]}), world.targets)
    with pytest.raises(MessageRefusedError) as refused:
        world.b.open(world.to_bob(bad), world.alice_device)
    assert refused.value.cause is Cause.MALFORMED


def _sealedraw(world, inner: bytes, monkeypatch):
    """A message whose inner map is any bytes, otherwise made as always."""
    with monkeypatch.context() as patch:
        patch.setattr(sealing, "encode", lambda message: inner)
        return world.a.send("x", world.targets)


def test_unknown_members_inside_are_handed_on(world, monkeypatch):
    plain = {"message_type": "text", "body": "x", "colour": "green"}
    received = world.to_bob(_sealedraw(world, encode_map(plain), monkeypatch))
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
        world.b.open(world.to_bob(_sealedraw(world, inner, monkeypatch)), world.alice_device)
    assert refused.value.cause is Cause.MALFORMED
    assert refused.value.final
