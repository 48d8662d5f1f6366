"""Devices: recorded records and certificates, entries against a pinned key, rotation, time, the table of states."""

from itertools import product

import pytest

from norc_actors.crypto.errors import BadSignatureError
from norc_actors.crypto.signatures import SigningKey
from norc_actors.protocol import devices
from norc_actors.protocol.codec import convert
from norc_actors.protocol.devices import (
    DeviceState,
    DeviceStateError,
    EntryFault,
    EntryRefusedError,
    RecordRefusedError,
    verify_entry,
)
from norc_actors.protocol.errors import ProtocolError
from norc_actors.protocol.messages import Record
from tests.support.people import ALGORITHMS, NOW, Person, make_server, seeded
from tests.vectors.files import holds, recorded

DAY = 86400


@pytest.fixture(params=ALGORITHMS)
def bob(request):
    return Person("bob", make_server(algorithm=request.param), algorithm=request.param)


def refused(fault: EntryFault):
    return pytest.raises(EntryRefusedError, match=fault.value.replace("_", "."))


def check(person, phone, entry=None, **changes):
    arguments = {"user_id": person.user_id, "device_id": phone.id, "pinned": person.user_key.public_key} | changes
    return verify_entry(entry or phone.entry, **arguments)


# --- Records and certificates ---


@recorded("devices", "refused_devices", "rotations", "refused_rotations")
def test_recorded(entry):
    assert holds(entry)


def test_unknown_members_are_signed_too(bob):
    phone = bob.phone()
    record = {**phone.record, "colour": "green"}
    entry = bob.entry_of(record)
    assert check(bob, phone, entry).entry["record"]["colour"] == "green"
    entry["record"] = {**record, "colour": "red"}
    with refused(EntryFault.BAD_SIGNATURE):
        check(bob, phone, entry)


def test_a_record_whose_algorithm_lies(bob):
    phone = bob.phone()
    other = "p256" if bob.algorithm == "ed25519" else "ed25519"
    record = {**phone.record, "key_algorithm": other}
    with pytest.raises((BadSignatureError, ProtocolError)):
        devices.verify_record(bob.user_key.public_key, record, devices.sign_record(bob.user_key, record))


def test_what_a_server_certifies(bob):
    record = convert(bob.phone().record, Record)
    devices.check_new_record(record, NOW)
    devices.check_new_record(record, NOW - 300)
    for now in (NOW - 301, NOW + 180 * DAY):
        with pytest.raises(RecordRefusedError):
            devices.check_new_record(record, now)
    long = convert({**bob.phone().record, "not_after": NOW + 180 * DAY + 1}, Record)
    with pytest.raises(RecordRefusedError):
        devices.check_new_record(long, NOW)
    unknown = convert({**bob.phone().record, "e2e_suites": ["9999"]}, Record)
    with pytest.raises(RecordRefusedError):
        devices.check_new_record(unknown, NOW)
    large = convert({**bob.phone().record, "e2e_suites": ["0101", "x" * 1000]}, Record)
    with pytest.raises(RecordRefusedError, match="1024 bytes"):
        devices.check_new_record(large, NOW)


# --- Entries ---


def test_a_good_entry(bob):
    phone = bob.phone()
    device = bob.device(phone)
    assert device.public_key == phone.key.public_key
    assert device.hybrid
    assert devices.require_current(device, NOW) is device
    assert device.keys_at(NOW) == (phone.key.public_key,)


def test_nothing_is_pinned_yet(bob):
    with refused(EntryFault.USER_KEY_UNKNOWN):
        check(bob, bob.phone(), pinned=None)


def test_another_user_key_than_the_pinned_one(bob):
    with refused(EntryFault.USER_KEY_CHANGED):
        check(bob, bob.phone(), pinned=Person("bob", bob.server, seed="old").user_key.public_key)


def test_an_entry_listed_under_another_name(bob):
    phone = bob.phone()
    with refused(EntryFault.WRONG_USER):
        check(bob, phone, user_id="carol@a.example")
    with refused(EntryFault.WRONG_USER):
        check(bob, phone, device_id="00000000-0000-4000-8000-000000000001")


@pytest.mark.parametrize("member", ["public_key", "not_after", "e2e_suites", "device_id", "user_id"])
def test_any_changed_member_breaks_the_signature(bob, member):
    phone = bob.phone()
    changed = {
        "public_key": bob.phone().key.public_key, "not_after": NOW + 1, "e2e_suites": ["0001"],
        "device_id": phone.id[:-1] + ("0" if phone.id[-1] != "0" else "1"), "user_id": "bobb@a.example",
    }[member]  # fmt: skip
    entry = {**phone.entry, "record": {**phone.record, member: changed}}
    with refused(EntryFault.WRONG_USER if member.endswith("_id") else EntryFault.BAD_SIGNATURE):
        check(bob, phone, entry)


