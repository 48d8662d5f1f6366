"""DNS look-ups of federation and trust, by dnspython on Trio.

Rules
- Every look-up ends within `DNS_SECONDS`, with an answer or one `DnsError` whose cause is typed; an answer that says
  "nothing" is told apart from no answer.
- Name servers are those of the configuration (`HOST:PORT` with an address, port 53 if it is left out), else the
  system's. Without any in the configuration, addresses come from the system too, its hosts file included.
- A truncated answer is asked for again over TCP; an answer with another id, name or sender is no answer.
- Nothing is kept here: `Located.ttl` says for how long the caller may.
- What DNS says is a hint where to connect, and a domain's proof for the level `basic`. Who a server is, TLS and the
  handshake prove; so answers are not validated by DNSSEC here (docs/decisions/101).
"""

import ipaddress
import socket
from collections.abc import Sequence

import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.rdatatype
import dns.rdtypes.ANY.TXT
import dns.rdtypes.IN.A
import dns.rdtypes.IN.AAAA
import dns.rdtypes.IN.SRV
import dns.resolver
import trio

from norc_actors import limits
from norc_actors.config import parse_address
from norc_actors.ids import Random, ServerId
from norc_actors.net.errors import DnsCause, DnsError
from norc_actors.net.srv import CHALLENGE, SERVICE, Endpoint, Located, in_order, make_endpoint, read_metadata


class DnsResolver:
    """See the module. Any number of tasks may ask at once; a slow answer delays nobody else's."""

    def __init__(self, nameservers: Sequence[str] = (), *, random: Random) -> None:
        """Raises `ValueError` if an entry of `nameservers` is no address."""
        self._random = random
        self._own = bool(nameservers)
        self._resolver = dns.asyncresolver.Resolver(configure=False)
        self._resolver.lifetime = limits.DNS_SECONDS
        self._resolver.timeout = limits.DNS_TRY_SECONDS
        self._resolver.use_search_by_default = False
        self._resolver.nameservers = [_nameserver(text) for text in nameservers]

    async def locate(self, server: ServerId) -> Located:
        """The server's endpoints by SRV, in the order to try them, with its metadata. A server without SRV records is
        looked for at its own name and the default port. Raises `DnsError`."""
        name = f"{SERVICE}.{server}"
        try:
            answer = await self._ask(name, dns.rdatatype.SRV)
        except DnsError as error:
            if error.cause not in (DnsCause.NO_NAME, DnsCause.NO_RECORD):
                raise
            return Located((Endpoint(server, limits.DEFAULT_FEDERATION_PORT),))
        records = [one for one in answer if isinstance(one, dns.rdtypes.IN.SRV.SRV)]
        if [one.target for one in records] == [dns.name.root]:
            raise DnsError(name, DnsCause.NOT_OFFERED)
        found = [make_endpoint(one.target.to_text(), one.port, one.priority, one.weight) for one in records]
        endpoints = in_order([one for one in found if one is not None], self._random)
        if not endpoints:
            raise DnsError(name, DnsCause.NO_RECORD, "none names a host and a port")
        return Located(endpoints, await self._metadata(name), int(answer.rrset.ttl) if answer.rrset else 0)

    async def challenge_records(self, domain: str) -> tuple[str, ...]:
        """The TXT records at `_norc-trust-challenge.DOMAIN` (section 9), each as one text; none is an answer too.
        Raises `DnsError` if there was no answer."""
        try:
            return await self._texts(f"{CHALLENGE}.{domain}", join=True)
        except DnsError as error:
            if error.is_answer:
                return ()
            raise

    async def addresses(self, host: str) -> tuple[str, ...]:
        """The addresses of a host name, those of IPv6 first; an address is its own. Raises `DnsError`."""
        try:
            return (str(ipaddress.ip_address(host)),)
        except ValueError:
            pass
        return await (self._own_addresses(host) if self._own else _system_addresses(host))

    async def _own_addresses(self, host: str) -> tuple[str, ...]:
        found: dict[dns.rdatatype.RdataType, list[str]] = {}
        errors: list[DnsError] = []

        async def ask(kind: dns.rdatatype.RdataType) -> None:
            try:
                answer = await self._ask(host, kind)
            except DnsError as error:
                errors.append(error)
            else:
                kinds = dns.rdtypes.IN.A.A | dns.rdtypes.IN.AAAA.AAAA
                found[kind] = [one.address for one in answer if isinstance(one, kinds)]

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, dns.rdatatype.AAAA)
            nursery.start_soon(ask, dns.rdatatype.A)
        addresses = (*found.get(dns.rdatatype.AAAA, ()), *found.get(dns.rdatatype.A, ()))
        if not addresses:
            raise next((error for error in errors if not error.is_answer), errors[0])
        return addresses[: limits.MAX_ENDPOINTS]

    async def _metadata(self, name: str) -> dict[str, str]:
        """Without it a server can be reached all the same."""
        try:
            return read_metadata(await self._texts(name, join=False))
        except DnsError:
            return {}

    async def _texts(self, name: str, *, join: bool) -> tuple[str, ...]:
        answer = await self._ask(name, dns.rdatatype.TXT)
        texts: list[str] = []
        for record in list(answer)[: limits.MAX_TXT_RECORDS]:
            if isinstance(record, dns.rdtypes.ANY.TXT.TXT):
                strings = [part.decode("utf-8", "replace") for part in record.strings]
                texts += ["".join(strings)] if join else strings
        return tuple(texts)

    async def _ask(self, name: str, kind: dns.rdatatype.RdataType) -> dns.resolver.Answer:
        try:
            if not self._own:
                self._resolver.read_resolv_conf("/etc/resolv.conf")  # the system's may change while we run
            with trio.fail_after(2 * limits.DNS_SECONDS):  # the library's deadline is by the wall clock
                return await self._resolver.resolve(f"{name}.", kind)
        except dns.resolver.NXDOMAIN as error:
            raise DnsError(name, DnsCause.NO_NAME) from error
        except dns.resolver.NoAnswer as error:
            raise DnsError(name, DnsCause.NO_RECORD, dns.rdatatype.to_text(kind)) from error
        except (dns.exception.Timeout, trio.TooSlowError) as error:
            raise DnsError(name, DnsCause.TIMEOUT) from error
        except dns.resolver.NoNameservers as error:
            raise _no_answer(name, error) from error
        except dns.resolver.NoResolverConfiguration as error:
            raise DnsError(name, DnsCause.UNREACHABLE, "the system has none") from error
        except dns.exception.DNSException as error:
            raise DnsError(name, DnsCause.SERVER_FAILURE, str(error)) from error


