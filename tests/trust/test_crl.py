"""Lists of what was revoked: numbers only rise, revoked stays so, the future waits, stale suspends (B147, B149)."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from norc_actors.limits import CRL_FRESH_SECONDS, TRUST_CERTIFICATE_SECONDS, TRUST_SKEW_SECONDS
from norc_actors.protocol.errors import Code, ProtocolError
from norc_actors.trust import crl
from norc_actors.trust.crl import Known, release, take
from norc_actors.trust.revocation import CRL_REASONS
from tests.support.people import NOW
from tests.support.trust import party

B, C = party("b.example"), party("c.example")


def issuer():
    return party("a.example")


def taken(known, plain, now=NOW, keys=None, issuer_name=None):
    a = issuer()
    return take(known, plain, issuer_name or a.name, keys or [a.key.public_key], now)


def refused(known, plain, **more):
    with pytest.raises(ProtocolError) as error:
        taken(known, plain, **more)
    return error.value.code


NOTHING = Known(since=NOW)


def test_what_is_listed():
    a = issuer()
    ended, later, partial, kept = (a.grant(B) for _ in range(4))
    a.revoke(ended, reason="compromised_key")
    a.revoke(later, grace_period=100)
    a.revoke(partial, scope="partial", permissions=("message_relay",))
    everything = (ended, later, partial, kept)
    result = taken(NOTHING, a.list(1, *everything))
    assert result.known.revoked == {ended.id: (NOW, "key_compromise")}
    assert [one.certificate_id for one in result.new] == [ended.id]
    result = taken(result.known, a.list(2, *everything, now=NOW + 100), NOW + 100)
    assert set(result.known.revoked) == {ended.id, later.id}
    assert [one.certificate_id for one in result.new] == [later.id]


def test_an_expired_certificate_leaves_the_list_and_stays_revoked():
    a = issuer()
    ended = a.grant(B)
    a.revoke(ended)
    first = taken(NOTHING, a.list(1, ended))
    far = NOW + TRUST_CERTIFICATE_SECONDS + CRL_FRESH_SECONDS
    assert crl.entries_of([ended], a.revoked, far - 1)
    second = taken(first.known, a.list(2, ended, now=far), far)
    assert (second.known.current, set(second.known.revoked), second.new) == (frozenset(), {ended.id}, ())


def test_a_list_has_room_for_the_newest(monkeypatch):
    monkeypatch.setattr(crl, "MAX_ENTRIES", 2)
    a = issuer()
    many = [a.grant(B) for _ in range(3)]
    for age, one in enumerate(many):
        a.revoke(one, effective_date=NOW - age)
    assert [one.certificate_id for one in crl.entries_of(many, a.revoked, NOW)] == [many[0].id, many[1].id]


def test_a_lower_number_is_a_replay_and_changes_nothing():
    a = issuer()
    ended = a.grant(B)
    old = a.list(1, ended)
    a.revoke(ended)
    known = taken(NOTHING, a.list(2, ended)).known
    assert refused(known, old) is Code.BAD_SEQUENCE
    assert refused(known, a.list(1, ended, now=NOW + 10), now=NOW + 10) is Code.BAD_SEQUENCE


def test_one_number_has_one_content_and_time_goes_on():
    a = issuer()
    known = taken(NOTHING, a.list(3, now=NOW)).known
    ended = a.grant(B)
    a.revoke(ended)
    assert refused(known, a.list(3, ended, now=NOW + 5), now=NOW + 5) is Code.BAD_SEQUENCE
    assert refused(known, a.list(3, now=NOW - 5)) is Code.BAD_SEQUENCE
    again = taken(known, a.list(3, now=NOW + 5), NOW + 5)
    assert (again.known.this_update, again.new) == (NOW + 5, ())


def test_foreign_and_forged_lists():
    a = issuer()
    plain = a.list(1)
    assert refused(NOTHING, plain, issuer_name=B.name) is Code.WRONG_TARGET
    assert refused(NOTHING, plain, keys=[C.key.public_key]) is Code.BAD_SIGNATURE
    assert refused(NOTHING, plain | {"number": 2}) is Code.BAD_SIGNATURE
    assert refused(NOTHING, {"type": "trust_crl"}) is Code.MALFORMED
    taken(NOTHING, plain, keys=[C.key.public_key, a.key.public_key])


def test_a_list_from_the_future_waits_and_freezes_nothing():
    a = issuer()
    ended = a.grant(B)
    a.revoke(ended)
    early = NOW + TRUST_SKEW_SECONDS + 1
    held = taken(NOTHING, a.list(9, ended, now=early))
    assert (held.quarantined, held.known.number, held.known.revoked) == (True, None, {})
    honest = a.list(1, ended, now=NOW)
    assert taken(held.known, honest).known.number == 1
    assert release(held.known, a.name, [a.key.public_key], NOW) is None
    assert release(NOTHING, a.name, [a.key.public_key], NOW) is None
    released = release(held.known, a.name, [a.key.public_key], NOW + 1)
    assert released is not None
    assert (released.known.number, released.known.held, len(released.new)) == (9, None, 1)
    just = taken(NOTHING, a.list(9, now=NOW + TRUST_SKEW_SECONDS))
    assert not just.quarantined


def test_fresh_for_five_minutes_and_no_longer_than_the_list_says():
    assert NOTHING.fresh(NOW + CRL_FRESH_SECONDS - 1)
    assert not NOTHING.fresh(NOW + CRL_FRESH_SECONDS)
    a = issuer()
    known = taken(NOTHING, a.list(1, now=NOW + 50), NOW + 50).known
    assert known.fresh_until() == NOW + 50 + CRL_FRESH_SECONDS
    short = dataclasses.replace(known, next_update=NOW + 60)
    assert short.fresh_until() == NOW + 60
    forever = dataclasses.replace(known, next_update=NOW + 10**9)
    assert forever.fresh_until() == NOW + 50 + CRL_FRESH_SECONDS


def test_an_old_list_with_news_is_believed_and_not_fresh():
    a = issuer()
    ended = a.grant(B)
    a.revoke(ended)
    known = taken(NOTHING, a.list(1, ended), NOW + 10_000).known
    assert ended.id in known.revoked
    assert not known.fresh(NOW + 10_000)


def test_every_reason_has_its_word():
    assert set(CRL_REASONS) == {"compromised_key", "policy_violation", "voluntary", "expired", "superseded"}


@settings(deadline=None, max_examples=60)
@given(order=st.lists(st.integers(0, 5), min_size=1, max_size=12))
def test_in_whatever_order_lists_come_revoked_only_grows_and_the_number_never_falls(order):
    a = issuer()
    certificates = [a.grant(B) for _ in range(5)]
    lists = [a.list(0, *certificates)]
    for number, certificate in enumerate(certificates, 1):
        a.revoke(certificate)
        lists.append(a.list(number, *certificates))
    known = NOTHING
    for index in order:
        before = known
        try:
            known = taken(known, lists[index]).known
        except ProtocolError as error:
            assert error.code is Code.BAD_SEQUENCE  # noqa: PT017 - one of two outcomes
            assert before.number is not None
            assert index < before.number
        assert (known.number or 0) >= (before.number or 0)
        assert set(known.revoked) >= set(before.revoked)
    assert known.number == max(order)
    assert len(known.revoked) == max(order)
