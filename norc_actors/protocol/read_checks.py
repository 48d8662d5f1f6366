"""The fast reader of a message: msgspec decodes, and one generated function checks what msgspec leaves.

msgspec has checked types, sizes, ranges and atoms of every member, inside too (`marks.constrained`). Left are

- *the rest of the rules*: grammars of texts, free maps, rules between members. All UUIDs of a message are compared with
  their shape at once: a text at a time would cost as much as everything else. Other grammars are those of names that
  recur in every message, so the last answers are remembered.
- *strictness*: msgspec skips members that it does not know, lets the last of two equal keys win, takes a null where a
  member may be absent, and does not miss a `type`. What was decoded says how many bytes its required members need at
  least. If the message is no longer than that and begins with its `type`, there was no room for anything else: each of
  them stood there once, in its shortest form, and there are no optional members. Otherwise it is encoded again and
  compared. What has no fixed size is weighed by encoding it, all in one list. The weight may be too small, which costs
  the comparison; it must never be too large.

For each struct `compile_reader` writes the function once, as source text. Its answer None is no refusal: the strict
reader then reads the same bytes and says what is wrong, by the checks of `built_checks.py`. So nothing can pass here
that is refused there but by a mistake of this module; the tests read whatever they make in both ways.
"""

import re
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from itertools import count
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from norc_actors.limits import REMEMBERED_NAMES

from .canonical import check_value
from .errors import ProtocolError
from .marks import Bound, Length, Pattern, SignedMap, strip

T = TypeVar("T", bound=msgspec.Struct)

_ENCODER = msgspec.msgpack.Encoder()
_UUID = b"xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"
_SHAPES = bytes(ord("x") if byte in b"0123456789abcdef" else byte if byte == 0x2D else 0 for byte in range(256))
_UUID_BYTES = 2 + 36

_SOURCE = """
def read(data):
    try:
        message = decode(data)
        size, uuids, rest = {size}, [{uuids}], [{rest}]
        {lines}
        size += len(encode(rest)) - (1 if (n := len(rest)) < 16 else 3 if n < 65536 else 5)
        if size != len(data) or not data.startswith(start):
            if encode(message) != data:
                return None
            {optional}
        if ''.join(uuids).encode().translate(shapes) != uuid * len(uuids):
            return None
        {rules}
    except refusals:
        return None
    return message
"""


def compile_reader(kind: type[T], depth: int) -> Callable[[bytes], T | None]:
    """The fast reader of a struct that stands at `depth` of its message."""
    writer = _Writer(count(), {})
    writer.members("message", kind, depth)
    start = _start(kind)
    parts = {"uuids": ", ".join(writer.uuids), "rest": ", ".join(writer.rest)}
    parts |= {"lines": "\n        ".join(writer.lines), "optional": "\n            ".join(writer.optional)}
    parts["rules"] = "\n        ".join(writer.rules)
    source = _SOURCE.format(size=len(start) + writer.size, **parts)
    names: dict[str, Any] = {
        **writer.names, "decode": msgspec.msgpack.Decoder(kind).decode, "encode": _ENCODER.encode,
        "check_value": check_value, "start": start, "shapes": _SHAPES, "uuid": _UUID,
        "refusals": (msgspec.DecodeError, ProtocolError, UnicodeDecodeError, RecursionError),
    }  # fmt: skip
    exec(compile(source, f"<reader of {kind.__name__}>", "exec"), names)
    read: Callable[[bytes], T | None] = names["read"]
    return read


