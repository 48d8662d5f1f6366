"""Functions as supervised tasks."""

from collections.abc import AsyncIterator, Iterator

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from supervision import (
    ActorRef,
    ChildSpec,
    DynamicSupervisor,
    Killed,
    MaxChildren,
    Shutdown,
    count_children,
    start_child,
    terminate_child,
)
from supervision.tasks import Failed, TaskDown, run_linked, run_nolink, stream
from supervision.testing import clean_tree
from tests.support.actors import Boom, Puppet, boom, crashed_with, puppet, quiet

from .conftest import Within


@pytest.fixture
async def pool() -> AsyncIterator[ActorRef]:
    spec = ChildSpec("pool", lambda: DynamicSupervisor(max_children=10), type="supervisor")
    async with clean_tree(spec, quiet()) as (_, ref):
        yield ref


async def double(number: float) -> float:
    await trio.sleep(number)
    return 2 * number


async def fail() -> None:
    await trio.sleep(1)
    raise Boom


async def test_a_task_gives_its_result_to_all_who_wait(pool: ActorRef, within: Within) -> None:
    task = await run_nolink(pool, lambda: double(3))
    with within(3):
        assert await task.result() == 6
    assert await task.result() == 6
    assert (await count_children(pool)).active == 0


async def test_a_task_that_fails_or_is_ended_tells_why(pool: ActorRef) -> None:
    failing = await run_nolink(pool, fail)
    with pytest.raises(TaskDown) as caught:
        await failing.result()
    assert isinstance(crashed_with(caught.value.reason), Boom)
    killed, told = await run_nolink(pool, lambda: double(100)), await run_nolink(pool, lambda: double(100))
    killed.ref.kill()
    await terminate_child(pool, told.ref)
    for task, reason in ((killed, Killed()), (told, Shutdown())):
        with pytest.raises(TaskDown) as caught:
            await task.result()
        assert caught.value.reason == reason
    assert trio.current_time() == 1


async def test_a_linked_task_and_its_actor_end_together(pool: ActorRef) -> None:
    owner = await start_child(pool, puppet("one", restart="temporary"))
    await run_linked(pool, owner, fail)
    assert isinstance(crashed_with(await owner.wait_down()), Boom)
    owner = await start_child(pool, puppet("two", restart="temporary"))
    task = await run_linked(pool, owner, lambda: double(100))
    await owner.cast(boom)
    with pytest.raises(TaskDown):
        await task.result()


async def test_tasks_count_as_children(pool: ActorRef) -> None:
    for _ in range(10):
        await run_nolink(pool, lambda: double(100))
    with pytest.raises(MaxChildren):
        await run_nolink(pool, lambda: double(1))


async def test_a_task_that_its_starter_never_had_in_hand_does_not_run(pool: ActorRef) -> None:
    class Slow(Puppet):
        async def init(self) -> None:
            await trio.sleep(3)

    ran: list[float] = []

    async def run() -> None:
        ran.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(start_child, pool, ChildSpec("slow", Slow, restart="temporary"))
        await wait_all_tasks_blocked()
        with trio.move_on_after(1):
            await run_nolink(pool, run)
        with trio.move_on_after(1):
            async with stream(pool, lambda _item: run(), [1, 2, 3]) as outcomes:
                async for _ in outcomes:
                    pytest.fail("the pool is busy")
    await wait_all_tasks_blocked()
    assert ran == []
    assert (await count_children(pool)).specs == 1


async def test_a_stream_keeps_the_order_and_the_limit(pool: ActorRef, within: Within) -> None:
    running, most = 0, 0

    async def work(seconds: float) -> float:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            return await double(seconds)
        finally:
            running -= 1

    with within(4):
        async with stream(pool, work, [3, 1, 2, 1], max_concurrency=2) as outcomes:
            assert [each async for each in outcomes] == [(3, 6), (1, 2), (2, 4), (1, 2)]
    assert most == 2


async def test_an_unordered_stream_gives_what_is_ready(pool: ActorRef) -> None:
    async with stream(pool, double, [3, 1, 2], ordered=False) as outcomes:
        assert [item async for item, _ in outcomes] == [1, 2, 3]


async def test_a_stream_tells_of_failures_and_time_outs_and_goes_on(pool: ActorRef) -> None:
    async def work(number: float) -> float:
        if number == 2:
            raise Boom
        return await double(number)

    async with stream(pool, work, [1, 2, 100, 3], timeout=10) as outcomes:
        found = [outcome async for _, outcome in outcomes]
    assert (found[0], found[3]) == (2, 6)
    assert isinstance(found[1], Failed)
    assert isinstance(crashed_with(found[1].reason), Boom)
    assert isinstance(found[2], Failed)
    assert isinstance(crashed_with(found[2].reason), TimeoutError)


async def test_a_stream_that_is_left_ends_what_runs_and_takes_no_more(pool: ActorRef) -> None:
    taken: list[int] = []

    def endless() -> Iterator[int]:
        number = 0
        while True:
            number += 1
            taken.append(number)
            yield number

    async with stream(pool, double, endless(), max_concurrency=3) as outcomes:
        async for _, outcome in outcomes:
            assert outcome == 2
            break
    assert taken == [1, 2, 3, 4]  # the first had ended, so there was room
    await wait_all_tasks_blocked()
    assert (await count_children(pool)).active == 0
