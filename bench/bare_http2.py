"""The baseline of links: what an HTTP/2 request costs bare h2 over trio's TLS, mutual and 1.3, at both ends together.

    python -m bench.bare_http2                  # three runs, medians: {"cpu_us_per_request", "requests_per_second", …}
    python -m bench.bare_http2 --subject ours   # the same through norc_actors.net

Client and server are processes of their own, on loopback, on one connection. The bare ends are the shortest that are
right: h2's own events, echo of the whole body, windows given back at once.
"""

import argparse
import json
import os
import ssl
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import h2.events
import trio
from h2.config import H2Configuration
from h2.connection import H2Connection

from bench.bare_echo import at, until_stdin_ends
from bench.processes import Child, say
from norc_actors.devpki import make_dev
from norc_actors.ids import ServerId
from norc_actors.net.errors import ConnectError
from norc_actors.net.http2 import Http2Client, Http2Served, open_http2, serve_http2
from norc_actors.net.listener import accept_forever, bound_address, open_listeners
from norc_actors.net.tls import peer_contexts

NAME = ServerId("bench.example.org")
ALPN = ["norc-f/2.0"]
MAX_BODY = 4 * 2**20


def contexts(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """(server's, client's); both ends have the same certificate."""
    server, client = peer_contexts(folder / "server.pem", folder / "server.key", folder / "ca.pem")
    server.set_alpn_protocols(ALPN)
    client.set_alpn_protocols(ALPN)
    return server, client


# --- bare ends ---


async def bare_server(folder: Path) -> None:
    """Echo, with h2 alone."""

    async def serve(tcp: trio.SocketStream) -> None:
        stream = trio.SSLStream(tcp, contexts(folder)[0], server_side=True)
        connection = H2Connection(H2Configuration(client_side=False, header_encoding=None))
        connection.initiate_connection()
        bodies: dict[int, bytearray] = {}
        await stream.send_all(connection.data_to_send())
        while data := await stream.receive_some():
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    bodies[event.stream_id] = bytearray()
                elif isinstance(event, h2.events.DataReceived):
                    bodies[event.stream_id] += event.data
                    connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded):
                    connection.send_headers(event.stream_id, [(b":status", b"200")])
                    send_body(connection, event.stream_id, bodies.pop(event.stream_id))
            await stream.send_all(connection.data_to_send())

    async def one(tcp: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            await serve(tcp)

    await listen(one)


def send_body(connection: H2Connection, stream: int, body: bytes | bytearray) -> None:
    """In frames; bodies here fit the windows."""
    size = connection.max_outbound_frame_size
    for begin in range(0, len(body), size):
        connection.send_data(stream, bytes(body[begin : begin + size]), end_stream=begin + size >= len(body))


async def bare_load(port: int, folder: Path, window: int, size: int, requests: int) -> list[float]:
    """`requests` with `window` of them in flight; the latency of each."""
    tcp = await trio.open_tcp_stream("127.0.0.1", port)
    stream = trio.SSLStream(tcp, contexts(folder)[1], server_hostname=NAME)
    connection = H2Connection(H2Configuration(client_side=True, header_encoding=None))
    connection.initiate_connection()
    headers = [(":method", "POST"), (":scheme", "https"), (":authority", NAME), (":path", "/norc-f")]
    begun: dict[int, float] = {}
    latencies: list[float] = []
    body, sent = bytes(size), 0
    while len(latencies) < requests:
        while sent < requests and len(begun) < window:
            number = connection.get_next_available_stream_id()
            connection.send_headers(number, headers)
            send_body(connection, number, body)
            begun[number] = time.perf_counter()
            sent += 1
        await stream.send_all(connection.data_to_send())
        for event in connection.receive_data(await stream.receive_some()):
            if isinstance(event, h2.events.DataReceived):
                connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                latencies.append(time.perf_counter() - begun.pop(event.stream_id))
    await tcp.aclose()
    return latencies


# --- ours ---


async def our_server(folder: Path) -> None:
    """The same through norc_actors.net."""
    context = contexts(folder)[0]

    async def echo(served: Http2Served) -> None:
        while (asked := await served.next()) is not None:
            await asked.respond(asked.body)

    async def serve(tcp: trio.SocketStream) -> None:
        with suppress(ConnectError):
            await serve_http2(tcp, echo, context=context, alpn=ALPN, max_body=MAX_BODY)

    await listen(serve)


async def our_load(port: int, folder: Path, window: int, size: int, requests: int) -> list[float]:
    """See `bare_load`."""
    latencies: list[float] = []
    body = bytes(size)

    async def one(client: Http2Client) -> None:
        for _ in range(requests // window):
            begin = time.perf_counter()
            await client.post(body)
            latencies.append(time.perf_counter() - begin)

    context = contexts(folder)[1]
    opened = open_http2("127.0.0.1", port, context=context, server_name=NAME, alpn=ALPN, max_body=MAX_BODY)
    async with opened as client, trio.open_nursery() as nursery:
        for _ in range(window):
            nursery.start_soon(one, client)
    return latencies


async def listen(serve: Callable[[trio.SocketStream], Awaitable[None]]) -> None:
    """Serve until the parent is gone."""
    [listener] = await open_listeners("127.0.0.1:0")
    async with trio.open_nursery() as nursery:

        async def accepted(stream: trio.SocketStream) -> None:
            nursery.start_soon(serve, stream)

        nursery.start_soon(accept_forever, listener, accepted)
        say({"port": bound_address(listener)[1]})
        await until_stdin_ends()
        nursery.cancel_scope.cancel()


async def load(subject: str, port: int, folder: Path, window: int, size: int, requests: int) -> None:
    """After a line on stdin: {"seconds", "requests", "p50", "p95"}."""
    say({})
    await trio.to_thread.run_sync(input)
    begin = time.perf_counter()
    latencies = await (bare_load if subject == "bare" else our_load)(port, folder, window, size, requests)
    seconds = time.perf_counter() - begin
    latencies.sort()
    say({"seconds": seconds, "requests": len(latencies), "p50": at(latencies, 0.5), "p95": at(latencies, 0.95)})
    await until_stdin_ends()


# --- measuring ---


def measure_once(subject: str, folder: Path, *, requests: int, window: int, size: int) -> dict[str, float]:
    """CPU microseconds of both ends per request, opening included."""
    with Child("-m", "bench.bare_http2", f"{subject}-server", str(folder)) as server:
        arguments = ["--port", str(server.ready["port"]), "--requests", str(requests)]
        arguments += ["--window", str(window), "--size", str(size)]
        with Child("-m", "bench.bare_http2", f"{subject}-load", str(folder), *arguments) as client:
            before = server.cpu() + client.cpu()
            client.tell("go")
            result = client.read()
            used = server.cpu() + client.cpu() - before
    return {
        "cpu_us_per_request": used / result["requests"] * 1e6,
        "requests_per_second": result["requests"] / result["seconds"],
        "p50_ms": result["p50"] * 1e3,
        "p95_ms": result["p95"] * 1e3,
    }


def measure(subject: str, *, runs: int, requests: int, window: int, size: int) -> dict[str, float]:
    """Medians over `runs`; `size` is a body's, at most 60 KB."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_dev(folder, NAME, random=os.urandom, clock=time.time)
        results = [measure_once(subject, folder, requests=requests, window=window, size=size) for _ in range(runs)]
    return {key: statistics.median(result[key] for result in results) for key in results[0]}


def main() -> None:
    """Parse the command line; the roles are for children."""
    roles = ["bare-server", "bare-load", "ours-server", "ours-load"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("role", nargs="?", choices=roles)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--subject", choices=["bare", "ours"], default="bare")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--window", type=int, default=16)
    parser.add_argument("--size", type=int, default=1024)
    given = parser.parse_args()
    if given.role is None:
        result = measure(given.subject, runs=given.runs, requests=given.requests, window=given.window, size=given.size)
        print(json.dumps({key: round(value, 2) for key, value in result.items()}))
        return
    subject, _, what = given.role.partition("-")
    if what == "server":
        trio.run(bare_server if subject == "bare" else our_server, given.folder)
    else:
        trio.run(load, subject, given.port, given.folder, given.window, given.size, given.requests)


if __name__ == "__main__":
    main()
