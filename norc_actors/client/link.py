"""Keeps an open client connected: dials, authenticates, serves the connection, comes back when it is lost (B30, B31).

| state | what happens | leaves by |
|---|---|---|
| offline | waits: 50–250 ms at first, then longer, never less than the server asked for | the wait is over |
| connecting | TLS, WebSocket, handshake, the server's key judged, clocks compared | a sealed connection; failure |
| authenticating | `auth_request` → `auth_response`, within 10 s | ready; failure |
| ready | everything else; `ping` every 30 s, a server that is silent for 60 s is given up | the connection is lost |
| ended | nothing: an error that trying again cannot mend (`fatal`) | never |

Rules
- Every way out of a connection goes through `_end`, once; all its tasks live in one nursery, which that cancels.
- `pong` is answered behind everything that was received before the ping, so after its commit (flows, 9).
- What was in flight when a connection ended is sent again on the next one; what was received but not committed comes
  again from the server.
"""

import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import trio

from norc_actors.client import backoff
from norc_actors.client.connection import Connection, Dial, LostError, connect
from norc_actors.client.core import Core
from norc_actors.client.errors import (
    AuthenticationRefusedError,
    ClientError,
    ConnectionFailedError,
    DeviceRevokedError,
    DisplacedError,
)
from norc_actors.client.events import ConnectionDown, ConnectionUp
from norc_actors.client.intake import Intake
from norc_actors.client.reader import Reader
from norc_actors.client.resolver import Resolver
from norc_actors.client.transmission import Transmission
from norc_actors.ids import DeviceId, UserId
from norc_actors.limits import DEAD_PEER_SECONDS, HANDSHAKE_SECONDS, PING_SECONDS
from norc_actors.protocol.auth import sign_auth
from norc_actors.protocol.errors import Code
from norc_actors.protocol.messages import AuthResponse, ErrorMessage, Ping, Pong


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """How to dial: asked anew before each attempt, since keys are pinned on the way; and what to do with a key that
    was accepted in another way than as the pinned one."""

    dial: Callable[[], Awaitable[Dial]]
    pin: Callable[[Connection], Awaitable[None]]


