"""key_manager: the server's identity key and everybody's public keys (sections 4 and 5; rows B39, B44, B88).

Owns the identity key: no other actor sees it, all others ask for a signature under a label. Answers key requests from
the account store, hands out prekeys (the store commits the hand-out before anyone sees it), and takes uploads of them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from norc_actors.actors import names
from norc_actors.actors.storage.account_store import Accounts
from norc_actors.crypto.signatures import Signer
from norc_actors.ids import Clock, DeviceId, ServerId, UserId
from norc_actors.protocol.canonical import Value
from norc_actors.protocol.codec import convert, decode_map, encode_map
from norc_actors.protocol.devices import make_certificate
from norc_actors.protocol.messages import OneTimeKey, PrekeyStatus, PrekeyUpload, Record
from norc_actors.protocol.prekeys import PrekeyRefusedError, verify_upload
from norc_actors.protocol.schema import SignedMap
from norc_actors.store.accounts import AccountStore, Device, HandOut, OldRecord, User
from norc_actors.store.errors import StoreError
from supervision import NO_REPLY, Call, CallTimeout, From, GenServer, ServerDown

Entries = dict[UserId, dict[DeviceId, SignedMap]]


@dataclass(frozen=True, slots=True)
class Sign(Call[bytes]):
    """A signature of the server's identity key."""

    label: str
    body: bytes


@dataclass(frozen=True, slots=True)
class SignAll(Call[tuple[bytes, ...]]):
    """A signature of the server's identity key over each (label, body)."""

    items: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Certify(Call[SignedMap]):
    """A `device_certificate` over this record, with a fresh serial number."""

    record: SignedMap


@dataclass(frozen=True, slots=True)
class EntriesOf(Call[Entries]):
    """The users' devices as entries. Those in `fresh_for` (None: all) come with bundle and one-time key for
    `requester`; `only` restricts to these devices. Without `only` and `include_revoked`: those that can be written
    to."""

    users: tuple[UserId, ...]
    requester: DeviceId
    fresh_for: frozenset[DeviceId] | None = None
    only: frozenset[DeviceId] | None = None
    include_revoked: bool = False


@dataclass(frozen=True, slots=True)
class PutPrekeys(Call[PrekeyStatus]):
    """A device's upload, checked and stored; `PrekeyRefusedError` if its signatures do not hold."""

    device_id: DeviceId
    upload: PrekeyUpload


@dataclass(frozen=True, slots=True)
class PrekeyStatusOf(Call[PrekeyStatus]):
    """What is left of a device's prekeys."""

    device_id: DeviceId


class KeyManager(GenServer):
    """See the module."""

    def __init__(self, *, identity: Signer, server_id: ServerId, clock: Clock) -> None:
        self._identity = identity
        self._server_id = server_id
        self._clock = clock
        self._signatures = 0
        self._lookups = 0

    async def init(self) -> None:
        self._accounts = self.system.ref(names.ACCOUNT_STORE)

    async def handle_call(self, request: object, caller: From) -> object:
        try:
            return await self._do(request)
        except (StoreError, PrekeyRefusedError, ServerDown, CallTimeout) as refusal:
            caller.fail(refusal)
            return NO_REPLY

    def statistics(self) -> Mapping[str, int]:
        """Signatures given and entries looked up by this incarnation."""
        return {"signatures": self._signatures, "lookups": self._lookups}

    async def _do(self, request: object) -> object:
        match request:
            case Sign(label=label, body=body):
                self._signatures += 1
                return self._identity.sign(label, body)
            case SignAll(items=items):
                self._signatures += len(items)
                return tuple(self._identity.sign(label, body) for label, body in items)
            case Certify(record=record):
                self._signatures += 1
                serial = await self._accounts.call(Accounts(AccountStore.next_serial))
                return make_certificate(self._identity, self._server_id, serial, record)
            case EntriesOf():
                return await self._entries(request)
            case PutPrekeys(device_id=device_id, upload=upload):
                return await self._put_prekeys(device_id, upload)
            case PrekeyStatusOf(device_id=device_id):
                status = await self._accounts.call(Accounts(lambda store: store.prekey_status(device_id)))
                return PrekeyStatus(one_time_left=status.one_time_left, bundle_expires_at=status.bundle_expires_at)
            case _:
                raise TypeError(f"key_manager knows no {request!r}")

    async def _entries(self, request: EntriesOf) -> Entries:
        now = int(self._clock())

        include_revoked, reachable = request.include_revoked, not request.include_revoked and request.only is None

        def read(store: AccountStore) -> tuple[list[User], list[Device], list[OldRecord], Mapping[DeviceId, HandOut]]:
            users = [user for user_id in request.users if (user := store.user(user_id)) is not None]
            devices = [
                device
                for device in store.devices(
                    request.users, now=now, include_revoked=include_revoked, reachable=reachable
                )
                if request.only is None or device.device_id in request.only
            ]
            ids = [device.device_id for device in devices if device.status == "active"]
            fresh = [device for device in ids if request.fresh_for is None or device in request.fresh_for]
            fresh = [device for device in fresh if device != request.requester]
            return users, devices, store.old_records(ids, now=now), store.hand_out(request.requester, fresh, now=now)

        users, devices, old, handed_out = await self._accounts.call(Accounts(read))
        self._lookups += len(devices)
        keys: Entries = {user.user_id: {} for user in users}
        by_id = {user.user_id: user for user in users}
        for device in devices:
            entry = _entry(by_id[device.user_id], device, old, handed_out.get(device.device_id))
            keys[device.user_id][device.device_id] = entry
        return keys

    async def _put_prekeys(self, device_id: DeviceId, upload: PrekeyUpload) -> PrekeyStatus:
        device = await self._accounts.call(Accounts(lambda store: store.device(device_id)))
        if device is None or device.status != "active":
            raise PrekeyRefusedError("prekeys of no active device")
        one_time = upload.one_time or ()
        record = convert(decode_map(device.record), Record)
        not_after = verify_upload(record, upload.bundle, one_time, int(self._clock()))
        bundle = None if upload.bundle is None else (encode_map(upload.bundle), not_after)
        keys = [(convert(key, OneTimeKey).one_time_id, encode_map(key)) for key in one_time]
        stored = await self._accounts.call(
            Accounts(lambda store: store.put_prekeys(device_id, bundle=bundle, one_time=keys))
        )
        return PrekeyStatus(one_time_left=stored.one_time_left, bundle_expires_at=stored.bundle_expires_at)


def _entry(user: User, device: Device, old: Iterable[OldRecord], handed_out: HandOut | None) -> SignedMap:
    entry: SignedMap = {
        "record": decode_map(device.record),
        "user_key": user.user_key,
        "user_signature": device.user_signature,
        "certificate": decode_map(device.certificate),
    }
    if handed_out is not None and handed_out.bundle is not None:
        entry["bundle"] = decode_map(handed_out.bundle)
        if handed_out.one_time is not None:
            entry["one_time"] = decode_map(handed_out.one_time)
    if user.user_rotation is not None:
        entry["user_rotation"] = decode_map(user.user_rotation)
    older: list[Value] = [
        {
            "record": decode_map(row.record),
            "user_signature": row.user_signature,
            "certificate": decode_map(row.certificate),
        }
        for row in old
        if row.device_id == device.device_id
    ]
    if older:
        entry["older"] = older
    return entry
