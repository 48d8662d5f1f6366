"""Running a tree of actors inside a Trio program: `start_tree` (OTP: an application's top supervisor).

Rules
- `async with start_tree(spec) as (system, root)` starts the root and, leaving the block in whatever way, ends the tree
  in order and waits for it. Nothing of it outlives the block.
- The tree runs behind a shield: when the surroundings are cancelled, it is the block that feels it, and the tree is
  still ended in order, right to left, `terminate` included. `stop_within` bounds that; then everything is cancelled.
- If the root ends first, the block is cancelled and `RootDown` raised. A `KeyboardInterrupt` or `SystemExit` that
  strikes inside an actor ends the tree in order and is raised from the block, as if it had struck there.
- What the block raises comes out as it is, not wrapped in a group.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from ._core.reasons import Shutdown
from ._core.specs import ChildSpec
from .children import start_process
from .errors import RootDown
from .events import ShutdownBudgetReport, StuckReport
from .process import Process
from .ref import ActorRef
from .system import System

STOP_WITHIN = 30.0
"""Seconds for a whole tree to end in order."""


@asynccontextmanager
async def start_tree(
    spec: ChildSpec, system: System | None = None, *, stop_within: float = STOP_WITHIN
) -> AsyncIterator[tuple[System, ActorRef]]:
    """Run the tree of `spec` for the length of the block. Raises `StartError`, `RootDown`, what the block raises."""
    system = System() if system is None else system
    host = _Host(system, stop_within)
    raised: BaseException | None = None
    try:
        async with trio.open_nursery() as outside:
            outside.start_soon(host.run, name="start_tree")
            try:
                await host.opened.wait()
                root = await host.start(spec)
                with host.block:
                    yield system, root
            finally:
                await host.stop()
    except BaseExceptionGroup as group:
        raised = group.exceptions[0] if len(group.exceptions) == 1 else group
    if system.interrupted is not None:
        raise system.interrupted
    if raised is not None:
        raise raised
    if host.root is not None and host.died:
        raise RootDown(host.root, host.root.reason or Shutdown())


class _Host:
    """The shielded task that the tree runs in, and the block's way to end it."""

    def __init__(self, system: System, within: float) -> None:
        self.system = system
        self.within = within
        self.root: Process | None = None
        self.died = False
        self.opened = trio.Event()
        self.block = trio.CancelScope()
        self._over = trio.Event()
        self._shield = trio.CancelScope(shield=True)
        self._nursery: trio.Nursery | None = None

    async def run(self) -> None:
        with self._shield:
            async with trio.open_nursery() as self._nursery:
                self._nursery.start_soon(self.system.timers.run, name="timers")
                self.opened.set()
                await self._over.wait()
                self._nursery.cancel_scope.cancel()

    async def start(self, spec: ChildSpec) -> ActorRef:
        if self._nursery is None:
            raise RuntimeError("the tree's task has not started")
        self.root = root = Process(spec, self.system, None, self._nursery)
        self.system.root = root
        self.system.on_interrupt(self.block.cancel)
        await start_process(root)
        root.watch(lambda _reason: self._root_down())
        budget = root.shutdown_budget()
        if budget > self.within:
            report = ShutdownBudgetReport(root=root, seconds=budget, allowed=self.within)
            self.system.events.emit(report)
        return root

    def _root_down(self) -> None:
        if not self._over.is_set():
            self.died = not self._stopping
            self.block.cancel()

    _stopping = False

    async def stop(self) -> None:
        """End the tree in order; cancel what is left of it after `within` seconds."""
        within = self.within
        self._stopping = True
        with trio.CancelScope(shield=True):
            root = self.root
            if root is not None and root.alive:
                root.exit(Shutdown()) if root.ready else root.kill()
                with trio.move_on_after(within) as limit:
                    await root.wait_down()
                if limit.cancelled_caught:
                    self.system.events.emit(StuckReport(supervisor=None, child=root, seconds=within))
                    self._shield.cancel()
            self._over.set()
