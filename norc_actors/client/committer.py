"""The one owner of a profile: runs operations in order and commits them in groups (rule 2 of the architecture).

Rules
- An operation is a synchronous function of a transaction. It changes nothing but the transaction; what must happen once
  its changes are on disk (frames, events, memory) is its result, handed to `after` in order.
- All operations that wait are run, each in its own layer, and committed with one fsync: a burst costs one commit.
- An operation that raises drops its own layer; its caller gets the exception. If a group cannot be committed (full
  disk), each operation is run and committed by itself; whose commit fails then gets that error, and nothing of it is on
  disk or in memory. So an operation may run twice, and changes nothing but its transaction.
- At each await: while a commit is in its thread, operations wait in the bounded queue (back-pressure on whoever reads
  the socket); if the task is cancelled meanwhile, the commit is finished, since its effects may be on disk already.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import trio

from norc_actors.client.errors import ClientError, ClientUsageError
from norc_actors.client.transaction import Ledger, Transaction
from norc_actors.limits import COMMIT_GROUP, COMMIT_QUEUE

R = TypeVar("R")


@dataclass(slots=True, kw_only=True)
class _Job(Generic[R]):
    operation: Callable[[Transaction], R]
    after: Callable[[R], None] | None
    failed: Callable[[ClientError], None] | None
    done: trio.Event | None = None
    result: R | None = None
    error: BaseException | None = None


class Committer:
    """Run it in a nursery (`run`), then `do` and `post`."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._send, self._receive = trio.open_memory_channel[_Job[object]](COMMIT_QUEUE)
        self.commits = 0
        self.operations = 0

    async def run(self) -> None:
        """Work until `close`; then everything that was handed in before is committed."""
        group: list[_Job[object]] = []
        try:
            async for job in self._receive:
                group = [job]
                while len(group) < COMMIT_GROUP:
                    try:
                        group.append(self._receive.receive_nowait())
                    except (trio.WouldBlock, trio.EndOfChannel):
                        break
                await self._commit(group)
                group = []
        finally:
            self._give_up(group)

    def close(self) -> None:
        """Take no more operations."""
        self._send.close()

    def _give_up(self, group: list[_Job[object]]) -> None:
        """This task ends, maybe by a crash: nobody may wait for it any more."""
        self.close()
        with contextlib.suppress(trio.WouldBlock, trio.EndOfChannel):
            while True:
                group.append(self._receive.receive_nowait())
        for job in group:
            job.error = job.error or ClientUsageError("The client is closed.", "Open it again.")
            if job.done is not None:
                job.done.set()

    async def do(self, operation: Callable[[Transaction], R], after: Callable[[R], None] | None = None) -> R:
        """Run an operation and wait until it is committed; returns its result or raises what it raised."""
        job: _Job[R] = _Job(operation=operation, after=after, failed=None, done=trio.Event())
        await self._hand_in(job)
        assert job.done is not None
        await job.done.wait()
        if job.error is not None:
            raise job.error
        return job.result  # type: ignore[return-value]

    async def prune(self, today: int) -> None:
        """Delete what has expired, between two commits; `today` is the day number."""
        await self.do(lambda transaction: self._ledger.profile.prune(today))

    async def post(
        self,
        operation: Callable[[Transaction], R],
        after: Callable[[R], None],
        failed: Callable[[ClientError], None],
    ) -> None:
        """Hand in an operation without waiting for its commit; waits only while the queue is full.

        `failed` is called when the operation or its commit fails with a typed error; anything else ends `run`.
        """
        await self._hand_in(_Job(operation=operation, after=after, failed=failed))

    async def _hand_in(self, job: _Job[R]) -> None:
        try:
            await self._send.send(job)  # type: ignore[arg-type]
        except (trio.ClosedResourceError, trio.BrokenResourceError) as error:
            raise ClientUsageError("The client is closed.") from error

    async def _commit(self, group: list[_Job[object]]) -> None:
        transaction = self._ledger.begin()
        for job in group:
            self._operate(transaction, job)
        if not transaction.empty:
            try:
                with trio.CancelScope(shield=True):
                    await trio.to_thread.run_sync(self._ledger.profile.commit, transaction.writes())
            except ClientError as error:
                if len(group) > 1:
                    await self._one_by_one(group)
                    return
                group[0].error = group[0].error or error
            else:
                self._ledger.absorb(transaction)
                self.commits += 1
        self.operations += len(group)
        for job in group:
            self._finish(job)

    async def _one_by_one(self, group: list[_Job[object]]) -> None:
        """The group as a whole cannot be committed: each operation by itself, so that a large one fails alone."""
        for job in group:
            job.error = job.result = None
            await self._commit([job])

    def _operate(self, transaction: Transaction, job: _Job[object]) -> None:
        layer = transaction.nested()
        try:
            job.result = job.operation(layer)
        except Exception as error:
            if job.done is None and not isinstance(error, ClientError):
                raise
            job.error = error
        else:
            transaction.absorb(layer)

    def _finish(self, job: _Job[object]) -> None:
        if job.error is None and job.after is not None:
            job.after(job.result)
        if job.done is not None:
            job.done.set()
        elif job.error is not None and job.failed is not None:
            assert isinstance(job.error, ClientError)
            job.failed(job.error)
