"""What the fast reader takes, the strict reader takes too, reads the same, and finds nothing else in it.

Each case takes a valid message, as short as MessagePack can write it, and puts something into it that does not belong
there: a member more, a member twice, a null, a value of another type and the same length. Whatever the fast reader's
arithmetic says, it must leave such bytes to the strict one.
"""

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Annotated, Any

import msgpack
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from norc_actors.protocol import codec
from norc_actors.protocol.errors import ProtocolError
from norc_actors.protocol.messages import KeyResponse, MessageSend, Metadata, Wrap
from norc_actors.protocol.read_checks import compile_reader
from norc_actors.protocol.schema import Length, Map, Pattern, replace
from tests.support.messages import LEGACY, MAPS, MESSAGES, structs

KINDS = [*MESSAGES, *LEGACY, *MAPS]
EACH = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
reader: Callable[[type[Map]], Callable[[bytes], Map | None]] = cache(lambda kind: compile_reader(kind, kind.depth))


class Pairs(list[tuple[Any, Any]]):
    """A map as it is written: keys may come twice."""


def pairs(value: Any) -> Any:
    if isinstance(value, dict):
        return Pairs((key, pairs(item)) for key, item in value.items())
    return [pairs(item) for item in value] if isinstance(value, list) else value


def packed(value: Any) -> bytes:
    """The shortest MessagePack of a value; `Raw` stands for itself."""
    if isinstance(value, msgspec.Raw):
        return bytes(value)
    packer = msgpack.Packer()
    if isinstance(value, Pairs):
        items = b"".join(packed(key) + packed(item) for key, item in value)
        return packer.pack_map_header(len(value)) + items  # type: ignore[no-any-return]
    if isinstance(value, list):
        return packer.pack_array_header(len(value)) + b"".join(map(packed, value))  # type: ignore[no-any-return]
    return packer.pack(value)  # type: ignore[no-any-return]


def altered(value: Any, change: Callable[[Any], Iterator[Any]]) -> Iterator[Any]:
    """The value with one change at one place, for each place and each change."""
    yield from change(value)
    if isinstance(value, Pairs):
        for at, (key, item) in enumerate(value):
            for other in altered(item, change):
                yield Pairs((*value[:at], (key, other), *value[at + 1 :]))
    elif isinstance(value, list):
        for at, item in enumerate(value):
            for other in altered(item, change):
                yield [*value[:at], other, *value[at + 1 :]]


def taken(kind: type[Map], data: bytes) -> bool:
    """Whether the fast reader takes it; then the strict one has to agree, and to find nothing but the struct."""
    message = reader(kind)(data)
    if message is None:
        return False
    plain = codec.decode_map(data)
    assert codec.convert(plain, kind) == message
    assert codec.to_map(message) == plain
    return True


@EACH
@settings(max_examples=2)
@given(data=st.data())
def test_what_our_encoder_writes_is_taken_and_so_is_a_shorter_form(kind: type[Map], data: st.DataObject) -> None:
    message = data.draw(structs(kind))
    assert taken(kind, codec.encode(message))
    taken(kind, packed(pairs(codec.to_map(message))))


@EACH
@settings(max_examples=2)
@given(data=st.data())
def test_there_is_no_room_for_a_member_more(kind: type[Map], data: st.DataObject) -> None:
    """Of any length, so that no wrong weight can make room for it: 2 bytes are the least that a member has."""
    plain = pairs(codec.to_map(data.draw(structs(kind))))
    for length in (*range(36), 38, 50, 150, 152):
        for member in (("", True) if length == 0 else ("", "x" * (length - 1)), ("zz", b"x" * length)):
            assert not taken(kind, packed(Pairs((*plain, member))))
            assert not taken(kind, packed(Pairs((member, *plain))))


@EACH
@settings(max_examples=2)
@given(data=st.data())
def test_there_is_no_room_anywhere(kind: type[Map], data: st.DataObject) -> None:
    """A member more, one twice, or a null for each that may be absent, in every map inside."""
    absent = [(name, None) for name in kind.__struct_fields__]

    def change(value: Any) -> Iterator[Any]:
        if isinstance(value, Pairs):
            for member in [("", False), *value, *absent]:
                yield Pairs((*value, member))
                yield Pairs((member, *value))

    for other in altered(pairs(codec.to_map(data.draw(structs(kind)))), change):
        taken(kind, packed(other))


