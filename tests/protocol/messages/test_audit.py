"""Audit events, days and heads."""

from norc_actors.protocol import messages as m
from norc_actors.protocol.messages import audit
from norc_actors.protocol.schema import Map
from tests.support.rules import Broken, each, keeps_to_its_form, refused, types_of

BROKEN: list[Broken] = [
    (m.AuditEvent, {"event_type": "lunch"}),
    (m.AuditRootQuery, {"date": "2026-13-01"}),
    (m.AuditRootQuery, {"date": "2026-1-1"}),
    (m.AuditRootQuery, {"date": "2026-01-01T00"}),
    (m.AuditHead, {"entry_hash": bytes(20)}),
]


@types_of(audit)
def test_every_type_keeps_to_its_form(kind: type[Map]) -> None:
    assert keeps_to_its_form(kind)


@each(BROKEN)
def test_a_broken_rule(kind: type[Map], changes: dict[str, object]) -> None:
    assert refused(kind, changes)
