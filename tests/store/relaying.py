"""Operations between servers, for the store's tests: this server is example.org."""

import uuid

from norc_actors.protocol.registry import CODES
from norc_actors.store.messages import (
    Accept,
    AcceptRelay,
    Acknowledge,
    Enqueue,
    Forward,
    Relaying,
    RemoteReceipt,
    Settle,
    Supplement,
)
from norc_actors.store.operations import NORMAL

OWN, EAST, WEST = "example.org", "east.example", "west.example"
ALICE, ALICE_2, BOB, ERNA, ERNA_2 = (str(uuid.UUID(int=n)) for n in range(1, 6))
TALK = str(uuid.UUID(int=100))
NOW = 1_800_000_000
RELAY = CODES["message_relay"]


def message_id(number: int) -> str:
    return str(uuid.UUID(int=1000 + number))


def relaying(federation_id: str, target: str = EAST, **more: int) -> Relaying:
    values = {"priority": NORMAL, "created_at": NOW, "expires_at": NOW + 1000, "code": RELAY} | more
    return Relaying(target=target, federation_id=federation_id, body=f"relay {federation_id}".encode(), **values)


def accept(number: int, *relays: Relaying, devices: tuple[str, ...] = ()) -> Accept:
    """Alice's message to devices here, and to other servers."""
    return Accept(
        sender_user=f"alice@{OWN}",
        sender_device=ALICE,
        message_id=message_id(number),
        conversation_id=TALK,
        accepted_at=NOW,
        expires_at=None,
        payload=b"payload",
        deliveries=[(device, b"wrap") for device in devices],
        relays=relays,
    )


def supplement(number: int, *relays: Relaying, devices: tuple[str, ...] = ()) -> Supplement:
    return Supplement(
        sender_user=f"alice@{OWN}",
        sender_device=ALICE,
        message_id=message_id(number),
        expires_at=None,
        payload=b"payload",
        deliveries=[(device, b"more") for device in devices],
        relays=relays,
    )


def relay(federation_id: str, number: int, *devices: str, wrap: bytes = b"wrap", **more: object) -> AcceptRelay:
    """Erna's message, from the east, for devices here."""
    values: dict[str, object] = {"origin": EAST, "remote": EAST, "accepted_at": NOW} | more
    return AcceptRelay(
        federation_id=federation_id,
        sender_user=f"erna@{EAST}",
        sender_device=ERNA,
        message_id=message_id(number),
        conversation_id=TALK,
        expires_at=None,
        payload=b"payload from the east",
        deliveries=[(device, wrap) for device in devices],
        ack=f"ack of {federation_id}".encode(),
        **values,
    )


def forward(federation_id: str, *, origin: str = EAST, target: str = WEST, now: int = NOW) -> Forward:
    """A relay from the east that goes on to the west."""
    relayed = relaying(federation_id, target, created_at=now)
    return Forward(origin=origin, remote=origin, message_id=message_id(0), relaying=relayed)


def ack(number: int, device: str, status: str = "delivered", receipt: bytes | None = b"r") -> Acknowledge:
    return Acknowledge(
        device_id=device,
        message_id=message_id(number),
        conversation_id=TALK,
        status=status,
        receipt=receipt,
        now=NOW,
    )


def remote_receipt(number: int, device: str = ERNA, status: str = "delivered", **more: object) -> RemoteReceipt:
    values: dict[str, object] = {"from_server": EAST, "conversation_id": TALK} | more
    return RemoteReceipt(
        message_id=message_id(number), device_id=device, status=status, receipt=b"from afar", now=NOW, **values
    )


def enqueue(body: bytes = b"body", *, target: str = EAST, **more: object) -> Enqueue:
    values: dict[str, object] = {"priority": NORMAL, "created_at": NOW, "expires_at": NOW + 1000} | more
    return Enqueue(target=target, code=CODES["device_revoke"], body=body, **values)


def settle(federation_id: str, *notices: bytes, target: str = EAST, **more: object) -> Settle:
    return Settle(target=target, federation_id=federation_id, now=NOW, notices=notices, **more)
