"""A home server's part in a message: judge it, take it apart per device, put it together for one (section 7).

Rules
- The server reads what routing needs and nothing else: conversation, recipients, devices, `expires_at`.
- `message_received` is the `message_send` less `recipients` and `more`, plus who sent it and when it was accepted, with
  one device's wrap alone. All of it but the wrap is the same for every device, so it is encoded once (`Shared`); the
  wrap is set into its place when it is sent. The result is, to the byte, what encoding the whole map would give, and
  unknown members survive.
- A message that is too long for a frame comes in parts (`more`); `Parts` joins their entries before anything is judged.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from struct import Struct
from typing import cast

import msgpack
import msgspec

from norc_actors import limits
from norc_actors.ids import DeviceId, MessageId, UserId

from .canonical import Value
from .codec import Received, convert, decode_map, encode_map, to_map
from .conversations import permits
from .errors import Code, ProtocolError
from .messages import ConversationType, MessageSend, Metadata, Role, State
from .schema import SignedMap, replace

_OFFSET = Struct(">I")
_MAP_16 = Struct(">BH")  # the header that our encoder gives to a struct of this many members, so that readers are quick
_NOT_PASSED_ON = frozenset({"type", "recipients", "more", "encrypted_content"})
_BEFORE_WRAP = (
    "type", "message_id", "conversation_id", "epoch", "suite", "chain_id", "sequence_number", "prev_message_hash",
    "key_commitment", "ciphertext",
)  # fmt: skip
_WRAPS = "encrypted_keys"
_EMPTY_WRAPS = b"\xaeencrypted_keys\x80"
_DEVICE_KEY = b"\xd9\x24"  # of the text that a device_id is
_DEVICE_BYTES = 36
_ENCODER = msgspec.msgpack.Encoder()


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """Who a conversation is at its newest epoch, as far as routing needs it."""

    epoch: int
    type: ConversationType
    roles: Mapping[UserId, Role]


def membership_of(signed_state: bytes) -> Membership:
    """The membership in a stored map with `state`."""
    state = decode_map(signed_state).get("state")
    if not isinstance(state, dict):
        raise ProtocolError(Code.MALFORMED, "a stored conversation has no state")
    typed = convert(state, State)
    return Membership(
        epoch=typed.epoch, type=typed.type, roles={member.user_id: member.role for member in typed.members}
    )


def judge(message: MessageSend, sender: UserId, membership: Membership | None) -> Code | None:
    """The code that refuses this message of `sender`, or None. A conversation that is not the sender's is not found."""
    if membership is None or sender not in membership.roles:
        return Code.CONVERSATION_NOT_FOUND
    if not permits(membership.type, membership.roles[sender], "send_messages"):
        return Code.NOT_PERMITTED
    if set(message.recipients) != membership.roles.keys() - {sender}:
        return Code.INVALID_RECIPIENT
    return None


def shared_part(received: Received[MessageSend], sender: UserId, device: DeviceId, accepted_at: int) -> bytes:
    """What every device gets: an offset (u32), then the encoded `message_received` with an empty map of wraps there."""
    if received.exact:
        return _shared_exactly(received.message, sender, device, accepted_at)
    members = to_map(received.message) | received.extra
    members["type"] = "message_received"
    after: dict[str, Value] = {
        key: value
        for key, value in members.items()
        if key not in _BEFORE_WRAP and key not in _NOT_PASSED_ON and key != _WRAPS
    }
    after |= {"sender_user": sender, "sender_device": device, "accepted_at": accepted_at}
    packer = msgpack.Packer(autoreset=False)
    for key in _BEFORE_WRAP:
        packer.pack(key)
        packer.pack(members[key])
    packer.pack(_WRAPS)
    offset = _MAP_16.size + len(packer.bytes())
    packer.pack({})
    for key, value in after.items():
        packer.pack(key)
        packer.pack(value)
    whole: bytes = packer.bytes()
    return _OFFSET.pack(offset) + _MAP_16.pack(0xDE, len(_BEFORE_WRAP) + 1 + len(after)) + whole


