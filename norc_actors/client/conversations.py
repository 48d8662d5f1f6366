"""The conversations of this user: chains of verified states, the direct ones by user, groups by name (section 6).

Rules
- A state counts once it is verified: signed by a device under a pinned key, following the state before it, back to
  epoch 1. What is missing on the way is a need (`needs`). Two different states of one epoch are an alert; the first
  one stays.
- A state that leaves this user out ends sending; what was received before stays.
- The name of a group is told inside an end-to-end `system` message; the latest by its sender's signed time counts, and
  only a member that may change settings can tell one.
- Judging by time: a state carries no time, so a signer that was revoked or replaced since is judged as it last was.
"""

from dataclasses import dataclass

import msgspec

from norc_actors.client.directory import Directory
from norc_actors.client.events import Event, GroupChanged, IntegrityAlert
from norc_actors.client.model import Group, Member, Role
from norc_actors.client.needs import FinalError, Need, WantingError
from norc_actors.client.records import CONVERSATIONS, DIRECTS, PINS, STATES, Conversation, Direct, SignedState, join
from norc_actors.client.transaction import Transaction
from norc_actors.crypto.errors import BadSignatureError
from norc_actors.crypto.signatures import Signer
from norc_actors.ids import ConversationId, DeviceId, UserId
from norc_actors.protocol.conversations import (
    State,
    StateRefusedError,
    check_member_key,
    direct_state,
    first_state,
    read_state,
    sign_state,
    verify_state,
)
from norc_actors.protocol.devices import Device
from norc_actors.protocol.messages import ConversationCreate, ConversationState, ConversationUpdate
from norc_actors.protocol.messages import Role as RoleAtom

