"""What endangers a relation, how soon, and what mends it (row B154)."""

import dataclasses

import pytest

from norc_actors.limits import HEALTH_AHEAD_SECONDS, TRUST_CERTIFICATE_SECONDS
from norc_actors.protocol.codec import convert
from norc_actors.protocol.messages.trust_decision import TrustCondition
from norc_actors.protocol.messages.trust_reports import TrustHealthReport
from norc_actors.trust import health
from norc_actors.trust.drafts import draft_message
from norc_actors.trust.relations import standing
from norc_actors.trust.revocation import Chain
from tests.support.people import NOW
from tests.support.trust import party, records

A, B = party("a.example"), party("b.example")
WHOLE = Chain(None, frozenset(), forked=False)
END = NOW + TRUST_CERTIFICATE_SECONDS


def assessed(about, now=NOW, chain=WHOLE):
    about = dataclasses.replace(about, fresh_until=about.fresh_until and int(now) + 300)
    return health.assess(about, standing(about, now), chain, now)


def kinds(about, now=NOW, chain=WHOLE):
    return [(risk.risk_type, risk.severity) for risk in assessed(about, now, chain).risks]


def mutual(**terms):
    return records(A, B, issued=(A.grant(B, **terms),), held=(B.grant(A),))


def test_a_healthy_relation():
    found = assessed(mutual())
    assert (found.score, found.risks, found.recommendations) == (100, (), ())
    assert found.metrics == {
        "certificates_issued": 1, "certificates_held": 1, "revocations": 0, "list_fresh_for": 300,
    }  # fmt: skip


def test_a_certificate_that_ends_within_thirty_days_appears():
    about = mutual()
    assert kinds(about, END - HEALTH_AHEAD_SECONDS - 1) == []
    found = assessed(about, END - HEALTH_AHEAD_SECONDS)
    assert [(risk.risk_type, risk.severity) for risk in found.risks] == [("certificate_expiry", "medium")] * 2
    assert (found.score, found.risks[0].time_to_impact) == (70, HEALTH_AHEAD_SECONDS)
    assert "b.example renews certificate" in found.recommendations[0]
    assert kinds(about, END - 100) == [("certificate_expiry", "high")] * 2


@pytest.mark.parametrize(
    ("action", "days", "severity"), [("revoke", 20, "medium"), ("revoke", 3, "high"), ("notify", 3, "low")]
)
def test_a_condition_that_falls_due(action, days, severity):
    condition = TrustCondition(condition="compliance_audit", deadline=NOW + days * 86400, auto_action=action)
    assert kinds(mutual(conditions=(condition,))) == [("condition_due", severity)]
    assert kinds(mutual(conditions=(condition,)), NOW - 40 * 86400 + days * 86400) == []


def test_states_that_are_no_good():
    about = mutual()
    assert kinds(dataclasses.replace(about, fresh_until=0)) == [("list_stale", "critical")]
    assert kinds(about, END) == [("trust_expired", "critical")]
    assert kinds(records(A, B, issued=about.issued)) == [("one_sided", "high")]
    revoked = dataclasses.replace(about, revocations=(A.revoke(about.issued[0]),))
    assert kinds(revoked) == [("trust_revoked", "critical")]
    assert kinds(records(A, B)) == []


def test_a_chain_with_a_gap():
    for chain in (Chain(None, frozenset({b"x"}), forked=False), Chain(None, frozenset(), forked=True)):
        assert kinds(mutual(), chain=chain) == [("revocation_chain", "high")]


def test_the_score_never_leaves_its_range():
    about = dataclasses.replace(mutual(), fresh_until=0)
    worst = health.assess(about, standing(about, END - 1), Chain(None, frozenset({b"x"}), forked=True), END - 1)
    assert worst.score == 0


def test_the_report_is_a_message():
    found = assessed(mutual(), END - 100)
    plain = draft_message(A.key.public_key, health.report(found, END - 100, 3600)).by(A.key)
    message = convert(plain, TrustHealthReport)
    assert (message.overall_trust_score, message.next_assessment) == (found.score, END - 100 + 3600)
    assert message.risk_factors == found.risks
