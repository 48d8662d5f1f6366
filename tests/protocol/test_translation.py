"""N → N−1 → N loses what the table lists and nothing else; blobs and the map around them agree or are refused (B11)."""

import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from norc_actors.protocol import codec, translation
from norc_actors.protocol.canonical import Value
from norc_actors.protocol.errors import Code, ProtocolError
from norc_actors.protocol.messages import (
    DeliveryAck,
    MessageReceived,
    MessageReceived1,
    MessageRelay,
    MessageRelay1,
    MessageSend,
    MessageSend1,
    RelayAck,
    RelayMetadata,
    RouteSignature,
)
from norc_actors.protocol.opening import Opened
from norc_actors.protocol.registry import CODES, LEGACY, NAMES, STRUCTS, code_of
from norc_actors.protocol.schema import Message
from norc_actors.protocol.translation import (
    BECOMES,
    FORMS,
    SINCE,
    UNTIL,
    accepts_1x_form,
    decode_at,
    down,
    exists,
    make_blobs,
    up,
)
from norc_actors.protocol.versions import NORC_C, NORC_F, NORC_T
from tests.support.chat import delivered
from tests.support.messages import any_message, structs
from tests.support.world import World

SENDER: Any = ("alice@a.example", "8730f70d-c056-4103-9108-3d814ee5a7da")
OLD = ("1.2", "1.1", "1.0")
sends = structs(MessageSend).filter(lambda send: send.encrypted_keys)


def _with_blobs(send: MessageSend) -> MessageSend:
    return msgspec.structs.replace(send, encrypted_content=make_blobs(send, *SENDER))


def _received(send: MessageSend) -> MessageReceived:
    """What a server makes of a message_send for the first of its devices."""
    device, wrap = next(iter(send.encrypted_keys.items()))
    blobs = make_blobs(send, *SENDER)
    members = {name: getattr(send, name) for name in MessageReceived.__struct_fields__ if hasattr(send, name)}
    members.update(encrypted_keys={device: wrap}, encrypted_content={device: blobs[device]})
    return MessageReceived(**members, sender_user=SENDER[0], sender_device=SENDER[1], accepted_at=1)


def _relay(send: MessageSend) -> MessageRelay:
    members = {name: getattr(send, name) for name in MessageRelay.__struct_fields__ if hasattr(send, name)}
    metadata = RelayMetadata(
        original_timestamp=send.metadata.timestamp, federation_timestamp=2, hop_count=1, ttl=3, priority="normal",
        delivery_requirements=(),
    )  # fmt: skip
    members.update(
        federation_id=SENDER[1], origin_server="a.example", target_server="b.example", target_users=(),
        route_path=("a.example",), route_signatures=(RouteSignature(federation_timestamp=2, signature=bytes(64)),),
        link_epoch=1, link_sequence=1, signature=bytes(64), sender_user=SENDER[0], sender_device=SENDER[1],
        encrypted_payloads=send.encrypted_keys, encrypted_content=make_blobs(send, *SENDER), metadata=metadata,
        classification=send.metadata.classification, expires_at=send.metadata.expires_at,
    )  # fmt: skip
    return MessageRelay(**members)


MAKE = {"message_send": _with_blobs, "message_received": _received, "message_relay": _relay}


# --- There and back ---


@settings(max_examples=12)
@given(sends, st.sampled_from(sorted(FORMS)), st.sampled_from(OLD))
def test_there_and_back(send: MessageSend, name: str, version: str) -> None:
    newer = codec.to_map(MAKE[name](send))
    older = down(newer, version)
    assert older is not None
    form = FORMS[name]
    assert set(older.dropped) <= {*form.restored, *form.lost, form.wraps, "encrypted_content"}
    again = up(older.map, SENDER)
    assert again == {key: value for key, value in newer.items() if key not in form.lost}
    assert down(again, version).map == older.map  # type: ignore[union-attr]


@settings(max_examples=12)
@given(sends, st.sampled_from(OLD))
def test_the_older_form_has_its_struct(send: MessageSend, version: str) -> None:
    for name, kind in (("message_send", MessageSend1), ("message_received", MessageReceived1)):
        older = down(codec.to_map(MAKE[name](send)), version)
        assert older is not None
        assert set(older.map) - {"type"} == set(kind.__struct_fields__)
        received = decode_at(version, CODES[name], codec.encode_map(older.map))
        assert received is not None
        assert isinstance(received.message, kind)
    relay = down(codec.to_map(_relay(send)), version)
    assert relay is not None
    assert codec.convert(relay.map | {"signature": bytes(64)}, MessageRelay1)  # its origin signs anew


