"""This device's own keys: device key, user key, private halves of prekeys, the pin of the server (section 5).

Rules
- Private halves are committed before their public halves are sent; ids only rise, so that none is used twice.
- A one-time half goes in the transaction that accepts its session. A bundle's half goes once a newer bundle stands, the
  queue has drained after that, and 24 h passed (`retire`).
- The server's key: the hash in the enrolment link, else what the first connection showed; from then on the pinned
  one, or one that a signed rotation leads to.
"""

from dataclasses import dataclass

import msgspec

from norc_actors.client.records import ONE_TIME, PREKEYS, SERVER, OneTime, Prekeys, Self, ServerPin
from norc_actors.client.transaction import Transaction
from norc_actors.crypto.signatures import SEED_BYTES, SigningKey
from norc_actors.crypto.suites import PREFERENCE
from norc_actors.ids import Random, new_uuid
from norc_actors.limits import MAX_ONE_TIME_BATCH, ONE_TIME_REFILL
from norc_actors.protocol.codec import to_map
from norc_actors.protocol.devices import make_record, sign_record
from norc_actors.protocol.messages import DeviceInfo, PrekeyStatus, PrekeyUpload
from norc_actors.protocol.prekeys import BundleSecret, make_bundle, make_one_time_keys, may_erase, renewal_due
from norc_actors.protocol.schema import SignedMap

SUITES = PREFERENCE
"""What every client that is under no FIPS policy lists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """The server to enrol at."""

    server_id: str
    host: str
    port: int
    ca_pem: bytes


class Keyring:
    """The keys of an enrolled (or enrolling) device."""

    def __init__(self, own: Self) -> None:
        self.own = own
        self.user_id = own.user_id
        self.device_id = own.device_id
        self.device_key = SigningKey("ed25519", own.device_seed)
        self.user_key = SigningKey("ed25519", own.user_seed) if own.user_seed else None

    # --- Prekeys ---

    def secrets(self, tx: Transaction) -> list[BundleSecret]:
        """The private halves of all bundles that may still be used, newest last."""
        return [BundleSecret.from_map(kept) for kept in (tx.get(PREKEYS, "prekeys") or Prekeys()).bundles]

    def refill(self, tx: Transaction, status: PrekeyStatus, now: int, random: Random) -> PrekeyUpload | None:
        """What to upload after this status, its private halves put; None if nothing is due."""
        kept = tx.get(PREKEYS, "prekeys") or Prekeys()
        newest = BundleSecret.from_map(kept.bundles[-1]) if kept.bundles else None
        bundle = None
        if newest is None or status.bundle_expires_at != newest.not_after or renewal_due(newest, now):
            bundle, kept = self._new_bundle(kept, now, random)
        one_time: list[SignedMap] = []
        if status.one_time_left < ONE_TIME_REFILL:
            count = MAX_ONE_TIME_BATCH - status.one_time_left
            one_time, secrets = make_one_time_keys(self.device_key, kept.next_one_time_id, count, random)
            for secret in secrets:
                tx.put(ONE_TIME, str(secret.one_time_id), OneTime(x25519=secret.x25519))
            kept = msgspec.structs.replace(kept, next_one_time_id=kept.next_one_time_id + count)
        if bundle is None and not one_time:
            return None
        tx.put(PREKEYS, "prekeys", kept)
        return PrekeyUpload(bundle=bundle, one_time=tuple(one_time) or None)

    def _new_bundle(self, kept: Prekeys, now: int, random: Random) -> tuple[SignedMap, Prekeys]:
        bundle, secret = make_bundle(
            self.device_key, self.user_id, self.device_id, kept.next_prekey_id, hybrid=True, now=now, random=random
        )
        older = [{**old, "replaced_at": old.get("replaced_at", now)} for old in kept.bundles]
        return bundle, msgspec.structs.replace(
            kept, bundles=(*older, secret.to_map()), next_prekey_id=kept.next_prekey_id + 1
        )

    def retire(self, tx: Transaction, now: int) -> None:
        """The queue is empty now: erase the halves whose time has come."""
        kept = tx.get(PREKEYS, "prekeys")
        if kept is None:
            return
        staying = tuple(
            old for old in kept.bundles if not may_erase(BundleSecret.from_map(old), drained_at=now, now=now)
        )
        if len(staying) != len(kept.bundles):
            tx.put(PREKEYS, "prekeys", msgspec.structs.replace(kept, bundles=staying))


# --- Making a device ---


def new_device(
    user_id: str,
    where: Where,
    *,
    first: bool,
    token: bytes | None,
    info: DeviceInfo,
    now: int,
    random: Random,
    earlier: Self | None = None,
) -> Self:
    """Keys, record and `device_register` of a device that is to be enrolled; the first one makes the user key.

    `earlier`: an attempt that did not succeed, whose keys and id are used again.
    """
    seed = earlier.device_seed if earlier else random(SEED_BYTES)
    user_seed = (earlier.user_seed if earlier else random(SEED_BYTES)) if first else b""
    device_id = earlier.device_id if earlier else new_uuid(random)
    device_key = SigningKey("ed25519", seed)
    user_key = SigningKey("ed25519", user_seed) if first else None
    record = make_record(user_id, device_id, device_key.public_key, now=now, e2e_suites=SUITES)
    register: SignedMap = {"type": "device_register", **record}
    if user_key is not None:
        register["user_key"] = user_key.public_key
        register["user_device_signature"] = sign_record(user_key, record)
    if token is not None:
        register["enrollment_token"] = token
    register["device_info"] = to_map(info)
    return Self(
        user_id=user_id,
        device_id=device_id,
        server_id=where.server_id,
        host=where.host,
        port=where.port,
        ca_pem=where.ca_pem,
        device_seed=seed,
        record=record,
        register=register,
        user_key=user_key.public_key if user_key else b"",
        user_seed=user_seed,
    )


# --- The server's key ---


def server_pin(tx: Transaction) -> ServerPin:
    """What is known of the server's key."""
    return tx.get(SERVER, "server") or ServerPin()


def pin_server(tx: Transaction, key: bytes) -> None:
    """Pin the server's key (first use, enrolment, or a rotation that was checked).

    A key that it replaces still verifies the certificates that it signed, and nothing else.
    """
    known = server_pin(tx)
    former = (known.key, *known.former_keys) if known.key and known.key != key else known.former_keys
    tx.put(SERVER, "server", msgspec.structs.replace(known, key=key, former_keys=former))
