"""What certificates, conditions and revocations come to between two servers (rows B133, B141, B144)."""

import dataclasses
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from norc_actors.limits import TRUST_CERTIFICATE_SECONDS
from norc_actors.protocol.errors import Code, ProtocolError
from norc_actors.protocol.messages.trust_decision import TrustCondition
from norc_actors.protocol.trust_levels import ALLOWANCES, LEVELS
from norc_actors.trust.policy import PERMISSIONS
from norc_actors.trust.relations import deciding, standing
from tests.support.people import NOW
from tests.support.trust import party, records

ALL = frozenset(PERMISSIONS)
A, B, C = party("a.example"), party("b.example"), party("c.example")


def mutual(mine="verified", theirs="verified", *, now=NOW, issued=(), held=(), **terms):
    """What A has on record of B when both granted."""
    terms = {"permissions": ALL} | terms
    return records(A, B, now=now, issued=(A.grant(B, mine, now=now, **terms), *issued),
                   held=(B.grant(A, theirs, now=now, **terms), *held))  # fmt: skip


def code(check, *arguments):
    try:
        check(*arguments)
    except ProtocolError as error:
        return error.code
    return None


@pytest.mark.parametrize(("mine", "theirs"), [*itertools.product(LEVELS[1:], LEVELS[1:])])
def test_in_by_what_this_server_granted_out_by_the_lower_of_both(mine, theirs):
    now = standing(mutual(mine, theirs), NOW)
    assert now.state == "trusted"
    assert now.ingress.relation.level == mine
    assert now.egress.relation.level == now.level == min(mine, theirs, key=LEVELS.index)
    assert now.keys == (B.key.public_key,)
    for terms in (now.ingress, now.egress):
        assert terms.relation.public_key == B.key.public_key
        assert terms.relation.permissions == ALL
    assert now.egress.max_message == ALLOWANCES[now.level].max_message
    assert now.hybrid is (mine != "basic")  # theirs alone never raises the level of what goes out


def test_permissions_and_limits_of_each_direction():
    mine = A.grant(B, permissions=frozenset({"message_relay", "voice_calls"}), messages_per_second=5, bandwidth_mbps=6)
    theirs = B.grant(A, permissions=frozenset({"user_discovery"}), max_message_size=99, messages_per_second=7)
    now = standing(records(A, B, issued=(mine,), held=(theirs,)), NOW)
    assert now.ingress.relation.permissions == {"message_relay", "voice_calls"}
    assert (now.ingress.messages_per_second, now.ingress.bandwidth_mbps) == (5, 6)
    assert now.egress.relation.permissions == {"user_discovery"}
    assert (now.egress.max_message, now.egress.messages_per_second) == (99, 7)
    now.check_ingress("call_end")
    now.check_egress("user_lookup")
    assert code(now.check_egress, "call_end") is Code.PERMISSION_DENIED
    assert code(now.check_ingress, "user_lookup") is Code.PERMISSION_DENIED


def test_nothing_is_none():
    now = standing(records(A, B), NOW)
    assert (now.state, now.ingress, now.egress, now.keys, now.until) == ("none", None, None, None, None)
    assert code(now.check_ingress, "message_relay", "unclassified") is Code.SERVER_NOT_TRUSTED
    now.check_ingress("trust_request")


@pytest.mark.parametrize("who", ["issued", "held"])
def test_one_sided_trust_relays_nothing(who):
    one = {"issued": (A.grant(B, permissions=ALL),), "held": (B.grant(A, permissions=ALL),)}[who]
    now = standing(records(A, B, **{who: one}), NOW)
    assert now.state == "one-sided"
    assert now.egress is None
    assert "one way only" in " ".join(now.why)
    for kind in ("message_relay", "user_lookup", "file_chunk", "call_end"):
        assert code(now.check_egress, kind, "unclassified") is Code.SERVER_NOT_TRUSTED
        inwards = code(now.check_ingress, kind, "unclassified")
        assert inwards is (Code.PERMISSION_DENIED if who == "issued" else Code.SERVER_NOT_TRUSTED)
    assert (now.keys is None) is (who == "held")
    assert code(now.check_ingress, "crl_request") is (None if who == "issued" else Code.SERVER_NOT_TRUSTED)


