"""The baseline: what an echo costs a bare trio-websocket server over TLS 1.3, and what an idle connection weighs.

    python -m bench.bare_echo                 # three runs, medians
    python -m bench.bare_echo --subject ours  # the same load against norc_actors.net

Server and load generator are processes of their own, on loopback. Only the server's CPU counts.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import trio
import trio_websocket

from bench.processes import Child, allow_files, say
from norc_actors.devpki import make_dev
from norc_actors.ids import ServerId
from norc_actors.net.errors import ClosedError, ConnectError
from norc_actors.net.listener import accept_forever, bound_address, open_listeners
from norc_actors.net.tls import client_context, server_context
from norc_actors.net.websocket import WebSocket, connect_websocket, serve_websocket

NAME = ServerId("bench.example.org")
PROTOCOL = "norc-c-v1"


# --- servers ---


async def bare_server(folder: Path) -> None:
    """trio-websocket as it comes."""

    async def echo(request: trio_websocket.WebSocketRequest) -> None:
        connection = await request.accept(subprotocol=PROTOCOL)
        try:
            while True:
                await connection.send_message(await connection.get_message())
        except trio_websocket.ConnectionClosed:
            pass

    async with trio.open_nursery() as nursery:
        context = server_context(folder / "server.pem", folder / "server.key")
        server = await nursery.start(partial(trio_websocket.serve_websocket, echo, "127.0.0.1", 0, context))
        say({"port": server.port})
        await until_stdin_ends()
        nursery.cancel_scope.cancel()


async def our_server(folder: Path) -> None:
    """The same through norc_actors.net."""
    context = server_context(folder / "server.pem", folder / "server.key")

    async def echo(websocket: WebSocket) -> None:
        try:
            while True:
                await websocket.send(await websocket.receive())
        except ClosedError:
            pass

    async def serve(stream: trio.SocketStream) -> None:
        with suppress(ConnectError):
            await serve_websocket(stream, echo, ssl_context=context, subprotocols=[PROTOCOL], max_message_size=2**20)

    [listener] = await open_listeners("127.0.0.1:0")
    async with trio.open_nursery() as nursery:

        async def accepted(stream: trio.SocketStream) -> None:
            nursery.start_soon(serve, stream)

        nursery.start_soon(accept_forever, listener, accepted)
        say({"port": bound_address(listener)[1]})
        await until_stdin_ends()
        nursery.cancel_scope.cancel()


async def until_stdin_ends() -> None:
    """Returns when the parent is gone."""
    await trio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)


# --- load ---


async def load(port: int, folder: Path, connections: int, window: int, size: int, messages: int) -> None:
    """Open connections; after a line on stdin exchange `messages` in all, `window` in flight on each; wait for
    stdin's end.

    Says {"open": n}, then {"seconds", "messages", "p50", "p99"} (latencies in seconds). Reusable against any server
    that echoes.
    """
    context = client_context(folder / "ca.pem")
    latencies: list[float] = []
    each = messages // connections
    opened, finished = Countdown(connections), Countdown(connections)
    go = trio.Event()

    async def one() -> None:
        async with connect_websocket(
            "127.0.0.1",
            port,
            ssl_context=context,
            server_name=NAME,
            path="/norc-c",
            subprotocols=[PROTOCOL],
            max_message_size=2**20,
        ) as websocket:
            opened.one()
            await go.wait()
            latencies.extend(await exchange(websocket, each, window, bytes(size)))
            finished.one()
            await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        for number in range(connections):
            nursery.start_soon(one)
            if number % 20 == 19:  # no faster than a backlog
                await trio.sleep(0.02)
        await opened.done.wait()
        say({"open": connections})
        await trio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True)
        begin = time.perf_counter()
        go.set()
        await finished.done.wait()
        seconds = time.perf_counter() - begin
        latencies.sort()
        say({"seconds": seconds, "messages": len(latencies), "p50": at(latencies, 0.5), "p99": at(latencies, 0.99)})
        await until_stdin_ends()
        nursery.cancel_scope.cancel()


async def exchange(websocket: WebSocket, count: int, window: int, message: bytes) -> list[float]:
    """Send `count` messages, never more than `window` unanswered; the latency of each."""
    sent: list[float] = []
    latencies: list[float] = []
    while len(latencies) < count:
        while len(sent) < min(count, len(latencies) + window):
            sent.append(time.perf_counter())
            await websocket.send(message)
        await websocket.receive()
        latencies.append(time.perf_counter() - sent[len(latencies)])
    return latencies


class Countdown:
    """`done` is set by the last of `count` calls."""

    def __init__(self, count: int) -> None:
        self._left = count
        self.done = trio.Event()

    def one(self) -> None:
        self._left -= 1
        if self._left == 0:
            self.done.set()


def at(ordered: list[float], share: float) -> float:
    """A quantile of sorted values, 0 of none."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


# --- measuring ---


def measure_echo(role: str, folder: Path, messages: int) -> dict[str, float]:
    """CPU microseconds of the server per echo: 50 connections, 8 in flight on each, 512 bytes."""
    with Child("-m", "bench.bare_echo", role, str(folder)) as server:
        arguments = ["load", str(folder), "--port", str(server.ready["port"]), "--messages", str(messages)]
        with Child("-m", "bench.bare_echo", *arguments) as generator:
            before = server.cpu()
            generator.tell("go")
            result = generator.read()
            used = server.cpu() - before
    return {
        "cpu_us_per_echo": used / result["messages"] * 1e6,
        "echoes_per_second": result["messages"] / result["seconds"],
        "p50_ms": result["p50"] * 1e3,
        "p99_ms": result["p99"] * 1e3,
    }


def measure_idle(role: str, folder: Path, connections: int) -> dict[str, float]:
    """Resident bytes of the server per connection that was opened and says nothing."""
    with Child("-m", "bench.bare_echo", role, str(folder)) as server:
        arguments = ["load", str(folder), "--port", str(server.ready["port"]), "--messages", "0"]
        with Child("-m", "bench.bare_echo", *arguments, "--connections", "50"):  # warm: imports and arenas
            pass
        before = server.rss()
        with Child("-m", "bench.bare_echo", *arguments, "--connections", str(connections)):
            return {"rss_bytes_per_connection": (server.rss() - before) / connections}


def measure(role: str, *, runs: int, messages: int, connections: int) -> dict[str, float]:
    """Medians over `runs`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_dev(folder, NAME, random=os.urandom, clock=time.time)
        results = [measure_echo(role, folder, messages) | measure_idle(role, folder, connections) for _ in range(runs)]
    return {key: statistics.median(result[key] for result in results) for key in results[0]}


def main() -> None:
    """Parse the command line; the roles are for children."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("role", nargs="?", choices=["bare", "ours", "load"])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--subject", choices=["bare", "ours"], default="bare")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--idle", type=int, default=1000)
    parser.add_argument("--window", type=int, default=8)
    parser.add_argument("--size", type=int, default=512)
    given = parser.parse_args()
    allow_files(4096)
    if given.role == "load":
        trio.run(load, given.port, given.folder, given.connections, given.window, given.size, given.messages)
    elif given.role is not None:
        trio.run(bare_server if given.role == "bare" else our_server, given.folder)
    else:
        result = measure(given.subject, runs=given.runs, messages=given.messages, connections=given.idle)
        print(json.dumps({key: round(value, 1) for key, value in result.items()}))


if __name__ == "__main__":
    main()
