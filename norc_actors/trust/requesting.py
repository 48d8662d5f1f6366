"""What the server says that asks for trust, and what it checks of the answers (section 9; rows B136, B138, B141).

Rules
- Whoever asks for a level has approved it: an operator's `Goal` is the approval of the certificate that goes back with
  the acknowledgment, at no more than the level that was granted. Its permissions are the goal's, not the other's.
- A challenge is answered whole or not at all, one response per challenge, in their order. A domain challenge is
  answered once the record is there to be seen; `records_wanted` says which.
- A certificate that comes back has to be for this server and its own keys, of a level that was asked for at most, and
  has to say what the decision says. What says more than the decision is refused, not believed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from norc_actors.crypto.hkdf import blake3
from norc_actors.crypto.layout import lv
from norc_actors.crypto.signatures import algorithm_of
from norc_actors.crypto.suites import SUITES, hash_for_key
from norc_actors.ids import ServerId
from norc_actors.limits import TRUST_RENEW_SECONDS, TRUST_SKEW_SECONDS
from norc_actors.protocol.canonical import Value, base64url
from norc_actors.protocol.codec import to_map
from norc_actors.protocol.errors import Code, ProtocolError, malformed
from norc_actors.protocol.messages.trust import (
    TXT_PREFIX,
    CertificateValidation,
    CryptographicProof,
    DomainOwnership,
)
from norc_actors.protocol.messages.vocabulary import TrustMethod
from norc_actors.protocol.schema import SignedMap
from norc_actors.protocol.trust_levels import LEVELS, TrustLevel, at_least

from . import certificates
from .certificates import Against, Certificate, Grant
from .drafts import Draft, ToSign, draft_message, draft_proof
from .exchange import Exchange, Profile, after

DOMAIN_WORD: Final = "norc-trust="
"""How a TXT record of ours begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What an operator asks of another server, and grants it in return (`grant.level` is lowered to what the other
    grants). `domain_challenge`: 32 random bytes, for a record that is published already. `fingerprint`: that of the
    other's identity key, if the operator has it from elsewhere; another key ends the exchange."""

    level: TrustLevel
    method: TrustMethod
    grant: Grant
    mutual: bool = True
    domain_challenge: bytes | None = None
    witness: bool = False
    fingerprint: str = ""


def domain_record(challenge: bytes, key: bytes) -> str:
    """The TXT record by which whoever runs a domain names the identity key that speaks for it: nobody else's key can
    use it, whoever sees it."""
    digest = hash_for_key(key)(b"norc-t-domain-v1" + challenge + key)
    return DOMAIN_WORD + base64url(digest)


def hybrid_fingerprint(suites: Iterable[str]) -> bytes | None:
    """`pq_fingerprint` of a server: which hybrid suites it serves (BLAKE3 over their names in order); None for none. A
    server has no lasting post-quantum key, so there is nothing else to name."""
    hybrid = sorted(name for name in suites if name in SUITES and SUITES[name].hybrid)
    return blake3(b"norc-t-hybrid-v1" + b"".join(lv(name.encode()) for name in hybrid)) if hybrid else None


def begin(profile: Profile, remote: ServerId, *, request_id: str, now: int) -> Exchange:
    """A new exchange; its key comes with the first answer (`Exchange.with_key`)."""
    return Exchange(
        role="requesting", request_id=request_id, own=profile.server, own_keys=profile.keys, remote=remote,
        remote_key=b"", started_at=now,
    )  # fmt: skip


def capabilities(profile: Profile, now: int) -> SignedMap:
    """What a server says of itself, without signature: the first message of an exchange, and the answer to it."""
    message: SignedMap = {
        "type": "trust_capabilities",
        "protocol_version": profile.versions[-1],
        "supported_versions": [*profile.versions],
        "server_id": profile.server,
        "supported_methods": [*profile.methods],
        "supported_trust_levels": [*profile.levels],
        "certificate_authorities": [*profile.authorities],
        "key_algorithms": [algorithm_of(key) for key in profile.keys],
        "compliance_certifications": [*profile.compliance],
        "trust_policies": to_map(profile.policies),
        "timestamp": now,
    }
    for name in ("pq_fingerprint", "build_attestation_hash", "software_sbom_hash"):
        value = getattr(profile, name)
        if value is not None:
            message[name] = value
    return message


