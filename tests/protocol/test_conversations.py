"""Conversations: the recorded states, the chain of epochs, who may sign what, permissions, leaving."""

from itertools import product

import pytest
from msgspec.structs import replace

from norc_actors.crypto.errors import BadSignatureError
from norc_actors.crypto.suites import SUITES
from norc_actors.protocol import conversations as c
from norc_actors.protocol.conversations import NotAllowedError, StateRefusedError
from tests.support.people import ALGORITHMS, NOW, Person, make_server
from tests.vectors.files import holds, recorded

ID = "2cd6bf73-5d0d-4567-96b2-70548f57d0df"


ROLES = {"alice": "owner", "bob": "admin", "carol": "moderator", "dave": "member", "erin": "observer"}


class Group:
    """Alice (owner), Bob (admin), Carol (moderator), Dave (member), Erin (observer); Frank stands outside."""

    def __init__(self, algorithm="ed25519", kind="group"):
        server = make_server()
        self.people = {
            name: Person(name, server, algorithm=algorithm)
            for name in ("alice", "bob", "carol", "dave", "erin", "frank")
        }
        self.phones = {name: person.phone() for name, person in self.people.items()}
        members = {self.people[n].user_id: (role, self.key(n)) for n, role in ROLES.items()}
        self.state = c.first_state(ID, kind, members)

    def user(self, name):
        return self.people[name].user_id

    def key(self, name):
        return self.people[name].user_key.public_key

    def signing(self, name):
        return self.phones[name].key.public_key

    def device(self, name, **changes):
        return self.people[name].device(self.phones[name], **changes)

    def sign(self, name, state):
        return c.sign_state(self.phones[name].key, state)

    def verify(self, state, name, previous="own", signature=None, **changes):
        previous = self.state if previous == "own" else previous
        return c.verify_state(
            state.map,
            signature or self.sign(name, state),
            previous=previous,
            signer=self.device(name, **changes),
            at=NOW,
        )


@pytest.fixture(params=ALGORITHMS)
def group(request):
    return Group(request.param)


@recorded("messages", "states", "refused_states")
def test_recorded(entry):
    assert holds(entry)


def test_first_state(group):
    assert group.state.epoch == 1
    assert group.verify(group.state, "alice", previous=None) == group.state
    for name in ("bob", "dave", "frank"):
        with pytest.raises(StateRefusedError, match="owner"):
            group.verify(group.state, name, previous=None)


def test_direct():
    g = Group()
    direct = c.direct_state(ID, g.user("bob"), g.key("bob"), g.user("alice"), g.key("alice"))
    assert [m.role for m in direct.members] == ["owner", "owner"]
    assert [m.user_id for m in direct.members] == [g.user("alice"), g.user("bob")]
    for name in ("alice", "bob"):
        g.verify(direct, name, previous=None)
    with pytest.raises(StateRefusedError):
        c.first_state(ID, "direct", {g.user("alice"): ("owner", g.key("alice"))})
    with pytest.raises(StateRefusedError):
        c.direct_state(ID, g.user("alice"), g.key("alice"), g.user("alice"), g.key("alice"))
    other = c.next_state(
        direct,
        [replace(m, user_id=g.user("carol")) if m.user_id == g.user("bob") else m for m in direct.members],
        direct.settings,
        g.signing("alice"),
    )
    with pytest.raises(StateRefusedError, match="two members"):
        g.verify(other, "alice", previous=direct)


def test_changes_by_owner_and_admin(group):
    for actor in ("alice", "bob"):
        key = group.signing(actor)
        user = group.user(actor)
        added = c.with_member(group.state, user, group.user("frank"), group.key("frank"), "member", key)
        assert group.verify(added, actor).member(group.user("frank")).role == "member"
        gone = c.without_member(group.state, user, group.user("dave"), key)
        assert group.verify(gone, actor).member(group.user("dave")) is None
        role = c.with_role(group.state, user, group.user("dave"), "moderator", key)
        assert group.verify(role, actor).member(group.user("dave")).role == "moderator"
        settings = replace(group.state.settings, message_ttl=60)
        assert group.verify(c.with_settings(group.state, user, settings, key), actor).settings.message_ttl == 60
        rekeyed = c.with_user_key(group.state, user, group.user("dave"), group.key("frank"), key)
        c.check_member_key(group.verify(rekeyed, actor), group.user("dave"), group.key("frank"))


