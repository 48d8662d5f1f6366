"""What the server says that is asked for trust: challenges, and a decision (section 9; rows B134, B137, B140–B142).

Rules
- Nothing is granted before an operator decides, at any level; one exception may be switched on: `auto_accept_basic`,
  for basic alone. `draft_decision` refuses a level that was not proven, whoever asks for it.
- What is asked depends on the level: always a proof of every key that the request names; from `verified` on the domain
  and a chain of certificates. A domain record that the request brought itself is looked up instead of a new one.
- What a machine can answer has 60 s, as every challenge; one that waits for a person to publish a record has a week. It
  is bound to this exchange, good once, and proves nothing anywhere else.
- A response has one answer per challenge, in their order and of their kind; one that does not hold ends the exchange.
- Nothing of what the other says about itself (its level, its permissions) is taken over: the decision is this server's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from norc_actors.crypto.errors import BadSignatureError
from norc_actors.crypto.secret import same
from norc_actors.crypto.signatures import algorithm_of
from norc_actors.ids import Random, ServerId, new_uuid
from norc_actors.limits import CHALLENGE_DNS_SECONDS, CHALLENGE_SECONDS
from norc_actors.protocol.canonical import Value, base64url
from norc_actors.protocol.errors import Code, ProtocolError, malformed
from norc_actors.protocol.messages.trust import (
    TXT_PREFIX,
    CertificateValidation,
    CertificateValidationProof,
    CryptographicProof,
    CryptographicProofResponse,
    DomainOwnership,
    DomainOwnershipProof,
    TrustCapabilities,
    TrustPolicies,
)
from norc_actors.protocol.messages.trust_reports import GovPkiTrustRequest, NatoRecord
from norc_actors.protocol.schema import SignedMap
from norc_actors.protocol.trust_levels import TrustLevel, at_least
from norc_actors.protocol.trust_transcript import verify_proof

from . import decisions
from .certificates import Certificate, Grant
from .drafts import Draft, draft_message
from .exchange import Exchange, Profile, Repeated, after, arrived
from .requesting import DOMAIN_WORD, check_received, domain_record
from .scoring import Assessment
from .validators import DomainAnswer, Evidence, History, Recommendation

KINDS = {
    DomainOwnership: DomainOwnershipProof,
    CertificateValidation: CertificateValidationProof,
    CryptographicProof: CryptographicProofResponse,
}
"""Which answer belongs to which challenge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """What this server asks of whoever wants trust. `domain_from`: from which level on the domain has to be proven."""

    domain_from: TrustLevel = "verified"
    chain_from: TrustLevel = "verified"
    check_revocation: bool = True
    require_ct_logs: bool = False
    max_age_days: int = 90
    documents: tuple[str, ...] = ()


def open_exchange(
    profile: Profile,
    remote: ServerId,
    link_key: bytes,
    said: Mapping[str, Value],
    request: Mapping[str, Value],
    now: float,
) -> Exchange:
    """The exchange that a request begins, after the capabilities that were `said` before it on the link whose key is
    `link_key`. `ProtocolError` as `arrived`, and 5604 if the request names another key than the link, 2005 for a method
    or level that this server does not give."""
    request_id = request.get("request_id")
    exchange: Exchange | Repeated = Exchange(
        role="granting", request_id=request_id if isinstance(request_id, str) else "", own=profile.server,
        own_keys=profile.keys, remote=remote, remote_key=link_key, started_at=int(now),
    )  # fmt: skip
    for message in (said, request):
        assert isinstance(exchange, Exchange)
        exchange = arrived(exchange, message, now)
    if isinstance(exchange, Repeated):  # a request is never its own capabilities
        raise malformed("capabilities instead of a request")
    asked = exchange.request
    if asked.server_public_key != link_key:
        raise ProtocolError(Code.BAD_SIGNATURE, "the request names another key than its link")
    if asked.trust_method not in profile.methods or asked.requested_trust_level not in profile.levels:
        raise ProtocolError(Code.NOT_PERMITTED, f"{asked.requested_trust_level} by {asked.trust_method}")
    proof = asked.domain_proof
    if proof is not None and proof.txt_record != domain_record(proof.challenge, link_key):
        raise ProtocolError(Code.BAD_SIGNATURE, "the domain record is for another key")
    return exchange


