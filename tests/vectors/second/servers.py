"""Sections 8 to 10: links, batches, relays, trust, audit, pseudonyms."""

import hmac
from typing import Any

from tests.vectors import independent as one

from .base import (
    ALICE,
    BOB,
    CAROL,
    NOW,
    SUITES,
    A,
    B,
    Entry,
    Kem,
    Key,
    T,
    algorithm,
    code,
    drawn,
    flip,
    hexed,
    m,
    traffic,
    uuid,
    without,
)  # fmt: skip

FEDERATION = ["federation", "message_relay"]


class Link:
    """The four messages of a link's handshake under a suite."""

    def __init__(self, suite: str, kem: Kem) -> None:
        self.suite, self.hash = suite, one.hash_of(suite)
        self.a, self.b = (Key(algorithm(suite), f"server {name}") for name in (A, B))
        self.other = Key(algorithm(suite), "mallory")
        self.e_a, self.e_b = drawn(f"link a {suite}"), drawn(f"link b {suite}")
        self.hybrid = suite in one.HYBRID
        versions = {"norc_f": ["1.2", "2.0"], "norc_t": ["1.0", "1.1"]}
        hello: dict[str, Any] = {
            "type": "federation_hello", "server_id": A, "protocol_versions": versions, "alpn_offered": ["norc-f/2.0"],
            "capabilities": FEDERATION, "cipher_suites": [suite, "9999"], "nonce": drawn(f"nonce a {suite}", 12),
            "ephemeral_public_key": one.x_public(self.e_a), "tls_fingerprint": drawn("leaf a"), "max_frame": 2**24,
            "zzz": {"unknown": 1},
        }  # fmt: skip
        response: dict[str, Any] = {
            "type": "federation_hello_response", "server_id": B, "protocol_versions": versions,
            "negotiated_versions": {"norc_f": "2.0", "norc_t": "1.1"}, "alpn_selected": "norc-f/2.0",
            "capabilities": FEDERATION, "cipher_suites": [suite], "cipher_suite": suite, "compatibility_warnings": [],
            "nonce": drawn(f"nonce b {suite}", 12), "ephemeral_public_key": one.x_public(self.e_b),
            "tls_fingerprint": drawn("leaf b"), "max_frame": 2**24,
        }  # fmt: skip
        self.ikm = one.dh(self.e_a, response["ephemeral_public_key"])
        if self.hybrid:
            hello["pq_public_key"] = kem.public(f"hs-{suite}-fed")
            response["pq_ciphertext"], secret = kem.encapsulate(f"hs-{suite}-fed")
            self.ikm += secret
        handshake = {
            "type": "federation_handshake", "requesting_server": A, "target_server": B, "protocol_version": "2.0",
            "supported_versions": ["1.2", "2.0"], "capabilities": FEDERATION, "compatibility_requirements": {
                "min_trust_level": "basic", "required_features": ["message_relay"], "optional_features": []},
        }  # fmt: skip
        answer = {
            "type": "federation_handshake_response", "responding_server": B, "accepted_version": "2.0",
            "compatibility_mode": False, "shared_capabilities": FEDERATION, "version_warnings": [],
            "connection_id": uuid(f"link {suite}"),
        }  # fmt: skip
        self.maps = [hello, response, handshake, answer]

    def th(self, maps: list[dict[str, Any]]) -> bytes:
        """th_n = H("norc-f-handshake-v1" ‖ len‖canonical(m_1 less signature) ‖ …)."""
        return self.hash(
            b"norc-f-handshake-v1" + b"".join(one.lv(one.canonical(plain, ("signature",))) for plain in maps)
        )

    def signed(self, changes: dict[int, dict[str, Any]] | None = None, **how: Any) -> list[dict[str, Any]]:
        """All four, with members changed (None: left out), both signatures made over them as they then stand."""
        maps = [
            {name: value for name, value in (plain | (changes or {}).get(at, {})).items() if value is not None}
            for at, plain in enumerate(self.maps)
        ]
        label = how.get("label", "fed-link:v1")
        initiator, responder = how.get("initiator", self.a), how.get("responder", self.b)
        maps[2]["signature"] = initiator.sign(label, how.get("first", b"initiator") + self.th(maps[:3]))
        maps[3]["signature"] = responder.sign(label, how.get("second", b"responder") + self.th(maps))
        return maps

    def base(self, maps: list[dict[str, Any]]) -> Entry:
        names = ("hello", "hello_response", "handshake", "handshake_response")
        return hexed({
            "suite": self.suite, "e_initiator": self.e_a, "e_responder": self.e_b, "initiator_key": self.a.public,
            "responder_key": self.b.public, **{name: m(plain) for name, plain in zip(names, maps, strict=True)},
        })  # fmt: skip

    def entry(self) -> Entry:
        maps = self.signed()
        th4 = self.th(maps)
        info = b"norc:ms:v1" + one.lv(b"2.0") + code(self.suite) + th4
        ms = one.hkdf(self.suite, self.ikm, maps[0]["nonce"] + maps[1]["nonce"], info)
        return self.base(maps) | hexed({
            "initiator_seed": self.a.seed, "responder_seed": self.b.seed, "th3": self.th(maps[:3]), "th": th4,
            "ikm": self.ikm, "master_secret": ms, **traffic(self.suite, ms),
        })  # fmt: skip

    def refused(self) -> list[Entry]:
        lower = "0002" if self.hybrid else None
        versions = {"norc_f": "1.2", "norc_t": "1.1"}
        listed = [
            ("lower version than both list", self.signed({1: {"negotiated_versions": versions}})),
            ("lower norc_t version", self.signed({1: {"negotiated_versions": {"norc_f": "2.0", "norc_t": "1.0"}}})),
            ("suite that is in neither list", self.signed({1: {"cipher_suites": ["9999"]}})),
            ("another alpn", self.signed({1: {"alpn_selected": "norc-f/1.2"}})),
            ("compatibility_mode against the rule", self.signed({3: {"compatibility_mode": True}})),
            ("another accepted version", self.signed({3: {"accepted_version": "1.2"}})),
            ("short nonce", self.signed({1: {"nonce": bytes(11)}})),
            (
                "PQ part missing or superfluous",
                self.signed({1: {"pq_ciphertext": None if self.hybrid else bytes(1088)}}),
            ),
            ("all-zero X25519", self.signed({1: {"ephemeral_public_key": bytes(32)}})),
            ("m_3 signed by another key", self.signed(initiator=self.other)),
            ("m_4 signed by another key", self.signed(responder=self.other)),
            ("signed under another label", self.signed(label="fed-request:v1")),
            ("reflected: m_4 signed as the initiator", self.signed(second=b"initiator")),
            ("m_3 signed as the responder", self.signed(first=b"responder")),
            ("member added after signing m_3", self._after(2, zzz=1)),
            ("member added after signing m_4", self._after(3, zzz=1)),
            ("member of the hello changed after signing", self._after(0, max_frame=2**20)),
            ("m_3 signature altered", self._after(2, signature=flip(self.signed()[2]["signature"]))),
        ]
        if lower is not None:
            listed.append(("suite below the best of both lists", self.signed({
                0: {"cipher_suites": [self.suite, lower]},
                1: {"cipher_suites": [self.suite, lower], "cipher_suite": lower, "pq_ciphertext": None}})))  # fmt: skip
        return [self.base(maps) | {"why": why} for why, maps in listed]

    def _after(self, at: int, **changes: Any) -> list[dict[str, Any]]:
        maps = self.signed()
        maps[at] = maps[at] | changes
        return maps


