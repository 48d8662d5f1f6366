"""Trust certificates: what is issued, the six checks each failing alone, fuzz, renewal with overlap (row B143)."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from norc_actors.limits import TRUST_CERTIFICATE_SECONDS, TRUST_MAX_AGE_SECONDS
from norc_actors.protocol.codec import decode_map, encode_map
from norc_actors.protocol.errors import Code, ProtocolError
from norc_actors.protocol.messages.trust_decision import TrustCondition
from norc_actors.protocol.trust_levels import ALLOWANCES
from norc_actors.trust import certificates
from norc_actors.trust.certificates import CHECKS, Against, Certificate, Grant, check
from norc_actors.trust.policy import PERMISSIONS
from tests.support.people import NOW
from tests.support.trust import party

A, B, C = party("a.example"), party("b.example", "p256"), party("c.example")


def against(**changes):
    base = Against(issuer=A.name, subject=B.name, issuer_keys=(C.key.public_key, A.key.public_key), now=NOW)
    return dataclasses.replace(base, **changes)


def code_of(certificate, judged=None):
    try:
        check(certificate, judged or against())
    except ProtocolError as error:
        return error.code
    return None


def missed(action, deadline=NOW):
    return TrustCondition(condition="compliance_audit", deadline=deadline, auto_action=action)


def resigned(certificate, key=A.key, **changes):
    return Certificate.read(certificates.draft_certificate(key.public_key, certificate.map | changes).by(key))


def test_what_is_issued_passes_and_says_what_was_granted():
    granted = A.grant(B, "verified", permissions=frozenset({"message_relay", "voice_calls"}), transit=True)
    check(granted, against(permission="voice_calls"))
    assert (granted.issuer, granted.subject, granted.keys) == (A.name, B.name, (B.key.public_key,))
    assert granted.permissions == {"message_relay", "voice_calls"}
    assert (granted.transit, granted.agreement) == (True, frozenset())
    assert granted.max_message == ALLOWANCES["verified"].max_message
    assert granted.terms.not_after == NOW + TRUST_CERTIFICATE_SECONDS
    assert Certificate.read(decode_map(encode_map(granted.map))) == granted
    small = A.grant(B, "basic", max_message_size=1000, permissions=frozenset(PERMISSIONS))
    assert (small.max_message, small.permissions) == (1000, set(PERMISSIONS))


def test_several_keys_are_pinned():
    keys = (B.key.public_key, C.key.public_key)
    draft = certificates.draft(
        A.key.public_key, Grant(level="basic"), issuer=A.name, subject=B.name, keys=keys, now=NOW,
        certificate_id=A.grant(B).id,
    )  # fmt: skip
    assert Certificate.read(draft.by(A.key)).keys == keys


def test_an_agreement_counts_at_nato_alone():
    agreed = {"agreement": frozenset({"secret", "nato_secret"}), "agreement_reference": "MOU 7"}
    assert A.grant(B, "nato", **agreed).agreement == {"secret"}
    assert A.grant(B, "nato", agreement=frozenset({"secret"})).agreement == frozenset()
    assert A.grant(B, "classified", **agreed).agreement == frozenset()
    forged = resigned(A.grant(B, "classified"), extensions={"agreement": {"classifications": ["secret"]}})
    assert forged.agreement == frozenset()
    for odd in ("secret", ["x", 7], 1, {}):
        assert resigned(A.grant(B, "nato"), extensions={"agreement": {"classifications": odd}}).agreement == frozenset()
    assert resigned(A.grant(B, "nato"), extensions={"agreement": "secret"}).agreement == frozenset()


def test_nothing_is_granted_without_a_level():
    with pytest.raises(ProtocolError) as refused:
        A.grant(B, "untrusted")
    assert refused.value.code is Code.INSUFFICIENT_TRUST


# --- The six checks, each failing alone ---


def test_the_six_checks_are_named_in_order():
    names = ["issuer", "signature", "expiry", "permissions", "conditions", "revocation"]
    assert [name for name, _ in CHECKS] == names


@pytest.mark.parametrize(
    ("name", "certificate", "judged", "code"),
    [
        ("issuer", A.grant(C), against(), Code.WRONG_TARGET),
        ("issuer", C.grant(B), against(), Code.WRONG_TARGET),
        ("signature", resigned(A.grant(B), key=C.key), against(issuer_keys=(A.key.public_key,)), Code.BAD_SIGNATURE),
        ("signature", A.grant(B), against(issuer_keys=()), Code.BAD_SIGNATURE),
        ("expiry", A.grant(B), against(now=NOW - 1), Code.TRUST_EXPIRED),
        ("expiry", A.grant(B), against(now=NOW + TRUST_CERTIFICATE_SECONDS), Code.TRUST_EXPIRED),
        ("permissions", A.grant(B), against(permission="voice_calls"), Code.PERMISSION_DENIED),
        ("permissions", resigned(A.grant(B), trust_level="untrusted"), against(), Code.INSUFFICIENT_TRUST),
        ("permissions", resigned(A.grant(B), trust_level="basic"), against(), Code.PERMISSION_DENIED),
        ("permissions", resigned(A.grant(B), extensions={"agreement": {}}), against(), Code.PERMISSION_DENIED),
        ("conditions", A.grant(B, conditions=(missed("revoke"),)), against(), Code.TRUST_EXPIRED),
        ("revocation", A.grant(B), against(revoked_from=NOW), Code.TRUST_REVOKED),
    ],
)
def test_each_check_fails_alone(name, certificate, judged, code):
    assert code_of(certificate, judged) is code
    for other, one in CHECKS:
        if other != name:
            one(certificate, judged)


@pytest.mark.parametrize(
    ("certificate", "judged"),
    [
        (A.grant(B), against(now=NOW + TRUST_CERTIFICATE_SECONDS - 1)),
        (A.grant(B), against(revoked_from=NOW + 1)),
        (A.grant(B, conditions=(missed("revoke", NOW + 1),)), against()),
        (A.grant(B, conditions=(missed("downgrade"), missed("notify"))), against()),
    ],
)
def test_what_is_not_yet_due_passes(certificate, judged):
    check(certificate, judged)


# --- Fuzz ---

VALUES = st.one_of(
    st.integers(-2, 2**53), st.text(max_size=8), st.binary(max_size=70), st.booleans(), st.just([]), st.just({}),
    st.lists(st.integers(0, 9), max_size=3),
)  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(member=st.sampled_from(sorted(A.grant(B).map)), value=VALUES)
def test_a_changed_member_never_passes(member, value):
    certificate = A.grant(B)
    if certificate.map[member] == value:
        return
    try:
        check(Certificate.read(certificate.map | {member: value}), against())
    except ProtocolError:
        return
    pytest.fail(f"{member} = {value!r} passed")


@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_flipped_bytes_never_pass_as_another_certificate(data):
    encoded = bytearray(encode_map(A.grant(B).map))
    at = data.draw(st.integers(0, len(encoded) - 1))
    encoded[at] ^= data.draw(st.integers(1, 255))
    try:
        check(Certificate.read(decode_map(bytes(encoded))), against())
    except ProtocolError:
        return
    pytest.fail(f"byte {at}")


def test_an_unknown_member_is_signed_too():
    with_more = resigned(A.grant(B), later={"x": 1})
    check(with_more, against())
    assert code_of(Certificate.read(with_more.map | {"later": {}})) is Code.BAD_SIGNATURE


# --- Renewal ---


def renewed(old, now, **more):
    draft = certificates.renewal(old, A.key.public_key, certificate_id=C.grant(B).id, now=now, **more)
    return Certificate.read(draft.by(A.key))


def test_a_renewal_overlaps_and_keeps_the_terms():
    condition = missed("notify", NOW + 5)
    old = A.grant(B, "verified", transit=True, conditions=(condition,), messages_per_second=7)
    later = NOW + TRUST_CERTIFICATE_SECONDS - 1000
    new = renewed(old, later)
    for moment in (later, old.terms.not_after - 1):
        check(old, against(now=moment))
        check(new, against(now=moment))
    check(new, against(now=old.terms.not_after))
    for name in ("trust_level", "permissions", "conditions", "public_key", "extensions"):
        assert new.map[name] == old.map[name]
    assert new.terms.not_after == later + TRUST_CERTIFICATE_SECONDS
    without = renewed(old, later, grant=dataclasses.replace(certificates.grant_of(old), conditions=()))
    assert without.terms.conditions == ()


def test_a_renewal_ends_with_the_age_of_its_exchange():
    old = A.grant(B, lifetime=TRUST_MAX_AGE_SECONDS + 5)
    assert old.terms.not_after == NOW + TRUST_MAX_AGE_SECONDS
    last = renewed(old, NOW + TRUST_MAX_AGE_SECONDS - 10)
    assert last.terms.not_after == old.terms.not_after
    with pytest.raises(ProtocolError) as refused:
        renewed(last, NOW + TRUST_MAX_AGE_SECONDS)
    assert refused.value.code is Code.TRUST_EXPIRED


def test_what_is_not_renewable():
    with pytest.raises(ProtocolError) as refused:
        renewed(A.grant(B, renewable=False), NOW)
    assert refused.value.code is Code.PERMISSION_DENIED


def test_nato_terms_survive_a_renewal():
    old = A.grant(B, "nato", agreement=frozenset({"secret"}), agreement_reference="MOU 7")
    assert renewed(old, NOW + 1).agreement == {"secret"}
    assert renewed(old, NOW + 1).map["extensions"] == old.map["extensions"]


def test_a_certificate_without_established_at_begins_with_itself():
    assert resigned(A.grant(B), extensions={}).established_at == NOW
    assert resigned(A.grant(B), extensions={"established_at": True}).established_at == NOW