@settings(max_examples=60)
@given(any_message().filter(lambda message: NAMES[code_of(type(message))] not in {*FORMS, *BECOMES}), st.data())
def test_every_other_type_is_the_same_or_not_sent(message: Message, data: st.DataObject) -> None:
    plain = codec.to_map(message)
    version = data.draw(st.sampled_from(["2.0", *OLD]))
    translated = down(plain, version)
    name = NAMES[code_of(type(message))]
    assert (translated is None) == (not exists(name, version))
    if translated is not None:
        assert translated.map == plain == up(translated.map)
        assert translated.dropped == ()
        received = decode_at(version, code_of(type(message)), codec.encode_map(translated.map))
        assert received is not None
        assert received.message == message


@settings(max_examples=12)
@given(sends, st.sampled_from(sorted(FORMS)), st.sampled_from(list(itertools.combinations(OLD, 2))))
def test_step_by_step_is_the_same_as_at_once(send: MessageSend, name: str, versions: tuple[str, str]) -> None:
    newer = codec.to_map(MAKE[name](send))
    step = down(newer, versions[0])
    assert step is not None
    at_once = down(newer, versions[1])
    assert at_once is not None
    assert down(step.map, versions[1]).map == at_once.map  # type: ignore[union-attr]


@settings(max_examples=20)
@given(structs(RelayAck), st.sampled_from(OLD))
def test_relay_ack_becomes_delivery_ack(ack: RelayAck, version: str) -> None:
    older = down(codec.to_map(ack), version)
    assert older is not None
    plain = codec.convert(older.map, DeliveryAck)
    assert plain.message_id == ack.message_id
    assert set(plain.delivered_to) == {device for user in ack.delivered_to for device in user.device_ids}
    assert set(plain.failed_devices) == {device for user in ack.failed_deliveries for device in user.device_ids}
    assert plain.timestamp == ack.timestamp // 1_000_000
    assert "signature" in older.dropped


@settings(max_examples=20)
@given(sends, st.sampled_from(sorted(FORMS)))
def test_unknown_members_pass_both_ways(send: MessageSend, name: str) -> None:
    newer = codec.to_map(MAKE[name](send)) | {"x_new": {"kept": 1}}
    older = down(newer, "1.1")
    assert older is not None
    assert older.map["x_new"] == {"kept": 1} == up(older.map, SENDER)["x_new"]


def test_a_message_through_1x_is_opened_and_verified_all_the_same(world: World) -> None:
    """Alice at 2.0 → her server → a 1.x delivery → Bob: the same ciphertext, wrap and signature."""
    message = world.a.send("over the bridge", world.targets).message
    sender: Any = (world.phone.own.user_id, world.phone.id)
    blob = make_blobs(message, *sender)[world.bobs.id]  # type: ignore[index]
    newer = codec.to_map(delivered(message, world.phone, world.bobs.id)) | {"encrypted_content": {world.bobs.id: blob}}
    older = down(newer, "1.1")
    assert older is not None
    data = codec.encode_map(older.map)
    received = decode_at("1.1", CODES["message_received"], data)
    assert received is not None
    restored = codec.convert(up(received.map), MessageReceived)
    opened = world.b.open(restored, world.alice_device)
    assert isinstance(opened, Opened)
    assert opened.inner.body == "over the bridge"


# --- What is refused ---


@settings(max_examples=20)
@given(sends, st.sampled_from(sorted(FORMS)))
def test_without_blobs_there_is_no_way_down(send: MessageSend, name: str) -> None:
    newer = codec.to_map(MAKE[name](send))
    for nothing in ({}, None):
        bare = {key: value for key, value in newer.items() if key != "encrypted_content"}
        with pytest.raises(ProtocolError) as caught:
            down(bare if nothing is None else bare | {"encrypted_content": nothing}, "1.0")
        assert caught.value.code is Code.NO_COMPATIBLE_VERSION


CHANGES: dict[str, Value] = {
    "epoch": 7, "suite": "other", "chain_id": SENDER[1], "ciphertext": bytes(20), "sender_user": "mallory@a.example",
    "timestamp": 1, "classification": "secret", "expires_at": 12345,
}  # fmt: skip


