"""One stated sentence: whatever a server or peer does to what is signed, the reader gets what was signed, or the one
error type of that reader; nothing else comes out.

Each case takes an honest map and replaces, removes or adds a member anywhere in it.
"""

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from norc_actors.crypto.errors import BadSignatureError
from norc_actors.protocol import enrolment
from norc_actors.protocol.codec import convert, decode_as, encode_map, to_map
from norc_actors.protocol.conversations import StateRefusedError, direct_state, make_leave, verify_leave, verify_state
from norc_actors.protocol.devices import EntryRefusedError, make_user_rotation, verify_entry, verify_user_rotation
from norc_actors.protocol.errors import ProtocolError
from norc_actors.protocol.messages import MessageReceived, Record
from norc_actors.protocol.opening import MessageRefusedError, Opened
from norc_actors.protocol.prekeys import PrekeyRefusedError, verify_bundle, verify_one_time, verify_upload
from norc_actors.protocol.receipts import make_receipt, verify_receipt
from norc_actors.protocol.revocation import RevocationChainError, make_revocation, verify_revocation
from norc_actors.protocol.sessions import OpenRefusedError, accept_open, make_unknown, open_session, verify_unknown
from tests.support.chat import Chatter, delivered
from tests.support.messages import plain_maps, values
from tests.support.people import NOW, Person, make_server, seeded

CONVERSATION = "2cd6bf73-5d0d-4567-96b2-70548f57d0df"
SERVER = make_server()
ALICE, BOB = Person("alice", SERVER), Person("bob", SERVER)
PHONE, BOBS = ALICE.phone(), BOB.phone()
ALICE_DEVICE, BOB_DEVICE = ALICE.device(PHONE), BOB.device(BOBS)
STATE = direct_state(CONVERSATION, ALICE.user_id, ALICE.user_key.public_key, BOB.user_id, BOB.user_key.public_key)
SESSION = open_session(PHONE.own, BOB_DEVICE, now=NOW, random=seeded("session"))
PROTOCOL = (BadSignatureError, ProtocolError)


def _paths(value, at=()):
    yield at
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _paths(item, (*at, key))
    elif isinstance(value, list):
        for key, item in enumerate(value):
            yield from _paths(item, (*at, key))


@st.composite
def altered(draw, honest):
    """The honest map with one member replaced, removed or added, at any depth."""
    value = copy.deepcopy(honest)
    path = draw(st.sampled_from([path for path in _paths(honest) if path]))
    holder = value
    for key in path[:-1]:
        holder = holder[key]
    last = path[-1]
    match draw(st.sampled_from(["replace", "remove", "add", "nudge"])):
        case "remove":
            del holder[last]
        case "add" if isinstance(holder, dict):
            holder[draw(st.sampled_from(["zzz", "type", "signature", "open"]))] = draw(values)
        case "nudge" if isinstance(holder[last], int) and not isinstance(holder[last], bool):
            holder[last] += draw(st.sampled_from([-1, 1, 2**31]))
        case "nudge" if isinstance(holder[last], bytes) and holder[last]:
            data = bytearray(holder[last])
            data[draw(st.integers(0, len(data) - 1))] ^= 1 << draw(st.integers(0, 7))
            holder[last] = bytes(data)
        case _:
            holder[last] = draw(values)
    return value


def _entry(entry):
    pinned = BOB.user_key.public_key
    return verify_entry(
        entry, user_id=BOB.user_id, device_id=BOBS.id, pinned=pinned, server_keys=[SERVER.key.public_key]
    )


def _open(opened):
    return accept_open(
        opened, own=BOBS.own, sender=ALICE_DEVICE, accepted_at=NOW, bundle=BOBS.bundles[1], one_time=BOBS.one_times[1]
    )


def _revocation():
    return make_revocation(
        BOB.user_key, user_id=BOB.user_id, device_id=BOBS.id, reason="lost", signed_by="user", effective=NOW,
        revocation_id=CONVERSATION, previous=None,
    )  # fmt: skip