def keys_named(exchange: Exchange) -> tuple[bytes, ...]:
    """All identity keys that the request names, the link's first."""
    request = exchange.request
    return (request.server_public_key, *(other.public_key for other in request.other_keys or ()))


def draft_challenge(exchange: Exchange, asking: Asking, random: Random, now: int) -> Draft:
    """The challenge."""
    after(exchange, "trust_challenge", "granting")
    request = exchange.request
    wants_domain = at_least(request.requested_trust_level, asking.domain_from)
    wants_chain = at_least(request.requested_trust_level, asking.chain_from)
    deadline = now + CHALLENGE_SECONDS
    challenges: list[Value] = []
    if wants_domain and request.domain_proof is None:
        deadline = now + CHALLENGE_DNS_SECONDS
        challenges.append(
            {
                "type": "domain_ownership",
                "method": "dns_txt",
                "domain": exchange.remote,
                "txt_record_name": TXT_PREFIX + exchange.remote,
                "expected_value": DOMAIN_WORD + base64url(random(32)),
                "expires_at": deadline,
            }
        )
    if wants_chain:
        requirements: SignedMap = {
            "check_revocation": asking.check_revocation,
            "require_ct_logs": asking.require_ct_logs,
            "max_age_days": asking.max_age_days,
        }
        challenges.append({"type": "certificate_validation", "validation_requirements": requirements})
    challenges += [
        {
            "type": "cryptographic_proof",
            "challenge_data": random(64),
            "required_signature_algorithm": algorithm_of(key),
        }
        for key in keys_named(exchange)
    ]
    message: SignedMap = {
        "type": "trust_challenge",
        "request_id": exchange.request_id,
        "challenge_id": new_uuid(random),
        "target_server": exchange.remote,
        "challenging_server": exchange.own,
        "validation_method": "dns" if wants_domain else "ca" if wants_chain else "manual",
        "challenges": challenges,
        "deadline": deadline,
        "timestamp": now,
    }
    if asking.documents:
        message["organization_verification"] = {
            "required_documents": [*asking.documents],
            "verification_method": "manual",
        }
    return draft_message(exchange.own_keys[0], message, exchange.transcript)


def check_response(before: Exchange, exchange: Exchange) -> None:
    """`ProtocolError` 3001 if the response does not answer the challenge, one by one; 5604 for a proof that does not
    hold, or another domain record than the one that was asked for. `before`: the exchange without the response."""
    challenges, responses = exchange.challenge.challenges, exchange.response.challenge_responses
    if [KINDS[type(one)] for one in challenges] != [type(one) for one in responses]:
        raise malformed("one response per challenge, in their order")
    by_algorithm = {algorithm_of(key): key for key in reversed(keys_named(exchange))}
    for challenge, response in zip(challenges, responses, strict=True):
        if isinstance(challenge, DomainOwnership) and isinstance(response, DomainOwnershipProof):
            if not same(challenge.expected_value.encode(), response.txt_record.encode()):
                raise ProtocolError(Code.BAD_SIGNATURE, "another domain record than was asked for")
        elif isinstance(challenge, CryptographicProof) and isinstance(response, CryptographicProofResponse):
            key = by_algorithm[challenge.required_signature_algorithm]
            try:
                verify_proof(key, before.transcript, challenge.challenge_data, response.proof)
            except BadSignatureError as error:
                raise ProtocolError(Code.BAD_SIGNATURE, "a proof of a key") from error


def domain_wanted(exchange: Exchange) -> tuple[str, str] | None:
    """The TXT record (name, value) that has to be looked up, None if none was asked for."""
    for one in exchange.challenge.challenges:
        if isinstance(one, DomainOwnership):
            return one.txt_record_name, one.expected_value
    proof = exchange.request.domain_proof
    return None if proof is None else (TXT_PREFIX + exchange.remote, proof.txt_record)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """What was found out besides the exchange itself, and the operator's word."""

    domain: DomainAnswer | None = None
    capabilities: TrustCapabilities | None = None
    government: GovPkiTrustRequest | None = None
    known_builds: frozenset[bytes] = frozenset()
    history: History = field(default_factory=History)
    recommendations: tuple[Recommendation, ...] = ()
    organisation_checked: bool = False
    nato: NatoRecord | None = None


