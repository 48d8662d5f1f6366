"""Certificates are renewed in time, without a gap, with nothing more than an operator approved (rows B143, B155)."""

import dataclasses

import pytest
import trio

from norc_actors.actors.trust.requests import Approve, ListTrust, Reissue, Reject, Renew, ShowTrust, TrustRefused
from norc_actors.protocol.messages.trust_decision import RequestedChange
from norc_actors.trust.certificates import Grant, grant_of
from tests.support.people import NOW
from tests.support.trust_net import TrustServer, befriend, friends, network, trusted, until

LIFE = 900


def wants(permission):
    return RequestedChange(change_type="add", permission=permission, new_value=True, justification="calls")


async def serial(one: TrustServer, other: TrustServer) -> str:
    """The certificate that counts from `one` to `other`, as both have it."""
    mine, theirs = (await one.ask(ShowTrust(other.name))).issued, (await other.ask(ShowTrust(one.name))).held
    return mine.id if mine == theirs else ""


async def test_it_is_renewed_in_its_last_third_and_there_is_no_gap(tmp_path, autojump_clock):
    async with network(tmp_path) as net:
        a, b = await friends(net, lifetime=LIFE)
        first = await serial(b, a)
        await trio.sleep(LIFE * 0.6)
        assert await serial(b, a) == first
        certificates = {first}
        for _ in range(100):
            await trio.sleep(20)
            assert await trusted(a, b)
            certificates.add(await serial(b, a))
        assert 3 <= len(certificates - {""}) <= 5
        assert "" not in certificates
        asked, renewed = (
            a.audited().count("trust_renewed ask pending"),
            b.audited().count("trust_renewed renew success"),
        )
        assert asked == renewed == a.audited().count("trust_renewed take success") == len(certificates) - 1


@pytest.mark.parametrize("way", ["there", "back"])
async def test_a_lost_renewal_is_asked_for_again_and_given_once(tmp_path, autojump_clock, way):
    async with network(tmp_path) as net:
        a, b = await friends(net, lifetime=LIFE)
        first = await serial(b, a)
        net.cuts.add((a.name, b.name) if way == "there" else (b.name, a.name))
        await trio.sleep(LIFE * 0.7)
        net.cuts.clear()

        async def renewed() -> bool:
            return await serial(b, a) not in ("", first)

        await until(renewed, 100)
        assert b.audited().count("trust_renewed renew success") == 1
        await until(lambda: trusted(a, b), 100)  # the cut has suspended it


async def test_more_permissions_wait_for_an_operator(tmp_path, autojump_clock):
    async with network(tmp_path) as net:
        a, b = await friends(net)
        first = await serial(b, a)
        await a.ask(Renew(b.name, changes=(wants("voice_calls"),)))
        await trio.sleep(5)
        assert await serial(b, a) == first
        [line] = await b.ask(ListTrust())
        assert line.waits_for_operator
        [waiting] = [one for one in (await b.ask(ShowTrust(a.name))).exchanges if one.waits_for_operator]
        assert waiting.why == ("It asks for the permission voice_calls: calls",)
        await net.stop(b)
        await net.start(b)
        await b.ask(Approve(a.name))

        async def granted() -> bool:
            egress = (await a.standing(b)).egress
            return egress is not None and "voice_calls" in egress.relation.permissions

        await until(granted)
        assert not (await b.ask(ListTrust()))[0].waits_for_operator
        assert [one.actor for one in b.audit if one.action == "renew"] == ["operator"]


async def test_a_refused_renewal_leaves_what_there_is(tmp_path, autojump_clock):
    async with network(tmp_path) as net:
        a, b = await friends(net)
        first = await serial(b, a)
        await a.ask(Renew(b.name, changes=(wants("voice_calls"),)))
        await trio.sleep(5)
        await b.ask(Reject(a.name, "No calls."))
        await trio.sleep(5)
        assert await serial(b, a) == first
        assert await trusted(a, b)
        assert not (await b.ask(ListTrust()))[0].waits_for_operator
        assert a.audited()[-1] == "trust_renewed ask failure"
        with pytest.raises(TrustRefused):
            await b.ask(Reject(a.name))


async def test_a_level_above_is_not_renewed_into(tmp_path, autojump_clock):
    async with network(tmp_path) as net:
        a, b = await friends(net, "basic")
        await a.ask(Renew(b.name, level="verified"))
        await trio.sleep(5)
        assert not (await b.ask(ListTrust()))[0].waits_for_operator
        assert (await a.standing(b)).level == "basic"
        with pytest.raises(TrustRefused, match="verified was not proven"):
            await b.ask(Reissue(a.name, Grant(level="verified")))


async def test_new_terms_reach_the_other_whatever_restarts(tmp_path, autojump_clock):
    async with network(tmp_path) as net:
        a, b = await friends(net)
        net.cuts |= {(a.name, b.name), (b.name, a.name)}
        await trio.sleep(2)
        usual = grant_of((await b.ask(ShowTrust(a.name))).issued)
        await b.ask(Reissue(a.name, dataclasses.replace(usual, permissions=frozenset({"message_relay"}))))
        assert (await b.standing(a)).ingress.relation.permissions == {"message_relay"}
        await trio.sleep(10)
        await net.stop(b)
        await net.start(b)
        net.cuts.clear()

        async def narrowed() -> bool:
            egress = (await a.standing(b)).egress
            return egress is not None and egress.relation.permissions == {"message_relay"}

        await until(narrowed, 100)
        net.carried.clear()
        await trio.sleep(50)
        assert all(len(set(codes) - {0xA7}) == 0 for _, _, codes in net.carried)  # nothing but lists


async def test_nothing_lasts_longer_than_its_exchange_allows(tmp_path, autojump_clock):
    async with network(tmp_path) as net:
        a = await net.server("a.example", max_age=LIFE * 2)
        b = await net.server("b.example", max_age=LIFE * 2)
        await befriend(a, b, lifetime=LIFE)
        began = (await b.ask(ShowTrust(a.name))).issued.established_at

        async def over() -> bool:
            return (await b.standing(a)).ingress is None

        await until(over, LIFE * 3)
        assert began + LIFE * 2 - 20 <= NOW + trio.current_time() <= began + LIFE * 2 + 40
        assert (await a.standing(b)).state == "expired"


async def test_nothing_to_renew(tmp_path, autojump_clock):
    async with network(tmp_path) as net:
        a, b = await friends(net, renewable=False)
        for server in (b.name, "c.example"):
            with pytest.raises(TrustRefused, match="nothing that can be renewed"):
                await a.ask(Renew(server))
        with pytest.raises(TrustRefused, match="not trusted"):
            await a.ask(Reissue("c.example"))
