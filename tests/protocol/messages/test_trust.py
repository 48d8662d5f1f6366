"""Trust: challenges of three kinds, told apart by their type, and their answers."""

import pytest

from norc_actors.protocol import codec
from norc_actors.protocol import messages as m
from norc_actors.protocol.errors import ProtocolError
from norc_actors.protocol.messages import trust
from norc_actors.protocol.registry import CODES
from norc_actors.protocol.schema import Map
from tests.support.rules import Broken, each, keeps_to_its_form, refused, types_of
from tests.support.samples import sample

BROKEN: list[Broken] = [
    (m.OrganizationInfo, {"country": "Germany"}),
    (m.DomainOwnership, {"domain": "other.example"}),
    (m.DomainOwnership, {"txt_record_name": "a.example"}),
    (m.CryptographicProof, {"challenge_data": bytes(32)}),
    (m.TrustChallenge, {"challenges": ({"type": "cryptographic_proof"},)}),
    (m.TrustChallenge, {"challenges": (m.CryptographicProofResponse(proof=bytes(64)),)}),
    (m.TrustRequest, {"certificate_chain": (b"",)}),
    (m.TrustRequest, {"certificate_chain": (b"x",) * 17}),
    (m.TrustRequest, {"trust_method": "gut_feeling"}),
]


@types_of(trust)
def test_every_type_keeps_to_its_form(kind: type[Map]) -> None:
    assert keeps_to_its_form(kind)


@each(BROKEN)
def test_a_broken_rule(kind: type[Map], changes: dict[str, object]) -> None:
    assert refused(kind, changes)


def test_variants_are_told_apart_by_their_type() -> None:
    challenge = sample(m.TrustChallenge, full=True)
    plain = codec.to_map(challenge)
    kinds = [item["type"] for item in plain["challenges"]]  # type: ignore[union-attr,index,call-overload]
    assert kinds == ["domain_ownership", "certificate_validation", "cryptographic_proof"]
    assert codec.decode(CODES["trust_challenge"], codec.encode(challenge)).message == challenge
    for bad in ({}, {"type": "riddle"}, {"type": 1}, {"type": "cryptographic_proof"}):
        with pytest.raises(ProtocolError):
            codec.decode(CODES["trust_challenge"], codec.encode_map(plain | {"challenges": [bad]}))  # type: ignore[dict-item]
