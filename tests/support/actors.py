"""Actors that the runtime's own tests are made of."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import trio

from supervision import (
    ActorRef,
    Call,
    ChildSpec,
    Crash,
    ExitReason,
    From,
    GenServer,
    Mailbox,
    Supervisor,
    System,
    start_child,
)


class Boom(Exception):  # noqa: N818 - OTP's own word
    """What a test's actor crashes with."""


@dataclass(frozen=True)
class Do(Call[object]):
    """Run this in the server's `handle_call`; what it returns is the reply."""

    what: Callable[["Puppet", From], object]


@dataclass(frozen=True)
class Get(Call[list[object]]):
    """All that a puppet has got."""


class Puppet(GenServer):
    """Does what it is sent: functions are called with the puppet, everything else is noted."""

    def __init__(self, notes: list[object] | None = None) -> None:
        self.notes: list[object] = [] if notes is None else notes

    async def handle_call(self, request: object, caller: From) -> object:
        if isinstance(request, Do):
            answer = request.what(self, caller)
            return await answer if hasattr(answer, "__await__") else answer
        return list(self.notes)

    async def handle_cast(self, message: object) -> None:
        if callable(message):
            answer = message(self)
            if hasattr(answer, "__await__"):
                await answer
        else:
            self.notes.append(message)

    async def handle_info(self, message: object) -> None:
        self.notes.append(("info", message))

    async def terminate(self, reason: ExitReason) -> None:
        self.notes.append(("terminate", reason))


class Witness(GenServer):
    """Tells a common list when it starts and when it terminates."""

    def __init__(self, name: str, told: list[str]) -> None:
        self.name = name
        self.told = told

    async def init(self) -> None:
        self.told.append(f"start {self.name}")

    async def handle_cast(self, message: object) -> None:
        if isinstance(message, BaseException):
            raise message
        if message == "stop":
            self.stop()

    async def terminate(self, reason: ExitReason) -> None:
        self.told.append(f"end {self.name}")


class Stubborn(GenServer):
    """Does not end within `seconds` of being told to; `shielded`, cancelling does not help either."""

    def __init__(self, seconds: float, *, shielded: bool = False) -> None:
        self.seconds = seconds
        self.shielded = shielded

    async def terminate(self, reason: ExitReason) -> None:
        with trio.CancelScope(shield=self.shielded):
            await trio.sleep(self.seconds)


def boom(_puppet: object = None, _caller: object = None) -> None:
    """Crash whoever calls it."""
    raise Boom("boom")


def doze(seconds: float) -> Callable[[object], Awaitable[None]]:
    """A cast that keeps a puppet busy."""

    async def wait(_puppet: object) -> None:
        await trio.sleep(seconds)

    return wait


def root(*children: ChildSpec, **flags: object) -> ChildSpec:
    """The spec of a supervisor over `children` that forgives much."""
    kept = {"intensity": 100, **flags}
    return ChildSpec("root", lambda: Supervisor(children, **kept), type="supervisor")  # type: ignore[arg-type]


def puppet(name: str = "puppet", notes: list[object] | None = None, **spec: Any) -> ChildSpec:
    """The spec of a named puppet."""
    return ChildSpec(name, lambda: Puppet(notes), name=name, **spec)


async def add_puppet(supervisor: ActorRef, notes: list[object] | None = None, **spec: Any) -> ActorRef:
    """A temporary puppet under `supervisor`."""
    spec.setdefault("restart", "temporary")
    return await start_child(supervisor, puppet(notes=notes, **spec))


def crashed_with(reason: ExitReason) -> BaseException | None:
    """The exception of a crash."""
    return reason.exception if isinstance(reason, Crash) else None


def quiet() -> System:
    """A system that logs nothing."""
    return System(log=False)


SMALL = Mailbox(capacity=3, high_water=1)
