"""What the trust store holds and is asked to change: plain frozen values (rules in `trust`)."""

import msgspec

from norc_actors.ids import ServerId


class StoredCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """A trust certificate, encoded as it was signed. `not_after` in seconds since the epoch."""

    issuer: ServerId
    subject: ServerId
    certificate_id: str
    not_after: int
    certificate: bytes


class StoredExchange(msgspec.Struct, frozen=True, kw_only=True):
    """One side of an exchange. `goal` and `findings` are their owner's bytes."""

    remote: ServerId
    role: str
    request_id: str
    state: str
    updated_at: int
    exchange: bytes
    goal: bytes | None = None
    findings: bytes | None = None


class StoredRevocation(msgspec.Struct, frozen=True, kw_only=True):
    """A `trust_revoke`, encoded as it was signed, by its hash."""

    hash: bytes
    signer: ServerId
    certificate_id: str
    received_at: int
    revocation: bytes


class StoredPush(msgspec.Struct, frozen=True, kw_only=True):
    """That a revocation of this server has to be told to `remote`: since when, when the operator was warned, and what
    it answered."""

    hash: bytes
    remote: ServerId
    created_at: int
    alarmed_at: int | None = None
    acknowledged_at: int | None = None
    status: str | None = None


class StoredList(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an issuer's numbered list."""

    issuer: ServerId
    list: bytes


class StoredPeer(msgspec.Struct, frozen=True, kw_only=True):
    """What another server said and showed. `monitored_until`: up to when its deadlines were acted on."""

    server: ServerId
    first_seen: int
    version: str | None = None
    shown_key: bytes | None = None
    capabilities: bytes | None = None
    government: bytes | None = None
    monitored_until: int = 0


class StoredRecommendation(msgspec.Struct, frozen=True, kw_only=True):
    """What `recommender` said of `subject`; the newest alone."""

    recommender: ServerId
    subject: ServerId
    expires: int
    recommendation: bytes


class TrustChanges(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be on the disk, all of it or nothing. Certificates and revocations are added (those that are known
    already stay as they are), all else takes the place of what had the same key."""

    certificates: tuple[StoredCertificate, ...] = ()
    exchanges: tuple[StoredExchange, ...] = ()
    revocations: tuple[StoredRevocation, ...] = ()
    pushes: tuple[StoredPush, ...] = ()
    lists: tuple[StoredList, ...] = ()
    peers: tuple[StoredPeer, ...] = ()
    recommendations: tuple[StoredRecommendation, ...] = ()


class TrustRecords(msgspec.Struct, frozen=True, kw_only=True):
    """All that counts now: certificates and revocations in the order in which they were recorded, exchanges that go
    on."""

    certificates: tuple[StoredCertificate, ...]
    exchanges: tuple[StoredExchange, ...]
    revocations: tuple[StoredRevocation, ...]
    lists: tuple[StoredList, ...]
    peers: tuple[StoredPeer, ...]
    recommendations: tuple[StoredRecommendation, ...]
