"""The ledger finds what it must find: every way in which a delivery can go wrong, and nothing when none did."""

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from norc_actors.cli.demo.ledger import Ledger
from norc_actors.cli.demo.plan import AUDIENCE, Conversation, Device, Line, assign, digest_of

LINES = assign([f"text {n}" for n in range(60)], seed=5)


def message_id(line: Line) -> str:
    return f"id-{line.number}"


def deliveries(lines: list[Line]) -> list[tuple[Device, Line]]:
    """Every copy that there should be, in an order in which it may come."""
    return [(device, line) for line in lines for device in sorted(AUDIENCE[line.conversation] - {line.sender})]


def play(copies: list[tuple[Device, Line]], *, unsent: int | None = None) -> Ledger:
    ledger = Ledger(LINES)
    for line in LINES:
        if line.number != unsent:
            ledger.sent(line.number, message_id(line), at=float(line.number))
            ledger.status(message_id(line), "read")
    for device, line in copies:
        ledger.seen(device, message_id(line), line.digest, at=line.number + 0.5)
    return ledger


def test_a_perfect_run_is_good() -> None:
    ledger = play(deliveries(LINES))
    verdict = ledger.verdict()
    assert verdict.good
    assert ledger.complete
    assert (verdict.sent, verdict.acknowledged, verdict.delivered, verdict.read) == (60, 60, 60, 60)
    assert verdict.copies == verdict.expected_copies == len(deliveries(LINES))
    assert verdict.latency_p50 == verdict.latency_p99 == pytest.approx(0.5)


@given(seed=st.integers())
def test_devices_may_be_interleaved_in_any_way(seed: int) -> None:
    per_device = {device: [copy for copy in deliveries(LINES) if copy[0] is device] for device in Device}
    random, mixed = Random(seed), []
    while any(per_device.values()):
        mixed.append(per_device[random.choice([d for d, left in per_device.items() if left])].pop(0))
    assert play(mixed).verdict().good


@given(index=st.integers(0, len(deliveries(LINES)) - 1))
def test_one_missing_copy_is_lost(index: int) -> None:
    copies = deliveries(LINES)
    device, line = copies.pop(index)
    verdict = play(copies).verdict()
    assert verdict.lost == (f"{line.number} from {line.sender.value} is not at {device.value}",)
    assert not verdict.good


@given(index=st.integers(0, len(deliveries(LINES)) - 1))
def test_one_copy_twice_is_a_duplicate(index: int) -> None:
    copies = deliveries(LINES)
    device, line = copies[index]
    verdict = play([*copies[: index + 1], copies[index], *copies[index + 1 :]]).verdict()
    assert verdict.duplicates == (f"{message_id(line)} at {device.value}, 2 times",)
    assert not verdict.lost
    assert not verdict.good


def test_two_of_one_chain_exchanged_are_reordered() -> None:
    chain = [line for line in LINES if (line.sender, line.conversation) == (Device.CAROL, Conversation.GROUP)]
    first, second = chain[:2]
    copies = deliveries(LINES)
    one, two = copies.index((Device.BOB, first)), copies.index((Device.BOB, second))
    copies[one], copies[two] = copies[two], copies[one]
    verdict = play(copies).verdict()
    assert verdict.reordered == (f"{first.number} after {second.number} at bob",)
    assert not verdict.lost
    assert not verdict.duplicates


def test_a_line_never_sent_is_lost() -> None:
    verdict = play([copy for copy in deliveries(LINES) if copy[1].number != 3], unsent=3).verdict()
    assert verdict.lost == (f"3 was never sent by {LINES[3].sender.value}",)


BREAK: dict[str, Callable[[Ledger], None]] = {
    "altered": lambda ledger: ledger.seen(Device.BOB, "id-0", digest_of("other"), 1.0),
    "strangers": lambda ledger: ledger.seen(Device.BOB, "id-999", digest_of("x"), 1.0),
    "unopened": lambda ledger: ledger.unopened(Device.BOB, "id-1", "not_opened"),
    "lost": lambda ledger: ledger.status("id-1", "sending"),
}


@pytest.mark.parametrize("fault", BREAK)
def test_every_other_fault_has_its_name(fault: str) -> None:
    ledger = play(deliveries(LINES))
    BREAK[fault](ledger)
    verdict = ledger.verdict()
    assert verdict.faults[fault]
    assert not verdict.good


def test_an_unfinished_run_is_not_complete() -> None:
    assert not play(deliveries(LINES)[:-1]).complete
    assert not Ledger(LINES).complete
