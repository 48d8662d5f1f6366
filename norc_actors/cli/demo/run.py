"""The demo, played: set up, let messages flow, kill, restart, settle, judge.

Order
1. A node in an empty folder; Alice, Bob and Carol are invited and enrol; Alice's phone is let in by a code; Alice
makes the group. 2. Lines flow at an even pace over `FLOW_SECONDS` (a large file takes as long as it takes), each in
its turn in the plan. At each
   kill's share of the lines sent, its victim dies through the control socket. When `NODE_DIES_AT` of them are sent
   and all kills are done, the node gets SIGKILL and starts again, the rest still flowing.
3. When all is sent, every device waits until what it sent was read, at most `SETTLE_SECONDS`; what is not there then
is lost.
"""

import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import trio
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from norc_actors.cli.demo import plan
from norc_actors.cli.demo.ledger import Ledger
from norc_actors.cli.demo.plan import Conversation, Device, Kill, Line
from norc_actors.cli.demo.processes import DeviceProcess, NodeProcess
from norc_actors.cli.demo.report import Outcome
from norc_actors.cli.errors import CliError, explain
from norc_actors.cli.init import GENEROUS, make_server
from norc_actors.cli.output import JsonValue

FLOW_SECONDS = 40.0
KILL_SPACING = 0.75
SETTLE_SECONDS = 90.0
SERVER = "localhost"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What may differ from one demo to the next."""

    texts: Sequence[str]
    seed: int
    kills: int = plan.KILLS
    flow_seconds: float = FLOW_SECONDS
    capture: Path | None = None
    folder: Path | None = None
    """Where to work; a temporary folder, removed after success, if None."""
    log_level: str = "info"
    group_name: str = plan.GROUP_NAME
    passphrase: str = field(default_factory=lambda: secrets.token_urlsafe(12), repr=False)


async def play(settings: Settings, console: Console) -> Outcome:
    """Play the whole demo. What was lost is in the outcome; `CliError`: it could not be set up, or a process failed."""
    folder = settings.folder or Path(tempfile.mkdtemp(prefix="norc-demo-"))
    folder.mkdir(parents=True, exist_ok=True)
    stage = Stage(settings, folder, console)
    try:
        outcome = await stage.play()
    except Exception as error:
        failure = explain(error)
        if failure is None:
            raise
        where = f"{failure.next} Everything is in {folder}"
        raise CliError(failure.what, where, code=failure.code, exit_code=failure.exit) from error
    finally:
        stage.abandon()
    if outcome.good and settings.folder is None:
        shutil.rmtree(folder)
    else:
        console.print(f"Databases, profiles and logs of this run: {folder}", highlight=False)
    return outcome


class Pulse:
    """Wakes those who wait for something to become true of the ledger."""

    def __init__(self) -> None:
        self._next = trio.Event()

    def beat(self) -> None:
        """Something changed."""
        self._next.set()
        self._next = trio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return when `condition()` is true."""
        while not condition():
            await self._next.wait()