Carrier = ConversationCreate | ConversationUpdate | ConversationState


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversations:
    """The rules over one profile's conversations; this device signs with `signer`."""

    user_id: str
    device_id: str
    directory: Directory
    signer: Signer

    # --- Reading ---

    def state(self, tx: Transaction, conversation_id: str, epoch: int) -> State | None:
        """The verified state of an epoch, None if it is not here."""
        stored = tx.get(STATES, join(conversation_id, str(epoch)))
        return None if stored is None else read_state(stored.state)

    def latest(self, tx: Transaction, conversation_id: str) -> State | None:
        """The latest verified state."""
        known = tx.get(CONVERSATIONS, conversation_id)
        return None if known is None else self.state(tx, conversation_id, known.epoch)

    def direct(self, tx: Transaction, user_id: str) -> str | None:
        """The direct conversation with a user."""
        found = tx.get(DIRECTS, user_id)
        return None if found is None else found.conversation_id

    def group(self, tx: Transaction, conversation_id: str) -> Group | None:
        """A group as the application sees it; None for anything else."""
        known = tx.get(CONVERSATIONS, conversation_id)
        state = self.latest(tx, conversation_id)
        if known is None or state is None or known.type == "direct":
            return None
        members = tuple(Member(user_id=member.user_id, role=Role(member.role)) for member in state.members)
        return Group(
            conversation_id=conversation_id, name=known.name, epoch=known.epoch, members=members, left=known.left
        )

    def groups(self, tx: Transaction) -> list[Group]:
        """All groups, by name."""
        found = (self.group(tx, conversation_id) for conversation_id in tx.all(CONVERSATIONS))
        return sorted(
            (group for group in found if group is not None), key=lambda group: (group.name, group.conversation_id)
        )

    # --- Making ---

    def make_direct(self, tx: Transaction, conversation_id: str, peer: str) -> ConversationCreate:
        """The request for a direct conversation; both keys must be pinned."""
        state = direct_state(conversation_id, self.user_id, self._key(tx, self.user_id), peer, self._key(tx, peer))
        return self._create(state)

    def make_group(self, tx: Transaction, conversation_id: str, members: list[str]) -> ConversationCreate:
        """The request for a group of these users and this one, its owner."""
        listed: dict[str, tuple[RoleAtom, bytes]] = {user: ("member", self._key(tx, user)) for user in members}
        listed[self.user_id] = ("owner", self._key(tx, self.user_id))
        try:
            return self._create(first_state(conversation_id, "group", listed))
        except StateRefusedError as error:
            raise FinalError("refused", f"This group cannot be made: {error}.") from error

    def make_update(self, state: State) -> ConversationUpdate:
        """The request that makes `state` the next one."""
        return ConversationUpdate(
            conversation_id=ConversationId(state.conversation_id),
            state=state.map,
            signer_user=UserId(self.user_id),
            signer_device=DeviceId(self.device_id),
            signature=sign_state(self.signer, state),
        )

    def _create(self, state: State) -> ConversationCreate:
        return ConversationCreate(
            conversation_id=ConversationId(state.conversation_id),
            conversation_type=state.type,
            state=state.map,
            signer_user=UserId(self.user_id),
            signer_device=DeviceId(self.device_id),
            signature=sign_state(self.signer, state),
        )

    def _key(self, tx: Transaction, user_id: str) -> bytes:
        pin = tx.get(PINS, user_id)
        if pin is None:
            raise WantingError(Need(users=(user_id,)))
        return pin.user_key

    # --- Taking over ---

    def take(self, tx: Transaction, carrier: Carrier, now: int) -> list[Event]:
        """Verify and store a state that came; the same one again changes nothing.

        `WantingError` for the states before it or its signer's keys; `FinalError` if no member may follow it.
        """
        try:
            state = read_state(carrier.state)
        except StateRefusedError as error:
            raise FinalError("bad_state", str(error)) from error
        key = join(state.conversation_id, str(state.epoch))
        stored = tx.get(STATES, key)
        if stored is not None:
            if stored.state == state.map:
                return []
            return [self._alert(carrier, "forked_state", "Two different member lists of one conversation were shown")]
        verified = self._verified(tx, carrier, state, now)
        tx.put(
            STATES,
            key,
            SignedState(
                state=verified.map,
                signer_user=carrier.signer_user,
                signer_device=carrier.signer_device,
                signature=carrier.signature,
            ),
        )
        return self._advance(tx, verified, carrier.signer_user)

    def _verified(self, tx: Transaction, carrier: Carrier, state: State, now: int) -> State:
        previous = None
        if state.epoch > 1:
            previous = self.state(tx, state.conversation_id, state.epoch - 1)
            if previous is None:
                raise WantingError(Need(conversation=state.conversation_id, epoch=state.epoch - 1))
        signer = self.directory.device(tx, carrier.signer_user, carrier.signer_device)
        if signer is None:
            raise WantingError(Need(users=(carrier.signer_user,), devices=(carrier.signer_device,)))
        try:
            return verify_state(
                state.map, carrier.signature, previous=previous, signer=signer, at=_judged_at(signer, now)
            )
        except (StateRefusedError, BadSignatureError) as error:
            raise FinalError("bad_state", str(error)) from error

    def _advance(self, tx: Transaction, state: State, by: str) -> list[Event]:
        """Make a verified state the latest one, if it is."""
        known = tx.get(CONVERSATIONS, state.conversation_id)
        if known is not None and known.epoch >= state.epoch:
            return []
        member = state.member(self.user_id) is not None
        if known is None:
            peer = ""
            if state.type == "direct" and member:
                peer = state.recipients(self.user_id)[0]
                self._use_direct(tx, peer, state.conversation_id)
            known = Conversation(type=state.type, epoch=state.epoch, peer=peer, left=not member)
        else:
            known = msgspec.structs.replace(known, epoch=state.epoch, left=not member)
        tx.put(CONVERSATIONS, state.conversation_id, known)
        group = self.group(tx, state.conversation_id)
        return [] if group is None else [GroupChanged(group=group, by=by)]

    def _use_direct(self, tx: Transaction, peer: str, conversation_id: str) -> None:
        """Two servers may each have made a direct conversation for their user: both then use the one of the lesser
        id, and read the other."""
        known = self.direct(tx, peer)
        if known is None or conversation_id < known:
            tx.put(DIRECTS, peer, Direct(conversation_id=conversation_id))

    def rename(self, tx: Transaction, conversation_id: str, name: str, sender: str, sent_us: int) -> list[Event]:
        """Take over a name that `sender` told at `sent_us`, if it may and no later one is known."""
        known = tx.get(CONVERSATIONS, conversation_id)
        state = self.latest(tx, conversation_id)
        if known is None or state is None or sent_us <= known.named_us or not state.permits(sender, "change_settings"):
            return []
        tx.put(CONVERSATIONS, conversation_id, msgspec.structs.replace(known, name=name, named_us=sent_us))
        group = self.group(tx, conversation_id)
        return [] if group is None else [GroupChanged(group=group, by=sender)]

    def set_left(self, tx: Transaction, conversation_id: str) -> None:
        """This user leaves: sending stops at once."""
        known = tx.get(CONVERSATIONS, conversation_id)
        if known is not None:
            tx.put(CONVERSATIONS, conversation_id, msgspec.structs.replace(known, left=True))

    def check_members(self, tx: Transaction, state: State) -> None:
        """`FinalError` if a member's pinned key is another one than the signer of the state knew."""
        for member in state.members:
            pin = tx.get(PINS, member.user_id)
            if pin is None:
                raise WantingError(Need(users=(member.user_id,)))
            try:
                check_member_key(state, member.user_id, pin.user_key)
            except StateRefusedError as error:
                raise FinalError(
                    "member_key_changed",
                    f"The conversation was made with another key of {member.user_id} than the one pinned here.",
                    "Compare fingerprints with that person; then an owner removes and adds them again.",
                ) from error

    def _alert(self, carrier: Carrier, cause: str, what: str) -> IntegrityAlert:
        return IntegrityAlert(
            text=f"{what}: someone on the way is interfering, or an owner signed twice. The first one is kept.",
            conversation_id=carrier.conversation_id,
            user_id=carrier.signer_user,
            device_id=carrier.signer_device,
            cause=cause,
        )


def _judged_at(signer: Device, now: int) -> int:
    at = min(now, signer.not_after)
    return at if signer.revoked_at is None else min(at, signer.revoked_at - 1)
