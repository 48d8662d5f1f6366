"""pykka's side of bench.runtime_peers; runs in the peers' environment. An actor is a thread; there are no supervisors.

python bench/peer_pykka.py time|memory SCALE          prints {question: figure} as JSON
"""

import gc
import json
import os
import sys
from threading import Event
from time import perf_counter
from typing import Any

import pykka


class Echo(pykka.ThreadingActor):
    """Answers what it is asked; tells when it has started."""

    def __init__(self, started: Event) -> None:
        super().__init__()
        self.started = started

    def on_start(self) -> None:
        self.started.set()

    def on_receive(self, message: Any) -> Any:
        return message


def start() -> "pykka.ActorRef[Echo]":
    """Start an actor; returns when its `on_start` ran."""
    started = Event()
    actor = Echo.start(started)
    started.wait()
    return actor


def call(actor: "pykka.ActorRef[Echo]", scale: int) -> float:
    count = 500 * scale
    start_time = perf_counter()
    for _ in range(count):
        actor.ask(1, timeout=5)
    return (perf_counter() - start_time) / count * 1e6


def cast(actor: "pykka.ActorRef[Echo]", scale: int) -> float:
    start_time = perf_counter()
    for _ in range(scale):
        for value in range(999):
            actor.tell(value)
        actor.ask(1, timeout=5)
    return (perf_counter() - start_time) / (scale * 1000) * 1e6


def spawn(count: int) -> float:
    start_time = perf_counter()
    for _ in range(count):
        start()
    return (perf_counter() - start_time) / count * 1e6


def memory(scale: int) -> float:
    count = 200 * scale
    before = resident()
    spawn(count)
    return (resident() - before) / count / 1024


def resident() -> int:
    gc.collect()
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main(what: str, scale: int) -> None:
    actor = start()
    if what == "memory":
        figures = {"memory": memory(scale)}
    else:
        figures = {"call": call(actor, scale), "cast": cast(actor, scale), "spawn": spawn(100 * scale)}
    print(json.dumps({"figures": figures}), flush=True)
    pykka.ActorRegistry.stop_all()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
