"""Devices and their papers: records, certificates, entries, enrolment, revocation (fields.md; section 5).

A paper that someone signed travels as a plain map (`SignedMap`); the classes named after it are its typed view, reached
with `codec.convert`, which checks types and lengths before anyone looks at the signature.
"""

from typing import Annotated, Literal

from norc_actors.limits import MAX_INTEGER
from norc_actors.protocol.errors import malformed
from norc_actors.protocol.schema import (
    Atoms,
    Bound,
    BundleMap,
    Bytes12,
    Bytes16,
    Bytes32,
    CertificateMap,
    Count,
    DeviceUuid,
    KemKey,
    KeyAlgorithm,
    Map,
    Message,
    OneTimeKeyMap,
    Plain,
    PublicKey,
    Range,
    RecordMap,
    Seconds,
    Server,
    Signature,
    SignedMap,
    Uint32,
    User,
    UserRotationMap,
    Uuid,
    Version,
)

SUITE_ATOMS = Annotated[Atoms, Bound(1, 64)]


def check_key(owner: str, public_key: bytes, algorithm: str) -> None:
    """Refuse a key whose length is not its algorithm's."""
    if len(public_key) != (33 if algorithm == "p256" else 32):
        raise malformed(f"{owner}.public_key has not the length of its key_algorithm")


class Record(Map, frozen=True, kw_only=True, omit_defaults=True):
    """What a device is, signed by the user key (`user-device:v1` over its canonical form)."""

    user_id: User
    device_id: DeviceUuid
    public_key: PublicKey
    key_algorithm: KeyAlgorithm
    e2e_suites: SUITE_ATOMS
    e2e_version: Version
    not_before: Seconds
    not_after: Seconds

    def _rule(self) -> None:
        """`public_key` has the length of its `key_algorithm`; `not_after` lies after `not_before`."""
        check_key(type(self).__name__, self.public_key, self.key_algorithm)
        if self.not_after <= self.not_before:
            raise malformed(f"{type(self).__name__} ends before it begins")


class DeviceCertificate(Record, frozen=True, kw_only=True, omit_defaults=True):
    """The record's members under the home server's signature (`device-cert:v1`, over the map less signature)."""

    issuer: Server
    serial: Count
    signature: Signature


class OlderRecord(Map, frozen=True, kw_only=True, omit_defaults=True):
    """A record of the last 37 days, replaced by rotation."""

    record: RecordMap
    user_signature: Signature
    certificate: CertificateMap


class Entry(Map, frozen=True, kw_only=True, omit_defaults=True):
    """All that a sender needs to judge a device and to write to it."""

    record: RecordMap
    user_key: PublicKey
    user_signature: Signature
    certificate: CertificateMap
    bundle: BundleMap | None = None
    one_time: OneTimeKeyMap | None = None
    user_rotation: UserRotationMap | None = None
    older: tuple[Annotated[SignedMap, Plain("OlderRecord")], ...] | None = None


class Bundle(Map, frozen=True, kw_only=True, omit_defaults=True):
    """A session prekey of a device, signed by it (`prekey:v1`)."""

    user_id: User
    device_id: DeviceUuid
    prekey_id: Uint32
    x25519: Bytes32
    mlkem768: KemKey | None = None
    not_before: Seconds
    not_after: Seconds
    signature: Signature


class OneTimeKey(Map, frozen=True, kw_only=True, omit_defaults=True):
    """A key that opens one session, signed by its device (`prekey:v1`)."""

    one_time_id: Uint32
    x25519: Bytes32
    signature: Signature


class UserRotation(Map, frozen=True, kw_only=True, omit_defaults=True):
    """A user key replaced by another, signed by whoever may (`user-rotate:v1`)."""

    user_id: User
    old_user_key: PublicKey
    new_user_key: PublicKey
    timestamp: Seconds
    by: Literal["old", "recovery", "operator"]
    signature: Signature


class ServerRotation(Map, frozen=True, kw_only=True, omit_defaults=True):
    """A server's identity key replaced, signed by the old and the new key (`server-rotate:v1`, less signatures)."""

    server_id: Server
    old_public_key: PublicKey
    new_public_key: PublicKey
    timestamp: Seconds
    signatures: Annotated[tuple[Signature, ...], Bound(2, 2)]


