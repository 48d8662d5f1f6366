"""A hundred thousand supervised servers in one process: one supervisor starts them, each answers a call, they stop.

They must stop in order, the last started first; a run in which they do not is an error, not a figure.

    python -m bench.many COUNT          one run, as JSON
"""

import gc
import json
import os
import subprocess
import sys
from time import perf_counter

import trio

from bench.figures import Figures, figure
from bench.processes import ROOT, rss_of
from supervision import Call, ChildSpec, ExitReason, From, GenServer, Supervisor, System, start_tree, which_children

QUICK = bool(os.environ.get("QUICK"))
COUNT = 10_000 if QUICK else 100_000
RUNS = 1 if QUICK else 3


class Which(Call[int]):
    """Which number are you?"""


class Numbered(GenServer):
    """Knows its number; tells it when it stops."""

    def __init__(self, number: int, stopped: list[int]) -> None:
        self.number = number
        self.stopped = stopped

    async def handle_call(self, request: object, caller: From) -> object:
        return self.number

    async def terminate(self, reason: ExitReason) -> None:
        self.stopped.append(self.number)


async def run(count: int) -> dict[str, float]:
    """Seconds to start, to call each once, to stop; megabytes while they stand, and kilobytes of each."""
    stopped: list[int] = []
    before = rss_of(os.getpid())
    begun = perf_counter()
    specs = [ChildSpec(f"child-{n}", lambda n=n: Numbered(n, stopped)) for n in range(count)]  # type: ignore[misc]
    root = ChildSpec("root", lambda: Supervisor(specs), type="supervisor", shutdown="infinity")
    async with start_tree(root, System(log=False)) as (_, supervisor):
        started = perf_counter()
        gc.collect()
        used = rss_of(os.getpid()) - before
        children = [child.ref for child in await which_children(supervisor)]
        asked = perf_counter()
        for number, child in enumerate(children):
            if child is None or await child.call(Which()) != number:
                raise RuntimeError(f"child {number} is not itself")
        answered = perf_counter()
    ended = perf_counter()
    if stopped != list(range(count))[::-1]:
        raise RuntimeError("they did not stop in order")
    return {
        "start (s)": started - begun,
        "a call to each (s)": answered - asked,
        "stop in order (s)": ended - answered,
        "resident (MB)": used / 1024**2,
        "resident, of each (KB)": used / count / 1024,
    }


def measure() -> Figures:
    """Run in processes of their own."""
    samples: dict[str, list[float]] = {}
    for _ in range(RUNS):
        command = [sys.executable, "-m", "bench.many", str(COUNT)]
        done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
        for name, value in json.loads(done.stdout).items():
            samples.setdefault(f"{COUNT} supervised servers: {name}", []).append(value)
    return {name: figure(values, at_most=8 if "KB" in name else None) for name, values in samples.items()}


if __name__ == "__main__":
    print(json.dumps(trio.run(run, int(sys.argv[1]))))
