"""One node beside a bare echo server, in the same run: CPU per delivered message, and memory per idle connection.

- message: 50 pairs, window 8, 512 bytes, TLS 1.3, sealed frames; a message is delivered when the sender has the
  recipient's signed receipt. It was committed (fsynced) before `sent`; the receipt was stored before it was passed on.
  Messages are sealed before the clock starts: the generator shares the machine. Baseline: two echoes of a bare
  trio-websocket TLS server, since a message goes in and out twice.
- idle: resident memory of an authenticated connection that says nothing; baseline: one of the bare server.

Runs alternate between the two, so that a machine whose speed drifts is unfair to neither.
"""

import os
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from bench.bare_echo import NAME, measure_echo, measure_idle
from bench.figures import Figures, figure
from bench.lean_device import LeanDevice, Line, Talk
from bench.processes import allow_files, cpu_of, rss_of
from bench.serving import Served, serving
from norc_actors.devpki import make_dev
from norc_actors.net.tls import client_context
from norc_actors.protocol import messages as m

QUICK = bool(os.environ.get("QUICK"))
RUNS = 3 if QUICK else 7
PAIRS = 50
WINDOW = 8
MESSAGES = 60 if QUICK else 120  # of each pair and run; all runs together stay within one session (1000 messages)
ECHOES = 10_000 if QUICK else 40_000
WARM = 50
IDLE = 500 if QUICK else 1000
TEXT = "x" * 512


class Pair:
    """A sender and a receiver with a conversation, and sealed messages that wait to be sent."""

    def __init__(self, alice: LeanDevice, bob: LeanDevice) -> None:
        self.alice = alice
        self.bob = bob
        self.talk: Talk | None = None
        self.sealed: list[m.MessageSend] = []
        self._room = trio.Semaphore(WINDOW)

    async def prepare(self, line: Line, peer: Line) -> None:
        """Make the conversation, and have the session acknowledged by a first message."""
        self.talk = await self.alice.talk_to(line, self.bob)
        await peer.expect(m.ConversationCreate)
        await line.send(self.talk.seal("first"))
        await peer.send(self.bob.receipt(await peer.expect(m.MessageReceived)))
        await line.expect(m.MessageAck)
        await line.expect(m.MessageAck)
        self.talk.answered()

    def seal(self, count: int) -> None:
        """Make the messages of the next run."""
        assert self.talk is not None
        self.sealed = [self.talk.seal(TEXT) for _ in range(count)]

    async def send(self, line: Line) -> None:
        """The sender's half: at most `WINDOW` messages without a receipt."""
        for message in self.sealed:
            await self._room.acquire()
            await line.send(message)

    async def collect(self, line: Line) -> None:
        """Until every message has its receipt."""
        missing = len(self.sealed)
        while missing:
            message = await line.receive()
            if isinstance(message, m.MessageAck) and message.status == "delivered":
                missing -= 1
                self._room.release()

    async def receive(self, line: Line) -> None:
        """The recipient's half."""
        for _ in self.sealed:
            await line.send(self.bob.receipt(await line.expect(m.MessageReceived)))


@asynccontextmanager
async def lines_of(served: Served, devices: Sequence[LeanDevice]) -> AsyncIterator[list[Line]]:
    """An authenticated connection of each device, for the length of the block."""
    context, done = client_context(served.ca), trio.Event()

    async def hold(device: LeanDevice, *, task_status: trio.TaskStatus[Line]) -> None:
        async with device.connected(served.host, served.port, context) as line:
            await device.authenticate(line)
            task_status.started(line)
            await done.wait()

    async with trio.open_nursery() as nursery:
        yield [await nursery.start(hold, device) for device in devices]
        done.set()


async def exchange(pairs: Sequence[Pair], lines: Sequence[Line]) -> None:
    """All pairs at once: every sealed message from its sender to the receipt."""
    async with trio.open_nursery() as nursery:
        for index, pair in enumerate(pairs):
            nursery.start_soon(pair.send, lines[2 * index])
            nursery.start_soon(pair.collect, lines[2 * index])
            nursery.start_soon(pair.receive, lines[2 * index + 1])


async def message_samples(served: Served, folder: Path) -> tuple[list[float], list[float], list[float]]:
    """(server CPU microseconds per message, the same per two bare echoes, messages per second), a value a run."""
    devices = await served.enrolled([f"user{i}" for i in range(2 * PAIRS)])
    pairs = [Pair(*devices[2 * i : 2 * i + 2]) for i in range(PAIRS)]
    ours, bare, rate = [], [], []
    async with lines_of(served, devices) as lines:
        for index, pair in enumerate(pairs):
            await pair.prepare(lines[2 * index], lines[2 * index + 1])
        for _ in range(RUNS):
            for pair in pairs:
                pair.seal(MESSAGES)
            began, cpu = time.perf_counter(), cpu_of(served.pid)
            await exchange(pairs, lines)
            seconds, used = time.perf_counter() - began, cpu_of(served.pid) - cpu
            ours.append(used / (MESSAGES * PAIRS) * 1e6)
            rate.append(MESSAGES * PAIRS / seconds)
            echo = await trio.to_thread.run_sync(measure_echo, "bare", folder, ECHOES)
            bare.append(2 * echo["cpu_us_per_echo"])
    return ours, bare, rate


async def idle_samples(served: Served, folder: Path) -> tuple[list[float], list[float]]:
    """(resident KiB per idle authenticated connection, the same per bare one): one value each, memory is not noisy."""
    devices = await served.enrolled([f"idle{i}" for i in range(WARM + IDLE)])
    async with lines_of(served, devices[:WARM]):
        before = rss_of(served.pid)
        async with lines_of(served, devices[WARM:]):
            ours = (rss_of(served.pid) - before) / IDLE / 1024
    bare = await trio.to_thread.run_sync(measure_idle, "bare", folder, IDLE)
    return [ours], [bare["rss_bytes_per_connection"] / 1024]


async def _measure() -> Figures:
    allow_files(4 * IDLE + 1000)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_dev(folder, NAME, random=os.urandom, clock=time.time)
        async with serving() as served:
            ours, bare, rate = await message_samples(served, folder)
        async with serving() as served:
            idle, bare_idle = await idle_samples(served, folder)
    return {
        "server CPU of a delivered message (us)": figure(ours, baseline=bare),
        "two bare TLS echoes (us)": figure(bare),
        "messages delivered per second": figure(rate),
        "memory of an idle connection (KiB)": figure(idle, baseline=bare_idle),
        "memory of a bare connection (KiB)": figure(bare_idle),
    }


def measure() -> Figures:
    """Run both questions; takes about three minutes, with QUICK one."""
    return trio.run(_measure)
