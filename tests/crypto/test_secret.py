"""Secrets: they hide, they are wiped, they are compared in constant time."""

import pickle

import pytest

from norc_actors.crypto.secret import Secret, same


def test_a_secret_does_not_show_itself():
    secret = Secret(b"top secret bytes")
    assert "secret bytes" not in f"{secret} {secret!r}"
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        hash(secret)
    assert secret == Secret(b"top secret bytes")
    assert secret != Secret(b"other")
    assert secret != b"top secret bytes"
    assert len(secret) == 16


def test_wiping():
    with Secret(b"bytes") as secret:
        assert secret.reveal() == b"bytes"
    with pytest.raises(ValueError, match="wiped"):
        secret.reveal()
    secret.wipe()


def test_same():
    assert same(b"a", b"a")
    assert not same(b"a", b"b")
    assert not same(b"a", b"aa")
