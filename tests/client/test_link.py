"""The life of a connection against a scripted server in memory, on a clock that jumps."""

import dataclasses
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import trio
import trio.testing

from norc_actors.client import Client, ClientOptions
from norc_actors.client.errors import (
    AuthenticationRefusedError,
    ClientError,
    ClientUsageError,
    DeviceRevokedError,
    HandshakeRefusedError,
    OfflineError,
    ServerKeyChangedError,
    UnreachableError,
    VersionRefusedError,
)
from norc_actors.client.events import ConnectionDown, ConnectionUp, ServerKeyPinned
from norc_actors.client.keyring import Where, new_device
from norc_actors.client.profile import create_profile
from norc_actors.client.records import ASKED, PINS, SELF, SERVER, Asked, Pin, ServerPin
from norc_actors.client.runtime import Runtime
from norc_actors.client.transaction import Ledger
from norc_actors.client.vault import Unlock
from norc_actors.crypto.signatures import SigningKey
from norc_actors.ids import ServerId, new_uuid
from norc_actors.net.errors import ClosedError, ConnectError, RefusedError
from norc_actors.protocol import messages as m
from norc_actors.protocol.codec import code_of, decode, decode_as, encode
from norc_actors.protocol.errors import Code, ProtocolError
from norc_actors.protocol.frames import decode_v1, encode_v1
from norc_actors.protocol.handshake import ServerHandshake, ServerOffer, refusal
from norc_actors.protocol.schema import Message
from norc_actors.protocol.sealed import Opened, SealedSession
from tests.support.duo import INFO
from tests.support.duo import SERVER as NAME

USER = f"alice@{NAME}"


class Pipe:
    """One end of a WebSocket in memory."""

    remote = "memory"
    subprotocol = "norc-c-v2.0"
    path = "/norc-c?version=2.0"

    def __init__(self, send: trio.MemorySendChannel[bytes], receive: trio.MemoryReceiveChannel[bytes]) -> None:
        self._send = send
        self._receive = receive

    async def send(self, message: bytes) -> None:
        await self.send_many([message])

    async def send_many(self, messages: list[bytes]) -> None:
        try:
            for message in messages:
                await self._send.send(message)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ClosedError(1006) from error

    async def receive(self) -> bytes:
        try:
            return await self._receive.receive()
        except (trio.EndOfChannel, trio.ClosedResourceError) as error:
            raise ClosedError(1006) from error

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self._send.close()
        self._receive.close()


class End:
    """The server's end of one connection."""

    def __init__(self, pipe: Pipe, key: SigningKey) -> None:
        self.pipe = pipe
        self.key = key
        self.sealed: SealedSession | None = None

    async def shake_hands(self, alter: Callable[[bytes], bytes] = lambda frame: frame) -> None:
        """Answer the connection_request."""
        offer = ServerOffer(server_id=ServerId(NAME), public_keys={"ed25519": self.key.public_key})
        handshake = ServerHandshake(offer, random=os.urandom)
        wanted = handshake.prepare(
            await self.pipe.receive(), uri_version="2.0", subprotocol="norc-c-v2.0", now=time.time()
        )
        frame, established = handshake.finish(self.key.sign(wanted.label, wanted.body), time.time())
        self.sealed = established.sealed
        await self.pipe.send(alter(frame))

    async def let_in(self) -> None:
        """Handshake and authentication, as they should be."""
        await self.shake_hands()
        request = await self.receive()
        assert isinstance(request, m.AuthRequest)
        await self.send(welcome(request))

    async def receive(self) -> Message:
        """The client's next message."""
        assert self.sealed is not None
        event = self.sealed.receive(await self.pipe.receive())
        assert isinstance(event, Opened)
        return decode(event.code, event.plaintext).message

    async def next(self, kind: type[Message]) -> Message:
        """The client's next message of a kind."""
        while not isinstance(message := await self.receive(), kind):
            pass
        return message

    async def send(self, message: Message) -> None:
        """Send a sealed message."""
        assert self.sealed is not None
        await self.pipe.send_many(self.sealed.seal(code_of(type(message)), encode(message)))


