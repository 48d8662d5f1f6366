"""Order, window and pauses of the outbox, against a plain model; back-off; subscribers."""

import os

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from norc_actors.client import backoff
from norc_actors.client.errors import DisplacedError
from norc_actors.client.events import ConnectionDown, Event, Missed
from norc_actors.client.flight import Flight
from norc_actors.client.hub import Hub
from norc_actors.client.transmission import split
from norc_actors.limits import BACKOFF_MAX_SECONDS, EVENT_BUFFER, OUTBOX_WINDOW
from norc_actors.protocol.codec import decode_as, encode
from norc_actors.protocol.messages import MessageSend, Metadata, Wrap

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "draft", "finish", "take", "accept", "again", "pause", "lost"]), st.integers(0, 9)
    ),
    max_size=120,
)


@given(STEPS)
def test_messages_leave_in_order_within_the_window_and_none_twice(steps: list[tuple[str, int]]) -> None:
    flight = Flight()
    clock = 0.0
    waiting: list[int] = []
    ready: set[int] = set()
    flying: list[int] = []
    for number, (step, pick) in enumerate(steps, 1):
        match step:
            case "add" | "draft":
                flight.add(number, f"m{number}", ready=step == "add")
                waiting.append(number)
                ready |= {number} if step == "add" else set()
            case "finish" if waiting:
                chosen = waiting[pick % len(waiting)]
                flight.finished(chosen)
                ready.add(chosen)
            case "take":
                taken = flight.take(clock)
                if clock < flight.paused_until:
                    assert not taken
                assert taken == sorted(taken)
                assert not set(taken) & set(flying)
                assert set(taken) <= ready
                flying += taken
                assert len(flying) <= max(OUTBOX_WINDOW, len(flying) - len(taken))
            case "accept" if flying:
                chosen = flying[pick % len(flying)]
                assert flight.answered(f"m{chosen}") == chosen
                assert flight.answered(f"m{chosen}") is None
                flight.accepted()
                flight.remove(chosen)
                flying.remove(chosen)
                waiting.remove(chosen)
            case "again" if flying:
                chosen = flying.pop(pick % len(flying))
                flight.answered(f"m{chosen}")
                flight.again(chosen)
            case "pause":
                flight.pause(clock + pick)
            case "lost":
                flight.disconnected()
                flying = []
        clock += 1
        assert len(flight) == len(waiting)
        assert all(flight.in_flight(f"m{n}") == (n in flying) for n in waiting)
        assert flight.drafts() == [n for n in waiting if n not in ready]


def test_a_refusal_by_the_rate_limit_narrows_the_window_until_it_is_over() -> None:
    flight = Flight()
    for number in range(200):
        flight.add(number, f"m{number}", ready=True)
    first = flight.take(0.0)
    assert first == list(range(OUTBOX_WINDOW))
    flight.pause(5.0)
    for number in first:
        flight.again(number)
    assert flight.take(4.9) == []
    assert flight.wakes_at(4.0) == 5.0
    assert flight.take(5.0) == [0]
    flight.accepted()
    flight.remove(0)
    assert flight.take(6.0) == [1, 2]


def test_what_is_refused_goes_again_before_anything_new() -> None:
    flight = Flight()
    for number in range(5):
        flight.add(number, f"m{number}", ready=True)
    assert flight.take(0.0) == [0, 1, 2, 3, 4]
    flight.remove(0)
    flight.again(1)
    flight.add(5, "m5", ready=True)
    assert flight.take(0.0) == [], "the answers about 2, 3 and 4 come first"
    flight.again(2)
    flight.remove(3)
    assert flight.take(0.0) == []
    flight.again(4)
    assert flight.take(0.0) == [1, 2, 4, 5]


def test_what_is_fenced_waits_for_all_before_it() -> None:
    flight = Flight()
    for number in range(5):
        flight.add(number, f"m{number}", ready=True)
    assert flight.take(0.0) == [0, 1, 2, 3, 4]
    flight.hold_back([2, 3, 4])
    assert flight.flying == 2
    assert flight.take(0.0) == []
    flight.remove(0)
    assert flight.take(0.0) == []
    flight.again(1)
    assert flight.take(0.0) == [1], "refused: it goes first, and the fence holds"
    flight.remove(1)
    assert flight.take(0.0) == [2, 3, 4]


