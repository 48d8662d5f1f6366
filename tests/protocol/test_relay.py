"""Relays: what origin and hops sign, the order of the checks, and every way a transit server could launder one."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from norc_actors.crypto.errors import BadSignatureError
from norc_actors.limits import FEDERATION_WINDOW_MESSAGES
from norc_actors.protocol import relay as rules
from norc_actors.protocol.errors import Code, ProtocolError
from norc_actors.protocol.relay import Accepted, LinkWindow, Relation, Repeated, check_ingress
from tests.support.people import NOW
from tests.support.servers import (
    ORIGIN,
    PERMITTED,
    TARGET,
    TRANSIT,
    routed_relay,
    server_keys,
    unsigned_relay,
    view,
)
from tests.vectors.files import holds, recorded


@recorded("federation", "refused_federation")
def test_recorded(entry):
    assert holds(entry)


ALGORITHMS = pytest.mark.parametrize("keys", [server_keys("ed25519"), server_keys("p256")], ids=["ed25519", "p256"])
KEYS = server_keys()


def public(keys):
    return {name: key.public_key for name, key in keys.items()}.get


def code_of(attempt):
    with pytest.raises(ProtocolError) as refused:
        attempt()
    return refused.value.code


def judged(relay, *, keys=KEYS, size=1000, **changes):
    return check_ingress(view(keys, **changes), relay, size)


def refusal(relay, **changes):
    return code_of(lambda: judged(relay, **changes))


def set_metadata(relay, **changes):
    return {**relay, "metadata": {**relay["metadata"], **changes}}


# --- Signatures ---


@ALGORITHMS
def test_origin_and_hops(keys):
    relay = routed_relay(keys, ORIGIN, TRANSIT)
    rules.verify_relay(relay, keys[ORIGIN].public_key)
    rules.verify_route(relay, TARGET, public(keys))
    assert isinstance(judged(relay, keys=keys), Accepted)


@ALGORITHMS
def test_what_the_origin_signed_is_fixed(keys):
    relay = routed_relay(keys, ORIGIN, TRANSIT)
    free = {"signature", "route_path", "route_signatures", "link_epoch", "link_sequence"}
    for name in relay.keys() - free:
        changed = dict(relay)
        if name == "metadata":
            changed = set_metadata(relay, ttl=1)
        elif name in ("ciphertext", "encrypted_payloads"):
            changed[name] = relay[name][:-1] if name == "ciphertext" else {}
        else:
            changed[name] = "other"
        with pytest.raises(BadSignatureError):
            rules.verify_relay(changed, keys[ORIGIN].public_key)
    with pytest.raises(BadSignatureError):
        rules.verify_relay({**relay, "zzz": 1}, keys[ORIGIN].public_key)
    rules.verify_relay({**relay, "link_sequence": 9}, keys[ORIGIN].public_key)
    rules.verify_relay(set_metadata(relay, hop_count=9, federation_timestamp=1), keys[ORIGIN].public_key)


@ALGORITHMS
def test_a_route_is_one_route(keys):
    relay = routed_relay(keys, ORIGIN, TRANSIT)
    first, second = relay["route_signatures"]
    other = routed_relay(keys, ORIGIN, TRANSIT, message_id="7cc20276-13e6-4034-8190-a6efb59c0000")
    for path, entries, receiver in (
        ([ORIGIN], [first], TARGET),  # the transit server left itself out
        ([ORIGIN, TRANSIT], [first, second], "c.example"),  # handed to somebody else
        ([TRANSIT, ORIGIN], [second, first], TARGET),
        ([ORIGIN, TRANSIT], [first], TARGET),
        ([ORIGIN, TRANSIT], [first, first], TARGET),
        ([ORIGIN, TRANSIT], [first, {**second, "federation_timestamp": 1}], TARGET),
        ([ORIGIN, TRANSIT], other["route_signatures"], TARGET),  # a route of another relay
        ([ORIGIN, "unknown.example"], [first, second], TARGET),
    ):
        with pytest.raises(BadSignatureError):
            rules.verify_route({**relay, "route_path": path, "route_signatures": entries}, receiver, public(keys))


@ALGORITHMS
def test_a_hop_whose_key_is_not_known(keys):
    relay = routed_relay(keys, ORIGIN, TRANSIT)
    rules.verify_route(relay, TARGET, public(keys))
    for unknown in (ORIGIN, TRANSIT):
        known = {name: key for name, key in keys.items() if name != unknown}
        with pytest.raises(BadSignatureError, match=f"no key of {unknown}"):
            rules.verify_route(relay, TARGET, public(known))


def test_only_a_direct_origin_omits_the_route():
    direct = {**routed_relay(KEYS, ORIGIN)}
    del direct["route_signatures"]
    rules.verify_route(direct, TARGET, public(KEYS))
    assert isinstance(judged(direct, remote=ORIGIN), Accepted)
    through = {**routed_relay(KEYS, ORIGIN, TRANSIT)}
    del through["route_signatures"]
    for relay, receiver in ((through, TARGET), (direct, "c.example")):
        with pytest.raises(BadSignatureError):
            rules.verify_route(relay, receiver, public(KEYS))


def test_hops_make_no_loop_and_no_endless_path():
    relay = routed_relay(KEYS, ORIGIN, TRANSIT)
    assert code_of(lambda: rules.add_hop(KEYS[ORIGIN], relay, ORIGIN, TARGET, 1)) is Code.LOOP_DETECTED
    assert code_of(lambda: rules.add_hop(KEYS[TARGET], relay, TARGET, ORIGIN, 1)) is Code.LOOP_DETECTED
    long = {**relay, "route_path": [f"s{number}.example" for number in range(10)]}
    assert code_of(lambda: rules.add_hop(KEYS[TARGET], long, TARGET, "z.example", 1)) is Code.TTL_EXPIRED


@ALGORITHMS
def test_acknowledgements(keys):
    ack = rules.sign_ack(keys[TARGET], {"type": "relay_ack", "federation_id": "f", "status": "delivered"})
    rules.verify_ack(ack, keys[TARGET].public_key)
    for changed in ({**ack, "status": "failed"}, {**ack, "signature": None}):
        with pytest.raises(BadSignatureError):
            rules.verify_ack(changed, keys[TARGET].public_key)


def test_a_relay_of_1_x_has_its_ciphertext_in_the_blobs():
    """F§5.2's members: the payloads are whole blobs, and the signature covers them all the same."""
    old = unsigned_relay(encrypted_payloads={"99d39596-355f-4cd1-80d7-8e33abf18153": b"blob"})
    del old["ciphertext"]
    signed = rules.sign_relay(KEYS[ORIGIN], old)
    rules.verify_relay(signed, KEYS[ORIGIN].public_key)
    changed = {**signed, "encrypted_payloads": {"99d39596-355f-4cd1-80d7-8e33abf18153": b"blop"}}
    with pytest.raises(BadSignatureError):
        rules.verify_relay(changed, KEYS[ORIGIN].public_key)
    assert isinstance(judged(rules.add_hop(KEYS[ORIGIN], signed, ORIGIN, TARGET, NOW * 10**6), remote=ORIGIN), Accepted)


