"""triotp's side of bench.runtime_peers; runs in the peers' environment, on the Trio that triotp asks for.

    python bench/peer_triotp.py time|memory SCALE         prints {question: figure} as JSON

A cast to triotp waits until the server takes it (mailboxes of size 0); starting a child does not wait for `init`, so
that is waited for here. Calls have a deadline, as ours do by default.
"""

import gc
import json
import os
import sys
from time import perf_counter
from typing import Any

import raw_trio
import trio
from triotp import application, dynamic_supervisor, gen_server, node, supervisor

FOREVER = supervisor.options(max_restarts=10**9, max_seconds=1)


class Echo:
    """A gen_server's module: answers what it is asked, crashes when told to."""

    started = 0
    seen = trio.Event()

    @staticmethod
    async def init(_argument: object) -> None:
        Echo.started += 1
        Echo.seen.set()

    @staticmethod
    async def handle_call(message: object, _caller: object, state: None) -> tuple[gen_server.Reply, None]:
        return gen_server.Reply(message), state

    @staticmethod
    async def handle_cast(message: object, state: None) -> tuple[gen_server.NoReply, None]:
        if message == "crash":
            raise RuntimeError("as asked")
        return gen_server.NoReply(), state

    @staticmethod
    async def terminate(_reason: object, _state: None) -> None:
        pass


def child(name: str | None, restart: Any) -> supervisor.child_spec:
    """The spec of a server."""
    return supervisor.child_spec(id="child", task=gen_server.start, args=[Echo, None, name], restart=restart)


async def start(supervisor_mailbox: str, name: str | None = None, *, permanent: bool = False) -> None:
    """Start a supervised server; returns when its `init` ran."""
    Echo.seen = trio.Event()
    strategy = supervisor.restart_strategy
    await dynamic_supervisor.start_child(
        supervisor_mailbox, child(name, strategy.PERMANENT if permanent else strategy.TEMPORARY)
    )
    await Echo.seen.wait()


async def call(scale: int) -> float:
    count = 500 * scale
    start_time = perf_counter()
    for _ in range(count):
        await gen_server.call("server", 1, timeout=5)
    return (perf_counter() - start_time) / count * 1e6


async def cast(scale: int) -> float:
    start_time = perf_counter()
    for _ in range(scale):
        for value in range(999):
            await gen_server.cast("server", value)
        await gen_server.call("server", 1, timeout=5)
    return (perf_counter() - start_time) / (scale * 1000) * 1e6


async def spawn(supervisor_mailbox: str, count: int) -> float:
    start_time = perf_counter()
    for _ in range(count):
        await start(supervisor_mailbox)
    return (perf_counter() - start_time) / count * 1e6


async def crash(supervisor_mailbox: str, scale: int) -> float:
    count = 50 * scale
    await start(supervisor_mailbox, "crasher", permanent=True)
    start_time = perf_counter()
    for _ in range(count):
        before = Echo.started
        await gen_server.cast("crasher", "crash")
        while Echo.started == before:
            await trio.lowlevel.checkpoint()
    return (perf_counter() - start_time) / count * 1e6


async def memory(supervisor_mailbox: str, scale: int) -> float:
    count = 2000 * scale
    before = resident()
    await spawn(supervisor_mailbox, count)
    return (resident() - before) / count / 1024


def resident() -> int:
    gc.collect()
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Bench:
    """The application that asks."""

    @staticmethod
    async def start(argument: tuple[str, int]) -> None:
        what, scale = argument
        async with trio.open_nursery() as nursery:
            held = await nursery.start(dynamic_supervisor.start, FOREVER)
            await start(held, "server")
            if what == "memory":
                figures = {"memory": await memory(held, scale)}
            else:
                figures = {
                    "floor": await raw_trio.two_switches(2000 * scale),
                    "call": await call(scale),
                    "cast": await cast(scale),
                    "spawn": await spawn(held, 200 * scale),
                    "crash": await crash(held, scale),
                }
            print(json.dumps({"trio": trio.__version__, "figures": figures}), flush=True)
            nursery.cancel_scope.cancel()


if __name__ == "__main__":
    spec = application.app_spec(module=Bench, start_arg=(sys.argv[1], int(sys.argv[2])), permanent=False)
    node.run(apps=[spec])
