"""message_relay: what travels to and from the remotes of one partition (section 8, *Relay*; rows B68, B114–B118,
B122–B125). One of these serves all remotes whose name leads to its partition, and is their only owner.

*Out.* The outbox is in the store; this actor reads it when it grew, when a link stands, and when a retry is due, and
keeps batches under way, at most `limits.BATCHES_AHEAD` per remote. Rows leave by priority, 8:4:2:1 (`turns`), and stay
until their remote has answered that it committed them. A crash here, of the link or of the node repeats what was not
answered: the peer's relay cache makes that harmless.

*In.* A batch's relays are judged in order (`relay.check_ingress`), those that pass go to the router, which has them
committed with their place in the cache; when all are, the answers are signed and go back. Receipts of our own messages
go the same way. What is refused has changed nothing.

Owns, per remote: where it is in the outbox, what is under way, the link's window and rates. Memory only: a restart
reads the outbox from its beginning, and begins windows anew, which the cache makes safe.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import structlog
import trio

from norc_actors import limits
from norc_actors.actors import names
from norc_actors.actors.crypto.key_manager import SignAll
from norc_actors.actors.federation.arrivals import Arrivals, ForItem, settling
from norc_actors.actors.federation.departures import Departure, Stuck, Way, prepare
from norc_actors.actors.federation.door import FederationDoor
from norc_actors.actors.federation.requests import Exchange, Exchanged, Incoming, Pump, Route, Wanted
from norc_actors.actors.messages.requests import Commit, Done
from norc_actors.actors.storage.account_store import Accounts
from norc_actors.actors.storage.message_store import FetchExpired, FetchOutbox, FetchWaiting
from norc_actors.actors.trust.requests import RELATIONS, RelationChanged
from norc_actors.crypto.errors import BadSignatureError
from norc_actors.ids import DeviceId, ServerId, UserId
from norc_actors.protocol.codec import decode_as, encode
from norc_actors.protocol.errors import Code, info_of
from norc_actors.protocol.frames import FederationFrame
from norc_actors.protocol.messages import RelayAck
from norc_actors.protocol.messages.federation import FederationError, RateLimitExceeded
from norc_actors.protocol.registry import code_of
from norc_actors.protocol.relay import verify_ack
from norc_actors.protocol.relaying import refusal
from norc_actors.protocol.turns import LEVELS, Level, Turns
from norc_actors.store.accounts import AccountStore
from norc_actors.store.messages import Operation, OutboxRow, Sent, Settle
from norc_actors.trust.relations import ABSENT, Standing
from supervision import ActorRef, Crash, Down, From, GenServer, ServerDown
from supervision.groups import Groups
from supervision.partition import partition_of

_ACK, _REFUSED, _SLOWER = code_of(RelayAck), code_of(FederationError), code_of(RateLimitExceeded)

log = structlog.get_logger("norc.relay")


@dataclass(frozen=True, slots=True)
class _Batch:
    """Tag of an exchange."""

    target: ServerId
    number: int


@dataclass(frozen=True, slots=True)
class _Sweep:
    """Info: time to look for what is past its time."""


@dataclass(frozen=True, slots=True)
class _Retry:
    """Info: time to look at this outbox again."""

    target: ServerId


@dataclass(slots=True, eq=False)
class _Outgoing:
    """The way out to one server. `after` is how far each priority was read; `more` the priorities that may have
    more."""

    target: ServerId
    hop: ServerId
    link: ActorRef | None = None
    heads: dict[Level, deque[OutboxRow]] = field(default_factory=lambda: {level: deque() for level in LEVELS})
    after: dict[Level, int] = field(default_factory=lambda: dict.fromkeys(LEVELS, 0))
    more: set[Level] = field(default_factory=lambda: set(LEVELS))
    turns: Turns = field(default_factory=Turns)
    under_way: dict[int, list[Departure]] = field(default_factory=dict)
    batches: int = 0
    held_until: float = 0.0

    def rewind(self) -> None:
        """Begin at the beginning: what was under way comes again."""
        for level in LEVELS:
            self.heads[level].clear()
            self.after[level] = 0
        self.more = set(LEVELS)
        self.under_way.clear()


class MessageRelay(GenServer):
    """See the module. `number` of `partitions`: which remotes are its own."""

    def __init__(self, *, number: int, partitions: int, door: FederationDoor) -> None:
        self._number = number
        self._partitions = partitions
        self._door = door
        self._outgoing: dict[ServerId, _Outgoing] = {}
        self._sent = 0

    async def init(self) -> None:
        self._store = self.system.ref(names.MESSAGE_STORE)
        Groups(self.system).join(RELATIONS, self.ref)
        self._router = await self._find_router()
        self.monitor(self._router)
        self._arrivals = Arrivals(self.system, self._router, self.ref, self._door)
        for waiting in await self._store.call(FetchWaiting()):
            if self._is_own(waiting.target):
                await self._pump(self._to(waiting.target))
        self.send_after(limits.OUTBOX_SWEEP_SECONDS, _Sweep())

    async def _find_router(self) -> ActorRef:
        """The router's present life; it and the store may be on their way back (as the router waits for the store)."""
        with trio.fail_after(2 * limits.STORE_WAIT_SECONDS):
            await self.system.wait_up(names.MESSAGE_STORE)
            return await self.system.wait_up(names.MESSAGE_ROUTER)

    async def handle_call(self, request: object, caller: From) -> object:
        if not isinstance(request, Incoming):
            raise TypeError(f"message_relay knows no {request!r}")
        return await self._arrivals.take(request, caller)

    async def handle_cast(self, message: object) -> None:
        match message:
            case Pump(remote=target):
                outgoing = self._to(target)
                outgoing.more = set(LEVELS)
                await self._pump(outgoing)
            case Exchanged(link=link, tag=_Batch() as batch, frames=frames):
                await self._answered(link, batch, frames)
            case Done(tag=ForItem() as tag):
                await self._arrivals.done(message, tag)
            case Done():
                return
            case Route():
                await self._route(message)
            case RelationChanged(server=server):
                self._arrivals.forget(server)
                await self._pump(self._to(server))
            case _:
                raise TypeError(f"message_relay knows no {message!r}")

    async def handle_info(self, message: object) -> None:
        match message:
            case Pump() | Done():  # the router's, whom no bound may hold up
                await self.handle_cast(message)
            case _Retry(target=target):
                await self._pump(self._to(target))
            case Down(ref=ref, reason=reason) if ref == self._router:
                self.stop(Crash(ServerDown(ref, reason)))
            case Down(ref=ref):
                for outgoing in self._outgoing.values():
                    if outgoing.link == ref:
                        outgoing.link = None
                        outgoing.rewind()
            case _Sweep():
                await self._sweep()
            case _:
                raise TypeError(f"message_relay knows no {message!r}")

    def statistics(self) -> Mapping[str, int]:
        """Frames sent, batches under way, relays accepted and refused by this incarnation."""
        under_way = sum(len(outgoing.under_way) for outgoing in self._outgoing.values())
        return {
            "sent": self._sent,
            "under_way": under_way,
            "accepted": self._arrivals.accepted,
            "refused": self._arrivals.refused,
        }

    def _is_own(self, target: ServerId) -> bool:
        return partition_of(target, self._partitions) == self._number

    def _to(self, target: ServerId) -> _Outgoing:
        outgoing = self._outgoing.get(target)
        if outgoing is None:
            outgoing = self._outgoing[target] = _Outgoing(target, target)
        return outgoing

    # --- out ---

    async def _route(self, route: Route) -> None:
        outgoing = self._to(route.target)
        if outgoing.link is not None and outgoing.link == route.link:
            return
        outgoing.hop, outgoing.link = route.hop, route.link
        outgoing.rewind()
        if route.link is not None:
            self.monitor(route.link)
            await self._pump(outgoing)

    async def _pump(self, outgoing: _Outgoing) -> None:
        """Send what waits, as far as trust, link and window go."""
        standing = await self._arrivals.standing(outgoing.target)
        if standing.egress is None:
            await self._give_up(outgoing, standing)
            return
        if standing.state == "suspended" or trio.current_time() < outgoing.held_until:
            return
        if outgoing.link is None:
            if await self._next_rows(outgoing, 1, peek=True):
                await self.system.ref(names.ROUTE_MANAGER).cast(Wanted(outgoing.target))
            return
        while len(outgoing.under_way) < limits.BATCHES_AHEAD:
            rows = await self._next_rows(outgoing, limits.BATCH_RELAYS)
            if not rows:
                return
            await self._depart(outgoing, rows, standing)

    async def _next_rows(self, outgoing: _Outgoing, most: int, *, peek: bool = False) -> list[OutboxRow]:
        """The next rows by turn; with `peek` they stay the next."""
        rows: list[OutboxRow] = []
        size = 0
        while len(rows) < most:
            for level in reversed(LEVELS):  # a state, which is urgent, is stored before the relays that need it
                if level in outgoing.more and not outgoing.heads[level]:
                    await self._read(outgoing, level)
            turn = _next_turn(outgoing)
            if turn is None:
                break
            row = outgoing.heads[turn][0]
            size += len(row.body)
            if rows and size > limits.BATCH_BYTES * 3 // 4:
                break
            rows.append(row)
            if not peek:
                outgoing.heads[turn].popleft()
        return rows

    async def _read(self, outgoing: _Outgoing, level: Level) -> None:
        fetch = FetchOutbox(outgoing.target, level, outgoing.after[level], limits.OUTBOX_READ)
        rows = await self._store.call(fetch)
        if len(rows) < limits.OUTBOX_READ:
            outgoing.more.discard(level)
        if rows:
            outgoing.after[level] = rows[-1].id
            outgoing.heads[level].extend(rows)

    async def _depart(self, outgoing: _Outgoing, rows: Sequence[OutboxRow], standing: Standing) -> None:
        assert outgoing.link is not None
        way = Way(
            own_server=self._door.server_id,
            public_key=self._door.public_key,
            next_hop=outgoing.hop,
            now_us=int(self._door.clock() * 1_000_000),
            users=await self._users(rows),
            permits=standing.check_egress,
        )
        departures, stuck = await prepare(rows, way, self._sign)
        await self._refuse(stuck)
        if not departures:
            return
        outgoing.batches += 1
        outgoing.under_way[outgoing.batches] = departures
        self._sent += len(departures)
        frames = tuple((departure.code, departure.body) for departure in departures)
        await outgoing.link.cast(Exchange(frames, self.ref, _Batch(outgoing.target, outgoing.batches)))

    async def _sign(self, items: tuple[tuple[str, bytes], ...]) -> tuple[bytes, ...]:
        return await self.system.ref(names.KEY_MANAGER).call(SignAll(items))

    async def _users(self, rows: Sequence[OutboxRow]) -> dict[DeviceId, UserId]:
        """Whose the devices are that gave receipts."""
        devices = {row.device_id for row in rows if row.kind == "receipt" and row.device_id is not None}
        if not devices:
            return {}

        def read(store: AccountStore) -> dict[DeviceId, UserId]:
            found = (store.device(device) for device in devices)
            return {device.device_id: device.user_id for device in found if device is not None}

        return await self.system.ref(names.ACCOUNT_STORE).call(Accounts(read))

    async def _give_up(self, outgoing: _Outgoing, standing: Standing) -> None:
        """No trust: what waits fails back to its senders, and nothing else leaves."""
        while rows := await self._next_rows(outgoing, limits.OUTBOX_READ):
            await self._refuse([(row, ABSENT[standing.state]) for row in rows])

    async def _refuse(self, stuck: Sequence[Stuck]) -> None:
        """These rows are final: a relay's sender is told, everything else is dropped."""
        now = self._door.clock()
        for row, code in stuck:
            if row.kind in ("relay", "transit"):
                notices = () if row.message_id is None else (encode(refusal(row.message_id, code, int(now * 1e6))),)
                settle = Settle(target=row.target, federation_id=row.federation_id or "", now=int(now), notices=notices)
                await self._commit(settle, notices)
            else:
                await self._commit(Sent(target=row.target, ids=(row.id,)))

    async def _sweep(self) -> None:
        """What waits for a server that is away ends with its time."""
        expired = await self._store.call(FetchExpired())
        await self._refuse([(row, Code.TTL_EXPIRED) for row in expired if self._is_own(row.target)])
        self.send_after(limits.OUTBOX_SWEEP_SECONDS, _Sweep())

    async def _commit(self, operation: Operation, receipts: tuple[bytes, ...] = ()) -> None:
        await self._router.cast(Commit(operation, receipts, None, self.ref))

    # --- what came back ---

    async def _answered(self, link: ActorRef, batch: _Batch, frames: tuple[FederationFrame, ...]) -> None:
        outgoing = self._to(batch.target)
        departures = outgoing.under_way.pop(batch.number, None)
        if departures is None or link != outgoing.link:
            return  # of a way that was given up: it was sent again
        refused, wait = await self._take(outgoing, frames)
        if wait:
            outgoing.held_until = trio.current_time() + wait
            outgoing.rewind()
            self.send_after(wait, _Retry(outgoing.target))
        done = [
            row.id
            for departure in departures
            for row in departure.rows
            if departure.request_id not in refused and row.kind not in ("relay", "transit")
        ]
        if done:
            await self._commit(Sent(target=outgoing.target, ids=tuple(done)))
        by_id = {departure.request_id: departure for departure in departures}
        stuck = [(row, code) for name, code in refused.items() if name in by_id and code for row in by_id[name].rows]
        await self._refuse(stuck)
        await self._pump(outgoing)

    async def _take(
        self, outgoing: _Outgoing, frames: tuple[FederationFrame, ...]
    ) -> tuple[dict[str, Code | None], float]:
        """The answers of a batch: what was refused (None: try again), and the seconds to wait before the next."""
        refused: dict[str, Code | None] = {}
        wait = 0.0
        for frame in frames:
            if frame.type == _ACK:
                await self._take_ack(frame)
            elif frame.type == _REFUSED:
                error = decode_as(FederationError, frame.body).message
                final = info_of(error.error_code).action != "retry"
                refused[error.request_id] = info_of(error.error_code).code if final else None
                wait = wait if final else max(wait, limits.RELAY_RETRY_SECONDS)
                log.info("relay refused", remote=outgoing.hop, code=error.error_code, final=final)
            elif frame.type == _SLOWER:
                slower = decode_as(RateLimitExceeded, frame.body).message
                refused[slower.request_id] = None
                wait = max(wait, float(slower.retry_after))
        return refused, wait

    async def _take_ack(self, frame: FederationFrame) -> None:
        received = decode_as(RelayAck, frame.body)
        standing = await self._arrivals.standing(received.message.target_server)
        if standing.ingress is None:
            return
        try:
            verify_ack(received.map, standing.ingress.relation.public_key)
        except BadSignatureError:
            log.warning("relay_ack of a bad signature", remote=received.message.target_server)
            return
        for operation, receipts in settling(received, int(self._door.clock())):
            await self._commit(operation, receipts)


def _next_turn(outgoing: _Outgoing) -> Level | None:
    """Which priority is next. What is no relay and urgent (a conversation's state, a revocation) waits for nothing:
    relays after it may need it."""
    urgent = outgoing.heads[LEVELS[0]]
    if urgent and urgent[0].kind == "addressed":
        return LEVELS[0]
    return outgoing.turns.next([level for level in LEVELS if outgoing.heads[level]])
