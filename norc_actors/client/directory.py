"""Whose devices are whose: pins, verified entries, active devices (section 5; rows `B44`, `B45`, `B89`).

Rules
- A user's key is pinned at first use, if all that the server lists for the user agree on it. From then on nothing but
  that key vouches for a device. Another key is refused and shown; only `accept_key` (a person's decision) or a rotation
  signed by the old key moves the pin, and both clear `verified`.
- A device that the pinned key does not vouch for is refused: it is shown once and never encrypted to (a ghost device
  that a server inserts gets nothing).
- `list` is what the server last said is active, less what was refused or revoked here. It decides to whom is encrypted,
  and the server's refusal (2002) corrects it; it never decides whom to trust.
- Our own user key is not pinned from the server: it is in the profile (first device) or was compared at enrolment.

All functions are of a transaction: they read, judge, put, and return events.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from norc_actors.client.events import DeviceRefused, DeviceRevoked, Event, UserKeyChanged, UserKeyPinned
from norc_actors.client.records import DEVICES, LISTS, PINS, REVOCATIONS, DeviceList, KnownDevice, Pin, Revocation, join
from norc_actors.client.transaction import Transaction
from norc_actors.crypto.errors import BadSignatureError
from norc_actors.protocol.codec import convert
from norc_actors.protocol.devices import (
    Device,
    EntryFault,
    EntryRefusedError,
    lost_hybrid,
    require_current,
    verify_entry,
    verify_user_rotation,
)
from norc_actors.protocol.errors import ProtocolError
from norc_actors.protocol.messages import DeviceRevoke, Entry
from norc_actors.protocol.revocation import RevocationChainError, key_for, verify_revocation
from norc_actors.protocol.schema import SignedMap

Listing = Mapping[str, SignedMap]
"""device_id → entry, of one user."""


@dataclass(slots=True)
class Learned:
    """What an answer taught: the devices that verified (bundles in their entries are fresh), and what to show."""

    devices: list[Device] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)


class Directory:
    """The directory of one profile. `devices` caches verified entries by the record they came from."""

    def __init__(self, user_id: str, server_keys: Iterable[bytes] = ()) -> None:
        self.user_id = user_id
        self.server_keys = tuple(server_keys)
        self._verified: dict[str, tuple[KnownDevice, bytes, Device]] = {}

    # --- Learning ---

    def learn(self, tx: Transaction, user_id: str, listing: Listing, now: int, *, complete: bool) -> Learned:
        """Judge what the server lists for a user. `complete`: these are all active devices (an answer to `active`)."""
        learned = Learned()
        pin = self._pin(tx, user_id, listing, now, learned)
        for device_id, entry in sorted(listing.items()):
            device = self._judge(tx, user_id, device_id, entry, pin, now, learned)
            if device is not None:
                learned.devices.append(device)
        if complete:
            active = [device.device_id for device in learned.devices if device.revoked_at is None]
            tx.put(LISTS, user_id, DeviceList(device_ids=tuple(active), fetched_at=now))
        return learned

    def _pin(self, tx: Transaction, user_id: str, listing: Listing, now: int, learned: Learned) -> Pin | None:
        pin = tx.get(PINS, user_id)
        keys = {key for entry in listing.values() if isinstance(key := entry.get("user_key"), bytes)}
        if pin is None:
            if len(keys) != 1:
                return None
            pin = Pin(user_key=keys.pop(), pinned_at=now, order=len(tx.all(PINS)) + 1)
            tx.put(PINS, user_id, pin)
            text = f"The key of {user_id} was pinned at first use; compare fingerprints to be sure that it is theirs."
            learned.events.append(UserKeyPinned(text=text, user_id=user_id))
            return pin
        others = keys - {pin.user_key}
        if not others or others == {pin.offered}:
            return pin
        return self._changed(tx, user_id, listing, pin, min(others), learned)

    def _changed(
        self, tx: Transaction, user_id: str, listing: Listing, pin: Pin, other: bytes, learned: Learned
    ) -> Pin:
        """Another key than the pinned one: taken over only if the old key signed for it."""
        if user_id != self.user_id and _rotated_by_old_key(user_id, listing, pin.user_key, other):
            pin = msgspec.structs.replace(pin, user_key=other, verified=False, offered=b"")
            text = f"{user_id} has a new key, signed with the old one; compare fingerprints anew."
            learned.events.append(UserKeyChanged(text=text, user_id=user_id, accepted=True))
        else:
            pin = msgspec.structs.replace(pin, verified=False, offered=other)
            text = (
                f"The server shows another key for {user_id} than the pinned one. Nothing is encrypted to it: compare "
                "fingerprints before you accept it."
            )
            learned.events.append(UserKeyChanged(text=text, user_id=user_id, accepted=False))
        tx.put(PINS, user_id, pin)
        return pin

    def _judge(
        self,
        tx: Transaction,
        user_id: str,
        device_id: str,
        entry: SignedMap,
        pin: Pin | None,
        now: int,
        learned: Learned,
    ) -> Device | None:
        key = join(user_id, device_id)
        known = tx.get(DEVICES, key)
        revoked_at = known.revoked_at if known else None
        kept = {name: value for name, value in entry.items() if name not in ("bundle", "one_time")}
        try:
            device = verify_entry(
                entry,
                user_id=user_id,
                device_id=device_id,
                pinned=pin.user_key if pin else None,
                revoked_at=revoked_at,
                server_keys=self._keys_of(user_id),
            )
            if revoked_at is None:
                require_current(device, now)
        except EntryRefusedError as error:
            if known is None or known.fault != error.fault.value:
                learned.events.append(refused_device(error))
            if known is None or known.fault:
                tx.put(DEVICES, key, KnownDevice(entry=kept, fault=error.fault.value))
            return None
        if self._lost_hybrid(tx, known, device):
            if known is None or known.fault != LOST_HYBRID:
                learned.events.append(_lost_hybrid(device))
                tx.put(DEVICES, key, KnownDevice(entry=kept, fault=LOST_HYBRID, revoked_at=revoked_at))
            return None
        if known is None or known.entry != kept or known.fault:
            tx.put(DEVICES, key, KnownDevice(entry=kept, revoked_at=revoked_at))
        return device

    def _lost_hybrid(self, tx: Transaction, known: KnownDevice | None, device: Device) -> bool:
        """Whether a device that was seen with ML-KEM has it no more, now or when it was refused for that."""
        if known is not None and known.fault == LOST_HYBRID:
            return not device.hybrid
        before = self.device(tx, device.user_id, device.device_id)
        return before is not None and lost_hybrid(before, device)

    def _keys_of(self, user_id: str) -> tuple[bytes, ...]:
        """The identity keys of a user's home server, where known: ours."""
        return self.server_keys if user_id.partition("@")[2] == self.user_id.partition("@")[2] else ()

    # --- Asking ---

    def device(self, tx: Transaction, user_id: str, device_id: str) -> Device | None:
        """A device whose record the pinned key signed (maybe expired or revoked), None if it is unknown or refused."""
        key = join(user_id, device_id)
        known = tx.get(DEVICES, key)
        pin = tx.get(PINS, user_id)
        if known is None or known.fault or pin is None:
            return None
        cached = self._verified.get(key)
        if cached is not None and cached[0] is known and cached[1] == pin.user_key:
            return cached[2]
        try:
            device = verify_entry(
                known.entry, user_id=user_id, device_id=device_id, pinned=pin.user_key, revoked_at=known.revoked_at
            )
        except EntryRefusedError:
            return None
        self._verified[key] = (known, pin.user_key, device)
        return device

    def fault(self, tx: Transaction, user_id: str, device_id: str) -> str:
        """Why a device was refused, "" if it was not."""
        known = tx.get(DEVICES, join(user_id, device_id))
        return known.fault if known else ""

    def active(self, tx: Transaction, user_id: str, now: int) -> list[Device] | None:
        """The devices to encrypt to, None if they have to be asked for first."""
        listed = tx.get(LISTS, user_id)
        if listed is None or not listed.fetched_at:
            return None
        found = []
        for device_id in listed.device_ids:
            device = self.device(tx, user_id, device_id)
            if device is not None and device.revoked_at is None and now < device.not_after:
                found.append(device)
        return found

    # --- Changing ---

    def set_active(self, tx: Transaction, user_id: str, device_ids: Iterable[str], now: int) -> None:
        """Take over a list of active devices that were learnt one by one."""
        tx.put(LISTS, user_id, DeviceList(device_ids=tuple(device_ids), fetched_at=now))

    def forget_list(self, tx: Transaction, user_id: str) -> None:
        """Ask again before the next message to this user."""
        listed = tx.get(LISTS, user_id)
        if listed is not None:
            tx.put(LISTS, user_id, msgspec.structs.replace(listed, fetched_at=0))

    def accept_key(self, tx: Transaction, user_id: str) -> bool:
        """Pin the key that was offered; False if there is none. The user's devices have to be asked for again."""
        pin = tx.get(PINS, user_id)
        if pin is None or not pin.offered:
            return False
        tx.put(PINS, user_id, msgspec.structs.replace(pin, user_key=pin.offered, offered=b"", verified=False))
        for key, known in tx.all(DEVICES).items():
            if key.startswith(user_id + "/") and known.fault:
                tx.put(DEVICES, key, msgspec.structs.replace(known, fault=""))
        self.forget_list(tx, user_id)
        return True

    def set_verified(self, tx: Transaction, user_id: str) -> None:
        """Fingerprints were compared."""
        pin = tx.get(PINS, user_id)
        if pin is not None:
            tx.put(PINS, user_id, msgspec.structs.replace(pin, verified=True))

    def revoke(self, tx: Transaction, revocation: SignedMap, server_key: bytes) -> list[Event]:
        """Act on a `device_revoke`: binding if its signature holds; `BadSignatureError`, `ProtocolError` otherwise."""
        typed = convert(revocation, DeviceRevoke)
        pin = tx.get(PINS, typed.user_id)
        device = self.device(tx, typed.user_id, typed.device_id)
        key = key_for(
            typed,
            user_key=pin.user_key if pin else None,
            device_key=device.public_key if device else None,
            server_key=server_key,
        )
        chain = join(typed.user_id, typed.signed_by)
        last = tx.get(REVOCATIONS, chain)
        known = tx.get(DEVICES, join(typed.user_id, typed.device_id))
        if last is not None and last.revocation == revocation:
            return []
        text = f"A device of {typed.user_id} was revoked ({_BY[typed.signed_by]})."
        try:
            verify_revocation(revocation, key, last.revocation if last else None)
        except RevocationChainError:
            text += " An earlier revocation is missing here: the server may have held it back."
        tx.put(REVOCATIONS, chain, Revocation(revocation=revocation))
        if known is not None:
            at = typed.effective if known.revoked_at is None else min(known.revoked_at, typed.effective)
            tx.put(DEVICES, join(typed.user_id, typed.device_id), msgspec.structs.replace(known, revoked_at=at))
        return [DeviceRevoked(text=text, user_id=typed.user_id, device_id=typed.device_id, signed_by=typed.signed_by)]


