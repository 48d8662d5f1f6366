"""A connection in JSON: the same handshake, seals, chains and re-keys; the text forms are strict and lose nothing."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from norc_actors.ids import uuid_bytes
from norc_actors.limits import DH_REKEY_SECONDS, FRAMES_PER_KEY
from norc_actors.protocol import codec
from norc_actors.protocol.canonical import Value, canonical
from norc_actors.protocol.encodings import JSON, JSON_SUBPROTOCOL, MESSAGEPACK, encoding_of
from norc_actors.protocol.errors import Code, PeerError, ProtocolError
from norc_actors.protocol.frames import V1Frame, V2Frame, decode_v1, decode_v2, encode_v2
from norc_actors.protocol.handshake import ClientHandshake, ServerHandshake, refusal
from norc_actors.protocol.json_frames import JsonSession, decode_bare, encode_bare, from_json, to_json
from norc_actors.protocol.messages import Ping, PrekeyStatus
from norc_actors.protocol.registry import code_of
from norc_actors.protocol.schema import Message
from norc_actors.protocol.sealed import Discarded, Keys, Opened, Rekeyed, SealedSession
from norc_actors.protocol.server_keys import KnownKeys
from tests.support.links import SERVER, keys, offer, pair, seeded, shake_hands
from tests.support.messages import MESSAGES, any_message, structs
from tests.support.vectors import section

frames = st.builds(
    V2Frame,
    type=st.integers(0, 255),
    message_id=st.uuids().map(lambda value: value.bytes),
    sequence=st.integers(0, 2**53 - 1),
    prev_message_hash=st.binary(min_size=32, max_size=32),
    ciphertext=st.binary(min_size=16, max_size=80),
)
FRAME = V2Frame(16, uuid_bytes("8730f70d-c056-4103-9108-3d814ee5a7da"), 5, bytes(32), b"c" * 20)


def _ends(suite: str = "0101") -> tuple[SealedSession, SealedSession]:
    ends = pair(suite, subprotocol=JSON_SUBPROTOCOL)
    return ends.client.sealed, ends.server.sealed


# --- Every type, every way (row B20) ---


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
@settings(max_examples=3)
@given(data=st.data())
def test_binary_json_and_object_of_every_type(kind: type[Message], data: st.DataObject) -> None:
    message = data.draw(structs(kind))
    code, binary = code_of(kind), codec.encode(message)
    from_binary = MESSAGEPACK.decode(code, binary)
    text = JSON.encode(from_binary.message)
    from_text = JSON.decode(code, text)
    assert from_text.message == from_binary.message == message
    assert from_text.map == from_binary.map
    assert canonical(from_text.map) == canonical(from_binary.map)
    assert codec.decode_map(MESSAGEPACK.encode(from_text.message)) == from_binary.map
    assert json.loads(text)["type"] == codec.to_map(message)["type"]
    assert decode_bare(text).type == code
    assert JSON.decode_as(kind, text).message == MESSAGEPACK.decode_as(kind, binary).message


# --- Frames ---


@given(frames)
def test_a_frame_both_ways(frame: V2Frame) -> None:
    assert from_json(to_json(frame)) == frame
    assert decode_v2(encode_v2(from_json(to_json(frame)))) == frame


def test_vectors_in_json() -> None:
    for entry in section("sealed"):
        for frame in entry["frames"]:
            binary = bytes.fromhex(frame["frame"])
            assert encode_v2(from_json(to_json(decode_v2(binary)))) == binary


def test_the_exact_text() -> None:
    assert to_json(FRAME) == (
        b'{"ver":2,"type":16,"length":20,"message_id":"8730f70d-c056-4103-9108-3d814ee5a7da","sequence":5,'
        b'"prev_message_hash":"' + b"A" * 43 + b'","ciphertext":"Y2NjY2NjY2NjY2NjY2NjY2NjY2M"}'
    )


@given(frames, st.randoms(use_true_random=False))
def test_members_in_any_order(frame: V2Frame, random: Any) -> None:
    members = list(json.loads(to_json(frame)).items())
    random.shuffle(members)
    assert from_json(json.dumps(dict(members), indent=1).encode()) == frame


BAD: dict[str, list[Any]] = {
    "ver": [1, 3, "2", True, None, 2.0],
    "type": [-1, 256, "16", True, "message_send", None],
    "length": [19, 21, "20", -20, 20.0, None],
    "message_id": ["", "8730F70D-C056-4103-9108-3D814EE5A7DA", "8730f70dc05641039108" + "0" * 12, 1, None],
    "sequence": [-1, 2**53, "5", 5.0, True, None],
    "prev_message_hash": ["", "A" * 42, "A" * 44, "A" * 43 + "=", "A" * 42 + "B", "+" * 43, 1, None],
    "ciphertext": ["", "Y2Nj", "Y2NjY2NjY2NjY2NjY2NjY2NjY2M=", "Y2NjY2NjY2NjY2NjY2NjY2NjY2N", " " * 27, 1, None],
}


@pytest.mark.parametrize(("member", "value"), [(member, value) for member, values in BAD.items() for value in values])
def test_members_refused(member: str, value: Any) -> None:
    with pytest.raises(ProtocolError) as caught:
        from_json(json.dumps(json.loads(to_json(FRAME)) | {member: value}).encode())
    assert caught.value.code is Code.MALFORMED


@pytest.mark.parametrize("member", BAD)
def test_each_member_once_and_no_other(member: str) -> None:
    plain = json.loads(to_json(FRAME))
    text = to_json(FRAME)
    twice = text[:-1] + f',"{member}":{json.dumps(plain[member])}}}'.encode()
    less = json.dumps({key: value for key, value in plain.items() if key != member}).encode()
    for bad in (twice, less, text[:-1] + b',"x":1}', text + b" x", b"\xef\xbb\xbf" + text, text[:-1], b"[]"):
        with pytest.raises(ProtocolError) as caught:
            from_json(bad)
        assert caught.value.code is Code.MALFORMED


def test_a_short_ciphertext() -> None:
    with pytest.raises(ProtocolError) as caught:
        from_json(to_json(V2Frame(16, bytes(16), 5, bytes(32), bytes(15))))
    assert caught.value.code is Code.MALFORMED


def test_max_frame_bounds_the_text() -> None:
    text = to_json(FRAME)
    assert from_json(text, len(text)) == FRAME
    for read in (from_json, decode_bare):
        with pytest.raises(ProtocolError) as caught:
            read(text, len(text) - 1)
        assert caught.value.code is Code.TOO_LARGE


@given(st.binary(max_size=100) | st.text(max_size=40).map(str.encode))
def test_any_bytes(data: bytes) -> None:
    for read in (from_json, decode_bare):
        with pytest.raises(ProtocolError):
            read(data)


@given(any_message())
@settings(max_examples=40)
def test_bare_objects(message: Message) -> None:
    text = encode_bare(message)
    frame = decode_bare(text)
    assert frame == V1Frame(code_of(type(message)), text)
    assert JSON.decode(frame.type, frame.payload).message == message
    assert JSON.pack(message) == text
    assert decode_v1(MESSAGEPACK.pack(message)) == MESSAGEPACK.unpack(MESSAGEPACK.pack(message), 2**24)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{"timestamp":1}', Code.MALFORMED), ('{"type":9}', Code.MALFORMED), ('{"type":"nonsense"}', Code.UNKNOWN_TYPE),
        ('{"type":"ping","type":"ping"}', Code.MALFORMED), ('"ping"', Code.MALFORMED),
    ],
)  # fmt: skip
def test_bare_objects_refused(text: str, code: Code) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode_bare(text.encode())
    assert caught.value.code is code


# --- Sessions ---


@pytest.mark.parametrize("suite", ["0101", "0102", "0001", "0002"])
def test_a_connection_in_json(suite: str) -> None:
    client, server = _ends(suite)
    assert isinstance(client, JsonSession)
    for sender, receiver in ((client, server), (server, client)) * 2:
        (text,) = sender.seal(9, JSON.encode(Ping(timestamp=5)))
        assert set(json.loads(text)) == set(BAD)
        opened = receiver.receive(text)
        assert isinstance(opened, Opened)
        assert JSON.decode(opened.code, opened.plaintext).message == Ping(timestamp=5)


def test_the_same_frames_as_in_binary() -> None:
    """Only the coat differs: from the same keys and randomness, JSON's frames are the binary ones."""
    ends = pair("0001")
    text, binary = (
        kind(
            role="client", suite=ends.client.suite, th=ends.client.th, keys=_keys(), random=seeded(9), now=0.0,
            send_limit=2**20, receive_limit=2**20,
        )
        for kind in (JsonSession, SealedSession)
    )  # fmt: skip
    for n in range(3):
        (one,), (other,) = text.seal(9, b"payload %d" % n), binary.seal(9, b"payload %d" % n)
        assert encode_v2(from_json(one)) == other


