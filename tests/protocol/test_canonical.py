"""Canonical form and plain values: the vectors, RFC 8785's escaping, refusals, and stability under every reader."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from norc_actors.protocol.canonical import Value, base64url, canonical, check_map, from_base64url
from norc_actors.protocol.codec import decode_map, encode_map
from norc_actors.protocol.errors import ProtocolError
from norc_actors.protocol.json_form import read_json
from tests.support.messages import plain_maps
from tests.vectors.files import holds, recorded
from tests.vectors.reading import Entry


@recorded("canonical", "canonical_refused")
def test_recorded(entry: Entry) -> None:
    assert holds(entry)


@given(plain_maps)
def test_one_form_whatever_the_reader(value: dict[str, Value]) -> None:
    form = canonical(value)
    assert canonical(decode_map(encode_map(value))) == form
    assert canonical(read_json(form)) == form
    assert json.loads(form).keys() == value.keys()


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_escaping_is_that_of_the_standard(text: str) -> None:
    assert canonical({"a": text}) == b'{"a":' + json.dumps(text, ensure_ascii=False).encode() + b"}"


def test_escaping_of_controls() -> None:
    text = "".join(map(chr, range(0x20))) + '\x7f\u0080\u2028\U0001f600"\\/'
    expected = (
        "\\u0000\\u0001\\u0002\\u0003\\u0004\\u0005\\u0006\\u0007\\b\\t\\n\\u000b\\f\\r\\u000e\\u000f"
        "\\u0010\\u0011\\u0012\\u0013\\u0014\\u0015\\u0016\\u0017\\u0018\\u0019\\u001a\\u001b\\u001c\\u001d\\u001e\\u001f"
        '\x7f\u0080\u2028\U0001f600\\"\\\\/'
    )
    assert canonical({"a": text}).decode() == f'{{"a":"{expected}"}}'


def test_less_removes_at_the_top_only() -> None:
    value: dict[str, Value] = {"signature": b"x", "open": {"signature": b"y"}, "a": 1}
    assert canonical(value, less=("signature",)) == b'{"a":1,"open":{"signature":"eQ"}}'
    assert canonical(value, less=("signature", "a")) == b'{"open":{"signature":"eQ"}}'


@pytest.mark.parametrize("value", [None, 1.5, {"a": None}, [2.0], object(), {1: 2}, "\ud800", {"a": ["\udfff"]}])
def test_what_has_no_form_is_refused(value: object) -> None:
    with pytest.raises(ProtocolError):
        canonical({"a": value})  # type: ignore[dict-item]


def _nested(depth: int) -> dict[str, Value]:
    value: dict[str, Value] = {}
    for _ in range(depth - 1):
        value = {"a": value}
    return value


def test_depth() -> None:
    check_map(_nested(16))
    with pytest.raises(ProtocolError):
        check_map(_nested(17))
    scalar: Value = 1
    for _ in range(15):
        scalar = [scalar]
    with pytest.raises(ProtocolError):  # the scalar itself stands at 17
        check_map({"a": scalar})
    assert isinstance(scalar, list)
    check_map({"a": scalar[0]})


def test_entries() -> None:
    check_map({"a": [0] * 4096})
    check_map({str(n): 0 for n in range(4096)})
    for value in ({"a": [0] * 4097}, {str(n): 0 for n in range(4097)}):
        with pytest.raises(ProtocolError):
            check_map(value)


@pytest.mark.parametrize("value", [2**53, -(2**53)])
def test_integers(value: int) -> None:
    for bad in (value, value * 2**70):
        with pytest.raises(ProtocolError):
            check_map({"a": bad})
    check_map({"a": value - 1 if value > 0 else value + 1})


@given(st.binary())
def test_base64url_round_trip(data: bytes) -> None:
    assert from_base64url(base64url(data)) == data


@given(st.text("AB-_Zz09+/= \n", max_size=9))
def test_base64url_has_one_spelling(text: str) -> None:
    try:
        data = from_base64url(text)
    except ProtocolError:
        return
    assert base64url(data) == text


@pytest.mark.parametrize("text", ["A", "AAAAA", "AB", "AAB", "AA==", "AA=", "A+/A", "AA\n", " AA", "ÄA"])
def test_base64url_refused(text: str) -> None:
    with pytest.raises(ProtocolError):
        from_base64url(text)
