"""Sealing and opening end-to-end messages (section 6, *Message* and *Receiving*; rows `B49`–`B53`, `B65`).

Sealing: the inner map is signed together with everything that places it (conversation, epoch, audience, chain, sender,
time), padded, and encrypted once under a fresh content key; the content key is wrapped for each device with the next
message key of its session. What comes out is finished: the caller commits chain, sessions and the encoded message, then
sends those bytes, and sends them again if it must. What has left the device is never sealed again under its message_id
and number.

Opening, in this order, each with its own `Cause`:
dedupe key → message key (session, or `open`) → wrap, commitment, ciphertext → padding → state of the epoch → signature
under the sender's record at `accepted_at`, over the clear members as received and the audience → inner map → membership
→ window, chain, freshness. Nothing that the caller holds changes before the last step has passed: `Opened` brings the
new states, to be committed together with the message, the dedupe record and the receipt.

What cannot be opened is shown with its cause; the network learns one code for all of them (`WIRE_CODE`), or an answer
would tell a server which of its alterations went how far.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from msgspec.structs import replace

from norc_actors.crypto import sessions as schedule
from norc_actors.crypto.errors import BadSignatureError, DecryptionFailedError
from norc_actors.crypto.padding import pad, unpad
from norc_actors.crypto.signatures import verify
from norc_actors.crypto.suites import SUITES, Suite, choose
from norc_actors.ids import MessageId, Random, UserId, uuid_bytes

from .canonical import Value, canonical
from .chains import (
    ChainBrokenError,
    Known,
    Place,
    ReceivingChain,
    ReplayedError,
    SendingChain,
    Step,
    in_time,
    known,
    take,
)
from .codec import Received, decode_as, encode
from .conversations import State, audience
from .devices import Device, EntryFault, OwnDevice, require_current
from .errors import Code, ProtocolError
from .messages import Classification, Inner, MessageReceived, MessageSend, Metadata, Wrap
from .prekeys import BundleSecret, OneTimeSecret
from .sessions import (
    KeyUsedError,
    NoCommonSuiteError,
    OpenFault,
    OpenRefusedError,
    ReceivingSession,
    SendingSession,
    accept_open,
    next_sending_key,
    receiving_key,
)

CLASSICAL_ALLOWED: frozenset[str] = frozenset({"unclassified", "official_use_only"})
"""Every other classification needs hybrid suites, for the message and for each session."""
WIRE_CODE = Code.KEY_NOT_FOUND
"""`error_code` of `message_ack{failed}` for every message that cannot be opened for good."""


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


def _content_names(clear: Clear) -> schedule.ContentNames:
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
    ciphertext = schedule.seal_content(suite, content_key, _content_names(clear), plaintext)
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


# --- Opening ---


class Cause(StrEnum):
    """Why a message could not be shown; each is shown to the user in words."""

    UNKNOWN_SESSION = "unknown_session"
    """Not final: answer with `sessions.make_unknown`, once, and wait for a supplement."""
    KEY_USED = "key_used"
    NOT_OPENED = "not_opened"
    """Altered on the way, or made wrongly: wrap, commitment, ciphertext or padding."""
    BAD_SIGNATURE = "bad_signature"
    """Not signed by the device that it names, for this conversation and these members."""
    UNTRUSTED_DEVICE = "untrusted_device"
    """No key of its device counted when it was accepted: expired, revoked, or not vouched for."""
    KEY_CHANGED = "key_changed"
    WRONG_AUDIENCE = "wrong_audience"
    """Sender or receiver is no member in its epoch, or the sender's role may not send."""
    UNKNOWN_CONVERSATION = "unknown_conversation"
    """Not final while the state of its epoch can still be asked for."""
    BROKEN_CHAIN = "broken_chain"
    REPLAYED = "replayed"
    STALE = "stale"
    MALFORMED = "malformed"
    """What is inside is no message, or it is below what its classification demands."""


NOT_FINAL: frozenset[Cause] = frozenset({Cause.UNKNOWN_SESSION, Cause.UNKNOWN_CONVERSATION})
ALERTS: frozenset[Cause] = frozenset({Cause.BROKEN_CHAIN, Cause.REPLAYED})
"""Integrity alerts: not an accident of transport, so shown apart."""


class MessageRefusedError(Exception):
    """A message that is not shown; `cause` says why, `detail` is for the local log."""

    def __init__(self, cause: Cause, detail: str = "") -> None:
        super().__init__(f"{cause.value}: {detail}" if detail else cause.value)
        self.cause = cause
        self.detail = detail

    @property
    def final(self) -> bool:
        """Whether the same bytes can never be opened later."""
        return self.cause not in NOT_FINAL

    @property
    def alert(self) -> bool:
        """Whether this is an integrity alert."""
        return self.cause in ALERTS


