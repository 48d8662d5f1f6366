"""The handshake: vectors from both ends, every refusal, and a man in the middle who takes anything away."""

import random
from typing import Any

import pytest

from norc_actors.crypto import kem
from norc_actors.crypto.signatures import SigningKey
from norc_actors.crypto.suites import PREFERENCE, SUITES, Algorithm
from norc_actors.protocol import codec
from norc_actors.protocol.canonical import Value
from norc_actors.protocol.errors import Code, PeerError, ProtocolError
from norc_actors.protocol.frames import decode_v1, encode_v1
from norc_actors.protocol.handshake import (
    ClientHandshake,
    KnownKeys,
    ServerHandshake,
    refusal,
    transcript_hash,
)
from norc_actors.protocol.messages import ConnectionAccepted, ConnectionRequest, ErrorMessage
from norc_actors.protocol.sealed import Opened
from tests.support.links import SERVER, keys, offer, pair, seeded, shake_hands, sign
from tests.vectors.files import holds, recorded
from tests.vectors.reading import Entry


@recorded("handshake", "refused_accepted")
def test_recorded(entry: Entry) -> None:
    assert holds(entry)


@pytest.mark.parametrize("suite", PREFERENCE)
def test_every_suite(suite: str) -> None:
    ends = pair(suite)
    assert ends.client.suite is ends.server.suite is SUITES[suite]
    assert ends.client.th == ends.server.th
    assert ends.client.session_id == ends.server.session_id
    assert ends.client.auth_challenge == ends.server.auth_challenge
    assert ends.client.server_time == 1000
    for sender, receiver in ((ends.client, ends.server), (ends.server, ends.client)):
        assert receiver.sealed.receive(sender.sealed.seal(9, b"hello")[0]) == Opened(9, b"hello")


def test_both_sides_choose_the_same_suite_from_any_lists() -> None:
    """Row B15, 1,000 random pairs of lists."""
    source, identity = random.Random(15), keys()
    for _ in range(1000):
        ours, theirs = (source.sample(PREFERENCE, source.randint(1, 4)) for _ in range(2))
        client = ClientHandshake(server_name=SERVER, known=KnownKeys(), random=source.randbytes, suites=ours)
        server = ServerHandshake(offer(identity, suites=tuple(theirs)), random=source.randbytes)
        common = [name for name in PREFERENCE if name in ours and name in theirs]
        if common:
            ends = shake_hands(client, server, identity)
            assert ends.client.suite.name == ends.server.suite.name == common[0]
        else:
            with pytest.raises(ProtocolError) as caught:
                shake_hands(client, server, identity)
            assert caught.value.code is Code.ALGORITHM_UNSUPPORTED


# --- A man in the middle ---

IDENTITY = keys()


def _attacked(**middle: Any) -> None:
    client = ClientHandshake(
        server_name=SERVER, known=KnownKeys(), random=seeded(3), capabilities=("messaging", "voice", "files"),
        versions=("1.0", "1.1", "2.0"),
    )  # fmt: skip
    server = ServerHandshake(
        offer(IDENTITY, capabilities=("e2ee", "federation"), versions=("1.1", "2.0")), random=seeded(4)
    )
    shake_hands(client, server, IDENTITY, **middle)


def test_nobody_in_the_middle() -> None:
    _attacked()


def _lists(kind: type[ConnectionRequest] | type[ConnectionAccepted]) -> list[str]:
    return {
        ConnectionRequest: ["client_versions", "capabilities", "cipher_suites"],
        ConnectionAccepted: ["server_versions", "server_capabilities", "server_cipher_suites"],
    }[kind]  # type: ignore[index]


def _rewritten(frame: bytes, change: Any) -> bytes:
    v1 = decode_v1(frame)
    plain = codec.decode_map(v1.payload)
    change(plain)
    return encode_v1(v1.type, codec.encode_map(plain))


