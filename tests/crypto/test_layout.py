"""Layouts: no two inputs give the same bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from norc_actors.crypto import layout
from tests.vectors.files import holds, recorded


@recorded("aad")
def test_recorded(entry):
    assert holds(entry)


@given(st.lists(st.binary(max_size=20), max_size=4), st.lists(st.binary(max_size=20), max_size=4))
def test_length_prefixes_are_injective(a, b):
    assert (b"".join(map(layout.lv, a)) == b"".join(map(layout.lv, b))) == (a == b)


def test_integers():
    assert layout.u16(0x0101) == b"\1\1"
    assert layout.u32(1) == b"\0\0\0\1"
    assert layout.u64(2**64 - 1) == b"\xff" * 8
    assert layout.sequence_nonce(7) == bytes(11) + b"\7"
    with pytest.raises(ValueError, match="AAD"):
        layout.aad_v1(2, 0, 16, 0, bytes(15), 16, bytes(32), bytes(32))
