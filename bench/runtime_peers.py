"""The questions of bench.runtime, put to triotp, pykka and Erlang's OTP beside ours, in one run.

The ratio is always to ours of the same run: 5.00 means five times what ours takes. Each round asks every side in a
process of its own, one after the other, so that a machine whose speed drifts is unfair to nobody.

- call: a round trip with a deadline. Below it the floor, two raw switches of Trio, which no call can beat; triotp has
  one of its own, since it runs on the older Trio that it asks for.
- cast: sent and handled, 1000 at a time. spawn: a supervised child, `init` waited for. crash: from the message that
  crashes a server until its successor has started. memory: resident, of an idle supervised server; OTP's by its own
  count.
- pykka has actors (each a thread) but no supervisors: its spawn is a bare actor, and nobody restarts it.

A peer that is not installed is left out, and `missing()` says why.

    python -m bench peers                                 prints the table
    python -m bench.runtime_peers time|memory             our side, as JSON
"""

import gc
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

import trio

from bench.figures import Figures, figure
from bench.processes import ROOT
from bench.runtime import QUICK, TIMED, WEIGHED, open_bed

ROUNDS = 3 if QUICK else 7
MEMORY_ROUNDS = 1 if QUICK else 3
SCALE = 1 if QUICK else 4

PEERS_PYTHON = ROOT / "build" / "peers" / "bin" / "python"
OURS = {
    "floor": TIMED["floor"].run,
    "call": TIMED["call"].run,
    "cast": TIMED["cast in bursts"].run,
    "spawn": TIMED["start_child"].run,
    "crash": TIMED["crash to restarted"].run,
    "memory": WEIGHED["idle server"].run,
}
QUESTIONS = {
    "call": "call (us)",
    "floor": "call: two raw switches (us)",
    "cast": "cast in bursts (us)",
    "spawn": "spawn of a supervised child (us)",
    "crash": "crash to restarted (us)",
    "memory": "idle supervised server (KB)",
}


@dataclass(frozen=True)
class Side:
    """Who is asked: the command before `time|memory SCALE`, and why it cannot be asked, if so."""

    name: str
    command: tuple[str, ...]
    missing: str | None = None


def sides() -> list[Side]:
    """Ours first, then the peers, missing ones too."""
    python = str(PEERS_PYTHON)
    absent = None if PEERS_PYTHON.exists() else "not installed (make bench PEERS=1)"
    escript = shutil.which("escript")
    no_erlang = None if escript else "escript is not on the PATH (make conformance installs it; Debian: erlang-base)"
    return [
        Side("ours", (sys.executable, "-m", "bench.runtime_peers")),
        Side("triotp", (python, "bench/peer_triotp.py"), absent),
        Side("pykka", (python, "bench/peer_pykka.py"), absent),
        Side("OTP", (escript or "escript", "bench/peer_erlang.escript"), no_erlang),
    ]


def missing() -> list[str]:
    """One line for each peer that is not asked, or not asked everything, and why."""
    lines = [f"{side.name} is missing: {side.missing}" for side in sides() if side.missing]
    if PEERS_PYTHON.exists():
        lines.append("pykka has no supervisors: spawn and memory are of bare actors, crash to restarted is not asked")
    return lines


def measure() -> Figures:
    """Ask everybody who is there. Times in microseconds, memory in kilobytes."""
    asked = [side for side in sides() if not side.missing]
    samples: dict[str, dict[str, list[float]]] = {side.name: {} for side in asked}
    for what, rounds in (("time", ROUNDS), ("memory", MEMORY_ROUNDS)):
        for _ in range(rounds):
            for side in asked:
                for question, value in ask(side, what).items():
                    samples[side.name].setdefault(question, []).append(value)
    return compared(samples)


def ask(side: Side, what: str) -> dict[str, float]:
    """One round of one side. Raises `RuntimeError` with what it said if it fails."""
    command = [*side.command, what, str(SCALE)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])["figures"]
    return figures


def compared(samples: Mapping[str, Mapping[str, list[float]]]) -> Figures:
    """The table: for each question ours, then each peer with its ratio to ours; the floor is compared with our call."""
    figures: Figures = {}
    for question, title in QUESTIONS.items():
        ours = samples["ours"]["call" if question == "floor" else question]
        for side, answers in samples.items():
            if question in answers:
                baseline = None if side == "ours" and question != "floor" else ours
                figures[f"{title}, {_named(side, question)}"] = figure(answers[question], baseline=baseline)
    return figures


def _named(side: str, question: str) -> str:
    if question == "floor":
        return "Trio" if side == "ours" else f"{side}'s Trio"
    return side


async def our_side(what: str) -> dict[str, float]:
    """Our own answers."""
    figures = {}
    async with open_bed() as bed:
        for question, run in OURS.items():
            if (question == "memory") == (what == "memory"):
                gc.collect()
                figures[question] = await run(bed)
    return figures


if __name__ == "__main__":
    print(json.dumps({"figures": trio.run(our_side, sys.argv[1])}))
