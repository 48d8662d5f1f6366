"""Renewal: how a certificate is followed by the next one, without a gap and without a silent change (section 9; rows
B143, B155).

Rules
- The subject asks with `trust_renewal`, in time (`due`), or when its operator says so. The issuer answers with a
  `trust_decision` outside any exchange, whose request_id is the renewal's; so it may also send one unasked, say because
  a condition was met. Both sign with th_t = 0.
- What asks for no more than there is, is renewed by itself: the same level or less, permissions only taken away. Any
  permission more, any other parameter waits for an operator (`Judged.why` says which). A level above needs proofs, so
  it needs an exchange: 5004. Nothing is renewed beyond the age of its exchange, by anybody.
- A renewed certificate is taken over if it is from the issuer, for this server and its keys, and no older than the one
  that counts. It can only say what the issuer lets this server do, so no approval is needed here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from norc_actors.ids import ServerId
from norc_actors.limits import TRUST_MAX_AGE_SECONDS, TRUST_RENEW_SECONDS
from norc_actors.protocol.canonical import Value
from norc_actors.protocol.codec import convert, to_map
from norc_actors.protocol.errors import Code, ProtocolError, malformed
from norc_actors.protocol.messages.trust_decision import Permission, RequestedChange, TrustDecision, TrustRenewal
from norc_actors.protocol.schema import SignedMap
from norc_actors.protocol.trust_levels import TrustLevel, at_least

from . import decisions
from .certificates import Certificate, Grant, grant_of
from .drafts import Draft, draft_message, signed_by
from .requesting import check_received

Reason = Literal["scheduled", "early", "security_update"]


def begins(certificate: Certificate) -> int:
    """When a renewal begins to be due: 30 days before the end, or in the last third of a shorter life."""
    terms = certificate.terms
    return terms.not_after - min(TRUST_RENEW_SECONDS, (terms.not_after - terms.not_before) // 3)


def due(certificate: Certificate, now: float) -> bool:
    """Whether a renewal has to be asked for."""
    return certificate.terms.renewable and begins(certificate) <= now < certificate.terms.not_after


def draft_renewal(
    own_key: bytes,
    certificate: Certificate,
    *,
    renewal_id: str,
    reason: Reason,
    now: int,
    level: TrustLevel | None = None,
    changes: tuple[RequestedChange, ...] = (),
    chain: tuple[bytes, ...] = (),
) -> Draft:
    """The `trust_renewal` of a certificate that this server holds; `level` None: the same."""
    message: SignedMap = {
        "type": "trust_renewal",
        "renewal_id": renewal_id,
        "renewing_server": certificate.subject,
        "trust_server": certificate.issuer,
        "existing_certificate_id": certificate.id,
        "renewal_reason": reason,
        "requested_trust_level": certificate.terms.trust_level if level is None else level,
        "changes_requested": [to_map(change) for change in changes],
        "updated_certificates": [*chain],
        "timestamp": now,
    }
    return draft_message(own_key, message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What a renewal comes to. `grant`: what follows by itself; `asked`: with the permissions that it asks for besides;
    `why`: what an operator has to approve, empty if nothing."""

    renewal: TrustRenewal
    grant: Grant
    asked: Grant
    why: tuple[str, ...]


def judge(
    plain: Mapping[str, Value],
    keys: tuple[bytes, ...],
    certificate: Certificate | None,
    *,
    remote: ServerId,
    now: float,
    revoked: bool,
    max_age: int = TRUST_MAX_AGE_SECONDS,
) -> Judged:
    """Judge a received `trust_renewal`; `certificate` is the one that counts between the two. `ProtocolError` 5604 for
    its signature, 5206 for other names or another certificate, 5003 and 5002 for one that has ended, 5005 for one that
    is not renewable, 5004 for a level above."""
    renewal = convert(plain, TrustRenewal)
    if signed_by(plain, keys) is None:
        raise ProtocolError(Code.BAD_SIGNATURE, f"a trust_renewal that {remote} did not sign")
    if certificate is None or renewal.existing_certificate_id != certificate.id:
        raise ProtocolError(
            Code.WRONG_TARGET, f"certificate {renewal.existing_certificate_id} is not the one that counts"
        )
    if (renewal.renewing_server, renewal.trust_server) != (remote, certificate.issuer):
        raise ProtocolError(Code.WRONG_TARGET, f"{renewal.renewing_server} renews with {renewal.trust_server}")
    if revoked:
        raise ProtocolError(Code.TRUST_REVOKED, f"certificate {certificate.id}")
    if not certificate.in_time(now) or now >= certificate.established_at + max_age:
        raise ProtocolError(Code.TRUST_EXPIRED, f"certificate {certificate.id}: establish trust anew")
    if not certificate.terms.renewable:
        raise ProtocolError(Code.PERMISSION_DENIED, f"certificate {certificate.id} is not renewable")
    return _judged(renewal, certificate)


