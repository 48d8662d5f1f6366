"""Parts of sections 8 to 10: links, batches, relays, trust, audit, pseudonyms."""

# ruff: noqa: SLF001 - the recorded end of a link has to go on from its recorded ephemeral keys

from typing import Any

from norc_actors.crypto import kem, pseudonym
from norc_actors.crypto.errors import BadSignatureError
from norc_actors.crypto.signatures import SigningKey
from norc_actors.crypto.suites import SUITES, Suite, suite_for_key
from norc_actors.protocol import audit_chain, batches, relay, trust_transcript
from norc_actors.protocol.canonical import canonical
from norc_actors.protocol.codec import convert, encode_map
from norc_actors.protocol.federation_handshake import InitiatorHandshake
from norc_actors.protocol.frames import encode_federation
from norc_actors.protocol.handshake import master_secret
from norc_actors.protocol.links import LinkOffer, Peer, transcript_hash, verify_side
from norc_actors.protocol.messages.federation import Batch, FederationHello, NegotiatedVersions
from norc_actors.protocol.sealed import traffic_keys

from .parts_people import SIGNED
from .parts_wire import _keys, _same_keys, made_again, stated_key
from .reading import Entry, part

LINK_MESSAGES = ("hello", "hello_response", "handshake", "handshake_response")


# --- Links ---


@part(
    "initiator_key responder_key hello hello_response handshake handshake_response",
    malformed="nonce|PQ|pq_|missing|short|long",
    downgrade="version|suite|compatib|alpn|downgrade",
    bad_signature="sign|label|altered|reflected|member|key|fingerprint|server_id",
    crypto="zero|X25519",
)
def link_handshake(entry: Entry) -> None:
    """As the initiator judges it (the responder's side is its signature), then the formulas."""
    messages = [entry.map(name) for name in LINK_MESSAGES]
    established = _initiator(entry, messages).finish(_frame(0x73, messages[3]), 0.0)
    suite = established.suite
    entry.equal("suite", suite.name)
    th3, th4 = transcript_hash(suite, messages[:3]), transcript_hash(suite, messages)
    for name, value in (("th3", th3), ("th_3", th3), ("th", th4), ("th_4", th4)):
        entry.equal(name, value)
    for side, th, message in (("initiator", th3, messages[2]), ("responder", th4, messages[3])):
        key = stated_key(entry, f"{side}_seed", f"{side}_key")
        made_again(entry, key, "fed-link:v1", side.encode() + th, message["signature"])
    ikm = _agreed(entry, suite, messages)
    version = convert(messages[1]["negotiated_versions"], NegotiatedVersions).norc_f
    ms = master_secret(suite, ikm, messages[0]["nonce"], messages[1]["nonce"], version, th4)
    entry.equal("ikm", ikm)
    entry.equal("master_secret", ms)
    _keys(entry, traffic_keys(suite, ms))
    _same_keys(established.sealed, traffic_keys(suite, ms), entry)


def _frame(code: int, message: dict[str, Any]) -> bytes:
    return encode_federation(2, code, encode_map(message))


