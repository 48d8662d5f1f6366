"""Messages: one wrap for one device, bodies by type, closed lists."""

from norc_actors.protocol import messages as m
from norc_actors.protocol.messages import message
from norc_actors.protocol.schema import Map
from tests.support.rules import Broken, accepted, each, keeps_to_its_form, refused, types_of
from tests.support.samples import sample

ONE, TWO = (f"8730f70d-c056-4103-9108-3d814ee5a7d{n}" for n in "ab")
WRAP = sample(m.Wrap, full=True)

BROKEN: list[Broken] = [
    (m.MessageReceived, {"encrypted_keys": {}}),
    (m.MessageReceived, {"encrypted_keys": {ONE: WRAP, TWO: WRAP}}),
    (m.MessageReceived, {"sequence_number": -1}),
    (m.MessageSend, {"ciphertext": bytes(15)}),
    (m.MessageSend, {"recipients": ("bob",)}),
    (m.MessageSend, {"suite": "9999"}),
    (m.Metadata, {"classification": "restricted"}),
    (m.MessageAck, {"status": "seen"}),
    (m.ReadReceipt, {"status": "sent"}),
    (m.Inner, {"message_type": "text", "body": {}}),
    (m.Inner, {"message_type": "file", "body": "x"}),
    (m.Inner, {"message_type": "sticker"}),
]


@types_of(message)
def test_every_type_keeps_to_its_form(kind: type[Map]) -> None:
    assert keeps_to_its_form(kind)


@each(BROKEN)
def test_a_broken_rule(kind: type[Map], changes: dict[str, object]) -> None:
    assert refused(kind, changes)


def test_bodies_by_type() -> None:
    accepted(m.Inner, message_type="text", body="")
    for kind in m.BODIES:
        accepted(m.Inner, message_type=kind, body={"free": 1})
