"""Revocations: who may sign, the chain of each signer, and what a withheld one looks like."""

import pytest

from norc_actors.crypto.errors import BadSignatureError
from norc_actors.ids import new_uuid
from norc_actors.protocol import revocation
from norc_actors.protocol.revocation import RevocationChainError, make_revocation, verify_revocation
from tests.support.people import ALGORITHMS, NOW, Person, make_server, seeded
from tests.vectors.files import holds, recorded


@recorded("revocations", "refused_revocations")
def test_recorded(entry):
    assert holds(entry)


@pytest.fixture(params=ALGORITHMS)
def bob(request):
    return Person("bob", make_server(algorithm=request.param), algorithm=request.param)


def revoke(bob, signer, *, signed_by="user", previous=None, seed=0):
    return make_revocation(
        signer, user_id=bob.user_id, device_id=new_uuid(seeded(("device", seed))), reason="lost", signed_by=signed_by,
        effective=NOW, revocation_id=new_uuid(seeded(("revocation", seed))), previous=previous,
    )  # fmt: skip


def test_each_signer(bob):
    phone = bob.phone()
    keys = {"user": bob.user_key, "device": phone.key, "server": bob.server.key}
    for signed_by, key in keys.items():
        made = revoke(bob, key, signed_by=signed_by)
        typed = verify_revocation(made, key.public_key, None)
        assert typed.signed_by == signed_by
        found = revocation.key_for(
            typed, user_key=keys["user"].public_key, device_key=keys["device"].public_key,
            server_key=keys["server"].public_key,
        )  # fmt: skip
        assert found == key.public_key
        for other in keys.values():
            if other is not key:
                with pytest.raises(BadSignatureError):
                    verify_revocation(made, other.public_key, None)
    with pytest.raises(BadSignatureError):
        revocation.key_for(
            verify_revocation(revoke(bob, phone.key, signed_by="device"), phone.key.public_key, None),
            user_key=None, device_key=None, server_key=b"",
        )  # fmt: skip


@pytest.mark.parametrize(
    ("member", "value"),
    [("device_id", new_uuid(seeded(1))), ("effective", NOW + 1), ("reason", "retired"), ("signed_by", "server")],
)
def test_any_change_breaks_it(bob, member, value):
    made = revoke(bob, bob.user_key)
    with pytest.raises(BadSignatureError):
        verify_revocation({**made, member: value}, bob.user_key.public_key, None)


def test_the_chain(bob):
    key = bob.user_key.public_key
    first = revoke(bob, bob.user_key)
    assert "prev_revocation_hash" not in first
    second = revoke(bob, bob.user_key, previous=first, seed=1)
    third = revoke(bob, bob.user_key, previous=second, seed=2)
    verify_revocation(second, key, first)
    verify_revocation(third, key, second)
    for made, previous in ((third, first), (second, None), (first, second)):
        with pytest.raises(RevocationChainError) as broken:
            verify_revocation(made, key, previous)
        assert broken.value.revocation.device_id == made["device_id"]  # binding all the same
    with pytest.raises(BadSignatureError):  # a forged one is no revocation, chained or not
        verify_revocation({**third, "device_id": first["device_id"]}, key, first)


def test_chains_of_two_signers_are_two(bob):
    first = revoke(bob, bob.user_key)
    by_server = revoke(bob, bob.server.key, signed_by="server", seed=1)
    verify_revocation(by_server, bob.server.key.public_key, None)
    with pytest.raises(ValueError, match="another user or signer"):
        verify_revocation(by_server, bob.server.key.public_key, first)


def test_kept():
    assert revocation.kept_until(NOW) == NOW + 30 * 86400
