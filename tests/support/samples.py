"""One fixed message of every struct, made from its annotations: with all members, and with the required ones alone."""

from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from norc_actors.protocol import messages as m
from norc_actors.protocol.codec import to_map
from norc_actors.protocol.schema import Bound, Length, Map, Pattern, Plain, Range, SignedMap, strip
from tests.support.messages import FITS

_TEXTS = {
    "UUID": "8730f70d-c056-4103-9108-3d814ee5a7da",
    "server_id": "a.example",
    "user_id": "alice@a.example",
    "version": "2.0",
    "date": "2026-09-21",
    "country code": "NL",
    "OID": "2.16.840.1.101.3.2.1.3.7",
}


def sample(kind: type[Map], *, full: bool) -> Any:
    """The fixed example of a struct; `full` has its optional members too, as far as its rules allow."""
    hints = get_type_hints(kind, include_extras=True)
    members = {
        field.name: _value(hints[field.name]) if full or field.required else field.default
        for field in msgspec.structs.fields(kind)
    }
    fit = FITS.get(kind)
    if fit is not None:
        fit(members)
    return kind(**members)


def _value(annotation: object) -> Any:
    bare, marks, _ = strip(annotation)
    by_type: dict[type, Any] = {type(mark): mark for mark in marks}
    origin, parts = get_origin(bare), get_args(bare)
    if Pattern in by_type:
        return _TEXTS[by_type[Pattern].name]
    if bare is bytes:
        length = by_type[Length].allowed[0] if Length in by_type else max(by_type.get(Bound, Bound(3, 3)).least, 3)
        return bytes(n % 256 for n in range(length))
    if bare is str:
        return "text"
    if bare is bool:
        return True
    if bare is int:
        return min(max(by_type.get(Range, Range(0, 300)).least, 300), by_type.get(Range, Range(0, 300)).most)
    if origin is Literal:
        return parts[0]
    if origin in (Union, UnionType):
        return _value(parts[0])
    if origin is tuple:
        item = get_args(strip(parts[0])[0])
        if get_origin(strip(parts[0])[0]) is UnionType and all(isinstance(x, type) for x in item):
            return tuple(_value(x) for x in item)  # one of each variant
        return (_value(parts[0]),) * max(1, by_type.get(Bound, Bound(1, 1)).least)
    if bare == SignedMap:
        named = getattr(m, by_type[Plain].what, None) if Plain in by_type else None
        return {"free": 1} if named is None else to_map(sample(named, full=True))
    if origin is dict:
        return {_value(parts[0]): _value(parts[1])}
    assert isinstance(bare, type)
    return sample(bare, full=True)
