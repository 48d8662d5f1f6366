"""NORC-C maps that came on a link, for devices of this server (section 8, *Other traffic*; rows B45, B98).

What a map says of a user is taken only from the server of that user's domain; signatures of devices are checked by the
devices that get it. What is not served between servers yet (files, calls) is refused with 5603.
"""

from norc_actors import limits
from norc_actors.actors import names
from norc_actors.actors.connections.directory import Directory
from norc_actors.actors.federation.door import FederationDoor
from norc_actors.actors.messages.conversations_abroad import ForeignRequest, ForeignState
from norc_actors.actors.messages.requests import DevicesChanged
from norc_actors.actors.storage.account_store import Accounts
from norc_actors.ids import DeviceId, ServerId, UserId, server_of
from norc_actors.protocol import messages as m
from norc_actors.protocol.batches import Addressed
from norc_actors.protocol.codec import Received, convert, encode_map, received_map
from norc_actors.protocol.errors import Code, ProtocolError
from norc_actors.protocol.schema import Message
from norc_actors.store.accounts import AccountStore, Revocation
from supervision import System


class Addressees:
    """Who here gets what `remote` sends."""

    def __init__(self, system: System, remote: ServerId, door: FederationDoor) -> None:
        self._system = system
        self._remote = remote
        self._door = door
        self._directory = Directory(system)

    async def take(self, message: Message, addressed: Addressed) -> Message | None:
        """Act on a map; the answer to it, if there is one. `ProtocolError` with the code that refuses it."""
        match message:
            case m.ConversationCreate() | m.ConversationUpdate() | m.ConversationState():
                state = ForeignState(self._remote, received_map(addressed.message, type(message)))
                return await self._system.ref(names.CONVERSATIONS).call(state)
            case m.ConversationStateRequest():
                request = ForeignRequest(self._remote, convert(addressed.message, m.ConversationStateRequest))
                return await self._system.ref(names.CONVERSATIONS).call(request)
            case m.UnknownSession():
                self._unknown_session(received_map(addressed.message, m.UnknownSession))
                return None
            case m.DeviceRevoke():
                await self._revoked(received_map(addressed.message, m.DeviceRevoke))
                return None
            case _:
                raise ProtocolError(Code.CAPABILITY_MISSING, type(message).__name__)

    def _unknown_session(self, received: Received[m.UnknownSession]) -> None:
        unknown = received.message
        self._from_home(unknown.sender_user)
        opener = self._directory.outlet_of(unknown.target_device)
        if opener is not None and opener.session.user_id == unknown.target_user:
            opener.push(received)

    async def _revoked(self, received: Received[m.DeviceRevoke]) -> None:
        """A device of the remote's is out: nothing is sent to it any more, and those who talk with its user are shown
        it."""
        revoke = received.message
        self._from_home(revoke.user_id)
        user, own = UserId(revoke.user_id), self._door.server_id
        row = Revocation(
            device_id=DeviceId(revoke.device_id),
            user_id=user,
            revocation_id=revoke.revocation_id,
            signed_by=revoke.signed_by,
            effective=revoke.effective,
            keep_until=int(self._door.clock()) + limits.RECORD_SECONDS + limits.REVOCATION_KEPT_SECONDS,
            revocation=encode_map(received.map),
        )

        def forget(store: AccountStore) -> set[UserId]:
            store.remote.revoke(row)
            talking = {member for one in store.conversations_of(user) for member in store.members(one)}
            return {member for member in talking if server_of(member) == own}

        talking = await self._system.ref(names.ACCOUNT_STORE).call(Accounts(forget))
        await self._system.ref(names.MESSAGE_ROUTER).cast(DevicesChanged(user))
        for member in talking:
            for outlet in self._directory.outlets_of(member):
                outlet.push(received)

    def _from_home(self, user: str) -> None:
        if server_of(UserId(user)) != self._remote:
            raise ProtocolError(Code.WRONG_TARGET, f"{self._remote} speaks of a user of another server")
