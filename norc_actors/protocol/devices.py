"""Users' devices: records, certificates, entries, rotation and the life of a device (section 5; rows `B39`, `B43`,
`B46`).

Rules
- A device *record* is signed by the user key (`user-device:v1`) and certified by the home server (`device-cert:v1`).
- A sender encrypts only to devices with a valid record under the **pinned** user key, neither expired nor revoked.
  `verify_entry` takes the pinned key, never the one that came with the entry: so a server cannot add a listener.
  What it lists besides is refused with a typed `EntryFault`, and shown.
- Time is judged apart from signatures: an expired or revoked device still signed what it signed. `require_current`
  is for encrypting to it, `Device.keys_at` for judging a message by the time of its acceptance.
- Rotation: the new record is signed by the user key and by the old and the new device key. For 7 days both keys verify;
  only the new one signs. Old records are kept 37 days.
- All maps are the *received* maps; their signatures cover unknown members too.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from norc_actors.crypto.errors import BadSignatureError
from norc_actors.crypto.layout import lv
from norc_actors.crypto.secret import same
from norc_actors.crypto.signatures import Signer, algorithm_of, verify
from norc_actors.crypto.suites import SUITES
from norc_actors.limits import (
    KEY_OVERLAP_SECONDS,
    MAX_RECORD_BYTES,
    RECORD_RENEW_SECONDS,
    RECORD_SECONDS,
    RECORD_SKEW_SECONDS,
)

from .canonical import canonical
from .codec import convert, encode
from .errors import ProtocolError
from .messages import DeviceCertificate, Entry, OlderRecord, Record, UserRotation
from .schema import SignedMap

E2E_VERSION = "2.0"
RECORD_MEMBERS = (
    "user_id", "device_id", "public_key", "key_algorithm", "e2e_suites", "e2e_version", "not_before", "not_after",
)  # fmt: skip


class EntryFault(StrEnum):
    """Why a device that a server lists is refused; each is shown to the user."""

    MALFORMED = "malformed"
    WRONG_USER = "wrong_user"
    """The record names another user or device than the place where it was listed."""
    USER_KEY_UNKNOWN = "user_key_unknown"
    """Nothing is pinned for this user yet: pin first, and show it."""
    USER_KEY_CHANGED = "user_key_changed"
    """Listed under another user key than the pinned one."""
    BAD_SIGNATURE = "bad_signature"
    """The pinned user key did not sign this record: the server may have added a listener."""
    BAD_CERTIFICATE = "bad_certificate"
    NOT_YET_VALID = "not_yet_valid"
    EXPIRED = "expired"
    REVOKED = "revoked"
    DUPLICATE = "duplicate"
    """Another user pinned earlier has a device of this id."""


class EntryRefusedError(Exception):
    """A listed device is not used; `fault` says why, `user_id` and `device_id` whose it claims to be."""

    def __init__(self, fault: EntryFault, user_id: str, device_id: str) -> None:
        super().__init__(f"device {device_id} of {user_id}: {fault.value}")
        self.fault = fault
        self.user_id = user_id
        self.device_id = device_id


class RecordRefusedError(Exception):
    """A record, certificate or rotation that its maker must not accept; the text says which rule it breaks."""


# --- Records and certificates ---


def make_record(
    user_id: str,
    device_id: str,
    public_key: bytes,
    *,
    now: int,
    e2e_suites: Sequence[str],
    e2e_version: str = E2E_VERSION,
    seconds: int = RECORD_SECONDS,
) -> SignedMap:
    """A device record from `now` on; `e2e_suites` is what the device can run, whatever its key."""
    return {
        "user_id": user_id,
        "device_id": device_id,
        "public_key": public_key,
        "key_algorithm": algorithm_of(public_key),
        "e2e_suites": list(e2e_suites),
        "e2e_version": e2e_version,
        "not_before": now,
        "not_after": now + seconds,
    }


def record_of(register: Mapping[str, object]) -> SignedMap:
    """The record inside a `device_register` or certificate map: its eight members alone."""
    return {name: register[name] for name in RECORD_MEMBERS if name in register}  # type: ignore[misc]


def sign_record(user_key: Signer, record: SignedMap) -> bytes:
    """`user_device_signature`: the user vouches for the device."""
    return user_key.sign("user-device:v1", canonical(record))


def verify_record(user_key: bytes, record: SignedMap, signature: bytes) -> Record:
    """The typed record; `BadSignatureError`, or `ProtocolError` for a malformed one (a key of another algorithm
    than it says is that)."""
    typed = convert(record, Record)
    verify(user_key, "user-device:v1", canonical(record), signature)
    return typed


def check_new_record(record: Record, now: int) -> None:
    """What a home server asks of a record that it is to certify: `RecordRefusedError` unless it is in force now, lives
    ≤ 180 days, names a suite that we know, and is no longer than an entry may be."""
    if not record.not_before - RECORD_SKEW_SECONDS <= now < record.not_after:
        raise RecordRefusedError("the record is not in force now")
    if record.not_after - record.not_before > RECORD_SECONDS:
        raise RecordRefusedError("a record lives 180 days at most")
    if not SUITES.keys() & set(record.e2e_suites):
        raise RecordRefusedError("no suite of the record is known here")
    if len(encode(record)) > MAX_RECORD_BYTES:
        raise RecordRefusedError(f"a record has {MAX_RECORD_BYTES} bytes at most")


def make_certificate(server_key: Signer, issuer: str, serial: int, record: SignedMap) -> SignedMap:
    """The home server's `device_certificate` over a record."""
    certificate: SignedMap = {**record, "issuer": issuer, "serial": serial}
    certificate["signature"] = server_key.sign("device-cert:v1", canonical(certificate))
    return certificate


