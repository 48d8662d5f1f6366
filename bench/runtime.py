"""What the actor runtime costs, beside what Trio itself costs, in one run.

The floor is two raw switches by Trio's cheapest public means (`wait_task_rescheduled`, `reschedule`): a call cannot
be cheaper. Each figure is the median of several rounds, with the least and the greatest; `QUICK=1` makes them short.

What the profile says: of a call, two thirds are Trio's own two steps (its loop, the poll, the reschedule), the rest
is the reply slot, the deadline in the shared heap and the callback, about equal. Of a child's start, half are the task
switches (caller, supervisor, child, caller), then Trio's task and cancel scope; ours is the last quarter.

    python -m bench runtime            all questions, as a table
    python -m bench.runtime NAME       the memory that one takes, in a process of its own
"""

import gc
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from statistics import median
from time import perf_counter, process_time

import trio
import trio.testing

from bench.figures import Figures, figure
from bench.processes import ROOT
from bench.raw_trio import two_switches
from supervision import (
    ActorRef,
    Call,
    ChildSpec,
    DynamicSupervisor,
    From,
    GenServer,
    Mailbox,
    Supervisor,
    System,
    Watchdog,
    start_child,
    start_tree,
    terminate_child,
)

QUICK = bool(os.environ.get("QUICK"))
ROUNDS = 3 if QUICK else 7
SCALE = 1 if QUICK else 5

Round = Callable[["Bed"], Awaitable[float]]


@dataclass(frozen=True)
class Echo(Call[int]):
    value: int


class EchoServer(GenServer):
    """Answers what it is asked, counts what is cast."""

    def __init__(self) -> None:
        self.count = 0

    async def handle_call(self, request: object, caller: From) -> object:
        return request

    async def handle_cast(self, message: object) -> None:
        self.count += 1


class Crasher(GenServer):
    """Crashes on any cast."""

    async def handle_cast(self, message: object) -> None:
        raise RuntimeError("as asked")


@dataclass(frozen=True)
class Bed:
    """What every round runs on."""

    system: System
    server: ActorRef
    dynamic: ActorRef


async def floor(_bed: Bed) -> float:
    """Microseconds for two raw task switches: there and back."""
    return await two_switches(2000 * SCALE)


async def channel_round_trip(_bed: Bed) -> float:
    """Microseconds for a round trip over two memory channels of size 0."""
    count = 500 * SCALE
    send_there, receive_there = trio.open_memory_channel[int](0)
    send_back, receive_back = trio.open_memory_channel[int](0)

    async def server() -> None:
        async for value in receive_there:
            await send_back.send(value)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(server)
        start = perf_counter()
        for value in range(count):
            await send_there.send(value)
            await receive_back.receive()
        elapsed = perf_counter() - start
        nursery.cancel_scope.cancel()
    return elapsed / count * 1e6


async def call(bed: Bed, times: int = 2000 * SCALE) -> float:
    """Microseconds for a call with its reply and its deadline."""
    request = Echo(1)
    start = perf_counter()
    for _ in range(times):
        await bed.server.call(request)
    return (perf_counter() - start) / times * 1e6


async def cast_burst(bed: Bed) -> float:
    """Microseconds for a cast and its handling, 1000 at a time."""
    bursts = 4 * SCALE
    request = Echo(1)
    start = perf_counter()
    for _ in range(bursts):
        for value in range(999):
            await bed.server.cast(value)
        await bed.server.call(request)
    return (perf_counter() - start) / (bursts * 1000) * 1e6


async def start_soon(_bed: Bed) -> float:
    """Microseconds to start a bare task and let it run to its first wait."""
    count = 400 * SCALE
    async with trio.open_nursery() as nursery:
        start = perf_counter()
        for _ in range(count):
            nursery.start_soon(trio.sleep_forever)
            await trio.lowlevel.checkpoint()
        elapsed = perf_counter() - start
        nursery.cancel_scope.cancel()
    return elapsed / count * 1e6


async def spawn_child(bed: Bed) -> float:
    """Microseconds to start a supervised child, `init` waited for."""
    count = 200 * SCALE
    spec = ChildSpec("child", EchoServer, restart="temporary")
    start = perf_counter()
    children = [await start_child(bed.dynamic, spec) for _ in range(count)]
    elapsed = perf_counter() - start
    for child in children:
        await terminate_child(bed.dynamic, child)
    return elapsed / count * 1e6


async def start_in_a_supervisor(bed: Bed) -> float:
    """Microseconds for each of 200 children that a supervisor starts, one after the other, in its own start."""
    specs = [ChildSpec(f"child-{number}", EchoServer) for number in range(200)]
    elapsed = 0.0
    for _ in range(SCALE):
        spec = ChildSpec("inner", lambda: Supervisor(specs), restart="temporary", type="supervisor")
        start = perf_counter()
        inner = await start_child(bed.dynamic, spec)
        elapsed += perf_counter() - start
        await terminate_child(bed.dynamic, inner)
    return elapsed / (SCALE * len(specs)) * 1e6


