"""Topics of section 8–10: links, relays, batches, trust, audit."""

from typing import Any

from norc_actors.crypto import pseudonym
from norc_actors.crypto.kem import mlkem_public, x25519
from norc_actors.crypto.signatures import SigningKey
from norc_actors.protocol import audit_chain, batches, relay, trust_transcript
from norc_actors.protocol.codec import decode_map
from norc_actors.protocol.federation_handshake import InitiatorHandshake, ResponderHandshake
from norc_actors.protocol.frames import encode_federation, federation_stream
from norc_actors.protocol.handshake import master_secret
from norc_actors.protocol.links import LinkOffer, Peer, transcript_hash
from norc_actors.protocol.sealed import traffic_keys

from . import NOW, Case, Stream, each_suite, fixed, fixed_encapsulate, flipped, identity, key, m, refused, uuid, x

A, B, T = "a.example", "b.example", "t.example"
ALPN = "norc-f/2.0"


def _members(frame: bytes) -> dict[str, Any]:
    (one,) = federation_stream(2**20).feed(frame)
    return decode_map(one.body)


def link_handshakes() -> list[Case]:
    """Four messages, both signatures, the keys."""
    cases: list[Case] = []
    for suite_name, suite in each_suite():
        initiator_key, responder_key = (key(identity(suite_name), name) for name in ("server a", "server b"))
        prints = {A: fixed("tls a"), B: fixed("tls b")}

        def offer(name: str, signer: Any) -> LinkOffer:
            return LinkOffer(
                server_id=name, public_keys={suite.identity: signer.public_key}, tls_fingerprint=prints[name],  # type: ignore[arg-type]  # noqa: B023
                suites=(suite_name,), versions=("2.0",),  # noqa: B023
            )  # fmt: skip

        initiator = InitiatorHandshake(
            offer(A, initiator_key),
            Peer(server_id=B, tls_fingerprint=prints[B], keys=(responder_key.public_key,)),  # type: ignore[arg-type]
            alpn=ALPN, alpn_offered=(ALPN,), random=Stream(f"link a {suite_name}"),
        )  # fmt: skip
        responder = ResponderHandshake(
            offer(B, responder_key),
            Peer(server_id=A, tls_fingerprint=prints[A], keys=(initiator_key.public_key,)),  # type: ignore[arg-type]
            alpn=ALPN, random=Stream(f"link b {suite_name}"), encapsulate=fixed_encapsulate(f"link {suite_name}"),
        )  # fmt: skip
        response = responder.receive_hello(initiator.hello)
        wanted = initiator.receive_response(response)
        handshake = initiator.handshake(initiator_key.sign(wanted.label, wanted.body))
        wanted = responder.receive_handshake(handshake)
        answer, _ = responder.finish(responder_key.sign(wanted.label, wanted.body), NOW)
        established = initiator.finish(answer, NOW)
        messages = [_members(frame) for frame in (initiator.hello, response, handshake, answer)]
        drawn = Stream(f"link a {suite_name}")
        e_initiator = drawn(32)
        seed = drawn(64) if suite.hybrid else b""
        ikm = x25519(e_initiator, messages[1]["ephemeral_public_key"])
        case: Case = {
            "name": "honest", "suite": suite_name, "accept": True, "initiator_key": x(initiator_key.public_key),
            "responder_key": x(responder_key.public_key), "e_initiator": x(e_initiator),
            "e_responder": x(Stream(f"link b {suite_name}")(32)),
            "hello": m(messages[0]), "hello_response": m(messages[1]), "handshake": m(messages[2]),
            "handshake_response": m(messages[3]), "th_3": x(transcript_hash(suite, messages[:3])),
            "th_4": x(transcript_hash(suite, messages)),
        }  # fmt: skip
        if suite.hybrid:
            _, secret = fixed_encapsulate(f"link {suite_name}")(mlkem_public(seed))
            case |= {"kem_seed": x(seed), "mlkem_m": x(fixed(f"link {suite_name} m"))}
            ikm += secret
        secret_bytes = master_secret(suite, ikm, messages[0]["nonce"], messages[1]["nonce"], "2.0", established.th)
        keys = traffic_keys(suite, secret_bytes)
        case |= {
            "ikm": x(ikm), "master_secret": x(secret_bytes), "k_c2s": x(keys.c2s), "k_s2c": x(keys.s2c),
            "rs": x(keys.rs),
        }  # fmt: skip
        cases.append(case)
        for name, which in (("initiator", "handshake"), ("responder", "handshake_response")):
            plain = messages[2] if name == "initiator" else messages[3]
            for why, changes in (
                ("signature altered", {"signature": flipped(plain["signature"])}),
                ("a member added", {"zzz": 1}),
            ):
                cases.append(
                    refused(case, "ProtocolError 5604", name=f"{name}: {why}", **{which: m(plain | changes)})
                )  # fmt: skip
        reflected = messages[3] | {"signature": initiator_key.sign("fed-link:v1", b"initiator" + established.th)}
        cases.append(refused(case, "ProtocolError 5604", name="reflected", handshake_response=m(reflected)))
    return cases


