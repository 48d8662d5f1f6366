"""A device that is let in and asks for what it must not: each request gets the code that the pages name."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .device import Device
from .forms import Map, Value, inner, new_id
from .harness import Node, node
from .letters import make_state
from .papers import DAY, now, signed
from .talk import Talker, direct, talker
from .wire import AnsweredError, Connection

pytestmark = pytest.mark.usefixtures("unharmed")


@pytest.fixture(scope="module")
def mallory(home: Node) -> Talker:
    """Who means harm, and has a device like everybody."""
    return talker(home, "mallory")


@pytest.fixture(scope="module")
def victim(home: Node) -> Talker:
    """Who has done nothing."""
    return talker(home, "victim")


@pytest.fixture
def line(mallory: Talker) -> Iterator[Connection]:
    """Mallory's connection, which has to outlive every refusal that does not close."""
    with mallory.device.connected() as line:
        yield line
        line.roundtrip()


def refused(line: Connection, message: Map, answer: str) -> tuple[int, Value | None]:
    """(code, request_id) of the error that answers a message in place of `answer`."""
    line.send(message)
    with pytest.raises(AnsweredError) as error:
        line.expect(answer, where=lambda came: came.get("message_id") == message.get("message_id"))
    return error.value.code, error.value.error.get("request_id")


# --- Types and forms ---

ACTIVE: list[tuple[Map, int, int]] = [
    ({"type": "auth_request"}, 0x03, 3002),
    ({"type": "connection_request"}, 0x00, 3002),
    ({"type": "message_received"}, 0x12, 3002),
    ({"type": "key_response"}, 0x31, 3002),
    ({"type": "registration_response", "challenge": bytes(32), "signature": bytes(64)}, 0x07, 3002),
    ({"type": "version_confirmation"}, 0x0B, 3004),
    ({"type": "extension"}, 0x0E, 3004),
    ({"type": "read_receipt"}, 0x13, 3004),
    ({"type": "presence_update"}, 0x20, 3004),
    ({"type": "time_sync"}, 0x33, 3004),
    ({"type": "file_manifest"}, 0x40, 3004),
    ({"type": "conversation_join"}, 0x51, 3004),
    ({"type": "conversation_leave"}, 0x52, 3004),
    ({"type": "call_invite"}, 0x60, 3004),
    ({"type": "federation_hello"}, 0x70, 3004),
    ({"type": "trust_request"}, 0xA0, 3004),
    ({"type": "nothing"}, 0xFF, 3004),
    ({"type": "ping"}, 0x09, 3001),
    ({"type": "ping", "timestamp": "now"}, 0x09, 3001),
    ({"type": "ping", "timestamp": -1}, 0x09, 3001),
    ({"type": "ping", "timestamp": 2**53}, 0x09, 3001),
    ({"type": "pong", "timestamp": 1}, 0x09, 3001),
    ({"type": "ping", "timestamp": 1, "more": None}, 0x09, 3001),  # type: ignore[dict-item]
    ({"type": "ping", "timestamp": 1, "more": 0.5}, 0x09, 3001),  # type: ignore[dict-item]
    ({"type": "ping", "timestamp": 1, "ä": 1}, 0x09, 3001),
    ({"type": "ping", "timestamp": 1, "more": [0] * 4097}, 0x09, 3001),
]


@pytest.mark.parametrize(
    ("message", "type_code", "code"),
    ACTIVE,
    ids=[f"{number}-{case[0]['type']!r}" for number, case in enumerate(ACTIVE)],
)
def test_what_ends_the_connection(mallory: Talker, message: Map, type_code: int, code: int) -> None:
    with mallory.device.connected() as line:
        line.send(message, type_code)
        assert line.end() == (code, 1008)


def test_forms_that_no_encoder_writes(mallory: Talker) -> None:
    """A duplicate key, an extension, a timestamp, bytes after the value, a list as root, text that is no UTF-8."""
    for plaintext in (
        b"\x83\xa4type\xa4ping\xa9timestamp\x01\xa9timestamp\x02",
        b"\x83\xa4type\xa4ping\xa9timestamp\x01\xa1x\xd4\x05\x00",
        b"\x83\xa4type\xa4ping\xa9timestamp\x01\xa1x\xd6\xff\x00\x00\x00\x00",
        b"\x82\xa4type\xa4ping\xa9timestamp\x01\xc0",
        b"\x92\xa4ping\x01",
        b"\x83\xa4type\xa4ping\xa9timestamp\x01\xa1x\xa1\xff",
        b"\x83\xa4type\xa4ping\xa9timestamp\x01\x07\x07",
        b"",
    ):
        with mallory.device.connected() as line:
            frame = line.sealed.frame(0x09, plaintext)
            line.send_frames([frame])
            assert line.end() == (3001, 1008), plaintext


