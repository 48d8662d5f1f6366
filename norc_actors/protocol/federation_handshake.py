"""The handshake of a link between servers, both ends (section 8, *Link*; F§2–F§4, F§12; D-19, D-28; rows `B89`, `B98`).

```
m_1 federation_hello →        m_2 ← federation_hello_response
m_3 federation_handshake →    m_4 ← federation_handshake_response
th_n          = H("norc-f-handshake-v1" ‖ len‖canonical(m_1 less signature) ‖ … ‖ len‖canonical(m_n less signature))
m_3.signature = Sign(initiator's identity key, "fed-link:v1", "initiator" ‖ th_3)
m_4.signature = Sign(responder's identity key, "fed-link:v1", "responder" ‖ th_4)
keys          : as for NORC-C with th = th_4, salt = initiator's nonce ‖ responder's, version = the negotiated norc_f
```
Rules
- Four messages in one order: `InitiatorHandshake.hello` → `receive_response` → (someone signs) → `handshake` →
  `finish`; `ResponderHandshake.receive_hello` → `receive_handshake` → (someone signs) → `finish`. Any other order is
  WRONG_STATE, and after an error an object is of no use.
- Both judge the same four lists: versions and suite have to be what the rule gives for them, the ALPN's major is that
  of the version, the names are those of the link. DOWNGRADE says that someone took something away.
- The identity key is the one that the peer's trust certificate pins (`Peer.keys`); without trust it is the one in the
  peer's hello, and the operator is shown it. `tls_fingerprint` is what TLS showed.
- From `verified` on the suite is hybrid or there is no link (5607).
- Identity keys are not held here: `ToSign` says what is to be signed.

The link's frames are sealed as those of NORC-C (`sealed.py`), the initiator as client, re-keys with th_4 as th.
"""

from collections.abc import Callable, Sequence

from norc_actors.crypto import kem
from norc_actors.crypto.errors import CryptoError
from norc_actors.crypto.suites import SUITES, Suite, choose
from norc_actors.ids import Random, new_uuid

from .codec import convert, to_map
from .errors import Code, ProtocolError
from .handshake import ToSign
from .links import (
    LinkEstablished,
    LinkOffer,
    Peer,
    Side,
    check_hybrid,
    check_major,
    check_peer,
    peer_key,
    read,
    transcript_hash,
    verify_side,
)
from .messages.federation import (
    CompatibilityRequirements,
    FederationHandshake,
    FederationHandshakeResponse,
    FederationHello,
    FederationHelloResponse,
    NegotiatedVersions,
)
from .versions import check_choice, check_remembered, negotiate


