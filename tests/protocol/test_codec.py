"""Any bytes give a message or one ProtocolError; what parses has one canonical form; both readers agree."""

import struct

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from norc_actors.protocol import codec
from norc_actors.protocol.canonical import Value, canonical
from norc_actors.protocol.errors import Code, ProtocolError
from norc_actors.protocol.messages import (
    ConversationState,
    ConversationStateRequest,
    Inner,
    KeyResponse,
    MessageAck,
    MessageSend,
    Ping,
    Record,
    SessionOpening,
    UnknownSession,
    Wrap,
)
from norc_actors.protocol.registry import NAMES, STRUCTS, code_of
from norc_actors.protocol.schema import Map, Message, Variant
from tests.support.messages import MAPS, MESSAGES, any_message, plain_maps, structs
from tests.support.vectors import section

CODES = sorted(STRUCTS)


def _try(code: int, data: bytes) -> Message | None:
    """The message or None if refused. What the fast way takes, the strict way takes too, and reads the same."""
    try:
        received = codec.decode(code, data)
    except ProtocolError as error:
        assert error.code in (Code.MALFORMED, Code.UNKNOWN_TYPE)  # noqa: PT017 - one of two outcomes
        return None
    strict = codec.decode_map(data)
    assert received.map == strict
    assert codec.convert(strict, type(received.message)) == received.message
    return received.message


@given(st.sampled_from(range(256)), st.binary(max_size=200))
def test_any_bytes(code: int, data: bytes) -> None:
    _try(code, data)


@given(st.sampled_from(CODES), plain_maps)
def test_any_map(code: int, plain: dict[str, Value]) -> None:
    _try(code, codec.encode_map(plain | {"type": NAMES[code]}))


@given(any_message(), st.data())
def test_any_damage(message: Message, data: st.DataObject) -> None:
    """A changed, cut or longer encoding is a message again or refused; never anything else."""
    encoded = bytearray(codec.encode(message))
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, len(encoded) - 1))
        encoded[position] = data.draw(
            st.sampled_from(b"\x00\x80\x90\xa0\xc0\xc2\xc4\xc7\xca\xd4\xff") | st.integers(0, 255)
        )
    again = _try(code_of(type(message)), bytes(encoded))
    if again is not None:
        assert _try(code_of(type(again)), codec.encode(again)) == again
    cut = data.draw(st.integers(0, len(encoded) - 1))
    _try(code_of(type(message)), bytes(encoded[:cut]))
    assert _try(code_of(type(message)), codec.encode(message) + b"\xc0") is None


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
@settings(max_examples=3)
@given(data=st.data())
def test_round_trip_of_every_message(kind: type[Message], data: st.DataObject) -> None:
    message = data.draw(structs(kind))
    encoded = codec.encode(message)
    received = codec.decode(code_of(kind), encoded)
    assert received.message == message
    assert type(received.message) is kind
    assert received.extra == {}
    independent = msgpack.unpackb(encoded)
    assert independent == received.map == codec.to_map(message)
    assert independent["type"] == NAMES[code_of(kind)]
    assert None not in independent.values()
    assert codec.encode(received.message) == encoded


@pytest.mark.parametrize("kind", MAPS, ids=lambda kind: kind.__name__)
@settings(max_examples=3)
@given(data=st.data())
def test_round_trip_of_every_map(kind: type[Map], data: st.DataObject) -> None:
    value = data.draw(structs(kind))
    received = codec.decode_as(kind, codec.encode(value))
    assert received.message == value
    assert ("type" in received.map) == ("type" in kind.__struct_fields__ or issubclass(kind, Variant))
    assert codec.convert(received.map, kind) == value


@given(any_message(), st.randoms(use_true_random=False))
def test_another_writers_order_is_the_same_message(message: Message, random: object) -> None:
    """Members in any order, integers in longer forms: the strict way gives the same message and canonical form."""
    members = list(codec.to_map(message).items())
    random.shuffle(members)  # type: ignore[attr-defined]
    received = codec.decode(code_of(type(message)), codec.encode_map(dict(members)))
    assert received.message == message
    assert canonical(received.map) == canonical(codec.to_map(message))


