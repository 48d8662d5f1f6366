"""Pseudonyms of the audit log against the vectors (section 10)."""

import pytest

from norc_actors.crypto.pseudonym import day_key, pseudonym
from norc_actors.crypto.suites import SUITES
from tests.support.vectors import section


@pytest.mark.parametrize("case", section("pseudonym"))
def test_day_key_and_pseudonym(case: dict[str, str]) -> None:
    k_day = day_key(SUITES[case["suite"]], bytes.fromhex(case["k_year"]), case["date"])
    assert k_day.hex() == case["k_day"]
    assert pseudonym(k_day, case["user_id"]).hex() == case["pseudonym"]
