"""End-to-end sessions: one way, device to device (section 6, *Session*; rows `B55`, `B56`, `B58`, `B64`).

The sender draws a session key and wraps it to the target's prekeys in `open`, a signed `session_key_exchange` map. From
the session key runs a chain of message keys; used ones are erased, so what was sent cannot be opened again from a later
state (forward secrecy).

Rules of the sender (`SendingSession`)
- Opened with a bundle fresh from the answer that brought it; suite: the best that both devices list. If that is hybrid
  and the bundle has no ML-KEM key, nothing is opened: no fallback.
- `open` travels with each message until the target's first signed receipt (`acknowledged`).
- Ends after 1000 messages or 24 h (`usable`); the next message needs a new session.
- The state with the next index is committed *before* the message that used the last one is sent.

Rules of the receiver (`ReceivingSession`), known by (sender_user, sender_device, session_id)
- The signature of `open` is verified first, then the prekeys are looked at.
- An `open` for a known id is ignored; ids of ended sessions are kept while the prekey that opened them exists.
- `next ≤ index < 1000`, or a kept key of an index that was skipped. The returned state replaces the old one only after
  the message opened and verified, in one transaction with it.
- Kept until 30 days after `expires_at`, which is read as at most 24 h after the opening was accepted.
- Without the session: answer `make_unknown` once; the opener then makes a new session and sends a supplement.

All states are frozen and serialise to plain maps; those maps hold keys and belong in the encrypted profile alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import cast

from norc_actors.crypto import sessions as schedule
from norc_actors.crypto.errors import BadKeyError, BadSignatureError, DecryptionFailedError
from norc_actors.crypto.kem import mlkem_public, x25519_private, x25519_public
from norc_actors.crypto.signatures import verify
from norc_actors.crypto.suites import SUITES, Suite, choose
from norc_actors.ids import Random, new_uuid, uuid_bytes
from norc_actors.limits import SESSION_KEPT_SECONDS, SESSION_MESSAGES, SESSION_SECONDS

from .canonical import Value, canonical
from .codec import convert
from .devices import Device, OwnDevice, require_current
from .errors import ProtocolError
from .messages import SessionOpening, UnknownSession
from .prekeys import BundleSecret, OneTimeSecret, PrekeyRefusedError, verify_bundle, verify_one_time
from .schema import SignedMap

HEALING: frozenset[str] = frozenset({"secret", "top_secret", "nato_secret"})
"""Classifications at which a message from the peer starts a fresh session at once (post-compromise healing)."""


def starts_fresh(classification: str, *, always: bool = False) -> bool:
    """Whether a message of the peer at this classification ends the session towards it, so that the next message opens
    a new one with prekeys that come with the answer; `always` is the policy that wants it at every classification.

    Whoever stole an older state of either device is locked out by that exchange.
    """
    return always or classification in HEALING


class SessionEndedError(Exception):
    """The sending session has had its 1000 messages or its 24 h: open a new one."""


class KeyUsedError(Exception):
    """The message key of this index was used or erased, or the index lies outside 0 … 999."""


class NoCommonSuiteError(Exception):
    """Two devices share no suite, or none of the kind that is required."""


class OpenFault(StrEnum):
    """Why an `open` is not accepted."""

    MALFORMED = "malformed"
    WRONG_NAMES = "wrong_names"
    """It names another sender, target or session than it came for."""
    BAD_SIGNATURE = "bad_signature"
    SUITE = "suite"
    """A suite that this device does not run."""
    PREKEY_GONE = "prekey_gone"
    """The prekey or one-time key that it used is erased: ask for a new session."""
    NOT_OPENED = "not_opened"
    """It does not open: altered, or made for other keys."""


class OpenRefusedError(Exception):
    """An `open` that is not accepted; `fault` says why."""

    def __init__(self, fault: OpenFault) -> None:
        super().__init__(f"session not opened: {fault.value}")
        self.fault = fault


# --- Sending ---


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SendingSession:
    """This device's session towards another; `index` and `chain_key` belong to the next message."""

    session_id: str
    suite: str
    target_user: str
    target_device: str
    chain_key: bytes
    index: int
    expires_at: int
    open: SignedMap | None

    def usable(self, now: float) -> bool:
        """Whether another message may be sent with it."""
        return self.index < SESSION_MESSAGES and now < self.expires_at

    def acknowledged(self) -> "SendingSession":
        """The session after the target's first signed receipt: `open` need not travel any more."""
        return self if self.open is None else replace(self, open=None)

    def to_map(self) -> dict[str, Value]:
        """For the encrypted profile."""
        kept: dict[str, Value] = {
            "session_id": self.session_id,
            "suite": self.suite,
            "target_user": self.target_user,
            "target_device": self.target_device,
            "chain_key": self.chain_key,
            "index": self.index,
            "expires_at": self.expires_at,
        }
        if self.open is not None:
            kept["open"] = self.open
        return kept

    @classmethod
    def from_map(cls, kept: Mapping[str, Value]) -> "SendingSession":
        """The inverse of `to_map`."""
        return cls(
            session_id=cast("str", kept["session_id"]),
            suite=cast("str", kept["suite"]),
            target_user=cast("str", kept["target_user"]),
            target_device=cast("str", kept["target_device"]),
            chain_key=cast("bytes", kept["chain_key"]),
            index=cast("int", kept["index"]),
            expires_at=cast("int", kept["expires_at"]),
            open=cast("SignedMap | None", kept.get("open")),
        )


