"""Conversations: a state and the map around it say the same, members are sorted, epochs begin with 1."""

from norc_actors.protocol import messages as m
from norc_actors.protocol.messages import conversation
from norc_actors.protocol.schema import Map
from tests.support.rules import Broken, accepted, each, keeps_to_its_form, refused, types_of

MEMBER = m.Member(user_id="alice@a.example", role="owner", user_key_hash=bytes(32))
OTHER = m.Member(user_id="bob@a.example", role="member", user_key_hash=bytes(32))
ELSEWHERE = "00000000-0000-4000-8000-000000000000"

BROKEN: list[Broken] = [
    (m.State, {"epoch": 1, "prev_state_hash": bytes(32)}),
    (m.State, {"epoch": 2, "prev_state_hash": None}),
    (m.State, {"epoch": 0, "prev_state_hash": None}),
    (m.State, {"members": ()}),
    (m.State, {"members": (MEMBER, MEMBER)}),
    (m.State, {"members": (OTHER, MEMBER)}),
    (m.State, {"type": "meeting"}),
    (m.State, {"prev_state_hash": bytes(31)}),
    (m.Member, {"role": "guest"}),
    (m.Member, {"user_key_hash": bytes(31)}),
    (m.Settings, {"max_members": -1}),
    (m.ConversationCreate, {"conversation_type": "channel"}),
    (m.ConversationCreate, {"conversation_id": ELSEWHERE}),
    (m.ConversationUpdate, {"conversation_id": ELSEWHERE}),
    (m.ConversationState, {"conversation_id": ELSEWHERE}),
    (m.ConversationState, {"state": {}}),
    (m.ConversationLeave, {"epoch": 0}),
    (m.ConversationJoin, {"signature": bytes(65)}),
]


@types_of(conversation)
def test_every_type_keeps_to_its_form(kind: type[Map]) -> None:
    assert keeps_to_its_form(kind)


@each(BROKEN)
def test_a_broken_rule(kind: type[Map], changes: dict[str, object]) -> None:
    assert refused(kind, changes)


def test_states_in_order() -> None:
    accepted(m.State, members=(MEMBER, OTHER))
    accepted(m.State, epoch=1, prev_state_hash=None)
    accepted(m.State, epoch=2, prev_state_hash=bytes(32))
