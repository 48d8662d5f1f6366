"""Sections 1 to 4: values, signatures, derivations, versions, frames, the handshake, sealed frames, re-key, auth."""

import struct
from typing import Any

from tests.vectors import independent as one

from .base import (
    ALICE,
    FIPS,
    NOW,
    SUITES,
    A,
    Entry,
    Kem,
    Key,
    algorithm,
    code,
    drawn,
    flip,
    hexed,
    m,
    pack,
    traffic,
    uuid,
    uv,
    without,
)  # fmt: skip

L = 2**252 + 27742317777372353535851937790883648493
P = 2**255 - 19
P256 = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF


# --- Values ---


def canonical() -> list[Entry]:
    maps: list[dict[str, Any]] = [
        {},
        {"z": 0, "a": 1, "Z": [], "_": {}, "aa": True, "a0": False},
        {"text": '"\\/\b\f\n\r\t\x00\x1f\x7fü€𝄞\u2028\u2029', "n": [2**53 - 1, 1 - 2**53, -1, 0]},
        {"b": b"\xff\xfe\xfd\xfc", "c": b"", "d": [b"\0", {"e": b"\x83"}]},
    ]
    return [{**m(plain), "suite": suite, "hash": one.hash_of(suite)(one.canonical(plain)).hex()}
            for suite in SUITES for plain in maps]  # fmt: skip


def canonical_refused() -> list[Entry]:
    text = {
        "null": '{"a":null}', "float": '{"a":1.0}', "exponent": '{"a":1e3}', "minus zero": '{"a":-0}',
        "range": '{"a":9007199254740992}', "range below": '{"a":-9007199254740992}', "duplicate": '{"a":1,"a":1}',
        "duplicate within": '{"b":{"a":1,"a":2}}', "lone surrogate": '{"a":"\\ud800"}', "not a map": "[1]",
        "a number": "7", "bytes after": "{} x", "BOM": "\ufeff{}", "non-ascii key": '{"ä":1}', "NaN": '{"a":NaN}',
        "cut off": '{"a":', "comma": '{"a":1,}', "single quotes": "{'a':1}", "leading zero": '{"a":01}',
        "depth 17": '{"a":' * 16 + "1" + "}" * 16, "control in text": '{"a":"\n"}', "nothing": "",
        "4097 entries": '{"a":[' + ",".join("0" * 4097) + "]}",
    }  # fmt: skip
    binary = {
        "null": b"\x81\xa1a\xc0", "float32": b"\x81\xa1a\xca\0\0\0\0", "float64": b"\x81\xa1a\xcb" + bytes(8),
        "range": b"\x81\xa1a\xcf\0\x20\0\0\0\0\0\0", "range below": b"\x81\xa1a\xd3\xff\xe0\0\0\0\0\0\0",
        "duplicate": b"\x82\xa1a\1\xa1a\2", "ext": b"\x81\xa1a\xd4\1\0", "ext 32": b"\x81\xa1a\xc9\0\0\0\1\5\0",
        "timestamp": b"\x81\xa1a\xd6\xff\0\0\0\0", "integer key": b"\x81\1\1", "bin key": b"\x81\xc4\1a\1",
        "non-ascii key": b"\x81\xa2\xc3\xa4\1", "utf-8": b"\x81\xa1a\xa1\xff",
        "surrogate": b"\x81\xa1a\xa3\xed\xa0\x80",
        "overlong utf-8": b"\x81\xa1a\xa2\xc0\x80", "not a map": b"\x91\1", "a text": b"\xa1a",
        "bytes after": b"\x80\x80",
        "cut off": b"\x81\xa1a", "nothing": b"", "reserved byte": b"\x81\xa1a\xc1",
        "length beyond": b"\x81\xa1a\xdb\xff\xff\xff\xff",
        "depth 17": b"\x81\xa1a" * 16 + b"\1", "depth 17 of lists": b"\x81\xa1a" + b"\x91" * 15 + b"\0",
        "4097 entries": b"\x81\xa1a\xdc\x10\1" + bytes(4097),
    }  # fmt: skip
    base64 = {"padding": "YQ==", "alphabet": "+/8", "blank": "YQ ", "impossible length": "A", "trailing bits": "YR",
              "trailing bits of two": "YWF", "line break": "YQ\n", "non-ascii": "é"}  # fmt: skip
    return [
        {"encoding": encoding, "hex": (data if isinstance(data, bytes) else data.encode()).hex(), "why": why}
        for encoding, cases in (("json", text), ("msgpack", binary), ("base64", base64))
        for why, data in cases.items()
    ]


