"""The whole demo, small: real processes, kills, a node that dies; and what it leaves on disks, in logs and on the wire.

One run serves all tests here. Its texts, the group's name and the passphrase hold a marker, so that a trace of any of
them on the server's disk, in a log at the lowest level or in a profile file is found by looking for it.
"""

import base64
import io
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import msgpack
import pytest
import trio
from rich.console import Console

from norc_actors.cli import main as cli
from norc_actors.cli.control import ask
from norc_actors.cli.demo import plan
from norc_actors.cli.demo.plan import Device
from norc_actors.cli.demo.report import Outcome
from norc_actors.cli.demo.run import Settings, play
from norc_actors.cli.errors import CliError
from norc_actors.cli.exits import Exit
from norc_actors.cli.inspect import split
from norc_actors.client.profile import open_profile
from norc_actors.client.vault import Unlock
from norc_actors.protocol.registry import NAMES

MARKER = "Xq7vMarkerWj3z"
PASSPHRASE = f"pass {MARKER} phrase"
KILLS = 6
MESSAGES = 200


@dataclass(frozen=True)
class Played:
    outcome: Outcome
    folder: Path
    capture: Path
    shown: str


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    folder = tmp_path_factory.mktemp("demo")
    settings = Settings(
        texts=[f"{MARKER} {text}" for text in plan.own_lines(11, MESSAGES)],
        seed=11,
        kills=KILLS,
        flow_seconds=8.0,
        folder=folder / "work",
        capture=folder / "capture",
        group_name=f"Group {MARKER}",
        passphrase=PASSPHRASE,
        log_level="debug",
    )
    shown = io.StringIO()
    outcome = trio.run(play, settings, Console(file=shown, width=100))
    return Played(outcome, folder / "work", folder / "capture", shown.getvalue())


def test_nothing_is_lost_doubled_or_reordered(played: Played) -> None:
    verdict = played.outcome.verdict
    assert verdict.faults == dict.fromkeys(verdict.faults, ())
    assert verdict.sent == verdict.acknowledged == verdict.delivered == verdict.read == MESSAGES
    assert verdict.copies == verdict.expected_copies


def test_everything_that_was_to_die_died(played: Played) -> None:
    assert len(played.outcome.kills) == KILLS
    assert played.outcome.node_kills == 1
    assert f"({KILLS} of {KILLS})" in played.shown
    assert played.outcome.good


def test_the_tree_counted_the_restarts(played: Played) -> None:
    assert '"restarts": 1' in str(played.outcome.trees[0]).replace("'", '"')


def test_ctrl_c_ends_everything(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "norc_actors.cli.demo", "--keep", str(tmp_path / "work"), "--seconds", "600"]
    demo = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert demo.stdout is not None
    with demo, demo.stdout:
        for line in demo.stdout:
            if line.startswith("Everybody is in"):
                break
        demo.send_signal(signal.SIGINT)
        rest, _ = demo.communicate(timeout=60)
    assert demo.returncode == Exit.INTERRUPTED, rest
    assert "Traceback" not in rest
    with pytest.raises(CliError, match="No node runs"):
        ask(tmp_path / "work" / "server", {"command": "status"})


def traces_of_the_marker() -> list[bytes]:
    """The marker as it might be written: plain, in other encodings, in base64 at each of its three alignments."""
    plain = MARKER.encode()
    shifted = [base64.b64encode(b"x" * shift + plain)[4 if shift else 0 : -4] for shift in range(3)]
    return [plain, MARKER.encode("utf-16-le"), plain.hex().encode(), *shifted]


def files_with_the_marker(folder: Path) -> list[str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [f"{path} {trace!r}" for path in files for trace in traces_of_the_marker() if trace in path.read_bytes()]


def test_the_server_keeps_no_text_no_group_name_and_no_passphrase(played: Played) -> None:
    assert (played.folder / "server/data/norc.db").stat().st_size > 100_000
    assert files_with_the_marker(played.folder / "server") == []


def test_no_log_at_any_level_holds_them(played: Played) -> None:
    logs = sorted(played.folder.glob("*.log"))
    assert len(logs) == 1 + len(Device)
    assert b'"level":"debug"' in (played.folder / "node.log").read_bytes()
    for log in logs:
        content = log.read_bytes()
        assert not [trace for trace in traces_of_the_marker() if trace in content], log


def test_the_profiles_are_closed_to_who_has_no_passphrase(played: Played) -> None:
    for device in Device:
        content = (played.folder / f"{device.value}.norc").read_bytes()
        assert not [trace for trace in traces_of_the_marker() if trace in content]


def test_a_second_reader_understands_every_frame(played: Played) -> None:
    kinds = set()
    for file in sorted(played.capture.glob("*.frames")):
        frames = list(split(file.read_bytes()))
        assert len(frames) > 100
        for frame in frames:
            value = msgpack.unpackb(frame[5:], strict_map_key=True)
            assert value["type"] == NAMES[frame[0]]
            assert msgpack.unpackb(msgpack.packb(value)) == value
            kinds.add(value["type"])
    assert {"message_send", "message_received", "message_ack", "conversation_create", "connection_request"} <= kinds


def test_norc_inspect_reads_the_capture(played: Played, capsys: pytest.CaptureFixture[str]) -> None:
    for file in sorted(played.capture.glob("*.frames")):
        assert cli.run(["inspect", str(file), "--json"]) == Exit.OK
    assert "message_received" in capsys.readouterr().out


def test_no_frame_holds_the_marker(played: Played) -> None:
    assert files_with_the_marker(played.capture) == []


def test_a_second_reader_understands_every_record_of_a_profile(played: Played) -> None:
    profile = open_profile(played.folder / "bob.norc", Unlock(passphrase=PASSPHRASE), os.urandom)
    try:
        records = list(profile.records())
    finally:
        profile.close()
    assert len(records) > MESSAGES
    for _, record in records:
        msgpack.unpackb(record, strict_map_key=True)
    assert any(MARKER.encode() in record for _, record in records), "the marker would be found if it were in the clear"
