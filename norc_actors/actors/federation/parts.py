"""What the composition root brings for other organisations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import trio

from norc_actors.actors.federation.door import FederationDoor
from norc_actors.actors.federation.requests import Endpoint
from norc_actors.ids import ServerId
from norc_actors.net.dns import DnsResolver


@dataclass(frozen=True, slots=True, kw_only=True)
class FederationParts:
    """What a node brings that has to do with other organisations."""

    door: FederationDoor
    listeners: list[trio.SocketListener]
    endpoints: Mapping[ServerId, Sequence[Endpoint]]
    transits: Mapping[ServerId, Sequence[ServerId]]
    resolver: DnsResolver
    capabilities: tuple[str, ...]
