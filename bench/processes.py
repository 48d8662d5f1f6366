"""Child processes that are measured: started with a pipe, ended by their id, read through /proc.

A child prints one JSON line when it is ready, and ends when its standard input ends (so that no child outlives a
bench).
"""

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def cpu_of(pid: int) -> float:
    """Seconds of CPU so far, user and system, of a process with all its threads, those that ended too; to 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def rss_of(pid: int) -> int:
    """Resident bytes of a process now."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE


class Child:
    """A running child. `ready` is the JSON that it printed first."""

    def __init__(self, *arguments: str, environment: dict[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
            text=True,
        )
        self.pid = self._process.pid
        self.ready = self.read()

    def read(self) -> Any:
        """The next JSON line that the child prints."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args} ended with {self._process.wait()} before it said anything")
        return json.loads(line)

    def tell(self, line: str) -> None:
        """Write a line to the child."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def cpu(self) -> float:
        """Seconds of CPU so far."""
        return cpu_of(self.pid)

    def rss(self) -> int:
        """Resident bytes now."""
        return rss_of(self.pid)

    def stop(self) -> None:
        """SIGTERM, and SIGKILL after 5 s."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def say(value: object) -> None:
    """A child's line to its parent."""
    print(json.dumps(value), flush=True)


def allow_files(count: int) -> None:
    """Raise the limit on open files to `count`, as far as the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
