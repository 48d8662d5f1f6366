"""Frames: exact bytes, streams cut anywhere, refusal from the header."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from norc_actors.protocol import frames
from norc_actors.protocol.errors import Code, ProtocolError
from tests.vectors.files import holds, recorded
from tests.vectors.reading import Entry


@recorded("frames", "refused_frames", "aad")
def test_recorded(entry: Entry) -> None:
    assert holds(entry)


def test_header_sizes() -> None:
    assert (frames.V1_HEADER.size, frames.V2_HEADER.size, frames.FEDERATION_HEADER.size) == (5, 62, 6)


_V1 = st.builds(frames.V1Frame, st.integers(0, 255), st.binary(max_size=40))
_V2 = st.builds(
    frames.V2Frame,
    st.integers(0, 255),
    st.binary(min_size=16, max_size=16),
    st.integers(0, 2**64 - 1),
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=16, max_size=40),
)
_FED = st.builds(frames.FederationFrame, st.sampled_from([1, 2]), st.integers(0, 255), st.binary(max_size=40))


def _bytes(frame: object) -> bytes:
    if isinstance(frame, frames.V1Frame):
        return frames.encode_v1(frame.type, frame.payload)
    if isinstance(frame, frames.V2Frame):
        return frames.encode_v2(frame)
    assert isinstance(frame, frames.FederationFrame)
    return frames.encode_federation(frame.version, frame.type, frame.body)


@given(st.one_of(st.lists(_V1, max_size=4), st.lists(_V2, max_size=4), st.lists(_FED, max_size=4)), st.data())
def test_streams_cut_anywhere(sent: list[object], data: st.DataObject) -> None:
    stream: frames.FrameStream = frames.v1_stream()  # type: ignore[type-arg]
    if sent and isinstance(sent[0], frames.V2Frame):
        stream = frames.v2_stream()
    elif sent and isinstance(sent[0], frames.FederationFrame):
        stream = frames.federation_stream(1000)
    wire = b"".join(map(_bytes, sent))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=5)))
    received: list[object] = []
    for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        received += stream.feed(wire[start:end])
    assert received == sent
    assert stream.between_frames


@given(st.lists(_V2, min_size=1, max_size=3))
def test_byte_by_byte(sent: list[frames.V2Frame]) -> None:
    stream = frames.v2_stream()
    received = [frame for byte in b"".join(map(_bytes, sent)) for frame in stream.feed(bytes([byte]))]
    assert received == sent


@given(st.binary(max_size=200), st.sampled_from(["v1", "v2", "federation"]))
def test_any_bytes(data: bytes, kind: str) -> None:
    """Frames or one refusal, the same whole and byte by byte."""
    make = {"v1": frames.v1_stream, "v2": frames.v2_stream, "federation": frames.federation_stream}[kind]

    def run(pieces: list[bytes]) -> tuple[list[object], Code | None]:
        stream = make(100)
        got: list[object] = []
        try:
            for piece in pieces:
                got += stream.feed(piece)
        except ProtocolError as error:
            return got, error.code
        return got, None

    whole, refused = run([data])
    single, refused_single = run([bytes([byte]) for byte in data])
    assert refused == refused_single
    assert refused is not None or whole == single
    for decode in (frames.decode_v1, frames.decode_v2):
        try:
            assert _bytes(decode(data)) == data  # type: ignore[operator]
        except ProtocolError as error:
            assert error.code in (Code.MALFORMED, Code.TOO_LARGE)  # noqa: PT017 - one of two outcomes


def test_oversize_is_refused_from_the_header() -> None:
    for stream, header in (
        (frames.v1_stream(1000), b"\x00" + (1001).to_bytes(4, "big")),
        (frames.v2_stream(1000), b"\x02\x10" + (1001).to_bytes(4, "big") + bytes(56)),
        (frames.federation_stream(1000), b"\x02\x80" + (1001).to_bytes(4, "big")),
    ):
        with pytest.raises(ProtocolError) as caught:
            stream.feed(header)  # type: ignore[attr-defined]
        assert caught.value.code is Code.TOO_LARGE


def test_limits_are_inclusive() -> None:
    assert frames.decode_v1(frames.encode_v1(1, bytes(1000)), 1000).payload == bytes(1000)
    with pytest.raises(ProtocolError):
        frames.decode_v1(frames.encode_v1(1, bytes(1001)), 1000)


def test_short_sealed_length_and_other_versions() -> None:
    good = frames.encode_v2(frames.V2Frame(1, bytes(16), 1, bytes(32), bytes(16)))
    frames.decode_v2(good)
    short = frames.encode_v2(frames.V2Frame(1, bytes(16), 1, bytes(32), bytes(15)))
    for bad in (short, b"\x01" + good[1:], b"\x03" + good[1:], good[:-1], good + b"\0", good[:61], b""):
        with pytest.raises(ProtocolError):
            frames.decode_v2(bad)
    for version in (0, 3, 255):
        with pytest.raises(ProtocolError):
            frames.federation_stream(100).feed(bytes([version]) + bytes(5))
