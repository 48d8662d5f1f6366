"""Full mailboxes: who waits, who is refused, what is dropped, what never is."""

from collections.abc import AsyncIterator

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from supervision import (
    ActorRef,
    CallTimeout,
    Down,
    HighWaterReport,
    Killed,
    Mailbox,
    MailboxFull,
    ServerDown,
    Shutdown,
    System,
    start_child,
    start_tree,
)
from tests.support.actors import SMALL, Do, Get, add_puppet, boom, doze, puppet, quiet, root

from .conftest import Within


@pytest.fixture
async def tree() -> AsyncIterator[tuple[System, ActorRef]]:
    async with start_tree(root(), quiet()) as (system, supervisor):
        yield system, supervisor


async def busy(tree: tuple[System, ActorRef], policy: Mailbox, seconds: float = 1.0) -> ActorRef:
    """A server that is busy for so long, its mailbox full."""
    server = await add_puppet(tree[1], mailbox=policy)
    await server.cast(doze(seconds))
    await wait_all_tasks_blocked()
    for value in range(policy.capacity):
        server.cast_nowait(value)
    return server


async def test_a_cast_waits_for_room_and_keeps_its_place(tree: tuple[System, ActorRef], within: Within) -> None:
    server = await busy(tree, SMALL)
    with within(1):
        async with trio.open_nursery() as nursery:
            for value in range(3, 9):
                nursery.start_soon(server.cast, value)
                await wait_all_tasks_blocked()
            assert server.describe().mailbox.blocked == 6  # type: ignore[union-attr]
    assert await server.call(Get()) == list(range(9))


async def test_nobody_overtakes_those_who_wait_for_room(tree: tuple[System, ActorRef]) -> None:
    server = await add_puppet(tree[1], mailbox=SMALL)
    for _ in range(4):
        await server.cast(doze(1))
        await wait_all_tasks_blocked()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.cast, "first")
        await trio.sleep(1.5)  # one was taken, so there is room, but somebody stands in line
        with pytest.raises(MailboxFull):
            server.send("refused")
        nursery.start_soon(server.cast, "second")
    assert await server.call(Get()) == ["first", "second"]
    server.send("welcome")
    assert (await server.call(Get()))[2:] == [("info", "welcome")]


async def test_a_call_waits_for_room_within_its_timeout(tree: tuple[System, ActorRef], within: Within) -> None:
    server = await busy(tree, SMALL, 10)
    with within(2), pytest.raises(CallTimeout):
        await server.call(Do(lambda puppet, _caller: puppet.notes.append("never")), 2)
    with within(8):
        assert await server.call(Get(), None) == [0, 1, 2]


async def test_a_cast_that_is_cancelled_while_it_waits_is_not_delivered(tree: tuple[System, ActorRef]) -> None:
    server = await busy(tree, SMALL)
    with trio.move_on_after(0.5):
        await server.cast("never")
    assert await server.call(Get()) == [0, 1, 2]


async def test_senders_that_wait_are_let_go_when_the_server_dies(tree: tuple[System, ActorRef], within: Within) -> None:
    server = await busy(tree, SMALL, 10)

    async def ask() -> None:
        with pytest.raises(ServerDown):
            await server.call(Get())

    with within(0):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.cast, "lost")
            nursery.start_soon(ask)
            await wait_all_tasks_blocked()
            server.kill()


async def test_the_nowait_forms_never_wait(tree: tuple[System, ActorRef]) -> None:
    server = await busy(tree, SMALL)
    with pytest.raises(MailboxFull) as caught:
        server.cast_nowait("more")
    assert caught.value.capacity == 3
    with pytest.raises(MailboxFull):
        server.send("more")


async def test_refuse_tells_the_sender(tree: tuple[System, ActorRef], within: Within) -> None:
    server = await busy(tree, Mailbox(capacity=3, overflow="refuse", high_water=1))
    with within(0):
        with pytest.raises(MailboxFull):
            await server.cast("more")
        with pytest.raises(MailboxFull):
            await server.call(Get())
    await trio.sleep(2)
    assert await server.call(Get()) == [0, 1, 2]


async def test_drop_oldest_makes_room_and_tells_a_dropped_caller(tree: tuple[System, ActorRef]) -> None:
    server = await busy(tree, Mailbox(capacity=2, overflow="drop_oldest", high_water=1))

    async def ask() -> None:
        with pytest.raises(MailboxFull):
            await server.call(Get())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await wait_all_tasks_blocked()  # 0 went
        await server.cast("a")  # 1 went
        await server.cast("b")  # the call went
    await trio.sleep(2)
    assert await server.call(Get()) == ["a", "b"]


async def test_exits_downs_and_timers_get_through_a_full_mailbox(tree: tuple[System, ActorRef]) -> None:
    other = await start_child(tree[1], puppet("other", restart="temporary"))
    notes: list[object] = []
    server = await add_puppet(tree[1], notes, mailbox=Mailbox(capacity=3, overflow="drop_oldest", high_water=1))
    await server.call(Do(lambda watcher, _caller: (watcher.monitor(other), watcher.send_after(0.5, "timer"))[0]))
    await server.cast(doze(1))
    await wait_all_tasks_blocked()
    other.kill()
    await trio.sleep(0.7)
    for value in range(9):
        server.cast_nowait(value)
    server.exit(Shutdown())
    assert await server.wait_down() == Shutdown()
    assert ("info", Down(other, Killed())) in notes
    assert ("info", "timer") in notes
    assert notes[-1] == ("terminate", Shutdown())


async def test_the_high_water_mark_is_reported_once_until_the_mailbox_was_empty() -> None:
    system, reports = quiet(), []
    system.events.subscribe(reports.append, HighWaterReport)
    async with start_tree(root(), system) as tree:
        server = await busy(tree, Mailbox(capacity=10, high_water=0.5))
        assert [(report.depth, report.capacity) for report in reports] == [(5, 10)]
        await trio.sleep(2)
        assert len(reports) == 1
        await server.cast(doze(1))
        await wait_all_tasks_blocked()
        for value in range(7):
            server.cast_nowait(value)
    assert [report.depth for report in reports] == [5, 5]


async def test_the_snapshot_tells_depth_age_and_most(tree: tuple[System, ActorRef]) -> None:
    server = await busy(tree, Mailbox(capacity=10), 5)
    await trio.sleep(2)
    box = server.describe().mailbox
    assert box is not None
    assert (box.depth, box.high_water, box.oldest_age, box.capacity) == (10, 10, 2, 10)
    await trio.sleep(10)
    box = server.describe().mailbox
    assert box is not None
    assert (box.depth, box.high_water, box.oldest_age, box.handled) == (0, 10, 0, 11)


async def test_two_servers_that_cast_to_each_other_do_not_lock_up(tree: tuple[System, ActorRef]) -> None:
    one = await start_child(tree[1], puppet("one", restart="temporary"))
    two = await start_child(tree[1], puppet("two", restart="temporary"))
    for here, there in ((one, two), (two, one)):
        for value in range(100):
            await here.cast(lambda _puppet, there=there, value=value: there.cast(value))
    await wait_all_tasks_blocked()
    assert await one.call(Get()) == await two.call(Get()) == list(range(100))


async def test_a_crash_loses_what_was_in_the_mailbox(tree: tuple[System, ActorRef]) -> None:
    notes: list[object] = []
    server = await start_child(tree[1], puppet("again", notes))
    await server.cast(boom)
    await server.cast("lost")
    await server.wait_down()
    assert "lost" not in notes
