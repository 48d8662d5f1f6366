"""check_store, messages: what any engine must do (section 7; rows B79, B82)."""

import itertools
import uuid
from collections import defaultdict

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from norc_actors import limits
from norc_actors.store.database import Database
from norc_actors.store.messages import (
    Accept,
    Accepted,
    Acknowledge,
    Acknowledged,
    Confirm,
    Confirmed,
    Duplicate,
    MessageStore,
    Supplement,
    Supplemented,
    Unknown,
)

ALICE, ALICE_2, BOB, BOB_2 = (str(uuid.UUID(int=n)) for n in range(1, 5))
TALK, OTHER_TALK = (str(uuid.UUID(int=n)) for n in range(100, 102))
NOW = 1_800_000_000


def message_id(number: int) -> str:
    return str(uuid.UUID(int=1000 + number))


def accept(
    number: int, *devices: str, sender: str = ALICE, at: int = NOW, expires: int | None = None, **more: str
) -> Accept:
    return Accept(
        sender_user="alice@example.org",
        sender_device=sender,
        message_id=message_id(number),
        conversation_id=more.get("conversation", TALK),
        accepted_at=at,
        expires_at=expires,
        payload=b"payload %d" % number,
        deliveries=[(device, f"{number} for {device}".encode()) for device in devices],
    )


def ack(
    number: int, device: str, status: str = "delivered", conversation: str | None = TALK, receipt: bytes | None = b"r"
):
    return Acknowledge(
        device_id=device,
        message_id=message_id(number),
        conversation_id=conversation,
        status=status,
        receipt=receipt,
        now=NOW,
    )


@pytest.fixture
def store(database: Database) -> MessageStore:
    return MessageStore(database, "example.org")


def test_an_accepted_message_waits_for_each_recipient_in_order(store: MessageStore) -> None:
    outcomes = store.commit([accept(1, BOB, BOB_2), accept(2, BOB)])
    assert [type(outcome) for outcome in outcomes] == [Accepted, Accepted]
    waiting = store.pending(BOB)
    assert [(p.message_id, p.payload, p.wrap) for p in waiting] == [
        (message_id(1), b"payload 1", f"1 for {BOB}".encode()),
        (message_id(2), b"payload 2", f"2 for {BOB}".encode()),
    ]
    assert [p.seq for p in waiting] == [outcome.seq for outcome in outcomes]
    assert [p.message_id for p in store.pending(BOB_2)] == [message_id(1)]
    assert store.pending(ALICE) == []


def test_pending_pages_by_number(store: MessageStore) -> None:
    store.commit([accept(n, BOB) for n in range(5)])
    first = store.pending(BOB, limit=2)
    rest = store.pending(BOB, after_seq=first[-1].seq)
    assert [p.message_id for p in [*first, *rest]] == [message_id(n) for n in range(5)]


def test_a_retry_is_a_duplicate_and_delivers_nothing_twice(store: MessageStore) -> None:
    [first] = store.commit([accept(1, BOB)])
    assert store.commit([accept(1, BOB, BOB_2), accept(2, BOB)])[0] == Duplicate(seq=first.seq)
    assert len(store.pending(BOB)) == 2
    assert store.pending(BOB_2) == []


def test_a_retry_after_delivery_is_still_a_duplicate(store: MessageStore) -> None:
    [first] = store.commit([accept(1, BOB)])
    store.commit([ack(1, BOB)])
    assert store.commit([accept(1, BOB)]) == [Duplicate(seq=first.seq)]
    assert store.pending(BOB) == []


def test_a_duplicate_within_one_batch(store: MessageStore) -> None:
    one, two, three = store.commit([accept(1, BOB), accept(1, BOB), accept(3, BOB)])
    assert isinstance(one, Accepted)
    assert two == Duplicate(seq=one.seq)
    assert isinstance(three, Accepted)
    assert len(store.pending(BOB)) == 2


