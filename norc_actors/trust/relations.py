"""What certificates, conditions and revocations come to between this server and another (section 9; rows B133, B141,
B144).

```
                    issued: own → other            held: other → own
ingress   level     issued                         (stands, or nothing passes)
          terms     issued: permissions, limits, transit, agreement, pinned keys
egress    level     the lower of both
          terms     held: permissions, limits, transit; an agreement only as far as both have it
```
Rules
- `standing` is a function of the records and the time, and the only place that decides; what an actor holds of it is a
  cache until `until`, when the next deadline, beginning, end or revocation falls due.
- Of several certificates in one direction the newest whose time has come decides alone, for better and worse: if it is
  revoked or has ended, no older one comes back to life.
- Trust in one direction only permits nothing, either way (row B141). It still lets the two speak about trust itself.
- What comes in is judged by what this server granted, whatever the other says of itself.
- A relation without a fresh list of what the other revoked is `suspended`: both views stay as they are, and whoever
  sends waits.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from norc_actors.ids import ServerId
from norc_actors.protocol.errors import Code
from norc_actors.protocol.relay import Relation
from norc_actors.protocol.trust_levels import ALLOWANCES, TrustLevel, lowest

from . import policy
from .certificates import Certificate
from .conditions import describe, next_deadline
from .revocation import Revocation, ends_at, taken

State = Literal["none", "one-sided", "trusted", "suspended", "expired", "revoked"]
ABSENT: Final[Mapping[State, Code]] = {
    "none": Code.SERVER_NOT_TRUSTED,
    "one-sided": Code.SERVER_NOT_TRUSTED,
    "trusted": Code.SERVER_NOT_TRUSTED,
    "suspended": Code.SERVER_NOT_TRUSTED,
    "expired": Code.TRUST_EXPIRED,
    "revoked": Code.TRUST_REVOKED,
}
"""What is refused in a state that has no relation, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """All that this server has on record about itself and `other`. `issued` and `held` in the order in which they were
    recorded; `revocations` of both signers; `listed`: certificates on the other's list (certificate_id → date);
    `fresh_until`: of that list."""

    own: ServerId
    other: ServerId
    issued: Sequence[Certificate] = ()
    held: Sequence[Certificate] = ()
    revocations: Sequence[Revocation] = ()
    listed: Mapping[str, int] = field(default_factory=dict)
    fresh_until: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What may pass in one direction: the relation as the relay judges it, and limits. `max_message` in bytes of
    ciphertext."""

    relation: Relation
    max_message: int
    messages_per_second: int
    bandwidth_mbps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How this server stands to another. `keys` are those that this server pinned, None without a certificate of its
    own that counts; `why` says it in words; `until`: when it may change by itself (None: never)."""

    other: ServerId
    state: State
    ingress: Terms | None = None
    egress: Terms | None = None
    keys: tuple[bytes, ...] | None = None
    why: tuple[str, ...] = ()
    until: int | None = None
    since: int = 0
    """When what this server granted began; 0 without a relation."""

    @property
    def level(self) -> TrustLevel:
        """The level of what goes out."""
        return "untrusted" if self.egress is None else self.egress.relation.level

    @property
    def hybrid(self) -> bool:
        """Whether a link with it has to be hybrid: if either direction's level says so."""
        views = [terms.relation.level for terms in (self.ingress, self.egress) if terms is not None]
        return any(ALLOWANCES[level].hybrid for level in views)

    def check_ingress(self, kind: str, classification: str | None = None) -> None:
        """`policy.check` of a message that came from it."""
        policy.check(_relation(self.ingress), kind, classification, absent=ABSENT[self.state])

    def check_egress(self, kind: str, classification: str | None = None) -> None:
        """`policy.check` of a message that is to go there."""
        policy.check(_relation(self.egress), kind, classification, absent=ABSENT[self.state])


def _relation(terms: Terms | None) -> Relation | None:
    return None if terms is None else terms.relation


@dataclass(frozen=True, slots=True, kw_only=True)
class _Direction:
    """One direction: the certificate that decides, what is left of it, and why nothing is, if nothing is."""

    certificate: Certificate | None
    level: TrustLevel
    permissions: frozenset[str]
    ended: Literal["", "none", "expired", "revoked"]

    @property
    def stands(self) -> bool:
        return not self.ended


def deciding(certificates: Sequence[Certificate], now: float) -> Certificate | None:
    """The newest certificate whose time has come; of two with one beginning the one that was recorded later."""
    begun = [certificate for certificate in certificates if certificate.terms.not_before <= now]
    return max(reversed(begun), key=lambda certificate: certificate.terms.not_before, default=None)


