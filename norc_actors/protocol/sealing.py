"""Sealing end-to-end messages (section 6, *Message*; section 7; rows `B49`–`B53`, `B62`).

The inner map is signed together with everything that places it (conversation, epoch, audience, chain, sender, time),
padded, and encrypted once under a fresh content key; the content key is wrapped for each device with the next message
key of its session. What comes out is finished: the caller commits chain, sessions and the encoded message, then sends
those bytes, and sends them again if it must.

Rules
- What has left the device is never sealed again under its message_id and number. More devices get the same content key
  in new wraps: `add_devices` for a message that was refused whole, `supplement` for one that was delivered.
- Every target is in force, a member of the state, and runs the message's suite; above `official_use_only` message and
  sessions are hybrid. Which devices there are is the home server's word, held against the pinned user keys before.
- The commitment to the content key goes in the clear and salts each wrap (D-6).

Opening is in `opening.py`.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from norc_actors.crypto import sessions as schedule
from norc_actors.crypto.padding import pad
from norc_actors.crypto.suites import SUITES, Suite, choose
from norc_actors.ids import MessageId, Random, UserId, uuid_bytes

from .canonical import Value, canonical
from .chains import SendingChain
from .codec import encode
from .conversations import State, audience
from .devices import Device, OwnDevice, require_current
from .messages import Classification, Inner, MessageReceived, MessageSend, Metadata, Wrap
from .schema import replace
from .sessions import NoCommonSuiteError, SendingSession, next_sending_key

CLASSICAL_ALLOWED: frozenset[str] = frozenset({"unclassified", "official_use_only"})
"""Every other classification needs hybrid suites, for the message and for each session."""


class SealRefusedError(Exception):
    """A message that this device must not seal as asked; the text says what to change."""


class Clear(Protocol):
    """The clear members that a message's formulas take; `MessageSend` and `MessageReceived` have them."""

    @property
    def message_id(self) -> str: ...
    @property
    def conversation_id(self) -> str: ...
    @property
    def epoch(self) -> int: ...
    @property
    def chain_id(self) -> str: ...
    @property
    def sequence_number(self) -> int: ...
    @property
    def prev_message_hash(self) -> bytes: ...
    @property
    def suite(self) -> str: ...
    @property
    def key_commitment(self) -> bytes: ...
    @property
    def metadata(self) -> Metadata: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    """The clear members of a message before its ciphertext stands."""

    message_id: str
    conversation_id: str
    epoch: int
    chain_id: str
    sequence_number: int
    prev_message_hash: bytes
    suite: str
    key_commitment: bytes
    metadata: Metadata


def signed_body(clear: Clear, sender_user: str, sender_device: str, audience_hash: bytes, inner_hash: bytes) -> bytes:
    """What `message:v1` signs: every clear member but the wraps, the audience, and the hash of the inner map's
    bytes."""
    metadata = clear.metadata
    members: dict[str, Value] = {
        "message_id": clear.message_id,
        "conversation_id": clear.conversation_id,
        "epoch": clear.epoch,
        "audience": audience_hash,
        "sender_user": sender_user,
        "sender_device": sender_device,
        "chain_id": clear.chain_id,
        "sequence_number": clear.sequence_number,
        "prev_message_hash": clear.prev_message_hash,
        "suite": clear.suite,
        "key_commitment": clear.key_commitment,
        "classification": metadata.classification,
        "timestamp": metadata.timestamp,
        "inner_hash": inner_hash,
    }
    if metadata.expires_at is not None:
        members["expires_at"] = metadata.expires_at
    return canonical(members)


def content_names(clear: Clear) -> schedule.ContentNames:
    return schedule.ContentNames(
        message_id=uuid_bytes(clear.message_id),
        chain_id=uuid_bytes(clear.chain_id),
        conversation_id=uuid_bytes(clear.conversation_id),
        sequence_number=clear.sequence_number,
        prev_message_hash=clear.prev_message_hash,
    )


