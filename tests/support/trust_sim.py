"""Fifty servers with the real trust branch on simulated hosts, their batches carried by datagrams that get lost.

Their stores are made once in a process: who trusts whom is the same in every run. `HUBS` servers trust everybody and
are trusted by everybody; each of the others has trust with `NEIGHBOURS` more.
"""

import atexit
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from random import Random
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

import msgspec
import trio

from norc_actors.actors import names
from norc_actors.actors.crypto.key_manager import KeyManager
from norc_actors.actors.federation.requests import Ask, PeerUnreachable, ShownKey
from norc_actors.actors.storage.audit_log import Audit
from norc_actors.actors.trust.branch import TrustParts, trust
from norc_actors.actors.trust.ledger import Ledger as TrustLedger
from norc_actors.actors.trust.ledger import TrustSettings
from norc_actors.ids import ServerId
from norc_actors.protocol.codec import encode_map
from norc_actors.protocol.errors import ProtocolError
from norc_actors.protocol.frames import FederationFrame
from norc_actors.store.database import Database
from norc_actors.store.trust import StoredCertificate, StoredList, TrustChanges, TrustStore
from norc_actors.trust.certificates import Certificate
from norc_actors.trust.crl import Known
from norc_actors.trust.validators import DirectExchange
from supervision import NO_REPLY, CallTimeout, ChildSpec, From, GenServer, ServerDown, Supervisor, start_tree
from supervision.introspect import get_state
from supervision.testing.simulation import Host, Simulation
from tests.support.people import NOW
from tests.support.trust import Party, party, profile
from tests.support.trust_net import Ledger, empty_database, hears, inline

SERVERS, HUBS, NEIGHBOURS = 50, 4, 6
NAMES = tuple(ServerId(f"s{number:02d}.example") for number in range(SERVERS))


@lru_cache
def parties() -> dict[ServerId, Party]:
    """All servers and their keys."""
    return {name: party(name) for name in NAMES}


class KeptStore(TrustStore):
    """Opened once in a process, and put back to what it held at first for each run: to open fifty takes a second. Its
    disk loses no power, so nobody waits for it."""

    def __init__(self, path: Path, changes: TrustChanges) -> None:
        database = Database.open(path)
        super().__init__(database)
        self.apply(changes)
        driver = database._connection.connection.dbapi_connection  # noqa: SLF001 - no owner of a store asks for this
        assert isinstance(driver, sqlite3.Connection)
        driver.execute("PRAGMA synchronous=OFF")
        self._driver = driver
        self._first = sqlite3.connect(":memory:")
        driver.backup(self._first)

    def put_back(self) -> "KeptStore":
        """As it was at first."""
        self._first.backup(self._driver)
        return self

    def close(self) -> None:
        """Its owner of the moment has ended."""


@lru_cache
def stores() -> dict[ServerId, KeptStore]:
    """The store of each server: mutual trust at `verified`, every list fresh."""
    folder = Path(mkdtemp())
    atexit.register(rmtree, folder)
    pairs = _pairs()
    issued = {(a, b): parties()[a].grant(parties()[b]) for a, b in pairs}
    found = {}
    for name in NAMES:
        own = [certificate for pair, certificate in issued.items() if name in pair]
        others = sorted({other for pair in pairs if name in pair for other in pair if other != name})
        known = Known(since=NOW, number=0, this_update=NOW, next_update=NOW + 300)
        changes = TrustChanges(
            certificates=tuple(_row(one) for one in own),
            lists=tuple(StoredList(issuer=other, list=msgspec.msgpack.encode(known)) for other in others),
        )
        path = folder / name
        path.write_bytes(empty_database())
        found[name] = KeptStore(path, changes)
    return found


def _row(one: Certificate) -> StoredCertificate:
    return StoredCertificate(
        issuer=one.issuer, subject=one.subject, certificate_id=one.id, not_after=one.terms.not_after,
        certificate=encode_map(one.map),
    )  # fmt: skip


def _pairs() -> list[tuple[ServerId, ServerId]]:
    """Who grants whom, both ways."""
    dice = Random(7)
    friends = {frozenset((hub, other)) for hub in NAMES[:HUBS] for other in NAMES if other != hub}
    for name in NAMES[HUBS:]:
        friends |= {frozenset((name, other)) for other in dice.sample(NAMES, NEIGHBOURS) if other != name}
    ordered = sorted(tuple(sorted(pair)) for pair in friends)
    return [pair for a, b in ordered for pair in ((a, b), (b, a))]


@dataclass(frozen=True)
class Letter:
    """What a datagram carries."""

    kind: str
    number: int
    key: bytes
    frames: tuple[tuple[int, bytes], ...]


