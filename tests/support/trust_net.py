"""Servers with the real trust branch, joined by wires: what federation is to trust, in as few lines as it takes.

A wire carries a batch to the other server's trust_manager and its answer back. It checks what a link would: that both
may say it (`link_states`), which key the other has pinned. A server can be cut off, and its clock put wrong.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import trio

from norc_actors.actors import names
from norc_actors.actors.crypto.key_manager import KeyManager
from norc_actors.actors.federation.requests import Ask, PeerUnreachable, ShownKey
from norc_actors.actors.storage.audit_log import Audit
from norc_actors.actors.trust.branch import TrustParts, trust
from norc_actors.actors.trust.ledger import TrustSettings
from norc_actors.actors.trust.requests import Approve, ListTrust, RequestTrust, ShowTrust, StandingOf, TrustFrames
from norc_actors.crypto.signatures import SigningKey
from norc_actors.ids import ServerId
from norc_actors.limits import TRUST_DNS_SECONDS
from norc_actors.net.errors import NetError
from norc_actors.protocol.codec import decode
from norc_actors.protocol.frames import FederationFrame
from norc_actors.protocol.link_states import LinkState, after_message
from norc_actors.store.database import Database
from norc_actors.store.trust import TrustStore
from norc_actors.trust.certificates import Grant
from norc_actors.trust.relations import Standing
from norc_actors.trust.requesting import Goal
from norc_actors.trust.validators import WEIGHTS, X509, DirectExchange, Evidence, Verdict
from supervision import NO_REPLY, Call, ChildSpec, From, GenServer, Supervisor, System, start_tree
from tests.support.people import NOW, seeded
from tests.support.trust import Party, party, profile

R = TypeVar("R")


@lru_cache
def empty_database() -> bytes:
    """A database with the newest schema and nothing in it: to migrate one for each server takes a second."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "empty.db"
        Database.open(path).close()
        return path.read_bytes()


def open_store(path: Path) -> TrustStore:
    """The trust store in this file, made if need be."""
    if not path.exists():
        path.write_bytes(empty_database())
        path.chmod(0o600)
    return TrustStore(Database.open(path))


async def inline(function: Callable[..., R], /, *arguments: object) -> R:
    """Blocking work without a thread, for tests on virtual time."""
    await trio.lowlevel.checkpoint()
    return function(*arguments)


class Ledger(GenServer):
    """Stands where the audit log is: keeps what it is told."""

    def __init__(self, entries: list[Audit]) -> None:
        self.entries = entries

    async def handle_cast(self, message: object) -> None:
        assert isinstance(message, Audit)
        self.entries.append(message)


class Wires(GenServer):
    """Stands where federation_manager is."""

    def __init__(self, net: "Net", own: "TrustServer") -> None:
        self.net = net
        self.own = own

    async def handle_call(self, request: object, caller: From) -> object:
        match request:
            case Ask():
                self.spawn(self.carry, request, caller)
                return NO_REPLY
            case ShownKey(remote=remote):
                return self.net.servers[remote].party.key.public_key
        raise TypeError(f"no wire for {request!r}")

    async def carry(self, ask: Ask, caller: From) -> None:
        other = self.net.servers.get(ask.remote)
        self.net.carried.append((self.own.name, ask.remote, tuple(code for code, _ in ask.frames)))
        if other is None or self.net.cut(self.own.name, ask.remote) or not other.up:
            await trio.sleep(0.5)
            caller.fail(PeerUnreachable(ask.remote, "the wire is cut"))
            return
        await trio.sleep(0.01)
        frames = await hears(other.system, self.own.name, self.own.party.key.public_key, ask.frames)
        if self.net.cut(ask.remote, self.own.name) or frames is None:
            await trio.sleep(ask.within)
            caller.fail(PeerUnreachable(ask.remote, "no answer"))
            return
        await trio.sleep(0.01)
        caller.reply(frames)


