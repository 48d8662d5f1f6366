"""A real node inside the test's own event loop: its tree, SQLite on disk, TLS on loopback; devices to talk to it."""

import os
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import trio

from bench.lean_device import LeanDevice, Line, UnexpectedError
from bench.serving import Served
from norc_actors.config import Config, load
from norc_actors.devpki import make_dev
from norc_actors.ids import ServerId
from norc_actors.net.errors import ClosedError
from norc_actors.net.tls import client_context
from norc_actors.node import Node
from norc_actors.protocol import messages as m
from norc_actors.protocol.schema import Message
from supervision import System

LIMITS = """
[limits]
messages_per_minute = 100000
messages_burst = 100000
key_lookups_per_minute = 10000
registrations_per_hour = 1000
"""


@dataclass(frozen=True)
class House:
    """The running node and how to reach it."""

    config: Config
    served: Served
    scope: trio.CancelScope
    system: System

    @asynccontextmanager
    async def line(self, device: LeanDevice, *, authenticated: bool = True) -> AsyncIterator[Line]:
        """A connection of `device`, greeted; asked for again, as every client does, while a part restarts."""
        context = client_context(self.served.ca)
        while True:
            async with AsyncExitStack() as stack:
                line = await stack.enter_async_context(device.connected(self.served.host, self.served.port, context))
                try:
                    if authenticated:
                        await device.authenticate(line)
                except (UnexpectedError, ClosedError):
                    continue
                yield line
                return

    async def kill(self, name: str) -> None:
        """End an actor through the operator's socket, as the demo does."""
        answer = await self.served.ask({"command": "kill", "name": name})
        assert answer["ok"], answer


@asynccontextmanager
async def house(folder: Path, limits: str = LIMITS) -> AsyncIterator[House]:
    """A node in `folder`; a second one in the same folder carries on with its data."""
    files = make_dev(
        folder, ServerId("localhost"), random=secrets.token_bytes, clock=time.time, listen="127.0.0.1:0", extra=limits
    )
    config = load(files.config, {})
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            node = Node(config)
            address = str(await nursery.start(node.run))
            host, _, port = address.rpartition(":")
            served = Served(os.getpid(), host, int(port), files.ca, config.control_socket)
            yield House(config, served, nursery.cancel_scope, node.system)
            nursery.cancel_scope.cancel()


async def until_closed(line: Line) -> list[Message]:
    """All that comes until the server closes the connection."""
    messages: list[Message] = []
    with suppress(ClosedError):
        while True:
            messages.append(await line.receive())
    return messages


async def next_of(line: Line, kind: type[Message]) -> Message:
    """The next message of this kind; what comes before it is let pass."""
    while True:
        message = await line.receive()
        if isinstance(message, kind):
            return message


async def ack_of(line: Line, message_id: str, status: str) -> m.MessageAck:
    """The `message_ack` with this status for this message."""
    while True:
        ack = await next_of(line, m.MessageAck)
        assert isinstance(ack, m.MessageAck)
        if (ack.message_id, ack.status) == (message_id, status):
            return ack
