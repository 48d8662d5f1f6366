"""The table of defences holds to the sources: each text stands once, each test exists, and a mutant is noticed."""

import re
from pathlib import Path

import pytest

from tools import mutants
from tools.mutants import DEFENCES, ROOT


@pytest.mark.parametrize("defence", DEFENCES, ids=lambda defence: defence.name.replace(" ", "_"))
def test_every_row_stands(defence):
    source = (ROOT / defence.file).read_text()
    assert source.count(defence.text) == 1
    compile(source.replace(defence.text, defence.without), defence.file, "exec")
    for test in defence.test.split():
        file, _, name = test.partition("[")[0].partition("::")
        assert not name or re.search(rf"^(?:async )?def {name}\(", (ROOT / file).read_text(), re.MULTILINE)


def test_names_are_unique():
    assert len({defence.name for defence in DEFENCES}) == len(DEFENCES)


def test_a_mutant_is_noticed_and_the_tree_left_alone(tmp_path: Path):
    mutants.copy_tree(tmp_path)
    defence = next(one for one in DEFENCES if one.name == "CRLs only rise")
    before = (tmp_path / defence.file).read_text()
    assert mutants.survives(tmp_path, defence) is None
    assert (tmp_path / defence.file).read_text() == before
    toothless = mutants.Defence(
        name="x", file=defence.file, text=defence.text, without=defence.text + "  # still there", test=defence.test
    )
    assert "passes" in str(mutants.survives(tmp_path, toothless))
    gone = mutants.Defence(name="x", file=defence.file, text="not in it", without="", test=defence.test)
    assert "0 times" in str(mutants.survives(tmp_path, gone))


def _attack_tests() -> set[str]:
    files = [ROOT / "tests/protocol" / name for name in ("test_attacks.py", "test_threats.py")]
    return {
        f"{file.relative_to(ROOT).as_posix()}::{name}"
        for file in files
        for name in re.findall(r"^def (test_\w+)\(", file.read_text(), re.MULTILINE)
    }


def test_every_attack_test_has_a_defence_without_which_it_fails():
    named = {test for defence in DEFENCES for test in defence.test.split()}
    assert _attack_tests() - named == set()


def _goals() -> list[tuple[str, set[str]]]:
    """(attack, files and functions of tests) by line of the threat model."""
    text = (ROOT / "docs/security.md").read_text()
    rows = [
        line.split("|")[1:4] for line in text.split("| Goal | Attack | Tests |")[1].split("\n\n")[0].splitlines()[2:]
    ]
    return [
        (attack.strip(), set(re.findall(r"(?:tests/[\w/]+/)?\btest_\w+(?:\.py)?", tests))) for _, attack, tests in rows
    ]


ATTACKS = _goals()


@pytest.mark.parametrize(("attack", "tests"), ATTACKS, ids=[attack.replace(" ", "_") for attack, _ in ATTACKS])
def test_every_line_of_the_threat_model_has_a_mutant(attack, tests):
    named = " ".join(defence.test for defence in DEFENCES)
    assert any(test in named for test in tests), attack


NAMED = (
    "signing oracle", "ghost device", "ghost member", "stale list", "after a crash", "1.x downgrade", "suite strip",
    "PQ strip", "relabelled classification", "surreptitious forwarding", "replayed `open`", "clone and restore",
    "unknown key share", "key compromise impersonation", "two plaintexts for one ciphertext", "forks", "drops", "swaps",
    "splices", "transit laundering",
)  # fmt: skip


def test_the_threat_model_has_every_known_attack():
    listed = " ".join(attack for attack, _ in ATTACKS)
    assert [name for name in NAMED if name not in listed] == []
