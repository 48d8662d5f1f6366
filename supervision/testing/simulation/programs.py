"""Scenarios by name: `path/to/program.py`, `path/to/program.py:function`, `package.module:function`.

Rules
- The function is async and takes nothing, the seed, or the `Simulation` (by annotation). Without a name it is `main`.
- Its weather is the function's own, if it has one (`in_weather`).
- What the program prints goes into the trace instead of onto the screen, line by line; so it must be the same in each
  run of a seed.
"""

import io
import sys
from collections.abc import Awaitable, Callable
from contextlib import redirect_stdout
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from inspect import Parameter, iscoroutinefunction, signature
from pathlib import Path
from types import ModuleType
from typing import cast

from .faults import in_weather, weather_of
from .world import Scenario, Simulation


def scenario_of(target: str) -> Scenario:
    """The scenario of that name. Raises `ValueError`, and what importing it raises."""
    where, _, name = target.partition(":")
    function = getattr(load(where), name or "main", None)
    if not iscoroutinefunction(function):
        raise ValueError(f"{target}: there is no async function {name or 'main'} in it")
    play = cast("Callable[..., Awaitable[object]]", function)
    takes = [each for each in signature(play).parameters.values() if each.kind is not Parameter.KEYWORD_ONLY]

    @in_weather(weather_of(play))
    async def scenario(simulation: Simulation) -> None:
        with redirect_stdout(_Printed(simulation)):
            if not takes:
                await play()
            else:
                whole = takes[0].annotation in (Simulation, "Simulation")
                await play(simulation if whole else simulation.seed)

    return scenario


def load(where: str) -> ModuleType:
    """The module in that file, or of that name. Raises `ValueError`, and what importing it raises."""
    if not where.endswith(".py"):
        return import_module(where)
    path = Path(where).resolve()
    name = f"simulated_{path.stem}"
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{where} is no Python program")
    module = sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class _Printed(io.TextIOBase):
    """Standard output that ends up in the trace."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._begun = ""

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._simulation.record(line)
        return len(text)