def cause_of(fault: EntryFault) -> Cause:
    """The cause of a message whose sender's entry was refused."""
    changed = (EntryFault.USER_KEY_CHANGED, EntryFault.USER_KEY_UNKNOWN)
    return Cause.KEY_CHANGED if fault in changed else Cause.UNTRUSTED_DEVICE


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A message that passed every check, and what to commit together with it.

    `session` replaces the stored one (or is new: `new_session`); `used_one_time` is the id of the one-time key to
    erase; `chain` replaces the stored one; the dedupe record is (sender_user, sender_device, message_id) →
    `ciphertext_hash`. `extra`: members of the inner map that this version does not know.
    """

    inner: Inner = field(repr=False)
    extra: dict[str, Value] = field(repr=False)
    ciphertext_hash: bytes
    session: ReceivingSession
    new_session: bool
    used_one_time: int | None
    chain: ReceivingChain
    place: Place
    after_gap: bool

    @property
    def incomplete(self) -> bool:
        """Whether messages of this sender before this one are missing."""
        return self.after_gap


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """The same message came before: send the recorded receipt again, store nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """It would open, but messages before it are missing: try again when one of them came, or after 2 s with `held`."""


def open_message(
    received: MessageReceived,
    *,
    own: OwnDevice,
    sender: Device,
    recorded_hash: bytes | None,
    session: ReceivingSession | None,
    session_ended: bool = False,
    bundle: BundleSecret | None = None,
    one_time: OneTimeSecret | None = None,
    state: State | None,
    chain: ReceivingChain | None,
    now: float,
    held: bool = False,
) -> Opened | Again | Hold:
    """Open a message with what the caller has stored, or raise `MessageRefusedError`.

    | argument | stored under |
    |---|---|
    | sender | the verified entry of (sender_user, sender_device), revoked or expired ones too |
    | recorded_hash | the dedupe key (sender_user, sender_device, message_id) |
    | session, session_ended | (sender_user, sender_device, session_id of the wrap); ended: only the id is left |
    | bundle, one_time | the ids in the wrap's `open` (`prekeys_named`) |
    | state | the verified state of (conversation_id, epoch) |
    | chain | (sender_user, sender_device, conversation_id, chain_id) |

    `held`: the 2 s of a gap have passed, or nothing earlier is waiting.
    """
    suite = SUITES[received.suite]
    digest = suite.hash(received.ciphertext)
    match known(recorded_hash, digest):
        case Known.AGAIN:
            return Again()
        case Known.EXCHANGED:
            raise MessageRefusedError(Cause.REPLAYED, "another message came under this id before")
        case Known.NEW:
            pass
    if received.suite not in own.e2e_suites:
        raise MessageRefusedError(Cause.NOT_OPENED, "a suite that this device does not run")
    wrap = received.encrypted_keys.get(own.device_id)  # type: ignore[call-overload]
    if wrap is None:
        raise MessageRefusedError(Cause.MALFORMED, "no wrap for this device")
    current, new = _session_of(received, wrap, own, sender, session, bundle, one_time, ended=session_ended)
    inner_bytes, signature, following = _decrypt(received, wrap, own, current)
    if state is None:
        raise MessageRefusedError(Cause.UNKNOWN_CONVERSATION, "the state of its epoch is not known")
    _check_signature(received, sender, state, suite, inner_bytes, signature)
    inner = _inner(inner_bytes)
    _check_audience(received, own, state, current)
    step = _step(received, digest, chain)
    if step.place is Place.GAP and not held:
        return Hold()
    _check_time(received, step.place, state, now)
    return Opened(
        inner=inner.message,
        extra=inner.extra,
        ciphertext_hash=digest,
        session=following,
        new_session=new,
        used_one_time=one_time.one_time_id if new and one_time is not None and _names_one_time(wrap) else None,
        chain=step.chain,
        place=step.place,
        after_gap=step.after_gap,
    )


def prekeys_named(received: MessageReceived, device_id: str) -> tuple[int | None, int | None]:
    """(prekey_id, one_time_id) that the `open` of this device's wrap names, unverified, to look the secrets up."""
    wrap = received.encrypted_keys.get(device_id)  # type: ignore[call-overload]
    if wrap is None or wrap.open is None:
        return None, None
    prekey_id, one_time_id = wrap.open.get("prekey_id"), wrap.open.get("one_time_id")
    return (
        prekey_id if isinstance(prekey_id, int) else None,
        one_time_id if isinstance(one_time_id, int) else None,
    )


def _names_one_time(wrap: Wrap) -> bool:
    return wrap.open is not None and "one_time_id" in wrap.open


_OPEN_CAUSES: dict[OpenFault, Cause] = {
    OpenFault.MALFORMED: Cause.MALFORMED,
    OpenFault.WRONG_NAMES: Cause.NOT_OPENED,
    OpenFault.BAD_SIGNATURE: Cause.BAD_SIGNATURE,
    OpenFault.SUITE: Cause.NOT_OPENED,
    OpenFault.PREKEY_GONE: Cause.UNKNOWN_SESSION,
    OpenFault.NOT_OPENED: Cause.NOT_OPENED,
}


