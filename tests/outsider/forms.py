"""Values, their canonical form and layouts (values.md)."""

import base64
import json
import struct
import uuid
from collections.abc import Iterable
from typing import TypeAlias, Union

import msgpack

Value: TypeAlias = Union[str, int, bool, bytes, "list[Value]", "dict[str, Value]"]
Map: TypeAlias = dict[str, Value]

ZERO_HASH = bytes(32)


class RefusedError(Exception):
    """The other end broke a rule; the text says which."""


# --- Members of a map, by type ---


def text(plain: Map, name: str) -> str:
    """A member that is text."""
    value = plain.get(name)
    if type(value) is not str:
        raise RefusedError(f"{name} is no text")
    return value


def number(plain: Map, name: str) -> int:
    """A member that is an integer."""
    value = plain.get(name)
    if type(value) is not int:
        raise RefusedError(f"{name} is no integer")
    return value


def data(plain: Map, name: str, length: int | None = None) -> bytes:
    """A member that is bytes."""
    value = plain.get(name)
    if type(value) is not bytes or length not in (None, len(value)):
        raise RefusedError(f"{name} is no bytes, or has another length")
    return value


def inner(plain: Map, name: str) -> Map:
    """A member that is a map."""
    value = plain.get(name)
    if type(value) is not dict:
        raise RefusedError(f"{name} is no map")
    return value


def items(plain: Map, name: str) -> list[Value]:
    """A member that is a list."""
    value = plain.get(name)
    if type(value) is not list:
        raise RefusedError(f"{name} is no list")
    return value


# --- Encodings ---


def pack(plain: Map) -> bytes:
    """MessagePack bytes of a map."""
    packed: bytes = msgpack.packb(plain)
    return packed


def unpack(packed: bytes) -> Map:
    """The map in MessagePack, or `RefusedError`."""
    try:
        value = msgpack.unpackb(packed, strict_map_key=True, object_pairs_hook=_once, max_ext_len=0)
    except ValueError as error:
        raise RefusedError(f"no MessagePack map: {error}") from error
    if type(value) is not dict:
        raise RefusedError("the root is no map")
    return value


def _once(pairs: list[tuple[str, Value]]) -> Map:
    plain = dict(pairs)
    if len(plain) != len(pairs) or not all(type(key) is str and key.isascii() for key in plain):
        raise ValueError("a duplicate key, or one that is no ASCII text")
    return plain


def canonical(plain: Map, *less: str) -> bytes:
    """The canonical form of a map, less some members of its top level."""
    kept = {name: value for name, value in plain.items() if name not in less}
    return json.dumps(_as_json(kept), sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def _as_json(value: Value) -> object:
    if isinstance(value, bytes):
        return b64(value)
    if isinstance(value, dict):
        return {name: _as_json(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_as_json(item) for item in value]
    return value


def b64(raw: bytes) -> str:
    """Unpadded base64url."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unb64(encoded: str) -> bytes:
    """The bytes of unpadded base64url."""
    return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))


# --- Layouts ---


def u16(value: int) -> bytes:
    return struct.pack(">H", value)


def u32(value: int) -> bytes:
    return struct.pack(">I", value)


def u64(value: int) -> bytes:
    return struct.pack(">Q", value)


def lv(part: bytes | str) -> bytes:
    """`len‖part`."""
    raw = part.encode() if isinstance(part, str) else part
    return u32(len(raw)) + raw


def raw(text_id: Value) -> bytes:
    """The 16 bytes of a UUID in text."""
    if not isinstance(text_id, str):
        raise RefusedError("an id is text")
    return uuid.UUID(text_id).bytes


def new_id() -> str:
    """A fresh UUID."""
    return str(uuid.uuid4())


def aad_v1(
    type_code: int, sequence: int, message_id: bytes, length: int, prev_message_hash: bytes, transcript_hash: bytes
) -> bytes:
    """AAD_v1{2, 0, …}."""
    return struct.pack(
        ">BBBQ16sI32s32s", 2, 0, type_code, sequence, message_id, length, prev_message_hash, transcript_hash
    )


def digits(raw_bytes: bytes) -> str:
    """Each 5 bytes modulo 100000 as 5 digits."""
    groups: Iterable[int] = range(0, len(raw_bytes), 5)
    return "".join(f"{int.from_bytes(raw_bytes[at : at + 5], 'big') % 100000:05d}" for at in groups)
