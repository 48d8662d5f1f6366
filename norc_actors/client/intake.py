"""Received messages on their way to a decision: judged in groups, parked while something is asked for, held for order.

Rules
- Every message goes to the committer in the order of arrival; what it answers leaves after the commit.
- A message that needs keys or a state is parked until they were asked for, then judged anew, knowing what was tried.
  Later ones of its chain wait behind it, also when what it needs has come meanwhile: nothing overtakes in a chain.
- A message after a gap is held until the one before it came, at most `GAP_HOLD_SECONDS`; then all held ones of its
  chain up to it are taken, in order.
- A message whose session was asked for is judged anew after a while, and asks again.
- Nothing here outlives the connection: what is not committed (a full disk ends it) is not acknowledged, and the server
  brings it again.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import structlog
import trio

from norc_actors.client.connection import Connection
from norc_actors.client.core import Core
from norc_actors.client.errors import ClientError, ConnectionFailedError
from norc_actors.client.events import SecurityEvent
from norc_actors.client.needs import FinalError, Need, WantingError
from norc_actors.client.receiving import Outcome
from norc_actors.client.resolver import Resolver
from norc_actors.client.transaction import Transaction
from norc_actors.limits import ASK_AGAIN_SECONDS, GAP_HOLD_SECONDS, NEED_RETRY_SECONDS
from norc_actors.protocol.messages import MessageReceived

R = TypeVar("R")
T = TypeVar("T")

log = structlog.get_logger("norc.client")


@dataclass(slots=True, kw_only=True)
class Job(Generic[R]):
    """A decision about something received. `decide` gets what was tried already and may raise `WantingError`.

    Decisions of one `lane` are made in the order in which they were handed in; "" is no lane.
    """

    decide: Callable[[Transaction, set[Need]], R]
    after: Callable[[R], None]
    lane: str = ""
    tried: set[Need] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Behind:
    """Instead of a result: another decision of the lane comes first."""


@dataclass(frozen=True, slots=True)
class _Decided(Generic[R]):
    """A result, and the decision of the lane that waited for it. None: by a mistake of ours there is none, so nothing
    of it was committed and nothing is answered."""

    result: R
    following: Job[object] | None


_MISTAKE = "Something received could not be judged, by a mistake in this program; it stays at the server. See the log."


class Intake:
    """The received messages of one connection."""

    def __init__(self, core: Core, resolver: Resolver, connection: Connection, nursery: trio.Nursery) -> None:
        self._core = core
        self._resolver = resolver
        self._connection = connection
        self._nursery = nursery
        self._parked: dict[Need, list[Job[object]]] = {}
        self._lanes: dict[str, deque[Job[object]]] = {}  # only lanes in which something is parked: that first
        self._held: dict[str, dict[int, MessageReceived]] = {}
        self._closed = False
        self.received = 0

    def close(self) -> None:
        """The connection has ended: start nothing more."""
        self._closed = True

    # --- Deciding ---

    async def judge(self, job: Job[R]) -> None:
        """Hand a decision to the committer; waits only while its queue is full."""

        def operation(tx: Transaction) -> _Decided[R | None] | _Behind | Need:
            if self._waits(job):
                return _Behind()
            attempt = tx.nested()
            try:
                result = job.decide(attempt, job.tried)
            except WantingError as wanting:
                self._block(job)
                return wanting.need
            except ClientError:
                raise
            except Exception:  # the wall: what a peer sends must not end the client
                log.exception("something received could not be judged")
                return _Decided(None, self._unblock(job))
            tx.absorb(attempt)
            return _Decided(result, self._unblock(job))

        def after(result: _Decided[R | None] | _Behind | Need) -> None:
            if isinstance(result, Need):
                self._park(job, result)
            elif isinstance(result, _Decided):
                if result.result is None:
                    self._core.publish([SecurityEvent(text=_MISTAKE)])
                else:
                    job.after(result.result)
                if result.following is not None:
                    self._start(self.judge, result.following)

        await self._core.committer.post(operation, after, self._core.broken)

    def _start(self, task: Callable[[T], Awaitable[None]], subject: T) -> None:
        """Start a task of this connection; nothing happens once it has ended (a commit may outlive it)."""
        if not self._closed:
            self._nursery.start_soon(task, subject)

    def _waits(self, job: Job[R]) -> bool:
        """Whether another decision of the job's lane comes first; the job then waits in the lane."""
        lane = self._lanes.get(job.lane)
        if lane is None or lane[0] is job:
            return False
        lane.append(job)  # type: ignore[arg-type]
        return True

    def _block(self, job: Job[R]) -> None:
        if job.lane:
            self._lanes.setdefault(job.lane, deque([job]))  # type: ignore[list-item]

    def _unblock(self, job: Job[R]) -> Job[object] | None:
        """The job was decided: which one of its lane is next."""
        lane = self._lanes.get(job.lane)
        if lane is None:
            return None
        lane.popleft()
        if lane:
            return lane[0]
        del self._lanes[job.lane]
        return None

    def _park(self, job: Job[R], need: Need) -> None:
        waiting = self._parked.setdefault(need, [])
        waiting.append(job)  # type: ignore[arg-type]
        if len(waiting) == 1:
            self._start(self._ask, need)

    async def _ask(self, need: Need) -> None:
        while True:
            try:
                await self._resolver.satisfy(need)
            except (FinalError, WantingError):
                pass  # the decision is made without it, and names its cause
            except ConnectionFailedError:
                await trio.sleep(NEED_RETRY_SECONDS)  # no answer in time; if the connection is gone, so is this task
                continue
            except ClientError as error:
                self._core.broken(error)  # what is not acknowledged comes again with the next connection
                return
            break
        for job in self._parked.pop(need, []):
            job.tried.add(need)
            await self.judge(job)

    # --- Messages ---

    async def message(self, message: MessageReceived, *, held: bool = False) -> None:
        """Take a received message."""
        receiving, now_us = self._core.engine.receiving, self._core.engine.now_us

        def decide(tx: Transaction, tried: set[Need]) -> Outcome:
            return receiving.receive(tx, message, now_us(), held=held, tried=tried)

        self.received += 1
        await self.judge(Job(decide=decide, after=lambda outcome: self._after(message, outcome), lane=_chain(message)))

    def _after(self, message: MessageReceived, outcome: Outcome) -> None:
        for ack in outcome.acks:
            self._connection.offer(ack)
        for unknown in outcome.unknown:
            self._connection.offer(unknown)
        self._core.publish(outcome.events)
        if outcome.shown:
            self._core.inbox_changed.notify()
        if outcome.hold:
            self._hold(message)
        elif outcome.waiting:
            self._start(self._later, message)
        else:
            self._release_next(message)

    async def _later(self, message: MessageReceived) -> None:
        await trio.sleep(ASK_AGAIN_SECONDS)
        await self.message(message)

    # --- Order ---

    def _hold(self, message: MessageReceived) -> None:
        held = self._held.setdefault(_chain(message), {})
        if message.sequence_number not in held:
            held[message.sequence_number] = message
            self._start(self._time_out, message)

    async def _time_out(self, message: MessageReceived) -> None:
        await trio.sleep(GAP_HOLD_SECONDS)
        held = self._held.get(_chain(message), {})
        if held.get(message.sequence_number) is not message:
            return
        due = sorted(number for number in held if number <= message.sequence_number)
        for late in [held.pop(number) for number in due]:  # taken out at once: each await lets others run
            await self.message(late, held=True)

    def _release_next(self, message: MessageReceived) -> None:
        """A message was taken: the one after it need not wait any more."""
        held = self._held.get(_chain(message))
        if not held:
            return
        following = held.pop(message.sequence_number + 1, None)
        if following is not None:
            self._start(self.message, following)


def _chain(message: MessageReceived) -> str:
    return f"{message.sender_user}/{message.sender_device}/{message.conversation_id}/{message.chain_id}"
