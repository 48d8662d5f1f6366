"""What every kind of actor is given by the runtime, whatever its callbacks look like.

Rules
- An actor is constructed by its spec's `start`, plainly; the runtime's gifts (`ref`, `system`, `monitor`, …) are there
  from `init` on, not in the constructor.
- All of them are synchronous: they note a wish, and the runtime acts on it after the callback or at its time.
- What an actor starts ends with it: timers are forgotten, monitors are taken back, spawned tasks are cancelled.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import ParamSpec

import trio

from ._core.reasons import ExitReason, NoProc, Normal
from ._core.specs import ChildSpec, Startable
from .body import Body
from .messages import Down
from .process import Process
from .ref import ActorRef
from .system import System
from .timers import Timer

P = ParamSpec("P")

_RUNTIMES = {"_process", "_monitors"}


class MonitorRef:
    """One monitor; hand it to `demonitor`."""

    __slots__ = ("forget", "ref", "tag")

    def __init__(self, ref: ActorRef, tag: object) -> None:
        self.ref = ref
        self.tag = tag
        self.forget: Callable[[], None] = _nothing


class Link:
    """Two actors that end together; hand it to `unlink`."""

    __slots__ = ("_forget", "_here", "_there")

    def __init__(self, here: Process, there: ActorRef) -> None:
        self._here = here
        self._there = there
        self._forget: list[Callable[[], None]] = []

    def tie(self) -> None:
        """Each side learns of the other's end."""
        here, there = self._here, self._there.resolve()
        if not isinstance(there, Process):
            here.end_of_linked(self._there, NoProc())
            return
        self._forget = [here.watch(lambda reason: self._ended(here, there, reason))]
        self._forget.append(there.watch(lambda reason: self._ended(there, here, reason)))

    def untie(self) -> None:
        """Neither does any more."""
        for forget in self._forget:
            forget()
        self._forget.clear()

    def _ended(self, dead: Process, left: Process, reason: ExitReason) -> None:
        self.untie()
        left.end_of_linked(dead, reason)


class Actor(Body):
    """The base of `GenServer` and of every other kind."""

    _process: Process
    _monitors: "set[MonitorRef] | None" = None

    @classmethod
    def child_spec(cls: Callable[P, Startable], child_id: str, /, *args: P.args, **kwargs: P.kwargs) -> ChildSpec:
        """The spec of a child of this class, built with these arguments at each start (OTP: `child_spec/1`).

        Its type follows from the class. All else is the default, and `dataclasses.replace` changes it:
        `replace(Counter.child_spec("counter", 5), restart="transient")`.
        """
        hosts = isinstance(cls, type) and issubclass(cls, Body) and cls.hosts_children
        return ChildSpec(child_id, partial(cls, *args, **kwargs), type="supervisor" if hosts else "worker")

    def bind(self, process: Process) -> None:
        if hasattr(self, "_process"):  # not `vars`: that would make a dict of attributes that are not kept in one
            raise RuntimeError(f"start gave the same {type(self).__name__} twice; it must build a new actor each time")
        self._process = process

    @property
    def ref(self) -> ActorRef:
        """The reference to this life of this actor."""
        return self._process

    @property
    def system(self) -> System:
        """The system this actor lives in."""
        return self._process.system

    def stop(self, reason: ExitReason | None = None) -> None:
        """Leave after this callback, with `reason` (`Normal()` if none is given). Spawned tasks may ask for it too."""
        self._process.stop(Normal() if reason is None else reason)

    def monitor(self, ref: ActorRef, tag: object = None) -> MonitorRef:
        """Have `Down(ref, reason, tag)` delivered to `handle_info` when `ref` is down; at once if it is already."""
        monitor = MonitorRef(ref, tag)
        if self._monitors is None:
            self._monitors = set()
            self._process.at_down(self._forget_monitors)
        monitors, process = self._monitors, self._process
        monitors.add(monitor)

        def tell(reason: ExitReason) -> None:
            monitors.discard(monitor)
            process.post(Down(ref, reason, tag))

        monitor.forget = ref.watch(tell)
        return monitor

    def demonitor(self, monitor: MonitorRef) -> None:
        """Take a monitor back. A `Down` that is in the mailbox already is still delivered."""
        if self._monitors is not None:
            self._monitors.discard(monitor)
        monitor.forget()

    def link(self, ref: ActorRef) -> Link:
        """Tie this actor and `ref` together until `unlink`: if one ends for a reason but normal, so does the other.

        The one left behind is broken with the same reason, `terminate` included; if it defines `handle_exit`, that is
        called instead, for every reason. Linked to the dead: `NoProc()`. OTP: `link`, `trap_exit`.
        """
        link = Link(self._process, ref)
        link.tie()
        return link

    def unlink(self, link: Link) -> None:
        """Take a link back, on both sides."""
        link.untie()

    @contextmanager
    def linked(self, ref: ActorRef) -> Iterator[None]:
        """A link for the length of the block."""
        link = self.link(ref)
        try:
            yield
        finally:
            link.untie()

    async def handle_exit(self, ref: ActorRef, reason: ExitReason) -> None:
        """An actor this one is linked to is down. Defining it is what OTP calls trapping exits."""

    async def linked_exit(self, ref: ActorRef, reason: ExitReason) -> None:
        await self.handle_exit(ref, reason)

    def get_state(self) -> object:
        """The state as `introspect` shows it: the actor's own attributes, unless a class says better."""
        return {name: value for name, value in vars(self).items() if name not in _RUNTIMES}

    def replace_state(self, state: object) -> None:
        """Take over a state that `introspect` made of an earlier one."""
        if not isinstance(state, dict):
            raise TypeError(f"the state of {type(self).__name__} is a dict of its attributes")
        for name in self.get_state().keys() - state.keys():  # type: ignore[attr-defined]  # of the default, a dict
            delattr(self, name)
        vars(self).update(state)

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        cls.traps_exits = cls.handle_exit is not Actor.handle_exit

    def send_after(self, seconds: float, message: object) -> Timer:
        """Have `message` delivered to `handle_info` after `seconds`, unless it is cancelled or the actor ends."""
        process = self._process
        timer = Timer(lambda: process.post(message), process)
        self.system.timers.add(trio.current_time() + seconds, timer)
        return timer

    def spawn(self, async_fn: Callable[..., Awaitable[object]], *args: object) -> trio.CancelScope:
        """Run a task linked to this actor: what it raises is the actor's crash; it is cancelled when the actor ends,
        after `terminate`, which may still use it.

        Returns the scope that ends this one task. Raises `ServerDown` when the actor is down: nothing outlives it.
        """
        return self._process.spawn(async_fn, *args)

    def _forget_monitors(self, _reason: ExitReason) -> None:
        for monitor in self._monitors or ():
            monitor.forget()
        self._monitors = None


def _nothing() -> None:
    return None
