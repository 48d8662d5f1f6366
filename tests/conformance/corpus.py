"""The corpus: scenarios with the traces that OTP's own supervisor left, and the tool that records them.

`scenarios/*.txt` are written by hand, most after cases of OTP's supervisor_SUITE; their traces are in `named.traces`.
`generated.traces` holds scenarios drawn by `generate`, each with its seed. Both files are blocks:

    === NAME
    the scenario, with `| ` before each line (named.traces has none: the scenario is its own file)
    the trace

OTP's runner reads and writes bytes as Latin-1 characters; so do we. Both files hold those characters as UTF-8.

    python -m tests.conformance.corpus record [COUNT]     record both anew (needs `escript`, Debian: erlang-base)

`live` compares with OTP here and now.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from supervision.conformance import parse_scenario, run_scenario

from .generate import generate

HERE = Path(__file__).parent
ESCRIPT = HERE / "otp_supervisor.escript"
NAMED, GENERATED = HERE / "named.traces", HERE / "generated.traces"
RECORDED = 360
BATCH = 20
ROOMY_WORDS = 50_000

Case = tuple[str, str, list[str]]
"""A name, the scenario's text, the trace."""


def ours(text: str) -> list[str]:
    """What our supervisor does with the scenario."""
    trace: list[str] = []
    run_scenario(parse_scenario(text), trace.append)
    return trace


def otps(scenarios: Iterable[tuple[str, str]], *, roomy: bool = False) -> dict[str, list[str]]:
    """What OTP's supervisor does with each (name, text); `roomy`: with heaps in which nobody ever collects garbage."""
    environment = (
        {**os.environ, "ERL_FLAGS": f"{os.environ.get('ERL_FLAGS', '')} +hms {ROOMY_WORDS}"} if roomy else None
    )
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for name, text in scenarios:
            path = Path(folder, f"{name}.txt")
            path.write_bytes(text.encode("latin-1"))
            paths.append(str(path))
        done = subprocess.run(["escript", str(ESCRIPT), *paths], check=True, capture_output=True, env=environment)
    traces: dict[str, list[str]] = {}
    for line in done.stdout.decode("latin-1").split("\n")[:-1]:
        if line.startswith("== "):
            trace = traces[line[3:].removesuffix(".txt")] = []
        else:
            trace.append(line)
    return traces


def named() -> dict[str, str]:
    """The scenarios written by hand."""
    return {path.stem: path.read_bytes().decode("latin-1") for path in sorted((HERE / "scenarios").glob("*.txt"))}


def generated(count: int, first_seed: int = 0) -> dict[str, str]:
    """Scenarios by their seeds."""
    return {f"seed-{seed}": generate(seed) for seed in range(first_seed, first_seed + count)}


def cases() -> Iterator[Case]:
    """The whole corpus."""
    scenarios = named()
    for name, text, trace in _blocks(NAMED):
        yield name, text or scenarios[name], trace
    yield from _blocks(GENERATED)


def _blocks(path: Path) -> Iterator[Case]:
    for block in path.read_bytes().decode("utf-8").split("=== ")[1:]:
        name, *lines = block.split("\n")[:-1]
        text = "".join(f"{line[2:]}\n" for line in lines if line.startswith("| "))
        yield name, text, [line for line in lines if not line.startswith("| ")]


def batches(scenarios: Iterable[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    """As many at a time as one OTP is given."""
    listed = list(scenarios)
    for start in range(0, len(listed), BATCH):
        yield listed[start : start + BATCH]


def record(count: int) -> None:
    """Write both files of traces."""
    with NAMED.open("w", encoding="utf-8", newline="") as file:
        for name, trace in _recorded(named()):
            file.write("\n".join([f"=== {name}", *trace, ""]))
    drawn = generated(count)
    with GENERATED.open("w", encoding="utf-8", newline="") as file:
        for name, trace in _recorded(drawn):
            text = [f"| {line}" for line in drawn[name].split("\n")[:-1]]
            file.write("\n".join([f"=== {name}", *text, *trace, ""]))


def _recorded(scenarios: dict[str, str]) -> Iterator[tuple[str, list[str]]]:
    for batch in batches(scenarios.items()):
        yield from otps(batch).items()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["record", *rest]:
            record(int(rest[0]) if rest else RECORDED)
        case _:
            sys.exit(__doc__)
