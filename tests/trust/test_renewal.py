"""Renewal: in time, without a gap, and nothing more without an operator (rows B143, B155)."""

import dataclasses

import pytest

from norc_actors.ids import new_uuid
from norc_actors.limits import TRUST_CERTIFICATE_SECONDS, TRUST_MAX_AGE_SECONDS, TRUST_RENEW_SECONDS, TRUST_SKEW_SECONDS
from norc_actors.protocol.codec import convert
from norc_actors.protocol.errors import Code, ProtocolError
from norc_actors.protocol.messages.trust_decision import RequestedChange, TrustAcknowledgment
from norc_actors.protocol.trust_transcript import verify_message
from norc_actors.trust import certificates, renewal
from norc_actors.trust.certificates import Certificate, grant_of
from norc_actors.trust.drafts import draft_certificate, draft_message
from norc_actors.trust.relations import standing
from tests.support.people import NOW
from tests.support.trust import party, records

A, B, C = party("a.example"), party("b.example", "p256"), party("c.example")
LATER = NOW + TRUST_CERTIFICATE_SECONDS - 10


def change(permission=None, parameter=None, new=True):
    return RequestedChange(
        change_type="x", permission=permission, parameter=parameter, new_value=new, justification="needed"
    )


def asked(certificate, key=B.key, **more):
    more = {"renewal_id": new_uuid(B.random), "reason": "scheduled", "now": LATER} | more
    return renewal.draft_renewal(key.public_key, certificate, **more).by(key)


def judged(plain, certificate, **more):
    usual = {"remote": B.name, "now": LATER, "revoked": False}
    return renewal.judge(plain, (B.key.public_key,), certificate, **(usual | more))


def renewed(old, now=LATER, **more):
    draft = certificates.renewal(old, A.key.public_key, certificate_id=new_uuid(A.random), now=now, **more)
    return Certificate.read(draft.by(A.key))


def brought(certificate, key=A.key, now=LATER, request_id="11111111-1111-4111-8111-111111111111", **changes):
    draft = renewal.draft_renewed(key.public_key, request_id, certificate.map, ("renewed",), now)
    return draft_message(key.public_key, draft.members | changes).by(key)


def taken(plain, counting=None, **more):
    usual = {"issuer": A.name, "own": B.name, "own_keys": (B.key.public_key,), "now": LATER}
    return renewal.take(plain, (A.key.public_key,), counting=counting, **(usual | more))


def code_of(call, *arguments, **more):
    with pytest.raises(ProtocolError) as refused:
        call(*arguments, **more)
    return refused.value.code


def test_when_it_is_due():
    old = A.grant(B)
    end = old.terms.not_after
    assert [renewal.due(old, moment) for moment in (NOW, end - TRUST_RENEW_SECONDS - 1)] == [False, False]
    assert [renewal.due(old, moment) for moment in (end - TRUST_RENEW_SECONDS, end - 1, end)] == [True, True, False]
    short = A.grant(B, lifetime=300)
    assert [renewal.due(short, NOW + moment) for moment in (199, 200)] == [False, True]
    assert not renewal.due(A.grant(B, renewable=False), end - 1)


def test_no_gap_on_either_side():
    old, back = A.grant(B), B.grant(A)
    new = renewed(old)
    assert taken(brought(new), old) == new
    end = old.terms.not_after
    for moment in range(LATER, end + 20):
        mine = records(A, B, now=moment, issued=(old, new), held=(B.grant(A, now=LATER), back))
        theirs = records(B, A, now=moment, held=(old, new), issued=(B.grant(A, now=LATER), back))
        assert (standing(mine, moment).state, standing(theirs, moment).state) == ("trusted", "trusted")


def test_what_asks_for_no_more_is_renewed_by_itself():
    old = A.grant(B, "verified")
    same = judged(asked(old), old)
    assert (same.why, same.grant) == ((), grant_of(old))
    less = judged(asked(old, level="basic", changes=(change("message_relay", new=False),)), old)
    assert (less.why, less.grant.level, less.grant.permissions) == ((), "basic", {"user_discovery"})
    again = judged(asked(old, changes=(change("message_relay"),)), old)
    assert (again.why, again.grant) == ((), grant_of(old))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"changes": (change("voice_calls"),)}, "the permission voice_calls: needed"),
        ({"changes": (change(parameter="messages_per_second", new=9),)}, "messages_per_second = 9"),
        ({"changes": (change("voice_calls", new=1),)}, "voice_calls"),
        ({"changes": (change("voice_calls", new="False"),)}, "voice_calls"),
    ],
)
def test_what_asks_for_more_waits_for_an_operator(more, words):
    old = A.grant(B, "verified")
    result = judged(asked(old, **more), old)
    assert words in result.why[0]
    assert result.grant == grant_of(old)
    added = {one.permission for one in more["changes"] if one.permission}
    assert result.asked.permissions == old.permissions | added


