"""What a delivered message costs the server: CPU microseconds per 1:1 message, from `message_send` to the sender's
receipt.

50 pairs, window 8, 512 bytes, TLS 1.3, sealed frames, committed (fsynced) before `sent`, signed receipts stored and
passed on. Messages are sealed before the clock starts: the generator shares the machine.
"""

import os
import time
from dataclasses import dataclass

import trio

from bench.lean_device import LeanDevice, Line, Talk
from bench.serving import Served, serving
from norc_actors.net.tls import client_context
from norc_actors.protocol import messages as m

PAIRS = 50
WINDOW = 8
TEXT = "x" * 512


@dataclass(frozen=True)
class Run:
    """One measured run."""

    messages: int
    seconds: float
    server_cpu_us: float

    @property
    def per_second(self) -> float:
        return self.messages / self.seconds


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
        assert self.talk is not None
        self.sealed = [self.talk.seal(TEXT) for _ in range(count)]

    async def send(self, line: Line) -> None:
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
        for _ in self.sealed:
            await line.send(self.bob.receipt(await line.expect(m.MessageReceived)))


async def measure_messages(served: Served, count: int, runs: int) -> list[Run]:
    """`runs` runs of `count` messages a pair, on one set of connections."""
    context = client_context(served.ca)
    devices = await served.enrolled([f"user{i}" for i in range(2 * PAIRS)])
    pairs = [Pair(*devices[2 * i : 2 * i + 2]) for i in range(PAIRS)]
    results: list[Run] = []
    lines: dict[str, Line] = {}
    done = trio.Event()

    async def hold(device: LeanDevice, *, task_status: trio.TaskStatus[None]) -> None:
        async with device.connected(served.host, served.port, context) as line:
            await device.authenticate(line)
            lines[device.device_id] = line
            task_status.started()
            await done.wait()

    async with trio.open_nursery() as holding:
        for device in devices:
            await holding.start(hold, device)
        for pair in pairs:
            await pair.prepare(lines[pair.alice.device_id], lines[pair.bob.device_id])
        for _ in range(runs):
            for pair in pairs:
                pair.seal(count)
            started, cpu = time.perf_counter(), served.cpu_seconds()
            async with trio.open_nursery() as nursery:
                for pair in pairs:
                    sending, receiving = lines[pair.alice.device_id], lines[pair.bob.device_id]
                    nursery.start_soon(pair.send, sending)
                    nursery.start_soon(pair.collect, sending)
                    nursery.start_soon(pair.receive, receiving)
            seconds, used = time.perf_counter() - started, served.cpu_seconds() - cpu
            messages = count * len(pairs)
            results.append(Run(messages, seconds, used / messages * 1e6))
        done.set()
    return results


async def _main() -> None:
    count = int(os.environ.get("COUNT", "100"))
    async with serving(os.environ.get("WRAP", "").split()) as served:
        for run in await measure_messages(served, count, int(os.environ.get("RUNS", "3"))):
            print(f"{run.messages} messages, {run.per_second:.0f}/s, server CPU {run.server_cpu_us:.0f} us each")


if __name__ == "__main__":
    trio.run(_main)
