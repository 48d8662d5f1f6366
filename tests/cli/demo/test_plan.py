"""The demo's plan: repeatable, complete, and kind enough to supervisors."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from norc_actors.cli.demo.plan import (
    KILLS,
    MESSAGES,
    NAMED_VICTIMS,
    NODE_DIES_AT,
    WORKER,
    Conversation,
    Device,
    assign,
    kills,
    own_lines,
)


def test_the_same_seed_gives_the_same_plan() -> None:
    assert kills(7) == kills(7)
    assert kills(7) != kills(8)
    assert assign(own_lines(7), 7) == assign(own_lines(7), 7)
    assert own_lines(7) != own_lines(8)


def test_the_default_is_what_the_demo_promises() -> None:
    texts = own_lines(1)
    assert len(texts) == MESSAGES >= 2000
    assert all(text.strip() for text in texts)
    assert KILLS >= 20


@given(texts=st.lists(st.text(min_size=1), max_size=50), seed=st.integers())
def test_every_line_is_sent_once_in_order(texts: list[str], seed: int) -> None:
    lines = assign(texts, seed)
    assert [line.text for line in lines] == texts
    assert [line.number for line in lines] == list(range(len(texts)))
    assert all(line.conversation is Conversation.GROUP for line in lines if line.sender is Device.CAROL)


@pytest.mark.parametrize("seed", range(20))
def test_kills_are_many_mixed_and_apart(seed: int) -> None:
    planned = kills(seed)
    victims = [kill.victim for kill in planned]
    assert len(planned) == KILLS
    assert all(victims.count(name) >= 4 for name in NAMED_VICTIMS)
    assert victims.count(WORKER) >= 10
    assert all(first != second or first == WORKER for first, second in pairwise(victims))
    assert [kill.at for kill in planned] == sorted(kill.at for kill in planned)
    assert all(0 < kill.at < NODE_DIES_AT for kill in planned)


def test_each_kill_names_an_actor_or_a_kind() -> None:
    for kill in kills(3):
        assert (kill.name is None) != (kill.kind is None)


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_small_numbers_of_kills_work(count: int) -> None:
    assert len(kills(1, count)) == count
