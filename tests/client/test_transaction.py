"""Layers of changes over a profile, and the committer that owns them."""

import os
from pathlib import Path

import msgspec
import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from norc_actors.client.committer import Committer
from norc_actors.client.errors import ClientUsageError, DiskFullError
from norc_actors.client.profile import Profile, create_profile, open_profile
from norc_actors.client.transaction import Kind, Ledger, Queue, Transaction
from norc_actors.client.vault import Unlock

KEY = Unlock(key_file=b"k" * 32)


class Note(msgspec.Struct, frozen=True, kw_only=True):
    text: str


NOTES = Kind("note", Note)
OUT = Queue("outbox", Note)


def note(text: str) -> Note:
    return Note(text=text)


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    return create_profile(tmp_path / "p.norc", KEY, os.urandom)


def commit(ledger: Ledger, transaction: Transaction) -> None:
    ledger.profile.commit(transaction.writes())
    ledger.absorb(transaction)


def test_a_layer_sees_its_own_changes_and_those_below(profile: Profile) -> None:
    ledger = Ledger(profile)
    base = ledger.begin()
    base.put(NOTES, "a", note("1"))
    base.append(OUT, note("first"))
    layer = base.nested()
    layer.put(NOTES, "b", note("2"))
    layer.delete(NOTES, "a")
    assert layer.append(OUT, note("second")) == 2
    assert layer.get(NOTES, "a") is None
    assert base.get(NOTES, "a") == note("1")
    assert base.get(NOTES, "b") is None
    assert set(layer.all(NOTES)) == {"b"}
    assert [value.text for _, value in layer.queue(OUT)] == ["first", "second"]
    assert [value.text for _, value in base.queue(OUT)] == ["first"]
    forgotten = base.nested()
    forgotten.append(OUT, note("never"))
    base.absorb(layer)
    assert base.append(OUT, note("third")) == 3
    commit(ledger, base)
    profile.close()


def test_what_is_committed_is_there_again(profile: Profile) -> None:
    ledger = Ledger(profile)
    transaction = ledger.begin()
    for n in range(5):
        transaction.put(NOTES, str(n), note(str(n)))
        transaction.append(OUT, note(str(n)))
    transaction.remove(OUT, 2)
    transaction.replace(OUT, 3, note("changed"))
    commit(ledger, transaction)
    path = profile.path
    profile.close()
    ledger = Ledger(open_profile(path, KEY, os.urandom))
    found = ledger.begin()
    assert found.get(NOTES, "3") == note("3")
    assert [(seq, value.text) for seq, value in found.queue(OUT)] == [(1, "0"), (3, "changed"), (4, "3"), (5, "4")]
    assert [seq for seq, _ in found.queue(OUT, after=3, limit=1)] == [4]
    assert found.append(OUT, note("x")) == 6
    ledger.profile.close()


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["put", "delete", "append", "remove", "nest", "absorb", "forget", "commit"]),
            st.integers(0, 5),
        ),
        max_size=40,
    ),
    capacity=st.integers(1, 4),
)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_layers_agree_with_a_plain_model(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]], capacity: int
) -> None:
    profile = create_profile(tmp_path_factory.mktemp("m") / "p.norc", KEY, os.urandom)
    ledger = Ledger(profile, capacity)
    layers = [ledger.begin()]
    model: list[tuple[dict[str, str], dict[int, str], int]] = [({}, {}, 1)]
    for step, number in steps:
        top = layers[-1]
        items, queue, following = model[-1]
        key = str(number)
        match step:
            case "put":
                top.put(NOTES, key, note(f"{len(items)}"))
                items[key] = f"{len(items)}" if key not in items else items[key]
                items[key] = top.get(NOTES, key).text  # type: ignore[union-attr]
            case "delete":
                top.delete(NOTES, key)
                items.pop(key, None)
            case "append":
                assert top.append(OUT, note(key)) == following
                queue[following] = key
                model[-1] = (items, queue, following + 1)
            case "remove":
                top.remove(OUT, number)
                queue.pop(number, None)
            case "nest":
                layers.append(top.nested())
                model.append((dict(items), dict(queue), following))
            case "absorb" if len(layers) > 1:
                layers[-2].absorb(layers.pop())
                model[-2:] = [model[-1]]
            case "forget" if len(layers) > 1:
                layers.pop()
                model.pop()
            case "commit" if len(layers) == 1:
                commit(ledger, top)
                layers = [ledger.begin()]
        items, queue, _ = model[-1]
        assert {k: v.text for k, v in layers[-1].all(NOTES).items()} == items
        assert [(s, v.text) for s, v in layers[-1].queue(OUT)] == sorted(queue.items())
        got = layers[-1].get(NOTES, key)
        assert (got.text if got else None) == items.get(key)
    profile.close()


async def test_operations_are_committed_in_groups_and_in_order(profile: Profile) -> None:
    committer = Committer(Ledger(profile))
    order: list[str] = []

    def operation(text: str) -> Note:
        return note(text)

    async def one(text: str) -> None:
        def run(transaction: Transaction) -> str:
            transaction.append(OUT, operation(text))
            return text

        assert await committer.do(run, after=order.append) == text

    async with trio.open_nursery() as nursery:
        nursery.start_soon(committer.run)
        async with trio.open_nursery() as senders:
            for n in range(100):
                senders.start_soon(one, str(n))
        assert committer.commits < 20
        found = await committer.do(lambda transaction: [value.text for _, value in transaction.queue(OUT)])
        committer.close()
    assert found == order
    assert sorted(order, key=int) == [str(n) for n in range(100)]
    with pytest.raises(ClientUsageError):
        await committer.do(lambda transaction: None)
    profile.close()


async def test_an_operation_that_raises_drops_its_own_changes_only(profile: Profile) -> None:
    committer = Committer(Ledger(profile))

    def bad(transaction: Transaction) -> None:
        transaction.put(NOTES, "bad", note("bad"))
        raise ValueError("bad")

    async def good(n: int) -> None:
        await committer.do(lambda transaction: transaction.put(NOTES, str(n), note("good")))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(committer.run)
        async with trio.open_nursery() as senders:
            for n in range(5):
                senders.start_soon(good, n)
            with pytest.raises(ValueError, match="bad"):
                await committer.do(bad)
        assert set(await committer.do(lambda transaction: transaction.all(NOTES))) == set("01234")
        committer.close()
    profile.close()


async def test_a_full_disk_fails_whoever_needs_the_room_and_leaves_memory_as_it_was(profile: Profile) -> None:
    committer = Committer(Ledger(profile))
    failures: list[str] = []
    database = profile._db  # noqa: SLF001

    def large(transaction: Transaction) -> None:
        transaction.put(NOTES, "kept", note("x" * 100000))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(committer.run)
        await committer.do(lambda transaction: transaction.put(NOTES, "kept", note("kept")))
        pages = database.execute("PRAGMA page_count").fetchone()[0]
        database.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(DiskFullError):
            await committer.do(large)
        await committer.post(large, lambda _: failures.append("after"), lambda error: failures.append(error.code))
        assert await committer.do(lambda transaction: transaction.get(NOTES, "kept")) == note("kept")
        await committer.do(lambda transaction: transaction.put(NOTES, "kept", note("small")))
        assert await committer.do(lambda transaction: transaction.get(NOTES, "kept")) == note("small")
        assert failures == ["disk_full"]
        database.execute("PRAGMA max_page_count = 1000000")
        await committer.do(large)
        committer.close()
    profile.close()