# --- Signatures and agreement ---

LABELS = ("auth:v1", "message:v1", "receipt:v1", "conversation:v1", "relay:v1", "trust-crl:v1", "audit-root:v1")


def signatures() -> list[Entry]:
    found = []
    for kind in ("ed25519", "p256"):
        key = Key(kind, "signer")
        for label in LABELS:
            body = drawn(f"body {label}", 40)
            found.append({
                "algorithm": kind, "seed": key.seed, "public_key": key.public, "label": label, "body": body,
                "signed": b"norc:" + label.encode() + b"\0" + body, "signature": key.sign(label, body),
            })  # fmt: skip
    return [hexed(entry) for entry in found]


def _edge(name: str, public_key: bytes, signature: bytes, accept: bool = False, body: bytes = b"edge") -> Entry:
    return hexed({"name": name, "public_key": public_key, "label": "auth:v1", "body": body, "signature": signature,
                  "accept": accept})  # fmt: skip


def ed25519_edges() -> list[Entry]:
    key = Key("ed25519", "signer")
    good = key.sign("auth:v1", b"edge")
    r, s = good[:32], int.from_bytes(good[32:], "little")
    identity = b"\1" + bytes(31)
    return [
        _edge("honest", key.public, good, True),
        _edge("S + L", key.public, r + (s + L).to_bytes(32, "little")),
        _edge("S = L", key.public, r + L.to_bytes(32, "little")),
        _edge("A = identity", identity, identity + bytes(32)),
        _edge("R = identity", key.public, identity + bytes(32)),
        _edge("non-canonical A: y = p + 1", (P + 1).to_bytes(32, "little"), identity + bytes(32)),
        _edge("non-canonical A: y = p", P.to_bytes(32, "little"), good),
        _edge("A with the sign of x = 0 set", identity[:31] + b"\x80", identity + bytes(32)),
        _edge("A on no curve", b"\2" + bytes(31), good),
        _edge("another body", key.public, good, body=b"edgf"),
        _edge("63 bytes", key.public, good[:63]),
        _edge("65 bytes", key.public, good + b"\0"),
        _edge("key of 31 bytes", key.public[:31], good),
    ]


def p256_edges() -> list[Entry]:
    key = Key("p256", "signer")
    good = key.sign("auth:v1", b"edge")
    r, s = good[:32], int.from_bytes(good[32:], "big")
    n = one.N
    off = next(x for x in range(1, 50) if not _on_curve(x))
    return [
        _edge("honest", key.public, good, True),
        _edge("n - s", key.public, r + uv(n - s, 32)),
        _edge("r = 0", key.public, bytes(32) + good[32:]),
        _edge("s = 0", key.public, r + bytes(32)),
        _edge("r = n", key.public, uv(n, 32) + good[32:]),
        _edge("s = n", key.public, r + uv(n, 32)),
        _edge("r + n", key.public, uv((int.from_bytes(r, "big") + n) % 2**256, 32) + good[32:]),
        _edge("the other point of x", flip(key.public[:1], 0) + key.public[1:], good),
        _edge("x on no point", b"\2" + uv(off, 32), good),
        _edge("x = p", b"\2" + uv(P256, 32), good),
        _edge("prefix of an uncompressed point", b"\4" + key.public[1:], good),
        _edge("hybrid prefix", b"\6" + key.public[1:], good),
        _edge("infinity", bytes(33), good),
        _edge("key of 32 bytes of x", key.public[1:], good),
        _edge("63 bytes", key.public, good[:63]),
        _edge("65 bytes", key.public, good + b"\0"),
        _edge("another body", key.public, good, body=b"edgf"),
    ]