# --- The order of ingress ---

STALE = NOW - 90
BAD = {
    "link state": ({"link_open": False}, {}, Code.WRONG_STATE),
    "size": ({"max_frame": 999}, {}, Code.MESSAGE_TOO_LARGE),
    "rate": ({"rate": lambda size: 1.5}, {}, Code.RATE_EXCEEDED),
    "type": ({}, {"type": "relay"}, Code.MALFORMED),
    "target": ({}, {"target_users": ["bob@c.example"]}, Code.WRONG_TARGET),
    "trust level and permission": (
        {"relations": {ORIGIN: Relation(level="verified", permissions=frozenset(), public_key=b"")}}, {},
        Code.PERMISSION_DENIED,
    ),
    "classification": ({}, {"classification": "secret"}, Code.CLASSIFICATION_EXCEEDED),
    "hop count and ttl": ({}, {"expires_at": NOW - 1}, Code.TTL_EXPIRED),
    "loop": ({}, {"route_path": [ORIGIN, TARGET, TRANSIT]}, Code.LOOP_DETECTED),
    "skew": ({}, {"metadata": STALE}, Code.CLOCK_SKEW),
    "relay cache": ({"recorded": lambda origin, federation_id: {"type": "relay_ack"}}, {}, None),
    "signatures": ({}, {"signature": bytes(64)}, Code.BAD_SIGNATURE),
    "link sequence": ({"window": LinkWindow(epoch=2)}, {}, Code.BAD_SEQUENCE),
}  # fmt: skip


