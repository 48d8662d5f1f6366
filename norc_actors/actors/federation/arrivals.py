"""Relays and answers that come in on links: judged in order, committed through the router, answered (section 8,
*Relay*; rows B68, B115–B119, B122). The incoming half of a `message_relay`, which owns it.

Rules
- Everything is judged by this server's own records (`StandingOf`), in the order of `relay.INGRESS`.
- What a relay changes is committed in one transaction: the message, its place in the relay cache, its answer. A batch
  is answered when that holds for all in it.
- A relay for another server goes on (transit) if both neighbours permit it. Its answer comes from its target, later,
  and goes back the way the relay came.
- A `relay_ack` is taken only if its target signed it, and what it says of users only from the server of their domain.
- A refusal is a `federation_error` with the relay's `federation_id`; too much at a time is a `rate_limit_exceeded`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from norc_actors import limits
from norc_actors.actors import names
from norc_actors.actors.crypto.key_manager import SignAll
from norc_actors.actors.federation.door import FederationDoor
from norc_actors.actors.federation.hints import HINTS
from norc_actors.actors.federation.requests import Incoming, Pump
from norc_actors.actors.messages.requests import Commit, Done, RelayIn
from norc_actors.actors.storage.message_store import FetchRecorded
from norc_actors.actors.trust.standings import Standings
from norc_actors.crypto.errors import BadSignatureError
from norc_actors.ids import ServerId, server_of
from norc_actors.protocol.buckets import TokenBucket
from norc_actors.protocol.canonical import canonical
from norc_actors.protocol.codec import Received, decode_map, encode, encode_map
from norc_actors.protocol.errors import Code, ProtocolError
from norc_actors.protocol.messages import MessageRelay, RelayAck
from norc_actors.protocol.messages.federation import FederationError, RateLimitExceeded
from norc_actors.protocol.registry import CODES, code_of
from norc_actors.protocol.relay import Ingress, LinkWindow, Relation, Repeated, check_ingress, verify_ack
from norc_actors.protocol.relaying import answers_of, told
from norc_actors.protocol.schema import Message, SignedMap
from norc_actors.protocol.turns import LEVEL_OF
from norc_actors.store.messages import Forward, Operation, QuotaFull, Relaying, RelayKnown, RemoteReceipt, Settle
from norc_actors.trust.relations import ABSENT, Standing
from supervision import NO_REPLY, ActorRef, From, System
from supervision.partition import route

_ACK, _RELAY = CODES["relay_ack"], CODES["message_relay"]
Recorded = dict[tuple[ServerId, str], SignedMap]
"""(origin, federation_id) → the answer to a relay that was accepted before."""

log = structlog.get_logger("norc.relay")


@dataclass(slots=True, eq=False)
class Waiting:
    """A batch that is not answered yet: what is said so far to each of its items, and how many commits are due."""

    caller: From
    answers: list[list[SignedMap | Message]]
    due: int = 0


@dataclass(frozen=True, slots=True)
class ForItem:
    """Tag of a commit: whose answer waits for it. `pump`: where something new waits once it is committed."""

    batch: Waiting
    index: int
    federation_id: str
    pump: Pump | None = None


@dataclass(slots=True)
class _From:
    """What is kept of one remote."""

    messages: TokenBucket
    bytes: TokenBucket
    window: LinkWindow = field(default_factory=LinkWindow)


class Arrivals:
    """See the module. `owner` is the message_relay whose mailbox takes what the router answers."""

    def __init__(self, system: System, router: ActorRef, owner: ActorRef, door: FederationDoor) -> None:
        self._system = system
        self._router = router
        self._owner = owner
        self._door = door
        self._standings = Standings(system, door.clock)
        self._remotes: dict[ServerId, _From] = {}
        self.accepted = 0
        self.refused = 0

    def forget(self, server: ServerId) -> None:
        """What this server is to us has changed."""
        self._standings.forget(server)
        self._remotes.pop(server, None)

    async def standing(self, server: ServerId) -> Standing:
        """What a server may do here, and we there."""
        return await self._standings.of(server)

    async def take(self, request: Incoming, caller: From) -> object:
        """Begin with a batch; `caller` is answered when everything in it is committed."""
        batch = Waiting(caller, [[] for _ in request.items])
        relays = [item.message for item in request.items if isinstance(item.message, MessageRelay)]
        for server in {name for relay in relays for name in _parties(relay)}:
            await self.standing(server)
        standing = await self.standing(request.remote)
        recorded = await self._recorded(relays)
        for index, (item, size) in enumerate(zip(request.items, request.sizes, strict=True)):
            tag = ForItem(batch, index, item.message.federation_id, _pump(item.message))
            try:
                if isinstance(item.message, MessageRelay):
                    await self._relay(standing, item.narrow(MessageRelay), size, recorded, tag)
                else:
                    await self._ack(item.narrow(RelayAck), tag)
            except ProtocolError as refusal:
                error = _in_its_words(standing, refusal)
                self.refused += 1
                log.info("refused", remote=request.remote, why=str(error))
                batch.answers[index].append(self._refusal(error, item.message.federation_id))
        if not batch.due:
            await self._answer(batch)
        return NO_REPLY

    async def done(self, message: Done, tag: ForItem) -> None:
        """The router has committed what an item changed, or could not."""
        batch, outcome, answers = tag.batch, message.outcome, tag.batch.answers[tag.index]
        batch.due -= 1
        if outcome is None:
            error = ProtocolError(Code.SERVER, retry_after=limits.DISK_RETRY_SECONDS)
            answers[:] = [self._refusal(error, tag.federation_id)]
        elif isinstance(outcome, QuotaFull):
            error = ProtocolError(Code.QUOTA_EXCEEDED, retry_after=limits.QUOTA_RETRY_SECONDS)
            answers[:] = [self._refusal(error, tag.federation_id)]
        elif isinstance(outcome, RelayKnown):
            if outcome.ack is not None:
                answers.append(decode_map(outcome.ack))
        elif message.ack is not None:
            answers.append(message.ack)
        if tag.pump is not None and outcome is not None:
            await route(self._system, names.RELAYS, tag.pump.remote).cast(tag.pump)
        if not batch.due:
            await self._answer(batch)

    # --- relays ---

    async def _relay(
        self, standing: Standing, item: Received[MessageRelay], size: int, recorded: Recorded, tag: ForItem
    ) -> None:
        relay, known, remote = item.message, self._from(standing), standing.other
        now = self._door.clock()
        view = Ingress(
            own_server=self._door.server_id,
            remote=remote,
            link_open=standing.state != "suspended",
            max_frame=limits.DEFAULT_FEDERATION_FRAME,
            now=now,
            relation=self._relation,
            rate=lambda size: _take(known, now, size),
            recorded=lambda origin, federation_id: recorded.get((ServerId(origin), federation_id)),
            window=known.window,
        )
        judged = check_ingress(view, item.map, size)
        if isinstance(judged, Repeated):
            tag.batch.answers[tag.index].append(judged.ack)
            return
        if standing.ingress is not None and len(relay.ciphertext) > standing.ingress.max_message:
            raise ProtocolError(Code.MESSAGE_TOO_LARGE, f"{len(relay.ciphertext)} bytes of ciphertext")
        known.window = judged.window
        self.accepted += 1
        tag.batch.due += 1
        if relay.target_server == self._door.server_id:
            await self._router.cast(RelayIn(item, remote, tag, self._owner))
        else:
            await self._commit(self._forward(remote, item), tag)

    def _forward(self, remote: ServerId, item: Received[MessageRelay]) -> Forward:
        relay, now = item.message, int(self._door.clock())
        return Forward(
            origin=relay.origin_server,
            remote=remote,
            message_id=relay.message_id,
            relaying=Relaying(
                target=relay.target_server,
                federation_id=relay.federation_id,
                priority=LEVEL_OF[relay.metadata.priority],
                created_at=now,
                expires_at=relay.metadata.original_timestamp // 1_000_000 + relay.metadata.ttl,
                code=_RELAY,
                body=item.data,
            ),
        )

    # --- answers ---

    async def _ack(self, item: Received[RelayAck], tag: ForItem) -> None:
        """What another server says of relays of ours, or of those that went through here."""
        ack, standing = item.message, await self.standing(item.message.target_server)
        if standing.ingress is None:
            raise ProtocolError(Code.SERVER_NOT_TRUSTED, ack.target_server)
        try:
            verify_ack(item.map, standing.ingress.relation.public_key)
        except BadSignatureError as error:
            raise ProtocolError(Code.BAD_SIGNATURE, "a relay_ack") from error
        for operation, receipts in settling(item, int(self._door.clock())):
            tag.batch.due += 1
            await self._commit(operation, tag, receipts)

    async def _commit(self, operation: Operation, tag: ForItem, receipts: tuple[bytes, ...] = ()) -> None:
        await self._router.cast(Commit(operation, receipts, tag, self._owner))

    # --- what is said ---

    async def _answer(self, batch: Waiting) -> None:
        """Sign what is ours to sign, and answer the link."""
        said = [answer for answers in batch.answers for answer in answers]
        acks = [ack for ack in said if isinstance(ack, dict) and "signature" not in ack]
        items = tuple(("relay:v1", canonical(ack)) for ack in acks)
        signatures = await self._system.ref(names.KEY_MANAGER).call(SignAll(items)) if items else ()
        signed = {id(ack): ack | {"signature": by} for ack, by in zip(acks, signatures, strict=True)}
        frames: list[tuple[int, bytes]] = []
        for answer in said:
            if isinstance(answer, dict):
                frames.append((_ACK, encode_map(signed.get(id(answer), answer))))
            else:
                frames.append((code_of(type(answer)), encode(answer)))
        batch.caller.reply(tuple(frames))

    def _refusal(self, error: ProtocolError, federation_id: str) -> Message:
        now = self._door.clock()
        if error.info.category == "federation" and error.code // 100 == 54 and error.retry_after is not None:
            return RateLimitExceeded(
                request_id=federation_id,
                limit_type=error.info.name,
                current_rate=0,
                limit=0,
                retry_after=error.retry_after,
                timestamp=int(now),
            )
        return FederationError.of(error.code, now=now, request_id=federation_id, resolution_hint=HINTS.get(error.code))

    # --- what is known ---

    def _relation(self, server: str) -> Relation | None:
        standing = self._standings.known(ServerId(server))
        return None if standing is None or standing.ingress is None else standing.ingress.relation

    def _from(self, standing: Standing) -> _From:
        known = self._remotes.get(standing.other)
        if known is None:
            now, terms = self._door.clock(), standing.ingress
            messages = 1 if terms is None else max(1, terms.messages_per_second)
            size = 1 if terms is None else max(1, terms.bandwidth_mbps) * 125_000
            known = self._remotes[standing.other] = _From(
                messages=TokenBucket(rate=messages, burst=messages * limits.RATE_WINDOW_SECONDS, now=now),
                bytes=TokenBucket(rate=size, burst=size * limits.RATE_WINDOW_SECONDS, now=now),
            )
        return known

    async def _recorded(self, relays: Sequence[MessageRelay]) -> Recorded:
        if not relays:
            return {}
        keys = tuple((relay.origin_server, relay.federation_id) for relay in relays)
        found = await self._system.ref(names.MESSAGE_STORE).call(FetchRecorded(keys))
        return {key: decode_map(ack) for key, ack in found.items() if ack is not None}


def settling(item: Received[RelayAck], now: int) -> list[tuple[Operation, tuple[bytes, ...]]]:
    """What a verified `relay_ack` changes here: the relay is settled, its receipts go to the sending device. Each
    operation comes with what it hands to devices."""
    ack = item.message
    if ack.receipt is None:
        notices = tuple(encode(answer) for answer in told(ack))
        settle = Settle(
            target=ack.target_server, federation_id=ack.federation_id, now=now, notices=notices, ack=item.data
        )
        return [(settle, notices)]
    operations: list[tuple[Operation, tuple[bytes, ...]]] = []
    for answer in answers_of(ack):
        if server_of(answer.user_id) != ack.target_server:
            raise ProtocolError(Code.WRONG_TARGET, f"a receipt of {answer.user_id} from {ack.target_server}")
        data = encode(answer.carrier)
        operation = RemoteReceipt(
            from_server=ack.target_server,
            message_id=ack.message_id,
            conversation_id=answer.conversation_id,
            device_id=answer.device_id,
            status=answer.status,
            receipt=data,
            now=now,
        )
        operations.append((operation, (data,)))
    return operations


def _take(known: _From, now: float, size: int) -> float:
    """Seconds to wait for room for a relay of this size; 5402 if it is the bytes that are too many."""
    wait = known.bytes.take(now, size)
    if wait:
        raise ProtocolError(Code.BANDWIDTH_EXCEEDED, f"{size} bytes", retry_after=max(1, int(wait + 0.999)))
    return known.messages.take(now)


def _in_its_words(remote: Standing, error: ProtocolError) -> ProtocolError:
    """`error`; where it is the remote's own trust that is missing, with the code that says how it ended."""
    if error.code is not Code.SERVER_NOT_TRUSTED or remote.ingress is not None:
        return error
    return ProtocolError(ABSENT[remote.state], error.detail)


def _pump(message: MessageRelay | RelayAck) -> Pump | None:
    """Where a relay in transit waits once it is committed."""
    if isinstance(message, RelayAck):
        return None
    return Pump(message.target_server)


def _parties(relay: MessageRelay) -> tuple[ServerId, ...]:
    return (relay.origin_server, relay.target_server, *relay.route_path)
