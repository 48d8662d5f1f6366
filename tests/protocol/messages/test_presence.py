"""Presence: closed lists."""

from norc_actors.protocol import messages as m
from norc_actors.protocol.messages import presence
from norc_actors.protocol.schema import Map
from tests.support.rules import Broken, each, keeps_to_its_form, refused, types_of

BROKEN: list[Broken] = [
    (m.PresenceUpdate, {"status": "asleep"}),
    (m.PresenceNotification, {"status": "asleep"}),
]


@types_of(presence)
def test_every_type_keeps_to_its_form(kind: type[Map]) -> None:
    assert keeps_to_its_form(kind)


@each(BROKEN)
def test_a_broken_rule(kind: type[Map], changes: dict[str, object]) -> None:
    assert refused(kind, changes)
