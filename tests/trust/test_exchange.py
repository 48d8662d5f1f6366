"""The exchange: played through, restarted at every step, and attacked: out of turn, replayed, spliced, forged, late
(rows B134–B138, B141, B142, B156)."""

import dataclasses
import itertools

import pytest

from norc_actors.ids import new_uuid
from norc_actors.limits import (
    CHALLENGE_DNS_SECONDS,
    CHALLENGE_SECONDS,
    EXCHANGE_FRESH_SECONDS,
    EXCHANGE_SECONDS,
    TRUST_SKEW_SECONDS,
)
from norc_actors.protocol.codec import to_map
from norc_actors.protocol.errors import Code, ProtocolError
from norc_actors.trust import certificates, granting, requesting
from norc_actors.trust.certificates import Grant
from norc_actors.trust.drafts import draft_message
from norc_actors.trust.exchange import OPEN, STEPS, Exchange, Repeated, after, from_bytes, sent, to_bytes
from norc_actors.trust.granting import Asking
from norc_actors.trust.relations import Records, standing
from tests.support.people import NOW
from tests.support.trust import party, policies, profile
from tests.trust import exchanges
from tests.trust.exchanges import Two, goal

KINDS = exchanges.STEPS
PAIRS = [("ed25519", "ed25519"), ("p256", "ed25519"), ("ed25519", "p256")]


def two(algorithms=PAIRS[0], seed=0, **more):
    return Two(party("a.example", algorithms[0], seed), party("b.example", algorithms[1], seed), **more)


def code_of(call, *arguments):
    with pytest.raises(ProtocolError) as refused:
        call(*arguments)
    return refused.value.code


def signed_again(key, message, exchange, **changes):
    """The message with other members, by the right key at the right place: only what it says is wrong."""
    plain = {name: value for name, value in (message | changes).items() if value is not None}
    return draft_message(key.public_key, plain, exchange.transcript).by(key)


# --- Through ---


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("algorithms", PAIRS)
@pytest.mark.parametrize("level", ["basic", "verified"])
def test_two_servers_come_to_trust_one_another(algorithms, level, restart):
    play = two(algorithms, goal=goal(level, method="direct_exchange" if level == "basic" else "ca_validation"))
    messages = play.play(restart=restart)
    assert [message["type"] for message in messages] == list(KINDS)
    assert (play.asks.state, play.gives.state) == ("done", "done")
    assert play.asks.messages == play.gives.messages
    to_requester, to_granter = play.granted()
    own, other = play.requester.name, play.granter.name
    mine = standing(
        Records(own=own, other=other, issued=[to_granter], held=[to_requester], fresh_until=play.now + 300), play.now
    )
    theirs = standing(
        Records(own=other, other=own, issued=[to_requester], held=[to_granter], fresh_until=play.now + 300), play.now
    )
    assert (mine.state, mine.level, theirs.state, theirs.level) == ("trusted", level, "trusted", level)
    assert mine.keys == (play.granter.key.public_key,)
    assert theirs.keys == (play.requester.key.public_key,)


def test_what_comes_back_is_the_requesters_own_grant_lowered_to_what_was_granted():
    mine = Grant(level="verified", permissions=frozenset({"voice_calls"}), messages_per_second=3)
    play = two(goal=goal(grant=mine))
    play.play("trust_response")
    decision = play.decision(Grant(level="basic"))
    play.gives = sent(play.gives, decision)
    play.hear(decision)
    play.play()
    given, back = play.granted()
    assert (given.terms.trust_level, back.terms.trust_level) == ("basic", "basic")
    assert (back.permissions, back.terms.permissions.rate_limits.messages_per_second) == ({"voice_calls"}, 3)


def test_trust_one_way():
    play = two(goal=goal(mutual=False))
    play.play("trust_response")
    decision = play.decision(mutual=False)
    play.gives = sent(play.gives, decision)
    play.hear(decision)
    play.play()
    assert play.granted()[1] is None
    assert not play.gives.acknowledgment.mutual_trust_established


@pytest.mark.parametrize("when", ["trust_request", "trust_challenge", "trust_response"])
def test_a_rejection_may_come_at_any_time_and_grants_nothing(when):
    play = two()
    play.play(when)
    no = granting.draft_rejection(play.gives, ("We do not know you.",), play.now).by(play.granter.key)
    play.gives = sent(play.gives, no)
    play.hear(no)
    assert play.asks.decision.trust_metadata.validation_evidence == ("We do not know you.",)
    last = play.say("trust_acknowledgment")
    play.hear(last)
    assert (play.asks.state, play.gives.state) == ("done", "done")
    assert play.granted() == (None, None)


