"""What the trust manager works with: the book, the cases that are open, and the way to have things signed and stored.

Rules
- `commit` stores first and enters into the book after: what the book says has been on the disk, and nothing that
  follows from it (an answer, a message, `RelationChanged`) leaves before. If the disk refuses, nothing has changed.
- Only the trust manager's own loop calls it: two of its callbacks never run at once, so no entry is lost.
- Whoever caches a standing hears of each that changed, once, after the commit (`settle`).
- With the first certificate of an issuer begins the time in which its list is wanted (`crl.Known.since`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import msgspec

from norc_actors.actors import names
from norc_actors.actors.crypto.key_manager import Sign
from norc_actors.actors.storage.audit_log import Audit
from norc_actors.actors.trust.certificate_store import Trust
from norc_actors.actors.trust.requests import RELATIONS, RelationChanged
from norc_actors.actors.trust.trust_validator import Case
from norc_actors.ids import Clock, Random, ServerId
from norc_actors.limits import TRUST_MAX_AGE_SECONDS
from norc_actors.protocol.codec import convert, decode_map, encode_map
from norc_actors.protocol.messages.trust import TrustCapabilities
from norc_actors.protocol.messages.trust_reports import GovPkiTrustRequest
from norc_actors.protocol.schema import SignedMap
from norc_actors.store.trust import (
    StoredCertificate,
    StoredExchange,
    StoredList,
    StoredPeer,
    StoredPush,
    StoredRecommendation,
    StoredRevocation,
    TrustChanges,
    TrustRecords,
    TrustStore,
)
from norc_actors.trust import revocation as revocations_of
from norc_actors.trust.book import Book
from norc_actors.trust.certificates import Certificate
from norc_actors.trust.crl import Known
from norc_actors.trust.drafts import Draft, ToSign
from norc_actors.trust.exchange import Exchange, Profile, from_bytes, to_bytes
from norc_actors.trust.granting import Asking
from norc_actors.trust.relations import Standing
from norc_actors.trust.requesting import Goal
from norc_actors.trust.revocation import Revocation
from norc_actors.trust.validators import DomainAnswer, Recommendation, Verdict
from supervision import System
from supervision.groups import Groups


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustSettings:
    """What an operator configures: who this server is (`profile`), what it asks of others, how long trust lasts at
    most, which builds are known as good, and whether it tells others what it thinks of third servers."""

    profile: Profile
    asking: Asking = field(default_factory=Asking)
    max_age: int = TRUST_MAX_AGE_SECONDS
    known_builds: frozenset[bytes] = frozenset()
    speaks_of_others: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What was found out about an exchange, and what happened to it: `note` for an operator."""

    judged_at: int = 0
    domain: DomainAnswer | None = None
    verdicts: tuple[Verdict, ...] = ()
    score: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """An exchange that goes on, with all that belongs to it."""

    exchange: Exchange
    goal: Goal | None = None
    findings: Findings = field(default_factory=Findings)
    updated_at: int = 0

    @property
    def case(self) -> Case:
        return (self.exchange.role, self.exchange.remote, self.exchange.request_id)

    def noted(self, note: str) -> "Open":
        """The same, with a note."""
        return replace(self, findings=replace(self.findings, note=note))

    def stored(self) -> StoredExchange:
        """Its row."""
        return StoredExchange(
            remote=self.exchange.remote,
            role=self.exchange.role,
            request_id=self.exchange.request_id,
            state=self.exchange.state,
            updated_at=self.updated_at,
            exchange=to_bytes(self.exchange),
            goal=None if self.goal is None else msgspec.msgpack.encode(self.goal),
            findings=msgspec.msgpack.encode(self.findings),
        )


def opened(row: StoredExchange) -> Open:
    """The inverse of `Open.stored`."""
    return Open(
        exchange=from_bytes(row.exchange),
        goal=None if row.goal is None else msgspec.msgpack.decode(row.goal, type=Goal),
        findings=Findings() if row.findings is None else msgspec.msgpack.decode(row.findings, type=Findings),
        updated_at=row.updated_at,
    )


