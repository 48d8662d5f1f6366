"""Signatures of NORC-T: every message binds all that came before it (section 9; §5.2–5.4; D-39; rows `B116`–`B120`).

```
th_t      = H("norc-t-transcript-v1" ‖ len‖requesting server ‖ len‖other server
              ‖ len‖canonical(each earlier message of the exchange, signature included))
signature = Sign(identity key, "trust-TYPE:v1", th_t ‖ canonical(message less signature))
proof     = Sign(identity key, "trust-proof:v1", th_t ‖ challenge_data)
trust-cert:v1, trust-crl:v1   over canonical(map less signature) alone
```
H runs under the key that signs: P-256 ⇒ SHA-256, else BLAKE3.

Rules
- `Transcript` is one exchange: what is appended are maps as received. A decision can therefore not be moved to another
  request, a proof not to another challenge, an exchange not to another pair of servers.
- Outside an exchange (an answering `trust_capabilities` too) th_t is 32 zeroes: `OUTSIDE`.
- TYPE is the type without a leading `trust_`, `-` for `_`. `trust_crl` signs itself under `trust-crl:v1`.
- Revocations of one signer form a chain, as those of devices do: `prev_revocation_hash` is the hash of the one before,
  signature included. A CRL's number only rises: a lower one is a replay.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from norc_actors.crypto.errors import BadSignatureError
from norc_actors.crypto.layout import ZERO_HASH, lv
from norc_actors.crypto.secret import same
from norc_actors.crypto.signatures import Signer, verify
from norc_actors.crypto.suites import hash_for_key

from .canonical import Value, canonical
from .errors import Code, ProtocolError
from .schema import SignedMap

OUTSIDE = ZERO_HASH
"""th_t of what belongs to no exchange."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """The messages of one exchange so far, in order; frozen: a refused message leaves the old one."""

    requesting: str
    other: str
    forms: tuple[bytes, ...] = field(default=(), repr=False)

    def th(self, signing_key: bytes) -> bytes:
        """th_t as the holder of `signing_key` (public half) signs it."""
        parts = [b"norc-t-transcript-v1", lv(self.requesting.encode()), lv(self.other.encode()), *map(lv, self.forms)]
        return hash_for_key(signing_key)(b"".join(parts))

    def then(self, message: Mapping[str, Value]) -> "Transcript":
        """The transcript after `message`, as received, its signature included."""
        return replace(self, forms=(*self.forms, canonical(message)))


def label_of(type_name: str) -> str:
    """The signature label of a NORC-T type."""
    return f"trust-{type_name.removeprefix('trust_').replace('_', '-')}:v1"


def _th(transcript: Transcript | None, key: bytes) -> bytes:
    return OUTSIDE if transcript is None else transcript.th(key)


def signed_body(message: Mapping[str, Value], th: bytes) -> bytes:
    """`th_t ‖ canonical(message less signature)`; for a CRL the canonical form alone."""
    form = canonical(message, less=("signature",))
    return form if message.get("type") == "trust_crl" else th + form


def sign_message(key: Signer, message: Mapping[str, Value], transcript: Transcript | None) -> SignedMap:
    """The message with its signature; `transcript` holds the earlier messages of its exchange, None outside one."""
    body = signed_body(message, _th(transcript, key.public_key))
    return {**message, "signature": key.sign(label_of(str(message["type"])), body)}


def verify_message(message: Mapping[str, Value], key: bytes, transcript: Transcript | None) -> None:
    """`BadSignatureError` unless `key` signed this message at this place of this exchange."""
    body = signed_body(message, _th(transcript, key))
    verify(key, label_of(str(message.get("type"))), body, _signature(message))


def make_proof(key: Signer, transcript: Transcript, challenge_data: bytes) -> bytes:
    """`cryptographic_proof`: th_t as in the trust_response that carries it."""
    return key.sign("trust-proof:v1", transcript.th(key.public_key) + challenge_data)


def verify_proof(key: bytes, transcript: Transcript, challenge_data: bytes, proof: bytes) -> None:
    """`BadSignatureError` unless `key` proved itself in this very exchange."""
    verify(key, "trust-proof:v1", transcript.th(key) + challenge_data, proof)


def sign_certificate(key: Signer, certificate: Mapping[str, Value]) -> SignedMap:
    """A trust certificate with its signature."""
    return {**certificate, "signature": key.sign("trust-cert:v1", canonical(certificate, less=("signature",)))}


def verify_certificate(certificate: Mapping[str, Value], issuer_key: bytes, *, issuer: str, now: float) -> None:
    """`BadSignatureError` for a certificate that `issuer` did not sign, `ProtocolError` 5002 for one out of its
    time."""
    if certificate.get("issuer_server") != issuer:
        raise BadSignatureError("a certificate of another issuer")
    verify(issuer_key, "trust-cert:v1", canonical(certificate, less=("signature",)), _signature(certificate))
    start, end = certificate.get("not_before"), certificate.get("not_after")
    if not isinstance(start, int) or not isinstance(end, int) or not start <= now < end:
        raise ProtocolError(Code.TRUST_EXPIRED, "a certificate outside its time")


def revocation_hash(signing_key: bytes, revocation: Mapping[str, Value]) -> bytes:
    """`prev_revocation_hash` that follows this `trust_revoke`; the hash runs under the signer's key."""
    return hash_for_key(signing_key)(canonical(revocation))


def check_revocation_chain(
    revocation: Mapping[str, Value], previous: Mapping[str, Value] | None, signing_key: bytes
) -> None:
    """`ProtocolError` 5606 if a signed revocation does not follow `previous`: one was withheld or repeated.

    It binds all the same; the caller records and shows the gap.
    """
    named = revocation.get("prev_revocation_hash")
    expected = None if previous is None else revocation_hash(signing_key, previous)
    if (named is None) != (expected is None) or (
        expected is not None and not (isinstance(named, bytes) and same(named, expected))
    ):
        raise ProtocolError(Code.BAD_SEQUENCE, "a trust_revoke that does not follow the last one known")


def check_crl_number(number: int, known: int | None) -> None:
    """`ProtocolError` 5606 for a CRL with a lower number than one that was seen: a replay."""
    if known is not None and number < known:
        raise ProtocolError(Code.BAD_SEQUENCE, f"CRL {number} after {known}")


def _signature(message: Mapping[str, Value]) -> bytes:
    signature = message.get("signature")
    if not isinstance(signature, bytes):
        raise BadSignatureError("no signature")
    return signature
