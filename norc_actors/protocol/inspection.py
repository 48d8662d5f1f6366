"""A captured frame, field by field, for a person to read (`norc inspect`).

Rules
- It reads with the independent `msgpack` package, not with our codec, and shows what is there, allowed or not; what
  breaks a rule gets a line that says which (`refused`), after all that could be read.
- Nothing is hidden and nothing is sent on: who has the bytes, or the key, sees what they say. Long bytes are cut, with
  their length; text is shown with its control characters escaped, so that a frame cannot write to a terminal.
- A sealed frame is opened if the traffic key, its suite and th are given; the key opens frames of its generation only.
"""

from dataclasses import dataclass
from typing import NamedTuple

import msgpack

from norc_actors.crypto.errors import DecryptionFailedError
from norc_actors.crypto.layout import aad_v1, sequence_nonce
from norc_actors.crypto.suites import SUITES
from norc_actors.ids import uuid_text

from .codec import decode
from .errors import ProtocolError
from .frames import V1_HEADER, V2_HEADER, V2_VERSION
from .registry import NAMES

SHOWN_BYTES = 32
SHOWN_TEXT = 200
MAX_NESTING = 64


class Field(NamedTuple):
    """One line: where it stands (`metadata.timestamp`) and what stands there."""

    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameKey:
    """What opens the sealed frames of one direction and key generation."""

    suite: str
    key: bytes
    th: bytes


def inspect_frame(data: bytes, key: FrameKey | None = None) -> list[Field]:
    """The fields of one captured WebSocket message: a v1 frame, or a v2 frame's header and, with its key, what is
    inside.

    v1 and v2 are told apart by the length in the header, which can hold for one of them only.
    """
    if len(data) >= V1_HEADER.size and int.from_bytes(data[1:5], "big") == len(data) - V1_HEADER.size:
        code, payload = data[0], data[V1_HEADER.size :]
        head = [Field("frame", "v1 (not sealed)"), _type(code), Field("length", str(len(payload)))]
        return head + inspect_payload(code, payload)
    if len(data) >= V2_HEADER.size and data[0] == V2_VERSION:
        return _sealed(data, key)
    return [Field("frame", f"{len(data)} bytes that are no whole frame"), Field("bytes", _bytes(data))]


def inspect_payload(code: int, payload: bytes) -> list[Field]:
    """The members of a message in MessagePack, and whether our reader takes it."""
    fields = _members(payload)
    try:
        decode(code, payload)
    except ProtocolError as error:
        fields.append(Field("refused", str(error)))
    return fields


def _sealed(data: bytes, key: FrameKey | None) -> list[Field]:
    _, code, length, message_id, sequence, prev = V2_HEADER.unpack_from(data)
    ciphertext = data[V2_HEADER.size :]
    fields = [
        Field("frame", "v2 (sealed)"),
        _type(code),
        Field("length", str(length)),
        Field("message_id", uuid_text(message_id)),
        Field("sequence", str(sequence)),
        Field("prev_message_hash", prev.hex()),
        Field("ciphertext", _bytes(ciphertext)),
    ]
    if length != len(ciphertext):
        fields.append(Field("refused", f"the header says {length} bytes, {len(ciphertext)} are there"))
    elif key is not None:
        aad = aad_v1(2, 0, code, sequence, message_id, length, prev, key.th)
        try:
            plaintext = SUITES[key.suite].open(key.key, sequence_nonce(sequence), aad, ciphertext)
        except DecryptionFailedError:
            return [*fields, Field("opened", "no: not under this key, or changed on the way")]
        fields += [Field("opened", f"yes, {len(plaintext)} bytes"), *inspect_payload(code, plaintext)]
    return fields


def _type(code: int) -> Field:
    return Field("type", f"{code:02X} {NAMES.get(code, '(in no registry)')}")


def _members(payload: bytes) -> list[Field]:
    try:
        value = msgpack.unpackb(payload, strict_map_key=False)
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError) as error:
        return [Field("payload", f"no MessagePack ({type(error).__name__}): {_bytes(payload)}")]
    fields: list[Field] = []
    _walk("", value, fields, MAX_NESTING)
    return fields


def _walk(path: str, value: object, fields: list[Field], left: int) -> None:
    if left == 0:
        fields.append(Field(path, "(nested deeper than anyone needs)"))
    elif isinstance(value, dict) and value:
        for name, item in value.items():
            label = name if isinstance(name, str) else repr(name)
            _walk(f"{path}.{_text(label)}" if path else _text(label), item, fields, left - 1)
    elif isinstance(value, list) and value:
        for position, item in enumerate(value):
            _walk(f"{path}[{position}]", item, fields, left - 1)
    else:
        fields.append(Field(path or "payload", _scalar(value)))


def _scalar(value: object) -> str:
    if isinstance(value, bytes):
        return _bytes(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value)


def _bytes(value: bytes) -> str:
    if len(value) <= SHOWN_BYTES:
        return value.hex() or "(empty)"
    return f"{value[:SHOWN_BYTES].hex()}… ({len(value)} bytes)"


def _text(value: str) -> str:
    shown = value if len(value) <= SHOWN_TEXT else value[:SHOWN_TEXT] + f"… ({len(value)} characters)"
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in shown)