def test_two_devices_may_draw_one_message_id(store: MessageStore) -> None:
    one, two = store.commit([accept(1, BOB), accept(1, BOB, sender=ALICE_2)])
    assert isinstance(one, Accepted)
    assert isinstance(two, Accepted)
    first, second = store.commit([ack(1, BOB), ack(1, BOB)])
    assert {first.sender_device, second.sender_device} == {ALICE, ALICE_2}
    assert store.pending(BOB) == []


def test_read_means_the_message_that_waits_else_the_first_of_its_id(store: MessageStore) -> None:
    """Whoever sends under an id that it saw gets no receipt in place of the first sender."""
    store.commit([accept(1, BOB, sender=ALICE_2)])
    store.commit([ack(1, BOB)])
    store.commit([accept(1, BOB, sender=ALICE)])
    waiting, again = store.commit([ack(1, BOB, "read"), ack(1, BOB, "read")])
    assert (waiting.sender_device, again.sender_device) == (ALICE, ALICE_2)


def test_an_acknowledgement_deletes_the_delivery_and_names_the_sender(store: MessageStore) -> None:
    [accepted] = store.commit([accept(1, BOB, BOB_2)])
    [outcome] = store.commit([ack(1, BOB, receipt=b"receipt")])
    assert isinstance(outcome, Acknowledged)
    assert (outcome.seq, outcome.sender_user, outcome.sender_device) == (accepted.seq, "alice@example.org", ALICE)
    assert store.pending(BOB) == []
    assert len(store.pending(BOB_2)) == 1
    assert [(r.id, r.receipt) for r in store.receipts(ALICE)] == [(outcome.receipt_id, b"receipt")]


def test_the_last_acknowledgement_frees_the_payload(store: MessageStore) -> None:
    store.commit([accept(1, BOB, BOB_2), accept(2, BOB)])
    store.commit([ack(1, BOB)])
    assert store.statistics()["payloads"] == 2
    store.commit([ack(1, BOB_2), ack(2, BOB)])
    assert store.statistics() == {"messages": 2, "payloads": 0, "deliveries": 0, "receipts": 3}


def test_a_message_for_nobody_keeps_only_its_dedupe_row(store: MessageStore) -> None:
    [first] = store.commit([accept(1)])
    assert store.statistics() == {"messages": 1, "payloads": 0, "deliveries": 0, "receipts": 0}
    assert store.commit([accept(1)]) == [Duplicate(seq=first.seq)]


@pytest.mark.parametrize("same_batch", [True, False])
def test_a_second_delivered_is_unknown(store: MessageStore, same_batch: bool) -> None:
    store.commit([accept(1, BOB)])
    if same_batch:
        outcomes = store.commit([ack(1, BOB), ack(1, BOB)])
    else:
        outcomes = store.commit([ack(1, BOB)]) + store.commit([ack(1, BOB)])
    assert isinstance(outcomes[0], Acknowledged)
    assert outcomes[1] == Unknown()
    assert len(store.receipts(ALICE)) == 1


def test_read_comes_after_the_delivery_is_gone(store: MessageStore) -> None:
    store.commit([accept(1, BOB)])
    delivered, read = store.commit([ack(1, BOB), ack(1, BOB, "read", receipt=b"read")])
    assert delivered.receipt_id < read.receipt_id
    assert read.sender_device == ALICE
    assert [r.receipt for r in store.receipts(ALICE)] == [b"r", b"read"]


def test_read_alone_takes_the_delivery_too(store: MessageStore) -> None:
    store.commit([accept(1, BOB)])
    store.commit([ack(1, BOB, "read")])
    assert store.pending(BOB) == []


def test_a_repeated_read_keeps_one_receipt(store: MessageStore) -> None:
    store.commit([accept(1, BOB)])
    store.commit([ack(1, BOB, "read")])
    again, new = store.commit([ack(1, BOB, "read"), ack(1, BOB_2, "read")])
    assert again.receipt_id is None
    assert new.receipt_id is not None
    assert len(store.receipts(ALICE)) == 2


