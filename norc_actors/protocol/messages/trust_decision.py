"""Trust, decided: decisions, certificates, renewal, revocation (fields.md; section 9)."""

from typing import Annotated, Literal

from norc_actors.limits import MAX_EXCHANGE_ENTRIES
from norc_actors.protocol.errors import malformed
from norc_actors.protocol.schema import (
    Bound,
    Bytes32,
    Count,
    FreeMap,
    KeyAlgorithm,
    Map,
    Message,
    PublicKey,
    Seconds,
    Server,
    Signature,
    Unit,
    Uuid,
    Version,
)

from .devices import OtherKey, check_key
from .vocabulary import Certificates, Percent, RateLimits, Remark, Remarks, TrustCertificateMap, TrustLevel, Word

Permission = Literal[
    "message_relay",
    "user_discovery",
    "presence_federation",
    "media_relay",
    "archive_sync",
    "voice_calls",
    "file_transfer",
]
RevocationReason = Literal["compromised_key", "policy_violation", "voluntary", "expired", "superseded"]
CrlReason = Literal[
    "unspecified",
    "key_compromise",
    "ca_compromise",
    "affiliation_changed",
    "superseded",
    "cessation_of_operation",
    "privilege_withdrawn",
    "aa_compromise",
]


class TrustCondition(Map, frozen=True, kw_only=True, omit_defaults=True):
    """What has to happen until when, and what follows if it does not."""

    condition: Literal["certificate_renewal", "compliance_audit", "security_review", "trust_revalidation"]
    deadline: Seconds
    auto_action: Literal["revoke", "downgrade", "notify"]


Conditions = Annotated[tuple[TrustCondition, ...], Bound(0, MAX_EXCHANGE_ENTRIES)]


class TrustMetadata(Map, frozen=True, kw_only=True, omit_defaults=True):
    """How long a decision holds and what it rests on."""

    established_at: Seconds
    expires_at: Seconds
    renewable: bool
    revocable: bool
    trust_score: Percent
    validation_evidence: Remarks


class FederationPermissions(Map, frozen=True, kw_only=True, omit_defaults=True):
    """What a peer may do, and how much."""

    message_relay: bool
    user_discovery: bool
    presence_federation: bool
    media_relay: bool
    archive_sync: bool
    voice_calls: bool
    file_transfer: bool
    max_message_size: Annotated[Count, Unit("bytes")]
    rate_limits: RateLimits


class TrustDecision(Message, frozen=True, kw_only=True, omit_defaults=True, tag="trust_decision"):
    """The answer to a request; a certificate comes with everything but a rejection."""

    request_id: Uuid
    decision_server: Server
    target_server: Server
    decision: Literal["accept", "reject", "conditional"]
    granted_trust_level: TrustLevel
    trust_conditions: Conditions
    trust_metadata: TrustMetadata
    federation_permissions: FederationPermissions
    mutual_trust_required: bool
    certificate: TrustCertificateMap | None = None
    timestamp: Seconds
    signature: Signature

    def _rule(self) -> None:
        """`certificate` goes with accept and conditional, and only then."""
        if (self.certificate is None) != (self.decision == "reject"):
            raise malformed("TrustDecision.certificate goes with accept and conditional, and only then")


class TrustCertificate(Map, frozen=True, kw_only=True, omit_defaults=True):
    """One server's trust in another, signed (`trust-cert:v1`, over the map less signature); it pins the subject's
    keys."""

    version: Version
    certificate_id: Uuid
    issuer_server: Server
    subject_server: Server
    trust_level: TrustLevel
    permissions: FederationPermissions
    not_before: Seconds
    not_after: Seconds
    renewable: bool
    revocable: bool
    conditions: Conditions
    public_key: PublicKey
    key_algorithm: KeyAlgorithm
    other_keys: Annotated[tuple[OtherKey, ...], Bound(0, 4)] | None = None
    extensions: FreeMap
    signature: Signature

    def _rule(self) -> None:
        """`public_key` has the length of its `key_algorithm`; `not_after` lies after `not_before`."""
        check_key("TrustCertificate", self.public_key, self.key_algorithm)
        if self.not_after <= self.not_before:
            raise malformed("TrustCertificate ends before it begins")


