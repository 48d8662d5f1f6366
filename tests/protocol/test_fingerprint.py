"""Fingerprints: the recorded ones, P-256, and what a person may type."""

import pytest

from norc_actors.protocol.fingerprint import half, matches, safety_number, user_key_hash
from tests.support.people import ALGORITHMS, Person, make_server
from tests.vectors.files import holds, recorded


@recorded("fingerprint")
def test_recorded(entry):
    assert holds(entry)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_shape_and_what_changes_it(algorithm):
    alice = Person("alice", make_server(), algorithm=algorithm)
    bob = Person("bob", make_server(), algorithm=algorithm)
    mine = (alice.user_id, alice.user_key.public_key)
    number = safety_number(*mine, bob.user_id, bob.user_key.public_key)
    assert number == safety_number(bob.user_id, bob.user_key.public_key, *mine)
    assert [len(group) for group in number.split(" ")] == [5] * 12
    mallory = Person("bob", make_server(), algorithm=algorithm, seed="mallory")
    assert safety_number(*mine, bob.user_id, mallory.user_key.public_key) != number
    assert half("alicf@a.example", mine[1]) != half(*mine)
    assert user_key_hash(mine[1]) != user_key_hash(bob.user_key.public_key)


def test_what_a_person_types():
    shown = "12345 67890"
    for typed in ("1234567890", " 12345-67890\n", "12345 67890", "1 2 3 4 5 6 7 8 9 0"):
        assert matches(typed, shown)
    for typed in ("", "12345 67891", "12345", "abc", "１２３４５ 67890"):
        assert not matches(typed, shown)


def test_what_no_keyboard_types_matches_nothing():
    """A terminal hands over bytes that are no text as lone surrogates."""
    assert not matches("12345\udcff", "12345")