SCALARS = [
    b"\xc0", b"\xc2", b"\xc3", b"\x00", b"\x7f", b"\xff", b"\xa0", b"\x90", b"\x80", b"\xc1",
    b"\xcc\xff", b"\xd0\xff", b"\xa1a", b"\x91\xc0", b"\xc4\x00", b"\xd9\x00",
    b"\xcd\xff\xff", b"\xd1\xff\xff", b"\xc7\x00\x05", b"\xd4\x05\x00",
    b"\xce\xff\xff\xff\xff", b"\xd2\xff\xff\xff\xff", b"\xca\x3f\x80\x00\x00",
    b"\xd6\xff\x00\x00\x00\x00",
    b"\xcf\x00\x00\x00\x00\xff\xff\xff\xff", b"\xd3\x00\x00\x00\x00\xff\xff\xff\xff",
    b"\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00", b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
]  # fmt: skip


def forms(length: int) -> Iterator[bytes]:
    """Values of every other type that take as many bytes."""
    yield from (scalar for scalar in SCALARS if len(scalar) == length)
    if length >= 3:
        yield b"\xc4" + bytes([min(length - 2, 255)]) + b"a" * (length - 2)
        yield b"\xd9" + bytes([min(length - 2, 255)]) + b"a" * (length - 2)
        yield b"\xc7" + bytes([min(length - 3, 255), 5]) + b"a" * (length - 3)
    if length == 18:
        yield b"\xd8\x05" + b"a" * 16
        yield b"\x82\xa0\x01\xa0" + b"\xad" + b"a" * 13
    if length <= 32:
        yield bytes([0xA0 | length - 1]) + b"a" * (length - 1)
    if length <= 16:
        yield bytes([0x90 | length - 1]) + b"\xc2" * (length - 1)


@EACH
@settings(max_examples=2)
@given(data=st.data())
def test_values_of_other_types_and_the_same_length(kind: type[Map], data: st.DataObject) -> None:
    def change(value: Any) -> Iterator[Any]:
        if not isinstance(value, Pairs | list):
            yield from map(msgspec.Raw, forms(len(packed(value))))
        elif isinstance(value, Pairs):
            for at, (key, item) in enumerate(value):
                for form in forms(len(packed(key))):
                    yield Pairs((*value[:at], (msgspec.Raw(form), item), *value[at + 1 :]))

    for other in altered(pairs(codec.to_map(data.draw(structs(kind)))), change):
        taken(kind, packed(other))


@pytest.mark.parametrize("at", [15, 16, 31, 32, 127, 128, 255, 256, 65535, 65536])
def test_the_encoder_weighs_what_the_shortest_form_weighs(at: int) -> None:
    """Else the weight would be too large, and leave room."""
    values: list[Any] = ["x" * at, b"x" * at, [0] * at, {str(n): 0 for n in range(at)}, at, -at, at - 1, 2**32 + at]
    for value in [*values, 2**32 - 1, 2**32, 2**53 - 1, -(2**31), -(2**31) - 1, -(2**53) + 1, -32, -33, True]:
        assert len(msgspec.msgpack.encode([value])) == len(msgpack.packb([value]))


UUID = "8730f70d-c056-4103-9108-3d814ee5a7da"
OPEN: dict[str, Any] = {"type": "session_key_exchange", "free": [1, "x", b"y", {"z": False}]}


def send(devices: int, **members: Any) -> MessageSend:
    wraps = {
        f"{number:08x}{UUID[8:]}": Wrap(session_id=UUID, index=number * 37, wrapped=bytes(48))
        for number in range(devices)
    }
    required: dict[str, Any] = {
        "message_id": UUID, "conversation_id": UUID, "epoch": 1, "recipients": ("bob@a.example",), "suite": "0101",
        "chain_id": UUID, "sequence_number": 2**24, "prev_message_hash": bytes(32), "key_commitment": bytes(32),
        "ciphertext": bytes(300), "encrypted_keys": wraps,
        "metadata": Metadata(timestamp=1_790_000_000_000_000, classification="secret"),
    }  # fmt: skip
    return MessageSend(**required | members)


@pytest.mark.parametrize("devices", [0, 1, 15, 16, 17, 300, 4096])
def test_messages_for_any_number_of_devices(devices: int) -> None:
    assert taken(MessageSend, codec.encode(send(devices)))