# --- Relays and batches ---


class Relayed:
    """A relay over a transit server, and a batch, under a suite."""

    def __init__(self, suite: str) -> None:
        self.suite = suite
        self.origin, self.transit, self.other = (
            Key(algorithm(suite), name) for name in ("origin", "transit", "mallory")
        )
        wraps = {uuid(f"device {n}"): {"session_id": uuid(f"s {n}"), "index": n, "wrapped": drawn(f"w {n}", 48)}
                 for n in (1, 2)}  # fmt: skip
        self.plain: dict[str, Any] = {
            "type": "message_relay", "federation_id": uuid("federation"), "message_id": uuid("message"),
            "origin_server": A, "target_server": B, "target_users": [BOB, CAROL], "link_epoch": 3, "link_sequence": 9,
            "sender_user": ALICE, "sender_device": uuid("alice device"), "conversation_id": uuid("conversation"),
            "epoch": 2, "suite": suite, "chain_id": uuid("chain"), "sequence_number": 5, "key_commitment": drawn("kc"),
            "prev_message_hash": bytes(32), "ciphertext": drawn("relayed", 272), "encrypted_payloads": wraps,
            "classification": "official_use_only", "expires_at": NOW + 600, "zzz": [True],
            "metadata": {"original_timestamp": NOW * 10**6, "ttl": 3600, "priority": "normal",
                         "delivery_requirements": ["acknowledge"]},
        }  # fmt: skip

    def payload_hash(self, plain: dict[str, Any]) -> bytes:
        """H(len‖ciphertext ‖ len‖canonical(encrypted_payloads)) under the key that signs."""
        return self.origin.hash(one.lv(plain["ciphertext"]) + one.lv(one.canonical(plain["encrypted_payloads"])))

    def body(self, plain: dict[str, Any]) -> bytes:
        """What relay:v1 signs."""
        kept = without(plain, "signature", "route_path", "route_signatures", "link_epoch", "link_sequence",
        "ciphertext",
                       "encrypted_payloads")  # fmt: skip
        kept["metadata"] = without(kept["metadata"], "hop_count", "federation_timestamp")
        return one.canonical(kept | {"payload_hash": self.payload_hash(plain)})

    def routed(
        self, plain: dict[str, Any], hops: list[tuple[str, Key]], receiver: str = B, label: str = "route:v1"
    ) -> tuple[dict[str, Any], list[bytes]]:
        """The relay with a path, each hop's entry signed, and what they signed."""
        entries, bodies, previous = [], [], None
        path = [server for server, _ in hops]
        for n, (server, key) in enumerate(hops):
            at = NOW * 10**6 + 100 * n
            following = path[n + 1] if n + 1 < len(path) else receiver
            p = bytes(32) if previous is None else key.hash(previous)
            body = key.hash(plain["signature"]) + p + one.lv(server.encode()) + one.lv(following.encode())
            bodies.append(body + bytes((n + 1,)) + one.u64(at))
            previous = key.sign(label, bodies[-1])
            entries.append({"federation_timestamp": at, "signature": previous})
        metadata = plain["metadata"] | {"hop_count": len(path), "federation_timestamp": NOW * 10**6 + 100 * len(path)}
        return {**plain, "metadata": metadata, "route_path": path, "route_signatures": entries}, bodies

    def signed(self, key: Key | None = None, label: str = "relay:v1") -> dict[str, Any]:
        return {**self.plain, "signature": (key or self.origin).sign(label, self.body(self.plain))}

    def keys(self) -> Entry:
        return {"suite": self.suite, "origin_key": self.origin.public, "transit_key": self.transit.public}

    def entry(self) -> Entry:
        signed = self.signed()
        relay, bodies = self.routed(signed, [(A, self.origin), (T, self.transit)])
        frames = b"".join(bytes((2, kind)) + one.u32(3) + b"\x81\xa1a" for kind in (0x80, 0x82))
        return hexed({
            **self.keys(), "origin_seed": self.origin.seed, "transit_seed": self.transit.seed, "batch": frames,
            "request_body": self.request(frames), "request_signature": self.origin.sign(
                "fed-request:v1", self.request(frames)),
            "relay": m(relay), "payload_hash": self.payload_hash(relay), "relay_body": self.body(relay),
            "route_body_1": bodies[0], "route_body_2": bodies[1],
        })  # fmt: skip

    def request(self, frames: bytes) -> bytes:
        """len‖"batch" ‖ len‖requesting ‖ len‖target ‖ timestamp:u64 ‖ H(frames), H of the link's suite."""
        names = b"".join(one.lv(name) for name in (b"batch", A.encode(), B.encode()))
        return names + one.u64(NOW) + one.hash_of(self.suite)(frames)

    def refused(self) -> list[Entry]:
        signed = self.signed()
        hops = [(A, self.origin), (T, self.transit)]
        relay, _ = self.routed(signed, hops)
        entries = relay["route_signatures"]
        elsewhere, _ = self.routed(signed, hops, receiver="c.example")
        unlabelled, _ = self.routed(signed, hops, label="relay:v1")
        by_other, _ = self.routed(signed, [(A, self.origin), (T, self.other)])
        listed = [
            ("ciphertext altered", {"ciphertext": flip(relay["ciphertext"])}),
            ("a wrap dropped: payloads changed", {"encrypted_payloads": {}}),
            ("classification relabelled", {"classification": "unclassified"}),
            ("target_users changed", {"target_users": [BOB]}), ("expires_at dropped", {"expires_at": None}),
            ("sender changed", {"sender_user": CAROL}), ("an unknown member changed", {"zzz": []}),
            ("original_timestamp renewed", {"metadata": relay["metadata"] | {"original_timestamp": NOW * 10**6 + 1}}),
            ("ttl changed", {"metadata": relay["metadata"] | {"ttl": 7200}}),
            ("federation_id changed", {"federation_id": uuid("other")}),
            ("signed by another key", self.routed(self.signed(self.other), hops)[0]),
            ("signed under another label", self.routed(self.signed(label="route:v1"), hops)[0]),
            ("route: the transit server left itself out", {"route_path": [A], "route_signatures": entries[:1]}),
            ("route: the origin left out", {"route_path": [T], "route_signatures": entries[1:]}),
            ("route: entries exchanged", {"route_signatures": entries[::-1]}),
            ("route: an entry missing", {"route_signatures": entries[:1]}),
            ("route: no signatures over a transit", {"route_signatures": None}),
            ("route: a hop's time altered", {"route_signatures": [entries[0],
            entries[1] | {"federation_timestamp": 1}]}),
            ("route: handed to another server", elsewhere), ("route: signed under another label", unlabelled),
            ("route: signed by another key", by_other),
        ]  # fmt: skip
        found = [
            hexed({**self.keys(), "why": why,
                   "relay": m({name: value for name, value in (relay | changes).items() if value is not None})})
            for why, changes in listed
        ]  # fmt: skip
        return found + self._refused_batches()

    def _refused_batches(self) -> list[Entry]:
        frames = b"\2\x80\0\0\0\0"
        body = self.request(frames)
        honest = {"suite": self.suite, "origin_key": self.origin.public, "batch": frames, "request_body": body,
                  "request_signature": self.origin.sign("fed-request:v1", body)}  # fmt: skip
        half, old = frames[:5], b"\1\x80\0\0\0\0"
        return [hexed(honest | {"why": why} | change) for why, change in (
            ("frames altered", {"batch": b"\2\x81\0\0\0\0"}),
            ("signed by another key", {"request_signature": self.other.sign("fed-request:v1", body)}),
            ("signed under another label", {"request_signature": self.origin.sign("relay:v1", body)}),
            ("requesting changed, signed for another", {"request_body": body.replace(A.encode(), b"c.example")}),
            ("malformed: half a frame", {"batch": half, "request_signature": self.origin.sign(
                "fed-request:v1", self.request(half)), "request_body": self.request(half)}),
            ("malformed: a frame of ver 1", {"batch": old, "request_signature": self.origin.sign(
                "fed-request:v1", self.request(old)), "request_body": self.request(old)}),
        )]  # fmt: skip