def draft_capabilities(exchange: Exchange, profile: Profile, now: int) -> Draft:
    """The first message."""
    after(exchange, "trust_capabilities", "requesting")
    return draft_message(exchange.own_keys[0], capabilities(profile, now), exchange.transcript)


def draft_request(exchange: Exchange, profile: Profile, goal: Goal, now: int) -> Draft:
    """The request, by an operator's goal."""
    after(exchange, "trust_request", "requesting")
    key, *others = exchange.own_keys
    message: SignedMap = {
        "type": "trust_request",
        "request_id": exchange.request_id,
        "requesting_server": exchange.own,
        "target_server": exchange.remote,
        "requested_trust_level": goal.level,
        "trust_method": goal.method,
        "certificate_chain": [*profile.chain],
        "server_public_key": key,
        "organization_info": to_map(profile.organization),
        "compliance_attestations": [*profile.attestations],
        "trust_requirements": {
            "mutual": goal.mutual,
            "witness_required": goal.witness,
            "background_check": False,
            "audit_trail": True,
        },
        "timestamp": now,
    }
    if others:
        message["other_keys"] = [{"public_key": each, "key_algorithm": algorithm_of(each)} for each in others]
    if goal.domain_challenge is not None:
        message["domain_proof"] = {
            "method": "dns_txt",
            "challenge": goal.domain_challenge,
            "txt_record": domain_record(goal.domain_challenge, key),
            "expires_at": exchange.started_at + TRUST_RENEW_SECONDS,
        }
    return draft_message(key, message, exchange.transcript)


def records_wanted(exchange: Exchange) -> dict[str, str]:
    """The TXT records (name → value) that an open challenge wants to see published."""
    if exchange.state != "challenged":
        return {}
    wanted = [one for one in exchange.challenge.challenges if isinstance(one, DomainOwnership)]
    return {one.txt_record_name: one.expected_value for one in wanted}


def check_challenge(exchange: Exchange, now: float) -> None:
    """`ProtocolError` for a challenge that this server does not answer: 5002 one that is over, 5206 another's domain,
    4004 a key that it does not have."""
    challenge = exchange.challenge
    if challenge.deadline + TRUST_SKEW_SECONDS < now:
        raise ProtocolError(Code.TRUST_EXPIRED, "a challenge after its deadline")
    algorithms = {algorithm_of(key) for key in exchange.own_keys}
    for one in challenge.challenges:
        if isinstance(one, DomainOwnership) and (
            one.domain != exchange.own or one.txt_record_name != TXT_PREFIX + exchange.own
        ):
            raise ProtocolError(Code.WRONG_TARGET, f"a challenge for the domain {one.domain}")
        if isinstance(one, CryptographicProof) and one.required_signature_algorithm not in algorithms:
            raise ProtocolError(Code.ALGORITHM_UNSUPPORTED, one.required_signature_algorithm)


def proofs_to_sign(exchange: Exchange) -> list[ToSign]:
    """What the identity keys have to sign for the response, in the order of the challenges."""
    by_algorithm = {algorithm_of(key): key for key in reversed(exchange.own_keys)}
    return [
        draft_proof(by_algorithm[one.required_signature_algorithm], exchange.transcript, one.challenge_data)
        for one in exchange.challenge.challenges
        if isinstance(one, CryptographicProof)
    ]


def draft_response(
    exchange: Exchange,
    profile: Profile,
    proofs: Sequence[bytes],
    now: int,
    *,
    ocsp_responses: Sequence[bytes] = (),
    documents: Sequence[SignedMap] = (),
) -> Draft:
    """The response; `proofs` are the signatures of `proofs_to_sign`."""
    after(exchange, "trust_response", "requesting")
    check_challenge(exchange, now)
    left = list(proofs)
    answers: list[Value] = []
    for one in exchange.challenge.challenges:
        match one:
            case DomainOwnership():
                answers.append({"type": "domain_ownership", "txt_record": one.expected_value})
            case CertificateValidation():
                answer: SignedMap = {"type": "certificate_validation", "certificate_chain": [*profile.chain]}
                if ocsp_responses:
                    answer["ocsp_responses"] = [*ocsp_responses]
                answers.append(answer)
            case CryptographicProof():
                answers.append({"type": "cryptographic_proof", "proof": left.pop(0)})
    message: SignedMap = {
        "type": "trust_response",
        "request_id": exchange.request_id,
        "challenge_id": exchange.challenge.challenge_id,
        "responding_server": exchange.own,
        "challenge_responses": answers,
        "organization_proofs": [*documents],
        "timestamp": now,
    }
    return draft_message(exchange.own_keys[0], message, exchange.transcript)