def evidence(exchange: Exchange, gathered: Gathered) -> Evidence:
    """All that speaks for a request whose response was checked."""
    request, response = exchange.request, exchange.response
    chains = [one for one in response.challenge_responses if isinstance(one, CertificateValidationProof)]
    asked = [one for one in exchange.challenge.challenges if isinstance(one, CertificateValidation)]
    keys = keys_named(exchange)
    return Evidence(
        server=exchange.remote,
        requested=request.requested_trust_level,
        method=request.trust_method,
        server_key=keys[0],
        keys=keys,
        proven_keys=frozenset(keys),  # `check_response` has let nothing else pass
        domain=gathered.domain,
        chain=chains[0].certificate_chain if chains else (),
        ocsp_responses=(chains[0].ocsp_responses or ()) if chains else (),
        ct_proofs=(chains[0].ct_proofs or ()) if chains else (),
        requirements=asked[0].validation_requirements if asked else None,
        capabilities=gathered.capabilities or exchange.capabilities,
        organisation=request.organization_info,
        organisation_checked=gathered.organisation_checked,
        documents=response.organization_proofs,
        attestations=request.compliance_attestations,
        government=gathered.government,
        nato=gathered.nato,
        known_builds=gathered.known_builds,
        history=gathered.history,
        recommendations=gathered.recommendations,
    )


def may_accept_alone(exchange: Exchange, policies: TrustPolicies, assessment: Assessment) -> bool:
    """Whether no operator is needed: for basic, if the policy says so, and basic was proven."""
    return policies.auto_accept_basic and exchange.requested == "basic" and not assessment.against["basic"]


def check_grant(exchange: Exchange, grant: Grant, assessment: Assessment) -> None:
    """`ProtocolError` 5004 for a level that was not asked for or not proven; the detail names what is missing."""
    if not at_least(exchange.requested, grant.level):
        raise ProtocolError(Code.INSUFFICIENT_TRUST, f"{exchange.requested} was asked for, not {grant.level}")
    if grant.level == "untrusted" or assessment.against[grant.level]:
        missing = " ".join(assessment.against.get(grant.level, ()))
        raise ProtocolError(Code.INSUFFICIENT_TRUST, f"{grant.level} was not proven. {missing}")


def draft_decision(
    exchange: Exchange,
    grant: Grant,
    certificate: Mapping[str, Value],
    assessment: Assessment,
    now: int,
    *,
    mutual: bool,
) -> Draft:
    """The decision to grant; `certificate` is signed. `ProtocolError` as `check_grant`."""
    after(exchange, "trust_decision", "granting")
    check_grant(exchange, grant, assessment)
    exchange.response  # noqa: B018 - 3002 without one
    message = decisions.granting(
        exchange.request_id, certificate, assessment.remarks(), now, score=assessment.score, mutual=mutual
    )
    return draft_message(exchange.own_keys[0], message, exchange.transcript)


def draft_rejection(exchange: Exchange, why: tuple[str, ...], now: int, assessment: Assessment | None = None) -> Draft:
    """The decision not to grant; `why` is told to the other's operator."""
    after(exchange, "trust_decision", "granting")
    score = 0 if assessment is None else assessment.score
    message = decisions.refusing(exchange.request_id, exchange.own, exchange.remote, why, now, score=score)
    return draft_message(exchange.own_keys[0], message, exchange.transcript)


def check_acknowledgment(exchange: Exchange, now: float) -> Certificate | None:
    """The certificate that came back, None if trust goes one way; `ProtocolError` if it is none for this server."""
    acknowledged = exchange.acknowledgment
    if acknowledged.trust_certificate is None or exchange.decision.decision == "reject":
        return None
    certificate = Certificate.read(acknowledged.trust_certificate)
    check_received(certificate, exchange.remote, keys_named(exchange), exchange.own, exchange.own_keys, now)
    return certificate
