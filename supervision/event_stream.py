"""One stream of events, many handlers, none of which can hurt another (row A15; OTP: `gen_event`).

Rules
- Handlers run in the stream's own task, one after the other, in the order they were added: they must be quick. Whoever
  needs time is an actor of its own and adds a handler that casts to it.
- A handler that raises is removed and reported (`HandlerFailed`); the stream and the other handlers go on.
- `notify` waits only for room in the mailbox; `sync_notify` waits until every handler has seen the event.
- A handler tied to an actor (`owner`) is removed when that actor is down.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from .actor import MonitorRef
from .errors import SupervisionError
from .events import LOGGER
from .gen_server import GenServer
from .messages import Call, Down
from .ref import ActorRef
from .reply import From

Handler = Callable[[object], Awaitable[None]]


class HandlerExists(SupervisionError):  # noqa: N818 - see errors
    """There is a handler of that name already."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the stream has a handler {name!r} already; remove it first, or choose another name")
        self.name = name


@dataclass(frozen=True, slots=True)
class HandlerFailed:
    """Told to the handlers that are left: this one raised and was removed."""

    name: str
    exception: Exception


class _Entry:
    """A handler, and the monitor of the actor that it is tied to."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.monitor: MonitorRef | None = None


@dataclass(frozen=True, slots=True)
class _Add(Call[None]):
    name: str
    handler: Handler
    owner: ActorRef | None


@dataclass(frozen=True, slots=True)
class _Remove(Call[bool]):
    name: str


@dataclass(frozen=True, slots=True)
class _SyncNotify(Call[None]):
    event: object


@dataclass(frozen=True, slots=True)
class _Which(Call[list[str]]):
    pass


class EventStream(GenServer):
    """The stream's actor; use it through the functions below."""

    def __init__(self) -> None:
        self._handlers: dict[str, _Entry] = {}

    async def handle_call(self, request: object, caller: From) -> object:
        match request:
            case _Add() if request.name in self._handlers:
                caller.fail(HandlerExists(request.name))
            case _Add():
                self._handlers[request.name] = entry = _Entry(request.handler)
                if request.owner is not None:
                    entry.monitor = self.monitor(request.owner, entry)
            case _Remove():
                return self._remove(request.name)
            case _SyncNotify():
                await self.handle_cast(request.event)
            case _Which():
                return list(self._handlers)
            case _:
                return await super().handle_call(request, caller)
        return None

    async def handle_cast(self, message: object) -> None:
        for name, entry in tuple(self._handlers.items()):
            if self._handlers.get(name) is not entry:
                continue  # it failed at being told that another had failed
            try:
                await entry.handler(message)
            except Exception as error:  # noqa: BLE001 - the wall between handlers
                self._remove(name)
                LOGGER.exception("the handler %s of %s failed and was removed", name, self.ref)
                await self.handle_cast(HandlerFailed(name, error))

    async def handle_info(self, message: object) -> None:
        if isinstance(message, Down):
            for name, entry in tuple(self._handlers.items()):
                if entry is message.tag:
                    self._remove(name)
        else:
            await super().handle_info(message)

    def _remove(self, name: str) -> bool:
        entry = self._handlers.pop(name, None)
        if entry is not None and entry.monitor is not None:
            self.demonitor(entry.monitor)
        return entry is not None


async def add_handler(stream: ActorRef, name: str, handler: Handler, owner: ActorRef | None = None) -> None:
    """Have `handler(event)` run for each event from now on. Raises `HandlerExists`, `ServerDown`."""
    await stream.call(_Add(name, handler, owner))


async def remove_handler(stream: ActorRef, name: str) -> bool:
    """Take a handler out; False if there was none of that name."""
    return await stream.call(_Remove(name))


async def which_handlers(stream: ActorRef) -> list[str]:
    """The names, in order."""
    return await stream.call(_Which())


async def notify(stream: ActorRef, event: object) -> None:
    """Give the stream an event."""
    await stream.cast(event)


async def sync_notify(stream: ActorRef, event: object) -> None:
    """Give the stream an event and wait until every handler has seen it."""
    await stream.call(_SyncNotify(event))