class LossyWires(GenServer):
    """Stands where federation_manager is: a batch is one datagram, its answer another, and nobody sends them again."""

    def __init__(self, host: Host, key: bytes) -> None:
        self.host = host
        self.key = key
        self.number = 0
        self.waiting: dict[int, tuple[From, trio.CancelScope]] = {}

    async def init(self) -> None:
        self.socket = self.host.datagrams()
        self.spawn(self.listen)

    async def terminate(self, reason: object) -> None:
        self.socket.close()

    async def handle_call(self, request: object, caller: From) -> object:
        match request:
            case Ask():
                self.spawn(self.ask, request, caller)
                return NO_REPLY
            case ShownKey(remote=remote):
                return parties()[remote].key.public_key
        raise TypeError(f"no wire for {request!r}")

    async def ask(self, ask: Ask, caller: From) -> None:
        self.number += 1
        number = self.number
        with trio.move_on_after(ask.within) as scope:
            self.waiting[number] = (caller, scope)
            await self.send(ask.remote, Letter("ask", number, self.key, ask.frames))
            await trio.sleep_forever()
        if self.waiting.pop(number, None) is not None:
            caller.fail(PeerUnreachable(ask.remote, "no answer"))

    async def send(self, target: str, letter: Letter) -> None:
        await self.socket.send(msgspec.msgpack.encode(letter), target)

    async def listen(self) -> None:
        while True:
            data, source = await self.socket.receive()
            letter = msgspec.msgpack.decode(data, type=Letter)
            if letter.kind == "ask":
                self.spawn(self.answer, ServerId(source), letter)
                continue
            waiting = self.waiting.pop(letter.number, None)
            if waiting is not None:
                caller, scope = waiting
                caller.reply(tuple(FederationFrame(version=2, type=code, body=body) for code, body in letter.frames))
                scope.cancel()

    async def answer(self, source: ServerId, letter: Letter) -> None:
        try:
            frames = await hears(self.system, source, letter.key, letter.frames)
        except (ProtocolError, ServerDown, CallTimeout):
            return  # a link would close
        if frames is not None:
            await self.send(source, Letter("answer", letter.number, self.key, tuple((f.type, f.body) for f in frames)))


@dataclass
class SimulatedServer:
    """One of the fifty, on its host."""

    name: ServerId
    audit: list[Audit] = field(default_factory=list)
    ledger: TrustLedger | None = None
    host: Host | None = None

    async def run(self, host: Host) -> None:
        self.host = host
        system = host.system()
        async with start_tree(self.spec(host), system):
            state = await get_state(system.ref(names.TRUST_MANAGER))
            assert isinstance(state, dict)
            self.ledger = state["_ledger"]
            await trio.sleep_forever()

    def spec(self, host: Host) -> ChildSpec:
        own = parties()[self.name]
        clock = lambda: NOW + trio.current_time()  # noqa: E731
        parts = TrustParts(
            settings=TrustSettings(profile=profile(own)),
            open_store=stores()[self.name].put_back,
            validators=[DirectExchange()],
            look_up=_no_records,
            clock=clock,
            random=host.random.randbytes,
            in_thread=inline,
        )
        keys = lambda: KeyManager(identity=own.key, server_id=self.name, clock=clock)  # noqa: E731
        children = [
            ChildSpec(names.AUDIT_LOG, lambda: Ledger(self.audit), name=names.AUDIT_LOG),
            ChildSpec(names.KEY_MANAGER, keys, name=names.KEY_MANAGER),
            ChildSpec(
                names.FEDERATION_MANAGER, lambda: LossyWires(host, own.key.public_key), name=names.FEDERATION_MANAGER
            ),
            trust(parts),
        ]
        return ChildSpec("node", lambda: Supervisor(children, "rest_for_one"), name="node", type="supervisor")

    def knows(self, issuer: ServerId, certificate_id: str) -> bool:
        """Whether this server knows that `issuer` revoked this certificate, by a message or by a list."""
        assert self.ledger is not None
        book = self.ledger.book
        known = book.lists.get(issuer)
        told = any(one.message.trust_certificate_id == certificate_id for one in book.revocations(issuer))
        return told or (known is not None and certificate_id in known.revoked)

    async def ask(self, request: Any) -> Any:
        """A call to trust_manager."""
        assert self.host is not None
        return await self.host.systems[-1].ref(names.TRUST_MANAGER).call(request)


async def _no_records(domain: str) -> tuple[str, ...]:
    await trio.lowlevel.checkpoint()
    return ()


def fifty(simulation: Simulation) -> Iterator[SimulatedServer]:
    """All servers, started."""
    for name in NAMES:
        server = SimulatedServer(name)
        simulation.host(name).boot(server.run)
        yield server
