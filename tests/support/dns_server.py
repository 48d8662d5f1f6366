"""A DNS server for tests, on loopback over UDP and TCP, whose zones and manners are set while it runs.

It speaks dnspython's wire format, and knows nothing of the resolver that is tested. `Manners` make it slow, silent,
truncating, failing or lying.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import trio

SOA = "ns.test. admin.test. 1 3600 600 86400 60"


@dataclass
class Manners:
    """How a query is answered. `only`: these apply to names that end so, and others are answered well."""

    only: str = ""
    delay: float = 0.0
    silent: bool = False
    truncated: bool = False
    """Over UDP: an empty answer with the bit set."""
    rcode: dns.rcode.Rcode | None = None
    lie: Callable[[dns.message.Message], bytes] | None = None
    """Sent before the true answer, over UDP."""
    instead: Callable[[dns.message.Message], bytes] | None = None
    """Sent in its place."""


@dataclass
class DnsServer:
    port: int = 0
    manners: list[Manners] = field(default_factory=list)
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    """(transport, name, type) of every query."""
    _records: dict[tuple[dns.name.Name, dns.rdatatype.RdataType], dns.rrset.RRset] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def set(self, name: str, kind: str, *texts: str, ttl: int = 300) -> None:
        """These records of a type at a name, in place of what was there; without texts none."""
        owner, rdtype = dns.name.from_text(name), dns.rdatatype.from_text(kind)
        if texts:
            self._records[owner, rdtype] = dns.rrset.from_text(owner, ttl, dns.rdataclass.IN, rdtype, *texts)
        else:
            self._records.pop((owner, rdtype), None)

    def answer(self, query: dns.message.Message) -> dns.message.Message:
        """What a well-mannered server says."""
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AA | dns.flags.RA
        question = query.question[0]
        name = question.name
        while (alias := self._records.get((name, dns.rdatatype.CNAME))) and question.rdtype != dns.rdatatype.CNAME:
            response.answer.append(alias)
            name = alias[0].target
        found = self._records.get((name, question.rdtype))
        if found is not None:
            response.answer.append(found)
            return response
        known = any(owner.is_subdomain(name) for owner, _ in self._records)
        response.set_rcode(dns.rcode.NOERROR if known else dns.rcode.NXDOMAIN)
        response.authority.append(dns.rrset.from_text(".", 60, dns.rdataclass.IN, dns.rdatatype.SOA, SOA))
        return response

    async def _respond(self, wire: bytes, transport: str) -> list[bytes]:
        try:
            query = dns.message.from_wire(wire)
            question = query.question[0]
        except (dns.exception.DNSException, IndexError):
            return []
        name = question.name.to_text(omit_final_dot=True)
        self.asked.append((transport, name, dns.rdatatype.to_text(question.rdtype)))
        response = self.answer(query)
        before: list[bytes] = []
        for manners in [one for one in self.manners if name.endswith(one.only)]:
            await trio.sleep(manners.delay)
            if manners.silent:
                return []
            if manners.rcode is not None:
                response = dns.message.make_response(query)
                response.set_rcode(manners.rcode)
            if manners.truncated and transport == "udp":
                response = dns.message.make_response(query)
                response.flags |= dns.flags.TC
            if manners.lie is not None and transport == "udp":
                before.append(manners.lie(query))
            if manners.instead is not None:
                return [manners.instead(query)]
        whole = response.to_wire(max_size=65535)
        if transport == "udp" and len(whole) > 1232:
            short = dns.message.make_response(query)
            short.flags |= dns.flags.TC
            whole = short.to_wire()
        return [*before, whole]

    async def _udp(self, sock: trio.socket.SocketType, nursery: trio.Nursery) -> None:
        async def one(wire: bytes, sender: object) -> None:
            for answer in await self._respond(wire, "udp"):
                await sock.sendto(answer, sender)

        while True:
            wire, sender = await sock.recvfrom(65535)
            nursery.start_soon(one, wire, sender)

    async def _tcp(self, stream: trio.SocketStream) -> None:
        buffer = b""
        async with stream:
            while data := await stream.receive_some():
                buffer += data
                while len(buffer) >= 2 and len(buffer) >= 2 + int.from_bytes(buffer[:2], "big"):
                    size = 2 + int.from_bytes(buffer[:2], "big")
                    wire, buffer = buffer[2:size], buffer[size:]
                    for answer in await self._respond(wire, "tcp"):
                        await stream.send_all(len(answer).to_bytes(2, "big") + answer)


@asynccontextmanager
async def dns_server() -> AsyncIterator[DnsServer]:
    """Serve on a free port, the same for UDP and TCP."""
    server = DnsServer()
    with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as sock:
        while True:
            [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
            server.port = listener.socket.getsockname()[1]
            try:
                await sock.bind(("127.0.0.1", server.port))
            except OSError:
                await listener.aclose()
            else:
                break
        async with listener, trio.open_nursery() as nursery:
            nursery.start_soon(server._udp, sock, nursery)  # noqa: SLF001
            nursery.start_soon(trio.serve_listeners, server._tcp, [listener])  # noqa: SLF001
            try:
                yield server
            finally:
                nursery.cancel_scope.cancel()
