"""One seed is one run, on every machine; a failure comes back, and comes back smaller."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from supervision import ChildSpec
from supervision.testing.simulation import (
    CALM,
    Course,
    NotRepeatable,
    Run,
    Simulation,
    SimulationFailed,
    simulate,
)
from supervision.testing.simulation.shrink import fewest

ROOT = Path(__file__).resolve().parents[3]
HERE = Path(__file__).relative_to(ROOT)
CHAT = f"{HERE.parent}/chat.py:evening"


async def crowd(simulation: Simulation) -> None:
    """Many wait for one event: Trio keeps them in a set, in the order of their addresses."""
    event, told = trio.Event(), list[str]()

    async def waiter(number: int) -> None:
        await event.wait()
        told.append(str(number))

    async with trio.open_nursery() as nursery:
        for number in range(30):
            nursery.start_soon(waiter, number)
        await trio.sleep(1)
        event.set()
    simulation.record(" ".join(told))


async def lost_update(simulation: Simulation) -> None:
    """Fails if the second of two tasks reads before the first has written."""
    value = 0

    async def add() -> None:
        nonlocal value
        await trio.lowlevel.checkpoint()
        read = value
        if read == 0:
            await trio.lowlevel.checkpoint()
        value = read + 1

    async def idle() -> None:
        for _ in range(10):
            await trio.lowlevel.checkpoint()

    async def late() -> None:
        await trio.lowlevel.checkpoint()
        await add()

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(idle)
        nursery.start_soon(add)
        nursery.start_soon(late)
    assert value == 2, "an update was lost"


async def impatient(simulation: Simulation) -> None:
    """Fails if any of twenty answers takes longer than a packet without trouble."""
    network = simulation.network
    here, there = network.datagrams("a"), network.datagrams("b")
    for _ in range(20):
        await here.send(b"x", "b")
        with trio.fail_after(0.1):
            await there.receive()


def test_one_seed_is_one_trace_and_another_is_another() -> None:
    results = [simulate(crowd, range(20)) for _ in range(2)]
    assert results[0].hashes == results[1].hashes
    assert len(set(results[0].hashes.values())) == 20
    assert results[0].runs == 20
    assert results[0].slowest.took >= results[0].runs * 0
    assert "20 runs, 0 failed" in str(results[0])


def test_the_trace_is_the_same_in_every_process() -> None:
    program = (
        "import sys; from supervision.testing.simulation import simulate;"
        "from supervision.testing.simulation.programs import scenario_of;"
        "print([simulate(scenario_of(each), range(5)).hashes for each in sys.argv[1:]])"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", program, CHAT, f"{HERE}:crowd"],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("0", "1", "random")
    }
    assert len(told) == 1


def test_a_failure_comes_back_and_comes_back_smaller(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SimulationFailed, match="an update was lost") as caught:
        simulate(lost_update, range(100))
    failure = caught.value.failure
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"SIMULATE={failure.smallest.course} python -m pytest" in said
    assert 1 <= len(failure.smallest.picks) <= 2 <= len(failure.found.picks)
    for run in (failure.found, failure.smallest):
        again = simulate(lost_update, [run.course], keep_going=True, smaller=False).failures[0].found
        assert again.trace == run.trace
        assert str(again.failure) == str(run.failure)


def test_first_in_first_out_is_by_who_was_woken_first() -> None:
    """Two wakers in one batch: the older one wakes the younger sleeper."""
    told: list[list[str]] = []

    async def scenario(simulation: Simulation) -> None:
        order: list[str] = []
        events = {"old": trio.Event(), "young": trio.Event()}

        async def sleep(name: str) -> None:
            await events[name].wait()
            order.append(name)

        async def wake(name: str) -> None:
            await trio.sleep(1)
            events[name].set()

        async with trio.open_nursery() as nursery:
            for name in ("old", "young"):
                nursery.start_soon(sleep, name)
            for name in ("young", "old"):
                nursery.start_soon(wake, name)
        told.append(order)

    simulate(scenario, ["1/"])
    assert told[-1] == ["young", "old"]
    simulate(scenario, range(20))
    assert ["old", "young"] in told


def test_fifo_is_a_course_too() -> None:
    results = simulate(lost_update, ["3/"])
    assert results.slowest.picks == ()


def test_trouble_in_the_network_is_made_smaller_too(capsys: pytest.CaptureFixture[str]) -> None:
    (failure, *_) = simulate(impatient, range(30), keep_going=True).failures
    assert len(failure.smallest.troubled) == 1
    assert failure.smallest.picks == ()
    assert f"SIMULATE={failure.smallest.course.seed}//a:b." in capsys.readouterr().err
    simulate(impatient, range(30), faults=CALM)


def test_the_environment_brings_one_run_back(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SIMULATE", "7/3.1")
    results = simulate(crowd, range(1000))
    assert (results.runs, results.slowest.picks) == (1, ((3, 1),))
    assert "order " in capsys.readouterr().err


def test_a_course_can_be_written_and_read() -> None:
    for text in ("17", "17/", "17/43.2,81.1", "17/*/a:b.4", "17//a:b.4,b:a.0", "17/2.1/"):
        assert str(Course.parse(text)) == text
    assert Course.parse("17//") == Course(seed=17, picks=(), packets=())
    for text in ("", "x", "1/2/3/4", "1/x"):
        with pytest.raises(ValueError, match=r"invalid literal|no course"):
            Course.parse(text)


def test_what_no_seed_decides_is_found_out() -> None:
    calls = 0

    async def forgetful(simulation: Simulation) -> None:
        nonlocal calls
        calls += 1
        simulation.record("begun")
        simulation.record(f"call {calls}")

    with pytest.raises(NotRepeatable, match=r"(?s)part here.*call 1.*call 2"):
        simulate(forgetful, [1])


async def waits_for_ever(simulation: Simulation) -> None:
    await trio.sleep_forever()


async def leaves_a_name(simulation: Simulation) -> None:
    system = simulation.system()
    async with trio.open_nursery() as nursery:
        from supervision.process import Process

        process = Process(ChildSpec("stray", lambda: None), system, None, nursery)  # type: ignore[arg-type, return-value]
        system.take_name("stray", process)


@pytest.mark.parametrize(
    ("scenario", "why"),
    [(waits_for_ever, r"not over after 1e\+06 virtual s"), (leaves_a_name, "left of the trees: name stray")],
)
def test_other_failures(scenario: object, why: str) -> None:
    with pytest.raises(SimulationFailed, match=why):
        simulate(scenario, [1])  # type: ignore[arg-type]


def test_all_failures_and_the_progress_are_told() -> None:
    async def odd(simulation: Simulation) -> None:
        assert simulation.seed % 2 == 0

    heard: list[Run] = []
    results = simulate(odd, range(6), keep_going=True, progress=heard.append, command="make it")
    assert [failure.found.course.seed for failure in results.failures] == [1, 3, 5]
    assert results.failures[0].replay == "SIMULATE=1// make it"
    assert [run.course.seed for run in heard] == [*range(6)]
    with pytest.raises(ValueError, match="no seeds"):
        simulate(odd, [])


def test_interrupts_are_not_failures() -> None:
    async def interrupted(simulation: Simulation) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(interrupted, [1])


@pytest.mark.parametrize("wanted", [(), (3,), (0, 19), (4, 5, 6, 13)])
def test_the_fewest_are_found(wanted: tuple[int, ...]) -> None:
    assert tuple(fewest(range(20), lambda some: set(wanted) <= set(some))) == wanted
