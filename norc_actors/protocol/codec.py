"""From bytes to messages and back (section 1; row B17): one strict reader, one fast way around it.

Rules
- What a reader must refuse (`canonical.py` lists it) is refused in known and unknown members alike, always as
  `ProtocolError`; no input raises anything else.
- `decode` gives a `Received`: the typed message, and on demand the map as it came, unknown members included. Signatures
  and transcripts are computed from `Received.map`, never from the struct.
- Members a struct does not know are no error; `Received.extra` has them, to be passed on.

Why the fast way is safe. msgspec decodes straight into the struct and ignores what it does not know, so alone it
would let a null, a float, a duplicate or an extension pass in an unknown or free member. So the struct is encoded
again: if that gives the received bytes, then there was nothing but the struct's members, each once, in its order and
shortest form, and free maps inside were walked by the struct's own check. Anything else (another writer's member
order included) takes the strict way: msgpack's C unpacker with hooks for duplicates and extensions, then the walk,
then the typed view.
"""

from collections.abc import Mapping
from typing import Generic, TypeVar

import msgpack
import msgspec

from norc_actors.limits import MAX_ENTRIES

from .canonical import Value, check_map
from .errors import Code, ProtocolError, malformed
from .registry import NAMES, STRUCTS, code_of
from .schema import Map, Message, type_name

M_co = TypeVar("M_co", bound=Map, covariant=True)
T = TypeVar("T", bound=Map)

_ENCODER = msgspec.msgpack.Encoder()
_KINDS: dict[int, tuple[type[Message], ...]] = {code: shapes.all for code, shapes in STRUCTS.items()}


class Received(Generic[M_co]):
    """A message as it came: `message` typed, `data` its bytes, `map` its members as a plain map (read once, on
    demand)."""

    __slots__ = ("_exact", "_map", "data", "message")

    def __init__(self, message: M_co, data: bytes, plain: dict[str, Value] | None = None) -> None:
        self.message = message
        self.data = data
        self._map = plain
        self._exact = plain is None

    @property
    def map(self) -> dict[str, Value]:
        """The received map, unknown members included: what signatures and transcripts are computed from."""
        if self._map is None:
            self._map = decode_map(self.data)
        return self._map

    @property
    def exact(self) -> bool:
        """Whether the bytes are what our encoder writes for `message`: then there is nothing in them but the struct."""
        return self._exact

    @property
    def extra(self) -> dict[str, Value]:
        """The top-level members that the struct does not know; empty for what our own encoder wrote."""
        if self._exact:
            return {}
        known = self.message.__struct_fields__
        return {key: value for key, value in self.map.items() if key not in known and key != "type"}

    def narrow(self, kind: type[T]) -> "Received[T]":
        """The same, for the type checker, once `message` is known to be of this kind; `TypeError` if it is not."""
        if not isinstance(self.message, kind):
            raise TypeError(f"{type(self.message).__name__} is no {kind.__name__}")
        return self  # type: ignore[return-value]

    def __repr__(self) -> str:
        return f"Received({type(self.message).__name__}, {len(self.data)} bytes)"


_DECODERS: dict[type[Map], msgspec.msgpack.Decoder[Map]] = {}


def _decoder(kind: type[T]) -> "msgspec.msgpack.Decoder[T]":
    decoder = _DECODERS.get(kind)
    if decoder is None:
        decoder = _DECODERS[kind] = msgspec.msgpack.Decoder(kind)
    return decoder  # type: ignore[return-value]


def decode(code: int, data: bytes) -> Received[Message]:
    """The message of type `code` in `data` (MessagePack); `ProtocolError` 3001 for what is refused, 3004 for a type
    that is in no registry."""
    shapes = STRUCTS.get(code)
    if shapes is None:
        raise ProtocolError(Code.UNKNOWN_TYPE, f"type {code:#04x} ({NAMES.get(code, 'in no registry')})")
    for kind in _KINDS[code]:
        message = _fast(kind, data)
        if message is not None:
            return Received(message, data)
    plain = decode_map(data)
    return Received(convert(plain, shapes.of(plain)), data, plain)


def decode_as(kind: type[T], data: bytes) -> Received[T]:
    """Like `decode` for one expected struct, which may be a map without type (such as `Inner`)."""
    message = _fast(kind, data)
    if message is not None:
        return Received(message, data)
    plain = decode_map(data)
    return Received(convert(plain, kind), data, plain)


def _fast(kind: type[T], data: bytes) -> T | None:
    """The struct if `data` is exactly what our encoder writes for it, None if the strict reader has to decide."""
    try:
        message = _decoder(kind).decode(data)
    except (msgspec.DecodeError, ProtocolError, UnicodeDecodeError, RecursionError):
        return None
    return message if _ENCODER.encode(message) == data else None


def decode_map(data: bytes) -> dict[str, Value]:
    """Any map in MessagePack as plain values, or `ProtocolError` for what section 1 refuses."""
    try:
        value = msgpack.unpackb(
            data,
            raw=False,
            strict_map_key=True,
            object_pairs_hook=_no_duplicates,
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


def _no_extension(code: int, data: bytes) -> Value:
    raise malformed("a MessagePack extension")


def convert(plain: Mapping[str, Value], kind: type[T]) -> T:
    """The typed view of a plain map (from a strict reader); `ProtocolError` if a member is missing or of another
    type."""
    name = type_name(kind)
    if name is not None and plain.get("type") != name:
        raise malformed(f"type is not {name}")
    try:
        return msgspec.convert(plain, kind, builtin_types=(bytes,))
    except msgspec.ValidationError as error:
        raise malformed(f"{kind.__name__}: {error}") from error


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
