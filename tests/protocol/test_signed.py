"""The table of signed members names what there is; what it says of a member holds where the formula is at hand."""

import copy
from typing import Any

import pytest

from norc_actors.crypto.errors import BadSignatureError
from norc_actors.crypto.labels import SIGN_LABELS
from norc_actors.crypto.signatures import verify
from norc_actors.protocol import messages as m
from norc_actors.protocol.canonical import canonical
from norc_actors.protocol.codec import to_map
from norc_actors.protocol.errors import ProtocolError
from norc_actors.protocol.receipts import make_receipt, verify_receipt
from norc_actors.protocol.schema import Map
from norc_actors.protocol.signed import SIGNED, signed_as
from tests.support.messages import LEGACY, MAPS, MESSAGES
from tests.support.people import NOW
from tests.support.world import World

KINDS: list[type[Map]] = [*MESSAGES, *LEGACY, *MAPS]


@pytest.mark.parametrize("kind", SIGNED, ids=lambda kind: kind.__name__)
def test_members_and_labels_exist(kind: type[Map]) -> None:
    signed = SIGNED[kind]
    assert signed.label in SIGN_LABELS
    assert {*signed.less, *(signed.only or ())} <= set(kind.__struct_fields__)
    assert any(signed.covers(member) for member in kind.__struct_fields__)
    assert not signed.covers("signature") or "signature" not in kind.__struct_fields__


def test_whatever_has_a_signature_is_in_the_table() -> None:
    elsewhere = {m.RegistrationResponse}  # its signature is over the device_register and the challenge
    for kind in KINDS:
        signed = signed_as(kind)
        if "signature" in kind.__struct_fields__ and kind not in elsewhere:
            assert signed is not None, kind.__name__
        if signed is not None:
            assert signed.label in SIGN_LABELS


def test_every_trust_label_signs_a_type() -> None:
    used = {signed.label for kind in KINDS if (signed := signed_as(kind)) is not None}
    assert {label for label in SIGN_LABELS if label.startswith("trust-")} - used == {"trust-proof:v1"}
    assert SIGN_LABELS - used == {"trust-proof:v1", "device-rotate:v1"}


def test_receipts_cover_what_the_table_says(world: World) -> None:
    names: Any = {"message_id": world.phone.id, "conversation_id": world.state.conversation_id}
    names["ciphertext_hash"] = b"h" * 32
    receipt = make_receipt(
        world.bobs.key, **names, status="read", user_id=world.bob.user_id, device_id=world.bobs.id,
        timestamp_us=NOW * 10**6,
    )  # fmt: skip
    verify_receipt(receipt, world.bob_device, **names)
    for member in m.ReadReceipt.__struct_fields__:
        changed = copy.deepcopy(receipt)
        changed[member] = _other(changed[member])
        assert SIGNED[m.ReadReceipt].covers(member) == (member != "signature")
        with pytest.raises((BadSignatureError, ProtocolError)):
            verify_receipt(changed, world.bob_device, **names)


def test_bundles_cover_what_the_table_says(world: World) -> None:
    bundle = copy.deepcopy(world.bobs.entry["bundle"])
    signature = bundle["signature"]
    signed = SIGNED[m.Bundle]
    for member in m.Bundle.__struct_fields__:
        if member not in bundle:
            continue
        form = canonical(bundle | {member: _other(bundle[member])}, less=signed.less)
        if not signed.covers(member):
            verify(world.bobs.key.public_key, signed.label, form, signature)
            continue
        with pytest.raises(BadSignatureError):
            verify(world.bobs.key.public_key, signed.label, form, signature)


def test_messages_cover_what_the_table_says(world: World) -> None:
    received = world.to_bob(world.a.send("signed", world.targets))
    plain = to_map(received)
    for member in ("sequence_number", "metadata"):
        assert SIGNED[m.MessageReceived].covers(member)
        assert member in plain
    assert not SIGNED[m.MessageReceived].covers("accepted_at")


def _other(value: Any) -> Any:
    if isinstance(value, bytes):
        return bytes([value[0] ^ 1]) + value[1:]
    if isinstance(value, int):
        return value + 1
    return value[:-1] + ("0" if value[-1] != "0" else "1")