async def crash_to_restarted(bed: Bed) -> float:
    """Microseconds from the message that crashes a server until its successor answers by name."""
    count = 50 * SCALE
    await start_child(bed.dynamic, ChildSpec("crasher", Crasher, name="crasher"))
    elapsed = 0.0
    for _ in range(count):
        old = bed.system.whereis("crasher")
        start = perf_counter()
        bed.system.ref("crasher").cast_nowait("crash")
        while (new := bed.system.whereis("crasher")) is old or new is None:
            await trio.lowlevel.checkpoint()
        elapsed += perf_counter() - start
    await terminate_child(bed.dynamic, "crasher")
    return elapsed / count * 1e6


async def watched(bed: Bed) -> float:
    """Per cent that the same calls cost more under a watchdog: the median of pairs, one with and one without.

    In CPU time, the watching thread's included: neighbours would hide 5 %. Each of a pair is long enough for samples.
    """
    ratios = []
    for turn in range(2 * SCALE):
        seconds = {}
        for on in (True, False) if turn % 2 else (False, True):
            with Watchdog(bed.system) if on else nullcontext():
                start = process_time()
                await call(bed, times=15_000)
                seconds[on] = process_time() - start
        ratios.append(seconds[True] / seconds[False])
    return (median(ratios) - 1) * 100


# Memory is measured in processes of their own: what a round freed would hide what the next one takes.


async def idle_memory(bed: Bed) -> float:
    """Kilobytes of an idle supervised server."""
    count = 2000 * SCALE
    spec = ChildSpec("child", EchoServer, restart="temporary")
    before = _resident()
    children = [await start_child(bed.dynamic, spec) for _ in range(count)]
    used = _resident() - before
    for child in children:
        await terminate_child(bed.dynamic, child)
    return used / count / 1024


async def bare_memory(_bed: Bed) -> float:
    """Kilobytes of a bare task that waits on its own memory channel."""
    count = 2000 * SCALE
    before = _resident()
    async with trio.open_nursery() as nursery:
        ends = [trio.open_memory_channel[int](10) for _ in range(count)]
        for _, receive in ends:
            nursery.start_soon(receive.receive)
        await trio.testing.wait_all_tasks_blocked()
        used = _resident() - before
        nursery.cancel_scope.cancel()
    for send, receive in ends:
        send.close()
        receive.close()
    return used / count / 1024


@dataclass(frozen=True)
class Question:
    """What is measured, what it is compared with, and what the median, or the ratio of the medians, may be at most."""

    run: Round
    unit: str
    baseline: str | None = None
    at_most: float | None = None
    ratio_at_most: float | None = None


TIMED: dict[str, Question] = {
    "floor": Question(floor, "us"),
    "channels of size 0": Question(channel_round_trip, "us", "floor"),
    "call": Question(call, "us", "floor", ratio_at_most=1.5),
    "cast in bursts": Question(cast_burst, "us", at_most=1),
    "start_soon": Question(start_soon, "us"),
    "start_child": Question(spawn_child, "us", "start_soon", ratio_at_most=3),
    "child of a supervisor": Question(start_in_a_supervisor, "us", "start_soon", ratio_at_most=3),
    "crash to restarted": Question(crash_to_restarted, "us", at_most=100),
    "calls under a watchdog cost more by": Question(watched, "%", at_most=5),
}
WEIGHED: dict[str, Question] = {
    "bare task": Question(bare_memory, "KB"),
    "idle server": Question(idle_memory, "KB", "bare task", at_most=8),
}


def measure() -> Figures:
    """Run everything. Times in microseconds, memory in kilobytes."""
    samples = trio.run(_time_all)
    for name in WEIGHED:
        command = [sys.executable, "-m", "bench.runtime", name]
        samples[name] = [
            float(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout)
            for _ in range(1 if QUICK else 3)
        ]
    return {
        f"{name} ({question.unit})": figure(
            samples[name],
            baseline=samples.get(question.baseline or ""),
            at_most=question.at_most,
            ratio_at_most=question.ratio_at_most,
        )
        for name, question in (TIMED | WEIGHED).items()
    }


async def _time_all() -> dict[str, list[float]]:
    samples: dict[str, list[float]] = {name: [] for name in TIMED}
    async with open_bed() as bed:
        for _ in range(ROUNDS):
            for name, question in TIMED.items():
                gc.collect()
                samples[name].append(await question.run(bed))
    return samples


async def _weigh(name: str) -> float:
    async with open_bed() as bed:
        return await WEIGHED[name].run(bed)


@asynccontextmanager
async def open_bed() -> AsyncIterator[Bed]:
    """A server and a dynamic supervisor under a root, for as long as the block runs."""
    server = ChildSpec("server", EchoServer, name="server", mailbox=Mailbox(capacity=2000, high_water=1))
    dynamic = ChildSpec("dynamic", lambda: DynamicSupervisor(intensity=10**9), name="dynamic", type="supervisor")
    root = Supervisor.child_spec("root", [server, dynamic])
    async with start_tree(root, System(log=False)) as (system, _):
        yield Bed(system, _held(system, "server"), _held(system, "dynamic"))


def _held(system: System, name: str) -> ActorRef:
    ref = system.whereis(name)
    assert ref is not None
    return ref


def _resident() -> int:
    gc.collect()
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    print(trio.run(_weigh, sys.argv[1]))
