"""What the running parts of an open client share: its rules, its one writer, its connection, signals between tasks."""

from collections.abc import Callable, Iterable
from typing import TypeVar

import trio

from norc_actors.client.committer import Committer
from norc_actors.client.connection import Connection
from norc_actors.client.engine import Engine
from norc_actors.client.errors import ClientError, ClientUsageError
from norc_actors.client.events import Event, StatusChanged
from norc_actors.client.flight import Flight
from norc_actors.client.hub import Hub
from norc_actors.client.model import MessageStatus, PendingDevice
from norc_actors.client.records import DAY, PendingRead
from norc_actors.client.requests import Requests
from norc_actors.client.transaction import Transaction
from norc_actors.protocol.codec import Received
from norc_actors.protocol.schema import Message, SignedMap

R = TypeVar("R")


class Signal:
    """Wakes whoever waits. A waiter checks its condition, then waits, with no await in between."""

    def __init__(self) -> None:
        self._event = trio.Event()
        self.count = 0

    def notify(self) -> None:
        """Wake all that wait now."""
        self.count += 1
        event, self._event = self._event, trio.Event()
        event.set()

    async def wait(self, since: int | None = None) -> None:
        """Until the next `notify`; at once if there was one since `count` was `since`."""
        if since is None or since == self.count:
            await self._event.wait()


class Core:
    """Shared by the tasks of one open client; each attribute has one writer, named beside it."""

    def __init__(self, engine: Engine, committer: Committer, *, request_seconds: float) -> None:
        self.engine = engine
        self.committer = committer
        self.request_seconds = request_seconds
        self.hub = Hub()
        self.pending: dict[str, tuple[PendingDevice, SignedMap]] = {}  # reader
        self.flight = Flight()  # transmission
        self.requests = Requests()
        self.connection: Connection | None = None  # link
        self.fatal: ClientError | None = None  # `die`
        self.closed = False
        self.broken: Callable[[ClientError], None] = lambda error: None  # link: ends the connection, nothing is lost
        self.pruned_on = engine.now() // DAY  # reader
        self.link_changed = Signal()
        self.flight_changed = Signal()
        self.drafts_changed = Signal()
        self.inbox_changed = Signal()
        self.ended: Callable[[], None] = lambda: None  # runtime
        self.tell_read: Callable[[str, PendingRead], None] = lambda key, pending: None  # link
        self.statuses: Callable[[MessageStatus], None] = lambda status: None  # client

    async def do(self, operation: Callable[[Transaction], R], after: Callable[[R], None] | None = None) -> R:
        """Run an operation on the profile and wait for its commit."""
        return await self.committer.do(operation, after)

    async def ask(self, put: Callable[[Connection], None], *keys: str) -> list[Received[Message]]:
        """Ask the server; waits for the connection as long as for the answer."""
        deadline = trio.current_time() + self.request_seconds
        with trio.move_on_at(deadline):
            while self.connection is None:
                self.check()
                await self.link_changed.wait()
        left = max(0.0, deadline - trio.current_time())
        return await self.requests.ask(put, *keys, connection=self.connection, seconds=left)

    def check(self) -> None:
        """Raise what ended this client, if anything did."""
        if self.fatal is not None:
            raise self.fatal

    def die(self, error: ClientError) -> None:
        """The client cannot go on: whoever waits is told."""
        self.fatal = self.fatal or error
        self.hub.close(self.fatal)
        self._wake()

    def _wake(self) -> None:
        for signal in (self.link_changed, self.flight_changed, self.drafts_changed, self.inbox_changed):
            signal.notify()
        self.ended()

    def close(self) -> None:
        """The client ends in order: iterators end, whoever waits for the server is told."""
        self.closed = True
        if self.fatal is None:
            self.fatal = ClientUsageError("The client is closed.", "Open it again.")
            self.hub.close()
        self._wake()

    def submitted(self, sequence: int, message_id: str, *, ready: bool) -> None:
        """A message was committed to the outbox."""
        self.flight.add(sequence, message_id, ready=ready)
        (self.flight_changed if ready else self.drafts_changed).notify()

    def publish(self, events: Iterable[Event]) -> None:
        """Tell the application."""
        for event in events:
            if isinstance(event, StatusChanged):
                self.statuses(event.status)
            self.hub.publish(event)
