"""Forms of 1.x: the same rules where they have them."""

from norc_actors.protocol import messages as m
from norc_actors.protocol.messages import legacy
from norc_actors.protocol.schema import Map
from tests.support.rules import Broken, each, keeps_to_its_form, refused, types_of

BROKEN: list[Broken] = [
    (m.MessageRelay1, {"route_path": ("a.example", "b.example")}),
    (m.MessageReceived1, {"encrypted_content": {}}),
    (m.Blob, {"v": 2}),
]


@types_of(legacy)
def test_every_type_keeps_to_its_form(kind: type[Map]) -> None:
    assert keeps_to_its_form(kind)


@each(BROKEN)
def test_a_broken_rule(kind: type[Map], changes: dict[str, object]) -> None:
    assert refused(kind, changes)
