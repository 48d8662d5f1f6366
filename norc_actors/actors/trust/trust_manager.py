"""trust_manager: what this server is to others, and they to it (section 9; rows B133–B158).

Owns the book (`trust.book`), the open exchanges, and every decision about trust; its parts are `requester`, `granter`,
`renewer`, `revoker` and `informant`, which share one ledger. The loop decides and stores, one message at a time; what
has to wait for others is somewhere else: errands ask other servers, trust_validator asks DNS, crl_manager keeps lists.
So a question how things stand (`StandingOf`) is answered at once, whatever other servers do.

What comes over a link is judged message by message: one that is refused is answered with its code, and the next one is
looked at. What was stored stays stored.

What happens when it dies: the disk has everything. The next life reads it, begins the errands again, and has judged
again what was not judged; those below it in the tree start again with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import structlog

from norc_actors import limits
from norc_actors.actors import names
from norc_actors.actors.trust.crl_requests import (
    CrlFrames,
    ListNews,
    ListsWanted,
    OwnChanged,
    Untold,
    UntoldWanted,
    Watched,
)
from norc_actors.actors.trust.errands import Answered, Errands, Retry
from norc_actors.actors.trust.granter import Granter
from norc_actors.actors.trust.informant import Informant
from norc_actors.actors.trust.ledger import Ledger, Open, TrustSettings
from norc_actors.actors.trust.renewer import Renewer
from norc_actors.actors.trust.requester import Requester
from norc_actors.actors.trust.requests import (
    Appeal,
    Approve,
    AskOpinion,
    Completed,
    ExchangeView,
    ListTrust,
    Monitored,
    MonitoredRelation,
    MonitoredRelations,
    Reissue,
    Reject,
    Renew,
    RequestTrust,
    RevokeTrust,
    ShowTrust,
    StandingOf,
    TrustDetail,
    TrustFrames,
    TrustRefused,
    VersionOf,
)
from norc_actors.actors.trust.revoker import Revoker
from norc_actors.actors.trust.traffic import frames_of, refuse
from norc_actors.actors.trust.trust_validator import Judged, Ready, Visible
from norc_actors.actors.trust.views import detail, exchange_view, lines
from norc_actors.ids import Clock, Random, ServerId
from norc_actors.protocol.codec import Received, encode_map
from norc_actors.protocol.errors import Code, ProtocolError
from norc_actors.protocol.schema import Message, SignedMap
from norc_actors.protocol.versions import parse_version
from norc_actors.store.errors import StoreError
from norc_actors.trust import renewal
from supervision import NO_REPLY, CallTimeout, From, GenServer, ServerDown, Timer

log = structlog.get_logger("norc.trust")

_LISTS = frozenset(("crl_request", "trust_crl", "revocation_acknowledgment"))
"""Types that are crl_manager's."""
_TROUBLE = (StoreError, ServerDown, CallTimeout)
"""How this server fails by itself: the disk refuses, or a part restarts."""


@dataclass(frozen=True, slots=True)
class _Tick:
    """Info: look for what is over."""


@dataclass(frozen=True, slots=True)
class _Change:
    """Info: a standing may have changed by itself."""