def test_malformed_entries(bob):
    phone = bob.phone()
    for entry in ({}, {**phone.entry, "record": {}}, {**phone.entry, "user_signature": b"short"}):
        with refused(EntryFault.MALFORMED):
            verify_entry(
                entry, user_id=bob.user_id, device_id=phone.id, pinned=bob.user_key.public_key
            )  # fmt: skip


def test_a_certificate_of_another_server_or_record(bob):
    phone = bob.phone()
    other = make_server("b.example")
    with refused(EntryFault.BAD_CERTIFICATE):
        check(bob, phone, server_keys=[other.key.public_key])
    entry = {**phone.entry, "certificate": bob.phone().entry["certificate"]}
    with refused(EntryFault.BAD_CERTIFICATE):
        check(bob, phone, entry, server_keys=[bob.server.key.public_key])
    check(bob, phone, server_keys=[other.key.public_key, bob.server.key.public_key])


def test_time_and_revocation_are_judged_apart(bob):
    phone = bob.phone()
    device = bob.device(phone)
    devices.require_current(device, NOW - 300)
    with refused(EntryFault.NOT_YET_VALID):
        devices.require_current(device, NOW - 301)
    with refused(EntryFault.EXPIRED):
        devices.require_current(device, NOW + 180 * DAY)
    revoked = bob.device(phone, revoked_at=NOW + 100)
    with refused(EntryFault.REVOKED):
        devices.require_current(revoked, NOW)
    assert revoked.keys_at(NOW + 99) == (phone.key.public_key,)
    assert revoked.keys_at(NOW + 100) == ()


def test_one_device_id_under_two_users():
    server = make_server()
    bob, carol = Person("bob", server), Person("carol", server)
    one, two = bob.device(bob.phone()), bob.device(bob.phone())
    stolen = devices.make_record(carol.user_id, one.device_id, carol.user_key.public_key, now=NOW, e2e_suites=["0001"])
    thief = verify_entry(
        carol.entry_of(stolen), user_id=carol.user_id, device_id=one.device_id, pinned=carol.user_key.public_key
    )
    kept, refused_ones = devices.without_duplicates([one, two, thief])
    assert kept == [one, two]
    assert [(error.fault, error.user_id) for error in refused_ones] == [(EntryFault.DUPLICATE, carol.user_id)]


def test_a_device_that_loses_ml_kem(bob):
    phone = bob.phone()
    before = bob.device(phone)
    weaker = check(bob, phone, bob.entry_of({**phone.record, "e2e_suites": ["0001", "0002"]}))
    assert devices.lost_hybrid(before, weaker)
    assert not devices.lost_hybrid(weaker, before)


# --- Rotation ---


def rotated(bob, phone, at):
    new_key = SigningKey.generate(bob.algorithm, bob.random)
    record = devices.make_record(bob.user_id, phone.id, new_key.public_key, now=at, e2e_suites=phone.own.e2e_suites)
    older = {name: phone.entry[name] for name in ("record", "user_signature", "certificate")}
    entry = {**bob.entry_of(record), "older": [older]}
    return new_key, record, entry


def test_rotation_signatures(bob):
    phone = bob.phone()
    new_key, record, _ = rotated(bob, phone, NOW + DAY)
    old = phone.key.public_key
    signatures = devices.sign_rotation(phone.key, new_key, record)
    devices.verify_rotation(old, record, signatures)
    for bad in (signatures[::-1], signatures[:1], [signatures[0]] * 2, [bytes(64)] * 2):
        with pytest.raises(BadSignatureError):
            devices.verify_rotation(old, record, bad)
    with pytest.raises(BadSignatureError):
        devices.verify_rotation(old, {**record, "not_after": NOW + 2 * DAY}, signatures)
    with pytest.raises((BadSignatureError, RecordRefusedError)):
        devices.verify_rotation(new_key.public_key, record, signatures)
    with pytest.raises(RecordRefusedError):
        devices.verify_rotation(old, phone.record, devices.sign_rotation(phone.key, phone.key, phone.record))