class TrustAcknowledgment(Message, frozen=True, kw_only=True, omit_defaults=True, tag="trust_acknowledgment"):
    """The requesting server took note; its own certificate comes along where trust is mutual."""

    request_id: Uuid
    acknowledging_server: Server
    decision_accepted: bool
    mutual_trust_established: bool
    trust_certificate: TrustCertificateMap | None = None
    effective_date: Seconds
    next_renewal_date: Seconds
    timestamp: Seconds
    signature: Signature


class RequestedChange(Map, frozen=True, kw_only=True, omit_defaults=True):
    """What a renewal would change: a permission or a parameter."""

    change_type: Word
    permission: Permission | None = None
    parameter: Word | None = None
    old_value: str | int | bool | None = None
    new_value: str | int | bool | None = None
    justification: Remark

    def _rule(self) -> None:
        """Has `permission` or `parameter`, and not both."""
        if (self.permission is None) == (self.parameter is None):
            raise malformed("RequestedChange has a permission or a parameter")


class TrustRenewal(Message, frozen=True, kw_only=True, omit_defaults=True, tag="trust_renewal"):
    """Asks to renew a trust certificate before it ends."""

    renewal_id: Uuid
    renewing_server: Server
    trust_server: Server
    existing_certificate_id: Uuid
    renewal_reason: Literal["scheduled", "early", "security_update"]
    requested_trust_level: TrustLevel
    changes_requested: Annotated[tuple[RequestedChange, ...], Bound(0, MAX_EXCHANGE_ENTRIES)]
    updated_certificates: Certificates
    timestamp: Seconds
    signature: Signature


class TrustRevoke(Message, frozen=True, kw_only=True, omit_defaults=True, tag="trust_revoke"):
    """Ends or narrows a trust certificate, in its signer's own chain. Contradictions inside (a grace period for a
    compromised key) are read as the stricter, not refused: a refused revocation would not bind."""

    revocation_id: Uuid
    revoking_server: Server
    target_server: Server
    trust_certificate_id: Uuid
    revocation_reason: RevocationReason
    effective_date: Seconds
    evidence: Remarks
    revocation_scope: Literal["full", "partial", "conditional"]
    partial_revocation_permissions: tuple[Permission, ...]
    grace_period: Seconds
    prev_revocation_hash: Bytes32 | None = None
    timestamp: Seconds
    signature: Signature


class RevocationAcknowledgment(Message, frozen=True, kw_only=True, omit_defaults=True, tag="revocation_acknowledgment"):
    """A revocation arrived, and what was done."""

    revocation_id: Uuid
    acknowledging_server: Server
    acknowledgment_status: Literal["accepted", "disputed", "appealing"]
    cleanup_actions: Remarks
    timestamp: Seconds
    signature: Signature


class CrlRequest(Message, frozen=True, kw_only=True, omit_defaults=True, tag="crl_request"):
    """Asks for an issuer's list; `known_number` is the newest that is known."""

    requesting_server: Server
    issuer_server: Server
    known_number: Count | None = None
    timestamp: Seconds
    signature: Signature


class RevokedCertificate(Map, frozen=True, kw_only=True, omit_defaults=True):
    """An entry of a list."""

    certificate_id: Uuid
    revocation_date: Seconds
    revocation_reason: CrlReason


class TrustCrl(Message, frozen=True, kw_only=True, omit_defaults=True, tag="trust_crl"):
    """A numbered list of what its issuer revoked (`trust-crl:v1`, over the map less signature)."""

    issuer_server: Server
    number: Count
    this_update: Seconds
    next_update: Seconds
    revoked_certificates: tuple[RevokedCertificate, ...]
    timestamp: Seconds
    signature: Signature

    def _rule(self) -> None:
        """`next_update` lies after `this_update`."""
        if self.next_update <= self.this_update:
            raise malformed("TrustCrl.next_update is not after this_update")
