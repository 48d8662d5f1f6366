"""Both ends in memory: whole bodies in order, bounded windows, and answers to all that is not asked for."""

import h2.events
import pytest
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from hyperframe.frame import PingFrame
from hypothesis import given, settings
from hypothesis import strategies as st

from norc_actors import limits
from norc_actors.net.http2_core import Answered, Ended, Lost, Ready, Requested
from norc_actors.net.http2_ends import ClientEnd, ServerEnd
from tests.support.http2 import Duo, Hand, request

MAX_BODY = 2**20


def answer_all(duo: Duo) -> None:
    """The server echoes whatever has come; what is asked for meanwhile too."""
    answered = 0
    while True:
        duo.exchange()
        asked = [event for event in duo.at_server if isinstance(event, Requested)]
        if len(asked) == answered:
            return
        for event in asked[answered:]:
            duo.server.respond(event.stream, 200, event.body, duo.now)
        answered = len(asked)


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.lists(st.sampled_from([0, 1, 100, 16384, 16385, 65535, 65536, 200_000, MAX_BODY]), min_size=1, max_size=6),
    chunk=st.sampled_from([1000, 4096, 65536, 2**22]),
)
def test_bodies_of_any_size_in_any_pieces_arrive_whole_and_in_order(sizes: list[int], chunk: int) -> None:
    duo = Duo()
    bodies = [bytes([number]) * size for number, size in enumerate(sizes)]
    requests = [duo.client.request(body) for body in bodies]
    duo.exchange(chunk)
    asked = [event for event in duo.at_server if isinstance(event, Requested)]
    while len(asked) < len(bodies):  # room is given back by answers
        for event in asked:
            duo.server.respond(event.stream, 200, event.body, duo.now)
        duo.exchange(chunk)
        more = [event for event in duo.at_server if isinstance(event, Requested)]
        assert len(more) > len(asked)
        asked = more
    assert [event.body for event in asked] == bodies
    for event in asked:
        duo.server.respond(event.stream, 200, event.body, duo.now)
    duo.exchange(chunk)
    answers = [event for event in duo.at_client if isinstance(event, Answered)]
    assert [answer.request for answer in answers] == requests
    assert [(answer.status, answer.body) for answer in answers] == [(200, body) for body in bodies]


@settings(max_examples=30, deadline=None)
@given(data=st.binary(max_size=300), at=st.integers(0, 200), server=st.booleans())
def test_no_bytes_raise(data: bytes, at: int, server: bool) -> None:
    """Any bytes in the middle of an honest conversation end it or are ignored."""
    duo = Duo()
    duo.client.request(b"x" * 100)
    honest = duo.client.replies() + duo.client.frames_to_send(0.0)
    answer = duo.server.replies()
    end: ClientEnd | ServerEnd = duo.server if server else duo.client
    bytes_ = honest if server else answer
    events = end.receive(bytes_[:at] + data + bytes_[at:], 0.0)
    events += end.receive(data * 20, 0.0)
    assert sum(isinstance(event, Ended) for event in events) <= 1
    assert end.receive(data, 0.0) == [] or not end.ended


def test_a_slow_body_keeps_its_place() -> None:
    """The order of the calls is the order of the bodies, also when the first needs the peer's windows."""
    duo = Duo()
    duo.client.request(b"a" * 500_000)
    duo.client.request(b"b")
    duo.exchange()
    assert [event.body[:1] for event in duo.at_server if isinstance(event, Requested)] == [b"a", b"b"]


def test_more_than_the_streams_wait_in_order() -> None:
    duo = Duo()
    requests = [duo.client.request(b"%d" % number) for number in range(3 * limits.HTTP2_STREAMS)]
    duo.exchange()
    assert sum(isinstance(event, Requested) for event in duo.at_server) == limits.HTTP2_STREAMS
    answer_all(duo)
    answers = [event for event in duo.at_client if isinstance(event, Answered)]
    assert [answer.request for answer in answers] == requests


def test_the_client_is_ready_with_the_servers_settings() -> None:
    duo = Duo()
    duo.exchange()
    assert duo.at_client == [Ready()]


