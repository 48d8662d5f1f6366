"""Topics of section 1–4: values, derivations, versions, connections."""

import json
from typing import Any

from norc_actors.crypto import hkdf
from norc_actors.crypto.kem import mlkem_public, x25519, x25519_public
from norc_actors.crypto.layout import aad_v1, sequence_nonce
from norc_actors.ids import uuid_bytes
from norc_actors.protocol.auth import auth_body
from norc_actors.protocol.codec import decode_map, encode_map
from norc_actors.protocol.errors import ProtocolError
from norc_actors.protocol.frames import V2Frame, decode_v1, encode_federation, encode_v1, encode_v2
from norc_actors.protocol.handshake import ClientHandshake, ServerHandshake, ServerOffer, master_secret, transcript_hash
from norc_actors.protocol.json_frames import to_json
from norc_actors.protocol.sealed import SealedSession, rekey_keys, traffic_keys
from norc_actors.protocol.server_keys import KnownKeys
from norc_actors.protocol.versions import negotiate

from . import NOW, Case, Stream, each_suite, fixed, fixed_encapsulate, flipped, identity, key, m, refused, uuid, x

SERVER = "a.example"


def canonical_form() -> list[Case]:
    """Maps and their canonical form; MessagePack that has none."""
    maps: list[tuple[str, dict[str, Any]]] = [
        ("empty", {}),
        ("keys by code point", {"b": 1, "a": 2, "B": 3, "aa": 4, "_": 5}),
        ("escapes", {"t": '\b\f\n\r\t\0\x1f\x7f"\\/é€𝄞\u2028'}),
        ("bytes", {"b0": b"", "b1": b"\xff", "b2": b"\xfb\xff", "b3": b"\0\x10\x83"}),
        ("numbers", {"n": [0, -1, 2**53 - 1, 1 - 2**53], "t": True, "f": False}),
        ("empty lists and maps stay", {"l": [], "m": {}, "d": {"x": [{}, []]}}),
        ("unknown members", {"type": "ping", "timestamp": NOW, "zzz": {"deep": [b"x"]}}),
        ("depth 16", _nested(15)),
    ]
    cases: list[Case] = [{"name": name, "accept": True, **m(plain)} for name, plain in maps]
    wrong = {
        "null": "81a161c0",
        "float": "81a161cb3ff0000000000000",
        "integer beyond 2^53-1": "81a161cf0020000000000000",
        "extension": "81a161d40100",
        "timestamp": "81a161d6ff00000000",
        "key that is no text": "810101",
        "key that is not ASCII": "81a2c3a901",
        "duplicate key": "82a16101a16102",
        "invalid UTF-8": "81a161a1ff",
        "surrogate": "81a161a3eda080",
        "root that is no map": "93010203",
        "bytes after the value": "8000",
        "nothing": "",
        "cut off": "81a161",
        "depth 17": encode_map(_nested(15)).hex().replace("80", "81a16101", 1),
        "4097 entries": "81a161dc1001" + "00" * 4097,
    }
    cases += [
        {"name": name, "accept": False, "error": "ProtocolError 3001", "msgpack": data} for name, data in wrong.items()
    ]
    return cases


def _nested(levels: int) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for _ in range(levels):
        plain = {"m": plain}
    return plain


def derivations() -> list[Case]:
    """HMAC and HKDF under both hashes."""
    cases = []
    for suite_name, suite in each_suite():
        for name, salt, info, length in (
            ("empty salt", b"", b"norc:ms:v1", 32),
            ("salt", fixed("hkdf salt", 24), b"norc:file:v1" + fixed("hkdf info", 16), 32),
            ("two blocks", fixed("hkdf salt", 32), b"norc:tk:c2s:v1", 42),
            ("salt longer than a block", fixed("hkdf long", 100), b"norc:wrap:v1", 64),
        ):
            ikm = fixed(f"hkdf ikm {name}", 32)
            prk = hkdf.extract(suite.hmac, salt, ikm)
            cases.append(
                {"name": name, "suite": suite_name, "accept": True, "ikm": x(ikm), "salt": x(salt), "info": x(info),
                 "length": length, "prk": x(prk), "okm": x(suite.hkdf(ikm, salt, info, length))}
            )  # fmt: skip
    return cases