def welcome(request: m.AuthRequest) -> m.AuthResponse:
    info = m.UserInfo(user_id=request.user_id, permissions=("send_messages",))
    return m.AuthResponse(
        result="ok",
        session_id=new_uuid(os.urandom),
        user_info=info,
        server_capabilities=(),
        device_certificate={},
        expires_at=int(time.time()) + 86400,
    )


Script = Callable[[End], Awaitable[None]]


class Host:
    """A client whose connections go to scripts, one after the other, the last one again and again."""

    def __init__(self, runtime: Runtime, key: SigningKey) -> None:
        self.client = Client(runtime)
        self.key = key
        self.scripts: list[Script | Exception] = []
        self.dialled = 0

    @asynccontextmanager
    async def connect(self, *args: object, **kwargs: object) -> AsyncIterator[Pipe]:
        """In the place of `connect_websocket`."""
        script = self.scripts[min(self.dialled, len(self.scripts) - 1)]
        self.dialled += 1
        if isinstance(script, Exception):
            raise script
        there, here = trio.open_memory_channel[bytes](100), trio.open_memory_channel[bytes](100)
        near, far = Pipe(there[0], here[1]), Pipe(here[0], there[1])
        async with trio.open_nursery() as nursery:

            async def serve() -> None:
                try:
                    await script(End(far, self.key))
                except ClosedError:
                    pass
                finally:
                    await far.close()

            nursery.start_soon(serve)
            failure: BaseException | None = None
            try:
                yield near
            except BaseException as error:  # noqa: BLE001 - raised again below, outside the nursery
                failure = error
            await near.close()
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure


@pytest.fixture
def own(tmp_path: Path) -> Iterator[tuple[Ledger, SigningKey]]:
    """An enrolled profile and its server's key."""
    key = SigningKey.generate("ed25519", os.urandom)
    ledger = Ledger(create_profile(tmp_path / "p.norc", Unlock(key_file=b"k" * 32), os.urandom))
    where = Where(server_id=NAME, host="h", port=1, ca_pem=b"")
    device = new_device(USER, where, first=True, token=None, info=INFO, now=int(time.time()), random=os.urandom)
    begin = ledger.begin()
    begin.put(SELF, "self", msgspec.structs.replace(device, stage="enrolled"))
    begin.put(SERVER, "server", ServerPin(key=key.public_key))
    begin.put(PINS, USER, Pin(user_key=device.user_key, pinned_at=1, order=1))
    ledger.profile.commit(begin.writes())
    ledger.absorb(begin)
    yield ledger, key
    ledger.profile.close()


@asynccontextmanager
async def hosted(
    own: tuple[Ledger, SigningKey], monkeypatch: pytest.MonkeyPatch, *scripts: Script | Exception
) -> AsyncIterator[Host]:
    """The client, open, its connections served by the scripts. Threads run inline, or the clock would jump."""
    ledger, key = own

    async def inline(function: Callable[..., object], *args: object) -> object:
        await trio.lowlevel.checkpoint()
        return function(*args)

    monkeypatch.setattr("trio.to_thread.run_sync", inline)
    device = ledger.begin().get(SELF, "self")
    assert device is not None
    runtime = Runtime(ledger, device, ClientOptions(request_timeout=20))
    host = Host(runtime, key)
    host.scripts = list(scripts)
    monkeypatch.setattr("norc_actors.client.connection.connect_websocket", host.connect)
    async with runtime.running():
        yield host


async def idle(end: End) -> None:
    """A server that lets the client in and then only listens."""
    await end.let_in()
    while True:
        await end.receive()


async def polite(end: End) -> None:
    """A server that lets the client in and answers pings."""
    await end.let_in()
    while True:
        message = await end.receive()
        if isinstance(message, m.Ping):
            await end.send(m.Pong(timestamp=message.timestamp))


