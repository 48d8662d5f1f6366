"""Plain values and their canonical form (section 1, *Values* and *Canonical form*; §6.9; D-1, D-40).

Rules
- A `Value` is text, an integer, a boolean, bytes, a list or a map with ASCII text keys. No null, no float.
- `canonical(map)` is UTF-8 JSON: keys sorted by code point, no white space, RFC 8785 string escaping, plain decimal
  integers, bytes as unpadded base64url, absent members omitted. It feeds every signature, transcript and hash of a map,
  whichever encoding the connection uses.
- It is computed from the *received* map, unknown members included, never from a re-encoded struct: the caller passes
  `Received.map`, not the message. "less x" removes the top-level member of that name only.
- Bytes and their base64url text have one canonical form: check a member's type before its signature (the typed structs
  of `messages/` do).
- `check_map` is the walk that decides what a reader accepts; both strict readers (`codec.py`, `strict_json.py`) end
  in it.

Escaping is msgspec's JSON encoder's: `\\b \\f \\n \\r \\t`, other controls as `\\u00xx` in lower case, DEL and
everything from U+0080 on as itself, which is RFC 8785's; the vectors hold it.
"""

import binascii
import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from norc_actors.limits import MAX_DEPTH, MAX_ENTRIES, MAX_INTEGER

from .errors import malformed

if TYPE_CHECKING:
    Value: TypeAlias = "str | int | bool | bytes | list[Value] | dict[str, Value]"
else:
    Value = Any

_JSON = msgspec.json.Encoder(order="sorted")
_TO_URL = bytes.maketrans(b"+/", b"-_")
_FROM_URL = str.maketrans("-_", "+/")
_BASE64URL = re.compile(r"[A-Za-z0-9_-]*")


def canonical(value: Mapping[str, Value], less: Collection[str] = ()) -> bytes:
    """The canonical form of `value` less the top-level members named in `less`; `ProtocolError` for what is no
    Value."""
    if less:
        plain = {key: _plain(item) for key, item in value.items() if key not in less}
    else:
        plain = {key: _plain(item) for key, item in value.items()}
    try:
        return _JSON.encode(plain)
    except (UnicodeEncodeError, TypeError) as error:
        raise malformed("a text with a lone surrogate, or a key that is no text, has no canonical form") from error


def _plain(value: object) -> object:
    """`value` with its bytes as text, ready for JSON."""
    kind = type(value)
    if kind is str or kind is int or kind is bool:
        return value
    if kind is bytes:
        return base64url(value)  # type: ignore[arg-type]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    raise malformed(f"{kind.__name__} has no canonical form")


def base64url(data: bytes) -> str:
    """`data` as unpadded base64url."""
    return binascii.b2a_base64(data, newline=False).translate(_TO_URL, b"=").decode("ascii")


def from_base64url(text: str) -> bytes:
    """The bytes of unpadded base64url; `ProtocolError` for padding, foreign characters, an impossible length or
    non-zero trailing bits."""
    if len(text) % 4 == 1 or not _BASE64URL.fullmatch(text):
        raise malformed("no unpadded base64url")
    data = binascii.a2b_base64(text.translate(_FROM_URL) + "=" * (-len(text) % 4))
    if len(text) % 4 and base64url(data) != text:
        raise malformed("base64url with trailing bits")
    return data


def check_map(value: object) -> dict[str, Value]:
    """`value` as a root map that holds nothing that section 1 refuses, else `ProtocolError`."""
    if type(value) is not dict:
        raise malformed("the root is no map")
    check_value(value, 1)
    return value


def check_value(value: object, depth: int) -> None:
    """Refuse null, floats, integers beyond 2⁵³−1, lone surrogates, keys that are not ASCII text, more than 4096 entries
    and what lies deeper than 16; `depth` is where `value` stands (the message is 1)."""
    if depth > MAX_DEPTH:
        raise malformed(f"deeper than {MAX_DEPTH}")
    kind = type(value)
    if kind is str:
        _check_text(value)  # type: ignore[arg-type]
    elif kind is int:
        if not -MAX_INTEGER <= value <= MAX_INTEGER:  # type: ignore[operator]
            raise malformed("an integer beyond 2^53-1")
    elif kind is dict:
        _check_entries(value)  # type: ignore[arg-type]
        for key, item in value.items():  # type: ignore[attr-defined]
            if type(key) is not str or not key.isascii():
                raise malformed("a key that is not ASCII text")
            check_value(item, depth + 1)
    elif kind is list:
        _check_entries(value)  # type: ignore[arg-type]
        for item in value:  # type: ignore[attr-defined]
            check_value(item, depth + 1)
    elif kind is not bytes and kind is not bool:
        raise malformed(f"{kind.__name__} is no value of the protocol")


def _check_entries(value: Collection[object]) -> None:
    if len(value) > MAX_ENTRIES:
        raise malformed(f"more than {MAX_ENTRIES} entries")


def _check_text(text: str) -> None:
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise malformed("a lone surrogate") from error