class _Writer:
    """Writes the lines for a value, and says what its required members weigh.

    `lines` check and weigh what is always there, `optional` check what need not be, `rules` come last, when every
    member has been checked; `uuids` are expressions for texts that have to be UUIDs, `rest` for what is weighed by
    encoding it; `size` are the bytes of everything else. Where a value is not `weighed`, because it may be absent or
    its holder has been weighed as a whole, lines only check."""

    def __init__(self, numbers: Iterator[int], names: dict[str, object], weighed: bool = True) -> None:
        self.names = names
        self.lines: list[str] = []
        self.optional: list[str] = []
        self.rules: list[str] = []
        self.uuids: list[str] = []
        self.rest: list[str] = []
        self.size = 0
        self._numbers = numbers
        self._weighed = weighed

    def name(self, value: object = None) -> str:
        """A new name in the source, of a variable or for `value`."""
        name = f"v{next(self._numbers)}"
        if value is not None:
            self.names[name] = value
        return name

    def inside(self, value: str, annotation: object, depth: int, weighed: bool = True) -> "_Writer":
        """The writer of a value that may stand there several times."""
        bare, marks, _ = strip(annotation)
        writer = _Writer(self._numbers, self.names, weighed and self._weighed)
        writer.value(value, bare, marks, depth)
        return writer

    def checks(self, head: str, value: str, annotation: object, depth: int) -> tuple[list[str], list[str]]:
        """The lines under `head` that check a value and do not weigh it, and its rules under it."""
        inner = self.inside(value, annotation, depth, weighed=False)
        lines = [*inner.lines, *inner.optional, *(f"uuids.append({one})" for one in inner.uuids)]
        return _block(head, lines), _block(head, inner.rules)

    def weigh(self, value: str) -> None:
        """Let the encoder say how long `value`, an expression, is."""
        if self._weighed:
            self.rest.append(value)

    def members(self, value: str, kind: type[msgspec.Struct], depth: int) -> None:
        """The members of a struct, without the beginning of its map and without its `type`."""
        hints = get_type_hints(kind, include_extras=True)
        for field in msgspec.structs.fields(kind):
            member, annotation = f"{value}.{field.name}", hints[field.name]
            if field.required:
                self.size += len(_ENCODER.encode(field.encode_name))
                bare, marks, _ = strip(annotation)
                self.value(member, bare, marks, depth + 1)
            else:
                name = self.name()
                head = f"if ({name} := {member}) is not None:"
                checks, rules = self.checks(head, name, annotation, depth + 1)
                self.optional += checks
                self.rules += rules
        if hasattr(kind, "_rule"):
            self.rules.append(f"{value}._rule()")

    def value(self, value: str, bare: object, marks: tuple[object, ...], depth: int) -> None:
        """Take in `value`, an expression of type `bare` with `marks`."""
        origin, parts = get_origin(bare), get_args(bare)
        length = next((mark.allowed for mark in marks if isinstance(mark, Length)), ())
        if bare is str:
            self.text(value, marks)
        elif bare == SignedMap:
            self.lines.append(f"check_value({value}, {depth})")
            self.weigh(value)
        elif origin is tuple:
            self.list(value, parts[0], depth)
        elif origin is dict:
            self.several(value, {"": parts[0], ".values()": parts[1]}, depth)
        elif origin in (Union, UnionType):
            self.alternatives(value, parts, depth)
        elif isinstance(bare, type) and issubclass(bare, msgspec.Struct):
            self.size += 1
            self.members(value, bare, depth)
        elif len(length) == 1:
            self.size += len(_ENCODER.encode(bytes(length[0])))
        elif origin is Literal and len(sizes := {len(_ENCODER.encode(atom)) for atom in parts}) == 1:
            self.size += sizes.pop()
        else:
            self.weigh(value)

    def text(self, value: str, marks: tuple[object, ...]) -> None:
        pattern = next((mark for mark in marks if isinstance(mark, Pattern)), None)
        if pattern is not None and not any(isinstance(mark, Length | Bound) for mark in marks):
            raise TypeError(f"{value}: a grammar without a greatest length")
        if pattern is not None and pattern.name == "UUID":
            self.uuids.append(value)
            self.size += _UUID_BYTES
            return
        if pattern is not None:
            self.lines.append(f"if not {self.name(_matcher(pattern.regex))}({value}): return None")
        self.weigh(value)

    def list(self, value: str, annotation: object, depth: int) -> None:
        """A list; one whose items have no fixed size is weighed as a whole."""
        name = self.name()
        inner = self.inside(name, annotation, depth + 1)
        if inner.rest == [name]:
            self.weigh(value)
            self.lines += self.checks(f"for {name} in {value}:", name, annotation, depth + 1)[0]
        else:
            self.several(value, {"": annotation}, depth)

    def several(self, value: str, parts: dict[str, object], depth: int) -> None:
        """A map's keys and values, or a list's items: `parts` are what gives them, after the holder's name, and their
        annotation."""
        each, holder = 0, self.name()
        self.lines.append(f"{holder} = {value}")
        for values, annotation in parts.items():
            name = self.name()
            inner = self.inside(name, annotation, depth + 1)
            each += inner.size
            for what, found in (("uuids", inner.uuids), ("rest", inner.rest)):
                if found == [name]:
                    self.lines.append(f"{what} += {holder}{values}")
                else:
                    inner.lines += [f"{what}.append({one})" for one in found]
            self.lines += _block(f"for {name} in {holder}{values}:", inner.lines)
            self.optional += _block(f"for {name} in {value}{values}:", inner.optional)
            self.rules += _block(f"for {name} in {value}{values}:", inner.rules)
        if self._weighed:
            items = f"{each} * len({holder}) + " if each else ""
            self.lines.append(f"size += {items}(1 if len({holder}) < 16 else 3)")

    def alternatives(self, value: str, parts: tuple[object, ...], depth: int) -> None:
        """The one alternative that Python's type tells. Structs are not weighed: the encoder begins some of them with
        more bytes than they need."""
        if not any(_has_struct(part) for part in parts):
            self.weigh(value)
        for part in parts:
            bare, _, _ = strip(part)
            kind = self.name(get_origin(bare) or bare)
            lines, rules = self.checks(f"if type({value}) is {kind}:", value, part, depth)
            self.lines += lines
            self.rules += rules


def _start(kind: type[msgspec.Struct]) -> bytes:
    """How our encoder begins a message that has its required members alone."""
    fields, config = msgspec.structs.fields(kind), kind.__struct_config__
    tag = b"" if config.tag is None else _ENCODER.encode(config.tag_field) + _ENCODER.encode(config.tag)
    required = sum(field.required for field in fields) + (1 if tag else 0)
    long = len(fields) + (1 if tag else 0) > 15  # then the encoder leaves room for all of them
    return (b"\xde" + required.to_bytes(2) if long else bytes([0x80 | required])) + tag


def _has_struct(annotation: object) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return True
    return any(_has_struct(part) for part in get_args(annotation))


@cache
def _matcher(grammar: re.Pattern[str]) -> Callable[[str], re.Match[str] | None]:
    return lru_cache(REMEMBERED_NAMES)(grammar.fullmatch)


def _block(head: str, lines: list[str]) -> list[str]:
    """`head` over the indented lines; nothing over none."""
    return [head, *(f"    {line}" for line in lines)] if lines else []
