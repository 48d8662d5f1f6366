"""registrar: who becomes a device of this server, and who ceases to be one (section 5; rows B38–B40, B45, B48).

- A user's first device brings a one-time token, or, where the operator opened registration, a proof of work.
- A further device is held for ten minutes and shown to the user's other devices; one of them that holds the user key
  answers with the same map signed, and the waiting connection is told.
- A revocation is stored first; then connections close, waiting messages go, and the router forgets the device.

Owns: the held registrations and the rate of registrations per source. Memory only: after a restart the waiting
connections, which monitor this actor, end, and their devices ask again.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from norc_actors import limits
from norc_actors.actors import names
from norc_actors.actors.connections.directory import Directory
from norc_actors.actors.connections.outlet import Close
from norc_actors.actors.crypto.key_manager import Certify
from norc_actors.actors.crypto.session_manager import DeviceRevoked
from norc_actors.actors.federation.outbox import post
from norc_actors.actors.messages.requests import DevicesChanged
from norc_actors.actors.storage.account_store import Accounts
from norc_actors.actors.storage.audit_log import Audit
from norc_actors.actors.storage.message_store import DropDevice
from norc_actors.crypto.errors import BadSignatureError
from norc_actors.ids import Clock, DeviceId, Random, ServerId, UserId, server_of
from norc_actors.protocol.buckets import TokenBucket
from norc_actors.protocol.codec import Received, decode_map, encode_map
from norc_actors.protocol.devices import RecordRefusedError, check_new_record, record_of, verify_record
from norc_actors.protocol.enrolment import EnrolmentLink, new_token, server_key_hash, token_hash
from norc_actors.protocol.errors import Code, ProtocolError
from norc_actors.protocol.messages import DeviceRegister, DeviceRevoke, RegistrationSuccess
from norc_actors.protocol.revocation import RevocationChainError, kept_until, key_for, verify_revocation
from norc_actors.protocol.schema import SignedMap
from norc_actors.store.accounts import Device, Revocation, Token
from norc_actors.store.errors import StoreError, TokenUnknownError, UserExistsError
from supervision import NO_REPLY, ActorRef, Call, CallTimeout, Down, From, GenServer, ServerDown

USER_MEMBERS = ("user_key", "user_device_signature")


@dataclass(frozen=True, slots=True)
class Invited:
    """A one-time link and when it ends (seconds since the epoch)."""

    link: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class Invite(Call[Invited]):
    """Mint a token for a user's first device."""

    user_id: UserId
    expires_s: int


@dataclass(frozen=True, slots=True)
class Begin(Call[int]):
    """A source asks to register: answered with the difficulty of the work it must show (0 = none), or 6005."""

    source: str
    register: DeviceRegister


@dataclass(frozen=True, slots=True)
class Enrol(Call[RegistrationSuccess | None]):
    """A registration whose challenge was answered. None: a further device, held; `worker` gets `Approved` or
    `Close`."""

    worker: ActorRef
    received: Received[DeviceRegister]
    worked: bool


@dataclass(frozen=True, slots=True)
class Approved:
    """Cast to the connection of a held device: it is enrolled now."""

    success: RegistrationSuccess


@dataclass(frozen=True, slots=True)
class Approve(Call[None]):
    """A user's device signed the record of a held one: the same map with the two members added."""

    user_id: UserId
    received: Received[DeviceRegister]


@dataclass(frozen=True, slots=True)
class HeldFor(Call[tuple[Received[DeviceRegister], ...]]):
    """The registrations that wait for this user's approval."""

    user_id: UserId


@dataclass(frozen=True, slots=True)
class Revoke(Call[None]):
    """A signed `device_revoke` from a device of the same user."""

    user_id: UserId
    received: Received[DeviceRevoke]


@dataclass(frozen=True, slots=True)
class _Held:
    received: Received[DeviceRegister]
    worker: ActorRef


@dataclass(frozen=True, slots=True)
class _Expire:
    device_id: DeviceId


