"""A group that the real client makes, with outsiders of every kind in it."""

from .forms import inner
from .harness import Node, Person
from .papers import fingerprint
from .talk import talker


def test_a_group_of_the_real_client(home: Node, bob: Person) -> None:
    """Whoever did not make a group learns its state, its name and its members from what comes. Every session has a
    suite of its own, the message the best that all devices run."""
    members = [
        talker(home, "oda"),
        talker(home, "pia", suites=["0102", "0002"], algorithm="p256"),
        talker(home, "eva", suites=["0001", "0002"]),
        talker(home, "ned", suites=["0002"], algorithm="p256"),
    ]
    [made] = bob.norc("group", "create", "Lighthouse", *(one.device.user_id for one in members))
    group = str(made["conversation_id"])
    sessions = []
    with bob.chat(group) as chat:
        chat.say("The lamp is lit.")
        for one in members:
            with one.device.connected() as line:
                assert inner(one.receive(line).inner, "body") == {"name": "Lighthouse"}
                got = one.receive(line)
                assert (got.text, got.received["suite"]) == ("The lamp is lit.", "0002")
                wrap = inner(inner(got.received, "encrypted_keys"), one.device.device_id)
                sessions.append(inner(wrap, "open")["suite"])
        assert sessions == ["0101", "0102", "0001", "0002"]
        oda, pia = members[:2]
        with oda.device.connected() as line, pia.device.connected() as other:
            answer = oda.send(line, group, "I see it.")
            assert chat.see("message", sender=oda.device.user_id)["text"] == "I see it."
            assert pia.receive(other).text == "I see it."
            answered = {oda.receipt(line, answer, "delivered").user_id for _ in range(2)}
            assert answered == {bob.user_id, pia.device.user_id}


def test_both_show_the_same_fingerprint(home: Node, bob: Person) -> None:
    """What two people compare: 60 digits, the same at the real client and here."""
    one = talker(home, "oda", algorithm="p256").device
    with one.connected() as line:
        one.ask(line, bob.user_id)
    ours = fingerprint((one.user_id, one.user_key.public), (bob.user_id, one.pins[bob.user_id]))
    [theirs] = bob.norc("verify", one.user_id, "--no-qr")
    assert str(theirs["fingerprint"]).replace(" ", "") == ours
