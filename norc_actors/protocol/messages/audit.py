"""The audit: an event as it is stored and hashed, and the daily root over the chains of all nodes (fields.md;
section 10)."""

from typing import Annotated, Literal

from norc_actors.protocol.schema import (
    Bound,
    Bytes32,
    Count,
    FreeMap,
    Map,
    Message,
    Seconds,
    Server,
    Signature,
    Uuid,
)

from .vocabulary import Date, Name, Severity, Word

AuditEventType = Literal[
    "trust_request",
    "trust_granted",
    "trust_revoked",
    "trust_renewed",
    "access_granted",
    "access_denied",
    "compliance_check",
    "security_incident",
]


class AuditEvent(Map, frozen=True, kw_only=True, omit_defaults=True):
    """An event as stored. A user as `actor` is the day's pseudonym (16 bytes), in its text form; `actor` is empty where
    nobody acted."""

    event_id: Uuid
    seq: Count
    timestamp: Seconds
    event_type: AuditEventType
    source_server: Server
    target_server: Server
    actor: Name
    action: Word
    parameters: FreeMap
    result: Literal["success", "failure", "partial", "pending"]
    risk_level: Severity
    evidence_hash: Bytes32


class AuditRootQuery(Message, frozen=True, kw_only=True, omit_defaults=True, tag="audit_root_query"):
    """Asks for the root of a day."""

    date: Date


class AuditHead(Map, frozen=True, kw_only=True, omit_defaults=True):
    """Where the chain of one node stood at the end of the day."""

    node_id: Name
    count: Count
    entry_hash: Bytes32


class AuditRoot(Message, frozen=True, kw_only=True, omit_defaults=True, tag="audit_root"):
    """The heads of all nodes on one day, signed (`audit-root:v1`, over the map less signature)."""

    server_id: Server
    date: Date
    heads: Annotated[tuple[AuditHead, ...], Bound(0, 256)]
    signature: Signature
