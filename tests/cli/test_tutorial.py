"""The tutorial's commands are run as they stand: what a reader would type works, in that order.

Blocks marked `sh` are run one after the other in one shell; `sh node` and `sh phone` are the other terminal and stay
running. Only the port is another one, and CODE is what the phone shows.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

TUTORIAL = Path(__file__).resolve().parents[2] / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```(sh\b[^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PORT = "8443"


def blocks() -> list[tuple[str, str]]:
    """(which terminal, commands) in order."""
    return [(mark.removeprefix("sh").strip(), text) for mark, text in BLOCK.findall(TUTORIAL.read_text("utf-8"))]


class Terminals:
    """One shell that runs block after block and remembers its variables, and commands that stay running."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        self._port = str(port)
        self._state = folder / "variables"
        self._state.touch()
        bin_folder = folder / "bin"
        bin_folder.mkdir()
        command = bin_folder / "norc"
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m norc_actors.cli.main "$@"\n', "utf-8")
        command.chmod(0o755)
        root = str(TUTORIAL.parents[1])
        self._environment = {
            **os.environ,
            "PATH": f"{bin_folder}:{os.environ['PATH']}",
            "PYTHONPATH": root,
            "HOME": str(folder),
        }
        for name in ("NORC_PASSPHRASE", "NORC_PROFILE", "NORC_DIR", "NORC_KEY_FILE", "XDG_DATA_HOME"):
            self._environment.pop(name, None)
        self._running: list[subprocess.Popen[str]] = []

    def _script(self, text: str, wrap: str) -> list[str]:
        text = text.replace(PORT, self._port)
        return ["bash", "-c", f"set -euo pipefail; . ./variables; {wrap.replace('BLOCK', text)}"]

    def run(self, text: str) -> str:
        """Run a block to its end and return what it printed on standard output."""
        keep = "BLOCK\ndeclare -p LINK DIGITS NORC_PASSPHRASE 2>/dev/null > variables || true"
        done = subprocess.run(
            self._script(text, keep),
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def start(self, text: str) -> "subprocess.Popen[str]":
        """Start a block in another terminal and leave it running."""
        with (self._folder / "stderr").open("a") as stderr:
            process = subprocess.Popen(
                self._script(text, "exec BLOCK"),
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        self._running.append(process)
        return process

    def close(self) -> None:
        for process in self._running:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self._running:
            process.wait(timeout=40)
            if process.stdout:
                process.stdout.close()


@pytest.fixture
def terminals(tmp_path: Path) -> Iterator[Terminals]:
    if shutil.which("bash") is None:
        pytest.skip("the tutorial's commands are for bash")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    opened = Terminals(tmp_path, port)
    yield opened
    opened.close()


def test_every_command_of_the_tutorial_works(terminals: Terminals) -> None:
    outputs, code = [], ""
    for where, text in blocks():
        if where == "node":
            terminals.start(text)
            wait_for_node(terminals)
        elif where == "phone":
            code = code_of(terminals.start(text))
        else:
            outputs.append(terminals.run(text.replace("CODE", f"'{code}'")))
    shown = "\n".join(outputs)
    assert "alice@localhost: Hello Bob" in shown
    assert '"text":"Hello Alice"' in shown
    assert "(Lighthouse) alice@localhost: The lamp is lit." in shown
    assert "Verified: bob@localhost" in shown
    assert shown.count("trusted") == 2
    assert "message_router  (1 restart)" in shown
    assert "BAD" not in shown


def wait_for_node(terminals: Terminals) -> None:
    """Return when the node answers."""
    deadline = time.monotonic() + 30
    while True:
        try:
            terminals.run("norc node status --dir server")
        except AssertionError:
            if time.monotonic() > deadline:
                raise
        else:
            return


def code_of(process: "subprocess.Popen[str]") -> str:
    """The code that the phone shows."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("Code of this device: "):
            return line.partition(": ")[2].strip()
    raise AssertionError("the phone showed no code")


def test_the_tutorial_is_about_five_minutes_long() -> None:
    commands = [line for _, text in blocks() for line in text.splitlines() if line]
    assert 15 <= len(commands) <= 30
