"""What an accepted link's batches ask, one function a kind, and what goes back (section 8, *Other traffic*).

Rules
- What may come at all is the table of `link_states`, what trust permits that of `trust.policy`; both are asked before
  anything is done. A type that no link carries ends it (3004); what this one may not carry now, and what trust forbids,
  is answered.
- A statement about a user is taken only from the server of that user's domain.
- Relays and their answers go to the remote's message_relay, NORC-T to the trust manager, users' keys come from the key
  manager, conversations from their actor. Nothing is kept here.
- A refusal is a `federation_error` whose `request_id` is that of what is refused, with the hint of its code.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from norc_actors import limits
from norc_actors.actors import names
from norc_actors.actors.crypto.key_manager import Entries, EntriesOf, Sign
from norc_actors.actors.federation.addressed import Addressees
from norc_actors.actors.federation.door import FederationDoor
from norc_actors.actors.federation.hints import HINTS
from norc_actors.actors.federation.requests import Frames, Incoming
from norc_actors.actors.observer.health import HealthOf
from norc_actors.actors.storage.account_store import Accounts
from norc_actors.actors.trust.requests import StandingOf, TrustFrames
from norc_actors.crypto.errors import BadSignatureError
from norc_actors.crypto.signatures import verify
from norc_actors.ids import UserId, new_uuid, server_of
from norc_actors.protocol import messages as m
from norc_actors.protocol.batches import LINK_MEMBERS, from_link, to_link
from norc_actors.protocol.buckets import TokenBucket
from norc_actors.protocol.canonical import canonical
from norc_actors.protocol.codec import Received, decode, encode, encode_map, to_map
from norc_actors.protocol.conversations import StateRefusedError
from norc_actors.protocol.errors import Code, PeerError, ProtocolError
from norc_actors.protocol.frames import FederationFrame
from norc_actors.protocol.link_states import LINK_TABLE, LinkState, after_message
from norc_actors.protocol.links import LinkEstablished
from norc_actors.protocol.registry import CODES, code_of
from norc_actors.protocol.schema import Message, replace, type_name
from norc_actors.store.accounts import AccountStore
from norc_actors.store.errors import StoreError
from norc_actors.trust.relations import ABSENT, Standing
from supervision import CallTimeout, ServerDown, System
from supervision.partition import route

_NORC_T = frozenset(
    code for name, code in CODES.items() if name.startswith(("trust_", "crl_", "gov_", "compliance_", "revocation_"))
) - {CODES["trust_status"], CODES["trust_status_response"]}
_ASIDE_TYPES = _NORC_T | {CODES["message_relay"], CODES["relay_ack"]}
"""What others than this module answer."""
_ASIDE = (StateRefusedError, BadSignatureError, StoreError)
"""What a request may break without breaking the link."""


@dataclass(frozen=True, slots=True)
class Item:
    """One message of a batch, with its type code and size."""

    received: Received[Message]
    code: int
    size: int


class Answers:
    """The answering side of one accepted link."""

    def __init__(self, system: System, link: LinkEstablished, door: FederationDoor) -> None:
        self._system = system
        self._link = link
        self._remote = link.peer
        self._door = door
        self._addressees = Addressees(system, link.peer, door)
        now, lookups = door.clock(), limits.REMOTE_LOOKUPS_PER_MINUTE
        self._lookups = TokenBucket(rate=lookups / 60, burst=lookups, now=now)

    async def to(self, frames: Sequence[FederationFrame]) -> Frames:
        """What goes back for a batch. `ProtocolError`: the link has to end."""
        standing = await self._system.ref(names.TRUST_MANAGER).call(StandingOf(self._remote))
        state = self._state(standing)
        welcome: list[Item] = []
        answers: list[tuple[int, bytes]] = []
        for frame in frames:
            after_message("initiator", "trusted", frame.type)
            item = Item(decode(frame.type, frame.body), frame.type, len(frame.body))
            if ("initiator", state, frame.type) in LINK_TABLE:
                welcome.append(item)
            else:
                answers.append(self._not_now(item, standing))
        for item in welcome:  # before the relays, which may be in a conversation that comes with them
            if item.code not in _ASIDE_TYPES:
                answers += await self._other(item.received, standing)
        answers += await self._relays(welcome)
        answers += await self._trust(welcome)
        return tuple(answers)

    def _not_now(self, item: Item, standing: Standing) -> tuple[int, bytes]:
        """What a peer without trust, or without a fresh list of revocations, is told of what needs it."""
        if standing.state != "suspended":
            return self._refusal(ABSENT[standing.state], item.received)
        slower = m.RateLimitExceeded(
            request_id=self._named(item.received),
            limit_type="suspended",
            current_rate=0,
            limit=0,
            retry_after=int(limits.CRL_POLL_SECONDS),
            timestamp=int(self._door.clock()),
        )
        return _frame(slower)

    def _state(self, standing: Standing) -> LinkState:
        if not self._link.trusted:
            return "untrusted"
        if standing.keys is None or self._link.peer_key not in standing.keys:
            return "untrusted"  # trust has ended since the handshake
        return "suspended" if standing.state == "suspended" else "trusted"

    async def _relays(self, received: Sequence[Item]) -> Frames:
        items: list[Received[m.MessageRelay] | Received[m.RelayAck]] = []
        sizes = []
        for item in received:
            if isinstance(item.received.message, m.MessageRelay):
                items.append(item.received.narrow(m.MessageRelay))
            elif isinstance(item.received.message, m.RelayAck):
                items.append(item.received.narrow(m.RelayAck))
            else:
                continue
            sizes.append(item.size)
        if not items:
            return ()
        request = Incoming(self._remote, tuple(items), tuple(sizes))
        return await route(self._system, names.RELAYS, self._remote).call(request, limits.INGRESS_SECONDS)

    async def _trust(self, received: Sequence[Item]) -> Frames:
        items = tuple(item.received for item in received if item.code in _NORC_T)
        if not items:
            return ()
        request = TrustFrames(self._remote, self._link.peer_key, self._link.trusted, items)
        return await self._system.ref(names.TRUST_MANAGER).call(request, limits.INGRESS_SECONDS)

    async def _other(self, item: Received[Message], standing: Standing) -> Frames:
        try:
            standing.check_ingress(type_name(type(item.message)) or "", getattr(item.message, "classification", None))
            answer = await self._answer(item)
        except ProtocolError as error:
            return (self._refusal(error.code, item),)
        except _ASIDE:
            return (self._refusal(Code.NOT_PERMITTED, item),)
        except (ServerDown, CallTimeout, PeerError):
            return (self._refusal(Code.SERVER, item),)
        return () if answer is None else (answer,)

    async def _answer(self, item: Received[Message]) -> tuple[int, bytes] | None:
        message = item.message
        match message:
            case m.ServerDiscovery():
                return _frame(await self._server_info(item, message))
            case m.TrustStatus():
                return _frame(await self._trust_status(message))
            case m.UserLookup():
                return _frame(await self._look_up(message))
            case m.HealthCheck():
                return _frame(await self._system.ref(names.HEALTH).call(HealthOf(message.check_level)))
            case m.FederationError() | m.RateLimitExceeded():
                return None
        if not set(LINK_MEMBERS).issubset(item.map):
            raise ProtocolError(Code.CAPABILITY_MISSING, type(message).__name__)
        addressed = from_link(item.map, own_server=self._door.server_id)
        if addressed.origin_server != self._remote:
            raise ProtocolError(Code.WRONG_TARGET, f"from {addressed.origin_server} over the link of {self._remote}")
        answer = await self._addressees.take(message, addressed)
        if answer is None:
            return None
        back = to_link(to_map(answer), self._door.server_id, self._remote, ())
        return code_of(type(answer)), encode_map(back)

    # --- one kind each ---

    async def _server_info(self, item: Received[Message], query: m.ServerDiscovery) -> m.ServerInfo:
        """A `server_info` signed now (row B112); the question has to be the peer's own and fresh."""
        if query.requesting_server != self._remote or query.query_server != self._door.server_id:
            raise ProtocolError(Code.WRONG_TARGET, "a question between other servers")
        try:
            verify(self._link.peer_key, "server-info:v1", canonical(item.map, less=("signature",)), query.signature)
        except BadSignatureError as error:
            raise ProtocolError(Code.BAD_SIGNATURE, "server_discovery") from error
        now = self._door.clock()
        if abs(now - query.timestamp) > limits.BATCH_SKEW_SECONDS:
            raise ProtocolError(Code.CLOCK_SKEW, "server_discovery")
        info = self._door.info(query.request_id, int(now))
        body = canonical(to_map(info), less=("signature",))
        signature = await self._system.ref(names.KEY_MANAGER).call(Sign("server-info:v1", body))
        return replace(info, signature=signature)

    async def _trust_status(self, query: m.TrustStatus) -> m.TrustStatusResponse:
        """How this server stands to the one that asks, or to a third that it names (row B175)."""
        if query.requesting_server != self._remote:
            raise ProtocolError(Code.WRONG_TARGET, "a question in another's name")
        about = self._remote if query.target_server == self._door.server_id else query.target_server
        standing = await self._system.ref(names.TRUST_MANAGER).call(StandingOf(about))
        return m.TrustStatusResponse(
            target_server=query.target_server,
            trust_established=standing.egress is not None,
            trust_level=standing.level,
            established_at=standing.since,
            expires_at=standing.until or 0,
            certificate_chain=(),
        )

    async def _look_up(self, query: m.UserLookup) -> m.UserLookupResponse:
        """Users of this server, for a user of the peer (row B121): the same answer for who is hidden and who is not."""
        if query.requesting_server != self._remote or server_of(query.requester_user) != self._remote:
            raise ProtocolError(Code.WRONG_TARGET, "a look-up in another's name")
        wait = self._lookups.take(self._door.clock())
        if wait:
            raise ProtocolError(Code.RATE_EXCEEDED, "look-ups", retry_after=int(wait) + 1)
        if query.lookup_type == "presence":
            raise ProtocolError(Code.CAPABILITY_MISSING, "presence")
        users = tuple(user for user in query.user_queries if server_of(user) == self._door.server_id)
        found = await self._keys(users, query) if query.lookup_type == "keys" else {}
        exist = found.keys() if query.lookup_type == "keys" else await self._existing(users)
        results = tuple(
            m.FoundUser(user_id=user, exists=True, keys=found.get(user), federation_allowed=True)
            if user in exist
            else m.FoundUser(user_id=user, exists=False, error="user_not_found")
            for user in query.user_queries
        )
        return m.UserLookupResponse(request_id=query.request_id, results=results, timestamp=int(self._door.clock()))

    async def _keys(self, users: tuple[UserId, ...], query: m.UserLookup) -> Entries:
        keys = await self._system.ref(names.KEY_MANAGER).call(EntriesOf(users, query.requester_device))
        remote, now = self._remote, int(self._door.clock())
        await self._system.ref(names.ACCOUNT_STORE).call(
            Accounts(lambda store: store.remote.note_lookup(tuple(keys), remote, now=now))
        )
        return keys

    async def _existing(self, users: tuple[UserId, ...]) -> frozenset[UserId]:
        def read(store: AccountStore) -> frozenset[UserId]:
            return frozenset(user for user in users if store.user(user) is not None)

        return await self._system.ref(names.ACCOUNT_STORE).call(Accounts(read))

    # --- refusals ---

    def _named(self, item: Received[Message]) -> str:
        """The id by which a refusal names what it refuses."""
        for member in ("request_id", "federation_id"):
            named = getattr(item.message, member, None)
            if isinstance(named, str):
                return named
        return new_uuid(self._door.random)

    def _refusal(self, code: Code, item: Received[Message]) -> tuple[int, bytes]:
        request_id = self._named(item)
        error = m.FederationError.of(
            code, now=self._door.clock(), request_id=request_id, resolution_hint=HINTS.get(code)
        )
        return _frame(error)


def _frame(message: Message) -> tuple[int, bytes]:
    return code_of(type(message)), encode(message)
