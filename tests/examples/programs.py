"""The example programs as tests see them: loaded from their files, run on virtual time, read region by region."""

import re
from collections.abc import Awaitable, Callable
from contextlib import redirect_stdout
from functools import cache
from inspect import iscoroutinefunction
from io import StringIO
from pathlib import Path
from textwrap import dedent
from types import ModuleType
from typing import cast

from supervision.testing import run_seeded
from supervision.testing.simulation.programs import load

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
PROGRAMS = tuple(path.name for path in sorted(EXAMPLES.glob("*.py")))
REGION = re.compile(r"^ *# region: (\w+)\n(.*?)^ *# endregion$", re.MULTILINE | re.DOTALL)


@cache
def module_of(name: str) -> ModuleType:
    """A program, loaded from its file."""
    return load(str(EXAMPLES / name))


def main_of(name: str) -> Callable[[], Awaitable[None] | None]:
    """The function `main` of a program; it is not async if it calls `trio.run` itself."""
    return cast("Callable[[], Awaitable[None] | None]", module_of(name).main)


@cache
def printed(name: str) -> str:
    """What the program prints, run on virtual time."""
    main, into = main_of(name), StringIO()
    with redirect_stdout(into):
        if iscoroutinefunction(main):
            run_seeded(main, seed=1)
        else:
            main()
    return into.getvalue()


async def play(name: str) -> str:
    """What the program prints, inside a run that is under way."""
    main, into = main_of(name), StringIO()
    assert iscoroutinefunction(main)
    with redirect_stdout(into):
        await main()
    return into.getvalue()


@cache
def regions(path: str) -> dict[str, str]:
    """The marked regions of a file, without the empty lines around them and the indentation of the whole."""
    found = REGION.findall((ROOT / path).read_text("utf-8"))
    assert len({name for name, _ in found}) == len(found), f"{path}: a region's name is there twice"
    return {name: dedent(text).strip("\n") + "\n" for name, text in found}


def shown(words: list[str]) -> str:
    """What a block that is marked with these words shows; raises `LookupError` if the mark means nothing.

    `python FILE REGION` a region of a file · `text FILE N` or `text FILE N-M` those sections of what it prints, from 1;
    a section is a line at the margin and the indented ones below.
    """
    match words:
        case ["python", path, region]:
            return regions(path)[region]
        case ["text", path, numbers]:
            first, _, last = numbers.partition("-")
            parts = re.split(r"^(?=\S)", printed(Path(path).name), flags=re.MULTILINE)[1:]
            return "".join(parts[int(first) - 1 : int(last or first)])
        case _:
            raise LookupError(f"a block must say where it comes from: {' '.join(words)!r}")


BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
"""A block of a page: its mark and its text."""


def filled(page: str) -> str:
    """The text of a page with every block as it should be; commands (`sh`) stay as they are."""

    def fill(match: re.Match[str]) -> str:
        mark = match[1]
        return match[0] if mark == "sh" else f"```{mark}\n{shown(mark.split())}```"

    return BLOCK.sub(fill, page)