def test_changes_that_are_not_allowed(group):
    s, frank = group.state, (group.user("frank"), group.key("frank"), "member")
    for actor in ("carol", "dave", "erin", "frank"):
        with pytest.raises(NotAllowedError):
            c.with_member(s, group.user(actor), *frank, group.signing(actor))
        with pytest.raises(NotAllowedError):
            c.without_member(s, group.user(actor), group.user("bob"), group.signing(actor))
        with pytest.raises(NotAllowedError):
            c.with_settings(s, group.user(actor), s.settings, group.signing(actor))
    bob, key = group.user("bob"), group.signing("bob")
    with pytest.raises(NotAllowedError):
        c.with_role(s, bob, bob, "owner", key)
    with pytest.raises(NotAllowedError):
        c.without_member(s, bob, group.user("alice"), key)
    with pytest.raises(StateRefusedError, match="already"):
        c.with_member(s, bob, group.user("dave"), group.key("dave"), "member", key)
    for user in (group.user("frank"),):
        with pytest.raises(StateRefusedError, match="no member"):
            c.without_member(s, bob, user, key)
        with pytest.raises(StateRefusedError, match="no member"):
            c.with_role(s, bob, user, "member", key)


def test_states_signed_by_others_are_refused(group):
    """What `with_member` would not make, a hostile client still could: the verifier refuses it."""
    member = c.Member(user_id=group.user("frank"), role="owner", user_key_hash=c.user_key_hash(group.key("frank")))
    for name in ("carol", "dave", "erin", "frank"):
        forged = c.next_state(group.state, [*group.state.members, member], group.state.settings, group.signing(name))
        with pytest.raises(StateRefusedError, match="no owner or admin"):
            group.verify(forged, name)
    forged = c.next_state(group.state, [*group.state.members, member], group.state.settings, group.signing("alice"))
    with pytest.raises(BadSignatureError):
        group.verify(forged, "alice", signature=group.sign("frank", forged))
    with pytest.raises(BadSignatureError):
        group.verify(forged, "alice", revoked_at=NOW)


def test_the_chain_of_epochs(group):
    key, alice = group.signing("alice"), group.user("alice")
    second = c.without_member(group.state, alice, group.user("dave"), key)
    third = c.without_member(second, alice, group.user("erin"), key)
    rival = c.without_member(group.state, alice, group.user("erin"), key)
    group.verify(third, "alice", previous=second)
    for state, previous in ((third, group.state), (second, second), (third, rival), (second, None)):
        with pytest.raises(StateRefusedError):
            group.verify(state, "alice", previous=previous)
    other = c.first_state("00000000-0000-4000-8000-000000000001", "group", {alice: ("owner", group.key("alice"))})
    with pytest.raises(StateRefusedError, match="id and type"):
        group.verify(second, "alice", previous=other)


def test_a_changed_state_has_another_audience_and_no_signature(group):
    signature = group.sign("alice", group.state)
    changed = c.read_state({**group.state.map, "colour": "green"})
    assert c.audience(SUITES["0101"], changed) != c.audience(SUITES["0101"], group.state)
    with pytest.raises(BadSignatureError):
        group.verify(changed, "alice", previous=None, signature=signature)


@pytest.mark.parametrize(
    "change",
    [
        {"epoch": 0}, {"epoch": 2}, {"prev_state_hash": bytes(32)}, {"members": []}, {"type": "party"},
        {"settings": {}}, {"conversation_id": "x"},
    ],
)  # fmt: skip
def test_states_that_break_a_rule_by_themselves(change):
    with pytest.raises(StateRefusedError):
        c.read_state({**Group().state.map, **change})