async def hears(
    system: System, remote: ServerId, key: bytes, frames: tuple[tuple[int, bytes], ...]
) -> tuple[FederationFrame, ...] | None:
    """What goes back for a batch that came from `remote`, under this key; None if this server is away. Raises
    `ProtocolError` for what no link lets through."""
    manager = system.whereis(names.TRUST_MANAGER)
    if manager is None:
        return None
    standing = await manager.call(StandingOf(remote))
    state: LinkState = "untrusted"
    if standing.keys is not None and key in standing.keys:
        state = "suspended" if standing.state == "suspended" else "trusted"
    for code, _ in frames:
        after_message("initiator", state, code)
    received = tuple(decode(code, body) for code, body in frames)
    answers = await manager.call(TrustFrames(remote, key, state != "untrusted", received))
    return tuple(FederationFrame(version=2, type=code, body=body) for code, body in answers)


@dataclass
class TrustServer:
    """One organisation's server."""

    name: ServerId
    party: Party
    net: "Net"
    folder: Path
    settings: TrustSettings
    audit: list[Audit] = field(default_factory=list)
    validators: list[Any] = field(default_factory=list)
    system: System = field(default_factory=lambda: System(log=False))
    clock_off: float = 0.0
    scope: trio.CancelScope | None = None
    ended: trio.Event = field(default_factory=trio.Event)

    @property
    def up(self) -> bool:
        return self.scope is not None

    def clock(self) -> float:
        return NOW + trio.current_time() + self.clock_off

    def spec(self) -> ChildSpec:
        parts = TrustParts(
            settings=self.settings,
            open_store=lambda: open_store(self.folder / f"{self.name}.db"),
            validators=self.validators,
            look_up=self.net.look_up,
            clock=self.clock,
            random=seeded((self.name, self.party.key.public_key)),
            in_thread=inline,
        )
        children = [
            ChildSpec(names.AUDIT_LOG, lambda: Ledger(self.audit), name=names.AUDIT_LOG),
            ChildSpec(
                names.KEY_MANAGER,
                lambda: KeyManager(identity=self.party.key, server_id=self.name, clock=self.clock),
                name=names.KEY_MANAGER,
            ),
            ChildSpec(names.FEDERATION_MANAGER, lambda: Wires(self.net, self), name=names.FEDERATION_MANAGER),
            trust(parts),
        ]
        start = lambda: Supervisor(children, "rest_for_one", intensity=100)  # noqa: E731
        return ChildSpec("node", start, name="node", type="supervisor")

    async def ask(self, request: Call[R]) -> R:
        """A call to trust_manager."""
        return await self.system.ref(names.TRUST_MANAGER).call(request, timeout=60)

    async def standing(self, other: "TrustServer") -> Standing:
        return await self.ask(StandingOf(other.name))

    def audited(self, *about: str) -> list[str]:
        """`event_type action result` of all entries, or of those about these servers."""
        return [f"{one.event_type} {one.action} {one.result}" for one in self.audit if not about or one.target in about]

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        self.ended = trio.Event()
        with trio.CancelScope() as self.scope:
            async with start_tree(self.spec(), self.system):
                task_status.started()
                await trio.sleep_forever()
        self.scope = None
        self.ended.set()


