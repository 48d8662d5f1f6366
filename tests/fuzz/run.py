"""`make fuzz`: one target under atheris, coverage-guided; what it finds goes to tests/fuzz/finds/TARGET/.

    python -m tests.fuzz.run TARGET [RUNS] [SECONDS]

A find is kept there for good: `test_targets.py` runs every one of them in every test run.
"""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["norc_actors.protocol", "norc_actors.crypto"]):
    from tests.fuzz.targets import MOST_BYTES, TARGETS, bounded, seeds

HERE = Path(__file__).parent
LONGEST = {
    "frames": 1024, "texts": 512, "sealed": 256, "signed": 256, "handshake": 256, "link": 256, "batch": 256,
    "media": 256,
}  # fmt: skip
"""Bytes of an input where more of them say nothing new: frames of up to 256 bytes, seven changes and a tail."""


def main(arguments: list[str]) -> None:
    """Fuzz the target; libFuzzer ends the process."""
    name = arguments[0]
    runs = arguments[1] if len(arguments) > 1 else "1000000"
    seconds = arguments[2] if len(arguments) > 2 else "0"
    corpus, finds = HERE.parent.parent / "build" / "fuzz" / name, HERE / "finds" / name
    for directory in (corpus, finds):
        directory.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds(name)):
        (corpus / f"seed-{number}").write_bytes(seed)
    options = [
        f"-runs={runs}", f"-max_total_time={seconds}", f"-max_len={LONGEST.get(name, MOST_BYTES)}",
        "-timeout=60", "-rss_limit_mb=1024",  # by the clock of a machine that may be busy: `bounded` is sharper
        f"-artifact_prefix={finds}/", "-print_final_stats=1", str(corpus), str(finds),
    ]  # fmt: skip
    TARGETS[name](b"\x00")  # makes what is made once, outside of the bounds
    atheris.Setup([sys.argv[0], *options], bounded(TARGETS[name]))
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
