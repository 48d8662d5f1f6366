"""Files of vectors as `python -m tests.vectors` runs them: they hold in full, and what does not hold is noticed."""

import copy
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from norc_actors.crypto.suites import PREFERENCE
from tests.vectors.__main__ import main
from tests.vectors.files import RECORDED, files
from tests.vectors.reading import Entry, File, judge

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["recorded", "second"])
def test_a_file_holds_in_full(name):
    outcomes = list(files()[name].run())
    assert [str(one) for one in outcomes if not one.holds] == []
    assert [str(one) for one in outcomes if not one.judged] == []
    assert len(outcomes) > 100


def _suites(file: File) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for entry in file.entries():
        named = entry.members.get("suite") or ",".join(sorted(_algorithms(entry.members)))
        found.setdefault(entry.section, set()).update({named} if named else ())
    return found


def _algorithms(members: dict[str, Any]) -> Iterator[str]:
    for name, value in members.items():
        if name.endswith("_key") and isinstance(value, str) and len(value) in (64, 66):
            yield "p256" if len(value) == 66 else "ed25519"


def test_the_second_file_has_every_section_for_every_suite():
    recorded, second = (_suites(files()[name]) for name in ("recorded", "second"))
    assert recorded.keys() <= second.keys()
    for section, named in second.items():
        suites = {one for one in named if one in PREFERENCE}
        assert suites in (set(), set(PREFERENCE)), section
        algorithms = {one for name in named - suites for one in name.split(",")}
        assert algorithms in (set(), {"ed25519", "p256"}) or section.endswith(("_edges", "x25519_refused")), section


def test_the_second_file_has_nothing_of_this_project():
    script = (
        "import sys; from tests.vectors.second import make; make(); "
        "assert not [name for name in sys.modules if name.startswith(('norc_actors', 'supervision', 'nacl'))]"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# --- What does not hold is noticed ---


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(value, dict | list):
        for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(inner, (*path, name))
    else:
        yield path, value


def _altered(value: Any) -> Any:
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case None:
            return "00"
        case "":
            return "00"
        case _:
            return value[:-1] + ("1" if value[-1] != "1" else "2")


def _may_change(section: str, path: tuple[Any, ...], value: Any) -> bool:
    """What the rest of an entry does not depend on."""
    return (
        path[-1] in ("why", "name", "note")
        or (section, path[0])
        in {("auth", "suite"), ("trust", "suite"), ("devices", "th"), ("devices", "pow_difficulty")}
        or section == "negotiate"  # other lists may well have the same answer
        or (section == "padding" and path[0] == "length")
        or value in ("", None, "fed")
        or path[-1] == "kem_seed"  # its last byte answers foreign ciphertexts alone
        or (section == "kem" and path[0] == "seed")
    )


@pytest.mark.parametrize("name", ["recorded", "second"])
def test_every_altered_member_is_noticed(name):
    """All entries that must be accepted, each with one member changed."""
    file, count, missed = files()[name], 0, []
    for entry in file.entries():
        for path, value in _leaves(entry.members) if not entry.refused else ():
            if _may_change(entry.section, path, value):
                continue
            members = copy.deepcopy(entry.members)
            holder = members
            for name in path[:-1]:
                holder = holder[name]
            holder[path[-1]] = _altered(value)
            count += 1
            if judge(Entry(members, file, entry.where)).holds:
                missed.append((entry.where, path))
    assert missed == []
    assert count > 600


def test_an_honest_entry_among_those_to_refuse_is_noticed():
    for name in ("recorded", "second"):
        for entry in files()[name].entries():
            if entry.refused or entry.section in ("negotiate", "padding", "hkdf", "hmac", "aad", "pseudonym", "audit"):
                continue  # formulas: what they give cannot be refused, only differ
            found = judge(Entry(entry.members, entry.file, entry.where, refused=True))
            assert found.verdict == "FAIL", str(found)
            assert "must be refused" in found.said


def test_a_refusal_for_another_reason_is_noticed():
    file = files()["recorded"]
    for entry in file.entries():
        if entry.section == "refused_messages" and entry.why == "not padded":
            other = judge(Entry({**entry.members, "why": "signed under another label"}, file, entry.where))
            assert str(other).startswith("FAIL")
            assert "refused as not_opened, its words mean bad_signature" in other.said
            unknown = judge(Entry({**entry.members, "why": "because"}, file, entry.where))
            assert unknown.holds
            assert "judge by reading" in str(unknown)


def test_what_nobody_knows_is_said():
    file = files()["recorded"]
    assert judge(Entry({"x": 1}, file, "new[0]")).verdict == "UNKNOWN"
    entry = next(one for one in file.entries() if one.section == "hkdf")
    found = judge(Entry({**entry.members, "t_1": "00"}, file, entry.where))
    assert (found.verdict, found.said) == ("UNKNOWN", "not compared: hkdf[0].t_1")


def test_the_command(tmp_path, capsys):
    assert main([str(RECORDED), "--quiet"]) == 0
    assert capsys.readouterr().out == f"{sum(1 for _ in files()['recorded'].entries())} hold, 0 fail, 0 not known\n"
    good = {"suite": "0002", "key": "00", "message": "", "mac": "0" * 64}
    path = tmp_path / "more.json"
    path.write_text(json.dumps({"any_name": [good], "other": {"x": 1}, "third": [5]}))
    assert main([str(path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("FAIL    any_name[0] 0002: keyed_hash, any_name[0]: mac: the file has")
    assert lines[1:] == [
        "UNKNOWN other: no part has members ['x']", "UNKNOWN third[0]: no part has members ['']",
        "0 hold, 1 fail, 2 not known",
    ]  # fmt: skip