def test_the_table_is_the_order():
    assert tuple(BAD) == rules.INGRESS


def _broken(names):
    """A relay and a view that fail each of these checks."""
    relay, changes, relations = routed_relay(KEYS, ORIGIN, TRANSIT), {}, {}
    for name in names:
        of_view, of_relay, _ = BAD[name]
        relations |= of_view.get("relations", {})
        changes |= of_view
        for member, value in of_relay.items():
            if member == "metadata":
                relay = set_metadata(relay, federation_timestamp=value * 10**6)
            else:
                relay = {**relay, member: value}
        if name == "loop":
            relay = set_metadata(relay, hop_count=3)
            relations[TARGET] = Relation(level="verified", permissions=PERMITTED, public_key=b"")
    if relations:
        changes["relations"] = relations
    return relay, changes


@pytest.mark.parametrize("start", range(len(BAD)))
def test_each_check_comes_before_all_later_ones(start):
    """Everything from one check on is wrong: that check answers."""
    names = list(BAD)[start:]
    relay, changes = _broken(names)
    expected = BAD[names[0]][2]
    if expected is None:
        assert judged(relay, **changes) == Repeated(ack={"type": "relay_ack"})
    else:
        assert refusal(relay, **changes) is expected


@pytest.mark.parametrize("name", BAD)
def test_each_check_alone(name):
    relay, changes = _broken([name])
    if BAD[name][2] is None:
        assert isinstance(judged(relay, **changes), Repeated)
    else:
        assert refusal(relay, **changes) is BAD[name][2]


def test_rate_says_when():
    with pytest.raises(ProtocolError) as refused:
        judged(routed_relay(KEYS, ORIGIN, TRANSIT), rate=lambda size: 1.5)
    assert refused.value.retry_after == 2


# --- Each check's own cases ---


def test_targets():
    relay = routed_relay(KEYS, ORIGIN, TRANSIT)
    assert refusal({**relay, "target_server": "z.example"}) is Code.NO_ROUTE
    assert refusal({**relay, "target_users": ["bob"]}) is Code.MALFORMED
    assert refusal({**relay, "sender_user": "alice@t.example"}) is Code.WRONG_TARGET
    assert refusal({**relay, "target_users": []}) is Code.WRONG_TARGET


def test_the_least_level_and_permission_of_the_path():
    relay = routed_relay(KEYS, ORIGIN, TRANSIT)
    for name in (ORIGIN, TRANSIT):
        known = Relation(level="verified", permissions=PERMITTED, public_key=KEYS[name].public_key, transit=True)
        for changed, code in (
            (replace(known, level="basic"), Code.CLASSIFICATION_EXCEEDED),
            (replace(known, level="untrusted"), Code.INSUFFICIENT_TRUST),
            (replace(known, permissions=frozenset({"voice_calls"})), Code.PERMISSION_DENIED),
        ):
            assert refusal(relay, relations={name: changed}) is code
        assert refusal(relay, relations={name: None}) is Code.SERVER_NOT_TRUSTED
    closed = Relation(level="verified", permissions=PERMITTED, public_key=KEYS[TRANSIT].public_key)
    assert refusal(relay, relations={TRANSIT: closed}) is Code.PERMISSION_DENIED
    accepted = judged(relay)
    assert isinstance(accepted, Accepted)
    assert accepted.level == "verified"


