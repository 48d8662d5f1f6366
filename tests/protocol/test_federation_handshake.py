"""The handshake of a link: both ends, every suite, and everything that somebody in the middle could take away."""

import pytest

from norc_actors.crypto.suites import PREFERENCE, SUITES
from norc_actors.protocol.codec import encode, encode_map
from norc_actors.protocol.errors import Code, PeerError, ProtocolError
from norc_actors.protocol.frames import encode_federation
from norc_actors.protocol.links import transcript_hash
from norc_actors.protocol.messages.federation import FederationError
from norc_actors.protocol.sealed import Opened
from tests.support.link_ends import ALPN, KEYS, A, B, Link, altered, members_of, offer, peer
from tests.support.people import NOW
from tests.vectors.files import holds, recorded


def code_of(attempt):
    with pytest.raises(ProtocolError) as refused:
        attempt()
    return refused.value.code


@pytest.mark.parametrize("suite", PREFERENCE)
def test_both_ends_agree(suite):
    at_a, at_b = Link(a=offer(A, suites=(suite,))).run()
    for ours, theirs, name in ((at_a, at_b, B), (at_b, at_a, A)):
        assert (ours.th, ours.suite, ours.version, ours.trust_version) == (theirs.th, SUITES[suite], "2.0", "1.1")
        assert (ours.peer, ours.trusted, ours.compatibility_mode) == (name, True, False)
        assert ours.peer_key == KEYS[name][SUITES[suite].identity].public_key
        (frame,) = ours.sealed.seal(0x85, b"batch")
        assert theirs.sealed.receive(frame) == Opened(0x85, b"batch")
        assert ours.connection_id == theirs.connection_id
    assert at_a.capabilities == at_b.capabilities == ("federation", "message_relay")


@pytest.mark.parametrize("suite", PREFERENCE)
def test_the_link_renews_its_keys(suite):
    at_a, at_b = Link(a=offer(A, suites=(suite,))).run()
    (ask,) = at_a.sealed.ask_dh(NOW)
    (answer,) = at_b.sealed.receive(ask).frames
    (done,) = at_a.sealed.receive(answer).frames
    at_b.sealed.receive(done)
    for ours, theirs in ((at_a, at_b), (at_b, at_a)):
        (frame,) = ours.sealed.seal(0x85, b"after")
        assert theirs.sealed.receive(frame) == Opened(0x85, b"after")


@recorded("federation_handshake", "refused_federation_handshake")
def test_recorded(entry):
    assert holds(entry)


def test_a_server_without_trust_shows_its_key():
    at_a, at_b = Link(at_a=peer(B, keys=None), at_b=peer(A, keys=None)).run()
    assert not at_a.trusted and not at_b.trusted  # noqa: PT018
    assert at_a.peer_key == KEYS[B]["ed25519"].public_key
    assert code_of(lambda: Link(at_a=peer(B, keys=None)).run()) is Code.BAD_SIGNATURE


HELLO_CHANGES = [
    {"server_id": "c.example"}, {"tls_fingerprint": b"C" * 32}, {"alpn_offered": ["norc-f/1.2"]},
    {"nonce": b"n" * 12}, {"capabilities": ["federation"]}, {"cipher_suites": ["0101", "0001"]},
    {"max_frame": 2**16}, {"protocol_versions": {"norc_f": ["2.0", "3.0"], "norc_t": ["1.1"]}}, {"zzz": 1},
    {"ephemeral_public_key": bytes(32)}, {"ephemeral_public_key": b"e" * 32}, {"pq_public_key": b"\xff" * 1184},
    {"nonce": None}, {"max_frame": 1},
]  # fmt: skip
RESPONSE_CHANGES = [
    {"server_id": "c.example"}, {"tls_fingerprint": b"C" * 32}, {"alpn_selected": "norc-f/1.2"},
    {"nonce": b"n" * 12}, {"capabilities": []}, {"cipher_suites": ["0001"]}, {"cipher_suite": "0102"},
    {"cipher_suite": "0001", "pq_ciphertext": None}, {"cipher_suite": "0001", "cipher_suites": ["0001"]},
    {"negotiated_versions": {"norc_f": "2.0", "norc_t": "1.0"}},
    {"negotiated_versions": {"norc_f": "1.2", "norc_t": "1.1"}},
    {"protocol_versions": {"norc_f": ["1.2"], "norc_t": ["1.1"]}},
    {"ephemeral_public_key": bytes(32)}, {"ephemeral_public_key": b"e" * 32}, {"pq_ciphertext": b"c" * 1088},
    {"pq_ciphertext": None}, {"max_frame": 2**16}, {"zzz": 1},
]  # fmt: skip
HANDSHAKE_CHANGES = [
    {"requesting_server": "c.example"}, {"target_server": "c.example"}, {"protocol_version": "1.2"},
    {"supported_versions": ["2.0", "1.2"]}, {"capabilities": []}, {"signature": b"s" * 64}, {"zzz": 1},
    {"compatibility_requirements": {"min_trust_level": "nato", "required_features": [], "optional_features": []}},
]  # fmt: skip
ANSWER_CHANGES = [
    {"responding_server": "c.example"}, {"accepted_version": "1.2"}, {"compatibility_mode": True},
    {"shared_capabilities": []}, {"connection_id": "00000000-0000-4000-8000-000000000001"}, {"signature": b"s" * 64},
    {"zzz": 1},
]  # fmt: skip


