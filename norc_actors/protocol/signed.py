"""Which signature covers which member, as one table (section 1, *Signatures*).

Rules
- A struct that is signed, or whose members enter something signed, stands here; the checks themselves stand with the
  formulas (`handshake.py`, `auth.py`, `sealing.py`, `relay.py`, `trust_transcript.py`, …), and the documents print the
  table beside each member.
- `less` are the members outside the signature, `only` the members inside it; one of the two says it. Unknown members
  count as inside where `less` says it: what is signed is the received map.
"""

from collections.abc import Collection
from dataclasses import dataclass

from . import messages as m
from .schema import Map, Message, type_name

_CLEAR = ("message_id", "conversation_id", "epoch", "chain_id", "sequence_number", "prev_message_hash", "suite",
          "key_commitment", "metadata")  # fmt: skip
"""The clear members of a message that its signature covers; the ciphertext it covers by the hash of what is inside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """The label of a signature and what of a map it covers."""

    label: str
    less: Collection[str] = ()
    only: Collection[str] | None = None

    def covers(self, member: str) -> bool:
        """Whether a change of this member breaks the signature."""
        return member not in self.less if self.only is None else member in self.only


def _less(label: str, *members: str) -> Signed:
    return Signed(label=label, less=members or ("signature",))


def _only(label: str, *members: str) -> Signed:
    return Signed(label=label, only=members)


SIGNED: dict[type[Map], Signed] = {
    m.ConnectionRequest: Signed(label="handshake:v1"),
    m.ConnectionAccepted: _less("handshake:v1"),
    m.AuthRequest: _only("auth:v1", "user_id", "device_id", "timestamp"),
    m.DeviceRegister: Signed(label="register:v1"),
    m.RegistrationChallenge: _only("register:v1", "challenge"),
    m.Record: Signed(label="user-device:v1"),
    m.DeviceCertificate: _less("device-cert:v1"),
    m.UserRotation: _less("user-rotate:v1"),
    m.ServerRotation: _less("server-rotate:v1", "signatures"),
    m.DeviceRevoke: _less("device-revoke:v1"),
    m.Bundle: _less("prekey:v1"),
    m.OneTimeKey: _less("prekey:v1"),
    m.SessionOpening: _less("session:v1"),
    m.UnknownSession: _less("session:v1"),
    m.MessageSend: _only("message:v1", *_CLEAR),
    m.MessageReceived: _only("message:v1", *_CLEAR, "sender_user", "sender_device"),
    m.Metadata: Signed(label="message:v1"),
    m.Inner: Signed(label="message:v1"),
    m.ReadReceipt: _less("receipt:v1"),
    m.State: Signed(label="conversation:v1"),
    m.ConversationCreate: _only("conversation:v1", "state"),
    m.ConversationUpdate: _only("conversation:v1", "state"),
    m.ConversationState: _only("conversation:v1", "state"),
    m.ConversationJoin: _less("conversation:v1"),
    m.ConversationLeave: _less("conversation:v1"),
    m.TimeSync: _less("time:v1"),
    m.FederationHello: Signed(label="fed-link:v1"),
    m.FederationHelloResponse: Signed(label="fed-link:v1"),
    m.FederationHandshake: _less("fed-link:v1"),
    m.FederationHandshakeResponse: _less("fed-link:v1"),
    m.Batch: _less("fed-request:v1"),
    m.MessageRelay: _less(
        "relay:v1", "signature", "route_path", "route_signatures", "link_epoch", "link_sequence"
    ),
    m.MessageRelay1: _less("relay:v1", "signature", "route_path"),
    m.RelayMetadata: _less("relay:v1", "hop_count", "federation_timestamp"),
    m.RouteSignature: _less("route:v1"),
    m.RelayAck: _less("relay:v1"),
    m.ServerDiscovery: _less("server-info:v1"),
    m.ServerInfo: _less("server-info:v1"),
    m.TrustCertificate: _less("trust-cert:v1"),
    m.TrustCrl: _less("trust-crl:v1"),
    m.AuditRoot: _less("audit-root:v1"),
}  # fmt: skip
"""By struct; NORC-T's messages, whose label is their type's, are in `signed_as`."""

_TRUST_MODULES = frozenset(f"{m.__name__}.{name}" for name in ("trust", "trust_decision", "trust_reports"))


def signed_as(kind: type[Map]) -> Signed | None:
    """What signs a struct's members, None if nothing does."""
    if kind in SIGNED:
        return SIGNED[kind]
    name = type_name(kind)
    if name is None or not issubclass(kind, Message) or kind.__module__ not in _TRUST_MODULES:
        return None
    return _less(f"trust-{name.removeprefix('trust_').replace('_', '-')}:v1")
