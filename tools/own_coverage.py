"""`make coverage`: how much of each module its own test file covers.

    python -m tools.own_coverage [-k TEXT] [--missing]

A module's own tests are the file of its name: `norc_actors/protocol/relay.py` has `tests/protocol/test_relay.py`, and
`norc_actors/protocol/messages/keys.py` has `tests/protocol/messages/test_keys.py`. What another module's tests happen
to run does not count; nor do the vectors. Per module at least `LEAST` percent of the branches, and of lines and
branches together, have to run. Importing a module counts as run, since its own tests begin with it.

One run of pytest serves all modules: this file is also its plugin, which tells coverage.py whose test is running.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator
from importlib import import_module
from pathlib import Path

import coverage
import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("norc_actors/protocol", "norc_actors/crypto")
LEAST = 95.0
_IMPORT = "import"


def modules() -> list[Path]:
    """Every module that is measured, relative to the root."""
    return sorted(path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def own_tests(module: Path) -> Path:
    """The test file of a module; a package's own is named after the package."""
    inside = module.relative_to("norc_actors")
    if inside.name != "__init__.py":
        return Path("tests", inside.parent, f"test_{inside.name}")
    return Path("tests", inside.parent, f"test_{inside.parent.name}.py")


# --- The plugin ---


def _switch(context: str) -> None:
    measured = coverage.Coverage.current()
    if measured is not None:
        measured.switch_context(context)


def _own_name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    """Import everything that is measured before any conftest does, so that no test file is credited with it."""
    _switch(_IMPORT)
    for module in modules():
        import_module(".".join(module.with_suffix("").parts).removesuffix(".__init__"))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, object, object]:
    """What a test file computes while it is imported is its own."""
    if isinstance(collector, pytest.Module):
        _switch(_own_name(collector.path))
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Set-up, call and tear-down of a test belong to its file."""
    _switch(_own_name(item.path))
    return (yield)


# --- The report ---


def _run(data: Path, files: list[Path], arguments: list[str]) -> int:
    sources = ",".join(package.replace("/", ".") for package in PACKAGES)
    command = [sys.executable, "-m", "coverage", "run", "--branch", f"--source={sources}", f"--data-file={data}"]
    command += ["-m", "pytest", "-q", "-p", "tools.own_coverage", *map(str, files), *arguments]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def _summaries(data: Path, measured: list[Path]) -> Iterator[tuple[Path, dict[str, float], list[int], list[list[int]]]]:
    whole = coverage.Coverage(data_file=str(data), branch=True)
    whole.load()
    out = data.with_suffix(".json")
    for module in measured:
        contexts = [f"^{_IMPORT}$", f"^{own_tests(module).as_posix()}$"]
        whole.json_report([str(ROOT / module)], outfile=str(out), contexts=contexts)
        (found,) = json.loads(out.read_text())["files"].values()
        yield module, found["summary"], found["missing_lines"], found["missing_branches"]


def _percent(part: float, whole: float) -> float:
    return 100.0 * part / whole if whole else 100.0


def main(arguments: list[str]) -> int:
    """Run the own tests of the modules chosen and print a line for each; 1 if one of them has too little."""
    parser = argparse.ArgumentParser(prog="python -m tools.own_coverage")
    parser.add_argument("-k", default="", help="only modules whose path has this text")
    parser.add_argument("--missing", action="store_true", help="also the lines and branches that did not run")
    options = parser.parse_args(arguments)
    measured = [module for module in modules() if options.k in str(module)]
    files = sorted({own_tests(module) for module in measured if (ROOT / own_tests(module)).exists()})
    with tempfile.TemporaryDirectory() as directory:
        data = Path(directory) / "data"
        if _run(data, files, []) != 0:
            print("the tests do not pass", file=sys.stderr)
            return 1
        return _report(data, measured, options.missing)


def _report(data: Path, measured: list[Path], missing: bool) -> int:
    short, branches, ran = [], 0.0, 0.0
    for module, summary, lines, arcs in _summaries(data, measured):
        of_branches = _percent(summary["covered_branches"], summary["num_branches"])
        of_both = summary["percent_covered"]
        branches, ran = branches + summary["num_branches"], ran + summary["covered_branches"]
        low = min(of_branches, of_both) < LEAST
        short += [module] * low
        print(f"{of_branches:6.1f} {of_both:6.1f}  {module}{'   too little' if low else ''}")
        if missing and (lines or arcs):
            print(f"{'':16}lines {lines} branches {arcs}")
    print(f"{_percent(ran, branches):6.1f}         of {branches:.0f} branches in {len(measured)} modules")
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