async def events_until(host: Host, count: int, kind: type) -> list[object]:
    """The next `count` events of a kind."""
    found: list[object] = []
    async for event in host.client.events():
        if isinstance(event, kind):
            found.append(event)
        if len(found) == count:
            break
    return found


Own = tuple[Ledger, SigningKey]
Jump = trio.testing.MockClock


async def test_a_client_gets_in_and_stays_in(own: Own, monkeypatch: pytest.MonkeyPatch, autojump_clock: Jump) -> None:
    async with hosted(own, monkeypatch, polite) as host:
        events = host.client.events()
        await host.client.wait_connected()
        up = await anext(events)
        assert isinstance(up, ConnectionUp)
        assert up.suite == "0101"
        await trio.sleep(3600)
        assert host.client.connected
        assert host.dialled == 1


async def test_a_silent_server_is_given_up_within_a_minute(
    own: Own, monkeypatch: pytest.MonkeyPatch, autojump_clock: Jump
) -> None:
    async with hosted(own, monkeypatch, idle) as host:
        await host.client.wait_connected()
        start = trio.current_time()
        (down,) = await events_until(host, 1, ConnectionDown)
        assert isinstance(down, ConnectionDown)
        assert "silent" in down.reason
        assert trio.current_time() - start <= 61
        assert 0 < down.retry_in <= 0.25
        await host.client.wait_connected()
        assert host.dialled == 2


async def test_a_pong_waits_for_the_commit_of_what_came_before(
    own: Own, monkeypatch: pytest.MonkeyPatch, autojump_clock: Jump
) -> None:
    said: list[str] = []
    gate = trio.Event()

    async def script(end: End) -> None:
        await end.let_in()
        await end.send(m.PrekeyStatus(one_time_left=0, bundle_expires_at=0))  # makes the client commit new prekeys
        await end.send(m.Ping(timestamp=1))
        while True:
            said.append(type(await end.receive()).__name__)

    async with hosted(own, monkeypatch, script) as host:

        async def slow(function: Callable[..., object], *args: object) -> object:
            await gate.wait()
            return function(*args)

        monkeypatch.setattr("trio.to_thread.run_sync", slow)
        await trio.sleep(5)
        assert said == []
        gate.set()
        await trio.sleep(1)
        assert said == ["PrekeyUpload", "Pong"]
        assert host.client.connected


async def test_what_the_server_asks_to_wait_is_waited(
    own: Own, monkeypatch: pytest.MonkeyPatch, autojump_clock: Jump
) -> None:
    async def script(end: End) -> None:
        await end.let_in()
        await end.send(m.ErrorMessage.of(Code.SERVER, now=1, retry_after=7))
        await trio.sleep_forever()

    async with hosted(own, monkeypatch, script, polite) as host:
        (down,) = await events_until(host, 1, ConnectionDown)
        assert isinstance(down, ConnectionDown)
        assert 7 <= down.retry_in <= 9
        start = trio.current_time()
        await host.client.wait_connected()
        assert trio.current_time() - start >= 7


async def unreadable(end: End) -> None:
    await end.let_in()
    for _ in range(3):
        await end.pipe.send(b"\x02\x10" + bytes(200))
    await trio.sleep_forever()


async def out_of_turn(end: End) -> None:
    await end.let_in()
    assert end.sealed is not None
    frames = end.sealed.seal(code_of(m.RegistrationChallenge), b"\x80")
    await end.pipe.send_many([*frames, *end.sealed.seal(code_of(m.ConnectionRequest), b"\x80")])
    await trio.sleep_forever()


async def malformed(end: End) -> None:
    await end.let_in()
    assert end.sealed is not None
    await end.pipe.send_many(end.sealed.seal(code_of(m.KeyResponse), b"\x81\xa1x\xc0"))
    await trio.sleep_forever()


async def gone(end: End) -> None:
    await end.let_in()


async def mute(end: End) -> None:
    await trio.sleep_forever()


async def deaf(end: End) -> None:
    await end.shake_hands()
    await trio.sleep_forever()


