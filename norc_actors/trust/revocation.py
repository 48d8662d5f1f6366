"""How trust ends: revocations, what they bind, and the chain that shows a missing one (section 9; rows B145, B148).

Rules
- A revocation binds only certificates that its signer issued. Of a third party's it is a recommendation: recorded,
  shown, weighed by the web of trust, and nothing more.
- `compromised_key` and `policy_violation` take effect at once, whatever date and grace the message names; all else at
  its `effective_date` and after its grace.
- Scopes: `full` ends the certificate. `partial` takes the permissions it lists. `conditional` ends it too, unless its
  signer issues a new certificate before that: the evidence says what is asked for. What contradicts itself is read as
  the stricter (decision 071): partial without permissions is full, and at once is at once, whatever the scope.
- Nothing un-revokes: a certificate once ended stays ended, and what is granted anew is a new certificate.
- Revocations of one signer form a chain by hash. They may come out of order, since each is pushed until acknowledged;
  so `chain_of` judges the whole set: which predecessors are named and not known. A gap does not unbind anything: it is
  shown, and the signer's CRL is asked for at once.
- A revocation is known by the hash of its map. The same bytes again are the same revocation, acknowledged again; other
  bytes under the same revocation_id are another one, and bind too.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from norc_actors.ids import ServerId
from norc_actors.protocol.canonical import Value
from norc_actors.protocol.codec import convert
from norc_actors.protocol.errors import Code, ProtocolError
from norc_actors.protocol.messages.trust_decision import (
    CrlReason,
    Permission,
    RevocationReason,
    TrustRevoke,
)
from norc_actors.protocol.schema import SignedMap
from norc_actors.protocol.trust_transcript import revocation_hash

from .certificates import Certificate
from .drafts import Draft, draft_message, signed_by

IMMEDIATE: Final[frozenset[str]] = frozenset({"compromised_key", "policy_violation"})
CRL_REASONS: Final[Mapping[RevocationReason, CrlReason]] = {
    "compromised_key": "key_compromise",
    "policy_violation": "privilege_withdrawn",
    "voluntary": "cessation_of_operation",
    "expired": "unspecified",
    "superseded": "superseded",
}
"""What a CRL says of a revocation."""

Scope = Literal["full", "partial", "conditional"]
Status = Literal["accepted", "disputed", "appealing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """A `trust_revoke` whose signature was verified: as received, typed, its hash under the signer's key, and when it
    came here."""

    map: SignedMap
    message: TrustRevoke
    hash: bytes
    received_at: int

    @property
    def signer(self) -> ServerId:
        return self.message.revoking_server

    @property
    def immediate(self) -> bool:
        """Whether its reason allows no grace."""
        return self.message.revocation_reason in IMMEDIATE

    @property
    def permissions(self) -> frozenset[Permission]:
        """The permissions it takes; empty: the whole certificate."""
        partial = self.message.revocation_scope == "partial" and not self.immediate
        return frozenset(self.message.partial_revocation_permissions) if partial else frozenset()

    @property
    def full(self) -> bool:
        """Whether it ends the certificate."""
        return not self.permissions

    @property
    def takes_effect(self) -> int:
        """Seconds since the epoch. At once: no later than it came here, whatever it says."""
        if self.immediate:
            return min(self.message.effective_date, self.received_at)
        return self.message.effective_date + self.message.grace_period

    def binds(self, certificate: Certificate) -> bool:
        """Whether it speaks of this certificate, with the right to."""
        return self.message.trust_certificate_id == certificate.id and self.signer == certificate.issuer


def read(plain: Mapping[str, Value], signer_keys: Iterable[bytes], now: float) -> Revocation:
    """A received `trust_revoke`, verified; `ProtocolError` 3001 if it is none, 5604 if no key of its signer holds."""
    message = convert(plain, TrustRevoke)
    key = signed_by(plain, signer_keys)
    if key is None:
        raise ProtocolError(Code.BAD_SIGNATURE, f"a trust_revoke that {message.revoking_server} did not sign")
    return Revocation(map=dict(plain), message=message, hash=revocation_hash(key, plain), received_at=int(now))


def known(plain: Mapping[str, Value], digest: bytes, received_at: int) -> Revocation:
    """One that was verified when it came, as it was stored."""
    return Revocation(map=dict(plain), message=convert(plain, TrustRevoke), hash=digest, received_at=received_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What an operator (or a missed condition) wants revoked. `effective_date` None: now; `grace_period` in seconds."""

    reason: RevocationReason
    scope: Scope = "full"
    permissions: tuple[Permission, ...] = ()
    evidence: tuple[str, ...] = ()
    effective_date: int | None = None
    grace_period: int = 0


