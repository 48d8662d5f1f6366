"""The router's part in messages from and to users of other servers (section 8; rows B81, B115–B116, B133).

*Out.* Which devices of a message are whose: those of other servers' users are known from the look-ups that the sender's
client made through this server, and from nothing else. Whether trust lets the message out is asked before anything is
stored. What the other server's list of devices is, it says itself, in its answer to the relay.

*In.* A relay passed the checks of its link. Here: is its conversation known, is the sender a member of it, and which of
the target users' devices get it.

Keeps caches only: what this server is to others (`RelationChanged` empties it), and remote users' devices
(`DevicesChanged`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from norc_actors import limits
from norc_actors.actors import names
from norc_actors.actors.crypto.key_manager import EntriesOf
from norc_actors.actors.federation.requests import LookUp
from norc_actors.actors.messages.cache import Cache
from norc_actors.actors.storage.account_store import Accounts
from norc_actors.actors.trust.standings import Standings
from norc_actors.ids import Clock, DeviceId, Random, ServerId, UserId, new_uuid, server_of
from norc_actors.protocol.codec import Received, encode_map
from norc_actors.protocol.delivery import Membership
from norc_actors.protocol.errors import Code, ProtocolError
from norc_actors.protocol.messages import MessageRelay, MessageSend
from norc_actors.protocol.registry import code_of
from norc_actors.protocol.relaying import RELAY_TTL_SECONDS, Judgement, Share, judge_relay, relay_of
from norc_actors.protocol.schema import SignedMap
from norc_actors.protocol.turns import LEVEL_OF
from norc_actors.store.accounts import AccountStore
from norc_actors.store.messages import Relaying
from supervision import CallTimeout, ServerDown, System

_RELAY = code_of(MessageRelay)


@dataclass(frozen=True, slots=True)
class Split:
    """The devices of a message by whose they are: those that are no remote recipient's, and a share per server."""

    here: frozenset[DeviceId]
    shares: tuple[Share, ...]


class Abroad:
    """See the module."""

    def __init__(self, system: System, *, server_id: ServerId, clock: Clock, random: Random) -> None:
        self._system = system
        self._server_id = server_id
        self._clock = clock
        self._random = random
        self._standings = Standings(system, clock)
        self._devices: Cache[UserId, frozenset[DeviceId]] = Cache(limits.DEVICES_CACHE)

    def __len__(self) -> int:
        return len(self._devices)

    def is_here(self, user: UserId) -> bool:
        """Whether a user is of this server."""
        return server_of(user) == self._server_id

    def forget_server(self, server: ServerId) -> None:
        """What it may has changed."""
        self._standings.forget(server)

    def forget_user(self, user: UserId) -> None:
        """Its devices have changed."""
        self._devices.forget(user)

    # --- out ---

    async def permit(self, message: MessageSend) -> None:
        """`ProtocolError` with the code that refuses this message, if trust does not let it out to all recipients."""
        for server in {server_of(user) for user in message.recipients if not self.is_here(user)}:
            standing = await self._standings.of(server)
            standing.check_egress("message_relay", message.metadata.classification)
            if standing.egress is not None and len(message.ciphertext) > standing.egress.max_message:
                raise ProtocolError(Code.MESSAGE_TOO_LARGE, f"{len(message.ciphertext)} bytes to {server}")

    async def split(self, message: MessageSend) -> Split:
        """Whose the message's devices are."""
        users = [user for user in message.recipients if not self.is_here(user)]
        await self._learn(users)
        left = set(message.encrypted_keys)
        shares = []
        for server in dict.fromkeys(map(server_of, users)):
            theirs = tuple(user for user in users if server_of(user) == server)
            known: frozenset[DeviceId] = frozenset().union(*(self._devices[user] for user in theirs))
            devices = tuple(sorted(left & known))
            left.difference_update(devices)
            if devices or not message.supplement:
                shares.append(Share(target=server, users=theirs, devices=devices))
        return Split(here=frozenset(left), shares=tuple(shares))

    def relays(
        self, received: Received[MessageSend], shares: Iterable[Share], sender: UserId, device: DeviceId
    ) -> tuple[Relaying, ...]:
        """A row of the outbox for each share."""
        now = int(self._clock())
        rows = []
        for share in shares:
            federation_id = new_uuid(self._random)
            relay = relay_of(
                received,
                share,
                federation_id=federation_id,
                origin=self._server_id,
                sender_user=sender,
                sender_device=device,
                priority="normal",
            )
            rows.append(
                Relaying(
                    target=share.target,
                    federation_id=federation_id,
                    priority=LEVEL_OF["normal"],
                    created_at=now,
                    expires_at=now + RELAY_TTL_SECONDS,
                    code=_RELAY,
                    body=encode_map(relay),
                )
            )
        return tuple(rows)

    async def entries(self, message: MessageSend, sender: UserId, device: DeviceId) -> tuple[SignedMap, ...]:
        """The current entries of all remote recipients' devices, for a sender whose list is stale.
        `PeerUnreachable`."""
        found: list[SignedMap] = []
        users = [user for user in message.recipients if not self.is_here(user)]
        for server in dict.fromkeys(map(server_of, users)):
            wanted = tuple(user for user in users if server_of(user) == server)
            keys = await self._system.ref(names.FEDERATION_MANAGER).call(
                LookUp(server, wanted, sender, device), timeout=limits.LOOKUP_SECONDS
            )
            for user in wanted:
                self._devices.forget(user)
            found += [entry for devices in keys.values() for entry in devices.values()]
        return tuple(found)

    async def _learn(self, users: Iterable[UserId]) -> None:
        missing = [user for user in users if user not in self._devices]
        if missing:
            accounts = self._system.ref(names.ACCOUNT_STORE)
            known = await accounts.call(Accounts(lambda store: store.remote.devices(missing)))
            for user in missing:
                self._devices[user] = frozenset(device for device, owner in known.items() if owner == user)

    # --- in ---

    async def judge(
        self,
        relay: MessageRelay,
        membership: Membership | None,
        current: Mapping[UserId, frozenset[DeviceId]],
    ) -> Judgement:
        """Who of the target users gets a relay; `current` has the devices of those that exist."""
        if membership is None:
            return nobody(relay, Code.CONVERSATION_NOT_FOUND)
        if relay.sender_user not in membership.roles:
            return nobody(relay, Code.NOT_PERMITTED)
        members = {user: devices for user, devices in current.items() if user in membership.roles}
        judgement, missing = judge_relay(relay, members)
        if not missing:
            return judgement
        wanted = frozenset().union(*missing.values())
        request = EntriesOf(tuple(missing), relay.sender_device, fresh_for=wanted)
        try:
            keys = await self._system.ref(names.KEY_MANAGER).call(request)
        except (ServerDown, CallTimeout):
            return judgement  # the sender learns of them with its next message
        stale = tuple(entry for devices in keys.values() for entry in devices.values())
        return Judgement(delivered=judgement.delivered, failed=judgement.failed, stale=stale)

    async def existing(self, users: Iterable[UserId]) -> frozenset[UserId]:
        """Which of these users of this server exist."""
        wanted = tuple(users)

        def read(store: AccountStore) -> frozenset[UserId]:
            return frozenset(user for user in wanted if store.user(user) is not None)

        return await self._system.ref(names.ACCOUNT_STORE).call(Accounts(read))


def nobody(relay: MessageRelay, code: Code) -> Judgement:
    """A relay that no user of the target gets, and why."""
    return Judgement(delivered={}, failed={(user, code): () for user in relay.target_users})