class InitiatorHandshake:
    """The end that dials: `peer` is whom it dialled, `alpn` what TLS selected of `alpn_offered`."""

    def __init__(self, offer: LinkOffer, peer: Peer, *, alpn: str, alpn_offered: Sequence[str], random: Random) -> None:
        self._side = side = Side(offer, peer, random, alpn)
        self._ephemeral = kem.x25519_private(random)
        hybrid = any(SUITES[name].hybrid for name in offer.suites)
        self._kem_seed = kem.mlkem_seed(random) if hybrid else None
        side.hello = FederationHello(
            server_id=offer.server_id,
            protocol_versions=offer.protocol_versions,
            alpn_offered=tuple(alpn_offered),
            capabilities=offer.capabilities,
            cipher_suites=offer.suites,
            nonce=random(12),
            ephemeral_public_key=kem.x25519_public(self._ephemeral),
            pq_public_key=None if self._kem_seed is None else kem.mlkem_public(self._kem_seed),
            tls_fingerprint=offer.tls_fingerprint,
            server_public_key=side.shown_key(choose(offer.suites)),
            max_frame=offer.max_frame,
        )
        side.maps.append(to_map(side.hello))
        self._handshake: FederationHandshake | None = None
        self.hello: bytes = side.frame(side.hello)
        """m_1 as a federation frame."""

    def receive_response(self, frame: bytes) -> ToSign:
        """Judge m_2 and draw m_3: what is to be signed. `ProtocolError`, `PeerError`: give the link up."""
        side, offer = self._side, self._side.offer
        side.at(0)
        received = read(frame, side.major, FederationHelloResponse, offer.max_frame)
        response = side.response = received.message
        check_peer(response, side.peer)
        suite = self._suite = self._check_choice(response)
        self._key = peer_key(response, side.peer, suite)
        self._ikm = self._agree(response)
        self._handshake = FederationHandshake(
            requesting_server=offer.server_id,
            target_server=side.peer.server_id,
            protocol_version=response.negotiated_versions.norc_f,
            supported_versions=offer.versions,
            capabilities=offer.capabilities,
            compatibility_requirements=CompatibilityRequirements(
                min_trust_level=offer.min_trust_level, required_features=offer.required_features, optional_features=()
            ),
            signature=bytes(64),
        )
        side.maps += [received.map, to_map(self._handshake)]
        side.done(0)
        identity = offer.public_keys[suite.identity]
        return ToSign(public_key=identity, label="fed-link:v1", body=b"initiator" + side.th(suite))

    def _check_choice(self, response: FederationHelloResponse) -> Suite:
        """That the responder chose what both lists give, and nothing less."""
        side, offer = self._side, self._side.offer
        chosen, theirs = response.negotiated_versions, response.protocol_versions
        version, _ = negotiate(offer.versions, theirs.norc_f, offer.allow_amc_bridge)
        trust_version, _ = negotiate(offer.trust_versions, theirs.norc_t, offer.allow_amc_bridge)
        if (chosen.norc_f, chosen.norc_t) != (version, trust_version):
            raise ProtocolError(Code.DOWNGRADE, f"{chosen.norc_f} and {chosen.norc_t} were chosen")
        check_remembered(side.peer.remembered_version, version)
        check_major(side, version)
        if response.alpn_selected != side.alpn:
            raise ProtocolError(Code.DOWNGRADE, "another ALPN than TLS selected")
        suite = choose(offer.suites, response.cipher_suites)
        if suite is None or suite.name != response.cipher_suite:
            raise ProtocolError(Code.DOWNGRADE, f"suite {response.cipher_suite} is not the first of both lists")
        check_hybrid(suite, side.peer)
        return suite

    def _agree(self, response: FederationHelloResponse) -> bytes:
        try:
            ikm = kem.x25519(self._ephemeral, response.ephemeral_public_key)
            if response.pq_ciphertext is not None and self._kem_seed is not None:
                ikm += kem.decapsulate(self._kem_seed, response.pq_ciphertext)
        except CryptoError as error:
            raise ProtocolError(Code.CRYPTO, "the peer's key material is unusable") from error
        self._ephemeral, self._kem_seed = b"", None
        return ikm

    def handshake(self, signature: bytes) -> bytes:
        """m_3 as a federation frame, given the signature that `receive_response` asked for."""
        side = self._side
        side.at(1)
        side.maps[2]["signature"] = signature
        side.done(1)
        return side.frame(convert(side.maps[2], FederationHandshake))

    def finish(self, frame: bytes, now: float) -> LinkEstablished:
        """The link, if m_4 is the responder's."""
        side, suite, offer = self._side, self._suite_at(2), self._side.offer
        received = read(frame, side.major, FederationHandshakeResponse, offer.max_frame)
        answer = received.message
        side.maps.append(received.map)
        verify_side(self._key, "responder", side.th(suite), answer.signature)
        if answer.responding_server != side.peer.server_id:
            raise ProtocolError(Code.BAD_SIGNATURE, "another server answered")
        theirs = convert(side.maps[1], FederationHelloResponse).protocol_versions.norc_f
        check_choice(offer.versions, theirs, offer.allow_amc_bridge, answer.accepted_version, answer.compatibility_mode)
        shared = set(answer.shared_capabilities)
        if not shared.issubset(offer.capabilities) or not shared.issuperset(offer.required_features):
            raise ProtocolError(Code.CAPABILITY_MISSING, f"shared are {sorted(shared)}")
        ikm, self._ikm = self._ikm, b""
        return side.established("client", suite, ikm, self._key, answer, now)

    def _suite_at(self, step: int) -> Suite:
        self._side.at(step)
        return self._suite


