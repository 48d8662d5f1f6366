"""Each program of `examples/` shows what its page says, whatever the order in which Trio runs its tasks."""

import os
import re
import subprocess
import sys
from functools import partial
from typing import Any

import pytest

from supervision.testing import Simulation, simulate

from .programs import EXAMPLES, PROGRAMS, ROOT, module_of, play, printed

SEEDS = range(200)
"""Simulated runs of each program; `make soak` has 10,000."""


def lines(name: str) -> list[str]:
    return [line.strip() for line in printed(name).splitlines()]


def test_1_a_line_is_lost_and_then_not() -> None:
    assert lines("01_plain_trio.py") == [
        "broken: every task changes the history",
        "two lines were said and got the numbers [1, 1]",
        "lines in the history: 1",
        "fixed: one task owns the history",
        "two lines were said and got the numbers [1, 2]",
        "lines in the history: 2",
    ]


def test_2_a_sibling_is_cancelled_and_then_not() -> None:
    assert lines("02_split.py") == [
        "broken: the exception leaves the room's task",
        "bob was cancelled while he made tea",
        "the evening is over for everybody: mallory is not in the room",
        "fixed: the exception goes to whoever asked",
        "mallory was refused: mallory is not in the room",
        "bob: my line has the number 1",
    ]


def test_3_two_servers_hang_then_are_refused_then_work() -> None:
    assert lines("03_gen_server.py") == [
        "broken: the room asks the archive, the archive asks the room",
        "no answer for 1 s; lines kept: 0",
        "refused: the same mistake with GenServer",
        "at once: CallCycle: the call would close a circle (<archive.2> → <room.3> → <archive.2>); "
        "cast one of its messages, or spawn one of its calls",
        "fixed: the room sends along what the archive needs",
        "kept as number 1",
        "title: tea",
        "gone: a call to a server that is no more",
        "at once: no such actor",
    ]


def test_4_a_restart_forgets_and_then_does_not() -> None:
    said = lines("04_supervised.py")
    assert said.count("the room crashed: UnicodeEncodeError") == 3
    assert "bob was told: no such actor" in said
    assert "is there a room? True" in said
    assert "history: ['bob: tea is ready']" in said
    assert "history: ['alice: hello', 'bob: tea is ready']" in said
    assert said[-4:] == [
        "child_terminated: room",
        "child_terminated: room",
        "shutdown: room",
        "the program learns of it: shutdown",
    ]


def test_5_ghosts_and_helpers_are_left_and_then_not() -> None:
    said = lines("05_links_and_monitors.py")
    assert [line for line in said if line.startswith("who is here")] == [
        "who is here: ('alice', 'bob', 'carol')",
        "who is here: ('carol',)",
    ]
    assert [line for line in said if line.startswith("actors left")] == [f"actors left: {n}" for n in (1, 0, 0)]
    assert "the room learns that bob is gone: crash: ConnectionResetError: the cable is out" in said
    assert "the feed closes its file, then ends: shutdown: left" in said


def test_6_an_old_timer_opens_the_room_and_then_does_not() -> None:
    assert lines("06_state_machine.py") == [
        "broken: a flag, a lost line, and the timer of the first pause",
        "'is it over?' said at 0.5 s: lost, at 0.5 s",
        "'and now?' said at 1.4 s: line 1, at 1.4 s",
        "fixed: two states, lines that wait, one timer that belongs to the state",
        "'is it over?' said at 0.5 s: line 1, at 1.8 s",
        "'and now?' said at 1.4 s: line 2, at 1.8 s",
        "a caller that does not want to wait so long",
        "<room.1> did not reply within 0.5 s; it may still act on the request",
    ]


def test_7_chaos_loses_and_doubles_and_then_does_not() -> None:
    assert lines("07_chaos.py") == [
        "broken: confirmed before it is safe, written as often as it comes",
        "confirmed: 24 lines; any lost? True; any twice? True",
        "fixed: confirmed when it is safe, written once",
        "confirmed: 24 lines; any lost? False; any twice? False",
    ]


def test_8_one_run_in_many_writes_a_line_twice_and_then_none() -> None:
    said = lines("08_simulation.py")
    assert [said[0], *said[3:]] == [
        "broken: a task of its own for each line",
        "replayed: the same trace",
        "fixed: who comes twice waits for the first",
        "100 seeds, 0 failed",
    ]
    kept = re.fullmatch(r"on the disk: \[(.*)\]", said[1])
    assert kept is not None
    assert len(kept[1].split(", ")) == 6
    assert re.fullmatch(r"found by seed \d+, made smaller: \d+//\w+:server\.\d+", said[2])


@pytest.mark.parametrize("name", sorted({*PROGRAMS} - {"07_chaos.py", "08_simulation.py"}))
def test_every_order_of_tasks_prints_the_same(name: str) -> None:
    expected = printed(name)

    async def scenario(_: Simulation) -> None:
        assert await play(name) == expected

    simulate(scenario, seeds=SEEDS)


def test_no_chaos_breaks_the_careful_room() -> None:
    program = module_of("07_chaos.py")

    async def scenario(simulation: Simulation) -> None:
        disk: list[Any] = []
        confirmed = await program.evening(program.Room, program.Archive, disk, simulation.seed)
        assert len(confirmed) == len(disk) == 2 * program.LINES
        assert {line.id for line in disk} == confirmed

    simulate(scenario, seeds=SEEDS)


def test_no_weather_breaks_the_room_on_the_network() -> None:
    program = module_of("08_simulation.py")
    simulate(partial(program.scenario, room=program.Room), seeds=SEEDS)


@pytest.mark.parametrize("name", ["01_plain_trio.py", "07_chaos.py"])
def test_a_program_runs_from_the_command_line(name: str) -> None:
    command = [sys.executable, "-W", "error", str(EXAMPLES / name)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == printed(name)
