"""Our supervisor does, line for line, what OTP's own did on the whole corpus (rows A1–A10, A36)."""

from pathlib import Path

import pytest

from supervision.conformance import ScenarioError, parse_scenario
from supervision.conformance.__main__ import main
from tests.conformance import corpus

CASES = list(corpus.cases())


def test_the_corpus_is_whole() -> None:
    names = [name for name, _, _ in CASES]
    assert len(set(names)) == len(names) >= 300
    assert set(corpus.named()) <= set(names)
    drawn = [(name, text) for name, text, _ in CASES if name.startswith("seed-")]
    assert dict(drawn) == corpus.generated(len(drawn)), "the generator changed: record the corpus anew"


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


def test_the_command_prints_what_otps_runner_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "one.txt"
    path.write_text("# a comment\nchild a permanent 1000\nstep crash a\n", "utf-8")
    assert main([str(path)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "== one.txt", "start a", "supervisor up", "step crash a", "exit a boom", "start a", "child a running",
        "count specs=1 active=1 workers=1", "stop", "exit a shutdown", "supervisor down shutdown",
    ]  # fmt: skip


@pytest.mark.parametrize("line", ["jump", "child a", "intensity many 5", "step", "strategy"])
def test_a_line_nobody_can_read_is_named(line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ScenarioError, match=r"^line 2: "):
        parse_scenario(f"strategy one_for_one\n{line}\n")
    path = tmp_path / "bad.txt"
    path.write_text(line, "utf-8")
    assert main([str(path)]) == 2
    assert "line 1" in capsys.readouterr().err
    assert main([str(tmp_path / "missing.txt")]) == 2
    assert main([]) == 2
