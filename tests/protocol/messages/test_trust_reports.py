"""Reports between servers: closed lists, identifiers of policies."""

from norc_actors.protocol import messages as m
from norc_actors.protocol.messages import trust_reports
from norc_actors.protocol.schema import Map
from tests.support.rules import Broken, each, keeps_to_its_form, refused, types_of

BROKEN: list[Broken] = [
    (m.GovPkiTrustRequest, {"certificate_policy_oid": "2.16.x"}),
    (m.GovPkiTrustRequest, {"certificate_policy_oid": "2"}),
    (m.ComplianceReport, {"report_scope": ("everything",)}),
]


@types_of(trust_reports)
def test_every_type_keeps_to_its_form(kind: type[Map]) -> None:
    assert keeps_to_its_form(kind)


@each(BROKEN)
def test_a_broken_rule(kind: type[Map], changes: dict[str, object]) -> None:
    assert refused(kind, changes)
