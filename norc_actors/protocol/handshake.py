"""The NORC-C handshake, both ends (section 4; §3.1, §6.8; D-3, D-18, D-25; rows B4, B15, B16).

```
th            = H("norc-c-handshake-v1" ‖ len‖canonical(request) ‖ len‖canonical(accepted less signature))
signature     = Sign(server identity key, "handshake:v1", th)
ikm           = X25519(e_client, e_server) ‖ mlkem_secret if hybrid
master_secret = HKDF(ikm, client_nonce ‖ server_nonce, "norc:ms:v1" ‖ len‖negotiated_version ‖ suite:u16 ‖ th, 32)
```
Rules
- Each object does one handshake, in one order, and is then of no use: `ClientHandshake.request` → `accept`;
  `ServerHandshake.prepare` → (someone signs) → `finish`. Any other order is `WRONG_STATE`.
- The client checks everything that section 4 lists and never falls back: version and mode by `negotiate`, the version
  remembered, the suite by both lists, the server's name, the server's key, the signature. Each refusal is a
  `ProtocolError`; DOWNGRADE says that someone took something away.
- The server never holds its identity key here: `prepare` gives what is to be signed (`ToSign`).
- `ikm`, master secret and ephemeral keys live as long as the call that uses them; the session keeps the traffic keys.
- The subprotocol fixes the encoding (`encodings.py`); the transcript is the same in both.
- The TLS certificate covers `server_name`: that is the socket's to check (`net/`), before any of this.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from norc_actors.crypto import kem
from norc_actors.crypto.errors import BadSignatureError, CryptoError
from norc_actors.crypto.layout import lv, u16
from norc_actors.crypto.signatures import algorithm_of, verify
from norc_actors.crypto.suites import PREFERENCE, SUITES, Algorithm, Suite, choose
from norc_actors.ids import Random, ServerId, new_uuid
from norc_actors.limits import DEFAULT_MAX_FRAME

from .canonical import Value, canonical
from .codec import Received, code_of, convert, to_map
from .encodings import MESSAGEPACK, Encoding, encoding_of
from .errors import Code, PeerError, ProtocolError
from .messages import ConnectionAccepted, ConnectionRequest, ErrorMessage
from .schema import SignedMap
from .sealed import Keys, Role, SealedSession, traffic_keys
from .server_keys import KeyStatus, KnownKeys
from .versions import SPOKEN, check_choice, check_remembered, negotiate, parse_version

REQUEST_CODE = code_of(ConnectionRequest)
ACCEPTED_CODE = code_of(ConnectionAccepted)
ERROR_CODE = code_of(ErrorMessage)


@dataclass(frozen=True, slots=True, kw_only=True)
class Established:
    """A handshake that is over: the sealed session and what both ends now agree on."""

    sealed: SealedSession
    th: bytes
    suite: Suite
    version: str
    compatibility_mode: bool
    server_id: ServerId
    server_public_key: bytes
    key_status: KeyStatus
    """How the client came to accept `server_public_key`: pin it on "first use" (show it) and "rotated"; the server's
    own end says "pinned"."""
    session_id: str
    auth_challenge: bytes
    server_time: int
    peer_capabilities: tuple[str, ...]
    peer_max_frame: int


def transcript_hash(suite: Suite, request: Mapping[str, Value], accepted: Mapping[str, Value]) -> bytes:
    """`th` over both maps as received; the accepted one with or without its signature."""
    return suite.hash(b"norc-c-handshake-v1" + lv(canonical(request)) + lv(canonical(accepted, less=("signature",))))


def master_secret(suite: Suite, ikm: bytes, client_nonce: bytes, server_nonce: bytes, version: str, th: bytes) -> bytes:
    """The master secret of a handshake, 32 bytes."""
    info = b"norc:ms:v1" + lv(version.encode("ascii")) + u16(suite.code) + th
    return suite.hkdf(ikm, client_nonce + server_nonce, info)


def refusal(error: ProtocolError, now: float, encoding: Encoding = MESSAGEPACK) -> bytes:
    """The unsealed error frame for a handshake that failed; it tells an outsider no more than the category allows."""
    return encoding.pack(ErrorMessage.for_error(error, now=now, authenticated=False))


def _need_sealed(version: str) -> None:
    if parse_version(version)[0] != 2:
        raise ProtocolError(Code.NO_COMPATIBLE_VERSION, f"{version} was negotiated, only 2.x is built")


class ClientHandshake:
    """A client's end: send `request`, pass the first frame that comes to `accept`."""

    def __init__(
        self,
        *,
        server_name: ServerId,
        known: KnownKeys,
        random: Random,
        subprotocol: str = "norc-c-v2.0",
        versions: Sequence[str] = SPOKEN,
        suites: Sequence[str] = PREFERENCE,
        capabilities: Sequence[str] = ("messaging",),
        allow_amc_bridge: bool = False,
        remembered_version: str | None = None,
        max_frame: int = DEFAULT_MAX_FRAME,
    ) -> None:
        self._encoding = encoding_of(subprotocol)
        self._known = known
        self._random = random
        self._bridge = allow_amc_bridge
        self._remembered = remembered_version
        self._ephemeral: bytes | None = kem.x25519_private(random)
        hybrid = any(SUITES[name].hybrid for name in suites)
        self._kem_seed = kem.mlkem_seed(random) if hybrid else None
        highest = max(versions, key=parse_version)
        self._request = ConnectionRequest(
            client_versions=tuple(versions),
            preferred_version=highest,
            uri_version=highest,
            subprotocol=subprotocol,
            server_name=server_name,
            capabilities=tuple(capabilities),
            cipher_suites=tuple(suites),
            client_nonce=random(12),
            ephemeral_public_key=kem.x25519_public(self._ephemeral),
            pq_public_key=None if self._kem_seed is None else kem.mlkem_public(self._kem_seed),
            max_frame=max_frame,
        )
        self._request_map = to_map(self._request)
        self.request: bytes = self._encoding.pack(self._request)
        """The connection_request as the first frame."""

    def accept(self, frame: bytes, now: float) -> Established:
        """Check the server's answer and establish the session. `ProtocolError`: abort, audit, close. `PeerError`: the
        server refused."""
        ephemeral, self._ephemeral = self._ephemeral, None
        if ephemeral is None:
            raise ProtocolError(Code.WRONG_STATE, "this handshake is over")
        accepted = self._read(frame)
        suite, status = self._check(accepted.message)
        message = accepted.message
        th = transcript_hash(suite, self._request_map, accepted.map)
        try:
            verify(message.server_public_key, "handshake:v1", th, message.signature)
        except BadSignatureError as error:
            raise ProtocolError(Code.INVALID_SIGNATURE, "the server's handshake signature does not hold") from error
        keys = traffic_keys(suite, self._master_secret(suite, message, ephemeral, th))
        return _established(
            "client", suite, th, keys, self._request, message, status,
            encoding=self._encoding, random=self._random, now=now,
        )  # fmt: skip

    def _read(self, frame: bytes) -> Received[ConnectionAccepted]:
        v1 = self._encoding.unpack(frame, self._request.max_frame)
        if v1.type == ERROR_CODE:
            refused = self._encoding.decode_as(ErrorMessage, v1.payload).message
            raise PeerError(refused.error_code, refused.retry_after)
        if v1.type != ACCEPTED_CODE:
            raise ProtocolError(Code.WRONG_STATE, f"type {v1.type:#04x} instead of connection_accepted")
        return self._encoding.decode_as(ConnectionAccepted, v1.payload)

    def _check(self, accepted: ConnectionAccepted) -> tuple[Suite, KeyStatus]:
        """All that section 4 asks of the client but the signature; lengths and the presence of the hybrid part are the
        struct's own rules."""
        request = self._request
        check_choice(
            request.client_versions,
            accepted.server_versions,
            self._bridge,
            accepted.negotiated_version,
            accepted.compatibility_mode,
        )
        check_remembered(self._remembered, accepted.negotiated_version)
        _need_sealed(accepted.negotiated_version)
        suite = choose(request.cipher_suites, accepted.server_cipher_suites)
        if suite is None or suite.name != accepted.cipher_suite:
            raise ProtocolError(Code.DOWNGRADE, f"suite {accepted.cipher_suite} is not the first of both lists")
        if accepted.server_id != request.server_name:
            raise ProtocolError(Code.INVALID_SIGNATURE, "the server is not the one that was dialled")
        if algorithm_of(accepted.server_public_key) != suite.identity:
            raise ProtocolError(Code.INVALID_SIGNATURE, "the server's key is not of the suite's algorithm")
        return suite, self._known.judge(accepted)

    def _master_secret(self, suite: Suite, accepted: ConnectionAccepted, ephemeral: bytes, th: bytes) -> bytes:
        try:
            ikm = kem.x25519(ephemeral, accepted.ephemeral_public_key)
            if accepted.pq_ciphertext is not None and self._kem_seed is not None:
                ikm += kem.decapsulate(self._kem_seed, accepted.pq_ciphertext)
        except CryptoError as error:
            raise ProtocolError(Code.CRYPTO, "the server's key material is unusable") from error
        self._kem_seed = None
        request = self._request
        version = accepted.negotiated_version
        return master_secret(suite, ikm, request.client_nonce, accepted.server_nonce, version, th)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToSign:
    """What the server's identity key signs: `Sign(key of public_key, label, body)`."""

    public_key: bytes
    label: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOffer:
    """What a server offers to every client: one value per node, shared by all handshakes.

    `public_keys` has an identity key for every algorithm that `suites` needs; `rotations` are carried for 180 days.
    """

    server_id: ServerId
    public_keys: Mapping[Algorithm, bytes]
    versions: tuple[str, ...] = SPOKEN
    suites: tuple[str, ...] = ("0101", "0001")
    capabilities: tuple[str, ...] = ("e2ee",)
    allow_amc_bridge: bool = False
    max_frame: int = DEFAULT_MAX_FRAME
    rotations: tuple[SignedMap, ...] | None = None
    build_attestation_hash: bytes | None = None

    def __post_init__(self) -> None:
        missing = {SUITES[name].identity for name in self.suites} - set(self.public_keys)
        if missing:
            raise ValueError(f"no identity key of {', '.join(sorted(missing))} for the suites offered")


