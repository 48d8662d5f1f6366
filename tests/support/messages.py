"""Hypothesis strategies for messages, made from the structs' own annotations, and for plain values of any kind."""

from functools import cache
from types import UnionType
from typing import Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from hypothesis import strategies as st

from norc_actors.limits import MAX_INTEGER
from norc_actors.protocol import messages as m
from norc_actors.protocol import registry
from norc_actors.protocol.canonical import Value
from norc_actors.protocol.codec import to_map
from norc_actors.protocol.schema import Bound, Length, Map, Message, Pattern, Plain, Range, SignedMap, strip

MESSAGES: list[type[Message]] = [kind for shapes in registry.STRUCTS.values() for kind in shapes.all]
LEGACY: list[type[Message]] = list(registry.LEGACY.values())
MAPS: list[type[Map]] = [
    kind
    for kind in (getattr(m, name) for name in m.__all__)
    if isinstance(kind, type) and issubclass(kind, Map) and not issubclass(kind, Message)
]

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_KEYS = st.text(st.characters(max_codepoint=127), max_size=8)
_BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_LABEL = st.from_regex(r"\A[a-z0-9]([a-z0-9-]{0,5}[a-z0-9])?\Z")
_SERVERS = st.lists(_LABEL, min_size=1, max_size=3).map(".".join)
_PATTERNS: dict[str, st.SearchStrategy[str]] = {
    "UUID": st.uuids().map(str),
    "server_id": _SERVERS,
    "user_id": st.builds("{}@{}".format, st.from_regex(r"\A[a-z0-9._+-]{1,9}\Z"), _SERVERS),
    "version": st.builds("{}.{}".format, st.integers(0, 99999), st.integers(0, 99999)),
    "date": st.dates().map(str),
    "country code": st.sampled_from(["DE", "NL"]),
    "OID": st.lists(st.integers(0, 10**6), min_size=1, max_size=4).map(lambda parts: ".".join(map(str, [2, *parts]))),
}

scalars = st.one_of(
    st.booleans(), st.integers(-MAX_INTEGER, MAX_INTEGER), st.binary(max_size=40), _TEXT, st.text(_BASE64, max_size=8)
)
values: st.SearchStrategy[Value] = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=12,
)
free_maps: st.SearchStrategy[dict[str, Value]] = st.dictionaries(
    _KEYS, st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | _TEXT | st.lists(_TEXT, max_size=2), max_size=3
)
"""Maps without bytes, which JSON could not tell from text."""
plain_maps: st.SearchStrategy[dict[str, Value]] = st.dictionaries(_KEYS, values, max_size=5)


def _fit_key(members: dict[str, Any]) -> None:
    members["public_key"] = members["public_key"][:32].ljust(33 if members["key_algorithm"] == "p256" else 32, b"k")
    if "not_after" in members:
        members["not_before"] = min(members["not_before"], MAX_INTEGER - 1)
        members["not_after"] = max(members["not_after"], members["not_before"] + 1)


def _fit_register(members: dict[str, Any]) -> None:
    _fit_key(members)
    for one, other in (("user_key", "user_device_signature"), ("replaces", "rotation_signatures")):
        if members[one] is None or members[other] is None:
            members[one] = members[other] = None


def _fit_request(members: dict[str, Any]) -> None:
    hybrid = not {"0101", "0102"}.isdisjoint(members["cipher_suites"])
    members["pq_public_key"] = bytes(1184) if hybrid else None


def _fit_accepted(members: dict[str, Any]) -> None:
    members["pq_ciphertext"] = bytes(1088) if members["cipher_suite"] in ("0101", "0102") else None


def _fit_opening(members: dict[str, Any]) -> None:
    members["pq_ciphertext"] = bytes(1088) if members["suite"] in ("0101", "0102") else None


def _fit_rekey(members: dict[str, Any]) -> None:
    if members["mode"] != "dh":
        members.update(ephemeral_public_key=None, pq_public_key=None, pq_ciphertext=None)
    else:
        members["ephemeral_public_key"] = members["ephemeral_public_key"] or bytes(32)
        members["pq_ciphertext"] = members["pq_ciphertext"] if members["pq_public_key"] is None else None


def _fit_received(members: dict[str, Any]) -> None:
    device, wrap = next(iter(members["encrypted_keys"].items()), (None, None))
    if device is None:
        device, wrap = (
            "8730f70d-c056-4103-9108-3d814ee5a7da",
            m.Wrap(session_id=members["chain_id"], index=0, wrapped=bytes(48)),
        )
    members["encrypted_keys"] = {device: wrap}


def _fit_inner(members: dict[str, Any]) -> None:
    members["body"] = "hello" if members["message_type"] == "text" else {"name": "x"}


def _fit_state(members: dict[str, Any]) -> None:
    members["members"] = tuple(sorted({x.user_id: x for x in members["members"]}.values(), key=lambda x: x.user_id))
    members["prev_state_hash"] = None if members["epoch"] == 1 else bytes(32)


def _fit_conversation(members: dict[str, Any]) -> None:
    members["state"] = members["state"] | {"conversation_id": members["conversation_id"]}
    if "conversation_type" in members:
        members["conversation_type"] = members["state"]["type"]


