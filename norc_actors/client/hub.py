"""Tells any number of subscribers what happened; a slow one loses its own oldest events and is told how many."""

from collections import deque
from collections.abc import AsyncIterator

import trio

from norc_actors.client.events import Event, Missed
from norc_actors.limits import EVENT_BUFFER


class Subscription:
    """One subscriber: iterate it. It ends when the hub closes and everything was read."""

    def __init__(self, hub: "Hub") -> None:
        self._hub = hub
        self._events: deque[Event] = deque()
        self._missed = 0
        self._wake = trio.Event()

    def put(self, event: Event) -> None:
        """Add an event; the oldest goes if the buffer is full."""
        if len(self._events) >= EVENT_BUFFER:
            self._events.popleft()
            self._missed += 1
        self._events.append(event)
        self._wake.set()

    def wake(self) -> None:
        """Look again: the hub was closed."""
        self._wake.set()

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        while not self._events:
            self._hub.check()
            self._wake = trio.Event()
            await self._wake.wait()
        if self._missed:
            count, self._missed = self._missed, 0
            return Missed(count=count)
        await trio.lowlevel.checkpoint()
        return self._events.popleft()

    def close(self) -> None:
        """Get no more events."""
        self._hub.drop(self)


class Hub:
    """Where events are published; `fatal` is raised to those who wait once the client cannot go on."""

    def __init__(self) -> None:
        self._subscriptions: set[Subscription] = set()
        self._closed = False
        self._fatal: Exception | None = None

    def subscribe(self) -> Subscription:
        """A subscription to everything from now on."""
        subscription = Subscription(self)
        self._subscriptions.add(subscription)
        return subscription

    def drop(self, subscription: Subscription) -> None:
        """Forget a subscriber."""
        self._subscriptions.discard(subscription)

    def publish(self, event: Event) -> None:
        """Tell everyone, at once."""
        for subscription in self._subscriptions:
            subscription.put(event)

    def close(self, fatal: Exception | None = None) -> None:
        """End all subscriptions after what they still hold."""
        self._closed = True
        self._fatal = fatal or self._fatal
        for subscription in self._subscriptions:
            subscription.wake()

    def check(self) -> None:
        """Raise what ends a subscription, if anything does."""
        if self._fatal is not None:
            raise self._fatal
        if self._closed:
            raise StopAsyncIteration