# --- Trust ---


class Trust:
    """An exchange of six messages between two servers, each bound to those before it."""

    def __init__(self, suite: str) -> None:
        self.suite = suite
        self.requester, self.issuer, self.other = (
            Key(algorithm(suite), name) for name in ("requester", "issuer", "mallory")
        )
        self.plain: list[tuple[Key, dict[str, Any]]] = [
            (self.requester, {"type": "trust_capabilities", "server_id": A, "supported_versions": ["1.0", "1.1"]}),
            (self.requester, {"type": "trust_request", "requesting_server": A, "target_server": B}),
            (self.issuer, {"type": "trust_challenge", "challenging_server": B, "challenges": [{"type": "x"}]}),
            (self.requester, {"type": "trust_response", "responding_server": A, "challenge_responses": []}),
            (self.issuer, {"type": "trust_decision", "decision_server": B, "decision": "accept"}),
            (self.requester, {"type": "trust_acknowledgment", "acknowledging_server": A, "decision_accepted": True}),
        ]

    def th(self, key: Key, earlier: list[dict[str, Any]], names: tuple[str, str] = (A, B)) -> bytes:
        """th_t over the names and every earlier message, signature included."""
        body = b"norc-t-transcript-v1" + b"".join(one.lv(name.encode()) for name in names)
        return key.hash(body + b"".join(one.lv(one.canonical(plain)) for plain in earlier))

    def run(self, count: int, **how: Any) -> list[dict[str, Any]]:
        """The first `count` messages; `how` breaks the last one."""
        sent: list[dict[str, Any]] = []
        for at, (key, plain) in enumerate(self.plain[:count]):
            last = how if at == count - 1 else {}
            message = {**plain, "timestamp": NOW + at}
            label = "trust-" + plain["type"].removeprefix("trust_").replace("_", "-") + ":v1"
            th = last.get("th") or self.th(key, sent, last.get("names", (A, B)))
            signer = last.get("key", key)
            body = th + one.canonical(message)
            sent.append({**message, "signature": signer.sign(last.get("label", label), body)} | last.get("told", {}))
        return sent

    def base(self, sent: list[dict[str, Any]]) -> Entry:
        return {"suite": self.suite, "requester_key": self.requester.public, "issuer_key": self.issuer.public,
                **{f"message_{n}": m(plain) for n, plain in enumerate(sent, 1)}}  # fmt: skip

    def certificate(self) -> dict[str, Any]:
        return {
            "version": "1.1", "certificate_id": uuid("certificate"), "issuer_server": B, "subject_server": A,
            "trust_level": "verified", "not_before": NOW, "not_after": NOW + 31_536_000, "permissions": {},
            "public_key": self.requester.public, "key_algorithm": algorithm(self.suite), "extensions": {},
        }  # fmt: skip

    def entry(self) -> Entry:
        sent, challenge = self.run(6), drawn("challenge data", 64)
        hashes = {f"th_t{n}": self.th(self.requester, sent[:n]) for n in range(7)}
        proof = self.th(self.requester, sent) + challenge
        return hexed({
            **self.base(sent), **hashes, "requester_seed": self.requester.seed, "issuer_seed": self.issuer.seed,
            "challenge_data": challenge, "proof_body": proof, "proof": self.requester.sign("trust-proof:v1", proof),
            "certificate": m(self.issuer.signed("trust-cert:v1", self.certificate())),
        })  # fmt: skip

    def refused(self) -> list[Entry]:
        found = []
        for count in range(2, 7):
            kind = self.plain[count - 1][1]["type"]
            key = self.plain[count - 1][0]
            cut = self.th(key, self.run(count - 1)[1:])
            for why, how in (
                ("bound to nothing", {"th": bytes(32)}), ("of another pair of servers", {"names": (B, A)}),
                ("an earlier message is left out", {"th": cut}), ("signed by another key", {"key": self.other}),
                ("signed under another label", {"label": "trust-proof:v1"}), ("a member changed",
                {"told": {"timestamp": 1}}),
            ):  # fmt: skip
                found.append(hexed({**self.base(self.run(count, **how)), "why": f"{kind}: {why}"}))
        return found + self._refused_proofs() + self._refused_certificates()

    def _refused_proofs(self) -> list[Entry]:
        sent, challenge = self.run(3), drawn("challenge data", 64)
        body = self.th(self.requester, sent) + challenge
        base = {"requester_key": self.requester.public, "challenge_data": challenge, "message_1": m(sent[0]),
                "message_2": m(sent[1]), "message_3": m(sent[2]), "issuer_key": self.issuer.public}  # fmt: skip
        return [
            hexed({**base, "why": why, "proof": proof})
            for why, proof in (
                ("the bare challenge is signed", self.requester.sign("trust-proof:v1", challenge)),
                ("signed by another key", self.other.sign("trust-proof:v1", body)),
                ("signed under another label", self.requester.sign("trust-response:v1", body)),
                ("for another challenge", self.requester.sign("trust-proof:v1", flip(body, len(body) * 8 - 1))),
            )
        ]

    def _refused_certificates(self) -> list[Entry]:
        signed = self.issuer.signed("trust-cert:v1", self.certificate())

        def of(why: str, certificate: dict[str, Any], **more: Any) -> Entry:
            return hexed({"why": why, "certificate": m(certificate), "issuer_key": self.issuer.public, **more})

        return [
            of("a higher level", {**signed, "trust_level": "nato"}),
            of("expired", signed, now=NOW + 31_536_000),
            of("before its time", signed, now=NOW - 1),
            of("of another issuer", signed, issuer="c.example"),
            of("signed by another key", self.other.signed("trust-cert:v1", self.certificate())),
            of("signed under another label", self.issuer.signed("device-cert:v1", self.certificate())),
            of("without signature", without(signed, "signature")),
        ]


