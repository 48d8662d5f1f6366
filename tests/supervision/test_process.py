"""The life of a process: its boundary, its links, its monitors, its end."""

from collections.abc import AsyncIterator

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from supervision import (
    ActorRef,
    ChildSpec,
    CrashReport,
    Down,
    ExitReason,
    From,
    Killed,
    NoProc,
    Normal,
    ServerDown,
    Shutdown,
    StartError,
    StuckReport,
    System,
    start_child,
    start_tree,
    terminate_child,
)
from supervision.process import Process
from tests.support.actors import (
    Boom,
    Do,
    Get,
    Puppet,
    Stubborn,
    add_puppet,
    boom,
    crashed_with,
    doze,
    puppet,
    quiet,
    root,
)

from .conftest import Within


@pytest.fixture
async def tree() -> AsyncIterator[tuple[System, ActorRef]]:
    async with start_tree(root(), quiet()) as (system, supervisor):
        yield system, supervisor


@pytest.fixture
async def server(tree: tuple[System, ActorRef]) -> ActorRef:
    return await add_puppet(tree[1])


async def test_a_crash_touches_no_sibling(tree: tuple[System, ActorRef], server: ActorRef) -> None:
    other = await start_child(tree[1], puppet("other"))
    await other.cast(1)
    await server.cast(boom)
    await server.wait_down()
    assert await other.call(Get()) == [1]


# Linked tasks


def spawn(server: ActorRef, *tasks: object) -> object:
    def start(puppet: Puppet, _caller: From) -> None:
        for task in tasks:
            puppet.spawn(task)  # type: ignore[arg-type]

    return server.call(Do(start))


async def test_what_a_spawned_task_raises_is_the_actors_crash(tree: tuple[System, ActorRef]) -> None:
    notes: list[object] = []
    server = await add_puppet(tree[1], notes)

    async def fail() -> None:
        await trio.sleep(1)
        raise Boom

    await spawn(server, fail, trio.sleep_forever)
    await server.cast(doze(100))
    reason = await server.wait_down()
    assert trio.current_time() == 1
    assert isinstance(crashed_with(reason), Boom)
    assert notes == [("terminate", reason)]


async def test_spawned_tasks_are_cancelled_and_waited_for_when_the_actor_ends(server: ActorRef, within: Within) -> None:
    ended: list[float] = []

    async def linger() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(3)
            ended.append(trio.current_time())

    await spawn(server, linger, linger)
    with within(3):
        server.exit(Shutdown())
        await server.wait_down()
    assert len(ended) == 2


async def test_spawned_tasks_still_run_while_terminate_does(tree: tuple[System, ActorRef]) -> None:
    class Drains(Puppet):
        async def init(self) -> None:
            self.out, receive = trio.open_memory_channel[int](0)
            self.spawn(self.drain, receive)

        async def drain(self, receive: trio.MemoryReceiveChannel[int]) -> None:
            async for value in receive:
                self.notes.append(value)

        async def terminate(self, reason: object) -> None:
            await self.out.send(1)
            await self.out.send(2)
            self.out.close()

    notes: list[object] = []
    server = await start_child(tree[1], ChildSpec("drains", lambda: Drains(notes), restart="temporary"))
    server.exit(Shutdown())
    assert await server.wait_down() == Shutdown()
    assert notes == [1, 2]


async def test_a_spawned_task_that_ends_is_forgotten_and_one_can_be_cancelled(server: ActorRef) -> None:
    scopes: list[trio.CancelScope] = []
    await spawn(server, wait_all_tasks_blocked)
    await server.call(Do(lambda puppet, _caller: scopes.append(puppet.spawn(trio.sleep_forever))))
    scopes[0].cancel()
    await wait_all_tasks_blocked()
    assert server.alive


async def test_nothing_is_spawned_for_the_dead(tree: tuple[System, ActorRef]) -> None:
    known: list[Puppet] = []
    server = await add_puppet(tree[1])
    await server.call(Do(lambda puppet, _caller: known.append(puppet)))
    server.kill()
    await server.wait_down()
    with pytest.raises(ServerDown):
        known[0].spawn(trio.sleep_forever)