# --- Sealing ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """What is to be said, to whom, as of when. `timestamp_us` in microseconds, `expires_at` in seconds."""

    message_id: str
    state: State
    inner: Inner = field(repr=False)
    timestamp_us: int
    classification: Classification = "unclassified"
    expires_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A device that shall read the message, and the session towards it."""

    device: Device
    session: SendingSession


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A finished message and the states that replace the ones it was made with.

    `content_key` is kept while supplements may be asked for (until every device has answered, or it expired).
    `sessions` are in the order of the targets.
    """

    message: MessageSend
    content_key: bytes = field(repr=False)
    ciphertext_hash: bytes
    chain: SendingChain
    sessions: tuple[SendingSession, ...]


def needs_hybrid(classification: str) -> bool:
    """Whether message and sessions must be hybrid at this classification."""
    return classification not in CLASSICAL_ALLOWED


def message_suite(own: OwnDevice, devices: Collection[Device], classification: str) -> Suite:
    """The best suite that this and all target devices list, or `NoCommonSuiteError`."""
    lists = [device.e2e_suites for device in devices]
    suite = choose(own.e2e_suites, *lists, hybrid_required=needs_hybrid(classification))
    if suite is None:
        raise NoCommonSuiteError(f"the devices share no suite that is allowed for {classification}")
    return suite


def seal(
    outgoing: Outgoing, *, own: OwnDevice, chain: SendingChain, targets: Sequence[Target], now: int, random: Random
) -> Sealed:
    """Seal a message for exactly these devices: all of the recipients' and the sender's other ones.

    Raises `SealRefusedError` (a device of a non-member, a chain of another conversation, no permission to send),
    `EntryRefusedError` (expired or revoked device), `SessionEndedError`, `NoCommonSuiteError`.
    """
    _check_outgoing(outgoing, own, chain)
    suite = message_suite(own, [target.device for target in targets], outgoing.classification)
    content_key = random(schedule.KEY_BYTES)
    key_commitment = schedule.commitment(suite, content_key)
    inner = encode(outgoing.inner)
    state = outgoing.state
    metadata = Metadata(
        timestamp=outgoing.timestamp_us, classification=outgoing.classification, expires_at=outgoing.expires_at
    )
    clear = _Draft(
        message_id=outgoing.message_id,
        conversation_id=state.conversation_id,
        epoch=state.epoch,
        chain_id=chain.chain_id,
        sequence_number=chain.next_number,
        prev_message_hash=chain.last_hash,
        suite=suite.name,
        key_commitment=key_commitment,
        metadata=metadata,
    )
    body = signed_body(clear, own.user_id, own.device_id, audience(suite, state), suite.hash(inner))
    plaintext = pad(inner, own.key.sign("message:v1", body))
    ciphertext = schedule.seal_content(suite, content_key, content_names(clear), plaintext)
    wraps, sessions = _wraps(clear, own, state, content_key, targets, now)
    message = MessageSend(
        message_id=MessageId(outgoing.message_id),
        conversation_id=state.map["conversation_id"],  # type: ignore[arg-type]
        epoch=state.epoch,
        recipients=tuple(UserId(user_id) for user_id in state.recipients(own.user_id)),
        suite=suite.name,  # type: ignore[arg-type]
        chain_id=chain.chain_id,
        sequence_number=chain.next_number,
        prev_message_hash=chain.last_hash,
        key_commitment=key_commitment,
        ciphertext=ciphertext,
        encrypted_keys=wraps,  # type: ignore[arg-type]
        metadata=metadata,
    )
    ciphertext_hash = suite.hash(ciphertext)
    return Sealed(
        message=message,
        content_key=content_key,
        ciphertext_hash=ciphertext_hash,
        chain=chain.sent(ciphertext_hash),
        sessions=sessions,
    )


