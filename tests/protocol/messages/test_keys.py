"""Keys and sessions: bounds of requests, hybrid parts of openings, wraps."""

from norc_actors.protocol import messages as m
from norc_actors.protocol.messages import keys
from norc_actors.protocol.schema import Map
from tests.support.rules import Broken, accepted, each, keeps_to_its_form, refused, types_of

BROKEN: list[Broken] = [
    (m.KeyRequest, {"user_ids": ()}),
    (m.KeyRequest, {"user_ids": ("a@a.example",) * 101}),
    (m.KeyRequest, {"device_filter": "some"}),
    (m.KeyRequest, {"device_filter": ("x",)}),
    (m.PrekeyUpload, {"one_time": (1,)}),
    (m.PrekeyStatus, {"one_time_left": -1}),
    (m.SessionOpening, {"suite": "0101", "pq_ciphertext": None}),
    (m.SessionOpening, {"suite": "0002", "pq_ciphertext": bytes(1088)}),
    (m.SessionOpening, {"wrapped": bytes(47)}),
    (m.SessionOpening, {"key_commitment": bytes(31)}),
    (m.UnknownSession, {"status": "known"}),
    (m.Wrap, {"wrapped": bytes(49)}),
    (m.Wrap, {"index": -1}),
]


@types_of(keys)
def test_every_type_keeps_to_its_form(kind: type[Map]) -> None:
    assert keeps_to_its_form(kind)


@each(BROKEN)
def test_a_broken_rule(kind: type[Map], changes: dict[str, object]) -> None:
    assert refused(kind, changes)


def test_classical_and_hybrid_openings() -> None:
    for suite in ("0101", "0102"):
        accepted(m.SessionOpening, suite=suite, pq_ciphertext=bytes(1088))
    for suite in ("0001", "0002"):
        accepted(m.SessionOpening, suite=suite, pq_ciphertext=None)


def test_all_devices_or_a_list() -> None:
    accepted(m.KeyRequest, device_filter="all")
    accepted(m.KeyRequest, device_filter=("8730f70d-c056-4103-9108-3d814ee5a7da",))