def test_a_longer_form_and_unknown_members_are_taken(line: Connection) -> None:
    plaintext = b"\xde\x00\x03\xa4type\xd9\x04ping\xa9timestamp\xcf" + bytes(7) + b"\x07\xa4mood\xc4\x01\xff"
    frame = line.sealed.frame(0x09, plaintext)
    line.send_frames([frame])
    line.sealed.out.moved_on(frame[62:])
    assert line.expect("pong")["timestamp"] == 7


@pytest.mark.parametrize(("code", "ends"), [(3001, True), (2003, False), (1999, True), (77777, False)])
def test_an_error_is_never_answered(mallory: Talker, code: int, ends: bool) -> None:
    error: Map = {
        "type": "error",
        "error_code": code,
        "error_category": "protocol",
        "message": "No, you.",
        "timestamp": now(),
    }
    with mallory.device.connected() as line:
        line.send(error)
        if ends:
            assert line.end() == (None, 1000)
        else:
            line.roundtrip()


# --- Messages ---


def sealed(line: Connection, one: Talker, conversation: str) -> Map:
    """A message that would be good."""
    return one.prepare(line, conversation, "Hello", classification="unclassified").message


def failed(line: Connection, one: Talker, message: Map) -> Value:
    """The code of a message that is refused."""
    ack = one.submit(line, message)
    assert ack["status"] == "failed"
    return ack["error_code"]


def test_messages_that_are_refused(line: Connection, mallory: Talker, victim: Talker, home: Node) -> None:
    conversation = direct(line, mallory, victim.device.user_id)
    good = sealed(line, mallory, conversation)
    wraps = inner(good, "encrypted_keys")
    [wrap] = wraps.values()
    other = talker(home, "other")
    for change, code in (
        ({"conversation_id": new_id()}, 2004),
        ({"recipients": []}, 2001),
        ({"recipients": [victim.device.user_id, other.device.user_id]}, 2001),
        ({"recipients": [other.device.user_id]}, 2001),
        ({"encrypted_keys": {}}, 2002),
        ({"encrypted_keys": {**wraps, other.device.device_id: wrap}}, 2002),
        ({"encrypted_keys": {**wraps, mallory.device.device_id: wrap}}, 2002),
        ({"encrypted_keys": {other.device.device_id: wrap}}, 2002),
        ({"supplement": True, "message_id": new_id()}, 2005),
    ):
        assert failed(line, mallory, {**good, **change}) == code, change  # type: ignore[dict-item]
    with other.device.connected() as outside:
        assert failed(outside, other, {**good, "recipients": [mallory.device.user_id, victim.device.user_id]}) == 2004


def test_a_stale_list_consumes_nothing(line: Connection, mallory: Talker, victim: Talker) -> None:
    """Refused with 2002 the message is nowhere; the same one is then sent, and delivered once."""
    conversation = direct(line, mallory, victim.device.user_id)
    good = sealed(line, mallory, conversation)
    with victim.device.connected() as other:
        assert failed(line, mallory, {**good, "encrypted_keys": {}}) == 2002
        assert mallory.submit(line, good)["status"] == "sent"
        assert mallory.submit(line, good)["status"] == "sent"
        assert victim.receive(other).received["message_id"] == good["message_id"]
        other.roundtrip()
        later = sealed(line, mallory, conversation)
        mallory.submit(line, later)
        assert victim.receive(other).received["message_id"] == later["message_id"]


def test_observers_and_members_of_a_channel_do_not_write(line: Connection, mallory: Talker, victim: Talker) -> None:
    them, me = victim.device, mallory.device.user_id
    with them.connected() as other:
        them.ask(other, me)
        for kind, role in (("group", "observer"), ("channel", "member"), ("broadcast", "member")):
            conversation = victim.create(other, kind, {them.user_id: "owner", me: role})
            mallory.state(line, conversation, 1)
            assert failed(line, mallory, sealed(line, mallory, conversation)) == 2005


