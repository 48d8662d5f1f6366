"""Receipts: the recorded one, and that each holds for one message, one ciphertext, one device."""

import pytest

from norc_actors.crypto.errors import BadSignatureError
from norc_actors.protocol.errors import ProtocolError
from norc_actors.protocol.receipts import make_receipt, verify_receipt
from tests.support.people import ALGORITHMS, NOW, Person, make_server
from tests.vectors.files import holds, recorded

MESSAGE, CONVERSATION = "7cc20276-13e6-4034-8190-a6efb59c006a", "2cd6bf73-5d0d-4567-96b2-70548f57d0df"


@recorded("messages", "receipts", "refused_receipts")
def test_recorded(entry):
    assert holds(entry)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("status", ["delivered", "read"])
def test_a_receipt_holds_for_one_thing(algorithm, status):
    bob = Person("bob", make_server(), algorithm=algorithm)
    phone, other = bob.phone(), bob.phone()
    named = {"message_id": MESSAGE, "conversation_id": CONVERSATION, "ciphertext_hash": b"h" * 32}
    receipt = make_receipt(
        phone.key, **named, status=status, user_id=bob.user_id, device_id=phone.id, timestamp_us=NOW * 10**6
    )
    device = bob.device(phone)
    assert verify_receipt(receipt, device, **named).status == status
    for change in ({"ciphertext_hash": b"i" * 32}, {"message_id": CONVERSATION}, {"conversation_id": MESSAGE}):
        with pytest.raises(BadSignatureError):
            verify_receipt(receipt, device, **{**named, **change})
        with pytest.raises(BadSignatureError):
            verify_receipt({**receipt, **change}, device, **{**named, **change})
    flipped = "read" if status == "delivered" else "delivered"
    for change in ({"status": flipped}, {"timestamp": NOW * 10**6 + 1}, {"device_id": other.id}):
        with pytest.raises(BadSignatureError):
            verify_receipt({**receipt, **change}, device, **named)
    with pytest.raises(BadSignatureError):
        verify_receipt(receipt, bob.device(other), **named)
    with pytest.raises(BadSignatureError):
        verify_receipt(receipt, bob.device(phone, revoked_at=NOW), **named)
    with pytest.raises(ProtocolError):
        verify_receipt({**receipt, "signature": b""}, device, **named)
