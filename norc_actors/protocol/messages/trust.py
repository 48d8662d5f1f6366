"""Trust, the exchange: capabilities, request, challenge, response (fields.md; section 9).

Every message here ends in `timestamp, signature`; the signature (`trust-TYPE:v1`) covers the transcript of the exchange
and the map less signature, so it is checked by `trust_transcript.py` over the map as received.
"""

import re
from typing import Annotated, Literal, TypeAlias

from norc_actors.limits import MAX_EXCHANGE_ENTRIES
from norc_actors.protocol.errors import malformed
from norc_actors.protocol.schema import (
    Atoms,
    Bound,
    Bytes32,
    KeyAlgorithm,
    Length,
    Map,
    Message,
    Pattern,
    PublicKey,
    Range,
    Seconds,
    Server,
    Signature,
    Unit,
    Uuid,
    Variant,
    Version,
    Versions,
)

from .devices import OtherKey
from .vocabulary import Certificates, Name, Remark, TrustLevel, TrustMethod, Word

Text: TypeAlias = Annotated[str, Bound(0, 4096)]
"""What a DNS record or a person is asked for."""
Country: TypeAlias = Annotated[str, Length(2), Pattern("country code", re.compile(r"[A-Z]{2}"))]
Words: TypeAlias = Annotated[tuple[Word, ...], Bound(0, MAX_EXCHANGE_ENTRIES)]
ValidationMethod = Literal["dns", "email", "manual", "ca"]
DomainMethod = Literal["dns_txt"]
TXT_PREFIX = "_norc-trust-challenge."


class VersionCompatibility(Map, frozen=True, kw_only=True, omit_defaults=True):
    """A server's policies about versions; what they mean stands in `versions.Policies` (row B14)."""

    enforce_amc: bool
    allow_downgrade: bool
    require_latest_minor: bool


class TrustPolicies(Map, frozen=True, kw_only=True, omit_defaults=True):
    """How a server trusts; usually false, true, false and a year."""

    auto_accept_basic: bool
    require_manual_approval: bool
    trust_inheritance: bool
    max_trust_age: Seconds
    version_compatibility: VersionCompatibility


class TrustCapabilities(Message, frozen=True, kw_only=True, omit_defaults=True, tag="trust_capabilities"):
    """What a server can prove and how it trusts: the first message of an exchange, or an answer outside of one."""

    protocol_version: Version
    supported_versions: Versions
    server_id: Server
    supported_methods: Atoms
    supported_trust_levels: Atoms
    certificate_authorities: Annotated[tuple[Name, ...], Bound(0, 256)]
    key_algorithms: Atoms
    compliance_certifications: Words
    trust_policies: TrustPolicies
    pq_fingerprint: Bytes32 | None = None
    build_attestation_hash: Bytes32 | None = None
    software_sbom_hash: Bytes32 | None = None
    timestamp: Seconds
    signature: Signature


class DomainProof(Map, frozen=True, kw_only=True, omit_defaults=True):
    """A DNS record that shows whose the domain is."""

    method: DomainMethod
    challenge: Bytes32
    txt_record: Text
    expires_at: Seconds


class OrganizationInfo(Map, frozen=True, kw_only=True, omit_defaults=True):
    """Who runs a server, for the operator who has to decide."""

    name: Annotated[str, Bound(1, 256)]
    country: Country
    contact_email: Annotated[str, Bound(3, 320)]
    phone: Word | None = None
    address: Remark | None = None


class ComplianceAttestation(Map, frozen=True, kw_only=True, omit_defaults=True):
    """A certificate of compliance; `certificate_id` is its issuer's number."""

    standard: Word
    certificate_id: Name
    issued_by: Name
    expires_at: Seconds


class TrustRequirements(Map, frozen=True, kw_only=True, omit_defaults=True):
    """What the requesting server wants of the relation."""

    mutual: bool
    witness_required: bool
    background_check: bool
    audit_trail: bool


