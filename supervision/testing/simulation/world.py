"""One run of a scenario: what the scenario is given, and what is known of the run afterwards."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import TypeAlias

import trio

from supervision.events import CrashReport, Report, SupervisorReport
from supervision.system import System
from supervision.testing.schedule import run_in_order
from supervision.testing.trees import LeftOver
from supervision.timers import Timers

from .course import Course
from .faults import Faults
from .hosts import Host
from .network import Network
from .order import Order, Shuffle
from .trace import Trace


class Simulation:
    """What a scenario gets: `random` for its own dice, `network`, hosts, systems, and `record` for the trace."""

    def __init__(self, course: Course, trace: Trace, faults: Faults) -> None:
        self.seed = course.seed
        self.random = course.dice("scenario")
        self.timers = Timers()
        self.network = Network(course, trace, self.timers, faults)
        self.systems: list[System] = []
        self._course = course
        self._trace = trace
        self._hosts: dict[str, Host] = {}
        self._nursery: trio.Nursery | None = None

    def record(self, what: str) -> None:
        """Put a line into the trace; it counts for the hash, so it must say the same in each run."""
        self._trace.add(what)

    def system(self) -> System:
        """A quiet system whose jitter is the seed's; for trees that belong to no host. Checked for leftovers."""
        dice = self._course.dice(f"system {len(self.systems)}")
        system = System(log=False, chance=dice.random)
        self.systems.append(system)
        if self._trace.whole:
            system.events.subscribe(self._tell, CrashReport, SupervisorReport)
        return system

    def host(self, name: str) -> Host:
        """The host of that name, made at its first use."""
        host = self._hosts.get(name)
        if host is None:
            if self._nursery is None:
                raise RuntimeError("the simulation does not run")
            dice = self._course.dice(f"host {name}")
            host = self._hosts[name] = Host(name, self.network, self._nursery, dice, self.system)
        return host

    async def run(self, scenario: "Scenario") -> None:
        """Play `scenario`, then end every host in order. Raises what it raises, and `LeftOver`."""
        async with trio.open_nursery() as outside:
            outside.start_soon(self.timers.run, name="network")
            async with trio.open_nursery() as self._nursery:
                await scenario(self)
                for host in self._hosts.values():
                    host.shut_down()
            outside.cancel_scope.cancel()
        left = [f"name {name}" for system in self.systems for name in system.names]
        left += [f"registry {each!r}" for system in self.systems for each in system.registries() if len(each)]
        if left:
            raise LeftOver("left of the trees: " + ", ".join(left))

    def _tell(self, report: Report) -> None:
        match report:
            case CrashReport():
                self._trace.remark(f"{report.actor} ended: {report.reason}")
            case SupervisorReport():
                self._trace.remark(f"{report.supervisor}: {report.context} of {report.child}")


Scenario: TypeAlias = Callable[[Simulation], Awaitable[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run. `trace` is its hash; `steps` of tasks; `decisions` of the schedule, and those out of order; `packets`,
    and those in trouble; `lasted` virtual and `took` real seconds; `events`: the last lines of the trace, or all."""

    course: Course
    trace: str
    steps: int
    decisions: int
    picks: tuple[tuple[int, int], ...]
    packets: int
    troubled: tuple[str, ...]
    lasted: float
    took: float
    events: tuple[str, ...] = field(repr=False)
    failure: BaseException | None = field(default=None, repr=False)


def run_course(scenario: Scenario, course: Course, faults: Faults, limit: float, *, whole: bool = False) -> Run:
    """Run `scenario` as `course` decides. What it raises is kept, not raised; only interrupts are."""
    trace = Trace(whole=whole)
    order = Order(course, trace)
    simulation: Simulation | None = None
    lasted = 0.0

    async def main() -> None:
        nonlocal simulation, lasted
        simulation = Simulation(course, trace, faults)
        try:
            await simulation.run(scenario)
        except BaseException as raised:
            trace.add(f"failed: {type(real_cause(raised)).__name__}")
            raise
        finally:
            lasted = trio.current_time()

    failure: BaseException | None = None
    begun = perf_counter()
    try:
        run_in_order(main, Shuffle(order), limit=limit, instruments=[order])
    except BaseException as raised:  # noqa: BLE001 - whatever a scenario raises is what the simulation is there to find
        failure = real_cause(raised)
        if isinstance(failure, (KeyboardInterrupt, SystemExit)):
            raise failure from None
        if isinstance(failure, trio.TooSlowError) and lasted >= limit:
            failure = trio.TooSlowError(f"not over after {limit:g} virtual s: everybody waits").with_traceback(None)
    network = None if simulation is None else simulation.network
    return Run(
        course=course,
        trace=trace.hexdigest(),
        steps=order.steps,
        decisions=order.picks.decisions,
        picks=tuple(order.picks.taken),
        packets=0 if network is None else network.packets,
        troubled=() if network is None else tuple(network.weather.troubled),
        lasted=lasted,
        took=perf_counter() - begun,
        events=trace.lines(),
        failure=failure,
    )


def real_cause(raised: BaseException) -> BaseException:
    """The one exception in groups of one; a group of several as it is."""
    while isinstance(raised, BaseExceptionGroup) and len(raised.exceptions) == 1:
        raised = raised.exceptions[0]
    return raised