class OtherKey(Map, frozen=True, kw_only=True, omit_defaults=True):
    """A server's identity key of another algorithm than the one named beside it."""

    public_key: PublicKey
    key_algorithm: KeyAlgorithm

    def _rule(self) -> None:
        """`public_key` has the length of its `key_algorithm`."""
        check_key("OtherKey", self.public_key, self.key_algorithm)


class Escrow(Map, frozen=True, kw_only=True, omit_defaults=True):
    """The user key's private half under a passphrase; also how it moves to another device."""

    v: Annotated[int, Range(1, 1)]
    user_id: User
    user_key: PublicKey
    salt: Bytes16
    nonce: Bytes12
    ciphertext: bytes


class Platform(Map, frozen=True, kw_only=True, omit_defaults=True):
    """What a device runs on."""

    os: Annotated[str, Bound(0, 64)]
    version: Annotated[str, Bound(0, 64)]
    app_version: Annotated[str, Bound(0, 64)]


class DeviceInfo(Map, frozen=True, kw_only=True, omit_defaults=True):
    """What a device calls itself; shown to its own user."""

    name: Annotated[str, Bound(0, 64)]
    type: Literal["smartphone", "tablet", "desktop", "server", "iot", "unknown"]
    capabilities: Atoms
    platform: Platform


class DeviceRegister(Message, frozen=True, kw_only=True, omit_defaults=True, tag="device_register"):
    """Asks for enrolment or key rotation: the record's members and what entitles the device (section 5)."""

    device_id: DeviceUuid
    user_id: User
    public_key: PublicKey
    key_algorithm: KeyAlgorithm
    e2e_suites: SUITE_ATOMS
    e2e_version: Version
    not_before: Seconds
    not_after: Seconds
    user_key: PublicKey | None = None
    user_device_signature: Signature | None = None
    enrollment_token: Bytes32 | None = None
    replaces: PublicKey | None = None
    rotation_signatures: Annotated[tuple[Signature, ...], Bound(2, 2)] | None = None
    user_rotation: UserRotationMap | None = None
    device_info: DeviceInfo

    def _rule(self) -> None:
        """As in Record; `user_key` goes with `user_device_signature`, `replaces` with `rotation_signatures`."""
        check_key("DeviceRegister", self.public_key, self.key_algorithm)
        if self.not_after <= self.not_before:
            raise malformed("DeviceRegister ends before it begins")
        if (self.user_key is None) != (self.user_device_signature is None):
            raise malformed("DeviceRegister has user_key and user_device_signature, or neither")
        if (self.replaces is None) != (self.rotation_signatures is None):
            raise malformed("DeviceRegister has replaces and rotation_signatures, or neither")

    def record(self) -> Record:
        """The record that is asked for."""
        return Record(
            user_id=self.user_id,
            device_id=self.device_id,
            public_key=self.public_key,
            key_algorithm=self.key_algorithm,
            e2e_suites=self.e2e_suites,
            e2e_version=self.e2e_version,
            not_before=self.not_before,
            not_after=self.not_after,
        )


class RegistrationChallenge(Message, frozen=True, kw_only=True, omit_defaults=True, tag="registration_challenge"):
    """Random, single-use, 60 s; `difficulty` bits of work where registration is open (0 = none)."""

    challenge: Bytes32
    difficulty: Annotated[int, Range(0, 28)]
    expires_at: Seconds


class RegistrationResponse(Message, frozen=True, kw_only=True, omit_defaults=True, tag="registration_response"):
    """Signed by the new device key (`register:v1`)."""

    challenge: Bytes32
    signature: Signature
    proof_solution: Annotated[int, Range(0, MAX_INTEGER)] | None = None


class RegistrationSuccess(Message, frozen=True, kw_only=True, omit_defaults=True, tag="registration_success"):
    """The device is enrolled; the keys are what it pins."""

    device_id: DeviceUuid
    server_public_key: PublicKey
    other_keys: tuple[OtherKey, ...] | None = None
    device_certificate: CertificateMap


class DeviceRevoke(Message, frozen=True, kw_only=True, omit_defaults=True, tag="device_revoke"):
    """Ends a device (`device-revoke:v1`, over the map less signature), in the signer's own chain."""

    user_id: User
    device_id: DeviceUuid
    reason: Literal["lost", "compromised", "retired", "policy"]
    effective: Seconds
    revocation_id: Uuid
    signed_by: Literal["user", "device", "server"]
    prev_revocation_hash: Bytes32 | None = None
    signature: Signature
