"""`python -m bench` (`make bench`; QUICK=1 for a short one): every question beside its baseline, results as JSON.

    python -m bench [core] [runtime] [many] [peers] [server]       all questions, or those named

Writes `bench/results/COMMIT.json`: the machine, the versions, the figures, and what could not be asked.
"""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from bench import core, many, runtime, runtime_peers, server
from bench.figures import Figures, table

QUESTIONS: dict[str, Callable[[], Figures]] = {
    "core": core.measure,
    "runtime": runtime.measure,
    "many": many.measure,
    "peers": runtime_peers.measure,
    "server": server.measure,
}
NOTES: dict[str, Callable[[], list[str]]] = {"peers": runtime_peers.missing}
RESULTS = Path(__file__).parent / "results"


def commit() -> str:
    """The short name of the commit that is measured; `-dirty` if the tree differs from it."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(command, capture_output=True, text=True, cwd=RESULTS.parent).stdout.strip() or "unknown"


def machine() -> dict[str, str | int]:
    """Where it was measured."""
    names = ("trio", "trio-websocket", "cryptography", "msgspec", "sqlalchemy")
    versions = {name: version(name) for name in names}
    return {"cores": os.cpu_count() or 0, "python": platform.python_version(), "system": platform.system(), **versions}


def main(names: list[str]) -> int:
    """Run the questions and write the results; returns the exit code."""
    unknown = set(names) - QUESTIONS.keys()
    if unknown:
        print(f"no such question: {', '.join(sorted(unknown))}; there are: {', '.join(QUESTIONS)}", file=sys.stderr)
        return 2
    results: dict[str, Figures] = {}
    notes: dict[str, list[str]] = {}
    for name in names or QUESTIONS:
        results[name] = QUESTIONS[name]()
        notes[name] = NOTES[name]() if name in NOTES else []
        print("\n".join([table(name, results[name]), *notes[name]]), end="\n\n", flush=True)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{commit()}.json"
    said = {"machine": machine(), "figures": results, "notes": {name: told for name, told in notes.items() if told}}
    path.write_text(json.dumps(said, indent=1) + "\n")
    print(f"written: {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