class ResponderHandshake:
    """The end that is dialled; `peer` is what is known of the server whose certificate TLS showed.

    `encapsulate` is a parameter for tests alone, since a recorded ciphertext cannot be made again.
    """

    def __init__(
        self,
        offer: LinkOffer,
        peer: Peer,
        *,
        alpn: str,
        random: Random,
        encapsulate: Callable[[bytes], tuple[bytes, bytes]] = kem.encapsulate,
    ) -> None:
        self._side = Side(offer, peer, random, alpn)
        self._encapsulate = encapsulate

    def receive_hello(self, frame: bytes) -> bytes:
        """m_2 for m_1. `ProtocolError`: answer `federation_error` and give the link up."""
        side, offer = self._side, self._side.offer
        side.at(0)
        received = read(frame, side.major, FederationHello, offer.max_frame)
        hello = side.hello = received.message
        check_peer(hello, side.peer)
        if side.alpn not in hello.alpn_offered:
            raise ProtocolError(Code.DOWNGRADE, "TLS selected an ALPN that was not offered")
        versions = self._negotiate(hello)
        suite = choose(hello.cipher_suites, offer.suites)
        if suite is None:
            raise ProtocolError(Code.ALGORITHM_UNSUPPORTED, "no cipher suite in common")
        check_hybrid(suite, side.peer)
        self._suite, self._key = suite, peer_key(hello, side.peer, suite)
        ephemeral = kem.x25519_private(side.random)
        self._ikm, pq_ciphertext = self._agree(hello, ephemeral)
        side.response = FederationHelloResponse(
            server_id=offer.server_id,
            protocol_versions=offer.protocol_versions,
            negotiated_versions=versions,
            alpn_selected=side.alpn,
            capabilities=offer.capabilities,
            cipher_suites=offer.suites,
            cipher_suite=suite.name,  # type: ignore[arg-type]  # a row of the table that the atoms repeat
            nonce=side.random(12),
            ephemeral_public_key=kem.x25519_public(ephemeral),
            pq_ciphertext=pq_ciphertext,
            compatibility_warnings=(),
            tls_fingerprint=offer.tls_fingerprint,
            server_public_key=side.shown_key(suite),
            max_frame=offer.max_frame,
        )
        side.maps += [received.map, to_map(side.response)]
        side.done(0)
        return side.frame(side.response)

    def _negotiate(self, hello: FederationHello) -> NegotiatedVersions:
        side, offer, theirs = self._side, self._side.offer, hello.protocol_versions
        version, self._compatibility = negotiate(theirs.norc_f, offer.versions, offer.allow_amc_bridge)
        trust_version, _ = negotiate(theirs.norc_t, offer.trust_versions, offer.allow_amc_bridge)
        check_remembered(side.peer.remembered_version, version)
        check_major(side, version)
        return NegotiatedVersions(norc_f=version, norc_t=trust_version)

    def _agree(self, hello: FederationHello, ephemeral: bytes) -> tuple[bytes, bytes | None]:
        try:
            ikm = kem.x25519(ephemeral, hello.ephemeral_public_key)
            if not self._suite.hybrid or hello.pq_public_key is None:
                return ikm, None
            pq_ciphertext, secret = self._encapsulate(hello.pq_public_key)
        except CryptoError as error:
            raise ProtocolError(Code.CRYPTO, "the peer's key material is unusable") from error
        return ikm + secret, pq_ciphertext

    def receive_handshake(self, frame: bytes) -> ToSign:
        """Judge m_3 and draw m_4: what is to be signed."""
        side, offer, suite = self._side, self._side.offer, self._suite_at(1)
        received = read(frame, side.major, FederationHandshake, offer.max_frame)
        message = received.message
        side.maps.append(received.map)
        verify_side(self._key, "initiator", side.th(suite), message.signature)
        if (message.requesting_server, message.target_server) != (side.peer.server_id, offer.server_id):
            raise ProtocolError(Code.WRONG_TARGET, "a handshake between other servers")
        self._check_repeated(message)
        wanted = message.compatibility_requirements.required_features
        if not set(offer.required_features).issubset(message.capabilities) or not set(wanted).issubset(
            offer.capabilities
        ):
            raise ProtocolError(Code.CAPABILITY_MISSING, f"required: {sorted(wanted)}")
        self._answer = FederationHandshakeResponse(
            responding_server=offer.server_id,
            accepted_version=message.protocol_version,
            compatibility_mode=self._compatibility,
            shared_capabilities=tuple(sorted(set(message.capabilities).intersection(offer.capabilities))),
            version_warnings=(),
            connection_id=new_uuid(side.random),
            signature=bytes(64),
        )
        side.maps.append(to_map(self._answer))
        side.done(1)
        identity = offer.public_keys[suite.identity]
        return ToSign(public_key=identity, label="fed-link:v1", body=b"responder" + side.th(suite))

    def _check_repeated(self, message: FederationHandshake) -> None:
        """What the initiator signs repeats what was said in the hellos."""
        hello, response = self._side.hello, self._side.response
        if response is None or message.protocol_version != response.negotiated_versions.norc_f:
            raise ProtocolError(Code.DOWNGRADE, "another version than was negotiated")
        if hello is None or message.supported_versions != hello.protocol_versions.norc_f:
            raise ProtocolError(Code.DOWNGRADE, "other versions than in the hello")

    def _suite_at(self, step: int) -> Suite:
        self._side.at(step)
        return self._suite

    def finish(self, signature: bytes, now: float) -> tuple[bytes, LinkEstablished]:
        """(m_4 as a federation frame, the link), given the signature that `receive_handshake` asked for."""
        side, suite = self._side, self._suite_at(2)
        side.maps[3]["signature"] = signature
        answer = convert(side.maps[3], FederationHandshakeResponse)
        ikm, self._ikm = self._ikm, b""
        return side.frame(answer), side.established("server", suite, ikm, self._key, answer, now)


__all__ = ["InitiatorHandshake", "LinkEstablished", "LinkOffer", "Peer", "ResponderHandshake", "transcript_hash"]
