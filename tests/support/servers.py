"""Servers that relay for one another, with seeded keys: what tests of routes and ingress share."""

from itertools import pairwise

from norc_actors.crypto.signatures import SigningKey
from norc_actors.protocol.relay import Ingress, LinkWindow, Relation, add_hop, sign_relay
from tests.support.people import NOW, seeded

ORIGIN, TRANSIT, TARGET = "a.example", "t.example", "b.example"
FEDERATION_ID = "05c7f17a-e8a8-42f3-8d8e-5fd32f0b81f6"
PERMITTED = frozenset({"message_relay"})


def server_keys(algorithm="ed25519"):
    """An identity key for each server."""
    return {name: SigningKey.generate(algorithm, seeded((name, algorithm))) for name in (ORIGIN, TRANSIT, TARGET)}


def unsigned_relay(**changes):
    """A relay from alice@a.example to bob@b.example, as its origin fills it."""
    members = {
        "type": "message_relay",
        "federation_id": FEDERATION_ID,
        "message_id": "7cc20276-13e6-4034-8190-a6efb59c006a",
        "origin_server": ORIGIN,
        "target_server": TARGET,
        "target_users": ["bob@b.example"],
        "link_epoch": 1,
        "link_sequence": 44,
        "sender_user": "alice@a.example",
        "sender_device": "8730f70d-c056-4103-9108-3d814ee5a7da",
        "conversation_id": "2cd6bf73-5d0d-4567-96b2-70548f57d0df",
        "epoch": 2,
        "suite": "0101",
        "chain_id": "b1b0f96b-777a-488d-8464-8d24f43bf0f1",
        "sequence_number": 3286020,
        "prev_message_hash": b"p" * 32,
        "key_commitment": b"k" * 32,
        "ciphertext": b"c" * 272,
        "encrypted_payloads": {
            "99d39596-355f-4cd1-80d7-8e33abf18153": {"session_id": FEDERATION_ID, "index": 1, "wrapped": b"w" * 48}
        },
        "classification": "confidential",
        "metadata": {
            "original_timestamp": NOW * 10**6,
            "federation_timestamp": NOW * 10**6,
            "hop_count": 0,
            "ttl": 86400,
            "priority": "normal",
            "delivery_requirements": ["acknowledge"],
        },
    }
    return members | changes


def routed_relay(keys, *path, at=NOW, to=TARGET, **changes):
    """The relay after it went along `path` (its origin first) on its way to `to`."""
    relay = sign_relay(keys[ORIGIN], unsigned_relay(**changes))
    hops = [*path, to]
    for server, following in pairwise(hops):
        relay = add_hop(keys[server], relay, server, following, at * 10**6)
    return relay


def view(keys, **changes):
    """What the target asks of its records: everyone verified, transit allowed."""
    relations = {
        name: Relation(level="verified", permissions=PERMITTED, public_key=key.public_key, transit=True)
        for name, key in keys.items()
    } | changes.pop("relations", {})
    members = {
        "own_server": TARGET,
        "remote": TRANSIT,
        "link_open": True,
        "max_frame": 2**20,
        "now": float(NOW),
        "relation": relations.get,
        "rate": lambda size: 0.0,
        "recorded": lambda origin, federation_id: None,
        "window": LinkWindow(epoch=1),
    }
    return Ingress(**(members | changes))
