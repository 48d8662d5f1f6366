"""Calls: closed lists, secrets of 32 bytes."""

from norc_actors.protocol import messages as m
from norc_actors.protocol.messages import calls
from norc_actors.protocol.schema import Map
from tests.support.rules import Broken, each, keeps_to_its_form, refused, types_of

BROKEN: list[Broken] = [
    (m.CallInvite, {"call_type": "hologram"}),
    (m.CallEnd, {"reason": "bored"}),
    (m.CallUpdate, {"state": ""}),
    (m.CallResponse, {"response": "later"}),
    (m.CallInviteBody, {"call_secret": bytes(31)}),
]


@types_of(calls)
def test_every_type_keeps_to_its_form(kind: type[Map]) -> None:
    assert keeps_to_its_form(kind)


@each(BROKEN)
def test_a_broken_rule(kind: type[Map], changes: dict[str, object]) -> None:
    assert refused(kind, changes)
