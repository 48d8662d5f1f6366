"""What Trio itself costs; imports nothing but Trio, so that every environment's own Trio can be asked."""

from time import perf_counter

import trio
import trio.testing
from trio.lowlevel import Abort, current_task, reschedule, wait_task_rescheduled


def _abort(_raise_cancel: object) -> Abort:
    return Abort.SUCCEEDED


async def two_switches(count: int) -> float:
    """Microseconds for two raw task switches, there and back, by the cheapest public means; the mean of `count`."""
    client = current_task()

    async def server() -> None:
        while True:
            await wait_task_rescheduled(_abort)
            reschedule(client)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(server)
        await trio.testing.wait_all_tasks_blocked()
        (task,) = nursery.child_tasks
        start = perf_counter()
        for _ in range(count):
            reschedule(task)
            await wait_task_rescheduled(_abort)
        elapsed = perf_counter() - start
        nursery.cancel_scope.cancel()
    return elapsed / count * 1e6
