"""federation_manager: which other servers this node has to do with, and its links to them (section 8; rows B108, B110,
B125; complaint C.10).

Owns, per remote: the link that it dialled, what is known of it (status, last success, last error in words), and who
waits for an answer over it. Links are children of `links`, each with a back-off of its own; this actor starts one when
something is asked for a remote, and anew at once when the remote spoke to us or the operator says so.

What happens when a part dies
- a link: whoever waits for an answer over it gets `PeerUnreachable`; the supervisor brings it back after its back-off;
- this actor: the links stay; the next one finds them again by their names. Who waited gets `ServerDown`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from norc_actors import limits
from norc_actors.actors import names
from norc_actors.actors.federation.door import FederationDoor
from norc_actors.actors.federation.federation_link import FederationLink
from norc_actors.actors.federation.requests import (
    INBOUND,
    Ask,
    Connect,
    Exchange,
    Exchanged,
    Heard,
    LinkChanged,
    LinkStatus,
    LookUp,
    Peers,
    PeerStatus,
    PeerUnreachable,
    RetryPeer,
    ShownKey,
)
from norc_actors.actors.storage.account_store import Accounts
from norc_actors.actors.trust.requests import RELATIONS, RelationChanged, StandingOf
from norc_actors.ids import DeviceId, ServerId, UserId, new_uuid, server_of
from norc_actors.protocol.codec import decode_as, encode
from norc_actors.protocol.errors import ProtocolError, info_of
from norc_actors.protocol.frames import FederationFrame
from norc_actors.protocol.messages import UserLookup, UserLookupResponse
from norc_actors.protocol.messages.federation import FederationError
from norc_actors.protocol.registry import code_of
from norc_actors.protocol.schema import SignedMap
from norc_actors.store.errors import StoreError
from supervision import (
    NO_REPLY,
    ActorRef,
    Backoff,
    CallTimeout,
    ChildNotFound,
    ChildSpec,
    Down,
    From,
    GenServer,
    ServerDown,
    Shutdown,
    Timer,
    start_child,
    terminate_child,
    which_children,
)
from supervision.groups import Groups

_LOOKUP, _FOUND, _ERROR = code_of(UserLookup), code_of(UserLookupResponse), code_of(FederationError)
BACKOFF = Backoff(
    minimum=limits.LINK_BACKOFF_FIRST_SECONDS, maximum=limits.LINK_BACKOFF_MOST_SECONDS, jitter=0.25, reset_after=60.0
)

BACKING_OFF = "waits before it is tried again"


@dataclass(frozen=True, slots=True)
class _Late:
    """Info: this question has waited long enough."""

    number: int


@dataclass(slots=True, eq=False)
class _Question:
    """Somebody waits for the answer of a remote."""

    remote: ServerId
    caller: From
    timer: Timer
    lookup: LookUp | None = None


@dataclass(slots=True, eq=False)
class _Peer:
    """What is known of a remote."""

    server: ServerId
    link: ActorRef | None = None
    status: LinkStatus = "error"
    detail: str = "not asked for yet"
    since: float = 0.0
    last_success: float = 0.0
    last_error: str = ""
    heard: float = 0.0
    key: bytes = b""
    """The identity key that its link proved, while that stands."""
    waiting: list[Exchange] = field(default_factory=list)
    pinned: tuple[tuple[bytes, ...] | None, bool] = (None, False)
    """The keys that its links were made under, and whether they had to be hybrid."""


class FederationManager(GenServer):
    """See the module."""

    def __init__(self, *, door: FederationDoor) -> None:
        self._door = door
        self._peers: dict[ServerId, _Peer] = {}
        self._questions: dict[int, _Question] = {}
        self._number = 0

    async def init(self) -> None:
        """Take over the links that an earlier life of this actor has left."""
        Groups(self.system).join(RELATIONS, self.ref)
        links = self.system.whereis(names.LINKS)
        for child in () if links is None else await which_children(links):
            peer = self._peer(ServerId(child.id))
            if child.ref is None:
                peer.detail = BACKING_OFF
            else:
                peer.link = child.ref
                self.monitor(child.ref, peer.server)

    async def handle_call(self, request: object, caller: From) -> object:
        match request:
            case Ask(remote=remote, frames=frames, within=within):
                await self._ask(remote, frames, within, caller)
            case LookUp():
                await self._look_up(request, caller)
            case ShownKey(remote=remote):
                key = self._peer(remote).key
                if key:
                    return key
                caller.fail(PeerUnreachable(remote, "there is no link that shows its key"))
            case Peers():
                return tuple(self._told(peer) for peer in self._peers.values())
            case RetryPeer(server=server):
                await self._restart(self._peer(server))
                return None
            case _:
                raise TypeError(f"federation_manager knows no {request!r}")
        return NO_REPLY

    async def handle_cast(self, message: object) -> None:
        match message:
            case Connect(remote=remote):
                await self._connect(self._peer(remote))
            case Heard(remote=remote):
                await self._heard(self._peer(remote))
            case Exchanged(link=_, tag=int() as number, frames=frames):
                await self._answered(number, frames)
            case RelationChanged(server=server):
                await self._relation_changed(server)
            case _:
                raise TypeError(f"federation_manager knows no {message!r}")

    async def handle_info(self, message: object) -> None:
        match message:
            case LinkChanged():
                await self._link_changed(message)
            case _Late(number=number):
                question = self._questions.pop(number, None)
                if question is not None:
                    why = self._peer(question.remote).last_error or "it did not answer in time"
                    question.caller.fail(PeerUnreachable(question.remote, why))
            case Down(tag=str(server)):
                self._link_down(self._peer(ServerId(server)), message.ref)
            case _:
                raise TypeError(f"federation_manager knows no {message!r}")

    def statistics(self) -> Mapping[str, int]:
        """Peers, links that stand, and questions that wait for an answer."""
        active = sum(peer.status == "active" for peer in self._peers.values())
        return {"peers": len(self._peers), "active": active, "waiting": len(self._questions)}

    # --- questions ---

    async def _ask(
        self,
        remote: ServerId,
        frames: tuple[tuple[int, bytes], ...],
        within: float,
        caller: From,
        lookup: LookUp | None = None,
    ) -> None:
        peer = self._peer(remote)
        if len(peer.waiting) >= limits.QUESTIONS_PER_PEER:
            caller.fail(PeerUnreachable(remote, "too many questions wait for it already"))
            return
        self._number += 1
        timer = self.send_after(within, _Late(self._number))
        self._questions[self._number] = _Question(remote, caller, timer, lookup)
        exchange = Exchange(frames, self.ref, self._number)
        await self._connect(peer)
        if peer.link is None:
            peer.waiting.append(exchange)
        else:
            await peer.link.cast(exchange)

    async def _answered(self, number: int, frames: tuple[FederationFrame, ...]) -> None:
        question = self._questions.pop(number, None)
        if question is None:
            return
        question.timer.cancel()
        self._peer(question.remote).last_success = self._door.clock()
        if question.lookup is None:
            question.caller.reply(frames)
            return
        try:
            question.caller.reply(await self._found(question.lookup, frames))
        except (ProtocolError, StoreError, ServerDown, CallTimeout) as error:
            question.caller.fail(error)

    # --- look-ups ---

    async def _look_up(self, request: LookUp, caller: From) -> None:
        question = UserLookup(
            request_id=new_uuid(self._door.random),
            requesting_server=self._door.server_id,
            target_server=request.remote,
            user_queries=request.users,
            lookup_type="keys",
            requester_user=request.requester_user,
            requester_device=request.requester_device,
        )
        await self._ask(request.remote, ((_LOOKUP, encode(question)),), limits.LOOKUP_SECONDS, caller, request)

    async def _found(
        self, lookup: LookUp, frames: tuple[FederationFrame, ...]
    ) -> dict[UserId, dict[DeviceId, SignedMap]]:
        keys: dict[UserId, dict[DeviceId, SignedMap]] = {}
        for frame in frames:
            if frame.type == _ERROR:
                code = info_of(decode_as(FederationError, frame.body).message.error_code).code
                raise ProtocolError(code, f"a look-up at {lookup.remote}")
            if frame.type != _FOUND:
                continue
            for result in decode_as(UserLookupResponse, frame.body).message.results:
                asked = result.user_id in lookup.users and server_of(result.user_id) == lookup.remote
                if asked and result.exists and result.keys is not None:
                    keys[result.user_id] = dict(result.keys)
        devices = {user: tuple(entries) for user, entries in keys.items()}
        now = int(self._door.clock())
        await self.system.ref(names.ACCOUNT_STORE).call(
            Accounts(lambda store: store.remote.put_devices(devices, now=now))
        )
        return keys

    # --- links ---

    def _peer(self, server: ServerId) -> _Peer:
        peer = self._peers.get(server)
        if peer is None:
            peer = self._peers[server] = _Peer(server, since=self._door.clock())
        return peer

    async def _connect(self, peer: _Peer) -> None:
        """Have a link; one that waits for its back-off is left to it."""
        if peer.link is not None and peer.link.alive:
            return
        known = self.system.whereis(_name(peer.server))
        if known is None and not await self._starting(peer):
            return
        link = self.system.whereis(_name(peer.server))
        if link is not None and link != peer.link:
            peer.link, peer.detail = link, ""
            self.monitor(link, peer.server)
            waiting, peer.waiting = peer.waiting, []
            for exchange in waiting:
                await link.cast(exchange)

    async def _starting(self, peer: _Peer) -> bool:
        """Start a link if its supervisor has none, not even one that waits to be tried again."""
        links = self.system.whereis(names.LINKS)
        if links is None:
            return False
        spec = ChildSpec(
            id=peer.server,
            name=_name(peer.server),
            start=lambda: FederationLink(remote=peer.server, door=self._door),
            shutdown=limits.ACTOR_SHUTDOWN_SECONDS,
            backoff=BACKOFF,
        )
        if peer.detail == BACKING_OFF:
            return False
        await self._pin(peer)
        await start_child(links, spec)
        return True

    async def _pin(self, peer: _Peer) -> None:
        """Note under which keys its links are made."""
        standing = await self.system.ref(names.TRUST_MANAGER).call(StandingOf(peer.server))
        peer.pinned = (standing.keys, standing.hybrid)

    async def _restart(self, peer: _Peer) -> None:
        """A link anew, now: the way there, or what we are to each other, has changed."""
        links = self.system.whereis(names.LINKS)
        if links is None:
            return
        try:
            await terminate_child(links, peer.server)
        except ChildNotFound:
            if peer.link is None and not peer.waiting:
                return
        peer.link, peer.detail = None, ""
        await self._connect(peer)

    async def _relation_changed(self, server: ServerId) -> None:
        """Links end with the trust that they were made under: at once when it ended, for a new one when other keys are
        pinned. What the other server dialled ends too; it may come back as the stranger that it is."""
        standing = await self.system.ref(names.TRUST_MANAGER).call(StandingOf(server))
        peer = self._peers.get(server)
        if peer is None or peer.pinned == (standing.keys, standing.hybrid):
            return
        peer.pinned = (standing.keys, standing.hybrid)
        for ref, _ in self.system.registry(INBOUND, keys="duplicate").lookup(server):
            ref.exit(Shutdown("trust has changed"))
        if peer.link is not None:
            await self._restart(peer)

    async def _heard(self, peer: _Peer) -> None:
        """It spoke to us, so it can be reached: no back-off any more."""
        peer.heard = self._door.clock()
        await self._pin(peer)
        if peer.detail == BACKING_OFF:
            await self._restart(peer)

    async def _link_changed(self, change: LinkChanged) -> None:
        peer = self._peer(change.remote)
        peer.status, peer.since = change.status, self._door.clock()
        if change.status == "error":
            peer.last_error = change.detail
        elif change.status == "active":
            peer.last_success, peer.last_error, peer.key = self._door.clock(), "", change.key
        if change.link != peer.link:  # the supervisor brought it back
            await self._connect(peer)
        await self.system.ref(names.ROUTE_MANAGER).cast(change)

    def _link_down(self, peer: _Peer, link: ActorRef) -> None:
        if peer.link != link:
            return
        peer.link, peer.status, peer.detail = None, "error", BACKING_OFF
        peer.waiting.clear()
        peer.key = b""
        for number in [number for number, question in self._questions.items() if question.remote == peer.server]:
            question = self._questions.pop(number)
            question.timer.cancel()
            question.caller.fail(PeerUnreachable(peer.server, peer.last_error or "the link has ended"))

    def _told(self, peer: _Peer) -> PeerStatus:
        return PeerStatus(
            server=peer.server,
            status=peer.status,
            since=peer.since,
            last_success=peer.last_success,
            last_error=peer.last_error,
            last_heard=peer.heard,
        )


def _name(server: ServerId) -> str:
    return f"link/{server}"
