"""Levels of trust: their order, and every classification at every level (section 9's table)."""

from itertools import product

import pytest

from norc_actors.protocol.trust_levels import ALLOWANCES, LEVELS, MIB, NATIONAL_SECRETS, allows, at_least, lowest

ALLOWED = {
    "untrusted": "",
    "basic": "unclassified official_use_only",
    "verified": "unclassified official_use_only confidential nato_restricted",
    "classified": "unclassified official_use_only confidential nato_restricted secret top_secret",
    "nato": "unclassified official_use_only confidential nato_restricted nato_confidential nato_secret",
}
EVERY = sorted({name for names in ALLOWED.values() for name in names.split()})


def test_the_order():
    assert LEVELS == ("untrusted", "basic", "verified", "classified", "nato")
    for a, b in product(range(5), repeat=2):
        assert at_least(LEVELS[a], LEVELS[b]) == (a >= b)
        assert lowest([LEVELS[a], LEVELS[b]]) == LEVELS[min(a, b)]
    assert lowest([]) == "untrusted"


@pytest.mark.parametrize("level", LEVELS)
def test_classifications(level):
    assert {name for name in EVERY if allows(level, name)} == set(ALLOWED[level].split())
    assert not any(allows(level, name) for name in ("restricted", "", "SECRET", "unknown"))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("secret", sorted(NATIONAL_SECRETS))
def test_an_agreement_counts_at_nato_alone(level, secret):
    for agreement in (frozenset(), frozenset({secret}), NATIONAL_SECRETS, frozenset({"nato_secret"})):
        expected = secret in agreement if level == "nato" else level == "classified"
        assert allows(level, secret, agreement) == expected


def test_what_else_a_level_says():
    assert [(level, ALLOWANCES[level].hybrid, ALLOWANCES[level].max_message // MIB) for level in LEVELS] == [
        ("untrusted", False, 0), ("basic", False, 4), ("verified", True, 16), ("classified", True, 16),
        ("nato", True, 16),
    ]  # fmt: skip
