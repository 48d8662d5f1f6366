"""From bytes to messages and back (section 1; row B17): one strict reader, one fast way around it.

Rules
- What a reader must refuse (`canonical.py` lists it) is refused in known and unknown members alike, always as
  `ProtocolError`; no input raises anything else.
- `decode` gives a `Received`: the typed message, and on demand the map as it came, unknown members included. Signatures
  and transcripts are computed from `Received.map`, never from the struct.
- Members a struct does not know are no error; `Received.extra` has them, to be passed on.

The fast way (`read_checks.py`) takes what our own client and server write: the struct's members alone, each once and
in its shortest form. Anything else (another writer's member order, unknown members) takes the strict way: msgpack's C
unpacker with hooks for duplicates and extensions, then the walk, then the typed view and the checks of every struct in
it, which also say what is wrong. So does what is longer than `MAX_CONTAINERS` bytes, since only the strict way counts
lists and maps while it reads.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Generic, TypeAlias, TypeVar

import msgpack
import msgspec

from norc_actors.limits import MAX_CONTAINERS, MAX_ENTRIES

from .canonical import Value, check_map
from .errors import Code, ProtocolError, malformed
from .read_checks import compile_reader
from .registry import NAMES, STRUCTS, code_of
from .schema import Map, Message, type_name

M_co = TypeVar("M_co", bound=Map, covariant=True)
T = TypeVar("T", bound=Map)

_Reader: TypeAlias = Callable[[bytes], Message | None]

_ENCODER = msgspec.msgpack.Encoder()
_READERS: dict[int, _Reader] = {}
"""The fast reader of each type, made when the first such message comes."""


class Received(msgspec.Struct, Generic[M_co], eq=False, gc=False):
    """A message as it came: `message` typed, `data` its bytes, `map` its members as a plain map (read once, on
    demand)."""

    message: M_co
    data: bytes
    _strict: dict[str, Value] | None = None
    """What the strict reader read; None if the fast way was enough."""
    _map: dict[str, Value] | None = None

    @property
    def map(self) -> dict[str, Value]:
        """The received map, unknown members included: what signatures and transcripts are computed from."""
        if self._strict is not None:
            return self._strict
        if self._map is None:
            self._map = decode_map(self.data)
        return self._map

    @property
    def exact(self) -> bool:
        """Whether there is nothing in the bytes but the struct's members: as our encoder writes it, at most in another
        order."""
        return self._strict is None

    @property
    def extra(self) -> dict[str, Value]:
        """The top-level members that the struct does not know; empty for what our own encoder wrote."""
        if self._strict is None:
            return {}
        known = self.message.__struct_fields__
        return {key: value for key, value in self._strict.items() if key not in known and key != "type"}

    def narrow(self, kind: type[T]) -> "Received[T]":
        """The same, for the type checker, once `message` is known to be of this kind; `TypeError` if it is not."""
        if not isinstance(self.message, kind):
            raise TypeError(f"{type(self.message).__name__} is no {kind.__name__}")
        return self  # type: ignore[return-value]

    def __repr__(self) -> str:
        return f"Received({type(self.message).__name__}, {len(self.data)} bytes)"


def decode(code: int, data: bytes) -> Received[Message]:
    """The message of type `code` in `data` (MessagePack); `ProtocolError` 3001 for what is refused, 3004 for a type
    that is in no registry."""
    try:
        read = _READERS[code]
    except KeyError:
        read = _READERS[code] = _reader_of(code)
    message = read(data) if len(data) <= MAX_CONTAINERS else None
    if message is not None:
        return Received(message, data)
    plain = decode_map(data)
    return Received(convert(plain, STRUCTS[code].of(plain)), data, plain)


def decode_as(kind: type[T], data: bytes) -> Received[T]:
    """Like `decode` for one expected struct, which may be a map without type (such as `Inner`)."""
    message = _reader(kind)(data) if len(data) <= MAX_CONTAINERS else None
    if message is not None:
        return Received(message, data)
    plain = decode_map(data)
    return Received(convert(plain, kind), data, plain)


def as_received(message: T) -> Received[T]:
    """A message of our own making, as if it had come."""
    return Received(message, encode(message))


def received_map(members: dict[str, Value], kind: type[T]) -> Received[T]:
    """A plain map as if it had come by itself, where it came inside of something else; `ProtocolError` as `convert`."""
    return Received(convert(members, kind), encode_map(members), members)


@cache
def _reader(kind: type[T]) -> Callable[[bytes], T | None]:
    return compile_reader(kind, kind.depth)


def _either(first: _Reader, others: Sequence[_Reader]) -> _Reader:
    def read(data: bytes) -> Message | None:
        message = first(data)
        for other in others:
            message = other(data) if message is None else message
        return message

    return read


def _reader_of(code: int) -> _Reader:
    if code not in STRUCTS:
        raise ProtocolError(Code.UNKNOWN_TYPE, f"type {code:#04x} ({NAMES.get(code, 'in no registry')})")
    first, *others = (_reader(kind) for kind in STRUCTS[code].all)
    return _either(first, others) if others else first


def decode_map(data: bytes) -> dict[str, Value]:
    """Any map in MessagePack as plain values, or `ProtocolError` for what section 1 refuses."""
    counted = _Counted() if len(data) > MAX_CONTAINERS else None
    try:
        value = msgpack.unpackb(
            data,
            raw=False,
            strict_map_key=True,
            object_pairs_hook=_no_duplicates if counted is None else counted.members,
            list_hook=None if counted is None else counted.count,
            ext_hook=_no_extension,
            max_ext_len=0,
            max_array_len=MAX_ENTRIES,
            max_map_len=MAX_ENTRIES,
        )
    except ProtocolError:
        raise
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError) as error:
        raise malformed(f"no MessagePack map: {type(error).__name__}") from error
    return check_map(value)


def _no_duplicates(pairs: list[tuple[str, Value]]) -> dict[str, Value]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise malformed("a duplicate key")
    return members


class _Counted:
    """Hooks for a message that is long enough to hold too many lists and maps."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = MAX_CONTAINERS

    def count(self, items: list[Value]) -> list[Value]:
        self._left -= 1
        if self._left < 0:
            raise malformed(f"more than {MAX_CONTAINERS} lists and maps")
        return items

    def members(self, pairs: list[tuple[str, Value]]) -> dict[str, Value]:
        self.count([])
        return _no_duplicates(pairs)