def check_decision(exchange: Exchange, now: float) -> Certificate | None:
    """The certificate that the decision brings, None for a rejection; `ProtocolError` if the two do not agree, if it
    grants more than was asked, or is none for this server (codes of `certificates.check`)."""
    decision = exchange.decision
    if decision.decision == "reject":
        return None
    if len(exchange.messages) < len(("capabilities", "request", "challenge", "response", "decision")):
        raise ProtocolError(Code.WRONG_STATE, "trust is granted after a response, not before")
    if decision.certificate is None:
        raise malformed("a decision without certificate")
    certificate = Certificate.read(decision.certificate)
    check_received(certificate, exchange.remote, (exchange.remote_key,), exchange.own, exchange.own_keys, now)
    terms = certificate.terms
    if terms.trust_level != decision.granted_trust_level:
        raise ProtocolError(Code.INSUFFICIENT_TRUST, "the certificate is of another level than the decision")
    if not at_least(exchange.requested, terms.trust_level):
        raise ProtocolError(Code.INSUFFICIENT_TRUST, f"{terms.trust_level} granted, {exchange.requested} asked for")
    if to_map(terms.permissions) != to_map(decision.federation_permissions):
        raise ProtocolError(Code.PERMISSION_DENIED, "the certificate permits something else than the decision")
    return certificate


def check_received(
    certificate: Certificate,
    issuer: ServerId,
    issuer_keys: tuple[bytes, ...],
    subject: ServerId,
    subject_keys: tuple[bytes, ...],
    now: float,
) -> None:
    """The six checks of a certificate that came from its issuer, and that it pins the subject's own keys (5604)."""
    allowed_ahead = max(now, min(certificate.terms.not_before, now + TRUST_SKEW_SECONDS))
    against = Against(issuer=issuer, subject=subject, issuer_keys=issuer_keys, now=allowed_ahead)
    certificates.check(certificate, against)
    if not set(certificate.keys) <= set(subject_keys) or certificate.keys[0] != subject_keys[0]:
        raise ProtocolError(Code.BAD_SIGNATURE, f"certificate {certificate.id} pins other keys")


def returned_grant(exchange: Exchange, goal: Goal) -> Grant | None:
    """What goes back with the acknowledgment: the goal's grant, at no more than the level that was granted; None if the
    decision is a rejection or trust is to go one way."""
    decision = exchange.decision
    if decision.decision == "reject" or not (goal.mutual or decision.mutual_trust_required):
        return None
    level = min(goal.level, decision.granted_trust_level, key=LEVELS.index)
    return replace(goal.grant, level=level)


def draft_acknowledgment(
    exchange: Exchange, certificate: Mapping[str, Value] | None, now: int, *, accepted: bool = True
) -> Draft:
    """The last message; `certificate` is this server's own, signed."""
    after(exchange, "trust_acknowledgment", "requesting")
    held = exchange.decision.certificate
    end = held.get("not_after") if held is not None else None
    message: SignedMap = {
        "type": "trust_acknowledgment",
        "request_id": exchange.request_id,
        "acknowledging_server": exchange.own,
        "decision_accepted": accepted,
        "mutual_trust_established": certificate is not None,
        "effective_date": now,
        "next_renewal_date": max(now, end - TRUST_RENEW_SECONDS) if isinstance(end, int) else now,
        "timestamp": now,
    }
    if certificate is not None:
        message["trust_certificate"] = dict(certificate)
    return draft_message(exchange.own_keys[0], message, exchange.transcript)