@pytest.mark.parametrize("agreed", [frozenset(), frozenset({"secret"})])
def test_an_agreement_counts_outwards_only_where_both_have_it(agreed):
    mine = A.grant(B, "nato", agreement=agreed, agreement_reference="MOU", permissions=ALL)
    theirs = B.grant(A, "nato", agreement=frozenset({"secret", "top_secret"}), agreement_reference="M", permissions=ALL)
    now = standing(records(A, B, issued=(mine,), held=(theirs,)), NOW)
    assert (now.ingress.relation.agreement, now.egress.relation.agreement) == (agreed, agreed)
    assert code(now.check_egress, "message_relay", "top_secret") is Code.CLASSIFICATION_EXCEEDED
    lower = standing(records(A, B, issued=(A.grant(B, "classified"),), held=(theirs,)), NOW)
    assert lower.egress.relation.agreement == frozenset()


@pytest.mark.parametrize(("mine", "theirs"), [*itertools.product([True, False], repeat=2)])
def test_transit_outwards_needs_both(mine, theirs):
    now = standing(records(A, B, issued=(A.grant(B, transit=mine),), held=(B.grant(A, transit=theirs),)), NOW)
    assert (now.ingress.relation.transit, now.egress.relation.transit) == (mine, mine and theirs)
    alone = standing(records(A, B, issued=(A.grant(B, transit=True),)), NOW)
    assert not alone.ingress.relation.transit


# --- How it ends ---


@pytest.mark.parametrize("signer", ["own", "other"])
def test_after_a_revocation_nothing_passes(signer):
    about = mutual()
    one = A.revoke(about.issued[0]) if signer == "own" else B.revoke(about.held[0])
    now = standing(dataclasses.replace(about, revocations=(one,)), NOW)
    assert (now.state, now.egress) == ("revoked", None)
    for kind in ("message_relay", "call_end"):
        assert code(now.check_egress, kind, "unclassified") is Code.TRUST_REVOKED
        inwards = code(now.check_ingress, kind, "unclassified")
        assert inwards is (Code.TRUST_REVOKED if signer == "own" else Code.PERMISSION_DENIED)
    assert (now.keys is None) is (signer == "own")
    assert "revoked it" in " ".join(now.why)


def test_with_grace_it_goes_on_until_then():
    about = mutual()
    about = dataclasses.replace(about, revocations=(A.revoke(about.issued[0], grace_period=100),))
    now = standing(about, NOW + 99)
    assert (now.state, now.until) == ("trusted", NOW + 100)
    assert "has revoked all of it, from 1 s from now on" in " ".join(now.why)
    assert standing(about, NOW + 100).state == "revoked"


def test_the_others_list_ends_what_it_granted():
    about = mutual()
    assert standing(dataclasses.replace(about, listed={about.held[0].id: NOW}), NOW).state == "revoked"
    assert standing(dataclasses.replace(about, listed={about.issued[0].id: NOW}), NOW).state == "trusted"


@pytest.mark.parametrize("permission", PERMISSIONS)
def test_each_permission_is_revocable_alone(permission):
    about = mutual("classified", "classified")
    for one in (
        A.revoke(about.issued[0], scope="partial", permissions=(permission,)),
        B.revoke(about.held[0], scope="partial", permissions=(permission,)),
    ):
        now = standing(dataclasses.replace(about, revocations=(one,)), NOW)
        changed, same = (now.ingress, now.egress) if one.signer == A.name else (now.egress, now.ingress)
        assert now.state == "trusted"
        assert changed.relation.permissions == ALL - {permission}
        assert same.relation.permissions == ALL


def test_a_revocation_of_somebody_elses_certificate_changes_nothing():
    about = mutual()
    for foreign in (C.revoke(about.issued[0]), C.revoke(about.held[0]), B.revoke(about.issued[0])):
        assert standing(dataclasses.replace(about, revocations=(foreign,)), NOW).state == "trusted"


def test_expiry():
    about = mutual()
    end = NOW + TRUST_CERTIFICATE_SECONDS
    about = dataclasses.replace(about, fresh_until=end + 300)
    assert standing(about, end - 1).state == "trusted"
    ended = standing(about, end)
    assert (ended.state, ended.ingress, ended.egress) == ("expired", None, None)
    assert code(ended.check_ingress, "crl_request") is Code.TRUST_EXPIRED


