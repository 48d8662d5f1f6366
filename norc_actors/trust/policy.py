"""Which type of message needs what of a relation: one table (section 9, section 8 *Other traffic*; rows B133, B144).

Rules
- `NEEDS` has every type that may travel on a link, save the handshake's: the level of the relation, the permission in
  it, and whether the message's classification is judged. A type that is not in the table passes nowhere.
- `check` is the only reader of the table. It judges one direction: what comes in by what this server granted, what
  goes out by what both granted (`relations.py` makes both views).
- Answers to what was asked (`relay_ack`, `user_lookup_response`, …) need the relation and no permission: the question
  had it, and a peer that lost a permission must still be able to say so.
- Of the levels, only what hands out the records of many users, or findings about this server, asks for more than basic.
- A cluster's frames are for its own members, which are no remote servers: no relation lets them pass.
- First the relation, then its level, then the permission, then the classification; each has its own code.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, get_args

from norc_actors.protocol.errors import Code, ProtocolError
from norc_actors.protocol.messages.trust_decision import Permission
from norc_actors.protocol.relay import Relation
from norc_actors.protocol.trust_levels import TrustLevel, allows, at_least

PERMISSIONS: Final[tuple[Permission, ...]] = get_args(Permission)
"""All seven."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a type of message asks of a relation. `level` "untrusted": no relation at all."""

    level: TrustLevel = "basic"
    permission: Permission | None = None
    classified: bool = False
    forbidden: bool = False


_ANYBODY = Need(level="untrusted")
_RELATION = Need()
_REPORT = Need(level="verified")
_MESSAGES = Need(permission="message_relay")
_FILES = Need(permission="file_transfer")
_CALLS = Need(permission="voice_calls")

NEEDS: Final[Mapping[str, Need]] = MappingProxyType(
    {
        # Between servers that know nothing of one another
        "server_discovery": _ANYBODY,
        "server_info": _ANYBODY,
        "trust_capabilities": _ANYBODY,
        "trust_request": _ANYBODY,
        "trust_challenge": _ANYBODY,
        "trust_response": _ANYBODY,
        "trust_decision": _ANYBODY,
        "trust_acknowledgment": _ANYBODY,
        "trust_revoke": _ANYBODY,  # whom it revokes is no longer trusted by its signer, and has to be told
        "revocation_acknowledgment": _ANYBODY,
        "rate_limit_exceeded": _ANYBODY,
        "federation_error": _ANYBODY,
        # Between servers that trust one another: about the trust itself
        "trust_status": _RELATION,
        "trust_status_response": _RELATION,
        "crl_request": _RELATION,
        "trust_crl": _RELATION,
        "trust_recommendation": _RELATION,
        "trust_recommendation_response": _RELATION,
        "gov_pki_trust_request": _RELATION,
        "trust_health_check": _RELATION,
        "trust_health_report": _RELATION,
        "trust_renewal": _RELATION,
        "audit_root_query": _RELATION,
        "audit_root": _RELATION,
        "health_check": _RELATION,
        "health_status": _RELATION,
        "compliance_report": _REPORT,
        "compliance_report_response": _REPORT,
        # Users and their messages
        "message_relay": Need(permission="message_relay", classified=True),
        "relay_ack": _RELATION,
        "delivery_ack": _RELATION,
        "device_revoke": _MESSAGES,
        "read_receipt": _MESSAGES,
        "session_key_exchange": _MESSAGES,
        "conversation_create": _MESSAGES,
        "conversation_join": _MESSAGES,
        "conversation_leave": _MESSAGES,
        "conversation_state": _MESSAGES,
        "conversation_update": _MESSAGES,
        "user_lookup": Need(permission="user_discovery"),
        "user_lookup_response": _RELATION,
        "presence_federation": Need(permission="presence_federation"),
        "archive_sync": Need(level="verified", permission="archive_sync", classified=True),
        "archive_sync_response": _REPORT,
        # Files and calls
        "file_upload_request": Need(permission="file_transfer", classified=True),
        "file_chunk": _FILES,
        "file_upload_complete": _FILES,
        "file_download_request": _FILES,
        "file_chunk_ack": _FILES,
        "call_invite_federation": Need(permission="voice_calls", classified=True),
        "call_response": _CALLS,
        "call_update": _CALLS,
        "call_end": _CALLS,
        "media_relay_info": Need(permission="media_relay"),
        # Inside one organisation
        "cluster_member_info": Need(forbidden=True),
    }
)


def check(
    relation: Relation | None,
    kind: str,
    classification: str | None = None,
    *,
    absent: Code = Code.SERVER_NOT_TRUSTED,
) -> None:
    """Return if a message of type `kind` may pass under `relation`, else raise `ProtocolError`: `absent` (5001, or 5002
    and 5003 where a relation has ended) without a relation, 5004 below the level, 5005 without the permission, 5006 for
    the classification, 3004 for a type that no link has.

    A type whose classification is judged is refused without one. `archive_sync` names several: check each.
    """
    need = NEEDS.get(kind)
    if need is None:
        raise ProtocolError(Code.UNKNOWN_TYPE, f"{kind} on a link")
    if need.level == "untrusted":
        return
    if relation is None or relation.level == "untrusted":
        raise ProtocolError(absent, kind)
    if need.forbidden:
        raise ProtocolError(Code.PERMISSION_DENIED, f"{kind} is for members of one's own cluster")
    if not at_least(relation.level, need.level):
        raise ProtocolError(Code.INSUFFICIENT_TRUST, f"{kind} needs {need.level}, not {relation.level}")
    if need.permission is not None and need.permission not in relation.permissions:
        raise ProtocolError(Code.PERMISSION_DENIED, f"{kind} needs {need.permission}")
    if need.classified and not allows(relation.level, classification or "", relation.agreement):
        raise ProtocolError(Code.CLASSIFICATION_EXCEEDED, f"{kind} of {classification or 'no classification'}")
