"""Look-ups against a real DNS server on loopback, well-mannered and not."""

import os
import random
import struct
from collections import Counter
from collections.abc import AsyncIterator

import dns.flags
import dns.message
import dns.rcode
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from norc_actors import limits
from norc_actors.ids import ServerId
from norc_actors.net.dns import DnsResolver
from norc_actors.net.errors import DnsCause, DnsError
from norc_actors.net.srv import Endpoint, in_order, make_endpoint, read_metadata
from tests.support.dns_server import DnsServer, Manners, dns_server

BOB = ServerId("bob.example.org")
SRV = f"_norc-federation._tcp.{BOB}"
PROOF = f"_norc-trust-challenge.{BOB}"


@pytest.fixture
async def server() -> AsyncIterator[DnsServer]:
    async with dns_server() as running:
        yield running


@pytest.fixture
def resolver(server: DnsServer) -> DnsResolver:
    return DnsResolver([server.address], random=os.urandom)


async def test_srv_and_its_metadata(server: DnsServer, resolver: DnsResolver) -> None:
    server.set(SRV, "SRV", "10 5 8843 norc1.example.org.", "20 5 8844 NORC2.example.org.", ttl=120)
    server.set(SRV, "TXT", '"version=1.0" "capabilities=federation,voice_relay"')
    found = await resolver.locate(BOB)
    assert found.endpoints == (
        Endpoint("norc1.example.org", 8843, 10, 5),
        Endpoint("norc2.example.org", 8844, 20, 5),
    )
    assert found.capabilities == ("federation", "voice_relay")
    assert found.metadata["version"] == "1.0"
    assert found.ttl == 120


async def test_without_srv_it_is_the_servers_own_name(server: DnsServer, resolver: DnsResolver) -> None:
    assert (await resolver.locate(BOB)).endpoints == (Endpoint(BOB, 8843),)
    server.set(BOB, "A", "192.0.2.1")  # the name exists, and has no SRV
    assert (await resolver.locate(BOB)).endpoints == (Endpoint(BOB, 8843),)


async def test_not_offered(server: DnsServer, resolver: DnsResolver) -> None:
    server.set(SRV, "SRV", "0 0 0 .")
    with pytest.raises(DnsError) as caught:
        await resolver.locate(BOB)
    assert caught.value.cause is DnsCause.NOT_OFFERED
    assert caught.value.is_answer


async def test_an_alias(server: DnsServer, resolver: DnsResolver) -> None:
    server.set(SRV, "CNAME", "elsewhere.example.net.")
    server.set("elsewhere.example.net", "SRV", "0 0 9000 host.example.net.")
    assert (await resolver.locate(BOB)).endpoints == (Endpoint("host.example.net", 9000),)


async def test_more_endpoints_than_are_kept_come_over_tcp(server: DnsServer, resolver: DnsResolver) -> None:
    server.set(SRV, "SRV", *(f"{n} 1 8843 a-rather-long-name-of-host-{n}.example.org." for n in range(60)))
    found = await resolver.locate(BOB)
    assert [one.priority for one in found.endpoints] == list(range(limits.MAX_ENDPOINTS))
    assert ("tcp", SRV, "SRV") in server.asked


async def test_the_domains_proof(server: DnsServer, resolver: DnsResolver) -> None:
    assert await resolver.challenge_records(BOB) == ()
    server.set(PROOF, "TXT", '"norc-trust-" "challenge=abc"', '"other"')
    assert set(await resolver.challenge_records(BOB)) == {"norc-trust-challenge=abc", "other"}
    server.set(PROOF, "TXT", *(f'"{n}"' for n in range(200)))
    assert len(await resolver.challenge_records(BOB)) == limits.MAX_TXT_RECORDS


async def test_addresses(server: DnsServer, resolver: DnsResolver) -> None:
    server.set("host.example", "A", "127.0.0.3", "127.0.0.2")
    server.set("host.example", "AAAA", "::1")
    found = await resolver.addresses("host.example")
    assert (found[0], set(found[1:])) == ("::1", {"127.0.0.2", "127.0.0.3"})
    server.set("host.example", "AAAA")
    assert set(await resolver.addresses("host.example")) == {"127.0.0.2", "127.0.0.3"}
    assert await resolver.addresses("127.0.0.9") == ("127.0.0.9",)
    with pytest.raises(DnsError) as caught:
        await resolver.addresses("none.example")
    assert caught.value.cause is DnsCause.NO_NAME


