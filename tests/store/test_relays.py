"""check_store, between servers: outbox, relay cache, receipts across (section 8; rows B100, B104, B125)."""

import pytest

from norc_actors import limits
from norc_actors.store.database import Database
from norc_actors.store.errors import ConflictError
from norc_actors.store.messages import (
    Accepted,
    Acknowledged,
    Confirmed,
    Duplicate,
    Enqueued,
    MessageStore,
    QuotaFull,
    RelayKnown,
    Sent,
    Settled,
    Supplemented,
    Taken,
    Unknown,
    Waiting,
)
from norc_actors.store.operations import HIGH, LOW, NORMAL, URGENT
from tests.store.relaying import (
    ALICE,
    BOB,
    EAST,
    ERNA,
    ERNA_2,
    NOW,
    OWN,
    RELAY,
    TALK,
    WEST,
    accept,
    ack,
    enqueue,
    forward,
    message_id,
    relay,
    relaying,
    remote_receipt,
    settle,
    supplement,
)


@pytest.fixture
def store(database: Database) -> MessageStore:
    return MessageStore(database, OWN)


def waiting(store: MessageStore, target: str = EAST, priority: int = NORMAL) -> list[str | None]:
    return [row.federation_id for row in store.outbox.page(target, priority)]


def counts(database: Database, *tables: str) -> list[int]:
    with database.reading() as connection:
        return [connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one() for table in tables]


# --- out ---


def test_a_message_waits_for_each_server_with_its_local_deliveries(store: MessageStore) -> None:
    [accepted] = store.commit([accept(1, relaying("f1"), relaying("f2", WEST, priority=HIGH), devices=(BOB,))])
    assert isinstance(accepted, Accepted)
    assert len(store.pending(BOB)) == 1
    [row] = store.outbox.page(EAST, NORMAL)
    assert (row.kind, row.code, row.federation_id, row.body) == ("relay", RELAY, "f1", b"relay f1")
    assert (row.message_id, row.device_id, row.origin) == (message_id(1), ALICE, None)
    assert (row.target, row.priority, row.created_at, row.expires_at) == (EAST, NORMAL, NOW, NOW + 1000)
    assert waiting(store, WEST, HIGH) == ["f2"]


def test_a_message_that_is_known_is_relayed_once(store: MessageStore) -> None:
    [first] = store.commit([accept(1, relaying("f1"))])
    assert store.commit([accept(1, relaying("f2"))]) == [Duplicate(seq=first.seq)]
    assert waiting(store) == ["f1"]
    assert store.statistics()["messages"] == 1


def test_a_supplement_is_another_relay_and_one_of_nothing_is_none(store: MessageStore) -> None:
    unknown, accepted = store.commit([supplement(2, relaying("f0")), accept(1, relaying("f1"))])
    assert unknown == Unknown()
    assert store.commit([supplement(1, relaying("f2"), devices=(BOB,))]) == [Supplemented(seq=accepted.seq)]
    assert waiting(store) == ["f1", "f2"]
    assert [pending.wrap for pending in store.pending(BOB)] == [b"more"]


def test_a_federation_id_of_our_own_is_never_used_twice(store: MessageStore) -> None:
    store.commit([accept(1, relaying("f1"))])
    with pytest.raises(ConflictError):
        store.commit([accept(2), accept(3, relaying("f1"))])
    assert waiting(store) == ["f1"]
    assert store.statistics()["messages"] == 1


def test_pages_follow_each_other_by_priority(store: MessageStore) -> None:
    store.commit([accept(n, relaying(f"f{n}", priority=n % 2)) for n in range(6)])
    first = store.outbox.page(EAST, URGENT, rows=2)
    rest = store.outbox.page(EAST, URGENT, first[-1].id)
    assert [row.federation_id for row in first + rest] == ["f0", "f2", "f4"]
    assert waiting(store, priority=HIGH) == ["f1", "f3", "f5"]
    assert (waiting(store, priority=LOW), waiting(store, WEST, URGENT)) == ([], [])


