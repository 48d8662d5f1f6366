"""One connection on virtual time: pings, silence, the end of a session (rows B30, B31, B42).

The worker, the session manager and both ends of the protocol are real; the wire is in memory, and the stores are small
stand-ins, since a thread on a real disk knows nothing of virtual time.
"""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from bench.lean_device import LeanDevice, Line
from norc_actors import limits
from norc_actors.actors import names
from norc_actors.actors.connections import connection_worker
from norc_actors.actors.connections.connection_worker import ConnectionWorker, Door
from norc_actors.actors.crypto.key_manager import PrekeyStatusOf, Sign
from norc_actors.actors.crypto.session_manager import SessionManager
from norc_actors.actors.storage.account_store import Accounts
from norc_actors.actors.storage.message_store import FetchPending, FetchReceipts
from norc_actors.config import Rates
from norc_actors.crypto.signatures import SigningKey
from norc_actors.ids import ServerId, UserId
from norc_actors.net.errors import ClosedError
from norc_actors.protocol import messages as m
from norc_actors.protocol.codec import encode_map
from norc_actors.protocol.devices import make_certificate, make_record
from norc_actors.protocol.errors import Code
from norc_actors.protocol.handshake import ClientHandshake, KnownKeys, ServerOffer
from norc_actors.store.accounts import Device
from supervision import ActorRef, ChildSpec, DynamicSupervisor, From, GenServer, Supervisor, start_child, start_tree
from tests.support.house import next_of, until_closed

START = 1_800_000_000.0
SERVER = SigningKey("ed25519", bytes(range(32)))


class End:
    """One end of a wire in memory, as `WebSocket` has it."""

    remote, subprotocol, path = "192.0.2.1", "norc-c-v2.0", "/norc-c?version=2.0"

    def __init__(self, out: trio.MemorySendChannel[bytes], into: trio.MemoryReceiveChannel[bytes]) -> None:
        self._out = out
        self._into = into

    async def send(self, message: bytes) -> None:
        await self.send_many([message])

    async def send_many(self, messages: Sequence[bytes]) -> None:
        try:
            for message in messages:
                await self._out.send(message)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise ClosedError(1006) from None

    async def receive(self) -> bytes:
        try:
            return await self._into.receive()
        except (trio.EndOfChannel, trio.ClosedResourceError):
            raise ClosedError(1000) from None

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._out.aclose()
        await self._into.aclose()


def wire() -> tuple[End, End]:
    a_out, a_into = trio.open_memory_channel[bytes](100)
    b_out, b_into = trio.open_memory_channel[bytes](100)
    return End(a_out, b_into), End(b_out, a_into)


class Around(GenServer):
    """Answers for the stores and the keys of a node with one device in it."""

    def __init__(self, device: Device) -> None:
        self.known = device

    def device(self, device_id: str) -> Device | None:
        return self.known if device_id == self.known.device_id else None

    def seen(self, device_id: str, *, now: int) -> None:
        """Nobody looks."""

    async def handle_call(self, request: object, caller: From) -> object:
        match request:
            case Accounts(run=run):
                return run(self)  # type: ignore[arg-type]
            case Sign(label=label, body=body):
                return SERVER.sign(label, body)
            case PrekeyStatusOf():
                return m.PrekeyStatus(one_time_left=0, bundle_expires_at=0)
            case FetchPending() | FetchReceipts():
                return []
            case _:
                return ()

    async def handle_cast(self, message: object) -> None:
        """The router's stand-in: what is cast is not looked at here."""


def tree(device: Device, now: Callable[[], float]) -> ChildSpec:
    standing = (names.ACCOUNT_STORE, names.KEY_MANAGER, names.REGISTRAR, names.MESSAGE_STORE, names.MESSAGE_ROUTER)
    children = [ChildSpec(name, lambda: Around(device), name=name) for name in standing]
    sessions = ChildSpec(
        "s",
        lambda: SessionManager(rates=Rates(), clock=now, random=secrets.token_bytes),
        name=names.SESSION_MANAGER,
    )
    workers = ChildSpec("w", DynamicSupervisor, name=names.CONNECTION_WORKERS, type="supervisor")
    return ChildSpec("root", lambda: Supervisor([*children, sessions, workers]), type="supervisor")