# --- The table ---


def test_every_state_and_every_message_from_either_side():
    base = two().asks
    for state, kind, sender in itertools.product(
        {*OPEN, "done", "closed"}, [*KINDS, "trust_revoke"], ["requesting", "granting"]
    ):
        exchange = dataclasses.replace(base, state=state)
        step = STEPS.get((state, kind))
        if step is not None and step[0] == sender:
            assert after(exchange, kind, sender) == step[1]
        else:
            assert code_of(after, exchange, kind, sender) is Code.WRONG_STATE


@pytest.mark.parametrize("heard", range(len(KINDS)))
def test_no_message_of_another_place_is_heard(heard):
    """Whatever one side has heard so far, of all messages of the exchange the next one alone moves it on."""
    whole = two()
    messages = whole.play()
    for side, own in (("asks", {0, 1, 3, 5}), ("gives", {2, 4})):
        if side == "gives" and heard < 2:
            continue  # its exchange begins with the request
        state = ("greeted", "requested", "challenged", "responded", "decided", "done")[heard]
        exchange = dataclasses.replace(getattr(whole, side), state=state, messages=tuple(messages[: heard + 1]))
        for index, message in enumerate(messages):
            if index == heard + 1 and index not in own:
                continue
            try:
                outcome = exchanges.arrived(exchange, message, whole.now)
            except ProtocolError as error:
                assert error.code in (Code.WRONG_STATE, Code.BAD_SIGNATURE)  # noqa: PT017 - one of two outcomes
            else:
                assert isinstance(outcome, Repeated)
                assert index in (heard - 1, heard)


def test_a_repetition_gets_the_same_answer_and_changes_nothing():
    play = two()
    request = play.play("trust_request")[-1]
    challenge = play.say("trust_challenge")
    before = play.gives
    assert play.hear(request) == Repeated(challenge)
    play.hear(challenge)
    assert play.hear(challenge) == Repeated(None)
    response = play.say("trust_response")
    play.hear(response)
    assert play.hear(response) == Repeated(None)
    assert play.hear(challenge) == Repeated(response)
    decision = play.say("trust_decision")
    play.hear(decision)
    last = play.say("trust_acknowledgment")
    assert play.hear(decision) == Repeated(last)
    play.hear(last)
    assert play.hear(last) == Repeated(None)
    assert before.messages == play.gives.messages[:3]


def test_what_is_over_hears_nothing():
    play = two()
    messages = play.play()
    play.gives = play.gives.closed()
    for message in messages[1::2]:
        assert code_of(play.hear, message) is Code.WRONG_STATE
    assert not play.gives.open


# --- Splicing and forging ---


@pytest.mark.parametrize("kind", KINDS[1:])
def test_nothing_moves_into_another_exchange(kind):
    """The same message in a second exchange of the same servers, with its ids, and with the ids made to fit."""
    first, second = two(), two(seed=1, now=NOW + 5)
    foreign = first.play(kind)[-1]
    second.play(KINDS[KINDS.index(kind) - 1])
    if kind == "trust_request":
        assert code_of(second.hear, foreign) is Code.BAD_SIGNATURE
        return
    assert code_of(second.hear, foreign) is Code.WRONG_TARGET
    fits = foreign | {"request_id": second.request_id}
    if kind == "trust_response":
        fits["challenge_id"] = second.gives.challenge.challenge_id
    assert code_of(second.hear, fits) is Code.BAD_SIGNATURE


@pytest.mark.parametrize("kind", KINDS[1:])
@pytest.mark.parametrize("change", ["signature", "timestamp", "unknown"])
def test_a_changed_message_is_refused(kind, change):
    play = two()
    play.play(KINDS[KINDS.index(kind) - 1])
    message = play.say(kind)
    changed = {"signature": bytes(64), "timestamp": message["timestamp"] - 1, "unknown": "member"}[change]
    assert code_of(play.hear, message | {change: changed}) is Code.BAD_SIGNATURE


NAMES = [
    ("trust_challenge", "challenging_server"), ("trust_challenge", "target_server"),
    ("trust_response", "responding_server"), ("trust_response", "challenge_id"), ("trust_response", "request_id"),
    ("trust_decision", "decision_server"), ("trust_decision", "target_server"), ("trust_decision", "request_id"),
    ("trust_acknowledgment", "acknowledging_server"), ("trust_acknowledgment", "request_id"),
    ("trust_request", "requesting_server"), ("trust_request", "target_server"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "member"), NAMES)