LOST_HYBRID = "lost_hybrid"
"""A fault beside `EntryFault`'s: the record is in order, but it gives up post-quantum protection."""

_BY = {"user": "by its user", "device": "by the device itself", "server": "by the operator"}


def refused_device(error: EntryRefusedError) -> DeviceRefused:
    """The event that shows a refused device."""
    why = {
        EntryFault.BAD_SIGNATURE: "the user's key does not vouch for it, so it may be a listener",
        EntryFault.USER_KEY_CHANGED: "it is listed under another user key than the pinned one",
        EntryFault.USER_KEY_UNKNOWN: "the server shows several keys for this user",
        EntryFault.EXPIRED: "its record has expired",
    }.get(error.fault, error.fault.value.replace("_", " "))
    text = f"The server lists device {error.device_id} of {error.user_id}; it is not used, since {why}."
    return DeviceRefused(text=text, user_id=error.user_id, device_id=error.device_id, cause=error.fault.value)


def _lost_hybrid(device: Device) -> DeviceRefused:
    text = (
        f"Device {device.device_id} of {device.user_id} lists no post-quantum suite any more; it is not used, since it "
        "had one: ask its user."
    )
    return DeviceRefused(text=text, user_id=device.user_id, device_id=device.device_id, cause=LOST_HYBRID)


def _rotated_by_old_key(user_id: str, listing: Listing, old: bytes, new: bytes) -> bool:
    for entry in listing.values():
        try:
            rotation = convert(entry, Entry).user_rotation
            if rotation is None:
                continue
            typed = verify_user_rotation(rotation, user_id=user_id)
        except (BadSignatureError, ProtocolError):
            continue
        if (typed.by, typed.old_user_key, typed.new_user_key) == ("old", old, new):
            return True
    return False