def session_suite(own: OwnDevice, device: Device, *, hybrid_required: bool = False) -> Suite:
    """The best suite that both devices list, or `NoCommonSuiteError`."""
    suite = choose(own.e2e_suites, device.e2e_suites, hybrid_required=hybrid_required)
    if suite is None:
        kind = "hybrid " if hybrid_required else ""
        raise NoCommonSuiteError(f"no {kind}suite in common with device {device.device_id} of {device.user_id}")
    return suite


def open_session(
    own: OwnDevice, device: Device, *, now: int, random: Random, hybrid_required: bool = False
) -> SendingSession:
    """A new session towards `device`, whose entry came with the answer to a key request just now.

    Takes bundle and one-time key from `device.entry` and checks them. Raises `EntryRefusedError` (expired, revoked),
    `PrekeyRefusedError` (no bundle, not in force, not signed by the device, no ML-KEM key for a hybrid suite),
    `NoCommonSuiteError`. About 0.3 ms.
    """
    require_current(device, now)
    suite = session_suite(own, device, hybrid_required=hybrid_required)
    prekey_id, one_time_id, prekeys = _checked_prekeys(device, suite, now)
    session_id, session_key = new_uuid(random), random(schedule.KEY_BYTES)
    try:
        agreement = schedule.agree_sender(suite, x25519_private(random), prekeys)
    except BadKeyError as error:
        raise PrekeyRefusedError("a prekey that is no usable key") from error
    names = schedule.Names(
        sender_user=own.user_id.encode(),
        sender_device=uuid_bytes(own.device_id),
        target_user=device.user_id.encode(),
        target_device=uuid_bytes(device.device_id),
        session_id=uuid_bytes(session_id),
        prekey_id=prekey_id,
    )
    key_commitment, wrapped = schedule.wrap_session_key(suite, agreement, names, session_key)
    opened: SignedMap = {
        "type": "session_key_exchange",
        "session_id": session_id,
        "sender_user": own.user_id,
        "sender_device": own.device_id,
        "target_user": device.user_id,
        "target_device": device.device_id,
        "suite": suite.name,
        "prekey_id": prekey_id,
        "ephemeral_public_key": agreement.ephemeral_public_key,
        "key_commitment": key_commitment,
        "wrapped": wrapped,
        "expires_at": now + SESSION_SECONDS,
    }
    if one_time_id is not None:
        opened["one_time_id"] = one_time_id
    if agreement.pq_ciphertext is not None:
        opened["pq_ciphertext"] = agreement.pq_ciphertext
    opened["signature"] = own.key.sign("session:v1", canonical(opened))
    return SendingSession(
        session_id=session_id,
        suite=suite.name,
        target_user=device.user_id,
        target_device=device.device_id,
        chain_key=session_key,
        index=0,
        expires_at=now + SESSION_SECONDS,
        open=opened,
    )


def _checked_prekeys(device: Device, suite: Suite, now: int) -> tuple[int, int | None, schedule.Prekeys]:
    """(prekey_id, one_time_id, public halves) of a device's entry, verified."""
    bundle_map, one_time_map = device.entry.get("bundle"), device.entry.get("one_time")
    if not isinstance(bundle_map, dict):
        raise PrekeyRefusedError(f"device {device.device_id} of {device.user_id} has no prekeys")
    bundle = verify_bundle(device, bundle_map, now)
    one_time = verify_one_time(device, one_time_map, now) if isinstance(one_time_map, dict) else None
    if suite.hybrid and bundle.mlkem768 is None:
        raise PrekeyRefusedError("the bundle lacks the ML-KEM key of a hybrid suite")
    prekeys = schedule.Prekeys(
        x25519=bundle.x25519,
        one_time=one_time.x25519 if one_time is not None else None,
        mlkem768=bundle.mlkem768 if suite.hybrid else None,
    )
    return bundle.prekey_id, one_time.one_time_id if one_time is not None else None, prekeys