def test_a_body_that_is_announced_too_long_is_refused_before_it_comes() -> None:
    end = ServerEnd(max_body=1000, plain=False, now=0.0)
    peer = Hand(end)
    peer.h2.send_headers(1, request(content_length="1001"))
    peer.send()
    [response] = [event for event in peer.heard if isinstance(event, h2.events.ResponseReceived)]
    assert dict(response.headers)[b":status"] == b"413"
    [reset] = [event for event in peer.heard if isinstance(event, h2.events.StreamReset)]
    assert reset.error_code == ErrorCodes.NO_ERROR
    assert peer.ended is None


def test_a_body_that_grows_too_long_is_refused_when_it_does() -> None:
    end = ServerEnd(max_body=1000, plain=False, now=0.0)
    peer = Hand(end)
    peer.h2.send_headers(1, request())
    peer.h2.send_data(1, bytes(1000))
    peer.send()
    assert not [event for event in peer.heard if isinstance(event, h2.events.ResponseReceived)]
    peer.h2.send_data(1, b"x")
    peer.send()
    [response] = [event for event in peer.heard if isinstance(event, h2.events.ResponseReceived)]
    assert dict(response.headers)[b":status"] == b"413"
    peer.h2.send_headers(3, request(), end_stream=True)
    assert peer.send() == [Requested(3, b"")]


def test_an_answer_too_long_is_lost_and_the_connection_lives() -> None:
    duo = Duo(max_body=1000)
    first = duo.client.request(b"1")
    duo.exchange()
    duo.server.respond(1, 200, bytes(1001), 0.0)
    duo.exchange()
    assert [event for event in duo.at_client if isinstance(event, Lost)] == [
        Lost(first, "an answer of over 1000 bytes")
    ]
    duo.client.request(b"2")
    duo.exchange()
    assert duo.at_server[-1] == Requested(3, b"2")


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [("/", "POST", 404), ("/norc-f?x", "POST", 404), ("/norc-f", "GET", 405), ("/norc-f", "PUT", 405)],
)
def test_another_path_or_method_gets_an_answer(path: str, method: str, status: int) -> None:
    end = ServerEnd(max_body=1000, plain=False, now=0.0)
    peer = Hand(end)
    peer.h2.send_headers(1, request(path, method), end_stream=True)
    assert peer.send() == []
    response, body, *_ = peer.heard[-3:]
    assert isinstance(response, h2.events.ResponseReceived)
    headers = dict(response.headers)
    assert headers[b":status"] == b"%d" % status
    assert headers[b"content-type"].startswith(b"text/plain")
    assert headers.get(b"allow") == (b"POST" if status == 405 else None)
    assert isinstance(body, h2.events.DataReceived)
    assert len(body.data) == int(headers[b"content-length"]) > 10
    assert not [event for event in peer.heard if isinstance(event, h2.events.StreamReset)]


def test_a_peer_that_speaks_plain_http2_is_told_so() -> None:
    peer = Hand(ServerEnd(max_body=1000, plain=True, now=0.0))
    peer.h2.send_headers(1, request(), end_stream=True)
    assert peer.send() == []
    [response] = [event for event in peer.heard if isinstance(event, h2.events.ResponseReceived)]
    assert dict(response.headers)[b":status"] == b"421"


def test_an_answer_before_the_end_of_the_request() -> None:
    """A refusal while the body still waits for its window: the rest is not sent."""
    client = ClientEnd(authority="x", max_body=1000, now=0.0)
    peer = Hand(client)
    asked = client.request(bytes(200_000))
    peer.listen()
    peer.h2.send_headers(1, [(":status", "413")], end_stream=True)
    peer.send()
    assert Answered(asked, 413, b"") in peer.events
    assert not client.unsent
    client.request(b"next")
    peer.h2.increment_flow_control_window(200_000)
    peer.send()
    assert [event.stream_id for event in peer.heard if isinstance(event, h2.events.StreamEnded)] == [3]


