"""What one device does to others through the node: it floods, it forges, it sends what they cannot take."""

import copy
from collections.abc import Iterator

import pytest

from .device import Device
from .forms import Map, Value, inner, new_id, pack
from .harness import Node, Person
from .letters import make_receipt, make_state, now_us
from .papers import now, signed
from .primitives import SigningKey
from .talk import Talker, direct, talker
from .wire import AnsweredError, Connection, EndedError

pytestmark = pytest.mark.usefixtures("unharmed")


def test_a_flood_of_questions_ends_nobody_elses_connection(home: Node) -> None:
    """Whoever does not read at once loses questions, which may be lost, and no message."""
    mallory, victim, friend = (talker(home, name) for name in ("mallory", "victim", "friend"))
    question = signed(
        {
            "type": "session_key_exchange",
            "session_id": new_id(),
            "sender_user": mallory.device.user_id,
            "sender_device": mallory.device.device_id,
            "target_user": victim.device.user_id,
            "target_device": victim.device.device_id,
            "status": "unknown",
            "timestamp": now(),
        },
        mallory.device.key,
        "session:v1",
    )
    with mallory.device.connected() as line, victim.device.connected() as other, friend.device.connected() as third:
        for _ in range(3000):
            line.send(question)
        line.roundtrip()
        friend.send(third, direct(third, friend, victim.device.user_id), "Is all well?")
        assert victim.receive(other).text == "Is all well?"


def test_a_message_that_no_device_could_take(home: Node) -> None:
    """With the sender's name in place of the recipients' it would be longer than a frame: refused, not lost."""
    mallory, victim = talker(home, "m" * 55), talker(home, "victim")
    with mallory.device.connected() as line, victim.device.connected() as other:
        conversation = direct(line, mallory, victim.device.user_id)
        good = mallory.prepare(line, conversation, "Hello", classification="unclassified").message
        room = 1024 * 1024 - 16 - len(pack({**good, "ciphertext": b""})) - 3
        ack = mallory.submit(line, {**good, "message_id": new_id(), "ciphertext": bytes(room)})
        assert (ack["status"], ack["error_code"]) == ("failed", 2003)
        assert (
            mallory.submit(line, {**good, "message_id": new_id(), "ciphertext": bytes(room - 500)})["status"] == "sent"
        )
        assert mallory.submit(line, good)["status"] == "sent"
        assert len(pack(other.expect("message_received"))) <= 1024 * 1024 - 16
        assert victim.receive(other).text == "Hello"


def test_messages_that_one_device_does_not_take_are_not_in_its_way(home: Node) -> None:
    """More of them than may be under way; a connection that takes them gets them."""
    mallory, victim = talker(home, "mallory"), talker(home, "victim")
    with mallory.device.connected() as line:
        conversation = direct(line, mallory, victim.device.user_id)
        good = mallory.prepare(line, conversation, "Hello", classification="unclassified").message
        large: Map = {**good, "ciphertext": bytes(65536)}
        for _ in range(129):
            line.send({**large, "message_id": new_id()})
        for _ in range(129):
            assert line.expect("message_ack")["status"] == "sent"
        mallory.submit(line, good)
        with victim.device.connected(change=narrow) as other:
            assert victim.receive(other).text == "Hello"
        with victim.device.connected() as other:
            assert len(pack(other.expect("message_received"))) > 65536


def narrow(request: Map) -> None:
    """Take no frame over 64 KiB."""
    request["max_frame"] = 65536


def test_a_record_as_long_as_a_frame(home: Node) -> None:
    """Nobody could be answered who asks for this user's keys."""
    large = Device(home.place, f"large-{new_id()[:8]}@localhost", suites=["0001", *("x" * 1000 for _ in range(60))])
    with pytest.raises(AnsweredError) as refused:
        large.enrol()
    assert refused.value.code == 1000


def test_what_is_passed_on_is_what_was_signed(home: Node) -> None:
    """Members of a later version survive: a held registration, a revocation, a question."""
    first = talker(home, "oda")
    second = Device(home.place, first.device.user_id, user_key=first.device.user_key)
    with first.device.connected() as line, Connection(home.place) as waiting:
        register: Map = {**second.registration(further=True), "mood": {"of": [b"\x00"]}}
        second.ask_to_register(waiting, register)
        held = line.expect("device_register")
        assert held == register
        with first.device.connected() as newer:
            assert newer.expect("device_register") == register
            approval = first.device.approval(held)
            newer.send(approval)
            assert newer.expect("device_register") == approval
            second.enrolled(waiting)
            second.authenticate(waiting)
            revoke = {**first.device.revocation(second.device_id), "where": "on a train"}
            revoke = signed(revoke, first.device.user_key, "device-revoke:v1")
            newer.send(revoke)
            assert newer.expect("device_revoke") == revoke


