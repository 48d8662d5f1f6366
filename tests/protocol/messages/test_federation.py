"""Links: hybrid parts, versions, what a refusal between servers says."""

import pytest

from norc_actors.protocol import codec
from norc_actors.protocol import messages as m
from norc_actors.protocol.errors import ERRORS, Code
from norc_actors.protocol.messages import federation
from norc_actors.protocol.schema import Map
from tests.support.rules import Broken, each, keeps_to_its_form, refused, types_of
from tests.support.vectors import section

BROKEN: list[Broken] = [
    (m.FederationHello, {"cipher_suites": ("0101",), "pq_public_key": None}),
    (m.FederationHello, {"cipher_suites": ("0001",), "pq_public_key": bytes(1184)}),
    (m.FederationHello, {"tls_fingerprint": bytes(20)}),
    (m.FederationHello, {"alpn_offered": ()}),
    (m.FederationHello, {"max_frame": 65535}),
    (m.FederationHelloResponse, {"cipher_suite": "0101", "pq_ciphertext": None}),
    (m.FederationHelloResponse, {"cipher_suite": "0001", "pq_ciphertext": bytes(1088)}),
    (m.ProtocolVersions, {"norc_f": ()}),
    (m.NegotiatedVersions, {"norc_t": "v1.1"}),
    (m.CompatibilityRequirements, {"min_trust_level": "high"}),
]


@types_of(federation)
def test_every_type_keeps_to_its_form(kind: type[Map]) -> None:
    assert keeps_to_its_form(kind)


@each(BROKEN)
def test_a_broken_rule(kind: type[Map], changes: dict[str, object]) -> None:
    assert refused(kind, changes)


def test_recorded_handshakes_have_nothing_unknown() -> None:
    """They were made by another hand."""
    names = {"hello": 0x70, "hello_response": 0x71, "handshake": 0x72, "handshake_response": 0x73}
    for entry in section("federation_handshake"):
        for name, code in names.items():
            received = codec.decode(code, bytes.fromhex(entry[name]["msgpack"]))
            assert not [name for name in received.extra if not name.startswith(("x_", "zzz"))]


@pytest.mark.parametrize("code", ERRORS)
def test_refusals_between_servers(code: Code) -> None:
    request = "8730f70d-c056-4103-9108-3d814ee5a7da"
    error = m.FederationError.of(code, now=5.5, request_id=request, resolution_hint="norc trust show")
    assert error.message == ERRORS[code].text
    assert error.timestamp == 5
    ranges = {50: "trust", 52: "routing", 54: "rate_limit", 56: "protocol"}
    assert error.error_category == ranges.get(code // 100, "protocol")
