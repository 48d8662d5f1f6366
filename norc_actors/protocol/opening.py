"""Opening end-to-end messages, and why one cannot be opened (section 6, *Receiving*; rows `B49`, `B52`, `B65`).

In this order, each with its own `Cause`:
dedupe key → message key (session, or `open`) → wrap, commitment, ciphertext → padding → state of the epoch → signature
under the sender's record at `accepted_at`, over the clear members as received and the audience → inner map → membership
→ window, chain, freshness.

Rules
- Nothing that the caller holds changes before the last step has passed: `Opened` brings the new states, to be committed
  in one transaction with the message, the dedupe record and the receipt. A refused message leaves no trace but its
  cause.
- The signature covers the audience: a message moved to another conversation, or to an epoch with other members,
  fails as `BAD_SIGNATURE`. So a recipient cannot pass a signed message on to others as if it had been meant for them.
- What cannot be opened is shown with its cause; the network learns one code for all of them (`WIRE_CODE`), or an answer
  would tell a server which of its alterations went how far.
- `accepted_at` is the home server's word. A server that lies about it gains at most the overlap of a key that it could
  not use anyway: it holds no device key.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from norc_actors.crypto import sessions as schedule
from norc_actors.crypto.errors import BadSignatureError, DecryptionFailedError
from norc_actors.crypto.padding import unpad
from norc_actors.crypto.signatures import verify
from norc_actors.crypto.suites import SUITES, Suite
from norc_actors.ids import uuid_bytes

from .canonical import Value
from .chains import ChainBrokenError, Known, Place, ReceivingChain, ReplayedError, Step, in_time, known, take
from .codec import Received, convert, decode_as
from .conversations import State, audience
from .devices import Device, EntryFault, OwnDevice
from .errors import Code, ProtocolError
from .messages import BODIES, Inner, MessageReceived, Wrap
from .prekeys import BundleSecret, OneTimeSecret
from .sealing import content_names, needs_hybrid, signed_body
from .sessions import (
    KeyUsedError,
    OpenFault,
    OpenRefusedError,
    ReceivingSession,
    accept_open,
    receiving_key,
)

WIRE_CODE = Code.KEY_NOT_FOUND
"""`error_code` of `message_ack{failed}` for every message that cannot be opened for good."""


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
    seen = known(recorded_hash, digest)
    if seen is Known.AGAIN:
        return Again()
    if seen is Known.EXCHANGED:
        raise MessageRefusedError(Cause.REPLAYED, "another message came under this id before")
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


Held = Literal["none", "held", "ended"]
"""What a receiver has of the session that a wrap names: nothing, its state, or only its id."""
Arrival = Literal["use", "accept its open", "ask", "refuse"]

ARRIVALS: dict[tuple[Held, bool], Arrival] = {
    ("none", True): "accept its open",
    ("none", False): "ask",
    ("held", True): "use",
    ("held", False): "use",
    ("ended", True): "refuse",
    ("ended", False): "refuse",
}
"""(what is held, whether the wrap brings an `open`) → what becomes of the wrap. An `open` for a known id is ignored,
and an ended session is never opened anew."""


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
    arrival = ARRIVALS["ended" if ended else "none", wrap.open is not None]
    if arrival == "refuse":
        raise MessageRefusedError(Cause.KEY_USED, "its session has ended")
    if arrival == "ask" or wrap.open is None:
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
        plaintext = schedule.open_content(suite, content_key, content_names(received), received.ciphertext)
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
    """The inner map, its body checked by the struct of its type."""
    try:
        inner = decode_as(Inner, data)
        if inner.message.message_type in BODIES:
            convert(inner.message.body, BODIES[inner.message.message_type])  # type: ignore[arg-type]
    except ProtocolError as error:
        raise MessageRefusedError(Cause.MALFORMED, error.detail) from error
    return inner


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