RECEIPT = {"message_id": PHONE.id, "conversation_id": CONVERSATION, "ciphertext_hash": b"h" * 32}
READERS = {
    "entry": (BOBS.entry, _entry, EntryRefusedError),
    "bundle": (BOBS.entry["bundle"], lambda m: verify_bundle(BOB_DEVICE, m, NOW), (PrekeyRefusedError, ProtocolError)),
    "one_time": (
        BOBS.entry["one_time"], lambda m: verify_one_time(BOB_DEVICE, m, NOW), (PrekeyRefusedError, ProtocolError),
    ),
    "upload": (
        BOBS.entry["one_time"], lambda m: verify_upload(convert(BOBS.record, Record), None, [m], NOW),
        PrekeyRefusedError,
    ),
    "uploaded bundle": (
        BOBS.entry["bundle"], lambda m: verify_upload(convert(BOBS.record, Record), m, [], NOW), PrekeyRefusedError,
    ),
    "open": (SESSION.open, _open, OpenRefusedError),
    "unknown": (
        make_unknown(BOBS.own, SESSION.session_id, ALICE.user_id, PHONE.id, NOW),
        lambda m: verify_unknown(m, own=PHONE.own, device=BOB_DEVICE), OpenRefusedError,
    ),
    "state": (
        STATE.map,
        lambda m: verify_state(
            m, PHONE.key.sign("conversation:v1", STATE.form), previous=None, signer=ALICE_DEVICE, at=NOW
        ),
        (StateRefusedError, BadSignatureError),
    ),
    "leave": (
        make_leave(BOBS.key, conversation_id=CONVERSATION, epoch=1, user_id=BOB.user_id, device_id=BOBS.id, now=NOW),
        lambda m: verify_leave(m, BOB_DEVICE), PROTOCOL,
    ),
    "receipt": (
        make_receipt(
            BOBS.key, **RECEIPT, status="read", user_id=BOB.user_id, device_id=BOBS.id, timestamp_us=NOW * 10**6
        ),
        lambda m: verify_receipt(m, BOB_DEVICE, **RECEIPT), PROTOCOL,
    ),
    "revocation": (
        _revocation(), lambda m: verify_revocation(m, BOB.user_key.public_key, None), (*PROTOCOL, RevocationChainError),
    ),
    "user_rotation": (
        make_user_rotation(BOB.user_key, BOB.user_id, BOB.user_key.public_key, b"n" * 32, now=NOW, by="old"),
        lambda m: verify_user_rotation(m, user_id=BOB.user_id), PROTOCOL,
    ),
    "registration": (
        {"type": "device_register", **BOBS.record},
        lambda m: enrolment.verify_registration(
            b"t" * 32, b"c" * 32, m,
            enrolment.sign_registration(BOBS.key, b"t" * 32, b"c" * 32, {"type": "device_register", **BOBS.record}),
        ),
        BadSignatureError,
    ),
}  # fmt: skip
UNSIGNED = {"entry": {"bundle", "one_time", "older", "user_rotation", "zzz", "type", "signature", "open"}}
"""Members that the reader's signature does not cover, each judged by a reader of its own."""


@pytest.mark.parametrize("name", READERS)
def test_signed_maps(name):
    honest, read, errors = READERS[name]
    read(honest)

    @settings(max_examples=60, deadline=None)
    @given(altered(honest))
    def run(changed):
        try:
            read(changed)
        except errors:
            return
        signed = {key for key in {*honest, *changed} if honest.get(key) != changed.get(key)}
        if name == "receipt":  # its signature covers the members that section 6 lists, no others
            signed -= {"zzz", "open"}
        if name == "entry" and "certificate" in signed:
            signed -= {"certificate"} if _same_certificate(honest, changed) else set()
        assert not signed - UNSIGNED.get(name, set())

    run()


def _same_certificate(honest, changed):
    members = ("signature", *honest["record"])
    return all(honest["certificate"][key] == changed["certificate"].get(key) for key in members)


@pytest.mark.parametrize("name", READERS)
def test_any_map(name):
    _, read, errors = READERS[name]

    @settings(max_examples=25, deadline=None)
    @given(plain_maps)
    def run(nonsense):
        with pytest.raises(errors):
            read(nonsense)

    run()


HONEST = to_map(
    delivered(Chatter.of(PHONE, STATE).send("what Alice said", [BOB_DEVICE]).message, PHONE, BOBS.id)
)  # fmt: skip


@settings(max_examples=250, deadline=None)
@given(altered(HONEST))
def test_messages(changed):
    """Bob's device looks up what the message names and opens it."""
    try:
        received = decode_as(MessageReceived, encode_map(changed)).message
    except ProtocolError:
        return
    if (received.sender_user, received.sender_device) != (ALICE.user_id, PHONE.id):
        return  # another device, or none: the caller finds no entry
    bob = Chatter.of(BOBS, STATE)
    bob.phone = copy.copy(BOBS)
    bob.phone.one_times = dict(BOBS.one_times)
    known = (received.conversation_id, received.epoch) == (STATE.conversation_id, STATE.epoch)
    try:
        opened = bob.open(received, ALICE_DEVICE, state=STATE if known else None)
    except MessageRefusedError:
        return
    assert isinstance(opened, Opened)
    assert opened.inner.body == "what Alice said"
    changed["metadata"] = {key: changed["metadata"].get(key) for key in HONEST["metadata"]}  # unknown ones are nobody's
    told = {"accepted_at", "supplement", "encrypted_content", "zzz", "signature", "open"}
    assert {key for key in {*HONEST, *changed} if HONEST.get(key) != changed.get(key)} <= told | {"encrypted_keys"}
