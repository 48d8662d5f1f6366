"""Streams of the simulated network are streams to Trio, and keep what TCP keeps under any weather."""

from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from supervision.testing.simulation import CALM, Faults, SimulatedStream, Simulation, simulate

STORMY = Faults(slow=0.3, loss=0.2, duplication=0.1, split=0.5)


async def pair(simulation: Simulation) -> tuple[SimulatedStream, SimulatedStream]:
    """Both ends of a new connection from a to b."""
    listener = simulation.network.listen("b")
    here = await simulation.network.connect("a", "b")
    there = await listener.accept()
    await listener.aclose()
    return here, there


@pytest.mark.parametrize("faults", [CALM, STORMY])
def test_they_are_what_trio_calls_a_stream(faults: Faults) -> None:
    async def scenario(simulation: Simulation) -> None:
        async def clogged() -> tuple[SimulatedStream, SimulatedStream]:
            here, there = await pair(simulation)
            for stream in (here, there):
                with trio.move_on_after(1000):
                    while True:
                        await stream.send_all(bytes(10_000))
            return here, there

        await trio.testing.check_half_closeable_stream(lambda: pair(simulation), clogged)

    simulate(scenario, range(1), faults=faults)


def test_what_is_sent_arrives_once_and_in_order() -> None:
    async def scenario(simulation: Simulation) -> None:
        here, there = await pair(simulation)
        sent = [simulation.random.randbytes(simulation.random.choice((1, 100, 30_000))) for _ in range(20)]

        async def send() -> None:
            for part in sent:
                await here.send_all(part)
            await here.send_eof()

        got = b""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            async for part in there:
                got += part
                await trio.sleep(simulation.random.random() / 10)
        assert got == b"".join(sent)

    results = simulate(scenario, range(20), faults=STORMY)
    assert results.packets > 20 * 20


def test_bytes_do_not_arrive_as_they_were_sent() -> None:
    sizes: set[int] = set()

    async def scenario(simulation: Simulation) -> None:
        here, there = await pair(simulation)
        await here.send_all(bytes(100))
        sizes.add(len(await there.receive_some()))

    simulate(scenario, range(50))
    assert len(sizes) > 3
    assert max(sizes) == 100


def test_a_sender_waits_for_a_slow_reader() -> None:
    async def scenario(simulation: Simulation) -> None:
        here, there = await pair(simulation)
        with trio.move_on_after(1000) as waiting:
            await here.send_all(bytes(1_000_000))
        assert waiting.cancelled_caught
        assert len(await there.receive_some(1_000_000)) < 100_000

    simulate(scenario, range(3))


async def closes(here: SimulatedStream, there: SimulatedStream) -> None:
    """What was sent before is read, then the end."""
    await here.send_all(b"bye")
    await here.aclose()
    await trio.sleep(10)
    assert b"".join([part async for part in there]) == b"bye"


async def closes_with_something_unread(here: SimulatedStream, there: SimulatedStream) -> None:
    """A closed end answers what still comes with a reset; the unread part of the other side's is lost."""
    await here.send_all(b"unread")
    await here.aclose()
    await there.send_all(b"to nobody")
    await trio.sleep(10)
    with pytest.raises(trio.BrokenResourceError):
        await there.receive_some()
    with pytest.raises(trio.BrokenResourceError):
        await there.send_all(b"again")


async def half_closes(here: SimulatedStream, there: SimulatedStream) -> None:
    await here.send_eof()
    assert await there.receive_some() == b""
    await there.send_all(b"still here")
    await there.aclose()
    assert b"".join([part async for part in here]) == b"still here"


@pytest.mark.parametrize("play", [closes, closes_with_something_unread, half_closes])
def test_ends(play: Callable[[SimulatedStream, SimulatedStream], Awaitable[None]]) -> None:
    async def scenario(simulation: Simulation) -> None:
        await play(*await pair(simulation))

    simulate(scenario, range(10))