def _shared_exactly(message: MessageSend, sender: UserId, device: DeviceId, accepted_at: int) -> bytes:
    data = _ENCODER.encode(
        _Shared(
            message.message_id, message.conversation_id, message.epoch, message.suite, message.chain_id,
            message.sequence_number, message.prev_message_hash, message.key_commitment, message.ciphertext, {},
            message.metadata, sender, device, accepted_at, message.supplement,
        )
    )  # fmt: skip
    # After the mark stand atoms, numbers and ASCII names alone, so the last one is the right one.
    return _OFFSET.pack(data.rindex(_EMPTY_WRAPS) + len(_EMPTY_WRAPS) - 1) + data


class _Shared(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type", tag="message_received"):
    """`message_received` without a wrap: the quick way when a message has nothing unknown in it."""

    message_id: str
    conversation_id: str
    epoch: int
    suite: str
    chain_id: str
    sequence_number: int
    prev_message_hash: bytes
    key_commitment: bytes
    ciphertext: bytes
    encrypted_keys: dict[str, str]
    metadata: Metadata
    sender_user: str
    sender_device: str
    accepted_at: int
    supplement: bool = False


def with_wrap(shared: bytes, device: DeviceId, wrap: bytes) -> bytes:
    """The encoded `message_received` for one device: `shared` with the device's encoded wrap in its place."""
    offset = _OFFSET.unpack_from(shared)[0] + _OFFSET.size
    return b"".join((shared[_OFFSET.size : offset], b"\x81", _DEVICE_KEY, device.encode(), wrap, shared[offset + 1 :]))


def longest(shared: bytes, wraps: Iterable[tuple[DeviceId, bytes]]) -> int:
    """How many bytes the longest `message_received` of these wraps has."""
    return (
        len(shared) - _OFFSET.size + len(_DEVICE_KEY) + _DEVICE_BYTES + max((len(wrap) for _, wrap in wraps), default=0)
    )


def wraps_of(received: Received[MessageSend]) -> tuple[tuple[DeviceId, bytes], ...]:
    """Each device's encoded wrap, as it came."""
    if received.exact:
        return tuple((device, _ENCODER.encode(wrap)) for device, wrap in received.message.encrypted_keys.items())
    return tuple((DeviceId(device), encode_map(wrap)) for device, wrap in _wraps(received).items())


class Parts:
    """The parts of one message that was too long for a frame; a connection has at most one such message at a time."""

    __slots__ = ("_bytes", "_first")

    def __init__(self) -> None:
        self._first: Received[MessageSend] | None = None
        self._bytes = 0

    def add(self, received: Received[MessageSend]) -> Received[MessageSend] | None:
        """The whole message once its last part is here, None before; `ProtocolError` 2003 when it grows too large,
        3001 when a part does not belong to the one before it."""
        message = received.message
        if self._first is None and not message.more:
            return received
        first, size = self._first, self._bytes + len(received.data)
        self._first, self._bytes = None, 0  # what is refused leaves nothing behind
        if size > limits.MAX_MESSAGE_BYTES:
            raise ProtocolError(Code.TOO_LARGE, "the parts of a message")
        whole = received if first is None else _joined(first, received)
        if not message.more:
            return whole
        self._first, self._bytes = whole, size
        return None

    @property
    def waiting_for(self) -> MessageId | None:
        """The message whose further parts are due."""
        return None if self._first is None else self._first.message.message_id


def _joined(first: Received[MessageSend], part: Received[MessageSend]) -> Received[MessageSend]:
    a, b = first.message, part.message
    if (a.message_id, a.ciphertext) != (b.message_id, b.ciphertext) or not b.supplement:
        raise ProtocolError(Code.MALFORMED, "a part of another message")
    plain = dict(first.map)
    plain[_WRAPS] = {**_wraps(first), **_wraps(part)}
    plain.pop("more", None)
    whole = replace(a, encrypted_keys={**a.encrypted_keys, **b.encrypted_keys}, more=False)
    return Received(whole, encode_map(plain), plain)


def _wraps(received: Received[MessageSend]) -> dict[str, SignedMap]:
    return cast("dict[str, SignedMap]", received.map[_WRAPS])  # `message` was read from this map
