"""The rules of the house, read from the sources themselves: who imports whom, what stays pure, how long things grow.

Each rule is one test whose failure names file, line and what to do instead.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("supervision", "norc_actors")
PURE = ("supervision/_core/", "norc_actors/trust/", "norc_actors/protocol/", "norc_actors/crypto/")
IMPURE_MODULES = {
    "asyncio", "multiprocessing", "os", "random", "secrets", "select", "selectors", "socket", "sqlite3", "sqlalchemy",
    "ssl", "subprocess", "threading", "time", "trio", "trio_websocket",
}  # fmt: skip
IMPURE_CALLS = {"now", "open_nursery", "today", "urandom", "utcnow", "uuid1", "uuid4"}
NURSERIES = ("supervision/", "norc_actors/net/", "norc_actors/client/", "norc_actors/node.py", "norc_actors/cli/")
WALL_CLOCK = (*NURSERIES[1:], "norc_actors/doctor.py", "norc_actors/devpki.py", "norc_actors/logs.py")
SEEDED = ("supervision/testing/", "norc_actors/cli/demo/")  # `random.Random(seed)` picks what to break, never a key
SECRET_NAMES = {
    "auth_tag",
    "enrollment_token",
    "hmac",
    "mac",
    "passphrase",
    "password",
    "secret",
    "tag",
    "token",
    "token_hash",
}

MODULE_LINES, MODULE_LINES_P90, TEST_MODULE_LINES = 500, 400, 700
ALONE = {
    "tests/vectors/independent.py": 800,
    "tools/mutants.py": 600,  # a table
}  # a reading of its own in one file, which runs with nothing of ours beside it
FUNCTION_LINES, FUNCTION_LINES_P90 = 80, 40


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def files(*folders: str) -> list[tuple[str, Path]]:
    """(path relative to the root, path) of every Python file in the folders."""
    paths = sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return [(path.relative_to(ROOT).as_posix(), path) for path in paths]


def sources(*folders: str) -> list[tuple[str, ast.Module]]:
    """(path relative to the root, parsed module) of every Python file in the folders."""
    return [(name, parsed(path)) for name, path in files(*folders)]


def imported(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, dotted module) of every import, those inside functions and `if TYPE_CHECKING` too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module


def last_name(node: ast.expr) -> str:
    """`c` of `a.b.c`, `a` of `a`, `c` of `a.c()`; "" for anything else."""
    if isinstance(node, ast.Call):
        node = node.func
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def percentile_90(values: list[int]) -> int:
    return sorted(values)[int(len(values) * 0.9)]


def test_the_import_contracts_hold() -> None:
    command = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"
    done = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_core_reads_no_clock_no_randomness_and_no_socket() -> None:
    wrong = []
    for path, tree in sources(*PACKAGES):
        if path.startswith(PURE):
            wrong += [f"{path}:{n} imports {m}" for n, m in imported(tree) if m.partition(".")[0] in IMPURE_MODULES]
            wrong += [
                f"{path}:{node.lineno} calls {last_name(node)}()"
                for node in ast.walk(tree)
                if isinstance(node, ast.Call) and last_name(node) in IMPURE_CALLS
            ]
    assert not wrong, "pure modules take clock and randomness as arguments: " + "; ".join(wrong)


def test_nurseries_stand_only_where_tasks_are_owned() -> None:
    wrong = [
        f"{path}:{node.lineno}"
        for path, tree in sources(*PACKAGES)
        if not path.startswith(NURSERIES)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr == "open_nursery"
    ]
    assert not wrong, f"tasks belong to the runtime or to net/ (use self.spawn in an actor): {wrong}"


def test_the_wall_clock_is_read_only_at_the_edge() -> None:
    wrong = [
        f"{path}:{node.lineno}"
        for path, tree in sources(*PACKAGES)
        if not path.startswith(WALL_CLOCK)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in {"time", "time_ns"} and last_name(node.value) == "time"
    ]
    assert not wrong, f"take a Clock as an argument: {wrong}"


def test_no_predictable_randomness() -> None:
    wrong = [
        f"{path}:{line}"
        for path, tree in sources(*PACKAGES)
        if not path.startswith(SEEDED)
        for line, module in imported(tree)
        if module == "random"
    ]
    assert not wrong, f"take `Random` (the system's randomness) as an argument: {wrong}"


def test_trios_private_modules_are_known_to_one_file() -> None:
    """And private attributes to whoever owns them: ruff's SLF001."""
    wrong = [
        f"{path}:{line} {module}"
        for path, tree in sources(*PACKAGES, "tests", "bench", "examples", "tools")
        if path != "supervision/testing/schedule.py"
        for line, module in imported(tree)
        if module.startswith("trio._")
    ]
    assert not wrong, f"decision 007: {wrong}"


def test_secrets_are_compared_in_constant_time() -> None:
    wrong = []
    for path, tree in sources("norc_actors"):
        for node in ast.walk(tree):
            if not isinstance(node, ast.Compare) or not any(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops):
                continue
            sides = [node.left, *node.comparators]
            presence = any(
                isinstance(side, ast.Constant) for side in sides
            )  # `token == ""` compares with nothing secret
            column = any(".c." in ast.unparse(side) for side in sides)  # SQL, over hashes of tokens
            if not presence and not column and any(last_name(side) in SECRET_NAMES for side in sides):
                wrong.append(f"{path}:{node.lineno}")
    assert not wrong, f"use hmac.compare_digest: {wrong}"


