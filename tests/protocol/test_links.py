"""What both ends of a link check and keep: frames of one kind, names and certificates, keys, order."""

from dataclasses import replace

import pytest

from norc_actors.crypto.suites import SUITES
from norc_actors.protocol import links
from norc_actors.protocol.codec import convert, decode_map, encode
from norc_actors.protocol.errors import Code, PeerError, ProtocolError
from norc_actors.protocol.frames import encode_federation
from norc_actors.protocol.messages.federation import (
    FederationError,
    FederationHandshakeResponse,
    FederationHello,
    FederationHelloResponse,
)
from tests.support.link_ends import ALPN, KEYS, PRINT, A, B, Link, members_of, offer, peer
from tests.support.people import NOW, seeded
from tests.support.samples import sample

SIMPLE = SUITES["0001"]


def code_of(attempt, *arguments, **named):
    with pytest.raises(ProtocolError) as refused:
        attempt(*arguments, **named)
    return refused.value.code


def hello(**changes) -> FederationHello:
    return convert(members_of(Link().a.hello)[1] | changes, FederationHello)


# --- Offers ---


def test_an_offer_has_a_key_for_every_suite():
    both = {name: key.public_key for name, key in KEYS[A].items()}
    assert offer(A, public_keys=both).protocol_versions.norc_f == ("2.0",)
    for name, suites in (("ed25519", ("0102",)), ("p256", ("0101", "0102"))):
        with pytest.raises(ValueError, match="no identity key of"):
            offer(A, public_keys={name: both[name]}, suites=suites)
    assert offer(A, public_keys={"p256": both["p256"]}, suites=("0002",)).suites == ("0002",)


# --- Frames ---


def test_one_frame_of_the_kind_that_is_due():
    frame = Link().a.hello
    assert links.read(frame, 2, FederationHello, 2**20).message == hello()
    for broken in (b"", frame[:-1], frame + frame, frame + b"\2"):
        assert code_of(links.read, broken, 2, FederationHello, 2**20) is Code.MALFORMED
    assert code_of(links.read, frame, 2, FederationHelloResponse, 2**20) is Code.WRONG_STATE
    assert code_of(links.read, frame, 1, FederationHello, 2**20) is Code.PROTOCOL_VERSION
    assert code_of(links.read, frame, 2, FederationHello, 100) is Code.TOO_LARGE


def test_a_refusal_in_its_place():
    refusal = FederationError.of(Code.PQ_REQUIRED, now=NOW, request_id="00000000-0000-4000-8000-000000000001")
    with pytest.raises(PeerError) as refused:
        links.read(encode_federation(2, links.FEDERATION_ERROR, encode(refusal)), 2, FederationHello, 2**20)
    assert refused.value.error_code == Code.PQ_REQUIRED


# --- Who the other end is ---


def test_the_names_and_the_certificate_are_those_of_tls():
    links.check_peer(hello(), peer(A))
    assert code_of(links.check_peer, hello(), peer(B)) is Code.BAD_SIGNATURE
    assert code_of(links.check_peer, hello(server_id="c.example"), peer(A)) is Code.BAD_SIGNATURE
    assert code_of(links.check_peer, hello(), peer(A, tls_fingerprint=PRINT[B])) is Code.BAD_SIGNATURE


@pytest.mark.parametrize("suite", SUITES.values(), ids=str)
def test_the_key_is_the_pinned_one_of_the_suites_algorithm(suite):
    own, other = (
        KEYS[A][name].public_key for name in (suite.identity, {"ed25519": "p256"}.get(suite.identity, "ed25519"))
    )
    shown = hello(server_public_key=KEYS[B][suite.identity].public_key)
    assert links.peer_key(hello(), peer(A, keys=(other, own)), suite) == own
    assert links.peer_key(shown, peer(A, keys=(own,)), suite) == own  # what a hello shows counts without trust alone
    assert links.peer_key(shown, peer(A, keys=None), suite) == KEYS[B][suite.identity].public_key
    assert code_of(links.peer_key, hello(), peer(A, keys=(other,)), suite) is Code.BAD_SIGNATURE
    assert code_of(links.peer_key, shown, peer(A, keys=()), suite) is Code.BAD_SIGNATURE
    assert code_of(links.peer_key, hello(), peer(A, keys=None), suite) is Code.BAD_SIGNATURE