async def test_addresses_of_the_system() -> None:
    resolver = DnsResolver(random=os.urandom)
    assert set(await resolver.addresses("localhost")) & {"127.0.0.1", "::1"}
    with pytest.raises(DnsError):
        await resolver.addresses("no host of mine")


@pytest.mark.parametrize(
    ("manners", "cause", "detail"),
    [
        (Manners(rcode=dns.rcode.SERVFAIL), DnsCause.SERVER_FAILURE, "SERVFAIL"),
        (Manners(rcode=dns.rcode.REFUSED), DnsCause.SERVER_FAILURE, "REFUSED"),
        (Manners(silent=True), DnsCause.TIMEOUT, ""),
        (Manners(instead=lambda _: b"no DNS"), DnsCause.TIMEOUT, ""),
        (Manners(rcode=dns.rcode.NXDOMAIN), DnsCause.NO_NAME, ""),
    ],
)
async def test_no_answer_is_told_apart(
    server: DnsServer, monkeypatch: pytest.MonkeyPatch, manners: Manners, cause: DnsCause, detail: str
) -> None:
    monkeypatch.setattr(limits, "DNS_SECONDS", 0.4)
    monkeypatch.setattr(limits, "DNS_TRY_SECONDS", 0.15)
    resolver = DnsResolver([server.address], random=os.urandom)
    server.manners.append(manners)
    with pytest.raises(DnsError) as caught, trio.fail_after(5):
        await resolver.addresses("host.example")
    assert caught.value.cause is cause
    assert caught.value.is_answer is (cause is DnsCause.NO_NAME)
    assert detail in str(caught.value)
    if cause is not DnsCause.NO_NAME:
        with pytest.raises(DnsError), trio.fail_after(5):
            await resolver.locate(BOB)  # no answer is no permission to guess
        with pytest.raises(DnsError), trio.fail_after(5):
            await resolver.challenge_records(BOB)


async def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "DNS_SECONDS", 0.5)
    async with dns_server() as server:
        address = server.address
    with pytest.raises(DnsError) as caught, trio.fail_after(5):
        await DnsResolver([address], random=os.urandom).addresses("host.example")
    assert caught.value.cause in (DnsCause.UNREACHABLE, DnsCause.TIMEOUT)


async def test_the_next_name_server_is_asked(server: DnsServer) -> None:
    server.set("host.example", "A", "127.0.0.2")
    async with dns_server() as broken:
        broken.manners.append(Manners(rcode=dns.rcode.SERVFAIL))
        resolver = DnsResolver([broken.address, server.address], random=os.urandom)
        assert await resolver.addresses("host.example") == ("127.0.0.2",)
        assert broken.asked


@pytest.mark.parametrize("truncated", [True, False])
async def test_a_liar_is_not_believed(server: DnsServer, resolver: DnsResolver, truncated: bool) -> None:
    """Answers with another id or to another question come first, and the true one is waited for."""
    server.set("host.example", "A", "127.0.0.2")

    def other_id(query: dns.message.Message) -> bytes:
        lie = dns.message.make_response(query)
        lie.answer = server.answer(query).answer
        wire = bytearray(lie.to_wire())
        wire[:2] = struct.pack("!H", query.id ^ 1)
        return bytes(wire)

    def other_question(query: dns.message.Message) -> bytes:
        asked = dns.message.make_query("evil.example.", "A", id=query.id)
        lie = dns.message.make_response(asked)
        if truncated:
            lie.flags |= dns.flags.TC
        return lie.to_wire()

    server.manners += [Manners(lie=other_id), Manners(lie=other_question)]
    assert await resolver.addresses("host.example") == ("127.0.0.2",)


