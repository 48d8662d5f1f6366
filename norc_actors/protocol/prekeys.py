"""Prekeys: what lets a sender open a session with a device that is asleep (section 5, *Prekeys*).

Rules
- A new `bundle` (≤ 30 days) every 24 h, and batches of ≤ 100 one-time keys; each is signed by itself by the device key
  (`prekey:v1`). Ids are never used twice by a device. `mlkem768` only if the device lists a hybrid suite.
- A sender opens a session only with a bundle fresh from the answer that brought it, never with a stored one: the caller
  passes on what it just received and keeps nothing.
- A home server takes only what a sender would use (`verify_upload`): one useless bundle would keep everybody from
  writing to its device, and to every conversation that its user is in (decision 053).
- Private halves (`BundleSecret`, `OneTimeSecret`) live in the device's own state alone. A one-time half goes in the
  transaction that accepts the session; a bundle's half once a newer bundle stands, the queue has drained and 24 h
  passed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from norc_actors.crypto import kem
from norc_actors.crypto.errors import BadKeyError, BadSignatureError
from norc_actors.crypto.signatures import Signer, verify
from norc_actors.crypto.suites import SUITES
from norc_actors.ids import Random
from norc_actors.limits import (
    BUNDLE_RENEW_SECONDS,
    BUNDLE_SECONDS,
    MAX_BUNDLE_BYTES,
    MAX_ONE_TIME_BATCH,
    MAX_ONE_TIME_BYTES,
    PREKEY_DRAIN_SECONDS,
    RECORD_SKEW_SECONDS,
)

from .canonical import Value, canonical
from .codec import convert, encode_map
from .devices import Device
from .errors import ProtocolError
from .messages import Bundle, OneTimeKey, Record
from .schema import SignedMap


class PrekeyRefusedError(Exception):
    """A bundle or one-time key that no session is opened with; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class BundleSecret:
    """The private halves of a bundle. `replaced_at`: when a newer bundle took its place, None while it is the
    newest."""

    prekey_id: int
    x25519: bytes
    mlkem_seed: bytes | None
    not_after: int
    replaced_at: int | None = None

    def to_map(self) -> dict[str, Value]:
        """For the encrypted profile."""
        kept: dict[str, Value] = {"prekey_id": self.prekey_id, "x25519": self.x25519, "not_after": self.not_after}
        if self.mlkem_seed is not None:
            kept["mlkem_seed"] = self.mlkem_seed
        if self.replaced_at is not None:
            kept["replaced_at"] = self.replaced_at
        return kept

    @classmethod
    def from_map(cls, kept: Mapping[str, Value]) -> "BundleSecret":
        """The inverse of `to_map`."""
        return cls(
            prekey_id=cast("int", kept["prekey_id"]),
            x25519=cast("bytes", kept["x25519"]),
            mlkem_seed=cast("bytes | None", kept.get("mlkem_seed")),
            not_after=cast("int", kept["not_after"]),
            replaced_at=cast("int | None", kept.get("replaced_at")),
        )


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class OneTimeSecret:
    """The private half of a one-time key."""

    one_time_id: int
    x25519: bytes


def make_bundle(
    device_key: Signer, user_id: str, device_id: str, prekey_id: int, *, hybrid: bool, now: int, random: Random
) -> tuple[SignedMap, BundleSecret]:
    """A new bundle, valid for 30 days from `now`, and its private halves (32 + 64 bytes of `random` if hybrid)."""
    x25519 = kem.x25519_private(random)
    seed = kem.mlkem_seed(random) if hybrid else None
    bundle: SignedMap = {
        "user_id": user_id,
        "device_id": device_id,
        "prekey_id": prekey_id,
        "x25519": kem.x25519_public(x25519),
        "not_before": now,
        "not_after": now + BUNDLE_SECONDS,
    }
    if seed is not None:
        bundle["mlkem768"] = kem.mlkem_public(seed)
    bundle["signature"] = device_key.sign("prekey:v1", canonical(bundle))
    secret = BundleSecret(prekey_id=prekey_id, x25519=x25519, mlkem_seed=seed, not_after=now + BUNDLE_SECONDS)
    return bundle, secret


def make_one_time_keys(
    device_key: Signer, first_id: int, count: int, random: Random
) -> tuple[list[SignedMap], list[OneTimeSecret]]:
    """`count` (≤ 100) one-time keys with ids from `first_id` on, and their private halves."""
    if count > MAX_ONE_TIME_BATCH:
        raise ValueError(f"a batch has {MAX_ONE_TIME_BATCH} one-time keys at most")
    keys: list[SignedMap] = []
    secrets = []
    for one_time_id in range(first_id, first_id + count):
        private = kem.x25519_private(random)
        key: SignedMap = {"one_time_id": one_time_id, "x25519": kem.x25519_public(private)}
        key["signature"] = device_key.sign("prekey:v1", canonical(key))
        keys.append(key)
        secrets.append(OneTimeSecret(one_time_id=one_time_id, x25519=private))
    return keys, secrets


