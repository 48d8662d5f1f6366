"""conversations: the chain of signed states of every conversation (section 6, *Conversations*; section 8, *Other
traffic*; rows B94–B98, B175).

A state is taken when its signer's device is this session's, its user may sign the next state, and every new member
exists; it is stored, the router forgets what it knew, and the members' connected devices are shown it. Whoever was
not connected asks for it when a message names an epoch that it does not know. The states themselves live in the
account store; this actor keeps none, so nothing is lost with it.

*Over several organisations* a conversation has a home: the server of the user who signed epoch 1. It alone decides
which state is the next (so two members of two organisations cannot both make it) and hands every state to the servers
of all members, through the outbox and ahead of their messages. A member of another organisation changes the
conversation through its own server, which asks the home. What a server takes from another it takes on that server's
word, the signature aside: devices check that (`conversations_abroad.py`; decision 120).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from norc_actors.actors import names
from norc_actors.actors.connections.directory import Directory
from norc_actors.actors.connections.outlet import Session
from norc_actors.actors.federation.requests import PeerUnreachable
from norc_actors.actors.messages.conversations_abroad import (
    Carrier,
    ForeignRequest,
    ForeignState,
    HomeAsked,
    Neighbours,
)
from norc_actors.actors.messages.requests import MembersChanged
from norc_actors.actors.storage.account_store import Accounts
from norc_actors.crypto.errors import BadSignatureError
from norc_actors.ids import Clock, ConversationId, DeviceId, ServerId, UserId, server_of
from norc_actors.protocol.codec import Received, as_received, convert, decode_map, encode
from norc_actors.protocol.conversations import State, StateRefusedError, read_state, verify_state, vouched_state
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

Permitted = Callable[[UserId], bool]
"""Whether a member is one for whose sake a state is shown."""
_REFUSALS = (
    StoreError,
    BadSignatureError,
    StateRefusedError,
    ProtocolError,
    PeerUnreachable,
    ServerDown,
    CallTimeout,
)


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
        self._neighbours = Neighbours(self.system, self._server_id, self._clock)

    async def handle_call(self, request: object, caller: From) -> object:
        try:
            match request:
                case PutState(session=session, received=received):
                    return await self._put(session, received, caller)
                case GetState(user_id=user_id, request=asked):
                    return await self._get(asked, user_id.__eq__)
                case ForeignRequest(remote=remote, request=asked):
                    return await self._get(asked, lambda user: server_of(user) == remote)
                case ForeignState():
                    return await self._foreign(request)
                case _:
                    raise TypeError(f"conversations knows no {request!r}")
        except _REFUSALS as refusal:
            caller.fail(refusal)
            return NO_REPLY

    async def handle_cast(self, message: object) -> None:
        if not isinstance(message, HomeAsked):
            raise TypeError(f"conversations knows no {message!r}")
        try:
            message.caller.reply(await self._take(as_received(message.answer), message.device))
        except _REFUSALS as refusal:
            message.caller.fail(refusal)

    def statistics(self) -> Mapping[str, int]:
        """States stored by this incarnation."""
        return {"stored": self._stored}

    # --- from a device of this server ---

    async def _put(
        self,
        session: Session,
        received: Received[ConversationCreate] | Received[ConversationUpdate],
        caller: From,
    ) -> object:
        message = received.message
        if (message.signer_user, message.signer_device) != (session.user_id, session.device_id):
            raise ProtocolError(Code.NOT_PERMITTED, "a state is brought by the device that signed it")
        previous, home = None, self._server_id
        if isinstance(message, ConversationUpdate):
            previous = await self._stored_state(message.conversation_id, None)
            if previous is None or previous[1].member(session.user_id) is None:
                raise ProtocolError(Code.CONVERSATION_NOT_FOUND, "no such conversation of this user")
            home = await self._home(message.conversation_id)
        signer = await self._signer(session)
        known = None if previous is None else previous[1]
        state = verify_state(message.state, message.signature, previous=known, signer=signer, at=int(self._clock()))
        await self._check_members(state, known)
        if home != self._server_id:
            self.spawn(self._neighbours.ask_home, self.ref, home, received, session.device_id, caller)
            return NO_REPLY
        try:
            return await self._store(received, state, known, session.device_id)
        except DirectExistsError as exists:
            asked = ConversationStateRequest(conversation_id=ConversationId(exists.conversation_id))
            return await self._get(asked, session.user_id.__eq__)

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

    # --- from another server ---

    async def _foreign(self, request: ForeignState) -> ConversationState | None:
        """A state that came on a link; answered with what the other server is told."""
        received, message = request.received, request.received.message
        previous = await self._stored_state(message.conversation_id, None)
        signer = server_of(message.signer_user)
        home = signer if previous is None else await self._home(message.conversation_id)
        if request.remote not in ({home} if home != self._server_id else {signer}):
            raise ProtocolError(Code.WRONG_TARGET, f"a state from {request.remote} of a conversation at {home}")
        answer = await self._take(received, None, update=home == self._server_id)
        return answer if home == self._server_id else None

    async def _take(
        self, received: Received[Carrier], device: DeviceId | None, *, update: bool = False
    ) -> ConversationState:
        """Store a state on another server's word; one that is here already is no news."""
        message = received.message
        previous = await self._stored_state(message.conversation_id, None)
        known = None if previous is None else previous[1]
        epoch = read_state(message.state).epoch
        if known is not None and epoch <= known.epoch:
            stored = await self._stored_state(message.conversation_id, epoch)
            if stored is not None and stored[0].state == message.state:
                return stored[0]
            raise ProtocolError(Code.NOT_PERMITTED, f"another state of epoch {epoch} stands")
        state = vouched_state(message.state, previous=known, signer_user=message.signer_user)
        if update:
            await self._check_members(state, known)
        return await self._store(received, state, known, device)

    # --- what is stored ---

    async def _store(
        self, received: Received[Carrier], state: State, previous: State | None, device: DeviceId | None
    ) -> ConversationState:
        """Commit a verified state, hand it to the other servers if this is its home, and show it to its members."""
        message = received.message
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
        ours = server_of(message.signer_user) == self._server_id
        await self._accounts.call(Accounts(lambda store: store.put_conversation(row, members, from_elsewhere=not ours)))
        self._stored += 1
        if await self._home(row.conversation_id) == self._server_id:
            await self._hand_on(state, previous)
        await self.system.ref(names.MESSAGE_ROUTER).cast(MembersChanged(row.conversation_id))
        self._show(members, device, received)
        return answer

    async def _hand_on(self, state: State, previous: State | None) -> None:
        """Every server with a member, now or before, gets this state; a new one all before it as well."""
        before = self._servers(previous)
        for server in sorted(self._servers(state) | before):
            first = state.epoch if server in before else 1
            for epoch in range(first, state.epoch + 1):
                stored = await self._stored_state(ConversationId(state.conversation_id), epoch)
                if stored is not None:
                    users = [UserId(member.user_id) for member in state.members]
                    users = [user for user in users if server_of(user) == server]
                    await self._neighbours.send(server, stored[0], users)

    def _servers(self, state: State | None) -> frozenset[ServerId]:
        members = () if state is None else state.members
        return frozenset(server_of(UserId(member.user_id)) for member in members) - {self._server_id}

    async def _get(self, request: ConversationStateRequest, permitted: Permitted) -> ConversationState:
        """Members of the asked epoch and members of today may see it; to all others there is no such conversation."""
        found = await self._stored_state(request.conversation_id, request.epoch)
        newest = found if request.epoch is None else await self._stored_state(request.conversation_id, None)
        if found is None or newest is None:
            raise ProtocolError(Code.CONVERSATION_NOT_FOUND, "no such conversation or epoch")
        if not any(permitted(UserId(member.user_id)) for _, state in (found, newest) for member in state.members):
            raise ProtocolError(Code.CONVERSATION_NOT_FOUND, "not a member")
        return found[0]

    async def _home(self, conversation_id: ConversationId) -> ServerId:
        """The server that decides about a conversation: that of whoever signed its first state."""
        first = await self._stored_state(conversation_id, 1)
        if first is None:
            raise ProtocolError(Code.CONVERSATION_NOT_FOUND, "no such conversation")
        return server_of(first[0].signer_user)

    async def _stored_state(
        self, conversation_id: ConversationId, epoch: int | None
    ) -> tuple[ConversationState, State] | None:
        row = await self._accounts.call(Accounts(lambda store: store.conversation(conversation_id, epoch)))
        if row is None:
            return None
        stored = convert(decode_map(row.signed_state), ConversationState)
        return stored, read_state(stored.state)

    async def _check_members(self, state: State, previous: State | None) -> None:
        """New members of this server exist; those of others are of servers that trust permits, none weaker than the
        organisations that are in it already (row B175)."""
        known = set() if previous is None else {member.user_id for member in previous.members}
        fresh = [UserId(member.user_id) for member in state.members if member.user_id not in known]
        await self._neighbours.check_new(self._servers(state), self._servers(previous))
        here = [user for user in fresh if server_of(user) == self._server_id]

        def all_here(store: AccountStore) -> bool:
            return all(store.user(user) is not None for user in here)

        if not await self._accounts.call(Accounts(all_here)):
            raise ProtocolError(Code.INVALID_RECIPIENT, "a member that does not exist")

    def _show(self, members: Iterable[UserId], device: DeviceId | None, received: Received[Carrier]) -> None:
        for user in members:
            for outlet in self._directory.outlets_of(user):
                if outlet.session.device_id != device:
                    outlet.push(received)