async def test_truncated_is_asked_again_over_tcp(server: DnsServer, resolver: DnsResolver) -> None:
    server.set("host.example", "A", "127.0.0.2")
    server.manners.append(Manners(truncated=True))
    assert await resolver.addresses("host.example") == ("127.0.0.2",)
    assert {transport for transport, *_ in server.asked} == {"udp", "tcp"}


async def test_a_slow_answer_delays_nobody_else(server: DnsServer, resolver: DnsResolver) -> None:
    """Row B183."""
    for name in ("slow.example", "fast.example"):
        server.set(name, "A", "127.0.0.2")
    server.manners.append(Manners(only="slow.example", silent=True))
    done = 0
    with trio.move_on_after(limits.DNS_TRY_SECONDS * 0.9) as scope:
        async with trio.open_nursery() as nursery:

            async def fast() -> None:
                nonlocal done
                await resolver.addresses("fast.example")
                done += 1
                if done == 50:
                    scope.cancel()

            nursery.start_soon(resolver.addresses, "slow.example")
            for _ in range(50):
                nursery.start_soon(fast)
    assert done == 50


@pytest.mark.parametrize("text", ["ns.example:53", ":53", "127.0.0.1:99999", "", "300.1.1.1"])
def test_a_name_server_is_an_address(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        DnsResolver([text], random=os.urandom)


def test_name_servers_of_both_kinds() -> None:
    DnsResolver(["192.0.2.1", "192.0.2.1:5353", "[2001:db8::1]:5353", "2001:db8::1"], random=os.urandom)


# --- The order of SRV records (RFC 2782) ---


def draw(seed: int):
    return random.Random(seed).randbytes


def endpoints(*weights: int, priority: int = 0) -> list[Endpoint]:
    return [Endpoint(f"h{place}", 1, priority, weight) for place, weight in enumerate(weights)]


def test_the_share_of_each_is_its_weight() -> None:
    """Row B111: 20,000 draws; the first place goes by weight (one more in the sum for the number 0)."""
    given_ = endpoints(1, 3, 6)
    count = 20_000
    random_ = draw(1)
    first = Counter(in_order(given_, random_)[0].weight for _ in range(count))
    for weight, share in ((1, 2 / 11), (3, 3 / 11), (6, 6 / 11)):
        assert abs(first[weight] / count - share) < 0.02


def test_among_those_left_too() -> None:
    given_ = endpoints(10, 10, 80)
    random_ = draw(2)
    orders = [in_order(given_, random_) for _ in range(6000)]
    second = Counter(order[1].host for order in orders if order[0].host == "h2")
    assert set(second) == {"h0", "h1"}
    assert 0.8 < second["h0"] / second["h1"] < 1.3


def test_weight_nought_comes_up_rarely_and_is_never_left_out() -> None:
    given_ = endpoints(0, 99)
    random_ = draw(3)
    orders = [in_order(given_, random_) for _ in range(10_000)]
    assert all(len(order) == 2 for order in orders)
    assert 0.002 < sum(order[0].weight == 0 for order in orders) / 10_000 < 0.03


@given(
    found=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 65535)), max_size=30),
    seed=st.integers(0, 1000),
)
def test_all_of_them_in_the_order_of_priority(found: list[tuple[int, int]], seed: int) -> None:
    given_ = [Endpoint(f"h{place}", 1, priority, weight) for place, (priority, weight) in enumerate(found)]
    ordered = in_order(given_, draw(seed))
    assert len(ordered) == len(set(ordered)) == min(len(given_), limits.MAX_ENDPOINTS)
    assert [one.priority for one in ordered] == sorted(one.priority for one in given_)[: limits.MAX_ENDPOINTS]


@pytest.mark.parametrize(("host", "port"), [("a_b.example", 1), ("", 1), ("a.example", 0), ("*", 1), ("a" * 300, 1)])
def test_what_is_no_place_to_connect_to(host: str, port: int) -> None:
    assert make_endpoint(host, port, 0, 0) is None


def test_metadata() -> None:
    texts = ["version=1.0", "Version=2", " Key = a=b ", "nothing", "=x", "empty="]
    assert read_metadata(texts) == {"version": "1.0", "key": "a=b", "empty": ""}
