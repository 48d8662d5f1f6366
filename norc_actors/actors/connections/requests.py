"""What an authenticated device may ask, one function a type (sections 5–7).

Reading side of a connection: it judges what needs no other actor (type, budget, who may say what about whom), and asks
the actor that owns the rest. What it asks by call it answers itself; messages and acknowledgements are cast to the
router, whose answer comes to the connection's own mailbox. A refusal is an `error` that names the request (decision
061).
"""

import trio

from norc_actors import limits
from norc_actors.actors import names
from norc_actors.actors.connections.channel import Channel
from norc_actors.actors.connections.directory import Directory
from norc_actors.actors.connections.outlet import Outlet
from norc_actors.actors.crypto.key_manager import Entries, EntriesOf, PrekeyStatusOf, PutPrekeys
from norc_actors.actors.crypto.registrar import Approve, HeldFor, Revoke
from norc_actors.actors.federation.outbox import post
from norc_actors.actors.federation.requests import LookUp, PeerUnreachable
from norc_actors.actors.messages.conversations import GetState, PutState
from norc_actors.actors.messages.requests import DeviceAck, DevicesChanged, Submit
from norc_actors.actors.trust.requests import StandingOf
from norc_actors.crypto.errors import BadSignatureError
from norc_actors.ids import Clock, DeviceId, ServerId, server_of
from norc_actors.protocol import messages as m
from norc_actors.protocol.codec import Received
from norc_actors.protocol.conversations import StateRefusedError
from norc_actors.protocol.delivery import Parts
from norc_actors.protocol.errors import Code, ProtocolError
from norc_actors.protocol.prekeys import PrekeyRefusedError
from norc_actors.protocol.schema import Message
from norc_actors.store.errors import AccountError, StoreRefusedError
from supervision import ActorRef, CallTimeout, ServerDown, System


