"""Bodies of a link: both ends after a real handshake, any order of arrival, re-keys, what must be refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from norc_actors.crypto.suites import PREFERENCE
from norc_actors.limits import DH_REKEY_SECONDS, FRAMES_AHEAD
from norc_actors.protocol.batches import pack
from norc_actors.protocol.errors import Code, ProtocolError
from norc_actors.protocol.frames import split_v2
from norc_actors.protocol.link_traffic import LinkTraffic
from tests.support.link_ends import KEYS, A, B, Link, offer
from tests.support.people import NOW

MAX = 2**22


class Ends:
    """Two established ends; the initiator is `a`."""

    def __init__(self, suite="0101"):
        at_a, at_b = Link(a=offer(A, suites=(suite,))).run()
        self.a = LinkTraffic(at_a, own_server=A, max_frame=MAX)
        self.b = LinkTraffic(at_b, own_server=B, max_frame=MAX)

    def body(self, end, *frames, now=NOW, key=None):
        traffic, server = (self.a, A) if end == "a" else (self.b, B)
        (packed,) = tuple(pack(frames)) or (b"",)
        signer = key or KEYS[server][traffic.link.suite.identity]
        return traffic.seal(packed, now, signer.sign("fed-request:v1", traffic.to_sign(packed, now)))


def inside(arrived):
    return [(one.key, [frame.body for frame in one.frames]) for one in arrived]


@pytest.mark.parametrize("suite", PREFERENCE)
def test_requests_and_answers(suite):
    ends = Ends(suite)
    asked = ends.b.arrived("s1", ends.body("a", (0x7E, b"how"), (0x80, b"relay")), NOW)
    assert inside(asked) == [("s1", [b"how", b"relay"])]
    assert inside(ends.a.arrived("s1", ends.body("b", (0x7F, b"well")), NOW)) == [("s1", [b"well"])]
    assert inside(ends.a.arrived("s2", ends.body("b"), NOW)) == [("s2", [])]


@given(st.permutations(range(8)))
def test_streams_may_overtake_one_another(order):
    ends = Ends("0001")
    assert inside(ends.b.arrived("first", ends.body("a"), NOW)) == [("first", [])]
    bodies = [ends.body("a", (0x80, bytes([number]))) for number in range(8)]
    out = [one for number in order for one in inside(ends.b.arrived(number, bodies[number], NOW))]
    assert out == [(number, [bytes([number])]) for number in range(8)]


def test_a_body_that_never_comes_ends_the_link():
    ends = Ends("0001")
    ends.b.arrived(0, ends.body("a"), NOW)
    ends.body("a")
    for number in range(FRAMES_AHEAD):
        assert ends.b.arrived(number, ends.body("a"), NOW) == []
    ends.b.check(NOW + 9)
    with pytest.raises(ProtocolError) as refused:
        ends.b.check(NOW + 10)
    assert refused.value.code is Code.BAD_SEQUENCE
    with pytest.raises(ProtocolError):
        ends.b.arrived("one more", ends.body("a"), NOW)


def test_keys_are_updated_before_the_thousandth_frame_and_the_batch_stands_behind():
    ends = Ends("0001")
    bodies = [ends.body("a", (0x80, b"x")) for _ in range(1100)]
    assert [len(split_v2(body, MAX)) for body in bodies].count(2) == 1
    for number, body in enumerate(bodies):
        assert inside(ends.b.arrived(number, body, NOW)) == [(number, [b"x"])]


@pytest.mark.parametrize("suite", ["0101", "0001"])
def test_the_daily_rekey(suite):
    ends = Ends(suite)
    ends.b.arrived(0, ends.body("a"), NOW)
    ends.a.arrived(0, ends.body("b"), NOW)
    later = NOW + DH_REKEY_SECONDS
    assert ends.a.dh_due(later)
    assert not ends.b.dh_due(later)
    (half,) = ends.b.arrived(1, ends.a.ask_dh(later), later)
    assert half.frames is None
    (done,) = ends.a.arrived(1, half.rekey, later)
    assert done.frames is None
    assert inside(ends.b.arrived(2, done.rekey, later)) == [(2, [])]
    assert inside(ends.a.arrived(2, ends.body("b", now=later), later)) == [(2, [])]
    assert inside(ends.b.arrived(3, ends.body("a", (1, b"on"), now=later), later)) == [(3, [b"on"])]


def test_what_does_not_open_is_no_batch_and_the_third_ends_the_link():
    ends = Ends("0001")
    ends.b.arrived(0, ends.body("a"), NOW)
    broken = [ends.body("a", (0x80, b"x"))[:-1] + b"?" for _ in range(3)]
    for body in broken[:2]:
        (nothing,) = ends.b.arrived(1, body, NOW)
        assert nothing.frames is None
    with pytest.raises(ProtocolError) as refused:
        ends.b.arrived(1, broken[2], NOW)
    assert refused.value.code is Code.CRYPTO


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"now": NOW + 61}, Code.CLOCK_SKEW), ({"key": KEYS[B]["ed25519"]}, Code.BAD_SIGNATURE)],
)
def test_nothing_is_given_out_before_time_and_signature_hold(changes, code):
    ends = Ends("0001")
    with pytest.raises(ProtocolError) as refused:
        ends.b.arrived(0, ends.body("a", (0x80, b"x"), **changes), NOW)
    assert refused.value.code is code


@pytest.mark.parametrize("body", [b"", b"\x02", b"nonsense" * 20])
def test_bodies_that_are_no_frames(body):
    with pytest.raises(ProtocolError) as refused:
        Ends("0001").b.arrived(0, body, NOW)
    assert refused.value.code is Code.MALFORMED


def test_a_sealed_frame_that_is_no_batch_is_refused():
    ends = Ends()
    with pytest.raises(ProtocolError, match="on a link"):
        ends.b.arrived("s1", ends.a.link.sealed.seal(0x80, b"relay")[0], NOW)
