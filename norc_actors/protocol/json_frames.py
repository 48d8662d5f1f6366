"""Frames in JSON, for the subprotocol `norc-c-json-v1` (section 3; §8.2; row B20).

```
unsealed  the bare object: 1.x, and what precedes acceptance
sealed    {"ver":2,"type":16,"length":n,"message_id":"…","sequence":n,"prev_message_hash":"…","ciphertext":"…"}
```
Rules
- A sealed frame is the binary frame in other clothes: the same header, the same AAD, `length` and every hash of the raw
  ciphertext. `to_json` and `from_json` lose nothing, so `JsonSession` is a `SealedSession` with another coat; what is
  sealed is then the UTF-8 JSON object of the message.
- The seven members in any order, each once, and no other: a frame is no message, nobody signs or passes on what else
  it might hold. `ver` is 2, `type` the code, `length` that of the ciphertext.
- `max_frame` bounds the whole text message, so that a reader can refuse it before it reads it.
- An unsealed object says by its `type` what it is; a name in no registry is UNKNOWN_TYPE.
- Read strictly, like every JSON (`json_form.py`): duplicates, `-0`, `1.0`, BOM, padding are refused.
"""

from norc_actors.ids import is_uuid, uuid_bytes, uuid_text
from norc_actors.limits import DEFAULT_MAX_FRAME, MAX_INTEGER

from .canonical import Value, base64url, from_base64url
from .codec import Received, to_map
from .errors import Code, ProtocolError, malformed
from .frames import TAG_BYTES, V2_VERSION, V1Frame, V2Frame, decode_v2, encode_v2
from .json_form import decode_json_as, read_json, write_json
from .messages import SessionRekey
from .registry import CODES
from .schema import Message
from .sealed import Event, SealedSession

_MEMBERS = {"ver", "type", "length", "message_id", "sequence", "prev_message_hash", "ciphertext"}
_HASH_BYTES = 32


def to_json(frame: V2Frame) -> bytes:
    """A sealed frame as JSON."""
    return (
        f'{{"ver":{V2_VERSION},"type":{frame.type},"length":{len(frame.ciphertext)},'
        f'"message_id":"{uuid_text(frame.message_id)}","sequence":{frame.sequence},'
        f'"prev_message_hash":"{base64url(frame.prev_message_hash)}","ciphertext":"{base64url(frame.ciphertext)}"}}'
    ).encode("ascii")


_AROUND = len(to_json(V2Frame(255, bytes(16), MAX_INTEGER, bytes(32), b""))) + len(str(2**32))
"""What a sealed frame has around its ciphertext, at most."""


def from_json(data: bytes, max_frame: int = DEFAULT_MAX_FRAME) -> V2Frame:
    """The sealed frame that a text message is, or `ProtocolError`."""
    _check_size(data, max_frame)
    plain = read_json(data)
    if plain.keys() != _MEMBERS:
        raise malformed("a sealed frame with other members than its seven")
    if _integer(plain, "ver", V2_VERSION) != V2_VERSION:
        raise malformed("no frame of version 2")
    ciphertext = _bytes(plain, "ciphertext")
    if _integer(plain, "length", 2**32 - 1) != len(ciphertext):
        raise malformed("a frame of another length than it says")
    if len(ciphertext) < TAG_BYTES:
        raise malformed("a sealed frame shorter than its tag")
    prev = _bytes(plain, "prev_message_hash")
    message_id = plain["message_id"]
    if len(prev) != _HASH_BYTES or not isinstance(message_id, str) or not is_uuid(message_id):
        raise malformed("a frame's hash or message_id has another form")
    return V2Frame(
        _integer(plain, "type", 255), uuid_bytes(message_id), _integer(plain, "sequence", MAX_INTEGER), prev, ciphertext
    )


def _integer(plain: dict[str, Value], member: str, most: int) -> int:
    value = plain[member]
    if type(value) is not int or not 0 <= value <= most:
        raise malformed(f"a frame's {member} is no integer in its range")
    return value


def _bytes(plain: dict[str, Value], member: str) -> bytes:
    value = plain[member]
    if not isinstance(value, str):
        raise malformed(f"a frame's {member} is no text")
    return from_base64url(value)


def encode_bare(message: Message) -> bytes:
    """An unsealed message."""
    return write_json(to_map(message))


def decode_bare(data: bytes, max_frame: int = DEFAULT_MAX_FRAME) -> V1Frame:
    """The code and the text of an unsealed message, as the v1 frame would have them; `ProtocolError` if it is no map,
    has no `type`, or one that is in no registry."""
    _check_size(data, max_frame)
    name = read_json(data).get("type")
    if not isinstance(name, str):
        raise malformed("an object without type")
    if name not in CODES:
        raise ProtocolError(Code.UNKNOWN_TYPE, "a type that is in no registry")
    return V1Frame(CODES[name], data)


def _check_size(data: bytes, max_frame: int) -> None:
    if len(data) > max_frame:
        raise ProtocolError(Code.TOO_LARGE, f"a text message of {len(data)} bytes, {max_frame} are allowed")


class JsonSession(SealedSession):
    """A sealed session whose frames and messages are JSON; else as `SealedSession` says."""

    __slots__ = ()

    def fits(self, length: int) -> bool:
        """Whether a plaintext of `length` bytes goes into one text message that the peer takes."""
        return _AROUND + (4 * (length + TAG_BYTES) + 2) // 3 <= self._send_limit

    def _seal(self, code: int, plaintext: bytes) -> bytes:
        return to_json(decode_v2(super()._seal(code, plaintext), len(plaintext) + TAG_BYTES))

    def _open(self, data: bytes) -> Event:
        return super()._open(encode_v2(from_json(data, self._receive_limit)))

    def _encode(self, rekey: SessionRekey) -> bytes:
        return encode_bare(rekey)

    def _decode(self, data: bytes) -> Received[SessionRekey]:
        return decode_json_as(SessionRekey, data)
