"""The rules of files, calls, links, relays and trust that no type states: each broken alone is refused, built or
read."""

from typing import Any

import pytest

from norc_actors.protocol import codec
from norc_actors.protocol import messages as m
from norc_actors.protocol.errors import ERRORS, Code, ProtocolError
from norc_actors.protocol.registry import CODES
from norc_actors.protocol.schema import Map
from tests.support.samples import sample
from tests.support.vectors import section

SPANS: Any = [((0, 1), (1, 2)), ((3, 2),), ((4, 5), (0, 1)), ((0,),), ((0, 1, 2),), ((0, 2**32),), ((-1, 0),)]
RELAY: m.MessageRelay = sample(m.MessageRelay, full=True)
ROUTE = m.RouteSignature(federation_timestamp=1, signature=bytes(64))

BROKEN: list[tuple[type[Map], dict[str, Any]]] = [
    *((m.FileChunkAck, {"received": spans}) for spans in SPANS),
    (m.FileManifest, {"total": 2}),
    (m.FileManifest, {"size": 65536 * 2, "total": 1, "chunk_size": 65536}),
    (m.FileManifest, {"size": 0, "total": 0}),
    (m.FileManifest, {"chunk_size": 65535}),
    (m.FileManifest, {"chunk_size": 512 * 1024 + 1}),
    (m.FileManifest, {"name": ""}),
    (m.FileChunk, {"chunk_data": bytes(65536 + 15)}),
    (m.FileChunk, {"chunk_data": bytes(512 * 1024 + 17)}),
    (m.FileChunk, {"chunk_hash": bytes(31)}),
    (m.FileUploadRequest, {"total_chunks": 0}),
    (m.CallInvite, {"call_type": "hologram"}),
    (m.CallEnd, {"reason": "bored"}),
    (m.CallUpdate, {"state": ""}),
    (m.CallInviteFederation, {"call_type": "screen_share"}),
    (m.PresenceUpdate, {"status": "asleep"}),
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
    (m.MessageRelay, {"route_path": ("a.example", "b.example")}),  # hop_count
    (m.MessageRelay, {"route_path": ("c.example",)}),  # not the origin
    (m.MessageRelay, {"route_path": ()}),
    (m.MessageRelay, {"route_path": ("a.example",) * 11}),
    (m.MessageRelay, {"route_signatures": ()}),
    (m.MessageRelay, {"route_signatures": (ROUTE, ROUTE)}),
    (m.MessageRelay, {"classification": "restricted"}),
    (m.MessageRelay, {"ciphertext": bytes(15)}),
    (m.RelayMetadata, {"hop_count": 0}),
    (m.RelayMetadata, {"priority": "now"}),
    (m.RelayMetadata, {"delivery_requirements": ("hurry",)}),
    (m.MessageRelay1, {"route_path": ("a.example", "b.example")}),
    (m.MessageReceived1, {"encrypted_content": {}}),
    (m.Blob, {"v": 2}),
    (m.FederationEndpoint, {"port": 0}),
    (m.FederationEndpoint, {"port": 65536}),
    (m.FederationEndpoint, {"address": ""}),
    (m.ServerInfo, {"trust_anchors": (bytes(31),)}),
    (m.LoadMetrics, {"cpu_percent": 101}),
    (m.Period, {"start_time": 2, "end_time": 1}),
    (m.ArchiveSync, {"classification_levels": ("restricted",)}),
    (m.UserLookup, {"user_queries": ()}),
    (m.UserLookup, {"user_queries": ("bob@b.example",) * 101}),
    (m.OrganizationInfo, {"country": "Germany"}),
    (m.DomainOwnership, {"domain": "other.example"}),
    (m.DomainOwnership, {"txt_record_name": "a.example"}),
    (m.CryptographicProof, {"challenge_data": bytes(32)}),
    (m.TrustChallenge, {"challenges": ({"type": "cryptographic_proof"},)}),
    (m.TrustChallenge, {"challenges": (m.CryptographicProofResponse(proof=bytes(64)),)}),
    (m.TrustRequest, {"certificate_chain": (b"",)}),
    (m.TrustRequest, {"certificate_chain": (b"x",) * 17}),
    (m.TrustRequest, {"trust_method": "gut_feeling"}),
    (m.TrustDecision, {"decision": "reject", "certificate": {"free": 1}}),
    (m.TrustDecision, {"decision": "accept", "certificate": None}),
    (m.TrustDecision, {"decision": "conditional", "certificate": None}),
    (m.TrustMetadata, {"trust_score": 101}),
    (m.TrustCertificate, {"key_algorithm": "p256"}),
    (m.TrustCertificate, {"not_after": 0}),
    (m.RequestedChange, {"parameter": "max_message_size"}),
    (m.RequestedChange, {"permission": None}),
    (m.RequestedChange, {"permission": "everything"}),
    (m.RequestedChange, {"new_value": [1]}),
    (m.TrustRevoke, {"revocation_scope": "most"}),
    (m.TrustCrl, {"next_update": 300}),
    (m.RevokedCertificate, {"revocation_reason": "compromised_key"}),
    (m.GovPkiTrustRequest, {"certificate_policy_oid": "2.16.x"}),
    (m.GovPkiTrustRequest, {"certificate_policy_oid": "2"}),
    (m.ComplianceReport, {"report_scope": ("everything",)}),
    (m.AuditEvent, {"event_type": "lunch"}),
    (m.AuditRootQuery, {"date": "2026-13-01"}),
    (m.AuditRootQuery, {"date": "2026-1-1"}),
    (m.AuditRootQuery, {"date": "2026-01-01T00"}),
    (m.AuditHead, {"entry_hash": bytes(20)}),
]


