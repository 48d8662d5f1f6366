"""A device with its state in memory and nothing else: for load, and for tests that look at the server alone.

It speaks the whole protocol through the same cores as the client library (handshake, enrolment, prekeys, sessions,
sealing, receipts), but keeps no profile, opens nothing that it receives, and trusts the server's key at first use.
"""

import secrets
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from norc_actors.crypto.signatures import SigningKey
from norc_actors.ids import DeviceId, MessageId, ServerId, UserId, new_uuid, server_of
from norc_actors.net.websocket import WebSocket, connect_websocket
from norc_actors.protocol import messages as m
from norc_actors.protocol.auth import sign_auth
from norc_actors.protocol.chains import SendingChain
from norc_actors.protocol.codec import Received, code_of, convert, decode, encode, to_map
from norc_actors.protocol.conversations import State, direct_state, sign_state
from norc_actors.protocol.devices import Device, OwnDevice, make_record, record_of, sign_record, verify_entry
from norc_actors.protocol.enrolment import EnrolmentLink, sign_registration, solve
from norc_actors.protocol.handshake import ClientHandshake, Established, KnownKeys
from norc_actors.protocol.prekeys import make_bundle, make_one_time_keys
from norc_actors.protocol.receipts import make_receipt
from norc_actors.protocol.schema import Message, SignedMap
from norc_actors.protocol.sealed import Opened, Rekeyed
from norc_actors.protocol.sealing import Outgoing, Target, ciphertext_hash, seal
from norc_actors.protocol.sessions import SendingSession, open_session

M = TypeVar("M", bound=Message)

SUITES = ("0101", "0102", "0001", "0002")


class UnexpectedError(Exception):
    """The server answered with something else."""


@dataclass
class LeanDevice:
    """Keys and names of a device, and, inside `connected`, its connection."""

    user_id: UserId
    user_key: SigningKey = field(default_factory=lambda: SigningKey.generate("ed25519", secrets.token_bytes))
    key: SigningKey = field(default_factory=lambda: SigningKey.generate("ed25519", secrets.token_bytes))
    device_id: DeviceId = field(default_factory=lambda: DeviceId(new_uuid(secrets.token_bytes)))

    @property
    def own(self) -> OwnDevice:
        return OwnDevice(user_id=self.user_id, device_id=self.device_id, key=self.key, e2e_suites=SUITES)

    @asynccontextmanager
    async def connected(self, host: str, port: int, context: ssl.SSLContext) -> AsyncIterator["Line"]:
        """A sealed connection, not authenticated."""
        server = ServerId(server_of(self.user_id))
        async with connect_websocket(
            host,
            port,
            ssl_context=context,
            server_name=server,
            path="/norc-c?version=2.0",
            subprotocols=["norc-c-v2.0", "norc-c-v1"],
            max_message_size=2**21,
        ) as socket:
            handshake = ClientHandshake(
                server_name=server, known=KnownKeys(), random=secrets.token_bytes, subprotocol=socket.subprotocol
            )
            await socket.send(handshake.request)
            yield Line(socket, handshake.accept(await socket.receive(), time.time()))

    async def enrol(self, line: "Line", link: EnrolmentLink | None, *, work: bool = True) -> None:
        """Register as the user's first device: by invitation, or, without a link, by the work the server asks for."""
        record = self._record()
        signed: SignedMap = {
            "user_key": self.user_key.public_key,
            "user_device_signature": sign_record(self.user_key, record),
        }
        if link is not None:
            signed["enrollment_token"] = link.token
        await self._register(line, record | signed, work=work)
        await line.expect(m.RegistrationSuccess)

    async def ask_to_join(self, line: "Line") -> None:
        """Register as a further device; the success comes when another device has approved."""
        await self._register(line, self._record())

    def approval(self, asked: m.DeviceRegister) -> m.DeviceRegister:
        """What a device that holds the user key answers to a further device's registration."""
        members = to_map(asked)
        signature = sign_record(self.user_key, record_of(members))
        signed: SignedMap = {"user_key": self.user_key.public_key, "user_device_signature": signature}
        return convert(members | signed, m.DeviceRegister)

    def _record(self) -> SignedMap:
        return make_record(self.user_id, self.device_id, self.key.public_key, now=int(time.time()), e2e_suites=SUITES)

    async def _register(self, line: "Line", members: SignedMap, *, work: bool = True) -> None:
        info: SignedMap = {
            "name": "lean",
            "type": "server",
            "capabilities": ["messaging"],
            "platform": {"os": "linux", "version": "0", "app_version": "0"},
        }
        register = convert({"type": "device_register", **members, "device_info": info}, m.DeviceRegister)
        await line.send(register)
        challenge = await line.expect(m.RegistrationChallenge)
        signature = sign_registration(
            self.key, line.established.th, challenge.challenge, Received(register, encode(register)).map
        )
        solution = None
        if challenge.difficulty and work:
            suite = line.established.suite
            solution = solve(suite, challenge.challenge, self.device_id, self.key.public_key, challenge.difficulty)
        response = m.RegistrationResponse(challenge=challenge.challenge, signature=signature, proof_solution=solution)
        await line.send(response)

    async def authenticate(self, line: "Line") -> m.PrekeyStatus:
        """Begin a session; the server's prekey_status ends the greeting."""
        established = line.established
        await line.send(
            sign_auth(
                self.key,
                th=established.th,
                challenge=established.auth_challenge,
                user_id=self.user_id,
                device_id=self.device_id,
                now=time.time(),
            )
        )
        await line.expect(m.AuthResponse)
        return await line.expect(m.PrekeyStatus)

    async def upload_prekeys(self, line: "Line") -> None:
        """One bundle and ten one-time keys; the private halves are thrown away, since nothing is opened here."""
        now = int(time.time())
        bundle, _ = make_bundle(
            self.key, self.user_id, self.device_id, 1, hybrid=True, now=now, random=secrets.token_bytes
        )
        keys, _ = make_one_time_keys(self.key, 1, 10, secrets.token_bytes)
        await line.send(m.PrekeyUpload(bundle=bundle, one_time=tuple(keys)))
        await line.expect(m.PrekeyStatus)

    async def devices_of(self, line: "Line", users: Sequence["LeanDevice"]) -> list[Device]:
        """The users' devices, verified under the keys that we know."""
        request = m.KeyRequest(
            request_id=new_uuid(secrets.token_bytes),
            user_ids=tuple(user.user_id for user in users),
            device_filter="all",
            include_revoked=False,
        )
        await line.send(request)
        keys = (await line.expect(m.KeyResponse)).keys
        return [
            verify_entry(entry, user_id=user.user_id, device_id=device_id, pinned=user.user_key.public_key)
            for user in users
            for device_id, entry in keys[user.user_id].items()
        ]

    async def talk_to(self, line: "Line", other: "LeanDevice") -> "Talk":
        """A direct conversation with the other user, and a session to its device."""
        state = direct_state(
            new_uuid(secrets.token_bytes),
            self.user_id,
            self.user_key.public_key,
            other.user_id,
            other.user_key.public_key,
        )
        await line.send(
            m.ConversationCreate(
                conversation_id=state.conversation_id,
                conversation_type="direct",
                state=state.map,
                signer_user=self.user_id,
                signer_device=self.device_id,
                signature=sign_state(self.key, state),
            )
        )
        await line.expect(m.ConversationState)
        [device] = await self.devices_of(line, [other])
        session = open_session(self.own, device, now=int(time.time()), random=secrets.token_bytes)
        return Talk(self.own, state, device, session, SendingChain.start(state.conversation_id, secrets.token_bytes))

    def receipt(self, received: m.MessageReceived, status: str = "delivered") -> m.MessageAck:
        """The signed acknowledgement of a message."""
        now_us = int(time.time() * 1_000_000)
        signed = make_receipt(
            self.key,
            message_id=received.message_id,
            conversation_id=received.conversation_id,
            ciphertext_hash=ciphertext_hash(received),
            status=status,
            user_id=self.user_id,
            device_id=self.device_id,
            timestamp_us=now_us,
        )
        return m.MessageAck(message_id=received.message_id, status=status, timestamp=now_us, receipt=signed)


