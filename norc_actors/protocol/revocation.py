"""`device_revoke`: a device is out, from `effective` on and for good (section 5, *Revocation*; row `B45`).

Rules
- Signed (`device-revoke:v1`, canonical less signature) by the user key, the device itself, or the home server ("by
  operator", shown as such): `signed_by` says which, and the caller brings the key that this name stands for.
- Each signer's revocations of one user form a chain: `prev_revocation_hash` is the hash of the previous map with the
  same user_id and signed_by, signature included, under the hash of the key that signs; absent in the first. A gap
  means that one was withheld.
- Binding on receipt, kept until the record's `not_after` + 30 days.
"""

from typing import Literal

from norc_actors.crypto.errors import BadSignatureError
from norc_actors.crypto.signatures import Signer, verify
from norc_actors.crypto.suites import hash_for_key
from norc_actors.limits import REVOCATION_KEPT_SECONDS

from .canonical import canonical
from .codec import convert
from .messages import DeviceRevoke
from .schema import SignedMap

SignedBy = Literal["user", "device", "server"]
Reason = Literal["lost", "compromised", "retired", "policy"]


class RevocationChainError(Exception):
    """A revocation whose signature holds but that does not follow the last known one: one may have been withheld.

    The revocation is binding all the same; `revocation` is its typed form, to be acted on and shown.
    """

    def __init__(self, revocation: DeviceRevoke) -> None:
        super().__init__(f"revocation {revocation.revocation_id} does not follow the last known one")
        self.revocation = revocation


def make_revocation(
    signer: Signer,
    *,
    user_id: str,
    device_id: str,
    reason: Reason,
    signed_by: SignedBy,
    effective: int,
    revocation_id: str,
    previous: SignedMap | None,
) -> SignedMap:
    """A `device_revoke`; `previous` is the last one with the same user_id and signed_by, None for the first."""
    revocation: SignedMap = {
        "type": "device_revoke",
        "user_id": user_id,
        "device_id": device_id,
        "reason": reason,
        "effective": effective,
        "revocation_id": revocation_id,
        "signed_by": signed_by,
    }
    if previous is not None:
        revocation["prev_revocation_hash"] = revocation_hash(previous, signer.public_key)
    revocation["signature"] = signer.sign("device-revoke:v1", canonical(revocation))
    return revocation


def revocation_hash(revocation: SignedMap, signer_key: bytes) -> bytes:
    """`prev_revocation_hash` of what follows `revocation`, under the algorithm of the key that signs what follows."""
    return hash_for_key(signer_key)(canonical(revocation))


def verify_revocation(revocation: SignedMap, signer_key: bytes, previous: SignedMap | None) -> DeviceRevoke:
    """The typed revocation if `signer_key` signed it and it follows `previous`.

    `BadSignatureError` if not signed; `RevocationChainError` (which carries it) if signed but out of the chain.
    """
    typed = convert(revocation, DeviceRevoke)
    verify(signer_key, "device-revoke:v1", canonical(revocation, ("signature",)), typed.signature)
    if previous is not None and (previous.get("user_id"), previous.get("signed_by")) != (
        typed.user_id,
        typed.signed_by,
    ):
        raise ValueError("`previous` is of another user or signer")
    expected = revocation_hash(previous, signer_key) if previous is not None else None
    if typed.prev_revocation_hash != expected:
        raise RevocationChainError(typed)
    return typed


def key_for(typed: DeviceRevoke, *, user_key: bytes | None, device_key: bytes | None, server_key: bytes) -> bytes:
    """The key that `signed_by` names, of those known; `BadSignatureError` if that one is not known here."""
    key = {"user": user_key, "device": device_key, "server": server_key}[typed.signed_by]
    if key is None:
        raise BadSignatureError(f"no {typed.signed_by} key is known for {typed.user_id}")
    return key


def kept_until(record_not_after: int) -> int:
    """When a revocation may be forgotten."""
    return record_not_after + REVOCATION_KEPT_SECONDS
