"""account_store: the one owner of users, devices, tokens, prekeys, revocations and conversations (sections 5, 6).

An agent, in Elixir's word: a request is a function over the store, run in a thread, one at a time, each a transaction.
A refusal, by a rule (`AccountError`) or by the disk (`StoreRefusedError`), is the caller's answer; a damaged database
is a crash, and the supervisor's business.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

import trio

from norc_actors import limits
from norc_actors.ids import Clock
from norc_actors.store.accounts import AccountStore
from norc_actors.store.errors import AccountError, StoreRefusedError
from supervision import NO_REPLY, Call, From, GenServer

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Accounts(Call[R], Generic[R]):
    """Run `run(store)` and answer with what it returns, or raise the `AccountError` or `StoreRefusedError` it
    raises."""

    run: Callable[[AccountStore], R]


@dataclass(frozen=True, slots=True)
class _Purge:
    """Info: time to remove what is past its time."""


class AccountStoreActor(GenServer):
    """See the module. `open_store` opens the database (blocking); it runs in a thread."""

    def __init__(self, *, open_store: Callable[[], AccountStore], clock: Clock) -> None:
        self._open_store = open_store
        self._clock = clock
        self._requests = 0
        self._refusals = 0

    async def init(self) -> None:
        self._store = await trio.to_thread.run_sync(self._open_store)
        self.send_after(limits.PURGE_SECONDS, _Purge())

    async def handle_call(self, request: object, caller: From) -> object:
        if not isinstance(request, Accounts):
            raise TypeError(f"account_store knows no {request!r}")
        self._requests += 1
        try:
            return await trio.to_thread.run_sync(request.run, self._store)
        except (AccountError, StoreRefusedError) as refusal:
            self._refusals += 1
            caller.fail(refusal)
            return NO_REPLY

    async def handle_info(self, message: object) -> None:
        if isinstance(message, _Purge):
            with suppress(StoreRefusedError):  # the next one is in ten minutes
                await trio.to_thread.run_sync(self._store.purge, int(self._clock()))
            self.send_after(limits.PURGE_SECONDS, _Purge())

    async def terminate(self, reason: object) -> None:
        await trio.to_thread.run_sync(self._store.close)

    def statistics(self) -> Mapping[str, int]:
        """Requests, and how many were refused."""
        return {"requests": self._requests, "refusals": self._refusals}