def test_a_supplement_is_answered_after_its_message() -> None:
    flight = Flight()
    flight.add(1, "m", ready=True)
    flight.add(2, "m", ready=True)
    assert flight.take(0.0) == [1, 2]
    assert (flight.answered("m"), flight.answered("m"), flight.answered("m")) == (1, 2, None)
    flight.remove(1)
    flight.remove(2)
    assert flight.answered("m") is None


@given(st.integers(0, 1000), st.floats(0, 60))
def test_back_off_rises_from_50_ms_to_half_a_minute_and_obeys_the_server(attempt: int, wanted: float) -> None:
    delay = backoff.delay(attempt, os.urandom, wanted)
    assert delay >= wanted
    assert 0.05 <= delay <= max(BACKOFF_MAX_SECONDS, wanted * 1.25)
    assert backoff.delay(0, os.urandom) <= 0.25


def message(devices: int, ciphertext: int) -> MessageSend:
    uuid = "00000000-0000-4000-8000-{:012d}"
    wrap = Wrap(session_id=uuid.format(0), index=0, wrapped=b"w" * 48)
    return MessageSend(
        message_id=uuid.format(1),  # type: ignore[arg-type]
        conversation_id=uuid.format(2),  # type: ignore[arg-type]
        epoch=1,
        recipients=(),
        suite="0101",
        chain_id=uuid.format(3),
        sequence_number=1,
        prev_message_hash=b"p" * 32,
        key_commitment=b"k" * 32,
        ciphertext=b"c" * ciphertext,
        encrypted_keys={uuid.format(n): wrap for n in range(devices)},  # type: ignore[misc]
        metadata=Metadata(timestamp=1, classification="unclassified"),
    )


@given(st.integers(1, 60), st.integers(16, 3000), st.integers(1000, 9000))
def test_a_long_message_goes_in_parts_that_fit(devices: int, ciphertext: int, limit: int) -> None:
    whole = message(devices, ciphertext)
    frame = encode(whole)
    parts = split(frame, limit)
    assert parts == split(frame, limit)
    if len(frame) <= limit:
        assert parts == [frame]
        return
    if len(parts) == 1:
        assert len(encode(message(1, ciphertext))) + 18 > limit  # with "supplement" and "more"
        return
    read = [decode_as(MessageSend, part).message for part in parts]
    assert all(len(part) <= limit for part in parts)
    assert [part.more for part in read] == [True] * (len(parts) - 1) + [False]
    assert [part.supplement for part in read] == [False] + [True] * (len(parts) - 1)
    joined = {device: wrap for part in read for device, wrap in part.encrypted_keys.items()}
    assert joined == whole.encrypted_keys
    assert {part.ciphertext for part in read} == {whole.ciphertext}


# --- Subscribers ---


def down(number: int) -> Event:
    return ConnectionDown(reason=str(number), retry_in=1.0)


async def test_each_subscriber_gets_everything_from_its_start() -> None:
    hub = Hub()
    hub.publish(down(0))
    first = hub.subscribe()
    hub.publish(down(1))
    second = hub.subscribe()
    hub.publish(down(2))
    second.close()
    hub.publish(down(3))
    hub.close()
    assert [event async for event in first] == [down(1), down(2), down(3)]
    assert [event async for event in second] == [down(2)]


async def test_a_slow_subscriber_loses_its_oldest_and_is_told(autojump_clock: trio.testing.MockClock) -> None:
    hub = Hub()
    slow = hub.subscribe()
    for number in range(EVENT_BUFFER + 5):
        hub.publish(down(number))
    assert await anext(slow) == Missed(count=5)
    assert await anext(slow) == down(5)


async def test_whoever_waits_is_told_what_ended_the_client(autojump_clock: trio.testing.MockClock) -> None:
    hub = Hub()
    events = hub.subscribe()

    async def end() -> None:
        await trio.sleep(1)
        hub.close(DisplacedError("gone"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(end)
        with pytest.raises(DisplacedError):
            await anext(events)