@dataclass(slots=True, kw_only=True)
class _Pending:
    """Between `prepare` and `finish`."""

    request: ConnectionRequest
    unsigned: dict[str, Value]
    suite: Suite
    th: bytes
    keys: Keys
    encoding: Encoding


class ServerHandshake:
    """A server's end: pass the first frame to `prepare`, have the result signed, pass the signature to `finish`.

    `encapsulate` is a parameter for tests alone, since a recorded ciphertext cannot be made again.
    """

    def __init__(
        self,
        offer: ServerOffer,
        *,
        random: Random,
        encapsulate: Callable[[bytes], tuple[bytes, bytes]] = kem.encapsulate,
    ) -> None:
        self._offer = offer
        self._random = random
        self._encapsulate = encapsulate
        self._used = False
        self._pending: _Pending | None = None

    def prepare(self, frame: bytes, *, uri_version: str, subprotocol: str, now: float) -> ToSign:
        """Judge a connection_request and draw the answer. `ProtocolError`: send `refusal` and close.

        `uri_version` stood in the URL, `subprotocol` is the one that was selected; the request must repeat both.
        """
        if self._used:
            raise ProtocolError(Code.WRONG_STATE, "this handshake has begun")
        self._used = True
        encoding = encoding_of(subprotocol)
        v1 = encoding.unpack(frame, self._offer.max_frame)
        if v1.type != REQUEST_CODE:
            raise ProtocolError(Code.WRONG_STATE, f"type {v1.type:#04x} instead of connection_request")
        received = encoding.decode_as(ConnectionRequest, v1.payload)
        request = received.message
        suite, version, compatibility = self._choose(request, uri_version, subprotocol)
        ephemeral = kem.x25519_private(self._random)
        ikm, pq_ciphertext = self._agree(suite, request, ephemeral)
        accepted = ConnectionAccepted(
            server_versions=self._offer.versions,
            negotiated_version=version,
            compatibility_mode=compatibility,
            server_capabilities=self._offer.capabilities,
            server_cipher_suites=self._offer.suites,
            cipher_suite=suite.name,  # type: ignore[arg-type]  # a row of the table that the atoms repeat
            server_id=self._offer.server_id,
            server_public_key=self._offer.public_keys[suite.identity],
            session_id=new_uuid(self._random),
            server_nonce=self._random(12),
            ephemeral_public_key=kem.x25519_public(ephemeral),
            pq_ciphertext=pq_ciphertext,
            auth_challenge=self._random(32),
            server_time=int(now),
            max_frame=self._offer.max_frame,
            build_attestation_hash=self._offer.build_attestation_hash,
            server_rotation=self._offer.rotations,
            signature=bytes(64),
        )
        unsigned = to_map(accepted)
        th = transcript_hash(suite, received.map, unsigned)
        ms = master_secret(suite, ikm, request.client_nonce, accepted.server_nonce, version, th)
        keys = traffic_keys(suite, ms)
        self._pending = _Pending(request=request, unsigned=unsigned, suite=suite, th=th, keys=keys, encoding=encoding)
        return ToSign(public_key=accepted.server_public_key, label="handshake:v1", body=th)

    def _choose(self, request: ConnectionRequest, uri_version: str, subprotocol: str) -> tuple[Suite, str, bool]:
        offer = self._offer
        if not request.preferred_version == request.uri_version == uri_version:
            raise ProtocolError(Code.MALFORMED, "the URL's version is not the preferred one")
        if request.subprotocol != subprotocol:
            raise ProtocolError(Code.MALFORMED, "the subprotocol is not the selected one")
        if request.server_name != offer.server_id:
            raise ProtocolError(Code.PROTOCOL, "dialled under another name")
        version, compatibility = negotiate(request.client_versions, offer.versions, offer.allow_amc_bridge)
        _need_sealed(version)
        suite = choose(request.cipher_suites, offer.suites)
        if suite is None:
            raise ProtocolError(Code.ALGORITHM_UNSUPPORTED, "no cipher suite in common")
        return suite, version, compatibility

    def _agree(self, suite: Suite, request: ConnectionRequest, ephemeral: bytes) -> tuple[bytes, bytes | None]:
        """(ikm, pq_ciphertext)."""
        try:
            ikm = kem.x25519(ephemeral, request.ephemeral_public_key)
            if not suite.hybrid or request.pq_public_key is None:
                return ikm, None
            pq_ciphertext, secret = self._encapsulate(request.pq_public_key)
        except CryptoError as error:
            raise ProtocolError(Code.CRYPTO, "the client's key material is unusable") from error
        return ikm + secret, pq_ciphertext

    def finish(self, signature: bytes, now: float) -> tuple[bytes, Established]:
        """(the connection_accepted as a frame, the session), given the signature that `prepare` asked for."""
        pending, self._pending = self._pending, None
        if pending is None:
            raise ProtocolError(Code.WRONG_STATE, "nothing waits for a signature")
        accepted = convert(pending.unsigned | {"signature": signature}, ConnectionAccepted)
        frame = pending.encoding.pack(accepted)
        established = _established(
            "server", pending.suite, pending.th, pending.keys, pending.request, accepted, "pinned",
            encoding=pending.encoding, random=self._random, now=now,
        )  # fmt: skip
        return frame, established