def test_a_page_is_bounded_in_bytes_but_never_empty(store: MessageStore) -> None:
    store.commit([enqueue(bytes(size)) for size in (400, 600, 100, 5000, 10)])
    sizes, after = [], 0
    while page := store.outbox.page(EAST, NORMAL, after, size=1000):
        sizes.append([len(row.body) for row in page])
        after = page[-1].id
    assert sizes == [[400, 600], [100], [5000], [10]]


def test_what_waits_is_counted_by_target_and_priority(store: MessageStore) -> None:
    store.commit([enqueue(created_at=NOW + 5), enqueue(created_at=NOW + 3), enqueue(target=WEST, priority=LOW)])
    assert store.outbox.waiting() == [
        Waiting(target=EAST, priority=NORMAL, count=2, oldest=NOW + 3),
        Waiting(target=WEST, priority=LOW, count=1, oldest=NOW),
    ]


def test_a_key_waits_once(store: MessageStore) -> None:
    first, second, elsewhere, free = store.commit(
        [enqueue(b"1", key="k"), enqueue(b"2", key="k"), enqueue(b"3", key="k", target=WEST), enqueue(b"4")]
    )
    assert (first.id < elsewhere.id < free.id, second) == (True, Enqueued(id=None))
    assert [row.body for row in store.outbox.page(EAST, NORMAL)] == [b"1", b"4"]
    store.commit([Sent(target=EAST, ids=[first.id])])
    [again] = store.commit([enqueue(b"5", key="k")])
    assert again.id > free.id


def test_sent_takes_what_is_addressed_to_the_target_and_no_relay(store: MessageStore) -> None:
    _, one, other = store.commit([accept(1, relaying("f1")), enqueue(), enqueue(target=WEST)])
    [relayed] = [row.id for row in store.outbox.page(EAST, NORMAL) if row.kind == "relay"]
    assert store.commit([Sent(target=EAST, ids=[relayed, one.id, other.id])]) == [Confirmed(count=1)]
    assert (waiting(store), len(waiting(store, WEST))) == (["f1"], 1)


def test_numbers_of_the_outbox_rise_also_when_it_is_empty(store: MessageStore) -> None:
    [first] = store.commit([enqueue()])
    store.commit([Sent(target=EAST, ids=[first.id])])
    [second] = store.commit([enqueue()])
    assert second.id > first.id


# --- settled ---


def test_a_settled_relay_goes_and_its_sender_learns_why(store: MessageStore) -> None:
    store.commit([accept(1, relaying("f1"), relaying("f2", WEST))])
    [settled] = store.commit([settle("f1", b"failed", b"stale")])
    assert settled == Settled(sender_device=ALICE, receipt_ids=tuple(r.id for r in store.receipts(ALICE)))
    assert [r.receipt for r in store.receipts(ALICE)] == [b"failed", b"stale"]
    assert (waiting(store), waiting(store, WEST)) == ([], ["f2"])
    assert store.commit([settle("f1", b"late", ack=b"late")]) == [Unknown()]
    assert (len(store.receipts(ALICE)), waiting(store)) == (2, [])


def test_each_relay_of_a_message_has_its_own_notices(store: MessageStore) -> None:
    store.commit([accept(1, relaying("f1"), relaying("f2", WEST)), supplement(1, relaying("f3"))])
    store.commit([settle("f1", b"one"), settle("f2", b"two", target=WEST), settle("f3", b"three")])
    assert [r.receipt for r in store.receipts(ALICE)] == [b"one", b"two", b"three"]


def test_a_relay_that_was_delivered_needs_no_notice(store: MessageStore) -> None:
    store.commit([accept(1, relaying("f1"))])
    assert store.commit([settle("f1")]) == [Settled(sender_device=ALICE, receipt_ids=())]
    assert store.receipts(ALICE) == []


def test_what_expired_is_read_until_it_is_settled(store: MessageStore) -> None:
    store.commit([accept(1, relaying("f1", expires_at=NOW)), accept(2, relaying("f2")), forward("f3")])
    assert [row.federation_id for row in store.outbox.expired(NOW)] == ["f1"]
    assert store.purge(NOW + 1000).unsent == 0
    assert [row.federation_id for row in store.outbox.expired(NOW + 1000)] == ["f1", "f2", "f3"]
    assert [row.federation_id for row in store.outbox.expired(NOW + 1000, rows=2)] == ["f1", "f2"]
    store.commit([settle("f1"), settle("f2"), settle("f3", target=WEST)])
    assert store.outbox.expired(NOW + 1000) == []


