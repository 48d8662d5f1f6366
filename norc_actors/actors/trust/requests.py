"""What others ask of trust, and what it tells them: plain values, no behaviour."""

from dataclasses import dataclass

from norc_actors.ids import ServerId
from norc_actors.protocol.codec import Received
from norc_actors.protocol.schema import Message
from norc_actors.trust.relations import Standing
from supervision import Call


@dataclass(frozen=True, slots=True)
class StandingOf(Call[Standing]):
    """To trust_manager: how this server stands to another, now."""

    server: ServerId


@dataclass(frozen=True, slots=True)
class TrustFrames(Call[tuple[tuple[int, bytes], ...]]):
    """To trust_manager: messages of NORC-T that came on a link, in order; answered with the frames that go back.

    `remote_key` is the identity key that the link's handshake proved, `trusted` whether it was pinned.
    """

    remote: ServerId
    remote_key: bytes
    trusted: bool
    messages: tuple[Received[Message], ...]


@dataclass(frozen=True, slots=True)
class RelationChanged:
    """Cast by trust_manager to whoever caches what a server is to this one."""

    server: ServerId