def _on_curve(x: int) -> bool:
    b = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
    square = (x**3 - 3 * x + b) % P256
    return pow(square, (P256 - 1) // 2, P256) == 1


def x25519_refused() -> list[Entry]:
    small = [0, 1, P - 1, P, P + 1, 325606250916557431795983626356110631294008115727848805560023387167927233504]
    return [{"public_key": value.to_bytes(32, "little").hex()} for value in small] + [
        {"public_key": (1 | 1 << 255).to_bytes(32, "little").hex()}
    ]


def mlkem_refused() -> list[Entry]:
    good = Kem().public("refused")
    broken = [b"\xff" * 1184, b"\x01\x0d" + good[2:], good[:1150] + b"\xff\xff" + good[1152:], good[:-1], good + b"\0"]
    return [{"public_key": data.hex(), "why": "length" if len(data) != 1184 else "range"} for data in broken]


# --- Derivations, layouts ---


def hkdf() -> list[Entry]:
    found = []
    for suite in SUITES:
        for salt, length in ((b"", 32), (drawn("salt", 24), 32), (drawn("long salt", 100), 80)):
            ikm, info = drawn("ikm", 64), b"norc:test:v1" + drawn("info", 20)
            prk = one.mac(suite, salt or bytes(32), ikm)
            okm = one.hkdf(suite, ikm, salt, info, length)
            found.append({"suite": suite, "ikm": ikm, "salt": salt, "info": info, "prk": prk, "length": length,
                          "okm": okm})  # fmt: skip
    return [hexed(entry) for entry in found]


def hmac() -> list[Entry]:
    return [
        hexed({"suite": suite, "key": drawn("mac key", n), "message": drawn("mac message", n + 1),
               "mac": one.mac(suite, drawn("mac key", n), drawn("mac message", n + 1))})
        for suite in SUITES for n in (0, 32, 64, 65, 200)
    ]  # fmt: skip


def aad() -> Entry:
    told = (2, 0, 0x85, 2**64 - 1, one.raw(uuid("aad")), 2**32 - 1, drawn("aad prev"), drawn("aad th"))
    entry: Entry = {"major": 2, "minor": 0, "type": 0x85, "sequence": 2**64 - 1, "message_id": uuid("aad"),
                    "length": 2**32 - 1, "prev": told[6], "transcript_hash": told[7],
                    "aad": one.aad_v1(*told)}  # fmt: skip
    return hexed(entry)


def negotiate() -> list[Entry]:
    lists = [
        (["1.0", "1.1", "2.0"], ["2.0"], False, ["2.0", False]), (["1.0", "1.1"], ["1.0", "1.1"], False, ["1.1",
        False]),
        (["2.0", "1.1"], ["1.0", "1.1"], False, ["1.1", True]), (["1.1"], ["2.0", "2.1"], True, ["1.1", True]),
        (["0.9"], ["1.0"], True, ["0.9", True]), (["1.0", "2.0"], ["3.0"], True, ["2.0", True]),
        (["1.2", "1.10"], ["1.10", "1.2"], False, ["1.10", False]), (["1.0"], ["3.0"], True, None),
        (["2.0"], ["1.1"], False, None), (["1.5"], ["1.6"], True, ["1.5", False]),
        (["v2.0"], ["2.0"], False, None), (["2"], ["2.0"], False, None), (["2.00"], ["2.0"], False, None),
        (["2.0"] * 17, ["2.0"], False, None), (["2.0", ""], ["2.0"], False, None), (["2.100000"], ["2.0"], True, None),
        (["2.0\n"], ["2.0"], False, None), (["+2.0"], ["2.0"], False, None), (["２.0"], ["2.0"], False, None),
    ]  # fmt: skip
    return [{"client": a, "server": b, "allow_amc_bridge": bridge, "result": result} for a, b, bridge, result in lists]


def frames() -> list[Entry]:
    prev, body, ids = drawn("frame prev"), drawn("frame body", 33), uuid("frame")
    v2 = struct.pack(">BBI16sQ32s", 2, 0x85, 33, one.raw(ids), 2**40, prev) + body
    return [
        hexed({"kind": "v1", "type": 1, "payload": body, "frame": b"\1" + uv(33, 4) + body}),
        hexed({"kind": "v1", "type": 255, "payload": b"", "frame": b"\xff" + bytes(4)}),
        hexed({"kind": "v2", "type": 0x85, "message_id": ids, "sequence": 2**40, "prev": prev, "ciphertext": body,
               "frame": v2}),
        hexed({"kind": "fed", "ver": 2, "type": 0x70, "body": body, "frame": b"\2\x70" + uv(33, 4) + body}),
    ]  # fmt: skip


def refused_frames() -> list[Entry]:
    v2 = bytes.fromhex(frames()[2]["frame"])
    broken = [
        ("v1", "short header", b"\1\0\0\0"), ("v1", "longer than its length", b"\1\0\0\0\1ab"),
        ("v1", "shorter than its length", b"\1\0\0\0\3ab"), ("v1", "beyond any limit", b"\1\xff\xff\xff\xff"),
        ("v2", "short header", v2[:61]), ("v2", "another ver", b"\1" + v2[1:]), ("v2", "byte after", v2 + b"\0"),
        ("v2", "cut off", v2[:-1]), ("v2", "length 15, under the tag's", v2[:2] + uv(15, 4) + v2[6:77]),
        ("fed", "ver 3", b"\3\x70" + bytes(4)), ("fed", "ver 0", b"\0\x70" + bytes(4)), ("fed", "cut off",
        b"\2\x70\0\0\0\2a"),
        ("fed", "two in one", (b"\2\x70" + bytes(4)) * 2),
    ]  # fmt: skip
    return [{"kind": kind, "why": why, "frame": data.hex()} for kind, why, data in broken]


# --- Handshake ---


class Handshake:
    """One connection's two messages under a suite, and what both ends derive."""

    def __init__(self, suite: str, kem: Kem) -> None:
        self.suite, self.kem = suite, kem
        self.hybrid = suite in one.HYBRID
        self.key = Key(algorithm(suite), f"server {suite}")
        self.e_client, self.e_server = drawn(f"e_client {suite}"), drawn(f"e_server {suite}")
        self.request: dict[str, Any] = {
            "type": "connection_request", "client_versions": ["1.0", "1.1", "2.0"], "preferred_version": "2.0",
            "uri_version": "2.0", "subprotocol": "norc-c-v2.0", "server_name": A, "capabilities": ["messaging"],
            "cipher_suites": [suite, "9999"] if not self.hybrid else ["0002", "9999", "0001", "0102", "0101"],
            "client_nonce": drawn(f"client nonce {suite}", 12), "max_frame": 2**20,
            "ephemeral_public_key": one.x_public(self.e_client), "zzz": {"unknown": [b"bytes"]},
        }  # fmt: skip
        if self.hybrid:
            self.request["pq_public_key"] = kem.public(f"hs-{suite}")
        self.unsigned: dict[str, Any] = {
            "type": "connection_accepted", "server_versions": ["1.1", "2.0"], "negotiated_version": "2.0",
            "compatibility_mode": False, "server_capabilities": ["e2ee"], "server_cipher_suites": [suite],
            "cipher_suite": suite, "server_id": A, "server_public_key": self.key.public,
            "session_id": uuid(f"session {suite}"), "server_nonce": drawn(f"server nonce {suite}", 12),
            "ephemeral_public_key": one.x_public(self.e_server), "auth_challenge": drawn(f"challenge {suite}"),
            "server_time": NOW, "max_frame": 2**20,
        }  # fmt: skip
        self.ikm = one.dh(self.e_client, self.unsigned["ephemeral_public_key"])
        if self.hybrid:
            self.unsigned["pq_ciphertext"], secret = kem.encapsulate(f"hs-{suite}")
            self.ikm += secret
        self.th = self.th_of(self.unsigned)
        info = b"norc:ms:v1" + one.lv(b"2.0") + code(suite) + self.th
        salt = self.request["client_nonce"] + self.unsigned["server_nonce"]
        self.ms = one.hkdf(suite, self.ikm, salt, info)
        self.keys = traffic(suite, self.ms)

    def th_of(self, accepted: dict[str, Any], suite: str = "") -> bytes:
        """th = H("norc-c-handshake-v1" ‖ len‖canonical(request) ‖ len‖canonical(accepted less signature))."""
        body = one.lv(one.canonical(self.request)) + one.lv(one.canonical(accepted, ("signature",)))
        return one.hash_of(suite or self.suite)(b"norc-c-handshake-v1" + body)

    def accepted(self, label: str = "handshake:v1", key: Key | None = None, **changes: Any) -> dict[str, Any]:
        """The answer with members changed (None: left out), signed as it then stands."""
        plain = {name: value for name, value in (self.unsigned | changes).items() if value is not None}
        return {**plain, "signature": (key or self.key).sign(label, self.th_of(plain))}

    def entry(self) -> Entry:
        return hexed({
            "suite": self.suite, "e_client": self.e_client, "e_server": self.e_server, "server_seed": self.key.seed,
            "request": m(self.request), "accepted": m(self.accepted()), "th": self.th, "ikm": self.ikm,
            "master_secret": self.ms, **self.keys,
        })  # fmt: skip

    def refused(self) -> list[Entry]:
        """Answers that are signed as they stand, and some that are not."""
        other = Key(algorithm(self.suite), "mallory")
        foreign = Key("ed25519" if self.suite in FIPS else "p256", "server")
        lower = "0002" if self.hybrid else None
        found: list[tuple[str, dict[str, Any]]] = [
            ("lower version than both list", self.accepted(negotiated_version="1.1")),
            ("version that nobody listed", self.accepted(negotiated_version="3.0")),
            ("compatibility_mode against the rule", self.accepted(compatibility_mode=True)),
            ("versions stripped from the server's list", self.accepted(
                server_versions=["1.1"], negotiated_version="2.0")),
            ("server_id is not the name dialled", self.accepted(server_id="b.example")),
            ("short nonce", self.accepted(server_nonce=bytes(11))),
            ("long challenge", self.accepted(auth_challenge=bytes(33))),
            ("missing signature", without(self.accepted(), "signature")),
            ("missing server_nonce", self.accepted(server_nonce=None)),
            ("key of another algorithm", self.accepted(server_public_key=foreign.public, key=foreign)),
            ("signed by another key", self.accepted(key=other)),
            ("signed under another label", self.accepted(label="auth:v1")),
            ("signature of another answer", self.accepted() | {"session_id": uuid("other")}),
            ("signature altered", self.accepted() | {"signature": flip(self.accepted()["signature"])}),
            ("suite that is not in the server's list", self.accepted(server_cipher_suites=["9999"])),
            ("PQ part missing" if self.hybrid else "PQ part in a classical suite", self.accepted(
                pq_ciphertext=None if self.hybrid else bytes(1088))),
            ("all-zero X25519", self.accepted(ephemeral_public_key=bytes(32))),
        ]  # fmt: skip
        if lower is not None:
            found.append(("suite below the best of both lists", self.accepted(
                cipher_suite=lower, server_cipher_suites=[self.suite, lower], pq_ciphertext=None)))  # fmt: skip
            found.append(("PQ part a byte short", self.accepted(pq_ciphertext=bytes(1087))))
        return [{"suite": self.suite, "why": why, "request": m(self.request), "accepted": m(answer)}
                for why, answer in found]  # fmt: skip


def frame(suite: str, key: bytes, th: bytes, kind: int, number: int, prev: bytes, ids: bytes, plain: bytes) -> bytes:
    """A sealed frame: nonce 0⁴ ‖ sequence, aad AAD_v1{2, 0, type, sequence, message_id, length, prev, th}."""
    length = len(plain) + 16
    aad = one.aad_v1(2, 0, kind, number, ids, length, prev, th)
    header = struct.pack(">BBI16sQ32s", 2, kind, length, ids, number, prev)
    return header + one.seal(suite, key, one.count_nonce(number), aad, plain)


def sealed(hs: Handshake) -> Entry:
    """A direction with an update among its frames."""
    suite, key, start = hs.suite, hs.keys["k_c2s"], int.from_bytes(drawn(f"start {hs.suite}", 3), "big")
    update = pack({"type": "session_rekey", "mode": "update"})
    prev, listed = bytes(32), []
    for at, (kind, plain) in enumerate(((9, b"\x80"), (0x10, bytes(1000)), (0x34, update), (9, b"after"), (9, b""))):
        ids = one.raw(uuid(f"frame {at}"))
        data = frame(suite, key, hs.th, kind, start + at, prev, ids, plain)
        prev = one.hash_of(suite)(data[62:])
        entry = {"type": kind, "message_id": uuid(f"frame {at}"), "plaintext": plain, "frame": data}
        if kind == 0x34:
            key = one.hkdf(suite, key, b"", b"norc:tk:update:v1")
        listed.append(hexed({**entry, "key_after": key}))
    return hexed({"suite": suite, "key": hs.keys["k_c2s"], "th": hs.th, "first_sequence": start, "frames": listed})


def refused_sealed(hs: Handshake) -> list[Entry]:
    honest = sealed(hs)
    whole = [bytes.fromhex(entry["frame"]) for entry in honest["frames"]]
    first, second, suite, key = whole[0], whole[1], hs.suite, hs.keys["k_c2s"]
    ids, start = first[6:22], honest["first_sequence"]
    late = frame(suite, key, hs.th, 9, 2**24, bytes(32), ids, b"x")
    chained = frame(suite, key, hs.th, 9, start, drawn("other prev"), ids, b"x")
    old_key = frame(suite, key, hs.th, 9, start + 3, one.hash_of(suite)(whole[2][62:]), ids, b"x")
    zero_th = frame(suite, key, bytes(32), 9, start, bytes(32), ids, b"x")
    listed = [
        ("ciphertext altered", [flip(first, 62 * 8)]), ("tag altered", [flip(first, len(first) * 8 - 1)]),
        ("type altered", [flip(first, 8)]), ("message_id altered", [flip(first, 6 * 8)]),
        ("another th", [zero_th]), ("chain: another prev_message_hash", [chained]),
        ("sequence: the first is not below 2^24", [late]), ("sequence: a frame again", [first, first]),
        ("sequence: a frame is left out", [first, whole[2]]), ("sequence: out of order", [first, second, whole[3]]),
        ("under the key before the update", [*whole[:3], old_key]),
        ("length under the tag's", [first[:2] + uv(15, 4) + first[6:77]]),
        ("short header", [first[:40]]), ("byte after the header's length", [first + b"\0"]),
    ]  # fmt: skip
    return [
        hexed({"suite": suite, "why": why, "key": key, "th": hs.th,
               "frames": [{"frame": data.hex()} for data in frames]})
        for why, frames in listed
    ]  # fmt: skip


def rekey(hs: Handshake) -> Entry:
    """th' = H("norc-c-rekey-v1" ‖ th ‖ len‖canonical(request) ‖ len‖canonical(answer)), ms' = HKDF(ikm', rs, …)."""
    suite, kem, name = hs.suite, hs.kem, f"rk-{hs.suite}"
    e_client, e_server = drawn(f"{name} client"), drawn(f"{name} server")
    request: dict[str, Any] = {"type": "session_rekey", "mode": "dh", "ephemeral_public_key": one.x_public(e_client)}
    answer: dict[str, Any] = {"type": "session_rekey", "mode": "dh", "ephemeral_public_key": one.x_public(e_server)}
    ikm = one.dh(e_client, answer["ephemeral_public_key"])
    if hs.hybrid:
        request["pq_public_key"] = kem.public(name)
        answer["pq_ciphertext"], secret = kem.encapsulate(name)
        ikm += secret
    body = b"norc-c-rekey-v1" + hs.th + one.lv(one.canonical(request)) + one.lv(one.canonical(answer))
    th1 = one.hash_of(suite)(body)
    ms1 = one.hkdf(suite, ikm, hs.keys["rs"], b"norc:ms:rekey:v1" + th1)
    keys = traffic(suite, ms1)
    return hexed({
        "suite": suite, "th": hs.th, "ms": hs.ms, "e_client": e_client, "e_server": e_server, "request": m(request),
        "answer": m(answer), "ikm": ikm, "th1": th1, "ms1": ms1, "k_c2s": keys["k_c2s"], "k_s2c": keys["k_s2c"],
        "rs": hs.keys["rs"], "rs1": keys["rs"],
    })  # fmt: skip


def refused_rekey(hs: Handshake) -> list[Entry]:
    honest = rekey(hs)
    answer = one.read(bytes.fromhex(honest["answer"]["msgpack"]))
    wrong = without(answer, "pq_ciphertext") if hs.hybrid else {**answer, "pq_ciphertext": bytes(1088)}
    zero = {**answer, "ephemeral_public_key": bytes(32)}
    base = {name: honest[name] for name in ("suite", "th", "ms", "e_client", "e_server", "request")}
    return [
        {**base, "why": "PQ part missing" if hs.hybrid else "PQ part in a classical suite", "answer": m(wrong)},
        {**base, "why": "all-zero X25519", "answer": m(zero)},
    ]


def auth(hs: Handshake) -> tuple[Entry, list[Entry]]:
    """auth:v1 over th ‖ auth_challenge ‖ len‖user_id ‖ device_id ‖ timestamp:u64."""
    kind = algorithm(hs.suite)
    key, other, device = Key(kind, "device"), Key(kind, "mallory"), uuid("alice device")
    challenge = hs.unsigned["auth_challenge"]
    body = hs.th + challenge + one.lv(ALICE.encode()) + one.raw(device) + one.u64(NOW)
    honest: Entry = {
        "suite": hs.suite, "device_seed": key.seed, "public_key": key.public, "th": hs.th, "challenge": challenge,
        "user_id": ALICE, "device_id": device, "timestamp": NOW, "body": body, "signature": key.sign("auth:v1", body),
    }  # fmt: skip
    changes: list[tuple[str, Entry]] = [
        ("on another connection", {"th": flip(hs.th)}), ("for another challenge", {"challenge": flip(challenge)}),
        ("as another user", {"user_id": f"alicf@{A}"}), ("as another device", {"device_id": uuid("other")}),
        ("another timestamp", {"timestamp": NOW + 1}), ("6 s late", {"now": NOW + 6}), ("6 s early", {"now": NOW - 6}),
        ("signed by another key", {"signature": other.sign("auth:v1", body)}),
        ("signed under another label", {"signature": key.sign("register:v1", body)}),
        ("the bare challenge is signed", {"signature": key.sign("auth:v1", challenge)}),
        ("signature altered", {"signature": flip(key.sign("auth:v1", body))}),
    ]  # fmt: skip
    return hexed(honest), [hexed(without(honest, "body") | {"why": why} | change) for why, change in changes]


def sections(kem: Kem) -> dict[str, Any]:
    """Sections 1 to 4."""
    links = [Handshake(suite, kem) for suite in SUITES]
    auths = [auth(hs) for hs in links]
    return {
        "canonical": canonical(), "canonical_refused": canonical_refused(), "signatures": signatures(),
        "ed25519_edges": ed25519_edges(), "p256_edges": p256_edges(), "x25519_refused": x25519_refused(),
        "mlkem_refused": mlkem_refused(), "hkdf": hkdf(), "hmac": hmac(), "aad": aad(), "negotiate": negotiate(),
        "frames": frames(), "refused_frames": refused_frames(),
        "handshake": [hs.entry() for hs in links],
        "refused_accepted": [one for hs in links for one in hs.refused()],
        "sealed": [sealed(hs) for hs in links],
        "refused_sealed": [one for hs in links for one in refused_sealed(hs)],
        "rekey": [rekey(hs) for hs in links],
        "refused_rekey": [one for hs in links for one in refused_rekey(hs)],
        "auth": [honest for honest, _ in auths],
        "refused_auth": [one for _, refused in auths for one in refused],
    }  # fmt: skip
