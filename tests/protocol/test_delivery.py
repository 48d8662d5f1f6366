"""A home server's part in a message: what each device gets is what the map says, to the byte (section 7; B79, B80)."""

from dataclasses import replace
from typing import Any

import msgpack
import pytest
from msgspec.structs import replace as with_

from norc_actors import limits
from norc_actors.protocol.codec import Received, convert, decode_as, decode_map, encode, encode_map
from norc_actors.protocol.delivery import (
    Membership,
    Parts,
    judge,
    longest,
    membership_of,
    shared_part,
    with_wrap,
    wraps_of,
)
from norc_actors.protocol.errors import Code, ProtocolError
from norc_actors.protocol.messages import MessageReceived, MessageSend, Wrap
from tests.support.vectors import section

CASES = [message for case in section("messages") for message in case["messages"]]


def received(case: dict[str, Any], **changes: Any) -> Received[MessageSend]:
    """The recorded message as another implementation wrote it: read the strict way."""
    plain = decode_map(bytes.fromhex(case["message_send"]["msgpack"])) | changes
    return Received(convert(plain, MessageSend), encode_map(plain), plain)


def as_we_write_it(message: Received[MessageSend]) -> Received[MessageSend]:
    """The same message as our own encoder writes it: read the quick way."""
    again = decode_as(MessageSend, encode(message.message))
    assert again.exact
    return again


@pytest.mark.parametrize("case", CASES)
def test_each_device_gets_the_recorded_message_received(case: dict[str, Any]) -> None:
    message = received(case)
    wraps = dict(wraps_of(message))
    for device in case["devices"]:
        expected = decode_map(bytes.fromhex(device["message_received"]["msgpack"]))
        expected["accepted_at"] = 1_790_000_001
        shared = shared_part(message, expected["sender_user"], expected["sender_device"], expected["accepted_at"])
        built = with_wrap(shared, device["device"], wraps[device["device"]])
        assert msgpack.unpackb(built) == expected


def test_what_is_built_is_what_our_own_encoder_would_write() -> None:
    message = received(CASES[0])
    for device, wrap in wraps_of(message):
        built = with_wrap(shared_part(message, "alice@a.example", device, 1_790_000_001), device, wrap)
        assert encode(decode_as(MessageReceived, built).message) == built


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("supplement", [False, True])
def test_the_quick_way_and_the_strict_way_build_the_same(case: dict[str, Any], supplement: bool) -> None:
    strict = received(case, **({"supplement": True} if supplement else {}))
    quick = as_we_write_it(strict)
    assert dict(wraps_of(quick)) == {device: encode(convert(decode_map(w), Wrap)) for device, w in wraps_of(strict)}
    for device, wrap in wraps_of(quick):
        a, b = (shared_part(m, "alice@a.example", device, 1_790_000_001) for m in (strict, quick))
        assert decode_map(with_wrap(a, device, wrap)) == decode_map(with_wrap(b, device, wrap))


def test_the_longest_is_measured_without_building_it() -> None:
    message = received(CASES[0])
    shared, wraps = shared_part(message, "alice@a.example", CASES[0]["devices"][0]["device"], 5), wraps_of(message)
    assert longest(shared, wraps) == max(len(with_wrap(shared, device, wrap)) for device, wrap in wraps)


def test_unknown_members_survive() -> None:
    message = received(CASES[0], later={"x": [1, b"\x00"]})
    device, wrap = wraps_of(message)[0]
    built = decode_map(with_wrap(shared_part(message, "a@b", device, 5), device, wrap))
    assert built["later"] == {"x": [1, b"\x00"]}
    assert "recipients" not in built


MEMBERS = Membership(
    epoch=2, type="group", roles={"alice@a.example": "owner", "bob@b.example": "member", "carol@b.example": "observer"}
)


def test_judge_by_membership_role_and_recipients() -> None:
    message = received(CASES[0]).message
    assert judge(message, "alice@a.example", MEMBERS) is None
    assert judge(message, "alice@a.example", None) is Code.CONVERSATION_NOT_FOUND
    assert judge(message, "mallory@a.example", MEMBERS) is Code.CONVERSATION_NOT_FOUND
    assert judge(message, "carol@b.example", MEMBERS) is Code.NOT_PERMITTED
    assert judge(with_(message, recipients=("bob@b.example",)), "alice@a.example", MEMBERS) is Code.INVALID_RECIPIENT
    channel = replace(MEMBERS, type="channel")
    assert judge(with_(message, recipients=()), "bob@b.example", channel) is Code.NOT_PERMITTED


def test_membership_is_read_from_the_signed_state() -> None:
    state = decode_map(bytes.fromhex(section("messages")[0]["state"]["msgpack"]))
    read = membership_of(encode_map({"state": state}))
    assert read.epoch == 2
    assert read.roles == {"alice@a.example": "owner", "bob@b.example": "member", "carol@b.example": "member"}


def test_a_stored_conversation_without_a_state_is_refused() -> None:
    for stored in ({}, {"state": "none"}, {"state": {"epoch": 1}}):
        with pytest.raises(ProtocolError) as refused:
            membership_of(encode_map(stored))  # type: ignore[arg-type]
        assert refused.value.code is Code.MALFORMED


def test_a_message_in_one_part_is_whole() -> None:
    parts, whole = Parts(), received(CASES[0])
    assert parts.add(whole) is whole
    assert parts.waiting_for is None


def test_parts_are_joined_with_the_last() -> None:
    whole = received(CASES[0])
    (a, wrap_a), (b, wrap_b) = whole.map["encrypted_keys"].items()
    parts = Parts()
    assert parts.add(received(CASES[0], encrypted_keys={a: wrap_a}, more=True)) is None
    assert parts.waiting_for == whole.message.message_id
    joined = parts.add(received(CASES[0], encrypted_keys={b: wrap_b}, supplement=True))
    assert joined is not None
    assert joined.message == whole.message
    assert parts.waiting_for is None


def test_a_part_of_another_message_is_refused() -> None:
    parts = Parts()
    parts.add(received(CASES[0], more=True))
    with pytest.raises(ProtocolError) as refused:
        parts.add(received(CASES[1], supplement=True))
    assert refused.value.code is Code.MALFORMED


def test_parts_beyond_the_limit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_MESSAGE_BYTES", 1000)
    parts = Parts()
    with pytest.raises(ProtocolError) as refused:
        parts.add(received(CASES[0], more=True))
    assert refused.value.code is Code.TOO_LARGE
    assert parts.waiting_for is None, "the next message is not taken for its further part"
    whole = received(CASES[0])
    assert parts.add(whole) is whole