@pytest.mark.parametrize("conversation", [OTHER_TALK, None])
def test_read_of_a_gone_delivery_needs_the_conversation(store: MessageStore, conversation: str | None) -> None:
    store.commit([accept(1, BOB)])
    store.commit([ack(1, BOB)])
    assert store.commit([ack(1, BOB, "read", conversation)]) == [Unknown()]


def test_failed_drops_the_delivery_with_or_without_a_receipt(store: MessageStore) -> None:
    store.commit([accept(1, BOB), accept(2, BOB)])
    told, untold = store.commit([ack(1, BOB, "failed", None, b"failed"), ack(2, BOB, "failed", None, None)])
    assert told.receipt_id is not None
    assert untold.receipt_id is None
    assert store.pending(BOB) == []
    assert [r.receipt for r in store.receipts(ALICE)] == [b"failed"]


def test_an_acknowledgement_of_something_else_changes_nothing(store: MessageStore) -> None:
    store.commit([accept(1, BOB)])
    assert store.commit([ack(7, BOB), ack(1, BOB_2), ack(1, BOB, conversation=OTHER_TALK)]) == [Unknown()] * 3
    assert len(store.pending(BOB)) == 1
    assert store.receipts(ALICE) == []


def test_confirm_deletes_receipts_up_to_a_number(store: MessageStore) -> None:
    store.commit([accept(n, BOB) for n in range(3)])
    ids = [outcome.receipt_id for outcome in store.commit([ack(n, BOB) for n in range(3)])]
    assert store.commit([Confirm(device_id=ALICE, receipt_id=ids[1])]) == [Confirmed(count=2)]
    assert [r.id for r in store.receipts(ALICE)] == ids[2:]
    assert store.commit([Confirm(device_id=BOB, receipt_id=ids[2])]) == [Confirmed(count=0)]


def test_receipt_numbers_are_never_used_again(store: MessageStore) -> None:
    store.commit([accept(1, BOB), accept(2, BOB)])
    [first] = store.commit([ack(1, BOB)])
    store.commit([Confirm(device_id=ALICE, receipt_id=first.receipt_id)])
    [second] = store.commit([ack(2, BOB)])
    assert second.receipt_id > first.receipt_id


def supplement(number: int, *devices: str) -> Supplement:
    return Supplement(
        sender_user="alice@example.org",
        sender_device=ALICE,
        message_id=message_id(number),
        expires_at=None,
        payload=b"payload %d" % number,
        deliveries=[(device, b"supplement") for device in devices],
    )


def test_a_supplement_replaces_and_adds_entries(store: MessageStore) -> None:
    [accepted] = store.commit([accept(1, BOB)])
    assert store.commit([supplement(1, BOB, BOB_2)]) == [Supplemented(seq=accepted.seq)]
    assert [(p.seq, p.wrap) for p in store.pending(BOB)] == [(accepted.seq, b"supplement")]
    assert [(p.seq, p.wrap) for p in store.pending(BOB_2)] == [(accepted.seq, b"supplement")]


def test_a_supplement_brings_the_payload_back(store: MessageStore) -> None:
    store.commit([accept(1, BOB)])
    store.commit([ack(1, BOB), supplement(1, BOB_2)])
    assert [p.payload for p in store.pending(BOB_2)] == [b"payload 1"]
    assert store.pending(BOB) == []


def test_a_supplement_of_nothing_is_unknown(store: MessageStore) -> None:
    assert store.commit([supplement(1, BOB)]) == [Unknown()]
    assert store.pending(BOB) == []


def test_dropping_a_device_leaves_the_others(store: MessageStore) -> None:
    store.commit([accept(1, BOB, BOB_2), accept(2, BOB), accept(3, ALICE, sender=BOB)])
    store.commit([ack(3, ALICE)])
    assert store.drop_device(BOB) == 2
    assert store.pending(BOB) == []
    assert store.receipts(BOB) == []
    assert [p.message_id for p in store.pending(BOB_2)] == [message_id(1)]
    assert store.statistics()["payloads"] == 1


