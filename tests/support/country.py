"""Several organisations inside the test's own event loop: a real node each, with TLS, HTTP/2, SQLite; real clients.

Servers are reached at loopback addresses that the configuration names, unless a test brings a DNS server.
"""

import os
import secrets
import socket
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trio

from bench.serving import Served
from norc_actors.client import Address, Client, ClientOptions
from norc_actors.config import load
from norc_actors.devpki import DevFiles, make_dev
from norc_actors.ids import ServerId
from norc_actors.node import Node
from tests.support.clients import CHEAP
from tests.support.house import LIMITS


@dataclass
class Organisation:
    """One organisation: its folder and, while it runs, its node."""

    name: ServerId
    folder: Path
    files: DevFiles
    port: int
    node: Node | None = None
    served: Served | None = None
    scope: trio.CancelScope | None = None
    ended: trio.Event = field(default_factory=trio.Event)

    async def ask(self, command: str, **members: object) -> dict[str, object]:
        """One request at the operator's socket, which must be met."""
        assert self.served is not None
        answer = await self.served.ask({"command": command, **members})
        assert answer["ok"], answer
        return answer

    async def kill(self, name: str) -> None:
        """End an actor, as the demo does; if it lives."""
        assert self.node is not None
        ref = self.node.system.whereis(name)
        if ref is not None:
            ref.kill()
            await ref.wait_down()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """One life of the node."""
        config = load(self.files.config, {})
        self.node, self.ended = Node(config), trio.Event()
        with trio.CancelScope() as self.scope:
            try:
                async with trio.open_nursery() as nursery:
                    address = str(await nursery.start(self.node.run))
                    host, _, port = address.rpartition(":")
                    self.served = Served(os.getpid(), host, int(port), self.files.ca, config.control_socket)
                    task_status.started()
            finally:
                self.ended.set()


@dataclass
class Country:
    """The organisations of a test, by name."""

    folder: Path
    nursery: trio.Nursery
    by_name: dict[str, Organisation]

    def __getitem__(self, name: str) -> Organisation:
        return self.by_name[name]

    async def start(self, name: str) -> None:
        """A node, for the first time or again."""
        await self.nursery.start(self[name].run)

    async def stop(self, name: str) -> None:
        """The orderly end of a node's life."""
        scope = self[name].scope
        assert scope is not None
        scope.cancel()
        await self[name].ended.wait()

    async def trust(self, asking: str, asked: str, level: str = "basic", **terms: object) -> None:
        """Mutual trust, as two operators establish it: asked for at one server, approved at the other."""
        a, b = self[asking], self[asked]
        await a.ask("trust_request", server=asked, level=level, **terms)
        await self.until(b, asking, lambda line: bool(line["waits_for_operator"]))
        await b.ask("trust_approve", server=asking, organisation_checked=True, **terms)
        for one, other in ((a, asked), (b, asking)):
            await self.until(one, other, lambda line: line["state"] == "trusted")

    async def until(self, at: Organisation, server: str, condition: object) -> None:
        """Wait until the line about `server` in `norc trust list` is so."""
        assert callable(condition)
        with trio.fail_after(30):
            while True:
                servers = (await at.ask("trust_list"))["servers"]
                assert isinstance(servers, list)
                lines = [line for line in servers if line["server"] == server]
                if lines and condition(lines[0]):
                    return
                await trio.sleep(0.05)

    # --- People ---

    @property
    def key_file(self) -> Path:
        """A key file that opens every profile."""
        path = self.folder / "key"
        if not path.exists():
            path.write_bytes(os.urandom(32))
        return path

    def options(self, server: str) -> ClientOptions:
        """How a device reaches its home server."""
        one = self[server]
        assert one.served is not None
        address = Address(host=one.served.host, port=one.served.port)
        return ClientOptions(address=address, ca_file=one.files.ca, request_timeout=15, passphrase_cost=CHEAP)

    async def enroll(self, *users: str) -> None:
        """Enrol a first device of each `name@server`."""
        for user in users:
            name, _, server = user.partition("@")
            invited = await self[server].ask("invite", user_id=user)
            await Client.enroll(
                self.folder / f"{name}.norc",
                str(invited["link"]),
                user,
                key_file=self.key_file,
                options=self.options(server),
            )

    def open(self, user: str) -> AbstractAsyncContextManager[Client]:
        """An enrolled profile, open."""
        name, _, server = user.partition("@")
        return Client.open(self.folder / f"{name}.norc", key_file=self.key_file, options=self.options(server))


@asynccontextmanager
async def country(
    folder: Path, *names: str, extra: str = "", via: dict[str, Sequence[str]] | None = None
) -> AsyncIterator[Country]:
    """Running nodes of these organisations, which know where the others are and the CAs that they use, and trust
    nobody. `via` names, per target, who may hand on what is for it."""
    ports = {name: _free_port() for name in names}
    authorities = folder / "authorities.pem"
    by_name = {}
    for name in names:
        peers = "".join(_peer(other, ports[other], (via or {}).get(other, ())) for other in names if other != name)
        config = f'{LIMITS}\n[federation]\nlisten = "127.0.0.1:{ports[name]}"\nca = "{authorities}"\n{peers}{extra}'
        files = make_dev(
            folder / name,
            ServerId(name),
            random=secrets.token_bytes,
            clock=time.time,
            listen=f"127.0.0.1:{_free_port()}",  # the same in every life, for the clients
            extra=config,
        )
        by_name[name] = Organisation(ServerId(name), folder / name, files, ports[name])
    authorities.write_bytes(b"".join(one.files.ca.read_bytes() for one in by_name.values()))
    async with trio.open_nursery() as nursery:
        built = Country(folder, nursery, by_name)
        for name in names:
            await built.start(name)
        yield built
        nursery.cancel_scope.cancel()


def _peer(name: str, port: int, via: Sequence[str]) -> str:
    handed = f"via = {list(via)!r}\n".replace("'", '"') if via else ""
    return f'[federation.peers."{name}"]\naddress = "127.0.0.1:{port}"\n{handed}'


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
