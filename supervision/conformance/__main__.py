"""`python -m supervision.conformance SCENARIO...`: print what each scenario comes to."""

import sys
from pathlib import Path

from .runner import run_scenario
from .scenario import ScenarioError, parse_scenario


def main(paths: list[str]) -> int:
    """Run each file; 0 when all could be read, 2 when one could not."""
    if not paths:
        print("usage: python -m supervision.conformance SCENARIO...", file=sys.stderr)
        return 2
    for path in map(Path, paths):
        try:
            scenario = parse_scenario(path.read_text(encoding="utf-8"))
            print(f"== {path.name}")
            run_scenario(scenario, print)
        except (OSError, UnicodeError, ScenarioError) as error:
            print(f"{path}: {error}", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
