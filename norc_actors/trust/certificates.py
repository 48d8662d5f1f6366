"""Trust certificates: one server's trust in another, signed, with the keys that it pins (section 9; rows B143, B144).

Rules
- A certificate goes one way: its issuer grants, its subject may. It pins the subject's identity keys, and its issuer
  judges by its own certificates alone what the subject sends.
- `CHECKS` are the six checks, and the only place that has their order: issuer, signature, expiry, permissions,
  conditions, revocation. `check` raises at the first that fails, each with its code.
- What stands in `extensions`: `established_at` (when the exchange behind it ended; renewals keep it), `transit` (the
  subject may hand on relays of others), `agreement{reference, classifications[]}` (national secrets that a NATO
  agreement covers; at `nato` alone). Unknown ones are kept and mean nothing.
- A renewal overlaps: the old certificate stays good until its own end, the new one counts from its beginning on, and
  the newest whose time has come decides (`relations.py`): no moment without one, and none with two opinions.
- A renewal never lasts longer than `max_trust_age` after the exchange: beyond, trust is established anew (row B135).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from norc_actors.crypto.errors import BadSignatureError
from norc_actors.crypto.signatures import algorithm_of
from norc_actors.ids import ServerId
from norc_actors.limits import (
    TRUST_CERTIFICATE_SECONDS,
    TRUST_MAX_AGE_SECONDS,
    TRUST_MBPS,
    TRUST_MESSAGES_PER_SECOND,
)
from norc_actors.protocol.canonical import Value
from norc_actors.protocol.codec import convert, to_map
from norc_actors.protocol.errors import Code, ProtocolError
from norc_actors.protocol.messages.trust_decision import (
    FederationPermissions,
    Permission,
    TrustCertificate,
    TrustCondition,
)
from norc_actors.protocol.messages.vocabulary import RateLimits
from norc_actors.protocol.schema import SignedMap
from norc_actors.protocol.trust_levels import ALLOWANCES, NATIONAL_SECRETS, TrustLevel
from norc_actors.protocol.trust_transcript import verify_certificate

from .conditions import level_at
from .drafts import Draft, draft_certificate
from .policy import PERMISSIONS

VERSION: Final = "1.1"
"""Of the certificates that this build issues."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What an issuer decides to grant. `lifetime` in seconds; `max_message_size` in bytes, never above the level's."""

    level: TrustLevel
    permissions: frozenset[Permission] = frozenset({"message_relay", "user_discovery"})
    max_message_size: int = 0
    messages_per_second: int = TRUST_MESSAGES_PER_SECOND
    bandwidth_mbps: int = TRUST_MBPS
    lifetime: int = TRUST_CERTIFICATE_SECONDS
    conditions: tuple[TrustCondition, ...] = ()
    renewable: bool = True
    revocable: bool = True
    transit: bool = False
    agreement: frozenset[str] = frozenset()
    agreement_reference: str = ""

    def struct(self) -> FederationPermissions:
        """As certificates and decisions have it; a size of 0 is the level's own."""
        most = ALLOWANCES[self.level].max_message
        return FederationPermissions(
            **{name: name in self.permissions for name in PERMISSIONS},
            max_message_size=min(self.max_message_size or most, most),
            rate_limits=RateLimits(messages_per_second=self.messages_per_second, bandwidth_mbps=self.bandwidth_mbps),
        )