def test_other_names_are_refused_though_signed(kind, member):
    play = two()
    play.play(KINDS[KINDS.index(kind) - 1])
    side, key = (play.gives, play.granter.key) if kind in KINDS[2::2] else (play.asks, play.requester.key)
    message = play.say(kind)
    value = new_uuid(play.requester.random) if member.endswith("_id") else "c.example"
    assert code_of(play.hear, signed_again(key, message, side, **{member: value})) is Code.WRONG_TARGET


def test_the_key_of_the_request_is_the_links():
    play = two()
    play.play("trust_capabilities")
    request = play.say("trust_request")
    mallory = party("m.example")
    before = dataclasses.replace(play.asks, state="greeted", messages=play.asks.messages[:1])
    named = signed_again(play.requester.key, request, before, server_public_key=mallory.key.public_key)
    assert code_of(play.hear, named) is Code.BAD_SIGNATURE
    other = signed_again(mallory.key, request, before)
    assert code_of(play.hear, other) is Code.BAD_SIGNATURE


def test_the_other_keeps_its_key():
    begun = requesting.begin(profile(party("a.example")), party("b.example").name, request_id="r", now=NOW)
    bound = begun.with_key(b"k" * 32)
    assert bound.with_key(b"k" * 32) == bound
    assert code_of(bound.with_key, b"l" * 32) is Code.BAD_SIGNATURE


def test_a_proof_of_every_key_that_is_named():
    second = party("z.example", "p256")
    keys = (party("a.example").key.public_key, second.key.public_key)
    play = two(mine=profile(party("a.example"), keys=keys))
    play.play("trust_challenge")
    asked = requesting.proofs_to_sign(play.asks)
    assert [one.public_key for one in asked] == list(keys)
    good = [one.by(key) for one, key in zip(asked, (play.requester.key, second.key), strict=True)]
    for proofs, holds in ((good, True), ([good[0], good[0]], False), ([good[1], good[0]], False)):
        before = play.gives
        draft = requesting.draft_response(play.asks, play.mine, proofs, play.now)
        response = draft.by(play.requester.key)
        if holds:
            play.hear(response)
            assert granting.evidence(play.gives, granting.Gathered()).proven_keys == set(keys)
        else:
            assert code_of(play.hear, response) is Code.BAD_SIGNATURE
        play.gives = before


def test_a_response_answers_the_challenge_one_by_one():
    play = two()
    play.play("trust_challenge")
    before = play.asks
    response = play.say("trust_response")
    answers = response["challenge_responses"]
    assert [each["type"] for each in answers] == ["domain_ownership", "certificate_validation", "cryptographic_proof"]
    for wrong in ([], answers[:2], [*answers, answers[0]], answers[::-1]):
        again = signed_again(play.requester.key, response, before, challenge_responses=wrong)
        assert code_of(play.hear, again) is Code.MALFORMED
    other = [{**answers[0], "txt_record": "norc-trust=other"}, *answers[1:]]
    assert code_of(play.hear, signed_again(play.requester.key, response, before, challenge_responses=other)) is (
        Code.BAD_SIGNATURE
    )
    play.hear(response)


# --- Time ---


@pytest.mark.parametrize(
    ("kind", "early", "late"),
    [
        ("trust_request", EXCHANGE_FRESH_SECONDS, TRUST_SKEW_SECONDS),
        ("trust_challenge", TRUST_SKEW_SECONDS + 1, TRUST_SKEW_SECONDS),
        ("trust_decision", TRUST_SKEW_SECONDS + 1, TRUST_SKEW_SECONDS),
    ],
)
def test_messages_of_another_time(kind, early, late):
    for shift, refused in ((-early, False), (-early - 1, True), (late, False), (late + 1, True)):
        play = two()
        play.play(KINDS[KINDS.index(kind) - 1])
        before = play.gives if kind in KINDS[2::2] else play.asks
        key = play.granter.key if kind in KINDS[2::2] else play.requester.key
        message = play.say(kind)
        moved = signed_again(key, message, before, timestamp=play.now + shift)
        if refused:
            assert code_of(play.hear, moved) is Code.CLOCK_SKEW
        else:
            play.hear(moved)


