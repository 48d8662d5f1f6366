"""The demo's processes seen from outside: the node, which is killed and started again, and the four devices.

Each writes its standard error to a log file of its own in the demo's folder. A process that ends when it should not
is an error that names this file.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import trio

from norc_actors.cli.control import ask
from norc_actors.cli.demo.device import PASSPHRASE
from norc_actors.cli.demo.ledger import Ledger
from norc_actors.cli.demo.lines import JsonLines, JsonObject, encode
from norc_actors.cli.demo.plan import Device
from norc_actors.cli.errors import CliError
from norc_actors.cli.output import JsonValue

READY_SECONDS = 30.0
STOP_SECONDS = 30.0


class ProcessError(CliError):
    """A process of the demo ended, refused, or did not answer in time."""


class NodeProcess:
    """`python -m norc_actors.node`, over several lives."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = directory.parent / "node.log"
        self._process: trio.Process | None = None

    async def start(self) -> None:
        """Start a life and wait until its control socket answers."""
        command = [sys.executable, "-m", "norc_actors.node", "--config", str(self.directory / "norc.toml")]
        with self.log.open("ab") as log:
            self._process = await trio.lowlevel.open_process(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        with trio.move_on_after(READY_SECONDS):
            while self._process.poll() is None:
                try:
                    await self.ask({"command": "status"})
                except CliError:
                    await trio.sleep(0.05)
                else:
                    return
        raise ProcessError("The node did not come up.", f"Look at {self.log}.")

    async def ask(self, request: JsonObject) -> JsonObject:
        """One request through the control socket."""
        return await trio.to_thread.run_sync(lambda: ask(self.directory, request))

    async def ask_patiently(self, request: JsonObject, within: float = 15.0) -> JsonObject:
        """The same, again and again while what should answer is itself being restarted."""
        deadline = trio.current_time() + within
        while True:
            try:
                return await self.ask(request)
            except CliError:
                if trio.current_time() > deadline:
                    raise
                await trio.sleep(0.1)

    async def tree(self) -> JsonValue:
        """A snapshot of the supervision tree."""
        return (await self.ask_patiently({"command": "tree"}))["tree"]

    async def kill(self) -> None:
        """SIGKILL: no warning, no clean-up."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            await self._process.wait()

    async def stop(self) -> None:
        """SIGTERM, and an end in order within 30 seconds."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        with trio.move_on_after(STOP_SECONDS):
            await self._process.wait()
        code = self._process.poll()
        if code != 0:
            how = "was still there after 30 s" if code is None else f"ended with {code}"
            raise ProcessError(f"Told to stop, the node {how}.", f"Look at {self.log}.")

    def abandon(self) -> None:
        """Make sure that nothing stays behind."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()


class DeviceProcess:
    """One device process. Reports go to the ledger as they come; answers to commands are awaited by `expect`."""

    def __init__(self, device: Device, process: trio.Process, log: Path) -> None:
        self.device = device
        self.log = log
        self._process = process
        self._answers, self._expected = trio.open_memory_channel[JsonObject](100)

    @classmethod
    async def start(
        cls, device: Device, *, folder: Path, port: int, ca: Path, passphrase: str, capture: Path | None
    ) -> "DeviceProcess":
        """Start the process; it does nothing before its first command."""
        log = folder / f"{device.value}.log"
        arguments = [str(folder / f"{device.value}.norc"), "localhost", str(port), str(ca)]
        arguments += [str(capture)] if capture else []
        with log.open("ab") as stderr:
            process = await trio.lowlevel.open_process(
                [sys.executable, "-m", "norc_actors.cli.demo.device", *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={**os.environ, PASSPHRASE: passphrase},
            )
        return cls(device, process, log)

    async def command(self, command: str, **fields: JsonValue) -> None:
        """Tell the device to do something next."""
        assert self._process.stdin is not None
        try:
            await self._process.stdin.send_all(encode({"command": command, **fields}))
        except trio.BrokenResourceError as error:
            raise ProcessError(f"{self.device.value} has ended.", f"Look at {self.log}.") from error

    async def expect(self, event: str, within: float = 60.0) -> JsonObject:
        """The next answer, which must be this one."""
        with trio.move_on_after(within):
            answer = await self._expected.receive()
            if answer["event"] == event:
                return answer
            raise ProcessError(f"{self.device.value}: {answer.get('what', answer)}", f"Look at {self.log}.")
        raise ProcessError(f"{self.device.value} did not answer {event!r} within {within:g} s.", f"Look at {self.log}.")

    async def report_to(self, ledger: Ledger, beat: Callable[[], None]) -> None:
        """Read what the device says until it ends; `beat` is called after each entry into the ledger."""
        assert self._process.stdout is not None
        journal = self.log.with_suffix(".events")
        async for event in JsonLines(self._process.stdout, journal):
            match event:
                case {"event": "sent", "number": int(number), "message_id": str(message_id), "at": float(at)}:
                    ledger.sent(number, message_id, at)
                case {"event": "seen", "message_id": str(message_id), "digest": str(digest), "at": float(at)}:
                    ledger.seen(self.device, message_id, digest, at)
                case {"event": "unopened", "message_id": str(message_id), "cause": str(cause)}:
                    ledger.unopened(self.device, message_id, cause)
                case {"event": "status", "message_id": str(message_id), "status": str(status)}:
                    ledger.status(message_id, status)
                case _:
                    await self._answers.send(event)
            beat()
        await self._answers.send({"event": "ended", "what": "the process ended"})

    async def close(self) -> None:
        """Let the device end by itself, and see that it does so without an error."""
        await self.command("close")
        await self.expect("closed")
        if await self._process.wait() != 0:
            raise ProcessError(f"{self.device.value} ended with an error.", f"Look at {self.log}.")

    def abandon(self) -> None:
        """Make sure that nothing stays behind."""
        if self._process.poll() is None:
            self._process.kill()