def test_transit():
    """The transit server's own ingress: on to the target only if both neighbours permit transit."""
    relay = routed_relay(KEYS, ORIGIN, to=TRANSIT)
    at = {"own_server": TRANSIT, "remote": ORIGIN}
    assert isinstance(judged(relay, **at), Accepted)
    for name in (ORIGIN, TARGET):
        closed = Relation(level="verified", permissions=PERMITTED, public_key=KEYS[name].public_key)
        assert refusal(relay, relations={name: closed}, **at) is Code.PERMISSION_DENIED


def test_national_secrets_over_nato_servers_need_the_agreement():
    relay = routed_relay(KEYS, ORIGIN, TRANSIT, classification="secret")

    def nato(*agreement):
        return {
            name: Relation(
                level="nato", permissions=PERMITTED, public_key=KEYS[name].public_key, transit=True,
                agreement=frozenset(agreement),
            )
            for name in (ORIGIN, TRANSIT)
        }  # fmt: skip

    assert refusal(relay, relations=nato()) is Code.CLASSIFICATION_EXCEEDED
    assert isinstance(judged(relay, relations=nato("secret")), Accepted)


def test_sizes_by_level():
    keys = server_keys()
    big = routed_relay(keys, ORIGIN, TRANSIT, ciphertext=bytes(4 * 2**20 + 1), classification="unclassified")
    basic = {
        name: Relation(level="basic", permissions=PERMITTED, public_key=keys[name].public_key, transit=True)
        for name in (ORIGIN, TRANSIT)
    }
    assert refusal(big, relations=basic) is Code.MESSAGE_TOO_LARGE
    assert isinstance(judged(big), Accepted)


def test_paths():
    relay = routed_relay(KEYS, ORIGIN, TRANSIT)
    assert refusal(relay, remote=ORIGIN) is Code.BAD_SIGNATURE
    assert refusal({**relay, "route_path": []}) is Code.BAD_SIGNATURE
    assert refusal(set_metadata(relay, hop_count=1)) is Code.TTL_EXPIRED
    assert refusal(set_metadata(relay, original_timestamp=(NOW - 10) * 10**6, ttl=9)) is Code.TTL_EXPIRED
    twice = set_metadata({**relay, "route_path": [ORIGIN, TRANSIT, TRANSIT]}, hop_count=3)
    assert refusal(twice) is Code.LOOP_DETECTED


def test_times():
    relay = routed_relay(KEYS, ORIGIN, TRANSIT)
    for seconds, accepted in ((60, True), (61, False), (-60, True), (-61, False)):
        result = routed_relay(KEYS, ORIGIN, TRANSIT, at=NOW + seconds)
        assert (not accepted) == (_fails(result) is Code.CLOCK_SKEW)
    for seconds, accepted in ((86400, True), (86401, False), (-60, True), (-61, False)):
        metadata = {**unsigned_relay()["metadata"], "original_timestamp": (NOW - seconds) * 10**6, "ttl": 10**6}
        assert (not accepted) == (_fails(routed_relay(KEYS, ORIGIN, TRANSIT, metadata=metadata)) is Code.CLOCK_SKEW)
    assert refusal(set_metadata(relay, federation_timestamp=NOW * 10**6 + 1)) is Code.CLOCK_SKEW


def _fails(relay):
    try:
        judged(relay)
    except ProtocolError as error:
        return error.code
    return None


def test_signatures_of_unknown_servers():
    relay = routed_relay(KEYS, ORIGIN, TRANSIT)
    other = server_keys("p256")
    assert refusal(relay, keys=other) is Code.BAD_SIGNATURE


# --- The link's window ---


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2 * FEDERATION_WINDOW_MESSAGES)), max_size=40))
def test_the_window_against_a_naive_model(steps):
    window, epoch, seen = LinkWindow(), 0, set()
    for at, sequence in steps:
        if at > epoch:
            expected, fresh = True, set()
        else:
            fresh = seen
            behind = max(seen, default=-1) - sequence
            expected = at == epoch and sequence not in seen and behind < FEDERATION_WINDOW_MESSAGES
        if expected:
            window, epoch, seen = window.accept(at, sequence), at, fresh | {sequence}
        else:
            assert code_of(lambda: window.accept(at, sequence)) is Code.BAD_SEQUENCE  # noqa: B023
