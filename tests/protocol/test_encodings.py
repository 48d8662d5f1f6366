"""The two encodings behind one interface: what either writes it reads, and the subprotocol alone chooses."""

import pytest
from hypothesis import given

from norc_actors.protocol.encodings import JSON, MESSAGEPACK, encoding_of
from norc_actors.protocol.errors import Code, ProtocolError
from norc_actors.protocol.json_frames import JsonSession
from norc_actors.protocol.messages import Ping, Pong
from norc_actors.protocol.registry import code_of
from norc_actors.protocol.schema import Message
from norc_actors.protocol.sealed import SealedSession
from tests.support.messages import any_message

BOTH = pytest.mark.parametrize("encoding", [MESSAGEPACK, JSON], ids=["MessagePack", "JSON"])


@given(any_message())
def test_a_message_and_its_frame(message: Message) -> None:
    code = code_of(type(message))
    for encoding in (MESSAGEPACK, JSON):
        data = encoding.encode(message)
        assert encoding.decode(code, data).message == message
        assert encoding.decode_as(type(message), data).message == message
        frame = encoding.unpack(encoding.pack(message), 2**25)
        assert frame.type == code
        assert encoding.decode(frame.type, frame.payload).message == message


@given(any_message())
def test_both_say_the_same_map(message: Message) -> None:
    kind = type(message)
    maps = [encoding.decode_as(kind, encoding.encode(message)).map for encoding in (MESSAGEPACK, JSON)]
    assert maps[0] == maps[1]


@BOTH
def test_what_is_refused(encoding) -> None:
    frame = encoding.pack(Ping(timestamp=1))
    with pytest.raises(ProtocolError) as caught:
        encoding.unpack(frame, 3)
    assert caught.value.code is Code.TOO_LARGE
    with pytest.raises(ProtocolError):
        encoding.unpack(frame[:-1], 100)
    with pytest.raises(ProtocolError):
        encoding.decode_as(Pong, encoding.encode(Ping(timestamp=1)))
    with pytest.raises(ProtocolError) as caught:
        encoding.decode(0xFF, encoding.encode(Ping(timestamp=1)))
    assert caught.value.code is Code.UNKNOWN_TYPE


def test_one_does_not_read_the_other() -> None:
    for ours, theirs in ((MESSAGEPACK, JSON), (JSON, MESSAGEPACK)):
        with pytest.raises(ProtocolError):
            ours.unpack(theirs.pack(Ping(timestamp=1)), 100)


def test_the_subprotocol_chooses() -> None:
    assert encoding_of("norc-c-json-v1") is JSON
    for name in ("norc-c-v1", "norc-c-v2.0", ""):
        assert encoding_of(name) is MESSAGEPACK
    assert (MESSAGEPACK.session, JSON.session) == (SealedSession, JsonSession)