def _relay(**changes: Any) -> dict[str, Any]:
    return {
        "type": "message_relay", "federation_id": uuid("federation"), "message_id": uuid("message"),
        "origin_server": A, "target_server": B, "target_users": ["bob@b.example", "carol@b.example"],
        "link_epoch": 3, "link_sequence": 44, "sender_user": "alice@a.example", "sender_device": uuid("alice device"),
        "conversation_id": uuid("conversation"), "epoch": 2, "suite": "0101", "chain_id": uuid("chain"),
        "sequence_number": 77, "prev_message_hash": fixed("relay prev"), "key_commitment": fixed("relay commitment"),
        "ciphertext": fixed("relay ciphertext", 272),
        "encrypted_payloads": {uuid(f"bob device {n}"): {
            "session_id": uuid(f"session {n}"), "index": n, "wrapped": fixed(f"wrapped {n}", 48),
        } for n in (1, 2)},
        "classification": "confidential",
        "metadata": {
            "original_timestamp": NOW * 10**6, "federation_timestamp": NOW * 10**6, "hop_count": 0, "ttl": 3600,
            "priority": "normal", "delivery_requirements": ["acknowledge"],
        },
    } | changes  # fmt: skip


def relays() -> list[Case]:
    """Relays over one hop and two, and laundered ones."""
    cases: list[Case] = []
    for algorithm in ("ed25519", "p256"):
        origin, transit, other = (key(algorithm, name) for name in ("server a", "server t", "mallory"))  # type: ignore[arg-type]
        signed = relay.sign_relay(origin, _relay(expires_at=NOW + 600))
        direct = relay.add_hop(origin, signed, A, B, NOW * 10**6 + 1)
        first = relay.add_hop(origin, signed, A, T, NOW * 10**6 + 1)
        routed = relay.add_hop(transit, first, T, B, NOW * 10**6 + 400)
        common: Case = {"accept": True, "keys": {A: x(origin.public_key), T: x(transit.public_key)}, "receiver": B}
        for name, plain in (("direct", direct), ("over t.example", routed)):
            bodies = _route_bodies(plain, {A: origin.public_key, T: transit.public_key})
            hashed = relay.payload_hash(origin.public_key, plain["ciphertext"], plain["encrypted_payloads"])  # type: ignore[arg-type]
            cases.append(
                {"name": name, **common, "relay": m(plain), "payload_hash": x(hashed),
                 "body": relay.relay_body(plain, origin.public_key).decode(), "route_bodies": [x(b) for b in bodies]}
            )  # fmt: skip
        base = cases[-1]
        entries: Any = routed["route_signatures"]
        metadata: Any = routed["metadata"]
        for name, changes in (
            ("ciphertext altered", {"ciphertext": flipped(signed["ciphertext"])}),  # type: ignore[arg-type]
            ("a wrap dropped", {"encrypted_payloads": {}}),
            ("classification relabelled", {"classification": "unclassified"}),
            ("another target user", {"target_users": ["mallory@b.example"]}),
            ("original_timestamp renewed", {"metadata": metadata | {"original_timestamp": NOW * 10**6 + 9}}),
            ("signed by another server", {"signature": other.sign("relay:v1", base["body"].encode())}),
            ("the transit server left itself out", {"route_path": [A], "route_signatures": entries[:1]}),
            ("the origin left out", {"route_path": [T], "route_signatures": entries[1:]}),
            ("entries exchanged", {"route_signatures": entries[::-1]}),
            ("a hop's time altered", {"route_signatures": [entries[0], entries[1] | {"federation_timestamp": NOW}]}),
            ("no route at all", {"route_signatures": None}),
        ):
            plain = {name: value for name, value in (routed | changes).items() if value is not None}
            cases.append(refused(base, "BadSignatureError", name=name, relay=m(plain)))
        cases.append(refused(base, "BadSignatureError", name="handed to another server", receiver="c.example"))
    return cases + old_relays()