def draft(
    own_key: bytes, certificate: Certificate, wish: Wish, *, revocation_id: str, previous: bytes | None, now: int
) -> Draft:
    """The `trust_revoke` of a certificate that this server issued; `previous` is the hash of its newest one before.

    `ProtocolError` 5005 for a certificate that says it is not revocable, unless the reason is one of security; 3001 for
    a partial wish that names nothing.
    """
    if not certificate.terms.revocable and wish.reason not in IMMEDIATE:
        raise ProtocolError(Code.PERMISSION_DENIED, f"certificate {certificate.id} is revocable for security alone")
    if (wish.scope == "partial") != bool(wish.permissions):
        raise ProtocolError(Code.MALFORMED, "a partial revocation names permissions, and only a partial one")
    permissions: list[Value] = [*wish.permissions]
    evidence: list[Value] = [*wish.evidence]
    message: SignedMap = {
        "type": "trust_revoke",
        "revocation_id": revocation_id,
        "revoking_server": certificate.issuer,
        "target_server": certificate.subject,
        "trust_certificate_id": certificate.id,
        "revocation_reason": wish.reason,
        "effective_date": now if wish.effective_date is None else wish.effective_date,
        "evidence": evidence,
        "revocation_scope": wish.scope,
        "partial_revocation_permissions": permissions,
        "grace_period": 0 if wish.reason in IMMEDIATE else wish.grace_period,
        "timestamp": now,
    }
    if previous is not None:
        message["prev_revocation_hash"] = previous
    return draft_message(own_key, message)


def draft_acknowledgment(
    own_key: bytes, revocation: Revocation, own: ServerId, status: Status, actions: tuple[str, ...], now: int
) -> Draft:
    """The `revocation_acknowledgment` of a revocation that came here; `actions` say what was done."""
    done: list[Value] = [*actions]
    message: SignedMap = {
        "type": "revocation_acknowledgment",
        "revocation_id": revocation.message.revocation_id,
        "acknowledging_server": own,
        "acknowledgment_status": status,
        "cleanup_actions": done,
        "timestamp": now,
    }
    return draft_message(own_key, message)


# --- What they come to ---


def ends_at(certificate: Certificate, revocations: Iterable[Revocation]) -> int | None:
    """When revocations that bind end this certificate; None: none does."""
    return min((one.takes_effect for one in revocations if one.full and one.binds(certificate)), default=None)


def taken(certificate: Certificate, revocations: Iterable[Revocation], now: float) -> frozenset[str]:
    """The permissions that partial revocations have taken from this certificate by `now`."""
    lost: frozenset[str] = frozenset()
    for one in revocations:
        if one.binds(certificate) and one.takes_effect <= now:
            lost |= one.permissions
    return lost


@dataclass(frozen=True, slots=True)
class Chain:
    """What one signer's revocations come to. `head`: the hash that its next one has to name, None if there are none or
    the newest is not certain; `missing`: predecessors that are named and not known; `forked`: two of them name the same
    predecessor, which an honest signer cannot do."""

    head: bytes | None
    missing: frozenset[bytes]
    forked: bool


def chain_of(revocations: Sequence[Revocation]) -> Chain:
    """The chain of one signer's revocations, in whatever order they came."""
    named = [one.message.prev_revocation_hash for one in revocations]
    known = {one.hash for one in revocations}
    heads = known - {name for name in named if name is not None}
    missing = frozenset(name for name in named if name is not None and name not in known)
    forked = len(set(named)) != len(named)
    return Chain(next(iter(heads)) if len(heads) == 1 else None, missing, forked)
