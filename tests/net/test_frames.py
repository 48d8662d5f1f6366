"""What we write, an independent reader understands."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import BytesMessage

from norc_actors.net.frames import binary_frames


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
