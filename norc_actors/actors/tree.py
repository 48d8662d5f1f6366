"""The supervision tree of a node: every actor, its supervisor's strategy, and why. The map is this page.

```
node                       rest_for_one   a later branch leans on the earlier ones
├── storage                one_for_all    one file: a store that lost its disk takes the others to the same point
│   ├── message_store      group commit; what is acknowledged went through it
│   ├── account_store      users, devices, keys, conversations
│   └── audit_log          one hash chain, one appender
├── crypto                 one_for_one    they share nothing but the store
│   ├── key_manager        the identity key; key requests and prekeys
│   ├── registrar          who becomes a device, and who ceases to be one
│   └── session_manager    who is connected; rebuilt from the connections
├── messages               rest_for_one   conversations tell the router what changed
│   ├── message_router     judges, has committed, passes on
│   └── conversations      signed states
├── connections            rest_for_one   the listener needs where to put what it accepts
│   ├── connection_workers dynamic        one temporary connection_worker per WebSocket
│   └── client_listener    last of its branch: nothing is accepted before what serves it stands; stops first
└── observer               one_for_one    nobody leans on it
    └── control            the operator's socket
```

Every worker has `limits.ACTOR_SHUTDOWN_SECONDS` to end in order; all of them one after the other stay within
`limits.SHUTDOWN_SECONDS`, after which the rest is cut: what was acknowledged is on the disk by then.
Every supervisor allows `limits.RESTART_INTENSITY` restarts in `limits.RESTART_PERIOD_SECONDS`; beyond, it gives up
and its own supervisor decides, up to the node, which ends with an error for whoever runs it (systemd, an operator).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import trio

from norc_actors import limits
from norc_actors.actors import names
from norc_actors.actors.connections.client_listener import ClientListener
from norc_actors.actors.connections.connection_worker import Door
from norc_actors.actors.crypto.key_manager import KeyManager
from norc_actors.actors.crypto.registrar import Registrar
from norc_actors.actors.crypto.session_manager import SessionManager
from norc_actors.actors.federation.dns_resolver import DnsResolver
from norc_actors.actors.federation.door import FederationDoor
from norc_actors.actors.federation.federation_listener import FederationListener
from norc_actors.actors.federation.federation_manager import FederationManager
from norc_actors.actors.federation.message_relay import MessageRelay
from norc_actors.actors.federation.parts import FederationParts
from norc_actors.actors.federation.route_manager import RouteManager
from norc_actors.actors.messages.conversations import Conversations
from norc_actors.actors.messages.message_router import MessageRouter
from norc_actors.actors.observer.control import Control
from norc_actors.actors.observer.health import Health
from norc_actors.actors.storage.account_store import AccountStoreActor
from norc_actors.actors.storage.audit_log import AuditLogActor
from norc_actors.actors.storage.message_store import MessageStoreActor
from norc_actors.actors.trust.branch import TrustParts, trust
from norc_actors.crypto.signatures import Signer
from norc_actors.ids import ServerId
from norc_actors.store.accounts import AccountStore
from norc_actors.store.audit import AuditStore
from norc_actors.store.messages import MessageStore
from supervision import ChildSpec, DynamicSupervisor, GenServer, Mailbox, Supervisor
from supervision.partition import PartitionSupervisor

Strategy = Literal["one_for_one", "one_for_all", "rest_for_one"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the composition root brings: stores to open, keys, sockets, settings."""

    server_id: ServerId
    identity: Signer
    audit_key: bytes
    open_messages: Callable[[], MessageStore]
    open_accounts: Callable[[], AccountStore]
    open_audit: Callable[[], AuditStore]
    listeners: list[trio.SocketListener]
    door: Door
    federation: FederationParts | None
    trust: TrustParts
    control_socket: Path
    open_difficulty: int | None
    about: dict[str, str]


def node(parts: Parts) -> ChildSpec:
    """The root of the tree."""
    branches = [storage(parts), crypto(parts), trust(parts.trust), messages(parts)]
    if parts.federation is not None:
        branches.append(federation(parts, parts.federation))
    branches += [connections(parts), observer(parts)]
    return _supervisor("node", "rest_for_one", branches)


def storage(parts: Parts) -> ChildSpec:
    """The only actors that touch the disk."""
    clock, random = parts.door.clock, parts.door.random
    children = [
        _worker(names.MESSAGE_STORE, lambda: MessageStoreActor(open_store=parts.open_messages, clock=clock)),
        _worker(names.ACCOUNT_STORE, lambda: AccountStoreActor(open_store=parts.open_accounts, clock=clock)),
        _worker(
            names.AUDIT_LOG,
            lambda: AuditLogActor(
                open_store=parts.open_audit,
                server_id=parts.server_id,
                k_year=parts.audit_key,
                clock=clock,
                random=random,
            ),
        ),
    ]
    return _supervisor("storage", "one_for_all", children)