WRONG_MESSAGES: list[tuple[str, Map]] = [
    ("a suite of nobody", {"suite": "0003"}),
    ("a wrap of another length", {"encrypted_keys": {new_id(): {"session_id": new_id(), "index": 0, "wrapped": b""}}}),
    ("a classification of nobody", {"metadata": {"timestamp": 1, "classification": "restricted"}}),
    ("epoch 0", {"epoch": 0}),
    ("a ciphertext without a tag", {"ciphertext": bytes(15)}),
    ("an id in capitals", {"message_id": new_id().upper()}),
    ("a recipient that is no name", {"recipients": ["Victim@localhost"]}),
]


@pytest.mark.parametrize("change", [change for _, change in WRONG_MESSAGES], ids=[name for name, _ in WRONG_MESSAGES])
def test_a_malformed_message(mallory: Talker, victim: Talker, change: Map) -> None:
    with mallory.device.connected() as line:
        good = sealed(line, mallory, direct(line, mallory, victim.device.user_id))
        line.send({**good, **change})
        assert line.end() == (3001, 1008)


def test_parts_that_do_not_belong_together(mallory: Talker, victim: Talker) -> None:
    with mallory.device.connected() as line:
        conversation = direct(line, mallory, victim.device.user_id)
        first, second = sealed(line, mallory, conversation), sealed(line, mallory, conversation)
        line.send({**first, "more": True})
        line.send({**second, "supplement": True})
        assert line.end() == (3001, 1008)


def test_parts_without_end(mallory: Talker, victim: Talker) -> None:
    """All parts of a message together have 4 MiB at most."""
    with mallory.device.connected() as line:
        good = sealed(line, mallory, direct(line, mallory, victim.device.user_id))
        part: Map = {**good, "ciphertext": bytes(1000 * 1000), "more": True}
        line.send(part)
        for _ in range(3):
            line.send({**part, "supplement": True})
        assert refused(line, {**part, "supplement": True}, "message_ack") == (2003, good["message_id"])
        assert mallory.submit(line, good)["status"] == "sent"


# --- Conversations ---


def test_states_that_are_refused(line: Connection, mallory: Talker, victim: Talker, home: Node) -> None:
    me, her = mallory.device, victim.device
    me.ask(line, her.user_id)
    people = {me.user_id: ("owner", me.user_key.public), her.user_id: ("member", her.user_key.public)}

    def create(state: Map, **change: Value) -> int:
        message = {**mallory.carrier("conversation_create", state), "conversation_type": state["type"], **change}
        code, request_id = refused(line, message, "conversation_state")
        assert request_id == message["conversation_id"]
        return code

    good = make_state("group", people)
    members = good["members"]
    assert isinstance(members, list)
    assert create(good, signature=bytes(64)) == 2005
    assert create(good, signer_device=her.device_id) == 2005
    assert create(good, signer_user=her.user_id, signer_device=her.device_id) == 2005
    assert create({**good, "members": members[::-1]}) == 2005
    assert create({**good, "members": members + members}) == 2005
    assert create({**good, "epoch": 2, "prev_state_hash": bytes(32)}) == 2005
    assert create({**good, "prev_state_hash": bytes(32)}) == 2005
    assert create({**good, "settings": {"is_public": False, "history_visible": False, "max_members": 1}}) == 2005
    assert create(make_state("group", {**people, me.user_id: ("admin", me.user_key.public)})) == 2005
    assert create(make_state("group", {her.user_id: ("owner", her.user_key.public)})) == 2005
    assert create(make_state("direct", people)) == 2005
    assert create(make_state("group", {**people, "nobody@localhost": ("member", bytes(32))})) == 2001
    assert create(make_state("group", {**people, "eve@elsewhere.example": ("member", bytes(32))})) == 5001
    line.send({**mallory.carrier("conversation_create", good), "conversation_type": "group"})
    line.expect("conversation_state")
    assert create(good) == 2005, "it exists"


