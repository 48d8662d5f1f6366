"""The trust manager's part that renews certificates, on both sides (section 9; rows B143, B155).

As subject it asks, by errand until there is an answer, and takes over what comes. As issuer it renews by itself what
asks for no more than there is; all else waits on the disk for an operator. A certificate that an operator issued (a
renewal was approved, a condition was met, terms changed) is brought by errand until it is acknowledged; it waits on the
disk as well.
"""

from dataclasses import replace
from typing import Final, Literal

import structlog

from norc_actors.actors.trust.errands import Answered, Errands
from norc_actors.actors.trust.ledger import Ledger
from norc_actors.actors.trust.requests import Reissue, Renew, TrustRefused
from norc_actors.actors.trust.traffic import frames_of, refusal_in, said_in
from norc_actors.ids import ServerId, new_uuid
from norc_actors.limits import ERRAND_BACKOFF_SECONDS
from norc_actors.protocol.codec import Received, convert, decode_map, encode_map
from norc_actors.protocol.errors import Code, ProtocolError, info_of
from norc_actors.protocol.messages.trust_decision import TrustRenewal
from norc_actors.protocol.schema import Message, SignedMap
from norc_actors.protocol.trust_levels import at_least
from norc_actors.store.trust import StoredExchange
from norc_actors.trust import certificates, renewal
from norc_actors.trust.certificates import Certificate, Grant, grant_of
from norc_actors.trust.drafts import signed_by

log = structlog.get_logger("norc.trust")

RENEW: Final = "renew"
REISSUE: Final = "reissue"
RenewTag = tuple[Literal["renew", "reissue"], ServerId]


