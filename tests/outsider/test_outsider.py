"""The outsider and the real client: each writes, reads, and signs receipts that the other takes."""

from collections.abc import Iterator

import pytest

from .device import Device, Link
from .forms import Map, inner
from .harness import Chat, Node, Person
from .papers import device_code, now, signed
from .talk import Talker, direct, talker
from .wire import Connection

SUITES = [
    ("ed25519", ["0101", "0102", "0001", "0002"], "0101"),
    ("p256", ["0102", "0002"], "0102"),
    ("ed25519", ["0001"], "0001"),
    ("p256", ["0002"], "0002"),
]


@pytest.fixture(scope="module")
def invitation(home: Node) -> str:
    """What the operator gives to Oda."""
    return home.invite("oda")


@pytest.fixture(scope="module")
def oda(home: Node, invitation: str) -> Talker:
    """A user with one device of ours."""
    device = Device(home.place, "oda@localhost")
    device.enrol(invitation)
    return Talker(device)


@pytest.fixture(scope="module")
def chat(oda: Talker, bob: Person) -> Iterator[Chat]:
    """Bob, who writes to Oda and sees what comes from anybody."""
    with bob.chat(oda.device.user_id) as running:
        yield running


def test_a_conversation(oda: Talker, bob: Person, chat: Chat) -> None:
    """A message and its receipts, there and back."""
    with oda.device.connected() as line:
        conversation = direct(line, oda, bob.user_id)
        sent = oda.send(line, conversation, "Good evening")
        assert chat.see("message", sender=oda.device.user_id)["text"] == "Good evening"
        assert oda.receipt(line, sent, "delivered").user_id == bob.user_id
        oda.receipt(line, sent, "read")

        chat.say("And to you")
        got = oda.receive(line)
        assert (got.text, got.received["suite"]) == ("And to you", "0101")
        chat.see("status", status="delivered", message_id=got.received["message_id"])
        oda.acknowledge(line, got, "read")
        chat.see("status", status="read", message_id=got.received["message_id"])

        again = oda.send(line, conversation, "The session is open now", classification="secret")
        assert all("open" not in wrap for wrap in inner(again, "encrypted_keys").values() if isinstance(wrap, dict))
        shown = chat.see("message", sender=oda.device.user_id)
        assert (shown["text"], shown["classification"]) == ("The session is open now", "secret")


@pytest.mark.parametrize(("algorithm", "suites", "spoken"), SUITES, ids=[spoken for _, _, spoken in SUITES])
def test_every_suite(home: Node, bob: Person, chat: Chat, algorithm: str, suites: list[str], spoken: str) -> None:
    """Sessions and messages in all suites, from devices with keys of both kinds."""
    one = talker(home, "one", suites=suites, algorithm=algorithm)
    with one.device.connected() as line:
        sent = one.send(line, direct(line, one, bob.user_id), f"In {spoken}")
        assert sent["suite"] == spoken
        assert chat.see("message", sender=one.device.user_id)["text"] == f"In {spoken}"
        one.receipt(line, sent, "read")


def test_a_lost_session_is_opened_anew(oda: Talker, bob: Person, chat: Chat) -> None:
    """A receiver without the session says so, and the real client sends the same message under a new one."""
    device = oda.device
    with device.connected() as line:
        chat.say("With a session that is gone")
        received = line.expect("message_received")
        wrapped = inner(inner(received, "encrypted_keys"), device.device_id)
        line.send(unknown_session(device, received, wrapped))
        again = line.expect("message_received", where=lambda message: message.get("supplement") is True)
        renewed = inner(inner(again, "encrypted_keys"), device.device_id)
        assert renewed["session_id"] != wrapped["session_id"]
        assert again["ciphertext"] == received["ciphertext"]
        got = oda.take(line, again)
        oda.acknowledge(line, got, "delivered")
        assert got.text == "With a session that is gone"
        chat.see("status", status="delivered", message_id=received["message_id"])