def _remover(name: str, position: int) -> Any:
    def change(plain: dict[str, Any]) -> None:
        del plain[name][position]

    return change


def _offered(kind: type[ConnectionRequest] | type[ConnectionAccepted]) -> list[tuple[str, int]]:
    lengths = {"client_versions": 3, "capabilities": 3, "cipher_suites": 4}
    lengths |= {"server_versions": 2, "server_capabilities": 2, "server_cipher_suites": 4}
    return [(name, position) for name in _lists(kind) for position in range(lengths[name])]


@pytest.mark.parametrize(("name", "position"), _offered(ConnectionRequest))
def test_removing_any_offered_item_of_the_client_aborts(name: str, position: int) -> None:
    """Row B16: always abort, never data. Both pass here: the server would go on, the client does not."""
    with pytest.raises(ProtocolError):
        _attacked(on_request=lambda frame: _rewritten(frame, _remover(name, position)))


@pytest.mark.parametrize(("name", "position"), _offered(ConnectionAccepted))
def test_removing_any_offered_item_of_the_server_aborts(name: str, position: int) -> None:
    with pytest.raises(ProtocolError):
        _attacked(on_accepted=lambda frame: _rewritten(frame, _remover(name, position)))


CHANGES: list[tuple[str, Value]] = [
    ("negotiated_version", "1.1"), ("compatibility_mode", True), ("cipher_suite", "0102"), ("server_time", 5),
    ("session_id", "8730f70d-c056-4103-9108-3d814ee5a7da"), ("server_nonce", bytes(12)), ("auth_challenge", bytes(32)),
    ("ephemeral_public_key", b"\x09" + bytes(31)), ("pq_ciphertext", bytes(1088)), ("max_frame", 70000),
    ("server_id", "b.example"), ("server_public_key", bytes(32)), ("signature", bytes(64)),
    ("build_attestation_hash", bytes(32)), ("server_rotation", []), ("x_new", 1),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), CHANGES, ids=[name for name, _ in CHANGES])
def test_changing_any_member_of_the_answer_aborts(name: str, value: Value) -> None:
    def change(plain: dict[str, Value]) -> None:
        plain[name] = value

    with pytest.raises(ProtocolError):
        _attacked(on_accepted=lambda frame: _rewritten(frame, change))


@pytest.mark.parametrize(
    ("name", "value"),
    [("client_nonce", bytes(12)), ("ephemeral_public_key", b"\x09" + bytes(31)), ("max_frame", 70000), ("x_new", 1)],
)
def test_changing_any_member_of_the_request_aborts(name: str, value: Value) -> None:
    def change(plain: dict[str, Value]) -> None:
        plain[name] = value

    with pytest.raises(ProtocolError) as caught:
        _attacked(on_request=lambda frame: _rewritten(frame, change))
    assert caught.value.code is Code.INVALID_SIGNATURE


def test_a_middle_that_signs_with_a_key_of_its_own_is_refused_once_pinned() -> None:
    own = keys(99)
    client = ClientHandshake(
        server_name=SERVER, known=KnownKeys(pinned=(IDENTITY["ed25519"].public_key,)), random=seeded(3)
    )
    with pytest.raises(ProtocolError) as caught:
        shake_hands(client, ServerHandshake(offer(own), random=seeded(4)), own)
    assert caught.value.code is Code.INVALID_SIGNATURE


# --- The client's refusals ---


def _client(**changes: Any) -> ClientHandshake:
    members: dict[str, Any] = {"server_name": SERVER, "known": KnownKeys(), "random": seeded(3)}
    return ClientHandshake(**(members | changes))


def test_remembered_version() -> None:
    identity = keys()
    shake_hands(_client(remembered_version="2.0"), ServerHandshake(offer(identity), random=seeded(4)), identity)
    with pytest.raises(ProtocolError) as caught:
        shake_hands(_client(remembered_version="2.1"), ServerHandshake(offer(identity), random=seeded(4)), identity)
    assert caught.value.code is Code.DOWNGRADE