def test_a_cancelled_request() -> None:
    duo = Duo()
    gone, sent = duo.client.request(b"gone"), None
    duo.client.cancel(gone, 0.0)
    sent = duo.client.request(b"sent")
    duo.exchange()
    assert [event.body for event in duo.at_server if isinstance(event, Requested)] == [b"sent"]
    duo.client.cancel(sent, 0.0)
    duo.exchange()
    duo.server.respond(1, 200, b"too late", 0.0)
    duo.exchange()
    assert not duo.server.unsent
    assert not [event for event in duo.at_client if isinstance(event, Answered | Ended)]


def test_a_request_that_the_server_resets_is_lost() -> None:
    client = ClientEnd(authority="x", max_body=1000, now=0.0)
    peer = Hand(client)
    asked = client.request(b"x")
    peer.listen()
    peer.h2.reset_stream(1, ErrorCodes.REFUSED_STREAM)
    peer.send()
    assert peer.events[-1] == Lost(asked, "REFUSED_STREAM")


def test_an_answer_and_a_goodbye_in_the_same_bytes() -> None:
    client = ClientEnd(authority="x", max_body=2**20, now=0.0)
    peer = Hand(client)
    asked = client.request(b"x")
    peer.listen()
    peer.h2.send_headers(1, [(":status", "200"), ("content-length", "100000")])
    peer.h2.send_data(1, bytes(16384))
    peer.h2.close_connection()
    assert [type(event) for event in peer.send()] == [Ended]
    assert peer.ended == Ended(1000, "the peer closed the connection", by_peer=True)
    assert asked.sent == 1


def test_goodbye() -> None:
    duo = Duo()
    duo.exchange()
    duo.client.goodbye()
    duo.exchange()
    assert duo.at_server[-1] == Ended(1000, "the peer closed the connection", by_peer=True)
    assert duo.server.ended
    assert duo.server.receive(b"anything", 0.0) == []


def test_when_the_numbers_of_streams_are_used_up_the_connection_ends_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(H2Connection, "HIGHEST_ALLOWED_STREAM_ID", 1)
    duo = Duo()
    duo.client.request(b"the last")
    duo.client.request(b"none left")
    duo.exchange()
    assert duo.client.check(1.0) == []
    answer_all(duo)
    assert duo.client.check(2.0) == [Ended(1000, "all stream numbers are used")]


# --- Time ---


def test_a_silent_peer_is_pinged_and_then_given_up() -> None:
    duo = Duo()
    duo.exchange()
    assert duo.client.check(limits.PING_SECONDS - 1) == []
    assert duo.client.replies() == b""
    assert duo.client.check(limits.PING_SECONDS) == []
    ping = duo.client.replies()
    assert ping[3] == 6
    assert duo.client.check(limits.PING_SECONDS + 5) == []
    assert duo.client.replies() == b""  # one is enough
    assert duo.client.check(limits.DEAD_PEER_SECONDS) == [Ended(1006, "silent for 60 s")]


def test_an_answered_ping_begins_anew() -> None:
    duo = Duo()
    duo.exchange()
    for _ in range(5):
        duo.now += limits.PING_SECONDS
        assert duo.client.check(duo.now) == []
        duo.exchange()
    assert not duo.client.ended


def test_a_body_that_stalls_is_refused() -> None:
    end = ServerEnd(max_body=2**20, plain=False, now=0.0)
    peer = Hand(end)
    peer.h2.send_headers(1, request())
    peer.h2.send_data(1, b"x" * 100)
    peer.send()
    assert end.check(limits.HTTP2_STALL_SECONDS) == []
    peer.listen()
    assert end.check(limits.HTTP2_STALL_SECONDS + 1) == []
    peer.listen()
    [response] = [event for event in peer.heard if isinstance(event, h2.events.ResponseReceived)]
    assert dict(response.headers)[b":status"] == b"408"


