"""message_store: what a relay worker and the federation manager ask of it (section 8)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.lowlevel

from norc_actors import limits
from norc_actors.actors import names
from norc_actors.actors.storage.message_store import (
    Committed,
    FetchExpired,
    FetchOutbox,
    FetchRecorded,
    FetchWaiting,
    MessageStoreActor,
    NotCommitted,
    Resume,
    Store,
)
from norc_actors.store.database import Database
from norc_actors.store.messages import Enqueued, MessageStore, Operation, Outcome, RelayKnown, Sent, Taken, Waiting
from norc_actors.store.operations import NORMAL
from supervision import ActorRef, ChildSpec, System, start_tree
from tests.store.relaying import (
    BOB,
    EAST,
    NOW,
    OWN,
    WEST,
    accept,
    enqueue,
    forward,
    relay,
    relaying,
    settle,
)
from tests.support.actors import Get, puppet, quiet, root


class Served:
    """The store's actor on a file, a worker that its answers go to, and a clock."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.system: System = quiet()
        self.now = float(NOW)
        self.opened: list[Database] = []

    def open(self) -> MessageStore:
        self.opened.append(Database.open(self._path))
        return MessageStore(self.opened[-1], OWN)

    @property
    def store(self) -> ActorRef:
        return self.system.ref(names.MESSAGE_STORE)

    async def put(self, *operations: Operation) -> None:
        for operation in operations:
            await self.store.cast(Store(operation, operation, self.system.ref("worker")))

    async def said(self) -> list[object]:
        return await self.system.ref("worker").call(Get())


@asynccontextmanager
async def served(path: Path) -> AsyncIterator[Served]:
    served = Served(path)
    store = ChildSpec(
        "store", lambda: MessageStoreActor(open_store=served.open, clock=lambda: served.now), name=names.MESSAGE_STORE
    )
    async with start_tree(root(puppet("worker"), store), served.system):
        yield served


async def test_what_was_cast_is_part_of_the_next_answer(tmp_path: Path) -> None:
    async with served(tmp_path / "norc.db") as node:
        await node.put(accept(1, relaying("f1"), devices=(BOB,)), relay("f2", 2, BOB), forward("f3"))
        assert [row.federation_id for row in await node.store.call(FetchOutbox(EAST, NORMAL, 0))] == ["f1"]
        assert await node.store.call(FetchRecorded(((EAST, "f2"), (EAST, "f3"), (EAST, "f4")))) == {
            (EAST, "f2"): b"ack of f2",
            (EAST, "f3"): None,
        }
        assert await node.store.call(FetchWaiting()) == [
            Waiting(target=target, priority=NORMAL, count=1, oldest=NOW) for target in (EAST, WEST)
        ]
        await node.put(settle("f1"), enqueue(), enqueue())
        page = await node.store.call(FetchOutbox(EAST, NORMAL, 0, rows=1))
        rest = await node.store.call(FetchOutbox(EAST, NORMAL, page[-1].id))
        await node.put(Sent(target=EAST, ids=[row.id for row in page + rest]))
        assert await node.store.call(FetchOutbox(EAST, NORMAL, 0)) == []


async def test_a_relay_that_expired_is_shown_until_it_is_settled(tmp_path: Path) -> None:
    async with served(tmp_path / "norc.db") as node:
        await node.put(accept(1, relaying("f1")), accept(2, relaying("f2", expires_at=NOW + 2000)))
        assert await node.store.call(FetchExpired()) == []
        node.now += 1000
        assert [row.federation_id for row in await node.store.call(FetchExpired())] == ["f1"]
        node.now += 1000
        assert [row.federation_id for row in await node.store.call(FetchExpired(rows=1))] == ["f1"]
        await node.put(settle("f1", b"expired"))
        assert [row.federation_id for row in await node.store.call(FetchExpired())] == ["f2"]


async def test_the_outcomes_go_to_the_worker_that_sent_the_operations(tmp_path: Path) -> None:
    async with served(tmp_path / "norc.db") as node:
        await node.put(forward("f1"), forward("f1"), forward("f1", origin="north.example"))
        await node.store.call(FetchWaiting())
        outcomes = _outcomes(await node.said())
        assert [type(outcome) for outcome in outcomes] == [Enqueued, RelayKnown, Taken]


async def test_what_waits_is_there_after_a_restart_of_the_actor(tmp_path: Path) -> None:
    async with served(tmp_path / "norc.db") as node:
        await node.put(accept(1, relaying("f1")), relay("f2", 2, BOB))
        await node.store.call(FetchWaiting())
        first = node.system.whereis(names.MESSAGE_STORE)
        assert first is not None
        first.kill()
        while node.system.whereis(names.MESSAGE_STORE) in (None, first):
            await trio.lowlevel.checkpoint()
        assert [row.federation_id for row in await node.store.call(FetchOutbox(EAST, NORMAL, 0))] == ["f1"]
        await node.put(relay("f2", 2, BOB))
        await node.store.call(FetchWaiting())
        assert _outcomes(await node.said())[-1] == RelayKnown(ack=b"ack of f2")
        assert len(node.opened) == 2


async def test_the_relay_cache_is_purged_as_time_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PURGE_SECONDS", 0.01)
    asked = FetchRecorded(((EAST, "f1"),))
    async with served(tmp_path / "norc.db") as node:
        await node.put(relay("f1", 1))
        assert await node.store.call(asked) != {}
        node.now += limits.RELAY_CACHE_SECONDS + 3600
        with trio.fail_after(20):
            while await node.store.call(asked):
                await trio.lowlevel.checkpoint()


async def test_a_full_disk_refuses_a_workers_relays_until_it_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(tmp_path / "norc.db") as node:
        await node.put(enqueue(b"before"))
        assert len(await node.store.call(FetchOutbox(EAST, NORMAL, 0))) == 1
        [database] = node.opened
        with database.reading() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 2}")
        await node.put(enqueue(bytes(100_000)))
        assert len(await node.store.call(FetchOutbox(EAST, NORMAL, 0))) == 1
        await node.put(enqueue(b"after"))
        assert len(await node.store.call(FetchOutbox(EAST, NORMAL, 0))) == 1
        assert sum(isinstance(told, NotCommitted) for told in _untagged(await node.said())) == 2
        await node.store.cast(Resume(node.system.ref("worker")))
        await node.put(enqueue(b"resumed"))
        page = await node.store.call(FetchOutbox(EAST, NORMAL, 0))
        assert [row.body for row in page] == [b"before", b"resumed"]


def _untagged(notes: list[object]) -> list[object]:
    """What a puppet was sent as info."""
    return [note[1] if isinstance(note, tuple) else note for note in notes]


def _outcomes(notes: list[object]) -> list[Outcome]:
    """All that was committed for a worker, in order."""
    return [outcome for told in _untagged(notes) if isinstance(told, Committed) for _, outcome in told.results]
