"""A link between servers: what both ends of its handshake offer, know and keep (section 8, *Link*).

```
th_n = H("norc-f-handshake-v1" ‖ len‖canonical(m_1 less signature) ‖ … ‖ len‖canonical(m_n less signature))
```
Rules
- `LinkOffer` is one value per node, `Peer` what is known of the other end before a word is said, `LinkEstablished` what
  a handshake gives.
- `Side` keeps the messages as received, which the transcript is computed from, and the step that is due.
- The checks here are those that both ends make, each raising `ProtocolError`.

The order of the messages is in `federation_handshake.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from norc_actors.crypto.errors import BadSignatureError
from norc_actors.crypto.layout import lv
from norc_actors.crypto.secret import same
from norc_actors.crypto.signatures import algorithm_of, verify
from norc_actors.crypto.suites import SUITES, Algorithm, Suite
from norc_actors.ids import Random, ServerId
from norc_actors.limits import DEFAULT_FEDERATION_FRAME

from .canonical import Value, canonical
from .codec import Received, decode_as, encode
from .errors import Code, PeerError, ProtocolError, malformed
from .frames import encode_federation, federation_stream
from .handshake import master_secret
from .messages.federation import (
    FederationError,
    FederationHandshake,
    FederationHandshakeResponse,
    FederationHello,
    FederationHelloResponse,
    ProtocolVersions,
)
from .schema import Message
from .sealed import Role, SealedSession, traffic_keys
from .trust_levels import TrustLevel
from .versions import parse_version

_CODES: dict[type[Message], int] = {
    FederationHello: 0x70,
    FederationHelloResponse: 0x71,
    FederationHandshake: 0x72,
    FederationHandshakeResponse: 0x73,
}
FEDERATION_ERROR = 0x84
Hello = FederationHello | FederationHelloResponse
M = TypeVar("M", bound=Message)

SPOKEN_F = ("2.0",)
SPOKEN_T = ("1.0", "1.1")


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkOffer:
    """What this server offers on every link: one value per node.

    `tls_fingerprint` is SHA-256 of this server's leaf certificate (DER).
    """

    server_id: ServerId
    public_keys: Mapping[Algorithm, bytes]
    tls_fingerprint: bytes
    versions: tuple[str, ...] = SPOKEN_F
    trust_versions: tuple[str, ...] = SPOKEN_T
    suites: tuple[str, ...] = ("0101", "0001")
    capabilities: tuple[str, ...] = ("federation", "message_relay")
    required_features: tuple[str, ...] = ()
    min_trust_level: TrustLevel = "basic"
    allow_amc_bridge: bool = False
    max_frame: int = DEFAULT_FEDERATION_FRAME

    def __post_init__(self) -> None:
        missing = {SUITES[name].identity for name in self.suites} - set(self.public_keys)
        if missing:
            raise ValueError(f"no identity key of {', '.join(sorted(missing))} for the suites offered")

    @property
    def protocol_versions(self) -> ProtocolVersions:
        """As both hellos have it."""
        return ProtocolVersions(norc_f=self.versions, norc_t=self.trust_versions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """What this server knows of the other end before the handshake.

    `keys` are those that its trust certificate pins, None for a server without trust. `tls_fingerprint` is what TLS
    showed, and TLS has checked that the leaf names `server_id`. `sees_key`: whether our hello shows our identity key
    also to a peer whose keys are pinned here, since nobody knows what that one has pinned.
    """

    server_id: ServerId
    tls_fingerprint: bytes
    keys: tuple[bytes, ...] | None = None
    hybrid_required: bool = False
    remembered_version: str | None = None
    sees_key: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkEstablished:
    """A link whose handshake is over."""

    sealed: SealedSession
    th: bytes
    suite: Suite
    version: str
    trust_version: str
    compatibility_mode: bool
    peer: ServerId
    peer_key: bytes
    trusted: bool
    """Whether `peer_key` was pinned; if not, the link carries discovery and the trust exchange alone."""
    capabilities: tuple[str, ...]
    """What both ends have."""
    connection_id: str


def transcript_hash(suite: Suite, messages: Sequence[Mapping[str, Value]]) -> bytes:
    """th_n over the first n messages as received, their signatures left out."""
    forms = (lv(canonical(message, less=("signature",))) for message in messages)
    return suite.hash(b"norc-f-handshake-v1" + b"".join(forms))


def read(frame: bytes, major: int, kind: type[M], max_frame: int) -> Received[M]:
    """The one unsealed federation frame that is due."""
    stream = federation_stream(max_frame)
    frames = stream.feed(frame)
    if len(frames) != 1 or not stream.between_frames:
        raise malformed("a handshake message is one federation frame")
    code = frames[0].type
    if code == FEDERATION_ERROR:
        raise PeerError(decode_as(FederationError, frames[0].body).message.error_code)
    if code != _CODES[kind]:
        raise ProtocolError(Code.WRONG_STATE, f"type {code:#04x} instead of {kind.__name__}")
    if frames[0].version != major:
        raise ProtocolError(Code.PROTOCOL_VERSION, "the frame's version is not the ALPN's")
    return decode_as(kind, frames[0].body)


def check_peer(hello: Hello, peer: Peer) -> None:
    if hello.server_id != peer.server_id:
        raise ProtocolError(Code.BAD_SIGNATURE, "the hello names another server than TLS did")
    if not same(hello.tls_fingerprint, peer.tls_fingerprint):
        raise ProtocolError(Code.BAD_SIGNATURE, "the hello names another certificate than TLS showed")


def peer_key(hello: Hello, peer: Peer, suite: Suite) -> bytes:
    """The identity key of the suite's algorithm: pinned, or for a server without trust the one that it shows."""
    shown = () if hello.server_public_key is None else (hello.server_public_key,)
    for key in shown if peer.keys is None else peer.keys:
        if algorithm_of(key) == suite.identity:
            return key
    raise ProtocolError(Code.BAD_SIGNATURE, f"no identity key of {peer.server_id} for suite {suite.name}")


