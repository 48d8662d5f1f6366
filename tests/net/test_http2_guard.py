"""Frames judged by their headers: sizes at once, waste by points."""

from collections.abc import Callable

import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from hypothesis import given
from hypothesis import strategies as st

from norc_actors import limits
from norc_actors.net.http2_core import Ended
from norc_actors.net.http2_ends import ServerEnd
from norc_actors.net.http2_guard import FrameGuard, GuardError
from tests.support.http2 import Hand, request

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def guard() -> FrameGuard:
    made = FrameGuard(server=True, now=0.0)
    made.look(PREFACE, 0.0)
    return made


def refused(data: bytes) -> ErrorCodes | None:
    try:
        guard().look(data, 0.0)
    except GuardError as error:
        return error.code
    return None


def header(kind: int, length: int, flags: int = 0, stream: int = 1) -> bytes:
    return length.to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big")


def test_a_frame_too_long_is_refused_by_its_header() -> None:
    for kind in range(12):
        assert refused(header(kind, limits.HTTP2_FRAME_BYTES + 1)) is ErrorCodes.FRAME_SIZE_ERROR
    assert refused(header(0, limits.HTTP2_FRAME_BYTES)) is None


def test_headers_are_counted_over_their_frames() -> None:
    half = limits.HTTP2_HEADER_BYTES // 2
    first, more = header(1, half) + bytes(half), header(9, half, 4) + bytes(half)
    assert refused(first + more) is None
    assert refused(first + header(9, half + 1)) is ErrorCodes.ENHANCE_YOUR_CALM
    assert refused(header(1, 0) + header(9, 0) * limits.HTTP2_HEADER_FRAMES) is ErrorCodes.ENHANCE_YOUR_CALM
    assert refused((first + more) * 3) is None


def test_settings_are_counted() -> None:
    most = 6 * limits.HTTP2_SETTINGS
    assert refused(header(4, most, stream=0) + bytes(most)) is None
    assert refused(header(4, most + 6, stream=0)) is ErrorCodes.ENHANCE_YOUR_CALM


@given(data=st.binary(max_size=400), cuts=st.lists(st.integers(0, 400), max_size=8))
def test_pieces_are_judged_as_the_whole(data: bytes, cuts: list[int]) -> None:
    stream = header(0, 5, 1) + b"abcde" + data
    whole = refused(stream)
    pieces = guard()
    at = 0
    found = None
    try:
        for cut in [*sorted(cuts), len(stream)]:
            pieces.look(stream[at:cut], 0.0)
            at = max(at, cut)
    except GuardError as error:
        found = error.code
    assert found is whole


# --- Floods, against a server's end. Each makes frames without end; how many were taken is what the test says. ---

Make = Callable[[int], Frame | bytes]


def resets(number: int) -> bytes:
    stream = 2 * number + 1
    opened = HeadersFrame(stream, bytes.fromhex("8286"), flags=["END_HEADERS"])
    return opened.serialize() + RstStreamFrame(stream, 8).serialize()


FLOODS: dict[str, Make] = {
    "ping": lambda _: PingFrame(0, b"12345678"),
    "ping acks": lambda _: PingFrame(0, b"12345678", flags=["ACK"]),
    "settings": lambda _: SettingsFrame(0, {SettingsFrame.INITIAL_WINDOW_SIZE: 10}),
    "settings acks": lambda _: SettingsFrame(0, flags=["ACK"]),
    "many settings": lambda n: b"".join(
        [header(4, 180, stream=0), *((1000 + 30 * n + k).to_bytes(2, "big") + bytes(4) for k in range(30))]
    ),
    "windows": lambda _: WindowUpdateFrame(0, 1),
    "windows of a stream with data": lambda _: WindowUpdateFrame(1, 1),
    "priority": lambda n: PriorityFrame(2 * n + 1),
    "unknown frames": lambda _: header(77, 1) + b"x",
    "empty data": lambda _: DataFrame(1),
    "data of one byte": lambda _: DataFrame(1, b"x"),
    "padding": lambda _: DataFrame(1, b"", pad_length=200, flags=["PADDED"]),
    "the longest padding": lambda _: DataFrame(1, b"", pad_length=255, flags=["PADDED"]),
    "empty continuations": lambda n: HeadersFrame(1) if n == 0 else ContinuationFrame(1),
}


@pytest.mark.parametrize("name", FLOODS)
@pytest.mark.parametrize("chunk", [1, 50])
def test_a_flood_ends_the_connection(name: str, chunk: int) -> None:
    end = ServerEnd(max_body=2**24, plain=False, now=0.0)
    peer = Hand(end)
    if "data" in name or "padding" in name:
        peer.h2.send_headers(1, request())
        peer.send()
    taken = 0
    while not end.ended and taken < 5000:
        made = [FLOODS[name](taken + number) for number in range(chunk)]
        end_events = end.receive(b"".join(one if isinstance(one, bytes) else one.serialize() for one in made), 0.0)
        taken += chunk
        goaway = end.replies()
    assert end.ended
    assert taken <= limits.HTTP2_WASTE + chunk
    [ended] = [event for event in end_events if isinstance(event, Ended)]
    assert (ended.code, ended.by_peer) == (1008, False)
    assert goaway[-17 + 3 :][:1] == b"\x07" or b"\x07\x00\x00\x00\x00\x00" in goaway
    assert goaway.endswith(b"\x00\x00\x00\x0b")  # ENHANCE_YOUR_CALM