def old_relays() -> list[Case]:
    """Relays of 1.x: blobs as payloads, and an empty ciphertext in payload_hash."""
    cases: list[Case] = []
    for algorithm in ("ed25519", "p256"):
        origin, other = key(algorithm, "server a"), key(algorithm, "mallory")  # type: ignore[arg-type]
        plain: dict[str, Any] = {
            "type": "message_relay", "message_id": uuid("message"), "origin_server": A, "target_server": B,
            "route_path": [A], "sender_user": "alice@a.example", "conversation_id": uuid("conversation"),
            "target_users": ["bob@b.example"], "encrypted_payloads": {uuid("bob device 1"): fixed("blob", 400)},
            "classification": "unclassified", "metadata": {
                "original_timestamp": NOW * 10**6, "federation_timestamp": NOW * 10**6, "hop_count": 1, "ttl": 3600,
                "priority": "normal", "delivery_requirements": []},
        }  # fmt: skip
        signed = relay.sign_relay(origin, plain)
        case: Case = {
            "name": "relay of 1.x", "accept": True, "keys": {A: x(origin.public_key)}, "receiver": B,
            "relay": m(signed), "body": relay.relay_body(signed, origin.public_key).decode(), "route_bodies": [],
            "payload_hash": x(relay.payload_hash(origin.public_key, b"", plain["encrypted_payloads"])),
        }  # fmt: skip
        payloads = {uuid("bob device 1"): flipped(fixed("blob", 400))}
        cases += [
            case,
            refused(case, "BadSignatureError", name="relay of 1.x: a blob altered",
                    relay=m(signed | {"encrypted_payloads": payloads})),
            refused(case, "BadSignatureError", name="relay of 1.x: classification relabelled",
                    relay=m(signed | {"classification": "secret"})),
            refused(case, "BadSignatureError", name="relay of 1.x: signed by another server",
                    relay=m(relay.sign_relay(other, plain))),
        ]  # fmt: skip
    return cases


def _route_bodies(plain: dict[str, Any], keys: dict[str, bytes]) -> list[bytes]:
    bodies, previous = [], None
    path = plain["route_path"]
    for index, (server, entry) in enumerate(zip(path, plain["route_signatures"], strict=True)):
        following = path[index + 1] if index + 1 < len(path) else B
        at = entry["federation_timestamp"]
        bodies.append(relay.route_body(keys[server], plain["signature"], previous, server, following, index, at))
        previous = entry["signature"]
    return bodies


def fed_requests() -> list[Case]:
    """Batches: one frame, none, and refused ones."""
    cases: list[Case] = []
    for suite_name, suite in each_suite():
        signer, other = key(identity(suite_name), "server a"), key(identity(suite_name), "mallory")
        frames = encode_federation(2, 0x82, b"\x80") + encode_federation(2, 0x80, b"\x81\xa1a\x01")
        for name, content in (("two frames", frames), ("empty", b"")):
            batch = batches.make_batch(signer, suite, A, B, content, NOW)
            body = batches.batch_body(suite, A, B, NOW, content)
            case: Case = {
                "name": name, "suite": suite_name, "accept": True, "public_key": x(signer.public_key),
                "batch": m(batch), "body": x(body),
            }  # fmt: skip
            cases.append(case)
            for why, changes in (
                ("frames altered", {"frames": content + encode_federation(2, 0x81, b"\x80")}),
                ("timestamp altered", {"timestamp": NOW + 1}),
                ("signed by another server", {"signature": other.sign("fed-request:v1", body)}),
                ("signed under another label", {"signature": signer.sign("relay:v1", body)}),
            ):
                cases.append(refused(case, "ProtocolError 5604", name=f"{name}: {why}", batch=m(batch | changes)))
    return cases


