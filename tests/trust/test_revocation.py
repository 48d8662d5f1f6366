"""Revocations: what they bind, when, how much, and the chain that shows a missing one (rows B145, B148)."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from norc_actors.protocol.codec import convert
from norc_actors.protocol.errors import Code, ProtocolError
from norc_actors.protocol.messages.trust_decision import RevocationAcknowledgment
from norc_actors.protocol.trust_transcript import verify_message
from norc_actors.trust import revocation
from norc_actors.trust.revocation import chain_of, ends_at, taken
from tests.support.people import NOW
from tests.support.trust import party

B, C = party("b.example"), party("c.example")


def issuer(algorithm="ed25519"):
    return party("a.example", algorithm)


@pytest.mark.parametrize(
    ("wish", "effect"),
    [
        ({"reason": "voluntary"}, NOW),
        ({"reason": "voluntary", "grace_period": 100}, NOW + 100),
        ({"reason": "superseded", "effective_date": NOW + 50, "grace_period": 100}, NOW + 150),
        ({"reason": "compromised_key"}, NOW),
        ({"reason": "compromised_key", "grace_period": 100, "effective_date": NOW + 50}, NOW),
        ({"reason": "policy_violation", "effective_date": NOW - 50}, NOW - 50),
        ({"reason": "compromised_key", "scope": "conditional", "effective_date": NOW + 50}, NOW),
    ],
)
def test_when_it_takes_effect(wish, effect):
    a = issuer()
    certificate = a.grant(B)
    one = a.revoke(certificate, **wish)
    assert one.takes_effect == effect
    assert ends_at(certificate, [one]) == effect


def test_a_security_reason_is_never_late_whatever_its_clock_says():
    a = issuer()
    certificate = a.grant(B)
    ahead = a.revoke(certificate, reason="compromised_key", now=NOW + 10_000, came=NOW)
    assert ends_at(certificate, [ahead]) == NOW


def test_a_partial_one_takes_its_permissions_alone():
    a = issuer()
    certificate = a.grant(B)
    one = a.revoke(certificate, scope="partial", permissions=("message_relay",), grace_period=10)
    assert ends_at(certificate, [one]) is None
    assert taken(certificate, [one], NOW + 9) == frozenset()
    assert taken(certificate, [one], NOW + 10) == {"message_relay"}


def test_a_conditional_one_ends_it_after_its_grace():
    a = issuer()
    certificate = a.grant(B)
    one = a.revoke(certificate, scope="conditional", grace_period=1000, evidence=("show the audit",))
    assert ends_at(certificate, [one]) == NOW + 1000


def test_contradictions_are_read_as_the_stricter():
    a = issuer()
    certificate = a.grant(B)
    honest = a.revoke(certificate, reason="compromised_key")
    for changes in (
        {"revocation_scope": "partial"},
        {"revocation_scope": "partial", "partial_revocation_permissions": ["message_relay"]},
        {"grace_period": 10**6},
        {"revocation_reason": "voluntary", "revocation_scope": "partial"},
    ):
        plain = revocation.draft_message(a.key.public_key, honest.map | changes).by(a.key)
        odd = revocation.read(plain, [a.key.public_key], NOW)
        assert odd.full
        assert ends_at(certificate, [odd]) == NOW


def test_it_binds_its_signers_certificates_alone():
    a = issuer()
    mine, theirs = a.grant(B), C.grant(B)
    foreign = C.revoke(mine)  # C names a certificate that A issued
    assert (ends_at(mine, [foreign]), taken(mine, [foreign], NOW)) == (None, frozenset())
    own = a.revoke(mine)
    assert ends_at(mine, [foreign, own]) == NOW
    assert ends_at(theirs, [own]) is None


def test_a_signature_that_does_not_hold():
    a = issuer("p256")
    one = a.revoke(a.grant(B))
    for keys, plain in (((C.key.public_key,), one.map), ((), one.map), ((a.key.public_key,), one.map | {"x": 1})):
        with pytest.raises(ProtocolError) as refused:
            revocation.read(plain, keys, NOW)
        assert refused.value.code is Code.BAD_SIGNATURE
    assert revocation.read(one.map, [C.key.public_key, a.key.public_key], NOW) == one


def test_what_is_not_revocable_still_is_for_security():
    a = issuer()
    fixed = a.grant(B, revocable=False)
    with pytest.raises(ProtocolError) as refused:
        a.revoke(fixed)
    assert refused.value.code is Code.PERMISSION_DENIED
    assert ends_at(fixed, [a.revoke(fixed, reason="policy_violation")]) == NOW


@pytest.mark.parametrize("wish", [{"scope": "partial"}, {"permissions": ("message_relay",)}])
def test_a_wish_that_contradicts_itself_is_not_signed(wish):
    a = issuer()
    with pytest.raises(ProtocolError):
        a.revoke(a.grant(B), **wish)


def test_an_acknowledgment_is_signed():
    a = issuer()
    one = a.revoke(a.grant(B))
    draft = revocation.draft_acknowledgment(B.key.public_key, one, B.name, "disputed", ("links closed",), NOW)
    plain = draft.by(B.key)
    verify_message(plain, B.key.public_key, None)
    message = convert(plain, RevocationAcknowledgment)
    assert (message.revocation_id, message.acknowledging_server, message.acknowledgment_status) == (
        one.message.revocation_id, B.name, "disputed",
    )  # fmt: skip


# --- The chain ---


def three(algorithm="ed25519"):
    a = issuer(algorithm)
    return [a.revoke(a.grant(B)) for _ in range(3)]


@pytest.mark.parametrize("algorithm", ["ed25519", "p256"])
def test_in_any_order_a_whole_chain_is_whole(algorithm):
    chain = three(algorithm)
    for order in itertools.permutations(chain):
        judged = chain_of(order)
        assert (judged.head, judged.missing, judged.forked) == (chain[-1].hash, frozenset(), False)
    assert chain_of([]).head is None


@settings(deadline=None)
@given(known=st.sets(st.integers(0, 2), min_size=1))
def test_what_was_withheld_is_noticed_at_the_next(known):
    chain = three()
    judged = chain_of([chain[index] for index in sorted(known)])
    withheld = {index for index in range(max(known)) if index not in known and index + 1 in known}
    assert judged.missing == {chain[index].hash for index in withheld}


def test_a_fork_is_noticed():
    a = issuer()
    first = a.revoke(a.grant(B))
    second = a.revoke(a.grant(B))
    a.head = first.hash
    other = a.revoke(a.grant(C))
    judged = chain_of([first, second, other])
    assert (judged.head, judged.missing, judged.forked) == (None, frozenset(), True)
    a.head = None
    assert chain_of([first, a.revoke(a.grant(B))]).forked