def test_modules_fit_the_head() -> None:
    long, lengths = [], []
    for name, path in files(*PACKAGES, "tests", "bench", "tools"):
        test = name.startswith("tests/")
        lines = path.read_text("utf-8").count("\n")
        limit = ALONE.get(name, TEST_MODULE_LINES if test else MODULE_LINES)
        if lines > limit:
            long.append(f"{name} has {lines} lines, over {limit}")
        if not test and lines > 1:
            lengths.append(lines)
    assert not long, "; ".join(long)
    assert percentile_90(lengths) <= MODULE_LINES_P90


def test_functions_fit_a_screen() -> None:
    long, sizes = [], []
    for name, tree in sources(*PACKAGES, "bench", "tools"):
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                sizes.append((node.end_lineno or node.lineno) - node.lineno + 1)
                if sizes[-1] > FUNCTION_LINES:
                    long.append(f"{name}:{node.lineno} {node.name} has {sizes[-1]} lines, over {FUNCTION_LINES}")
    assert not long, "; ".join(long)
    assert percentile_90(sizes) <= FUNCTION_LINES_P90


# --- Packaging ---


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("requirements.lock", 20),
        ("requirements-dev.lock", 20),
        ("requirements-bench.lock", 5),
        ("requirements-fuzz.lock", 0),
    ],
)
def test_the_locks_are_exact_hashed_and_without_addresses(name: str, least: int) -> None:
    text = (ROOT / name).read_text("utf-8")
    assert "://" not in text
    assert not re.search(r"(?m)^\s*(-|--(?:extra-)?index-url|--find-links|--trusted-host)\b", text)
    requirements = re.split(r"(?m)^(?=[a-z0-9])", text)[1:]
    assert len(requirements) > least
    for requirement in requirements:
        assert re.match(r"[a-z0-9._-]+==\S+ \\\n", requirement), requirement[:80]
        assert "--hash=sha256:" in requirement, requirement[:80]


def test_the_locks_agree_and_cover_what_pyproject_asks_for() -> None:
    import tomllib

    pinned = [
        dict(re.findall(r"(?m)^([a-z0-9._-]+)==(\S+)", (ROOT / name).read_text("utf-8")))
        for name in ("requirements.lock", "requirements-dev.lock")
    ]
    runtime, dev = pinned
    assert runtime.items() <= dev.items()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    names = [
        re.match(r"[a-z0-9-]+", text) for text in project["dependencies"] + project["optional-dependencies"]["dev"]
    ]
    assert not [match[0] for match in names if match and match[0] not in dev]


# --- What the texts say ---

TEXTS = ("*.md", "*.toml", "*.lock", "Makefile", ".ci/run")
MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:home|root|work|Users|opt|mnt|srv)/\w")
URL_HOST = re.compile(r"https?://([a-z0-9.-]+)")
PUBLIC_HOSTS = {
    "keepachangelog.com", "semver.org", "trio.readthedocs.io", "www.apache.org", "www.erlang.org", "www.rfc-editor.org",
    "nvlpubs.nist.gov", "csrc.nist.gov", "datatracker.ietf.org", "github.com", "hypothesis.readthedocs.io",
}  # fmt: skip


def texts() -> Iterator[tuple[str, str]]:
    folders = (*PACKAGES, "tests", "bench", "tools", "docs", "examples")
    paths = {path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()}
    paths |= {path for pattern in TEXTS for path in ROOT.glob(pattern)}
    for path in sorted(paths):
        if path.suffix not in {".pyc", ".png"} and "__pycache__" not in path.parts and path != Path(__file__):
            yield path.relative_to(ROOT).as_posix(), path.read_text("utf-8", errors="replace")


def test_no_text_names_a_machine_or_a_foreign_host() -> None:
    wrong = []
    for path, text in texts():
        for number, line in enumerate(text.splitlines(), 1):
            if MACHINE_PATH.search(line):
                wrong.append(f"{path}:{number} {line.strip()[:80]}")
            hosts = {host for host in URL_HOST.findall(line) if host not in PUBLIC_HOSTS}
            wrong += [
                f"{path}:{number} {host}"
                for host in hosts
                if not host.endswith(("example", "example.org", "localhost", "test"))
            ]
    assert not wrong, wrong


def test_every_decision_is_in_the_index_and_numbered_once() -> None:
    decisions = sorted(path.name for path in (ROOT / "docs/decisions").glob("[0-9]*.md"))
    index = (ROOT / "docs/decisions/README.md").read_text("utf-8")
    assert not [name for name in decisions if f"({name})" not in index], "run tools/decisions"
    numbers = [name[:3] for name in decisions]
    assert len(numbers) == len(set(numbers))


def test_what_holds_a_feature_exists() -> None:
    """docs/features.md names a file, or a test in it, for each row."""
    missing = []
    for named in re.findall(r"`(tests/[^`]+)`", (ROOT / "docs" / "features.md").read_text()):
        file, _, function = named.partition("::")
        path = ROOT / file
        if not path.exists() or (function and not re.search(rf"def {function}\b", path.read_text())):
            missing.append(named)
    assert not missing