class Renewer:
    """See the module."""

    def __init__(self, ledger: Ledger, errands: Errands) -> None:
        self._ledger = ledger
        self._errands = errands

    # --- as subject ---

    async def renew(self, wanted: Renew) -> None:
        """Ask for the next certificate. `TrustRefused` without one that could be renewed."""
        ledger, now = self._ledger, self._ledger.now
        held = ledger.book.held(wanted.server, now)
        if held is None or not held.in_time(now) or not held.terms.renewable:
            raise TrustRefused(f"{wanted.server} has granted nothing that can be renewed", "ask for trust anew")
        draft = renewal.draft_renewal(
            ledger.profile.keys[0],
            held,
            renewal_id=new_uuid(ledger.random),
            reason="scheduled" if wanted.scheduled else "early",
            now=now,
            level=wanted.level,
            changes=wanted.changes,
            chain=ledger.profile.chain,
        )
        self._errands.begin((RENEW, wanted.server), wanted.server, frames_of([await ledger.sign(draft)]))
        actor = "" if wanted.scheduled else "operator"
        parameters = {"certificate_id": held.id}
        await ledger.audit("trust_renewed", "ask", "pending", wanted.server, actor=actor, parameters=parameters)

    async def decided(self, remote: ServerId, received: Received[Message]) -> list[SignedMap]:
        """A `trust_decision` outside an exchange; answered with its acknowledgment. `ProtocolError` as
        `renewal.take`; a certificate that is known already is acknowledged again."""
        ledger, now = self._ledger, self._ledger.now
        certificate = renewal.take(
            received.map,
            ledger.book.keys(remote),
            issuer=remote,
            own=ledger.profile.server,
            own_keys=ledger.profile.keys,
            counting=ledger.book.held(remote, now),
            now=ledger.clock(),
        )
        request_id = str(received.map["request_id"])
        draft = renewal.draft_acknowledgment(
            ledger.profile.keys[0], ledger.profile.server, request_id, certificate, now
        )
        acknowledgment = await ledger.sign(draft)
        parameters = {"request_id": request_id}
        if certificate is None:
            self._errands.end((RENEW, remote))
            await ledger.audit("trust_renewed", "ask", "failure", remote, parameters=parameters)
        elif ledger.book.certificate(remote, certificate.id) is None:
            self._errands.end((RENEW, remote))
            await ledger.commit(certificates=[certificate])
            evidence = encode_map(certificate.map)
            await ledger.audit("trust_renewed", "take", "success", remote, parameters=parameters, evidence=evidence)
        return [acknowledgment]

    # --- as issuer ---

    async def asked(self, remote: ServerId, received: Received[Message]) -> list[SignedMap]:
        """A `trust_renewal`: answered at once, or nothing yet. `ProtocolError` as `renewal.judge`."""
        ledger, now = self._ledger, self._ledger.clock()
        issued = ledger.book.issued(remote, now)
        again = self._renewed_already(remote, received, issued)
        if again is not None:
            return [await self._decision(str(received.map["renewal_id"]), again)]
        judged = self._judged(remote, received.map)
        if judged.why:
            data = encode_map(received.map)
            waiting = self._row(remote, "renewing", judged.renewal.renewal_id, "waiting", data)
            known = ledger.renewals.get(remote)
            await ledger.commit(renewals=[waiting])
            if known is None or known.request_id != waiting.request_id:
                parameters = {"renewal_id": judged.renewal.renewal_id}
                await ledger.audit("trust_renewed", "asked", "pending", remote, parameters=parameters)
            return []
        certificate = await self._issue(remote, judged.grant, actor="policy")
        return [await self._decision(judged.renewal.renewal_id, certificate)]

    def _renewed_already(
        self, remote: ServerId, received: Received[Message], issued: Certificate | None
    ) -> Certificate | None:
        """The certificate that followed the one that this renewal names: the answer to it was lost."""
        ledger = self._ledger
        plain = convert(received.map, TrustRenewal)
        if signed_by(received.map, ledger.book.keys(remote)) is None:
            raise ProtocolError(Code.BAD_SIGNATURE, f"trust_renewal of {remote}")
        named = ledger.book.certificate(ledger.profile.server, plain.existing_certificate_id)
        if issued is None or named is None or named.subject != remote or named.id == issued.id:
            return None
        newer = issued.terms.not_before > named.terms.not_before or issued.terms.not_before >= plain.timestamp
        standing = ledger.book.standing(remote, ledger.clock())
        return issued if newer and standing.ingress is not None else None

    def _judged(self, remote: ServerId, plain: SignedMap) -> renewal.Judged:
        ledger, now = self._ledger, self._ledger.clock()
        return renewal.judge(
            plain,
            ledger.book.keys(remote),
            ledger.book.issued(remote, now),
            remote=remote,
            now=now,
            revoked=ledger.book.standing(remote, now).ingress is None,
            max_age=ledger.settings.max_age,
        )

    def waiting(self, server: ServerId) -> renewal.Judged | None:
        """The renewal of a server that waits for an operator; None if none does, or it can no longer be granted."""
        row = self._ledger.renewals.get(server)
        if row is None:
            return None
        try:
            return self._judged(server, decode_map(row.exchange))
        except ProtocolError:
            return None

    async def approve(self, server: ServerId, grant: Grant | None) -> None:
        """An operator's yes to the renewal that waits. `TrustRefused` if it asks for what cannot be granted."""
        judged = self.waiting(server)
        if judged is None:
            raise TrustRefused(f"no renewal of {server} waits", "see `norc trust show`")
        certificate = await self._reissue(server, grant or judged.asked)
        await self._over(self._ledger.renewals.get(server), "done")
        await self._bring(server, judged.renewal.renewal_id, certificate)

    async def reject(self, server: ServerId, why: str) -> None:
        """An operator's no; the certificate goes on to its end."""
        judged = self.waiting(server)
        if judged is None:
            raise TrustRefused(f"no renewal of {server} waits", "see `norc trust show`")
        ledger = self._ledger
        reasons = (why or "The operator has refused.",)
        draft = renewal.draft_refused(ledger.profile.keys[0], judged.renewal, reasons, ledger.now)
        await self._over(ledger.renewals.get(server), "closed")
        self._errands.begin((REISSUE, server), server, frames_of([await ledger.sign(draft)]))
        parameters = {"renewal_id": judged.renewal.renewal_id}
        await ledger.audit("trust_renewed", "reject", "failure", server, actor="operator", parameters=parameters)

    async def reissue(self, wanted: Reissue) -> None:
        """A new certificate unasked. `TrustRefused` as `_reissue`."""
        issued = self._ledger.book.issued(wanted.server, self._ledger.clock())
        usual = None if issued is None else replace(grant_of(issued), conditions=())
        certificate = await self._reissue(wanted.server, wanted.grant or usual or Grant(level="untrusted"))
        await self._bring(wanted.server, certificate.id, certificate)

    async def _reissue(self, server: ServerId, grant: Grant) -> Certificate:
        """`TrustRefused` for a server that is not trusted, and for a level above the one that was proven."""
        ledger, now = self._ledger, self._ledger.clock()
        issued, standing = ledger.book.issued(server, now), ledger.book.standing(server, now)
        if issued is None or standing.ingress is None:
            raise TrustRefused(f"{server} is not trusted", "it has to ask for trust anew")
        if not at_least(issued.terms.trust_level, grant.level):
            why = f"{grant.level} was not proven, {issued.terms.trust_level} was"
            raise TrustRefused(why, f"{server} has to ask for {grant.level}")
        try:
            return await self._issue(server, grant, actor="operator")
        except ProtocolError as error:
            raise TrustRefused(error.detail, f"{server} has to ask for trust anew") from error

    async def _issue(self, remote: ServerId, grant: Grant, *, actor: str) -> Certificate:
        """The next certificate, stored. `ProtocolError` as `certificates.renewal`."""
        ledger = self._ledger
        issued = ledger.book.issued(remote, ledger.clock())
        if issued is None:
            raise ProtocolError(Code.SERVER_NOT_TRUSTED, remote)
        draft = certificates.renewal(
            issued,
            ledger.profile.keys[0],
            certificate_id=new_uuid(ledger.random),
            now=ledger.now,
            grant=grant,
            max_age=ledger.settings.max_age,
        )
        signed = await ledger.sign(draft)
        certificate = Certificate.read(signed)
        await ledger.commit(certificates=[certificate])
        parameters = {"certificate_id": certificate.id, "level": certificate.terms.trust_level}
        await ledger.audit(
            "trust_renewed", "renew", "success", remote, actor=actor, parameters=parameters, evidence=encode_map(signed)
        )
        return certificate

    async def _decision(self, request_id: str, certificate: Certificate) -> SignedMap:
        ledger = self._ledger
        return await ledger.sign(
            renewal.draft_renewed(ledger.profile.keys[0], request_id, certificate.map, (), ledger.now)
        )

    async def _bring(self, server: ServerId, request_id: str, certificate: Certificate) -> None:
        decision = await self._decision(request_id, certificate)
        row = self._row(server, "reissuing", request_id, "waiting", encode_map(decision))
        await self._ledger.commit(renewals=[row])
        self._errands.begin((REISSUE, server), server, frames_of([decision]))

    def resume(self) -> None:
        """Bring what was not acknowledged."""
        for server, row in self._ledger.reissues.items():
            self._errands.begin((REISSUE, server), server, frames_of([decode_map(row.exchange)]))

    async def _over(self, row: StoredExchange | None, state: str) -> None:
        if row is not None:
            over = self._row(row.remote, row.role, row.request_id, state, row.exchange)
            await self._ledger.commit(renewals=[over])

    def _row(self, server: ServerId, role: str, request_id: str, state: str, data: bytes) -> StoredExchange:
        return StoredExchange(
            remote=server, role=role, request_id=request_id, state=state, updated_at=self._ledger.now, exchange=data
        )

    # --- answers ---

    async def answered(self, tag: RenewTag, message: Answered) -> None:
        """The answer to a renewal, or to a certificate that was brought."""
        kind, remote = tag
        try:
            for received in said_in(message.frames):
                if received.map.get("type") == "trust_decision" and kind == RENEW:
                    await self.decided(remote, received)
        except ProtocolError as error:
            log.warning("a renewal came to nothing", remote=remote, why=str(error))
            return
        refused = refusal_in(message.frames)
        if refused is not None:
            log.warning("a renewal was refused", remote=remote, code=refused, name=info_of(refused).name)
        row = self._ledger.reissues.get(remote)
        if kind != REISSUE or row is None:
            return
        if refused is not None and info_of(refused).action == "retry":
            frames = frames_of([decode_map(row.exchange)])
            self._errands.begin(tag, remote, frames, after=ERRAND_BACKOFF_SECONDS)
        else:
            await self._over(row, "done" if refused is None else "closed")
