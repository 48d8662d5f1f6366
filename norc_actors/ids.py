"""Typed identifiers: who and what a NORC map names (section 1, *Values*).

Rules
- A UUID is canonical lowercase text in maps and 16 raw bytes in every layout; `uuid_bytes` and `uuid_text` are the
  only bridge.
- `user_id` is `local@server_id`, compared as bytes and never normalised: what does not match the grammar is refused.
- `server_id` is a lowercase DNS name without port or trailing dot; one label is allowed.
- Randomness and time are passed in (`Random`, `Clock`): nothing below `net/` reads either by itself.
"""

import re
import uuid
from collections.abc import Callable
from typing import NewType

UserId = NewType("UserId", str)
ServerId = NewType("ServerId", str)
DeviceId = NewType("DeviceId", str)
ConversationId = NewType("ConversationId", str)
MessageId = NewType("MessageId", str)

Random = Callable[[int], bytes]
"""`random(n)` gives n bytes of the system's randomness (tests pass a seeded one)."""

Clock = Callable[[], float]
"""Seconds since the epoch."""

_LOCAL = r"[a-z0-9._+-]{1,64}"
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_SERVER = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_USER = re.compile(rf"({_LOCAL})@(.+)", re.DOTALL)
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

MAX_SERVER_ID_BYTES = 253


class InvalidIdError(ValueError):
    """The text is no identifier of the kind asked for; the message says which rule it breaks."""


def parse_server_id(text: str) -> ServerId:
    """Return `text` as a server_id, or raise `InvalidIdError`."""
    if len(text) > MAX_SERVER_ID_BYTES or not _SERVER.fullmatch(text):
        raise InvalidIdError(f"{text!r} is no server name: lowercase labels joined by dots, no port, no trailing dot")
    return ServerId(text)


def parse_user_id(text: str) -> UserId:
    """Return `text` as a user_id (`local@server_id`), or raise `InvalidIdError`."""
    match = _USER.fullmatch(text)
    if match is None:
        raise InvalidIdError(f"{text!r} is no user: write it as name@server, the name from a-z 0-9 . _ + -")
    parse_server_id(match[2])
    return UserId(text)


def server_of(user_id: UserId) -> ServerId:
    """The home server of a user."""
    return ServerId(user_id.partition("@")[2])


def is_uuid(text: str) -> bool:
    """Whether `text` is a UUID in its one canonical spelling."""
    return _UUID.fullmatch(text) is not None


def uuid_bytes(text: str) -> bytes:
    """The 16 raw bytes of a canonical UUID text; `InvalidIdError` for any other text."""
    if not is_uuid(text):
        raise InvalidIdError(f"{text!r} is no canonical UUID")
    return bytes.fromhex(text.replace("-", ""))


def uuid_text(raw: bytes) -> str:
    """The canonical text of 16 raw bytes."""
    return str(uuid.UUID(bytes=raw))


def new_uuid(random: Random) -> str:
    """A fresh version-4 UUID as canonical text, from 16 bytes of `random`."""
    return str(uuid.UUID(bytes=random(16), version=4))