@pytest.mark.parametrize("script", [unreadable, out_of_turn, malformed, gone, mute, deaf])
async def test_whatever_breaks_a_connection_the_client_comes_back(
    own: Own, monkeypatch: pytest.MonkeyPatch, autojump_clock: Jump, script: Script
) -> None:
    async with hosted(own, monkeypatch, script, polite) as host:
        start = trio.current_time()
        (down,) = await events_until(host, 1, ConnectionDown)
        assert isinstance(down, ConnectionDown)
        assert down.retry_in < 1
        await host.client.wait_connected()
        assert trio.current_time() - start < 12
        assert host.dialled == 2


async def test_tries_come_ever_more_slowly_until_one_succeeds(
    own: Own, monkeypatch: pytest.MonkeyPatch, autojump_clock: Jump
) -> None:
    failures: list[Exception] = [ConnectError("no route")] * 9
    async with hosted(own, monkeypatch, *failures, polite) as host:
        downs = await events_until(host, 9, ConnectionDown)
        waits = [down.retry_in for down in downs if isinstance(down, ConnectionDown)]
        assert max(waits[:2]) <= 1.0
        assert min(waits[-2:]) >= 5.0
        assert max(waits) <= 30.0
        with pytest.raises((OfflineError, UnreachableError)):
            await host.client.wait_connected(within=1)
        await host.client.wait_connected(within=100)


def altered(change: Callable[[m.ConnectionAccepted], m.ConnectionAccepted]) -> Script:
    """A handshake answer that someone on the way has changed."""

    def alter(frame: bytes) -> bytes:
        v1 = decode_v1(frame)
        return encode_v1(v1.type, encode(change(decode_as(m.ConnectionAccepted, v1.payload).message)))

    async def script(end: End) -> None:
        await end.shake_hands(alter)
        await trio.sleep_forever()

    return script


replace = msgspec.structs.replace


async def refused(end: End) -> None:
    await end.shake_hands()
    await end.receive()
    await end.send(m.ErrorMessage.of(Code.INVALID_DEVICE, now=1, authenticated=False))


async def no_version(end: End) -> None:
    await end.pipe.receive()
    await end.pipe.send(refusal(ProtocolError(Code.NO_COMPATIBLE_VERSION), 1))


async def stranger(end: End) -> None:
    end.key = SigningKey.generate("ed25519", os.urandom)
    await end.shake_hands()


@pytest.mark.parametrize(
    ("script", "error", "fatal"),
    [
        (altered(lambda a: replace(a, server_versions=("1.0", "2.0"))), HandshakeRefusedError, False),
        (altered(lambda a: replace(a, server_cipher_suites=("0001",))), HandshakeRefusedError, False),
        (altered(lambda a: replace(a, cipher_suite="0001", pq_ciphertext=None)), HandshakeRefusedError, False),
        (altered(lambda a: replace(a, server_id="b.example")), HandshakeRefusedError, False),
        (altered(lambda a: replace(a, auth_challenge=bytes(32))), HandshakeRefusedError, False),
        (stranger, ServerKeyChangedError, True),
        (refused, AuthenticationRefusedError, False),
        (no_version, VersionRefusedError, True),
        (RefusedError("refused", 400), VersionRefusedError, True),
    ],
    ids=["versions", "suites", "downgrade", "name", "challenge", "key", "device", "version", "subprotocol"],
)
async def test_what_waiting_cannot_mend_is_named(
    own: Own,
    monkeypatch: pytest.MonkeyPatch,
    autojump_clock: Jump,
    script: Script | Exception,
    error: type[ClientError],
    fatal: bool,
) -> None:
    async with hosted(own, monkeypatch, script) as host:
        with pytest.raises(error):
            await host.client.wait_connected()
        if fatal:
            await trio.sleep(300)
            assert host.dialled == 1
            with pytest.raises(error):
                await host.client.send("bob@a.example", "x")
            with pytest.raises(error):
                await anext(host.client.messages())
        else:
            await host.client.send("bob@a.example", "waits in the outbox")
            await trio.sleep(300)
            assert host.dialled > 5