def _keys() -> Any:

    return Keys(c2s=bytes(32), s2c=b"s" * 32, rs=b"r" * 32)


@pytest.mark.parametrize("suite", ["0101", "0001"])
def test_every_rekey_in_json(suite: str) -> None:
    client, server = _ends(suite)
    for text in client.update():
        assert server.receive(text) == Rekeyed()
    for text in server.update():
        assert client.receive(text) == Rekeyed()
    assert client.dh_due(1000.0 + DH_REKEY_SECONDS)
    (asked,) = client.ask_dh(1000.0 + DH_REKEY_SECONDS)
    answered = server.receive(asked)
    assert isinstance(answered, Rekeyed)
    done = client.receive(answered.frames[0])
    assert isinstance(done, Rekeyed)
    assert server.receive(done.frames[0]) == Rekeyed()
    for sender, receiver in ((client, server), (server, client)):
        (text,) = sender.seal(9, b"after")
        assert receiver.receive(text) == Opened(9, b"after")


def test_the_thousandth_frame_renews_the_key() -> None:
    client, server = _ends("0001")
    for _ in range(FRAMES_PER_KEY - 1):
        server.receive(client.seal(9, b"x")[0])
    update, text = client.seal(9, b"y")
    assert server.receive(update) == Rekeyed()
    assert server.receive(text) == Opened(9, b"y")


