"""What a member's annotation says beyond its type: marks, and the constraints that msgspec checks for them.

Rules
- A mark is a limit (`Length`, `Bound`, `Range`), a grammar (`Pattern`) or a word for the documents (`Plain`, `Unit`).
- `constrained` writes msgspec's own constraint beside each limit, so that its C decoder refuses what breaks one. What
  has no limit of its own gets the protocol's: integers ±(2⁵³−1), lists and maps 4096 entries.
- What msgspec cannot say (grammars, free maps) or only slowly (`Meta(pattern=...)`) is left to `read_checks.py`.
"""

import re
from dataclasses import dataclass
from functools import reduce
from operator import or_
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, NewType, TypeAlias, Union, get_args, get_origin

import msgspec

from norc_actors.limits import MAX_ENTRIES, MAX_INTEGER

from .canonical import Value

SignedMap: TypeAlias = dict[str, Value]
"""A map that is kept as it came, because another signed it or because its members are free."""


@dataclass(frozen=True, slots=True)
class Length:
    """Bytes or text of one of these lengths."""

    allowed: tuple[int, ...]

    def __init__(self, *allowed: int) -> None:
        object.__setattr__(self, "allowed", allowed)


@dataclass(frozen=True, slots=True)
class Bound:
    """A list, map, text or bytes of `least` to `most` entries, characters or bytes."""

    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Range:
    """An integer from `least` to `most`."""

    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Pattern:
    """Text of a grammar, by the name that the documents give it."""

    name: str
    regex: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class Plain:
    """A map kept as it came, unknown members included; `what` names its struct in `messages`, where it has one."""

    what: str


@dataclass(frozen=True, slots=True)
class Unit:
    """What a number counts, for the documents alone."""

    name: str


def strip(annotation: object) -> tuple[object, tuple[object, ...], bool]:
    """(bare type, marks, whether it may be absent) of a member's annotation; a bare union keeps its alternatives."""
    optional = False
    if get_origin(annotation) in (Union, UnionType) and NoneType in get_args(annotation):
        members = tuple(member for member in get_args(annotation) if member is not NoneType)
        annotation, optional = members[0] if len(members) == 1 else Union[members], True  # noqa: UP007 - of a tuple
    marks: tuple[object, ...] = ()
    if get_origin(annotation) is Annotated:
        bare, *rest = get_args(annotation)
        annotation, marks = bare, tuple(mark for mark in rest if not isinstance(mark, msgspec.Meta))
    if isinstance(annotation, NewType):
        annotation = annotation.__supertype__
    return annotation, marks, optional


def constrained(annotation: object) -> Any:
    """The annotation with msgspec's constraints beside the marks that ask for them; `TypeError` for lengths with a
    gap between them, which msgspec has no word for."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is ClassVar or annotation == SignedMap:
        return annotation
    if origin is Annotated:
        bare, *marks = parts
        return _annotated(bare, tuple(marks))
    if origin in (Union, UnionType):
        return reduce(or_, map(constrained, parts))
    return _annotated(annotation, ())


def _annotated(bare: Any, marks: tuple[object, ...]) -> Any:
    origin, parts = get_origin(bare), get_args(bare)
    if origin is tuple or (origin is dict and bare != SignedMap):
        bare = origin[tuple(part if part is ... else constrained(part) for part in parts)]
    meta = _constraint(bare, marks)
    marks = marks if meta is None else (*marks, meta)
    return Annotated[bare, *marks] if marks else bare


def _constraint(bare: object, marks: tuple[object, ...]) -> msgspec.Meta | None:
    for mark in marks:
        if isinstance(mark, Length):
            if len(mark.allowed) != mark.allowed[-1] - mark.allowed[0] + 1:
                raise TypeError(f"lengths with a gap: {mark.allowed}")
            return msgspec.Meta(min_length=mark.allowed[0], max_length=mark.allowed[-1])
        if isinstance(mark, Bound):
            return msgspec.Meta(min_length=mark.least, max_length=mark.most)
        if isinstance(mark, Range):
            return msgspec.Meta(ge=mark.least, le=mark.most)
    if bare is int:
        return msgspec.Meta(ge=-MAX_INTEGER, le=MAX_INTEGER)
    if get_origin(bare) in (tuple, dict) and bare != SignedMap:
        return msgspec.Meta(max_length=MAX_ENTRIES)
    return None