@settings(max_examples=40)
@given(sends, st.sampled_from(sorted(FORMS)), st.sampled_from(sorted(CHANGES)))
def test_a_map_that_disagrees_with_its_blobs(send: MessageSend, name: str, member: str) -> None:
    """What a server changes around a blob, or takes away from its metadata, is found out."""
    newer = codec.to_map(MAKE[name](send))
    older = down(newer, "1.1")
    assert older is not None
    plain = dict(older.map)
    metadata = dict(plain["metadata"])  # type: ignore[arg-type]
    value = CHANGES[member]
    if member == "timestamp" and name == "message_relay":
        metadata["original_timestamp"] = metadata["original_timestamp"] + 1  # type: ignore[operator]
    elif member in ("timestamp", "classification", "expires_at") and name != "message_relay":
        metadata[member] = "nato_secret" if metadata.get(member) == value else value
    elif member == "ciphertext":
        blobs = plain[FORMS[name].blobs]
        blob = codec.decode_map(next(iter(blobs.values()))) | {"ciphertext": bytes(20)}  # type: ignore[union-attr,arg-type]
        blobs = {**blobs, "00000000-0000-4000-8000-000000000000": codec.encode_map(blob)}  # type: ignore[dict-item]
        plain[FORMS[name].blobs] = blobs
    else:
        plain[member] = "nato_secret" if plain.get(member) == value else value
    plain["metadata"] = metadata
    if member == "ciphertext" and send.ciphertext == bytes(20):
        return
    if member == "epoch" and send.epoch == 7:
        return
    with pytest.raises(ProtocolError) as caught:
        up(plain, SENDER)
    assert caught.value.code is Code.MALFORMED


@given(sends)
@settings(max_examples=10)
def test_a_blob_in_anothers_name(send: MessageSend) -> None:
    older = down(codec.to_map(_with_blobs(send)), "1.0")
    assert older is not None
    for sender in (("mallory@a.example", SENDER[1]), (SENDER[0], "00000000-0000-4000-8000-000000000000")):
        with pytest.raises(ProtocolError):
            up(older.map, sender)


@settings(max_examples=60)
@given(st.sampled_from(sorted(FORMS)), st.binary(max_size=80) | st.integers() | st.text(max_size=4), st.booleans())
def test_any_blob_and_any_metadata(name: str, blob: Any, metadata: bool) -> None:
    plain: dict[str, Value] = {"type": name, FORMS[name].blobs: {SENDER[1]: blob}}
    if metadata:
        plain["metadata"] = {}
    with pytest.raises(ProtocolError) as caught:
        up(plain)
    assert caught.value.code is Code.MALFORMED


@pytest.mark.parametrize("blobs", [None, {}, 1, []])
def test_no_blobs_at_all(blobs: Any) -> None:
    with pytest.raises(ProtocolError):
        up({"type": "message_send", "metadata": {}, "encrypted_content": blobs})


# --- The tables ---


def test_the_tables_name_what_there_is() -> None:
    assert {*SINCE, *UNTIL, *FORMS, *BECOMES, *BECOMES.values()} <= set(CODES)
    for name, form in FORMS.items():
        newer, older = STRUCTS[CODES[name]].usual, LEGACY[CODES[name]]
        gone = {*form.restored, *form.lost, form.wraps, "encrypted_content"} - {form.blobs}
        kept = set(newer.__struct_fields__) - gone
        assert kept | {form.blobs} == set(older.__struct_fields__) - (
            {"signature"} if name == "message_relay" else set()
        )
    assert set(FORMS) == {NAMES[code] for code in LEGACY}
    assert {*SINCE.values(), *UNTIL.values()} <= {*NORC_C, *NORC_F, *NORC_T}


def test_types_that_a_version_does_not_have() -> None:
    assert exists("ping", "1.0")
    assert not exists("nonsense", "2.0")
    assert not exists("relay_ack", "1.2")
    assert exists("delivery_ack", "1.2")
    assert not exists("delivery_ack", "2.0")
    assert decode_at("1.1", 0xFF, b"anything") is None  # ignored by 1.x
    assert decode_at("1.0", CODES["session_rekey"], b"") is None
    for code in (0xFF, CODES["delivery_ack"]):
        with pytest.raises(ProtocolError) as caught:
            decode_at("2.0", code, b"")
        assert caught.value.code is Code.UNKNOWN_TYPE


def test_a_type_that_is_younger_is_not_sent() -> None:
    for name, version, sent in (
        ("session_rekey", "1.1", False),
        ("time_sync", "1.0", False),
        ("time_sync", "1.1", True),
    ):
        assert (down({"type": name}, version) is not None) == sent
    assert down({"type": "nonsense"}, "1.0") is down({}, "2.0") is None


@settings(max_examples=5)
@given(sends)
def test_blobs_without_anything_around_them(send: MessageSend) -> None:
    older = down(codec.to_map(_with_blobs(send)), "1.0")
    assert older is not None
    for metadata in (None, 1, []):
        plain = older.map | {"metadata": metadata} if metadata is not None else dict(older.map)
        if metadata is None:
            del plain["metadata"]
        with pytest.raises(ProtocolError):
            up(plain, SENDER)


def test_whose_1x_forms_count() -> None:
    assert accepts_1x_form("1.1", "2.0")
    assert accepts_1x_form("2.0", "1.0")
    assert accepts_1x_form("1.0", "1.0")
    assert not accepts_1x_form("2.0", "2.0")
    assert translation.HIGHEST_LEVEL_1X == "basic"
