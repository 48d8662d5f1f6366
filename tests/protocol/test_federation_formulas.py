"""Files, calls, federation, trust and audit against the recorded vectors."""

import pytest

from norc_actors.crypto.signatures import SigningKey
from norc_actors.crypto.suites import SUITES
from norc_actors.ids import uuid_bytes
from norc_actors.protocol import audit_chain, batches, calls, files, relay, trust_transcript
from norc_actors.protocol.canonical import canonical
from norc_actors.protocol.federation_handshake import transcript_hash
from norc_actors.protocol.handshake import master_secret
from norc_actors.protocol.messages.federation import Batch
from norc_actors.protocol.sealed import traffic_keys
from tests.support.vectors import b, cases, map_of, section


@pytest.mark.parametrize("v", cases("files", label="index"))
def test_file_chunks(v):
    suite = SUITES[v["suite"]]
    sealer = files.FileSealer(
        suite, b(v, "file_key"), v["file_id"], total=v["total"], chunk_size=v["chunk_size"]
    )  # fmt: skip
    sealed = sealer.seal(v["index"], b(v, "chunk"))
    assert files.chunk_hash(suite, sealed) == b(v, "sealed_hash")
    assert sealed[-16:] == b(v, "tag")


@pytest.mark.parametrize("v", cases("calls"))
def test_call_keys(v):
    suite = SUITES[v["suite"]]
    key = calls.first_key(suite, b(v, "call_secret"), uuid_bytes(v["call_id"]), uuid_bytes(v["sender_device"]))
    for name in ("m0", "m1", "m2"):
        assert key == b(v, name)
        key = calls.next_key(suite, key)


@pytest.mark.parametrize("v", cases("federation_handshake"))
def test_link_handshake(v):
    suite = SUITES[v["suite"]]
    messages = [map_of(v[name]) for name in ("hello", "hello_response", "handshake", "handshake_response")]
    assert transcript_hash(suite, messages[:3]) == b(v, "th3")
    th = transcript_hash(suite, messages)
    assert th == b(v, "th")
    nonces = messages[0]["nonce"], messages[1]["nonce"]
    ms = master_secret(suite, b(v, "ikm"), *nonces, messages[1]["negotiated_versions"]["norc_f"], th)
    assert ms == b(v, "master_secret")
    keys = traffic_keys(suite, ms)
    assert (keys.c2s, keys.s2c) == (b(v, "k_c2s"), b(v, "k_s2c"))


@pytest.mark.parametrize("v", cases("federation"))
def test_relay_route_and_batch(v):
    suite = SUITES[v["suite"]]
    origin, transit = (SigningKey("ed25519", b(v, f"{name}_seed")) for name in ("origin", "transit"))
    message = map_of(v["relay"])
    hashed = relay.payload_hash(origin.public_key, message["ciphertext"], message["encrypted_payloads"])
    assert hashed == b(v, "payload_hash")
    assert relay.relay_body(message, origin.public_key) == b(v, "relay_body")
    relay.verify_relay(message, origin.public_key)
    keys = {"a.example": origin.public_key, "t.example": transit.public_key}
    relay.verify_route(message, "b.example", keys.get)
    first, second = message["route_signatures"]
    at = first["federation_timestamp"]
    body = relay.route_body(origin.public_key, message["signature"], None, "a.example", "t.example", 0, at)
    assert body == b(v, "route_body_1")
    body = relay.route_body(
        transit.public_key, message["signature"], first["signature"], "t.example", "b.example", 1,
        second["federation_timestamp"],
    )  # fmt: skip
    assert body == b(v, "route_body_2")
    bare = {name: value for name, value in message.items() if name not in ("route_path", "route_signatures")}
    once = relay.add_hop(origin, bare, "a.example", "t.example", at)
    assert relay.add_hop(transit, once, "t.example", "b.example", second["federation_timestamp"]) == message
    batch = b(v, "request_body")
    timestamp = int.from_bytes(batch[-40:-32], "big")
    assert batches.batch_body(suite, "a.example", "b.example", timestamp, b(v, "batch")) == batch
    opened = Batch(
        requesting="a.example", target="b.example", timestamp=timestamp, frames=b(v, "batch"),
        signature=b(v, "request_signature"),
    )  # fmt: skip
    frames = batches.open_batch(
        opened, suite, origin.public_key, remote="a.example", own_server="b.example", now=timestamp + 60
    )  # fmt: skip
    assert [frame.version for frame in frames] == [2]


@pytest.mark.parametrize("v", cases("trust"))
def test_trust(v):
    requester, issuer = (SigningKey("ed25519", b(v, f"{name}_seed")) for name in ("requester", "issuer"))
    transcript = trust_transcript.Transcript(requesting="a.example", other="b.example")
    for position in (1, 2):
        assert transcript.th(requester.public_key) == b(v, f"th_t{position - 1}")
        message = map_of(v[f"message_{position}"])
        trust_transcript.verify_message(message, requester.public_key, transcript)
        unsigned = {name: value for name, value in message.items() if name != "signature"}
        assert trust_transcript.sign_message(requester, unsigned, transcript) == message
        transcript = transcript.then(message)
    assert transcript.th(requester.public_key) == b(v, "th_t2")
    assert trust_transcript.make_proof(requester, transcript, b(v, "challenge_data")) == b(v, "proof")
    trust_transcript.verify_proof(requester.public_key, transcript, b(v, "challenge_data"), b(v, "proof"))
    certificate = map_of(v["certificate"])
    trust_transcript.verify_certificate(
        certificate, issuer.public_key, issuer="b.example", now=certificate["not_before"]
    )


def test_audit():
    v = section("audit")
    assert audit_chain.genesis(v["node_id"]) == b(v, "genesis")
    head = audit_chain.genesis(v["node_id"])
    for number in (1, 2):
        entry = canonical(map_of(v[f"entry_{number}"]))
        assert entry == v[f"entry_{number}"]["canonical"].encode()
        head = audit_chain.entry_hash(head, entry)
        assert head == b(v, f"hash_{number}")
