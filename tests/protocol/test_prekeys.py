"""Prekeys: recorded ones, what a sender and a server refuse, renewal and erasure."""

import pytest

from norc_actors.protocol import prekeys
from norc_actors.protocol.canonical import canonical
from norc_actors.protocol.codec import convert
from norc_actors.protocol.messages import Record
from norc_actors.protocol.prekeys import BundleSecret, PrekeyRefusedError
from tests.support.people import ALGORITHMS, NOW, Person, make_server, seeded
from tests.vectors.files import holds, recorded

DAY = 86400


@recorded("devices", "refused_devices")
def test_recorded(entry):
    assert holds(entry)


@pytest.fixture(params=ALGORITHMS)
def bob(request):
    return Person("bob", make_server(), algorithm=request.param)


def test_bundles_are_for_one_device_and_time(bob):
    phone, other = bob.phone(), bob.phone()
    device, bundle = bob.device(phone), phone.entry["bundle"]
    prekeys.verify_bundle(device, bundle, NOW)
    with pytest.raises(PrekeyRefusedError, match="another device"):
        prekeys.verify_bundle(bob.device(other), bundle, NOW)
    for now in (NOW - 301, NOW + 30 * DAY):
        with pytest.raises(PrekeyRefusedError, match="in force"):
            prekeys.verify_bundle(device, bundle, now)
    for member in ("x25519", "mlkem768", "prekey_id", "not_before"):
        value = bundle[member]
        changed = value + 1 if isinstance(value, int) else bytes([value[0] ^ 1]) + value[1:]
        with pytest.raises(PrekeyRefusedError, match="signed"):
            prekeys.verify_bundle(device, {**bundle, member: changed}, NOW)


def test_a_bundle_lives_thirty_days(bob):
    phone = bob.phone()
    bundle = {**phone.entry["bundle"], "not_after": NOW + 31 * DAY}
    bundle["signature"] = phone.key.sign("prekey:v1", canonical(bundle, ("signature",)))
    with pytest.raises(PrekeyRefusedError, match="30 days"):
        prekeys.verify_bundle(bob.device(phone), bundle, NOW)


def test_ml_kem_goes_with_a_hybrid_suite(bob):
    phone = bob.phone(suites=["0001"])
    assert "mlkem768" not in phone.entry["bundle"]
    bundle, _ = prekeys.make_bundle(
        phone.key, bob.user_id, phone.id, 9, hybrid=True, now=NOW, random=seeded("x")
    )  # fmt: skip
    with pytest.raises(PrekeyRefusedError, match="hybrid"):
        prekeys.verify_bundle(bob.device(phone), bundle, NOW)


def test_a_revoked_or_foreign_key_signs_no_prekeys(bob):
    phone, other = bob.phone(), bob.phone()
    with pytest.raises(PrekeyRefusedError):
        prekeys.verify_bundle(bob.device(phone, revoked_at=NOW), phone.entry["bundle"], NOW)
    with pytest.raises(PrekeyRefusedError):
        prekeys.verify_one_time(bob.device(phone), other.entry["one_time"], NOW)


def test_what_a_server_takes(bob):
    phone = bob.phone()
    keys, _ = prekeys.make_one_time_keys(phone.key, 10, 100, bob.random)
    record, bundle = convert(phone.record, Record), phone.entry["bundle"]
    assert prekeys.verify_upload(record, bundle, keys, NOW) == bundle["not_after"]
    assert prekeys.verify_upload(record, None, keys, NOW) == 0
    with pytest.raises(PrekeyRefusedError, match="repeat"):
        prekeys.verify_upload(record, None, [keys[0], keys[0]], NOW)
    with pytest.raises(PrekeyRefusedError, match="signed"):
        prekeys.verify_upload(record, None, [{**keys[0], "one_time_id": 9}], NOW)
    with pytest.raises(PrekeyRefusedError, match="another device"):
        prekeys.verify_upload(convert(bob.phone().record, Record), bundle, [], NOW)
    for broken in ({**bundle, "signature": "text"}, {}, {**bundle, "x25519": b""}):
        with pytest.raises(PrekeyRefusedError, match="malformed"):
            prekeys.verify_upload(record, broken, [], NOW)
    with pytest.raises(PrekeyRefusedError, match="malformed"):
        prekeys.verify_upload(record, None, [{}], NOW)
    with pytest.raises(ValueError, match="batch"):
        prekeys.make_one_time_keys(phone.key, 10, 101, bob.random)


def test_a_server_takes_what_a_sender_would_use_and_nothing_else(bob):
    """A bundle that nobody can open a session with would keep everybody from writing to its user."""
    phone = bob.phone()
    record, bundle = convert(phone.record, Record), phone.entry["bundle"]

    def refused(match: str, **change):
        changed = {name: value for name, value in {**bundle, **change}.items() if value is not None}
        changed["signature"] = phone.key.sign("prekey:v1", canonical(changed, ("signature",)))
        with pytest.raises(PrekeyRefusedError, match=match):
            prekeys.verify_upload(record, changed, [], NOW)

    refused("another device", user_id="eve@localhost")
    refused("in force", not_after=NOW)
    refused("30 days", not_after=NOW + 31 * DAY)
    refused("hybrid", mlkem768=None)
    refused("usable", x25519=bytes(32))
    refused("usable", mlkem768=b"\xff" * 1184)
    refused("longer", more=bytes(2048))
    plain = convert({**phone.record, "e2e_suites": ["0001"]}, Record)
    with pytest.raises(PrekeyRefusedError, match="hybrid"):
        prekeys.verify_upload(plain, bundle, [], NOW)
    for key, match in (({"x25519": bytes(32)}, "usable"), ({"x25519": bundle["x25519"], "more": bytes(512)}, "longer")):
        one_time = {"one_time_id": 1, **key}
        one_time["signature"] = phone.key.sign("prekey:v1", canonical(one_time))
        with pytest.raises(PrekeyRefusedError, match=match):
            prekeys.verify_upload(record, None, [one_time], NOW)


def test_secrets_hide_and_survive(bob):
    phone = bob.phone()
    secret = phone.bundles[1]
    assert BundleSecret.from_map(secret.to_map()) == secret
    assert repr(secret.x25519) not in repr(secret)
    replaced = BundleSecret(
        prekey_id=1, x25519=secret.x25519, mlkem_seed=None, not_after=NOW + DAY, replaced_at=NOW
    )  # fmt: skip
    assert BundleSecret.from_map(replaced.to_map()) == replaced


def test_renewal_and_erasure(bob):
    secret = bob.phone().bundles[1]
    assert prekeys.renewal_due(None, NOW)
    assert not prekeys.renewal_due(secret, NOW + DAY - 1)
    assert prekeys.renewal_due(secret, NOW + DAY)
    assert not prekeys.may_erase(secret, drained_at=NOW + 9 * DAY, now=NOW + 10 * DAY)
    old = BundleSecret(prekey_id=1, x25519=secret.x25519, mlkem_seed=None, not_after=NOW, replaced_at=NOW)
    assert not prekeys.may_erase(old, drained_at=None, now=NOW + 10 * DAY)
    assert not prekeys.may_erase(old, drained_at=NOW - 1, now=NOW + 10 * DAY)
    assert not prekeys.may_erase(old, drained_at=NOW, now=NOW + DAY - 1)
    assert prekeys.may_erase(old, drained_at=NOW, now=NOW + DAY)