def test_changes_of_others_conversations(line: Connection, mallory: Talker, victim: Talker, home: Node) -> None:
    me, her = mallory.device, victim.device
    friend = talker(home, "friend").device
    with her.connected() as other:
        her.ask(other, me.user_id, friend.user_id)
        private = victim.create(other, "group", {her.user_id: "owner", friend.user_id: "member"})
        shared = victim.create(other, "group", {her.user_id: "owner", me.user_id: "member", friend.user_id: "member"})
        mallory.state(line, shared, 1)
        me.ask(line, friend.user_id)

        def update(state: Map) -> int:
            return refused(line, mallory.carrier("conversation_update", state), "conversation_state")[0]

        alone = {me.user_id: ("owner", me.user_key.public)}
        following = make_state("group", alone, mallory.states[shared][0], me.key)
        assert update(following) == 2005
        assert update({**following, "conversation_id": private}) == 2004
        assert update({**following, "conversation_id": new_id()}) == 2004
        wanted: Map = {"type": "conversation_state", "conversation_id": private}
        assert refused(line, wanted, "conversation_state") == (2004, private)
        wanted = {"type": "conversation_state", "conversation_id": shared, "epoch": 2}
        assert refused(line, wanted, "conversation_state") == (2004, shared)

        roles = {her.user_id: "owner", friend.user_id: "member"}
        victim.change(other, shared, roles)
        assert failed(line, mallory, sealed(line, mallory, shared)) == 2004, "put out, so there is none"
        wanted = {"type": "conversation_state", "conversation_id": shared, "epoch": 2}
        assert refused(line, wanted, "conversation_state") == (2004, shared)
        assert mallory.state(line, shared, 1)["epoch"] == 1

        own = mallory.create(line, "group", {me.user_id: "owner", her.user_id: "member"})
        first = mallory.states[own][0]
        people = {me.user_id: ("owner", me.user_key.public)}
        good = make_state("group", people, first, me.key)
        assert update({**good, "epoch": 3}) == 2005
        assert update({**good, "prev_state_hash": bytes(32)}) == 2005
        assert update({**good, "type": "channel"}) == 2005


# --- Keys and devices ---


def upload(line: Connection, bundle: Map | None = None, one_time: list[Value] | None = None) -> int:
    """The code of an upload that is refused."""
    message: Map = {"type": "prekey_upload"}
    if bundle is not None:
        message["bundle"] = bundle
    if one_time is not None:
        message["one_time"] = one_time
    code, request_id = refused(line, message, "prekey_status")
    assert request_id is None
    return code


def test_prekeys_that_nobody_could_use(line: Connection, mallory: Talker, victim: Talker) -> None:
    """A bundle that others must refuse would make everybody who writes to this device fail."""
    me = mallory.device
    good = me.prekeys.new_bundle(me.key, me.user_id, me.device_id, hybrid=True)

    def altered(**change: Value) -> Map:
        return signed({**good, **change}, me.key, "prekey:v1")

    without = {name: value for name, value in good.items() if name != "mlkem768"}
    assert upload(line, {**good, "signature": bytes(64)}) == 2005
    assert upload(line, signed(good, victim.device.key, "prekey:v1")) == 2005
    assert upload(line, altered(device_id=victim.device.device_id)) == 2005
    assert upload(line, altered(user_id=victim.device.user_id)) == 2005
    assert upload(line, altered(not_after=now() + 31 * DAY)) == 2005
    assert upload(line, altered(not_after=now() - 1)) == 2005
    assert upload(line, altered(not_before=now() + 600)) == 2005
    assert upload(line, altered(x25519=bytes(32))) == 2005
    assert upload(line, altered(mlkem768=b"\xff" * 1184)) == 2005
    assert upload(line, signed(without, me.key, "prekey:v1")) == 2005
    assert upload(line, altered(more=bytes(2048))) == 2005, "too long for a key_response"
    assert upload(line, {}) == 2005

    keys = me.prekeys.new_one_time(me.key, 2)
    assert upload(line, one_time=[keys[0], keys[0]]) == 2005
    assert upload(line, one_time=[keys[0], {**keys[1], "signature": bytes(64)}]) == 2005  # type: ignore[dict-item]
    weak = signed({"one_time_id": 4000, "x25519": bytes(32)}, me.key, "prekey:v1")
    for one_time in (weak, {}, {"one_time_id": "one"}):
        assert upload(line, one_time=[one_time]) == 2005  # type: ignore[list-item]

    with victim.device.connected() as other:
        [peer] = victim.device.ask(other, me.user_id)
        assert peer.bundle is not None
        assert peer.bundle["prekey_id"] == 1, "the first one stands"


def test_a_device_without_hybrid_suites_has_no_hybrid_bundle(home: Node) -> None:
    plain = talker(home, "plain", suites=["0001"]).device
    with plain.connected() as line:
        bundle = plain.prekeys.new_bundle(plain.key, plain.user_id, plain.device_id, hybrid=True)
        assert upload(line, bundle) == 2005


def test_questions_about_nobody(line: Connection, mallory: Talker) -> None:
    assert mallory.device.ask(line, "nobody@localhost") == []
    with pytest.raises(AnsweredError) as refused:
        mallory.device.ask(line, "nobody@localhost", "eve@elsewhere.example")
    assert refused.value.code == 5001, "nothing is asked of a server that nobody trusts"