async def test_a_revoked_device_ends_its_client(
    own: Own, monkeypatch: pytest.MonkeyPatch, autojump_clock: Jump
) -> None:
    async def script(end: End) -> None:
        await end.let_in()
        await end.send(m.ErrorMessage.of(Code.DEVICE_REVOKED, now=1))
        await trio.sleep_forever()

    async with hosted(own, monkeypatch, script) as host:
        with pytest.raises(DeviceRevokedError):
            await anext(host.client.messages())
        with pytest.raises(DeviceRevokedError):
            await host.client.fingerprint("bob@a.example")


async def test_a_session_that_ran_out_is_begun_anew(
    own: Own, monkeypatch: pytest.MonkeyPatch, autojump_clock: Jump
) -> None:
    async def expired(end: End) -> None:
        await end.shake_hands()
        request = await end.receive()
        assert isinstance(request, m.AuthRequest)
        await end.send(replace(welcome(request), expires_at=int(time.time()) + 1))
        await end.send(m.ErrorMessage.of(Code.SESSION_EXPIRED, now=1))
        await trio.sleep_forever()

    async with hosted(own, monkeypatch, expired, polite) as host:
        await events_until(host, 1, ConnectionDown)
        await host.client.wait_connected()
        assert host.dialled == 2


async def test_a_server_without_a_pin_is_pinned_and_shown(
    own: Own, monkeypatch: pytest.MonkeyPatch, autojump_clock: Jump
) -> None:
    ledger, key = own
    begin = ledger.begin()
    begin.delete(SERVER, "server")
    ledger.profile.commit(begin.writes())
    ledger.absorb(begin)
    async with hosted(own, monkeypatch, polite) as host:
        (pinned,) = await events_until(host, 1, ServerKeyPinned)
        assert isinstance(pinned, ServerKeyPinned)
        assert len(pinned.fingerprint.split()) == 6
        await host.client.wait_connected()
    kept = ledger.begin().get(SERVER, "server")
    assert kept is not None
    assert kept.key == key.public_key


async def test_questions_end_in_time_and_with_the_connection(
    own: Own, monkeypatch: pytest.MonkeyPatch, autojump_clock: Jump
) -> None:
    async def forgetful(end: End) -> None:
        await end.let_in()
        await end.next(m.KeyRequest)
        await end.pipe.close()

    async with hosted(own, monkeypatch, forgetful, idle) as host:
        await host.client.wait_connected()
        with pytest.raises(ClientError):
            await host.client.fingerprint("bob@a.example")
        await host.client.wait_connected()
        start = trio.current_time()
        with pytest.raises(OfflineError):
            await host.client.fingerprint("bob@a.example")
        assert trio.current_time() - start == pytest.approx(20, abs=1)
    with pytest.raises(ClientUsageError):
        await host.client.send("bob@a.example", "too late")


async def test_what_has_expired_goes_daily_while_a_client_runs(
    own: Own, monkeypatch: pytest.MonkeyPatch, autojump_clock: Jump
) -> None:
    ledger, _ = own
    begin = ledger.begin()
    today = int(time.time()) // 86400
    for days in (0, 2):
        begin.put(ASKED, f"in {days} days", Asked(at=1), expires=today + days)
    ledger.profile.commit(begin.writes())
    async with hosted(own, monkeypatch, polite) as host:
        await host.client.wait_connected()
        moved = replace_clock(host)
        await trio.sleep(60)
        assert len(ledger.begin().all(ASKED)) == 2
        moved.append(86400.0)
        await trio.sleep(60)
        assert list(ledger.begin().all(ASKED)) == ["in 2 days"]


def replace_clock(host: Host) -> list[float]:
    """A clock of the client's rules that what is appended moves on."""
    moved: list[float] = []
    engine = dataclasses.replace(host.client._core.engine, clock=lambda: time.time() + sum(moved))  # noqa: SLF001
    host.client._core.engine = engine  # noqa: SLF001
    return moved
