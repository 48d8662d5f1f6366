"""Connections: hybrid parts exactly where a suite wants them, key material of re-keys, what a refusal says."""

import pytest

from norc_actors.protocol import codec
from norc_actors.protocol import messages as m
from norc_actors.protocol.errors import ERRORS, Code, ProtocolError, outward
from norc_actors.protocol.messages import connection
from norc_actors.protocol.schema import Map
from tests.support.rules import Broken, accepted, each, keeps_to_its_form, refused, types_of

BARE: dict[str, object] = {"ephemeral_public_key": None, "pq_public_key": None, "pq_ciphertext": None}
BROKEN: list[Broken] = [
    (m.ConnectionRequest, {"cipher_suites": ("0101",), "pq_public_key": None}),
    (m.ConnectionRequest, {"cipher_suites": ("0001",), "pq_public_key": bytes(1184)}),
    (m.ConnectionRequest, {"pq_public_key": bytes(1183)}),
    (m.ConnectionRequest, {"client_versions": ()}),
    (m.ConnectionRequest, {"client_versions": ("2.0",) * 17}),
    (m.ConnectionRequest, {"client_versions": ("v2.0",)}),
    (m.ConnectionRequest, {"server_name": "A.example"}),
    (m.ConnectionRequest, {"client_nonce": bytes(11)}),
    (m.ConnectionRequest, {"max_frame": 65535}),
    (m.ConnectionRequest, {"ephemeral_public_key": bytes(31)}),
    (m.ConnectionAccepted, {"cipher_suite": "0101", "pq_ciphertext": None}),
    (m.ConnectionAccepted, {"cipher_suite": "0002", "pq_ciphertext": bytes(1088)}),
    (m.ConnectionAccepted, {"server_public_key": bytes(34)}),
    (m.ConnectionAccepted, {"auth_challenge": bytes(31)}),
    (m.ConnectionAccepted, {"signature": bytes(63)}),
    (m.ConnectionAccepted, {"cipher_suite": "9999"}),
    (m.AuthRequest, {"user_id": "Alice@a.example"}),
    (m.AuthRequest, {"device_id": "8730F70D-C056-4103-9108-3D814EE5A7DA"}),
    (m.AuthRequest, {"timestamp": -1}),
    (m.SessionRekey, {"mode": "dh", "ephemeral_public_key": None}),
    (m.SessionRekey, {"mode": "update", "ephemeral_public_key": bytes(32), "pq_public_key": None}),
    (m.SessionRekey, BARE | {"mode": "dh_done", "pq_ciphertext": bytes(1088)}),
    (m.SessionRekey, BARE | {"mode": "dh_done", "pq_public_key": bytes(1184)}),
    (
        m.SessionRekey,
        {"mode": "dh", "ephemeral_public_key": bytes(32), "pq_public_key": bytes(1184), "pq_ciphertext": bytes(1088)},
    ),
    (m.SessionRekey, {"mode": "later"}),
    (m.TimeSync, {"nonce": bytes(15)}),
    (m.ErrorMessage, {"error_category": "weather"}),
]


@types_of(connection)
def test_every_type_keeps_to_its_form(kind: type[Map]) -> None:
    assert keeps_to_its_form(kind)


@each(BROKEN)
def test_a_broken_rule(kind: type[Map], changes: dict[str, object]) -> None:
    assert refused(kind, changes)


def test_classical_and_hybrid_forms() -> None:
    accepted(m.ConnectionRequest, cipher_suites=("0001", "0002"), pq_public_key=None)
    accepted(m.ConnectionRequest, cipher_suites=("0001", "0102"), pq_public_key=bytes(1184))
    accepted(m.ConnectionAccepted, cipher_suite="0002", pq_ciphertext=None, server_public_key=bytes(33))
    for mode in ("update", "dh_done"):
        accepted(m.SessionRekey, mode=mode, ephemeral_public_key=None, pq_public_key=None, pq_ciphertext=None)
    accepted(m.SessionRekey, mode="dh", ephemeral_public_key=bytes(32), pq_public_key=None, pq_ciphertext=None)


@pytest.mark.parametrize("code", ERRORS)
@pytest.mark.parametrize("authenticated", [True, False])
def test_a_refusal_says_what_its_reader_may_know(code: Code, authenticated: bool) -> None:
    error = ProtocolError(code, "the secret detail", retry_after=7)
    told = m.ErrorMessage.for_error(error, now=5.9, authenticated=authenticated)
    shown = Code(told.error_code)
    assert shown is outward(code, authenticated=authenticated)
    assert (told.message, told.error_category) == (ERRORS[shown].text, ERRORS[shown].category)
    assert (told.timestamp, told.retry_after, told.request_id) == (5, 7, None)
    assert "secret" not in str(codec.to_map(told))
