"""The checklist of OTP's own cases names scenarios and tests that there are."""

import re
from pathlib import Path

from tests.conformance import corpus

HERE = Path(__file__).parent
TESTS = HERE.parent
CASES = 93
"""As many as the suite has."""

ROW = re.compile(r"^\| ([a-z0-9_]+) \| (.+) \|$", re.MULTILINE)
SCENARIO = re.compile(r"`scenarios/([a-z0-9_]+)\.txt`")
TEST = re.compile(r"`(test_[a-z_]+\.py)::(test_[a-z0-9_]+)`")


def rows() -> dict[str, str]:
    found = [row for row in ROW.findall((HERE / "CHECKLIST.md").read_text("utf-8")) if row[0] != "case"]
    rows = dict(found)
    assert len(rows) == len(found), "a case is listed twice"
    return rows


def test_every_case_of_the_suite_is_touched_or_said_not_to_apply() -> None:
    listed = rows()
    assert len(listed) == CASES
    bare = [case for case, here in listed.items() if not SCENARIO.search(here) and not TEST.search(here)]
    assert not [case for case in bare if not listed[case].startswith("Does not apply: ")]


def test_what_the_checklist_names_is_there() -> None:
    recorded = {name for name, _, _ in corpus.cases()}
    sources = {path.name: path.read_text("utf-8") for path in TESTS.rglob("test_*.py")}
    for case, here in rows().items():
        for name in SCENARIO.findall(here):
            assert name in recorded, f"{case}: there is no scenario {name}"
        for module, test in TEST.findall(here):
            assert f"def {test}(" in sources.get(module, ""), f"{case}: there is no {module}::{test}"


def test_every_named_scenario_after_a_case_is_in_the_checklist() -> None:
    named = {name for here in rows().values() for name in SCENARIO.findall(here)}
    for name, text in corpus.named().items():
        if text.startswith("# supervisor_SUITE:") and name not in named:
            raise AssertionError(f"scenarios/{name}.txt is after a case of the suite; list it in CHECKLIST.md")
