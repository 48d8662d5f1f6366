"""The store beside a plain model of it: operations in any order, cut into any batches, the process killed between."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from norc_actors import limits
from norc_actors.store.database import Database
from norc_actors.store.errors import ConflictError
from norc_actors.store.messages import Accept, AcceptRelay, MessageStore, Operation, Sent
from norc_actors.store.operations import HIGH, NORMAL
from tests.store.relay_model import Model, summary
from tests.store.relaying import (
    ALICE,
    BOB,
    EAST,
    ERNA,
    ERNA_2,
    NOW,
    OWN,
    WEST,
    accept,
    ack,
    enqueue,
    forward,
    relay,
    relaying,
    remote_receipt,
    settle,
    supplement,
)

DEVICES = (ALICE, BOB, ERNA, ERNA_2)
QUOTA = 5
HALF_A_DAY = 43_000

KINDS = (
    "accept", "supplement", "relay", "relay", "relayed supplement", "forward", "ack", "read", "receipt", "enqueue",
    "sent", "settle", "answer",
)  # fmt: skip
STEP = st.tuples(
    st.sampled_from(KINDS),
    st.integers(0, 2),  # which message
    st.integers(0, 3),  # which federation_id, or how many
    st.booleans(),
)
RUN = st.lists(st.lists(STEP, min_size=1, max_size=5) | st.sampled_from(["kill", "fail", "later"]), max_size=12)


class Store:
    """A store whose process may be killed: it goes on with what was on the disk then."""

    def __init__(self, template: Path, folder: Path) -> None:
        self._folder = folder
        self._lives = 0
        self._path = folder / "0.db"
        shutil.copy(template, self._path)
        self.open = MessageStore(Database.open(self._path), OWN)

    def kill(self) -> None:
        """Nothing is closed: the files as they are at this moment, its log too, are what the next life finds."""
        self._lives += 1
        path = self._folder / f"{self._lives}.db"
        for name in ("", "-wal"):
            source = self._path.with_name(self._path.name + name)
            if source.exists():
                shutil.copy(source, path.with_name(path.name + name))
        self.open.close()
        self._path = path
        self.open = MessageStore(Database.open(path), OWN)

    def state(self) -> dict[str, Any]:
        """All that can be asked."""
        rows = {
            (target, priority): [_name(row) for row in self.open.outbox.page(target, priority)]
            for target in (EAST, WEST)
            for priority in (HIGH, NORMAL)
        }
        return {
            "pending": {d: sorted((p.message_id, p.wrap) for p in self.open.pending(d)) for d in DEVICES},
            "receipts": {d: [r.receipt for r in self.open.receipts(d)] for d in DEVICES},
            "outbox": rows,
            "recorded": dict(self.open.outbox.recorded((o, f"f{n}") for o in (EAST, WEST) for n in range(4))),
            "waiting": {(w.target, w.priority): w.count for w in self.open.outbox.waiting()},
        }


def foretold(model: Model) -> dict[str, Any]:
    """`Store.state` by the model."""
    places = [(target, priority) for target in (EAST, WEST) for priority in (HIGH, NORMAL)]
    outbox = {p: [row.name for row in model.outbox if (row.target, row.priority) == p] for p in places}
    pending = model.deliveries.items()
    return {
        "pending": {d: sorted((key[0], wrap) for (device, key), wrap in pending if device == d) for d in DEVICES},
        "receipts": {d: [body for key, body in model.receipts.items() if key[0] == d] for d in DEVICES},
        "outbox": outbox,
        "recorded": {key: row[2] for key, row in model.relayed.items()},
        "waiting": {place: len(rows) for place, rows in outbox.items() if rows},
    }


def _name(row: Any) -> tuple[Any, ...]:
    return row.kind, row.federation_id, row.origin, row.message_id, row.device_id, row.body


class Run:
    """One run of both."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.model = Model()
        self.now = NOW
        self._drawn = 0

    def step(self, step: Any) -> None:
        """Do it to both, and compare."""
        event(step if isinstance(step, str) else "batch")
        if step == "kill":
            self.store.kill()
        elif step == "fail":
            self._fail()
        elif step == "later":
            self.now += HALF_A_DAY
            self.store.open.purge(self.now)
            self.model.purge(self.now)
        else:
            self._commit([self._operation(*parts) for parts in step])
        assert self.store.state() == foretold(self.model)

    def _commit(self, batch: list[Operation]) -> None:
        rows = {row.id: _name(row) for target in (EAST, WEST) for row in self.store.open.outbox.page(target, NORMAL)}
        outcomes = [summary(outcome) for outcome in self.store.open.commit(batch)]
        expected: list[tuple[object, ...]] = [()] * len(batch)
        for place, operation in sorted(enumerate(batch), key=lambda item: not _goes_first(item[1])):
            if isinstance(operation, Sent):
                named = [rows[number] for number in operation.ids]
                expected[place] = self.model.sent(operation, named)
            else:
                expected[place] = self.model.apply(operation)
        assert outcomes == expected

    def _fail(self) -> None:
        """A batch that cannot be committed changes nothing, whatever was done before the fault in it."""
        twice = relaying("twice")
        batch = [relay("f0", 2, BOB), accept(90, twice), forward("f1"), accept(91, twice), ack(0, BOB)]
        with pytest.raises(ConflictError):
            self.store.open.commit(batch)

    def _operation(self, kind: str, number: int, other: int, flag: bool) -> Operation:
        device, target = (BOB, EAST) if flag else (ALICE, WEST)
        match kind:
            case "accept":
                relays = [self._fresh(EAST), self._fresh(WEST, HIGH)][: other % 3]
                return accept(number, *relays, devices=(BOB,) if flag else ())
            case "supplement":
                return supplement(number, self._fresh(target), devices=(BOB,) if flag else ())
            case "relay" | "relayed supplement":
                late = kind != "relay"
                wrap = b"late" if late else b"wrap"
                return relay(f"f{other}", number + 1, device, wrap=wrap, supplement=late, accepted_at=self.now)
            case "forward":
                origin, onward = (EAST, WEST) if flag else (WEST, EAST)
                return forward(f"f{other}", origin=origin, target=onward, now=self.now)
            case "ack" | "read":
                return ack(number, device, "read" if kind == "read" else "delivered")
            case "receipt":
                return remote_receipt(number, (ERNA, ERNA_2)[other % 2], from_server=target)
            case "enqueue":
                expires = self.now + HALF_A_DAY * (1 + other)
                key = f"k{number}" if flag else None
                return enqueue(b"%d" % self._next(), target=target, key=key, expires_at=expires)
            case "sent":
                return Sent(target=target, ids=[row.id for row in self.store.open.outbox.page(target, NORMAL)[:other]])
            case "settle":
                waiting = [r for r in self.store.open.outbox.page(target, NORMAL) if r.kind in ("relay", "transit")]
                federation_id = waiting[0].federation_id or "" if waiting else "none"
                return settle(federation_id, *(b"notice %d" % n for n in range(other)), target=target)
            case _:
                return settle(f"f{other}", b"notice", target=target)

    def _fresh(self, target: str, priority: int = NORMAL) -> Any:
        return relaying(f"own {self._next()}", target, priority=priority)

    def _next(self) -> int:
        self._drawn += 1
        return self._drawn


def _goes_first(operation: Operation) -> bool:
    return isinstance(operation, Accept) or (isinstance(operation, AcceptRelay) and not operation.supplement)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("template") / "norc.db"
    Database.open(path).close()
    return path


@settings(max_examples=60, deadline=None)
@given(run=RUN)
def test_the_store_does_what_the_model_does(template: Path, run: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(limits, "RELAY_QUOTA", QUOTA):
        store = Store(template, Path(folder))
        both = Run(store)
        try:
            for step in run:
                both.step(step)
        finally:
            store.open.close()
