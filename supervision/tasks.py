"""Functions as supervised tasks whose result somebody waits for (row A20; Elixir: `Task.Supervisor`).

Rules
- A task is a temporary child of a `DynamicSupervisor`: it is in the tree, it counts against `max_children`, it ends
  with the supervisor, and its crash is reported like any other.
- A task whose starter is cancelled before it has it in hand does not run.
- `run_nolink`: whoever waits gets the result, or `TaskDown` with the reason. `run_linked`: the task's crash is the
  starting actor's crash as well, and the task ends when that actor does.
- `stream` runs a function over many items, at most `max_concurrency` at a time, and yields `(item, outcome)` in the
  items' order, or as they come. It takes the next item only when there is room, so an endless source is fine; what is
  done waits behind a slow item. What still runs when the block is left is killed.
"""

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import trio

from ._core.reasons import ExitReason, Normal, Shutdown
from ._core.specs import ChildSpec
from .actor import Actor
from .children import start_child
from .errors import SupervisionError
from .messages import IGNORE, Continue, Ignore
from .ref import ActorRef

T = TypeVar("T")
I = TypeVar("I")  # noqa: E741 - an item

TASK_SHUTDOWN = 5.0
BUFFERED = 16
"""Results, as a multiple of `max_concurrency`, that may wait behind a slow item of an ordered stream."""


class TaskDown(SupervisionError):  # noqa: N818 - see errors
    """The task ended without a result, for this reason."""

    def __init__(self, ref: ActorRef, reason: ExitReason) -> None:
        super().__init__(f"the task {ref} ended without a result: {reason}")
        self.ref = ref
        self.reason = reason


class Task(Generic[T]):
    """A running function. `ref` is its actor."""

    def __init__(self) -> None:
        self.ref: ActorRef
        self.given_up = False
        self._values: list[T] = []

    async def result(self) -> T:
        """What the function returned; waits for it. Raises `TaskDown` if it raised, was ended, or was killed."""
        reason = await self.ref.wait_down()
        if self._values:
            return self._values[0]
        raise TaskDown(self.ref, reason)

    def done(self, value: T) -> None:
        """The function returned this."""
        self._values.append(value)


class _TaskActor(Actor):
    """Runs one function, and takes no messages."""

    def __init__(self, task: Task[T], run: Callable[[], Awaitable[T]], owner: ActorRef | None) -> None:
        self._work: Callable[[], Awaitable[None]] = self._prepare(task, run)
        self._given_up: Callable[[], bool] = lambda: task.given_up
        self._owner = owner

    @staticmethod
    def _prepare(task: Task[T], run: Callable[[], Awaitable[T]]) -> Callable[[], Awaitable[None]]:
        async def work() -> None:
            task.done(await run())

        return work

    async def init(self) -> Ignore | None:
        if self._given_up():
            return IGNORE
        if self._owner is not None:
            self.link(self._owner)
        return None

    async def loop(self, first: Continue | None) -> ExitReason:
        await self._work()
        return Normal()

    def told_to_exit(self) -> None:
        self._process.break_with(self._process.reason or Shutdown())  # it takes no messages: reach into the function


async def run_nolink(supervisor: ActorRef, run: Callable[[], Awaitable[T]]) -> Task[T]:
    """Start `run()` under `supervisor`. Raises `StartError` (`MaxChildren`), `ServerDown`."""
    return await _start(supervisor, run, None)


async def run_linked(supervisor: ActorRef, owner: ActorRef, run: Callable[[], Awaitable[T]]) -> Task[T]:
    """Start `run()` linked to the actor `owner`: neither outlives a crash of the other."""
    return await _start(supervisor, run, owner)


@dataclass(frozen=True, slots=True)
class Failed:
    """The outcome of an item whose task ended without a result."""

    reason: ExitReason


@asynccontextmanager
async def stream(
    supervisor: ActorRef,
    function: Callable[[I], Awaitable[T]],
    items: Iterable[I],
    *,
    max_concurrency: int = 8,
    ordered: bool = True,
    timeout: float = float("inf"),  # noqa: ASYNC109 - of each item
) -> AsyncIterator[AsyncGenerator[tuple[I, T | Failed], None]]:
    """Run `function` over `items`; `async with stream(...) as outcomes: async for item, outcome in outcomes: ...`.

    `timeout` seconds for each item, after which its task is killed.
    """
    running: deque[tuple[I, Task[T]]] = deque()
    outcomes = _outcomes(supervisor, function, iter(items), running, max_concurrency, ordered, timeout)
    try:
        yield outcomes
    finally:
        for _, task in running:
            task.ref.kill()
        await outcomes.aclose()


async def _outcomes(
    supervisor: ActorRef,
    function: Callable[[I], Awaitable[T]],
    items: Iterator[I],
    running: deque[tuple[I, Task[T]]],
    max_concurrency: int,
    ordered: bool,
    seconds: float,
) -> AsyncGenerator[tuple[I, T | Failed], None]:
    more = True
    while more or running:
        alive = [task for _, task in running if task.ref.alive]
        if more and len(alive) < max_concurrency and len(running) < BUFFERED * max_concurrency:
            for item in items:
                running.append((item, await _start(supervisor, partial(function, item), None, seconds)))
                break
            else:
                more = False
        elif alive and (running[0][1].ref.alive if ordered else len(alive) == len(running)):
            await _one_down(alive)
        else:
            if not ordered:
                running.rotate(-next(n for n, (_, task) in enumerate(running) if not task.ref.alive))
            item, task = running[0]
            outcome = await _outcome(task)
            running.popleft()
            yield item, outcome


async def _outcome(task: Task[T]) -> T | Failed:
    try:
        return await task.result()
    except TaskDown as down:
        return Failed(down.reason)


async def _one_down(tasks: list[Task[T]]) -> None:
    """Wait until one of these is down."""
    event = trio.Event()
    forget = [task.ref.watch(lambda _reason: event.set()) for task in tasks]
    try:
        await event.wait()
    finally:
        for each in forget:
            each()


async def _start(
    supervisor: ActorRef, run: Callable[[], Awaitable[T]], owner: ActorRef | None, seconds: float = float("inf")
) -> Task[T]:
    task: Task[T] = Task()

    async def within() -> T:
        with trio.move_on_after(seconds):
            return await run()
        raise TimeoutError(f"the task did not end within {seconds:g} s")

    spec = ChildSpec(
        "task",
        lambda: _TaskActor(task, run if seconds == float("inf") else within, owner),
        restart="temporary",
        shutdown=TASK_SHUTDOWN,
    )
    try:
        task.ref = await start_child(supervisor, spec)
    except trio.Cancelled:
        task.given_up = True  # nobody has it in hand: it must not run when its turn comes
        raise
    return task
