"""What a person sees of a captured frame: all of it, and never a crash."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from norc_actors.crypto.suites import SUITES
from norc_actors.protocol import codec
from norc_actors.protocol.frames import decode_v1, encode_v1
from norc_actors.protocol.handshake import ClientHandshake, KnownKeys
from norc_actors.protocol.inspection import FrameKey, inspect_frame, inspect_payload
from norc_actors.protocol.messages import Ping
from norc_actors.protocol.registry import code_of
from norc_actors.protocol.schema import Message
from norc_actors.protocol.sealed import Keys, SealedSession
from tests.support.links import scripted
from tests.support.messages import any_message


def test_a_sealed_frame_with_and_without_its_key() -> None:
    th, key = b"t" * 32, b"k" * 32
    session = SealedSession(
        role="client", suite=SUITES["0101"], th=th, keys=Keys(c2s=key, s2c=bytes(32), rs=bytes(32)),
        random=scripted(b"\1\2\3", bytes(16)), now=0.0, send_limit=2**20, receive_limit=2**20,
    )  # fmt: skip
    (frame,) = session.seal(9, codec.encode(Ping(timestamp=1_790_000_000)))
    closed = dict(inspect_frame(frame))
    assert closed["frame"] == "v2 (sealed)"
    assert closed["type"] == "09 ping"
    assert closed["sequence"] == str(0x010203)
    assert closed["message_id"] == "00000000-0000-4000-8000-000000000000"
    assert "timestamp" not in closed
    opened = dict(inspect_frame(frame, FrameKey(suite="0101", key=key, th=th)))
    assert opened["opened"].startswith("yes")
    assert opened["timestamp"] == "1790000000"
    wrong = FrameKey(suite="0001", key=bytes(32), th=th)
    assert dict(inspect_frame(frame, wrong))["opened"].startswith("no")
    assert "refused" in dict(inspect_frame(frame[:-1], FrameKey(suite="0101", key=key, th=th)))


def test_an_unsealed_frame() -> None:
    client = ClientHandshake(server_name="a.example", known=KnownKeys(), random=bytes)  # type: ignore[arg-type]
    plain = codec.decode_map(decode_v1(client.request).payload) | {"x_unknown": {"kept": b"\1"}}
    fields = dict(inspect_frame(encode_v1(0, codec.encode_map(plain))))
    assert fields["type"] == "connection_request"  # the member; the header's line stands before it
    assert fields["preferred_version"] == "2.0"
    assert fields["x_unknown.kept"] == "01"
    assert fields["pq_public_key"].endswith("(1184 bytes)")
    assert "refused" not in fields


@given(any_message())
def test_every_member_of_every_message_is_shown(message: Message) -> None:
    fields = inspect_payload(code_of(type(message)), codec.encode(message))
    roots = {field.name.split(".")[0].split("[")[0] for field in fields}
    assert set(codec.to_map(message)) <= roots
    assert "refused" not in roots


@given(st.binary(max_size=150))
def test_any_bytes(data: bytes) -> None:
    for frame in (data, encode_v1(9, data), b"\x02" + data):
        for name, value in inspect_frame(frame, FrameKey(suite="0101", key=bytes(32), th=bytes(32))):
            assert (name + value).isprintable()


@pytest.mark.parametrize("payload", [b"\x91" * 900 + b"\xc0", b"\x81\xa1a\xa2\x1b[", b"\xc1", b""])
def test_hostile_payloads(payload: bytes) -> None:
    fields = inspect_payload(9, payload)
    assert fields[-1].name == "refused"
    assert all(field.value.isprintable() for field in fields)
