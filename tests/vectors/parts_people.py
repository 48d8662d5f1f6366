"""Parts of section 5: users, devices, prekeys, enrolment, escrow, revocation."""

from typing import Any

from norc_actors.crypto import kem
from norc_actors.crypto.errors import BadSignatureError
from norc_actors.crypto.signatures import algorithm_of
from norc_actors.crypto.suites import SUITES, Suite, suite_for_key
from norc_actors.ids import uuid_bytes
from norc_actors.protocol import devices, enrolment, fingerprint, prekeys, revocation
from norc_actors.protocol.canonical import canonical
from norc_actors.protocol.codec import convert
from norc_actors.protocol.devices import Device, KeyPeriod
from norc_actors.protocol.messages import Record

from .parts_wire import made_again, stated_key
from .reading import DeclinedError, Entry, part

SIGNED = {"malformed": "malformed|length", "bad_signature": "."}


def suite_of(entry: Entry, public_key: bytes) -> Suite:
    """The suite that an entry names, else the classical one of a key that is in it."""
    return SUITES[entry["suite"]] if "suite" in entry else suite_for_key(public_key)


def known_device(user_id: str, device_id: str, *public_keys: bytes) -> Device:
    """A device of which only the signing keys are known, good for ever."""
    periods = tuple(KeyPeriod(public_key=one, not_before=0, not_after=2**40) for one in public_keys)
    return Device(
        user_id=user_id, device_id=device_id, user_key=public_keys[0], public_key=public_keys[0],
        e2e_suites=tuple(SUITES), e2e_version="2.0", not_before=0, not_after=2**40, keys=periods, entry={},
    )  # fmt: skip


def of_a_device(entry: Entry) -> Device:
    """The device whose record stands in the entry."""
    record = entry.map("record")
    key = stated_key(entry, "device_seed", "device_key", record["key_algorithm"])
    if key is not None and key.public_key != record["public_key"]:
        entry.differ("device_seed is of another device")
    return known_device(record["user_id"], record["device_id"], record["public_key"])


# --- Users ---


@part("user_key user_key_hash")
def key_hash(entry: Entry) -> None:
    entry.equal("algorithm", algorithm_of(entry.raw("user_key")))
    stated_key(entry, "user_seed", "user_key")
    entry.equal("user_key_hash", fingerprint.user_key_hash(entry.raw("user_key")))


@part("user_a key_a user_b key_b")
def fingerprints(entry: Entry) -> None:
    for who in "ab":
        entry.equal(f"half_{who}", fingerprint.half(entry[f"user_{who}"], entry.raw(f"key_{who}")))
    number = fingerprint.safety_number(entry["user_a"], entry.raw("key_a"), entry["user_b"], entry.raw("key_b"))
    entry.equal("safety_number", number)
    entry.equal("fingerprint", number)


# --- Records and certificates ---


@part("record user_key user_signature", **SIGNED)
def device_record(entry: Entry) -> None:
    record = entry.map("record")
    key = stated_key(entry, "user_seed", "user_key")
    made_again(entry, key, "user-device:v1", canonical(record), entry.raw("user_signature"))
    devices.verify_record(entry.raw("user_key"), record, entry.raw("user_signature"))


@part("record certificate server_key certificate_signature", **SIGNED)
def device_certificate(entry: Entry) -> None:
    record, certificate = entry.map("record"), entry.map("certificate")
    key = stated_key(entry, "server_seed", "server_key")
    body = canonical(certificate, ("signature",))
    made_again(entry, key, "device-cert:v1", body, entry.raw("certificate_signature"))
    whole = {**certificate, "signature": entry.raw("certificate_signature")}
    devices.verify_certificate([entry.raw("server_key")], whole, record)


@part("record replaces rotation_signatures", record_refused="same key", **SIGNED)
def device_rotation(entry: Entry) -> None:
    signatures = [bytes.fromhex(one) for one in entry["rotation_signatures"]]
    devices.verify_rotation(entry.raw("replaces"), entry.map("record"), signatures)


@part("user_rotation signer_key", **SIGNED)
def user_rotation(entry: Entry) -> None:
    rotation, key = entry.map("user_rotation"), entry.raw("signer_key")
    if rotation["by"] == "old" and rotation["old_user_key"] != key:
        raise BadSignatureError("not the old key")
    devices.verify_user_rotation(rotation, user_id=rotation["user_id"], operator_keys=[key], recovery_keys=[key])


# --- Prekeys ---


@part("record bundle", malformed="length|bytes|malformed", prekey_refused=".")
def bundle(entry: Entry) -> None:
    device, signed = of_a_device(entry), entry.map("bundle")
    now = entry.get("now") or signed["not_before"]
    typed = prekeys.verify_bundle(device, signed, now)
    prekeys.verify_upload(convert(entry.map("record"), Record), signed, [], now)
    if "x25519_private" in entry:
        entry_key(entry, "x25519_private", typed.x25519)
    if typed.mlkem768 is not None:
        kem.check_mlkem_public(typed.mlkem768)


def entry_key(entry: Entry, name: str, public_key: bytes) -> None:
    """A private X25519 key of the entry has to be the public key's."""
    if kem.x25519_public(entry.raw(name)) != public_key:
        entry.differ(f"{name} is of another public key")


@part("record one_time", malformed="length|bytes|malformed", prekey_refused=".")
def one_time_key(entry: Entry) -> None:
    device, signed = of_a_device(entry), entry.map("one_time")
    now = entry.get("now") or device.not_before
    prekeys.verify_one_time(device, signed, now)
    prekeys.verify_upload(convert(entry.map("record"), Record), None, [signed], now)


# --- Enrolment ---


@part("record challenge pow_difficulty pow_solution", no_solution=".")
def proof_of_work(entry: Entry) -> None:
    record, challenge = entry.map("record"), entry.raw("challenge")
    suite, key = suite_of(entry, record["public_key"]), record["public_key"]
    entry.get("th")
    digest = enrolment.work_hash(suite, challenge, record["device_id"], key, entry["pow_solution"])
    entry.equal("pow_hash", digest)
    solved = enrolment.is_solution(
        suite, challenge, record["device_id"], key, entry["pow_difficulty"], entry["pow_solution"]
    )
    if not solved:
        raise DeclinedError("no_solution")


@part("th challenge device_register register_signature", **SIGNED)
def registration(entry: Entry) -> None:
    register = entry.map("device_register")
    body = enrolment.registration_body(entry.raw("th"), entry.raw("challenge"), register)
    entry.equal("register_body", body)
    enrolment.verify_registration(entry.raw("th"), entry.raw("challenge"), register, entry.raw("register_signature"))


@part("server_key k")
def enrolment_key(entry: Entry) -> None:
    stated_key(entry, "server_seed", "server_key")
    entry.equal("k", enrolment.server_key_hash(entry.raw("server_key")))


# --- Revocation ---


@part("device_revoke signer_key", revocation_chain="previous|chain|missing|withheld|prev_", **SIGNED)
def device_revocation(entry: Entry) -> None:
    previous: dict[str, Any] | None = entry.map("previous") if "previous" in entry else None
    revocation.verify_revocation(entry.map("device_revoke"), entry.raw("signer_key"), previous)


def raw(uuid: str) -> bytes:
    """The 16 bytes of a UUID."""
    return uuid_bytes(uuid)  # type: ignore[arg-type]
