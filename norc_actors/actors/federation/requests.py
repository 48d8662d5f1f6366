"""What the parts of federation ask of one another, and what others ask of them: plain values, no behaviour."""

from dataclasses import dataclass
from typing import Literal

from norc_actors.ids import DeviceId, ServerId, UserId
from norc_actors.protocol.codec import Received
from norc_actors.protocol.frames import FederationFrame
from norc_actors.protocol.messages import MessageRelay, RelayAck
from norc_actors.protocol.schema import SignedMap
from supervision import ActorRef, Call

Frames = tuple[tuple[int, bytes], ...]
"""(type code, encoded body) in order."""
Leaving = tuple[tuple[int, bytes | SignedMap], ...]
"""The same on its way out: a map is a relay, which gets its place on the link (epoch and sequence) there."""

INBOUND = "inbound links by remote"
"""The registry of the links that each remote has dialled."""
LinkStatus = Literal["connecting", "tls_handshake", "authenticating", "trusted", "active", "error", "suspended"]
"""The seven states of F§2.3 (row B110). `trusted`: the handshake is over; `active`: the first batch was answered."""


class PeerUnreachable(Exception):  # noqa: N818 - names a state of the world, as OTP's noproc does
    """No answer of another server: which, and why in words."""

    def __init__(self, remote: ServerId, why: str) -> None:
        super().__init__(remote, why)
        self.remote = remote
        self.why = why

    def __str__(self) -> str:
        return f"{self.remote} cannot be reached: {self.why}"


@dataclass(frozen=True, slots=True)
class Ask(Call[tuple[FederationFrame, ...]]):
    """To federation_manager: send these frames to `remote` in a batch, and answer with the frames of its answer.

    A link is made if there is none. Fails with `PeerUnreachable` after `within` seconds at most.
    """

    remote: ServerId
    frames: Frames
    within: float = 10.0


@dataclass(frozen=True, slots=True)
class ShownKey(Call[bytes]):
    """To federation_manager: the identity key that the handshake of the link to `remote` proved. Fails with
    `PeerUnreachable` without a link."""

    remote: ServerId


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server listens for others; `source` says who told."""

    host: str
    port: int
    source: Literal["configuration", "registry", "dns"]


@dataclass(frozen=True, slots=True)
class EndpointsOf(Call[tuple[Endpoint, ...]]):
    """To dns_resolver: where to dial a server, in the order to try. Fails with `PeerUnreachable`."""

    server: ServerId


@dataclass(frozen=True, slots=True)
class Exchange:
    """Cast to a federation_link: one batch; `reply_to` gets an `Exchanged` with this tag. A link that ends answers
    nothing: who waits monitors it."""

    frames: Leaving
    reply_to: ActorRef
    tag: object


@dataclass(frozen=True, slots=True)
class Exchanged:
    """Cast back: the frames of the answer."""

    link: ActorRef
    tag: object
    frames: tuple[FederationFrame, ...]


@dataclass(frozen=True, slots=True)
class LinkChanged:
    """To federation_manager: a link's new status, the words for it, and the identity key that its handshake proved."""

    remote: ServerId
    link: ActorRef
    status: LinkStatus
    detail: str = ""
    key: bytes = b""


@dataclass(frozen=True, slots=True)
class Heard:
    """Cast to federation_manager: the remote spoke to us, so that it can be reached again."""

    remote: ServerId


@dataclass(frozen=True, slots=True)
class Wanted:
    """Cast to route_manager by a message_relay: something waits for this server, tell me a way."""

    target: ServerId


@dataclass(frozen=True, slots=True)
class Connect:
    """Cast to federation_manager: have a link to this server."""

    remote: ServerId


@dataclass(frozen=True, slots=True)
class Route:
    """Cast to the target's message_relay: what is for `target` goes over this link to `hop`, None: over none now."""

    target: ServerId
    hop: ServerId
    link: ActorRef | None


@dataclass(frozen=True, slots=True)
class LookUp(Call[dict[UserId, dict[DeviceId, SignedMap]]]):
    """To federation_manager: the devices of users of `remote` as entries, with fresh keys for the requesting device.

    Users that do not exist are missing. Fails with `PeerUnreachable`, or `ProtocolError` if trust does not permit it.
    """

    remote: ServerId
    users: tuple[UserId, ...]
    requester_user: UserId
    requester_device: DeviceId


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerStatus:
    """What `norc peer status` tells of a remote; times in seconds since the epoch, 0 for never."""

    server: ServerId
    status: LinkStatus
    since: float
    last_success: float
    last_error: str
    last_heard: float


@dataclass(frozen=True, slots=True)
class Peers(Call[tuple[PeerStatus, ...]]):
    """To federation_manager: all remotes that this node has to do with."""


@dataclass(frozen=True, slots=True)
class RetryPeer(Call[None]):
    """To federation_manager: dial this server now, whatever its back-off."""

    server: ServerId


@dataclass(frozen=True, slots=True)
class Pump:
    """To the remote's message_relay: its outbox has grown."""

    remote: ServerId


@dataclass(frozen=True, slots=True)
class Incoming(Call[Frames]):
    """To the remote's message_relay: what came in one verified batch, in order; answered with what goes back, once
    all of it is committed."""

    remote: ServerId
    items: tuple[Received[MessageRelay] | Received[RelayAck], ...]
    sizes: tuple[int, ...]
