"""The JSON form of messages: a strict reader, and bytes from base64url by the structs' types (section 1, section 3).

Rules
- JSON has no bytes, so a known member's type decides: where the struct has bytes, the text must be unpadded base64url
  and becomes bytes; in unknown members text stays text. Both forms of a map then have one canonical form.
- A map that carries a signature is read by the struct that its mark names (`Plain("Record")`), unknown members kept.
- Refused like in MessagePack: null, floats (also `1.0`, `1e3`), `-0`, integers beyond 2⁵³−1, duplicate or non-ASCII
  keys, invalid UTF-8, BOM, lone surrogates, a root that is no map, what follows the value, depth, entries, too many
  lists and maps.

`json` of the standard library reads, since its hooks see number texts and duplicates; msgspec's reader shows neither.
"""

import json
from collections.abc import Mapping
from functools import cache
from types import UnionType
from typing import ClassVar, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

from norc_actors.limits import MAX_CONTAINERS

from . import messages
from .canonical import Value, canonical, check_map, from_base64url
from .codec import Received, convert, encode_map
from .errors import Code, ProtocolError, malformed
from .registry import NAMES, STRUCTS
from .schema import Map, Message, Plain, Variant, strip, type_name

T = TypeVar("T", bound=Map)

_MAX_DIGITS = 17


def read_json(data: bytes) -> dict[str, Value]:
    """Any map in JSON as plain values (bytes still text), or `ProtocolError` for what section 1 refuses."""
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_no_duplicates,
            parse_float=_no_float,
            parse_int=_integer,
            parse_constant=_no_float,
        )
    except (ValueError, RecursionError) as error:
        raise malformed(f"no JSON map: {type(error).__name__}") from error
    checked = check_map(value)
    if data.count(b"[") + data.count(b"{") > MAX_CONTAINERS and _containers(checked) > MAX_CONTAINERS:
        raise malformed(f"more than {MAX_CONTAINERS} lists and maps")
    return checked


def _containers(value: Value) -> int:
    """How many lists and maps a checked value is and holds."""
    if isinstance(value, dict):
        return 1 + sum(map(_containers, value.values()))
    return 1 + sum(map(_containers, value)) if isinstance(value, list) else 0


def write_json(plain: Mapping[str, Value]) -> bytes:
    """The map as JSON; its canonical form serves, since any order may be written."""
    return canonical(plain)


def decode_json(code: int, data: bytes) -> Received[Message]:
    """The message of type `code` in `data` (JSON); its `map` has bytes where the struct has bytes."""
    shapes = STRUCTS.get(code)
    if shapes is None:
        raise ProtocolError(Code.UNKNOWN_TYPE, f"type {code:#04x} ({NAMES.get(code, 'in no registry')})")
    plain = read_json(data)
    return _received(plain, shapes.of(plain))


def decode_json_as(kind: type[T], data: bytes) -> Received[T]:
    """Like `decode_json` for one expected struct, which may be a map without type."""
    return _received(read_json(data), kind)


def _received(plain: dict[str, Value], kind: type[T]) -> Received[T]:
    members = with_bytes(plain, kind)
    return Received(convert(members, kind), encode_map(members), members)


def with_bytes(plain: Mapping[str, Value], kind: type[Map]) -> dict[str, Value]:
    """The map of a struct with its bytes members as bytes, unknown ones untouched; `ProtocolError` for bad text."""
    hints = _hints(kind)
    return {key: _convert(value, hints[key]) if key in hints else value for key, value in plain.items()}


@cache
def _hints(kind: type[Map]) -> dict[str, object]:
    hints = get_type_hints(kind, include_extras=True)
    return {name: hint for name, hint in hints.items() if get_origin(hint) is not ClassVar}


def _convert(value: Value, annotation: object) -> Value:
    """`value` as `annotation` wants it; what does not fit stays, for the struct to refuse."""
    bare, marks, _ = strip(annotation)
    origin = get_origin(bare)
    if bare is bytes and isinstance(value, str):
        return from_base64url(value)
    if origin in (Union, UnionType):
        bare = _alternative(bare, value)
        origin = get_origin(bare)
    if isinstance(value, dict):
        kind = _kind_of(bare, marks)
        if kind is not None:
            return with_bytes(value, kind)
        if origin is dict and not marks:
            return {key: _convert(item, get_args(bare)[1]) for key, item in value.items()}
    if isinstance(value, list) and origin is tuple:
        return [_convert(item, get_args(bare)[0]) for item in value]
    return value


def _alternative(union: object, value: Value) -> object:
    """The alternative of a union that `value` is: a list, or the variant of its `type`; else the union itself."""
    for kind in get_args(union):
        bare = strip(kind)[0]
        if isinstance(value, list) and get_origin(bare) is tuple:
            return bare
        if not isinstance(value, dict) or not isinstance(bare, type) or not issubclass(bare, Variant):
            continue
        if value.get("type") == type_name(bare):
            return bare
    return union


def _kind_of(bare: object, marks: tuple[object, ...]) -> type[Map] | None:
    """The struct of a map: its own type, or the one that its mark names."""
    if isinstance(bare, type) and issubclass(bare, Map):
        return bare
    for mark in marks:
        if isinstance(mark, Plain):
            named = getattr(messages, mark.what, None)
            return named if isinstance(named, type) and issubclass(named, Map) else None
    return None


def _no_duplicates(pairs: list[tuple[str, Value]]) -> dict[str, Value]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise malformed("a duplicate key")
    return members


def _no_float(text: str) -> NoReturn:
    raise malformed("a number that is no integer")


def _integer(text: str) -> int:
    if text == "-0" or len(text) > _MAX_DIGITS:
        raise malformed("-0, or an integer beyond 2^53-1")
    return int(text)