async def test_a_task_spawned_in_init_that_fails_there_is_the_starters_error(tree: tuple[System, ActorRef]) -> None:
    class Broken(Puppet):
        async def init(self) -> None:
            self.spawn(self.fail)
            await trio.sleep(10)

        async def fail(self) -> None:
            raise Boom

    with pytest.raises(Exception, match="did not start: crash: Boom"):
        await start_child(tree[1], ChildSpec("broken", Broken))


# Killing


async def test_killing_ends_a_busy_actor_at_once(server: ActorRef, within: Within) -> None:
    await server.cast(doze(100))
    await wait_all_tasks_blocked()
    with within(0):
        server.kill()
        assert await server.wait_down() == Killed()


async def test_killing_cuts_terminate_short(tree: tuple[System, ActorRef], within: Within) -> None:
    slow = await start_child(tree[1], ChildSpec("slow", lambda: Stubborn(100), restart="temporary", shutdown=50.0))
    slow.exit(Shutdown())
    await wait_all_tasks_blocked()
    with within(0):
        slow.kill()
        assert await slow.wait_down() == Killed()


async def test_whoever_kills_itself_handles_nothing_more(tree: tuple[System, ActorRef]) -> None:
    """Its task is cancelled where it next waits, and it may not wait for many messages."""
    notes: list[object] = []
    server = await add_puppet(tree[1], notes)
    server.cast_nowait(lambda puppet: puppet.ref.kill())
    server.cast_nowait("more")
    assert await server.wait_down() == Killed()
    assert notes == []


async def test_whoever_breaks_in_a_callback_handles_nothing_more(tree: tuple[System, ActorRef]) -> None:
    notes: list[object] = []
    server = await add_puppet(tree[1], notes)
    server.cast_nowait(lambda puppet: (puppet.link(tree[0].ref("nobody")), None)[1])
    server.cast_nowait("more")
    assert await server.wait_down() == NoProc()
    assert notes == [("terminate", NoProc())]


@pytest.mark.parametrize(("how", "reason"), [("kill", Killed()), ("link", NoProc())])
async def test_what_is_cut_short_in_init_has_not_started(
    tree: tuple[System, ActorRef], how: str, reason: ExitReason
) -> None:
    class CutShort(Puppet):
        async def init(self) -> None:
            if how == "kill":
                self.ref.kill()
            else:
                self.link(self.system.ref("nobody"))

    with pytest.raises(StartError) as caught:
        await start_child(tree[1], ChildSpec("cut", CutShort, name="cut"))
    assert caught.value.reason == reason
    assert tree[0].whereis("cut") is None


