"""Our supervisor does, line for line, what OTP's own did on the whole corpus (rows A1–A10, A36)."""

from pathlib import Path

import pytest

from supervision.conformance import ScenarioError, parse_scenario, run_scenario
from supervision.conformance.__main__ import main
from tests.conformance import corpus
from tests.conformance.generate import KINDS, kind_of

CASES = list(corpus.cases())


def test_the_corpus_is_whole() -> None:
    names = [name for name, _, _ in CASES]
    assert len(set(names)) == len(names) >= 300
    assert set(corpus.named()) <= set(names)
    drawn = [(name, text) for name, text, _ in CASES if name.startswith("seed-")]
    assert dict(drawn) == corpus.generated(len(drawn)), "the generator changed: record the corpus anew"
    assert {kind_of(seed) for seed in range(len(drawn))} == set(KINDS)


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
def test_the_corpus_touches_what_matters(strategy: str) -> None:
    told = "\n".join(line for _, text, trace in CASES if f"strategy {strategy}" in text for line in trace)
    for words in (
        "refused", "supervisor down shutdown", "skipped", "error running", "error not_found", "error already_started",
        "exit a normal", "exit b shutdown", "exit c boom", "undefined", "step hang",
    ):  # fmt: skip
        assert words in told


@pytest.mark.parametrize(("text", "trace"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_scenario_goes_as_in_otp(text: str, trace: list[str]) -> None:
    assert corpus.ours(text) == trace


def test_a_scenario_without_end_is_told_from_one_that_waits_long() -> None:
    hangs = "child a permanent {}\nstep hang a\nstep shutdown a\n"
    assert corpus.ours(hangs.format(2**32 - 1))[-1] == "supervisor down shutdown"
    with pytest.raises(ScenarioError, match="no end"):
        corpus.ours(hangs.format("infinity"))


# Where OTP's runner breaks off

UP = ["start a", "supervisor up"]
BREAKS_OFF = {
    "step jump a": "no such step: 'jump a'",
    "step": "no such step: ''",
    "step crash": "no such step: 'crash'",
    "step state now": "no such step: 'state now'",
    "step state\r": r"no such step: 'state\\r'",
    "step sleep 1.5": "'1.5' is no integer",
    "step sleep -1": "no such step: 'sleep -1'",
    "step failnext a 1_0": "'1_0' is no integer",
    f"step crash {'a' * 256}": "longer than 255",
    "step kill init": "does not survive it: kill init",
    "step crash kernel_sup": "does not survive it: crash kernel_sup",
}


@pytest.mark.parametrize("step", BREAKS_OFF)
def test_a_step_without_sense_breaks_off_where_it_is_reached(step: str) -> None:
    lines: list[str] = []
    scenario = parse_scenario(f"child a permanent 1000\n{step}\nstep crash a\n")
    with pytest.raises(ScenarioError, match=BREAKS_OFF[step]):
        run_scenario(scenario, lines.append)
    assert lines == [*UP, f"step {step[5:]}"]


@pytest.mark.parametrize(
    "line",
    [
        "jump", "child a", "child a permanent soon", "child a permanent 1.0", "child a permanent 4294967296",
        "intensity many 5", "intensity 1", "intensity \xb2 5", "intensity 1_0 5", "strategy", "strategy one_for_one x",
        f"strategy {'a' * 256}", "child\ta permanent 1000", "\tchild a permanent 1000", "child a permanent 1000\r",
        "\xa0", "\xef\xbb\xbfchild a permanent 1000", "Step state",
    ],
)  # fmt: skip
def test_a_line_nobody_can_read_is_named(line: str) -> None:
    with pytest.raises(ScenarioError, match=r"^line 2: "):
        parse_scenario(f"strategy one_for_one\n{line}\n")


# The command

TRACE = [
    "start a", "supervisor up", "step crash a", "exit a boom", "start a", "child a running",
    "count specs=1 active=1 workers=1", "stop", "exit a shutdown", "supervisor down shutdown",
]  # fmt: skip


def test_the_command_prints_what_otps_runner_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "one.txt"
    path.write_text("# a comment\nchild a permanent 1000\nstep crash a\n", "utf-8")
    assert main([str(path)]) == 0
    assert capsys.readouterr().out.splitlines() == ["== one.txt", *TRACE]


def test_bytes_come_out_as_they_went_in(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    path = tmp_path / "bytes.txt"
    path.write_bytes(b"child \xc3\xa9 permanent 1000\nstep crash \xff\xfe\n")
    assert main([str(path)]) == 0
    out = capfdbinary.readouterr().out
    assert b"\nstart '\xc3\xa9'\nsupervisor up\nstep crash \xff\xfe\nno process \xff\xfe\n" in out


def test_a_file_that_cannot_be_run_does_not_keep_the_others(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    first, twin = tmp_path / "one.txt", tmp_path / "sub" / "one.txt"
    twin.parent.mkdir()
    for path in (first, twin):
        path.write_text("child a permanent 1000\nstep crash a\n", "utf-8")
    unread, stopped = tmp_path / "unread.txt", tmp_path / "stopped.txt"
    unread.write_text("child a permanent 1000\nj\xf6mp\n", "utf-8")
    stopped.write_text("child a permanent 1000\nstep jump\n", "utf-8")
    paths = [first, tmp_path / "missing.txt", unread, tmp_path, stopped, twin]
    assert main([str(path) for path in paths]) == 2
    out, err = capfd.readouterr()
    started = ["== unread.txt", "== stopped.txt", *UP, "step jump"]
    assert out.splitlines() == ["== one.txt", *TRACE, *started, "== one.txt", *TRACE]
    complaints = err.splitlines()
    assert [line.split(": ")[0] for line in complaints] == [str(path) for path in paths[1:5]]
    assert complaints[1].endswith("line 2: 'j\xf6mp': no directive")


def test_the_command_wants_a_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert capsys.readouterr().err.startswith("usage: ")