def trust() -> list[Case]:
    """An exchange message by message, a proof, a certificate, a revocation, a CRL."""
    cases: list[Case] = []
    for algorithm in ("ed25519", "p256"):
        requester, issuer = (key(algorithm, name) for name in ("server a", "server b"))  # type: ignore[arg-type]
        transcript = trust_transcript.Transcript(requesting=A, other=B)
        earlier: list[dict[str, str]] = []
        steps: list[tuple[Any, str, dict[str, Any]]] = [
            (requester, "trust_capabilities", {"server_id": A, "supported_versions": ["1.1"]}),
            (requester, "trust_request", {"requesting_server": A, "target_server": B}),
            (issuer, "trust_challenge", {"challenging_server": B, "challenges": []}),
            (requester, "trust_response", {"responding_server": A, "challenge_responses": []}),
            (issuer, "trust_decision", {"decision_server": B, "decision": "accept"}),
            (requester, "trust_acknowledgment", {"acknowledging_server": A, "decision_accepted": True}),
        ]
        for signer, kind, members in steps:
            message = trust_transcript.sign_message(signer, {"type": kind, **members, "timestamp": NOW}, transcript)
            case: Case = {
                "name": kind, "accept": True, "public_key": x(signer.public_key), "requesting": A, "other": B,
                "earlier": [*earlier], "th_t": x(transcript.th(signer.public_key)), "message": m(message),
                "label": trust_transcript.label_of(kind),
            }  # fmt: skip
            cases.append(case)
            cases.append(refused(case, "BadSignatureError", name=f"{kind}: of another exchange", requesting=B, other=A))
            cases.append(
                refused(case, "BadSignatureError", name=f"{kind}: altered", message=m(message | {"timestamp": 1}))
            )  # fmt: skip
            if earlier:
                cases.append(refused(case, "BadSignatureError", name=f"{kind}: out of place", earlier=earlier[:-1]))
            transcript = transcript.then(message)
            earlier.append(m(message))
        challenge = fixed("trust challenge", 64)
        cases.append(
            {"name": "proof", "accept": True, "public_key": x(requester.public_key), "requesting": A, "other": B,
             "earlier": earlier, "th_t": x(transcript.th(requester.public_key)), "challenge_data": x(challenge),
             "proof": x(trust_transcript.make_proof(requester, transcript, challenge))}
        )  # fmt: skip
        cases.append(
            refused(cases[-1], "BadSignatureError", name="proof for another challenge",
                    challenge_data=x(flipped(challenge)))
        )  # fmt: skip
        outside: list[tuple[str, dict[str, Any]]] = [
            ("trust_revoke", {"revocation_id": uuid("revoke"), "revoking_server": B}),
            ("trust_crl", {"issuer_server": B, "number": 12, "revoked_certificates": []}),
            *((kind, {"server": B}) for kind in (
                "gov_pki_trust_request", "trust_capabilities", "revocation_acknowledgment", "crl_request",
                "trust_recommendation", "trust_recommendation_response", "trust_health_check", "trust_health_report",
                "trust_renewal", "compliance_report", "compliance_report_response",
            )),
        ]  # fmt: skip
        for kind, members in outside:
            message = trust_transcript.sign_message(issuer, {"type": kind, **members, "timestamp": NOW}, None)
            cases.append(
                {"name": f"{kind}, outside", "accept": True, "public_key": x(issuer.public_key), "earlier": None,
                 "message": m(message), "label": trust_transcript.label_of(kind)}
            )  # fmt: skip
        cases += _revocations(issuer)
        certificate: dict[str, Any] = {
            "version": "1.1", "certificate_id": uuid("certificate"), "issuer_server": B, "subject_server": A,
            "trust_level": "verified", "not_before": NOW, "not_after": NOW + 31_536_000,
            "public_key": requester.public_key, "key_algorithm": algorithm, "extensions": {},
        }  # fmt: skip
        made = trust_transcript.sign_certificate(issuer, certificate)
        cases.append(
            {"name": "certificate", "accept": True, "public_key": x(issuer.public_key), "certificate": m(made)}
        )
        cases.append(
            refused(cases[-1], "BadSignatureError", name="certificate: a higher level",
                    certificate=m(made | {"trust_level": "nato"}))
        )  # fmt: skip
    return cases


