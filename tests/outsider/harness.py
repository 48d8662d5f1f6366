"""A real node and the real `norc`, as processes, for an outsider to talk to (tutorial.md, operations.md)."""

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .wire import WAIT, Place

NORC = [sys.executable, "-m", "norc_actors.cli.main"]
ROOT = Path(__file__).resolve().parents[2]
Record = dict[str, object]


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NORC_")}
    return {**kept, "PYTHONPATH": str(ROOT)}


def norc(*arguments: str) -> list[Record]:
    """What a command of `norc` prints with `--json`."""
    done = subprocess.run(
        [*NORC, *arguments, "--json"], capture_output=True, text=True, env=_environment(), timeout=90, check=False
    )
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
    return [json.loads(line) for line in done.stdout.splitlines()]


@dataclass(frozen=True)
class Node:
    """A running node."""

    folder: Path
    place: Place
    process: "subprocess.Popen[bytes]"
    log: "Log"

    def invite(self, user: str) -> str:
        """A link for a first device."""
        return str(norc("user", "invite", user, "--no-qr", "--dir", str(self.folder))[-1]["link"])

    def person(self, user: str) -> "Person":
        """A user of the real client, enrolled."""
        return Person(self, user)


GENEROUS = """
[limits]
registrations_per_hour = 1000
unauthenticated_per_source = 200
messages_per_minute = 6000
messages_burst = 6000

[registration]
open = true
difficulty = 3
"""


@contextmanager
def node(folder: Path, configuration: str = GENEROUS) -> Iterator[Node]:
    """A node in `folder` on a free port, ended with the block. A folder that has one already carries it on."""
    if not (folder / "norc.toml").exists():
        norc("init", "--dir", str(folder), "--listen", "127.0.0.1:1")
        written = (folder / "norc.toml").read_text("utf-8")
        (folder / "norc.toml").write_text(written.replace('"127.0.0.1:1"', '"127.0.0.1:0"') + configuration, "utf-8")
    command = [*NORC, "node", "--dir", str(folder)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=_environment()) as process:
        log = Log(process)
        try:
            host, _, port = log.address().rpartition(":")
            yield Node(folder, Place(host, int(port), folder / "ca.pem"), process, log)
        finally:
            process.terminate()
            log.reader.join()


class Log:
    """What a node says on standard error, read so that it never waits for us."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self._serving: queue.Queue[str] = queue.Queue()
        self._lines: list[str] = []
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._lines.append(line.decode())
            if line.startswith(b"{") and (record := json.loads(line)).get("event") == "serving":
                self._serving.put(str(record["address"]))
        self._serving.put("")

    def terminations(self) -> list[str]:
        """What it said so far about parts of itself that crashed."""
        return [line for line in self._lines if "child_terminated" in line]

    def address(self) -> str:
        """Where the node listens, once it says so."""
        address = self._serving.get(timeout=WAIT)
        if not address:
            raise RuntimeError("".join(self._lines))
        return address


class Person:
    """Somebody with a profile of the real client."""

    def __init__(self, home: Node, name: str) -> None:
        self.user_id = f"{name}@{home.place.server_id}"
        self._at = ["--profile", str(home.folder / f"{name}.norc"), "--key-file", str(home.folder / "people.key")]
        key = home.folder / "people.key"
        if not key.exists():
            key.write_bytes(os.urandom(32))
            key.chmod(0o600)
        where = ["--address", f"{home.place.host}:{home.place.port}", "--ca", str(home.place.ca)]
        norc("enroll", self.user_id, home.invite(name), *self._at, *where)

    def norc(self, *arguments: str) -> list[Record]:
        """A command on this person's device."""
        return norc(*arguments, *self._at)

    def hear(self) -> Record:
        """The next message that came for this person."""
        [message] = [record for record in self.norc("listen", "--count", "1") if record["event"] == "message"]
        return message

    @contextmanager
    def chat(self, to: str) -> Iterator["Chat"]:
        """The real client at work: what is said goes to `to`, what comes is seen."""
        command = [*NORC, "chat", to, "--json", *self._at]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=_environment()
        ) as process:
            chat = Chat(process)
            try:
                yield chat
            finally:
                process.terminate()
                chat.reader.join()


class Chat:
    """A running `norc chat`."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self._records: queue.Queue[Record] = queue.Queue()
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._records.put(json.loads(line))

    def say(self, words: str) -> None:
        """A line that the person types."""
        assert self._process.stdin is not None
        self._process.stdin.write(words + "\n")
        self._process.stdin.flush()

    def see(self, event: str, **wanted: object) -> Record:
        """The next record of this kind with these members."""
        deadline = time.monotonic() + WAIT
        seen = []
        while time.monotonic() < deadline:
            try:
                record = self._records.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                break
            if record.get("event") == event and all(record.get(name) == value for name, value in wanted.items()):
                return record
            seen.append(record)
        raise AssertionError(f"no {event} {wanted}; seen: {seen}")