class Registrar(GenServer):
    """See the module. `open_difficulty` None: registration is by invitation alone."""

    def __init__(
        self,
        *,
        server_id: ServerId,
        server_public_key: bytes,
        registrations_per_hour: int,
        open_difficulty: int | None,
        clock: Clock,
        random: Random,
    ) -> None:
        self._server_id = server_id
        self._public_key = server_public_key
        self._per_hour = registrations_per_hour
        self._open_difficulty = open_difficulty
        self._clock = clock
        self._random = random
        self._held: dict[DeviceId, _Held] = {}
        self._buckets: dict[str, TokenBucket] = {}
        self._enrolled = 0
        self._revoked = 0

    async def init(self) -> None:
        self._directory = Directory(self.system)
        self._accounts = self.system.ref(names.ACCOUNT_STORE)
        self._keys = self.system.ref(names.KEY_MANAGER)
        self._audit = self.system.ref(names.AUDIT_LOG)

    async def handle_call(self, request: object, caller: From) -> object:
        try:
            match request:
                case Invite(user_id=user_id, expires_s=expires_s):
                    return await self._invite(user_id, expires_s)
                case Begin(source=source, register=register):
                    return self._begin(source, register)
                case Enrol():
                    return await self._enrol(request)
                case Approve(user_id=user_id, received=received):
                    await self._approve(user_id, received)
                    return None
                case HeldFor(user_id=user_id):
                    held = [waiting.received for waiting in self._held.values()]
                    return tuple(received for received in held if received.message.user_id == user_id)
                case Revoke(user_id=user_id, received=revocation):
                    await self._revoke(user_id, revocation)
                    return None
                case _:
                    raise TypeError(f"registrar knows no {request!r}")
        except (StoreError, BadSignatureError, RecordRefusedError, ProtocolError, ServerDown, CallTimeout) as refusal:
            caller.fail(refusal)
            return NO_REPLY

    async def handle_info(self, message: object) -> None:
        match message:
            case Down(tag=str(device_id)):
                self._held.pop(DeviceId(device_id), None)
            case _Expire(device_id=device_id):
                held = self._held.pop(device_id, None)
                if held is not None:
                    held.worker.cast_nowait(Close(Code.AUTHENTICATION))
            case _:
                raise TypeError(f"registrar knows no {message!r}")

    def statistics(self) -> Mapping[str, int]:
        """Registrations held now; devices enrolled and revoked by this incarnation."""
        return {"held": len(self._held), "enrolled": self._enrolled, "revoked": self._revoked}

    # --- coming ---

    async def _invite(self, user_id: UserId, expires_s: int) -> Invited:
        token = new_token(self._random)
        expires_at = int(self._clock()) + expires_s
        row = Token(token_hash=token_hash(token), user_id=user_id, expires_at=expires_at)
        await self._accounts.call(Accounts(lambda store: store.add_token(row)))
        await self._audit.cast(Audit("access_granted", "invite", "success", user=user_id))
        link = EnrolmentLink(server_id=self._server_id, token=token, key_hashes=(server_key_hash(self._public_key),))
        return Invited(str(link), expires_at)

    def _begin(self, source: str, register: DeviceRegister) -> int:
        uninvited = register.user_key is not None and register.enrollment_token is None
        if uninvited and self._open_difficulty is None:
            raise ProtocolError(Code.AUTHENTICATION, "a first device without a token")
        now = self._clock()
        bucket = self._buckets.get(source)
        if bucket is None:
            self._buckets = {name: kept for name, kept in self._buckets.items() if not kept.full(now)}
            bucket = self._buckets[source] = TokenBucket(rate=self._per_hour / 3600, burst=self._per_hour, now=now)
        wait = bucket.take(now)
        if wait:
            raise ProtocolError(Code.RATE_REGISTRATIONS, "too many registrations", retry_after=int(wait) + 1)
        return self._open_difficulty or 0 if uninvited else 0

    async def _enrol(self, request: Enrol) -> RegistrationSuccess | None:
        register = request.received.message
        if server_of(register.user_id) != self._server_id:
            raise ProtocolError(Code.AUTHENTICATION, "a user of another server")
        if register.replaces is not None or register.user_rotation is not None:
            raise ProtocolError(Code.WRONG_STATE, "rotation is not served yet")
        check_new_record(register.record(), int(self._clock()))
        if register.user_key is None:
            await self._hold(request)
            return None
        record = record_of(request.received.map)
        verify_record(register.user_key, record, register.user_device_signature or b"")
        token = register.enrollment_token
        if token is None:
            token = await self._token_for_work(register.user_id, worked=request.worked)
        success, device = await self._certified(request.received, record, register.user_device_signature or b"")
        now, user_key, redeemed = int(self._clock()), register.user_key, token_hash(token)
        await self._accounts.call(
            Accounts(lambda store: store.register_first(device, user_key=user_key, token_hash=redeemed, now=now))
        )
        await self._enrolled_now(register.user_id)
        return success

    async def _token_for_work(self, user_id: UserId, *, worked: bool) -> bytes:
        """Open registration: the work was shown, so the server mints the token that the device lacks."""
        if self._open_difficulty is None or not worked:
            raise TokenUnknownError("a first device needs an invitation")
        if await self._accounts.call(Accounts(lambda store: store.user(user_id))) is not None:
            raise UserExistsError("the name is taken")
        token = new_token(self._random)
        row = Token(
            token_hash=token_hash(token), user_id=user_id, expires_at=int(self._clock()) + limits.CHALLENGE_SECONDS
        )
        await self._accounts.call(Accounts(lambda store: store.add_token(row)))
        return token

    async def _hold(self, request: Enrol) -> None:
        register = request.received.message
        user_id = register.user_id
        known = await self._accounts.call(Accounts(lambda store: store.user(user_id)))
        device_id = register.device_id
        taken = await self._accounts.call(Accounts(lambda store: store.device(device_id)))
        if (
            known is None
            or taken is not None
            or device_id in self._held
            or len(self._held) >= limits.HELD_REGISTRATIONS
        ):
            raise ProtocolError(Code.AUTHENTICATION, "not a device to hold")
        self._held[device_id] = _Held(request.received, request.worker)
        self.monitor(request.worker, tag=device_id)
        self.send_after(limits.ENROLMENT_HOLD_SECONDS, _Expire(device_id))
        for outlet in self._directory.outlets_of(user_id):
            outlet.push(request.received)

    async def _approve(self, user_id: UserId, received: Received[DeviceRegister]) -> None:
        register = received.message
        held = self._held.get(register.device_id)
        if held is None or register.user_id != user_id or register.user_key is None:
            raise ProtocolError(Code.KEY_NOT_FOUND, "nobody waits for this approval")
        if {key: value for key, value in received.map.items() if key not in USER_MEMBERS} != held.received.map:
            raise ProtocolError(Code.NOT_PERMITTED, "the approval is for another registration")
        signature, user_key = register.user_device_signature or b"", register.user_key
        verify_record(user_key, record_of(received.map), signature)
        success, device = await self._certified(held.received, record_of(received.map), signature)
        await self._accounts.call(Accounts(lambda store: store.add_device(device, user_key=user_key)))
        self._held.pop(register.device_id, None)
        held.worker.cast_nowait(Approved(success))
        await self._enrolled_now(user_id)

    async def _certified(
        self, received: Received[DeviceRegister], record: SignedMap, user_signature: bytes
    ) -> tuple[RegistrationSuccess, Device]:
        register = received.message
        certificate = await self._keys.call(Certify(record))
        success = RegistrationSuccess(
            device_id=register.device_id, server_public_key=self._public_key, device_certificate=certificate
        )
        device = Device(
            device_id=register.device_id,
            user_id=register.user_id,
            public_key=register.public_key,
            record=encode_map(record),
            user_signature=user_signature,
            certificate=encode_map(certificate),
            not_after=register.not_after,
        )
        return success, device

    async def _enrolled_now(self, user_id: UserId) -> None:
        self._enrolled += 1
        await self.system.ref(names.MESSAGE_ROUTER).cast(DevicesChanged(user_id))
        await self._audit.cast(Audit("access_granted", "enrol", "success", user=user_id))

    # --- going ---

    async def _revoke(self, user_id: UserId, received: Received[DeviceRevoke]) -> None:
        revoke, signed = received.message, received.map
        device_id, signed_by = revoke.device_id, revoke.signed_by
        user = await self._accounts.call(Accounts(lambda store: store.user(user_id)))
        device = await self._accounts.call(Accounts(lambda store: store.device(device_id)))
        if user is None or device is None or revoke.user_id != user_id or device.user_id != user_id:
            raise ProtocolError(Code.KEY_NOT_FOUND, "no device of this user")
        key = key_for(revoke, user_key=user.user_key, device_key=device.public_key, server_key=self._public_key)
        last = await self._accounts.call(Accounts(lambda store: store.last_revocation(user_id, signed_by)))
        try:
            verify_revocation(signed, key, None if last is None else decode_map(last.revocation))
        except RevocationChainError:
            # Signed, so binding; that it does not follow the last one is for the auditor.
            await self._audit.cast(Audit("security_incident", "revocation_chain", "partial", "high", user=user_id))
        row = Revocation(
            device_id=device_id,
            user_id=user_id,
            revocation_id=revoke.revocation_id,
            signed_by=signed_by,
            effective=revoke.effective,
            keep_until=kept_until(device.not_after),
            revocation=encode_map(signed),
        )
        if await self._accounts.call(Accounts(lambda store: store.revoke(row))):
            await self._shut_out(user_id, device_id)
            await self._tell_others(user_id, received)
        for outlet in self._directory.outlets_of(user_id):
            outlet.push(received)

    async def _tell_others(self, user_id: UserId, received: Received[DeviceRevoke]) -> None:
        """Put the revocation in the outbox of every server that has looked this user up (section 5)."""
        servers = await self._accounts.call(Accounts(lambda store: store.remote.lookers(user_id)))
        await post(
            self.system,
            received,
            dict.fromkeys(servers, ()),
            own=self._server_id,
            priority="urgent",
            key=f"revoke/{received.message.revocation_id}",
            now=int(self._clock()),
            lifetime=limits.MESSAGE_MAX_AGE_SECONDS,
        )

    async def _shut_out(self, user_id: UserId, device_id: DeviceId) -> None:
        self._revoked += 1
        await self.system.ref(names.SESSION_MANAGER).cast(DeviceRevoked(device_id))
        await self.system.ref(names.MESSAGE_ROUTER).cast(DevicesChanged(user_id))
        await self.system.ref(names.MESSAGE_STORE).call(DropDevice(device_id))
        await self._audit.cast(Audit("access_denied", "revoke", "success", "medium", user=user_id))
