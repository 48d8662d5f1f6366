"""The trust manager's part that ends trust, and hears that others end it (section 9, *Revocation*; rows B145–B148).

Rules
- A revocation is on the disk, with everybody whom it has to be told, before anything of it shows. Then, at once: who
  caches the relation hears of it (links close, queues fail back), exchanges with that server end, and crl_manager tells
  the others and lists it.
- What another server revokes is acknowledged however often it comes; it is recorded, and audited, once. It is taken
  from its signer alone, over the signer's own link.
- Of a certificate that its signer did not issue to this server it is a recommendation: recorded and shown.
- A gap in a signer's chain is an incident; the signer's list is asked for at once.
"""

import structlog

from norc_actors.actors import names
from norc_actors.actors.trust.crl_requests import OwnChanged, PollNow, Push
from norc_actors.actors.trust.errands import Errands
from norc_actors.actors.trust.ledger import Ledger
from norc_actors.actors.trust.requests import Appeal, RevokeTrust, TrustRefused
from norc_actors.actors.trust.traffic import frames_of
from norc_actors.ids import ServerId, new_uuid
from norc_actors.protocol.codec import Received, encode_map
from norc_actors.protocol.errors import Code, ProtocolError
from norc_actors.protocol.schema import Message, SignedMap
from norc_actors.store.trust import StoredPush
from norc_actors.trust import revocation
from norc_actors.trust.certificates import Certificate
from norc_actors.trust.revocation import Revocation, ends_at
from supervision import System

log = structlog.get_logger("norc.trust")


