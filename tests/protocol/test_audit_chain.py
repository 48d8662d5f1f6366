"""The audit chain and its daily root."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from norc_actors.crypto.errors import BadSignatureError
from norc_actors.crypto.signatures import SigningKey
from norc_actors.protocol import audit_chain as chain
from tests.support.people import seeded
from tests.vectors.files import holds, recorded


@recorded("audit", "audit_roots", "refused_audit_roots")
def test_recorded(entry):
    assert holds(entry)


@given(st.lists(st.binary(min_size=1, max_size=8), min_size=1, max_size=6), st.data())
def test_any_change_changes_the_head(entries, data):
    head = chain.head_of("n", entries)
    at = data.draw(st.integers(0, len(entries) - 1))
    assert chain.head_of("n", entries[:at] + entries[at + 1 :]) != head
    assert chain.head_of("m", entries) != head
    changed = [*entries]
    changed[at] = changed[at] + b"!"
    assert chain.head_of("n", changed) != head


def test_the_number_is_part_of_an_entry():
    assert chain.canonical_entry({"actor": b"p" * 16}, 7) == b'{"actor":"cHBwcHBwcHBwcHBwcHBwcA","seq":7}'
    assert chain.canonical_entry({"prev_hash": b"x", "entry_hash": b"y"}, 1) == b'{"seq":1}'


@pytest.mark.parametrize("algorithm", ["ed25519", "p256"])
def test_the_root_of_a_day(algorithm):
    key = SigningKey.generate(algorithm, seeded(algorithm))
    heads = [("node-2", 3, b"b" * 32), ("node-1", 0, chain.genesis("node-1"))]
    root = chain.make_root(key, "a.example", "2026-11-20", heads)
    assert [head["node_id"] for head in root["heads"]] == ["node-1", "node-2"]
    chain.verify_root(root, key.public_key)
    for changed in ({**root, "date": "2026-11-21"}, {**root, "heads": []}, {**root, "signature": "none"}):
        with pytest.raises(BadSignatureError):
            chain.verify_root(changed, key.public_key)
    with pytest.raises(ValueError, match="one head"):
        chain.make_root(key, "a.example", "2026-11-20", [heads[0], heads[0]])