def _answered_by_a_liar(suite: str, key: SigningKey, **changes: Value) -> Code:
    """The client's verdict on an answer that a server changed and then signed itself."""
    identity = {SUITES[suite].identity: keys()[SUITES[suite].identity]}
    client = _client()
    server = ServerHandshake(offer(identity, suites=(suite,)), random=seeded(4))
    wanted = server.prepare(client.request, uri_version="2.0", subprotocol="norc-c-v2.0", now=0.0)
    frame, _ = server.finish(sign(identity, wanted), 0.0)
    payload = codec.decode_map(decode_v1(frame).payload) | changes
    th = transcript_hash(SUITES[suite], codec.decode_map(decode_v1(client.request).payload), payload)
    payload["signature"] = key.sign("handshake:v1", th)
    with pytest.raises(ProtocolError) as caught:
        client.accept(encode_v1(1, codec.encode_map(payload)), 0.0)
    return caught.value.code


def test_what_a_server_may_not_sign_either() -> None:
    ed25519, p256 = keys()["ed25519"], keys()["p256"]
    both: list[Value] = ["0101", "0001"]
    assert _answered_by_a_liar("0001", ed25519, server_cipher_suites=both) is Code.DOWNGRADE
    assert _answered_by_a_liar("0001", ed25519, server_cipher_suites=[]) is Code.DOWNGRADE
    assert _answered_by_a_liar("0001", ed25519, server_versions=["2.0", "3.0"]) is Code.DOWNGRADE  # mode is now true
    assert _answered_by_a_liar("0001", p256, server_public_key=p256.public_key) is Code.INVALID_SIGNATURE
    assert _answered_by_a_liar("0002", ed25519, server_public_key=ed25519.public_key) is Code.INVALID_SIGNATURE
    assert _answered_by_a_liar("0001", p256) is Code.INVALID_SIGNATURE
    assert _answered_by_a_liar("0001", ed25519, server_id="b.example") is Code.INVALID_SIGNATURE
    assert _answered_by_a_liar("0001", ed25519, ephemeral_public_key=bytes(32)) is Code.CRYPTO
    assert _answered_by_a_liar("0001", ed25519, pq_ciphertext=bytes(1088)) is Code.MALFORMED
    assert _answered_by_a_liar("0001", ed25519, max_frame=65535) is Code.MALFORMED


def test_a_refusal_of_the_server_is_the_peers_error() -> None:
    frame = refusal(ProtocolError(Code.DEVICE_REVOKED, "x", retry_after=3), 0.0)
    with pytest.raises(PeerError) as caught:
        _client().accept(frame, 0.0)
    assert (caught.value.error_code, caught.value.retry_after) == (1000, 3)


def test_anything_else_instead_of_the_answer() -> None:
    for frame in (b"", b"\x01", encode_v1(9, b"\x80"), encode_v1(1, b"\x80"), encode_v1(1, b"\xc1")):
        with pytest.raises(ProtocolError):
            _client().accept(frame, 0.0)


def test_a_client_handshake_is_of_use_once() -> None:
    identity = keys()
    client = _client()
    shake_hands(client, ServerHandshake(offer(identity), random=seeded(4)), identity)
    with pytest.raises(ProtocolError) as caught:
        shake_hands(client, ServerHandshake(offer(identity), random=seeded(4)), identity)
    assert caught.value.code is Code.WRONG_STATE


def test_all_zero_agreement_aborts() -> None:
    identity = keys()

    def zero(plain: dict[str, Value]) -> None:
        plain["ephemeral_public_key"] = bytes(32)

    with pytest.raises(ProtocolError) as caught:
        shake_hands(
            _client(), ServerHandshake(offer(identity), random=seeded(4)), identity,
            on_request=lambda frame: _rewritten(frame, zero),
        )  # fmt: skip
    assert caught.value.code is Code.CRYPTO


