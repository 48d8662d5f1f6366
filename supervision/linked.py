"""The tasks an actor spawned, tied to it by hand.

Rules
- They run in the nursery the actor itself runs in. A nursery for each actor would cost every one of 20,000 connections
  what a few of them use (decision 004); by hand it costs one set, and that only from the first `spawn` on.
- What a task raises is told to the actor, which breaks with it; a task cancelled by its own scope just ends.
- `end` cancels them all and waits, behind a shield: an actor is not down while a task of its own still runs.
"""

from collections.abc import Awaitable, Callable

import trio

from .ref import ActorRef


class LinkedTasks:
    """The tasks of one actor."""

    __slots__ = ("_done", "_scopes", "owner")

    def __init__(self, owner: ActorRef) -> None:
        self.owner = owner
        self._scopes: set[trio.CancelScope] = set()
        self._done: trio.Event | None = None

    def spawn(
        self,
        home: trio.Nursery,
        name: str,
        failed: Callable[[BaseException], None],
        async_fn: Callable[..., Awaitable[object]],
        args: tuple[object, ...],
    ) -> trio.CancelScope:
        """Run `async_fn(*args)` in `home`; returns the scope that ends it. What it raises goes to `failed`."""
        scope = trio.CancelScope()
        self._scopes.add(scope)
        if self._done is not None:
            scope.cancel()
        home.start_soon(self.run, scope, failed, async_fn, args, name=name)
        return scope

    async def end(self) -> None:
        """Cancel them all and wait until none runs."""
        if not self._scopes:
            return
        self._done = trio.Event()
        for scope in tuple(self._scopes):
            scope.cancel()
        with trio.CancelScope(shield=True):
            await self._done.wait()

    async def run(
        self,
        scope: trio.CancelScope,
        failed: Callable[[BaseException], None],
        async_fn: Callable[..., Awaitable[object]],
        args: tuple[object, ...],
    ) -> None:
        """The task."""
        try:
            with scope:
                try:
                    await async_fn(*args)
                except trio.Cancelled:
                    raise
                except BaseException as raised:  # noqa: BLE001 - what a linked task raises is the actor's crash
                    failed(raised)
        finally:
            self._scopes.discard(scope)
            if not self._scopes and self._done is not None:
                self._done.set()
