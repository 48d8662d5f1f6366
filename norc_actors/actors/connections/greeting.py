"""From a bare socket to an authenticated device: handshake, enrolment, authentication (sections 4 and 5).

All of it has `limits.HANDSHAKE_SECONDS`, but for a further device that waits for its approval. Whoever fails learns no
more than the category (`ErrorMessage.of(..., authenticated=False)`), after the same work.
"""

from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qs, urlsplit

import trio

from norc_actors import limits
from norc_actors.actors import names
from norc_actors.actors.connections.channel import Channel
from norc_actors.actors.connections.outlet import Outlet
from norc_actors.actors.crypto.key_manager import Sign
from norc_actors.actors.crypto.registrar import Begin, Enrol
from norc_actors.actors.crypto.session_manager import Admit
from norc_actors.actors.storage.account_store import Accounts
from norc_actors.crypto.errors import BadSignatureError
from norc_actors.ids import Clock, Random
from norc_actors.net.websocket import WebSocket
from norc_actors.protocol.auth import AuthChallenge, verify_auth
from norc_actors.protocol.codec import Received, decode_map
from norc_actors.protocol.devices import RecordRefusedError
from norc_actors.protocol.enrolment import is_solution, verify_registration
from norc_actors.protocol.errors import Code, ProtocolError
from norc_actors.protocol.handshake import Established, ServerHandshake, ServerOffer, refusal
from norc_actors.protocol.messages import (
    AuthRequest,
    AuthResponse,
    DeviceRegister,
    Ping,
    Pong,
    RegistrationChallenge,
    RegistrationResponse,
    UserInfo,
)
from norc_actors.protocol.states import Link
from norc_actors.store.accounts import Device
from norc_actors.store.errors import AccountError
from supervision import ActorRef, System

PERMISSIONS: tuple[Literal["send_messages", "make_calls", "create_rooms"], ...] = (
    "send_messages",
    "make_calls",
    "create_rooms",
)


@dataclass(frozen=True, slots=True)
class Greeting:
    """What greets every connection of a node: its offer and its clock."""

    offer: ServerOffer
    clock: Clock
    random: Random

    async def handshake(self, system: System, socket: WebSocket) -> tuple[Channel, Established]:
        """connection_request → connection_accepted. Raises `ProtocolError` after the refusal was sent."""
        link = Link("server")
        handshake = ServerHandshake(self.offer, random=self.random)
        try:
            wanted = handshake.prepare(
                await socket.receive(),
                uri_version=_version_of(socket.path),
                subprotocol=socket.subprotocol,
                now=self.clock(),
            )
            signature = await system.ref(names.KEY_MANAGER).call(Sign(wanted.label, wanted.body))
            frame, established = handshake.finish(signature, self.clock())
        except ProtocolError as error:
            await socket.send(refusal(error, self.clock()))
            raise
        link.state = "unauthenticated"
        await socket.send(frame)
        return Channel(socket, established.sealed, link), established

    async def admit(
        self,
        system: System,
        channel: Channel,
        established: Established,
        worker: ActorRef,
        source: str,
        deadline: trio.CancelScope,
    ) -> Outlet:
        """Serve an unauthenticated connection until its device has authenticated."""
        challenge = AuthChallenge(established.auth_challenge, self.clock())
        while True:
            received = await channel.receive()
            match received.message:
                case AuthRequest() as request:
                    return await self._authenticate(system, channel, established, request, challenge, worker)
                case DeviceRegister():
                    await self._register(
                        system, channel, established, received.narrow(DeviceRegister), worker, source, deadline
                    )
                case Ping(timestamp=timestamp):
                    await channel.send(Pong(timestamp=timestamp))
                case Pong():
                    pass
                case other:
                    raise ProtocolError(Code.WRONG_STATE, f"{type(other).__name__} before authentication")

    async def _authenticate(
        self,
        system: System,
        channel: Channel,
        established: Established,
        request: AuthRequest,
        challenge: AuthChallenge,
        worker: ActorRef,
    ) -> Outlet:
        now, device_id = self.clock(), request.device_id
        row = await system.ref(names.ACCOUNT_STORE).call(Accounts(lambda store: store.device(device_id)))
        usable = row if row is not None and _may_connect(row, request, now) else None
        public_key = None if usable is None else usable.public_key
        verify_auth(request, public_key, th=established.th, challenge=challenge.take(now), now=now)
        if usable is None:
            raise ProtocolError(Code.AUTHENTICATION, "no usable device")
        await system.ref(names.ACCOUNT_STORE).call(Accounts(lambda store: store.seen(device_id, now=int(now))))
        admit = Admit(worker, request.user_id, device_id, PERMISSIONS)
        outlet = await system.ref(names.SESSION_MANAGER).call(admit)
        session = outlet.session
        response = AuthResponse(
            result="ok",
            session_id=session.session_id,
            user_info=UserInfo(user_id=session.user_id, permissions=PERMISSIONS),
            server_capabilities=self.offer.capabilities,
            device_certificate=decode_map(usable.certificate),
            expires_at=session.expires_at,
        )
        await channel.send(response)
        return outlet

    async def _register(
        self,
        system: System,
        channel: Channel,
        established: Established,
        received: Received[DeviceRegister],
        worker: ActorRef,
        source: str,
        deadline: trio.CancelScope,
    ) -> None:
        registrar, register = system.ref(names.REGISTRAR), received.message
        try:
            difficulty = await registrar.call(Begin(source, register))
            challenge = RegistrationChallenge(
                challenge=self.random(32),
                difficulty=difficulty,
                expires_at=int(self.clock()) + limits.CHALLENGE_SECONDS,
            )
            await channel.send(challenge)
            response = (await channel.receive()).message
            if not isinstance(response, RegistrationResponse):
                raise ProtocolError(Code.WRONG_STATE, "no registration_response")
            self._check_response(established, received, challenge, response)
            if register.user_key is None:  # held: the worker sends the success when it comes
                deadline.deadline = trio.current_time() + limits.ENROLMENT_HOLD_SECONDS + limits.HANDSHAKE_SECONDS
            success = await registrar.call(Enrol(worker, received, worked=difficulty > 0))
        except (AccountError, BadSignatureError, RecordRefusedError) as error:
            raise ProtocolError(Code.AUTHENTICATION, str(error)) from error
        if success is not None:
            await channel.send(success)

    def _check_response(
        self,
        established: Established,
        received: Received[DeviceRegister],
        challenge: RegistrationChallenge,
        response: RegistrationResponse,
    ) -> None:
        register = received.message
        if response.challenge != challenge.challenge or self.clock() > challenge.expires_at:
            raise ProtocolError(Code.AUTHENTICATION, "another challenge, or too late")
        verify_registration(established.th, challenge.challenge, received.map, response.signature)
        solution = response.proof_solution
        if challenge.difficulty and (
            solution is None
            or not is_solution(
                established.suite,
                challenge.challenge,
                register.device_id,
                register.public_key,
                challenge.difficulty,
                solution,
            )
        ):
            raise ProtocolError(Code.AUTHENTICATION, "the work was not done")


def _version_of(target: str) -> str:
    """The `version` of the request's target, "" without one."""
    return parse_qs(urlsplit(target).query).get("version", [""])[0]


def _may_connect(row: Device, request: AuthRequest, now: float) -> bool:
    return row.user_id == request.user_id and row.status == "active" and now < row.not_after
