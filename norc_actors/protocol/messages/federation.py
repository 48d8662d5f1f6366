"""A link between two servers: handshake, batches, its state of trust, its refusals (fields.md; section 8)."""

from typing import Annotated, Literal

from norc_actors.limits import MAX_INTEGER
from norc_actors.protocol.errors import ERRORS, Code, malformed
from norc_actors.protocol.schema import (
    Atoms,
    Bound,
    Bytes12,
    Bytes32,
    Count,
    FreeMap,
    KemCiphertext,
    KemKey,
    Map,
    Message,
    PublicKey,
    Range,
    Seconds,
    Server,
    Signature,
    SuiteName,
    Uuid,
    Version,
    Versions,
)

from .connection import HYBRID_SUITES
from .vocabulary import Certificates, MaxFrame, Remark, Remarks, TrustLevel, Word

FederationCategory = Literal["trust", "routing", "rate_limit", "protocol"]
_CATEGORIES: dict[int, FederationCategory] = {50: "trust", 52: "routing", 54: "rate_limit", 56: "protocol"}


class ProtocolVersions(Map, frozen=True, kw_only=True, omit_defaults=True):
    """What a server speaks with other servers."""

    norc_f: Versions
    norc_t: Versions


class NegotiatedVersions(Map, frozen=True, kw_only=True, omit_defaults=True):
    """What a link speaks: a pair that both ends list (row B9)."""

    norc_f: Version
    norc_t: Version


class FederationHello(Message, frozen=True, kw_only=True, omit_defaults=True, tag="federation_hello"):
    """What the initiator of a link offers; `server_public_key` goes to a peer without trust alone."""

    server_id: Server
    protocol_versions: ProtocolVersions
    alpn_offered: Annotated[tuple[Word, ...], Bound(1, 16)]
    capabilities: Atoms
    cipher_suites: Atoms
    nonce: Bytes12
    ephemeral_public_key: Bytes32
    pq_public_key: KemKey | None = None
    tls_fingerprint: Bytes32
    server_public_key: PublicKey | None = None
    max_frame: MaxFrame

    def _rule(self) -> None:
        """`pq_public_key` goes with a hybrid suite in `cipher_suites`, and only then."""
        if (self.pq_public_key is not None) != (not HYBRID_SUITES.isdisjoint(self.cipher_suites)):
            raise malformed("FederationHello.pq_public_key goes with a hybrid suite in the list, and only then")


class FederationHelloResponse(Message, frozen=True, kw_only=True, omit_defaults=True, tag="federation_hello_response"):
    """What the responder chose."""

    server_id: Server
    protocol_versions: ProtocolVersions
    negotiated_versions: NegotiatedVersions
    alpn_selected: Word
    capabilities: Atoms
    cipher_suites: Atoms
    cipher_suite: SuiteName
    nonce: Bytes12
    ephemeral_public_key: Bytes32
    pq_ciphertext: KemCiphertext | None = None
    compatibility_warnings: Remarks
    tls_fingerprint: Bytes32
    server_public_key: PublicKey | None = None
    max_frame: MaxFrame

    def _rule(self) -> None:
        """`pq_ciphertext` goes with a hybrid `cipher_suite`, and only then."""
        if (self.pq_ciphertext is not None) != (self.cipher_suite in HYBRID_SUITES):
            raise malformed("FederationHelloResponse.pq_ciphertext goes with a hybrid suite, and only then")


class CompatibilityRequirements(Map, frozen=True, kw_only=True, omit_defaults=True):
    """Without what the initiator wants no link, and what it would like."""

    min_trust_level: TrustLevel
    required_features: Atoms
    optional_features: Atoms


class FederationHandshake(Message, frozen=True, kw_only=True, omit_defaults=True, tag="federation_handshake"):
    """The initiator proves itself (`fed-link:v1` over th_3)."""

    requesting_server: Server
    target_server: Server
    protocol_version: Version
    supported_versions: Versions
    capabilities: Atoms
    compatibility_requirements: CompatibilityRequirements
    signature: Signature


class FederationHandshakeResponse(
    Message, frozen=True, kw_only=True, omit_defaults=True, tag="federation_handshake_response"
):
    """The responder proves itself (`fed-link:v1` over th_4); the link is there."""

    responding_server: Server
    accepted_version: Version
    compatibility_mode: bool
    shared_capabilities: Atoms
    version_warnings: Remarks
    connection_id: Uuid
    signature: Signature


class Batch(Message, frozen=True, kw_only=True, omit_defaults=True, tag="batch"):
    """Federation frames in a row under one signature (`fed-request:v1`); `requesting` sends, in an answer too."""

    requesting: Server
    target: Server
    timestamp: Seconds
    frames: bytes
    signature: Signature


class TrustStatus(Message, frozen=True, kw_only=True, omit_defaults=True, tag="trust_status"):
    """Asks how a server stands to another."""

    target_server: Server
    requesting_server: Server
    trust_level_required: TrustLevel


class TrustStatusResponse(Message, frozen=True, kw_only=True, omit_defaults=True, tag="trust_status_response"):
    """How it stands; both times are 0 where nothing is established."""

    target_server: Server
    trust_established: bool
    trust_level: TrustLevel
    established_at: Seconds
    expires_at: Seconds
    certificate_chain: Certificates


class RateLimitExceeded(Message, frozen=True, kw_only=True, omit_defaults=True, tag="rate_limit_exceeded"):
    """A server sends too much; what waits stays in its outbox."""

    request_id: Uuid
    limit_type: Word
    current_rate: Count
    limit: Count
    retry_after: Seconds
    timestamp: Seconds


class FederationError(Message, frozen=True, kw_only=True, omit_defaults=True, tag="federation_error"):
    """A refusal between servers. Its text is fixed by its code (`of`), so that nothing else leaves."""

    request_id: Uuid
    error_code: Annotated[int, Range(0, MAX_INTEGER)]
    error_category: FederationCategory
    message: Remark
    details: FreeMap | None = None
    resolution_hint: Remark | None = None
    timestamp: Seconds

    @classmethod
    def of(cls, code: Code, *, now: float, request_id: str, resolution_hint: str | None = None) -> "FederationError":
        """The message for `code` with the registry's text; codes of no federation category count as `protocol`."""
        return cls(
            request_id=request_id,
            error_code=code.value,
            error_category=_CATEGORIES.get(code // 100, "protocol"),
            message=ERRORS[code].text,
            resolution_hint=resolution_hint,
            timestamp=int(now),
        )