class Stage:
    """One performance."""

    def __init__(self, settings: Settings, folder: Path, console: Console) -> None:
        self._settings = settings
        self._folder = folder
        self._console = console
        self._lines = plan.assign(settings.texts, settings.seed)
        self._kills = plan.kills(settings.seed, settings.kills)
        self._ledger = Ledger(self._lines)
        self._pulse = Pulse()
        self._port = _free_port()
        self._node = NodeProcess(folder / "server")
        self._devices: dict[Device, DeviceProcess] = {}
        self._group_id = ""
        self._killed: list[str] = []
        self._trees: list[JsonValue] = []
        self._node_kills = 0
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(None),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
        )

    def abandon(self) -> None:
        """Leave no process behind, however it ended."""
        for device in self._devices.values():
            device.abandon()
        self._node.abandon()

    async def play(self) -> Outcome:
        started = time.monotonic()
        async with trio.open_nursery() as nursery:
            await self._set_up(nursery)
            self._say(f"Everybody is in. {len(self._lines):,} messages start to flow; seed {self._settings.seed}.")
            with self._progress:
                await self._flow()
                await self._settle()
            self._trees.append(await self._node.tree())
            for device in self._devices.values():
                await device.close()
            await self._node.stop()
        return Outcome(
            verdict=self._ledger.verdict(),
            kills=self._killed,
            node_kills=self._node_kills,
            trees=self._trees,
            seed=self._settings.seed,
            seconds=time.monotonic() - started,
            wanted_kills=len(self._kills),
        )

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False)

    # --- Set-up ---

    async def _set_up(self, nursery: trio.Nursery) -> None:
        server = make_server(
            self._node.directory,
            server_id=SERVER,
            listen=f"localhost:{self._port}",
            extra=GENEROUS + f'\n[log]\nlevel = "{self._settings.log_level}"\n',
        )
        await self._node.start()
        self._say(f"A node listens on port {self._port}, its folder is {self._node.directory}.")
        for device in Device:
            process = await DeviceProcess.start(
                device,
                folder=self._folder,
                port=self._port,
                ca=server.ca,
                passphrase=self._settings.passphrase,
                capture=self._settings.capture,
            )
            self._devices[device] = process
            nursery.start_soon(process.report_to, self._ledger, self._pulse.beat)
        async with trio.open_nursery() as enrolling:
            for device in (Device.ALICE_LAPTOP, Device.BOB, Device.CAROL):
                enrolling.start_soon(self._enroll, device)
        await self._enroll_phone()
        await self._make_group()

    async def _enroll(self, device: Device) -> None:
        user = f"{device.user}@{SERVER}"
        invited = await self._node.ask({"command": "invite", "user_id": user, "expires_s": 600})
        process = self._devices[device]
        await process.command("enroll", user=user, link=invited["link"])
        await process.expect("enrolled")
        await process.command("open")
        await process.expect("open")

    async def _enroll_phone(self) -> None:
        """Alice's phone has no invitation of its own: her laptop vouches for it, by the code on its screen."""
        phone, laptop = self._devices[Device.ALICE_PHONE], self._devices[Device.ALICE_LAPTOP]
        user = f"{Device.ALICE_PHONE.user}@{SERVER}"
        invited = await self._node.ask(
            {"command": "invite", "user_id": user, "expires_s": 600}
        )  # names the server's key
        await phone.command("enroll_further", user=user, link=invited["link"])
        code = (await phone.expect("code"))["code"]
        self._say(f"Alice's phone shows the code {code}; her laptop approves it.")
        await laptop.command("approve", code=code)
        await laptop.expect("approved")
        await phone.expect("enrolled")
        await phone.command("open")
        await phone.expect("open")

    async def _make_group(self) -> None:
        laptop = self._devices[Device.ALICE_LAPTOP]
        members: list[JsonValue] = [f"bob@{SERVER}", f"carol@{SERVER}"]
        await laptop.command("create_group", name=self._settings.group_name, members=members)
        self._group_id = str((await laptop.expect("group"))["conversation_id"])
        for device in self._devices.values():
            if device is not laptop:
                await device.command("find_group", name=self._settings.group_name)
                await device.expect("group")

    # --- The flow ---

    async def _flow(self) -> None:
        sent = self._progress.add_task("sent by their senders", total=len(self._lines))
        seen = self._progress.add_task("seen by every device", total=self._ledger.expected_copies)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._show_progress, sent, seen)
            async with trio.open_nursery() as acts:
                acts.start_soon(self._send_lines)
                acts.start_soon(self._kill_actors)
            for device in self._devices.values():
                await device.command("settle", within=SETTLE_SECONDS)
            await self._wait_until_complete()
            nursery.cancel_scope.cancel()
        self._update(sent, seen)

    async def _wait_until_complete(self) -> None:
        with trio.move_on_after(SETTLE_SECONDS):
            await self._pulse.until(lambda: self._ledger.complete)

    async def _settle(self) -> None:
        for device in self._devices.values():
            await device.expect("settled", within=SETTLE_SECONDS + 30)

    async def _show_progress(self, sent: TaskID, seen: TaskID) -> None:
        while True:
            self._update(sent, seen)
            await trio.sleep(0.1)

    def _update(self, sent: TaskID, seen: TaskID) -> None:
        self._progress.update(sent, completed=self._ledger.sent_count)
        self._progress.update(seen, completed=self._ledger.copies)

    async def _send_lines(self) -> None:
        """Hand each line to its sender at an even pace; a full pipe slows this down, as it should."""
        start = trio.current_time()
        interval = self._settings.flow_seconds / max(len(self._lines), 1)
        for line in self._lines:
            await trio.sleep_until(start + line.number * interval)
            await self._devices[line.sender].command("send", number=line.number, to=self._target(line), text=line.text)

    def _target(self, line: Line) -> str:
        if line.conversation is Conversation.GROUP:
            return self._group_id
        other = "alice" if line.sender is Device.BOB else "bob"
        return f"{other}@{SERVER}"

    async def _kill_actors(self) -> None:
        for kill in self._kills:
            await self._wait_for_share(kill.at)
            await self._kill(kill)
            await trio.sleep(KILL_SPACING)
        await self._wait_for_share(plan.NODE_DIES_AT)
        self._trees.append(await self._node.tree())
        await self._node.kill()
        self._node_kills += 1
        self._say("Killed the node itself (SIGKILL). Starting it again.")
        await self._node.start()

    async def _wait_for_share(self, share: float) -> None:
        await self._pulse.until(lambda: self._ledger.sent_count >= share * len(self._lines))

    async def _kill(self, kill: Kill) -> None:
        request: dict[str, JsonValue] = {"command": "kill"}
        request |= {"name": kill.name} if kill.name else {"kind": kill.kind, "seed": kill.seed}
        await self._node.ask_patiently(request)
        self._killed.append(kill.victim)
        self._say(f"Killed {kill.victim} ({len(self._killed)} of {len(self._kills)}).")


def _free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