@pytest.mark.parametrize(("level", "seconds"), [("basic", CHALLENGE_SECONDS), ("verified", CHALLENGE_DNS_SECONDS)])
def test_a_challenge_is_answered_before_its_deadline(level, seconds):
    method = "direct_exchange" if level == "basic" else "ca_validation"
    for extra, refused in ((0, False), (TRUST_SKEW_SECONDS + 1, True)):
        play = two(goal=goal(level, method=method))
        play.play("trust_challenge")
        assert play.gives.challenge.deadline == play.now + seconds
        response = play.say("trust_response")
        play.now = play.gives.challenge.deadline + extra
        assert play.gives.expired(play.now) is refused
        if refused:
            assert code_of(play.hear, response) is Code.TRUST_EXPIRED
        else:
            play.hear(response)


def test_a_late_challenge_is_not_answered():
    play = two(goal=goal("basic", method="direct_exchange"))
    play.play("trust_challenge")
    late = play.asks.challenge.deadline + TRUST_SKEW_SECONDS + 1
    assert code_of(requesting.check_challenge, play.asks, late) is Code.TRUST_EXPIRED


def test_an_exchange_that_nobody_decides_ends():
    play = two()
    play.play("trust_response")
    play.now = NOW + EXCHANGE_SECONDS
    decision = play.say("trust_decision")
    assert code_of(play.hear, decision) is Code.TRUST_EXPIRED
    done = two()
    done.play()
    assert not done.asks.expired(NOW + 10 * EXCHANGE_SECONDS)


# --- What is asked, and what is answered ---


def challenges(play):
    play.play("trust_challenge")
    return [one["type"] for one in play.gives.said("trust_challenge")["challenges"]]


def test_what_is_asked_depends_on_the_level():
    assert challenges(two(goal=goal("basic", method="direct_exchange"))) == ["cryptographic_proof"]
    strict = Asking(domain_from="basic", chain_from="basic", documents=("register",))
    play = two(goal=goal("basic", method="direct_exchange"), asking=strict)
    assert challenges(play) == ["domain_ownership", "certificate_validation", "cryptographic_proof"]
    assert play.gives.challenge.organization_verification.required_documents == ("register",)
    assert requesting.records_wanted(play.asks) == {
        "_norc-trust-challenge.a.example": play.gives.challenge.challenges[0].expected_value
    }
    play.play("trust_response")
    assert requesting.records_wanted(play.asks) == {}


def test_a_record_that_is_published_already_is_looked_up_instead():
    play = two(goal=goal(domain_challenge=bytes(32)))
    assert challenges(play) == ["certificate_validation", "cryptographic_proof"]
    value = requesting.domain_record(bytes(32), play.requester.key.public_key)
    assert granting.domain_wanted(play.gives) == ("_norc-trust-challenge.a.example", value)
    assert play.gives.challenge.deadline == play.now + CHALLENGE_SECONDS
    play.play()


def test_a_record_for_another_key_is_refused():
    play = two(goal=goal(domain_challenge=bytes(32)))
    play.play("trust_capabilities")
    before = play.asks
    request = play.say("trust_request")
    stolen = request["domain_proof"] | {"txt_record": requesting.domain_record(bytes(32), b"m" * 32)}
    again = signed_again(play.requester.key, request, before, domain_proof=stolen)
    assert code_of(play.hear, again) is Code.BAD_SIGNATURE


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"domain": "c.example", "txt_record_name": "_norc-trust-challenge.c.example"}, Code.WRONG_TARGET),
        ({"required_signature_algorithm": "p256"}, Code.ALGORITHM_UNSUPPORTED),
    ],
)
def test_a_challenge_that_is_not_for_this_server(changes, code):
    play = two()
    play.play("trust_request")
    before = play.gives
    message = play.say("trust_challenge")
    changed = [
        {**one, **{name: value for name, value in changes.items() if name in one}} for one in message["challenges"]
    ]
    assert code_of(play.hear, signed_again(play.granter.key, message, before, challenges=changed)) is code


@pytest.mark.parametrize(
    ("level", "method"), [("nato", "government_pki"), ("classified", "ca_validation"), ("basic", "web_of_trust")]
)
def test_what_this_server_does_not_give(level, method):
    play = two(goal=goal(level, method=method))
    play.play("trust_capabilities")
    assert code_of(play.hear, play.say("trust_request")) is Code.NOT_PERMITTED


# --- What is granted ---


def test_no_level_that_was_not_proven_whoever_asks():
    play = two()
    play.play("trust_response")
    for more in ({"checked": False}, {"chain": False}):
        with pytest.raises(ProtocolError) as refused:
            play.decision(Grant(level="verified"), **more)
        assert refused.value.code is Code.INSUFFICIENT_TRUST
        assert "verified was not proven." in refused.value.detail
        assert "verified needs" in refused.value.detail
    play.decision(Grant(level="basic"), checked=False, chain=False)
    for level in ("classified", "nato", "untrusted"):
        assert code_of(play.decision, Grant(level=level)) is Code.INSUFFICIENT_TRUST