@pytest.fixture
def forger(home: Node) -> Talker:
    """Somebody to whom the real client writes."""
    return talker(home, "forger")


def test_forged_receipts_convince_nobody(home: Node, bob: Person, forger: Talker) -> None:
    """The real client takes a receipt of the device that it wrote to, for what it wrote, signed; and no other."""
    device = forger.device
    with device.connected() as line, bob.chat(device.user_id) as chat:
        for number, forge in enumerate((by_another_key, for_another_text, for_another_message, in_anothers_name)):
            chat.say(f"No. {number}")
            got = forger.take(line, line.expect("message_received"))
            named = got.received["message_id"]
            chat.see("status", status="sent", message_id=named)
            acknowledge(line, named, "delivered", forge(device, got.received))
            forger.acknowledge(line, got, "read")
            assert chat.see("status", message_id=named)["status"] == "read", forge.__name__


def acknowledge(line: Connection, message_id: Value, status: str, receipt: Map) -> None:
    line.send(
        {"type": "message_ack", "message_id": message_id, "status": status, "timestamp": now_us(), "receipt": receipt}
    )


def by_another_key(device: Device, received: Map) -> Map:
    other = copy.copy(device)
    other.key = SigningKey()
    return make_receipt(other, received, "delivered")


def for_another_text(device: Device, received: Map) -> Map:
    return make_receipt(device, {**received, "ciphertext": b"?" * 64}, "delivered")


def for_another_message(device: Device, received: Map) -> Map:
    return make_receipt(device, {**received, "message_id": new_id()}, "delivered")


def in_anothers_name(device: Device, received: Map) -> Map:
    other = copy.copy(device)
    other.device_id = new_id()
    return make_receipt(other, received, "delivered")


# --- Nothing restarts ---

STRANGE: list[Value] = [2**53 - 1, True, "\u0000", b"", [[]], {"type": "x"}]


def strange(plain: Map) -> Iterator[Map]:
    """A map with one member less, or of another kind."""
    for name in plain:
        yield {other: value for other, value in plain.items() if other != name}
        yield from ({**plain, name: value} for value in STRANGE if type(value) is not type(plain[name]))


def papers(mallory: Talker, friend: Talker, line: Connection) -> dict[str, tuple[Map, str]]:
    """Messages with a map inside that another is to judge, and the member that has it."""
    me = mallory.device
    conversation = direct(line, mallory, friend.device.user_id)
    people = {
        me.user_id: ("owner", me.user_key.public),
        friend.device.user_id: ("member", friend.device.user_key.public),
    }
    state = make_state("group", people)
    message = mallory.prepare(line, conversation, "Hello", classification="unclassified").message
    [device] = inner(message, "encrypted_keys")
    bundle = me.prekeys.new_bundle(me.key, me.user_id, me.device_id, hybrid=True)
    [one_time] = me.prekeys.new_one_time(me.key, 1)
    assert isinstance(one_time, dict)
    receipt: Map = {"type": "message_ack", "message_id": new_id(), "status": "read", "timestamp": 1}
    receipt["receipt"] = make_receipt(me, message, "read")
    return {
        "state": ({**mallory.carrier("conversation_create", state), "conversation_type": "group"}, "state"),
        "update": (mallory.carrier("conversation_update", make_state("group", people, state, me.key)), "state"),
        "bundle": ({"type": "prekey_upload", "bundle": bundle}, "bundle"),
        "receipt": (receipt, "receipt"),
        "wrap": (message, f"encrypted_keys.{device}"),
        "open": (message, f"encrypted_keys.{device}.open"),
        "metadata": (message, "metadata"),
        "settings": ({**mallory.carrier("conversation_create", state), "conversation_type": "group"}, "state.settings"),
    }


def test_nothing_that_a_device_sends_restarts_anything(home: Node) -> None:
    """Every paper with every member missing or of another kind: refused, and no part of the node notices."""
    mallory, friend = talker(home, "mallory"), talker(home, "friend")
    with mallory.device.connected() as line:
        cases = papers(mallory, friend, line)
    stack: list[Map] = []
    for message, where in cases.values():
        *outer, last = where.split(".")
        for change in strange(paper(message, where)):
            whole = copy.deepcopy(message)
            at = whole
            for name in outer:
                at = inner(at, name)
            at[last] = change
            stack.append(whole)
    while stack:
        try:
            with mallory.device.connected() as line:
                while stack:
                    line.send(stack.pop())
                    answered(line)
        except EndedError:
            continue  # malformed: the next connection goes on
    assert home.log.terminations() == []


def paper(message: Map, where: str) -> Map:
    for name in where.split("."):
        message = inner(message, name)
    return message


def answered(line: Connection) -> None:
    """Wait until the message before has its answer."""
    try:
        line.roundtrip()
    except AnsweredError as error:
        if error.code == 9000:
            raise
        answered(line)
