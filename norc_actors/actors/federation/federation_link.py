"""federation_link: one link that this server dials, to one other server (section 8, *Link* and *Batches*; F§2.3; rows
B108, B110, B125).

Two tasks share it. The *dialler* finds the endpoint, makes TLS and the handshake, sends an empty batch (the first
request of a link stands alone) and then waits for the connection's end; the actor's own loop takes `Exchange`s,
signs and seals them in their order, and gives each a task that posts it and hands on its answer.

Every end of a link, and what is lost with it
- the peer is away, refuses, or goes: the actor ends with `Shutdown`; its supervisor tries again after its back-off.
  Who waits for an answer learns it at once (`Down`). What was relayed is in the outbox and is sent again;
- the relation changed or was revoked: federation_manager ends it;
- it crashes: the same, with a report.

Exchanges that come before the link stands wait here; whoever sends them bounds how many.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import structlog
import trio

from norc_actors import limits
from norc_actors.actors import names
from norc_actors.actors.crypto.key_manager import Sign
from norc_actors.actors.federation.dialling import in_words, shake_hands
from norc_actors.actors.federation.door import FederationDoor
from norc_actors.actors.federation.requests import (
    Endpoint,
    EndpointsOf,
    Exchange,
    Exchanged,
    Leaving,
    LinkChanged,
    LinkStatus,
    PeerUnreachable,
)
from norc_actors.actors.storage.account_store import Accounts
from norc_actors.actors.trust.requests import StandingOf
from norc_actors.ids import ServerId
from norc_actors.net.errors import ClosedError, ConnectError, NetError
from norc_actors.net.http2 import Http2Client, open_http2
from norc_actors.protocol.batches import pack
from norc_actors.protocol.codec import encode_map
from norc_actors.protocol.errors import PeerError, ProtocolError
from norc_actors.protocol.frames import FederationFrame
from norc_actors.protocol.link_traffic import Arrived, LinkTraffic
from norc_actors.protocol.relaying import on_link
from norc_actors.protocol.schema import SignedMap
from norc_actors.store.accounts import AccountStore
from supervision import CallTimeout, GenServer, ServerDown, Shutdown

log = structlog.get_logger("norc.federation")

_AWAY: Final = (NetError, ProtocolError, PeerError, PeerUnreachable, ServerDown, CallTimeout, trio.TooSlowError)
"""What ends a link without being a fault of ours."""


@dataclass(frozen=True, slots=True)
class _Stands:
    """Info: the link is active; what came early goes now."""


class FederationLink(GenServer):
    """See the module."""

    def __init__(self, *, remote: ServerId, door: FederationDoor) -> None:
        self._remote = remote
        self._door = door
        self._status: LinkStatus = "connecting"
        self._detail = ""
        self._client: Http2Client | None = None
        self._traffic: LinkTraffic[int] | None = None
        self._early: list[Exchange] = []
        self._outstanding: set[int] = set()
        self._answers: dict[int, tuple[FederationFrame, ...]] = {}
        self._answered = trio.Event()
        self._number = 0
        self._epoch = self._sequence = 0
        self._key = b""
        self._room = trio.Semaphore(limits.LINK_OUTSTANDING)
        self._exchanged = 0

    async def init(self) -> None:
        self.spawn(self._run)

    async def handle_cast(self, message: object) -> None:
        if not isinstance(message, Exchange):
            raise TypeError(f"federation_link knows no {message!r}")
        if self._status == "active" and not self._early:
            await self._post(message)
        else:
            self._early.append(message)

    async def handle_info(self, message: object) -> None:
        if isinstance(message, _Stands):
            early, self._early = self._early, []
            for exchange in early:
                await self._post(exchange)

    def statistics(self) -> Mapping[str, int | str]:
        """Its status, batches answered, and batches under way."""
        return {"status": self._status, "exchanged": self._exchanged, "outstanding": len(self._outstanding)}

    # --- the dialler ---

    async def _run(self) -> None:
        self._change("connecting")
        try:
            await self._dial()
        except _AWAY as error:
            self._change("error", in_words(error))
        self.stop(Shutdown(self._detail or "the peer has gone"))

    async def _dial(self) -> None:
        endpoints = await self.system.ref(names.DNS_RESOLVER).call(EndpointsOf(self._remote))
        failure: Exception = PeerUnreachable(self._remote, "it has no endpoint")
        for endpoint in endpoints:
            try:
                await self._link_to(endpoint)
            except (ConnectError, trio.TooSlowError) as error:
                failure = error
            else:
                return
        raise failure

    async def _link_to(self, endpoint: Endpoint) -> None:
        self._change("tls_handshake", f"{endpoint.host}:{endpoint.port}")
        async with open_http2(
            endpoint.host,
            endpoint.port,
            context=self._door.contexts.client,
            server_name=self._remote,
            alpn=self._door.alpn,
            max_body=limits.DEFAULT_FEDERATION_FRAME + limits.BODY_OVERHEAD,
        ) as client:
            self._client = client
            self._change("authenticating")
            with trio.fail_after(limits.LINK_HANDSHAKE_SECONDS):
                standing = await self.system.ref(names.TRUST_MANAGER).call(StandingOf(self._remote))
                established = await shake_hands(self.system, self._door, client, standing)
            self._traffic = LinkTraffic(
                established, own_server=self._door.server_id, max_frame=limits.DEFAULT_FEDERATION_FRAME
            )
            self._epoch = await self.system.ref(names.ACCOUNT_STORE).call(Accounts(AccountStore.next_link_epoch))
            self._change("trusted" if established.trusted else "authenticating", established.suite.name)
            await self._exchange(*await self._sealed(()))  # alone: it sets where the sequence begins
            self._key = established.peer_key
            self._change("active", established.suite.name)
            self.ref.send(_Stands())
            await self._keep(client)

    async def _keep(self, client: Http2Client) -> None:
        """Until the connection ends: renew the keys when that is due, and look whether an answer was left out."""
        with contextlib.suppress(ClosedError):
            while True:
                with trio.move_on_after(limits.LINK_TICK_SECONDS):
                    await client.wait_closed()
                    return
                traffic = self._traffic
                if traffic is not None:
                    traffic.check(self._door.clock())
                    if traffic.dh_due(self._door.clock()):
                        await self._renew(client, traffic)

    async def _renew(self, client: Http2Client, traffic: LinkTraffic[int]) -> None:
        """The daily dh re-key, with nothing else outstanding."""
        for _ in range(limits.LINK_OUTSTANDING):
            await self._room.acquire()
        try:
            body: bytes = traffic.ask_dh(self._door.clock())
            while body:
                self._number += 1
                due = self._take(self._number, await client.post(body))
                self._answers.pop(self._number, None)
                body = b"".join(arrived.rekey for arrived in due)
        finally:
            for _ in range(limits.LINK_OUTSTANDING):
                self._room.release()

    # --- exchanges ---

    async def _post(self, exchange: Exchange) -> None:
        """Sign and seal in the order in which they came, at most `limits.LINK_OUTSTANDING` ahead of their answers; the
        answer is another task's."""
        await self._room.acquire()
        try:
            number, body = await self._sealed(exchange.frames)
        except (ProtocolError, ServerDown, CallTimeout) as error:
            self._fall(str(error))
            return
        self.spawn(self._finish, number, body, exchange)

    async def _finish(self, number: int, body: bytes, exchange: Exchange) -> None:
        try:
            frames = await self._exchange(number, body)
        except _AWAY as error:
            self._fall(in_words(error))
            return
        self._room.release()
        await exchange.reply_to.cast(Exchanged(self.ref, exchange.tag, frames))

    async def _sealed(self, frames: Leaving) -> tuple[int, bytes]:
        assert self._traffic is not None
        packed = b"".join(pack([(code, self._placed(body)) for code, body in frames]))
        now = int(self._door.clock())
        sign = Sign("fed-request:v1", self._traffic.to_sign(packed, now))
        signature = await self.system.ref(names.KEY_MANAGER).call(sign)
        self._number += 1
        return self._number, self._traffic.seal(packed, now, signature)

    def _placed(self, body: bytes | SignedMap) -> bytes:
        """A relay with its place on this link; anything else as it is."""
        if isinstance(body, bytes):
            return body
        self._sequence += 1
        return encode_map(on_link(body, epoch=self._epoch, sequence=self._sequence))

    async def _exchange(self, number: int, body: bytes) -> tuple[FederationFrame, ...]:
        """The frames of the answer to a body, once it is its turn."""
        assert self._client is not None
        self._outstanding.add(number)
        self._take(number, await self._client.post(body))
        while number not in self._answers:
            await self._answered.wait()
        self._outstanding.discard(number)
        self._exchanged += 1
        return self._answers.pop(number)

    def _take(self, number: int, body: bytes) -> list[Arrived[int]]:
        """An answer's body; wakes whoever waits for what is due now."""
        assert self._traffic is not None
        due = self._traffic.arrived(number, body, self._door.clock())
        for arrived in due:
            if arrived.frames is not None:
                self._answers[arrived.key] = arrived.frames
        self._answered.set()
        self._answered = trio.Event()
        return due

    # --- its status ---

    def _fall(self, why: str) -> None:
        self._change("error", why)
        self.stop(Shutdown(why))

    def _change(self, status: LinkStatus, detail: str = "") -> None:
        if status == "error":
            log.info("link lost", remote=self._remote, why=detail)
        self._status, self._detail = status, detail
        self.system.ref(names.FEDERATION_MANAGER).send(LinkChanged(self._remote, self.ref, status, detail, self._key))
