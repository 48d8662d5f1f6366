"""Everything this server has on record about trust, in memory, and what follows from it (section 9).

Rules
- The book holds what was verified and stored, and nothing else: whoever changes it stores the change first.
- `standing` is what `relations.standing` makes of the records of the moment, kept until it may change by itself or
  something is entered about that server.
- Keys of another server, in this order: those that this server's newest certificate for it pins; else the one that it
  showed when an exchange with it was completed. Nothing is believed of a server without either.
- A book says nothing about who may change it, and asks nobody.
"""

from norc_actors.ids import ServerId
from norc_actors.protocol.messages.trust_decision import RevokedCertificate

from . import crl
from .certificates import Certificate
from .crl import Known
from .relations import Records, Standing, deciding, standing
from .revocation import Chain, Revocation, chain_of
from .web import LEVEL_SCORES, Edge


class Book:
    """See the module."""

    def __init__(self, own: ServerId, own_keys: tuple[bytes, ...]) -> None:
        self.own = own
        self.own_keys = own_keys
        self.lists: dict[ServerId, Known] = {}
        self._issued: dict[ServerId, list[Certificate]] = {}
        self._held: dict[ServerId, list[Certificate]] = {}
        self._by_signer: dict[ServerId, list[Revocation]] = {}
        self._hashes: set[bytes] = set()
        self._shown: dict[ServerId, bytes] = {}
        self._standings: dict[ServerId, Standing] = {}

    # --- What is entered ---

    def add_certificate(self, certificate: Certificate) -> None:
        """A certificate that this server issued or holds; a third party's is refused with `ValueError`."""
        if certificate.issuer == self.own:
            self._issued.setdefault(certificate.subject, []).append(certificate)
            self._standings.pop(certificate.subject, None)
        elif certificate.subject == self.own:
            self._held.setdefault(certificate.issuer, []).append(certificate)
            self._standings.pop(certificate.issuer, None)
        else:
            raise ValueError(f"certificate {certificate.id} is between others")

    def add_revocation(self, revocation: Revocation) -> bool:
        """A verified revocation of anybody's; False if it was known."""
        if revocation.hash in self._hashes:
            return False
        self._hashes.add(revocation.hash)
        self._by_signer.setdefault(revocation.signer, []).append(revocation)
        self._standings.pop(revocation.signer, None)
        self._standings.pop(revocation.message.target_server, None)
        return True

    def set_list(self, issuer: ServerId, known: Known) -> None:
        """What is known of an issuer's list."""
        self.lists[issuer] = known
        self._standings.pop(issuer, None)

    def set_shown(self, server: ServerId, key: bytes) -> None:
        """The key that a server showed when an exchange with it was completed."""
        self._shown[server] = key

    # --- What is known ---

    def servers(self) -> list[ServerId]:
        """Every server that this one ever had a certificate with, sorted."""
        return sorted({*self._issued, *self._held})

    def records(self, server: ServerId) -> Records:
        """What is on record about one."""
        known = self.lists.get(server)
        return Records(
            own=self.own,
            other=server,
            issued=self._issued.get(server, ()),
            held=self._held.get(server, ()),
            revocations=(*self.revocations(self.own), *self.revocations(server)),
            listed={} if known is None else {name: date for name, (date, _) in known.revoked.items()},
            fresh_until=0 if known is None else known.fresh_until(),
        )

    def standing(self, server: ServerId, now: float) -> Standing:
        """How this server stands to another."""
        found = self._standings.get(server)
        if found is None or (found.until is not None and now >= found.until):
            found = self._standings[server] = standing(self.records(server), now)
        return found

    def next_change(self, now: float) -> int | None:
        """When the next standing may change by itself."""
        moments = (self.standing(server, now).until for server in self.servers())
        return min((moment for moment in moments if moment is not None), default=None)

    def keys(self, server: ServerId) -> tuple[bytes, ...]:
        """The identity keys by which a server's statements are verified."""
        issued = self._issued.get(server)
        if issued:
            return max(issued, key=lambda certificate: certificate.terms.not_before).keys
        shown = self._shown.get(server)
        return () if shown is None else (shown,)

    def issued(self, server: ServerId, now: float) -> Certificate | None:
        """The certificate that this server granted and that counts."""
        return deciding(self._issued.get(server, ()), now)

    def held(self, server: ServerId, now: float) -> Certificate | None:
        """The one that was granted to this server and that counts."""
        return deciding(self._held.get(server, ()), now)

    def all_issued(self, server: ServerId, now: float) -> list[Certificate]:
        """Every certificate for a server that has not ended by itself, the newest last."""
        return [one for one in self._issued.get(server, ()) if now < one.terms.not_after]

    def certificate(self, issuer: ServerId, certificate_id: str) -> Certificate | None:
        """A certificate by its issuer and id."""
        both = (*self._held.get(issuer, ()),) if issuer != self.own else self._own_issued()
        return next((one for one in both if one.id == certificate_id), None)

    def revocations(self, signer: ServerId) -> tuple[Revocation, ...]:
        """A signer's revocations, in the order in which they came."""
        return tuple(self._by_signer.get(signer, ()))

    def chain(self, signer: ServerId) -> Chain:
        """What a signer's revocations come to."""
        return chain_of(self.revocations(signer))

    def revocation(self, digest: bytes) -> Revocation | None:
        """A revocation by its hash."""
        every = (one for revocations in self._by_signer.values() for one in revocations)
        return next((one for one in every if one.hash == digest), None)

    def own_entries(self, now: float) -> list[RevokedCertificate]:
        """What this server's own list has to say now."""
        return crl.entries_of(self._own_issued(), self.revocations(self.own), now)

    def partners(self, now: float) -> list[ServerId]:
        """Whom a revocation is told, besides the one that it is about: every server that this one trusts."""
        return [server for server in self.servers() if self.standing(server, now).ingress is not None]

    def watched(self, now: float) -> list[ServerId]:
        """Whose lists are asked for: every server with trust in both directions, suspended or not."""
        states = ("trusted", "suspended")
        return [server for server in self.servers() if self.standing(server, now).state in states]

    def since(self, server: ServerId, now: float) -> int | None:
        """Since when there has been a relation without a break; None without one."""
        if self.standing(server, now).state not in ("trusted", "suspended"):
            return None
        return min(one.established_at for one in self._issued[server])

    def security_revocations(self, server: ServerId) -> int:
        """How many certificates of a server this one revoked for a reason of security."""
        return sum(one.immediate and one.message.target_server == server for one in self.revocations(self.own))

    def edges(self, now: float) -> list[Edge]:
        """This server's own relations as edges of the web."""
        edges = []
        for server in self.servers():
            ingress = self.standing(server, now).ingress
            if ingress is not None:
                score = LEVEL_SCORES[ingress.relation.level]
                edges.append(Edge(truster=self.own, trusted=server, score=score))
        return edges

    def _own_issued(self) -> tuple[Certificate, ...]:
        return tuple(one for issued in self._issued.values() for one in issued)
