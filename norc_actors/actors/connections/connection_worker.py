"""connection_worker: one WebSocket, one device (sections 4 and 7; rows B29–B34, B41, B78).

Two tasks share it. The *reader* greets the device and then serves its requests in the order in which they come
(`requests.py`); the actor's own loop takes what others hand to the connection and writes it, many in one go: it gathers
while messages wait in the mailbox and writes when it is empty.

Every end of a connection, and what is lost with it
- the peer goes, is silent for 60 s, or breaks the protocol: normal end, nothing is lost; what it had not acknowledged
  is in the store and comes again with its next connection;
- the router or the registrar that it lives with goes: it says 9000 and ends, and the device sends again (decision 060);
- its session ends or a newer connection of its device takes over: 1004, 1003;
- it crashes: temporary, nobody restarts it; the device connects again.
"""

import contextlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

import structlog
import trio

from norc_actors import limits
from norc_actors.actors import names
from norc_actors.actors.connections.channel import Channel, Encoded
from norc_actors.actors.connections.directory import Directory
from norc_actors.actors.connections.greeting import Greeting
from norc_actors.actors.connections.outlet import Close, Deliver, Outlet, PassReceipt, Push, Settled
from norc_actors.actors.connections.requests import Requests
from norc_actors.actors.crypto.registrar import Approved
from norc_actors.actors.messages.requests import ConfirmReceipts
from norc_actors.actors.storage.message_store import FetchPending, FetchReceipts
from norc_actors.config import Rates
from norc_actors.ids import Clock, MessageId, Random
from norc_actors.net.errors import ClosedError, ConnectError
from norc_actors.net.websocket import WebSocket, serve_websocket
from norc_actors.protocol.codec import Received, code_of, encode
from norc_actors.protocol.delivery import with_wrap
from norc_actors.protocol.errors import Code, ProtocolError
from norc_actors.protocol.frames import V2_HEADER
from norc_actors.protocol.handshake import ServerOffer
from norc_actors.protocol.messages import ErrorMessage, MessageAck, MessageReceived, Ping, Pong
from norc_actors.protocol.schema import Message
from norc_actors.store.errors import StoreRefusedError
from supervision import ActorRef, CallTimeout, Down, GenServer, Normal, ServerDown, Timeout

_RECEIVED = code_of(MessageReceived)
_ACK = code_of(MessageAck)
_POLICY = 1008
_CLOSING: dict[Code | None, int] = {None: 1000, Code.SERVER: 1012}
"""WebSocket's code by the last word; for all else a broken rule."""
SUBPROTOCOLS = ("norc-c-v2.0", "norc-c-v1")

log = structlog.get_logger("norc.connection")


@dataclass(frozen=True, slots=True)
class Door:
    """What all connections of a node share."""

    ssl_context: ssl.SSLContext
    offer: ServerOffer
    rates: Rates
    clock: Clock
    random: Random


@dataclass(frozen=True, slots=True)
class Authenticated:
    """Cast to the listener: this connection no longer counts as unauthenticated."""

    worker: ActorRef


@dataclass(frozen=True, slots=True)
class _Tick:
    """Info: time for a ping."""


@dataclass(frozen=True, slots=True)
class _Fetch:
    """Cast to itself: there is room again, read from the store."""


