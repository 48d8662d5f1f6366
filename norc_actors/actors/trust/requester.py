"""The trust manager's part that asks others for trust (section 9, *Exchange*; rows B136, B138, B141).

An exchange is stored before each of its messages leaves. The first two go together, so that a server that has forgotten
everything can begin with them; from then on the message that was said last goes again until there is an answer. What
comes back over a link that the other dialled is answered there.

What waits, and for what
- greeted, requested: for a challenge, by errand; refused for its age, it begins anew (at most `AGAIN` times);
- challenged: for records in this server's DNS, which trust_validator watches for; without any it is answered at once;
- responded: for the other's operator; once the response has arrived nothing is sent;
- decided: for nothing: decision and acknowledgment are one commit.
"""

from dataclasses import replace
from typing import Final

import msgspec
import structlog

from norc_actors.actors import names
from norc_actors.actors.trust.errands import Answered, Errands
from norc_actors.actors.trust.ledger import Ledger, Open, opened
from norc_actors.actors.trust.requests import RequestTrust, TrustRefused
from norc_actors.actors.trust.traffic import frames_of, refusal_in, said_in
from norc_actors.actors.trust.trust_validator import Visible, Watch
from norc_actors.ids import ServerId, new_uuid
from norc_actors.limits import ERRAND_BACKOFF_SECONDS, EXCHANGE_SECONDS
from norc_actors.protocol.codec import Received, convert, encode_map
from norc_actors.protocol.errors import Code, ProtocolError, info_of
from norc_actors.protocol.messages.trust import TrustCapabilities
from norc_actors.protocol.schema import Message, SignedMap
from norc_actors.trust import certificates, requesting
from norc_actors.trust.certificates import Certificate
from norc_actors.trust.drafts import key_fingerprint, signed_by
from norc_actors.trust.exchange import Exchange, Repeated, arrived, sent
from supervision import System

log = structlog.get_logger("norc.trust")

ROLE: Final = "requesting"