def next_sending_key(session: SendingSession, now: float) -> tuple[bytes, SendingSession]:
    """(message key of `session.index`, the session after it), or `SessionEndedError`."""
    if not session.usable(now):
        raise SessionEndedError(session.session_id)
    suite = SUITES[session.suite]
    following = schedule.next_chain_key(suite, session.chain_key)
    return schedule.message_key(suite, session.chain_key), replace(
        session, chain_key=following, index=session.index + 1
    )


# --- Receiving ---


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ReceivingSession:
    """Another device's session towards this one.

    `next_index` and `chain_key` belong to the highest message not seen yet; `skipped` holds the message keys of those
    passed over. `prekey_id` is the bundle that opened it: while that exists, the id of the session is kept.
    """

    session_id: str
    suite: str
    sender_user: str
    sender_device: str
    prekey_id: int
    chain_key: bytes
    next_index: int
    skipped: Mapping[int, bytes]
    expires_at: int

    @property
    def keep_until(self) -> int:
        """When the state and its skipped keys are erased."""
        return self.expires_at + SESSION_KEPT_SECONDS

    def to_map(self) -> dict[str, Value]:
        """For the encrypted profile."""
        return {
            "session_id": self.session_id,
            "suite": self.suite,
            "sender_user": self.sender_user,
            "sender_device": self.sender_device,
            "prekey_id": self.prekey_id,
            "chain_key": self.chain_key,
            "next_index": self.next_index,
            "skipped": {str(index): key for index, key in self.skipped.items()},
            "expires_at": self.expires_at,
        }

    @classmethod
    def from_map(cls, kept: Mapping[str, Value]) -> "ReceivingSession":
        """The inverse of `to_map`."""
        return cls(
            session_id=cast("str", kept["session_id"]),
            suite=cast("str", kept["suite"]),
            sender_user=cast("str", kept["sender_user"]),
            sender_device=cast("str", kept["sender_device"]),
            prekey_id=cast("int", kept["prekey_id"]),
            chain_key=cast("bytes", kept["chain_key"]),
            next_index=cast("int", kept["next_index"]),
            skipped={int(index): key for index, key in cast("dict[str, bytes]", kept["skipped"]).items()},
            expires_at=cast("int", kept["expires_at"]),
        )


def accept_open(
    opened: SignedMap,
    *,
    own: OwnDevice,
    sender: Device,
    accepted_at: int,
    bundle: BundleSecret | None,
    one_time: OneTimeSecret | None,
) -> ReceivingSession:
    """The session of an `open` for an id that is not known yet, or `OpenRefusedError`.

    `bundle` and `one_time` are the private halves that `prekey_id` and `one_time_id` name, None if erased. The one-time
    half is erased in the transaction that stores the session.
    """
    try:
        typed = convert(opened, SessionOpening)
    except ProtocolError as error:
        raise OpenRefusedError(OpenFault.MALFORMED) from error
    if (typed.sender_user, typed.sender_device) != (sender.user_id, sender.device_id):
        raise OpenRefusedError(OpenFault.WRONG_NAMES)
    _verify_open(opened, typed.signature, sender, accepted_at)
    if (typed.target_user, typed.target_device) != (own.user_id, own.device_id):
        raise OpenRefusedError(OpenFault.WRONG_NAMES)
    if typed.suite not in own.e2e_suites:
        raise OpenRefusedError(OpenFault.SUITE)
    suite = SUITES[typed.suite]
    if bundle is None or bundle.prekey_id != typed.prekey_id:
        raise OpenRefusedError(OpenFault.PREKEY_GONE)
    if typed.one_time_id is not None and (one_time is None or one_time.one_time_id != typed.one_time_id):
        raise OpenRefusedError(OpenFault.PREKEY_GONE)
    if suite.hybrid and bundle.mlkem_seed is None:
        raise OpenRefusedError(OpenFault.NOT_OPENED)
    session_key = _unwrap(typed, suite, bundle, one_time if typed.one_time_id is not None else None)
    return ReceivingSession(
        session_id=typed.session_id,
        suite=typed.suite,
        sender_user=typed.sender_user,
        sender_device=typed.sender_device,
        prekey_id=typed.prekey_id,
        chain_key=session_key,
        next_index=0,
        skipped={},
        expires_at=min(typed.expires_at, accepted_at + SESSION_SECONDS),
    )


