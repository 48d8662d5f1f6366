"""Servers among themselves: discovery, clusters, health (fields.md; section 8; F§3, F§12)."""

from typing import Annotated, Literal

from norc_actors.protocol.schema import (
    Atoms,
    Bound,
    Bytes32,
    Count,
    Map,
    Message,
    Seconds,
    Server,
    Signature,
    Unit,
    Uuid,
)

from .vocabulary import Address, Name, Percent, Port, RateLimits, Word

Nodes = Annotated[tuple[Server, ...], Bound(0, 256)]


class ServerDiscovery(Message, frozen=True, kw_only=True, omit_defaults=True, tag="server_discovery"):
    """Asks a server what it is (`server-info:v1`, over the map less signature)."""

    request_id: Uuid
    query_server: Server
    requesting_server: Server
    discovery_method: Literal["dns", "direct", "registry"]
    timestamp: Seconds
    signature: Signature


class FederationEndpoint(Map, frozen=True, kw_only=True, omit_defaults=True):
    """Where a server listens for others, and the SHA-256 of the certificate that it shows there."""

    protocol: Literal["norc_f"]
    address: Address
    port: Port
    tls_fingerprint: Bytes32


class FederationPolicy(Map, frozen=True, kw_only=True, omit_defaults=True):
    """What a server lets others do before anyone asks."""

    auto_accept: bool
    require_verification: bool
    max_message_size: Annotated[Count, Unit("bytes")]
    rate_limits: RateLimits


class ServerInfo(Message, frozen=True, kw_only=True, omit_defaults=True, tag="server_info"):
    """What a server is, in its own words (`server-info:v1`, over the map less signature)."""

    request_id: Uuid
    server_id: Server
    federation_endpoints: Annotated[tuple[FederationEndpoint, ...], Bound(0, 64)]
    capabilities: Atoms
    trust_anchors: Annotated[tuple[Bytes32, ...], Bound(0, 256)]
    federation_policy: FederationPolicy
    server_version: Name
    timestamp: Seconds
    signature: Signature


class ClusterMember(Map, frozen=True, kw_only=True, omit_defaults=True):
    """A node of a cluster."""

    server_id: Server
    weight: Count
    active: bool


class ClusterMemberInfo(Message, frozen=True, kw_only=True, omit_defaults=True, tag="cluster_member_info"):
    """Who forms a cluster; accepted from its own members alone."""

    server_id: Server
    cluster_id: Name
    cluster_members: Annotated[tuple[ClusterMember, ...], Bound(0, 256)]
    load_balancing_policy: Literal["round_robin", "least_connections", "weighted"]
    failover_priority: Nodes


class HealthCheck(Message, frozen=True, kw_only=True, omit_defaults=True, tag="health_check"):
    """Asks a server how it is."""

    requesting_server: Server
    target_server: Server
    check_level: Literal["basic", "detailed", "comprehensive"]
    timestamp: Seconds


class LoadMetrics(Map, frozen=True, kw_only=True, omit_defaults=True):
    """How much a server has to do (whole numbers: D-40)."""

    cpu_percent: Percent
    memory_percent: Percent
    active_connections: Count
    messages_per_second: Annotated[Count, Unit("messages/s")]


class FederationHealth(Map, frozen=True, kw_only=True, omit_defaults=True):
    """How a server stands to others."""

    trusted_servers: Count
    active_connections: Count
    pending_messages: Count


class CapabilityStatus(Map, frozen=True, kw_only=True, omit_defaults=True):
    """Whether a capability works."""

    capability: Word
    status: Literal["operational", "degraded"]


class HealthStatus(Message, frozen=True, kw_only=True, omit_defaults=True, tag="health_status"):
    """How a server is."""

    server_id: Server
    status: Literal["healthy", "degraded", "unhealthy"]
    load_metrics: LoadMetrics
    federation_status: FederationHealth
    capabilities_status: Annotated[tuple[CapabilityStatus, ...], Bound(0, 64)]
    timestamp: Seconds
