"""The comparison with other runtimes: who is asked, who is missing and why, and the figure for very many servers."""

import shutil
from pathlib import Path

import pytest

from bench import __main__ as bench_main
from bench import many, runtime_peers


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without any peer."""
    monkeypatch.setattr(runtime_peers, "PEERS_PYTHON", tmp_path / "python")
    monkeypatch.setattr(shutil, "which", lambda _name: None)


@pytest.mark.usefixtures("alone")
def test_peers_that_are_missing_are_named_with_what_to_do() -> None:
    triotp, pykka, otp = runtime_peers.missing()
    assert triotp == "triotp is missing: not installed (make bench PEERS=1)"
    assert pykka == "pykka is missing: not installed (make bench PEERS=1)"
    assert otp.startswith("OTP is missing: escript is not on the PATH")


@pytest.mark.usefixtures("alone")
def test_only_those_who_are_there_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def ask(side: runtime_peers.Side, what: str) -> dict[str, float]:
        asked.append((side.name, what))
        times = {"floor": 1.0, "call": 2.0, "cast": 1.0, "spawn": 1.0, "crash": 1.0}
        return {"memory": 4.0} if what == "memory" else times

    monkeypatch.setattr(runtime_peers, "ask", ask)
    figures = runtime_peers.measure()
    assert {name for name, _ in asked} == {"ours"}
    assert figures["call: two raw switches (us), Trio"]["ratio"] == 0.5
    assert "ratio" not in figures["call (us), ours"]


def test_the_ratio_is_to_ours_of_the_same_run() -> None:
    ours = {question: [2.0, 4.0, 3.0] for question in runtime_peers.QUESTIONS}
    theirs = {"call": [30.0], "floor": [1.5]}
    figures = runtime_peers.compared({"ours": ours, "triotp": theirs})
    assert figures["call (us), ours"] == {"median": 3.0, "min": 2.0, "max": 4.0}
    assert figures["call (us), triotp"]["ratio"] == 10.0
    assert figures["call: two raw switches (us), triotp's Trio"]["ratio"] == 0.5
    assert not [name for name in figures if "triotp" in name and "memory" in name]


def test_a_side_that_fails_says_what_it_said() -> None:
    with pytest.raises(RuntimeError, match="ended with 3:\noh no"):
        runtime_peers.ask(runtime_peers.Side("x", ("bash", "-c", "echo oh no >&2; exit 3")), "time")


@pytest.mark.parametrize("name", ["triotp", "pykka", "OTP"])
def test_a_peer_that_is_here_answers_every_question_it_can(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (side,) = (side for side in runtime_peers.sides() if side.name == name)
    if side.missing:
        pytest.skip(side.missing)
    monkeypatch.setattr(runtime_peers, "SCALE", 1)
    answered = runtime_peers.ask(side, "time")
    assert {"call", "cast", "spawn"} <= answered.keys() <= runtime_peers.QUESTIONS.keys()
    assert all(value > 0 for value in answered.values())


def test_the_questions_have_their_notes() -> None:
    assert bench_main.NOTES.keys() <= bench_main.QUESTIONS.keys()


async def test_many_servers_start_answer_and_stop_in_order() -> None:
    figures = await many.run(300)
    assert set(figures) == {
        "start (s)", "a call to each (s)", "stop in order (s)", "resident (MB)", "resident, of each (KB)",
    }  # fmt: skip
