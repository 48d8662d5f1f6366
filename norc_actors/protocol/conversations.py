"""Conversations: a chain of signed states that says who hears what (section 6, *Conversations*).

Rules
- A `state` names type, epoch, members (sorted by user_id, none twice) with role and user_key_hash, and settings. The
  first epoch is 1 without `prev_state_hash`; then epoch rises by one and `prev_state_hash` hashes the previous state
  under the algorithm of the key that signs the new one.
- Signed (`conversation:v1` over canonical(state)) by `signer_device`, whose user is owner or admin in the *previous*
  state; in the first: an owner in it. So a server can neither add a member nor resurrect one: it holds no such key.
- `audience` = hash of the state of the message's epoch, under the message's suite; it is inside every message
  signature.
- A direct conversation has two members, both owners.
- Joining is a request, leaving is a statement: the audience changes with the next state alone.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from norc_actors.crypto.errors import BadSignatureError
from norc_actors.crypto.secret import same
from norc_actors.crypto.signatures import Signer, verify
from norc_actors.crypto.suites import Suite, hash_for_key
from norc_actors.ids import ConversationId, UserId
from norc_actors.limits import DEFAULT_MAX_MEMBERS

from .canonical import canonical
from .codec import convert, to_map
from .devices import Device
from .errors import ProtocolError
from .fingerprint import user_key_hash
from .messages import ConversationLeave, ConversationType, Member, Role, Settings
from .messages import State as StateMap
from .schema import SignedMap, replace

Permission = Literal["send_messages", "add_members", "remove_members", "change_settings", "delete_messages"]

ROLES: tuple[Role, ...] = ("owner", "admin", "moderator", "member", "observer")
_ALL: frozenset[Permission] = frozenset(
    ("send_messages", "add_members", "remove_members", "change_settings", "delete_messages")
)
PERMISSIONS: dict[Role, frozenset[Permission]] = {
    "owner": _ALL,
    "admin": _ALL,
    "moderator": _ALL - {"change_settings"},
    "member": frozenset({"send_messages"}),
    "observer": frozenset(),
}
"""Role × permission (fields.md). A moderator's changes of members are asked of an owner or admin, who signs the
state."""
SIGNING_ROLES: frozenset[Role] = frozenset({"owner", "admin"})


class StateRefusedError(Exception):
    """A state that no member may follow; the text says which rule it breaks."""


class NotAllowedError(Exception):
    """The acting user's role does not permit this change."""


