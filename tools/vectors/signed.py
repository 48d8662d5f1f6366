"""Maps whose signature covers canonical(map less signature) and that no other topic has: servers, time, membership."""

from typing import Any

from norc_actors.crypto.signatures import SigningKey
from norc_actors.protocol import conversations, relay, sessions
from norc_actors.protocol.canonical import canonical
from norc_actors.protocol.devices import OwnDevice

from . import NOW, Case, fixed, flipped, key, m, refused, uuid, x
from .people import ALGORITHMS, ALICE, BOB, signed, wrong

A, B = "a.example", "b.example"


def signed_maps() -> list[Case]:
    """Each under both algorithms, with what must not count."""
    cases: list[Case] = []
    for algorithm in ALGORITHMS:
        server, device, other = (key(algorithm, name) for name in ("server", "device", "other"))
        for name, signer, label, plain, changed in _maps(server, device):
            signature = plain["signature"]
            case = signed(name, signer.public_key, label, plain, signature)
            cases += [case, *wrong(case, other, plain | changed)]
        cases += _rotations(server, key(algorithm, "new server"), other)
    return cases


def _maps(server: SigningKey, device: SigningKey) -> list[tuple[str, SigningKey, str, dict[str, Any], dict[str, Any]]]:
    """(name, who signs, label, the signed map, a change of it)."""

    def sign(signer: SigningKey, label: str, plain: dict[str, Any]) -> dict[str, Any]:
        return {**plain, "signature": signer.sign(label, canonical(plain))}

    own = OwnDevice(user_id=BOB, device_id=uuid("bob device"), key=device, e2e_suites=("0101",))
    unknown = sessions.make_unknown(own, uuid("session"), ALICE, uuid("alice device"), NOW)
    leave = conversations.make_leave(
        device, conversation_id=uuid("conversation"), epoch=3, user_id=BOB, device_id=uuid("bob device"), now=NOW
    )
    join = sign(device, "conversation:v1", {
        "type": "conversation_join", "conversation_id": uuid("conversation"), "user_id": BOB,
        "device_id": uuid("bob device"), "invite_code": "open sesame", "timestamp": NOW,
    })  # fmt: skip
    discovery = sign(server, "server-info:v1", {
        "type": "server_discovery", "request_id": uuid("discovery"), "query_server": B, "requesting_server": A,
        "discovery_method": "dns", "timestamp": NOW,
    })  # fmt: skip
    info = sign(server, "server-info:v1", {
        "type": "server_info", "request_id": uuid("discovery"), "server_id": B, "federation_endpoints": [
            {"protocol": "norc_f", "address": "b.example", "port": 8843, "tls_fingerprint": fixed("leaf")}],
        "capabilities": ["federation"], "trust_anchors": [fixed("anchor")], "federation_policy": {
            "auto_accept": False, "require_verification": True, "max_message_size": 2**24,
            "rate_limits": {"messages_per_second": 100, "bandwidth_mbps": 100}},
        "server_version": "1", "timestamp": NOW, "zzz": "unknown",
    })  # fmt: skip
    time = sign(server, "time:v1", {
        "type": "time_sync", "server_id": A, "nonce": fixed("nonce", 16), "server_time_us": NOW * 10**6,
        "uncertainty_ms": 5,
    })  # fmt: skip
    ack = relay.sign_ack(server, {
        "type": "relay_ack", "federation_id": uuid("federation"), "message_id": uuid("message"), "target_server": B,
        "status": "partial", "delivered_to": [], "failed_deliveries": [
            {"user_id": BOB, "device_ids": [uuid("bob device")], "error_code": "user_not_found", "timestamp": 1}],
        "timestamp": NOW * 10**6,
    })  # fmt: skip
    return [
        ("session_key_exchange{status: unknown}", device, "session:v1", unknown, {"session_id": uuid("other")}),
        ("conversation_leave", device, "conversation:v1", leave, {"epoch": 4}),
        ("conversation_join", device, "conversation:v1", join, {"invite_code": ""}),
        ("server_discovery", server, "server-info:v1", discovery, {"query_server": "c.example"}),
        ("server_info", server, "server-info:v1", info, {"zzz": "changed"}),
        ("time_sync", server, "time:v1", time, {"server_time_us": 0}),
        ("relay_ack", server, "relay:v1", dict(ack), {"status": "delivered"}),
    ]


def _rotations(old: SigningKey, new: SigningKey, other: SigningKey) -> list[Case]:
    """A server_rotation: both keys sign the entry less `signatures`."""
    plain = {"server_id": A, "old_public_key": old.public_key, "new_public_key": new.public_key, "timestamp": NOW}
    body = canonical(plain)
    both = [one.sign("server-rotate:v1", body) for one in (old, new)]
    case: Case = {"name": "server_rotation", "accept": True, "pinned": x(old.public_key), "map": m(
        {**plain, "signatures": both}), "body": body.decode()}  # fmt: skip

    def broken(name: str, entry: dict[str, Any]) -> Case:
        return refused(case, "ProtocolError 1002", name=f"server_rotation: {name}", map=m(entry))

    third = {**plain, "old_public_key": other.public_key}
    return [
        case,
        broken("signed by the new key alone", {**plain, "signatures": [both[1], both[1]]}),
        broken("signed by the old key alone", {**plain, "signatures": [both[0], both[0]]}),
        broken("signatures exchanged", {**plain, "signatures": both[::-1]}),
        broken("a signature altered", {**plain, "signatures": [flipped(both[0]), both[1]]}),
        broken("a member changed", {**plain, "timestamp": NOW + 1, "signatures": both}),
        broken("of another server", _both({**plain, "server_id": B}, old, new)),
        broken("from a key that is not pinned", _both(third, other, new)),
    ]


def _both(plain: dict[str, Any], old: SigningKey, new: SigningKey) -> dict[str, Any]:
    return {**plain, "signatures": [one.sign("server-rotate:v1", canonical(plain)) for one in (old, new)]}