def _verify_open(opened: SignedMap, signature: bytes, sender: Device, accepted_at: int) -> None:
    body = canonical(opened, ("signature",))
    for key in sender.keys_at(accepted_at):
        try:
            verify(key, "session:v1", body, signature)
        except BadSignatureError:
            continue
        return
    raise OpenRefusedError(OpenFault.BAD_SIGNATURE)


def _unwrap(typed: SessionOpening, suite: Suite, bundle: BundleSecret, one_time: OneTimeSecret | None) -> bytes:
    seed = bundle.mlkem_seed if suite.hybrid else None
    own = schedule.PrekeySecrets(
        x25519=bundle.x25519, one_time=one_time.x25519 if one_time is not None else None, mlkem_seed=seed
    )
    public = schedule.Prekeys(
        x25519=x25519_public(own.x25519),
        one_time=x25519_public(own.one_time) if own.one_time is not None else None,
        mlkem768=mlkem_public(seed) if seed is not None else None,
    )
    names = schedule.Names(
        sender_user=typed.sender_user.encode(),
        sender_device=uuid_bytes(typed.sender_device),
        target_user=typed.target_user.encode(),
        target_device=uuid_bytes(typed.target_device),
        session_id=uuid_bytes(typed.session_id),
        prekey_id=typed.prekey_id,
    )
    try:
        agreement = schedule.agree_receiver(suite, own, public, typed.ephemeral_public_key, typed.pq_ciphertext)
        return schedule.unwrap_session_key(suite, agreement, names, typed.key_commitment, typed.wrapped)
    except (BadKeyError, DecryptionFailedError) as error:
        raise OpenRefusedError(OpenFault.NOT_OPENED) from error


def receiving_key(session: ReceivingSession, index: int) -> tuple[bytes, ReceivingSession]:
    """(message key of `index`, the session without it), or `KeyUsedError`.

    Indexes passed over keep their keys (at most 999, since a session has 1000). The caller stores the returned state
    only once the message opened and verified; else it keeps the old one.
    """
    kept = session.skipped.get(index)
    if kept is not None:
        return kept, replace(session, skipped={at: key for at, key in session.skipped.items() if at != index})
    if not session.next_index <= index < SESSION_MESSAGES:
        raise KeyUsedError(f"index {index} of session {session.session_id}")
    suite, chain_key = SUITES[session.suite], session.chain_key
    skipped = session.skipped
    if index > session.next_index:
        skipped = dict(skipped)
        for at in range(session.next_index, index):
            skipped[at] = schedule.message_key(suite, chain_key)
            chain_key = schedule.next_chain_key(suite, chain_key)
    key = schedule.message_key(suite, chain_key)
    following = schedule.next_chain_key(suite, chain_key) if index + 1 < SESSION_MESSAGES else b""
    return key, replace(session, chain_key=following, next_index=index + 1, skipped=skipped)


# --- The unknown session ---


def make_unknown(own: OwnDevice, session_id: str, opener_user: str, opener_device: str, now: int) -> SignedMap:
    """`session_key_exchange{status: unknown}`: this device, the sender of it, does not have the opener's session."""
    unknown: SignedMap = {
        "type": "session_key_exchange",
        "session_id": session_id,
        "sender_user": own.user_id,
        "sender_device": own.device_id,
        "target_user": opener_user,
        "target_device": opener_device,
        "status": "unknown",
        "timestamp": now,
    }
    unknown["signature"] = own.key.sign("session:v1", canonical(unknown))
    return unknown


def verify_unknown(unknown: SignedMap, *, own: OwnDevice, device: Device) -> UnknownSession:
    """The typed answer if `device` signed it for this opener; `OpenRefusedError` otherwise.

    It is acted on only for a session that this device opened towards `device`: a new session, a supplement.
    """
    try:
        typed = convert(unknown, UnknownSession)
    except ProtocolError as error:
        raise OpenRefusedError(OpenFault.MALFORMED) from error
    if (typed.sender_user, typed.sender_device) != (device.user_id, device.device_id):
        raise OpenRefusedError(OpenFault.WRONG_NAMES)
    if (typed.target_user, typed.target_device) != (own.user_id, own.device_id):
        raise OpenRefusedError(OpenFault.WRONG_NAMES)
    _verify_open(unknown, typed.signature, device, typed.timestamp)
    return typed