def _no_extension(code: int, data: bytes) -> Value:
    raise malformed("a MessagePack extension")


def convert(plain: Mapping[str, Value], kind: type[T]) -> T:
    """The typed view of a plain map (from a strict reader); `ProtocolError` if a member is missing or of another
    type."""
    name = type_name(kind)
    if name is not None and plain.get("type") != name:
        raise malformed(f"type is not {name}")
    try:
        value = msgspec.convert(plain, kind, builtin_types=(bytes,))
    except msgspec.ValidationError as error:
        raise malformed(f"{kind.__name__}: {_without_values(str(error))}") from None
    _check(value)
    return value


def _without_values(reason: str) -> str:
    """msgspec's words for what does not fit; of an atom that it does not know, only where it stands."""
    return "no such atom" + reason[reason.rfind(" - at ") :] if reason.startswith("Invalid ") else reason


def _check(value: object) -> None:
    """Check a struct that msgspec made, and every struct inside, innermost first."""
    if isinstance(value, Map):
        for member in value.__struct_fields__:
            _check(getattr(value, member))
        type(value).check(value)
    elif isinstance(value, tuple | dict):
        for item in value.values() if isinstance(value, dict) else value:
            _check(item)


def encode(message: Map, extra: Mapping[str, Value] | None = None) -> bytes:
    """MessagePack bytes of a message, `type` first, then its members in the struct's order, then `extra` (members that
    another peer added and that are passed on)."""
    if not extra:
        return _ENCODER.encode(message)
    members = to_map(message)
    return _ENCODER.encode(members | {key: value for key, value in extra.items() if key not in members})


def encode_map(plain: Mapping[str, Value]) -> bytes:
    """MessagePack bytes of a plain map; `ProtocolError` if it holds what no reader accepts."""
    return _ENCODER.encode(check_map(plain))


def to_map(message: Map) -> dict[str, Value]:
    """The plain map of a message or of a map inside messages, `type` included where it has one; absent members
    omitted."""
    members: dict[str, Value] = msgpack.unpackb(_ENCODER.encode(message))
    return members


__all__ = [
    "Received",
    "code_of",
    "convert",
    "decode",
    "decode_as",
    "decode_map",
    "encode",
    "encode_map",
    "to_map",
]