def verify_certificate(server_keys: Sequence[bytes], certificate: SignedMap, record: SignedMap) -> DeviceCertificate:
    """The typed certificate if one of the issuer's identity keys signed it over this record; else
    `BadSignatureError`."""
    typed = convert(certificate, DeviceCertificate)
    if any(certificate.get(name) != record.get(name) for name in RECORD_MEMBERS):
        raise BadSignatureError("the certificate is for another record")
    body = canonical(certificate, ("signature",))
    for key in server_keys:
        try:
            verify(key, "device-cert:v1", body, typed.signature)
        except BadSignatureError:
            continue
        return typed
    raise BadSignatureError("no identity key of the server signed this certificate")


def renewal_due(not_after: int, now: int) -> bool:
    """Whether a device has to rotate its key: a week or less before its record's end."""
    return now >= not_after - RECORD_RENEW_SECONDS


# --- This device ---


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnDevice:
    """The device that acts: who it is, its signing key and the suites of its record (FIPS: 0102 and 0002 alone)."""

    user_id: str
    device_id: str
    key: Signer = field(repr=False)
    e2e_suites: tuple[str, ...]


# --- Entries: what a key request answers ---


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPeriod:
    """One signing key of a device and when what it signed counts (rotation overlap included, seconds)."""

    public_key: bytes
    not_before: int
    not_after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device whose record the pinned user key signed. It may be expired or revoked: see `require_current`.

    `keys` are its signing keys, the current one first; `revoked_at` the `effective` of a verified revocation.
    """

    user_id: str
    device_id: str
    user_key: bytes
    public_key: bytes
    e2e_suites: tuple[str, ...]
    e2e_version: str
    not_before: int
    not_after: int
    keys: tuple[KeyPeriod, ...]
    entry: SignedMap = field(repr=False)
    revoked_at: int | None = None

    @property
    def hybrid(self) -> bool:
        """Whether it can run a hybrid suite."""
        return any(name in SUITES and SUITES[name].hybrid for name in self.e2e_suites)

    def keys_at(self, accepted_at: int | None) -> tuple[bytes, ...]:
        """The keys whose signatures count for what the home server accepted at that time, newest first.

        Empty if none was in force then, or if the device was revoked with effect before. None: all of them, for what
        carries no time and was judged when it was accepted (the stored states of a conversation).
        """
        if accepted_at is None:
            return tuple(period.public_key for period in self.keys)
        if self.revoked_at is not None and accepted_at >= self.revoked_at:
            return ()
        return tuple(
            period.public_key
            for period in self.keys
            if period.not_before - RECORD_SKEW_SECONDS <= accepted_at <= period.not_after
        )


def verify_entry(
    entry: SignedMap,
    *,
    user_id: str,
    device_id: str,
    pinned: bytes | None,
    revoked_at: int | None = None,
    server_keys: Sequence[bytes] = (),
) -> Device:
    """The device of an entry listed under (user_id, device_id), or `EntryRefusedError`.

    `pinned` is the user key pinned for that user, None if there is none yet. `server_keys` (of the user's home server),
    where known, are held against the certificate; older records that do not verify are left out.
    """

    def refuse(fault: EntryFault) -> EntryRefusedError:
        return EntryRefusedError(fault, user_id, device_id)

    try:
        typed = convert(entry, Entry)
        record = convert(typed.record, Record)
    except ProtocolError as error:
        raise refuse(EntryFault.MALFORMED) from error
    if (record.user_id, record.device_id) != (user_id, device_id):
        raise refuse(EntryFault.WRONG_USER)
    if pinned is None:
        raise refuse(EntryFault.USER_KEY_UNKNOWN)
    if not same(typed.user_key, pinned):
        raise refuse(EntryFault.USER_KEY_CHANGED)
    try:
        verify_record(pinned, typed.record, typed.user_signature)
    except (BadSignatureError, ProtocolError) as error:
        raise refuse(EntryFault.BAD_SIGNATURE) from error
    if server_keys:
        try:
            verify_certificate(server_keys, typed.certificate, typed.record)
        except (BadSignatureError, ProtocolError) as error:
            raise refuse(EntryFault.BAD_CERTIFICATE) from error
    return Device(
        user_id=user_id,
        device_id=device_id,
        user_key=pinned,
        public_key=record.public_key,
        e2e_suites=tuple(record.e2e_suites),
        e2e_version=record.e2e_version,
        not_before=record.not_before,
        not_after=record.not_after,
        keys=_periods(record, _older(typed, pinned)),
        entry=entry,
        revoked_at=revoked_at,
    )


def _older(entry: Entry, pinned: bytes) -> list[Record]:
    """The older records of an entry that the pinned key signed for the same device, newest first."""
    current = convert(entry.record, Record)
    found = []
    for old in entry.older or ():
        try:
            typed = convert(old, OlderRecord)
            record = verify_record(pinned, typed.record, typed.user_signature)
        except (BadSignatureError, ProtocolError):
            continue
        if (record.user_id, record.device_id) == (current.user_id, current.device_id):
            found.append(record)
    return sorted(found, key=lambda record: record.not_before, reverse=True)


def _periods(current: Record, older: Iterable[Record]) -> tuple[KeyPeriod, ...]:
    periods = [KeyPeriod(public_key=current.public_key, not_before=current.not_before, not_after=current.not_after)]
    replaced_at = current.not_before
    for record in older:
        last = min(record.not_after, replaced_at + KEY_OVERLAP_SECONDS)
        periods.append(KeyPeriod(public_key=record.public_key, not_before=record.not_before, not_after=last))
        replaced_at = record.not_before
    return tuple(periods)


def require_current(device: Device, now: int) -> Device:
    """`device` if it may be encrypted to now; `EntryRefusedError` with NOT_YET_VALID, EXPIRED or REVOKED otherwise."""
    fault = None
    if device.revoked_at is not None:
        fault = EntryFault.REVOKED
    elif now < device.not_before - RECORD_SKEW_SECONDS:
        fault = EntryFault.NOT_YET_VALID
    elif now >= device.not_after:
        fault = EntryFault.EXPIRED
    if fault is not None:
        raise EntryRefusedError(fault, device.user_id, device.device_id)
    return device


def without_duplicates(devices: Iterable[Device]) -> tuple[list[Device], list[EntryRefusedError]]:
    """Devices in the order in which their users were pinned, less those whose device_id an earlier *user* has
    (section 1).

    The refused ones are returned to be shown.
    """
    owner: dict[str, str] = {}
    kept, refused = [], []
    for device in devices:
        if owner.setdefault(device.device_id, device.user_id) == device.user_id:
            kept.append(device)
        else:
            refused.append(EntryRefusedError(EntryFault.DUPLICATE, device.user_id, device.device_id))
    return kept, refused


def lost_hybrid(before: Device, after: Device) -> bool:
    """Whether a device that could run ML-KEM no longer lists it: never taken over silently (section 6)."""
    return before.hybrid and not after.hybrid


# --- Rotation ---


def _rotation_body(replaces: bytes, record: SignedMap) -> bytes:
    return lv(replaces) + canonical(record)


def sign_rotation(old_key: Signer, new_key: Signer, record: SignedMap) -> list[bytes]:
    """`rotation_signatures` of a record with a new key, [by the old key, by the new one]."""
    body = _rotation_body(old_key.public_key, record)
    return [old_key.sign("device-rotate:v1", body), new_key.sign("device-rotate:v1", body)]


def verify_rotation(replaces: bytes, record: SignedMap, signatures: Sequence[bytes]) -> None:
    """`BadSignatureError` unless the replaced and the new key both signed; `RecordRefusedError` if the key is the
    same."""
    typed = convert(record, Record)
    if same(typed.public_key, replaces):
        raise RecordRefusedError("a rotation brings a new key")
    if len(signatures) != 2:
        raise BadSignatureError("a rotation has two signatures")
    body = _rotation_body(replaces, record)
    verify(replaces, "device-rotate:v1", body, signatures[0])
    verify(typed.public_key, "device-rotate:v1", body, signatures[1])


RotatedBy = Literal["old", "recovery", "operator"]


def make_user_rotation(
    signer: Signer, user_id: str, old_user_key: bytes, new_user_key: bytes, *, now: int, by: RotatedBy
) -> SignedMap:
    """A `user_rotation`, signed by the old key, a recovery key or the server's identity key, as `by` says."""
    rotation: SignedMap = {
        "user_id": user_id,
        "old_user_key": old_user_key,
        "new_user_key": new_user_key,
        "timestamp": now,
        "by": by,
    }
    rotation["signature"] = signer.sign("user-rotate:v1", canonical(rotation))
    return rotation


def verify_user_rotation(
    rotation: SignedMap, *, user_id: str, operator_keys: Sequence[bytes] = (), recovery_keys: Sequence[bytes] = ()
) -> UserRotation:
    """The typed rotation if it is of this user and the key that `by` names signed it; else `BadSignatureError`.

    Who signed is shown to the peer; a rotation by the operator is worth what the server is worth.
    """
    typed = convert(rotation, UserRotation)
    if typed.user_id != user_id:
        raise BadSignatureError("a rotation of another user")
    keys = {"old": (typed.old_user_key,), "recovery": tuple(recovery_keys), "operator": tuple(operator_keys)}[typed.by]
    body = canonical(rotation, ("signature",))
    for key in keys:
        try:
            verify(key, "user-rotate:v1", body, typed.signature)
        except BadSignatureError:
            continue
        return typed
    raise BadSignatureError(f"not signed by the {typed.by} key")


# --- The life of a device at its home server ---


class DeviceState(StrEnum):
    """States of row `B43`."""

    UNREGISTERED = "unregistered"
    REGISTERED = "registered"
    """Certified, has never authenticated."""
    ACTIVE = "active"
    SUSPENDED = "suspended"
    """By the operator, or its record ran out: keeps its queue, may not connect."""
    REVOKED = "revoked"
    """For good: nothing leaves this state."""


_U, _R, _A, _S, _X = DeviceState
TRANSITIONS: dict[DeviceState, frozenset[DeviceState]] = {
    _U: frozenset({_R}),
    _R: frozenset({_R, _A, _S, _X}),
    _A: frozenset({_A, _S, _X}),
    _S: frozenset({_S, _R, _A, _X}),
    _X: frozenset({_X}),
}
"""From state to the states that it may move to; a state that may be repeated lists itself."""

MAY_AUTHENTICATE: frozenset[DeviceState] = frozenset({_R, _A})
MAY_BE_ENCRYPTED_TO: frozenset[DeviceState] = frozenset({_R, _A, _S})


class DeviceStateError(Exception):
    """A move that the table of device states does not have."""


def move(state: DeviceState, to: DeviceState) -> DeviceState:
    """`to`, if the table allows the move; else `DeviceStateError`."""
    if to not in TRANSITIONS[state]:
        raise DeviceStateError(f"a device does not go from {state.value} to {to.value}")
    return to