def test_purge_removes_what_expired(store: MessageStore) -> None:
    store.commit([accept(1, BOB, BOB_2, expires=NOW + 10), accept(2, BOB, expires=NOW + 20), accept(3, BOB)])
    purged = store.purge(NOW + 10)
    assert (purged.expired, purged.deliveries, purged.more) == (1, 2, False)
    assert [p.message_id for p in store.pending(BOB)] == [message_id(2), message_id(3)]
    assert isinstance(store.commit([accept(1, BOB)])[0], Duplicate)


def test_purge_forgets_after_thirty_days(store: MessageStore) -> None:
    later = NOW + limits.RETENTION_SECONDS
    store.commit([accept(1, BOB), accept(2, BOB), accept(3, BOB, at=later)])
    store.commit([ack(2, BOB)])
    assert store.purge(later).expired == 0
    purged = store.purge(later + 1)
    assert (purged.expired, purged.deliveries, purged.forgotten, purged.receipts) == (1, 1, 2, 1)
    assert [p.message_id for p in store.pending(BOB)] == [message_id(3)]
    store.purge(later + limits.RETENTION_SECONDS + 1)
    assert store.statistics() == {"messages": 0, "payloads": 0, "deliveries": 0, "receipts": 0}


def test_purge_in_steps(store: MessageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.commit([accept(n, BOB) for n in range(5)])
    monkeypatch.setattr(limits, "PURGE_ROWS", 2)
    steps = 1
    while store.purge(NOW + limits.RETENTION_SECONDS + 1).more:
        steps += 1
    assert steps > 2
    assert store.statistics() == {"messages": 0, "payloads": 0, "deliveries": 0, "receipts": 0}


def test_numbers_rise_also_after_everything_was_forgotten(store: MessageStore) -> None:
    [first] = store.commit([accept(1, BOB)])
    store.purge(NOW + limits.RETENTION_SECONDS + 1)
    [second] = store.commit([accept(1, BOB)])
    assert second.seq > first.seq


def test_an_empty_batch(store: MessageStore) -> None:
    assert store.commit([]) == []


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["accept", "ack", "read", "confirm", "supplement"]),
        st.integers(0, 3),
        st.sampled_from([BOB, BOB_2]),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(OPERATIONS, st.randoms(use_true_random=False))
def test_batches_do_what_single_steps_do(opener, operations, random) -> None:
    """However the operations are cut into batches, what waits in the end is the same (accepts of a batch go first)."""
    counter = itertools.count()
    names = defaultdict(lambda: next(counter))
    run = uuid.uuid4().int % 2**100

    def build(kind: str, number: int, device: str):
        number = run + names[number]
        if kind == "accept":
            return accept(number, BOB, BOB_2)
        if kind == "supplement":
            return supplement(number, device)
        if kind == "confirm":
            return Confirm(device_id=ALICE, receipt_id=0)
        return ack(number, device, "read" if kind == "read" else "delivered")

    store = MessageStore(opener(), "example.org")
    built = sorted((build(*operation) for operation in operations), key=lambda o: not isinstance(o, Accept))

    def state() -> tuple[list[tuple[str, bytes]], ...]:
        waiting = tuple([(p.message_id, p.wrap) for p in store.pending(device)] for device in (BOB, BOB_2))
        return (*waiting, [r.receipt for r in store.receipts(ALICE)])

    def wipe() -> None:
        store.purge(NOW + limits.RETENTION_SECONDS + 1)

    wipe()
    single = [outcome for operation in built for outcome in store.commit([operation])]
    one_by_one = state()
    wipe()
    assert state() == ([], [], [])
    batched, rest = [], built
    while rest:
        cut = random.randint(1, len(rest))
        batched += store.commit(rest[:cut])
        rest = rest[cut:]
    assert state() == one_by_one
    assert [type(outcome) for outcome in batched] == [type(outcome) for outcome in single]
    counts = store.statistics()
    assert (counts["payloads"] == 0) == (counts["deliveries"] == 0)
    wipe()