@pytest.mark.parametrize(
    ("place", "changes"),
    [
        (place, changes)
        for place, listed in zip(
            ("m1", "m2", "m3", "m4"),
            (HELLO_CHANGES, RESPONSE_CHANGES, HANDSHAKE_CHANGES, ANSWER_CHANGES),
            strict=True,
        )
        for changes in listed
    ],
    ids=str,
)
def test_whatever_is_changed_on_the_way_ends_the_handshake(place, changes):
    with pytest.raises(ProtocolError):
        Link().run(**{place: lambda frame: altered(frame, **changes)})


@pytest.mark.parametrize("place", ["m2", "m3", "m4"])
def test_messages_of_another_run_are_refused(place):
    kept = {}

    def keep(name):
        return lambda frame: kept.setdefault(name, frame)

    Link(seed=1).run(**{name: keep(name) for name in ("m2", "m3", "m4")})
    with pytest.raises(ProtocolError):
        Link(seed=2).run(**{place: lambda _: kept[place]})


def test_reflection():
    """What A signs as initiator is no answer of a responder."""
    link = Link()
    response = link.b.receive_hello(link.a.hello)
    wanted = link.a.receive_response(response)
    assert wanted.body.startswith(b"initiator")
    assert code_of(lambda: link.b.receive_handshake(altered(link.a.handshake(bytes(64))))) is Code.BAD_SIGNATURE


def test_downgrades():
    assert code_of(lambda: Link(at_a=peer(B, remembered_version="2.1")).run()) is Code.DOWNGRADE
    assert code_of(lambda: Link(at_b=peer(A, remembered_version="2.1")).run()) is Code.DOWNGRADE
    classical = offer(B, suites=("0001",))
    assert code_of(lambda: Link(b=classical, at_a=peer(B, hybrid_required=True)).run()) is Code.PQ_REQUIRED
    assert code_of(lambda: Link(b=classical, at_b=peer(A, hybrid_required=True)).run()) is Code.PQ_REQUIRED
    alone = Link(a=offer(A, suites=("0101",)), b=offer(B, suites=("0002",)))
    assert code_of(alone.run) is Code.ALGORITHM_UNSUPPORTED
    older = Link(alpn="norc-f/1.2", offered=(ALPN, "norc-f/1.2"))
    assert code_of(older.run) is Code.DOWNGRADE
    assert code_of(lambda: Link(alpn="h2")) is Code.MALFORMED
    apart = Link(a=offer(A, versions=("3.0",)))
    assert code_of(apart.run) is Code.NO_COMPATIBLE_VERSION


def test_identity_keys():
    assert code_of(lambda: Link(at_a=peer(B, keys=(KEYS[A]["ed25519"].public_key,))).run()) is Code.BAD_SIGNATURE
    assert code_of(lambda: Link(at_b=peer(A, keys=(KEYS[B]["ed25519"].public_key,))).run()) is Code.BAD_SIGNATURE
    assert code_of(lambda: Link(at_a=peer(B, keys=(KEYS[B]["p256"].public_key,))).run()) is Code.BAD_SIGNATURE
    with pytest.raises(ValueError, match="no identity key"):
        offer(A, public_keys={"ed25519": KEYS[A]["ed25519"].public_key})


def test_required_features():
    assert code_of(lambda: Link(a=offer(A, required_features=("voice_relay",))).run()) is Code.CAPABILITY_MISSING
    assert code_of(lambda: Link(b=offer(B, required_features=("voice_relay",))).run()) is Code.CAPABILITY_MISSING


def test_a_refusal_of_the_peer():
    link = Link()
    error = FederationError.of(Code.SERVER_NOT_TRUSTED, now=NOW, request_id="00000000-0000-4000-8000-000000000001")
    with pytest.raises(PeerError) as refused:
        link.a.receive_response(encode_federation(2, 0x84, encode(error)))
    assert refused.value.error_code == Code.SERVER_NOT_TRUSTED


