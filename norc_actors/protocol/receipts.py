"""Signed receipts, `delivered` and `read` (section 6; §10.1's proof of delivery).

A receipt is a `read_receipt` map for both statuses, in whatever it travels: the receiving device's signature
(`receipt:v1`) over canonical{message_id, conversation_id, ciphertext_hash, status, user_id, device_id, timestamp}. The
hash binds it to the very ciphertext that the sender sent, under the suite of that message: a server can neither
invent a receipt nor move it to another message.
"""

from typing import Literal

from norc_actors.crypto.errors import BadSignatureError
from norc_actors.crypto.secret import same
from norc_actors.crypto.signatures import Signer, verify

from .canonical import canonical
from .codec import convert
from .devices import Device
from .messages import ReadReceipt
from .schema import SignedMap

Status = Literal["delivered", "read"]
SIGNED_MEMBERS = ("message_id", "conversation_id", "ciphertext_hash", "status", "user_id", "device_id", "timestamp")


def _body(receipt: SignedMap) -> bytes:
    return canonical({name: receipt[name] for name in SIGNED_MEMBERS})


def make_receipt(
    device_key: Signer,
    *,
    message_id: str,
    conversation_id: str,
    ciphertext_hash: bytes,
    status: Status,
    user_id: str,
    device_id: str,
    timestamp_us: int,
) -> SignedMap:
    """A `read_receipt` map by the receiving device (user_id, device_id); `timestamp_us` in microseconds."""
    receipt: SignedMap = {
        "type": "read_receipt",
        "message_id": message_id,
        "conversation_id": conversation_id,
        "ciphertext_hash": ciphertext_hash,
        "status": status,
        "user_id": user_id,
        "device_id": device_id,
        "timestamp": timestamp_us,
    }
    receipt["signature"] = device_key.sign("receipt:v1", _body(receipt))
    return receipt


def verify_receipt(
    receipt: SignedMap, device: Device, *, message_id: str, conversation_id: str, ciphertext_hash: bytes
) -> ReadReceipt:
    """The typed receipt if `device` signed it for this very message; else `BadSignatureError`.

    Judged by the keys that were in force at the receipt's own timestamp.
    """
    typed = convert(receipt, ReadReceipt)
    if (typed.user_id, typed.device_id) != (device.user_id, device.device_id):
        raise BadSignatureError("a receipt of another device")
    if (typed.message_id, typed.conversation_id) != (message_id, conversation_id):
        raise BadSignatureError("a receipt for another message")
    if not same(typed.ciphertext_hash, ciphertext_hash):
        raise BadSignatureError("a receipt for another ciphertext")
    body = _body(receipt)
    for key in device.keys_at(typed.timestamp // 1_000_000):
        try:
            verify(key, "receipt:v1", body, typed.signature)
        except BadSignatureError:
            continue
        return typed
    raise BadSignatureError("not signed by the device that it names")
