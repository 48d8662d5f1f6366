"""crl_manager: this server's own list of revocations, everybody else's, and the pushing of revocations (section 9; rows
B146, B147, B149).

Owns
- the own list: its number rises with every change of what it says, on the disk before anybody sees it; it is signed
  anew when somebody asks, at most every `OWN_LIST_SECONDS`;
- what is known of others' lists: each peer is asked every 60 s at most, sooner after a failure. What a list brings is
  stored, then told to trust_manager, which alone says what follows;
- the pushes: each revocation goes to each of its servers until that one acknowledges it. After 300 s without, the
  operator is warned once, by an entry of the audit and an error in the log; and it goes on.

What happens when it dies: what it waits for is on the disk, or with trust_manager, which it asks when it begins
(`UntoldWanted`, `ListsWanted`). Lists that it did not get in the meantime suspend a relation after 300 s, as they
should.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import msgspec
import structlog

from norc_actors import limits
from norc_actors.actors import names
from norc_actors.actors.crypto.key_manager import Sign
from norc_actors.actors.storage.audit_log import Audit
from norc_actors.actors.trust.certificate_store import Trust
from norc_actors.actors.trust.crl_requests import (
    CrlFrames,
    ListNews,
    ListsWanted,
    OwnChanged,
    PollNow,
    Push,
    UntoldWanted,
    Watched,
)
from norc_actors.actors.trust.errands import Answered, Errands, Retry
from norc_actors.actors.trust.requests import RELATIONS, RelationChanged
from norc_actors.actors.trust.traffic import frames_of, read, refusal_in, refuse
from norc_actors.ids import Clock, Random, ServerId
from norc_actors.protocol.codec import Received, decode_map
from norc_actors.protocol.errors import Code, ProtocolError, info_of
from norc_actors.protocol.messages.trust_decision import (
    CrlRequest,
    RevocationAcknowledgment,
    RevokedCertificate,
    TrustCrl,
)
from norc_actors.protocol.registry import CODES
from norc_actors.protocol.schema import Message, SignedMap
from norc_actors.store.errors import StoreError
from norc_actors.store.trust import StoredList, StoredPush, TrustChanges
from norc_actors.trust import crl
from norc_actors.trust.crl import Known
from norc_actors.trust.drafts import Draft, draft_message, signed_by
from norc_actors.trust.exchange import Profile
from supervision import NO_REPLY, CallTimeout, From, GenServer, ServerDown, Timeout
from supervision.groups import Groups

log = structlog.get_logger("norc.trust")

_REVOKE = CODES["trust_revoke"]
PushTag = tuple[Literal["push"], bytes, ServerId]
PollTag = tuple[Literal["poll"], ServerId]


@dataclass(frozen=True, slots=True)
class _Tick:
    """Info: look for what is overdue."""


@dataclass(frozen=True, slots=True)
class OwnList:
    """This server's own list as stored: its number, and what it says."""

    number: int = 0
    entries: tuple[RevokedCertificate, ...] = ()


@dataclass(slots=True, eq=False)
class _Issuer:
    """What is known of one whose list is wanted."""

    keys: tuple[bytes, ...]
    known: Known
    wanted: bool = True
    alarmed: bool = False