def test_a_body_that_goes_on_has_the_time_that_it_takes() -> None:
    """At the least rate for as long as it lasts; below it, refused."""
    for rate, refused in ((limits.HTTP2_LEAST_BYTES_PER_SECOND, False), (1000, True)):
        end = ServerEnd(max_body=2**22, plain=False, now=0.0)
        peer = Hand(end)
        peer.h2.send_headers(1, request(content_length=str(2**22)))
        peer.send()
        for second in range(100):
            for _ in range(rate // 1000):
                peer.h2.send_data(1, b"x" * 1000)
            peer.now = float(second)
            peer.send()
            end.check(peer.now)
            peer.listen()
            answered = [event for event in peer.heard if isinstance(event, h2.events.ResponseReceived)]
            if answered:
                break
        assert bool(answered) is refused


def test_a_peer_that_takes_no_answer_is_left() -> None:
    end = ServerEnd(max_body=2**20, plain=False, now=0.0)
    peer = Hand(end)
    peer.h2.update_settings({4: 0})
    peer.h2.send_headers(1, request(), end_stream=True)
    peer.send()
    end.respond(1, 200, b"x", 0.0)
    peer.listen()
    peer.now = limits.HTTP2_STALL_SECONDS + 1
    peer.send(PingFrame(0, b"12345678").serialize())
    assert end.check(peer.now) == [Ended(1008, "it takes nothing")]


def test_an_answer_that_stalls_is_lost() -> None:
    client = ClientEnd(authority="x", max_body=1000, now=0.0)
    peer = Hand(client)
    asked = client.request(b"x")
    peer.listen()
    peer.h2.send_headers(1, [(":status", "200")])
    peer.send()
    assert client.check(limits.HTTP2_STALL_SECONDS + 1) == [Lost(asked, "an answer that stalled")]


# --- Room ---


def test_bodies_together_have_bounded_room() -> None:
    """A hundred streams that announce the longest body: together they get one such body, and their first windows."""
    end = ServerEnd(max_body=MAX_BODY, plain=False, now=0.0)
    peer = Hand(end)
    streams = [2 * number + 1 for number in range(limits.HTTP2_STREAMS)]
    for stream in streams:
        peer.h2.send_headers(stream, request(content_length=str(MAX_BODY)))
    peer.send()
    room = [peer.h2.local_flow_control_window(stream) for stream in streams]
    assert room == [MAX_BODY] + [limits.HTTP2_WINDOW_BYTES] * (limits.HTTP2_STREAMS - 1)


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("padding", [0, 200])
def test_interleaved_bodies_all_come_through(announced: bool, padding: int) -> None:
    """Whoever is first in line gets its room, so bodies that are sent side by side do not wait for each other."""
    end = ServerEnd(max_body=MAX_BODY, plain=False, now=0.0)
    peer = Hand(end)
    left = dict.fromkeys((1, 3, 5, 7), MAX_BODY)
    for stream in left:
        peer.h2.send_headers(stream, request(**({"content_length": str(MAX_BODY)} if announced else {})))
    while left:
        peer.send()
        for event in [event for event in peer.events if isinstance(event, Requested)]:
            peer.events.remove(event)
            assert len(event.body) == MAX_BODY
            del left[event.stream]
            end.respond(event.stream, 200, b"", 0.0)
            peer.listen()
        moved = False
        for stream, rest in left.items():
            if rest:
                window = peer.h2.local_flow_control_window(stream)
                pad = padding if padding and window > padding + 1 else None
                size = min(rest, window - (pad + 1 if pad else 0), 16384 - 256)
                if size > 0:
                    peer.h2.send_data(stream, bytes(size), end_stream=size == rest, pad_length=pad)
                    left[stream] -= size
                    moved = True
        assert moved or not left


def test_a_reset_gives_its_room_to_the_next() -> None:
    end = ServerEnd(max_body=MAX_BODY, plain=False, now=0.0)
    peer = Hand(end)
    for stream in (1, 3, 5):
        peer.h2.send_headers(stream, request(content_length=str(MAX_BODY)))
    peer.send()
    peer.h2.reset_stream(3)
    peer.h2.reset_stream(1)
    peer.send()
    assert peer.h2.local_flow_control_window(5) == MAX_BODY