class Link:
    """The connection of an open client, over and over again."""

    def __init__(self, core: Core, resolver: Resolver, transmission: Transmission, caller: Caller) -> None:
        self._core = core
        self._resolver = resolver
        self._transmission = transmission
        self._caller = caller
        self._failure: ClientError | None = None
        self._scope: trio.CancelScope | None = None
        self._ready = False
        self._stopping = False
        self._stopped = trio.Event()
        self.last_error: ConnectionFailedError | None = None
        self.connections = 0

    async def run(self) -> None:
        """Stay connected until cancelled, or until an error that is fatal."""
        try:
            await self._stay_connected()
        finally:
            self._stopped.set()

    async def _stay_connected(self) -> None:
        attempt = 0
        while True:
            self._ready = False
            error = await self._once()
            self._clean_up(error)
            if self._stopping:
                return
            if error.fatal:
                self._core.publish([ConnectionDown(reason=error.what, retry_in=-1)])
                self._core.die(error)
                return
            attempt = 0 if self._ready else attempt + 1
            wanted = error.retry_after if isinstance(error, LostError) else 0.0
            delay = backoff.delay(attempt, self._core.engine.random, wanted)
            self._core.publish([ConnectionDown(reason=error.what, retry_in=delay)])
            self._core.link_changed.notify()
            await trio.sleep(delay)

    async def stop(self) -> None:
        """Close the connection in order and come back no more; nothing happens while there is none."""
        if self._core.connection is not None:
            self._stopping = True
            self._end(LostError("The client was closed."))
            await self._stopped.wait()

    def _clean_up(self, error: ConnectionFailedError) -> None:
        self.last_error = error
        self._core.connection = None
        self._core.broken = lambda ignored: None
        self._core.tell_read = lambda key, pending: None
        self._core.requests.fail_all(error)
        self._core.flight.disconnected()

    async def _once(self) -> ConnectionFailedError:
        """One connection, from dialling to its end; returns why it ended."""
        try:
            dial = await self._caller.dial()
            async with connect(dial, random=self._core.engine.random, clock=self._core.engine.clock) as connection:
                await self._caller.pin(connection)
                await self._serve(connection)
        except ConnectionFailedError as error:
            return error
        failure, self._failure = self._failure, None
        if isinstance(failure, ConnectionFailedError):
            return failure
        return LostError(failure.what if failure is not None else "The connection ended.", retry_after=1.0)

    async def _serve(self, connection: Connection) -> None:
        self._failure = None
        async with trio.open_nursery() as nursery:
            self._scope = nursery.cancel_scope
            self._core.broken = self._end
            nursery.start_soon(self._task, connection.write)
            intake = Intake(self._core, self._resolver, connection, nursery)
            try:
                await self._task(lambda: self._converse(connection, intake, nursery))
            finally:
                intake.close()
                self._core.connection = None

    async def _task(self, task: Callable[[], Awaitable[None]]) -> None:
        try:
            await task()
        except ClientError as error:
            self._end(error)

    def _end(self, error: ClientError) -> None:
        """The connection ends, for this reason; the first one counts."""
        self._failure = self._failure or error
        self._core.connection = None
        if self._scope is not None:
            self._scope.cancel()

    # --- A connection's life ---

    async def _converse(self, connection: Connection, intake: Intake, nursery: trio.Nursery) -> None:
        response = await self._authenticate(connection)
        self._ready = True
        self.last_error = None
        self.connections += 1
        reader = Reader(self._core, self._resolver, self._transmission, intake, connection, nursery)
        self._core.connection = connection
        self._core.tell_read = reader.read
        self._core.publish([ConnectionUp(suite=connection.established.suite.name, session_id=response.session_id)])
        await reader.greet()
        self._core.link_changed.notify()
        nursery.start_soon(self._task, lambda: self._transmission.pump(connection))
        nursery.start_soon(self._task, lambda: self._watch(connection, reader))
        while True:
            received = await connection.receive()
            if isinstance(received.message, ErrorMessage) and received.message.request_id is None:
                raise self._ending(received.message, response)
            await reader.take(received)

    async def _authenticate(self, connection: Connection) -> AuthResponse:
        engine = self._core.engine
        established = connection.established
        connection.put(
            sign_auth(
                engine.keyring.device_key,
                th=established.th,
                challenge=established.auth_challenge,
                user_id=UserId(engine.own.user_id),
                device_id=DeviceId(engine.own.device_id),
                now=engine.clock(),
            )
        )
        with contextlib.suppress(trio.TooSlowError), trio.fail_after(HANDSHAKE_SECONDS):
            while True:
                message = (await connection.receive()).message
                if isinstance(message, AuthResponse):
                    return message
                if isinstance(message, ErrorMessage):
                    raise _refused(message)
                if isinstance(message, Ping):
                    connection.put(Pong(timestamp=message.timestamp))
        raise LostError("The server did not answer the authentication in time.")

    def _ending(self, error: ErrorMessage, response: AuthResponse) -> ConnectionFailedError:
        """What an `error` that answers nothing means: the connection's last word."""
        if error.error_code == Code.DEVICE_REVOKED:
            return DeviceRevokedError("This device has been revoked.")
        if error.error_code == Code.SESSION_EXPIRED and self._core.engine.now() < response.expires_at - 60:
            return DisplacedError("Another program has connected as this device.")
        return LostError(f"The server ended the connection ({error.error_code}).", float(error.retry_after or 0))

    async def _watch(self, connection: Connection, reader: Reader) -> None:
        """Ping, give up on a silent server, renew keys, do what is due."""
        while True:
            await trio.sleep(PING_SECONDS)
            if trio.current_time() - connection.heard_at > DEAD_PEER_SECONDS - PING_SECONDS:
                raise LostError("The server is silent.")
            connection.renew_keys()
            await reader.every_half_minute()


def _refused(error: ErrorMessage) -> ConnectionFailedError:
    if error.error_code // 1000 == 1:
        return AuthenticationRefusedError("The server does not accept this device.")
    return LostError(f"The server is not ready ({error.error_code}).", float(error.retry_after or 0))
