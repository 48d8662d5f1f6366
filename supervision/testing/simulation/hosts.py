"""A machine of the simulation: what runs on it ends when it crashes, and starts again when it comes back.

Rules
- A crash is a power cut. The network is gone first, then every tree that runs here is killed (no `terminate`), then
  every task cancelled. What those tasks still raise is nobody's business.
- What must survive a crash is kept by the scenario, outside: that is the disk.
- A host that never crashed is ended in order when the scenario is over, and what its program raises fails the run.
"""

from collections.abc import Awaitable, Callable
from random import Random

import trio

from supervision.system import System

from .datagrams import Datagrams
from .network import Network
from .streams import SimulatedListener, SimulatedStream

Program = Callable[["Host"], Awaitable[object]]


class Host:
    """See the module. Made by `simulation.host(name)`."""

    def __init__(
        self, name: str, network: Network, nursery: trio.Nursery, dice: Random, new_system: Callable[[], System]
    ) -> None:
        self.name = name
        self.up = True
        self.systems: list[System] = []
        self.random = dice
        self._new_system = new_system
        self._network = network
        self._nursery = nursery
        self._program: Program | None = None
        self._life = 0
        self._scope = trio.CancelScope()
        self._ended: trio.Event | None = None

    def __repr__(self) -> str:
        return f"<host {self.name}>"

    def boot(self, program: Program) -> None:
        """Run `program(host)` here, now and after each `reboot`. Raises `RuntimeError` if one runs already."""
        if self._ended is not None:
            raise RuntimeError(f"{self!r} runs its program already")
        self._program = program
        self._start(program)

    def system(self) -> System:
        """A system for a tree that runs here: quiet, seeded, killed by a crash."""
        system = self._new_system()
        self.systems.append(system)
        return system

    def crash(self) -> None:
        """Cut the power."""
        self.up = False
        self._life += 1
        self._network.crash(self.name)
        for system in self.systems:
            if system.root is not None:
                system.root.kill()
        self._scope.cancel()

    async def reboot(self) -> None:
        """Wait until all that ran here is gone, then start again. Raises `RuntimeError` if it is up."""
        if self.up:
            raise RuntimeError(f"{self!r} is up; crash it first")
        if self._ended is not None:
            await self._ended.wait()
        self._ended = None
        self.up = True
        self._network.reboot(self.name)
        if self._program is not None:
            self._start(self._program)

    def shut_down(self) -> None:
        """End what runs here in order."""
        self._scope.cancel()

    # The network, as seen from here

    def listen(self, port: int = 0) -> SimulatedListener:
        """As `Network.listen`."""
        return self._network.listen(self.name, port)

    async def connect(self, target: str, port: int = 0) -> SimulatedStream:
        """As `Network.connect`."""
        return await self._network.connect(self.name, target, port)

    def datagrams(self, port: int = 0) -> Datagrams:
        """As `Network.datagrams`."""
        return self._network.datagrams(self.name, port)

    # Inside

    def _start(self, program: Program) -> None:
        self._scope = trio.CancelScope()
        self._ended = trio.Event()
        self._nursery.start_soon(self._run, program, self._life, self._scope, self._ended, name=self.name)

    async def _run(self, program: Program, life: int, scope: trio.CancelScope, ended: trio.Event) -> None:
        try:
            with scope:
                try:
                    await program(self)
                except (trio.Cancelled, KeyboardInterrupt):
                    raise
                except BaseException:
                    if self._life == life:
                        raise
        finally:
            ended.set()
