"""Message structs that cannot be half valid (section 1; style: frozen, keyword-only, validated when built).

Rules
- `Map` is a map inside a message (no `type`), `Message` a message (its `type` is the struct's tag), `Variant` one of
  several maps that a list may hold, told apart by a `type` of their own. All are frozen, keyword-only msgspec structs:
  one declaration gives both encodings, the check, and the documents' tables.
- An absent member is `None`, and `None` is never written. A received null is refused by the readers before it gets
  here.
- Lists are tuples. A map that carries another's signature is a `SignedMap`, a plain dict: its unknown members must
  survive, and its typed view is reached with `codec.convert`.
- Limits stand in the annotation as marks (`Length`, `Range`, `Pattern`, `Plain`). From the annotations
  `__init_subclass__` writes one `__post_init__` per struct, once, as source text (as `dataclasses` does): msgspec
  runs it for what it decoded and for what our code built, so neither can make a value that breaks a rule. A loop over
  generic checks would cost three times as much on the hot path.
- A struct's own cross-member rules stand in its `_rule` method, run last.

Every refusal is `ProtocolError(MALFORMED)` whose detail names struct and member, not the value.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Literal, NewType, TypeAlias, Union, get_args, get_origin, get_type_hints

import msgspec

from norc_actors.ids import ConversationId, DeviceId, MessageId, ServerId, UserId
from norc_actors.limits import MAX_ENTRIES, MAX_INTEGER, MAX_VERSIONS

from .canonical import Value, check_value
from .errors import malformed

# --- Marks ---


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


_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_SERVER = rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*"
_UUID_MARK = Pattern("UUID", re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"))

# --- The types that members are made of ---

Uuid: TypeAlias = Annotated[str, _UUID_MARK]
MessageUuid: TypeAlias = Annotated[MessageId, _UUID_MARK]
ConversationUuid: TypeAlias = Annotated[ConversationId, _UUID_MARK]
DeviceUuid: TypeAlias = Annotated[DeviceId, _UUID_MARK]
User: TypeAlias = Annotated[UserId, Pattern("user_id", re.compile(rf"[a-z0-9._+-]{{1,64}}@{_SERVER}"))]
Server: TypeAlias = Annotated[ServerId, Pattern("server_id", re.compile(_SERVER))]
Version: TypeAlias = Annotated[str, Pattern("version", re.compile(r"(?:0|[1-9][0-9]{0,4})\.(?:0|[1-9][0-9]{0,4})"))]
Versions: TypeAlias = Annotated[tuple[Version, ...], Bound(1, MAX_VERSIONS)]

Bytes12: TypeAlias = Annotated[bytes, Length(12)]
Bytes16: TypeAlias = Annotated[bytes, Length(16)]
Bytes32: TypeAlias = Annotated[bytes, Length(32)]
Bytes48: TypeAlias = Annotated[bytes, Length(48)]
Signature: TypeAlias = Annotated[bytes, Length(64)]
PublicKey: TypeAlias = Annotated[bytes, Length(32, 33)]
KemKey: TypeAlias = Annotated[bytes, Length(1184)]
KemCiphertext: TypeAlias = Annotated[bytes, Length(1088)]

Count: TypeAlias = Annotated[int, Range(0, MAX_INTEGER)]
Uint32: TypeAlias = Annotated[int, Range(0, 2**32 - 1)]
Seconds: TypeAlias = Annotated[int, Range(0, MAX_INTEGER), Unit("s")]
Micros: TypeAlias = Annotated[int, Range(0, MAX_INTEGER), Unit("µs")]

SuiteName: TypeAlias = Literal["0101", "0102", "0001", "0002"]
KeyAlgorithm: TypeAlias = Literal["ed25519", "p256"]
Atoms: TypeAlias = tuple[str, ...]
"""A list of atoms whose unknown entries are ignored (capabilities, suites)."""

SignedMap: TypeAlias = dict[str, Value]
"""A map that is kept as it came, because another signed it or because its members are free."""
RecordMap: TypeAlias = Annotated[SignedMap, Plain("Record")]
CertificateMap: TypeAlias = Annotated[SignedMap, Plain("DeviceCertificate")]
EntryMap: TypeAlias = Annotated[SignedMap, Plain("Entry")]
BundleMap: TypeAlias = Annotated[SignedMap, Plain("Bundle")]
OneTimeKeyMap: TypeAlias = Annotated[SignedMap, Plain("OneTimeKey")]
UserRotationMap: TypeAlias = Annotated[SignedMap, Plain("UserRotation")]
StateMap: TypeAlias = Annotated[SignedMap, Plain("State")]
FreeMap: TypeAlias = Annotated[SignedMap, Plain("free")]

# --- From annotations to one check ---


def strip(annotation: object) -> tuple[object, tuple[object, ...], bool]:
    """(bare type, marks, whether it may be absent) of a member's annotation; a bare union keeps its alternatives."""
    optional = False
    if get_origin(annotation) in (Union, UnionType) and NoneType in get_args(annotation):
        members = tuple(member for member in get_args(annotation) if member is not NoneType)
        annotation, optional = members[0] if len(members) == 1 else Union[members], True  # noqa: UP007 - of a tuple
    marks: tuple[object, ...] = ()
    if get_origin(annotation) is Annotated:
        bare, *rest = get_args(annotation)
        annotation, marks = bare, tuple(rest)
    if isinstance(annotation, NewType):
        annotation = annotation.__supertype__
    return annotation, marks, optional


