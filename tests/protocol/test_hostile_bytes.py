"""Bytes that want more than they are: time, memory, the stack, or to be taken for something else.

What each reader must refuse value by value stands in test_codec.py and test_canonical.py; here is what attacks the
reader itself, in both encodings, at the root, in a typed member, in a free one and in an unknown one.
"""

import json
import time
import tracemalloc
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgpack
import pytest

from norc_actors.limits import MAX_CONTAINERS, MAX_ENTRIES
from norc_actors.protocol import codec, json_form
from norc_actors.protocol.errors import Code, ProtocolError
from norc_actors.protocol.frames import encode_federation, federation_stream
from norc_actors.protocol.messages import Inner, MessageAck, MessageSend, Ping, ReadReceipt, Wrap
from norc_actors.protocol.registry import code_of

UUID = "8730f70d-c056-4103-9108-3d814ee5a7da"
ACK: dict[str, Any] = {"type": "message_ack", "message_id": UUID, "status": "sent", "timestamp": 1}
MIB = 2**20


@contextmanager
def within(mebibytes: float, seconds: float = 3.0) -> Iterator[None]:
    """A bound on memory and on time, which is wide: tracemalloc is slow, and the machine may be busy."""
    tracemalloc.start()
    try:
        began = time.process_time()
        yield
        assert time.process_time() - began < seconds
        assert tracemalloc.get_traced_memory()[1] < mebibytes * MIB
    finally:
        tracemalloc.stop()


def refused(read: Callable[[], object]) -> str:
    with pytest.raises(ProtocolError) as caught:
        read()
    assert caught.value.code is Code.MALFORMED
    return caught.value.detail


def acks(value: bytes) -> dict[str, bytes]:
    """A message with these bytes in an unknown member, inside a free one, in place of each typed one; and as root."""
    members = [msgpack.packb(key) + msgpack.packb(item) for key, item in ACK.items()]

    def packed(*more: bytes, less: str = "") -> bytes:
        kept = [member for member, key in zip(members, ACK, strict=True) if key != less]
        return bytes([0x80 | len(kept) + len(more)]) + b"".join((*kept, *more))

    typed = {key: packed(msgpack.packb(key) + value, less=key) for key in ("message_id", "status", "timestamp")}
    return typed | {
        "unknown": packed(b"\xa1x" + value),
        "free": packed(b"\xa7receipt\x81\xa1x" + value),
        "free itself": packed(b"\xa7receipt" + value),
        "list": packed(b"\xadstale_devices" + value),
        "root": value,
    }


HUGE = {
    "list of 2^32": b"\xdd\xff\xff\xff\xff",
    "list of 2^26": b"\xdd\x04\x00\x00\x00",
    "lists of 2^26": b"\xdd\x04\x00\x00\x00" * 12,
    "map of 2^32": b"\xdf\xff\xff\xff\xff",
    "map of 2^26": b"\xdf\x04\x00\x00\x00",
    "bytes of 2^32": b"\xc6\xff\xff\xff\xff",
    "text of 2^32": b"\xdb\xff\xff\xff\xff",
    "extension of 2^32": b"\xc9\xff\xff\xff\xff\x05",
    "list of 65535": b"\xdc\xff\xff",
}


@pytest.mark.parametrize("value", HUGE.values(), ids=HUGE)
def test_lengths_that_are_not_there(value: bytes) -> None:
    """Nothing is set aside for what a header promises."""
    for data in acks(value + b"\x01" * 64).values():
        with within(1):
            refused(lambda data=data: codec.decode(code_of(MessageAck), data))  # type: ignore[misc]
            refused(lambda data=data: codec.decode_map(data))  # type: ignore[misc]


DEEP = {
    "lists": b"\x91" * 60_000,
    "maps": b"\x81\xa1a" * 20_000,
    "lists that end": b"\x91" * 500 + b"\x90",
    "maps that end": b"\x81\xa1a" * 300 + b"\x80",
    "keys": b"\x81" * 60_000,
}


@pytest.mark.parametrize("value", DEEP.values(), ids=DEEP)
def test_depth(value: bytes) -> None:
    for data in acks(value).values():
        with within(4):
            refused(lambda data=data: codec.decode(code_of(MessageAck), data))  # type: ignore[misc]


@pytest.mark.parametrize("text", ["[" * 60_000, '{"a":' * 20_000, "[" * 400 + "]" * 400, '{"a":[' * 300])
def test_depth_in_json(text: str) -> None:
    for data in (text, json.dumps(ACK)[:-1] + ', "x": ' + text):
        with within(8):
            refused(lambda data=data: json_form.decode_json(code_of(MessageAck), data.encode()))  # type: ignore[misc]