def _check_outgoing(outgoing: Outgoing, own: OwnDevice, chain: SendingChain) -> None:
    state = outgoing.state
    if chain.conversation_id != state.conversation_id:
        raise SealRefusedError("the chain is of another conversation")
    if not state.permits(own.user_id, "send_messages"):
        raise SealRefusedError("your role in this conversation does not permit sending")


def _wraps(
    clear: Clear, own: OwnDevice, state: State, content_key: bytes, targets: Sequence[Target], now: int
) -> tuple[dict[str, Wrap], tuple[SendingSession, ...]]:
    """The content key wrapped for each target with the next key of its session, and the sessions after that."""
    suite = SUITES[clear.suite]
    sender_user, sender_device = own.user_id.encode(), uuid_bytes(own.device_id)
    message_id = uuid_bytes(clear.message_id)
    wraps: dict[str, Wrap] = {}
    sessions = []
    for target in targets:
        device, session = target.device, target.session
        _check_target(clear, own, state, target, now)
        if device.device_id in wraps:
            raise SealRefusedError(f"two recipients list the device {device.device_id}")
        key, following = next_sending_key(session, now)
        names = schedule.WrapNames(
            sender_user=sender_user,
            sender_device=sender_device,
            user=device.user_id.encode(),
            device=uuid_bytes(device.device_id),
            message_id=message_id,
            session_id=uuid_bytes(session.session_id),
            index=session.index,
        )
        wrapped = schedule.wrap_content_key(suite, key, clear.key_commitment, names, content_key)
        wraps[device.device_id] = Wrap(
            session_id=session.session_id, index=session.index, wrapped=wrapped, open=session.open
        )
        sessions.append(following)
    return wraps, tuple(sessions)


def _check_target(clear: Clear, own: OwnDevice, state: State, target: Target, now: int) -> None:
    device, session = require_current(target.device, now), target.session
    if state.member(device.user_id) is None:
        raise SealRefusedError(f"{device.user_id} is no member of this conversation")
    if (device.user_id, device.device_id) == (own.user_id, own.device_id):
        raise SealRefusedError("a device does not write to itself")
    if (session.target_user, session.target_device) != (device.user_id, device.device_id):
        raise SealRefusedError("the session is towards another device")
    if clear.suite not in device.e2e_suites:
        raise SealRefusedError(f"the device {device.device_id} does not run {clear.suite}: seal a new message")
    if needs_hybrid(clear.metadata.classification) and not SUITES[session.suite].hybrid:
        raise SealRefusedError(f"{clear.metadata.classification} needs a hybrid session")


def add_devices(
    message: MessageSend,
    content_key: bytes,
    *,
    own: OwnDevice,
    state: State,
    targets: Sequence[Target],
    now: int,
    gone: Collection[str] = (),
) -> tuple[MessageSend, tuple[SendingSession, ...]]:
    """The same message with entries for more devices, those already made unchanged, less those `gone`.

    For a message that the home server refused with a stale device list (2002): nothing of it was delivered.
    """
    wraps, sessions = _wraps(message, own, state, content_key, targets, now)
    kept = {device_id: wrap for device_id, wrap in message.encrypted_keys.items() if device_id not in gone}
    return replace(message, encrypted_keys=kept | wraps), sessions


def supplement(
    message: MessageSend, content_key: bytes, *, own: OwnDevice, state: State, targets: Sequence[Target], now: int
) -> tuple[MessageSend, tuple[SendingSession, ...]]:
    """A supplement (section 7): the whole message with `supplement`, the same ciphertext, only the targets' entries."""
    wraps, sessions = _wraps(message, own, state, content_key, targets, now)
    return replace(message, encrypted_keys=wraps, supplement=True, more=False), sessions


def ciphertext_hash(message: MessageSend | MessageReceived) -> bytes:
    """What receipts, chains and dedupe records name: the hash of the ciphertext under the message's suite."""
    return SUITES[message.suite].hash(message.ciphertext)
