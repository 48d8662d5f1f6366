"""trust_monitor: acts when a deadline of trust has come (section 9; rows B140, B143, B154).

- A condition that was missed: the relation has changed by itself at its deadline (`trust.conditions`); here follows
  what has to be said: the revocation, the entry of the audit, the operator's notice. Each once, also over restarts: up
  to when a server's deadlines were acted on is on the disk.
- A certificate that ends: its renewal is asked for in time, once a day until it has come.
- Health: risks are logged once a day and shown as `statistics`.

It asks trust_manager how things stand whenever a relation changes, and at least once an hour; and it sleeps until the
next deadline. When it dies, the next life does what is overdue.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from norc_actors import limits
from norc_actors.actors import names
from norc_actors.actors.storage.audit_log import Audit
from norc_actors.actors.trust.requests import (
    RELATIONS,
    Monitored,
    MonitoredRelation,
    MonitoredRelations,
    RelationChanged,
    Renew,
    RevokeTrust,
    TrustRefused,
)
from norc_actors.ids import Clock, ServerId
from norc_actors.protocol.messages.trust_decision import TrustCondition
from norc_actors.store.errors import StoreError
from norc_actors.trust import conditions
from norc_actors.trust.revocation import Wish
from supervision import CallTimeout, From, GenServer, ServerDown, Timeout, Timer
from supervision.groups import Groups

log = structlog.get_logger("norc.trust")

_RISK = {"revoke": "high", "downgrade": "medium", "notify": "medium"}


@dataclass(frozen=True, slots=True)
class _Tick:
    """Info: a deadline may have come."""


class TrustMonitor(GenServer):
    """See the module."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._asked: dict[ServerId, float] = {}
        self._reported: dict[ServerId, float] = {}
        self._scores: dict[ServerId, int] = {}
        self._timer: Timer | None = None
        self._acted = 0

    async def init(self) -> None:
        self._manager = self.system.ref(names.TRUST_MANAGER)
        Groups(self.system).join(RELATIONS, self.ref)
        self.set_timeout(0)

    async def handle_cast(self, message: object) -> None:
        if not isinstance(message, RelationChanged):
            raise TypeError(f"trust_monitor knows no {message!r}")
        self.set_timeout(0)

    async def handle_info(self, message: object) -> None:
        match message:
            case Timeout() | _Tick():
                await self._look()
            case RelationChanged():
                self.set_timeout(0)
            case _:
                await super().handle_info(message)

    async def handle_call(self, request: object, caller: From) -> object:
        raise TypeError(f"trust_monitor knows no {request!r}")

    def statistics(self) -> Mapping[str, int]:
        """Deadlines that were acted on, and the lowest score of a relation."""
        return {"acted": self._acted, "lowest_score": min(self._scores.values(), default=100)}

    async def _look(self) -> None:
        now = self._clock()
        following = now + limits.TRUST_MONITOR_SECONDS
        try:
            relations = await self._manager.call(MonitoredRelations())
            for relation in relations:
                await self._act(relation, now)
                await self._renew(relation, now)
                self._report(relation, now)
                following = min(following, self._next(relation, now))
            self._scores = {relation.server: relation.health.score for relation in relations}
        except (StoreError, ServerDown, CallTimeout) as error:
            log.warning("trust deadlines wait", why=str(error))
            following = now + limits.CRL_TICK_SECONDS
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.send_after(max(1.0, following - now), _Tick())

    # --- conditions ---

    async def _act(self, relation: MonitoredRelation, now: float) -> None:
        """Every deadline since the last one that was acted on, the earliest first."""
        due = conditions.due(relation.conditions, relation.monitored_until, now)
        for condition in due:
            await self._missed(relation.server, condition)
        if due:
            await self._manager.call(Monitored(relation.server, int(now)))

    async def _missed(self, server: ServerId, condition: TrustCondition) -> None:
        self._acted += 1
        action = condition.auto_action
        log.warning("a condition was missed", remote=server, condition=condition.condition, action=action)
        if action == "revoke":
            wish = Wish(reason="policy_violation", evidence=(f"{condition.condition} was due and is missing",))
            try:
                await self._manager.call(RevokeTrust(server, wish, by="condition"))
            except TrustRefused as refused:
                log.info("nothing to revoke", remote=server, why=str(refused))
            return
        await self.system.ref(names.AUDIT_LOG).cast(
            Audit(
                "compliance_check", "condition_missed", "failure", _RISK[action], actor="condition",
                target=server,
                parameters={"condition": condition.condition, "auto_action": action},
            )
        )  # fmt: skip

    # --- renewal and health ---

    async def _renew(self, relation: MonitoredRelation, now: float) -> None:
        asked = self._asked.get(relation.server)
        if relation.renewal_due and (asked is None or now - asked >= limits.TRUST_ASK_AGAIN_SECONDS):
            self._asked[relation.server] = now
            try:
                await self._manager.call(Renew(relation.server, scheduled=True))
            except TrustRefused as refused:
                log.warning("no renewal", remote=relation.server, why=str(refused))
        elif not relation.renewal_due:
            self._asked.pop(relation.server, None)

    def _report(self, relation: MonitoredRelation, now: float) -> None:
        reported = self._reported.get(relation.server)
        if relation.health.risks and (reported is None or now - reported >= limits.TRUST_HEALTH_SECONDS):
            self._reported[relation.server] = now
            risks = [f"{risk.risk_type} ({risk.severity}): {risk.mitigation}" for risk in relation.health.risks]
            log.warning("trust is at risk", remote=relation.server, score=relation.health.score, risks=risks)

    def _next(self, relation: MonitoredRelation, now: float) -> float:
        """When to look at this relation again."""
        moments = [
            conditions.next_deadline(relation.conditions, now),
            relation.renewal_at if relation.renewal_at > now else None,
        ]
        if relation.server in self._asked:  # a new certificate on the same terms is no change that is told
            moments.append(int(now + limits.TRUST_TICK_SECONDS))
        return min((moment for moment in moments if moment is not None), default=now + limits.TRUST_MONITOR_SECONDS)
