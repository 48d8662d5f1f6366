"""dns_resolver: where other servers listen (section 8; F§3.1; rows B111, B112).

The configuration comes first, then a registry of the organisation's choice, then DNS: SRV records in RFC 2782's order,
else the name itself at the usual port. Answers of DNS are kept for their time to live, at most
`limits.ENDPOINTS_SECONDS`; each look-up has a task of its own, so that one slow name server delays nobody else (row
B183).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import trio

from norc_actors import limits
from norc_actors.actors.federation.requests import Endpoint, EndpointsOf, PeerUnreachable
from norc_actors.ids import ServerId
from norc_actors.net.dns import DnsResolver as Resolver
from norc_actors.net.errors import DnsCause, DnsError
from supervision import NO_REPLY, From, GenServer


@dataclass(frozen=True, slots=True)
class _Found:
    """Cast to itself by a look-up: what DNS said."""

    server: ServerId
    endpoints: tuple[Endpoint, ...]
    until: float


class DnsResolver(GenServer):
    """See the module. `configured` has the servers whose endpoints the operator wrote down."""

    def __init__(self, *, configured: Mapping[ServerId, Sequence[Endpoint]], resolver: Resolver) -> None:
        self._configured = configured
        self._resolver = resolver
        self._found: dict[ServerId, _Found] = {}
        self._asked = 0

    async def handle_call(self, request: object, caller: From) -> object:
        if not isinstance(request, EndpointsOf):
            raise TypeError(f"dns_resolver knows no {request!r}")
        configured = self._configured.get(request.server)
        if configured:
            return tuple(configured)
        found = self._found.get(request.server)
        if found is not None and trio.current_time() < found.until:
            return found.endpoints
        self.spawn(self._look_up, request.server, caller)
        return NO_REPLY

    async def handle_cast(self, message: object) -> None:
        if isinstance(message, _Found):
            if len(self._found) >= limits.ENDPOINTS_KEPT:
                self._found.pop(next(iter(self._found)))
            self._found[message.server] = message

    def statistics(self) -> Mapping[str, int]:
        """Servers whose endpoints are known from DNS, and look-ups made by this incarnation."""
        return {"known": len(self._found), "asked": self._asked}

    async def _look_up(self, server: ServerId, caller: From) -> None:
        self._asked += 1
        endpoints: list[Endpoint] = []
        failure = DnsError(server, DnsCause.NO_RECORD)
        try:
            located = await self._resolver.locate(server)
        except DnsError as error:
            caller.fail(PeerUnreachable(server, str(error)))
            return
        for target in located.endpoints:
            try:
                found = await self._resolver.addresses(target.host)
            except DnsError as error:
                failure = error
                continue
            endpoints += [Endpoint(address, target.port, "dns") for address in found]
        if not endpoints:
            caller.fail(PeerUnreachable(server, str(failure)))
            return
        until = trio.current_time() + min(located.ttl, limits.ENDPOINTS_SECONDS)
        await self.ref.cast(_Found(server, tuple(endpoints), until))
        caller.reply(tuple(endpoints))
