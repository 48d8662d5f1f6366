"""Conditions of trust: what has to happen until when, and what follows by itself if it does not (section 9; row B140).

Rules
- A condition stands in the certificate, so that both sides know it, and it is met by a new certificate without it:
  there is no other mark of "met" that the two could disagree about. The newest certificate decides (`relations.py`).
- At its deadline an unmet condition acts, whoever watches: `level_at` is a function of the certificate and the time, so
  no actor that sleeps or restarts keeps trust alive. `revoke` ends the relation; `downgrade` takes one level off, each
  of them one; `notify` only tells the operator.
- What else belongs to an action (the revocation that is sent, the audit entry, the notice) is the monitor's; `due`
  lists what came due since it last looked.
"""

from collections.abc import Iterable, Sequence

from norc_actors.protocol.messages.trust_decision import TrustCondition
from norc_actors.protocol.trust_levels import LEVELS, TrustLevel


def level_at(level: TrustLevel, conditions: Iterable[TrustCondition], now: float) -> TrustLevel:
    """What is left of `level` at `now`: less one for each missed `downgrade`, untrusted after a missed `revoke`."""
    for condition in conditions:
        if now < condition.deadline:
            continue
        if condition.auto_action == "revoke":
            return "untrusted"
        if condition.auto_action == "downgrade":
            level = LEVELS[max(0, LEVELS.index(level) - 1)]
    return level


def next_deadline(conditions: Iterable[TrustCondition], now: float) -> int | None:
    """When the next condition comes due after `now`."""
    return min((condition.deadline for condition in conditions if condition.deadline > now), default=None)


def due(conditions: Sequence[TrustCondition], since: float, now: float) -> list[TrustCondition]:
    """What came due after `since`, until `now`, in the order of the deadlines."""
    return sorted((one for one in conditions if since < one.deadline <= now), key=lambda one: one.deadline)


def describe(condition: TrustCondition, now: float) -> str:
    """One sentence for an operator."""
    what = condition.condition.replace("_", " ")
    follows = {"revoke": "trust ends", "downgrade": "the level falls", "notify": "you are told"}[condition.auto_action]
    days, hours = divmod(int(abs(condition.deadline - now)) // 3600, 24)
    span = f"{days} d {hours} h"
    if now < condition.deadline:
        return f"A {what} is due in {span}; without it, {follows}."
    return f"A {what} was due {span} ago: {follows}."
