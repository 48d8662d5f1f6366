"""What we write, an independent reader understands; what an independent writer sends, we understand; nothing raises."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import BytesMessage, CloseConnection, Pong
from wsproto.events import Ping as WsprotoPing

from norc_actors.net.frames import Closing, Event, FrameReader, Ping, Refused, binary_frames, close_frame, pong_frame

LIMIT = 1000


def read(data: bytes, side: ConnectionType) -> list[bytes]:
    reader = Connection(side)
    reader.receive_data(data)
    messages, parts = [], []
    for event in reader.events():
        assert isinstance(event, BytesMessage)
        parts.append(bytes(event.data))
        if event.message_finished:
            messages.append(b"".join(parts))
            parts = []
    return messages


@given(st.lists(st.binary(max_size=300), max_size=5))
def test_frames_are_read_back(messages: list[bytes]) -> None:
    assert read(binary_frames(messages), ConnectionType.CLIENT) == messages
    masks = os.urandom(4 * len(messages))
    assert read(binary_frames(messages, masks), ConnectionType.SERVER) == messages


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65535, 65536, 1_000_001])
def test_each_form_of_length(length: int) -> None:
    message = os.urandom(length)
    assert read(binary_frames([message]), ConnectionType.CLIENT) == [message]
    assert read(binary_frames([message], b"\x01\x02\x03\x04"), ConnectionType.SERVER) == [message]


def test_a_mask_covers_the_message() -> None:
    assert binary_frames([b"abcde"], b"\x01\x01\x01\x01") == b"\x82\x85\x01\x01\x01\x01" + b"`cbed"


# --- control frames that a server writes ---


def test_a_pong_and_a_close_are_read_back() -> None:
    reader = Connection(ConnectionType.CLIENT)
    reader.receive_data(pong_frame(b"x") + close_frame(4000, "enough"))
    pong, close = reader.events()
    assert (type(pong), bytes(pong.payload)) == (Pong, b"x")
    assert (type(close), close.code, close.reason) == (CloseConnection, 4000, "enough")


def test_an_empty_close_and_a_long_reason() -> None:
    assert close_frame(1005) == b"\x88\x00"
    frame = close_frame(1000, "\u00e9" * 100)
    assert (frame[1], frame[4:].decode()) == (124, "\u00e9" * 61)


# --- reading ---


def head(first: int, length: int, *, masked: bool = True) -> bytes:
    bit = 0x80 if masked else 0
    mask = bytes(4) if masked else b""
    if length < 126:
        return bytes((first, bit | length)) + mask
    if length < 65536:
        return bytes((first, bit | 126)) + length.to_bytes(2, "big") + mask
    return bytes((first, bit | 127)) + length.to_bytes(8, "big") + mask


def frame(first: int, payload: bytes = b"") -> bytes:
    return head(first, len(payload)) + payload


@given(st.data())
def test_a_clients_frames_are_read_whole_or_in_pieces(data: st.DataObject) -> None:
    client = Connection(ConnectionType.CLIENT)
    sent: list[Event] = []
    wire = b""
    for _ in range(data.draw(st.integers(0, 6))):
        kind = data.draw(st.sampled_from(["message", "fragments", "ping", "pong"]))
        payload = data.draw(st.binary(max_size=300 if kind == "message" else 100))
        if kind == "message":
            wire += client.send(BytesMessage(payload))
            sent.append(payload)
        elif kind == "fragments":
            wire += client.send(BytesMessage(payload, message_finished=False))
            wire += client.send(WsprotoPing(b"between"))
            wire += client.send(BytesMessage(payload, message_finished=True))
            sent += [Ping(b"between"), payload + payload]
        elif kind == "ping":
            wire += client.send(WsprotoPing(payload))
            sent.append(Ping(payload))
        else:
            wire += client.send(Pong(payload))
    wire += client.send(CloseConnection(4000, "bye"))
    sent.append(Closing(4000, "bye"))
    assert FrameReader(LIMIT).feed(wire) == sent
    reader = FrameReader(LIMIT)
    assert [event for byte in wire for event in reader.feed(bytes([byte]))] == sent


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65535, 65536, 300_000])
def test_each_length_arrives(length: int) -> None:
    message = os.urandom(length)
    wire = binary_frames([message, b"next"], b"\x01\x02\x03\x04\x05\x06\x07\x08")
    reader = FrameReader(2**20)
    steps = [reader.feed(wire[at : at + 50_000]) for at in range(0, len(wire), 50_000)]
    assert [event for events in steps for event in events] == [message, b"next"]


@given(st.binary(max_size=200), st.integers(1, 20))
def test_any_bytes_give_events_and_the_same_in_pieces(data: bytes, step: int) -> None:
    whole = FrameReader(LIMIT).feed(data)
    reader = FrameReader(LIMIT)
    assert [event for at in range(0, len(data), step) for event in reader.feed(data[at : at + step])] == whole
    refusals = [event for event in whole if isinstance(event, Refused)]
    assert len(refusals) <= 1 or refusals[-1].lost


@pytest.mark.parametrize(
    ("wire", "code", "lost"),
    [
        (head(0x82, 3, masked=False), 1002, True),
        (head(0xC2, 3), 1002, True),
        (head(0x83, 3), 1002, True),
        (head(0x8B, 3), 1002, True),
        (head(0x80, 3), 1002, True),
        (frame(0x02, b"a") + head(0x82, 1), 1002, True),
        (head(0x09, 3), 1002, True),
        (head(0x89, 126), 1002, True),
        (b"\x82\xfe\x00\x7d" + bytes(4), 1002, True),
        (b"\x82\xff" + (65535).to_bytes(8, "big") + bytes(4), 1002, True),
        (b"\x82\xff\x80" + bytes(7) + bytes(4), 1002, True),
        (frame(0x88, b"x"), 1002, True),
        (frame(0x88, b"\x03\xed"), 1002, True),
        (frame(0x88, b"\x13\x88"), 1002, True),
        (frame(0x88, b"\x03\xe8\xff"), 1007, True),
        (head(0x81, 3), 1003, False),
        (head(0x01, 3), 1003, False),
        (head(0x82, LIMIT + 1), 1009, False),
        (head(0x82, 2**40), 1009, False),
        (frame(0x02, bytes(LIMIT)) + head(0x80, 1), 1009, False),
    ],
)
def test_what_is_refused_and_when(wire: bytes, code: int, lost: bool) -> None:
    """By the header: no payload has come yet."""
    [refused] = FrameReader(LIMIT).feed(wire)
    assert isinstance(refused, Refused)
    assert (refused.code, refused.lost) == (code, lost)


@pytest.mark.parametrize("first", [0x81, 0x82])
def test_after_a_refusal_only_the_close_is_reported(first: int) -> None:
    reader = FrameReader(LIMIT)
    [refused] = reader.feed(head(first, 5000))
    assert isinstance(refused, Refused)
    rest = bytes(5000) + frame(0x82, b"not taken") + frame(0x89, b"ping") + frame(0x02, b"a") + frame(0x88, b"\x03\xe8")
    assert [event for at in range(0, len(rest), 7) for event in reader.feed(rest[at : at + 7])] == [Closing(1000, "")]


@pytest.mark.parametrize("end", [head(0xC2, 0), frame(0x88)])
def test_after_a_lost_boundary_or_a_close_nothing_is_read(end: bytes) -> None:
    reader = FrameReader(LIMIT)
    assert len(reader.feed(end + frame(0x82, b"late"))) == 1
    assert reader.feed(frame(0x82, b"late")) == []


def test_a_message_of_the_longest_length_is_taken() -> None:
    assert FrameReader(LIMIT).feed(frame(0x82, bytes(LIMIT))) == [bytes(LIMIT)]
    assert FrameReader(LIMIT).feed(frame(0x02, bytes(LIMIT - 1)) + frame(0x80, b"x")) == [bytes(LIMIT - 1) + b"x"]


def test_empty_fragments_hold_nothing() -> None:
    reader = FrameReader(LIMIT)
    for _ in range(1000):
        assert reader.feed(frame(0x02)) + reader.feed(frame(0x00) * 100) == []
        assert reader.feed(frame(0x80)) == [b""]
