"""Batches: packed within their limits, bound to a link and a time; frames let out in order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from norc_actors.crypto.signatures import SigningKey
from norc_actors.crypto.suites import SUITES
from norc_actors.limits import BATCH_BYTES, BATCH_FRAMES, FRAMES_AHEAD
from norc_actors.protocol.batches import Ordered, from_link, make_batch, open_batch, pack, to_link
from norc_actors.protocol.codec import convert
from norc_actors.protocol.errors import Code, ProtocolError
from norc_actors.protocol.frames import V2Frame, encode_federation, encode_v2
from norc_actors.protocol.messages.federation import Batch
from tests.support.people import NOW, seeded
from tests.vectors.files import holds, recorded


@recorded("federation", "refused_federation")
def test_recorded(entry):
    assert holds(entry)


KEYS = {name: SigningKey.generate(name, seeded(name)) for name in ("ed25519", "p256")}
SUITE = SUITES["0101"]


def batch(frames=b"", *, key=KEYS["ed25519"], suite=SUITE):
    return convert(make_batch(key, suite, "a.example", "b.example", frames, NOW), Batch)


def opened(made, *, suite=SUITE, key=KEYS["ed25519"], now=NOW, remote="a.example", own="b.example"):
    return open_batch(made, suite, key.public_key, remote=remote, own_server=own, now=now)


def code_of(attempt):
    with pytest.raises(ProtocolError) as refused:
        attempt()
    return refused.value.code


@pytest.mark.parametrize("suite", SUITES.values(), ids=str)
def test_round_trip(suite):
    key = KEYS[suite.identity]
    (frames,) = pack([(0x80, b"one"), (0x82, b"two")])
    got = opened(batch(frames, key=key, suite=suite), suite=suite, key=key)
    assert [(frame.version, frame.type, frame.body) for frame in got] == [(2, 0x80, b"one"), (2, 0x82, b"two")]
    assert opened(batch(key=key, suite=suite), suite=suite, key=key) == []


@given(st.lists(st.integers(0, BATCH_BYTES // 2), max_size=12))
def test_packing(sizes):
    frames = [(0x80, bytes(size)) for size in sizes]
    packed = list(pack(frames))
    assert b"".join(packed) == b"".join(encode_federation(2, code, body) for code, body in frames)
    assert all(len(one) <= BATCH_BYTES for one in packed)


def test_packing_many_and_long():
    assert [len(one) // 6 for one in pack([(1, b"")] * (BATCH_FRAMES + 3))] == [BATCH_FRAMES, 3]
    alone = list(pack([(1, b"x"), (1, bytes(2 * BATCH_BYTES)), (1, b"y")]))
    assert [len(one) for one in alone] == [7, 2 * BATCH_BYTES + 6, 7]
    assert len(opened(batch(alone[1]))) == 1


def test_refusals():
    (frames,) = pack([(0x80, b"one")])
    good = batch(frames)
    assert code_of(lambda: opened(good, now=NOW + 61)) is Code.CLOCK_SKEW
    assert code_of(lambda: opened(good, now=NOW - 61)) is Code.CLOCK_SKEW
    assert code_of(lambda: opened(good, remote="c.example")) is Code.WRONG_TARGET
    assert code_of(lambda: opened(good, own="c.example")) is Code.WRONG_TARGET
    assert code_of(lambda: opened(good, key=KEYS["p256"])) is Code.BAD_SIGNATURE
    assert code_of(lambda: opened(good, suite=SUITES["0002"])) is Code.BAD_SIGNATURE
    for changes in ({"frames": b""}, {"timestamp": NOW + 1}, {"requesting": "c.example"}):
        changed = structs.replace(good, **changes)
        remote = changes.get("requesting", "a.example")
        assert code_of(lambda made=changed, remote=remote: opened(made, remote=remote)) is Code.BAD_SIGNATURE
    assert code_of(lambda: opened(batch(frames[:-1]))) is Code.MALFORMED
    assert code_of(lambda: opened(batch(encode_federation(1, 0x80, b"")))) is Code.MALFORMED
    assert code_of(lambda: opened(batch(encode_federation(2, 1, b"") * (BATCH_FRAMES + 1)))) is Code.MESSAGE_TOO_LARGE
    half = encode_federation(2, 1, bytes(BATCH_BYTES // 2))
    assert code_of(lambda: opened(batch(half * 2))) is Code.MESSAGE_TOO_LARGE


def sealed(sequence):
    return encode_v2(V2Frame(0x85, bytes(16), sequence, bytes(32), bytes(16)))


@given(st.permutations(range(1, FRAMES_AHEAD + 1)))
def test_frames_leave_in_order(order):
    ordered = Ordered()
    out = ordered.feed(sealed(100), 0.0)
    for position in order:
        out += ordered.feed(sealed(100 + position), 1.0)
    assert out == [sealed(100 + position) for position in range(FRAMES_AHEAD + 1)]
    assert ordered.waiting == 0


def test_a_frame_that_does_not_come():
    ordered = Ordered()
    ordered.feed(sealed(0), 0.0)
    for ahead in range(FRAMES_AHEAD):
        assert ordered.feed(sealed(2 + ahead), 1.0) == []
    assert code_of(lambda: ordered.feed(sealed(99), 1.0)) is Code.BAD_SEQUENCE
    assert code_of(lambda: ordered.feed(sealed(2), 1.0)) is Code.BAD_SEQUENCE
    ordered.check(10.9)
    assert code_of(lambda: ordered.check(11.0)) is Code.BAD_SEQUENCE
    assert code_of(lambda: ordered.feed(sealed(1), 11.0)) is Code.BAD_SEQUENCE
    assert ordered.feed(sealed(0), 2.0) == [sealed(0)]  # a repetition is the sealed session's to count


LEAVE = {"type": "conversation_leave", "conversation_id": "c", "zzz": 1, "signature": b"s" * 64}


def test_a_client_map_travels_unchanged():
    sent = to_link(LEAVE, "a.example", "b.example", ["bob@b.example"])
    assert from_link(sent, own_server="b.example") == (LEAVE, "a.example", "b.example", ("bob@b.example",))
    with pytest.raises(ValueError, match="already"):
        to_link(sent, "a.example", "b.example", [])


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"origin_server": None}, Code.MALFORMED), ({"origin_server": "A.example"}, Code.MALFORMED),
        ({"target_server": 1}, Code.MALFORMED), ({"target_users": "bob@b.example"}, Code.MALFORMED),
        ({"target_users": ["bob"]}, Code.MALFORMED), ({"target_users": [1]}, Code.MALFORMED),
        ({"target_server": "c.example"}, Code.WRONG_TARGET), ({"target_users": ["bob@c.example"]}, Code.WRONG_TARGET),
    ],
)  # fmt: skip
def test_maps_that_are_not_for_this_server(changes, code):
    sent = to_link(LEAVE, "a.example", "b.example", ["bob@b.example"]) | changes
    assert code_of(lambda: from_link(sent, own_server="b.example")) is code
