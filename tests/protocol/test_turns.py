"""Turns of four priorities: their shares, and that nobody starves."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from norc_actors.protocol.turns import LEVELS, WEIGHTS, Turns


@given(st.sets(st.sampled_from(LEVELS), min_size=1))
def test_everybody_gets_the_share_of_its_weight(waiting):
    turns = Turns()
    rounds = sum(WEIGHTS[level] for level in waiting)
    taken = Counter(turns.next(waiting) for _ in range(rounds * 20))
    assert taken == {level: WEIGHTS[level] * 20 for level in waiting}


def test_the_lowest_waits_for_fourteen_at_most():
    turns = Turns()
    order = [turns.next(LEVELS) for _ in range(150)]
    places = [place for place, level in enumerate(order) if level == 3]
    assert max(later - earlier for earlier, later in pairwise(places)) <= 15
    assert places[0] < 15


@given(st.lists(st.sets(st.sampled_from(LEVELS)), max_size=60))
def test_only_who_waits_is_chosen_and_nothing_is_saved_up(rounds):
    turns = Turns()
    for waiting in rounds:
        chosen = turns.next(waiting)
        assert chosen in waiting if waiting else chosen is None
    longest = 0
    while turns.next(LEVELS) != 3:
        longest += 1
    assert longest <= 15


@pytest.mark.parametrize("level", LEVELS)
def test_alone_it_always_has_the_turn(level):
    turns = Turns()
    assert {turns.next({level}) for _ in range(5)} == {level}