@dataclass(frozen=True, slots=True)
class Certificate:
    """A trust certificate as received, and its typed view."""

    map: SignedMap
    terms: TrustCertificate

    @classmethod
    def read(cls, plain: Mapping[str, Value]) -> "Certificate":
        """`ProtocolError` 3001 for what is no trust certificate. Nothing is verified."""
        return cls(dict(plain), convert(plain, TrustCertificate))

    @property
    def id(self) -> str:
        return self.terms.certificate_id

    @property
    def issuer(self) -> ServerId:
        return self.terms.issuer_server

    @property
    def subject(self) -> ServerId:
        return self.terms.subject_server

    @property
    def keys(self) -> tuple[bytes, ...]:
        """The subject's identity keys, the first one first."""
        return (self.terms.public_key, *(other.public_key for other in self.terms.other_keys or ()))

    @property
    def permissions(self) -> frozenset[str]:
        """Those that it grants."""
        return frozenset(name for name in PERMISSIONS if getattr(self.terms.permissions, name))

    @property
    def transit(self) -> bool:
        """Whether the subject may hand on relays of others."""
        return self.terms.extensions.get("transit") is True

    @property
    def agreement(self) -> frozenset[str]:
        """National secrets that a NATO agreement covers; none below `nato`."""
        named = self.terms.extensions.get("agreement")
        listed = named.get("classifications") if isinstance(named, dict) else None
        if self.terms.trust_level != "nato" or not isinstance(listed, list):
            return frozenset()
        return NATIONAL_SECRETS & {name for name in listed if isinstance(name, str)}

    @property
    def established_at(self) -> int:
        """When the exchange behind it ended; its own beginning if it does not say."""
        value = self.terms.extensions.get("established_at")
        return value if type(value) is int else self.terms.not_before

    @property
    def max_message(self) -> int:
        """Bytes of ciphertext in one message."""
        return min(self.terms.permissions.max_message_size, ALLOWANCES[self.terms.trust_level].max_message)

    def level_at(self, now: float) -> TrustLevel:
        """Its level, after the conditions that were missed."""
        return level_at(self.terms.trust_level, self.terms.conditions, now)

    def in_time(self, now: float) -> bool:
        """Whether it has begun and not ended."""
        return self.terms.not_before <= now < self.terms.not_after


# --- Issuing ---


def draft(
    own_key: bytes,
    grant: Grant,
    *,
    issuer: ServerId,
    subject: ServerId,
    keys: tuple[bytes, ...],
    certificate_id: str,
    now: int,
    established_at: int | None = None,
    max_age: int = TRUST_MAX_AGE_SECONDS,
) -> Draft:
    """A certificate that `issuer` has to sign with `own_key`. `keys` are the subject's identity keys, as they were
    proven. It ends after the grant's lifetime, at the latest `max_age` seconds after `established_at` (None: now).

    `ProtocolError` 5002 if that has passed, so that nothing is left to grant; 5004 for no level.
    """
    established = now if established_at is None else established_at
    end = min(now + grant.lifetime, established + max_age)
    if end <= now:
        raise ProtocolError(Code.TRUST_EXPIRED, f"{subject} was validated too long ago: establish trust anew")
    if grant.level == "untrusted":
        raise ProtocolError(Code.INSUFFICIENT_TRUST, "nothing to grant")
    extensions: SignedMap = {"established_at": established}
    if grant.transit:
        extensions["transit"] = True
    if grant.level == "nato" and grant.agreement_reference:
        listed: list[Value] = [*sorted(grant.agreement & NATIONAL_SECRETS)]
        extensions["agreement"] = {"reference": grant.agreement_reference, "classifications": listed}
    members: SignedMap = {
        "version": VERSION,
        "certificate_id": certificate_id,
        "issuer_server": issuer,
        "subject_server": subject,
        "trust_level": grant.level,
        "permissions": to_map(grant.struct()),
        "not_before": now,
        "not_after": end,
        "renewable": grant.renewable,
        "revocable": grant.revocable,
        "conditions": [to_map(condition) for condition in grant.conditions],
        "public_key": keys[0],
        "key_algorithm": algorithm_of(keys[0]),
        "extensions": extensions,
    }
    if len(keys) > 1:
        members["other_keys"] = [{"public_key": key, "key_algorithm": algorithm_of(key)} for key in keys[1:]]
    return draft_certificate(own_key, members)


def grant_of(certificate: Certificate) -> Grant:
    """What a certificate grants, to be granted again: the same lifetime, and its conditions, which a renewal drops only
    if its issuer says that they are met."""
    terms = certificate.terms
    named = terms.extensions.get("agreement")
    reference = named.get("reference") if isinstance(named, dict) else None
    return Grant(
        level=terms.trust_level,
        permissions=frozenset(name for name in PERMISSIONS if getattr(terms.permissions, name)),
        max_message_size=terms.permissions.max_message_size,
        messages_per_second=terms.permissions.rate_limits.messages_per_second,
        bandwidth_mbps=terms.permissions.rate_limits.bandwidth_mbps,
        lifetime=terms.not_after - terms.not_before,
        conditions=terms.conditions,
        renewable=terms.renewable,
        revocable=terms.revocable,
        transit=certificate.transit,
        agreement=certificate.agreement,
        agreement_reference=reference if isinstance(reference, str) else "",
    )