class _Writer:
    """Collects the lines of one `__post_init__` and the names that they use."""

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.lines: list[str] = []
        self.names: dict[str, object] = {"refuse": _refuse, "check_value": check_value, "check_text": _check_text}
        self._count = 0

    def name(self, value: object) -> str:
        """A name for `value` inside the generated source."""
        self._count += 1
        name = f"v{self._count}"
        self.names[name] = value
        return name

    def refuse_if(self, indent: int, condition: str, member: str, why: str) -> None:
        """`if condition: raise …`."""
        self.lines.append(f"{' ' * indent}if {condition}: refuse({self.owner!r}, {member!r}, {why!r})")


def _compile(cls: "type[Map]") -> Callable[[Any], None]:
    writer = _Writer(cls.__name__)
    for member, annotation in get_type_hints(cls, include_extras=True).items():
        if get_origin(annotation) is ClassVar:
            continue
        bare, marks, optional = strip(annotation)
        writer.lines.append(f" x = self.{member}")
        if optional:
            writer.lines.append(" if x is not None:")
        _emit(writer, 2 if optional else 1, bare, marks, "x", member, cls.depth + 1)
    if cls._rule is not Map._rule:  # noqa: SLF001 - own base class
        writer.lines.append(" self._rule()")
    source = "def __post_init__(self):\n" + ("\n".join(writer.lines) or " pass") + "\n"
    namespace = dict(writer.names)
    exec(compile(source, f"<check of {cls.__name__}>", "exec"), namespace)
    check: Callable[[Any], None] = namespace["__post_init__"]  # type: ignore[assignment]
    return check


def _emit(w: _Writer, indent: int, bare: object, marks: tuple[object, ...], var: str, member: str, depth: int) -> None:
    """Write the check of `var`, a value of type `bare` with `marks`, standing at `depth`."""
    origin = get_origin(bare)
    if bare is str:
        w.refuse_if(indent, f"type({var}) is not str", member, "is no text")
        _emit_text(w, indent, marks, var, member)
    elif bare is int:
        limits = next((m for m in marks if isinstance(m, Range)), Range(-MAX_INTEGER, MAX_INTEGER))
        condition = f"type({var}) is not int or not {limits.least} <= {var} <= {limits.most}"
        w.refuse_if(indent, condition, member, "is no integer in its range")
    elif bare is bool:
        w.refuse_if(indent, f"type({var}) is not bool", member, "is no boolean")
    elif bare is bytes:
        w.refuse_if(indent, f"type({var}) is not bytes", member, "is no bytes")
        _emit_size(w, indent, marks, var, member)
    elif origin is Literal:
        atoms = w.name(frozenset(get_args(bare)))
        w.refuse_if(indent, f"type({var}) is not str or {var} not in {atoms}", member, "is none of its atoms")
    elif origin is tuple:
        _emit_list(w, indent, bare, marks, var, member, depth)
    elif origin is dict:
        _emit_map(w, indent, bare, marks, var, member, depth)
    elif origin in (Union, UnionType):
        _emit_union(w, indent, bare, var, member, depth)
    elif isinstance(bare, type) and issubclass(bare, Map):
        w.refuse_if(indent, f"type({var}) is not {w.name(bare)}", member, f"is no {bare.__name__}")
    else:
        raise TypeError(f"{w.owner}.{member}: no check for {bare!r}")


