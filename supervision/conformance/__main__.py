"""`python -m supervision.conformance SCENARIO...`: print what each scenario comes to, as OTP's runner does.

Rules
- Bytes go through as they are: a scenario is read as Latin-1, and told as Latin-1.
- A file that cannot be read, or that OTP's runner would break off at, is told on stderr; the others are run as well.
"""

import os
import sys
from pathlib import Path

from .runner import run_scenario
from .scenario import parse_scenario
from .words import ScenarioError


def _words(error: Exception) -> str:
    """What is wrong; where a scenario is quoted, read as what most likely was written."""
    words = str(error)
    return words.encode("latin-1").decode("utf-8", "replace") if isinstance(error, ScenarioError) else words


def _run(path: Path) -> None:
    text = path.read_bytes().decode("latin-1")
    lines: list[str] = []
    try:
        run_scenario(parse_scenario(text), lines.append)
    finally:
        told = "".join(f"{line}\n" for line in lines).encode("latin-1")
        sys.stdout.buffer.write(b"== " + os.fsencode(path.name) + b"\n" + told)
        sys.stdout.buffer.flush()


def main(paths: list[str]) -> int:
    """Run each file; 0 when all went to their end, 2 when one could not be read or makes no sense."""
    if not paths:
        print("usage: python -m supervision.conformance SCENARIO...", file=sys.stderr)
        return 2
    code = 0
    for path in map(Path, paths):
        try:
            _run(path)
        except (OSError, ScenarioError) as error:
            print(f"{path}: {_words(error)}", file=sys.stderr)
            code = 2
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