def negotiation() -> list[Case]:
    """Lists of versions and what becomes of them."""
    cases = []
    lists = [
        (["1.0", "1.1", "2.0"], ["1.0", "1.1", "2.0"]), (["2.0", "1.0"], ["1.0", "1.1"]), (["2.0"], ["1.1", "1.0"]),
        (["1.9"], ["1.10", "1.9"]), (["1.10", "1.9"], ["1.9", "1.10"]), (["3.0"], ["1.0"]), (["2.0"], ["3.1", "4.0"]),
        (["1.0", "3.0"], ["2.0"]), (["0.9"], ["1.0"]), ([], ["2.0"]), (["v2.0"], ["2.0"]), (["2.0.0"], ["2.0"]),
        (["02.0"], ["2.0"]), (["2.0"] * 17, ["2.0"]), (["2.100000"], ["2.0"]), (["2.0 "], ["2.0"]),
    ]  # fmt: skip
    for client, server in lists:
        for bridge in (False, True):
            case: Case = {
                "name": f"{client} and {server}", "client": client, "server": server, "allow_amc_bridge": bridge,
                "accept": True,
            }  # fmt: skip
            try:
                version, compatibility = negotiate(client, server, bridge)
                case |= {"negotiated_version": version, "compatibility_mode": compatibility}
            except ProtocolError as error:
                case |= {"accept": False, "error": f"ProtocolError {error.code.value}"}
            cases.append(case)
    return cases


def handshakes() -> list[Case]:
    """connection_request and connection_accepted, keys, and answers that a client has to refuse."""
    cases: list[Case] = []
    for suite_name, suite in each_suite():
        server_key = key(identity(suite_name), "server")
        # All four are in the list, so that the choice is bound; the server offers what its key serves.
        client = ClientHandshake(server_name=SERVER, known=KnownKeys(), random=Stream(f"client {suite_name}"))  # type: ignore[arg-type]
        drawn = Stream(f"client {suite_name}")
        e_client, kem_seed = drawn(32), drawn(64)
        offer = ServerOffer(
            server_id=SERVER, public_keys={suite.identity: server_key.public_key}, suites=(suite_name,)  # type: ignore[arg-type]
        )  # fmt: skip
        server = ServerHandshake(
            offer, random=Stream(f"server {suite_name}"), encapsulate=fixed_encapsulate(f"hs {suite_name}")
        )
        wanted = server.prepare(client.request, uri_version="2.0", subprotocol="norc-c-v2.0", now=NOW)
        frame, established = server.finish(server_key.sign(wanted.label, wanted.body), NOW)
        client.accept(frame, NOW)
        request, accepted = _body(client.request), _body(frame)
        th = transcript_hash(suite, request, accepted)
        e_server = Stream(f"server {suite_name}")(32)
        ikm = x25519(e_client, accepted["ephemeral_public_key"])
        case: Case = {
            "name": "honest", "suite": suite_name, "accept": True, "server_name": SERVER, "e_client": x(e_client),
            "e_server": x(e_server), "kem_seed": x(kem_seed), "server_seed": x(server_key.private_bytes()),
            "request": m(request), "accepted": m(accepted),
        }  # fmt: skip
        if suite.hybrid:
            pq_ciphertext, secret = fixed_encapsulate(f"hs {suite_name}")(mlkem_public(kem_seed))
            assert pq_ciphertext == accepted["pq_ciphertext"]
            case["mlkem_m"] = x(fixed(f"hs {suite_name} m"))
            case["mlkem_secret"] = x(secret)
            ikm += secret
        secret_bytes = master_secret(suite, ikm, request["client_nonce"], accepted["server_nonce"], "2.0", th)
        keys = traffic_keys(suite, secret_bytes)
        assert established.th == th
        case |= {
            "th": x(th), "ikm": x(ikm), "master_secret": x(secret_bytes), "k_c2s": x(keys.c2s), "k_s2c": x(keys.s2c),
            "rs": x(keys.rs),
        }  # fmt: skip
        cases.append(case)
        cases += [
            refused(case, error, name=name, accepted=m(_signed(suite, server_key, request, accepted | changes)))
            for name, error, changes in _wrong_answers(accepted)
        ]
        unsigned = accepted | {"signature": flipped(accepted["signature"])}
        cases.append(refused(case, "ProtocolError 1002", name="signature does not hold", accepted=m(unsigned)))
        stripped = {name: value for name, value in request.items() if name != "zzz"} | {"cipher_suites": [suite_name]}
        signed = _signed(suite, server_key, stripped, accepted)
        cases.append(refused(case, "ProtocolError 1002", name="suites stripped from the request", accepted=m(signed)))
    return cases