def test_no_level_above_the_methods_highest():
    play = two(goal=goal(method="direct_exchange"))
    play.play("trust_response")
    assert code_of(play.decision, Grant(level="verified")) is Code.INSUFFICIENT_TRUST
    assert play.assessment().level == "basic"


def test_only_basic_may_be_accepted_without_an_operator_and_only_if_said():
    basic, verified = two(goal=goal("basic", method="direct_exchange")), two()
    for play in (basic, verified):
        play.play("trust_response")
    cases = [
        (basic, policies(auto_accept_basic=True), True), (basic, policies(), False),
        (verified, policies(auto_accept_basic=True), False),
    ]  # fmt: skip
    for play, policy, alone in cases:
        assert granting.may_accept_alone(play.gives, policy, play.assessment()) is alone
    unproven = dataclasses.replace(basic.assessment(), against={"basic": ("No.",)})
    assert not granting.may_accept_alone(basic.gives, policies(auto_accept_basic=True), unproven)


def test_a_decision_needs_a_response():
    play = two()
    play.play("trust_challenge")
    played = two()
    played.play("trust_response")
    certificate = played.granter.grant(played.requester).map
    draft = granting.draft_decision
    with pytest.raises(ProtocolError) as refused:
        draft(play.gives, Grant(level="verified"), certificate, played.assessment(), play.now, mutual=True)
    assert refused.value.code is Code.WRONG_STATE


def decided(play, certificate=None, **changes):
    """A decision that says something else, signed by the granter itself, as the requester hears it."""
    play.play("trust_response")
    before = play.gives
    message = play.say("trust_decision")
    if certificate is not None:
        unsigned = message["certificate"] | certificate
        changes["certificate"] = certificates.draft_certificate(play.granter.key.public_key, unsigned).by(
            play.granter.key
        )
    return signed_again(play.granter.key, message, before, **changes)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"certificate": {"trust_level": "classified"}}, Code.INSUFFICIENT_TRUST),
        ({"certificate": {"trust_level": "classified"}, "granted_trust_level": "classified"}, Code.INSUFFICIENT_TRUST),
        ({"certificate": {"subject_server": "c.example"}}, Code.WRONG_TARGET),
        ({"certificate": {"issuer_server": "c.example"}}, Code.WRONG_TARGET),
        ({"certificate": {"public_key": party("c.example").key.public_key}}, Code.BAD_SIGNATURE),
        ({"certificate": {"other_keys": [{"public_key": b"c" * 32, "key_algorithm": "ed25519"}]}}, Code.BAD_SIGNATURE),
        ({"certificate": {"not_before": NOW + 10_000}}, Code.TRUST_EXPIRED),
        ({"federation_permissions": to_map(Grant(level="verified", permissions=frozenset()).struct())},
         Code.PERMISSION_DENIED),
    ],
)  # fmt: skip
def test_a_decision_and_its_certificate_agree(changes, code):
    play = two()
    assert code_of(play.hear, decided(play, **changes)) is code
    assert play.asks.state == "responded"


def test_a_certificate_that_the_granter_did_not_sign():
    play = two()
    message = decided(play)
    forged = message["certificate"] | {"renewable": False}
    before = dataclasses.replace(play.gives, messages=play.gives.messages[:-1])
    again = signed_again(play.granter.key, message, before, certificate=forged)
    assert code_of(play.hear, again) is Code.BAD_SIGNATURE


def test_no_grant_before_the_response():
    play = two()
    play.play("trust_challenge")
    played = two()
    played.play("trust_response")
    message = played.decision() | {"request_id": play.request_id}
    early = signed_again(play.granter.key, message, play.gives)
    assert code_of(play.hear, early) is Code.WRONG_STATE


def test_what_comes_back_has_to_be_for_the_granter():
    play = two()
    play.play("trust_decision")
    before = play.asks
    message = play.say("trust_acknowledgment")
    other = play.requester.grant(party("c.example")).map
    assert code_of(play.hear, signed_again(play.requester.key, message, before, trust_certificate=other)) is (
        Code.WRONG_TARGET
    )
    play.hear(message)


# --- On disk ---


def test_its_form_on_disk_keeps_every_byte():
    play = two(PAIRS[1])
    for kind in KINDS:
        play.play(kind)
        for side in (play.asks, play.gives):
            if side is not None:
                assert from_bytes(to_bytes(side)) == side
                assert isinstance(from_bytes(to_bytes(side)), Exchange)
