"""A chat room between hosts under 200 seeds, a broken one that is found out, and the command that runs many more."""

import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import trio

from supervision import ChildSpec, DynamicSupervisor, From, Supervisor
from supervision.testing.simulation import (
    CALM,
    Faults,
    Host,
    Simulation,
    SimulationFailed,
    in_weather,
    simulate,
)
from supervision.testing.simulation.programs import scenario_of

ROOT = Path(__file__).resolve().parents[3]
CHAT = "tests/supervision/simulation/chat.py"
SEEDS = range(200)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, from the root."""
    command = [sys.executable, "-m", "supervision.testing.simulation", *arguments]
    return subprocess.run(command, cwd=ROOT, env={**os.environ}, capture_output=True, text=True, check=False)


def test_the_chat_keeps_its_promises() -> None:
    results = simulate(scenario_of(f"{ROOT / CHAT}:evening"), SEEDS)
    assert results.packets > 50 * len(SEEDS)
    assert len(set(results.hashes.values())) == len(SEEDS)


def test_a_room_that_confirms_too_early_is_found_out() -> None:
    evening = scenario_of(f"{ROOT / CHAT}:evening")
    chat = sys.modules["simulated_chat"]

    class Hasty(chat.Room):  # type: ignore[misc, name-defined]  # loaded by its path
        """Confirms first and writes later."""

        async def handle_call(self, request: object, caller: From) -> object:
            if isinstance(request, chat.Say):
                caller.reply(None)
                await trio.sleep(0.5)
            return await super().handle_call(request, caller)

    def house(host: Host, disk: list[str]) -> ChildSpec:
        children = [
            ChildSpec("room", lambda: Hasty(disk), name="room"),
            ChildSpec("connections", DynamicSupervisor, name="connections", type="supervisor"),
            ChildSpec("door", lambda: chat.Door(host, disk), name="door"),
        ]
        return ChildSpec("house", lambda: Supervisor(children, "rest_for_one", intensity=100), type="supervisor")

    assert evening is not None
    with pytest.raises(SimulationFailed):
        simulate(partial(chat.evening, room=house), SEEDS, smaller=False)


@in_weather(Faults(loss=1.0))
async def all_is_lost(simulation: Simulation) -> None:
    here, there = simulation.network.datagrams("here"), simulation.network.datagrams("there")
    await here.send(b"x", "there")
    with trio.move_on_after(10):
        await there.receive()
        raise AssertionError("it came")


def test_a_scenario_brings_its_weather() -> None:
    for scenario in (all_is_lost, scenario_of(f"{__name__}:all_is_lost")):
        simulate(scenario, range(3))
        with pytest.raises(SimulationFailed):
            simulate(scenario, [0], faults=CALM, smaller=False)


def test_programs_are_found_by_name() -> None:
    assert simulate(scenario_of("examples/01_plain_trio.py"), range(3)).runs == 3
    assert simulate(scenario_of(f"{__name__}:with_a_seed"), range(3)).runs == 3
    with pytest.raises(ValueError, match="no async function house in it"):
        scenario_of(f"{ROOT / CHAT}:house")


async def with_a_seed(seed: int) -> None:
    print(f"seed {seed}", end="")
    print()
    assert seed in range(3)


def test_many_seeds_from_the_command_line(tmp_path: Path) -> None:
    promises = "tests/supervision/simulation/promises.py"
    done = run(f"{promises}:chaos", f"{promises}:weather", "--seeds", "10:15", "--jobs", "2")
    assert done.returncode == 0, done.stderr
    assert re.search(r"10 of 10 runs, \d+ steps, 0 failed\n$", done.stdout)

    program = tmp_path / "unlucky.py"
    program.write_text("async def main(seed: int) -> None:\n    assert seed != 7\n")
    done = run(str(program), "--seeds", "20")
    assert done.returncode == 1
    replay = f"SIMULATE=7// python -m supervision.testing.simulation {program}"
    assert replay in done.stderr
    assert run(str(program), "--seeds", "20", "--minutes", "0").returncode == 1

    many = run("examples/01_plain_trio.py", "--seeds", "1000", "--minutes", "0")
    assert many.returncode == 3
    assert "of 1000 runs" in many.stdout