def _revocations(issuer: SigningKey) -> list[Case]:
    """trust_revoke after trust_revoke: each names the one before, signature included."""
    chain: list[dict[str, Any]] = []
    cases: list[Case] = []
    for number in (1, 2, 3):
        plain: dict[str, Any] = {
            "type": "trust_revoke",
            "revoking_server": B,
            "revocation_id": uuid(f"revoke {number}"),
        }
        if chain:
            plain["prev_revocation_hash"] = trust_transcript.revocation_hash(issuer.public_key, chain[-1])
        chain.append(dict(trust_transcript.sign_message(issuer, {**plain, "timestamp": NOW + number}, None)))
        before = {"previous": m(chain[-2])} if len(chain) > 1 else {}
        cases.append(
            {"name": f"trust_revoke {number} of a chain", "accept": True, "public_key": x(issuer.public_key),
             "earlier": None, "message": m(chain[-1]), "label": "trust-revoke:v1", "chained": True, **before}
        )  # fmt: skip
    return [
        *cases,
        refused(cases[2], "ProtocolError 5606", name="trust_revoke: the one before is missing", previous=m(chain[0])),
        refused(cases[1], "ProtocolError 5606", name="trust_revoke: repeated", previous=m(chain[1])),
        refused(cases[0], "ProtocolError 5606", name="trust_revoke: a first one after another", previous=m(chain[1])),
    ]


def audit() -> list[Case]:
    """A chain of three entries and the root of a day."""
    entries = [
        audit_chain.canonical_entry({"event_id": uuid(f"event {n}"), "actor": fixed(f"actor {n}", 16)}, n)
        for n in (1, 2, 3)
    ]
    hashes, head = [], audit_chain.genesis("node-1")
    for entry in entries:
        head = audit_chain.entry_hash(head, entry)
        hashes.append(x(head))
    case: Case = {
        "name": "three entries", "accept": True, "node_id": "node-1", "genesis": x(audit_chain.genesis("node-1")),
        "entries": [entry.decode() for entry in entries], "entry_hashes": hashes,
    }  # fmt: skip
    cases = [
        case,
        refused(case, "another head", name="an entry left out", entries=case["entries"][1:], entry_hashes=hashes[1:]),
        refused(case, "another head", name="of another node", node_id="node-2"),
    ]
    for algorithm in ("ed25519", "p256"):
        signer = key(algorithm, "server a")  # type: ignore[arg-type]
        root = audit_chain.make_root(signer, A, "2026-11-20", [("node-1", 3, head), ("node-2", 0, fixed("head"))])
        one: Case = {"name": "root", "accept": True, "public_key": x(signer.public_key), "root": m(root)}
        cases += [one, refused(one, "BadSignatureError", name="root cut back", root=m(root | {"heads": []}))]
    return cases


def pseudonyms() -> list[Case]:
    """A user on two days."""
    cases: list[Case] = []
    for suite_name, suite in each_suite():
        for date in ("2026-11-20", "2026-11-21"):
            k_day = pseudonym.day_key(suite, fixed("k_year"), date)
            cases.append(
                {"name": date, "suite": suite_name, "accept": True, "k_year": x(fixed("k_year")), "date": date,
                 "k_day": x(k_day), "user_id": "alice@a.example",
                 "pseudonym": x(pseudonym.pseudonym(k_day, "alice@a.example"))}
            )  # fmt: skip
    return cases
