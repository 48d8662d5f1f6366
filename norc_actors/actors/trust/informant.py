"""The trust manager's part that tells and asks about trust: recommendations, health, government papers (section 9; rows
B150, B152, B154).

What this server thinks of a third is said only if its operator lets it, and only to servers that it trusts; what others
think is recorded, the newest of each. Health is told to whom it concerns, about that relation alone.
"""

import msgspec

from norc_actors.actors.trust.errands import Answered, Errands
from norc_actors.actors.trust.ledger import Ledger
from norc_actors.actors.trust.requests import AskOpinion, TrustRefused
from norc_actors.actors.trust.traffic import frames_of, read
from norc_actors.ids import ServerId, new_uuid
from norc_actors.limits import OPINION_SECONDS, TRUST_HEALTH_SECONDS
from norc_actors.protocol.codec import Received, encode_map
from norc_actors.protocol.errors import Code, ProtocolError
from norc_actors.protocol.messages.trust_reports import (
    GovPkiTrustRequest,
    TrustHealthCheck,
    TrustRecommendation,
    TrustRecommendationResponse,
)
from norc_actors.protocol.schema import Message, SignedMap
from norc_actors.trust import health
from norc_actors.trust.drafts import draft_message, signed_by
from norc_actors.trust.validators import Recommendation
from norc_actors.trust.web import opinion

OpinionTag = tuple[str, ServerId, ServerId, str]
"""("opinion", recommender, subject, request_id)"""


class Informant:
    """See the module."""

    def __init__(self, ledger: Ledger, errands: Errands) -> None:
        self._ledger = ledger
        self._errands = errands

    async def hear(self, remote: ServerId, received: Received[Message]) -> list[SignedMap]:
        """A question or a paper of a server that is trusted. `ProtocolError` 5604, 5206."""
        ledger = self._ledger
        if signed_by(received.map, ledger.book.keys(remote)) is None:
            raise ProtocolError(Code.BAD_SIGNATURE, f"a {type(received.message).__name__} of {remote}")
        match received.message:
            case TrustRecommendation() as asked:
                if (asked.requesting_server, asked.recommender_server) != (remote, ledger.profile.server):
                    raise ProtocolError(Code.WRONG_TARGET, "a question between other servers")
                return [await self._opinion(asked)]
            case TrustHealthCheck() as asked_health:
                if (asked_health.monitoring_server, asked_health.target_server) != (remote, ledger.profile.server):
                    raise ProtocolError(Code.WRONG_TARGET, "a question between other servers")
                report = health.report(self.health(remote), ledger.now, TRUST_HEALTH_SECONDS)
                return [await ledger.sign(draft_message(ledger.profile.keys[0], report))]
            case GovPkiTrustRequest() as paper:
                if (paper.requesting_server, paper.target_server) != (remote, ledger.profile.server):
                    raise ProtocolError(Code.WRONG_TARGET, "a paper between other servers")
                peer = msgspec.structs.replace(ledger.peer(remote), government=encode_map(received.map))
                await ledger.commit(peers=[peer])
                await ledger.audit(
                    "trust_request", "government_pki", "pending", remote,
                    parameters={"oid": paper.certificate_policy_oid}, evidence=encode_map(received.map),
                )  # fmt: skip
                return []
        raise ProtocolError(Code.CAPABILITY_MISSING, type(received.message).__name__)

    async def _opinion(self, asked: TrustRecommendation) -> SignedMap:
        ledger, now = self._ledger, self._ledger.now
        about = asked.target_server
        said = opinion(
            ledger.book.standing(about, now),
            ledger.book.since(about, now),
            willing=ledger.settings.speaks_of_others,
            wanted=asked.recommendation_level,
            now=now,
        )
        message: SignedMap = {
            "type": "trust_recommendation_response",
            "request_id": asked.request_id,
            "recommendation": said.recommendation,
            "confidence_level": said.confidence,
            "recommended_trust_level": said.level,
            "conditions": [],
            "recommendation_expires": now + OPINION_SECONDS,
            "timestamp": now,
        }
        return await ledger.sign(draft_message(ledger.profile.keys[0], message))

    def health(self, server: ServerId) -> health.Health:
        """How the relation with a server fares."""
        book, now = self._ledger.book, self._ledger.clock()
        return health.assess(book.records(server), book.standing(server, now), book.chain(server), now)

    # --- asking ---

    async def ask(self, wanted: AskOpinion) -> None:
        """Ask another server what it thinks of a third. `TrustRefused` if it is not trusted."""
        ledger, now = self._ledger, self._ledger.now
        if ledger.book.standing(wanted.recommender, now).state != "trusted":
            raise TrustRefused(f"{wanted.recommender} is not trusted", "ask a server of `norc trust list`")
        request_id = new_uuid(ledger.random)
        message: SignedMap = {
            "type": "trust_recommendation",
            "request_id": request_id,
            "requesting_server": ledger.profile.server,
            "target_server": wanted.subject,
            "recommender_server": wanted.recommender,
            "recommendation_level": wanted.level,
            "context": "",
            "timestamp": now,
        }
        signed = await ledger.sign(draft_message(ledger.profile.keys[0], message))
        tag: OpinionTag = ("opinion", wanted.recommender, wanted.subject, request_id)
        self._errands.begin(tag, wanted.recommender, frames_of([signed]))
        parameters = {"subject": wanted.subject, "level": wanted.level}
        await ledger.audit(
            "trust_request", "recommendation", "pending", wanted.recommender, actor="operator", parameters=parameters
        )

    async def answered(self, tag: OpinionTag, message: Answered) -> None:
        """What it thinks: recorded if it is signed by its own key, and answers this question."""
        _, recommender, subject, request_id = tag
        ledger = self._ledger
        for received in read(message.frames, recommender):
            said = received.message
            if (
                isinstance(said, TrustRecommendationResponse)
                and said.request_id == request_id
                and signed_by(received.map, ledger.book.keys(recommender)) is not None
            ):
                one = Recommendation(
                    recommender=recommender,
                    opinion=said.recommendation,
                    confidence=said.confidence_level,
                    level=said.recommended_trust_level,
                    given=min(said.timestamp, ledger.now),
                    expires=min(said.recommendation_expires, ledger.now + OPINION_SECONDS),
                )
                await ledger.commit(recommendations=[(subject, one)])