def test_members_are_sorted_once_each_and_bounded():
    g = Group()
    members = g.state.map["members"]
    for listed in (members[::-1], [members[0], members[0]], [*members, members[0]]):
        with pytest.raises(StateRefusedError):
            c.read_state({**g.state.map, "members": listed})
    with pytest.raises(StateRefusedError, match="more members"):
        c.read_state({**g.state.map, "settings": {**g.state.map["settings"], "max_members": 4}})
    alone = c.first_state(ID, "group", {g.user("alice"): ("owner", g.key("alice"))})
    with pytest.raises(StateRefusedError, match="never change"):
        c.without_member(alone, g.user("alice"), g.user("alice"), g.signing("alice"))


def test_a_stored_state_outlives_its_signers_device(group):
    changed = c.without_member(group.state, group.user("alice"), group.user("dave"), group.signing("alice"))
    arguments = {"previous": group.state, "signer": group.device("alice", revoked_at=NOW - 1)}
    c.verify_state(changed.map, group.sign("alice", changed), at=None, **arguments)
    with pytest.raises(BadSignatureError):
        c.verify_state(changed.map, group.sign("bob", changed), at=None, **arguments)


def test_states_are_made_whole_or_not_at_all():
    g = Group()
    with pytest.raises(StateRefusedError, match="malformed"):
        c.first_state("no uuid", "group", {g.user("alice"): ("owner", g.key("alice"))})


def test_ghost_member_key():
    g = Group()
    c.check_member_key(g.state, g.user("dave"), g.key("dave"))
    with pytest.raises(StateRefusedError, match="another key"):
        c.check_member_key(g.state, g.user("dave"), g.key("frank"))
    with pytest.raises(StateRefusedError, match="no member"):
        c.check_member_key(g.state, g.user("frank"), g.key("frank"))


PERMISSIONS = ("send_messages", "add_members", "remove_members", "change_settings", "delete_messages")


@pytest.mark.parametrize("kind", ["direct", "group", "channel", "broadcast"])
def test_role_by_permission(kind):
    allowed = {
        "owner": set(PERMISSIONS), "admin": set(PERMISSIONS), "moderator": set(PERMISSIONS) - {"change_settings"},
        "member": {"send_messages"} if kind in ("direct", "group") else set(), "observer": set(),
    }  # fmt: skip
    for role, permission in product(c.ROLES, PERMISSIONS):
        assert c.permits(kind, role, permission) == (permission in allowed[role])


def test_permits_asks_for_membership():
    g = Group(kind="channel")
    assert g.state.permits(g.user("carol"), "send_messages")
    assert not g.state.permits(g.user("dave"), "send_messages")
    assert not g.state.permits(g.user("frank"), "send_messages")


def test_leave(group):
    phone = group.phones["dave"]
    leave = c.make_leave(
        phone.key, conversation_id=ID, epoch=1, user_id=group.user("dave"), device_id=phone.id, now=NOW
    )  # fmt: skip
    assert c.verify_leave(leave, group.device("dave")).epoch == 1
    for change in ({"epoch": 2}, {"timestamp": NOW + 1}, {"reason": "x"}, {"user_id": group.user("erin")}):
        with pytest.raises(BadSignatureError):
            c.verify_leave({**leave, **change}, group.device("dave"))
    with pytest.raises(BadSignatureError):
        c.verify_leave(leave, group.device("erin"))


def test_recipients_are_all_others_sorted(group):
    everybody = tuple(member.user_id for member in group.state.members)
    assert everybody == tuple(sorted(everybody))
    for user_id in everybody:
        assert group.state.recipients(user_id) == tuple(one for one in everybody if one != user_id)
    assert group.state.recipients("nobody@a.example") == everybody


def test_a_direct_conversation_takes_over_a_new_key():
    g = Group()
    direct = c.direct_state(ID, g.user("alice"), g.key("alice"), g.user("bob"), g.key("bob"))
    renewed = c.with_user_key(direct, g.user("alice"), g.user("bob"), g.key("carol"), g.signing("alice"))
    assert g.verify(renewed, "alice", previous=direct).member(g.user("bob")) == renewed.member(g.user("bob"))