@dataclass
class Net:
    """All servers, what DNS says, and who cannot reach whom."""

    nursery: trio.Nursery
    folder: Path
    servers: dict[str, TrustServer] = field(default_factory=dict)
    cuts: set[tuple[str, str]] = field(default_factory=set)
    txt: dict[str, list[str]] = field(default_factory=dict)
    dead_dns: set[str] = field(default_factory=set)
    silent_dns: set[str] = field(default_factory=set)
    carried: list[tuple[str, str, tuple[int, ...]]] = field(default_factory=list)

    def cut(self, source: str, target: str) -> bool:
        return (source, target) in self.cuts

    async def look_up(self, domain: str) -> list[str]:
        await trio.sleep(0.02)
        if domain in self.dead_dns:
            raise NetError(f"{domain}: no name server answered")
        if domain in self.silent_dns:
            await trio.sleep(10 * TRUST_DNS_SECONDS)
        return list(self.txt.get(domain, ()))

    async def start(self, server: TrustServer) -> None:
        await self.nursery.start(server.run)

    async def stop(self, server: TrustServer) -> None:
        """End it in order, as a restart does."""
        assert server.scope is not None
        server.scope.cancel()
        await server.ended.wait()
        server.system = System(log=False)

    async def server(self, name: str, key: SigningKey | None = None, **settings: Any) -> TrustServer:
        """A running server; `settings` of its `TrustSettings`, `profile` of its profile's changes."""
        own = party(name)
        if key is not None:
            own.key = key
        described = profile(own, **settings.pop("profile", {}))
        server = TrustServer(
            own.name, own, self, self.folder, TrustSettings(profile=described, **settings),
            validators=[DirectExchange(), GoodChain()],
        )  # fmt: skip
        self.servers[own.name] = server
        await self.start(server)
        return server


class GoodChain:
    """A validator that takes a chain for good unless it begins with `bad`: X.509 has its own tests."""

    name = X509
    highest = "verified"

    def judge(self, evidence: Evidence, now: float) -> Verdict:
        if not evidence.chain:
            return Verdict(validator=self.name, why=("There is no chain.",))
        if evidence.chain[0].startswith(b"bad"):
            return Verdict(validator=self.name, why=("The chain is forged.",), refused=True)
        points = {"certificate_chain": WEIGHTS["certificate_chain"]}
        return Verdict(
            validator=self.name, level="verified", proofs=frozenset({"x509_chain"}), points=points,
            why=("The chain verifies.",),
        )  # fmt: skip


@asynccontextmanager
async def network(folder: Path) -> AsyncIterator[Net]:
    """An empty network."""
    async with trio.open_nursery() as nursery:
        net = Net(nursery, folder)
        yield net
        for server in net.servers.values():
            if server.scope is not None:
                server.scope.cancel()


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 60.0) -> None:
    """Wait on virtual time."""
    with trio.fail_after(seconds):
        while not await condition():  # noqa: ASYNC110 - it is asked of actors
            await trio.sleep(max(0.05, seconds / 600))


def goal(level: str = "verified", method: str | None = None, **more: Any) -> Goal:
    """What an operator asks for."""
    method = method or ("direct_exchange" if level == "basic" else "ca_validation")
    return Goal(level=level, method=method, grant=Grant(level=level), **more)  # type: ignore[arg-type]


async def asked(a: TrustServer, b: TrustServer, wanted: Goal) -> None:
    """`a` asks, publishes what `b` wants to see, and `b` has judged it."""
    await a.ask(RequestTrust(b.name, wanted))

    async def judged() -> bool:
        shown = (await a.ask(ShowTrust(b.name))).exchanges[0]
        a.net.txt[a.name] = list(shown.records.values()) or a.net.txt.get(a.name, [])
        lines = {line.server: line for line in await b.ask(ListTrust())}
        view = (await b.ask(ShowTrust(a.name))).exchanges if a.name in lines else ()
        return any(each.waits_for_operator and each.score is not None for each in view)

    await until(judged)


async def trusted(one: TrustServer, other: TrustServer) -> bool:
    return (await one.standing(other)).state == (await other.standing(one)).state == "trusted"


async def befriend(a: TrustServer, b: TrustServer, level: str = "verified", **terms: Any) -> None:
    """Have `a` ask `b`, and an operator grant it."""
    await asked(a, b, goal(level))
    await b.ask(Approve(a.name, organisation_checked=True, grant=Grant(level=level, **terms)))  # type: ignore[arg-type]
    await until(lambda: trusted(a, b))


async def friends(net: Net, level: str = "verified", **terms: Any) -> tuple[TrustServer, TrustServer]:
    """a.example and b.example, which trust one another; `terms` of what b grants a."""
    a, b = await net.server("a.example"), await net.server("b.example")
    await befriend(a, b, level, **terms)
    return a, b
