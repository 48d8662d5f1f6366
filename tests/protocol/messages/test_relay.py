"""Relays: hops are counted, begin at the origin, and sign; only a direct origin may leave its entry out."""

from norc_actors.protocol import codec
from norc_actors.protocol import messages as m
from norc_actors.protocol.messages import relay
from norc_actors.protocol.registry import CODES
from norc_actors.protocol.schema import Map
from tests.support.rules import Broken, accepted, each, keeps_to_its_form, members_of, refused, types_of
from tests.support.samples import sample
from tests.support.vectors import section

RELAY: m.MessageRelay = sample(m.MessageRelay, full=True)
ROUTE = m.RouteSignature(federation_timestamp=1, signature=bytes(64))

BROKEN: list[Broken] = [
    (m.MessageRelay, {"route_path": ("a.example", "b.example")}),  # hop_count
    (m.MessageRelay, {"route_path": ("c.example",)}),  # not the origin
    (m.MessageRelay, {"route_path": ()}),
    (m.MessageRelay, {"route_path": ("a.example",) * 11}),
    (m.MessageRelay, {"route_signatures": ()}),
    (m.MessageRelay, {"route_signatures": (ROUTE, ROUTE)}),
    (m.MessageRelay, {"classification": "restricted"}),
    (m.MessageRelay, {"ciphertext": bytes(15)}),
    (m.RelayMetadata, {"hop_count": 0}),
    (m.RelayMetadata, {"priority": "now"}),
    (m.RelayMetadata, {"delivery_requirements": ("hurry",)}),
]


@types_of(relay)
def test_every_type_keeps_to_its_form(kind: type[Map]) -> None:
    assert keeps_to_its_form(kind)


@each(BROKEN)
def test_a_broken_rule(kind: type[Map], changes: dict[str, object]) -> None:
    assert refused(kind, changes)


def test_only_a_direct_origin_omits_its_route_signature() -> None:
    accepted(m.MessageRelay, route_signatures=None)
    hops = m.RelayMetadata(**(members_of(RELAY.metadata) | {"hop_count": 2}))
    path = {"route_path": (RELAY.origin_server, "t.example"), "metadata": hops}
    accepted(m.MessageRelay, **path, route_signatures=(ROUTE, ROUTE))
    assert refused(m.MessageRelay, {**path, "route_signatures": None})
    assert refused(m.MessageRelay, {**path, "route_signatures": (ROUTE,)})


def test_recorded_relays_have_nothing_unknown() -> None:
    """They were made by another hand."""
    for entry in section("federation"):
        received = codec.decode(CODES["message_relay"], bytes.fromhex(entry["relay"]["msgpack"]))
        assert isinstance(received.message, m.MessageRelay)
        assert not [name for name in received.extra if not name.startswith(("x_", "zzz"))]