def renewal(
    old: Certificate,
    own_key: bytes,
    *,
    certificate_id: str,
    now: int,
    grant: Grant | None = None,
    max_age: int = TRUST_MAX_AGE_SECONDS,
) -> Draft:
    """The certificate that follows `old`, from `now` on; `grant` None: on the same terms.

    `ProtocolError` 5002 if trust has to be established anew, 5005 for a certificate that says it is not renewable.
    """
    if not old.terms.renewable:
        raise ProtocolError(Code.PERMISSION_DENIED, f"certificate {old.id} is not renewable")
    return draft(
        own_key,
        grant_of(old) if grant is None else grant,
        issuer=old.issuer,
        subject=old.subject,
        keys=old.keys,
        certificate_id=certificate_id,
        now=now,
        established_at=old.established_at,
        max_age=max_age,
    )


# --- The six checks ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Against:
    """What a certificate is checked against: who should have issued it for whom, the issuer's keys, and when a
    revocation ends it (None: none does). `permission`: one that it must grant."""

    issuer: ServerId
    subject: ServerId
    issuer_keys: tuple[bytes, ...]
    now: float
    revoked_from: int | None = None
    permission: Permission | None = None


def _issuer(certificate: Certificate, against: Against) -> None:
    if (certificate.issuer, certificate.subject) != (against.issuer, against.subject):
        raise ProtocolError(Code.WRONG_TARGET, f"from {certificate.issuer} for {certificate.subject}")


def _signature(certificate: Certificate, against: Against) -> None:
    for key in against.issuer_keys:
        try:
            begin = certificate.terms.not_before  # whether it is in time, the next check says
            verify_certificate(certificate.map, key, issuer=certificate.issuer, now=begin)
        except BadSignatureError:
            continue
        return
    raise ProtocolError(Code.BAD_SIGNATURE, f"certificate {certificate.id}")


def _expiry(certificate: Certificate, against: Against) -> None:
    if not certificate.in_time(against.now):
        raise ProtocolError(Code.TRUST_EXPIRED, f"certificate {certificate.id} outside its time")


def _permissions(certificate: Certificate, against: Against) -> None:
    """A level above untrusted, no size beyond it, an agreement at `nato` alone, and the permission that is asked."""
    terms = certificate.terms
    if terms.trust_level == "untrusted":
        raise ProtocolError(Code.INSUFFICIENT_TRUST, f"certificate {certificate.id} grants no level")
    if terms.permissions.max_message_size > ALLOWANCES[terms.trust_level].max_message:
        raise ProtocolError(Code.PERMISSION_DENIED, f"certificate {certificate.id}: larger than {terms.trust_level}")
    if "agreement" in terms.extensions and terms.trust_level != "nato":
        raise ProtocolError(Code.PERMISSION_DENIED, f"certificate {certificate.id}: an agreement below nato")
    if against.permission is not None and against.permission not in certificate.permissions:
        raise ProtocolError(Code.PERMISSION_DENIED, f"certificate {certificate.id}: no {against.permission}")


def _conditions(certificate: Certificate, against: Against) -> None:
    if certificate.terms.trust_level != "untrusted" == certificate.level_at(against.now):
        raise ProtocolError(Code.TRUST_EXPIRED, f"certificate {certificate.id}: a condition was missed")


def _revocation(certificate: Certificate, against: Against) -> None:
    if against.revoked_from is not None and against.now >= against.revoked_from:
        raise ProtocolError(Code.TRUST_REVOKED, f"certificate {certificate.id}")


Check: TypeAlias = Callable[[Certificate, Against], None]
CHECKS: Final[tuple[tuple[str, Check], ...]] = (
    ("issuer", _issuer),
    ("signature", _signature),
    ("expiry", _expiry),
    ("permissions", _permissions),
    ("conditions", _conditions),
    ("revocation", _revocation),
)
"""The six checks of fields.md, cheapest first where the order is free."""


def check(certificate: Certificate, against: Against) -> None:
    """`ProtocolError` of the first check that fails: 5206 another issuer or subject, 5604 the signature, 5002 its time
    or a missed condition, 5004 and 5005 its permissions, 5003 revoked."""
    for _, one in CHECKS:
        one(certificate, against)
