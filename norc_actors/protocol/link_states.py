"""States of a link between two servers as one table: which type may come or go when, and what follows (section 8,
*Link* and *Other traffic*; section 9; row `B98`).

```
opening ──federation_hello──▶ greeted ──federation_hello_response──▶ answered ──federation_handshake──▶ proven
proven ──federation_handshake_response──▶ untrusted | trusted        trusted ◀──CRL──▶ suspended       all ──▶ closed
```
Rules
- The handshake's four messages alone come unsealed, each from one end; a `federation_error` in place of the responder's
  ends it.
- Sealed frames carry `batch` or `session_rekey` (that one the sealed session consumes); this table is of what is inside
  a batch.
- On an `untrusted` link: discovery, the trust exchange, revocations (whom one revokes, one no longer trusts, and must
  still tell), refusals; nothing that moves a user's data.
- `suspended` (no fresh CRL for 300 s) is trusted for everything but what a trust certificate permits: what waits stays
  in the outbox.
- Which of them a certificate permits is `relay.py`'s and the trust relation's to say, not this table's.
"""

from typing import Literal

from .errors import Code, ProtocolError
from .registry import CODES, NAMES

LinkState = Literal["opening", "greeted", "answered", "proven", "untrusted", "trusted", "suspended", "closed"]
LinkEnd = Literal["initiator", "responder"]
LINK_STATES: tuple[LinkState, ...] = (
    "opening", "greeted", "answered", "proven", "untrusted", "trusted", "suspended", "closed",
)  # fmt: skip
ENDS: tuple[LinkEnd, ...] = ("initiator", "responder")

HANDSHAKE: dict[tuple[LinkEnd, LinkState, str], LinkState] = {
    ("initiator", "opening", "federation_hello"): "greeted",
    ("responder", "greeted", "federation_hello_response"): "answered",
    ("responder", "greeted", "federation_error"): "closed",
    ("initiator", "answered", "federation_handshake"): "proven",
    ("responder", "proven", "federation_handshake_response"): "untrusted",
    ("responder", "proven", "federation_error"): "closed",
}
"""(who sends, state, type) → state; the last step leads to `trusted` where the peer's key was pinned."""

EVENTS: dict[tuple[LinkState, str], LinkState] = {
    ("untrusted", "certified"): "trusted",
    ("trusted", "crl stale"): "suspended",
    ("suspended", "crl fresh"): "trusted",
    ("trusted", "revoked"): "closed",
    ("suspended", "revoked"): "closed",
}
"""What changes a link's state besides messages: a certificate, a revocation, the age of the peer's CRL."""

_ANYBODY = (
    "server_discovery", "server_info", "trust_capabilities", "trust_request", "trust_challenge", "trust_response",
    "trust_decision", "trust_acknowledgment", "trust_revoke", "revocation_acknowledgment", "rate_limit_exceeded",
    "federation_error",
)  # fmt: skip
_RELATION = (
    "trust_status", "trust_status_response", "crl_request", "trust_crl", "trust_recommendation",
    "trust_recommendation_response", "gov_pki_trust_request", "trust_health_check", "trust_health_report",
    "trust_renewal", "compliance_report", "compliance_report_response", "audit_root_query", "audit_root",
    "health_check", "health_status",
)  # fmt: skip
_PERMITTED = (
    "user_lookup", "user_lookup_response", "presence_federation", "archive_sync", "archive_sync_response",
    "call_invite_federation", "media_relay_info", "cluster_member_info", "message_relay", "delivery_ack", "relay_ack",
    "device_revoke", "read_receipt", "session_key_exchange", "file_upload_request", "file_chunk",
    "file_upload_complete", "file_download_request", "file_chunk_ack", "conversation_create", "conversation_join",
    "conversation_leave", "conversation_state", "conversation_update", "call_response", "call_update", "call_end",
)  # fmt: skip

_INSIDE: dict[LinkState, tuple[str, ...]] = {
    "untrusted": _ANYBODY,
    "trusted": (*_ANYBODY, *_RELATION, *_PERMITTED),
    "suspended": (*_ANYBODY, *_RELATION),
}

LINK_TABLE: dict[tuple[LinkEnd, LinkState, int], LinkState] = {
    **{(end, state, CODES[name]): state for end in ENDS for state, names in _INSIDE.items() for name in names},
    **{(end, state, CODES[name]): following for (end, state, name), following in HANDSHAKE.items()},
}
"""(who sends, state, type code) → the state after it; what is absent is refused."""

LINK_TYPES: frozenset[int] = frozenset(code for _, _, code in LINK_TABLE)


def after_message(sender: LinkEnd, state: LinkState, code: int, *, pinned: bool = False) -> LinkState:
    """The state after a message of type `code`, unsealed or inside a batch; `ProtocolError` 3002 if it may not come
    now, 3004 for a type that no link has. `pinned`: whether the peer's key came from its trust certificate."""
    following = LINK_TABLE.get((sender, state, code))
    if following is not None:
        return "trusted" if (state, following, pinned) == ("proven", "untrusted", True) else following
    if code not in LINK_TYPES:
        raise ProtocolError(Code.UNKNOWN_TYPE, f"type {code:#04x} ({NAMES.get(code, 'in no registry')}) on a link")
    raise ProtocolError(Code.WRONG_STATE, f"{NAMES[code]} from the {sender} when {state}")


def after_event(state: LinkState, event: str) -> LinkState:
    """The state after one of `EVENTS`, or after `closed`, which every state takes; ProtocolError 3002 otherwise."""
    following = "closed" if event == "closed" else EVENTS.get((state, event))
    if following is None:
        raise ProtocolError(Code.WRONG_STATE, f"{event} when {state}")
    return following
