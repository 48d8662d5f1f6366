"""Maps that wait for their signature: the identity key is another's, who signs bodies under labels (section 1).

Trust makes a `Draft` with the label and the body to sign; whoever owns the key signs; `signed` puts the two together.
The formulas are those of `protocol/trust_transcript.py`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from norc_actors.crypto.errors import BadSignatureError
from norc_actors.crypto.signatures import Signer
from norc_actors.crypto.suites import hash_for_key
from norc_actors.protocol.canonical import Value, canonical
from norc_actors.protocol.schema import SignedMap
from norc_actors.protocol.trust_transcript import OUTSIDE, Transcript, label_of, signed_body, verify_message


@dataclass(frozen=True, slots=True)
class ToSign:
    """What the identity key is asked to sign."""

    public_key: bytes
    label: str
    body: bytes

    def by(self, key: Signer) -> bytes:
        """The signature, by a key that is at hand."""
        return key.sign(self.label, self.body)


@dataclass(frozen=True, slots=True)
class Draft:
    """A map without its signature, and what has to be signed for it."""

    members: SignedMap
    to_sign: ToSign

    def signed(self, signature: bytes) -> SignedMap:
        """The whole map."""
        return {**self.members, "signature": signature}

    def by(self, key: Signer) -> SignedMap:
        """The whole map, signed by a key that is at hand."""
        return self.signed(self.to_sign.by(key))


def draft_message(public_key: bytes, message: Mapping[str, Value], transcript: Transcript | None = None) -> Draft:
    """A NORC-T message; `transcript` holds the earlier messages of its exchange, None outside one."""
    th = OUTSIDE if transcript is None else transcript.th(public_key)
    return Draft(dict(message), ToSign(public_key, label_of(str(message["type"])), signed_body(message, th)))


def draft_certificate(public_key: bytes, certificate: Mapping[str, Value]) -> Draft:
    """A trust certificate."""
    return Draft(dict(certificate), ToSign(public_key, "trust-cert:v1", canonical(certificate, less=("signature",))))


def draft_proof(public_key: bytes, transcript: Transcript, challenge_data: bytes) -> ToSign:
    """A `cryptographic_proof`; `transcript` as in the trust_response that carries it."""
    return ToSign(public_key, "trust-proof:v1", transcript.th(public_key) + challenge_data)


def signed_by(plain: Mapping[str, Value], keys: Iterable[bytes]) -> bytes | None:
    """Which of `keys` signed this message outside an exchange (th_t = 0); None: none of them."""
    for key in keys:
        try:
            verify_message(plain, key, None)
        except BadSignatureError:
            continue
        return key
    return None


def key_fingerprint(key: bytes) -> str:
    """How operators tell identity keys apart: 16 bytes of the key's hash, in groups of four digits."""
    digits = hash_for_key(key)(key)[:16].hex()
    return " ".join(digits[start : start + 4] for start in range(0, len(digits), 4))
