"""Users, devices and servers for tests, from seeded randomness: nothing here differs between two runs."""

import random as _random
from collections.abc import Sequence
from dataclasses import dataclass, field

from norc_actors.crypto.signatures import SigningKey
from norc_actors.crypto.suites import PREFERENCE, SUITES, Algorithm
from norc_actors.ids import Random, new_uuid
from norc_actors.protocol import devices, prekeys
from norc_actors.protocol.schema import SignedMap

NOW = 1_790_000_000
ALGORITHMS: tuple[Algorithm, ...] = ("ed25519", "p256")


def seeded(seed: object) -> Random:
    """A `Random` that gives the same bytes in every run."""
    return _random.Random(repr(seed)).randbytes


@dataclass
class Phone:
    """A device of a person, with all that it keeps."""

    own: devices.OwnDevice
    key: SigningKey
    record: SignedMap
    entry: SignedMap
    bundles: dict[int, prekeys.BundleSecret] = field(default_factory=dict)
    one_times: dict[int, prekeys.OneTimeSecret] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return self.own.device_id


@dataclass
class Server:
    """A home server's identity."""

    id: str
    key: SigningKey
    serial: int = 0


class Person:
    """A user with a user key, who can enrol devices."""

    def __init__(self, name: str, server: Server, *, algorithm: Algorithm = "ed25519", seed: object = 0) -> None:
        self.user_id = f"{name}@{server.id}"
        self.server = server
        self.random = seeded((name, seed))
        self.algorithm: Algorithm = algorithm
        self.user_key = SigningKey.generate(algorithm, self.random)

    def phone(self, *, suites: Sequence[str] = PREFERENCE, now: int = NOW, one_times: int = 1) -> Phone:
        """A new device of this user, its entry with a fresh bundle and one-time key."""
        key = SigningKey.generate(self.algorithm, self.random)
        device_id = new_uuid(self.random)
        record = devices.make_record(self.user_id, device_id, key.public_key, now=now, e2e_suites=suites)
        own = devices.OwnDevice(user_id=self.user_id, device_id=device_id, key=key, e2e_suites=tuple(suites))
        phone = Phone(own=own, key=key, record=record, entry=self.entry_of(record))
        self.restock(phone, now=now, one_times=one_times)
        return phone

    def entry_of(self, record: SignedMap) -> SignedMap:
        """An entry without prekeys, as the home server would list it."""
        self.server.serial += 1
        return {
            "record": record,
            "user_key": self.user_key.public_key,
            "user_signature": devices.sign_record(self.user_key, record),
            "certificate": devices.make_certificate(self.server.key, self.server.id, self.server.serial, record),
        }

    def restock(self, phone: Phone, *, now: int = NOW, one_times: int = 1) -> None:
        """A new bundle and one-time keys for the device; its entry offers the newest."""
        prekey_id = len(phone.bundles) + 1
        hybrid = any(SUITES[name].hybrid for name in phone.own.e2e_suites)
        bundle, secret = prekeys.make_bundle(
            phone.key, self.user_id, phone.id, prekey_id, hybrid=hybrid, now=now, random=self.random
        )
        phone.bundles[prekey_id] = secret
        first = max(phone.one_times, default=0) + 1
        keys, secrets = prekeys.make_one_time_keys(phone.key, first, one_times, self.random)
        phone.one_times |= {one.one_time_id: one for one in secrets}
        phone.entry = {**phone.entry, "bundle": bundle}
        phone.entry.pop("one_time", None)
        if keys:
            phone.entry["one_time"] = keys[-1]

    def device(self, phone: Phone, *, revoked_at: int | None = None) -> devices.Device:
        """The device as a peer who pinned this user's key verifies it."""
        return devices.verify_entry(
            phone.entry,
            user_id=self.user_id,
            device_id=phone.id,
            pinned=self.user_key.public_key,
            revoked_at=revoked_at,
            server_keys=[self.server.key.public_key],
        )


def make_server(name: str = "a.example", *, algorithm: Algorithm = "ed25519") -> Server:
    """A home server."""
    return Server(id=name, key=SigningKey.generate(algorithm, seeded(("server", name, algorithm))))
