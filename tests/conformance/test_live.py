"""The live comparison: what it says, and how it comes by Erlang."""

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.conformance import corpus, live

TOOL = Path(__file__).parents[2] / "tools" / "erlang"
TEXT = "child a permanent 1000\nstep crash a\n"


def otp_says(monkeypatch: pytest.MonkeyPatch, *traces: list[str]) -> None:
    """Stand-in for OTP: each time it is asked, the next trace; the last one for ever."""
    left = list(traces)

    def otps(scenarios: Iterable[tuple[str, str]], *, roomy: bool = False) -> dict[str, list[str]]:
        trace = left.pop(0) if len(left) > 1 else left[0]
        return {name: trace for name, _ in scenarios}

    monkeypatch.setattr(corpus, "otps", otps)


def test_what_agrees_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    otp_says(monkeypatch, corpus.ours(TEXT))
    assert live.compare("some", [("x", TEXT)]).summary() == "some: 1 of 1 scenarios agree with OTP"


def test_what_differs_is_shown_from_its_first_line(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = corpus.ours(TEXT)
    otp_says(monkeypatch, [*ours[:2], "start b", *ours[3:]])
    outcome = live.compare("some", [("x", TEXT)])
    assert outcome.summary() == "some: 0 of 1 scenarios agree with OTP"
    assert outcome.wrong[0].told().splitlines() == [
        "=== x, trace line 3",
        *TEXT.splitlines(),
        "     start a",
        "     supervisor up",
        "OTP  start b",
        "ours step crash a",
    ]


def test_a_trace_that_ends_early_differs_too(monkeypatch: pytest.MonkeyPatch) -> None:
    otp_says(monkeypatch, corpus.ours(TEXT)[:-1])
    outcome = live.compare("some", [("x", TEXT)])
    assert "OTP  (has ended)" in outcome.wrong[0].told()


def test_where_otp_itself_varies_one_of_its_traces_must_be_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    otp_says(monkeypatch, ["other"], ["another"], corpus.ours(TEXT))
    outcome = live.compare("some", [("x", TEXT)])
    assert outcome.summary().endswith("1 of 1 scenarios agree with OTP; OTP itself differs from run to run in x")


@pytest.mark.skipif(shutil.which("escript") is None, reason="needs Erlang (Debian: erlang-base)")
def test_a_few_fresh_scenarios_agree_live() -> None:
    outcome = live.compare("fresh", corpus.generated(16, 1_000_000).items())
    assert outcome.count == 16
    assert not outcome.wrong, outcome.wrong[0].told()


# How Erlang gets there


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A folder for the PATH that holds a shell and nothing of Erlang."""
    for name in ("bash", "env"):
        (tmp_path / name).symlink_to(shutil.which(name) or "missing")
    command(tmp_path, "id", "echo 0")
    return tmp_path


def command(folder: Path, name: str, body: str) -> None:
    path = folder / name
    path.write_text(f"#!{shutil.which('bash')}\n{body}\n")
    path.chmod(0o755)


def run_tool(path: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": str(path)}
    return subprocess.run([TOOL], env=environment, capture_output=True, text=True, check=False)


def test_erlang_that_is_there_is_left_alone(bare: Path) -> None:
    command(bare, "escript", "exit 9")
    command(bare, "apt-get", "echo asked; exit 9")
    done = run_tool(bare)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_erlang_that_is_missing_is_installed(bare: Path) -> None:
    brings = f"cp {bare}/id {bare}/escript"
    command(bare, "cp", f'exec {shutil.which("cp")} "$@"')
    command(bare, "apt-get", f'echo "$@" >>{bare}/asked; case "$*" in *install*) {brings};; esac')
    done = run_tool(bare)
    assert done.returncode == 0, done.stderr
    asked = (bare / "asked").read_text().splitlines()
    assert asked[0].endswith("update")
    assert asked[1].endswith("install -y --no-install-recommends erlang-base")


@pytest.mark.parametrize("way", ["no apt-get", "not root", "no network", "no package"])
def test_erlang_that_cannot_be_installed_is_said_so(bare: Path, way: str) -> None:
    if way != "no apt-get":
        command(bare, "apt-get", {"no network": "exit 100"}.get(way, 'case "$*" in *install*) exit 100;; esac'))
    if way == "not root":
        command(bare, "id", "echo 1000")
        command(bare, "sudo", "exit 1")
    done = run_tool(bare)
    assert done.returncode == 1
    assert "Erlang is needed" in done.stderr
    assert "erlang-base" in done.stderr
