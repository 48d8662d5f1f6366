"""conversations: the chain of signed states of every conversation (section 6, *Conversations*; rows B94–B98).

A state is taken when its signer's device is this session's, its user may sign the next state, and every new member
exists; it is stored, the router forgets what it knew, and the members' connected devices are shown it. Whoever was
not connected asks for it when a message names an epoch that it does not know. The states themselves live in the
account store; this actor keeps none, so nothing is lost with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from norc_actors.actors import names
from norc_actors.actors.connections.directory import Directory
from norc_actors.actors.connections.outlet import Session
from norc_actors.actors.messages.message_router import MembersChanged
from norc_actors.actors.storage.account_store import Accounts
from norc_actors.crypto.errors import BadSignatureError
from norc_actors.ids import Clock, ConversationId, ServerId, UserId, server_of
from norc_actors.protocol.codec import Received, convert, decode_map, encode
from norc_actors.protocol.conversations import State, StateRefusedError, read_state, verify_state
from norc_actors.protocol.devices import Device, KeyPeriod
from norc_actors.protocol.errors import Code, ProtocolError
from norc_actors.protocol.messages import (
    ConversationCreate,
    ConversationState,
    ConversationStateRequest,
    ConversationUpdate,
    Record,
)
from norc_actors.store.accounts import AccountStore, Conversation
from norc_actors.store.errors import DirectExistsError, StoreError
from supervision import NO_REPLY, Call, CallTimeout, From, GenServer, ServerDown


@dataclass(frozen=True, slots=True)
class PutState(Call[ConversationState]):
    """A new conversation, or its next state; answered with what is stored now."""

    session: Session
    received: Received[ConversationCreate] | Received[ConversationUpdate]


@dataclass(frozen=True, slots=True)
class GetState(Call[ConversationState]):
    """The state of an epoch, or the newest."""

    user_id: UserId
    request: ConversationStateRequest


class Conversations(GenServer):
    """See the module."""

    def __init__(self, *, server_id: ServerId, clock: Clock) -> None:
        self._server_id = server_id
        self._clock = clock
        self._stored = 0

    async def init(self) -> None:
        self._directory = Directory(self.system)
        self._accounts = self.system.ref(names.ACCOUNT_STORE)

    async def handle_call(self, request: object, caller: From) -> object:
        try:
            match request:
                case PutState(session=session, received=received):
                    return await self._put(session, received)
                case GetState(user_id=user_id, request=asked):
                    return await self._get(user_id, asked)
                case _:
                    raise TypeError(f"conversations knows no {request!r}")
        except (StoreError, BadSignatureError, StateRefusedError, ProtocolError, ServerDown, CallTimeout) as refusal:
            caller.fail(refusal)
            return NO_REPLY

    def statistics(self) -> Mapping[str, int]:
        """States stored by this incarnation."""
        return {"stored": self._stored}

    async def _put(
        self, session: Session, received: Received[ConversationCreate] | Received[ConversationUpdate]
    ) -> ConversationState:
        message = received.message
        if (message.signer_user, message.signer_device) != (session.user_id, session.device_id):
            raise ProtocolError(Code.NOT_PERMITTED, "a state is brought by the device that signed it")
        previous = None
        if isinstance(message, ConversationUpdate):
            previous = await self._stored_state(message.conversation_id, None)
            if previous is None or previous[1].member(session.user_id) is None:
                raise ProtocolError(Code.CONVERSATION_NOT_FOUND, "no such conversation of this user")
        signer = await self._signer(session)
        known = None if previous is None else previous[1]
        state = verify_state(message.state, message.signature, previous=known, signer=signer, at=int(self._clock()))
        await self._check_members(state, known)
        answer = ConversationState(
            conversation_id=message.conversation_id,
            state=message.state,
            signer_user=message.signer_user,
            signer_device=message.signer_device,
            signature=message.signature,
        )
        row = Conversation(
            conversation_id=ConversationId(state.conversation_id),
            epoch=state.epoch,
            type=state.type,
            signed_state=encode(answer),
        )
        members = [UserId(member.user_id) for member in state.members]
        try:
            await self._accounts.call(Accounts(lambda store: store.put_conversation(row, members)))
        except DirectExistsError as exists:
            return await self._get(
                session.user_id, ConversationStateRequest(conversation_id=ConversationId(exists.conversation_id))
            )
        self._stored += 1
        await self.system.ref(names.MESSAGE_ROUTER).cast(MembersChanged(row.conversation_id))
        self._show(members, session, received)
        return answer

    async def _get(self, user_id: UserId, request: ConversationStateRequest) -> ConversationState:
        """Members of the asked epoch and members of today may see it; to all others there is no such conversation."""
        found = await self._stored_state(request.conversation_id, request.epoch)
        newest = found if request.epoch is None else await self._stored_state(request.conversation_id, None)
        if found is None or newest is None:
            raise ProtocolError(Code.CONVERSATION_NOT_FOUND, "no such conversation or epoch")
        if found[1].member(user_id) is None and newest[1].member(user_id) is None:
            raise ProtocolError(Code.CONVERSATION_NOT_FOUND, "not a member")
        return found[0]

    async def _stored_state(
        self, conversation_id: ConversationId, epoch: int | None
    ) -> tuple[ConversationState, State] | None:
        row = await self._accounts.call(Accounts(lambda store: store.conversation(conversation_id, epoch)))
        if row is None:
            return None
        stored = convert(decode_map(row.signed_state), ConversationState)
        return stored, read_state(stored.state)

    async def _signer(self, session: Session) -> Device:
        device_id, user_id = session.device_id, session.user_id
        row, user = await self._accounts.call(Accounts(lambda store: (store.device(device_id), store.user(user_id))))
        if row is None or user is None or row.status != "active":
            raise ProtocolError(Code.DEVICE_REVOKED, "the signing device is out")
        record = convert(decode_map(row.record), Record)
        return Device(
            user_id=session.user_id,
            device_id=device_id,
            user_key=user.user_key,
            public_key=record.public_key,
            e2e_suites=tuple(record.e2e_suites),
            e2e_version=record.e2e_version,
            not_before=record.not_before,
            not_after=record.not_after,
            keys=(KeyPeriod(public_key=record.public_key, not_before=record.not_before, not_after=record.not_after),),
            entry={},
        )

    async def _check_members(self, state: State, previous: State | None) -> None:
        known = set() if previous is None else {member.user_id for member in previous.members}
        fresh = [UserId(member.user_id) for member in state.members if member.user_id not in known]
        if any(server_of(user) != self._server_id for user in fresh):
            raise ProtocolError(Code.INVALID_RECIPIENT, "a member of another server")

        def all_here(store: AccountStore) -> bool:
            return all(store.user(user) is not None for user in fresh)

        if not await self._accounts.call(Accounts(all_here)):
            raise ProtocolError(Code.INVALID_RECIPIENT, "a member that does not exist")

    def _show(
        self,
        members: list[UserId],
        session: Session,
        received: Received[ConversationCreate] | Received[ConversationUpdate],
    ) -> None:
        for user in members:
            for outlet in self._directory.outlets_of(user):
                if outlet.session.device_id != session.device_id:
                    outlet.push(received)
