"""Try a file of test vectors: one line per vector, then a count; exit code 1 if one fails or is not known.

    python -m tests.vectors FILE [FILE …]

A file is in the format of `norc.json`: sections of entries, bytes in hex, maps as `msgpack` and `canonical`. Which
check an entry gets follows from its members, not from the name of its section (`reading.py`), so a section that is new,
or a suite that is new to a section, needs nothing here.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

from .files import PARTS, File


def main(arguments: list[str]) -> int:
    """Run the files; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.vectors", description=f"Try vectors; {len(PARTS)} parts are known."
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--quiet", action="store_true", help="only what does not hold")
    options = parser.parse_args(arguments)
    count: Counter[str] = Counter()
    for path in options.files:
        for outcome in File.load(path).run():
            count[outcome.verdict] += 1
            if not (options.quiet and outcome.holds):
                print(outcome)
    print(f"{count['ok']} hold, {count['FAIL']} fail, {count['UNKNOWN']} not known")
    return 0 if set(count) == {"ok"} else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
