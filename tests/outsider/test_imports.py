"""The outsider uses nothing of this project but what any program can: its commands, started by the harness."""

import ast
import sys
from pathlib import Path

HERE = Path(__file__).parent
LIBRARIES = {"blake3", "cryptography", "msgpack", "pytest", "wsproto"}


def imported(path: Path) -> set[str]:
    """The modules that a file imports, wherever in it; `.name` for one of its own package."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("." * node.level + (node.module or ""))
    return found


def test_nothing_of_the_project_is_imported() -> None:
    own = {f".{path.stem}" for path in HERE.glob("*.py")} | {
        f"tests.outsider.{path.stem}" for path in HERE.glob("*.py")
    }
    for path in HERE.glob("*.py"):
        foreign = {
            name for name in imported(path) - own if name.partition(".")[0] not in LIBRARIES | sys.stdlib_module_names
        }
        assert not foreign, f"{path.name}: {foreign}"


def test_only_the_harness_starts_programs() -> None:
    for path in HERE.glob("*.py"):
        starts = imported(path) & {"subprocess", "importlib", "runpy", "multiprocessing"}
        assert not starts or path.name == "harness.py", path.name