def standing(records: Records, now: float) -> Standing:
    """How things stand at `now` (seconds since the epoch)."""
    issued = _direction(records.issued, records.revocations, {}, now)
    held = _direction(records.held, records.revocations, records.listed, now)
    both = issued.stands and held.stands
    ingress = _terms(issued, issued.level, issued.permissions if both else frozenset()) if issued.stands else None
    egress = None
    if both:
        level = lowest((issued.level, held.level))
        egress = _terms(held, level, held.permissions, agreed_by=issued.certificate)
    state = _state(issued, held, fresh=now < records.fresh_until)
    return Standing(
        other=records.other,
        state=state,
        ingress=ingress,
        egress=egress,
        keys=issued.certificate.keys if issued.certificate is not None and issued.stands else None,
        why=tuple(_words(records, issued, held, state, now)),
        until=_until(records, both, now),
        since=issued.certificate.terms.not_before if issued.certificate is not None and both else 0,
    )


def _state(issued: _Direction, held: _Direction, *, fresh: bool) -> State:
    ended = {issued.ended, held.ended}
    if ended == {""}:
        return "trusted" if fresh else "suspended"
    if "revoked" in ended:
        return "revoked"
    if "expired" in ended:
        return "expired"
    return "one-sided" if "" in ended else "none"


def _direction(
    certificates: Sequence[Certificate], revocations: Sequence[Revocation], listed: Mapping[str, int], now: float
) -> _Direction:
    certificate = deciding(certificates, now)
    if certificate is None:
        return _Direction(certificate=None, level="untrusted", permissions=frozenset(), ended="none")
    end = ends_at(certificate, revocations)
    level = certificate.level_at(now)
    ended: Literal["", "none", "expired", "revoked"] = ""
    if (end is not None and end <= now) or certificate.id in listed:
        ended = "revoked"
    elif not certificate.in_time(now) or level == "untrusted":
        ended = "expired"
    return _Direction(
        certificate=certificate,
        level="untrusted" if ended else level,
        permissions=frozenset() if ended else certificate.permissions - taken(certificate, revocations, now),
        ended=ended,
    )


def _terms(
    direction: _Direction, level: TrustLevel, permissions: frozenset[str], agreed_by: Certificate | None = None
) -> Terms | None:
    certificate = direction.certificate
    if certificate is None:
        return None
    agreement = certificate.agreement
    pinned = certificate if agreed_by is None else agreed_by
    if agreed_by is not None:
        agreement &= agreed_by.agreement
    limits = certificate.terms.permissions.rate_limits
    return Terms(
        relation=Relation(
            level=level,
            permissions=permissions,
            public_key=pinned.keys[0],
            agreement=agreement if level == "nato" else frozenset(),
            transit=certificate.transit and (agreed_by is None or agreed_by.transit) and bool(permissions),
        ),
        max_message=min(certificate.max_message, ALLOWANCES[level].max_message),
        messages_per_second=limits.messages_per_second,
        bandwidth_mbps=limits.bandwidth_mbps,
    )


def _until(records: Records, both: bool, now: float) -> int | None:
    """The next moment at which anything on record begins, ends or falls due."""
    moments = [one.takes_effect for one in records.revocations]
    for certificate in (*records.issued, *records.held):
        moments += (certificate.terms.not_before, certificate.terms.not_after)
        deadline = next_deadline(certificate.terms.conditions, now)
        moments += () if deadline is None else (deadline,)
    if both:
        moments.append(records.fresh_until)
    return min((moment for moment in moments if moment > now), default=None)


# --- In words ---


def _words(records: Records, issued: _Direction, held: _Direction, state: State, now: float) -> Iterable[str]:
    """One sentence per fact, for `norc trust show`."""
    yield _side(records.own, records.other, issued, now)
    yield _side(records.other, records.own, held, now)
    for one in records.revocations:
        if one.takes_effect > now and any(one.binds(each) for each in (*records.issued, *records.held)):
            what = ", ".join(sorted(one.permissions)) or "all of it"
            yield f"{one.signer} has revoked {what}, from {one.takes_effect - int(now)} s from now on."
    for direction in (issued, held):
        if direction.certificate is not None and direction.stands:
            yield from (describe(condition, now) for condition in direction.certificate.terms.conditions)
    if issued.stands != held.stands:
        yield "Trust goes one way only, so nothing is relayed."
    elif state == "suspended":
        yield f"There is no fresh list of what {records.other} revoked: relays wait until one comes."


def _side(issuer: ServerId, subject: ServerId, direction: _Direction, now: float) -> str:
    certificate = direction.certificate
    if certificate is None:
        return f"{issuer} trusts {subject} with nothing."
    terms = certificate.terms
    if direction.ended == "revoked":
        return f"{issuer} trusted {subject} with {terms.trust_level}, and revoked it."
    if direction.ended == "expired":
        missed = "a condition was missed" if certificate.in_time(now) else "it has ended"
        return f"{issuer} trusted {subject} with {terms.trust_level}: {missed}."
    days = int(terms.not_after - now) // 86400
    lowered = "" if direction.level == terms.trust_level else f" (granted {terms.trust_level}, a condition was missed)"
    permitted = ", ".join(sorted(direction.permissions)) or "nothing"
    return f"{issuer} trusts {subject} with {direction.level}{lowered} for {days} more days: {permitted}."
