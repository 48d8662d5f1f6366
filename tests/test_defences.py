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
        file, _, name = test.partition("::")
        assert not name or re.search(rf"^def {name}\(", (ROOT / file).read_text(), re.MULTILINE)


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