class ConnectionWorker(GenServer):
    """See the module. `stream` is an accepted TCP connection, still before TLS; `source` its address."""

    def __init__(self, *, stream: trio.SocketStream, source: str, door: Door) -> None:
        self._stream = stream
        self._source = source
        self._door = door
        self._channel: Channel | None = None
        self._outlet: Outlet | None = None
        self._requests: Requests | None = None
        self._out: list[Encoded] = []
        self._unacknowledged: set[MessageId] = set()
        self._last_receipt = 0
        self._receipts_out = 0
        self._pinged: tuple[int, int] | None = None
        self._fetch_asked = False
        self._last_word: Close | None = None
        self._heard_at = self._ticked_at = 0.0

    async def init(self) -> None:
        self.spawn(self._read)

    async def terminate(self, reason: object) -> None:
        await self._say_goodbye()

    def statistics(self) -> Mapping[str, int]:
        """Rows on their way to the device, and frames that did not open."""
        waiting = 0 if self._outlet is None else self._outlet.messages.outstanding
        return {"unacknowledged": waiting, "discarded": 0 if self._channel is None else self._channel.discarded}

    # --- the reader ---

    async def _read(self) -> None:
        try:
            await serve_websocket(
                self._stream,
                self._serve,
                ssl_context=self._door.ssl_context,
                subprotocols=SUBPROTOCOLS,
                max_message_size=self._door.offer.max_frame + V2_HEADER.size,
            )
        except ConnectError as error:
            log.debug("connection refused", source=self._source, why=str(error))
        self.ref.exit(Normal())

    async def _serve(self, socket: WebSocket) -> None:
        """All of one WebSocket; what ends it becomes the last word."""
        try:
            await self._converse(socket)
        except ProtocolError as error:
            log.info("connection ended", code=error.code.value, detail=error.detail)
            self._last_word = Close(error.code, error.retry_after)
        except (ServerDown, CallTimeout, StoreRefusedError):
            self._last_word = self._restarting()
        except (ClosedError, trio.TooSlowError) as error:
            log.debug("peer gone", why=str(error))
        await self._say_goodbye()
        await socket.close(self._closing_code)  # no channel yet, or its session is closed: nothing was said

    async def _converse(self, socket: WebSocket) -> None:
        channel, outlet = await self._greet(socket)
        router = self.system.whereis(names.MESSAGE_ROUTER)
        if router is None:
            raise ProtocolError(Code.SERVER, "no router")
        self.monitor(router)
        requests = Requests(
            system=self.system,
            outlet=outlet,
            router=router,
            clock=self._door.clock,
            channel=channel,
        )
        await self.system.ref(names.CLIENT_LISTENER).cast(Authenticated(self.ref))
        self._outlet, self._requests, self._heard_at = outlet, requests, trio.current_time()
        await requests.welcome()
        self.send_after(limits.PING_SECONDS, _Tick())
        self._fetch_soon()
        while True:
            received = await channel.receive()
            self._heard_at = trio.current_time()
            await self._take(received, outlet, requests)

    async def _greet(self, socket: WebSocket) -> tuple[Channel, Outlet]:
        greeting = Greeting(offer=self._door.offer, clock=self._door.clock, random=self._door.random)
        with trio.fail_after(limits.HANDSHAKE_SECONDS) as deadline:
            channel, established = await greeting.handshake(self.system, socket)
            self._channel = channel
            outlet = await greeting.admit(self.system, channel, established, self.ref, self._source, deadline)
        return channel, outlet

    async def _take(self, received: Received[Message], outlet: Outlet, requests: Requests) -> None:
        match received.message:
            case Pong():
                await self._confirmed(outlet)
                return
            case MessageAck(message_id=message_id, status=status) if status != "read":
                if message_id in self._unacknowledged:
                    self._unacknowledged.discard(message_id)
                    outlet.messages.settle()
        await requests.handle(received)
        if outlet.messages.wants_fetch:
            self._fetch_soon()

    async def _confirmed(self, outlet: Outlet) -> None:
        """The device has committed all receipts that it got before our ping."""
        if self._pinged is None:
            return
        (number, count), self._pinged = self._pinged, None
        if count:
            router = self.system.ref(names.MESSAGE_ROUTER)
            await router.cast(ConfirmReceipts(outlet.session.device_id, number))
            outlet.receipts.settle(count)
        if self._receipts_out >= limits.RECEIPTS_BEFORE_PING:  # they went out while that ping was under way
            self._ping()
            self._fetch_soon()  # writes the ping, too
        elif outlet.receipts.wants_fetch:
            self._fetch_soon()

    # --- the writer ---

    async def handle_cast(self, message: object) -> None:
        match message:
            case Deliver(message_id=message_id, payload=payload, wrap=wrap):
                self._deliver(message_id, payload, wrap)
            case PassReceipt(number=number, payload=payload):
                self._receipt(number, payload)
            case Settled():
                self._settled(message)
            case Push(outlet=outlet, received=received):
                outlet.pushes -= 1
                self._pushed(received)
            case Approved(success=success):
                self._put(success)
            case _Fetch():
                self._fetch_asked = False
                await self._fetch()
            case Close():
                self._last_word = message
                self.stop()
                return
            case _:
                raise TypeError(f"connection_worker knows no {message!r}")
        if len(self._out) >= limits.WRITE_BATCH:
            await self._flush()
        else:
            self.set_timeout(0)

    async def handle_info(self, message: object) -> None:
        match message:
            case Timeout():
                await self._flush()
            case _Tick():
                if self._heard_at < self._ticked_at:
                    self.stop()  # nothing came since the ping before this one
                    return
                self._ticked_at = trio.current_time()
                self._ping()
                self.send_after(limits.PING_SECONDS, _Tick())
                await self._flush()
                self._rest()
            case Down():
                self._last_word = self._restarting()
                self.stop()
            case _:
                raise TypeError(f"connection_worker knows no {message!r}")

    def _deliver(self, message_id: MessageId, payload: bytes, wrap: bytes) -> None:
        """What is longer than this device takes waits for a connection that takes it, and is not in the way here."""
        outlet, channel = self._outlet, self._channel
        if outlet is None or channel is None:
            return
        received = with_wrap(payload, outlet.session.device_id, wrap)
        if channel.fits(len(received)):
            self._unacknowledged.add(message_id)
            self._out.append(Encoded(_RECEIVED, received))
        else:
            log.warning("a message is longer than its device takes", bytes=len(received))
            outlet.messages.settle()

    def _pushed(self, received: Received[Message]) -> None:
        if self._outlet is not None:  # else it may not be said yet
            self._out.append(Encoded(code_of(type(received.message)), received.data))

    def _receipt(self, number: int, payload: bytes) -> None:
        self._out.append(Encoded(_ACK, payload))
        self._last_receipt = number
        self._receipts_out += 1
        if self._receipts_out >= limits.RECEIPTS_BEFORE_PING and self._pinged is None:
            self._ping()

    def _settled(self, settled: Settled) -> None:
        if self._requests is not None:
            self._requests.submission_settled()
        now = self._door.clock()
        ack = MessageAck(
            message_id=settled.message_id,
            status="sent" if settled.refusal is None else "failed",
            timestamp=int(now * 1_000_000),
            error_code=None if settled.refusal is None else settled.refusal.value,
            stale_devices=settled.stale,
        )
        self._put(ack)

    def _ping(self) -> None:
        """Ask for life and, with it, for confirmation of the receipts that were sent before."""
        if self._pinged is None:
            self._pinged = (self._last_receipt, self._receipts_out)
            self._receipts_out = 0
        self._put(Ping(timestamp=int(self._door.clock())))

    def _put(self, message: Message) -> None:
        self._out.append(Encoded(code_of(type(message)), encode(message)))

    async def _flush(self) -> None:
        if self._out and self._channel is not None:
            out, self._out = self._out, []
            try:
                await self._channel.send_encoded(out)
            except ClosedError:
                self.stop()

    async def _fetch(self) -> None:
        """Read what waits for the device, as far as there is room."""
        outlet = self._outlet
        if outlet is None:
            return
        store, device_id = self.system.ref(names.MESSAGE_STORE), outlet.session.device_id
        try:
            if outlet.messages.wants_fetch:
                after, asked = outlet.messages.begin_fetch()
                rows = await store.call(FetchPending(device_id, after, asked))
                outlet.messages.fetched([row.seq for row in rows], asked)
                for row in rows:
                    self._deliver(row.message_id, row.payload, row.wrap)
            if outlet.receipts.wants_fetch:
                after, asked = outlet.receipts.begin_fetch()
                receipts = await store.call(FetchReceipts(device_id, after, asked))
                outlet.receipts.fetched([receipt.id for receipt in receipts], asked)
                for receipt in receipts:
                    self._receipt(receipt.id, receipt.receipt)
        except (ServerDown, CallTimeout):
            return  # the router ends with the store, and this connection with the router
        if outlet.messages.behind or outlet.receipts.behind:
            self._fetch_again(outlet)
        elif not self._out:
            self._rest()

    def _rest(self) -> None:
        if self._channel is not None:
            self._channel.rest()

    def _fetch_again(self, outlet: Outlet) -> None:
        if outlet.messages.wants_fetch or outlet.receipts.wants_fetch:
            self._fetch_soon()

    def _fetch_soon(self) -> None:
        """One request to read is enough, however often there is room: the mailbox is for what others send."""
        if not self._fetch_asked:
            self._fetch_asked = True
            self.ref.cast_nowait(_Fetch())

    def _restarting(self) -> Close:
        """A part that this connection lives with restarts, which takes milliseconds. Few devices come back at once,
        each with its own jitter; many are spread over the time that so many handshakes take."""
        seconds = len(Directory(self.system)) // limits.RECONNECTS_PER_SECOND
        return Close(Code.SERVER, seconds or None)

    async def _say_goodbye(self) -> None:
        """Send what is left and the last word, close; once, and not for long."""
        channel, self._channel = self._channel, None
        if channel is None:
            return
        word = self._last_word
        with trio.move_on_after(limits.GOODBYE_SECONDS), contextlib.suppress(ClosedError, ProtocolError):
            if word is not None and channel.link.state != "closed":
                authenticated = self._outlet is not None
                error = ErrorMessage.of(
                    word.code, now=self._door.clock(), retry_after=word.retry_after, authenticated=authenticated
                )
                await channel.send_encoded([*self._out, Encoded(code_of(ErrorMessage), encode(error))])
            await channel.close(self._closing_code, "")

    @property
    def _closing_code(self) -> int:
        """The WebSocket's, by the last word."""
        word = self._last_word
        return _CLOSING.get(None if word is None else word.code, _POLICY)