def _emit_text(w: _Writer, indent: int, marks: tuple[object, ...], var: str, member: str) -> None:
    pattern = next((m for m in marks if isinstance(m, Pattern)), None)
    if pattern is not None:
        w.refuse_if(indent, f"not {w.name(pattern.regex.fullmatch)}({var})", member, f"is no {pattern.name}")
        return
    w.lines.append(f"{' ' * indent}if not {var}.isascii(): check_text({w.owner!r}, {member!r}, {var})")
    _emit_size(w, indent, marks, var, member)


def _emit_size(w: _Writer, indent: int, marks: tuple[object, ...], var: str, member: str) -> None:
    for mark in marks:
        if isinstance(mark, Length):
            condition = " and ".join(f"len({var}) != {length}" for length in mark.allowed)
            w.refuse_if(indent, condition, member, "has a wrong length")
        elif isinstance(mark, Bound):
            w.refuse_if(indent, f"not {mark.least} <= len({var}) <= {mark.most}", member, "has a wrong size")


def _emit_list(
    w: _Writer, indent: int, bare: object, marks: tuple[object, ...], var: str, member: str, depth: int
) -> None:
    item, item_marks, _ = strip(get_args(bare)[0])
    bound = next((m for m in marks if isinstance(m, Bound)), Bound(0, MAX_ENTRIES))
    condition = f"type({var}) is not tuple or not {bound.least} <= len({var}) <= {bound.most}"
    w.refuse_if(indent, condition, member, "is no list in its bounds")
    inner = f"{var}i"
    w.lines.append(f"{' ' * indent}for {inner} in {var}:")
    _emit(w, indent + 1, item, item_marks, inner, member, depth + 1)


def _emit_map(
    w: _Writer, indent: int, bare: object, marks: tuple[object, ...], var: str, member: str, depth: int
) -> None:
    w.refuse_if(indent, f"type({var}) is not dict or len({var}) > {MAX_ENTRIES}", member, "is no map in its bounds")
    if bare == SignedMap:
        w.lines.append(f"{' ' * indent}check_value({var}, {depth})")
        return
    (key, key_marks, _), (item, item_marks, _) = (strip(part) for part in get_args(bare))
    inner_key, inner = f"{var}k", f"{var}i"
    w.lines.append(f"{' ' * indent}for {inner_key}, {inner} in {var}.items():")
    _emit(w, indent + 1, key, key_marks, inner_key, member, depth)
    _emit(w, indent + 1, item, item_marks, inner, member, depth + 1)


def _emit_union(w: _Writer, indent: int, bare: object, var: str, member: str, depth: int) -> None:
    """Alternatives that Python's types tell apart: text, integer, boolean, list, map, variants."""
    word = "if"
    for alternative in get_args(bare):
        kind, marks, _ = strip(alternative)
        origin = get_origin(kind)
        python = str if origin is Literal else (origin or kind)
        w.lines.append(f"{' ' * indent}{word} type({var}) is {w.name(python)}:")
        _emit(w, indent + 1, kind, marks, var, member, depth)
        word = "elif"
    w.lines.append(f"{' ' * indent}else: refuse({w.owner!r}, {member!r}, 'is of no type that it may have')")


def _refuse(owner: str, member: str, why: str) -> None:
    raise malformed(f"{owner}.{member} {why}")


def _check_text(owner: str, member: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        _refuse(owner, member, "has a lone surrogate")


# --- Structs ---


class Map(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A map inside a message, without `type`."""

    depth: ClassVar[int] = 1
    """How deep this map stands in its message at least; where a `Plain` member begins to count."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.__post_init__ = _compile(cls)  # type: ignore[attr-defined]

    def _rule(self) -> None:
        """Rules between members; overridden where there are any."""


class Message(Map, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """A message: a map with `type`, its name in section 3's registry."""


class Variant(Map, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """One of several kinds of map that may stand in one place, told apart by their `type`; no message."""


def type_name(kind: "type[Map]") -> str | None:
    """The `type` of a message struct or a variant, None for any other map inside messages."""
    tag = kind.__struct_config__.tag
    return tag if isinstance(tag, str) else None