def test_rapid_reset() -> None:
    """CVE-2023-44487: requests that are withdrawn at once."""
    end = ServerEnd(max_body=2**20, plain=False, now=0.0)
    peer = Hand(end)
    opened = 0
    while peer.ended is None:
        stream = 2 * opened + 1
        peer.h2.send_headers(stream, request())
        peer.h2.reset_stream(stream)
        opened += 1
        peer.send()
        assert opened < 200
    assert peer.ended.code == 1008


def test_refusals_are_counted_too() -> None:
    end = ServerEnd(max_body=2**20, plain=False, now=0.0)
    peer = Hand(end)
    for number in range(200):
        peer.h2.send_headers(2 * number + 1, request("/elsewhere"), end_stream=True)
        peer.send()
        if peer.ended:
            break
    assert peer.ended is not None
    assert peer.ended.code == 1008


def test_the_same_at_the_rate_that_is_forgiven_goes_on() -> None:
    end = ServerEnd(max_body=2**20, plain=False, now=0.0)
    peer = Hand(end)
    for second in range(1, 60):
        peer.now = float(second)
        peer.send(PingFrame(0, b"12345678").serialize() * (limits.HTTP2_WASTE_PER_SECOND // 2))  # two points each
    assert peer.ended is None


def test_an_honest_peer_never_meets_the_limit() -> None:
    """Exchanges pay for their own frames, however many there are in one instant."""
    end = ServerEnd(max_body=2**20, plain=False, now=0.0)
    peer = Hand(end)
    for number in range(500):
        stream = 2 * number + 1
        peer.h2.send_headers(stream, request())
        peer.h2.send_data(stream, b"x" * 10)
        peer.h2.send_data(stream, b"", end_stream=True)
        peer.send()
        end.respond(stream, 200, b"y" * 5000, 0.0)
        peer.listen()
        peer.h2.acknowledge_received_data(5000, stream)
    assert peer.ended is None
    assert sum(type(event).__name__ == "StreamEnded" for event in peer.heard) == 500


def test_windows_opened_by_single_bytes() -> None:
    """A peer that takes an answer byte by byte makes us work for each: it is not let go on."""
    end = ServerEnd(max_body=2**20, plain=False, now=0.0)
    peer = Hand(end)
    peer.h2.update_settings({4: 1})
    peer.send()
    peer.h2.send_headers(1, request(), end_stream=True)
    peer.send()
    end.respond(1, 200, bytes(10_000), 0.0)
    for _ in range(2000):
        peer.listen()
        peer.h2.increment_flow_control_window(1, 1)
        peer.send()
        if peer.ended:
            break
    assert peer.ended is not None
    assert peer.ended.code == 1008


def test_too_many_streams() -> None:
    end = ServerEnd(max_body=2**20, plain=False, now=0.0)
    peer = Hand(end)
    for number in range(limits.HTTP2_STREAMS):
        peer.h2.send_headers(2 * number + 1, request())
    assert peer.send() == []
    peer.h2.remote_settings[3] = 2 * limits.HTTP2_STREAMS
    peer.h2.remote_settings.acknowledge()
    peer.h2.send_headers(2 * limits.HTTP2_STREAMS + 1, request())
    assert [type(event) for event in peer.send()] == [Ended]
    assert peer.ended is not None
    assert peer.ended.code == 1002


def test_a_compression_table_without_bounds_is_not_filled() -> None:
    end = ServerEnd(max_body=2**20, plain=False, now=0.0)
    peer = Hand(end)
    peer.h2.update_settings({1: 2**31 - 1})
    peer.send()
    for number in range(300):
        peer.h2.send_headers(2 * number + 1, request(), end_stream=True)
        peer.send()
        end.respond(2 * number + 1, 200, b"x" * number, 0.0)
        peer.listen()
    assert peer.h2.decoder.header_table_size == limits.HTTP2_HEADER_TABLE_BYTES  # what our side keeps, mirrored
    assert len(peer.h2.decoder.header_table.dynamic_entries) < 10


def test_headers_that_unpack_to_much_are_refused() -> None:
    """An HPACK bomb: an entry of the table, named again and again by one byte each."""
    end = ServerEnd(max_body=2**20, plain=False, now=0.0)
    peer = Hand(end)
    block = peer.h2.encoder.encode([*request(), ("x-long", "y" * 3000)])
    peer.send(HeadersFrame(1, block, flags=["END_HEADERS", "END_STREAM"]).serialize())
    peer.send(HeadersFrame(3, b"\xbe" * 4000, flags=["END_HEADERS", "END_STREAM"]).serialize())
    assert peer.ended is not None
    assert peer.ended.code == 1002
