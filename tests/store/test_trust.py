"""check_store, trust: certificates, exchanges, revocations, pushes, lists, peers, all or nothing (rows B135–B150)."""

from collections.abc import Callable

import msgspec
import pytest

from norc_actors import limits
from norc_actors.store.database import Database
from norc_actors.store.errors import StoreError
from norc_actors.store.trust import (
    StoredCertificate,
    StoredExchange,
    StoredList,
    StoredPeer,
    StoredPush,
    StoredRecommendation,
    StoredRevocation,
    TrustChanges,
    TrustStore,
)

NOW = 1_800_000_000
A, B, C = "a.example", "b.example", "c.example"


def certificate(certificate_id: str = "c1", issuer: str = A, **more: object) -> StoredCertificate:
    values = {"subject": B, "not_after": NOW + 100, "certificate": b"signed"}
    return StoredCertificate(certificate_id=certificate_id, issuer=issuer, **(values | more))


def exchange(request_id: str = "r1", remote: str = B, **more: object) -> StoredExchange:
    values = {"role": "granting", "state": "requested", "updated_at": NOW, "exchange": b"x", "goal": None}
    return StoredExchange(request_id=request_id, remote=remote, **(values | more))


def revocation(digest: bytes = b"h1", **more: object) -> StoredRevocation:
    values = {"signer": A, "certificate_id": "c1", "received_at": NOW, "revocation": b"signed"}
    return StoredRevocation(hash=digest, **(values | more))


def push(digest: bytes = b"h1", remote: str = B, **more: object) -> StoredPush:
    return StoredPush(hash=digest, remote=remote, created_at=NOW, **more)


def peer(server: str = B, **more: object) -> StoredPeer:
    return StoredPeer(server=server, first_seen=NOW, **more)


def recommendation(subject: str = C, **more: object) -> StoredRecommendation:
    values = {"recommender": B, "expires": NOW + 50, "recommendation": b"r"}
    return StoredRecommendation(subject=subject, **(values | more))


EVERYTHING = TrustChanges(
    certificates=(certificate(), certificate("c2", B, subject=A)),
    exchanges=(exchange(), exchange(role="requesting", goal=b"goal", findings=b"f")),
    revocations=(revocation(),),
    pushes=(push(), push(remote=C)),
    lists=(StoredList(issuer=B, list=b"list"),),
    peers=(peer(shown_key=b"k", capabilities=b"c", government=b"g", version="2.0"), peer(C)),
    recommendations=(recommendation(),),
)


@pytest.fixture
def store(database: Database) -> TrustStore:
    return TrustStore(database)


def test_what_was_applied_comes_back_after_a_restart(opener: Callable[[], Database]) -> None:
    TrustStore(opener()).apply(EVERYTHING)
    records = TrustStore(opener()).records()
    for name in records.__struct_fields__:
        assert sorted(map(repr, getattr(records, name))) == sorted(map(repr, getattr(EVERYTHING, name)))
    store = TrustStore(opener())
    assert sorted(map(repr, store.unacknowledged())) == sorted(map(repr, EVERYTHING.pushes))
    assert store.list(B) == EVERYTHING.lists[0]
    assert store.list(A) is None


def test_nothing_is_no_change(store: TrustStore) -> None:
    store.apply(TrustChanges())
    assert store.statistics() == {"certificates": 0, "exchanges": 0, "revocations": 0}


def test_certificates_and_revocations_are_added_once_and_never_changed(store: TrustStore) -> None:
    store.apply(EVERYTHING)
    changed = TrustChanges(
        certificates=(certificate(certificate=b"other"), certificate("c3")),
        revocations=(revocation(revocation=b"other"), revocation(b"h2")),
    )
    store.apply(changed)
    records = store.records()
    assert [(one.issuer, one.certificate_id, one.certificate) for one in records.certificates] == [
        (A, "c1", b"signed"), (B, "c2", b"signed"), (A, "c3", b"signed"),
    ]  # fmt: skip
    assert [(one.hash, one.revocation) for one in records.revocations] == [(b"h1", b"signed"), (b"h2", b"signed")]


def test_the_same_certificate_id_of_another_issuer_is_another_certificate(store: TrustStore) -> None:
    store.apply(TrustChanges(certificates=(certificate("c1", A), certificate("c1", B))))
    assert len(store.records().certificates) == 2


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("exchanges", exchange(), exchange(state="challenged", exchange=b"y", findings=b"f")),
        ("lists", StoredList(issuer=B, list=b"1"), StoredList(issuer=B, list=b"2")),
        ("peers", peer(), peer(shown_key=b"k", monitored_until=NOW)),
        ("recommendations", recommendation(), recommendation(recommendation=b"s", expires=NOW + 99)),
    ],
)
def test_all_else_takes_the_place_of_what_was(store: TrustStore, name: str, old: object, new: object) -> None:
    for value in (old, new):
        store.apply(TrustChanges(**{name: (value,)}))
    assert getattr(store.records(), name) == (new,)


def test_a_push_is_changed_until_it_is_acknowledged(store: TrustStore) -> None:
    for value in (push(), push(alarmed_at=NOW + 300)):
        store.apply(TrustChanges(pushes=(value,)))
        assert store.unacknowledged() == (value,)
    store.apply(TrustChanges(pushes=(push(acknowledged_at=NOW),)))
    assert store.unacknowledged() == ()


def test_all_or_nothing(store: TrustStore) -> None:
    broken = msgspec.structs.replace(peer(), first_seen=None)  # type: ignore[arg-type]
    with pytest.raises(StoreError):
        store.apply(msgspec.structs.replace(EVERYTHING, peers=(broken,)))
    assert store.statistics() == {"certificates": 0, "exchanges": 0, "revocations": 0}


@pytest.mark.parametrize("state", ["done", "closed"])
def test_what_is_over_is_not_loaded_and_can_be_looked_at(store: TrustStore, state: str) -> None:
    store.apply(EVERYTHING)
    over = exchange(state=state, updated_at=NOW + 5)
    store.apply(TrustChanges(exchanges=(over,), pushes=(push(acknowledged_at=NOW + 1, status="accepted"),)))
    records = store.records()
    assert [one.role for one in records.exchanges] == ["requesting"]
    assert [one.remote for one in store.unacknowledged()] == [C]
    assert store.exchange(B, "granting", "r1") == over
    assert store.exchange(B, "granting", "r2") is None
    assert [one.state for one in store.exchanges(B)] == [state, "requested"]
    assert store.exchanges(C) == []
    assert [(one.remote, one.status) for one in store.pushes(b"h1")] == [(B, "accepted"), (C, None)]


def test_purge(store: TrustStore) -> None:
    store.apply(EVERYTHING)
    store.apply(TrustChanges(exchanges=(exchange(state="done"), exchange("r2", state="closed", updated_at=NOW + 10))))
    later = NOW + limits.TRUST_EXCHANGE_KEPT_SECONDS
    assert store.purge(NOW + 49) == 0
    assert store.purge(NOW + 50) == 1  # the recommendation
    assert store.purge(later) == 0
    assert store.purge(later + 1) == 1
    assert store.exchange(B, "granting", "r1") is None
    assert store.exchange(B, "requesting", "r1") is not None  # it goes on
    ended = NOW + 100 + limits.TRUST_CERTIFICATE_KEPT_SECONDS
    assert store.purge(ended) == 1  # the other exchange that is over
    assert store.purge(ended + 1) == 2
    assert store.statistics() == {"certificates": 0, "exchanges": 1, "revocations": 1}
