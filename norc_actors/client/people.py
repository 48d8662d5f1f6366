"""What an application does with people and devices: pins, fingerprints, approval, revocation."""

import contextlib
from functools import partial

from norc_actors.client.connection import Connection
from norc_actors.client.core import Core
from norc_actors.client.errors import (
    ClientUsageError,
    DeviceRevokedError,
    FingerprintMismatchError,
    NoUserKeyError,
    UnknownDeviceError,
    UnknownUserError,
)
from norc_actors.client.events import NewDevice
from norc_actors.client.groups import user
from norc_actors.client.model import DeviceInfo, UserInfo
from norc_actors.client.needs import FinalError
from norc_actors.client.records import DEVICES, LISTS, PINS, REVOCATIONS, Pin, join
from norc_actors.client.resolver import Resolver
from norc_actors.client.transaction import Transaction
from norc_actors.ids import new_uuid
from norc_actors.protocol.codec import convert
from norc_actors.protocol.devices import record_of, sign_record
from norc_actors.protocol.enrolment import code_matches, device_code
from norc_actors.protocol.errors import ProtocolError
from norc_actors.protocol.fingerprint import grouped, half, matches, safety_number
from norc_actors.protocol.messages import DeviceRegister, DeviceRevoke, Record
from norc_actors.protocol.revocation import Reason, SignedBy, make_revocation
from norc_actors.protocol.schema import Message

REASONS: tuple[Reason, ...] = ("lost", "compromised", "retired", "policy")


# --- Users ---


def users(tx: Transaction) -> list[UserInfo]:
    """The users whose keys are pinned, in the order of pinning."""
    pins = sorted(tx.all(PINS).items(), key=lambda pair: pair[1].order)
    return [UserInfo(user_id=name, verified=pin.verified, key_changed=bool(pin.offered)) for name, pin in pins]


async def pin_of(core: Core, resolver: Resolver, user_id: str) -> Pin:
    """A user's pin, made now if there is none; `UnknownUserError`."""
    name = user(user_id)
    pin = await core.do(lambda tx: tx.get(PINS, name))
    if pin is None:
        try:
            await resolver.users((name,))
        except FinalError as error:
            raise UnknownUserError(error.what) from error
        pin = await core.do(lambda tx: tx.get(PINS, name))
    if pin is None:
        raise UnknownUserError(f"No key of {name} can be trusted.", "Look at the security events.")
    return pin


async def fingerprint(core: Core, resolver: Resolver, user_id: str) -> str:
    """The digits that this user and the other one both see."""
    pin = await pin_of(core, resolver, user_id)
    own = await pin_of(core, resolver, core.engine.own.user_id)
    return safety_number(core.engine.own.user_id, own.user_key, user(user_id), pin.user_key)


async def verify(core: Core, resolver: Resolver, user_id: str, typed: str) -> None:
    """Mark a user verified if the digits are the fingerprint."""
    if not matches(typed, await fingerprint(core, resolver, user_id)):
        raise FingerprintMismatchError(f"These are not the digits for {user(user_id)}: the user stays unverified.")
    await core.do(lambda tx: core.engine.directory.set_verified(tx, user(user_id)))


async def accept_key(core: Core, user_id: str) -> None:
    """Pin the key that the server showed instead of the pinned one."""
    if not await core.do(lambda tx: core.engine.directory.accept_key(tx, user(user_id))):
        raise ClientUsageError(f"The server has shown no other key for {user(user_id)}.")


# --- Devices ---


async def devices(core: Core, resolver: Resolver) -> list[DeviceInfo]:
    """This user's devices, asked of the server if there is a connection."""
    if core.connection is not None:
        with contextlib.suppress(FinalError):
            await resolver.all_devices(core.engine.own.user_id)
    return await core.do(partial(_devices, core=core))


def _devices(tx: Transaction, core: Core) -> list[DeviceInfo]:
    own = core.engine.own
    listed = tx.get(LISTS, own.user_id)
    active = set(listed.device_ids if listed else ())
    found = []
    for key, known in tx.all(DEVICES).items():
        if not key.startswith(own.user_id + "/"):
            continue
        try:
            record = convert(known.entry["record"], Record)  # type: ignore[arg-type]
        except (ProtocolError, KeyError):
            continue
        revoked = known.revoked_at is not None or (not known.fault and record.device_id not in active)
        found.append(
            DeviceInfo(
                device_id=record.device_id,
                this_device=record.device_id == own.device_id,
                trusted=not known.fault and not revoked and core.engine.now() < record.not_after,
                revoked=revoked,
                not_before=record.not_before,
                not_after=record.not_after,
                fingerprint=device_code(record.device_id, record.public_key),
            )
        )
    return sorted(found, key=lambda device: (device.not_before, device.device_id))


async def own_fingerprint(core: Core, resolver: Resolver) -> str:
    """The 30 digits of the user's own key, in groups."""
    own = core.engine.own.user_id
    return grouped(half(own, (await pin_of(core, resolver, own)).user_key))


async def approve(core: Core, device_id: str, code: str) -> None:
    """Sign a waiting device with the user key, if the code is the one on its screen."""
    waiting = core.pending.get(device_id)
    if waiting is None:
        raise UnknownDeviceError("No such device waits for approval.", "Start the enrolment on the new device again.")
    if core.engine.keyring.user_key is None:
        raise NoUserKeyError("This device does not hold the user key, so it cannot approve others.")
    _, register = waiting
    record = record_of(register)
    typed = convert(record, Record)
    if not code_matches(code, typed.device_id, typed.public_key):
        raise FingerprintMismatchError("This is not the code of the waiting device; it was not approved.")
    signed = {
        **register,
        "user_key": core.engine.keyring.user_key.public_key,
        "user_device_signature": sign_record(core.engine.keyring.user_key, record),
    }
    await core.ask(partial(_put, convert(signed, DeviceRegister)), device_id)
    own = core.engine.own.user_id
    await core.do(lambda tx: core.engine.directory.forget_list(tx, own))
    core.pending.pop(device_id, None)
    device = DeviceInfo(
        device_id=device_id,
        this_device=False,
        trusted=True,
        revoked=False,
        not_before=typed.not_before,
        not_after=typed.not_after,
        fingerprint=device_code(device_id, typed.public_key),
    )
    core.publish([NewDevice(device=device)])


async def revoke(core: Core, device_id: str, reason: str) -> None:
    """Revoke a device of this user."""
    if reason not in REASONS:
        raise ClientUsageError(f"The reason is one of {', '.join(REASONS)}.")
    engine = core.engine
    signed_by: SignedBy = "user" if engine.keyring.user_key is not None else "device"
    if signed_by == "device" and device_id != engine.own.device_id:
        raise NoUserKeyError("This device does not hold the user key: it can revoke itself only.")
    chain = join(engine.own.user_id, signed_by)
    last = await core.do(lambda tx: tx.get(REVOCATIONS, chain))
    revocation = make_revocation(
        engine.keyring.user_key or engine.keyring.device_key,
        user_id=engine.own.user_id,
        device_id=device_id,
        reason=reason,
        signed_by=signed_by,
        effective=engine.now(),
        revocation_id=new_uuid(engine.random),
        previous=last.revocation if last else None,
    )
    request = convert(revocation, DeviceRevoke)
    try:
        await core.ask(partial(_put, request), request.revocation_id)
    except DeviceRevokedError:
        if device_id != engine.own.device_id:
            raise


def _put(message: Message, connection: Connection) -> None:
    connection.put(message)