# --- Audit ---


def audit() -> Entry:
    head = one.b3(b"norc:audit:genesis:v1" + one.lv(b"node-7"))
    entry: Entry = {"node_id": "node-7", "genesis": head}
    for n in (1, 2, 3):
        event = {"event_id": uuid(f"event {n}"), "seq": n, "actor": drawn(f"actor {n}", 16), "event_type": "x"}
        head = one.b3(head + one.canonical(event))
        entry |= {f"entry_{n}": m(event), f"hash_{n}": head}
    return hexed(entry)


def audit_roots() -> tuple[list[Entry], list[Entry]]:
    good, refused = [], []
    for kind in ("ed25519", "p256"):
        key, other = Key(kind, "server"), Key(kind, "mallory")
        heads = [{"node_id": f"node-{n}", "count": n, "entry_hash": drawn(f"head {n}")} for n in (1, 2)]
        plain = {"type": "audit_root", "server_id": A, "date": "2026-11-20", "heads": heads}
        root = key.signed("audit-root:v1", plain)
        good.append(hexed({"audit_root": m(root), "server_key": key.public}))
        refused += [
            hexed({"why": why, "audit_root": m(changed), "server_key": key.public})
            for why, changed in (
                ("a head left out: changed", {**root, "heads": heads[:1]}),
                ("signed by another key", other.signed("audit-root:v1", plain)),
                ("signed under another label", key.signed("time:v1", plain)), ("without signature", plain),
            )
        ]  # fmt: skip
    return good, refused


