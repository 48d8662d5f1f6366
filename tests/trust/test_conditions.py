"""Conditions act at their deadline, whoever watches (row B140)."""

from hypothesis import given
from hypothesis import strategies as st

from norc_actors.protocol.messages.trust_decision import TrustCondition
from norc_actors.protocol.trust_levels import LEVELS
from norc_actors.trust.conditions import describe, due, level_at, next_deadline
from tests.support.people import NOW

ACTIONS = st.sampled_from(["revoke", "downgrade", "notify"])


def condition(action, deadline=NOW, what="security_review"):
    return TrustCondition(condition=what, deadline=deadline, auto_action=action)


CONDITIONS = st.lists(st.builds(condition, ACTIONS, st.integers(NOW - 10, NOW + 10)), max_size=5)


def test_at_the_deadline_and_not_before():
    for action, left in (("revoke", "untrusted"), ("downgrade", "verified"), ("notify", "classified")):
        assert level_at("classified", [condition(action)], NOW - 1) == "classified"
        assert level_at("classified", [condition(action)], NOW) == left


def test_each_missed_downgrade_takes_one_level():
    missed = [condition("downgrade")] * 5
    assert [level_at("nato", missed[:count], NOW) for count in range(6)] == [*reversed(LEVELS), "untrusted"]


@given(level=st.sampled_from(LEVELS), conditions=CONDITIONS, now=st.integers(NOW - 12, NOW + 12))
def test_time_never_raises_a_level(level, conditions, now):
    before, after = (LEVELS.index(level_at(level, conditions, moment)) for moment in (now, now + 1))
    assert after <= before <= LEVELS.index(level)
    if any(one.auto_action == "revoke" and one.deadline <= now for one in conditions):
        assert before == 0


@given(conditions=CONDITIONS, now=st.integers(NOW - 12, NOW + 12))
def test_every_deadline_comes_due_once(conditions, now):
    moments = range(NOW - 12, NOW + 12)
    seen = [one for moment in moments for one in due(conditions, moment - 1, moment)]
    assert sorted(map(repr, seen)) == sorted(map(repr, conditions))
    coming = next_deadline(conditions, now)
    assert coming == min((one.deadline for one in conditions if one.deadline > now), default=None)


def test_in_words():
    one = condition("revoke", NOW + 86400 * 3 + 7200)
    assert describe(one, NOW) == "A security review is due in 3 d 2 h; without it, trust ends."
    assert describe(one, NOW + 86400 * 4) == "A security review was due 0 d 22 h ago: trust ends."