def verify_bundle(device: Device, bundle: SignedMap, now: int) -> Bundle:
    """The typed bundle if the device signed it, for itself, and it is in force; else `PrekeyRefusedError`.

    Signed by the device's current key, or by one in its rotation overlap.
    """
    typed = convert(bundle, Bundle)
    _check_bundle(typed, device.user_id, device.device_id, now)
    if typed.mlkem768 is not None and not device.hybrid:
        raise PrekeyRefusedError("mlkem768 of a device without a hybrid suite")
    _verify_by_device(device, bundle, typed.signature, now)
    return typed


def _check_bundle(bundle: Bundle, user_id: str, device_id: str, now: int) -> None:
    if (bundle.user_id, bundle.device_id) != (user_id, device_id):
        raise PrekeyRefusedError("a bundle of another device")
    if not bundle.not_before - RECORD_SKEW_SECONDS <= now < bundle.not_after:
        raise PrekeyRefusedError("the bundle is not in force now")
    if bundle.not_after - bundle.not_before > BUNDLE_SECONDS:
        raise PrekeyRefusedError("a bundle lives 30 days at most")


def verify_one_time(device: Device, one_time: SignedMap, now: int) -> OneTimeKey:
    """The typed one-time key if the device signed it; else `PrekeyRefusedError`."""
    typed = convert(one_time, OneTimeKey)
    _verify_by_device(device, one_time, typed.signature, now)
    return typed


def verify_upload(record: Record, bundle: SignedMap | None, one_time: Sequence[SignedMap], now: int) -> int:
    """What a home server checks of a `prekey_upload` from the device of this record: all that a sender will check, no
    id twice, and the sizes. The bundle's `not_after` (0 without one), or `PrekeyRefusedError`: nothing is taken."""
    not_after = 0
    try:
        if bundle is not None:
            typed = convert(bundle, Bundle)
            _check_bundle(typed, record.user_id, record.device_id, now)
            _check_agreement(typed, record)
            _verify_by_key(record.public_key, bundle, typed.signature, MAX_BUNDLE_BYTES)
            not_after = typed.not_after
        keys = [convert(key, OneTimeKey) for key in one_time]
        if len({key.one_time_id for key in keys}) != len(keys) or len(keys) > MAX_ONE_TIME_BATCH:
            raise PrekeyRefusedError("one-time ids repeat, or are more than 100")
        for key, signed in zip(keys, one_time, strict=True):
            kem.check_x25519(key.x25519)
            _verify_by_key(record.public_key, signed, key.signature, MAX_ONE_TIME_BYTES)
    except (ProtocolError, BadKeyError) as error:
        raise PrekeyRefusedError(f"malformed, or no usable key: {error}") from error
    return not_after


def _check_agreement(bundle: Bundle, record: Record) -> None:
    """That a session can be opened with the bundle, in the best suite of the device too."""
    hybrid = any(name in SUITES and SUITES[name].hybrid for name in record.e2e_suites)
    if (bundle.mlkem768 is not None) != hybrid:
        raise PrekeyRefusedError("mlkem768 goes with a hybrid suite in the record, and only then")
    kem.check_x25519(bundle.x25519)
    if bundle.mlkem768 is not None:
        kem.check_mlkem_public(bundle.mlkem768)


def _verify_by_key(public_key: bytes, signed: SignedMap, signature: bytes, most: int) -> None:
    if len(encode_map(signed)) > most:
        raise PrekeyRefusedError(f"longer than {most} bytes")
    try:
        verify(public_key, "prekey:v1", canonical(signed, ("signature",)), signature)
    except BadSignatureError as error:
        raise PrekeyRefusedError("not signed by the device") from error


def _verify_by_device(device: Device, signed: SignedMap, signature: bytes, now: int) -> None:
    body = canonical(signed, ("signature",))
    for key in device.keys_at(now):
        try:
            verify(key, "prekey:v1", body, signature)
        except BadSignatureError:
            continue
        return
    raise PrekeyRefusedError("not signed by the device")


def renewal_due(newest: BundleSecret | None, now: int) -> bool:
    """Whether a new bundle is to be uploaded: there is none, or the newest is 24 h old."""
    return newest is None or now >= newest.not_after - BUNDLE_SECONDS + BUNDLE_RENEW_SECONDS


def may_erase(secret: BundleSecret, *, drained_at: int | None, now: int) -> bool:
    """Whether a bundle's private halves may go: replaced, the queue drained after that, and 24 h since (`drained_at` is
    the latest time at which the device had received all that waited for it)."""
    if secret.replaced_at is None or drained_at is None or drained_at < secret.replaced_at:
        return False
    return now >= secret.replaced_at + PREKEY_DRAIN_SECONDS
