"""Chains: the table of cases, the window against a set, freshness, dedupe, and disorder at random."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from norc_actors.crypto.hkdf import blake3
from norc_actors.crypto.layout import ZERO_HASH
from norc_actors.limits import FEDERATION_WINDOW_MESSAGES, WINDOW_MESSAGES
from norc_actors.protocol.chains import (
    ChainBrokenError,
    Known,
    Place,
    ReceivingChain,
    ReplayedError,
    SendingChain,
    Window,
    in_time,
    is_fresh,
    known,
    take,
    too_old,
)
from tests.support.people import NOW, seeded

CHAIN = "b1b0f96b-777a-488d-8464-8d24f43bf0f1"
FIRST = 1000


def sent(count: int, first: int = FIRST) -> list[tuple[int, bytes, bytes]]:
    """(number, prev_message_hash, ciphertext_hash) of a sender's first messages."""
    out, prev = [], ZERO_HASH
    for number in range(first, first + count):
        out.append((number, prev, blake3(number.to_bytes(8, "big"))))
        prev = out[-1][2]
    return out


def accept(chain, message):
    number, prev, digest = message
    return take(chain, chain_id=CHAIN, number=number, prev_message_hash=prev, ciphertext_hash=digest)


# --- Window ---


@pytest.mark.parametrize("size", [8, WINDOW_MESSAGES, FEDERATION_WINDOW_MESSAGES])
def test_window_against_a_set(size):
    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.one_of(st.integers(0, 3 * size), st.integers(0, 20)), max_size=80))
    def run(numbers):
        window, seen = Window(size=size), set()
        for number in numbers:
            allowed = number not in seen and number > max(seen, default=-1) - size
            assert window.may_accept(number) == allowed
            if allowed:
                window = window.accept(number)
                seen.add(number)
            else:
                with pytest.raises(ReplayedError):
                    window.accept(number)
            assert window.highest == max(seen)

    run()


def test_window_edges():
    window = Window().accept(5000)
    assert window.may_accept(5000 - 1023)
    assert not window.may_accept(5000 - 1024)
    assert not window.may_accept(-1)
    assert window.lowest == 5000 - 1023
    far = window.accept(2**53)
    assert far.seen == 1
    assert window.skip(5002).may_accept(5002)
    assert window.skip(4000) == window


# --- Sending ---


def test_a_sending_chain_starts_at_random_and_rises_by_one():
    chain = SendingChain.start("conversation", seeded("chain"))
    assert chain.next_number < 2**24
    assert chain.last_hash == ZERO_HASH
    after = chain.sent(b"h" * 32)
    assert (after.next_number, after.last_hash) == (chain.next_number + 1, b"h" * 32)
    assert SendingChain.from_map(after.to_map()) == after
    starts = {SendingChain.start("c", seeded(n)).next_number >> 20 for n in range(200)}
    assert len(starts) == 16


# --- Receiving, case by case ---


def test_in_order():
    chain = None
    for at, message in enumerate(sent(5)):
        step = accept(chain, message)
        assert step.place is (Place.START if at == 0 else Place.NEXT)
        assert not step.after_gap
        chain = step.chain
    assert chain.complete
    assert len(chain.hashes) == 1
    assert chain.claims == {}


def test_first_seen_in_the_middle():
    messages = sent(5)
    step = accept(None, messages[3])
    assert (step.place, step.after_gap, step.chain.complete) == (Place.MIDDLE, True, False)
    before = accept(step.chain, messages[2])
    assert before.place is Place.FILL
    start = accept(before.chain, messages[0])
    assert start.chain.complete


def test_gap_and_fill():
    messages = sent(4)
    chain = accept(None, messages[0]).chain
    gap = accept(chain, messages[3])
    assert (gap.place, gap.after_gap) == (Place.GAP, True)
    second = accept(gap.chain, messages[1])
    assert (second.place, second.after_gap) == (Place.FILL, False)
    third = accept(second.chain, messages[2])
    assert third.place is Place.FILL
    assert third.chain.claims == {}


def test_a_filler_must_fit_both_neighbours():
    messages = sent(4)
    chain = accept(accept(None, messages[0]).chain, messages[2]).chain
    number, prev, digest = messages[1]
    with pytest.raises(ChainBrokenError):
        accept(chain, (number, bytes(31) + b"x", digest))
    with pytest.raises(ChainBrokenError):
        accept(chain, (number, prev, bytes(31) + b"x"))
    accept(chain, messages[1])


def test_next_with_another_hash_breaks():
    messages = sent(2)
    chain = accept(None, messages[0]).chain
    with pytest.raises(ChainBrokenError):
        accept(chain, (messages[1][0], b"x" * 32, messages[1][2]))