def _nameserver(text: str) -> dns.nameserver.Nameserver:
    try:
        return dns.nameserver.Do53Nameserver(str(ipaddress.ip_address(text)))
    except ValueError:
        host, port = parse_address(text)
        if host is None:
            raise ValueError(f"{text!r} is no name server: write ADDRESS or ADDRESS:PORT") from None
        return dns.nameserver.Do53Nameserver(str(ipaddress.ip_address(host)), port)


def _no_answer(name: str, error: dns.resolver.NoNameservers) -> DnsError:
    """All name servers failed: what they said, or that they are not there."""
    failures = [failure[3] for failure in error.kwargs.get("errors", ())]
    said = sorted({failure for failure in failures if isinstance(failure, str)})
    if said:
        return DnsError(name, DnsCause.SERVER_FAILURE, ", ".join(said))
    if failures and all(isinstance(failure, OSError) for failure in failures):
        return DnsError(name, DnsCause.UNREACHABLE, str(failures[0]))
    if failures and all(isinstance(failure, dns.exception.Timeout) for failure in failures):
        return DnsError(name, DnsCause.TIMEOUT)
    return DnsError(name, DnsCause.SERVER_FAILURE, ", ".join(sorted({type(failure).__name__ for failure in failures})))


async def _system_addresses(host: str) -> tuple[str, ...]:
    try:
        with trio.fail_after(limits.DNS_SECONDS):
            found = await trio.socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except trio.TooSlowError as error:
        raise DnsError(host, DnsCause.TIMEOUT) from error
    except (OSError, UnicodeError) as error:
        unknown = isinstance(error, socket.gaierror) and error.errno == socket.EAI_NONAME
        raise DnsError(host, DnsCause.NO_NAME if unknown else DnsCause.SERVER_FAILURE, str(error)) from error
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))[: limits.MAX_ENDPOINTS]
