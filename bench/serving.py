"""Starting a node of our own for a measurement, enrolling devices on it, and reading what it costs.

Loopback only; the node is ended by its own process id, whatever happens.
"""

import json
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from bench.lean_device import LeanDevice
from norc_actors.devpki import make_dev
from norc_actors.ids import ServerId, UserId
from norc_actors.net.tls import client_context
from norc_actors.protocol.enrolment import parse_link

GENEROUS = """
[limits]
messages_per_minute = 10000000
messages_burst = 10000000
key_lookups_per_minute = 100000
registrations_per_hour = 100000
unauthenticated_per_source = 20000

[log]
level = "warning"
"""


@dataclass(frozen=True)
class Served:
    """A running node."""

    pid: int
    host: str
    port: int
    ca: Path
    control: Path

    async def ask(self, request: dict[str, object]) -> dict[str, object]:
        """One request to its control socket."""
        async with await trio.open_unix_socket(str(self.control)) as stream:
            await stream.send_all(json.dumps(request).encode() + b"\n")
            answer = b""
            while not answer.endswith(b"\n"):
                answer += await stream.receive_some(2**20)
        return json.loads(answer)

    async def enrolled(self, names: Sequence[str]) -> list[LeanDevice]:
        """New users with one device each, with prekeys uploaded."""
        context = client_context(self.ca)
        devices = [LeanDevice(UserId(f"{name}@localhost")) for name in names]
        for device in devices:
            link = parse_link(str((await self.ask({"command": "invite", "user_id": device.user_id}))["link"]))
            async with device.connected(self.host, self.port, context) as line:
                await device.enrol(line, link)
                await device.authenticate(line)
                await device.upload_prekeys(line)
        return devices


@asynccontextmanager
async def serving() -> AsyncIterator[Served]:
    """A node in a folder of its own, on a free port, for the length of the block."""
    with tempfile.TemporaryDirectory(prefix="norc-bench-") as name:
        async with serving_in(Path(name)) as (served, _):
            yield served


@asynccontextmanager
async def serving_in(folder: Path) -> AsyncIterator[tuple[Served, "subprocess.Popen[bytes]"]]:
    """A node of its own process in `folder`, which it carries on from; ended with the block, if it still runs then."""
    files = make_dev(
        folder, ServerId("localhost"), random=secrets.token_bytes, clock=time.time, listen="127.0.0.1:0", extra=GENEROUS
    )
    command = [sys.executable, "-m", "norc_actors.node", "--config", str(files.config)]
    with subprocess.Popen(command) as process:  # noqa: ASYNC220 - it only starts here
        try:
            control = folder / "control.sock"
            host, port = await _address(control, process)
            yield Served(process.pid, host, port, files.ca, control), process
        finally:
            process.terminate()


async def _address(control: Path, process: "subprocess.Popen[bytes]") -> tuple[str, int]:
    with trio.fail_after(30):
        while process.poll() is None:
            try:
                status = await Served(process.pid, "", 0, control, control).ask({"command": "status"})
            except OSError:
                await trio.sleep(0.05)
                continue
            host, _, port = str(status["address"]).rpartition(":")
            return host, int(port)
    raise RuntimeError("the node did not start")