def test_a_further_device(home: Node, oda: Talker, bob: Person, chat: Chat) -> None:
    """One outsider lets another in by its code; from then on both get everything, and a stale list is mended."""
    phone = Talker(Device(home.place, oda.device.user_id, user_key=oda.device.user_key))
    with oda.device.connected() as line, Connection(home.place, pinned=oda.device.server_key) as waiting:
        conversation = direct(line, oda, bob.user_id)
        register = phone.device.registration(further=True)
        phone.device.ask_to_register(waiting, register)
        held = line.expect("device_register")
        assert device_code(held) == device_code(register)
        line.send(oda.device.approval(held))
        line.expect("device_register")
        phone.device.enrolled(waiting)
        phone.device.authenticate(waiting)
        phone.device.upload(waiting)

        sealed = oda.prepare(line, conversation, "Two devices", peers=[], classification="unclassified")
        ack = oda.submit(line, sealed.message)
        assert ack["error_code"] == 2002
        assert {peer.user_id for peer in oda.mend(sealed, ack)} == {bob.user_id, oda.device.user_id}
        assert oda.submit(line, sealed.message)["status"] == "sent"
        assert phone.receive(waiting).text == "Two devices"
        chat.see("message", sender=oda.device.user_id, text="Two devices")
        chat.say("Both of you")
        assert {oda.receive(line).text, phone.receive(waiting).text} == {"Both of you"}

        revoke = oda.device.revocation(phone.device.device_id)
        line.send(revoke)
        assert line.expect("device_revoke") == revoke
        assert waiting.end() == (1003, 1008)


def test_a_group_of_the_outsider(home: Node, oda: Talker, bob: Person, chat: Chat) -> None:
    """An outsider makes a group, takes somebody in, sends in parts; who came in puts somebody out."""
    eva = talker(home, "eva")
    me, her = oda.device.user_id, eva.device.user_id
    with oda.device.connected() as line, eva.device.connected() as other:
        oda.device.ask(line, bob.user_id, her)
        group = oda.create(line, "group", {me: "owner", bob.user_id: "member"})
        oda.send(line, group, "Two of us")
        assert chat.see("message", conversation_id=group)["text"] == "Two of us"
        oda.change(line, group, {me: "owner", bob.user_id: "member", her: "admin"})

        sealed = oda.prepare(line, group, "Three of us, in parts", classification="unclassified")
        first, second = inner(sealed.message, "encrypted_keys").items()
        line.send({**sealed.message, "encrypted_keys": dict([first]), "more": True})
        last = {**sealed.message, "encrypted_keys": dict([second]), "supplement": True}
        assert oda.submit(line, last)["status"] == "sent"
        assert chat.see("message", conversation_id=group)["text"] == "Three of us, in parts"
        assert eva.receive(other).text == "Three of us, in parts"

        eva.change(other, group, {me: "owner", her: "admin"})
        said = eva.send(other, group, "Two again")
        assert said["recipients"] == [me]
        got = oda.receive(line)
        assert (got.text, got.received["epoch"]) == ("Two again", 3)


def test_an_invitation_works_once(home: Node, oda: Talker, invitation: str) -> None:
    """The link names the server's key; its token lets one device in."""
    link = Link(invitation)
    with Connection(home.place, key_hashes=link.key_hashes) as line:
        second = Device(home.place, oda.device.user_id)
        second.ask_to_register(line, second.registration(link.token))
        assert line.end() == (1000, 1008)


def unknown_session(device: Device, received: Map, wrapped: Map) -> Map:
    """`session_key_exchange{status: unknown}`."""
    return signed(
        {
            "type": "session_key_exchange",
            "session_id": wrapped["session_id"],
            "sender_user": device.user_id,
            "sender_device": device.device_id,
            "target_user": received["sender_user"],
            "target_device": received["sender_device"],
            "status": "unknown",
            "timestamp": now(),
        },
        device.key,
        "session:v1",
    )