class TrustRequest(Message, frozen=True, kw_only=True, omit_defaults=True, tag="trust_request"):
    """Asks for a level of trust, with what speaks for it."""

    request_id: Uuid
    requesting_server: Server
    target_server: Server
    requested_trust_level: TrustLevel
    trust_method: TrustMethod
    certificate_chain: Certificates
    server_public_key: PublicKey
    other_keys: Annotated[tuple[OtherKey, ...], Bound(0, 4)] | None = None
    domain_proof: DomainProof | None = None
    organization_info: OrganizationInfo
    compliance_attestations: Annotated[tuple[ComplianceAttestation, ...], Bound(0, MAX_EXCHANGE_ENTRIES)]
    trust_requirements: TrustRequirements
    timestamp: Seconds
    signature: Signature


# --- Challenges, told apart by their `type` ---


class DomainOwnership(Variant, frozen=True, kw_only=True, omit_defaults=True, tag="domain_ownership"):
    """Put this value into that TXT record."""

    method: DomainMethod
    domain: Server
    txt_record_name: Annotated[str, Bound(1, 512)]
    expected_value: Text
    expires_at: Seconds

    def _rule(self) -> None:
        """`txt_record_name` is `_norc-trust-challenge.` and the domain."""
        if self.txt_record_name != TXT_PREFIX + self.domain:
            raise malformed("DomainOwnership.txt_record_name is _norc-trust-challenge.DOMAIN")


class ValidationRequirements(Map, frozen=True, kw_only=True, omit_defaults=True):
    """What is asked of a certificate chain; `max_age_days` is 90 unless its server says otherwise."""

    check_revocation: bool
    require_ct_logs: bool
    max_age_days: Annotated[int, Range(0, 36525), Unit("days")]


class CertificateValidation(Variant, frozen=True, kw_only=True, omit_defaults=True, tag="certificate_validation"):
    """Show a certificate chain that meets these requirements."""

    validation_requirements: ValidationRequirements


class CryptographicProof(Variant, frozen=True, kw_only=True, omit_defaults=True, tag="cryptographic_proof"):
    """Sign this (`trust-proof:v1`, behind the transcript) with the identity key of that algorithm."""

    challenge_data: Annotated[bytes, Length(64)]
    required_signature_algorithm: KeyAlgorithm


class OrganizationVerification(Map, frozen=True, kw_only=True, omit_defaults=True):
    """What papers an operator wants to see."""

    required_documents: Words
    verification_method: Literal["manual", "automated", "third_party"]


class TrustChallenge(Message, frozen=True, kw_only=True, omit_defaults=True, tag="trust_challenge"):
    """What the requesting server has to prove, and by when."""

    request_id: Uuid
    challenge_id: Uuid
    target_server: Server
    challenging_server: Server
    validation_method: ValidationMethod
    challenges: Annotated[
        tuple[DomainOwnership | CertificateValidation | CryptographicProof, ...], Bound(0, MAX_EXCHANGE_ENTRIES)
    ]
    organization_verification: OrganizationVerification | None = None
    deadline: Seconds
    timestamp: Seconds
    signature: Signature


class DomainOwnershipProof(Variant, frozen=True, kw_only=True, omit_defaults=True, tag="domain_ownership"):
    """The record is there."""

    txt_record: Text


class CertificateValidationProof(Variant, frozen=True, kw_only=True, omit_defaults=True, tag="certificate_validation"):
    """The chain, and what vouches for it."""

    certificate_chain: Certificates
    ocsp_responses: Certificates | None = None
    ct_proofs: Certificates | None = None


class CryptographicProofResponse(Variant, frozen=True, kw_only=True, omit_defaults=True, tag="cryptographic_proof"):
    """The signature that was asked for."""

    proof: Signature


class OrganizationProof(Map, frozen=True, kw_only=True, omit_defaults=True):
    """A paper, named by its hash; where to ask whether it is genuine."""

    document_type: Word
    document_hash: Bytes32
    issuing_authority: Name
    verification_code: Name


class TrustResponse(Message, frozen=True, kw_only=True, omit_defaults=True, tag="trust_response"):
    """An answer per challenge, in their order."""

    request_id: Uuid
    challenge_id: Uuid
    responding_server: Server
    challenge_responses: Annotated[
        tuple[DomainOwnershipProof | CertificateValidationProof | CryptographicProofResponse, ...],
        Bound(0, MAX_EXCHANGE_ENTRIES),
    ]
    organization_proofs: Annotated[tuple[OrganizationProof, ...], Bound(0, MAX_EXCHANGE_ENTRIES)]
    timestamp: Seconds
    signature: Signature
