"""What was proven, in points and in a level, and what is missing for a higher one (section 9; rows B134, B139, B153).

| criterion | of 100 | full marks for |
|---|---|---|
| certificate chain | 30 | a chain that verifies, as the X.509 validator judges it |
| domain | 15 | a DNS proof of at most 24 hours ago |
| organisation | 20 | an operator has checked it |
| posture | 15 | a hybrid key 5, a known build 5, a bill of materials 2, approval by people 3 |
| compliance | 10 | two certificates of compliance that have not ended |
| reliability | 10 | 90 days without trouble, or the word of servers that are trusted here |

Rules
- A level needs its proofs (`PROOFS`, those of all lower levels too) *and* its score, lies within what the method can
  come to, and above basic within the verdict of the method's own validator. Points never replace a proof.
- Points of one criterion are the best that any validator gave, never a sum of several; so the score lies in 0 … 100.
- More evidence never lowers the score or the level, but for evidence that is broken: one refused verdict and nothing
  is proven.
- Every judgement explains itself: what each criterion brought and why, and for each level what still speaks against it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, get_args

from norc_actors.limits import RELIABLE_SECONDS
from norc_actors.protocol.codec import to_map
from norc_actors.protocol.trust_levels import LEVELS, TrustLevel

from .validators import METHODS, WEIGHTS, Criterion, Evidence, Proof, Verdict

PROOFS: Final[Mapping[TrustLevel, tuple[frozenset[Proof], ...]]] = MappingProxyType(
    {
        "untrusted": (),
        "basic": (frozenset({"key_exchange", "domain"}),),
        "verified": (frozenset({"x509_chain"}), frozenset({"organisation"})),
        "classified": (frozenset({"policy_root"}),),
        "nato": (frozenset({"nato_root"}), frozenset({"nato_agreement"})),
    }
)
"""What each level adds: of each set one proof."""

THRESHOLDS: Final[Mapping[TrustLevel, int]] = MappingProxyType(
    {"untrusted": 0, "basic": 0, "verified": 70, "classified": 85, "nato": 85}
)
"""The score that each level needs."""

NAMES: Final[Mapping[Proof, str]] = MappingProxyType(
    {
        "key_exchange": "an exchange of keys",
        "domain": "a DNS proof",
        "x509_chain": "an X.509 chain",
        "organisation": "a check of the organisation by an operator",
        "policy_root": "a chain to a configured government or enterprise root with its policy OID",
        "nato_root": "a chain to a NATO root",
        "nato_agreement": "a complete NATO record with its agreement",
    }
)

OPERATOR: Final = "records and operator"
"""Whose verdict `general` is."""


def general(evidence: Evidence, now: float) -> Verdict:
    """The criteria that belong to no model of trust: the operator's word, posture, compliance, reliability."""
    points: dict[Criterion, int] = {}
    proofs: set[Proof] = set()
    why: list[str] = []
    if evidence.organisation_checked:
        points["organisation"] = WEIGHTS["organisation"]
        proofs.add("organisation")
        why.append("An operator has checked the organisation.")
    else:
        why.append("No operator has checked the organisation.")
    points["posture"] = _posture(evidence, why)
    points["compliance"] = _compliance(evidence, why, now)
    points["reliability"] = _reliability(evidence, why, now)
    if evidence.nato is not None:
        missing = [name.replace("_", " ") for name, value in to_map(evidence.nato).items() if not value]
        if missing:
            why.append(f"The NATO record lacks: {', '.join(missing)}.")
        else:
            proofs.add("nato_agreement")
            why.append(f"The NATO record is complete, under {evidence.nato.security_agreement}.")
    return Verdict(validator=OPERATOR, proofs=frozenset(proofs), points=points, why=tuple(why))


def _posture(evidence: Evidence, why: list[str]) -> int:
    told = evidence.capabilities
    if told is None:
        why.append("It has said nothing of its security posture.")
        return 0
    points = 0
    if told.pq_fingerprint is not None:
        points += 5
        why.append("It has a hybrid key.")
    if told.build_attestation_hash is None:
        why.append("It names no build.")
    elif told.build_attestation_hash in evidence.known_builds:
        points += 5
        why.append("Its build is one that is known as good.")
    elif evidence.known_builds:
        why.append("Its build is none of those that are known as good.")
    else:
        points += 2
        why.append("It names its build; there is no list of good ones to compare.")
    if told.software_sbom_hash is not None:
        points += 2
        why.append("It names its bill of materials.")
    if told.trust_policies.require_manual_approval and not told.trust_policies.auto_accept_basic:
        points += 3
        why.append("People approve whom it trusts.")
    return points