def test_a_side_signs_for_itself():
    key, th = KEYS[A]["ed25519"], b"t" * 32
    signature = key.sign("fed-link:v1", b"initiator" + th)
    links.verify_side(key.public_key, "initiator", th, signature)
    assert code_of(links.verify_side, key.public_key, "responder", th, signature) is Code.BAD_SIGNATURE
    assert code_of(links.verify_side, key.public_key, "initiator", b"u" * 32, signature) is Code.BAD_SIGNATURE


def test_hybrid_where_trust_wants_it():
    for suite in SUITES.values():
        links.check_hybrid(suite, peer(A))
        if suite.hybrid:
            links.check_hybrid(suite, peer(A, hybrid_required=True))
        else:
            assert code_of(links.check_hybrid, suite, peer(A, hybrid_required=True)) is Code.PQ_REQUIRED


# --- A side ---


def side(**changes) -> links.Side:
    arguments = {"offer": offer(A), "peer": peer(B), "random": seeded("side"), "alpn": ALPN} | changes
    return links.Side(**arguments)


def test_the_alpn_settles_the_major():
    assert [side(alpn=f"norc-f/{name}").major for name in ("1.0", "1.2", "2.0", "3.1")] == [1, 1, 2, 3]
    for name in ("h2", "norc-c/2.0", "norc-f/2", "norc-f/v2.0", "norc-f/"):
        assert code_of(side, alpn=name) is Code.MALFORMED
    links.check_major(side(), "2.7")
    assert code_of(links.check_major, side(), "1.2") is Code.DOWNGRADE


def test_steps_come_in_order_and_an_error_ends_them():
    one = side()
    assert code_of(one.at, 1) is Code.WRONG_STATE
    one.at(0)
    assert code_of(one.at, 0) is Code.WRONG_STATE  # step 0 was begun and is not done
    assert code_of(one.at, 1) is Code.WRONG_STATE
    one.done(0)
    one.at(1)
    one.done(1)
    assert code_of(one.at, 1) is Code.WRONG_STATE


def test_a_key_is_shown_to_a_peer_without_trust_alone():
    for suite in SUITES.values():
        assert side().shown_key(suite) is None
        assert side(peer=peer(B, keys=None)).shown_key(suite) == KEYS[A][suite.identity].public_key
    assert side(peer=peer(B, keys=None)).shown_key(None) == KEYS[A]["ed25519"].public_key


def test_no_link_without_hellos():
    answer = sample(FederationHandshakeResponse, full=True)
    for name in ("hello", "response"):
        one = side()
        setattr(one, name, object())
        assert code_of(one.established, "client", SIMPLE, b"i" * 32, b"k" * 32, answer, NOW) is Code.WRONG_STATE


def test_the_transcript_leaves_signatures_out_and_nothing_else():
    frames = [Link().a.hello]
    messages = [decode_map(frame[6:]) for frame in frames]
    th = links.transcript_hash(SIMPLE, messages)
    assert links.transcript_hash(SIMPLE, [messages[0] | {"signature": bytes(64)}]) == th
    assert links.transcript_hash(SIMPLE, [messages[0] | {"zzz": 1}]) != th
    assert links.transcript_hash(SIMPLE, messages * 2) != th
    assert links.transcript_hash(SUITES["0002"], messages) != th


def test_both_ends_keep_the_same():
    at_a, at_b = Link().run()
    for name in ("th", "suite", "version", "trust_version", "compatibility_mode", "connection_id", "capabilities"):
        assert getattr(at_a, name) == getattr(at_b, name)
    assert replace(at_a, sealed=at_b.sealed, peer=at_b.peer, peer_key=at_b.peer_key) == at_b
