"""How a relation of trust fares: risks, how soon, and what to do (section 9; row B154).

Rules
- A report is a function of the records and the time: what ends or falls due within 30 days, lists that are stale, trust
  that goes one way, a chain of revocations with a gap. Every risk says what mends it.
- The score begins at 100 and loses by severity: low 5, medium 15, high 35, critical 60.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from norc_actors.limits import HEALTH_AHEAD_SECONDS
from norc_actors.protocol.canonical import Value
from norc_actors.protocol.messages.trust_reports import RiskFactor
from norc_actors.protocol.schema import SignedMap

from .relations import Records, Standing, deciding
from .revocation import Chain

Severity = Literal["low", "medium", "high", "critical"]
COSTS: Final[Mapping[str, int]] = MappingProxyType({"low": 5, "medium": 15, "high": 35, "critical": 60})
WEEK: Final = 7 * 86400


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What a report says. `metrics`: whole numbers by name."""

    score: int
    metrics: Mapping[str, int]
    risks: tuple[RiskFactor, ...]
    recommendations: tuple[str, ...]


def _risk(kind: str, severity: Severity, seconds: float, mitigation: str) -> RiskFactor:
    return RiskFactor(risk_type=kind, severity=severity, time_to_impact=max(0, int(seconds)), mitigation=mitigation)


def assess(records: Records, standing: Standing, chain: Chain, now: float) -> Health:
    """The health of one relation. `chain`: the other's revocations."""
    risks = [*_of_certificates(records, standing, now), *_of_state(records, standing, now)]
    if chain.missing or chain.forked:
        risks.append(_risk("revocation_chain", "high", 0, f"Ask {records.other} for its list of revocations."))
    score = max(0, 100 - sum(COSTS[risk.severity] for risk in risks))
    metrics = {
        "certificates_issued": len(records.issued),
        "certificates_held": len(records.held),
        "revocations": len(records.revocations),
        "list_fresh_for": max(0, records.fresh_until - int(now)),
    }
    return Health(
        score=score,
        metrics=metrics,
        risks=tuple(risks),
        recommendations=tuple(dict.fromkeys(risk.mitigation for risk in risks)),
    )


def _of_certificates(records: Records, standing: Standing, now: float) -> Iterable[RiskFactor]:
    for certificate in (deciding(records.issued, now), deciding(records.held, now)):
        if certificate is None or standing.state not in ("trusted", "suspended"):
            continue
        left = certificate.terms.not_after - now
        if left <= HEALTH_AHEAD_SECONDS:
            renew = f"{certificate.subject} renews certificate {certificate.id} with {certificate.issuer}."
            yield _risk("certificate_expiry", "high" if left <= WEEK else "medium", left, renew)
        for condition in certificate.terms.conditions:
            left = condition.deadline - now
            if 0 < left <= HEALTH_AHEAD_SECONDS:
                what = condition.condition.replace("_", " ")
                severity: Severity = (
                    "low" if condition.auto_action == "notify" else "high" if left <= WEEK else "medium"
                )
                yield _risk(
                    "condition_due", severity, left, f"{certificate.subject} shows {certificate.issuer}: {what}."
                )


def _of_state(records: Records, standing: Standing, now: float) -> Iterable[RiskFactor]:
    other = records.other
    match standing.state:
        case "suspended":
            yield _risk("list_stale", "critical", 0, f"Find out why {other} sends no list of revocations.")
        case "expired":
            yield _risk("trust_expired", "critical", 0, f"Establish trust with {other} anew.")
        case "revoked":
            yield _risk("trust_revoked", "critical", 0, f"Speak with the operators of {other}.")
        case "one-sided":
            yield _risk("one_sided", "high", 0, f"Ask the operators of {other} whether their side is still wanted.")
        case "none" | "trusted":
            pass


def report(health: Health, now: int, following: int) -> SignedMap:
    """A `trust_health_report` without signature; `following`: seconds until the next one."""
    metrics: dict[str, Value] = dict(health.metrics)
    risks: list[Value] = [
        {name: getattr(risk, name) for name in ("risk_type", "severity", "time_to_impact", "mitigation")}
        for risk in health.risks[:64]
    ]
    return {
        "type": "trust_health_report",
        "overall_trust_score": health.score,
        "health_metrics": metrics,
        "risk_factors": risks,
        "recommendations": [*health.recommendations[:256]],
        "next_assessment": now + following,
        "timestamp": now,
    }