@given(any_message(), plain_maps)
def test_unknown_members_are_kept(message: Message, plain: dict[str, Value]) -> None:
    unknown = {f"x_{key}": value for key, value in plain.items()}
    data = codec.encode(message, unknown)
    received = codec.decode(code_of(type(message)), data)
    assert received.message == message
    assert received.extra == unknown
    assert received.map == codec.to_map(message) | unknown
    assert codec.encode(received.message, received.extra) == data


FORBIDDEN = {
    "null": b"\xc0",
    "float64": b"\xcb\x3f\xf0\0\0\0\0\0\0",
    "float32": b"\xca\x3f\x80\0\0",
    "ext": b"\xd4\x05\x00",
    "timestamp": b"\xd6\xff\0\0\0\0",
    "empty ext": b"\xc7\x00\x05",
    "empty timestamp": b"\xc7\x00\xff",
    "large": b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
    "2^53": b"\xcf\x00\x20\0\0\0\0\0\0",
    "-2^53": b"\xd3\xff\xe0\0\0\0\0\0\0",
    "surrogate": b"\xa3\xed\xa0\x80",
    "utf-8": b"\xa1\xff",
    "integer key": b"\x81\x01\x01",
    "bytes key": b"\x81\xc4\x01a\x01",
    "non-ascii key": b"\x81\xa2\xc3\xa9\x01",
    "duplicate": b"\x82\xa1a\x01\xa1a\x01",
    "list key": b"\x81\x90\x01",
    "never used": b"\xc1",
    "long list": b"\xdc\x10\x01" + bytes(4097),
    "long map": b"\xde\x10\x01" + b"".join(b"\xa4" + f"{n:04d}".encode() + b"\0" for n in range(4097)),
    "deep": b"\x91" * 14 + b"\x01",
}
ACK = MessageAck(message_id="8730f70d-c056-4103-9108-3d814ee5a7da", status="delivered", timestamp=1)  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", FORBIDDEN.values(), ids=FORBIDDEN)
def test_forbidden_values_in_unknown_known_and_free_members(bad: bytes) -> None:
    base = codec.encode(ACK)
    unknown = bytes([base[0] + 1]) + base[1:] + b"\xa1x" + b"\x91" + bad
    known = bytes([base[0] + 1]) + base[1:] + b"\xa7receipt" + b"\x81\xa1x" + bad
    for data in (unknown, known):
        with pytest.raises(ProtocolError) as caught:
            codec.decode(code_of(MessageAck), data)
        assert caught.value.code is Code.MALFORMED


def test_the_free_member_test_is_about_the_bad_value() -> None:
    base = codec.encode(ACK)
    data = bytes([base[0] + 1]) + base[1:] + b"\xa7receipt" + b"\x81\xa1x\x01"
    assert codec.decode(code_of(MessageAck), data).message.receipt == {"x": 1}  # type: ignore[attr-defined]


def test_known_members_keep_their_types() -> None:
    def ping(value: bytes) -> bytes:
        return b"\x82\xa4type\xa4ping\xa9timestamp" + value

    assert codec.decode_as(Ping, ping(b"\x05")).message.timestamp == 5
    assert codec.decode_as(Ping, ping(b"\xcf" + struct.pack(">Q", 5))).message.timestamp == 5  # a longer form
    for bad in (b"\xa15", b"\xc3", b"\xff", b"\xcb" + struct.pack(">d", 5.0), b"\xc4\x015", b"\x90", b"\x80"):
        with pytest.raises(ProtocolError):
            codec.decode_as(Ping, ping(bad))


def test_text_never_stands_for_bytes() -> None:
    record = codec.to_map(_record())
    assert codec.convert(record, Record) == _record()
    with pytest.raises(ProtocolError):
        codec.convert(record | {"public_key": "A" * 43}, Record)


def _record() -> Record:
    return Record(
        user_id="alice@a.example", device_id="8730f70d-c056-4103-9108-3d814ee5a7da", public_key=bytes(32),  # type: ignore[arg-type]
        key_algorithm="ed25519", e2e_suites=("0101",), e2e_version="2.0", not_before=1, not_after=2,
    )  # fmt: skip