def _compliance(evidence: Evidence, why: list[str], now: float) -> int:
    valid = {one.standard for one in evidence.attestations if one.expires_at > now}
    ended = {one.standard for one in evidence.attestations} - valid
    if valid:
        why.append(f"It is certified for {', '.join(sorted(valid))}, in its own words.")
    if ended:
        why.append(f"Its certification for {', '.join(sorted(ended))} has ended.")
    return min(WEIGHTS["compliance"], 5 * len(valid))


def _reliability(evidence: Evidence, why: list[str], now: float) -> int:
    history, most = evidence.history, WEIGHTS["reliability"]
    if history.revoked:
        why.append(f"{history.revoked} of its certificates were revoked here for reasons of security.")
    if history.since is None:
        return 0
    age = max(0, int(now) - history.since)
    why.append(f"There has been a relation for {age // 86400} days.")
    return max(0, min(most, most * age // RELIABLE_SECONDS) - 5 * history.revoked)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """What all verdicts come to. `against`: for each level what speaks against it; empty: it may be granted."""

    level: TrustLevel
    score: int
    points: Mapping[Criterion, int]
    proofs: frozenset[Proof]
    against: Mapping[TrustLevel, tuple[str, ...]]
    why: tuple[str, ...]
    refused: bool

    def remarks(self) -> tuple[str, ...]:
        """The score and its reasons, each within what a decision's `validation_evidence` holds."""
        parts = (f"{name.replace('_', ' ')} {points}/{WEIGHTS[name]}" for name, points in self.points.items())
        return tuple(line[:1024] for line in (f"Score {self.score}: {', '.join(parts)}.", *self.why)[:256])


def assess(evidence: Evidence, verdicts: Iterable[Verdict], now: float) -> Assessment:
    """The assessment of a request by the verdicts of all validators (and the general one, which is added)."""
    judged = (*verdicts, general(evidence, now))
    refused = any(verdict.refused for verdict in judged)
    proofs = frozenset[Proof]() if refused else frozenset(proof for one in judged for proof in one.proofs)
    criteria: tuple[Criterion, ...] = get_args(Criterion)
    points = {name: 0 if refused else max(one.points.get(name, 0) for one in judged) for name in criteria}
    score = sum(points.values())
    by_name = {verdict.validator: verdict.level for verdict in judged}
    against: dict[TrustLevel, tuple[str, ...]] = {}
    before: tuple[str, ...] = ("The evidence is broken or forged.",) if refused else ()
    for level in LEVELS[1:]:
        before = against[level] = (*before, *_against(level, evidence, proofs, by_name))
        if score < THRESHOLDS[level]:
            against[level] = (*before, f"{level} needs {THRESHOLDS[level]} points, it has {score}.")
    reached: TrustLevel = "untrusted"
    for level in LEVELS[1:]:
        if against[level]:
            break
        reached = level
    return Assessment(
        level=reached,
        score=score,
        points=points,
        proofs=proofs,
        against=against,
        why=tuple(reason for verdict in judged for reason in verdict.why),
        refused=refused,
    )


def _against(
    level: TrustLevel, evidence: Evidence, proofs: frozenset[Proof], by_name: Mapping[str, TrustLevel]
) -> list[str]:
    """What this level adds to the reasons against it, besides the score."""
    reasons = [
        f"{level} needs {' or '.join(NAMES[proof] for proof in sorted(any_of))}."
        for any_of in PROOFS[level]
        if not any_of & proofs
    ]
    method = METHODS[evidence.method]
    rank = LEVELS.index(level)
    if rank == LEVELS.index(method.highest) + 1:
        reasons.append(f"{evidence.method.replace('_', ' ')} gives no more than {method.highest}.")
    elif method.validator is not None:
        given = by_name.get(method.validator, "untrusted")
        if rank == max(LEVELS.index(given), LEVELS.index("basic")) + 1:
            reasons.append(f"{method.validator} supports no more than {given}.")
    return reasons