def pseudonyms() -> list[Entry]:
    found = []
    for suite in SUITES:
        for date in ("2026-11-20", "2026-11-21"):
            k_day = one.hkdf(suite, drawn("k_year"), b"", b"norc:audit:day:v1" + date.encode())
            name = hmac.digest(k_day, b"norc:audit:user:v1" + BOB.encode(), "sha256")[:16]
            found.append(hexed({"suite": suite, "k_year": drawn("k_year"), "date": date, "k_day": k_day, "user_id": BOB,
                                "pseudonym": name}))  # fmt: skip
    return found


def sections(kem: Kem) -> dict[str, Any]:
    """Sections 8 to 10."""
    links, relays, trusts = ([make(suite) for suite in SUITES] for make in (lambda s: Link(s, kem), Relayed, Trust))
    roots, refused_roots = audit_roots()
    return {
        "federation_handshake": [one.entry() for one in links],
        "refused_federation_handshake": [entry for one in links for entry in one.refused()],
        "federation": [one.entry() for one in relays],
        "refused_federation": [entry for one in relays for entry in one.refused()],
        "trust": [one.entry() for one in trusts],
        "refused_trust": [entry for one in trusts for entry in one.refused()],
        "audit": audit(), "audit_roots": roots, "refused_audit_roots": refused_roots, "pseudonym": pseudonyms(),
    }  # fmt: skip