def test_optional_members_are_taken_and_checked() -> None:
    opened = {UUID: Wrap(session_id=UUID, index=1, wrapped=bytes(48), open=OPEN)}
    for members in (
        {"encrypted_keys": opened}, {"encrypted_content": {UUID: b"x"}}, {"supplement": True, "more": True},
        {"metadata": Metadata(timestamp=1, classification="secret", expires_at=2)},
    ):  # fmt: skip
        assert taken(MessageSend, codec.encode(send(2, **members)))
    whole = codec.encode(send(1, encrypted_keys=opened))
    for bad in (b"\xc0", b"\xca\x3f\x80\x00\x00", b"\x81\xa2\xc3\xa9\x01", b"\x82\xa1a\x01\xa1a\x01"):
        assert whole.count(b"\xa1x") == 1
        data = whole.replace(b"\xa1x", bad)
        assert not taken(MessageSend, data)
        with pytest.raises(ProtocolError):
            codec.decode(0x10, data)


BAD_UUIDS = ["A" + UUID[1:], "g" + UUID[1:], UUID[:8] + "a" + UUID[9:], UUID[:7] + "-" + UUID[8:], UUID.upper(),
             "é" + UUID[1:], "é" + UUID[2:], "٣" + UUID[1:], UUID[:-1], UUID + "0", "", UUID[:35] + "\n"]  # fmt: skip


@pytest.mark.parametrize("bad", BAD_UUIDS)
def test_every_uuid_is_looked_at(bad: str) -> None:
    def change(value: Any) -> Iterator[Any]:
        if isinstance(value, str) and len(value) == len(UUID):
            yield bad
        if isinstance(value, Pairs):
            for at, (key, item) in enumerate(value):
                if len(key) == len(UUID):
                    yield Pairs((*value[:at], (bad, item), *value[at + 1 :]))

    plain = pairs(codec.to_map(send(3, encrypted_content={UUID: b"x"})))
    cases = list(altered(plain, change))
    assert len(cases) == 3 + 3 + 3 + 1
    for other in cases:
        assert not taken(MessageSend, packed(other))
        with pytest.raises(ProtocolError):
            codec.decode(0x10, packed(other))


def test_uuids_are_checked_one_by_one_though_together() -> None:
    """Two texts whose lengths are wrong, but right together."""
    plain = pairs(codec.to_map(send(1)))
    members = dict(plain)
    members["conversation_id"], members["chain_id"] = UUID[:-1], UUID[-1] + UUID
    assert members["conversation_id"] + members["chain_id"] == UUID * 2
    with pytest.raises(ProtocolError):
        codec.decode(0x10, packed(Pairs(members.items())))


def test_grammars_are_remembered_both_ways() -> None:
    good, bad = codec.encode(send(1)), codec.encode(send(1)).replace(b"bob@a.example", b"bob@a_example")
    for _ in range(3):
        assert taken(MessageSend, good)
        assert not taken(MessageSend, bad)


def test_a_key_response_is_walked_to_the_bottom() -> None:
    response = KeyResponse(request_id=UUID, keys={"bob@a.example": {UUID: {"x": 1}}}, timestamp=1)  # type: ignore[dict-item]
    data = codec.encode(response)
    assert taken(KeyResponse, data)
    for bad in (data.replace(b"bob@a.example", b"bob@a_example"), data.replace(b"\xa1x\x01", b"\xa1x\xc0")):
        assert not taken(KeyResponse, bad)
        with pytest.raises(ProtocolError):
            codec.decode(0x31, bad)


def test_the_members_of_every_map_inside_are_checked_on_both_ways() -> None:
    """`Wrap.index` stands beyond 32 bits, once in our order and once in another."""
    plain = codec.to_map(send(1))
    wraps = plain["encrypted_keys"]
    assert isinstance(wraps, dict)
    for wrap in wraps.values():
        assert isinstance(wrap, dict)
        wrap["index"] = 2**32
    for members in (plain, dict(reversed(plain.items()))):
        with pytest.raises(ProtocolError):
            codec.decode(0x10, codec.encode_map(members))


def test_replace_checks() -> None:
    assert replace(send(1), epoch=2).epoch == 2
    with pytest.raises(ProtocolError, match=r"MessageSend\.epoch"):
        replace(send(1), epoch=0)


def test_mistakes_of_ours() -> None:
    with pytest.raises(TypeError, match="without a greatest length"):
        compile_reader(_made("Odd", value=Annotated[str, Pattern("odd", re.compile("x*"))]), 1)
    with pytest.raises(TypeError, match="with a gap"):
        _made("Gap", value=Annotated[bytes, Length(1, 3)])


def _made(name: str, **members: Any) -> type[Map]:
    return type(name, (Map,), {"__annotations__": members, "__module__": __name__})
