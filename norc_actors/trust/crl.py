"""Numbered lists of what a server revoked: made, taken over, and how fresh they are (section 9; rows B147, B149).

Rules
- A list says which certificates of its issuer are at an end. Its number rises with every change and never else; lists
  of one number have the same entries.
- A lower number than one that was seen is a replay, the same number with other entries a forgery by the issuer: both
  5606, and the list that was known stays. Nothing is taken from a list whose signature does not hold.
- Revoked stays revoked: an entry that a newer list no longer has (its certificate has expired) is kept here.
- A list from the future (`this_update` more than the skew ahead) is put into quarantine: nothing of it counts, not
  even its number, until its time has come. A clock that once ran ahead must not freeze out the honest lists after it.
- A list is fresh for 300 s after `this_update`, and never after `next_update`. Without a fresh one a relation is
  suspended at every level: relays queue, nothing is lost. A relation that has just begun has 300 s to get its first.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from norc_actors.ids import ServerId
from norc_actors.limits import CRL_FRESH_SECONDS, MAX_ENTRIES, TRUST_SKEW_SECONDS
from norc_actors.protocol.canonical import Value
from norc_actors.protocol.codec import convert
from norc_actors.protocol.errors import Code, ProtocolError
from norc_actors.protocol.messages.trust_decision import CrlReason, RevokedCertificate, TrustCrl
from norc_actors.protocol.schema import SignedMap
from norc_actors.protocol.trust_transcript import check_crl_number

from .certificates import Certificate
from .drafts import Draft, draft_message, signed_by
from .revocation import CRL_REASONS, Revocation

SUSPENDS: Final = CRL_FRESH_SECONDS
"""Seconds without a fresh list after which a relation is suspended."""


def entries_of(
    certificates: Iterable[Certificate], revocations: Sequence[Revocation], now: float
) -> list[RevokedCertificate]:
    """What belongs on this server's own list at `now`: its certificates that a revocation has ended, unless they have
    expired by themselves; the newest first if there are more than a list holds."""
    entries = []
    for certificate in certificates:
        if now >= certificate.terms.not_after + SUSPENDS:
            continue
        ending = [one for one in revocations if one.full and one.binds(certificate) and one.takes_effect <= now]
        if ending:
            first = min(ending, key=lambda one: one.takes_effect)
            entries.append(
                RevokedCertificate(
                    certificate_id=certificate.id,
                    revocation_date=max(0, first.takes_effect),
                    revocation_reason=CRL_REASONS[first.message.revocation_reason],
                )
            )
    entries.sort(key=lambda one: (-one.revocation_date, one.certificate_id))
    return entries[:MAX_ENTRIES]


def draft(own_key: bytes, issuer: ServerId, number: int, entries: Iterable[RevokedCertificate], now: int) -> Draft:
    """This server's own list."""
    listed: list[Value] = [
        {
            "certificate_id": one.certificate_id,
            "revocation_date": one.revocation_date,
            "revocation_reason": one.revocation_reason,
        }
        for one in entries
    ]
    message: SignedMap = {
        "type": "trust_crl",
        "issuer_server": issuer,
        "number": number,
        "this_update": now,
        "next_update": now + SUSPENDS,
        "revoked_certificates": listed,
        "timestamp": now,
    }
    return draft_message(own_key, message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of one issuer's lists. `since`: when this server began to want one; `number` None: none came yet;
    `revoked`: certificate_id → (date, reason), of all lists so far; `held`: a list in quarantine."""

    since: int
    number: int | None = None
    this_update: int = 0
    next_update: int = 0
    current: frozenset[str] = frozenset()
    revoked: Mapping[str, tuple[int, CrlReason]] = field(default_factory=dict)
    held: SignedMap | None = None

    def fresh_until(self) -> int:
        """When a relation with the issuer has to be suspended if nothing newer comes."""
        if self.number is None:
            return self.since + SUSPENDS
        return min(self.this_update + SUSPENDS, self.next_update)

    def fresh(self, now: float) -> bool:
        """Whether a relation with the issuer may go on."""
        return now < self.fresh_until()


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A list that was taken over, or held. `new`: certificates that were not known as revoked."""

    known: Known
    new: tuple[RevokedCertificate, ...] = ()
    quarantined: bool = False


def take(known: Known, plain: Mapping[str, Value], issuer: ServerId, keys: Iterable[bytes], now: float) -> Taken:
    """Take over a received list of `issuer`. `ProtocolError` 3001 for what is none, 5206 for another issuer's, 5604 for
    a signature that does not hold, 5606 for a replay or a second list under one number. One that is not fresh counts
    for what it lists, and leaves the relation as stale as it was."""
    message = convert(plain, TrustCrl)
    if message.issuer_server != issuer:
        raise ProtocolError(Code.WRONG_TARGET, f"a list of {message.issuer_server} from {issuer}")
    if signed_by(plain, keys) is None:
        raise ProtocolError(Code.BAD_SIGNATURE, f"a list that {issuer} did not sign")
    if message.this_update > now + TRUST_SKEW_SECONDS:
        return Taken(known=replace(known, held=dict(plain)), quarantined=True)
    check_crl_number(message.number, known.number)
    listed = frozenset(one.certificate_id for one in message.revoked_certificates)
    if message.number == known.number:
        if listed != known.current:
            raise ProtocolError(Code.BAD_SEQUENCE, f"two lists with number {message.number}")
        if message.this_update < known.this_update:
            raise ProtocolError(Code.BAD_SEQUENCE, f"list {message.number} of an earlier time")
    new = tuple(one for one in message.revoked_certificates if one.certificate_id not in known.revoked)
    return Taken(
        known=replace(
            known,
            number=message.number,
            this_update=message.this_update,
            next_update=message.next_update,
            current=listed,
            revoked={
                **known.revoked,
                **{one.certificate_id: (one.revocation_date, one.revocation_reason) for one in new},
            },
            held=None,
        ),
        new=new,
    )


def release(known: Known, issuer: ServerId, keys: Iterable[bytes], now: float) -> Taken | None:
    """The list in quarantine, taken over if its time has come; None if there is none, or not yet. Errors as `take`, and
    then it is to be dropped."""
    if known.held is None:
        return None
    taken = take(replace(known, held=None), known.held, issuer, keys, now)
    return None if taken.quarantined else taken
