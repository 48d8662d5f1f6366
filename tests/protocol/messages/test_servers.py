"""What servers say about themselves."""

from norc_actors.protocol import messages as m
from norc_actors.protocol.messages import servers
from norc_actors.protocol.schema import Map
from tests.support.rules import Broken, each, keeps_to_its_form, refused, types_of

BROKEN: list[Broken] = [
    (m.FederationEndpoint, {"port": 0}),
    (m.FederationEndpoint, {"port": 65536}),
    (m.FederationEndpoint, {"address": ""}),
    (m.ServerInfo, {"trust_anchors": (bytes(31),)}),
    (m.LoadMetrics, {"cpu_percent": 101}),
]


@types_of(servers)
def test_every_type_keeps_to_its_form(kind: type[Map]) -> None:
    assert keeps_to_its_form(kind)


@each(BROKEN)
def test_a_broken_rule(kind: type[Map], changes: dict[str, object]) -> None:
    assert refused(kind, changes)