def _judged(renewal: TrustRenewal, certificate: Certificate) -> Judged:
    grant, why, more = grant_of(certificate), [], set[Permission]()
    if not at_least(grant.level, renewal.requested_trust_level):
        raise ProtocolError(Code.INSUFFICIENT_TRUST, f"{renewal.requested_trust_level} needs an exchange")
    grant = replace(grant, level=renewal.requested_trust_level)
    for change in renewal.changes_requested:
        if change.permission is None:
            why.append(f"It asks for {change.parameter} = {change.new_value}: {change.justification}")
        elif change.new_value is False:
            grant = replace(grant, permissions=grant.permissions - {change.permission})
        elif change.permission not in grant.permissions:
            more.add(change.permission)
            why.append(f"It asks for the permission {change.permission}: {change.justification}")
    asked = replace(grant, permissions=grant.permissions | more)
    return Judged(renewal=renewal, grant=grant, asked=asked, why=tuple(why))


def draft_renewed(
    own_key: bytes, request_id: str, certificate: Mapping[str, Value], remarks: tuple[str, ...], now: int
) -> Draft:
    """The `trust_decision` outside an exchange that brings a new certificate."""
    message = decisions.granting(request_id, certificate, remarks, now, score=0, mutual=False)
    return draft_message(own_key, message)


def draft_refused(own_key: bytes, renewal: TrustRenewal, why: tuple[str, ...], now: int) -> Draft:
    """The `trust_decision` that renews nothing; the certificate goes on to its end."""
    message = decisions.refusing(renewal.renewal_id, renewal.trust_server, renewal.renewing_server, why, now)
    return draft_message(own_key, message)


def take(
    plain: Mapping[str, Value],
    keys: tuple[bytes, ...],
    *,
    issuer: ServerId,
    own: ServerId,
    own_keys: tuple[bytes, ...],
    counting: Certificate | None,
    now: float,
) -> Certificate | None:
    """The certificate of a `trust_decision` that came outside an exchange; None for a refusal. `ProtocolError` 5604,
    5206, 3001 and those of `certificates.check`; 5606 for one that is older than the one that counts."""
    decision = convert(plain, TrustDecision)
    if signed_by(plain, keys) is None:
        raise ProtocolError(Code.BAD_SIGNATURE, f"a trust_decision that {issuer} did not sign")
    if (decision.decision_server, decision.target_server) != (issuer, own):
        raise ProtocolError(Code.WRONG_TARGET, f"a decision of {decision.decision_server} for {decision.target_server}")
    if decision.certificate is None:
        return None
    certificate = Certificate.read(decision.certificate)
    check_received(certificate, issuer, keys, own, own_keys, now)
    if certificate.terms.trust_level != decision.granted_trust_level:
        raise malformed("the certificate is of another level than the decision")
    if counting is not None and certificate.terms.not_before < counting.terms.not_before:
        raise ProtocolError(Code.BAD_SEQUENCE, f"certificate {certificate.id} is older than {counting.id}")
    return certificate


def draft_acknowledgment(
    own_key: bytes, own: ServerId, request_id: str, certificate: Certificate | None, now: int
) -> Draft:
    """The `trust_acknowledgment` of a decision that came outside an exchange."""
    end = now if certificate is None else certificate.terms.not_after
    message: SignedMap = {
        "type": "trust_acknowledgment",
        "request_id": request_id,
        "acknowledging_server": own,
        "decision_accepted": True,
        "mutual_trust_established": False,
        "effective_date": now,
        "next_renewal_date": max(now, end - TRUST_RENEW_SECONDS),
        "timestamp": now,
    }
    return draft_message(own_key, message)
