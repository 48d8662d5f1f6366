"""The example programs as tests see them: loaded from their files, run on virtual time, read region by region."""

import re
from collections.abc import Awaitable, Callable
from contextlib import redirect_stdout
from functools import cache, partial
from importlib.util import module_from_spec, spec_from_file_location
from inspect import signature
from io import StringIO
from pathlib import Path
from textwrap import dedent
from typing import cast

from supervision.testing import run_seeded

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
PROGRAMS = tuple(path.name for path in sorted(EXAMPLES.glob("*.py")))
REGION = re.compile(r"^ *# region: (\w+)\n(.*?)^ *# endregion$", re.MULTILINE | re.DOTALL)


@cache
def main_of(name: str) -> Callable[..., Awaitable[None]]:
    """The function `main` of a program; it takes a seed if the program rolls dice of its own."""
    spec = spec_from_file_location(f"example_{name.removesuffix('.py')}", EXAMPLES / name)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return cast("Callable[..., Awaitable[None]]", module.main)


def printed(name: str, seed: int = 1) -> str:
    """What the program prints, run on virtual time with the order of tasks (and the dice) of this seed."""
    main, into = main_of(name), StringIO()
    with redirect_stdout(into):
        run_seeded(partial(main, seed) if signature(main).parameters else main, seed)
    return into.getvalue()


@cache
def regions(path: str) -> dict[str, str]:
    """The marked regions of a file, without the empty lines around them and the indentation of the whole."""
    found = REGION.findall((ROOT / path).read_text("utf-8"))
    assert len({name for name, _ in found}) == len(found), f"{path}: a region's name is there twice"
    return {name: dedent(text).strip("\n") + "\n" for name, text in found}
