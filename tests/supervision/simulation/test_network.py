"""The simulated network: cuts, crashes, lost and doubled packets, and what each side learns of them."""

import pytest
import trio

from supervision import ChildSpec, Supervisor, start_tree
from supervision.testing.simulation import CALM, Faults, Host, SimulatedStream, Simulation, simulate
from tests.support.actors import Puppet

SEEDS = range(10)


async def echo(stream: SimulatedStream) -> None:
    async for part in stream:
        await stream.send_all(part)


async def serve(host: Host) -> None:
    await trio.serve_listeners(echo, [host.listen()])


def test_a_cut_holds_streams_up_and_no_more() -> None:
    async def scenario(simulation: Simulation) -> None:
        simulation.host("b").boot(serve)
        await trio.sleep(1)
        network = simulation.network
        stream = await network.connect("a", "b")
        network.partition({"a"}, {"b", "c"})
        await stream.send_all(b"x")
        with trio.move_on_after(10) as waiting:
            await stream.receive_some()
        assert waiting.cancelled_caught
        with pytest.raises(TimeoutError):
            await network.connect("a", "b")
        network.heal()
        with trio.fail_after(2):
            assert await stream.receive_some() == b"x"

    simulate(scenario, SEEDS)


def test_a_cut_in_one_direction() -> None:
    async def scenario(simulation: Simulation) -> None:
        network = simulation.network
        a, b = network.datagrams("a"), network.datagrams("b")
        network.partition({"a"}, {"b"}, one_way=True)
        await a.send(b"lost", "b")
        await b.send(b"heard", "a")
        assert await a.receive() == (b"heard", "b")
        with trio.move_on_after(10) as waiting:
            await b.receive()
        assert waiting.cancelled_caught

    simulate(scenario, SEEDS, faults=CALM)


def test_a_stream_behind_a_cut_is_given_up_by_its_sender() -> None:
    async def scenario(simulation: Simulation) -> None:
        network = simulation.network
        listener = network.listen("b")
        here = await network.connect("a", "b")
        there = await listener.accept()
        network.partition({"a"}, {"b"})
        begun = trio.current_time()
        await here.send_all(b"x")
        with pytest.raises(trio.BrokenResourceError):
            await here.receive_some()
        assert 60 <= trio.current_time() - begun < 61
        network.heal()
        await there.send_all(b"is anybody there?")
        with pytest.raises(trio.BrokenResourceError):
            await there.receive_some()

    simulate(scenario, SEEDS)


def test_refusals() -> None:
    async def scenario(simulation: Simulation) -> None:
        network = simulation.network
        with pytest.raises(ConnectionRefusedError, match="nobody listens at port 7 of b"):
            await network.connect("a", "b", 7)
        listener = network.listen("b", 7)
        network.datagrams("b", 7)
        with pytest.raises(OSError, match="port 7 of b is taken"):
            network.listen("b", 7)
        with pytest.raises(OSError, match="port 7 of b is taken"):
            network.datagrams("b", 7)
        await listener.aclose()
        network.listen("b", 7)
        network.crash("b")
        with pytest.raises(OSError, match="host b is down"):
            network.listen("b")
        with pytest.raises(TimeoutError, match="a cannot reach b"):
            await network.connect("a", "b", 7)
        for name in ("", "a/b", "a:1", "a,b"):
            with pytest.raises(ValueError, match="no name for a host"):
                network.listen(name)

    simulate(scenario, SEEDS)


@pytest.mark.parametrize("silence", [0.0, 1.0])
def test_a_crash_is_told_by_a_reset_or_found_out(silence: float) -> None:
    async def scenario(simulation: Simulation) -> None:
        server = simulation.host("b")
        server.boot(serve)
        await trio.sleep(1)
        stream = await simulation.network.connect("a", "b")
        server.crash()
        with trio.move_on_after(100) as waiting, pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()
        assert waiting.cancelled_caught == bool(silence)
        await server.reboot()
        if silence:
            await stream.send_all(b"are you there?")
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()

    simulate(scenario, SEEDS, faults=Faults(silence=silence))


def test_what_runs_on_a_host_ends_with_it_and_starts_again() -> None:
    async def scenario(simulation: Simulation) -> None:
        told: list[object] = []

        async def program(host: Host) -> None:
            told.append("up")
            puppet = ChildSpec("puppet", lambda: Puppet(told))
            root = ChildSpec("root", lambda: Supervisor([puppet]), type="supervisor")
            try:
                async with start_tree(root, host.system()):
                    await trio.sleep_forever()
            finally:
                told.append("over")

        host = simulation.host("a")
        host.boot(program)
        with pytest.raises(RuntimeError, match="runs its program already"):
            host.boot(program)
        with pytest.raises(RuntimeError, match="crash it first"):
            await host.reboot()
        await trio.sleep(1)
        host.crash()
        await host.reboot()
        assert told == ["up", "over"], "the power was cut: nothing terminates in order"
        await trio.sleep(1)
        host.shut_down()
        await trio.sleep(1)
        assert len(told) == 5, "ended in order: the puppet was told, too"

    simulate(scenario, SEEDS)


def test_datagrams_are_lost_doubled_and_overtaken() -> None:
    seen: dict[str, bool] = {"lost": False, "doubled": False, "overtaken": False}

    async def scenario(simulation: Simulation) -> None:
        network = simulation.network
        here, there = network.datagrams("a"), network.datagrams("b", 9)
        for number in range(50):
            await here.send(bytes([number]), "b", 9)
        got: list[int] = []
        with trio.move_on_after(10):
            while True:
                data, source = await there.receive()
                assert source == "a"
                got.append(data[0])
        await there.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await there.send(b"", "a")
        await here.send(b"to nobody", "b", 9)
        seen["lost"] |= len(set(got)) < 50
        seen["doubled"] |= len(set(got)) < len(got)
        seen["overtaken"] |= got != sorted(got)

    simulate(scenario, SEEDS, faults=Faults(loss=0.05, duplication=0.05, slow=0.1))
    assert all(seen.values())


def test_a_program_that_fails_fails_the_run() -> None:
    async def program(host: Host) -> None:
        raise LookupError(host.name)

    async def scenario(simulation: Simulation) -> None:
        simulation.host("a").boot(program)
        await trio.sleep(1)

    (failure,) = simulate(scenario, [1], keep_going=True).failures
    assert isinstance(failure.found.failure, LookupError)