class CrlManager(GenServer):
    """See the module."""

    def __init__(self, *, profile: Profile, clock: Clock, random: Random) -> None:
        self._profile = profile
        self._clock = clock
        self._random = random
        self._issuers: dict[ServerId, _Issuer] = {}
        self._pushes: dict[PushTag, StoredPush] = {}
        self._bodies: dict[bytes, bytes] = {}
        self._own = OwnList()
        self._signed: SignedMap | None = None
        self._signed_at = 0.0
        self._changed = False
        self._ticking = False
        self._polled = 0
        self._served = 0

    async def init(self) -> None:
        self._store = self.system.ref(names.CERTIFICATE_STORE)
        self._keys = self.system.ref(names.KEY_MANAGER)
        self._manager = self.system.ref(names.TRUST_MANAGER)
        self._errands = Errands(self.system, self.ref, self.spawn, self.send_after, self._random)
        Groups(self.system).join(RELATIONS, self.ref)
        own = self._profile.server
        row = await self._store.call(Trust(lambda store: store.list(own)))
        if row is not None:
            self._own = msgspec.msgpack.decode(row.list, type=OwnList)
        untold = await self._manager.call(UntoldWanted())
        await self._own_says(untold.own)
        self._push(untold.pushes, untold.revocations)
        self._watch(await self._manager.call(ListsWanted()))

    async def handle_call(self, request: object, caller: From) -> object:
        if not isinstance(request, CrlFrames):
            raise TypeError(f"crl_manager knows no {request!r}")
        self._errands.heard_from(request.remote)
        answers: list[tuple[int, bytes]] = []
        for received in request.messages:
            try:
                answers += frames_of(await self._hear(request.remote, request.key, received))
            except ProtocolError as error:
                log.warning("refused", remote=request.remote, why=str(error))
                answers.append(refuse(error.code, received, self._random, self._clock()))
            except (StoreError, ServerDown, CallTimeout) as error:
                caller.fail(error)
                return NO_REPLY
        return tuple(answers)

    async def handle_cast(self, message: object) -> None:
        match message:
            case Push(pushes=pushes, revocations=revocations):
                self._push(pushes, revocations)
            case OwnChanged():
                await self._own_changed(message)
            case PollNow(server=server):
                self._poll(server)
            case RelationChanged():
                self._changed = True
            case _:
                raise TypeError(f"crl_manager knows no {message!r}")
        self.set_timeout(0 if self._changed else None)

    async def handle_info(self, message: object) -> None:
        match message:
            case Answered():
                await self._answered(message)
            case Retry():
                self._errands.retry(message)
            case RelationChanged() | PollNow() | OwnChanged():
                await self.handle_cast(message)
            case Timeout():
                self._changed = False
                self._watch(await self._manager.call(ListsWanted()))
            case _Tick():
                self._ticking = False
                await self._tick()
                self._keep_ticking()
            case _:
                await super().handle_info(message)
        self.set_timeout(0 if self._changed else None)

    def statistics(self) -> Mapping[str, int]:
        """The own list's number and length, lists that are wanted, polls answered, lists given, pushes that wait."""
        return {
            "number": self._own.number,
            "listed": len(self._own.entries),
            "watched": sum(issuer.wanted for issuer in self._issuers.values()),
            "polled": self._polled,
            "served": self._served,
            "pushes": len(self._pushes),
        }

    # --- the own list ---

    async def _own_changed(self, message: OwnChanged) -> None:
        try:
            await self._own_says(message.entries)
        except StoreError as error:
            log.error("the own list waits", why=str(error))
            self.send_after(limits.DISK_RETRY_SECONDS, message)

    async def _own_says(self, entries: tuple[RevokedCertificate, ...]) -> None:
        if entries == self._own.entries:
            return
        own = OwnList(self._own.number + 1, entries)
        row = StoredList(issuer=self._profile.server, list=msgspec.msgpack.encode(own))
        await self._store.call(Trust(lambda store: store.apply(TrustChanges(lists=(row,)))))
        self._own, self._signed = own, None

    async def _own_list(self) -> SignedMap:
        now = self._clock()
        if self._signed is None or not 0 <= now - self._signed_at < limits.OWN_LIST_SECONDS:
            own = self._own
            draft = crl.draft(self._profile.keys[0], self._profile.server, own.number, own.entries, int(now))
            self._signed, self._signed_at = await self._sign(draft), now
        return self._signed

    async def _sign(self, draft: Draft) -> SignedMap:
        return draft.signed(await self._keys.call(Sign(draft.to_sign.label, draft.to_sign.body)))

    # --- what comes on links ---

    async def _hear(self, remote: ServerId, key: bytes, received: Received[Message]) -> list[SignedMap]:
        match received.message:
            case CrlRequest() as wanted:
                if signed_by(received.map, (key,)) is None:
                    raise ProtocolError(Code.BAD_SIGNATURE, f"crl_request of {remote}")
                if (wanted.requesting_server, wanted.issuer_server) != (remote, self._profile.server):
                    raise ProtocolError(Code.WRONG_TARGET, f"{wanted.requesting_server} asks {wanted.issuer_server}")
                self._served += 1
                return [await self._own_list()]
            case TrustCrl():
                await self._take(remote, received.map)
            case RevocationAcknowledgment() as told:
                if signed_by(received.map, (key,)) is None or told.acknowledging_server != remote:
                    raise ProtocolError(Code.BAD_SIGNATURE, f"revocation_acknowledgment of {remote}")
                await self._acknowledged(remote, told)
        return []

    # --- others' lists ---

    def _watch(self, watched: tuple[Watched, ...]) -> None:
        wanted = {each.server: each for each in watched}
        for server, issuer in self._issuers.items():
            if server not in wanted:
                issuer.wanted = False
                self._errands.end(("poll", server))
        for server, each in wanted.items():
            known = self._issuers.get(server)
            if known is None:
                known = self._issuers[server] = _Issuer(each.keys, each.known, wanted=False)
            known.keys = each.keys
            if not known.wanted:
                known.wanted = True
                urgent = known.known.fresh_until() - self._clock() < limits.CRL_FRESH_SECONDS / 2
                self._poll_after(server, 0.0 if urgent else limits.CRL_POLL_SECONDS * self._random(1)[0] / 256)
        self._keep_ticking()

    def _poll_after(self, server: ServerId, seconds: float) -> None:
        if seconds:
            self.send_after(seconds, PollNow(server))
        else:
            self._poll(server)

    def _poll(self, server: ServerId) -> None:
        issuer = self._issuers.get(server)
        if issuer is not None and issuer.wanted:
            self.spawn(self._ask, server, issuer.known.number)

    async def _ask(self, server: ServerId, number: int | None) -> None:
        """Sign a question and send it until there is an answer."""
        now = int(self._clock())
        message: SignedMap = {
            "type": "crl_request",
            "requesting_server": self._profile.server,
            "issuer_server": server,
            "timestamp": now,
        }
        if number is not None:
            message["known_number"] = number
        try:
            signed = await self._sign(draft_message(self._profile.keys[0], message))
        except (ServerDown, CallTimeout):
            self._poll_after(server, limits.CRL_TICK_SECONDS)
            return
        self._errands.begin(("poll", server), server, frames_of([signed]))

    async def _take(self, server: ServerId, plain: SignedMap) -> None:
        """Take over a list: stored, then told. `ProtocolError` as `crl.take`, 5001 for a list that nobody wants."""
        issuer = self._issuers.get(server)
        if issuer is None or not issuer.wanted:
            raise ProtocolError(Code.SERVER_NOT_TRUSTED, f"a list of {server}")
        try:
            taken = crl.take(issuer.known, plain, server, issuer.keys, self._clock())
        except ProtocolError as error:
            if error.code is Code.BAD_SEQUENCE:
                await self._incident("crl_sequence", server, str(error))
            raise
        await self._know(server, issuer, taken)

    async def _know(self, server: ServerId, issuer: _Issuer, taken: crl.Taken) -> None:
        row = StoredList(issuer=server, list=msgspec.msgpack.encode(taken.known))
        await self._store.call(Trust(lambda store: store.apply(TrustChanges(lists=(row,)))))
        issuer.known = taken.known
        if taken.quarantined:
            await self._incident("crl_from_the_future", server, "its clock is ahead, or ours behind")
        await self._manager.cast(ListNews(server, taken.known, taken.new))

    # --- pushes ---

    def _push(self, pushes: tuple[StoredPush, ...], revocations: Mapping[bytes, bytes]) -> None:
        self._bodies.update(revocations)
        for push in pushes:
            if push.hash in self._bodies:
                tag: PushTag = ("push", push.hash, push.remote)
                self._pushes[tag] = push
                self._tell(tag)
        self._keep_ticking()

    def _tell(self, tag: PushTag, *, after: float = 0.0) -> None:
        _, digest, remote = tag
        frames = ((_REVOKE, self._bodies[digest]),)
        self._errands.begin(tag, remote, frames, after=after, within=limits.REVOCATION_PUSH_SECONDS)

    async def _acknowledged(self, remote: ServerId, told: RevocationAcknowledgment) -> None:
        """Also of one that was acknowledged before: a peer may dispute later."""
        own = [each for each in self._bodies.items() if _id_of(each[1]) == told.revocation_id]
        for digest, _ in own:
            tag: PushTag = ("push", digest, remote)
            push = self._pushes.pop(tag, None) or StoredPush(hash=digest, remote=remote, created_at=int(self._clock()))
            self._errands.end(tag)
            status, now = told.acknowledgment_status, int(self._clock())
            await self._store_push(msgspec.structs.replace(push, acknowledged_at=now, status=status))

    async def _store_push(self, push: StoredPush) -> None:
        await self._store.call(Trust(lambda store: store.apply(TrustChanges(pushes=(push,)))))

    # --- answers and deadlines ---

    async def _answered(self, message: Answered) -> None:
        if not self._errands.answered(message):
            return
        match message.tag:
            case ("poll", str() as server):
                await self._poll_answered(ServerId(server), message)
            case ("push", bytes() as digest, str() as server):
                await self._push_answered(("push", digest, ServerId(server)), message)

    async def _poll_answered(self, server: ServerId, message: Answered) -> None:
        lists = [one for one in read(message.frames, server) if isinstance(one.message, TrustCrl)]
        pause = limits.CRL_POLL_SECONDS * (0.8 + 0.2 * self._random(1)[0] / 256)
        try:
            for received in lists:
                await self._take(server, received.map)
                self._polled += 1
        except (ProtocolError, StoreError, ServerDown, CallTimeout) as error:
            log.warning("no list", remote=server, why=str(error))
        if not lists:
            pause = limits.CRL_TICK_SECONDS
            refused = refusal_in(message.frames)
            name = "nothing" if refused is None else info_of(refused).name
            log.warning("no list", remote=server, answered=name)
        self._poll_after(server, pause)

    async def _push_answered(self, tag: PushTag, message: Answered) -> None:
        for received in read(message.frames, message.remote):
            if isinstance(received.message, RevocationAcknowledgment):
                try:
                    await self._hear(message.remote, message.key, received)
                except (ProtocolError, StoreError, ServerDown, CallTimeout) as error:
                    log.warning("no acknowledgment", remote=message.remote, why=str(error))
        if tag in self._pushes:  # it answered something else: again, later
            self._tell(tag, after=limits.CRL_TICK_SECONDS)

    def _keep_ticking(self) -> None:
        """As long as there is a deadline to look at."""
        busy = bool(self._pushes) or any(issuer.wanted for issuer in self._issuers.values())
        if busy and not self._ticking:
            self._ticking = True
            self.send_after(limits.CRL_TICK_SECONDS, _Tick())

    async def _tick(self) -> None:
        now = self._clock()
        try:
            await self._warn_of_pushes(now)
            await self._look_at_lists(now)
        except (StoreError, ServerDown, CallTimeout) as error:
            log.warning("trust deadlines wait", why=str(error))

    async def _warn_of_pushes(self, now: float) -> None:
        for tag, push in list(self._pushes.items()):
            if push.alarmed_at is None and now - push.created_at >= limits.REVOCATION_ALARM_SECONDS:
                warned = msgspec.structs.replace(push, alarmed_at=int(now))
                await self._store_push(warned)
                self._pushes[tag] = warned
                await self._incident("revocation_unacknowledged", push.remote, self._errands.trouble(tag), "critical")

    async def _look_at_lists(self, now: float) -> None:
        for server, issuer in self._issuers.items():
            if not issuer.wanted:
                continue
            try:
                released = crl.release(issuer.known, server, issuer.keys, now)
            except ProtocolError as error:
                log.warning("a list in quarantine was dropped", remote=server, why=str(error))
                released = crl.Taken(known=replace(issuer.known, held=None))
            if released is not None:
                await self._know(server, issuer, released)
            fresh = issuer.known.fresh(now)
            if not fresh and not issuer.alarmed:
                await self._incident("crl_stale", server, self._errands.trouble(("poll", server)))
            issuer.alarmed = not fresh

    async def _incident(self, action: str, server: ServerId, why: str, risk: str = "high") -> None:
        log.error(action, remote=server, why=why)
        await self.system.ref(names.AUDIT_LOG).cast(
            Audit("security_incident", action, "failure", risk, target=server, parameters={"why": why[:200]})
        )


def _id_of(encoded: bytes) -> str:
    return str(decode_map(encoded).get("revocation_id"))
