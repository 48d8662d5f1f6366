"""certificate_store: the one owner of the trust tables (section 9; rows B143, B145).

An agent: a request is a function over the store, run in a thread, one at a time, each a transaction. A refusal of the
disk is the caller's answer; a damaged database is a crash, and the supervisor's business. `in_thread` runs the
function: a simulation has no threads.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import trio

from norc_actors import limits
from norc_actors.ids import Clock
from norc_actors.store.errors import StoreRefusedError
from norc_actors.store.trust import TrustStore
from supervision import NO_REPLY, Call, From, GenServer

R = TypeVar("R")


class InThread(Protocol):
    """How blocking work is done: as `trio.to_thread.run_sync`."""

    def __call__(self, function: Callable[..., R], /, *arguments: object) -> Awaitable[R]: ...


@dataclass(frozen=True, slots=True)
class Trust(Call[R], Generic[R]):
    """Run `run(store)` and answer with what it returns, or raise the `StoreRefusedError` it raises."""

    run: Callable[[TrustStore], R]


@dataclass(frozen=True, slots=True)
class _Purge:
    """Info: time to remove what is past its time."""


class CertificateStore(GenServer):
    """See the module. `open_store` opens the database (blocking)."""

    def __init__(
        self, *, open_store: Callable[[], TrustStore], clock: Clock, in_thread: InThread = trio.to_thread.run_sync
    ) -> None:
        self._open_store = open_store
        self._clock = clock
        self._in_thread = in_thread
        self._requests = 0
        self._refusals = 0

    async def init(self) -> None:
        self._store = await self._in_thread(self._open_store)
        self.send_after(limits.PURGE_SECONDS, _Purge())

    async def handle_call(self, request: object, caller: From) -> object:
        if not isinstance(request, Trust):
            raise TypeError(f"certificate_store knows no {request!r}")
        self._requests += 1
        try:
            return await self._in_thread(request.run, self._store)
        except StoreRefusedError as refusal:
            self._refusals += 1
            caller.fail(refusal)
            return NO_REPLY

    async def handle_info(self, message: object) -> None:
        if isinstance(message, _Purge):
            with suppress(StoreRefusedError):  # the next one is in ten minutes
                await self._in_thread(self._store.purge, int(self._clock()))
            self.send_after(limits.PURGE_SECONDS, _Purge())

    async def terminate(self, reason: object) -> None:
        await self._in_thread(self._store.close)

    def statistics(self) -> Mapping[str, int]:
        """Requests, and how many were refused."""
        return {"requests": self._requests, "refusals": self._refusals}