def test_a_chain_starts_once_and_below_2_24():
    messages = sent(2)
    chain = accept(None, messages[0]).chain
    with pytest.raises(ChainBrokenError):
        accept(chain, (FIRST + 7, ZERO_HASH, b"x" * 32))
    with pytest.raises(ChainBrokenError):
        accept(None, (2**24, ZERO_HASH, b"x" * 32))
    accept(None, (2**24 - 1, ZERO_HASH, b"x" * 32))
    with pytest.raises(ChainBrokenError):
        accept(chain, (FIRST - 1, b"x" * 32, b"y" * 32))
    middle = accept(None, (FIRST + 3, b"x" * 32, b"y" * 32)).chain
    with pytest.raises(ChainBrokenError):
        accept(middle, (FIRST + 4, ZERO_HASH, b"z" * 32))


def test_twice_or_far_behind_is_replay():
    messages = sent(3)
    chain = accept(None, messages[0]).chain
    with pytest.raises(ReplayedError):
        accept(chain, messages[0])
    far = accept(chain, (FIRST + 5000, b"x" * 32, b"y" * 32)).chain
    with pytest.raises(ReplayedError):
        accept(far, messages[1])
    assert len(far.hashes) == 1  # what fell out of the window is forgotten


def test_a_lost_message_is_no_gap_for_the_next():
    messages = sent(4)
    chain = accept(None, messages[0]).chain.lost(FIRST + 1)
    assert chain.lost(FIRST + 7) == chain
    step = accept(chain, messages[2])
    assert (step.place, step.after_gap) == (Place.NEXT, True)
    assert accept(step.chain, messages[1]).place is Place.FILL
    with pytest.raises(ChainBrokenError):
        accept(step.chain, (FIRST + 1, messages[1][1], b"x" * 32))


def test_round_trip():
    messages = sent(9)
    chain = accept(accept(accept(None, messages[0]).chain, messages[5]).chain, messages[8]).chain
    assert ReceivingChain.from_map(chain.to_map()) == chain


@settings(max_examples=80, deadline=None)
@given(st.permutations(range(12)), st.sets(st.integers(0, 11)), st.booleans())
def test_any_order_with_loss_ends_the_same(order, lost, restart):
    """Each message is accepted once, in whatever order; afterwards exactly the lost ones are missing."""
    messages = sent(12)
    chain = None
    for at in order:
        if at in lost:
            continue
        chain = accept(chain, messages[at]).chain
        with pytest.raises(ReplayedError):
            accept(chain, messages[at])
        if restart:
            chain = ReceivingChain.from_map(chain.to_map())
    if chain is None:
        return
    open_numbers = {at for at in range(12) if chain.window.may_accept(FIRST + at) and FIRST + at <= chain.last}
    assert open_numbers == {at for at in lost if FIRST + at < chain.last}
    arrived = set(range(12)) - lost
    assert set(chain.hashes) == {FIRST + at for at in arrived if at + 1 not in arrived}
    assert set(chain.claims) == {FIRST + at - 1 for at in arrived if at and at - 1 not in arrived}


# --- Freshness ---


def test_freshness_edges():
    now = float(NOW)
    for offset, fresh in ((0, True), (300, True), (-300, True), (300.1, False), (-300.1, False)):
        assert is_fresh(int((NOW + offset) * 1_000_000), now) is fresh


@pytest.mark.parametrize("place", Place)
def test_what_is_not_fresh_needs_its_place(place):
    hour_old = (NOW - 3600) * 1_000_000
    assert in_time(place, hour_old, NOW, expires_at=None, message_ttl=None) is (place is not Place.GAP)
    assert in_time(place, NOW * 1_000_000, NOW, expires_at=None, message_ttl=None)
    assert not in_time(place, hour_old, NOW, expires_at=NOW - 1, message_ttl=None)
    assert not in_time(place, hour_old, NOW, expires_at=None, message_ttl=3599)


def test_the_first_limit_given_decides():
    month_old = (NOW - 30 * 86400) * 1_000_000
    assert not too_old(month_old, NOW, expires_at=None, message_ttl=None)
    assert too_old(month_old - 1, NOW, expires_at=None, message_ttl=None)
    assert not too_old(month_old - 1, NOW, expires_at=NOW, message_ttl=60)
    assert too_old(NOW * 1_000_000, NOW, expires_at=NOW - 1, message_ttl=None)
    assert not too_old(month_old - 1, NOW, expires_at=None, message_ttl=31 * 86400)


def test_dedupe():
    assert known(None, b"a" * 32) is Known.NEW
    assert known(b"a" * 32, b"a" * 32) is Known.AGAIN
    assert known(b"b" * 32, b"a" * 32) is Known.EXCHANGED
