"""From a message to its relays and back: nothing that a device signed changes, each server gets its own part."""

import pytest

from norc_actors.crypto.signatures import SigningKey
from norc_actors.ids import ServerId, server_of
from norc_actors.protocol.codec import convert, decode_as, decode_map, encode_map
from norc_actors.protocol.delivery import shared_part, with_wrap, wraps_of
from norc_actors.protocol.errors import Code, ProtocolError
from norc_actors.protocol.messages import MessageAck, MessageReceived, MessageRelay, RelayAck
from norc_actors.protocol.relay import sent_directly, sign_ack, sign_relay, verify_relay
from norc_actors.protocol.relaying import (
    Share,
    answers_of,
    as_send,
    code_named,
    judge_relay,
    on_link,
    payload_of,
    receipts_ack,
    relay_ack,
    relay_of,
    told,
)
from tests.protocol.test_delivery import CASES, received
from tests.support.people import NOW, seeded

KEY = SigningKey.generate("ed25519", seeded("origin"))
FEDERATION_ID = "05c7f17a-e8a8-42f3-8d8e-5fd32f0b81f6"
OTHER = "00000000-355f-4cd1-80d7-8e33abf18153"
ENTRY = {"record": {"device_id": OTHER}}


def sender_of(case):
    first = decode_map(bytes.fromhex(case["devices"][0]["message_received"]["msgpack"]))
    return first["sender_user"], first["sender_device"]


def relayed(case, *, devices=None, **changes):
    """The relay of a recorded message for the server of its first recipient, as that server reads it."""
    message = received(case, **changes)
    user, device = sender_of(case)
    target = server_of(message.message.recipients[0])
    users = tuple(one for one in message.message.recipients if server_of(one) == target)
    chosen = tuple(message.message.encrypted_keys)[:devices]
    plain = relay_of(
        message,
        Share(target=target, users=users, devices=chosen),
        federation_id=FEDERATION_ID,
        origin=server_of(user),
        sender_user=user,
        sender_device=device,
        priority="normal",
    )
    sent = sent_directly(on_link(sign_relay(KEY, plain), epoch=1, sequence=1), server_of(user), NOW * 10**6)
    return message, decode_as(MessageRelay, encode_map(sent))


@pytest.mark.parametrize("case", CASES)
def test_a_device_elsewhere_gets_what_a_device_here_would(case):
    message, relay = relayed(case)
    verify_relay(relay.map, KEY.public_key)
    user, device = sender_of(case)
    assert payload_of(relay, NOW) == shared_part(message, user, device, NOW)
    assert dict(wraps_of(as_send(relay))) == dict(wraps_of(message))
    for target, wrap in wraps_of(as_send(relay)):
        built = decode_as(MessageReceived, with_wrap(payload_of(relay, NOW), target, wrap)).message
        assert (built.message_id, built.ciphertext) == (message.message.message_id, message.message.ciphertext)


@pytest.mark.parametrize("case", CASES[:2])
@pytest.mark.parametrize("changes", [{"supplement": True}, {"later": {"x": 1}}, {}])
def test_supplements_and_unknown_members_travel(case, changes):
    message, relay = relayed(case, **changes)
    again = as_send(relay)
    for name in ("supplement", "metadata", "later"):
        assert again.map.get(name) == message.map.get(name)
    assert relay.message.supplement is message.message.supplement
    assert again.message.recipients == relay.message.target_users


def test_a_server_gets_its_own_devices_alone_and_what_servers_say_cannot_be_forged_by_a_device():
    _, relay = relayed(CASES[0], devices=1, signature=b"f" * 64, link_epoch=99, federation_id=OTHER)
    assert len(relay.message.encrypted_payloads) == 1
    assert (relay.message.link_epoch, relay.message.federation_id) == (1, FEDERATION_ID)
    verify_relay(relay.map, KEY.public_key)


# --- Who gets it ---


def judged(current):
    case = CASES[0]
    _, relay = relayed(case, recipients=[received(case).message.recipients[0]])
    (user,) = relay.message.target_users
    devices = sorted(relay.message.encrypted_payloads)
    return relay.message, user, devices, judge_relay(relay.message, current(user, devices))


def test_everybody():
    relay, user, devices, (judgement, missing) = judged(lambda user, devices: {user: frozenset(devices)})
    assert (judgement.delivered, dict(judgement.failed), missing) == ({user: tuple(devices)}, {}, {})
    assert relay_ack(relay, judgement, 5)["status"] == "delivered"