class Requester:
    """See the module."""

    def __init__(self, ledger: Ledger, errands: Errands, system: System) -> None:
        self._ledger = ledger
        self._errands = errands
        self._system = system

    async def request(self, wanted: RequestTrust) -> Open:
        """Begin an exchange, in place of one that is open. `TrustRefused` for this server itself."""
        ledger = self._ledger
        if wanted.server == ledger.profile.server:
            raise TrustRefused(f"{wanted.server} is this server", "name another organisation's server")
        replaced = [
            self._over(case, "replaced by a new request") for case in ledger.exchanges_with(wanted.server, ROLE)
        ]
        case = await self._begin(wanted.server, wanted.goal)
        await ledger.commit(cases=[*replaced, case])
        parameters = {"level": wanted.goal.level, "method": wanted.goal.method, "request_id": case.exchange.request_id}
        await ledger.audit(
            "trust_request", "request", "pending", wanted.server, actor="operator", parameters=parameters
        )
        self._send(case)
        return ledger.cases[case.case]

    async def _begin(self, server: ServerId, goal: requesting.Goal) -> Open:
        ledger, profile, now = self._ledger, self._ledger.profile, self._ledger.now
        exchange = requesting.begin(profile, server, request_id=new_uuid(ledger.random), now=now)
        exchange = sent(exchange, await ledger.sign(requesting.draft_capabilities(exchange, profile, now)))
        exchange = sent(exchange, await ledger.sign(requesting.draft_request(exchange, profile, goal, now)))
        return Open(exchange=exchange, goal=goal)

    async def resume(self) -> None:
        """Go on after a restart."""
        for case in list(self._ledger.cases.values()):
            if case.exchange.role == ROLE:
                await self._go_on(case)

    async def _go_on(self, case: Open) -> None:
        """What is next: wait for DNS, or say the last word again."""
        if case.exchange.state != "challenged":
            self._send(case)
            return
        records = requesting.records_wanted(case.exchange)
        if not records:
            self._errands.begin(case.case, case.exchange.remote, frames_of([await self._respond(case)]))
            return
        until = min(case.exchange.challenge.deadline, case.exchange.started_at + EXCHANGE_SECONDS)
        watch = Watch(case.case, case.exchange.own, tuple(records.values()), until)
        await self._system.ref(names.TRUST_VALIDATOR).cast(watch)

    def _send(self, case: Open, *, after: float = 0.0) -> None:
        """The message that was said last; the first two together."""
        said = case.exchange.messages
        last = said[:2] if case.exchange.state == "requested" else said[-1:]
        self._errands.begin(case.case, case.exchange.remote, frames_of(last), after=after)

    # --- what comes ---

    async def visible(self, message: Visible) -> None:
        """The records are published: answer the challenge."""
        case = self._ledger.cases.get(message.tag)
        if case is not None and case.exchange.state == "challenged":
            self._errands.begin(case.case, case.exchange.remote, frames_of([await self._respond(case)]))

    async def answered(self, case: Open, message: Answered) -> None:
        """An answer to the last word of an exchange."""
        try:
            case = await self._bound(case, message.key)
            back: list[SignedMap] = []
            for received in said_in(message.frames):
                back += await self.hear(case.exchange.remote, message.key, received)
        except ProtocolError as error:
            await self._end(case, str(error))
            return
        refused = refusal_in(message.frames)
        if refused is not None:
            await self._refused(case, refused)
        elif back:
            self._errands.begin(case.case, case.exchange.remote, frames_of(back))
        elif (now := self._ledger.cases.get(case.case)) is not None and now.exchange.state == "requested":
            self._send(now, after=ERRAND_BACKOFF_SECONDS)  # an answer that says nothing

    async def _bound(self, case: Open, key: bytes) -> Open:
        """The case, bound to the key of the link; the pinned one, and the operator's, if there are any."""
        standing = self._ledger.book.standing(case.exchange.remote, self._ledger.clock())
        if standing.keys is not None and key not in standing.keys:
            raise ProtocolError(Code.BAD_SIGNATURE, f"{case.exchange.remote} shows a key that is not pinned")
        wanted = "" if case.goal is None else case.goal.fingerprint
        if wanted and key_fingerprint(key) != wanted:
            raise ProtocolError(Code.BAD_SIGNATURE, f"its key is {key_fingerprint(key)}, not {wanted}")
        if case.exchange.remote_key == key:
            return case
        case = replace(case, exchange=case.exchange.with_key(key))
        await self._ledger.commit(cases=[case])
        return case

    async def _refused(self, case: Open, code: int) -> None:
        """A refusal that is for now is asked again later, one for the age of the messages anew, all else ends it."""
        remote, goal = case.exchange.remote, case.goal
        if code == Code.CLOCK_SKEW and goal is not None and case.exchange.state == "requested":
            again = await self._begin(remote, goal)
            await self._ledger.commit(cases=[self._over(case, "too old when it arrived; begun anew"), again])
            self._send(again, after=ERRAND_BACKOFF_SECONDS)
        elif info_of(code).action == "retry":
            self._send(case, after=ERRAND_BACKOFF_SECONDS)
        else:
            await self._end(case, f"{remote} refused: {code} {info_of(code).name}. {info_of(code).text}")

    def knows(self, remote: ServerId, received: Received[Message]) -> bool:
        """Whether a message belongs to an exchange that is open."""
        return (ROLE, remote, str(received.map.get("request_id"))) in self._ledger.cases

    async def again(self, remote: ServerId, key: bytes, received: Received[Message]) -> list[SignedMap] | None:
        """What goes back once more for a decision of an exchange that is over: its acknowledgment was lost. None if it
        belongs to none."""
        row = await self._ledger.stored(remote, ROLE, str(received.map.get("request_id")))
        if row is None:
            return None
        exchange = opened(row).exchange
        if key != exchange.remote_key:
            raise ProtocolError(Code.BAD_SIGNATURE, f"{remote} shows another key than when the exchange began")
        outcome = arrived(exchange, received.map, self._ledger.clock())
        return [outcome.answer] if isinstance(outcome, Repeated) and outcome.answer is not None else []

    async def hear(self, remote: ServerId, key: bytes, received: Received[Message]) -> list[SignedMap]:
        """A message of the granting side; answered with what goes back. `ProtocolError` as `exchange.arrived`."""
        if isinstance(received.message, TrustCapabilities):
            await self._capabilities(remote, key, received)
            return []
        case = self._ledger.cases.get((ROLE, remote, str(received.map.get("request_id"))))
        if case is None:
            raise ProtocolError(Code.WRONG_STATE, f"no exchange with {remote} by that id")
        if key != case.exchange.remote_key:
            raise ProtocolError(Code.BAD_SIGNATURE, f"{remote} shows another key than when the exchange began")
        now = self._ledger.clock()
        outcome = arrived(case.exchange, received.map, now)
        if isinstance(outcome, Repeated):
            return [] if outcome.answer is None else [outcome.answer]
        if outcome.state == "decided":
            return [await self._decided(case, outcome)]
        requesting.check_challenge(outcome, now)
        case = replace(case, exchange=outcome)
        await self._ledger.commit(cases=[case])
        if requesting.records_wanted(outcome):
            await self._go_on(case)
            return []
        return [await self._respond(case)]

    async def _capabilities(self, remote: ServerId, key: bytes, received: Received[Message]) -> None:
        """What the other says of itself, outside an exchange."""
        if signed_by(received.map, (key,)) is None:
            raise ProtocolError(Code.BAD_SIGNATURE, f"trust_capabilities of {remote}")
        said = convert(received.map, TrustCapabilities)
        if said.server_id != remote:
            raise ProtocolError(Code.WRONG_TARGET, f"trust_capabilities of {said.server_id}")
        peer = msgspec.structs.replace(self._ledger.peer(remote), capabilities=encode_map(received.map))
        await self._ledger.commit(peers=[peer])

    async def _respond(self, case: Open) -> SignedMap:
        ledger, exchange = self._ledger, case.exchange
        proofs = [await ledger.signature(wanted) for wanted in requesting.proofs_to_sign(exchange)]
        draft = requesting.draft_response(exchange, ledger.profile, proofs, ledger.now)
        response = await ledger.sign(draft)
        await ledger.commit(cases=[replace(case, exchange=sent(exchange, response))])
        return response

    async def _decided(self, case: Open, exchange: Exchange) -> SignedMap:
        """The decision, what it brings, and what goes back, in one commit."""
        ledger, goal, now = self._ledger, case.goal, self._ledger.now
        held = requesting.check_decision(exchange, ledger.clock())
        grant = None if goal is None else requesting.returned_grant(exchange, goal)
        own: Certificate | None = None
        if grant is not None:
            draft = certificates.draft(
                exchange.own_keys[0],
                grant,
                issuer=exchange.own,
                subject=exchange.remote,
                keys=(exchange.remote_key,),
                certificate_id=new_uuid(ledger.random),
                now=now,
                max_age=ledger.settings.max_age,
            )
            own = Certificate.read(await ledger.sign(draft))
        acknowledgment = await ledger.sign(
            requesting.draft_acknowledgment(exchange, None if own is None else own.map, now)
        )
        note = " ".join(exchange.decision.trust_metadata.validation_evidence) if held is None else ""
        done = replace(case, exchange=sent(exchange, acknowledgment)).noted(note)
        shown = msgspec.structs.replace(ledger.peer(exchange.remote), shown_key=exchange.remote_key)
        await ledger.commit(
            cases=[done],
            certificates=[one for one in (held, own) if one is not None],
            peers=[shown] if held is not None else (),
        )
        self._errands.end(case.case)
        await self._audit_decision(exchange, held, own)
        return acknowledgment

    async def _audit_decision(self, exchange: Exchange, held: Certificate | None, own: Certificate | None) -> None:
        parameters = {"request_id": exchange.request_id, "level": exchange.decision.granted_trust_level}
        if held is None:
            await self._ledger.audit("trust_request", "decision", "failure", exchange.remote, parameters=parameters)
            return
        evidence = encode_map(held.map) if own is None else encode_map(own.map)
        await self._ledger.audit(
            "trust_granted", "acknowledge", "success", exchange.remote, parameters=parameters, evidence=evidence
        )

    # --- ends ---

    def _over(self, case: Open, why: str) -> Open:
        self._errands.end(case.case)
        return replace(case, exchange=case.exchange.closed()).noted(why)

    async def _end(self, case: Open, why: str) -> None:
        log.warning("exchange ended", remote=case.exchange.remote, why=why)
        await self._ledger.commit(cases=[self._over(case, why)])
        parameters = {"request_id": case.exchange.request_id}
        await self._ledger.audit("trust_request", "ended", "failure", case.exchange.remote, parameters=parameters)

    async def sweep(self) -> None:
        """End what has lasted too long."""
        for case in list(self._ledger.cases.values()):
            if case.exchange.role == ROLE and case.exchange.expired(self._ledger.clock()):
                await self._end(case, "it was not decided in time")
