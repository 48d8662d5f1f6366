"""What the two examples that meet trouble promise, as scenarios for `make soak`; the others need only not fail."""

from pathlib import Path
from typing import Any

from supervision.testing.simulation import Simulation
from supervision.testing.simulation.programs import load

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
CHAOS = load(f"{EXAMPLES}/07_chaos.py")
WEATHER = load(f"{EXAMPLES}/08_simulation.py")


async def chaos(simulation: Simulation) -> None:
    """Rung 7: what was confirmed is kept, once."""
    disk: list[Any] = []
    confirmed = await CHAOS.evening(CHAOS.Room, CHAOS.Archive, disk, simulation.seed)
    assert sorted(line.id for line in disk) == sorted(confirmed)


async def weather(simulation: Simulation) -> None:
    """Rung 8: every line is there, once, in order."""
    await WEATHER.scenario(simulation, WEATHER.Room)
