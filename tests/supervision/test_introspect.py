"""Looking in, holding still, tracing."""

from collections.abc import AsyncIterator

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from supervision import (
    ActorRef,
    CallCycle,
    CallTimeout,
    From,
    Killed,
    Mailbox,
    SelfCall,
    ServerDown,
    Shutdown,
    start_child,
    start_tree,
)
from supervision.introspect import Traced, get_state, replace_state, resume, suspend, trace
from tests.support.actors import Do, Get, Puppet, doze, puppet, quiet, root


@pytest.fixture
async def server() -> AsyncIterator[ActorRef]:
    async with start_tree(root(), quiet()) as (_, supervisor):
        yield await start_child(supervisor, puppet(restart="temporary", mailbox=Mailbox(capacity=2, high_water=1)))


async def test_the_state_can_be_read_and_replaced(server: ActorRef) -> None:
    await server.cast(1)
    assert await get_state(server) == {"notes": [1]}
    assert await replace_state(server, lambda state: {"notes": [*state["notes"], 2]}) == {"notes": [1, 2]}  # type: ignore[index]
    assert await server.call(Get()) == [1, 2]


async def test_a_change_that_fails_is_the_askers_error(server: ActorRef) -> None:
    with pytest.raises(ZeroDivisionError):
        await replace_state(server, lambda _state: 1 // 0)
    with pytest.raises(TypeError, match="dict of its attributes"):
        await replace_state(server, lambda _state: 5)
    assert await server.call(Get()) == []


async def test_a_suspended_actor_does_nothing_until_it_is_resumed(server: ActorRef) -> None:
    await suspend(server)
    assert server.describe().status == "suspended"
    await server.cast("kept")
    with pytest.raises(CallTimeout):
        await server.call(Get(), 1)
    assert await get_state(server) == {"notes": []}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.cast, "waits for room")
        await wait_all_tasks_blocked()
        assert await get_state(server) == {"notes": []}
        await resume(server)
    assert await server.call(Get()) == ["kept", "waits for room"]
    assert server.describe().status == "running"


async def test_a_suspended_actor_ends_when_told_to(server: ActorRef) -> None:
    await suspend(server)
    await server.cast("never")
    server.exit(Shutdown())
    assert await server.wait_down() == Shutdown()


async def test_a_suspended_actor_can_be_killed(server: ActorRef) -> None:
    await suspend(server)
    server.kill()
    assert await server.wait_down() == Killed()


async def test_a_suspended_actor_that_stops_by_itself_ends() -> None:
    async def later(puppet: Puppet) -> None:
        await trio.sleep(1)
        puppet.stop(Shutdown("enough"))

    notes: list[object] = []
    async with start_tree(root(), quiet()) as (_, supervisor):
        server = await start_child(supervisor, puppet(notes=notes, restart="temporary"))
        await server.cast(lambda puppet: (puppet.spawn(later, puppet), None)[1])
        await suspend(server)
        await server.cast("never")
        assert await server.wait_down() == Shutdown("enough")
    assert trio.current_time() == 1
    assert notes == [("terminate", Shutdown("enough"))]


async def test_looking_into_oneself_or_in_a_circle_is_refused_at_once(server: ActorRef) -> None:
    async def look(puppet: Puppet, _caller: From) -> object:
        with pytest.raises(SelfCall):
            await get_state(puppet.ref)
        return await get_state(other)

    async def call_back(_puppet: Puppet) -> None:
        await trio.sleep(1)  # by now it is asked for its state
        with pytest.raises(CallCycle):
            await server.call(Get())

    async with start_tree(root(puppet("other")), quiet()) as (system, _):
        other = system.ref("other")
        await other.cast(call_back)
        assert await server.call(Do(look)) == {"notes": []}
    assert trio.current_time() == 1


async def test_asking_the_dead_and_the_dying(server: ActorRef) -> None:
    await server.cast(doze(10))
    await wait_all_tasks_blocked()
    with pytest.raises(CallTimeout):
        await get_state(server, 1)

    async def ask() -> None:
        with pytest.raises(ServerDown):
            await get_state(server)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        server.kill()
    await ask()
    assert trace(server, lambda _traced: None)() is None


async def test_a_trace_shows_each_message_before_it_is_handled(server: ActorRef) -> None:
    seen: list[Traced] = []
    end = trace(server, seen.append)
    await server.cast(doze(2))
    await wait_all_tasks_blocked()
    server.send("info")
    await server.call(Get())
    end()
    await server.cast("unseen")
    await server.call(Get())
    assert [(each.kind, each.waited, each.skipped) for each in seen] == [
        ("cast", 0, 0), ("info", 2, 0), ("call", 2, 0),
    ]  # fmt: skip
    assert [each.message for each in seen[1:]] == ["info", Get()]


async def test_a_trace_has_a_rate(server: ActorRef) -> None:
    seen: list[Traced] = []
    trace(server, seen.append, rate=10)
    for number in range(100):
        await server.cast(number)
    await trio.sleep(1)
    assert await server.call(Get()) == list(range(100))
    assert len(seen) == 11
    assert seen[-1].skipped == 90


async def test_a_trace_that_fails_ends_and_hurts_nobody(server: ActorRef) -> None:
    def fail(_traced: Traced) -> None:
        raise ZeroDivisionError

    trace(server, fail)
    await server.cast(1)
    await server.cast(2)
    assert await server.call(Get()) == [1, 2]
