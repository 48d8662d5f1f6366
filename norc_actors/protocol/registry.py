"""Type codes and names (section 3, *Registry*; §8.3; row B21), and the struct of each type.

Rules
- `NAMES` is section 3's table, complete; a code or name stands nowhere else.
- A type whose map has two shapes (a state and the request for one, an opening and "unknown session", a question about
  the time and its answer) names the member that tells them apart: `Shapes.member` present means `with_member`.
- Every type has its struct. What this build's ends do not serve is refused by the table of states, not here.
"""

from collections.abc import Container
from dataclasses import dataclass

from . import messages as m
from .schema import Message, type_name

NAMES: dict[int, str] = {
    0x00: "connection_request", 0x01: "connection_accepted", 0x02: "device_register", 0x03: "auth_request",
    0x04: "auth_response", 0x05: "device_revoke", 0x06: "registration_challenge", 0x07: "registration_response",
    0x08: "registration_success", 0x09: "ping", 0x0A: "pong", 0x0B: "version_confirmation", 0x0E: "extension",
    0x0F: "error",
    0x10: "message_send", 0x11: "message_ack", 0x12: "message_received", 0x13: "read_receipt",
    0x20: "presence_update", 0x21: "presence_subscribe", 0x22: "presence_notification",
    0x30: "key_request", 0x31: "key_response", 0x32: "session_key_exchange", 0x33: "time_sync", 0x34: "session_rekey",
    0x35: "prekey_upload", 0x36: "prekey_status",
    0x40: "file_manifest", 0x41: "file_upload_request", 0x42: "file_chunk", 0x43: "file_upload_complete",
    0x44: "file_download_request", 0x45: "file_chunk_ack",
    0x50: "conversation_create", 0x51: "conversation_join", 0x52: "conversation_leave", 0x53: "conversation_state",
    0x54: "conversation_update",
    0x60: "call_invite", 0x61: "call_response", 0x62: "call_update", 0x63: "call_end",
    0x70: "federation_hello", 0x71: "federation_hello_response", 0x72: "federation_handshake",
    0x73: "federation_handshake_response", 0x74: "trust_status", 0x75: "trust_status_response", 0x76: "user_lookup",
    0x77: "user_lookup_response", 0x78: "presence_federation", 0x79: "archive_sync", 0x7A: "archive_sync_response",
    0x7B: "call_invite_federation", 0x7C: "media_relay_info", 0x7D: "cluster_member_info", 0x7E: "health_check",
    0x7F: "health_status",
    0x80: "message_relay", 0x81: "delivery_ack", 0x82: "relay_ack", 0x83: "rate_limit_exceeded",
    0x84: "federation_error", 0x85: "batch",
    0x90: "server_discovery", 0x91: "server_info", 0x9F: "trust_capabilities",
    0xA0: "trust_request", 0xA1: "trust_challenge", 0xA2: "trust_response", 0xA3: "trust_revoke",
    0xA4: "trust_decision", 0xA5: "trust_acknowledgment", 0xA6: "revocation_acknowledgment", 0xA7: "crl_request",
    0xA8: "trust_crl", 0xA9: "trust_recommendation", 0xAA: "trust_recommendation_response",
    0xAB: "gov_pki_trust_request", 0xAC: "trust_health_check", 0xAD: "trust_health_report", 0xAE: "trust_renewal",
    0xAF: "compliance_report", 0xB0: "compliance_report_response", 0xB1: "audit_root_query", 0xB2: "audit_root",
}  # fmt: skip
"""Every type of section 3, by code."""

CODES: dict[str, int] = {name: code for code, name in NAMES.items()}
"""Every code, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shapes:
    """The struct of a type, or its two structs and the member that tells them apart."""

    usual: type[Message]
    member: str | None = None
    with_member: type[Message] | None = None

    def of(self, members: Container[str]) -> type[Message]:
        """The struct for a map with these members."""
        if self.with_member is not None and self.member in members:
            return self.with_member
        return self.usual

    @property
    def all(self) -> tuple[type[Message], ...]:
        """Every struct of the type, the usual one first."""
        return (self.usual,) if self.with_member is None else (self.usual, self.with_member)


_TWO_SHAPES = (
    Shapes(usual=m.SessionOpening, member="status", with_member=m.UnknownSession),
    Shapes(usual=m.TimeSyncRequest, member="server_id", with_member=m.TimeSync),
    Shapes(usual=m.ConversationStateRequest, member="state", with_member=m.ConversationState),
)
_TWO_SHAPED = frozenset(kind for shapes in _TWO_SHAPES for kind in shapes.all)
_LEGACY: tuple[type[Message], ...] = (m.MessageSend1, m.MessageReceived1, m.MessageRelay1)


def _one_shape() -> list[type[Message]]:
    """Every other message struct that `messages` exports: to be exported is to be registered."""
    named = [getattr(m, name) for name in m.__all__]
    kinds = [kind for kind in named if isinstance(kind, type) and issubclass(kind, Message)]
    return [kind for kind in kinds if kind not in _TWO_SHAPED and kind not in _LEGACY]


def _by_code() -> dict[int, Shapes]:
    shapes = {code_of(shape.usual): shape for shape in _TWO_SHAPES}
    shapes.update((code_of(kind), Shapes(usual=kind)) for kind in _one_shape())
    return dict(sorted(shapes.items()))


def code_of(kind: type[Message]) -> int:
    """The type code of a message struct."""
    name = type_name(kind)
    if name is None:
        raise TypeError(f"{kind.__name__} is no message")
    return CODES[name]


STRUCTS: dict[int, Shapes] = _by_code()
"""The structs of every type, by code; the forms of 1.x stand in `LEGACY`."""

LEGACY: dict[int, type[Message]] = {code_of(kind): kind for kind in _LEGACY}
"""The structs of the types whose form is another one at 1.x, by code (`translation.py`)."""
