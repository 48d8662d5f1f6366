"""Trust decisions and certificates: what goes with accept and what with reject; renewal, revocation, CRLs."""

from norc_actors.protocol import messages as m
from norc_actors.protocol.messages import trust_decision
from norc_actors.protocol.schema import Map
from tests.support.rules import Broken, each, keeps_to_its_form, refused, types_of

BROKEN: list[Broken] = [
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
]


@types_of(trust_decision)
def test_every_type_keeps_to_its_form(kind: type[Map]) -> None:
    assert keeps_to_its_form(kind)


@each(BROKEN)
def test_a_broken_rule(kind: type[Map], changes: dict[str, object]) -> None:
    assert refused(kind, changes)