@pytest.mark.parametrize(
    ("kind", "changes"),
    BROKEN,
    ids=[f"{kind.__name__}-{','.join(changes)}-{n}" for n, (kind, changes) in enumerate(BROKEN)],
)
def test_broken_rules(kind: type[Map], changes: dict[str, Any]) -> None:
    example = sample(kind, full=True)
    members = {name: getattr(example, name) for name in kind.__struct_fields__}
    with pytest.raises(ProtocolError) as caught:
        kind(**(members | changes))
    assert caught.value.code is Code.MALFORMED
    plain = codec.to_map(example)
    for name, value in changes.items():
        plain.pop(name, None)
        if value is not None:
            plain[name] = _plain(value)
    with pytest.raises(ProtocolError) as caught:
        codec.decode_as(kind, codec.encode_map(plain))
    assert caught.value.code is Code.MALFORMED


def _plain(value: Any) -> Any:
    if isinstance(value, Map):
        return codec.to_map(value)
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def test_a_file_has_as_many_chunks_as_its_size_needs() -> None:
    manifest = sample(m.FileManifest, full=True)
    members = {name: getattr(manifest, name) for name in m.FileManifest.__struct_fields__} | {"chunk_size": 65536}
    for size, total in ((0, 1), (1, 1), (65536, 1), (65537, 2), (131072, 2), (131073, 3)):
        m.FileManifest(**(members | {"size": size, "total": total}))


def test_spans_rise() -> None:
    example = sample(m.FileChunkAck, full=True)
    for spans in ((), ((0, 0),), ((0, 3), (5, 5), (7, 2**32 - 1))):
        assert m.FileChunkAck(file_id=example.file_id, received=spans).received == spans


def test_variants_are_told_apart_by_their_type() -> None:
    challenge = sample(m.TrustChallenge, full=True)
    plain = codec.to_map(challenge)
    kinds = [item["type"] for item in plain["challenges"]]  # type: ignore[union-attr,index,call-overload]
    assert kinds == ["domain_ownership", "certificate_validation", "cryptographic_proof"]
    assert codec.decode(CODES["trust_challenge"], codec.encode(challenge)).message == challenge
    for bad in ({}, {"type": "riddle"}, {"type": 1}, {"type": "cryptographic_proof"}):
        with pytest.raises(ProtocolError):
            codec.decode(CODES["trust_challenge"], codec.encode_map(plain | {"challenges": [bad]}))  # type: ignore[dict-item]


def test_only_a_direct_origin_omits_its_route_signature() -> None:
    members = {name: getattr(RELAY, name) for name in m.MessageRelay.__struct_fields__}
    assert m.MessageRelay(**(members | {"route_signatures": None})).route_signatures is None
    path = {"route_path": (RELAY.origin_server, "t.example"), "metadata": _hops(2)}
    m.MessageRelay(**(members | path | {"route_signatures": (ROUTE, ROUTE)}))
    with pytest.raises(ProtocolError):
        m.MessageRelay(**(members | path | {"route_signatures": None}))


def _hops(count: int) -> m.RelayMetadata:
    members = {name: getattr(RELAY.metadata, name) for name in m.RelayMetadata.__struct_fields__}
    return m.RelayMetadata(**(members | {"hop_count": count}))


def test_recorded_messages_of_a_link() -> None:
    """The vectors were made by another hand: their maps are read, and nothing in them is unknown."""
    relay = bytes.fromhex(section("federation")[0]["relay"]["msgpack"])
    received = codec.decode(CODES["message_relay"], relay)
    assert isinstance(received.message, m.MessageRelay)
    assert received.extra == {}
    names = {"hello": 0x70, "hello_response": 0x71, "handshake": 0x72, "handshake_response": 0x73}
    for entry in section("federation_handshake"):
        for name, code in names.items():
            assert codec.decode(code, bytes.fromhex(entry[name]["msgpack"])).extra == {}


@pytest.mark.parametrize("code", ERRORS)
def test_refusals_between_servers(code: Code) -> None:
    error = m.FederationError.of(code, now=5.5, request_id=RELAY.federation_id, resolution_hint="norc trust show")
    assert error.message == ERRORS[code].text
    assert error.timestamp == 5
    ranges = {50: "trust", 52: "routing", 54: "rate_limit", 56: "protocol"}
    assert error.error_category == ranges.get(code // 100, "protocol")