class Revoker:
    """See the module."""

    def __init__(self, ledger: Ledger, errands: Errands, system: System) -> None:
        self._ledger = ledger
        self._errands = errands
        self._system = system

    # --- this server's own ---

    async def revoke(self, wanted: RevokeTrust) -> tuple[str, ...]:
        """Revoke every certificate that counts or will count; a partial revocation the one that counts now. Returns the
        ids. `TrustRefused` if there is none, or the wish contradicts itself or the certificate."""
        ledger, now = self._ledger, self._ledger.now
        done: list[Revocation] = []
        try:
            for certificate in self._meant(wanted):
                done.append(await self._revocation(certificate, wanted, done, now))
        except ProtocolError as error:
            raise TrustRefused(error.detail, "see `norc trust show`") from error
        told = {wanted.server}
        if wanted.wish.scope != "partial":
            told.update(ledger.book.partners(ledger.clock()))
        pushes = [StoredPush(hash=one.hash, remote=remote, created_at=now) for one in done for remote in sorted(told)]
        await ledger.commit(revocations=done, pushes=pushes)
        parameters = {
            "reason": wanted.wish.reason, "scope": wanted.wish.scope,
            "revocations": [one.message.revocation_id for one in done],
        }  # fmt: skip
        await ledger.audit(
            "trust_revoked", "revoke", "success", wanted.server, risk_level="high",
            actor="operator" if wanted.by == "operator" else "condition", parameters=parameters,
            evidence=b"".join(one.hash for one in done),
        )  # fmt: skip
        await self._tell(done, pushes)
        return tuple(one.message.revocation_id for one in done)

    def _meant(self, wanted: RevokeTrust) -> list[Certificate]:
        ledger, now = self._ledger, self._ledger.clock()
        own = ledger.book.revocations(ledger.profile.server)
        standing = [
            one for one in ledger.book.all_issued(wanted.server, now) if (end := ends_at(one, own)) is None or end > now
        ]
        if wanted.wish.scope == "partial":
            counting = ledger.book.issued(wanted.server, now)
            standing = [one for one in standing if counting is not None and one.id == counting.id]
        if not standing:
            raise TrustRefused(f"{wanted.server} holds no certificate of this server", "see `norc trust list`")
        return standing

    async def _revocation(
        self, certificate: Certificate, wanted: RevokeTrust, before: list[Revocation], now: int
    ) -> Revocation:
        ledger = self._ledger
        head = before[-1].hash if before else ledger.book.chain(ledger.profile.server).head
        draft = revocation.draft(
            ledger.profile.keys[0],
            certificate,
            wanted.wish,
            revocation_id=new_uuid(ledger.random),
            previous=head,
            now=now,
        )
        return revocation.read(await ledger.sign(draft), ledger.profile.keys, now)

    async def _tell(self, done: list[Revocation], pushes: list[StoredPush]) -> None:
        crl_manager = self._system.ref(names.CRL_MANAGER)
        frames = {one.hash: encode_map(one.map) for one in done}
        await crl_manager.cast(Push(tuple(pushes), frames))
        await crl_manager.cast(OwnChanged(tuple(self._ledger.book.own_entries(self._ledger.clock()))))

    # --- others' ---

    async def heard(self, remote: ServerId, received: Received[Message]) -> list[SignedMap]:
        """A `trust_revoke`; answered with its acknowledgment. `ProtocolError` 5206 from another than its signer, 5001
        from a server of which no key is known, 5604."""
        ledger = self._ledger
        if received.map.get("revoking_server") != remote:
            raise ProtocolError(Code.WRONG_TARGET, f"a revocation of another server from {remote}")
        keys = ledger.book.keys(remote)
        if not keys:
            raise ProtocolError(Code.SERVER_NOT_TRUSTED, remote)
        one = revocation.read(received.map, keys, ledger.clock())
        certificate = ledger.book.certificate(remote, one.message.trust_certificate_id)
        binding = certificate is not None and certificate.subject == ledger.profile.server and one.binds(certificate)
        if ledger.book.revocation(one.hash) is None:
            await ledger.commit(revocations=[one])
            await self._record(remote, one, binding=binding)
        actions = ("links closed, queues failed back",) if binding and one.full else ("recorded",)
        draft = revocation.draft_acknowledgment(
            ledger.profile.keys[0], one, ledger.profile.server, "accepted", actions, ledger.now
        )
        return [await ledger.sign(draft)]

    async def _record(self, remote: ServerId, one: Revocation, *, binding: bool) -> None:
        ledger = self._ledger
        parameters = {"revocation_id": one.message.revocation_id, "reason": one.message.revocation_reason}
        about = remote if binding else one.message.target_server
        await ledger.audit(
            "trust_revoked", "revoked" if binding else "recommended", "success" if binding else "pending", about,
            risk_level="high" if binding else "medium", parameters=parameters, evidence=one.hash,
        )  # fmt: skip
        chain = ledger.book.chain(remote)
        if chain.missing or chain.forked:
            log.error("a revocation is missing", remote=remote, forked=chain.forked, missing=len(chain.missing))
            await ledger.audit(
                "security_incident", "revocation_chain", "failure", remote, risk_level="high", evidence=one.hash
            )
            await self._system.ref(names.CRL_MANAGER).cast(PollNow(remote))

    async def appeal(self, wanted: Appeal) -> None:
        """Tell a server that its newest revocation is disputed. `TrustRefused` if there is none that binds."""
        ledger = self._ledger
        binding = [
            one
            for one in ledger.book.revocations(wanted.server)
            if (held := ledger.book.certificate(wanted.server, one.message.trust_certificate_id)) is not None
            and one.binds(held)
        ]
        if not binding:
            raise TrustRefused(f"{wanted.server} has revoked nothing of this server", "see `norc trust show`")
        draft = revocation.draft_acknowledgment(
            ledger.profile.keys[0], binding[-1], ledger.profile.server, wanted.status, (), ledger.now
        )
        tag = ("appeal", wanted.server)
        self._errands.begin(tag, wanted.server, frames_of([await ledger.sign(draft)]))
        parameters = {"revocation_id": binding[-1].message.revocation_id}
        await ledger.audit(
            "trust_revoked", wanted.status, "pending", wanted.server, actor="operator", parameters=parameters
        )
