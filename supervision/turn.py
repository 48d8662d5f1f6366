"""The turn of a supervisor that a starting child takes up: it handles nothing else until the child stands or failed.

Rules
- A turn is held *for* a child, and the task of the supervisor says so in its `custom_sleep_data`. That is the one
  record of it: cancelled (killed, broken) a task loses that mark, and `release` then finds nothing to release. A child
  whose `init` calls its own supervisor is refused by the same mark, as a circle.
- The child releases the turn, in the step in which it stands or ends. A supervisor with an empty mailbox is not woken
  for that: it is parked again where it sleeps, and its next message wakes it.
- An *idle* supervisor need not even be woken to begin: whoever asks takes the turn in their own step, in the
  supervisor's context. Nobody can tell, but by the clock: idle means parked with an empty mailbox, not suspended, not
  traced, no time-out running, so the request would have been the next thing it handles in any case. It saves a start
  one switch of tasks in three.
- A held turn does not hold up an exit: asked for, it gives the start up; a kill cancels the task where it sleeps.
"""

from trio.lowlevel import reschedule, wait_task_rescheduled

from ._core.specs import ChildSpec
from .process import Process
from .reply import From


def is_offered(host: Process) -> bool:
    """Is `host` idle, and of a kind that begins a start in whatever step?"""
    return (
        host.parked and not host.special and host.idle is None and host.actor is not None and host.actor.starts_at_once
    )


def take(host: Process, spec: ChildSpec, caller: From) -> None:
    """Take the turn that is offered: begin the start for `caller`, and hold the turn until the child releases it.

    Raises what the supervisor refuses the start with; nothing has happened then.
    """
    task, actor = host.task, host.actor
    if task is None or actor is None:
        raise RuntimeError(f"{host} offers no turn")
    task.custom_sleep_data = task.context.run(actor.begin_start, spec, caller)
    host.parked = False
    host.handled += 1
    host.current = caller


async def hold(host: Process, child: Process) -> None:
    """Hold the turn from inside a callback of `host`. Returns when there is something to do; that may be much later."""
    host.task.custom_sleep_data = child  # type: ignore[union-attr]  # it runs
    await wait_task_rescheduled(host.unpark)


def held(host: Process, child: Process) -> bool:
    """Does `host` wait for `child` to start?"""
    return host.task is not None and host.task.custom_sleep_data is child


def release(host: Process, child: Process) -> None:
    """`child` stands or is down: `host` goes on with what came meanwhile, or sleeps until something comes."""
    task = host.task
    if task is None or task.custom_sleep_data is not child:
        return
    task.custom_sleep_data = host.current = None
    if host.queue or host.stopping is not None:
        reschedule(task)
    else:
        host.parked = True
