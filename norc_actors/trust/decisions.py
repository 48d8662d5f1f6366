"""`trust_decision`, without signature: what grants, with its certificate, and what refuses (fields.md)."""

from collections.abc import Iterable, Mapping

from norc_actors.ids import ServerId
from norc_actors.protocol.canonical import Value
from norc_actors.protocol.codec import to_map
from norc_actors.protocol.schema import SignedMap

from .certificates import Certificate, Grant


def granting(
    request_id: str, certificate: Mapping[str, Value], remarks: Iterable[str], now: int, *, score: int, mutual: bool
) -> SignedMap:
    """The decision that brings `certificate` (signed), and says the same as it does."""
    terms = Certificate.read(certificate).terms
    return {
        "type": "trust_decision",
        "request_id": request_id,
        "decision_server": terms.issuer_server,
        "target_server": terms.subject_server,
        "decision": "conditional" if terms.conditions else "accept",
        "granted_trust_level": terms.trust_level,
        "trust_conditions": [to_map(condition) for condition in terms.conditions],
        "trust_metadata": {
            "established_at": now,
            "expires_at": terms.not_after,
            "renewable": terms.renewable,
            "revocable": terms.revocable,
            "trust_score": score,
            "validation_evidence": [*remarks],
        },
        "federation_permissions": to_map(terms.permissions),
        "mutual_trust_required": mutual,
        "certificate": dict(certificate),
        "timestamp": now,
    }


def refusing(
    request_id: str, own: ServerId, remote: ServerId, why: Iterable[str], now: int, *, score: int = 0
) -> SignedMap:
    """The decision that grants nothing; `why` is for the other's operator."""
    nothing = Grant(level="untrusted", permissions=frozenset(), messages_per_second=0, bandwidth_mbps=0).struct()
    return {
        "type": "trust_decision",
        "request_id": request_id,
        "decision_server": own,
        "target_server": remote,
        "decision": "reject",
        "granted_trust_level": "untrusted",
        "trust_conditions": [],
        "trust_metadata": {
            "established_at": now,
            "expires_at": now,
            "renewable": False,
            "revocable": False,
            "trust_score": score,
            "validation_evidence": [*why],
        },
        "federation_permissions": to_map(nothing),
        "mutual_trust_required": False,
        "timestamp": now,
    }