def crypto(parts: Parts) -> ChildSpec:
    """Keys, devices and sessions."""
    door = parts.door
    children = [
        _worker(
            names.KEY_MANAGER,
            lambda: KeyManager(identity=parts.identity, server_id=parts.server_id, clock=door.clock),
        ),
        _worker(
            names.REGISTRAR,
            lambda: Registrar(
                server_id=parts.server_id,
                server_public_key=parts.identity.public_key,
                registrations_per_hour=door.rates.registrations_per_hour,
                open_difficulty=parts.open_difficulty,
                clock=door.clock,
                random=door.random,
            ),
        ),
        _worker(
            names.SESSION_MANAGER,
            lambda: SessionManager(rates=door.rates, clock=door.clock, random=door.random),
        ),
    ]
    return _supervisor("crypto", "one_for_one", children)


def messages(parts: Parts) -> ChildSpec:
    """What becomes of a message."""
    children = [
        _worker(
            names.MESSAGE_ROUTER,
            lambda: MessageRouter(server_id=parts.server_id, clock=parts.door.clock, random=parts.door.random),
        ),
        _worker(names.CONVERSATIONS, lambda: Conversations(server_id=parts.server_id, clock=parts.door.clock)),
    ]
    return _supervisor("messages", "rest_for_one", children)


def federation(parts: Parts, here: FederationParts) -> ChildSpec:
    """Links to other organisations' servers, and what travels on them."""
    door = here.door
    children = [
        _dynamic(names.LINKS, None, intensity=limits.LINK_RESTARTS),
        _worker(names.FEDERATION_MANAGER, lambda: FederationManager(door=door)),
        _passing(names.ROUTE_MANAGER, lambda: RouteManager(transits=here.transits)),
        _supervisor("discovery", "one_for_one", [_passing(names.DNS_RESOLVER, lambda: _dns_resolver(here))]),
        ChildSpec(
            id=names.RELAYS, name=names.RELAYS, start=lambda: _relays(door), type="supervisor", shutdown="infinity"
        ),
        _dynamic(names.INBOUND_LINKS, limits.MAX_LINKS),
        _worker(names.FEDERATION_LISTENER, lambda: FederationListener(listeners=here.listeners, door=door)),
    ]
    return _supervisor("federation", "rest_for_one", children)


def _dns_resolver(here: FederationParts) -> DnsResolver:
    return DnsResolver(configured=here.endpoints, resolver=here.resolver)


def _relays(door: FederationDoor) -> PartitionSupervisor:
    count = limits.RELAY_PARTITIONS
    return PartitionSupervisor(
        names.RELAYS,
        lambda number: MessageRelay(number=number, partitions=count, door=door),
        count,
        shutdown=limits.ACTOR_SHUTDOWN_SECONDS,
        mailbox=Mailbox(capacity=limits.ACTOR_MAILBOX, overflow="block"),
        intensity=limits.RESTART_INTENSITY,
        period=limits.RESTART_PERIOD_SECONDS,
    )


def connections(parts: Parts) -> ChildSpec:
    """The devices."""
    workers = _dynamic(names.CONNECTION_WORKERS, parts.door.rates.max_connections)
    listener = _worker(names.CLIENT_LISTENER, lambda: ClientListener(listeners=parts.listeners, door=parts.door))
    return _supervisor("connections", "rest_for_one", [workers, listener])


def observer(parts: Parts) -> ChildSpec:
    """The operator's view."""
    clock, here = parts.door.clock, parts.federation
    capabilities = () if here is None else here.capabilities
    children = [
        _worker(
            names.CONTROL, lambda: Control(path=parts.control_socket, about=parts.about, federation=here, clock=clock)
        ),
        _passing(names.HEALTH, lambda: Health(server_id=parts.server_id, capabilities=capabilities, clock=clock)),
    ]
    return _supervisor("observer", "one_for_one", children)


def _worker(name: str, start: Callable[[], GenServer]) -> ChildSpec:
    return ChildSpec(
        id=name,
        name=name,
        start=start,
        shutdown=limits.ACTOR_SHUTDOWN_SECONDS,
        mailbox=Mailbox(capacity=limits.ACTOR_MAILBOX, overflow="block"),
    )


def _passing(name: str, start: Callable[[], GenServer]) -> ChildSpec:
    """An actor that has nothing to put in order when it ends."""
    return ChildSpec(
        id=name,
        name=name,
        start=start,
        shutdown="brutal_kill",
        mailbox=Mailbox(capacity=limits.ACTOR_MAILBOX, overflow="block"),
    )


def _dynamic(name: str, most: int | None, intensity: int = 3) -> ChildSpec:
    return ChildSpec(
        id=name,
        name=name,
        start=lambda: DynamicSupervisor(max_children=most, intensity=intensity),
        type="supervisor",
        shutdown="infinity",
    )


def _supervisor(name: str, strategy: Strategy, children: list[ChildSpec]) -> ChildSpec:
    return ChildSpec(
        id=name,
        name=name,
        start=lambda: Supervisor(
            children,
            strategy=strategy,
            intensity=limits.RESTART_INTENSITY,
            period=limits.RESTART_PERIOD_SECONDS,
        ),
        type="supervisor",
        shutdown="infinity",
    )
