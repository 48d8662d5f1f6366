"""The handshake of a link: both ends, every suite, and everything that somebody in the middle could take away."""

# ruff: noqa: SLF001 - the recorded ends need recorded ephemeral keys

import pytest

from norc_actors.crypto.signatures import SigningKey
from norc_actors.crypto.suites import PREFERENCE, SUITES
from norc_actors.protocol.codec import encode, encode_map
from norc_actors.protocol.errors import Code, PeerError, ProtocolError
from norc_actors.protocol.federation_handshake import InitiatorHandshake, ResponderHandshake
from norc_actors.protocol.frames import encode_federation, federation_stream
from norc_actors.protocol.links import LinkOffer, Peer
from norc_actors.protocol.messages.federation import FederationError
from norc_actors.protocol.sealed import Opened
from tests.support.people import NOW, seeded
from tests.support.vectors import map_of, section

ALPN = "norc-f/2.0"
A, B = "a.example", "b.example"
PRINT = {A: b"A" * 32, B: b"B" * 32}
KEYS = {
    server: {name: SigningKey.generate(name, seeded((server, name))) for name in ("ed25519", "p256")}
    for server in (A, B)
}


def offer(server, **changes):
    members = {
        "server_id": server, "tls_fingerprint": PRINT[server], "suites": PREFERENCE,
        "public_keys": {name: key.public_key for name, key in KEYS[server].items()},
    }  # fmt: skip
    return LinkOffer(**(members | changes))


def peer(server, **changes):
    members = {
        "server_id": server, "tls_fingerprint": PRINT[server],
        "keys": tuple(key.public_key for key in KEYS[server].values()),
    }  # fmt: skip
    return Peer(**(members | changes))


def sign(server, wanted):
    key = next(key for key in KEYS[server].values() if key.public_key == wanted.public_key)
    return key.sign(wanted.label, wanted.body)


def members_of(frame):
    (one,) = federation_stream(2**20).feed(frame)
    return one.type, map_of({"msgpack": one.body.hex()})


def altered(frame, **changes):
    """A frame whose map somebody changed."""
    code, members = members_of(frame)
    return encode_federation(2, code, encode_map({k: v for k, v in (members | changes).items() if v is not None}))


class Link:
    """A handshake that can be stopped and changed at each of its four messages."""

    def __init__(self, *, a=None, b=None, at_a=None, at_b=None, alpn=ALPN, offered=(ALPN,), seed=0):
        self.a = InitiatorHandshake(
            a or offer(A), at_a or peer(B), alpn=alpn, alpn_offered=offered, random=seeded(("a", seed))
        )
        self.b = ResponderHandshake(b or offer(B), at_b or peer(A), alpn=alpn, random=seeded(("b", seed)))

    def run(self, **changes):
        """`m1` to `m4` change a message on its way."""
        place, frame = "m1", self.a.hello
        while place:
            place, frame = self.deliver(place, changes.get(place, lambda frame: frame)(frame))
        return frame, self.at_b

    def deliver(self, place, frame):
        """Give `frame` to the end that waits for this message: the next place and frame, at last None and a's link."""
        if place == "m1":
            return "m2", self.b.receive_hello(frame)
        if place == "m2":
            return "m3", self.a.handshake(sign(A, self.a.receive_response(frame)))
        if place == "m3":
            answer, self.at_b = self.b.finish(sign(B, self.b.receive_handshake(frame)), NOW)
            return "m4", answer
        return None, self.a.finish(frame, NOW)


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


@pytest.mark.parametrize("entry", section("federation_handshake"), ids=lambda entry: entry["suite"])
def test_the_recorded_link(entry):
    """Both ends against a recorded handshake: each accepts what the other recorded end said."""
    seed = bytes.fromhex(section("kem")["hs-0101-fed"]["seed"]) if entry["suite"] == "0101" else None
    hello, response, handshake, answer = (
        map_of(entry[name]) for name in ("hello", "hello_response", "handshake", "handshake_response")
    )
    frames = [
        encode_federation(2, code, encode_map(message))
        for code, message in ((0x71, response), (0x73, answer))
    ]  # fmt: skip
    mine = LinkOffer(
        server_id=A, public_keys={"ed25519": bytes.fromhex(entry["initiator_key"])},
        tls_fingerprint=hello["tls_fingerprint"], versions=tuple(hello["protocol_versions"]["norc_f"]),
        trust_versions=tuple(hello["protocol_versions"]["norc_t"]), suites=tuple(hello["cipher_suites"]),
        capabilities=tuple(hello["capabilities"]), required_features=("message_relay",), max_frame=hello["max_frame"],
    )  # fmt: skip
    known = Peer(
        server_id=B, tls_fingerprint=response["tls_fingerprint"], keys=(bytes.fromhex(entry["responder_key"]),)
    )  # fmt: skip
    initiator = InitiatorHandshake(mine, known, alpn=ALPN, alpn_offered=hello["alpn_offered"], random=seeded(1))
    initiator._side.maps[0] = hello
    initiator._side.hello = type(initiator._side.hello)(
        **{name: getattr(initiator._side.hello, name) for name in initiator._side.hello.__struct_fields__}
        | {"nonce": hello["nonce"]}
    )
    initiator._ephemeral, initiator._kem_seed = bytes.fromhex(entry["e_initiator"]), seed
    wanted = initiator.receive_response(frames[0])
    assert wanted.body == b"initiator" + bytes.fromhex(entry["th3"])
    key = SigningKey("ed25519", bytes.fromhex(entry["initiator_seed"]))
    signature = key.sign(wanted.label, wanted.body)
    assert signature == handshake["signature"]
    initiator.handshake(signature)
    initiator._side.offer = LinkOffer(
        **{name: getattr(mine, name) for name in mine.__slots__} | {"required_features": ()}
    )
    established = initiator.finish(frames[1], NOW)
    assert established.th.hex() == entry["th"]
    sealed = established.sealed
    assert (sealed._send.key.reveal().hex(), sealed._receive.key.reveal().hex()) == (entry["k_c2s"], entry["k_s2c"])


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