def test_type_must_agree_with_the_code() -> None:
    data = codec.encode(Ping(timestamp=1))
    without = codec.encode_map({"timestamp": 1})
    for bad in (data.replace(b"ping", b"pong"), without):
        with pytest.raises(ProtocolError):
            codec.decode(code_of(Ping), bad)
    with pytest.raises(ProtocolError):
        codec.decode(0x0A, data)


def test_two_shapes_of_one_type() -> None:
    ids = {"conversation_id": "8730f70d-c056-4103-9108-3d814ee5a7da"}
    plain: dict[str, Value] = {"type": "conversation_state", **ids}
    assert isinstance(codec.decode(0x53, codec.encode_map(plain)).message, ConversationStateRequest)
    with pytest.raises(ProtocolError):  # a state without its signature is no request
        codec.decode(0x53, codec.encode_map(plain | {"state": {**ids}}))
    for kind, shape in ((ConversationState, 0x53), (SessionOpening, 0x32), (UnknownSession, 0x32)):
        assert kind in STRUCTS[shape].all


def test_codes_that_are_unknown_or_not_built() -> None:
    for code in set(range(256)) - set(CODES):
        with pytest.raises(ProtocolError) as caught:
            codec.decode(code, b"\x80")
        assert caught.value.code is Code.UNKNOWN_TYPE


def test_depth_counts_from_the_message() -> None:
    """A free map inside a wrap stands at 4: what it holds may go 12 levels further down, on both ways of reading."""
    for levels, legal in ((12, True), (13, False)):
        value: Value = 1
        for _ in range(levels - 1):
            value = [value]
        wrap: dict[str, Value] = {
            "session_id": "8730f70d-c056-4103-9108-3d814ee5a7da",
            "index": 1,
            "wrapped": bytes(48),
        }
        wrap["open"] = {"x": value}
        if legal:
            assert codec.convert(wrap, Wrap).open == {"x": value}
        else:
            with pytest.raises(ProtocolError):
                codec.convert(wrap, Wrap)


def test_vectors_of_messages() -> None:
    for vector in section("messages"):
        for case in vector["messages"]:
            data = bytes.fromhex(case["message_send"]["msgpack"])
            received = codec.decode(0x10, data)
            assert isinstance(received.message, MessageSend)
            assert canonical(received.map).decode() == case["message_send"]["canonical"]
            inner = codec.decode_as(
                Inner,
                bytes.fromhex(case["inner"])
                if isinstance(case["inner"], str)
                else bytes.fromhex(case["inner"]["msgpack"]),
            )
            assert inner.message.message_type


def test_a_built_message_is_always_encodable() -> None:
    with pytest.raises(ProtocolError):
        codec.encode_map({"a": None})  # type: ignore[dict-item]
    response = KeyResponse(request_id="8730f70d-c056-4103-9108-3d814ee5a7da", keys={}, timestamp=0)
    assert codec.decode(0x31, codec.encode(response)).message == response
    assert "KeyResponse" in repr(codec.decode(0x31, codec.encode(response)))


def test_exact_says_that_nothing_was_added() -> None:
    ping = codec.encode(Ping(timestamp=1))
    more = codec.encode_map({"type": "ping", "timestamp": 1, "x": 2})
    assert codec.decode(0x09, ping).exact
    assert not codec.decode(0x09, more).exact
    assert codec.decode(0x09, ping).extra == {}
    assert codec.decode(0x09, more).extra == {"x": 2}


def test_narrow_is_for_what_is_known() -> None:
    received = codec.decode(0x09, codec.encode(Ping(timestamp=1)))
    assert received.narrow(Ping) is received
    with pytest.raises(TypeError, match="Ping is no MessageSend"):
        received.narrow(MessageSend)


@pytest.mark.parametrize("code", sorted(set(range(256)) - set(STRUCTS)))
def test_a_type_that_nobody_built_says_its_name(code: int) -> None:
    with pytest.raises(ProtocolError) as caught:
        codec.decode(code, b"\x80")
    assert caught.value.code is Code.UNKNOWN_TYPE
    assert NAMES.get(code, "in no registry") in caught.value.detail
