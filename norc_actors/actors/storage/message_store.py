"""message_store: the one writer of messages, deliveries, receipts, outbox and relay cache; group commit (sections 7, 8;
rows B79, B82).

Operations are cast and gathered; as soon as the mailbox is empty, or `limits.COMMIT_BATCH` are gathered, all of them
go to the disk in one transaction in a thread, and those who sent them learn the outcomes in one message each. While
the disk works the next group gathers, so the busier the node, the fewer commits per message.

What happens when it dies: nothing gathered was acknowledged. The router monitors it and ends with it, connections
close, and devices send again (decision 060). A full disk is no death: the group is refused whole, and whoever sent it
learns so. A damaged database is one; if it stays damaged, the supervisor gives up, and with it the node.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import structlog
import trio

from norc_actors import limits
from norc_actors.ids import Clock, DeviceId, ServerId
from norc_actors.store.errors import StoreRefusedError
from norc_actors.store.messages import MessageStore, Operation, OutboxRow, Outcome, Pending, Receipt, Waiting
from supervision import NO_REPLY, ActorRef, Call, From, GenServer, Timeout

R = TypeVar("R")
V = TypeVar("V")

log = structlog.get_logger("norc.store")


@dataclass(frozen=True, slots=True)
class Store:
    """Cast: do this in the next commit, then tell `reply_to` the outcome as a `Committed` with this tag."""

    operation: Operation
    tag: object
    reply_to: ActorRef


@dataclass(frozen=True, slots=True)
class Committed:
    """Cast back after the commit: (tag, outcome) of each operation of one sender, in its order."""

    results: tuple[tuple[object, Outcome], ...]


@dataclass(frozen=True, slots=True)
class NotCommitted:
    """Cast back when the disk refused: the tags of the operations of which nothing remains. Whatever its sender has
    sent since is refused too, until it says `Resume`: a smaller group might fit, and overtake what was lost."""

    tags: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Resume:
    """Cast: `sender` has dealt with a `NotCommitted`; what it sends from here on may be committed."""

    sender: ActorRef


@dataclass(frozen=True, slots=True)
class FetchPending(Call[list[Pending]]):
    """The device's waiting deliveries after a number."""

    device_id: DeviceId
    after: int
    limit: int


@dataclass(frozen=True, slots=True)
class FetchReceipts(Call[list[Receipt]]):
    """The receipts that wait for a sending device after a number."""

    device_id: DeviceId
    after: int
    limit: int


@dataclass(frozen=True, slots=True)
class DropDevice(Call[int]):
    """Remove all that waits for a revoked device."""

    device_id: DeviceId


@dataclass(frozen=True, slots=True)
class CommitNow(Call[list[Outcome]]):
    """Do these in one commit at once, after what was gathered before; `StoreRefusedError` if the disk refuses."""

    operations: tuple[Operation, ...]


@dataclass(frozen=True, slots=True)
class FetchOutbox(Call[list[OutboxRow]]):
    """What waits for another server at one priority after a number: at most `rows`, and `size` bytes of bodies unless
    one is larger alone."""

    target: ServerId
    priority: int
    after: int
    rows: int = 100
    size: int = limits.BATCH_BYTES


@dataclass(frozen=True, slots=True)
class FetchWaiting(Call[list[Waiting]]):
    """How much waits for other servers, by target and priority. It counts every row: for a start or an operator."""


@dataclass(frozen=True, slots=True)
class FetchExpired(Call[list[OutboxRow]]):
    """Relays and transits past their time, each to be settled."""

    rows: int = 100
    size: int = limits.BATCH_BYTES


@dataclass(frozen=True, slots=True)
class FetchRecorded(Call[Mapping[tuple[ServerId, str], bytes | None]]):
    """Those of these relays (origin, federation_id) that were accepted before, with the answers recorded."""

    relays: tuple[tuple[ServerId, str], ...]


@dataclass(frozen=True, slots=True)
class _Purge:
    """Info: time to remove what is past its time."""