class Ledger:
    """See the module."""

    def __init__(self, system: System, settings: TrustSettings, clock: Clock, random: Random) -> None:
        self.settings = settings
        self.profile = settings.profile
        self.clock = clock
        self.random = random
        self.book = Book(self.profile.server, self.profile.keys)
        self.cases: dict[Case, Open] = {}
        self.renewals: dict[ServerId, StoredExchange] = {}
        """Renewals that wait for an operator: the `trust_renewal` as received."""
        self.reissues: dict[ServerId, StoredExchange] = {}
        """New certificates that nobody acknowledged yet: the `trust_decision` that brings them."""
        self.peers: dict[ServerId, StoredPeer] = {}
        self.recommendations: dict[tuple[ServerId, ServerId], Recommendation] = {}
        self._system = system
        self._store = system.ref(names.CERTIFICATE_STORE)
        self._keys = system.ref(names.KEY_MANAGER)
        self._told: dict[ServerId, Standing] = {}

    @property
    def now(self) -> int:
        """Whole seconds since the epoch."""
        return int(self.clock())

    async def load(self) -> None:
        """Read all that is on the disk."""
        records = await self._store.call(Trust(TrustStore.records))
        self._enter_peers(records)
        for row in records.certificates:
            self.book.add_certificate(Certificate.read(decode_map(row.certificate)))
        for revoked in records.revocations:
            self.book.add_revocation(_revocation(revoked))
        for listed in records.lists:
            if listed.issuer != self.profile.server:
                self.book.set_list(listed.issuer, msgspec.msgpack.decode(listed.list, type=Known))
        for exchange in records.exchanges:
            self._enter_exchange(exchange)
        self._told = {server: self.book.standing(server, self.clock()) for server in self.book.servers()}

    def _enter_peers(self, records: TrustRecords) -> None:
        for peer in records.peers:
            self._enter_peer(peer)
        for row in records.recommendations:
            given = msgspec.msgpack.decode(row.recommendation, type=Recommendation)
            self.recommendations[row.recommender, row.subject] = given

    def _enter_peer(self, peer: StoredPeer) -> None:
        self.peers[peer.server] = peer
        if peer.shown_key is not None:
            self.book.set_shown(peer.server, peer.shown_key)

    def _enter_exchange(self, row: StoredExchange) -> None:
        if row.role in ("renewing", "reissuing"):
            waiting = self.renewals if row.role == "renewing" else self.reissues
            if row.state == "waiting":
                waiting[row.remote] = row
            else:
                waiting.pop(row.remote, None)
            return
        case = opened(row)
        if case.exchange.open:
            self.cases[case.case] = case
        else:
            self.cases.pop(case.case, None)

    # --- signing ---

    async def signature(self, wanted: ToSign) -> bytes:
        """A signature of the identity key."""
        return await self._keys.call(Sign(wanted.label, wanted.body))

    async def sign(self, draft: Draft) -> SignedMap:
        """The whole map."""
        return draft.signed(await self.signature(draft.to_sign))

    # --- storing ---

    async def commit(
        self,
        *,
        certificates: Sequence[Certificate] = (),
        cases: Sequence[Open] = (),
        renewals: Sequence[StoredExchange] = (),
        revocations: Sequence[Revocation] = (),
        pushes: Sequence[StoredPush] = (),
        peers: Sequence[StoredPeer] = (),
        recommendations: Sequence[tuple[ServerId, Recommendation]] = (),
    ) -> None:
        """Store, then enter. Raises `StoreError`; then nothing has changed."""
        now = self.now
        cases = [replace(case, updated_at=now) for case in cases]
        rows = (*(case.stored() for case in cases), *renewals)
        issuers = {one.issuer for one in certificates} - {self.profile.server} - self.book.lists.keys()
        lists = [(issuer, Known(since=now)) for issuer in sorted(issuers)]
        changes = TrustChanges(
            certificates=tuple(_row_of_certificate(one) for one in certificates),
            exchanges=rows,
            revocations=tuple(_row_of_revocation(one) for one in revocations),
            pushes=tuple(pushes),
            lists=tuple(StoredList(issuer=name, list=msgspec.msgpack.encode(known)) for name, known in lists),
            peers=tuple(peers),
            recommendations=tuple(
                StoredRecommendation(
                    recommender=one.recommender,
                    subject=subject,
                    expires=one.expires,
                    recommendation=msgspec.msgpack.encode(one),
                )
                for subject, one in recommendations
            ),
        )
        await self._store.call(Trust(lambda store: store.apply(changes)))
        for certificate in certificates:
            self.book.add_certificate(certificate)
        for revocation in revocations:
            self.book.add_revocation(revocation)
        for issuer, known in lists:
            self.book.set_list(issuer, known)
        for peer in peers:
            self._enter_peer(peer)
        for row in rows:
            self._enter_exchange(row)
        for subject, one in recommendations:
            self.recommendations[one.recommender, subject] = one
        self.settle()

    def settle(self) -> list[ServerId]:
        """Tell those who cache standings of each that changed since the last time; returns whose."""
        changed = []
        groups = Groups(self._system)
        for server in self.book.servers():
            standing = self.book.standing(server, self.clock())
            if not _same(self._told.get(server), standing):
                self._told[server] = standing
                changed.append(server)
                for missed in groups.publish(RELATIONS, RelationChanged(server)):
                    missed.post(RelationChanged(server))  # its mailbox is full, and this it has to know
        return changed

    # --- peers ---

    def peer(self, server: ServerId) -> StoredPeer:
        """What is known of a server."""
        return self.peers.get(server) or StoredPeer(server=server, first_seen=self.now)

    def capabilities(self, server: ServerId) -> TrustCapabilities | None:
        """What it last said of itself."""
        said = self.peer(server).capabilities
        return None if said is None else convert(decode_map(said), TrustCapabilities)

    def government(self, server: ServerId) -> GovPkiTrustRequest | None:
        """Its `gov_pki_trust_request`."""
        said = self.peer(server).government
        return None if said is None else convert(decode_map(said), GovPkiTrustRequest)

    def exchanges_with(self, server: ServerId, role: str) -> list[Open]:
        """The open ones."""
        return [case for case in self.cases.values() if case.exchange.remote == server and case.exchange.role == role]

    def opinions_of(self, subject: ServerId) -> tuple[Recommendation, ...]:
        """What third servers said of one."""
        return tuple(one for (_, about), one in self.recommendations.items() if about == subject)

    async def rows(self, remote: ServerId) -> Sequence[StoredExchange]:
        """The newest exchanges and renewals with a server, those that are over too."""
        return await self._store.call(Trust(lambda store: store.exchanges(remote)))

    async def pushes(self, one: Revocation) -> Sequence[StoredPush]:
        """To whom a revocation was told, and what they answered."""
        return await self._store.call(Trust(lambda store: store.pushes(one.hash)))

    async def unacknowledged(self) -> tuple[StoredPush, ...]:
        """Whom a revocation has still to be told."""
        return await self._store.call(Trust(TrustStore.unacknowledged))

    async def stored(self, remote: ServerId, role: str, request_id: str) -> StoredExchange | None:
        """An exchange, whatever its state."""
        return await self._store.call(Trust(lambda store: store.exchange(remote, role, request_id)))

    # --- telling ---

    async def audit(self, event_type: str, action: str, result: str, target: ServerId, **more: object) -> None:
        """One event."""
        await self._system.ref(names.AUDIT_LOG).cast(
            Audit(event_type, action, result, target=target, **more)  # type: ignore[arg-type]
        )


def _same(one: Standing | None, other: Standing) -> bool:
    """Whether what may pass is the same; the words and the next deadline may differ."""
    if one is None:
        return other.state == "none"
    return (one.state, one.ingress, one.egress, one.keys) == (other.state, other.ingress, other.egress, other.keys)


def _row_of_certificate(certificate: Certificate) -> StoredCertificate:
    return StoredCertificate(
        issuer=certificate.issuer,
        subject=certificate.subject,
        certificate_id=certificate.id,
        not_after=certificate.terms.not_after,
        certificate=encode_map(certificate.map),
    )


def _row_of_revocation(revocation: Revocation) -> StoredRevocation:
    return StoredRevocation(
        hash=revocation.hash,
        signer=revocation.signer,
        certificate_id=revocation.message.trust_certificate_id,
        received_at=revocation.received_at,
        revocation=encode_map(revocation.map),
    )


def _revocation(row: StoredRevocation) -> Revocation:
    plain = decode_map(row.revocation)
    return revocations_of.known(plain, row.hash, row.received_at)
