"""The two files of vectors that tests run: the recorded one, and the one that `second` makes; with all parts known."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from . import parts_people, parts_servers, parts_talk, parts_wire, second
from .reading import PARTS, Entry, File, Outcome, judge

KNOWN = (parts_wire, parts_people, parts_talk, parts_servers)
"""Importing them registers their parts."""
RECORDED = Path(__file__).parent / "norc.json"


@cache
def files() -> dict[str, File]:
    """The files, read once."""
    return {"recorded": File.load(RECORDED), "second": File(second.make())}


def _entries(sections: tuple[str, ...]) -> Iterator[tuple[str, Entry]]:
    for name, file in files().items():
        for entry in file.entries():
            if entry.section in sections:
                yield f"{name}-{entry.label}".replace(" ", "_"), entry


def recorded(*sections: str) -> pytest.MarkDecorator:
    """Parametrize `entry` by every entry of these sections in both files."""
    return pytest.mark.parametrize("entry", [pytest.param(entry, id=name) for name, entry in _entries(sections)])


def outcome(entry: Entry) -> Outcome:
    """What becomes of an entry; read afresh, since an entry remembers what was read of it."""
    return judge(Entry(entry.members, entry.file, entry.where))


def holds(entry: Entry) -> bool:
    """Whether it is as the file says; what is wrong fails the test by its words."""
    found = outcome(entry)
    assert found.holds, str(found)
    return bool(PARTS)