class TrustManager(GenServer):
    """See the module."""

    def __init__(self, *, settings: TrustSettings, clock: Clock, random: Random) -> None:
        self._settings = settings
        self._clock = clock
        self._random = random
        self._change: Timer | None = None
        self._frames = 0
        self._refused = 0

    async def init(self) -> None:
        self._ledger = Ledger(self.system, self._settings, self._clock, self._random)
        self._errands = Errands(self.system, self.ref, self.spawn, self.send_after, self._random)
        self._requester = Requester(self._ledger, self._errands, self.system)
        self._granter = Granter(self._ledger, self._errands, self.system)
        self._renewer = Renewer(self._ledger, self._errands)
        self._revoker = Revoker(self._ledger, self._errands, self.system)
        self._informant = Informant(self._ledger, self._errands)
        await self._ledger.load()
        self._await_change()
        self.send_after(limits.TRUST_TICK_SECONDS, _Tick())

    def statistics(self) -> Mapping[str, int]:
        """Servers in the book, open exchanges, errands, messages that came, and how many of them were refused."""
        return {
            "servers": len(self._ledger.book.servers()),
            "exchanges": len(self._ledger.cases),
            "errands": len(self._errands),
            "messages": self._frames,
            "refused": self._refused,
        }

    # --- calls ---

    async def handle_call(self, request: object, caller: From) -> object:
        match request:
            case StandingOf(server=server):
                return self._ledger.book.standing(server, self._clock())
            case TrustFrames():
                await self._arrived(request, caller)
                return NO_REPLY
            case VersionOf(server=server):
                return self._ledger.peer(server).version
            case ListsWanted():
                return self._watched()
            case ListTrust():
                return lines(self._ledger, self._errands)
            case MonitoredRelations():
                return tuple(self._monitored(server) for server in self._ledger.book.servers())
        try:
            return await self._operator(request, caller)
        except (TrustRefused, *_TROUBLE) as refusal:
            caller.fail(refusal)
            return NO_REPLY
        finally:
            self._await_change()

    async def _operator(self, request: object, caller: From) -> object:
        """What an operator, or trust_monitor for one, wants."""
        match request:
            case RequestTrust():
                return self._view(await self._requester.request(request))
            case Approve() | Reject():
                return await self._decide(request, caller)
            case Renew():
                await self._renewer.renew(request)
            case Reissue():
                await self._renewer.reissue(request)
            case RevokeTrust(server=server):
                revoked = await self._revoker.revoke(request)
                if request.wish.scope != "partial":
                    await self._granter.close_all(server, "trust was revoked")
                return revoked
            case Appeal():
                await self._revoker.appeal(request)
            case AskOpinion():
                await self._informant.ask(request)
            case ShowTrust(server=server):
                return await self._detail(server)
            case UntoldWanted():
                return await self._untold()
            case Monitored(server=server, until=until):
                peer = msgspec.structs.replace(self._ledger.peer(server), monitored_until=until)
                await self._ledger.commit(peers=[peer])
            case _:
                raise TypeError(f"trust_manager knows no {request!r}")
        return None

    async def _decide(self, request: Approve | Reject, caller: From) -> object:
        server = request.server
        if isinstance(request, Reject):
            if not self._renews(server):
                return self._view(await self._granter.reject(request))
            await self._renewer.reject(server, request.why)
        elif self._renews(server):
            await self._renewer.approve(server, request.grant)
        else:
            await self._granter.approve(request, lambda case: caller.reply(self._view(case)), caller.fail)
            return NO_REPLY
        return (await self._detail(server)).exchanges[0]

    def _renews(self, server: ServerId) -> bool:
        """Whether a renewal waits for an operator, and no exchange does."""
        return server in self._ledger.renewals and not self._ledger.exchanges_with(server, "granting")

    def _view(self, case: Open) -> ExchangeView:
        return exchange_view(case, self._granter, self._errands)

    async def _detail(self, server: ServerId) -> TrustDetail:
        parts = (self._granter, self._renewer, self._informant, self._errands)
        return await detail(server, self._ledger, *parts)

    # --- casts and infos ---

    async def handle_cast(self, message: object) -> None:
        try:
            match message:
                case Judged():
                    await self._granter.judged(message)
                case Visible():
                    await self._requester.visible(message)
                case Ready():
                    await self._begin()
                case ListNews():
                    await self._list_news(message)
                case Completed(server=server, version=version):
                    await self._completed(server, version)
                case _:
                    raise TypeError(f"trust_manager knows no {message!r}")
        except _TROUBLE as error:
            log.error("trust waits", what=type(message).__name__, why=str(error))
        self._await_change()

    async def handle_info(self, message: object) -> None:
        try:
            match message:
                case Answered():
                    await self._answered(message)
                case Retry():
                    self._errands.retry(message)
                case _Change():
                    self._change = None
                    await self._changed()
                case _Tick():
                    self.send_after(limits.TRUST_TICK_SECONDS, _Tick())
                    await self._requester.sweep()
                    await self._granter.sweep()
                case _:
                    await super().handle_info(message)
        except _TROUBLE as error:
            log.error("trust waits", what=type(message).__name__, why=str(error))
        self._await_change()

    async def _begin(self) -> None:
        """All parts are there: go on with what an earlier life began."""
        await self._granter.judge_all()
        await self._granter.resume()
        await self._requester.resume()
        self._renewer.resume()

    # --- links ---

    async def _arrived(self, request: TrustFrames, caller: From) -> None:
        """Answer what came in a batch; what is crl_manager's is asked of it in a task."""
        self._errands.heard_from(request.remote)
        answers: list[tuple[int, bytes]] = []
        lists: list[Received[Message]] = []
        for received in request.messages:
            self._frames += 1
            if received.map.get("type") in _LISTS:
                lists.append(received)
            else:
                answers += await self._reply_to(request.remote, request.remote_key, received)
        self._await_change()
        if lists:
            self.spawn(self._with_lists, request, tuple(lists), answers, caller)
        else:
            caller.reply(tuple(answers))

    async def _reply_to(self, remote: ServerId, key: bytes, received: Received[Message]) -> list[tuple[int, bytes]]:
        try:
            self._check(remote, str(received.map.get("type")))
            return list(frames_of(await self._hear(remote, key, received)))
        except ProtocolError as error:
            self._refused += 1
            log.warning("refused", remote=remote, type=received.map.get("type"), why=str(error))
            return [refuse(error.code, received, self._random, self._clock())]
        except _TROUBLE as error:
            log.error("trust waits", remote=remote, why=str(error))
            return [refuse(Code.SERVER, received, self._random, self._clock())]

    async def _with_lists(
        self,
        request: TrustFrames,
        lists: tuple[Received[Message], ...],
        answers: list[tuple[int, bytes]],
        caller: From,
    ) -> None:
        allowed = []
        for received in lists:
            try:
                self._check(request.remote, str(received.map.get("type")))
                allowed.append(received)
            except ProtocolError as error:
                answers.append(refuse(error.code, received, self._random, self._clock()))
        asked = CrlFrames(request.remote, request.remote_key, tuple(allowed))
        try:
            answers += await self.system.ref(names.CRL_MANAGER).call(asked)
        except _TROUBLE as error:
            log.error("lists wait", remote=request.remote, why=str(error))
            answers += [refuse(Code.SERVER, received, self._random, self._clock()) for received in allowed]
        caller.reply(tuple(answers))

    def _check(self, remote: ServerId, kind: str) -> None:
        """`ProtocolError` for what the relation does not allow."""
        self._ledger.book.standing(remote, self._clock()).check_ingress(kind)

    async def _hear(self, remote: ServerId, key: bytes, received: Received[Message]) -> list[SignedMap]:
        kind = str(received.map.get("type"))
        match kind:
            case "trust_capabilities":
                return await self._granter.said(remote, key, received)
            case "trust_request":
                return await self._granter.requested(remote, key, received)
            case "trust_response":
                return await self._granter.hear(remote, key, received)
            case "trust_challenge":
                return await self._requester.hear(remote, key, received)
            case "trust_decision":
                if self._requester.knows(remote, received):
                    return await self._requester.hear(remote, key, received)
                again = await self._requester.again(remote, key, received)
                return await self._renewer.decided(remote, received) if again is None else again
            case "trust_acknowledgment":
                if self._granter.knows(remote, received):
                    return await self._granter.hear(remote, key, received)
                return []  # of a renewed certificate: its errand has the answer
            case "trust_renewal":
                return await self._renewer.asked(remote, received)
            case "trust_revoke":
                return await self._revoker.heard(remote, received)
        return await self._informant.hear(remote, received)

    # --- answers to errands ---

    async def _answered(self, message: Answered) -> None:
        if not self._errands.answered(message):
            return
        match message.tag:
            case ("renew" | "reissue" as kind, str() as remote):
                await self._renewer.answered((kind, ServerId(remote)), message)
            case ("opinion", str() as recommender, str() as subject, str() as request_id):
                await self._informant.answered(
                    ("opinion", ServerId(recommender), ServerId(subject), request_id), message
                )
            case ("requesting" | "granting" as role, str() as remote, str() as request_id):
                case = self._ledger.cases.get((role, ServerId(remote), request_id))
                if case is not None:
                    part = self._requester if role == "requesting" else self._granter
                    await part.answered(case, message)

    # --- lists, time, versions ---

    def _watched(self) -> tuple[Watched, ...]:
        book = self._ledger.book
        return tuple(
            Watched(server, book.keys(server), book.lists[server])
            for server in book.watched(self._clock())
            if server in book.lists
        )

    async def _untold(self) -> Untold:
        ledger = self._ledger
        pushes = await ledger.unacknowledged()
        needed = {push.hash for push in pushes}
        own = ledger.book.revocations(ledger.profile.server)
        bodies = {one.hash: encode_map(one.map) for one in own if one.hash in needed}
        return Untold(pushes, bodies, tuple(ledger.book.own_entries(self._clock())))

    def _monitored(self, server: ServerId) -> MonitoredRelation:
        book, now = self._ledger.book, self._clock()
        issued, held = book.issued(server, now), book.held(server, now)
        return MonitoredRelation(
            server=server,
            conditions=() if issued is None else issued.terms.conditions,
            monitored_until=self._ledger.peer(server).monitored_until,
            renewal_due=held is not None and book.standing(server, now).egress is not None and renewal.due(held, now),
            renewal_at=0 if held is None else renewal.begins(held),
            health=self._informant.health(server),
        )

    async def _list_news(self, message: ListNews) -> None:
        ledger = self._ledger
        ledger.book.set_list(message.issuer, message.known)
        ledger.settle()
        for entry in message.new:
            held = ledger.book.certificate(message.issuer, entry.certificate_id)
            known = any(one.binds(held) for one in ledger.book.revocations(message.issuer)) if held else True
            if not known:
                parameters = {"certificate_id": entry.certificate_id, "reason": entry.revocation_reason}
                await ledger.audit(
                    "trust_revoked", "listed", "success", message.issuer, risk_level="high", parameters=parameters
                )

    def _await_change(self) -> None:
        """Be woken when a standing may change by itself."""
        moment = self._ledger.book.next_change(self._clock())
        if self._change is not None:
            self._change.cancel()
            self._change = None
        if moment is not None:
            self._change = self.send_after(max(0.0, moment - self._clock()), _Change())

    async def _changed(self) -> None:
        changed = self._ledger.settle()
        if changed:
            log.info("relations changed", servers=changed)
        own = OwnChanged(tuple(self._ledger.book.own_entries(self._clock())))
        await self.system.ref(names.CRL_MANAGER).cast(own)

    async def _completed(self, server: ServerId, version: str) -> None:
        peer = self._ledger.peer(server)
        if peer.version is None or parse_version(version) > parse_version(peer.version):
            await self._ledger.commit(peers=[msgspec.structs.replace(peer, version=version)])