def test_what_does_not_open_is_discarded_and_counted() -> None:
    client, server = _ends("0001")
    for _ in range(2):
        plain = json.loads(client.seal(9, b"x")[0])
        plain["type"] = 10
        assert isinstance(server.receive(json.dumps(plain).encode()), Discarded)
    assert server.receive(client.seal(9, b"x")[0]) == Opened(9, b"x")


def test_a_malformed_text_closes() -> None:
    client, server = _ends("0001")
    text = client.seal(9, b"x")[0]
    with pytest.raises(ProtocolError):
        server.receive(text.replace(b'"ver":2', b'"ver":2.0'))
    with pytest.raises(ProtocolError) as caught:
        server.receive(text)
    assert caught.value.code is Code.WRONG_STATE


def test_what_fits_is_counted_in_text() -> None:
    client, server = _ends("0001")
    limit = 1024 * 1024
    most = max(length for length in range(limit * 3 // 4 - 400, limit * 3 // 4) if client.fits(length))
    (text,) = client.seal(255, bytes(most))
    assert limit - 40 <= len(text) <= limit
    assert isinstance(server.receive(text), Opened)
    with pytest.raises(ProtocolError) as caught:
        client.seal(9, bytes(most + 1))
    assert caught.value.code is Code.TOO_LARGE


# --- The handshake ---


def test_the_transcript_is_that_of_the_maps() -> None:
    """One th from the same request, whether it was read as JSON or as MessagePack; unknown members included."""
    client = ClientHandshake(server_name=SERVER, known=KnownKeys(), random=seeded(3), subprotocol=JSON_SUBPROTOCOL)
    text = client.request[:-1] + b',"x_new":{"AQ":"AQ"}}'
    received = JSON.decode(0, text)
    binary = codec.encode_map(received.map)
    assert canonical(codec.decode_map(binary)) == canonical(received.map) == canonical(json.loads(text))
    ends = pair("0101", subprotocol=JSON_SUBPROTOCOL)
    assert ends.client.th == ends.server.th


def test_unknown_members_of_a_request_enter_the_transcript() -> None:
    def add(text: bytes) -> bytes:
        return text[:-1] + b',"x_new":"AQ"}'

    identity = keys()
    client = ClientHandshake(server_name=SERVER, known=KnownKeys(), random=seeded(3), subprotocol=JSON_SUBPROTOCOL)
    with pytest.raises(ProtocolError) as caught:  # someone in the middle added it: the signature does not hold
        shake_hands(
            client, ServerHandshake(offer(identity), random=seeded(4)), identity,
            subprotocol=JSON_SUBPROTOCOL, on_request=add,
        )  # fmt: skip
    assert caught.value.code is Code.INVALID_SIGNATURE


def test_a_refusal_in_json() -> None:
    client = ClientHandshake(server_name=SERVER, known=KnownKeys(), random=seeded(3), subprotocol=JSON_SUBPROTOCOL)
    text = refusal(ProtocolError(Code.NO_COMPATIBLE_VERSION), 1000.0, JSON)
    assert json.loads(text)["type"] == "error"
    with pytest.raises(PeerError) as caught:
        client.accept(text, 1000.0)
    assert caught.value.error_code == Code.NO_COMPATIBLE_VERSION


def test_each_encoding_refuses_the_other() -> None:
    client = ClientHandshake(server_name=SERVER, known=KnownKeys(), random=seeded(3), subprotocol=JSON_SUBPROTOCOL)
    server = ServerHandshake(offer(keys()), random=seeded(4))
    with pytest.raises(ProtocolError):
        server.prepare(client.request, uri_version="2.0", subprotocol="norc-c-v2.0", now=1000.0)
    assert encoding_of("norc-c-v1") is encoding_of("norc-c-v2.0") is MESSAGEPACK
    assert encoding_of(JSON_SUBPROTOCOL) is JSON


def test_small_talk() -> None:
    status = PrekeyStatus(one_time_left=1, bundle_expires_at=2)
    plain: dict[str, Value] = JSON.decode_as(PrekeyStatus, JSON.encode(status)).map
    assert plain == {"type": "prekey_status", "one_time_left": 1, "bundle_expires_at": 2}