# --- in ---


def test_a_relay_is_delivered_and_recorded_in_one(store: MessageStore) -> None:
    [accepted] = store.commit([relay("f1", 1, BOB)])
    assert [(p.seq, p.payload) for p in store.pending(BOB)] == [(accepted.seq, b"payload from the east")]
    assert store.outbox.recorded([(EAST, "f1"), (EAST, "f2"), (WEST, "f1")]) == {(EAST, "f1"): b"ack of f1"}


@pytest.mark.parametrize("same_batch", [True, False])
def test_a_repeated_relay_is_answered_and_not_delivered_again(store: MessageStore, same_batch: bool) -> None:
    if same_batch:
        _, again = store.commit([relay("f1", 1, BOB), relay("f1", 1, BOB)])
    else:
        store.commit([relay("f1", 1, BOB)])
        store.commit([ack(1, BOB)])
        [again] = store.commit([relay("f1", 1, BOB)])
        assert store.pending(BOB) == []
    assert again == RelayKnown(ack=b"ack of f1")
    assert store.statistics()["messages"] == 1


def test_two_origins_may_draw_one_federation_id(store: MessageStore) -> None:
    outcomes = store.commit([relay("f1", 1, BOB), relay("f1", 2, BOB, origin=WEST, remote=WEST)])
    assert [type(outcome) for outcome in outcomes] == [Accepted, Accepted]


def test_a_known_message_under_another_federation_id_is_recorded_and_not_delivered(store: MessageStore) -> None:
    """Its origin lost its state: the device that has it must not get it again, the origin must get an answer."""
    [first] = store.commit([relay("f1", 1, BOB)])
    store.commit([ack(1, BOB)])
    assert store.commit([relay("f2", 1, BOB, ALICE)]) == [Duplicate(seq=first.seq)]
    assert (store.pending(BOB), store.pending(ALICE)) == ([], [])
    assert store.commit([relay("f2", 1, BOB)]) == [RelayKnown(ack=b"ack of f2")]


def test_a_relayed_supplement_replaces_what_waits_and_adds_what_is_missing(store: MessageStore) -> None:
    [first] = store.commit([relay("f1", 1, BOB)])
    late = relay("f2", 1, BOB, ALICE, wrap=b"more", supplement=True)
    assert store.commit([late, late]) == [Supplemented(seq=first.seq), RelayKnown(ack=b"ack of f2")]
    assert [p.wrap for device in (BOB, ALICE) for p in store.pending(device)] == [b"more", b"more"]


def test_a_supplement_that_came_before_its_message_may_come_again(store: MessageStore) -> None:
    late = relay("f2", 1, BOB, wrap=b"more", supplement=True)
    assert store.commit([late]) == [Unknown()]
    assert store.outbox.recorded([(EAST, "f2")]) == {}
    accepted, supplemented = store.commit([relay("f1", 1, ALICE), late])
    assert supplemented == Supplemented(seq=accepted.seq)