@pytest.mark.parametrize("change", [{"user_ids": []}, {"user_ids": ["a@b"] * 101}, {"device_filter": "some"}])
def test_malformed_questions(mallory: Talker, change: Map) -> None:
    question: Map = {
        "type": "key_request",
        "request_id": new_id(),
        "user_ids": ["a@b"],
        "device_filter": "all",
        "include_revoked": False,
    }
    with mallory.device.connected() as line:
        line.send({**question, **change})
        assert line.end() == (3001, 1008)


def test_revocations_that_are_refused(line: Connection, mallory: Talker, victim: Talker) -> None:
    me, her = mallory.device, victim.device

    def revoke(message: Map) -> int:
        code, request_id = refused(line, message, "device_revoke")
        assert request_id == message["revocation_id"]
        return code

    assert revoke(me.revocation(her.device_id)) == 4001
    assert revoke(her.revocation(her.device_id)) == 4001
    assert revoke(me.revocation(new_id())) == 4001
    assert revoke({**me.revocation(me.device_id), "signature": bytes(64)}) == 2005
    assert revoke({**me.revocation(me.device_id), "signed_by": "device"}) == 2005
    assert revoke({**me.revocation(me.device_id), "signed_by": "server"}) == 2005


def test_a_revoked_device_is_out(home: Node) -> None:
    """By its own word; nobody can write to it or ask for its keys, and it does not come back."""
    lost, friend = talker(home, "lost"), talker(home, "friend")
    with lost.device.connected() as line, friend.device.connected() as other:
        conversation = direct(other, friend, lost.device.user_id)
        friend.send(other, conversation, "Are you there?")
        lost.receive(line)
        line.send(lost.device.revocation(lost.device.device_id, by="device"))
        assert line.end() == (1003, 1008)
        message = sealed(other, friend, conversation)
        ack = friend.submit(other, message)
        assert (ack["error_code"], friend.device.learn_stale(ack)[0].user_id) == (2002, friend.device.user_id)
        assert friend.device.ask(other, lost.device.user_id) == []
        with Connection(home.place) as again:
            again.send(lost.device.auth_request(again))
            assert again.end() == (1000, 1008)


def test_unknown_sessions_of_others(line: Connection, mallory: Talker, victim: Talker) -> None:
    me, her = mallory.device, victim.device
    lie: Map = {
        "type": "session_key_exchange",
        "session_id": new_id(),
        "sender_user": her.user_id,
        "sender_device": her.device_id,
        "target_user": me.user_id,
        "target_device": me.device_id,
        "status": "unknown",
        "timestamp": now(),
    }
    line.send(signed(lie, me.key, "session:v1"))
    with pytest.raises(AnsweredError) as error:
        line.expect("session_key_exchange")
    assert error.value.code == 2005


def test_an_open_without_a_message(mallory: Talker, victim: Talker) -> None:
    with mallory.device.connected() as line:
        message = sealed(line, mallory, direct(line, mallory, victim.device.user_id))
        wrap = inner(message, "encrypted_keys")[victim.device.device_id]
        assert isinstance(wrap, dict)
        line.send(inner(wrap, "open"))
        assert line.end() == (3002, 1008)


# --- Rates ---

NARROW = """
[limits]
registrations_per_hour = 4
messages_per_minute = 1
messages_burst = 5
key_lookups_per_minute = 4

[registration]
open = true
difficulty = 1
"""


def test_rates_hold_across_connections(tmp_path: Path) -> None:
    """A device that comes back has not earned anything by it."""
    with node(tmp_path, NARROW) as narrow:
        one, two = talker(narrow, "one"), talker(narrow, "two")
        with one.device.connected() as line:
            conversation = direct(line, one, two.device.user_id)
            for number in range(3):  # its first bundle and its conversation were stored, too
                one.send(line, conversation, f"No. {number}")
        with one.device.connected() as line:
            over = sealed(line, one, conversation)
            code, request_id = refused(line, over, "message_ack")
            assert (code, request_id) == (6001, over["message_id"])
        with one.device.connected() as line:
            codes = []
            for _ in range(4):
                try:
                    one.device.ask(line, two.device.user_id)
                except AnsweredError as error:
                    codes.append(error.code)
            assert codes[-1:] == [6004]
        talker(narrow, "three")
        talker(narrow, "four")
        late = Device(narrow.place, "late@localhost")
        with Connection(narrow.place) as line:
            line.send(late.registration())
            assert line.end() == (6005, 1008)