def _established(
    role: Role,
    suite: Suite,
    th: bytes,
    keys: Keys,
    request: ConnectionRequest,
    accepted: ConnectionAccepted,
    status: KeyStatus,
    *,
    encoding: Encoding,
    random: Random,
    now: float,
) -> Established:
    client = role == "client"
    sealed = encoding.session(
        role=role,
        suite=suite,
        th=th,
        keys=keys,
        random=random,
        now=now,
        send_limit=accepted.max_frame if client else request.max_frame,
        receive_limit=request.max_frame if client else accepted.max_frame,
    )
    return Established(
        sealed=sealed,
        th=th,
        suite=suite,
        version=accepted.negotiated_version,
        compatibility_mode=accepted.compatibility_mode,
        server_id=accepted.server_id,
        server_public_key=accepted.server_public_key,
        key_status=status,
        session_id=accepted.session_id,
        auth_challenge=accepted.auth_challenge,
        server_time=accepted.server_time,
        peer_capabilities=accepted.server_capabilities if client else request.capabilities,
        peer_max_frame=accepted.max_frame if client else request.max_frame,
    )


__all__ = [
    "ClientHandshake",
    "Established",
    "KeyStatus",
    "KnownKeys",
    "ServerHandshake",
    "ServerOffer",
    "ToSign",
    "master_secret",
    "refusal",
    "transcript_hash",
]