def _initiator(entry: Entry, messages: list[dict[str, Any]]) -> InitiatorHandshake:
    """An initiator that has sent the recorded hello, taken the recorded answer and sent the recorded handshake."""
    hello, response, handshake, answer = messages
    initiator_key = entry.raw("initiator_key")
    typed = convert(hello, FederationHello)
    other = SigningKey("p256" if len(initiator_key) == 32 else "ed25519", b"\1" * 32)
    own = {len(key): key for key in (other.public_key, initiator_key)}
    offer = LinkOffer(
        server_id=typed.server_id, public_keys={"ed25519": own[32], "p256": own[33]},
        tls_fingerprint=typed.tls_fingerprint, versions=tuple(typed.protocol_versions.norc_f),
        trust_versions=tuple(typed.protocol_versions.norc_t),
        suites=tuple(name for name in typed.cipher_suites if name in SUITES),
        capabilities=tuple({*typed.capabilities, *answer["shared_capabilities"]}), max_frame=typed.max_frame,
    )  # fmt: skip
    peer = Peer(
        server_id=handshake["target_server"], keys=(entry.raw("responder_key"),),
        tls_fingerprint=entry.raw("responder_tls") if "responder_tls" in entry else response["tls_fingerprint"],
    )  # fmt: skip
    drawn = {32: entry.raw("e_initiator") if "e_initiator" in entry else b"e" * 32, 12: typed.nonce}
    drawn[64] = entry.file.seeds.get(typed.pq_public_key, b"s" * 64) if typed.pq_public_key else b"s" * 64
    initiator = InitiatorHandshake(
        offer, peer, alpn=typed.alpn_offered[0], alpn_offered=typed.alpn_offered,
        random=lambda length: drawn.get(length, bytes(length)),
    )  # fmt: skip
    initiator._side.maps[0], initiator._side.hello = hello, typed
    initiator.receive_response(_frame(0x71, response))
    initiator._side.maps[2] = {name: value for name, value in handshake.items() if name != "signature"}
    initiator.handshake(handshake["signature"])
    suite = initiator._suite
    verify_side(initiator_key, "initiator", transcript_hash(suite, messages[:3]), handshake["signature"])
    return initiator


def _agreed(entry: Entry, suite: Suite, messages: list[dict[str, Any]]) -> bytes:
    hello, response = messages[:2]
    ikm = kem.x25519(entry.raw("e_initiator"), response["ephemeral_public_key"])
    if kem.x25519(entry.raw("e_responder"), hello["ephemeral_public_key"]) != ikm:
        entry.differ("the ends agree on two secrets")
    if suite.hybrid:
        ikm += kem.decapsulate(entry.file.seeds[hello["pq_public_key"]], response["pq_ciphertext"])
    return ikm


# --- Batches and relays ---


@part("batch request_body request_signature origin_key", **SIGNED)
def batch(entry: Entry) -> None:
    """The frames of a batch by themselves, with what is signed about them."""
    frames, body = entry.raw("batch"), entry.raw("request_body")
    requesting, target, timestamp = _names_in(body)
    key = stated_key(entry, "origin_seed", "origin_key")
    suite = entry.suite if "suite" in entry else suite_for_key(entry.raw("origin_key"))
    entry.equal("request_body", batches.batch_body(suite, requesting, target, timestamp, frames))
    opened = Batch(
        requesting=requesting, target=target, timestamp=timestamp, frames=frames,  # type: ignore[arg-type]
        signature=entry.raw("request_signature"),
    )  # fmt: skip
    batches.open_batch(
        opened, suite, entry.raw("origin_key"), remote=requesting, own_server=target,
        now=entry.get("now") or timestamp,
    )  # fmt: skip
    made_again(entry, key, "fed-request:v1", body, entry.raw("request_signature"))


def _names_in(body: bytes) -> tuple[str, str, int]:
    """requesting, target and timestamp of a request body: three parts with a length, then eight bytes."""
    parts, at = [], 0
    for _ in range(3):
        length = int.from_bytes(body[at : at + 4], "big")
        parts.append(body[at + 4 : at + 4 + length].decode())
        at += 4 + length
    return parts[1], parts[2], int.from_bytes(body[at : at + 8], "big")


@part("relay origin_key", **SIGNED)
def relay_and_route(entry: Entry) -> None:
    message, origin = entry.map("relay"), entry.raw("origin_key")
    receiver = entry.get("receiver") or message["target_server"]
    keys = {message["origin_server"]: origin}
    if "transit_key" in entry:
        keys |= dict.fromkeys(
            (name for name in message.get("route_path", ()) if name not in keys), entry.raw("transit_key")
        )  # fmt: skip
    entry.equal(
        "payload_hash", relay.payload_hash(origin, message.get("ciphertext", b""), message["encrypted_payloads"])
    )
    entry.equal("relay_body", relay.relay_body(message, origin))
    previous = None
    for index, one in enumerate(message.get("route_signatures", ())):
        path = [*message["route_path"], receiver]
        body = relay.route_body(
            keys.get(path[index], origin), message["signature"], previous, path[index], path[index + 1], index,
            one["federation_timestamp"],
        )  # fmt: skip
        entry.equal(f"route_body_{index + 1}", body)
        signer = stated_key(entry, "transit_seed" if index else "origin_seed", "transit_key" if index else "origin_key")
        made_again(entry, signer, "route:v1", body, one["signature"])
        previous = one["signature"]
    relay.verify_relay(message, origin)
    relay.verify_route(message, receiver, keys.get)
    if message["route_path"][0] != message["origin_server"]:
        raise BadSignatureError("the path does not begin at the origin")
    origin_key = stated_key(entry, "origin_seed", "origin_key")
    made_again(entry, origin_key, "relay:v1", relay.relay_body(message, origin), message["signature"])