@dataclass
class Talk:
    """One side of a direct conversation: seals message after message."""

    own: OwnDevice
    state: State
    device: Device
    session: SendingSession
    chain: SendingChain

    def seal(self, text: str) -> m.MessageSend:
        outgoing = Outgoing(
            message_id=MessageId(new_uuid(secrets.token_bytes)),
            state=self.state,
            inner=m.Inner(message_type="text", body=text),
            timestamp_us=int(time.time() * 1_000_000),
        )
        sealed = seal(
            outgoing,
            own=self.own,
            chain=self.chain,
            targets=[Target(device=self.device, session=self.session)],
            now=int(time.time()),
            random=secrets.token_bytes,
        )
        [self.session], self.chain = sealed.sessions, sealed.chain
        return sealed.message

    def answered(self) -> None:
        """The device has the session: `open` need not travel any more."""
        self.session = self.session.acknowledged()


class Line:
    """A sealed connection of a client."""

    def __init__(self, socket: WebSocket, established: Established) -> None:
        self._socket = socket
        self.established = established
        self._sealed = established.sealed

    async def send(self, *messages: Message) -> None:
        frames: list[bytes] = []
        for message in messages:
            frames += self._sealed.seal(code_of(type(message)), encode(message))
        await self._socket.send_many(frames)

    async def receive(self) -> Message:
        """The next message; a ping is answered on the way, since all before it was taken."""
        while True:
            event = self._sealed.receive(await self._socket.receive())
            if isinstance(event, Rekeyed) and event.frames:
                await self._socket.send_many(event.frames)
            if isinstance(event, Opened):
                message = decode(event.code, event.plaintext).message
                if not isinstance(message, m.Ping):
                    return message
                await self.answer(message)

    async def answer(self, ping: m.Ping) -> None:
        """Say that all before the ping was taken."""
        await self.send(m.Pong(timestamp=ping.timestamp))

    async def expect(self, kind: type[M]) -> M:
        """The next message, which must be of this kind."""
        message = await self.receive()
        if not isinstance(message, kind):
            raise UnexpectedError(f"{message} instead of {kind.__name__}")
        return message
