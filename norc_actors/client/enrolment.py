"""How a profile becomes a device (section 5): the first one by a link, a further one by another device's word.

Rules
- Keys are committed before anything is sent, so that a kill at any moment leaves a profile that can go on: the same
  call again authenticates if the server had enrolled the device already, and registers it if it had not.
- A further device learns its user's key with its own entry, which that key signed; the code that people compare binds
  the approval to this very device. That it is the user's key and not the server's shows the fingerprint, which both
  devices show in the end.
- What the server's error says to the unauthenticated is no more than "no"; the advice names what it can be.
"""

import contextlib
import platform as machine
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import TypeVar

import trio
from msgspec.structs import replace

from norc_actors.client.connection import Connection, LostError, connect
from norc_actors.client.errors import (
    AlreadyEnrolledError,
    ClientError,
    EnrolmentRefusedError,
    EnrolmentTimeoutError,
    RateLimitedError,
)
from norc_actors.client.keyring import Keyring, Where, new_device, server_pin
from norc_actors.client.model import Enrolled
from norc_actors.client.opening import dial_for, pin_shown, server_fingerprint, tls_for
from norc_actors.client.options import Tap
from norc_actors.client.profile import Profile
from norc_actors.client.records import PINS, SELF, SERVER, Pin, Self, ServerPin
from norc_actors.client.transaction import Ledger, Transaction
from norc_actors.crypto.errors import BadSignatureError
from norc_actors.ids import Clock, DeviceId, Random, UserId, new_uuid
from norc_actors.limits import HANDSHAKE_SECONDS, PING_SECONDS
from norc_actors.protocol.auth import sign_auth
from norc_actors.protocol.codec import convert
from norc_actors.protocol.devices import verify_record
from norc_actors.protocol.enrolment import device_code, sign_registration, solve
from norc_actors.protocol.errors import ProtocolError, info_of
from norc_actors.protocol.fingerprint import grouped, half
from norc_actors.protocol.messages import (
    AuthResponse,
    DeviceInfo,
    DeviceRegister,
    Entry,
    ErrorMessage,
    KeyRequest,
    KeyResponse,
    Ping,
    Platform,
    Pong,
    PrekeyStatus,
    PrekeyUpload,
    RegistrationChallenge,
    RegistrationResponse,
    RegistrationSuccess,
)
from norc_actors.protocol.schema import Message

R = TypeVar("R")
M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Applicant:
    """Who wants to be enrolled."""

    user_id: str
    first: bool
    name: str
    where: Where
    token: bytes | None = None
    key_hashes: tuple[bytes, ...] = ()


class Enrolment:
    """One enrolment over a profile that nobody else uses. `on_code` shows the code of a further device."""

    def __init__(
        self,
        profile: Profile,
        *,
        random: Random,
        clock: Clock,
        on_code: Callable[[str], Awaitable[None]] | None = None,
        within: float = 0.0,
        tap: Tap | None = None,
    ) -> None:
        self._tap = tap
        self._ledger = Ledger(profile)
        self._random = random
        self._clock = clock
        self._on_code = on_code
        self._within = within

    async def run(self, applicant: Applicant) -> Enrolled:
        """Enrol the device, or go on where an earlier call stopped."""
        own = self._ledger.begin().get(SELF, "self")
        user_key = None
        if own is not None:
            _check_same(own, applicant)
            user_key = await self._earlier(own)
        if own is None or user_key is None:
            own = await self._make(applicant, own)
            user_key = await self._converse(own, self._register)
        await self._commit(partial(_finish, own=own, user_key=user_key, now=int(self._clock())))
        return Enrolled(
            user_id=own.user_id,
            device_id=own.device_id,
            server_id=own.server_id,
            server_fingerprint=server_fingerprint(server_pin(self._ledger.begin()).key),
            user_fingerprint=grouped(half(own.user_id, user_key)),
        )

    async def _earlier(self, own: Self) -> bytes | None:
        """The user key, if the server enrolled this device before an earlier call was cut off."""
        try:
            return await self._converse(own, self._authenticate)
        except (EnrolmentRefusedError, LostError):
            return None

    async def _make(self, applicant: Applicant, earlier: Self | None) -> Self:
        own = new_device(
            applicant.user_id,
            applicant.where,
            first=applicant.first,
            token=applicant.token,
            info=_device_info(applicant.name),
            now=int(self._clock()),
            random=self._random,
            earlier=earlier,
        )

        def begin(tx: Transaction) -> None:
            tx.put(SELF, "self", own)
            if not server_pin(tx).key and applicant.key_hashes:
                tx.put(SERVER, "server", ServerPin(key_hashes=applicant.key_hashes))

        await self._commit(begin)
        return own

    async def _commit(self, operation: Callable[[Transaction], object]) -> None:
        transaction = self._ledger.begin()
        operation(transaction)
        await trio.to_thread.run_sync(self._ledger.profile.commit, transaction.writes())
        self._ledger.absorb(transaction)

    # --- On a connection ---

    async def _converse(self, own: Self, task: Callable[[Connection, Self, Keyring], Awaitable[bytes]]) -> bytes:
        """Connect, pin the server's key, do the task; returns the user key."""
        dial = dial_for(own, server_pin(self._ledger.begin()), tls_for(own), self._tap)
        async with connect(dial, random=self._random, clock=self._clock) as connection:
            await self._commit(lambda tx: pin_shown(tx, connection))
            return await _talk(connection, self._clock, lambda: task(connection, own, Keyring(own)))

    async def _register(self, connection: Connection, own: Self, keyring: Keyring) -> bytes:
        established = connection.established
        connection.put(convert(own.register, DeviceRegister))
        challenge = await _expect(connection, RegistrationChallenge, HANDSHAKE_SECONDS)
        solution = None
        if challenge.difficulty:
            work = (established.suite, challenge.challenge, own.device_id, keyring.device_key.public_key)
            solution = await trio.to_thread.run_sync(solve, *work, challenge.difficulty)
        signature = sign_registration(keyring.device_key, established.th, challenge.challenge, own.register)
        connection.put(
            RegistrationResponse(challenge=challenge.challenge, signature=signature, proof_solution=solution)
        )
        if self._on_code is None:
            await _expect(connection, RegistrationSuccess, HANDSHAKE_SECONDS)
        else:
            await self._on_code(device_code(own.device_id, keyring.device_key.public_key))
            await _expect(connection, RegistrationSuccess, self._within, too_slow=EnrolmentTimeoutError(_NOT_APPROVED))
        return await self._authenticate(connection, own, keyring)

    async def _authenticate(self, connection: Connection, own: Self, keyring: Keyring) -> bytes:
        """Authenticate and upload prekeys, so that the device can be written to before it is first opened; a further
        device then asks for its own entry: the key that signed it is the user's."""
        established = connection.established
        connection.put(
            sign_auth(
                keyring.device_key,
                th=established.th,
                challenge=established.auth_challenge,
                user_id=UserId(own.user_id),
                device_id=DeviceId(own.device_id),
                now=self._clock(),
            )
        )
        await _expect(connection, AuthResponse, HANDSHAKE_SECONDS)
        status = await _expect(connection, PrekeyStatus, HANDSHAKE_SECONDS)
        uploads: list[PrekeyUpload | None] = []
        now = int(self._clock())
        await self._commit(lambda tx: uploads.append(keyring.refill(tx, status, now, self._random)))
        if uploads[0] is not None:
            connection.put(uploads[0])
            await _expect(connection, PrekeyStatus, HANDSHAKE_SECONDS)
        return own.user_key or await self._user_key(connection, own)

    async def _user_key(self, connection: Connection, own: Self) -> bytes:
        user_id, device_id = UserId(own.user_id), DeviceId(own.device_id)
        connection.put(
            KeyRequest(
                request_id=new_uuid(self._random),
                user_ids=(user_id,),
                device_filter=(device_id,),
                include_revoked=False,
            )
        )
        answer = await _expect(connection, KeyResponse, HANDSHAKE_SECONDS)
        try:
            entry = convert(answer.keys[user_id][device_id], Entry)
            verify_record(entry.user_key, own.record, entry.user_signature)
        except (KeyError, ProtocolError, BadSignatureError) as error:
            raise EnrolmentRefusedError(
                "The server's entry for this device is not the one that was approved.",
                "Someone may be interfering: tell the operator.",
            ) from error
        return entry.user_key