# --- The server's refusals ---


def _server(identity: dict[Algorithm, SigningKey] | None = None, **changes: Any) -> ServerHandshake:
    return ServerHandshake(offer(identity or keys(), **changes), random=seeded(4))


def _prepare(server: ServerHandshake, client: ClientHandshake, **changes: Any) -> Code:
    arguments: dict[str, Any] = {"uri_version": "2.0", "subprotocol": "norc-c-v2.0", "now": 0.0}
    with pytest.raises(ProtocolError) as caught:
        server.prepare(client.request, **(arguments | changes))
    return caught.value.code


def test_server_refusals() -> None:
    assert _prepare(_server(), _client(), uri_version="1.1") is Code.MALFORMED
    assert _prepare(_server(), _client(), subprotocol="norc-c-v1") is Code.MALFORMED
    assert _prepare(_server(), _client(server_name="b.example")) is Code.PROTOCOL
    assert _prepare(_server(), _client(versions=("3.0",)), uri_version="3.0") is Code.NO_COMPATIBLE_VERSION
    assert _prepare(_server(versions=("1.1",)), _client(versions=("1.1",)), uri_version="1.1") is (
        Code.NO_COMPATIBLE_VERSION
    )
    assert _prepare(_server(suites=("0101",)), _client(suites=("0002",))) is Code.ALGORITHM_UNSUPPORTED


def test_server_order() -> None:
    server, client, identity = _server(), _client(), keys()
    with pytest.raises(ProtocolError):
        server.finish(bytes(64), 0.0)
    wanted = server.prepare(client.request, uri_version="2.0", subprotocol="norc-c-v2.0", now=0.0)
    assert _prepare(server, client) is Code.WRONG_STATE
    server.finish(sign(identity, wanted), 0.0)
    with pytest.raises(ProtocolError):
        server.finish(bytes(64), 0.0)


def test_anything_else_instead_of_the_request() -> None:
    for frame in (b"", encode_v1(9, b"\x80"), encode_v1(0, b"\x80"), encode_v1(0, bytes(2**20 + 1))):
        with pytest.raises(ProtocolError):
            _server().prepare(frame, uri_version="2.0", subprotocol="norc-c-v2.0", now=0.0)


def test_an_offer_needs_its_keys() -> None:
    with pytest.raises(ValueError, match="p256"):
        offer({"ed25519": keys()["ed25519"]}, suites=("0101", "0102"))


def test_a_bad_kem_key_is_refused() -> None:
    def spoil(plain: dict[str, Value]) -> None:
        plain["pq_public_key"] = b"\xff" * 1184

    client = _client()
    with pytest.raises(ProtocolError) as caught:
        _server().prepare(_rewritten(client.request, spoil), uri_version="2.0", subprotocol="norc-c-v2.0", now=0.0)
    assert caught.value.code is Code.CRYPTO


def test_the_refusal_tells_nothing() -> None:
    v1 = decode_v1(refusal(ProtocolError(Code.INVALID_DEVICE, "alice"), 7.5))
    message = codec.decode_as(ErrorMessage, v1.payload).message
    assert v1.type == 0x0F
    assert (message.error_code, message.timestamp) == (1000, 7)
    assert b"alice" not in v1.payload


def test_the_hybrid_part_enters_the_keys() -> None:
    """Two handshakes that differ in the KEM secret alone do not understand one another."""
    identity = keys()
    client = _client(suites=("0101",))
    server = ServerHandshake(
        offer(identity), random=seeded(4), encapsulate=lambda key: (kem.encapsulate(key)[0], bytes(32))
    )
    ends = shake_hands(client, server, identity)
    assert ends.client.th == ends.server.th
    assert not isinstance(ends.server.sealed.receive(ends.client.sealed.seal(9, b"x")[0]), Opened)