def _wrong_answers(accepted: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Answers that are signed as they stand and still refused."""
    return [
        ("version that the client did not list", "ProtocolError 4005", {"negotiated_version": "1.1"}),
        ("compatibility_mode against the rule", "ProtocolError 4005", {"compatibility_mode": True}),
        ("suite below the best of both lists", "ProtocolError 4005", {
            "server_cipher_suites": ["0101", "0102", "0001", "0002"], "cipher_suite": "0002", "pq_ciphertext": None,
        }),
        ("server_id is not the name dialled", "ProtocolError 1002", {"server_id": "b.example"}),
        ("pq_ciphertext missing or superfluous", "ProtocolError 3001", {
            "pq_ciphertext": None if "pq_ciphertext" in accepted else bytes(1088),
        }),
        ("short nonce", "ProtocolError 3001", {"server_nonce": bytes(11)}),
        ("all-zero X25519", "ProtocolError 4000", {"ephemeral_public_key": bytes(32)}),
    ]  # fmt: skip


def _body(frame: bytes) -> dict[str, Any]:
    return decode_map(decode_v1(frame).payload)


def _signed(suite: Any, server_key: Any, request: dict[str, Any], accepted: dict[str, Any]) -> dict[str, Any]:
    plain = {name: value for name, value in accepted.items() if value is not None}
    th = transcript_hash(suite, request, plain)
    return plain | {"signature": server_key.sign("handshake:v1", th)}


def sealed_frames() -> list[Case]:
    """Frames in a row under one key, an update among them, and frames that do not open."""
    cases: list[Case] = []
    for suite_name, suite in each_suite():
        th = fixed(f"sealed th {suite_name}")
        keys = traffic_keys(suite, fixed(f"sealed ms {suite_name}"))
        sender = SealedSession(
            role="client", suite=suite, th=th, keys=keys, random=Stream(f"sealed {suite_name}"), now=0.0,
            send_limit=2**20, receive_limit=2**20,
        )  # fmt: skip
        frames = []
        for plaintext in (b"\x81\xa4type\xa4ping", b"", bytes(300)):
            (data,) = sender.seal(9, plaintext)
            frames.append({"key": x(keys.c2s), "type": 9, "plaintext": x(plaintext), "frame": x(data)})
        (data,) = sender.update()
        frames.append({"key": x(keys.c2s), "type": 0x34, "plaintext": x(encode_map(_UPDATE)), "frame": x(data)})
        after = suite.hkdf(keys.c2s, b"", b"norc:tk:update:v1")
        (data,) = sender.seal(9, b"after")
        frames.append({"key": x(after), "type": 9, "plaintext": x(b"after"), "frame": x(data)})
        case: Case = {
            "name": "a direction from its start", "suite": suite_name, "accept": True, "th": x(th),
            "master_secret": x(fixed(f"sealed ms {suite_name}")), "frames": frames,
        }  # fmt: skip
        cases.append(case)
        first = bytes.fromhex(frames[0]["frame"])
        for name, frame in (
            ("ciphertext altered", flipped(first, len(first) * 8 - 1)),
            ("type altered", flipped(first, 8)),
            ("message_id altered", flipped(first, 6 * 8)),
        ):
            altered = [{**frames[0], "frame": x(frame)}]
            cases.append(refused(case, "Discarded not opened", name=name, frames=altered))
        chained = first[:30] + bytes(31) + b"\x01" + first[62:]
        cases.append(
            refused(case, "Discarded chain", name="another prev_message_hash",
                    frames=[{**frames[0], "frame": x(chained)}])
        )  # fmt: skip
        cases.append(
            refused(case, "ProtocolError 3001", name="length under the tag's",
                    frames=[{**frames[0], "frame": x(first[:2] + b"\0\0\0\x0f" + first[6:77])}])
        )  # fmt: skip
    return cases


_UPDATE = {"type": "session_rekey", "mode": "update"}


def rekeys() -> list[Case]:
    """The dh re-key: both messages, th', ms', the keys."""
    cases = []
    for suite_name, suite in each_suite():
        th, rs = fixed(f"rekey th {suite_name}"), fixed(f"rekey rs {suite_name}")
        e_client, e_server, seed = (fixed(f"rekey {n} {suite_name}", s) for n, s in (("c", 32), ("s", 32), ("k", 64)))
        request: dict[str, Any] = {
            "type": "session_rekey", "mode": "dh", "ephemeral_public_key": x25519_public(e_client),
        }  # fmt: skip
        answer: dict[str, Any] = {
            "type": "session_rekey", "mode": "dh", "ephemeral_public_key": x25519_public(e_server),
        }  # fmt: skip
        ikm = x25519(e_client, x25519_public(e_server))
        case: Case = {"name": "dh", "suite": suite_name, "accept": True, "th": x(th), "rs": x(rs)}
        if suite.hybrid:
            request["pq_public_key"] = mlkem_public(seed)
            answer["pq_ciphertext"], secret = fixed_encapsulate(f"rk {suite_name}")(request["pq_public_key"])
            ikm += secret
            case["kem_seed"] = x(seed)
        keys = rekey_keys(suite, th, rs, ikm, request, answer)
        case |= {
            "e_client": x(e_client), "e_server": x(e_server), "request": m(request), "answer": m(answer), "ikm": x(ikm),
            "k_c2s": x(keys.c2s), "k_s2c": x(keys.s2c), "rs_after": x(keys.rs),
        }  # fmt: skip
        cases.append(case)
    return cases


def authentication() -> list[Case]:
    """auth_request's signature."""
    cases: list[Case] = []
    for algorithm in ("ed25519", "p256"):
        device = key(algorithm, "device")
        th, challenge, device_id = fixed("auth th"), fixed("auth challenge"), uuid("auth device")
        body = auth_body(th, challenge, "alice@a.example", device_id, NOW)  # type: ignore[arg-type]
        signature = device.sign("auth:v1", body)
        case: Case = {
            "name": "honest", "accept": True, "public_key": x(device.public_key), "th": x(th),
            "challenge": x(challenge), "user_id": "alice@a.example", "device_id": device_id, "timestamp": NOW,
            "body": x(body), "signature": x(signature),
        }  # fmt: skip
        cases += [
            case,
            refused(case, "ProtocolError 1000", name="on another connection", th=x(flipped(th))),
            refused(case, "ProtocolError 1000", name="for another challenge", challenge=x(flipped(challenge))),
            refused(case, "ProtocolError 1000", name="as another user", user_id="alicf@a.example"),
            refused(case, "ProtocolError 1000", name="signature altered", signature=x(flipped(signature))),
            refused(case, "ProtocolError 1000", name="signed under another label",
                    signature=x(device.sign("register:v1", body))),
        ]  # fmt: skip
    return cases


def layouts() -> list[Case]:
    """AAD_v1 and the nonce of what is counted."""
    case: Case = {
        "name": "AAD_v1", "accept": True, "major": 2, "minor": 0, "type": 0x85, "sequence": 2**63 + 5,
        "message_id": uuid("aad"), "length": 2**24 + 1, "prev_message_hash": x(fixed("aad prev")),
        "transcript_hash": x(fixed("aad th")), "nonce": x(sequence_nonce(2**63 + 5)),
    }  # fmt: skip
    aad = aad_v1(
        2, 0, 0x85, 2**63 + 5, uuid_bytes(uuid("aad")), 2**24 + 1, fixed("aad prev"), fixed("aad th")
    )  # fmt: skip
    return [{**case, "aad": x(aad)}]


def frames() -> list[Case]:
    """The three kinds of frames, a sealed frame as JSON, and headers that break a rule."""
    body, prev = fixed("frame body", 33), fixed("frame prev")
    v2 = V2Frame(0x10, uuid_bytes(uuid("frame")), 2**40 + 7, prev, body)
    told = {
        "type": 0x10, "message_id": uuid("frame"), "sequence": 2**40 + 7, "prev_message_hash": x(prev),
        "ciphertext": x(body),
    }  # fmt: skip
    text = to_json(v2).decode()
    cases: list[Case] = [
        {"name": "v1", "accept": True, "kind": "v1", "type": 0, "body": x(body), "frame": x(encode_v1(0, body))},
        {"name": "v2", "accept": True, "kind": "v2", **told, "frame": x(encode_v2(v2))},
        {"name": "v2 as JSON", "accept": True, "kind": "json", **told, "text": text},
        {"name": "v2 as JSON, members in another order", "accept": True, "kind": "json", **told,
         "text": json.dumps(dict(reversed(json.loads(text).items())), indent=1)},
        {"name": "federation", "accept": True, "kind": "federation", "ver": 2, "type": 0x85, "body": x(body),
         "frame": x(encode_federation(2, 0x85, body))},
        {"name": "federation at 1.x", "accept": True, "kind": "federation", "ver": 1, "type": 0x80, "body": "",
         "frame": x(encode_federation(1, 0x80, b""))},
    ]  # fmt: skip
    cases += [
        refused(cases[0 if kind == "v1" else 1 if kind == "v2" else 4], "ProtocolError 3001", name=name, frame=x(data))
        for kind, name, data in _wrong_frames(encode_v2(v2))
    ]
    members = json.loads(text)
    for name, changes in (
        ("ver 1", {"ver": 1}), ("another length", {"length": 32}), ("length as text", {"length": "33"}),
        ("a member more", {"zzz": 1}), ("a member less", {"sequence": None}), ("padded base64url", {
            "prev_message_hash": members["prev_message_hash"] + "="}),
        ("shorter than its tag", {"ciphertext": "AAAA", "length": 3}), ("message_id in capitals", {
            "message_id": members["message_id"].upper()}),
    ):  # fmt: skip
        changed = {one: value for one, value in (members | changes).items() if value is not None}
        cases.append(refused(cases[2], "ProtocolError 3001", name=f"JSON: {name}", text=json.dumps(changed)))
    return cases


def _wrong_frames(v2: bytes) -> list[tuple[str, str, bytes]]:
    return [
        ("v1", "v1: cut in its header", b"\0\0\0\0"), ("v1", "v1: a byte short", b"\0\0\0\0\2a"),
        ("v1", "v1: a byte more", b"\0\0\0\0\1ab"), ("v2", "v2: cut in its header", v2[:61]),
        ("v2", "v2: ver 1", b"\1" + v2[1:]), ("v2", "v2: a byte short", v2[:-1]), ("v2", "v2: a byte more", v2 + b"\0"),
        ("v2", "v2: length under the tag's", v2[:2] + b"\0\0\0\x0f" + v2[6:77]),
        ("federation", "federation: ver 0", b"\0\x80\0\0\0\0"), ("federation", "federation: ver 3", b"\3\x80\0\0\0\0"),
    ]  # fmt: skip
