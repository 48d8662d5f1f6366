"""Messages of the connection itself: handshake, authentication, keep-alive, re-key, errors (fields.md; section 4)."""

from typing import Annotated, Literal

from norc_actors.limits import MAX_INTEGER
from norc_actors.protocol.errors import ERRORS, Category, Code, ProtocolError, malformed, outward
from norc_actors.protocol.schema import (
    Atoms,
    Bound,
    Bytes12,
    Bytes16,
    Bytes32,
    CertificateMap,
    Count,
    DeviceUuid,
    FreeMap,
    KemCiphertext,
    KemKey,
    Map,
    Message,
    Micros,
    Plain,
    PublicKey,
    Range,
    Seconds,
    Server,
    Signature,
    SignedMap,
    SuiteName,
    Unit,
    User,
    Uuid,
    Version,
    Versions,
)

from .vocabulary import MaxFrame, Name, Remark, Url

HYBRID_SUITES = frozenset({"0101", "0102"})


class ConnectionRequest(Message, frozen=True, kw_only=True, omit_defaults=True, tag="connection_request"):
    """What a client offers; the whole map, unknown members included, enters the transcript."""

    client_versions: Versions
    preferred_version: Version
    uri_version: Version
    subprotocol: Annotated[str, Bound(1, 64)]
    server_name: Server
    capabilities: Atoms
    cipher_suites: Atoms
    client_nonce: Bytes12
    ephemeral_public_key: Bytes32
    pq_public_key: KemKey | None = None
    max_frame: MaxFrame

    def _rule(self) -> None:
        """`pq_public_key` goes with a hybrid suite in `cipher_suites`, and only then."""
        if (self.pq_public_key is not None) != (not HYBRID_SUITES.isdisjoint(self.cipher_suites)):
            raise malformed("ConnectionRequest.pq_public_key goes with a hybrid suite in the list, and only then")


class ConnectionAccepted(Message, frozen=True, kw_only=True, omit_defaults=True, tag="connection_accepted"):
    """What the server chose, signed over the transcript."""

    server_versions: Versions
    negotiated_version: Version
    compatibility_mode: bool
    server_capabilities: Atoms
    server_cipher_suites: Atoms
    cipher_suite: SuiteName
    server_id: Server
    server_public_key: PublicKey
    session_id: Uuid
    server_nonce: Bytes12
    ephemeral_public_key: Bytes32
    pq_ciphertext: KemCiphertext | None = None
    auth_challenge: Bytes32
    server_time: Seconds
    max_frame: MaxFrame
    build_attestation_hash: Bytes32 | None = None
    server_rotation: tuple[Annotated[SignedMap, Plain("ServerRotation")], ...] | None = None
    signature: Signature

    def _rule(self) -> None:
        """`pq_ciphertext` goes with a hybrid `cipher_suite`, and only then."""
        if (self.pq_ciphertext is not None) != (self.cipher_suite in HYBRID_SUITES):
            raise malformed("ConnectionAccepted.pq_ciphertext goes with a hybrid suite, and only then")


class VersionConfirmation(Message, frozen=True, kw_only=True, omit_defaults=True, tag="version_confirmation"):
    """The first frame of a connection that negotiated by upgrade headers (row B5)."""

    negotiated_version: Version
    server_capabilities: Atoms
    client_must_support: Atoms
    compatibility_features: Atoms
    session_id: Uuid


class AuthRequest(Message, frozen=True, kw_only=True, omit_defaults=True, tag="auth_request"):
    """A device proves itself: the signature covers transcript and challenge of the connection too."""

    user_id: User
    device_id: DeviceUuid
    timestamp: Seconds
    signature: Signature


class UserInfo(Map, frozen=True, kw_only=True, omit_defaults=True):
    """What a server tells a device about its own user."""

    user_id: User
    display_name: Name | None = None
    avatar_url: Url | None = None
    permissions: tuple[Literal["send_messages", "make_calls", "create_rooms", "admin"], ...]


class AuthResponse(Message, frozen=True, kw_only=True, omit_defaults=True, tag="auth_response"):
    """The device is let in; a failure is an `error` instead."""

    result: Literal["ok"]
    session_id: Uuid
    user_info: UserInfo
    server_capabilities: Atoms
    device_certificate: CertificateMap
    expires_at: Seconds


class Ping(Message, frozen=True, kw_only=True, omit_defaults=True, tag="ping"):
    """Every 30 s, from either side."""

    timestamp: Seconds


class Pong(Message, frozen=True, kw_only=True, omit_defaults=True, tag="pong"):
    """Answers a ping; whoever sends it has committed every frame that came before that ping."""

    timestamp: Seconds


class SessionRekey(Message, frozen=True, kw_only=True, omit_defaults=True, tag="session_rekey"):
    """Renews the keys of the connection (section 4); the application never sees it."""

    mode: Literal["update", "dh", "dh_done"]
    ephemeral_public_key: Bytes32 | None = None
    pq_public_key: KemKey | None = None
    pq_ciphertext: KemCiphertext | None = None

    def _rule(self) -> None:
        """Key material goes with mode `dh` alone, which always has `ephemeral_public_key`; at most one of the `pq_`
        members."""
        if (self.mode == "dh") != (self.ephemeral_public_key is not None):
            raise malformed("SessionRekey.ephemeral_public_key goes with dh, and only then")
        if self.mode != "dh" and (self.pq_public_key is not None or self.pq_ciphertext is not None):
            raise malformed("SessionRekey has key material with dh alone")
        if self.pq_public_key is not None and self.pq_ciphertext is not None:
            raise malformed("SessionRekey is a request or an answer")


class TimeSyncRequest(Message, frozen=True, kw_only=True, omit_defaults=True, tag="time_sync"):
    """Asks for the server's signed time."""

    nonce: Bytes16


class TimeSync(Message, frozen=True, kw_only=True, omit_defaults=True, tag="time_sync"):
    """The server's time, signed (`time:v1`) over the map less signature."""

    server_id: Server
    nonce: Bytes16
    server_time_us: Micros
    uncertainty_ms: Annotated[Count, Unit("ms")]
    signature: Signature


class Extension(Message, frozen=True, kw_only=True, omit_defaults=True, tag="extension"):
    """Carries what a registered extension defines (§10.2)."""

    extension_id: Name
    extension_version: Name
    extension_data: FreeMap


class ErrorMessage(Message, frozen=True, kw_only=True, omit_defaults=True, tag="error"):
    """A refusal. Its text is fixed by its code (`of`), so that nothing else leaves."""

    error_code: Annotated[int, Range(0, MAX_INTEGER)]
    error_category: Category
    message: Remark
    retry_after: Seconds | None = None
    details: FreeMap | None = None
    request_id: Uuid | None = None
    timestamp: Seconds

    @classmethod
    def of(
        cls,
        code: Code,
        *,
        now: float,
        request_id: str | None = None,
        retry_after: int | None = None,
        authenticated: bool = True,
    ) -> "ErrorMessage":
        """The message for `code` with the registry's text; the unauthenticated learn no more than the category."""
        info = ERRORS[outward(code, authenticated=authenticated)]
        return cls(
            error_code=info.code.value,
            error_category=info.category,
            message=info.text,
            retry_after=retry_after,
            request_id=request_id,
            timestamp=int(now),
        )

    @classmethod
    def for_error(
        cls, error: ProtocolError, *, now: float, request_id: str | None = None, authenticated: bool = True
    ) -> "ErrorMessage":
        """The message for a `ProtocolError`; its detail stays here."""
        return cls.of(
            error.code, now=now, request_id=request_id, retry_after=error.retry_after, authenticated=authenticated
        )