def test_nobody_is_here():
    relay, user, devices, (judgement, missing) = judged(lambda user, devices: {})
    assert (judgement.delivered, missing) == ({}, {})
    assert judgement.failed == {(user, Code.USER_NOT_FOUND): (), (user, Code.INVALID_DEVICE): tuple(devices)}
    ack = decode_as(RelayAck, encode_map(sign_ack(KEY, relay_ack(relay, judgement, 5))))
    assert ack.message.status == "failed"
    (answer,) = told(ack.message)
    assert (answer.status, answer.message_id) == ("failed", relay.message_id)
    assert answer.error_code in (Code.USER_NOT_FOUND, Code.INVALID_DEVICE)


def test_a_device_that_the_sender_did_not_know_is_missed():
    _, user, devices, (judgement, missing) = judged(lambda user, devices: {user: frozenset([*devices, OTHER])})
    assert judgement.delivered == {user: tuple(devices)}
    assert missing == {user: frozenset({OTHER})}


def test_a_device_that_has_gone_fails_alone():
    relay, user, devices, (judgement, missing) = judged(lambda user, devices: {user: frozenset(devices[1:])})
    assert missing == {}
    assert judgement.failed == {(user, Code.INVALID_DEVICE): (devices[0],)}
    ack = decode_as(RelayAck, encode_map(sign_ack(KEY, relay_ack(relay, judgement, 5)))).message
    assert ack.status == ("partial" if devices[1:] else "failed")
    assert [answer.status for answer in told(ack)] == ([] if devices[1:] else ["failed"])


def test_a_user_whose_devices_are_all_new_gets_nothing_and_the_sender_is_told():
    _, relay = relayed(CASES[0])
    user = relay.message.target_users[0]
    judgement, missing = judge_relay(relay.message, {user: frozenset({OTHER})})
    assert (judgement.devices, missing) == ((), {user: frozenset({OTHER})})
    ack = convert(sign_ack(KEY, relay_ack(relay.message, judgement, NOW * 10**6)), RelayAck)
    assert ack.status == "failed"
    assert Code.INVALID_DEVICE in {notice.error_code for notice in told(ack)}


def test_entries_of_missed_devices_reach_the_sender():
    relay, _, _, (judgement, _) = judged(lambda user, devices: {user: frozenset(devices)})
    stale = type(judgement)(delivered=judgement.delivered, stale=(ENTRY,))
    members = relay_ack(relay, stale, 5)
    assert (members["status"], members["stale_devices"]) == ("partial", [ENTRY])


# --- Receipts ---


def test_receipts_and_failures_of_devices_come_back_as_the_home_server_would_pass_them():
    receipt = {
        "type": "read_receipt", "message_id": OTHER, "conversation_id": FEDERATION_ID, "ciphertext_hash": b"h" * 32,
        "status": "read", "user_id": "bob@b.example", "device_id": FEDERATION_ID, "timestamp": 7,
        "signature": b"s" * 64,
    }  # fmt: skip
    carrier = MessageAck(message_id=OTHER, status="read", timestamp=7, receipt=receipt)
    failed = MessageAck(message_id=OTHER, status="failed", timestamp=8, error_code=Code.CRYPTO.value)
    sent = receipts_ack(
        FEDERATION_ID,
        OTHER,
        ServerId("b.example"),
        [("bob@b.example", FEDERATION_ID, carrier), ("bob@b.example", OTHER, failed)],
        9,
    )
    ack = decode_as(RelayAck, encode_map(sign_ack(KEY, sent))).message
    first, second = answers_of(ack)
    assert (first.carrier, first.status, first.conversation_id) == (carrier, "read", FEDERATION_ID)
    assert (second.status, second.device_id, second.carrier.error_code) == ("failed", OTHER, Code.CRYPTO)
    assert told(ack) or ack.receipt is not None


def test_a_receipt_of_another_message_is_refused():
    receipt = {
        "type": "read_receipt", "message_id": FEDERATION_ID, "conversation_id": OTHER, "ciphertext_hash": b"h" * 32,
        "status": "read", "user_id": "bob@b.example", "device_id": OTHER, "timestamp": 7, "signature": b"s" * 64,
    }  # fmt: skip
    carrier = MessageAck(message_id=OTHER, status="read", timestamp=7, receipt=receipt)
    sent = receipts_ack(FEDERATION_ID, OTHER, ServerId("b.example"), [("bob@b.example", OTHER, carrier)], 9)
    with pytest.raises(ProtocolError) as refused:
        answers_of(convert(sign_ack(KEY, sent), RelayAck))
    assert refused.value.code is Code.MALFORMED


def test_names_of_codes():
    assert code_named("user_not_found") == Code.USER_NOT_FOUND
    assert code_named("something of tomorrow") == Code.FEDERATION
