"""A scenario under a thousand seeds: virtual time, seeded order of tasks, a network that misbehaves, and exact replay.

async def scenario(simulation: Simulation) -> None:
    network = simulation.network
    listener = network.listen("server")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve, listener)
        stream = await network.connect("client", "server")       # a trio stream
        network.partition({"client"}, {"server"})
        ...
        network.heal()
        simulation.record("healed")
        nursery.cancel_scope.cancel()

results = simulate(scenario, seeds=range(1000))                   # raises SimulationFailed, with the line for a replay
print(results)
"""

from .course import Course
from .datagrams import Datagrams
from .faults import CALM, Faults, in_weather
from .hosts import Host
from .network import Network
from .runs import Failure, NotRepeatable, Results, SimulationFailed, simulate
from .streams import SimulatedListener, SimulatedStream
from .world import Run, Scenario, Simulation

__all__ = [
    "CALM",
    "Course",
    "Datagrams",
    "Failure",
    "Faults",
    "Host",
    "Network",
    "NotRepeatable",
    "Results",
    "Run",
    "Scenario",
    "SimulatedListener",
    "SimulatedStream",
    "Simulation",
    "SimulationFailed",
    "in_weather",
    "simulate",
]
