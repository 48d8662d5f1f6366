"""The trust manager's part that is asked for trust (section 9, *Exchange*; rows B134, B137–B142).

Rules
- Capabilities of whoever asks are kept in memory until the request comes, of at most `OPEN_EXCHANGES` servers; the
  exchange is on the disk before its challenge leaves. At most so many are open at once (5401), one for each server.
- While one is open, another key under the same name is refused (2005): the operator is looking at the first one.
- A response is judged by trust_validator at once, so that an operator sees what it comes to; and once more when the
  operator approves, with the operator's own word as evidence. What was not proven is not granted (5004), by anybody.
- Nothing is decided without `Approve`, but basic where the policy says so, and what is broken or forged, which is
  refused by itself.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import msgspec
import structlog

from norc_actors.actors import names
from norc_actors.actors.trust.errands import Answered, Errands
from norc_actors.actors.trust.ledger import Findings, Ledger, Open
from norc_actors.actors.trust.requests import Approve, Reject, TrustRefused
from norc_actors.actors.trust.traffic import frames_of, refusal_in, said_in
from norc_actors.actors.trust.trust_validator import Case, Judge, Judged
from norc_actors.ids import ServerId, new_uuid
from norc_actors.limits import ERRAND_BACKOFF_SECONDS, OPEN_EXCHANGES
from norc_actors.protocol.codec import Received, encode_map
from norc_actors.protocol.errors import Code, ProtocolError, info_of
from norc_actors.protocol.schema import Message, SignedMap
from norc_actors.trust import certificates, granting
from norc_actors.trust.certificates import Certificate, Grant
from norc_actors.trust.drafts import draft_message
from norc_actors.trust.exchange import Repeated, arrived, sent
from norc_actors.trust.granting import Gathered
from norc_actors.trust.requesting import capabilities
from norc_actors.trust.scoring import Assessment, assess
from norc_actors.trust.validators import History
from norc_actors.trust.web import WebOfTrust, edges_of
from supervision import System

log = structlog.get_logger("norc.trust")

ROLE: Final = "granting"


@dataclass(frozen=True, slots=True)
class _Waiting:
    """An operator who has approved and waits for the evidence to be looked at once more."""

    approve: Approve
    reply: Callable[[Open], None]
    fail: Callable[[Exception], None]


class Granter:
    """See the module."""

    def __init__(self, ledger: Ledger, errands: Errands, system: System) -> None:
        self._ledger = ledger
        self._errands = errands
        self._system = system
        self._said: OrderedDict[ServerId, tuple[bytes, SignedMap]] = OrderedDict()
        self._approvals: dict[Case, _Waiting] = {}

    async def resume(self) -> None:
        """Deliver again what was decided; what has to be judged is, once trust_validator is there."""
        for case in list(self._ledger.cases.values()):
            if case.exchange.role == ROLE and case.exchange.state == "decided":
                self._deliver(case)

    async def judge_all(self) -> None:
        """trust_validator is (back) there."""
        for case in list(self._ledger.cases.values()):
            wanted = case.case in self._approvals or not case.findings.judged_at
            if wanted and case.exchange.role == ROLE and case.exchange.state == "responded":
                await self._judge(case)

    # --- what comes ---

    async def said(self, remote: ServerId, key: bytes, received: Received[Message]) -> list[SignedMap]:
        """Capabilities of a server that may be about to ask; answered with this server's own."""
        self._said[remote] = (key, received.map)
        self._said.move_to_end(remote)
        while len(self._said) > OPEN_EXCHANGES:
            self._said.popitem(last=False)
        profile = self._ledger.profile
        return [await self._ledger.sign(draft_message(profile.keys[0], capabilities(profile, self._ledger.now)))]

    async def requested(self, remote: ServerId, key: bytes, received: Received[Message]) -> list[SignedMap]:
        """A `trust_request`: the challenge goes back. `ProtocolError` as `granting.open_exchange`, 5606 for a request
        of an exchange that is over, 3002 without capabilities, 2005 beside another key's exchange, 5401."""
        request_id = str(received.map.get("request_id"))
        case = self._ledger.cases.get((ROLE, remote, request_id))
        if case is not None:
            return await self._heard(case, key, received)
        stored = await self._ledger.stored(remote, ROLE, request_id)
        if stored is not None:
            raise ProtocolError(Code.BAD_SEQUENCE, f"request {request_id} of {remote} was answered long ago")
        others = self._check_room(remote, key)
        said = self._said.get(remote)
        if said is None or said[0] != key:
            raise ProtocolError(Code.WRONG_STATE, f"a request of {remote} without its capabilities")
        ledger = self._ledger
        exchange = granting.open_exchange(ledger.profile, remote, key, said[1], received.map, ledger.clock())
        draft = granting.draft_challenge(exchange, ledger.settings.asking, ledger.random, ledger.now)
        challenge = await ledger.sign(draft)
        replaced = [self._over(other, "replaced by a new request") for other in others]
        await ledger.commit(cases=[*replaced, Open(exchange=sent(exchange, challenge))])
        del self._said[remote]
        return [challenge]

    def _check_room(self, remote: ServerId, key: bytes) -> list[Open]:
        """The open exchanges of this server, which a new one replaces."""
        standing = self._ledger.book.standing(remote, self._ledger.clock())
        if standing.keys is not None and key not in standing.keys:
            raise ProtocolError(Code.BAD_SIGNATURE, f"{remote} shows a key that is not pinned")
        others = self._ledger.exchanges_with(remote, ROLE)
        if any(other.exchange.remote_key != key for other in others):
            raise ProtocolError(Code.NOT_PERMITTED, f"another key of {remote} has an exchange that is open")
        count = sum(case.exchange.role == ROLE for case in self._ledger.cases.values())
        if not others and count >= OPEN_EXCHANGES:
            raise ProtocolError(Code.RATE_EXCEEDED, "open exchanges", retry_after=int(ERRAND_BACKOFF_SECONDS))
        return others

    async def hear(self, remote: ServerId, key: bytes, received: Received[Message]) -> list[SignedMap]:
        """A response or an acknowledgment. `ProtocolError` 3002 without such an exchange, and as `exchange.arrived`."""
        case = self._ledger.cases.get((ROLE, remote, str(received.map.get("request_id"))))
        if case is None:
            raise ProtocolError(Code.WRONG_STATE, f"no exchange with {remote} by that id")
        return await self._heard(case, key, received)

    def knows(self, remote: ServerId, received: Received[Message]) -> bool:
        """Whether a message belongs to an exchange that is open."""
        return (ROLE, remote, str(received.map.get("request_id"))) in self._ledger.cases

    async def _heard(self, case: Open, key: bytes, received: Received[Message]) -> list[SignedMap]:
        if key != case.exchange.remote_key:
            raise ProtocolError(Code.BAD_SIGNATURE, f"{case.exchange.remote} shows another key than at the beginning")
        now = self._ledger.clock()
        outcome = arrived(case.exchange, received.map, now)
        if isinstance(outcome, Repeated):
            return [] if outcome.answer is None else [outcome.answer]
        if outcome.state == "done":
            await self._acknowledged(replace(case, exchange=outcome))
            return []
        try:
            granting.check_response(case.exchange, outcome)
        except ProtocolError as error:
            await self._ledger.commit(cases=[self._over(case, f"its response does not hold: {error}")])
            await self._audit_refused(case)
            raise
        case = replace(case, exchange=outcome)
        await self._ledger.commit(cases=[case])
        await self._judge(case)
        return []

    async def _acknowledged(self, case: Open) -> None:
        """The exchange is over; what came back makes trust mutual."""
        certificate = granting.check_acknowledgment(case.exchange, self._ledger.clock())
        self._errands.end(case.case)
        await self._ledger.commit(cases=[case], certificates=[] if certificate is None else [certificate])
        if case.exchange.decision.decision != "reject":
            result = "partial" if certificate is None else "success"
            parameters = {"request_id": case.exchange.request_id, "mutual": certificate is not None}
            await self._ledger.audit(
                "trust_granted", "acknowledged", result, case.exchange.remote, parameters=parameters
            )

    # --- judging ---

    async def _judge(self, case: Open) -> None:
        evidence = granting.evidence(case.exchange, self._gathered(case))
        wanted = granting.domain_wanted(case.exchange)
        await self._system.ref(names.TRUST_VALIDATOR).cast(
            Judge(case.case, evidence, None if wanted is None else wanted[1], (self._web(),))
        )

    def _gathered(self, case: Open) -> Gathered:
        ledger, remote = self._ledger, case.exchange.remote
        waiting = self._approvals.get(case.case)
        now = ledger.clock()
        return Gathered(
            domain=case.findings.domain,
            capabilities=case.exchange.capabilities,
            government=ledger.government(remote),
            known_builds=ledger.settings.known_builds,
            history=History(since=ledger.book.since(remote, now), revoked=ledger.book.security_revocations(remote)),
            recommendations=ledger.opinions_of(remote),
            organisation_checked=waiting is not None and waiting.approve.organisation_checked,
            nato=None if waiting is None else waiting.approve.nato,
        )

    def _web(self) -> WebOfTrust:
        ledger = self._ledger
        inherits = [
            server
            for server in ledger.peers
            if (said := ledger.capabilities(server)) is not None and said.trust_policies.trust_inheritance
        ]
        given = [(subject, one) for (_, subject), one in ledger.recommendations.items()]
        edges = (*ledger.book.edges(ledger.clock()), *edges_of(given, inherits, ledger.clock()))
        return WebOfTrust(own=ledger.profile.server, edges=edges, inherit=ledger.profile.policies.trust_inheritance)

    async def judged(self, message: Judged) -> None:
        """What the validators say."""
        case = self._ledger.cases.get(message.tag)
        if case is None or case.exchange.state != "responded":
            return
        first = not case.findings.judged_at
        found = Findings(judged_at=self._ledger.now, domain=message.domain, verdicts=message.verdicts)
        case = replace(case, findings=found)
        assessment = self.assessment(case)
        await self._ledger.commit(cases=[case])
        waiting = self._approvals.pop(case.case, None)
        if assessment.refused:
            await self._reject(case, ("The evidence does not hold.",), assessment)
            if waiting is not None:
                waiting.fail(TrustRefused("the evidence is broken or forged", "look at `norc trust show`"))
        elif waiting is not None:
            await self._approve(case, waiting)
        elif granting.may_accept_alone(case.exchange, self._ledger.profile.policies, assessment):
            await self._decide(case, Grant(level="basic"), assessment, actor="policy")
        elif first:
            log.info("trust is asked for", remote=case.exchange.remote, level=case.exchange.requested)
            parameters = {"level": case.exchange.requested, "score": assessment.score}
            await self._ledger.audit("trust_request", "judged", "pending", case.exchange.remote, parameters=parameters)

    def assessment(self, case: Open, approve: Approve | None = None) -> Assessment:
        """What the verdicts on record come to, with an operator's word if there is one."""
        gathered = self._gathered(case)
        if approve is not None:
            gathered = replace(gathered, organisation_checked=approve.organisation_checked, nato=approve.nato)
        evidence = granting.evidence(case.exchange, gathered)
        return assess(evidence, case.findings.verdicts, self._ledger.clock())

    # --- deciding ---

    async def approve(self, approve: Approve, reply: Callable[[Open], None], fail: Callable[[Exception], None]) -> None:
        """An operator's word: the evidence is looked at once more, then it is granted or the operator learns why not.
        `TrustRefused` if nothing of that server can be approved."""
        case = self._waiting_for(approve.server)
        self._approvals[case.case] = _Waiting(approve, reply, fail)
        await self._judge(case)

    def _waiting_for(self, server: ServerId) -> Open:
        cases = [case for case in self._ledger.exchanges_with(server, ROLE) if case.exchange.state == "responded"]
        if not cases:
            raise TrustRefused(f"{server} has not asked for trust, or has not answered yet", "see `norc trust show`")
        return cases[0]

    async def _approve(self, case: Open, waiting: _Waiting) -> None:
        approve = waiting.approve
        assessment = self.assessment(case, approve)
        grant = approve.grant or Grant(level=case.exchange.requested)
        try:
            decided = await self._decide(case, grant, assessment, actor="operator")
        except ProtocolError as error:
            waiting.fail(TrustRefused(error.detail, "grant a lower level, or have the missing proof brought"))
            return
        waiting.reply(decided)

    async def _decide(self, case: Open, grant: Grant, assessment: Assessment, *, actor: str) -> Open:
        """Grant: certificate and decision in one commit, then the decision is brought to the other."""
        granting.check_grant(case.exchange, grant, assessment)
        ledger, exchange = self._ledger, case.exchange
        draft = certificates.draft(
            exchange.own_keys[0],
            grant,
            issuer=exchange.own,
            subject=exchange.remote,
            keys=granting.keys_named(exchange),
            certificate_id=new_uuid(ledger.random),
            now=ledger.now,
            max_age=ledger.settings.max_age,
        )
        signed = await ledger.sign(draft)
        mutual = exchange.request.trust_requirements.mutual
        decision = await ledger.sign(
            granting.draft_decision(exchange, grant, signed, assessment, ledger.now, mutual=mutual)
        )
        case = replace(case, exchange=sent(exchange, decision), findings=_scored(case.findings, assessment))
        shown = msgspec.structs.replace(ledger.peer(exchange.remote), shown_key=exchange.remote_key)
        await ledger.commit(cases=[case], certificates=[Certificate.read(signed)], peers=[shown])
        self._deliver(case)
        parameters = {"level": grant.level, "score": assessment.score, "request_id": exchange.request_id}
        await ledger.audit(
            "trust_granted", "approve", "success", exchange.remote, actor=actor, parameters=parameters,
            evidence=encode_map(signed),
        )  # fmt: skip
        return ledger.cases[case.case]

    async def reject(self, reject: Reject) -> Open:
        """An operator's no. `TrustRefused` if nothing of that server is open."""
        cases = self._ledger.exchanges_with(reject.server, ROLE)
        open_ones = [case for case in cases if case.exchange.state != "decided"]
        if not open_ones:
            raise TrustRefused(f"{reject.server} has not asked for trust", "see `norc trust list`")
        case = open_ones[0]
        await self._reject(case, (reject.why or "The operator has refused.",), None, actor="operator")
        return self._ledger.cases[case.case]

    async def _reject(self, case: Open, why: tuple[str, ...], assessment: Assessment | None, actor: str = "") -> None:
        ledger = self._ledger
        decision = await ledger.sign(granting.draft_rejection(case.exchange, why, ledger.now, assessment))
        case = replace(case, exchange=sent(case.exchange, decision)).noted(" ".join(why))
        await ledger.commit(cases=[case])
        self._deliver(case)
        await self._audit_refused(case, actor)

    async def _audit_refused(self, case: Open, actor: str = "") -> None:
        parameters = {"level": case.exchange.requested, "request_id": case.exchange.request_id}
        result = "success" if actor else "failure"
        await self._ledger.audit(
            "access_denied", "reject", result, case.exchange.remote, risk_level="medium", actor=actor,
            parameters=parameters,
        )  # fmt: skip

    # --- delivering ---

    def _deliver(self, case: Open, after: float = 0.0) -> None:
        self._errands.begin(case.case, case.exchange.remote, frames_of(case.exchange.messages[-1:]), after=after)

    async def answered(self, case: Open, message: Answered) -> None:
        """The answer to a decision: its acknowledgment, or nothing yet."""
        trouble = ""
        try:
            for received in said_in(message.frames):
                await self.hear(case.exchange.remote, message.key, received)
        except ProtocolError as error:
            trouble = str(error)
        refused = refusal_in(message.frames)
        if refused is not None:
            trouble = f"refused: {refused} {info_of(refused).name}"
        still = self._ledger.cases.get(case.case)
        if still is not None and still.exchange.state == "decided":
            if trouble and trouble != still.findings.note:
                still = still.noted(trouble)
                await self._ledger.commit(cases=[still])
            self._deliver(still, after=ERRAND_BACKOFF_SECONDS)

    # --- ends ---

    def _over(self, case: Open, why: str) -> Open:
        self._errands.end(case.case)
        waiting = self._approvals.pop(case.case, None)
        if waiting is not None:
            waiting.fail(TrustRefused(f"the request is over: {why}", "see `norc trust show`"))
        return replace(case, exchange=case.exchange.closed()).noted(why)

    async def close_all(self, server: ServerId, why: str) -> None:
        """End every exchange with a server whose trust was revoked."""
        over = [self._over(case, why) for case in self._ledger.exchanges_with(server, ROLE)]
        if over:
            await self._ledger.commit(cases=over)

    async def sweep(self) -> None:
        """End what has lasted too long."""
        for case in list(self._ledger.cases.values()):
            if case.exchange.role == ROLE and case.exchange.expired(self._ledger.clock()):
                await self._ledger.commit(cases=[self._over(case, "it was not decided, or not answered, in time")])
                parameters = {"request_id": case.exchange.request_id}
                await self._ledger.audit(
                    "trust_request", "expired", "failure", case.exchange.remote, parameters=parameters
                )


def _scored(findings: Findings, assessment: Assessment) -> Findings:
    return replace(findings, score=assessment.score)
