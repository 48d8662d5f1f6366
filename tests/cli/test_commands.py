"""The command line as a person meets it: help, usage errors, speed."""

import json
import resource
import subprocess
import sys

import pytest

from norc_actors.cli import main as cli
from norc_actors.cli.exits import Exit

COMMANDS = [
    line.split()
    for line in (
        "", "init", "node", "node tree", "node kill", "node status", "user", "user invite", "enroll",
        "devices", "devices list", "devices approve", "devices revoke", "verify", "group", "group create", "group add",
        "group remove", "group rename", "group leave", "group list", "send", "listen", "chat", "doctor", "inspect",
    )
]  # fmt: skip
LEAVES = [c for c in COMMANDS if c and c not in (["node"], ["user"], ["devices"], ["group"])]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([*command, "--help"]) == Exit.OK
    assert "Usage: norc" in capsys.readouterr().out


@pytest.mark.parametrize("command", LEAVES, ids=" ".join)
def test_every_command_refuses_an_unknown_option(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([*command, "--frobnicate"]) == Exit.USAGE
    shown = capsys.readouterr().err
    assert "frobnicate" in shown
    assert "--help" in shown


@pytest.mark.parametrize("command", LEAVES, ids=" ".join)
def test_every_command_speaks_json(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([*command, "--json", "--frobnicate"]) == Exit.USAGE
    assert json.loads(capsys.readouterr().out)["error"] == "usage"
    assert cli.run([*command, "--help"]) == Exit.OK
    assert "--json" in capsys.readouterr().out


def test_an_unknown_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["sned"]) == Exit.USAGE
    assert "sned" in capsys.readouterr().err


def test_help_answers_at_once() -> None:
    best = min(_processor_seconds_of_help() for _ in range(3))
    assert best < 0.5, f"norc --help took {best:.2f} s of the processor: import what is heavy inside the commands"


def _processor_seconds_of_help() -> float:
    """Of the processor, not of the clock: other programs may be busy beside the tests."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "norc_actors.cli.main", "--help"], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_the_command_line_loads_no_library_before_it_needs_it() -> None:
    heavy = ("trio", "cryptography", "sqlalchemy", "rich.console")
    script = f"import sys, norc_actors.cli.main; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["send", "bob@localhost", ""], "nothing to send"),
        (["node", "kill"], "either a name or --kind"),
        (["node", "kill", "x", "--kind", "y"], "either a name or --kind"),
        (["enroll", "alice@localhost"], "invitation"),
        (["enroll", "Alice", "norc://x"], "no user"),
        (["verify", "bob"], "no user"),
        (["user", "invite", "bob", "--expires", "never"], "no duration"),
        (["send", "bob@localhost", "x", "--until", "forever"], "forever"),
    ],
)
def test_mistakes_are_named(arguments: list[str], word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(arguments) == Exit.USAGE
    shown = capsys.readouterr().err
    assert word in shown
    assert "->" in shown