@pytest.mark.parametrize(("action", "level"), [("downgrade", "verified"), ("notify", "classified")])
def test_a_missed_condition_acts_by_itself(action, level):
    missed = TrustCondition(condition="compliance_audit", deadline=NOW + 10, auto_action=action)
    about = mutual("classified", "classified", conditions=(missed,))
    before, after = standing(about, NOW + 9), standing(about, NOW + 10)
    assert (before.ingress.relation.level, before.until) == ("classified", NOW + 10)
    assert (after.ingress.relation.level, after.egress.relation.level) == (level, level)
    assert ("(granted classified" in " ".join(after.why)) is (action == "downgrade")


def test_a_missed_condition_that_revokes():
    missed = TrustCondition(condition="compliance_audit", deadline=NOW + 10, auto_action="revoke")
    about = mutual(conditions=(missed,))
    assert standing(about, NOW + 9).state == "trusted"
    assert standing(about, NOW + 10).state == "expired"


def test_without_a_fresh_list_it_is_suspended_and_keeps_its_views():
    about = mutual()
    stale = standing(about, NOW + 300)
    assert stale.state == "suspended"
    assert stale.ingress == standing(about, NOW).ingress
    assert standing(about, NOW).until == NOW + 300
    assert "no fresh list" in stale.why[-1]


# --- The newest decides ---


def test_the_newest_certificate_decides_for_better_and_worse():
    for levels in (("verified", "classified"), ("classified", "basic")):
        old, new = A.grant(B, levels[0]), A.grant(B, levels[1], now=NOW + 10)
        about = records(A, B, now=NOW + 100, issued=(new, old), held=(B.grant(A, "nato"),))
        assert standing(about, NOW + 9).ingress.relation.level == levels[0]
        assert standing(about, NOW + 9).until == NOW + 10
        assert standing(about, NOW + 10).ingress.relation.level == levels[1]


def test_no_older_one_comes_back_to_life():
    old, new = A.grant(B, lifetime=10_000), A.grant(B, now=NOW + 10, lifetime=100)
    about = records(A, B, now=NOW + 10_000, issued=(old, new), held=(B.grant(A),))
    revoked = dataclasses.replace(about, revocations=(A.revoke(new, now=NOW + 20),))
    assert standing(revoked, NOW + 20).state == "revoked"
    assert standing(about, NOW + 110).state == "expired"


def test_of_two_at_once_the_later_recorded_decides():
    first, second = A.grant(B, "basic"), A.grant(B, "verified")
    assert deciding((first, second), NOW) is second
    assert deciding((second, first), NOW) is first


def test_a_new_grant_after_a_revocation_counts():
    about = mutual()
    one = A.revoke(about.issued[0])
    again = A.grant(B, now=NOW + 5)
    about = dataclasses.replace(about, revocations=(one,), issued=(*about.issued, again))
    assert standing(about, NOW + 4).state == "revoked"
    assert standing(about, NOW + 5).state == "trusted"


# --- Nothing changes between two of its moments ---


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_until_names_the_next_change(data):
    """What `until` promises holds: no change before it, whatever is on record."""
    draw = data.draw
    conditions = tuple(
        TrustCondition(condition="security_review", deadline=NOW + draw(st.integers(1, 60)),
                       auto_action=draw(st.sampled_from(["revoke", "downgrade", "notify"])))
        for _ in range(draw(st.integers(0, 2)))
    )  # fmt: skip
    issued = [
        A.grant(B, now=NOW + draw(st.integers(0, 40)), lifetime=draw(st.integers(1, 60)), conditions=conditions)
        for _ in range(draw(st.integers(0, 2)))
    ]
    held = [B.grant(A, now=NOW + draw(st.integers(0, 40)), lifetime=draw(st.integers(1, 60)))]
    revocations = [A.revoke(one, grace_period=draw(st.integers(0, 60))) for one in issued if draw(st.booleans())] + [
        B.revoke(held[0], scope="partial", permissions=("message_relay",), grace_period=draw(st.integers(0, 60)))
    ]
    fresh = NOW + draw(st.integers(0, 80))
    about = records(A, B, issued=issued, held=held, revocations=revocations, fresh_until=fresh)

    def seen(moment):
        now = standing(about, moment)
        return (now.state, now.ingress, now.egress, now.keys)

    for moment in range(NOW, NOW + 70):
        until = standing(about, moment).until
        assert until is None or until > moment
        if until is None or until > moment + 1:
            assert seen(moment + 1) == seen(moment)