async def test_an_actor_can_be_killed_while_it_starts(tree: tuple[System, ActorRef]) -> None:
    class Endless(Puppet):
        async def init(self) -> None:
            await trio.sleep_forever()

    async def start() -> None:
        with pytest.raises(Exception, match="did not start: killed"):
            await start_child(tree[1], ChildSpec("endless", Endless, name="endless"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(start)
        await wait_all_tasks_blocked()
        tree[0].ref("endless").kill()
    assert tree[0].whereis("endless") is None


async def test_a_child_that_even_cancelling_does_not_end_is_reported_as_stuck_and_waited_for(within: Within) -> None:
    system, stuck = quiet(), []
    system.events.subscribe(stuck.append, StuckReport)
    async with start_tree(root(), system) as (_, supervisor):
        spec = ChildSpec("stubborn", lambda: Stubborn(20, shielded=True), shutdown=1.0)
        child = await start_child(supervisor, spec)
        with within(20):
            await terminate_child(supervisor, "stubborn")
    assert [(report.child, report.seconds) for report in stuck] == [(child, 5), (child, 10), (child, 15)]


# Monitors


async def test_down_comes_after_what_the_dead_sent_before(tree: tuple[System, ActorRef], server: ActorRef) -> None:
    other = await start_child(tree[1], puppet("other", restart="temporary"))
    await server.call(Do(lambda watcher, _caller: watcher.monitor(other, "tag")))

    async def tell_and_die(puppet: Puppet) -> None:
        server.send("last words")
        puppet.stop(Shutdown("over"))

    await other.cast(tell_and_die)
    await wait_all_tasks_blocked()
    expected = [("info", "last words"), ("info", Down(other, Shutdown("over"), "tag"))]
    assert await server.call(Get()) == expected


async def test_monitoring_the_dead_answers_at_once(tree: tuple[System, ActorRef], server: ActorRef) -> None:
    other = await start_child(tree[1], puppet("other", restart="temporary"))
    other.kill()
    await other.wait_down()
    await server.call(Do(lambda watcher, _caller: (watcher.monitor(other), None)[1]))
    nobody = tree[0].ref("nobody")
    await server.call(Do(lambda watcher, _caller: (watcher.monitor(nobody), None)[1]))
    assert await server.call(Get()) == [("info", Down(other, NoProc())), ("info", Down(nobody, NoProc()))]


async def test_a_monitor_can_be_taken_back_and_goes_with_its_owner(
    tree: tuple[System, ActorRef], server: ActorRef
) -> None:
    other = await start_child(tree[1], puppet("other", restart="temporary"))
    assert isinstance(other, Process)

    def watch_and_forget(watcher: Puppet, _caller: From) -> None:
        watcher.demonitor(watcher.monitor(other, "taken back"))
        assert other.watched == 0
        watcher.monitor(other, "kept")
        assert other.watched == 1

    await server.call(Do(watch_and_forget))
    first, other = other, await start_child(tree[1], puppet("another", restart="temporary"))
    assert isinstance(other, Process)
    first.kill()
    await first.wait_down()
    assert await server.call(Get()) == [("info", Down(first, Killed(), "kept"))]
    await server.call(Do(watch_and_forget))
    server.kill()
    await server.wait_down()
    assert other.watched == 0


async def test_a_monitor_by_name_tells_the_name(tree: tuple[System, ActorRef], server: ActorRef) -> None:
    await start_child(tree[1], puppet("other", restart="temporary"))
    ref = tree[0].ref("other")
    await server.call(Do(lambda watcher, _caller: (watcher.monitor(ref), None)[1]))
    ref.exit(Shutdown())
    await ref.wait_down()
    assert await server.call(Get()) == [("info", Down(tree[0].ref("other"), Shutdown()))]


async def test_whoever_hears_of_a_death_finds_the_name_free(tree: tuple[System, ActorRef]) -> None:
    child = await start_child(tree[1], puppet("other", restart="temporary"))
    found: list[object] = []
    child.watch(lambda _reason: found.append(tree[0].whereis("other")))
    child.kill()
    await child.wait_down()
    assert found == [None]


async def test_many_may_wait_for_one_end_and_one_may_stop_waiting(server: ActorRef) -> None:
    with trio.move_on_after(1):
        await server.wait_down()
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(server.wait_down)
        await wait_all_tasks_blocked()
        server.exit(Normal())
    assert await server.wait_down() == Normal()


# Reports


async def test_only_ends_that_matter_are_reported() -> None:
    system, reports = quiet(), []
    system.events.subscribe(reports.append, CrashReport)
    async with start_tree(root(), system) as (_, supervisor):
        for end in (boom, lambda puppet: puppet.stop(), lambda puppet: puppet.stop(Shutdown())):
            child = await add_puppet(supervisor)
            await child.cast(end)
            await child.wait_down()
        child = await add_puppet(supervisor)
        child.kill()
        await child.wait_down()
    assert [type(report.reason).__name__ for report in reports] == ["Crash", "Killed"]
    assert reports[0].kind == "Puppet"
    assert reports[0].handled == 1


async def test_statistics_that_fail_hurt_neither_the_picture_nor_who_takes_it(tree: tuple[System, ActorRef]) -> None:
    class Vain(Puppet):
        def statistics(self) -> dict[str, int | float | str]:
            if self.notes:
                raise Boom
            return {"good": 1}

    vain = await start_child(tree[1], ChildSpec("vain", Vain))
    assert vain.describe().statistics == {"good": 1}
    await vain.cast(1)
    await wait_all_tasks_blocked()
    assert tree[0].snapshot().find("vain").statistics == {"statistics_failed": "Boom()"}  # type: ignore[union-attr]


async def test_a_callback_that_fails_keeps_the_end_from_nobody(server: ActorRef) -> None:
    heard: list[object] = []
    server.watch(boom)
    server.watch(heard.append)
    server.kill()
    assert await server.wait_down() == Killed()
    assert heard == [Killed()]
