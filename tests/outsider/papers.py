"""Records, entries and prekeys of devices, made and checked (devices.md)."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from .forms import Map, RefusedError, Value, canonical, data, digits, inner, lv, number, raw, text
from .primitives import Agreement, SigningKey, hash_of_key, verify

DAY = 86400
RECORD = (
    "user_id", "device_id", "public_key", "key_algorithm", "e2e_suites", "e2e_version", "not_before", "not_after",
)  # fmt: skip


def now() -> int:
    return int(time.time())


def make_record(user_id: str, device_id: str, key: SigningKey, suites: list[str]) -> Map:
    """A record of 180 days."""
    return {
        "user_id": user_id,
        "device_id": device_id,
        "public_key": key.public,
        "key_algorithm": key.algorithm,
        "e2e_suites": [*suites],
        "e2e_version": "2.0",
        "not_before": now(),
        "not_after": now() + 180 * DAY,
    }


@dataclass
class Prekeys:
    """The private halves of what a device uploaded."""

    bundles: dict[int, Agreement] = field(default_factory=dict)
    one_time: dict[int, Agreement] = field(default_factory=dict)

    def new_bundle(self, key: SigningKey, user_id: str, device_id: str, *, hybrid: bool) -> Map:
        """A signed bundle of 30 days."""
        prekey_id, agreement = len(self.bundles) + 1, Agreement(hybrid=hybrid)
        self.bundles[prekey_id] = agreement
        bundle: Map = {
            "user_id": user_id,
            "device_id": device_id,
            "prekey_id": prekey_id,
            "x25519": agreement.public,
            "not_before": now(),
            "not_after": now() + 30 * DAY,
        }
        if agreement.mlkem_public is not None:
            bundle["mlkem768"] = agreement.mlkem_public
        return signed(bundle, key, "prekey:v1")

    def new_one_time(self, key: SigningKey, count: int) -> list[Value]:
        """Signed one-time keys."""
        made: list[Value] = []
        for one_time_id in range(len(self.one_time) + 1, len(self.one_time) + 1 + count):
            agreement = self.one_time[one_time_id] = Agreement(hybrid=False)
            made.append(signed({"one_time_id": one_time_id, "x25519": agreement.public}, key, "prekey:v1"))
        return made


def signed(plain: Map, key: SigningKey, label: str) -> Map:
    """The map with its signature over canonical less signature."""
    return {**plain, "signature": key.sign(label, canonical(plain, "signature"))}


@dataclass(frozen=True)
class Peer:
    """A device of somebody, its record checked under the pinned user key."""

    user_id: str
    device_id: str
    public_key: bytes
    suites: list[str]
    bundle: Map | None
    one_time: Map | None


def check_entry(entry: Map, user_id: str, device_id: str, pinned: bytes, server_key: bytes) -> Peer:
    """The device of an entry that was listed under these names, or `RefusedError`."""
    record = inner(entry, "record")
    if (record["user_id"], record["device_id"]) != (user_id, device_id):
        raise RefusedError("a record of another device")
    if data(entry, "user_key") != pinned:
        raise RefusedError("another user key than the pinned one")
    verify(pinned, "user-device:v1", canonical(record), data(entry, "user_signature", 64))
    certificate = inner(entry, "certificate")
    if any(certificate.get(name) != record.get(name) for name in RECORD):
        raise RefusedError("a certificate of another record")
    verify(server_key, "device-cert:v1", canonical(certificate, "signature"), data(certificate, "signature", 64))
    if not number(record, "not_before") - 300 <= now() < number(record, "not_after"):
        raise RefusedError("a record that is not in force")
    public = data(record, "public_key")
    for paper in ("bundle", "one_time"):
        if paper in entry:
            prekey = inner(entry, paper)
            verify(public, "prekey:v1", canonical(prekey, "signature"), data(prekey, "signature", 64))
    return Peer(
        user_id=user_id,
        device_id=device_id,
        public_key=public,
        suites=list(atoms(record["e2e_suites"])),
        bundle=_checked_bundle(inner(entry, "bundle"), user_id, device_id) if "bundle" in entry else None,
        one_time=inner(entry, "one_time") if "one_time" in entry else None,
    )


def _checked_bundle(bundle: Map, user_id: str, device_id: str) -> Map:
    start, end = number(bundle, "not_before"), number(bundle, "not_after")
    if (bundle["user_id"], bundle["device_id"]) != (user_id, device_id):
        raise RefusedError("a bundle of another device")
    if not (start - 300 <= now() < end and end - start <= 30 * DAY):
        raise RefusedError("a bundle that is not in force, or lives too long")
    return bundle


def atoms(value: Value) -> Iterable[str]:
    """The texts of a list."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def user_key_hash(user_key: bytes) -> bytes:
    return hash_of_key(user_key)(user_key)


def fingerprint(*people: tuple[str, bytes]) -> str:
    """The 60 digits of two users, without blanks."""
    halves = (digits(hash_of_key(k)(b"norc:fingerprint:v1" + lv(user) + k)[:30]) for user, k in people)
    return "".join(sorted(halves))


def device_code(register: Map) -> str:
    """The 20 digits of a device that waits for approval, without blanks."""
    public = data(register, "public_key")
    hashed = hash_of_key(public)(b"norc:device-code:v1" + raw(text(register, "device_id")) + public)
    return digits(hashed[:20])