DEFAULT_SETTINGS = Settings(is_public=False, history_visible=False, max_members=DEFAULT_MAX_MEMBERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The typed view of a state. `map` is what is passed on, unknown members included; `form` its canonical form,
    what is signed and hashed."""

    conversation_id: str
    type: ConversationType
    epoch: int
    prev_state_hash: bytes | None
    members: tuple[Member, ...]
    settings: Settings
    map: SignedMap = field(repr=False, compare=False)
    form: bytes = field(repr=False)

    def member(self, user_id: str) -> Member | None:
        """The member of this user, None if it is none."""
        return next((member for member in self.members if member.user_id == user_id), None)

    def recipients(self, sender: str) -> tuple[str, ...]:
        """All members but the sender, sorted: `recipients` of a message."""
        return tuple(member.user_id for member in self.members if member.user_id != sender)

    def permits(self, user_id: str, permission: Permission) -> bool:
        """Whether the user is a member and its role has the permission, by the type of the conversation."""
        member = self.member(user_id)
        return member is not None and permits(self.type, member.role, permission)


def permits(kind: ConversationType, role: Role, permission: Permission) -> bool:
    """fields.md's table; in channel and broadcast, members do not send."""
    if permission == "send_messages" and kind in ("channel", "broadcast") and role == "member":
        return False
    return permission in PERMISSIONS[role]


def audience(suite: Suite, state: State) -> bytes:
    """`audience` of a message of this epoch, under the message's suite."""
    return suite.hash(state.form)


# --- Making states ---


def first_state(
    conversation_id: str,
    kind: ConversationType,
    members: Mapping[str, tuple[Role, bytes]],
    settings: Settings = DEFAULT_SETTINGS,
) -> State:
    """Epoch 1: `members` maps user_id to (role, user key). `StateRefusedError` if it breaks a rule of its type."""
    listed = tuple(
        Member(user_id=UserId(user_id), role=role, user_key_hash=user_key_hash(key))
        for user_id, (role, key) in sorted(members.items())
    )
    return _built(conversation_id, kind, 1, None, listed, settings)


def direct_state(conversation_id: str, user_a: str, key_a: bytes, user_b: str, key_b: bytes) -> State:
    """The first and only state of a direct conversation: both are owners."""
    return first_state(conversation_id, "direct", {user_a: ("owner", key_a), user_b: ("owner", key_b)})


def next_state(previous: State, members: Iterable[Member], settings: Settings, signing_key: bytes) -> State:
    """The state after `previous`; `signing_key` is the public key that will sign it (its algorithm hashes)."""
    listed = tuple(sorted(members, key=lambda member: member.user_id))
    prev_hash = hash_for_key(signing_key)(previous.form)
    return _built(previous.conversation_id, previous.type, previous.epoch + 1, prev_hash, listed, settings)


def with_member(previous: State, actor: str, user_id: str, user_key: bytes, role: Role, signing_key: bytes) -> State:
    """Add a member; `NotAllowedError` unless `actor` may, or for a role above its own."""
    _require(previous, actor, "add_members", role)
    if previous.member(user_id) is not None:
        raise StateRefusedError(f"{user_id} is a member already")
    added = Member(user_id=UserId(user_id), role=role, user_key_hash=user_key_hash(user_key))
    return next_state(previous, (*previous.members, added), previous.settings, signing_key)


def without_member(previous: State, actor: str, user_id: str, signing_key: bytes) -> State:
    """Remove a member; `NotAllowedError` unless `actor` may, or for a member above it."""
    gone = previous.member(user_id)
    if gone is None:
        raise StateRefusedError(f"{user_id} is no member")
    _require(previous, actor, "remove_members", gone.role)
    rest = [member for member in previous.members if member.user_id != user_id]
    return next_state(previous, rest, previous.settings, signing_key)


def with_role(previous: State, actor: str, user_id: str, role: Role, signing_key: bytes) -> State:
    """Give a member another role; an actor gives and takes no role above its own."""
    changed = previous.member(user_id)
    if changed is None:
        raise StateRefusedError(f"{user_id} is no member")
    _require(previous, actor, "change_settings", role)
    _require(previous, actor, "change_settings", changed.role)
    members = [replace(m, role=role) if m.user_id == user_id else m for m in previous.members]
    return next_state(previous, members, previous.settings, signing_key)


def with_user_key(previous: State, actor: str, user_id: str, user_key: bytes, signing_key: bytes) -> State:
    """Take over a member's new user key (after `user_rotation`)."""
    _require(previous, actor, "change_settings", "member")
    members = [
        replace(m, user_key_hash=user_key_hash(user_key)) if m.user_id == user_id else m for m in previous.members
    ]
    return next_state(previous, members, previous.settings, signing_key)


def with_settings(previous: State, actor: str, settings: Settings, signing_key: bytes) -> State:
    """Change the settings."""
    _require(previous, actor, "change_settings", "member")
    return next_state(previous, previous.members, settings, signing_key)


def _require(state: State, actor: str, permission: Permission, role: Role) -> None:
    acting = state.member(actor)
    if acting is None or not permits(state.type, acting.role, permission):
        raise NotAllowedError(f"{actor} may not {permission.replace('_', ' ')} here")
    if acting.role not in SIGNING_ROLES:
        raise NotAllowedError(f"a state is signed by an owner or admin; {actor} can ask one")
    if ROLES.index(role) < ROLES.index(acting.role):
        raise NotAllowedError(f"{actor} is {acting.role} and does not decide about an {role}")


def _built(
    conversation_id: str,
    kind: ConversationType,
    epoch: int,
    prev_state_hash: bytes | None,
    members: tuple[Member, ...],
    settings: Settings,
) -> State:
    if not any(member.role in SIGNING_ROLES for member in members):
        raise StateRefusedError("a conversation without owner and admin could never change again")
    try:
        made = StateMap(
            conversation_id=ConversationId(conversation_id),
            type=kind,
            epoch=epoch,
            prev_state_hash=prev_state_hash,
            members=members,
            settings=settings,
        )
    except ProtocolError as error:
        raise StateRefusedError(f"malformed: {error.detail}") from error
    return read_state(to_map(made))


# --- Reading and verifying states ---


def read_state(state: SignedMap) -> State:
    """The typed view of a received state; `StateRefusedError` for one that breaks a rule by itself."""
    try:
        typed = convert(state, StateMap)
    except ProtocolError as error:
        raise StateRefusedError(f"malformed: {error.detail}") from error
    if len(typed.members) > typed.settings.max_members:
        raise StateRefusedError("more members than the conversation allows")
    if typed.type == "direct" and [member.role for member in typed.members] != ["owner", "owner"]:
        raise StateRefusedError("a direct conversation has two members, both owners")
    return State(
        conversation_id=typed.conversation_id,
        type=typed.type,
        epoch=typed.epoch,
        prev_state_hash=typed.prev_state_hash,
        members=typed.members,
        settings=typed.settings,
        map=state,
        form=canonical(state),
    )


def sign_state(device_key: Signer, state: State) -> bytes:
    """`signature` of conversation_create, _update and _state."""
    return device_key.sign("conversation:v1", state.form)


def check_follows(state: State, previous: State | None, signer_user: str, signing_key: bytes) -> None:
    """`StateRefusedError` unless `state` may follow `previous` (None: it is the first) when `signer_user` signs it."""
    if previous is None:
        first = state.member(signer_user)
        if state.epoch != 1:
            raise StateRefusedError("the first state known has epoch 1; ask for those before")
        if first is None or first.role != "owner":
            raise StateRefusedError("the first state is signed by an owner in it")
        return
    if (state.conversation_id, state.type) != (previous.conversation_id, previous.type):
        raise StateRefusedError("a conversation keeps its id and type")
    if previous.type == "direct":
        _check_direct(state, previous)
    if state.epoch != previous.epoch + 1:
        raise StateRefusedError(f"epoch {previous.epoch + 1} comes next, not {state.epoch}")
    expected = hash_for_key(signing_key)(previous.form)
    if state.prev_state_hash is None or not same(state.prev_state_hash, expected):
        raise StateRefusedError("it does not follow the previous state: one of them was exchanged")
    signer = previous.member(signer_user)
    if signer is None or signer.role not in SIGNING_ROLES:
        raise StateRefusedError(f"{signer_user} was no owner or admin and may not change the conversation")


def _check_direct(state: State, previous: State) -> None:
    if [m.user_id for m in state.members] != [m.user_id for m in previous.members]:
        raise StateRefusedError("a direct conversation keeps its two members")


def verify_state(
    state: SignedMap, signature: bytes, *, previous: State | None, signer: Device, at: int | None
) -> State:
    """The state, if `signer` (a device under a pinned user key) signed it and may follow `previous`.

    `at`: the time by which the signer's keys are judged: now for a new state; None for a stored one, which carries no
    time and whose signer may have rotated its key, or left, since.
    `StateRefusedError`, or `BadSignatureError`.
    """
    typed = read_state(state)
    for key in signer.keys_at(at):
        try:
            verify(key, "conversation:v1", typed.form, signature)
        except BadSignatureError:
            continue
        check_follows(typed, previous, signer.user_id, key)
        return typed
    raise BadSignatureError("the state is not signed by the device that it names")


def vouched_state(state: SignedMap, *, previous: State | None, signer_user: str) -> State:
    """The state as a server takes it from the home server of `signer_user`, whose devices it does not know: everything
    but the signature, which members' devices check. `StateRefusedError`."""
    typed = read_state(state)
    algorithms = [bytes(length) for length in (32, 33)]
    for number, key in enumerate(algorithms, 1):
        try:
            check_follows(typed, previous, signer_user, key)
        except StateRefusedError:
            if number == len(algorithms):
                raise
        else:
            break
    return typed


def check_member_key(state: State, user_id: str, user_key: bytes) -> None:
    """`StateRefusedError` unless the pinned key of a member is the one that the signer of the state knew (ghost
    member)."""
    member = state.member(user_id)
    if member is None:
        raise StateRefusedError(f"{user_id} is no member")
    if not same(member.user_key_hash, user_key_hash(user_key)):
        raise StateRefusedError(f"the conversation knows another key of {user_id} than the pinned one")


# --- Leaving ---


def make_leave(
    device_key: Signer, *, conversation_id: str, epoch: int, user_id: str, device_id: str, now: int
) -> SignedMap:
    """A signed `conversation_leave`; sending stops at once."""
    leave: SignedMap = {
        "type": "conversation_leave",
        "conversation_id": conversation_id,
        "epoch": epoch,
        "user_id": user_id,
        "device_id": device_id,
        "timestamp": now,
    }
    leave["signature"] = device_key.sign("conversation:v1", canonical(leave))
    return leave


def verify_leave(leave: SignedMap, device: Device) -> ConversationLeave:
    """The typed leave if the device that it names signed it; else `BadSignatureError`."""
    typed = convert(leave, ConversationLeave)
    if (typed.user_id, typed.device_id) != (device.user_id, device.device_id):
        raise BadSignatureError("signed for another device")
    body = canonical(leave, ("signature",))
    for key in device.keys_at(typed.timestamp):
        try:
            verify(key, "conversation:v1", body, typed.signature)
        except BadSignatureError:
            continue
        return typed
    raise BadSignatureError("not signed by the device that leaves")