def test_for_seven_days_both_keys_verify(bob):
    phone = bob.phone()
    at = NOW + 30 * DAY
    new_key, _, entry = rotated(bob, phone, at)
    device = check(bob, phone, entry)
    old, new = phone.key.public_key, new_key.public_key
    assert device.keys_at(NOW) == (old,)
    assert device.keys_at(at - 301) == (old,)
    assert device.keys_at(at) == (new, old)
    assert device.keys_at(at + 7 * DAY) == (new, old)
    assert device.keys_at(at + 7 * DAY + 1) == (new,)
    assert check(bob, phone, entry, revoked_at=NOW).keys_at(None) == (new, old)


def test_older_records_of_others_do_not_count(bob):
    phone = bob.phone()
    _, _, entry = rotated(bob, phone, NOW + DAY)
    stranger = bob.phone()
    foreign = {name: stranger.entry[name] for name in ("record", "user_signature", "certificate")}
    forged = {**entry["older"][0], "record": {**phone.record, "public_key": stranger.key.public_key}}
    device = check(bob, phone, {**entry, "older": [foreign, forged, {"record": {}}]})
    assert len(device.keys) == 1


def test_renewal():
    assert not devices.renewal_due(NOW + 7 * DAY + 1, NOW)
    assert devices.renewal_due(NOW + 7 * DAY, NOW)


def test_a_year_of_rotations_leaves_no_moment_without_a_key(bob):
    phone, at = bob.phone(), NOW
    entry = phone.entry
    for _ in range(3):
        not_after = entry["record"]["not_after"]
        at = not_after - 7 * DAY
        key = SigningKey.generate(bob.algorithm, bob.random)
        record = devices.make_record(bob.user_id, phone.id, key.public_key, now=at, e2e_suites=["0101"])
        older = [{n: entry[n] for n in ("record", "user_signature", "certificate")}, *entry.get("older", [])]
        entry = {**bob.entry_of(record), "older": older}
    device = check(bob, phone, entry)
    assert all(device.keys_at(day) for day in range(NOW, at, DAY))


def test_user_rotation(bob):
    new = Person("bob", bob.server, algorithm=bob.algorithm, seed="new").user_key
    recovery = SigningKey.generate(bob.algorithm, seeded("recovery"))
    old = bob.user_key.public_key
    for signer, by in ((bob.user_key, "old"), (recovery, "recovery"), (bob.server.key, "operator")):
        rotation = devices.make_user_rotation(signer, bob.user_id, old, new.public_key, now=NOW, by=by)
        known = {"operator_keys": [bob.server.key.public_key], "recovery_keys": [recovery.public_key]}
        typed = devices.verify_user_rotation(rotation, user_id=bob.user_id, **known)
        assert (typed.old_user_key, typed.new_user_key, typed.by) == (old, new.public_key, by)
        with pytest.raises(BadSignatureError):
            devices.verify_user_rotation(rotation, user_id="carol@a.example", **known)
        with pytest.raises(BadSignatureError):
            devices.verify_user_rotation({**rotation, "new_user_key": old}, user_id=bob.user_id, **known)
        if by != "old":
            with pytest.raises(BadSignatureError):
                devices.verify_user_rotation({**rotation, "by": "old"}, user_id=bob.user_id, **known)
            with pytest.raises(BadSignatureError):
                devices.verify_user_rotation(rotation, user_id=bob.user_id)


# --- States ---


@pytest.mark.parametrize(("state", "to"), list(product(DeviceState, DeviceState)))
def test_every_move(state, to):
    allowed = {
        ("unregistered", "registered"),
        ("registered", "registered"), ("registered", "active"), ("registered", "suspended"), ("registered", "revoked"),
        ("active", "active"), ("active", "suspended"), ("active", "revoked"),
        ("suspended", "suspended"), ("suspended", "registered"), ("suspended", "active"), ("suspended", "revoked"),
        ("revoked", "revoked"),
    }  # fmt: skip
    if (state.value, to.value) in allowed:
        assert devices.move(state, to) is to
    else:
        with pytest.raises(DeviceStateError):
            devices.move(state, to)


def test_what_a_state_may():
    assert {DeviceState.REGISTERED, DeviceState.ACTIVE} == devices.MAY_AUTHENTICATE
    assert DeviceState.REVOKED not in devices.MAY_BE_ENCRYPTED_TO


def test_a_record_is_its_eight_members(bob):
    record = bob.phone().record
    assert devices.record_of({**record, "issuer": "a.example", "zzz": 1}) == record
    assert devices.record_of({"user_id": "x"}) == {"user_id": "x"}