def many(leaf: bytes, count: int) -> bytes:
    """A list of full lists of `leaf`: as many as no single list may hold."""
    full = b"\xdc" + MAX_ENTRIES.to_bytes(2, "big") + leaf * MAX_ENTRIES
    return b"\xdc" + (count // MAX_ENTRIES).to_bytes(2, "big") + full * (count // MAX_ENTRIES)


@pytest.mark.parametrize("leaf", [b"\x90", b"\x81\xa1a\x80"], ids=["lists", "maps"])
def test_a_mebibyte_of_empty_lists_and_maps(leaf: bytes) -> None:
    """72 times as much in memory, and a second, without a limit on all of them together."""
    places = acks(many(leaf, MIB // len(leaf)))
    for place in ("unknown", "free", "list", "root"):
        with within(16):
            detail = refused(lambda place=place: codec.decode(code_of(MessageAck), places[place]))  # type: ignore[misc]
        assert "lists and maps" in detail


def test_as_many_lists_and_maps_as_a_message_may_have() -> None:
    """The message, the list in it, the lists in that, and their items."""
    for more in (-1, 0, 1):
        inner = [[] for _ in range(MAX_CONTAINERS - 2 - 16 + more)]  # type: ignore[var-annotated]
        lists = [inner[at : at + MAX_ENTRIES] for at in range(0, len(inner), MAX_ENTRIES)]
        assert len(lists) == 16
        plain = ACK | {"x": lists}
        data, text = msgpack.packb(plain), json.dumps(plain).encode()
        if more == 1:
            refused(lambda data=data: codec.decode(code_of(MessageAck), data))  # type: ignore[misc]
            refused(lambda text=text: json_form.read_json(text))  # type: ignore[misc]
        else:
            assert codec.decode(code_of(MessageAck), data).map == plain
            assert json_form.read_json(text) == plain


def test_brackets_in_a_text_are_no_lists() -> None:
    plain = ACK | {"x": "[{" * MAX_CONTAINERS}
    assert json_form.read_json(json.dumps(plain).encode()) == plain
    assert codec.decode(code_of(MessageAck), msgpack.packb(plain)).map == plain


def test_a_long_message_is_read_as_well() -> None:
    """Longer than the fast way takes."""
    wraps = {f"{n:08x}{UUID[8:]}": Wrap(session_id=UUID, index=n, wrapped=bytes(48)) for n in range(600)}  # type: ignore[misc]
    plain = {
        "type": "message_send", "message_id": UUID, "conversation_id": UUID, "epoch": 1, "recipients": ["a@b"],
        "suite": "0001", "chain_id": UUID, "sequence_number": 1, "prev_message_hash": bytes(32),
        "key_commitment": bytes(32), "ciphertext": bytes(16), "metadata": {"timestamp": 1, "classification": "secret"},
        "encrypted_keys": {device: codec.to_map(wrap) for device, wrap in wraps.items()},
    }  # fmt: skip
    data = codec.encode_map(plain)
    assert len(data) > MAX_CONTAINERS
    message = codec.decode(code_of(MessageSend), data).message
    assert isinstance(message, MessageSend)
    assert message.encrypted_keys == wraps
    assert codec.decode(code_of(MessageSend), codec.encode(message)).message == message


def test_a_long_frame_in_small_pieces_costs_its_length() -> None:
    """16 MiB in pieces of 4 KiB: a buffer that is copied for each would copy 32 GiB."""
    frame = encode_federation(2, 0x85, bytes(16 * MIB))
    stream = federation_stream(20 * MIB)
    began = time.process_time()
    found = [one for at in range(0, len(frame), 4096) for one in stream.feed(frame[at : at + 4096])]
    assert time.process_time() - began < 2.0
    assert [one.body for one in found] == [bytes(16 * MIB)]
    assert stream.between_frames


NOT_INTEGERS = {
    "true": b"\xc3", "float 1.0": b"\xcb\x3f\xf0\0\0\0\0\0\0", "float32 1.0": b"\xca\x3f\x80\0\0",
    "nan": b"\xcb\x7f\xf8\0\0\0\0\0\0", "-0.0": b"\xcb\x80\0\0\0\0\0\0\0", "infinity": b"\xca\x7f\x80\0\0",
    "text": b"\xa11", "bytes": b"\xc4\x011", "null": b"\xc0", "timestamp": b"\xd6\xff\0\0\0\1", "ext": b"\xd4\x05\1",
    "2^53": b"\xcf\x00\x20\0\0\0\0\0\0", "2^64-1": b"\xcf" + b"\xff" * 8, "-1": b"\xff",
    "-2^63": b"\xd3\x80" + bytes(7),
}  # fmt: skip


@pytest.mark.parametrize("value", NOT_INTEGERS.values(), ids=NOT_INTEGERS)
def test_what_is_no_integer(value: bytes) -> None:
    refused(lambda: codec.decode_as(Ping, b"\x82\xa4type\xa4ping\xa9timestamp" + value))


@pytest.mark.parametrize(
    "value",
    [b"\x05", b"\xcc\x05", b"\xcd\x00\x05", b"\xce" + bytes(3) + b"\x05", b"\xd0\x05", b"\xd3" + bytes(7) + b"\x05"],
)
def test_an_integer_in_a_longer_form_is_the_same_integer(value: bytes) -> None:
    """MessagePack does not ask for the shortest; what is signed is the canonical form."""
    received = codec.decode_as(Ping, b"\x82\xa4type\xa4ping\xa9timestamp" + value)
    assert received.message == Ping(timestamp=5)
    assert received.map == {"type": "ping", "timestamp": 5}


NUMBERS = ["NaN", "Infinity", "-Infinity", "-0", "1.0", "1e2", "1E400", "9" * 400, "-" + "9" * 18, "9007199254740992"]


@pytest.mark.parametrize("number", [*NUMBERS, "true", '"1"', "null"])
def test_what_is_no_integer_in_json(number: str) -> None:
    refused(lambda: json_form.decode_json_as(Ping, f'{{"type":"ping","timestamp":{number}}}'.encode()))


@pytest.mark.parametrize(
    "text",
    [
        b'{"type":"ping","timestamp":1}x', b'{"type":"ping","timestamp":1}\0',
        b'\xef\xbb\xbf{"type":"ping","timestamp":1}',
        b'{"type":"ping","timestamp":1,}', b'{"type":"ping","timestamp":01}', b"{'type':'ping','timestamp':1}",
        b'{"type":"ping","timestamp":1,"x":"\xff"}', b'{"type":"ping","timestamp":1,"x":"\xed\xa0\x80"}',
        b'{"type":"ping","timestamp":1,"x":"\\ud800"}', b'{"type":"ping","timestamp":1,"x":"\n"}',
        b'{"type":"ping","timestamp":1,"t\\u0079pe":"pong"}', b'{"type":"ping","timestamp":1,"\\ud800":1}',
        b'{"type":"ping","timestamp":1,"\xc3\xa9":1}', b'"ping"', b"[]", b"", b"\xff\xfe{\0}\0",
    ],
    ids=range(17),
)  # fmt: skip
def test_what_is_no_json(text: bytes) -> None:
    refused(lambda: json_form.decode_json_as(Ping, text))


KEYS = {
    "list": b"\x90", "map": b"\x80", "list of a list": b"\x91\x91\x01", "null": b"\xc0", "true": b"\xc3",
    "integer": b"\x01", "float": b"\xca\x3f\x80\0\0", "bytes": b"\xc4\x01x", "ext": b"\xd4\x05\x00",
    "timestamp": b"\xd6\xff\0\0\0\0", "no UTF-8": b"\xa1\xff", "surrogate": b"\xa3\xed\xa0\x80",
    "overlong": b"\xa2\xc0\x80", "not ASCII": b"\xa2\xc3\xa9",
}  # fmt: skip


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_keys_that_are_no_text(key: bytes) -> None:
    """In unknown and free maps, in place of a member's name, and in a map whose keys are devices."""
    for place in ("unknown", "free", "free itself", "root"):
        refused(lambda place=place: codec.decode(code_of(MessageAck), acks(b"\x81" + key + b"\x01")[place]))  # type: ignore[misc]
    refused(lambda: codec.decode_as(Ping, b"\x83\xa4type\xa4ping\xa9timestamp\x01" + key + b"\x01"))
    refused(lambda: codec.decode(0x10, b"\x82\xa4type\xacmessage_send\xaeencrypted_keys\x81" + key + b"\x80"))


class Text(str):
    """A text that says of itself what it likes."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = str.__hash__


class Number(int):
    pass


class Raw(bytes):
    pass


@pytest.mark.parametrize(
    ("kind", "members"),
    [
        (Ping, {"timestamp": True}), (Ping, {"timestamp": Number(1)}), (Ping, {"timestamp": 1.0}),
        (Inner, {"message_type": Text("text"), "body": "x"}), (Inner, {"message_type": "text", "body": Text("x")}),
        (Inner, {"message_type": "system", "body": OrderedDict(name="x")}),
        (Inner, {"message_type": "system", "body": {"name": Text("x")}}),
        (Inner, {"message_type": "system", "body": {Text("name"): "x"}}),
        (Inner, {"message_type": "system", "body": {"name": Number(1)}}),
        (Inner, {"message_type": "system", "body": {"name": ("x",)}}),
        (Inner, {"message_type": "text", "body": "x", "mentions": ["a@b"]}),
        (Inner, {"message_type": "text", "body": "x", "reply_to": Text(UUID)}),
        (Wrap, {"session_id": UUID, "index": 0, "wrapped": bytearray(48)}),
        (Wrap, {"session_id": UUID, "index": 0, "wrapped": memoryview(bytes(48))}),
        (Wrap, {"session_id": UUID, "index": 0, "wrapped": Raw(48)}),
    ],
    ids=range(15),
)  # fmt: skip
def test_what_only_looks_like_a_value_is_not_built(kind: Any, members: dict[str, Any]) -> None:
    """A subclass may compare and encode as it likes; a bool is an int to Python alone."""
    refused(lambda: kind(**members))


def test_a_message_inside_a_message_is_no_message_of_another_type() -> None:
    """`receipt` is free: what looks like a receipt there is one only for who reads it as one."""
    data = codec.encode_map(ACK | {"receipt": ACK})
    assert isinstance(codec.decode(code_of(MessageAck), data).message, MessageAck)
    refused(lambda: codec.convert(ACK, ReadReceipt))