def test_a_remote_has_a_quota_and_nothing_is_evicted(store: MessageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RELAY_QUOTA", 3)
    relays = [relay("f1", 1, BOB), relay("f2", 2), forward("f3"), relay("f4", 4, BOB), forward("f5")]
    outcomes = store.commit(relays)
    assert [type(outcome) for outcome in outcomes] == [Accepted, Accepted, QuotaFull, Accepted, QuotaFull]
    assert store.commit([relay("f1", 1, BOB), relay("f6", 6, BOB)]) == [RelayKnown(ack=b"ack of f1"), QuotaFull()]
    assert [p.message_id for p in store.pending(BOB)] == [message_id(1), message_id(4)]
    assert isinstance(store.commit([relay("f1", 7, origin=WEST, remote=WEST)])[0], Accepted)
    store.purge(NOW + limits.RELAY_CACHE_SECONDS + 3600)
    assert isinstance(store.commit([relay("f6", 6, BOB)])[0], Accepted)


def test_the_relay_cache_forgets_by_the_hour(store: MessageStore, database: Database) -> None:
    hour = NOW // 3600 * 3600
    store.commit([relay("f1", 1, accepted_at=hour), relay("f2", 2, accepted_at=hour + 3599)])
    store.commit([relay("f3", 3, accepted_at=hour + 3600)])
    assert store.purge(hour + 3599 + limits.RELAY_CACHE_SECONDS).relays == 0
    assert store.purge(hour + 3600 + limits.RELAY_CACHE_SECONDS).relays == 2
    assert set(store.outbox.recorded([(EAST, f"f{n}") for n in range(4)])) == {(EAST, "f3")}
    with database.reading() as connection:
        assert connection.exec_driver_sql("SELECT remote, held FROM relay_quotas").all() == [(EAST, 1)]


def test_the_cache_is_forgotten_in_steps(store: MessageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.commit([relay(f"f{n}", n) for n in range(5)] + [enqueue() for _ in range(3)])
    monkeypatch.setattr(limits, "PURGE_ROWS", 2)
    steps = [store.purge(NOW + 2 * limits.RELAY_CACHE_SECONDS) for _ in range(3)]
    assert [(step.relays, step.unsent, step.more) for step in steps] == [(2, 2, True), (2, 1, True), (1, 0, False)]


# --- transit ---


def test_a_relay_in_transit_waits_for_the_next_server(store: MessageStore) -> None:
    [enqueued] = store.commit([forward("f1")])
    [row] = store.outbox.page(WEST, NORMAL)
    assert (row.id, row.kind, row.origin, row.federation_id) == (enqueued.id, "transit", EAST, "f1")
    assert store.commit([forward("f1")]) == [RelayKnown(ack=None)]
    assert store.outbox.recorded([(EAST, "f1")]) == {(EAST, "f1"): None}


def test_the_answer_to_a_transit_is_recorded_and_goes_back_in_one(store: MessageStore) -> None:
    store.commit([forward("f1")])
    back = settle("f1", target=WEST, ack=b"answer")
    assert store.commit([back]) == [Settled(sender_device=None, receipt_ids=(), relayed_to=EAST)]
    assert [row.body for row in store.outbox.page(EAST, NORMAL)] == [b"answer"]
    assert store.commit([forward("f1"), back]) == [RelayKnown(ack=b"answer"), Unknown()]


def test_a_name_that_waits_for_a_target_is_taken(store: MessageStore) -> None:
    """Answers name a relay by its federation_id alone: two that wait for one server must not share it."""
    store.commit([forward("f1"), accept(1, relaying("f2", WEST))])
    other = "north.example"
    assert store.commit([forward("f1", origin=other), forward("f2", origin=other)]) == [Taken(), Taken()]
    assert store.outbox.recorded([(other, "f1"), (other, "f2")]) == {}
    assert isinstance(store.commit([forward("f1", origin=other, target=EAST)])[0], Enqueued)


# --- receipts ---


def test_a_receipt_for_a_sender_elsewhere_goes_to_the_outbox_once(store: MessageStore) -> None:
    store.commit([relay("f1", 1, BOB), relay("f2", 1, BOB, supplement=True)])
    one, again, read = store.commit([ack(1, BOB, receipt=b"r1"), ack(1, BOB), ack(1, BOB, "read", b"r2")])
    assert (one.relayed_to, one.receipt_id, again, read.relayed_to) == (EAST, None, Unknown(), EAST)
    store.commit([ack(1, BOB, "read", b"r3")])
    rows = store.outbox.page(EAST, NORMAL)
    assert [(row.kind, row.federation_id, row.device_id, row.body) for row in rows] == [
        ("receipt", "f1", BOB, b"r1"),
        ("receipt", "f1", BOB, b"r2"),
    ]
    assert store.receipts(ERNA) == []
    assert store.commit([Sent(target=EAST, ids=[row.id for row in rows])]) == [Confirmed(count=2)]


def test_a_receipt_knows_its_relay_after_the_cache_forgot_it(store: MessageStore) -> None:
    store.commit([relay("f1", 1, BOB)])
    store.purge(NOW + limits.RETENTION_SECONDS)
    assert store.outbox.recorded([(EAST, "f1")]) == {}
    [acknowledged] = store.commit([ack(1, BOB)])
    assert (acknowledged.relayed_to, waiting(store)) == (EAST, ["f1"])


def test_the_relay_of_a_message_is_forgotten_with_it(store: MessageStore, database: Database) -> None:
    store.commit([relay("f1", 1, BOB), relay("f2", 2, accepted_at=NOW + limits.RETENTION_SECONDS)])
    store.purge(NOW + limits.RETENTION_SECONDS + 1)
    assert counts(database, "messages", "relay_sources") == [1, 1]
    store.purge(NOW + 2 * limits.RETENTION_SECONDS + 1)
    assert counts(database, "messages", "relay_sources", "relayed") == [0, 0, 0]


def test_receipts_that_nobody_fetched_expire(store: MessageStore) -> None:
    store.commit([relay("f1", 1, BOB), enqueue()])
    store.commit([ack(1, BOB)])
    assert store.purge(NOW + 1000).unsent == 1
    assert store.purge(NOW + limits.RETENTION_SECONDS).unsent == 1
    assert store.outbox.waiting() == []


def test_an_acknowledgement_without_a_receipt_tells_no_server(store: MessageStore) -> None:
    store.commit([relay("f1", 1, BOB)])
    [acknowledged] = store.commit([ack(1, BOB, receipt=None)])
    assert (acknowledged.relayed_to, store.outbox.waiting(), store.pending(BOB)) == (None, [], [])


def test_a_receipt_from_another_server_waits_for_the_sender_once(store: MessageStore) -> None:
    [accepted] = store.commit([accept(1, relaying("f1"))])
    one, again = store.commit([remote_receipt(1), remote_receipt(1)])
    [receipt] = store.receipts(ALICE)
    assert one == Acknowledged(seq=accepted.seq, sender_user=f"alice@{OWN}", sender_device=ALICE, receipt_id=receipt.id)
    assert (again.receipt_id, receipt.receipt) == (None, b"from afar")
    store.commit([remote_receipt(1, status="read"), remote_receipt(1, ERNA_2)])
    assert len(store.receipts(ALICE)) == 3


def test_no_server_takes_the_place_of_anothers_receipt(store: MessageStore) -> None:
    store.commit([accept(1, relaying("f1"), devices=(BOB,))])
    store.commit([remote_receipt(1, BOB, from_server=WEST), remote_receipt(1, BOB)])
    [local] = store.commit([ack(1, BOB)])
    assert local.receipt_id is not None
    assert len(store.receipts(ALICE)) == 3


@pytest.mark.parametrize("conversation", [TALK, None])
def test_a_receipt_for_nothing_of_ours_is_unknown(store: MessageStore, conversation: str | None) -> None:
    store.commit([relay("f1", 1, BOB), accept(3)])
    known, foreign, absent = store.commit(
        [remote_receipt(n, status="failed", conversation_id=conversation) for n in (3, 1, 2)]
    )
    assert isinstance(known, Acknowledged)
    assert (foreign, absent) == (Unknown(), Unknown())
    assert store.commit([remote_receipt(3, conversation_id="another")]) == [Unknown()]
    assert store.receipts(ERNA) == []


# --- within this server ---


def test_a_message_within_this_server_touches_no_table_of_federation(store: MessageStore, database: Database) -> None:
    seen: list[str] = []
    with database.reading() as connection:
        driver = connection.connection.dbapi_connection
    driver.set_trace_callback(seen.append)
    store.commit([accept(1, devices=(BOB,)), accept(2)])
    store.commit([ack(1, BOB), supplement(1, devices=(BOB,)), ack(1, BOB, "read")])
    driver.set_trace_callback(None)
    assert len(seen) > 10
    assert [sql for sql in seen if any(name in sql for name in ("outbox", "relay"))] == []