def _session_of(
    received: MessageReceived,
    wrap: Wrap,
    own: OwnDevice,
    sender: Device,
    session: ReceivingSession | None,
    bundle: BundleSecret | None,
    one_time: OneTimeSecret | None,
    *,
    ended: bool,
) -> tuple[ReceivingSession, bool]:
    """The session of a wrap, and whether its `open` made it just now. An `open` for a known id is ignored."""
    if session is not None:
        if (session.sender_user, session.sender_device, session.session_id) != (
            received.sender_user,
            received.sender_device,
            wrap.session_id,
        ):
            raise ValueError("`session` is not the one that the wrap names")
        return session, False
    if ended:
        raise MessageRefusedError(Cause.KEY_USED, "its session has ended")
    if wrap.open is None:
        raise MessageRefusedError(Cause.UNKNOWN_SESSION, "no such session")
    if wrap.open.get("session_id") != wrap.session_id:
        raise MessageRefusedError(Cause.MALFORMED, "its open is for another session")
    if not sender.keys_at(received.accepted_at):
        raise MessageRefusedError(Cause.UNTRUSTED_DEVICE, "no key of its device counted when it was accepted")
    try:
        opened = accept_open(
            wrap.open, own=own, sender=sender, accepted_at=received.accepted_at, bundle=bundle, one_time=one_time
        )
    except OpenRefusedError as error:
        raise MessageRefusedError(_OPEN_CAUSES[error.fault], str(error)) from error
    return opened, True


def _decrypt(
    received: MessageReceived, wrap: Wrap, own: OwnDevice, session: ReceivingSession
) -> tuple[bytes, bytes, ReceivingSession]:
    """(inner bytes, signature, the session without the used key)."""
    suite = SUITES[received.suite]
    names = schedule.WrapNames(
        sender_user=received.sender_user.encode(),
        sender_device=uuid_bytes(received.sender_device),
        user=own.user_id.encode(),
        device=uuid_bytes(own.device_id),
        message_id=uuid_bytes(received.message_id),
        session_id=uuid_bytes(wrap.session_id),
        index=wrap.index,
    )
    try:
        key, following = receiving_key(session, wrap.index)
        content_key = schedule.unwrap_content_key(suite, key, received.key_commitment, names, wrap.wrapped)
        plaintext = schedule.open_content(suite, content_key, _content_names(received), received.ciphertext)
        inner, signature = unpad(plaintext)
    except KeyUsedError as error:
        raise MessageRefusedError(Cause.KEY_USED, str(error)) from error
    except DecryptionFailedError as error:
        raise MessageRefusedError(Cause.NOT_OPENED, str(error)) from error
    return inner, signature, following


def _check_signature(
    received: MessageReceived, sender: Device, state: State, suite: Suite, inner: bytes, signature: bytes
) -> None:
    if (received.sender_user, received.sender_device) != (sender.user_id, sender.device_id):
        raise ValueError("`sender` is not the device that the message names")
    if (received.conversation_id, received.epoch) != (state.conversation_id, state.epoch):
        raise ValueError("`state` is not the one that the message names")
    keys = sender.keys_at(received.accepted_at)
    if not keys:
        raise MessageRefusedError(Cause.UNTRUSTED_DEVICE, "no key of its device counted when it was accepted")
    body = signed_body(
        received, received.sender_user, received.sender_device, audience(suite, state), suite.hash(inner)
    )
    for key in keys:
        try:
            verify(key, "message:v1", body, signature)
        except BadSignatureError:
            continue
        return
    raise MessageRefusedError(Cause.BAD_SIGNATURE, "not signed by its device for this conversation")


def _inner(data: bytes) -> Received[Inner]:
    try:
        return decode_as(Inner, data)
    except ProtocolError as error:
        raise MessageRefusedError(Cause.MALFORMED, error.detail) from error


def _check_audience(received: MessageReceived, own: OwnDevice, state: State, session: ReceivingSession) -> None:
    if state.member(own.user_id) is None:
        raise MessageRefusedError(Cause.WRONG_AUDIENCE, "this user is no member in its epoch")
    if not state.permits(received.sender_user, "send_messages"):
        raise MessageRefusedError(Cause.WRONG_AUDIENCE, "its sender is no member in its epoch, or may not send")
    hybrid = SUITES[received.suite].hybrid and SUITES[session.suite].hybrid
    if needs_hybrid(received.metadata.classification) and not hybrid:
        raise MessageRefusedError(Cause.MALFORMED, "its classification demands hybrid suites")


def _step(received: MessageReceived, digest: bytes, chain: ReceivingChain | None) -> Step:
    if chain is not None and chain.chain_id != received.chain_id:
        raise ValueError("`chain` is not the one that the message names")
    try:
        return take(
            chain,
            chain_id=received.chain_id,
            number=received.sequence_number,
            prev_message_hash=received.prev_message_hash,
            ciphertext_hash=digest,
        )
    except ChainBrokenError as error:
        raise MessageRefusedError(Cause.BROKEN_CHAIN, str(error)) from error
    except ReplayedError as error:
        raise MessageRefusedError(Cause.REPLAYED, str(error)) from error


def _check_time(received: MessageReceived, place: Place, state: State, now: float) -> None:
    metadata, ttl = received.metadata, state.settings.message_ttl
    if not in_time(place, metadata.timestamp, now, expires_at=metadata.expires_at, message_ttl=ttl):
        raise MessageRefusedError(Cause.STALE, "too old, or expired")