# --- Trust ---


def _transcripts(entry: Entry) -> list[trust_transcript.Transcript]:
    """The transcript before message 1, 2, …, and after the last."""
    first = entry.map("message_1")
    names = first.get("server_id") or first["requesting_server"], entry.get("other")
    if names[1] is None:
        names = names[0], entry.map("message_2")["target_server"]
    found = [trust_transcript.Transcript(requesting=names[0], other=names[1])]
    while f"message_{len(found)}" in entry:
        found.append(found[-1].then(entry.map(f"message_{len(found)}")))
    return found


@part("requester_key message_1 message_2", **SIGNED)
def trust_exchange(entry: Entry) -> None:
    keys = {side: stated_key(entry, f"{side}_seed", f"{side}_key") for side in ("requester", "issuer")}
    transcripts = _transcripts(entry)
    for position, transcript in enumerate(transcripts):
        entry.equal(f"th_t{position}", transcript.th(entry.raw("requester_key")))
        if position == len(transcripts) - 1:
            break
        message = entry.map(f"message_{position + 1}")
        by_issuer = message["type"] in ("trust_challenge", "trust_decision")
        side = "issuer" if by_issuer else "requester"
        key = entry.raw(f"{side}_key")
        trust_transcript.verify_message(message, key, transcript)
        body = trust_transcript.signed_body(message, transcript.th(key))
        made_again(entry, keys[side], trust_transcript.label_of(message["type"]), body, message["signature"])


@part("requester_key message_1 challenge_data proof", **SIGNED)
def trust_proof(entry: Entry) -> None:
    transcript = _transcripts(entry)[-1]
    key, challenge = entry.raw("requester_key"), entry.raw("challenge_data")
    entry.equal("proof_body", transcript.th(key) + challenge)
    trust_transcript.verify_proof(key, transcript, challenge, entry.raw("proof"))
    signer = stated_key(entry, "requester_seed", "requester_key")
    made_again(entry, signer, "trust-proof:v1", transcript.th(key) + challenge, entry.raw("proof"))


@part("certificate issuer_key", trust_expired="time|expired", **SIGNED)
def trust_certificate(entry: Entry) -> None:
    certificate = entry.map("certificate")
    trust_transcript.verify_certificate(
        certificate, entry.raw("issuer_key"), issuer=entry.get("issuer") or certificate["issuer_server"],
        now=entry.get("now") or certificate["not_before"],
    )  # fmt: skip
    signer = stated_key(entry, "issuer_seed", "issuer_key")
    made_again(entry, signer, "trust-cert:v1", canonical(certificate, ("signature",)), certificate["signature"])


# --- Audit ---


@part("node_id genesis")
def audit(entry: Entry) -> None:
    head = audit_chain.genesis(entry["node_id"])
    entry.equal("genesis", head)
    number = 1
    while f"entry_{number}" in entry:
        head = audit_chain.entry_hash(head, canonical(entry.map(f"entry_{number}")))
        entry.equal(f"hash_{number}", head)
        number += 1


@part("audit_root server_key", **SIGNED)
def audit_root(entry: Entry) -> None:
    audit_chain.verify_root(entry.map("audit_root"), entry.raw("server_key"))


@part("suite k_year date user_id")
def pseudonyms(entry: Entry) -> None:
    k_day = pseudonym.day_key(entry.suite, entry.raw("k_year"), entry["date"])
    entry.equal("k_day", k_day)
    entry.equal("pseudonym", pseudonym.pseudonym(k_day, entry["user_id"]))