@asynccontextmanager
async def connection(monkeypatch: pytest.MonkeyPatch, *, greet: bool = True) -> AsyncIterator[tuple[Line, ActorRef]]:
    """A device's line to a worker, authenticated if `greet`, and the worker."""

    def now() -> float:
        return START + trio.current_time()

    monkeypatch.setattr("bench.lean_device.time.time", now)
    alice = LeanDevice(UserId("alice@localhost"))
    record = make_record("alice@localhost", alice.device_id, alice.key.public_key, now=int(now()), e2e_suites=("0101",))
    row = Device(
        device_id=alice.device_id,
        user_id=alice.user_id,
        public_key=alice.key.public_key,
        record=encode_map(record),
        user_signature=bytes(64),
        certificate=encode_map(make_certificate(SERVER, "localhost", 1, record)),
        not_after=int(now()) + limits.RECORD_SECONDS,
    )
    mine, theirs = wire()

    async def serve_in_memory(stream: object, handler: Callable[[End], Awaitable[None]], **_: object) -> None:
        await handler(theirs)
        await theirs.close()

    monkeypatch.setattr(connection_worker, "serve_websocket", serve_in_memory)
    offer = ServerOffer(server_id=ServerId("localhost"), public_keys={"ed25519": SERVER.public_key})
    door = Door(ssl_context=None, offer=offer, rates=Rates(), clock=now, random=secrets.token_bytes)  # type: ignore[arg-type]
    async with start_tree(tree(row, now)) as (system, _):
        worker = await start_child(
            system.ref(names.CONNECTION_WORKERS),
            ChildSpec("x", lambda: ConnectionWorker(stream=None, source="192.0.2.1", door=door), restart="temporary"),  # type: ignore[arg-type]
        )
        handshake = ClientHandshake(server_name=ServerId("localhost"), known=KnownKeys(), random=secrets.token_bytes)
        await mine.send(handshake.request)
        line = Line(mine, handshake.accept(await mine.receive(), now()))
        if greet:
            await alice.authenticate(line)
        yield line, worker


async def test_a_dead_peer_is_closed_within_sixty_seconds(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    async with connection(monkeypatch) as (_, worker):
        began = trio.current_time()
        await worker.wait_down()
        assert trio.current_time() - began <= limits.DEAD_PEER_SECONDS


async def test_a_peer_that_answers_pings_stays(monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock) -> None:
    async with connection(monkeypatch) as (line, worker):
        with trio.move_on_after(600):
            await next_of(line, m.ErrorMessage)  # the line answers pings on the way
        assert worker.alive
        assert trio.current_time() >= 600


async def test_pings_come_every_thirty_seconds(monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock) -> None:
    async with connection(monkeypatch) as (line, _):
        times: list[int] = []

        async def silent(ping: m.Ping) -> None:
            times.append(ping.timestamp)

        monkeypatch.setattr(line, "answer", silent)
        await until_closed(line)
        assert [b - a for a, b in zip([int(START), *times], times, strict=False)] == [limits.PING_SECONDS] * len(times)
        assert times


async def test_a_session_ends_after_a_day(monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock) -> None:
    async with connection(monkeypatch) as (line, _):
        messages = await until_closed(line)
        error = messages[-1]
        assert isinstance(error, m.ErrorMessage)
        assert error.error_code == Code.SESSION_EXPIRED
        late = trio.current_time() - limits.LOGIN_SECONDS
        assert 0 <= late <= limits.SESSION_SWEEP_SECONDS


async def test_whoever_does_not_authenticate_in_ten_seconds_is_out(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    async with connection(monkeypatch, greet=False) as (line, worker):
        await until_closed(line)
        await worker.wait_down()
        assert trio.current_time() == pytest.approx(limits.HANDSHAKE_SECONDS)
