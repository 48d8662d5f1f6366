"""JSON and MessagePack give the same message and the same canonical form; bytes come by type alone."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from norc_actors.protocol import codec
from norc_actors.protocol.canonical import Value, canonical
from norc_actors.protocol.errors import Code, ProtocolError
from norc_actors.protocol.json_form import decode_json, decode_json_as, read_json, with_bytes, write_json
from norc_actors.protocol.messages import Entry, KeyRequest, MessageSend, Record, TrustChallenge
from norc_actors.protocol.registry import STRUCTS, code_of
from norc_actors.protocol.schema import Message
from tests.support.messages import any_message, structs
from tests.support.samples import sample
from tests.support.vectors import section


@given(any_message())
def test_every_message_by_way_of_json(message: Message) -> None:
    received = decode_json(code_of(type(message)), write_json(codec.to_map(message)))
    assert received.message == message
    assert canonical(received.map) == canonical(codec.to_map(message))
    assert codec.decode(code_of(type(message)), received.data).message == message


@settings(max_examples=30)
@given(structs(Entry))
def test_signed_maps_inside_get_their_bytes(entry: Entry) -> None:
    plain = codec.to_map(entry)
    assert with_bytes(read_json(write_json(plain)), Entry) == plain
    assert codec.convert(plain["record"], Record)  # type: ignore[arg-type]


def test_vectors_in_json() -> None:
    case = section("messages")[0]["messages"][0]["message_send"]
    received = decode_json(0x10, case["canonical"].encode())
    assert isinstance(received.message, MessageSend)
    assert received.map == codec.decode_map(bytes.fromhex(case["msgpack"]))


def test_unknown_text_stays_text() -> None:
    received = decode_json(0x09, b'{"type":"ping","timestamp":1,"x":"AQ"}')
    assert received.extra == {"x": "AQ"}


@given(st.binary(max_size=80), st.sampled_from(sorted(STRUCTS)))
def test_any_bytes(data: bytes, code: int) -> None:
    with pytest.raises(ProtocolError):
        decode_json(code, data)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def _paths(value: object, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if at:
        yield at
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inside:
        yield from _paths(item, (*at, key))


@settings(max_examples=80)
@given(any_message(), _JSON, st.sampled_from(["put", "remove", "add"]), st.randoms(use_true_random=False))
def test_any_change_of_any_message(message: Message, value: Any, how: str, random: Any) -> None:
    """A member anywhere replaced, removed or added: the same message in both encodings, or one refusal."""
    plain: Any = json.loads(write_json(codec.to_map(message)))
    *path, last = random.choice(list(_paths(plain)))
    holder = plain
    for key in path:
        holder = holder[key]
    if how == "remove":
        del holder[last]
    else:
        holder["zz" if how == "add" and isinstance(holder, dict) else last] = value
    code = code_of(type(message))
    try:
        received = decode_json(code, json.dumps(plain).encode())
    except ProtocolError as error:
        assert error.code is Code.MALFORMED  # noqa: PT017 - one of two outcomes
        return
    again = codec.decode(code, received.data)
    assert again.message == received.message
    assert canonical(again.map) == canonical(received.map) == canonical(plain)


@given(st.dictionaries(st.text(max_size=3), _JSON, max_size=4))
def test_any_json(value: dict[str, Value]) -> None:
    try:
        plain = read_json(json.dumps(value).encode())
    except ProtocolError as error:
        assert error.code is Code.MALFORMED  # noqa: PT017 - one of two outcomes
    else:
        assert plain == value


@pytest.mark.parametrize(
    "text",
    [
        '{"a":-0}', '{"a":1.0}', '{"a":1e3}', '{"a":1E3}', '{"a":NaN}', '{"a":-Infinity}', '{"a":01}', '{"a":+1}',
        '{"a":9007199254740992}', '{"a":-9007199254740992}', '{"a":' + "9" * 5000 + "}", '{"a":1}x', '{"a":1}{}', "",
        '\ufeff{"a":1}', '{"a":"\\ud800"}', '{"a":"\\ude00\\ud83d"}', '{"a":{"b":1,"b":2}}', '{"a":[null]}', "[]", "1",
        '{"\\u00e9":1}', '{"a":"\n"}', "{'a':1}", '{"a":1,}', "[" * 100000, '{"a":' * 100000,
    ],
)  # fmt: skip
def test_refused(text: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        read_json(text.encode())
    assert caught.value.code is Code.MALFORMED


@pytest.mark.parametrize("text", ['{"a":0}', ' {"a" : [ ] }\n', '{"a":"\\ud83d\\ude00"}', '{"a":-1}'])
def test_accepted(text: str) -> None:
    assert read_json(text.encode()) == json.loads(text)


@pytest.mark.parametrize("key", ["AAAA", "A" * 42, "A" * 43 + "=", "A" * 42 + "B", "+" * 43, 7])
def test_bytes_members_refused(key: object) -> None:
    record = json.loads(canonical(codec.decode_map(bytes.fromhex(section("devices")[0]["record"]["msgpack"]))))
    codec.convert(with_bytes(record, Record), Record)
    with pytest.raises(ProtocolError):
        codec.convert(with_bytes(record | {"public_key": key}, Record), Record)


def test_codes_not_built() -> None:
    with pytest.raises(ProtocolError) as caught:
        decode_json(0xFF, b"{}")
    assert caught.value.code is Code.UNKNOWN_TYPE


def test_a_message_that_is_in_no_registry() -> None:
    for code in (0x0C, 0x0D, 0xFE):
        with pytest.raises(ProtocolError) as caught:
            decode_json(code, b"{}")
        assert caught.value.code is Code.UNKNOWN_TYPE


def test_bytes_inside_lists_of_variants() -> None:
    """A challenge's bytes are found by its `type`; one of no known type keeps its text and is refused by the struct."""
    challenge = sample(TrustChallenge, full=True)
    plain = json.loads(write_json(codec.to_map(challenge)))
    assert decode_json_as(TrustChallenge, json.dumps(plain).encode()).message == challenge
    for wrong in ({"type": "riddle"}, {"type": 7}, "text", 7, [1]):
        with pytest.raises(ProtocolError):
            decode_json_as(TrustChallenge, json.dumps({**plain, "challenges": [wrong]}).encode())


def test_a_filter_is_a_word_or_a_list() -> None:
    request = sample(KeyRequest, full=True)
    plain = json.loads(write_json(codec.to_map(request)))
    for value in ("all", ["8730f70d-c056-4103-9108-3d814ee5a7da"]):
        received = decode_json_as(KeyRequest, json.dumps({**plain, "device_filter": value}).encode())
        assert received.map["device_filter"] == value
    with pytest.raises(ProtocolError):
        decode_json_as(KeyRequest, json.dumps({**plain, "device_filter": {"a": 1}}).encode())
