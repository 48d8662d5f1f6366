"""`norc inspect` on captured files, good and bad."""

import json
from pathlib import Path

import msgpack
import pytest

from norc_actors.cli import main as cli
from norc_actors.cli.exits import Exit
from norc_actors.cli.inspect import split

Captured = pytest.CaptureFixture[str]
PING = msgpack.packb({"type": "ping", "timestamp": 1_700_000_000})
PONG = msgpack.packb({"type": "pong", "timestamp": 1_700_000_001})


def frame(code: int, payload: bytes) -> bytes:
    return bytes([code]) + len(payload).to_bytes(4, "big") + payload


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    path = tmp_path / "frames"
    path.write_bytes(frame(9, PING) + frame(10, PONG))
    return path


def test_every_frame_is_shown_field_by_field(capture: Path, capsys: Captured) -> None:
    assert cli.run(["inspect", str(capture)]) == Exit.OK
    shown = capsys.readouterr().out
    assert "--- frame 2 of 2 ---" in shown
    assert "09 ping" in shown
    assert "1700000001" in shown


def test_one_frame_can_be_chosen(capture: Path, capsys: Captured) -> None:
    assert cli.run(["inspect", str(capture), "--frame", "2", "--json"]) == Exit.OK
    told = json.loads(capsys.readouterr().out)
    assert told["frame"] == 2
    assert {"name": "timestamp", "value": "1700000001"} in told["fields"]
    assert cli.run(["inspect", str(capture), "--frame", "3"]) == Exit.USAGE


def test_a_frame_that_breaks_a_rule_is_shown_and_fails(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "frame").write_bytes(frame(9, msgpack.packb({"type": "ping", "timestamp": 1.5})))
    assert cli.run(["inspect", str(tmp_path / "frame")]) == Exit.FAILED
    shown = capsys.readouterr()
    assert "refused" in shown.out
    assert "1.5" in shown.out


def test_bytes_that_are_no_frame_are_shown_too(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "noise").write_bytes(b"\x00\x01\x02")
    assert cli.run(["inspect", str(tmp_path / "noise")]) == Exit.OK
    assert "no whole frame" in capsys.readouterr().out


def test_splitting() -> None:
    one, two = frame(9, PING), frame(10, PONG)
    assert list(split(one + two)) == [one, two]
    assert list(split(one + two[:-1])) == [one + two[:-1]]
    assert list(split(b"")) == [b""]


@pytest.mark.parametrize(
    "arguments",
    [["--key", "00" * 32], ["--key", "zz", "--th", "00" * 32], ["--key", "00" * 32, "--th", "00" * 32, "--suite", "x"]],
)
def test_mistakes_are_usage_errors(capture: Path, arguments: list[str]) -> None:
    assert cli.run(["inspect", str(capture), *arguments]) == Exit.USAGE


def test_a_missing_file_is_named(tmp_path: Path, capsys: Captured) -> None:
    assert cli.run(["inspect", str(tmp_path / "none")]) == Exit.FAILED
    assert "none" in capsys.readouterr().err