_NOT_APPROVED = "Nobody approved this device in time."


def _check_same(own: Self, applicant: Applicant) -> None:
    if own.stage == "enrolled":
        raise AlreadyEnrolledError(f"This profile is a device of {own.user_id} already.")
    if own.user_id != applicant.user_id or bool(own.user_seed) != applicant.first:
        advice = "Go on as it was begun, or choose another path."
        raise AlreadyEnrolledError(f"This profile was begun for {own.user_id}.", advice)


def _device_info(name: str) -> DeviceInfo:
    system = Platform(os=machine.system()[:64], version=machine.release()[:64], app_version=version("norc-actors"))
    return DeviceInfo(name=(name or machine.node())[:64], type="unknown", capabilities=("messaging",), platform=system)


def _finish(tx: Transaction, own: Self, user_key: bytes, now: int) -> None:
    tx.put(SELF, "self", replace(own, stage="enrolled", user_key=user_key, register={}))
    tx.put(PINS, own.user_id, Pin(user_key=user_key, pinned_at=now, order=1, verified=bool(own.user_seed)))


async def _talk(connection: Connection, clock: Clock, task: Callable[[], Awaitable[R]]) -> R:
    """Do a task while the connection is written and kept alive."""
    results: list[R] = []
    failures: list[ClientError] = []

    async def write(nursery: trio.Nursery) -> None:
        try:
            await connection.write()
        except ClientError as error:
            failures.append(error)
            nursery.cancel_scope.cancel()

    async def ping() -> None:
        while True:
            await trio.sleep(PING_SECONDS)
            with contextlib.suppress(LostError):
                connection.put(Ping(timestamp=int(clock())))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write, nursery)
        nursery.start_soon(ping)
        try:
            results.append(await task())
        except ClientError as error:
            failures.insert(0, error)
        nursery.cancel_scope.cancel()
    if results:
        return results[0]
    raise failures[0]


async def _expect(connection: Connection, kind: type[M], seconds: float, *, too_slow: ClientError | None = None) -> M:
    """The next message of a type, answering pings meanwhile; the server's `error` is a refusal."""
    with trio.move_on_after(seconds):
        while True:
            message = (await connection.receive()).message
            if isinstance(message, kind):
                return message
            if isinstance(message, ErrorMessage):
                raise _refused(message)
            if isinstance(message, Ping):
                connection.put(Pong(timestamp=message.timestamp))
    raise too_slow or LostError("The server did not answer in time.")


def _refused(error: ErrorMessage) -> ClientError:
    info = info_of(error.error_code)
    if info.category == "rate_limit":
        return RateLimitedError("Too many registrations from here.", float(error.retry_after or 60))
    if info.category == "server":
        return LostError("The server is not ready.", float(error.retry_after or 1))
    return EnrolmentRefusedError("The server does not enrol this device: the invitation is not (or no longer) good.")
