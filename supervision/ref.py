"""How one holds an actor: a reference that can be called, cast to, watched and ended, and never the actor itself.

Rules
- Holding a reference keeps no actor alive and proves nothing about it: every operation states what a dead one means.
- `call` ends in a reply, an error the server chose, `CallTimeout` or `ServerDown`; `cast` and `send` to a dead actor
  do nothing, as in OTP.
- `NamedRef` resolves its name at each use, so it survives restarts; a plain reference names one life of one actor.
- A function whose name ends in `_nowait`, and every one that is not `async`, never waits.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeVar

from ._core.reasons import ExitReason, NoProc
from .errors import ServerDown
from .messages import Call
from .snapshot import Tree

R = TypeVar("R")


class ActorRef(ABC):
    """A reference to an actor."""

    __slots__ = ()

    @property
    @abstractmethod
    def id(self) -> str:
        """Names this life of this actor, unique in its system; for logs."""

    @property
    @abstractmethod
    def name(self) -> str | None:
        """The registered name, if it has one."""

    @property
    @abstractmethod
    def alive(self) -> bool:
        """Is it starting, running or ending? False once it is down (or no such actor exists)."""

    @property
    @abstractmethod
    def running(self) -> bool:
        """Did its `init` go through, and was it not told to end? Only then does it answer, if nothing happens."""

    @abstractmethod
    async def call(self, request: Call[R], timeout: float | None = 5.0) -> R:  # noqa: ASYNC109 - OTP's own argument
        """Send `request` and wait for its reply, at most `timeout` seconds (None: as long as it takes).

        Raises `ServerDown` at once when the server is gone, is ending, or ends while we wait; `CallTimeout`;
        `CallCycle`; `MailboxFull` if its policy is to refuse; or what the server gave to `caller.fail`.
        """

    @abstractmethod
    async def cast(self, message: object) -> None:
        """Send `message` without waiting for an answer; waits only for room in a full mailbox that blocks.

        Raises `MailboxFull` if its policy is to refuse. To a dead actor: nothing happens.
        """

    @abstractmethod
    def cast_nowait(self, message: object) -> None:
        """Like `cast`, but raises `MailboxFull` instead of waiting for room."""

    @abstractmethod
    def send(self, message: object) -> None:
        """Deliver `message` to `handle_info`. Raises `MailboxFull`. To a dead actor: nothing happens."""

    @abstractmethod
    async def wait_down(self) -> ExitReason:
        """Wait until it is down and return why; `NoProc()` if there is no such actor."""

    @abstractmethod
    def kill(self) -> None:
        """End it at once: its task is cancelled, `terminate` does not run, its reason is `Killed()`."""

    @abstractmethod
    def exit(self, reason: ExitReason) -> None:
        """Ask it to end in order with `reason`, after the messages it already has; `Killed()` kills."""

    @abstractmethod
    def resolve(self) -> "ActorRef | None":
        """The reference to the life behind this one right now."""

    @abstractmethod
    def at_down(self, callback: Callable[[ExitReason], None]) -> Callable[[], None]:
        """Run `callback` when it goes down, before anybody is told. Returns what takes it back. For the runtime."""

    @abstractmethod
    def watch(self, callback: Callable[[ExitReason], None]) -> Callable[[], None]:
        """Run `callback` once it is down and its names are free; at once with `NoProc()` if it is. Returns what takes
        it back. For the runtime; actors use `monitor`."""

    @abstractmethod
    def post(self, message: object) -> None:
        """Deliver an info that no bound of the mailbox refuses: exits, `Down`, timers. For the runtime."""

    @abstractmethod
    def shutdown_budget(self) -> float:
        """Seconds it may take to end in order at most, all below included; may be infinite (row A40)."""

    @abstractmethod
    def describe(self, limit: int | None = None) -> Tree:
        """A snapshot of it and all below; supervisors show at most `limit` children each (None: all)."""


class NamedRef(ActorRef):
    """A name used like an actor: resolved at each use, `ServerDown(NoProc())` when nobody holds it."""

    __slots__ = ("_name", "_whereis")

    def __init__(self, name: str, whereis: Callable[[str], ActorRef | None]) -> None:
        self._name = name
        self._whereis = whereis

    def __repr__(self) -> str:
        return f"<{self._name}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NamedRef) and (self._name, self._whereis) == (other._name, other._whereis)

    def __hash__(self) -> int:
        return hash(self._name)

    @property
    def id(self) -> str:
        return self._name

    @property
    def name(self) -> str | None:
        return self._name

    @property
    def alive(self) -> bool:
        return self._whereis(self._name) is not None

    @property
    def running(self) -> bool:
        target = self._whereis(self._name)
        return target is not None and target.running

    async def call(self, request: Call[R], timeout: float | None = 5.0) -> R:  # noqa: ASYNC109 - OTP's own argument
        target = self._whereis(self._name)
        if target is None:
            raise ServerDown(self, NoProc())
        return await target.call(request, timeout)

    async def cast(self, message: object) -> None:
        target = self._whereis(self._name)
        if target is not None:
            await target.cast(message)

    def cast_nowait(self, message: object) -> None:
        target = self._whereis(self._name)
        if target is not None:
            target.cast_nowait(message)

    def send(self, message: object) -> None:
        target = self._whereis(self._name)
        if target is not None:
            target.send(message)

    async def wait_down(self) -> ExitReason:
        target = self._whereis(self._name)
        return NoProc() if target is None else await target.wait_down()

    def kill(self) -> None:
        target = self._whereis(self._name)
        if target is not None:
            target.kill()

    def exit(self, reason: ExitReason) -> None:
        target = self._whereis(self._name)
        if target is not None:
            target.exit(reason)

    def resolve(self) -> ActorRef | None:
        return self._whereis(self._name)

    def at_down(self, callback: Callable[[ExitReason], None]) -> Callable[[], None]:
        target = self._whereis(self._name)
        if target is not None:
            return target.at_down(callback)
        callback(NoProc())
        return lambda: None

    def watch(self, callback: Callable[[ExitReason], None]) -> Callable[[], None]:
        target = self._whereis(self._name)
        if target is not None:
            return target.watch(callback)
        callback(NoProc())
        return lambda: None

    def post(self, message: object) -> None:
        target = self._whereis(self._name)
        if target is not None:
            target.post(message)

    def shutdown_budget(self) -> float:
        target = self._whereis(self._name)
        return 0.0 if target is None else target.shutdown_budget()

    def describe(self, limit: int | None = None) -> Tree:
        target = self._whereis(self._name)
        if target is None:
            return Tree(spec=self._name, id=None, name=self._name, status="undefined")
        return target.describe(limit)