def verify_side(key: bytes, side: Literal["initiator", "responder"], th: bytes, signature: bytes) -> None:
    try:
        verify(key, "fed-link:v1", side.encode() + th, signature)
    except BadSignatureError as error:
        raise ProtocolError(Code.BAD_SIGNATURE, f"the {side}'s link signature") from error


def check_hybrid(suite: Suite, peer: Peer) -> None:
    if peer.hybrid_required and not suite.hybrid:
        raise ProtocolError(Code.PQ_REQUIRED, f"suite {suite.name} with {peer.server_id}")


def check_major(side: "Side", version: str) -> None:
    if parse_version(version)[0] != side.major:
        raise ProtocolError(Code.DOWNGRADE, "the ALPN is of another major than the version")


def _alpn_major(alpn: str) -> int:
    name, _, version = alpn.partition("/")
    if name != "norc-f":
        raise malformed("no ALPN of NORC-F")
    return parse_version(version)[0]


class Side:
    """What both ends keep: the messages so far, as received, and the step that is due."""

    def __init__(self, offer: LinkOffer, peer: Peer, random: Random, alpn: str) -> None:
        self.offer = offer
        self.peer = peer
        self.random = random
        self.alpn = alpn
        self.major = _alpn_major(alpn)
        self.maps: list[dict[str, Value]] = []
        self.hello: FederationHello | None = None
        self.response: FederationHelloResponse | None = None
        self._step = 0

    def at(self, step: int) -> None:
        """Go from `step` on, or WRONG_STATE; until `done` no step fits, so an error ends the handshake."""
        if self._step != step:
            raise ProtocolError(Code.WRONG_STATE, "this handshake is at another step")
        self._step = -1

    def done(self, step: int) -> None:
        """`step` is over."""
        self._step = step + 1

    def frame(self, message: Message) -> bytes:
        return encode_federation(self.major, _CODES[type(message)], encode(message))

    def th(self, suite: Suite) -> bytes:
        return transcript_hash(suite, self.maps)

    def shown_key(self, suite: Suite | None) -> bytes | None:
        """`server_public_key` of a hello: to a peer without trust, or that may have none in us."""
        if self.peer.keys is not None and not self.peer.sees_key:
            return None
        return self.offer.public_keys["ed25519" if suite is None else suite.identity]

    def established(
        self, role: Role, suite: Suite, ikm: bytes, peer_key: bytes, answer: FederationHandshakeResponse, now: float
    ) -> LinkEstablished:
        hello, response = self.hello, self.response
        if hello is None or response is None:
            raise ProtocolError(Code.WRONG_STATE, "no hellos were exchanged")
        th, version = self.th(suite), response.negotiated_versions.norc_f
        mine, theirs = (hello, response) if role == "client" else (response, hello)
        sealed = SealedSession(
            role=role,
            suite=suite,
            th=th,
            keys=traffic_keys(suite, master_secret(suite, ikm, hello.nonce, response.nonce, version, th)),
            random=self.random,
            now=now,
            send_limit=theirs.max_frame,
            receive_limit=mine.max_frame,
        )
        return LinkEstablished(
            sealed=sealed,
            th=th,
            suite=suite,
            version=version,
            trust_version=response.negotiated_versions.norc_t,
            compatibility_mode=answer.compatibility_mode,
            peer=self.peer.server_id,
            peer_key=peer_key,
            trusted=self.peer.keys is not None,
            capabilities=answer.shared_capabilities,
            connection_id=answer.connection_id,
        )