class Requests:
    """The requests of one authenticated connection. `router` is the life of the router that it lives with."""

    __slots__ = (
        "_budget", "_channel", "_clock", "_directory", "_outlet", "_parts", "_room", "_router", "_send", "_session",
        "_submitted", "_system",
    )  # fmt: skip

    def __init__(self, *, system: System, outlet: Outlet, router: ActorRef, clock: Clock, channel: Channel) -> None:
        self._system = system
        self._directory = Directory(system)
        self._outlet = outlet
        self._session = outlet.session
        self._router = router
        self._clock = clock
        self._channel = channel
        self._send = channel.send
        self._budget = outlet.budget
        self._parts = Parts()
        self._submitted = 0
        self._room: trio.Event | None = None

    async def welcome(self) -> None:
        """What a device is told after `auth_response`: its prekeys, and who waits for its user's approval."""
        await self._send(await self._system.ref(names.KEY_MANAGER).call(PrekeyStatusOf(self._session.device_id)))
        for held in await self._system.ref(names.REGISTRAR).call(HeldFor(self._session.user_id)):
            await self._channel.pass_on(held)

    async def handle(self, received: Received[Message]) -> None:
        """Serve one request. Raises `ProtocolError` for what ends the connection."""
        message = received.message
        try:
            await self._serve(received)
        except ProtocolError as error:
            if error.info.action == "close":
                raise
            await self._send(m.ErrorMessage.for_error(error, now=self._clock(), request_id=name_of(message)))
        except (StateRefusedError, BadSignatureError, PrekeyRefusedError, AccountError):
            await self._refuse(message, Code.NOT_PERMITTED)
        except (ServerDown, CallTimeout, StoreRefusedError, PeerUnreachable):
            await self._refuse(message, Code.SERVER, retry_after=limits.RESTART_RETRY_SECONDS)

    def submission_settled(self) -> None:
        """A submission has its answer: there is room for another."""
        self._submitted -= 1
        if self._room is not None:
            self._room.set()
            self._room = None

    async def _serve(self, received: Received[Message]) -> None:
        match received.message:
            case m.MessageSend():
                await self._submit(received.narrow(m.MessageSend))
            case m.MessageAck():
                await self._router.cast(DeviceAck(self._outlet, received.narrow(m.MessageAck)))
            case m.KeyRequest() as request:
                await self._key_request(request)
            case m.PrekeyUpload() as upload:
                await self._prekeys(upload)
            case m.UnknownSession():
                await self._unknown_session(received.narrow(m.UnknownSession))
            case m.ConversationCreate():
                self._require("create_rooms")
                await self._put_state(received.narrow(m.ConversationCreate))
            case m.ConversationUpdate():
                await self._put_state(received.narrow(m.ConversationUpdate))
            case m.ConversationStateRequest() as request:
                get = GetState(self._session.user_id, request)
                await self._send(await self._system.ref(names.CONVERSATIONS).call(get))
            case m.DeviceRegister():
                await self._system.ref(names.REGISTRAR).call(
                    Approve(self._session.user_id, received.narrow(m.DeviceRegister))
                )
                await self._channel.pass_on(received)
            case m.DeviceRevoke():
                await self._system.ref(names.REGISTRAR).call(
                    Revoke(self._session.user_id, received.narrow(m.DeviceRevoke))
                )
            case m.Ping(timestamp=timestamp):
                await self._send(m.Pong(timestamp=timestamp))
            case other:
                raise ProtocolError(Code.WRONG_STATE, f"{type(other).__name__} from a client")

    async def _put_state(self, received: Received[m.ConversationCreate] | Received[m.ConversationUpdate]) -> None:
        self._take_write()
        await self._send(await self._system.ref(names.CONVERSATIONS).call(PutState(self._session, received)))

    async def _submit(self, received: Received[m.MessageSend]) -> None:
        self._require("send_messages")
        self._take_write()
        whole = self._parts.add(received)
        if whole is not None:
            while self._submitted >= limits.SUBMISSION_WINDOW:
                self._room = trio.Event()
                await self._room.wait()
            self._submitted += 1
            await self._router.cast(Submit(self._outlet, whole))

    async def _prekeys(self, upload: m.PrekeyUpload) -> None:
        """Store prekeys. With its first bundle a device becomes one that others must write to: the router learns it
        before the device does."""
        self._take_write()
        status = await self._system.ref(names.KEY_MANAGER).call(PutPrekeys(self._session.device_id, upload))
        if upload.bundle is not None:
            await self._router.cast(DevicesChanged(self._session.user_id))
        await self._send(status)

    async def _key_request(self, request: m.KeyRequest) -> None:
        wait = self._budget.lookups.take(self._clock())
        if wait:
            raise ProtocolError(Code.RATE_KEY_LOOKUPS, "key look-ups", retry_after=int(wait) + 1)
        only = None if isinstance(request.device_filter, str) else frozenset(map(DeviceId, request.device_filter))
        own = server_of(self._session.user_id)
        here = tuple(user for user in request.user_ids if server_of(user) == own)
        keys = await self._system.ref(names.KEY_MANAGER).call(
            EntriesOf(here, self._session.device_id, only=only, include_revoked=request.include_revoked)
        )
        for server in dict.fromkeys(server_of(user) for user in request.user_ids if server_of(user) != own):
            keys |= await self._abroad(server, request, only)
        parts = _parts(keys)
        for number, part in enumerate(parts, 1):
            await self._send(
                m.KeyResponse(
                    request_id=request.request_id, keys=part, more=number < len(parts), timestamp=int(self._clock())
                )
            )

    async def _abroad(self, server: ServerId, request: m.KeyRequest, only: frozenset[DeviceId] | None) -> Entries:
        """The entries of another server's users, as that server tells them; `PeerUnreachable` is worth another try.
        Trust is asked here, since a node without links has it too."""
        standing = await self._system.ref(names.TRUST_MANAGER).call(StandingOf(server))
        standing.check_egress("user_lookup")
        users = tuple(user for user in request.user_ids if server_of(user) == server)
        look_up = LookUp(server, users, self._session.user_id, self._session.device_id)
        found = await self._system.ref(names.FEDERATION_MANAGER).call(look_up, timeout=None)
        for user in found:
            await self._router.cast(DevicesChanged(user))
        if only is None:
            return found
        return {
            user: {device: entry for device, entry in devices.items() if device in only}
            for user, devices in found.items()
        }

    async def _unknown_session(self, received: Received[m.UnknownSession]) -> None:
        """Pass it on, or drop it beyond the budget: it gets no answer in any case, and its sender asks again."""
        unknown = received.message
        if (unknown.sender_user, unknown.sender_device) != (self._session.user_id, self._session.device_id):
            raise ProtocolError(Code.NOT_PERMITTED, "an answer in another's name")
        if self._budget.writes.take(self._clock()):
            return
        home = server_of(unknown.target_user)
        if home != server_of(self._session.user_id):
            await self._send_abroad(home, received)
            return
        opener = self._directory.outlet_of(unknown.target_device)
        if opener is not None and opener.session.user_id == unknown.target_user:
            opener.push(received)

    def _take_write(self) -> None:
        """Something will be stored for this request: `ProtocolError` 6001 beyond the device's budget."""
        wait = self._budget.writes.take(self._clock())
        if wait:
            raise ProtocolError(Code.RATE_MESSAGES, "messages and what else is stored", retry_after=int(wait) + 1)

    async def _send_abroad(self, server: ServerId, received: Received[m.UnknownSession]) -> None:
        """Put it in the outbox of the opener's server; the device asks again if it comes too late."""
        await post(
            self._system,
            received,
            {server: (received.message.target_user,)},
            own=server_of(self._session.user_id),
            priority="high",
            key=f"unknown/{received.message.session_id}",
            now=int(self._clock()),
            lifetime=limits.SESSION_SECONDS,
        )

    def _require(self, permission: str) -> None:
        if permission not in self._session.permissions:
            raise ProtocolError(Code.NOT_PERMITTED, f"no permission to {permission}")

    async def _refuse(self, message: Message, code: Code, retry_after: int | None = None) -> None:
        await self._send(
            m.ErrorMessage.of(code, now=self._clock(), request_id=name_of(message), retry_after=retry_after)
        )


def _parts(keys: Entries) -> list[Entries]:
    """The entries in portions that fit into the smallest frame a client may ask for."""
    parts: list[Entries] = [{}]
    room = limits.ENTRIES_IN_A_RESPONSE
    for user, devices in keys.items():
        parts[-1][user] = {}
        for device_id, entry in devices.items():
            if room == 0:
                parts.append({user: {}})
                room = limits.ENTRIES_IN_A_RESPONSE
            parts[-1][user][device_id] = entry
            room -= 1
    return parts


def name_of(message: Message) -> str | None:
    """The id by which an error names a request: its request_id, else the id of what it is about (decision 061)."""
    for member in ("request_id", "message_id", "revocation_id", "conversation_id", "device_id"):
        value = getattr(message, member, None)
        if isinstance(value, str):
            return value
    return None
