"""What servers ask each other about users, archives and presence."""

from norc_actors.protocol import messages as m
from norc_actors.protocol.messages import exchange
from norc_actors.protocol.schema import Map
from tests.support.rules import Broken, each, keeps_to_its_form, refused, types_of

BROKEN: list[Broken] = [
    (m.CallInviteFederation, {"call_type": "screen_share"}),
    (m.ArchiveSync, {"classification_levels": ("restricted",)}),
    (m.UserLookup, {"user_queries": ()}),
    (m.UserLookup, {"user_queries": ("bob@b.example",) * 101}),
]


@types_of(exchange)
def test_every_type_keeps_to_its_form(kind: type[Map]) -> None:
    assert keeps_to_its_form(kind)


@each(BROKEN)
def test_a_broken_rule(kind: type[Map], changes: dict[str, object]) -> None:
    assert refused(kind, changes)
