"""Devices: a key fits its algorithm, a record has a time, members that go together."""

from norc_actors.protocol import messages as m
from norc_actors.protocol.messages import devices
from norc_actors.protocol.schema import Map
from tests.support.rules import Broken, accepted, each, keeps_to_its_form, members_of, refused, types_of
from tests.support.samples import sample

BROKEN: list[Broken] = [
    (m.Record, {"key_algorithm": "p256"}),
    (m.Record, {"public_key": bytes(33)}),
    (m.Record, {"not_after": 1, "not_before": 1}),
    (m.Record, {"e2e_suites": ()}),
    (m.DeviceCertificate, {"not_after": 1, "not_before": 2}),
    (m.DeviceCertificate, {"key_algorithm": "p256"}),
    (m.OtherKey, {"key_algorithm": "p256"}),
    (m.Bundle, {"mlkem768": bytes(1183)}),
    (m.Bundle, {"x25519": bytes(33)}),
    (m.Bundle, {"prekey_id": 2**32}),
    (m.OneTimeKey, {"one_time_id": -1}),
    (m.UserRotation, {"by": "friend"}),
    (m.Escrow, {"v": 2}),
    (m.Escrow, {"salt": bytes(15)}),
    (m.DeviceInfo, {"type": "phone"}),
    (m.DeviceRegister, {"key_algorithm": "p256"}),
    (m.DeviceRegister, {"not_after": 1, "not_before": 1}),
    (m.DeviceRegister, {"user_key": None}),
    (m.DeviceRegister, {"user_device_signature": None}),
    (m.DeviceRegister, {"replaces": None}),
    (m.DeviceRegister, {"rotation_signatures": None}),
    (m.DeviceRegister, {"rotation_signatures": (bytes(64),)}),
    (m.DeviceRegister, {"enrollment_token": bytes(31)}),
    (m.RegistrationChallenge, {"difficulty": 29}),
    (m.RegistrationResponse, {"proof_solution": -1}),
    (m.DeviceRevoke, {"signed_by": "friend"}),
    (m.DeviceRevoke, {"reason": "boredom"}),
]


@types_of(devices)
def test_every_type_keeps_to_its_form(kind: type[Map]) -> None:
    assert keeps_to_its_form(kind)


@each(BROKEN)
def test_a_broken_rule(kind: type[Map], changes: dict[str, object]) -> None:
    assert refused(kind, changes)


def test_both_algorithms() -> None:
    for kind in (m.Record, m.DeviceCertificate, m.OtherKey, m.DeviceRegister):
        accepted(kind, key_algorithm="ed25519", public_key=bytes(32))
        accepted(kind, key_algorithm="p256", public_key=bytes(33))


def test_the_record_inside_a_registration() -> None:
    register = sample(m.DeviceRegister, full=True)
    record = register.record()
    assert {name: getattr(register, name) for name in record.__struct_fields__} == members_of(record)


def test_a_registration_without_what_goes_together() -> None:
    accepted(m.DeviceRegister, user_key=None, user_device_signature=None)
    accepted(m.DeviceRegister, replaces=None, rotation_signatures=None)
