"""Pseudonyms of the audit log (section 10)."""

from norc_actors.crypto.pseudonym import PSEUDONYM_BYTES, day_key, pseudonym
from norc_actors.crypto.suites import SUITES
from tests.vectors.files import holds, recorded


@recorded("pseudonym")
def test_recorded(entry):
    assert holds(entry)


def test_a_name_for_each_user_day_year_and_suite():
    names = {
        pseudonym(day_key(SUITES[suite], year * 32, date), user)
        for suite in ("0101", "0102")
        for year in (b"a", b"b")
        for date in ("2026-11-20", "2026-11-21")
        for user in ("alice@a.example", "bob@a.example")
    }
    assert len(names) == 16
    assert {len(name) for name in names} == {PSEUDONYM_BYTES}
