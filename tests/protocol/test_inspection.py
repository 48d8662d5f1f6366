"""What a person sees of a captured frame: all of it, and never a crash."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from norc_actors.protocol import codec
from norc_actors.protocol.frames import encode_v1
from norc_actors.protocol.inspection import FrameKey, inspect_frame, inspect_payload
from norc_actors.protocol.registry import code_of
from norc_actors.protocol.schema import Message
from tests.support.messages import any_message
from tests.support.vectors import section


def test_a_sealed_frame_with_and_without_its_key() -> None:
    vector = section("sealed")[0]
    frame = bytes.fromhex(vector["frames"][0]["frame"])
    closed = dict(inspect_frame(frame))
    assert closed["frame"] == "v2 (sealed)"
    assert closed["type"] == "09 ping"
    assert closed["sequence"] == str(vector["first_sequence"])
    assert closed["message_id"] == vector["frames"][0]["message_id"]
    assert "timestamp" not in closed
    key = FrameKey(suite="0101", key=bytes.fromhex(vector["key"]), th=bytes.fromhex(vector["th"]))
    opened = dict(inspect_frame(frame, key))
    assert opened["opened"].startswith("yes")
    assert opened["timestamp"] == "1790000000"
    wrong = FrameKey(suite="0001", key=bytes(32), th=key.th)
    assert dict(inspect_frame(frame, wrong))["opened"].startswith("no")
    assert "refused" in dict(inspect_frame(frame[:-1], key))


def test_an_unsealed_frame() -> None:
    vector = section("handshake")[0]["request"]
    fields = dict(inspect_frame(encode_v1(0, bytes.fromhex(vector["msgpack"]))))
    assert fields["type"] == "connection_request"  # the member; the header's line stands before it
    assert fields["client_versions[2]"] == "2.0"
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
