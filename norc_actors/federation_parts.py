"""What a node brings that has to do with other organisations, out of its configuration: contexts, offers, endpoints."""

from collections.abc import Mapping
from importlib.metadata import version

import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from norc_actors import limits
from norc_actors.actors.federation.door import FederationDoor
from norc_actors.actors.federation.parts import FederationParts
from norc_actors.actors.federation.requests import Endpoint
from norc_actors.config import Config, parse_address
from norc_actors.ids import Clock, Random, ServerId
from norc_actors.net.dns import DnsResolver
from norc_actors.net.tls import PeerContexts
from norc_actors.protocol.links import LinkOffer
from norc_actors.protocol.messages import FederationEndpoint, FederationPolicy, ServerInfo
from norc_actors.protocol.messages.vocabulary import RateLimits
from norc_actors.protocol.trust_levels import ALLOWANCES

ALPN = ("norc-f/2.0",)
CAPABILITIES = ("federation", "message_relay")


class Outward:
    """This server as others see it. `refresh` follows the certificate's files; raises `TLSConfigurationError`."""

    def __init__(self, config: Config, public_key: bytes, *, clock: Clock, random: Random) -> None:
        here = config.federation
        self._config = config
        self._public_key = public_key
        self._clock = clock
        self._random = random
        self._certificate = here.certificate or config.tls.certificate
        self.contexts = PeerContexts(self._certificate, here.key or config.tls.key, here.ca)
        self._fingerprint = self._read_fingerprint()

    def refresh(self) -> bool:
        """Load renewed certificates; whether there were any."""
        renewed = self.contexts.refresh()
        self._fingerprint = self._read_fingerprint()
        return renewed

    def parts(self, listeners: list[trio.SocketListener], bound: tuple[str, int]) -> FederationParts:
        """What the tree needs; `bound` is the address that the listeners got."""
        config, here = self._config, self._config.federation
        door = FederationDoor(
            server_id=config.server_id,
            contexts=self.contexts,
            offer=self._offer,
            info=lambda request_id, now: self._info(request_id, now, bound),
            alpn=ALPN,
            clock=self._clock,
            random=self._random,
        )
        return FederationParts(
            door=door,
            listeners=listeners,
            endpoints=self._endpoints(),
            transits={server: peer.via for server, peer in here.peers.items() if peer.via},
            resolver=DnsResolver(() if here.dns is None else (here.dns,), random=self._random),
            capabilities=CAPABILITIES,
        )

    def _offer(self) -> LinkOffer:
        return LinkOffer(
            server_id=self._config.server_id,
            public_keys={"ed25519": self._public_key},
            tls_fingerprint=self._fingerprint,
            capabilities=CAPABILITIES,
        )

    def _info(self, request_id: str, now: int, bound: tuple[str, int]) -> ServerInfo:
        here = self._config.federation
        host, port = bound if here.advertise is None else _host_port(here.advertise)
        return ServerInfo(
            request_id=request_id,
            server_id=self._config.server_id,
            federation_endpoints=(
                FederationEndpoint(protocol="norc_f", address=host, port=port, tls_fingerprint=self._fingerprint),
            ),
            capabilities=CAPABILITIES,
            trust_anchors=(),
            federation_policy=FederationPolicy(
                auto_accept=here.trust.auto_accept_basic,
                require_verification=not here.trust.auto_accept_basic,
                max_message_size=ALLOWANCES["basic"].max_message,
                rate_limits=RateLimits(
                    messages_per_second=limits.FEDERATION_MESSAGES_PER_SECOND,
                    bandwidth_mbps=limits.FEDERATION_BANDWIDTH_MBPS,
                ),
            ),
            server_version=version("norc-actors"),
            timestamp=now,
            signature=bytes(64),
        )

    def _endpoints(self) -> Mapping[ServerId, tuple[Endpoint, ...]]:
        found: dict[ServerId, tuple[Endpoint, ...]] = {}
        for server, peer in self._config.federation.peers.items():
            if peer.address is not None:
                found[server] = (Endpoint(*_host_port(peer.address), "configuration"),)
        return found

    def _read_fingerprint(self) -> bytes:
        leaf = x509.load_pem_x509_certificates(self._certificate.read_bytes())[0]
        return leaf.fingerprint(hashes.SHA256())


def _host_port(address: str) -> tuple[str, int]:
    host, port = parse_address(address)
    return host or "127.0.0.1", port