def test_one_order():
    link = Link()
    assert code_of(lambda: link.a.handshake(bytes(64))) is Code.WRONG_STATE
    link = Link()
    assert code_of(lambda: link.b.finish(bytes(64), NOW)) is Code.WRONG_STATE
    link = Link()
    assert code_of(lambda: link.a.receive_response(link.a.hello)) is Code.WRONG_STATE
    assert code_of(lambda: link.a.receive_response(link.a.hello)) is Code.WRONG_STATE
    link = Link()
    link.b.receive_hello(link.a.hello)
    assert code_of(lambda: link.b.receive_hello(link.a.hello)) is Code.WRONG_STATE
    for frame in (link.a.hello * 2, link.a.hello[:-1], b"", b"\x01" + link.a.hello[1:]):
        fresh = Link()
        with pytest.raises(ProtocolError):
            fresh.b.receive_hello(frame)


def test_the_certificate_is_the_one_of_tls():
    """A server that holds both ends' honest messages but another certificate."""
    for changes in ({"at_a": peer(B, tls_fingerprint=b"C" * 32)}, {"at_b": peer(A, tls_fingerprint=b"C" * 32)}):
        assert code_of(Link(**changes).run) is Code.BAD_SIGNATURE


@pytest.mark.parametrize(
    "lower",
    [
        {"cipher_suite": "0001", "pq_ciphertext": None},
        {"negotiated_versions": {"norc_f": "2.0", "norc_t": "1.0"}},
    ],
    ids=str,
)
def test_a_responder_that_signs_a_lower_choice(lower):
    """Its signature holds: the initiator's own rule refuses it, before anything is signed in return."""
    link = Link()
    response = altered(link.b.receive_hello(link.a.hello), **lower)
    assert code_of(lambda: link.a.receive_response(response)) is Code.DOWNGRADE


# --- A peer that signs what breaks a rule ---


def resigned(server, side, **changes):
    """A change by the end itself: the message is signed as it then stands, over the transcript so far."""

    def change(link, frames):
        code, members = members_of(frames[-1])
        plain = {name: value for name, value in (members | changes).items() if value is not None}
        maps = [members_of(frame)[1] for frame in frames[:-1]] + [plain]
        suite = SUITES[maps[1]["cipher_suite"]]
        body = side.encode() + transcript_hash(suite, maps)
        plain["signature"] = KEYS[server][suite.identity].sign("fed-link:v1", body)
        return encode_federation(2, code, encode_map(plain))

    return change


def run_with(third=None, fourth=None):
    """A handshake whose third or fourth message is changed by the end that signs it."""
    link, frames = Link(), []
    frames.append(link.a.hello)
    frames.append(link.b.receive_hello(frames[0]))
    wanted = link.a.receive_response(frames[1])
    frames.append(link.a.handshake(KEYS[A]["ed25519"].sign(wanted.label, wanted.body)))
    if third is not None:
        frames[2] = third(link, frames)
    wanted = link.b.receive_handshake(frames[2])
    answer, _ = link.b.finish(KEYS[B]["ed25519"].sign(wanted.label, wanted.body), NOW)
    frames.append(answer)
    if fourth is not None:
        frames[3] = fourth(link, frames)
    return link.a.finish(frames[3], NOW)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"requesting_server": "c.example"}, Code.WRONG_TARGET), ({"target_server": "c.example"}, Code.WRONG_TARGET),
        ({"protocol_version": "1.2"}, Code.DOWNGRADE), ({"supported_versions": ["2.0", "2.1"]}, Code.DOWNGRADE),
        ({"capabilities": []}, None),
    ],
    ids=str,
)  # fmt: skip
def test_an_initiator_that_signs_something_else(changes, code):
    """Its signature holds, so the responder's own rules decide."""
    third = resigned(A, "initiator", **changes)
    if code is None:
        with pytest.raises(ProtocolError):  # the initiator, which did not change its mind, then refuses the answer
            run_with(third)
    else:
        assert code_of(lambda: run_with(third)) is code


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"responding_server": "c.example"}, Code.BAD_SIGNATURE), ({"accepted_version": "1.2"}, Code.DOWNGRADE),
        ({"compatibility_mode": True}, Code.DOWNGRADE),
        ({"shared_capabilities": ["federation", "voice_relay"]}, Code.CAPABILITY_MISSING),
    ],
    ids=str,
)  # fmt: skip
def test_a_responder_that_signs_something_else(changes, code):
    assert code_of(lambda: run_with(fourth=resigned(B, "responder", **changes))) is code
    assert run_with(fourth=resigned(B, "responder")).peer == B