def test_a_level_above_needs_an_exchange():
    old = A.grant(B, "verified")
    assert code_of(judged, asked(old, level="classified"), old) is Code.INSUFFICIENT_TRUST


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"key": C.key}, Code.BAD_SIGNATURE),
        ({"certificate": A.grant(B)}, Code.WRONG_TARGET),
        ({"certificate": None}, Code.WRONG_TARGET),
        ({"remote": C.name}, Code.WRONG_TARGET),
        ({"revoked": True}, Code.TRUST_REVOKED),
        ({"now": NOW + TRUST_CERTIFICATE_SECONDS}, Code.TRUST_EXPIRED),
        ({"max_age": 100}, Code.TRUST_EXPIRED),
    ],
)
def test_what_is_not_renewed(more, code):
    old = A.grant(B)
    plain = asked(old, **{name: more.pop(name) for name in ("key",) if name in more})
    certificate = more.pop("certificate", old)
    assert code_of(judged, plain, certificate, **more) is code


def test_what_says_it_is_not_renewable():
    fixed = A.grant(B, renewable=False)
    assert code_of(judged, asked(fixed), fixed) is Code.PERMISSION_DENIED


def test_trust_that_is_a_year_old_is_established_anew():
    old = A.grant(B, lifetime=TRUST_MAX_AGE_SECONDS)
    late = NOW + TRUST_MAX_AGE_SECONDS - 1
    assert judged(asked(old, now=late), old, now=late).why == ()
    assert code_of(judged, asked(old), old, now=late + 1) is Code.TRUST_EXPIRED


def test_a_refusal_renews_nothing():
    old = A.grant(B)
    asking = judged(asked(old), old).renewal
    refusal = renewal.draft_refused(A.key.public_key, asking, ("Not now.",), LATER).by(A.key)
    assert taken(refusal, old) is None
    assert refusal["request_id"] == asking.renewal_id


def resigned(certificate, key=A.key, **changes):
    return Certificate.read(draft_certificate(key.public_key, certificate.map | changes).by(key))


@pytest.mark.parametrize(
    ("decision", "code"),
    [
        (brought(renewed(A.grant(B)), key=C.key), Code.BAD_SIGNATURE),
        (brought(renewed(A.grant(B)), target_server=C.name), Code.WRONG_TARGET),
        (brought(renewed(A.grant(B)), decision_server=C.name), Code.WRONG_TARGET),
        (brought(renewed(A.grant(B)), granted_trust_level="basic"), Code.MALFORMED),
        (brought(A.grant(C, now=LATER)), Code.WRONG_TARGET),
        (brought(resigned(renewed(A.grant(B)), key=C.key)), Code.BAD_SIGNATURE),
        (brought(resigned(renewed(A.grant(B)), public_key=C.key.public_key, key_algorithm="ed25519")),
         Code.BAD_SIGNATURE),
        (brought(renewed(A.grant(B), now=LATER + TRUST_SKEW_SECONDS + 1)), Code.TRUST_EXPIRED),
        (brought(A.grant(B, now=NOW - 1)), Code.BAD_SEQUENCE),
    ],
)  # fmt: skip
def test_a_renewed_certificate_is_checked(decision, code):
    assert code_of(taken, decision, A.grant(B)) is code


def test_the_acknowledgment_is_signed():
    new = renewed(A.grant(B))
    for certificate, following in ((new, new.terms.not_after - TRUST_RENEW_SECONDS), (None, LATER)):
        plain = renewal.draft_acknowledgment(B.key.public_key, B.name, new.id, certificate, LATER).by(B.key)
        verify_message(plain, B.key.public_key, None)
        message = convert(plain, TrustAcknowledgment)
        assert (message.decision_accepted, message.next_renewal_date) == (True, following)


def test_a_condition_is_met_by_a_certificate_without_it():
    condition = {"condition": "security_review", "deadline": LATER + 5, "auto_action": "revoke"}
    old = resigned(A.grant(B), conditions=[condition])
    without = renewed(old, grant=dataclasses.replace(grant_of(old), conditions=()))
    back = B.grant(A, now=LATER)
    for issued, state in (((old,), "expired"), ((old, without), "trusted")):
        about = records(A, B, now=LATER, issued=issued, held=(back,))
        assert standing(about, LATER + 4).state == "trusted"
        assert standing(about, LATER + 5).state == state