class MessageStoreActor(GenServer):
    """See the module. `open_store` opens the database (blocking); it runs in a thread."""

    def __init__(self, *, open_store: Callable[[], MessageStore], clock: Clock) -> None:
        self._open_store = open_store
        self._clock = clock
        self._gathered: list[Store] = []
        self._refused: set[ActorRef] = set()
        self._commits = 0
        self._operations = 0

    async def init(self) -> None:
        self._store = await trio.to_thread.run_sync(self._open_store)
        self.send_after(limits.PURGE_SECONDS, _Purge())

    async def handle_cast(self, message: object) -> None:
        if isinstance(message, Resume):
            self._refused.discard(message.sender)
        elif isinstance(message, Store) and message.reply_to in self._refused:
            message.reply_to.post(NotCommitted((message.tag,)))
        elif isinstance(message, Store):
            self._gathered.append(message)
        if len(self._gathered) >= limits.COMMIT_BATCH:
            await self._commit()
        self.set_timeout(0 if self._gathered else None)

    async def handle_info(self, message: object) -> None:
        if isinstance(message, Timeout):
            await self._commit()
        elif isinstance(message, _Purge):
            now = int(self._clock())
            more = False
            with suppress(StoreRefusedError):  # the next one is in ten minutes
                more = (await trio.to_thread.run_sync(self._store.purge, now)).more
            self.send_after(0 if more else limits.PURGE_SECONDS, _Purge())
            self.set_timeout(0 if self._gathered else None)

    async def handle_call(self, request: object, caller: From) -> object:
        await self._commit()  # what was sent before the question is part of the answer
        outbox = self._store.outbox
        match request:
            case FetchPending(device_id=device, after=after, limit=limit):
                return await trio.to_thread.run_sync(self._store.pending, device, after, limit)
            case FetchReceipts(device_id=device, after=after, limit=limit):
                return await trio.to_thread.run_sync(self._store.receipts, device, after, limit)
            case CommitNow(operations=operations):
                try:
                    return await trio.to_thread.run_sync(self._store.commit, operations)
                except StoreRefusedError as refusal:
                    caller.fail(refusal)
                    return NO_REPLY
            case DropDevice(device_id=device):
                return await trio.to_thread.run_sync(self._store.drop_device, device)
            case FetchOutbox(target=target, priority=priority, after=after, rows=rows, size=size):
                page = partial(outbox.page, target, priority, after, rows=rows, size=size)
                return await trio.to_thread.run_sync(page)
            case FetchWaiting():
                return await trio.to_thread.run_sync(outbox.waiting)
            case FetchExpired(rows=rows, size=size):
                expired = partial(outbox.expired, int(self._clock()), rows=rows, size=size)
                return await trio.to_thread.run_sync(expired)
            case FetchRecorded(relays=relays):
                return await trio.to_thread.run_sync(outbox.recorded, relays)
            case _:
                raise TypeError(f"message_store knows no {request!r}")

    async def terminate(self, reason: object) -> None:
        await self._commit()
        await trio.to_thread.run_sync(self._store.close)

    def statistics(self) -> Mapping[str, int]:
        """Commits, operations in them, and operations gathered now."""
        return {"commits": self._commits, "operations": self._operations, "gathered": len(self._gathered)}

    async def _commit(self) -> None:
        if not self._gathered:
            return
        group, self._gathered = self._gathered, []
        try:
            outcomes = await trio.to_thread.run_sync(self._store.commit, [item.operation for item in group])
        except StoreRefusedError as error:
            log.error("not committed", operations=len(group), why=str(error))
            for sender, items in _by_sender(group, group):
                self._refused.add(sender)
                sender.post(NotCommitted(tuple(item.tag for item in items)))
            return
        self._commits += 1
        self._operations += len(group)
        tagged = [(item.tag, outcome) for item, outcome in zip(group, outcomes, strict=True)]
        for sender, results in _by_sender(group, tagged):
            # Never refused: the router has at most one such answer for each operation that it sent.
            sender.post(Committed(tuple(results)))


def _by_sender(group: Sequence[Store], values: Sequence[V]) -> Iterable[tuple[ActorRef, list[V]]]:
    """Each sender of the group with the values that belong to its operations, in order."""
    parted: dict[ActorRef, list[V]] = {}
    for item, value in zip(group, values, strict=True):
        parted.setdefault(item.reply_to, []).append(value)
    return parted.items()