def _fit_manifest(members: dict[str, Any]) -> None:
    members["size"] = members["size"] % 2**48
    members["total"] = max(1, -(-members["size"] // members["chunk_size"]))


def _fit_chunk_ack(members: dict[str, Any]) -> None:
    bounds = sorted({bound for span in members["received"] for bound in span})
    members["received"] = tuple(zip(bounds[::2], bounds[1::2], strict=False))


def _fit_relay(members: dict[str, Any]) -> None:
    path = (members["origin_server"], *members["route_path"][1:])
    members["route_path"] = path
    members["metadata"] = msgspec.structs.replace(members["metadata"], hop_count=len(path))
    if "ciphertext" in members and (members["route_signatures"] is not None or len(path) > 1):
        members["route_signatures"] = (m.RouteSignature(federation_timestamp=1, signature=bytes(64)),) * len(path)


def _fit_received1(members: dict[str, Any]) -> None:
    device, blob = next(iter(members["encrypted_content"].items()), (members["sender_device"], b"blob"))
    members["encrypted_content"] = {device: blob}


def _fit_period(members: dict[str, Any]) -> None:
    members["start_time"], members["end_time"] = sorted((members["start_time"], members["end_time"]))


def _fit_domain(members: dict[str, Any]) -> None:
    members["txt_record_name"] = f"_norc-trust-challenge.{members['domain']}"


def _fit_decision(members: dict[str, Any]) -> None:
    if members["decision"] == "reject":
        members["certificate"] = None
    else:
        members["certificate"] = members["certificate"] or {"free": 1}


def _fit_change(members: dict[str, Any]) -> None:
    if members["permission"] is not None:
        members["parameter"] = None
    else:
        members["parameter"] = members["parameter"] or "max_message_size"


def _fit_crl(members: dict[str, Any]) -> None:
    members["this_update"] = min(members["this_update"], MAX_INTEGER - 1)
    members["next_update"] = max(members["next_update"], members["this_update"] + 1)


FITS = {
    m.Record: _fit_key,
    m.DeviceCertificate: _fit_key,
    m.OtherKey: _fit_key,
    m.DeviceRegister: _fit_register,
    m.ConnectionRequest: _fit_request,
    m.ConnectionAccepted: _fit_accepted,
    m.SessionOpening: _fit_opening,
    m.SessionRekey: _fit_rekey,
    m.MessageReceived: _fit_received,
    m.Inner: _fit_inner,
    m.State: _fit_state,
    m.ConversationCreate: _fit_conversation,
    m.ConversationUpdate: _fit_conversation,
    m.ConversationState: _fit_conversation,
    m.FederationHello: _fit_request,
    m.FederationHelloResponse: _fit_accepted,
    m.FileManifest: _fit_manifest,
    m.FileChunkAck: _fit_chunk_ack,
    m.MessageRelay: _fit_relay,
    m.MessageRelay1: _fit_relay,
    m.MessageReceived1: _fit_received1,
    m.Period: _fit_period,
    m.DomainOwnership: _fit_domain,
    m.TrustDecision: _fit_decision,
    m.TrustCertificate: _fit_key,
    m.RequestedChange: _fit_change,
    m.TrustCrl: _fit_crl,
}


@cache
def structs(kind: type[Map]) -> st.SearchStrategy[Any]:
    """Valid messages (or maps) of one struct."""
    hints = {
        name: hint
        for name, hint in get_type_hints(kind, include_extras=True).items()
        if get_origin(hint) is not ClassVar
    }

    def build(members: dict[str, Any]) -> Map:
        fit = FITS.get(kind)
        if fit is not None:
            fit(members)
        return kind(**members)

    return st.fixed_dictionaries({name: _member(hint) for name, hint in hints.items()}).map(build)


def _member(annotation: object) -> st.SearchStrategy[Any]:
    bare, marks, optional = strip(annotation)
    strategy = _value(bare, marks)
    return st.none() | strategy if optional else strategy


def _bytes(by_type: dict[type, Any], bound: Any) -> st.SearchStrategy[bytes]:
    length = by_type.get(Length)
    if length is not None:
        return st.sampled_from(length.allowed).flatmap(
            lambda n: st.binary(min_size=8, max_size=8).map(lambda b: (b * n)[:n])
        )
    if bound.least > 1024:  # more than Hypothesis draws
        return st.binary(min_size=8, max_size=8).map(lambda b: (b * bound.least)[: bound.least])
    return st.binary(min_size=bound.least, max_size=min(bound.most, bound.least + 20))


def _value(bare: Any, marks: tuple[object, ...]) -> st.SearchStrategy[Any]:
    by_type = {type(mark): mark for mark in marks}
    origin, parts = get_origin(bare), get_args(bare)
    bound: Any = by_type.get(Bound, Bound(0, 4))
    if Pattern in by_type:
        return _PATTERNS[by_type[Pattern].name]  # type: ignore[attr-defined]
    if bare is bytes:
        return _bytes(by_type, bound)
    if bare is str:
        most = min(bound.most, bound.least + 8)
        return st.text(st.characters(exclude_categories=["Cs"]), min_size=bound.least, max_size=most)
    if bare is bool:
        return st.booleans()
    if bare is int:
        limits: Any = by_type.get(Range, Range(-MAX_INTEGER, MAX_INTEGER))
        return st.integers(limits.least, limits.most)
    if origin is Literal:
        return st.sampled_from(parts)
    if origin in (Union, UnionType):
        return st.one_of([_member(part) for part in parts])
    if origin is tuple:
        return st.lists(_member(parts[0]), min_size=bound.least, max_size=max(bound.least, min(bound.most, 2))).map(
            tuple
        )
    if bare == SignedMap:
        named = getattr(m, getattr(by_type.get(Plain), "what", ""), None)
        return free_maps if named is None else structs(named).map(to_map)
    if origin is dict:
        return st.dictionaries(_member(parts[0]), _member(parts[1]), max_size=2)
    return structs(bare)


def any_message() -> st.SearchStrategy[Message]:
    """Valid messages of every type that is built."""
    return st.sampled_from(MESSAGES).flatmap(structs)
