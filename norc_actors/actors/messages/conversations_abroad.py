"""What `conversations` has to do with other servers: asking a conversation's home, handing states on, and which
organisations may come together (section 6; section 8, *Other traffic*; row B175). Part of that actor; owns nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from norc_actors import limits
from norc_actors.actors import names
from norc_actors.actors.federation.outbox import post
from norc_actors.actors.federation.requests import Ask, PeerUnreachable
from norc_actors.actors.trust.requests import StandingOf
from norc_actors.ids import Clock, DeviceId, ServerId, UserId
from norc_actors.protocol.batches import from_link, to_link
from norc_actors.protocol.codec import Received, as_received, convert, decode_map, encode_map
from norc_actors.protocol.conversations import read_state
from norc_actors.protocol.errors import Code, ProtocolError, info_of
from norc_actors.protocol.messages import (
    ConversationCreate,
    ConversationState,
    ConversationStateRequest,
    ConversationUpdate,
)
from norc_actors.protocol.messages.federation import FederationError
from norc_actors.protocol.registry import code_of
from norc_actors.protocol.trust_levels import at_least, lowest
from supervision import ActorRef, Call, CallTimeout, From, ServerDown, System

Carrier: TypeAlias = ConversationCreate | ConversationUpdate | ConversationState

_STATE = code_of(ConversationState)
_ERROR = code_of(FederationError)


@dataclass(frozen=True, slots=True)
class ForeignState(Call[ConversationState | None]):
    """A state that came on a link from `remote`."""

    remote: ServerId
    received: Received[Carrier]


@dataclass(frozen=True, slots=True)
class ForeignRequest(Call[ConversationState]):
    """The request for a state that came on a link from `remote`."""

    remote: ServerId
    request: ConversationStateRequest


@dataclass(frozen=True, slots=True)
class HomeAsked:
    """Cast to conversations by a task of its own: the home has taken a state that `device` brought."""

    answer: ConversationState
    device: DeviceId
    caller: From


class Neighbours:
    """See the module."""

    def __init__(self, system: System, server_id: ServerId, clock: Clock) -> None:
        self._system = system
        self._server_id = server_id
        self._clock = clock

    async def ask_home(
        self,
        conversations: ActorRef,
        home: ServerId,
        received: Received[ConversationCreate] | Received[ConversationUpdate],
        device: DeviceId,
        caller: From,
    ) -> None:
        """Have the home take a device's state; `caller` gets its refusal, `conversations` its answer."""
        message = received.message
        body = encode_map(to_link(received.map, self._server_id, home, []))
        ask = Ask(home, ((code_of(type(message)), body),), limits.HOME_SECONDS)
        try:
            frames = await self._system.ref(names.FEDERATION_MANAGER).call(ask, timeout=None)
            for frame in frames:
                if frame.type == _ERROR:
                    refusal = convert(decode_map(frame.body), FederationError)
                    raise ProtocolError(info_of(refusal.error_code).code, f"{home} refuses a state")
                if frame.type == _STATE:
                    plain = from_link(decode_map(frame.body), own_server=self._server_id).message
                    answer = convert(plain, ConversationState)
                    await conversations.cast(HomeAsked(answer, device, caller))
                    return
            raise PeerUnreachable(home, "it did not say whether it took the state")
        except (ProtocolError, PeerUnreachable, ServerDown, CallTimeout) as error:
            caller.fail(error)

    async def send(self, server: ServerId, state: ConversationState, users: Sequence[UserId]) -> None:
        """Put a state in the outbox of a server; once, however often it is asked for."""
        await post(
            self._system,
            as_received(state),
            {server: users},
            own=self._server_id,
            priority="urgent",
            key=f"state/{state.conversation_id}/{read_state(state.state).epoch}",
            now=int(self._clock()),
            lifetime=limits.MESSAGE_MAX_AGE_SECONDS,
        )

    async def check_new(self, servers: frozenset[ServerId], before: frozenset[ServerId]) -> None:
        """`ProtocolError` unless trust permits each new server, at no lower level than the lowest that is in it."""
        trust = self._system.ref(names.TRUST_MANAGER)
        standings = {server: await trust.call(StandingOf(server)) for server in servers}
        floor = lowest([standings[server].level for server in servers & before])
        for server in servers - before:
            standings[server].check_egress("conversation_state")
            if servers & before and not at_least(standings[server].level, floor):
                raise ProtocolError(Code.INSUFFICIENT_TRUST, f"{server} is trusted less than the others in it")
