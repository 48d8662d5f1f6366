"""Servers that trust one another, made of seeded keys: certificates, revocations and lists between them."""

from dataclasses import dataclass, field
from typing import Any

from norc_actors.crypto.signatures import SigningKey
from norc_actors.crypto.suites import Algorithm
from norc_actors.ids import Random, ServerId, new_uuid
from norc_actors.protocol.messages.trust import (
    OrganizationInfo,
    TrustCapabilities,
    TrustPolicies,
    VersionCompatibility,
)
from norc_actors.protocol.schema import SignedMap
from norc_actors.trust import certificates, crl, revocation
from norc_actors.trust.certificates import Certificate, Grant
from norc_actors.trust.drafts import draft_message
from norc_actors.trust.exchange import Profile
from norc_actors.trust.relations import Records
from norc_actors.trust.requesting import hybrid_fingerprint
from norc_actors.trust.revocation import Revocation, Wish
from tests.support.people import NOW, seeded


@dataclass
class Party:
    """A server with its identity key, and the head of its chain of revocations."""

    name: ServerId
    key: SigningKey
    random: Random
    head: bytes | None = None
    revoked: list[Revocation] = field(default_factory=list)

    def grant(self, other: "Party", level: str = "verified", *, now: int = NOW, **terms: Any) -> Certificate:
        """A certificate for `other`."""
        draft = certificates.draft(
            self.key.public_key,
            Grant(level=level, **terms),  # type: ignore[arg-type]
            issuer=self.name,
            subject=other.name,
            keys=(other.key.public_key,),
            certificate_id=new_uuid(self.random),
            now=now,
        )
        return Certificate.read(draft.by(self.key))

    def revoke(self, certificate: Certificate, *, now: int = NOW, came: int | None = None, **wish: Any) -> Revocation:
        """The revocation of a certificate, next in this server's chain, as it came to somebody at `came`."""
        wished = Wish(**({"reason": "voluntary"} | wish))
        draft = revocation.draft(
            self.key.public_key, certificate, wished, revocation_id=new_uuid(self.random), previous=self.head, now=now
        )
        draft = draft_message(self.key.public_key, draft.members | {"revoking_server": self.name})
        read = revocation.read(draft.by(self.key), [self.key.public_key], now if came is None else came)
        self.head = read.hash
        self.revoked.append(read)
        return read

    def list(self, number: int, *certificates: Certificate, now: int = NOW) -> SignedMap:
        """A list with the certificates that are at an end at `now`."""
        entries = crl.entries_of(certificates, self.revoked, now)
        return crl.draft(self.key.public_key, self.name, number, entries, now).by(self.key)


def party(name: str, algorithm: Algorithm = "ed25519", seed: object = 0) -> Party:
    """A server of that name, the same in every run; `seed` changes the ids that it draws, and not its key."""
    return Party(ServerId(name), SigningKey.generate(algorithm, seeded(("trust", name))), seeded(("ids", name, seed)))


def records(own: Party, other: Party, *, now: int = NOW, **more: Any) -> Records:
    """The records of `own` about `other`, its list fresh."""
    return Records(own=own.name, other=other.name, **({"fresh_until": now + 300} | more))


def policies(**changes: Any) -> TrustPolicies:
    """What a server's operator usually says of trust."""
    usual = {
        "auto_accept_basic": False,
        "require_manual_approval": True,
        "trust_inheritance": False,
        "max_trust_age": 31_536_000,
        "version_compatibility": VersionCompatibility(
            enforce_amc=True, allow_downgrade=False, require_latest_minor=False
        ),
    }
    return TrustPolicies(**(usual | changes))


def profile(server: Party, **changes: Any) -> Profile:
    """What a server says of itself in exchanges."""
    usual = {
        "server": server.name,
        "keys": (server.key.public_key,),
        "policies": policies(),
        "organization": OrganizationInfo(name=f"{server.name} Ltd", country="NL", contact_email=f"ops@{server.name}"),
        "chain": (b"leaf of " + server.name.encode(), b"root"),
        "pq_fingerprint": hybrid_fingerprint(("0101", "0001")),
    }
    return Profile(**(usual | changes))


def capabilities(server: Party, *, auto_accept_basic: bool = False, **more: Any) -> TrustCapabilities:
    """What a server says of itself, unsigned (the struct alone)."""
    return TrustCapabilities(
        protocol_version="1.1",
        supported_versions=("1.0", "1.1"),
        server_id=server.name,
        supported_methods=("direct_exchange",),
        supported_trust_levels=("basic",),
        certificate_authorities=(),
        key_algorithms=("ed25519",),
        compliance_certifications=(),
        trust_policies=policies(auto_accept_basic=auto_accept_basic),
        timestamp=NOW,
        signature=bytes(64),
        **more,
    )
