"""Trust ends: at once or with grace, told to everybody until they say that they know, listed, and for good (rows
B144–B149, B158)."""

import pytest
import trio
import trio.lowlevel

from norc_actors.actors.trust.requests import (
    RELATIONS,
    Appeal,
    Approve,
    RelationChanged,
    RevokeTrust,
    ShowTrust,
    TrustRefused,
)
from norc_actors.limits import CRL_FRESH_SECONDS, CRL_POLL_SECONDS, REVOCATION_ALARM_SECONDS
from norc_actors.protocol.errors import Code, ProtocolError
from norc_actors.protocol.registry import CODES
from norc_actors.trust.revocation import Wish
from supervision import ChildSpec, GenServer, start_child
from supervision.groups import Groups
from supervision.introspect import get_state
from tests.support.trust_net import TrustServer, asked, befriend, friends, goal, network, trusted, until

REVOKE, ACK, REQUEST = CODES["trust_revoke"], CODES["revocation_acknowledgment"], CODES["crl_request"]
CUT_OFF = ("compromised_key", "policy_violation")


async def state(one: TrustServer, other: TrustServer) -> str:
    return (await one.standing(other)).state


async def both_revoked(one: TrustServer, other: TrustServer) -> bool:
    return (await state(one, other)) == (await state(other, one)) == "revoked"


@pytest.mark.parametrize("reason", CUT_OFF)
async def test_at_once_for_security_on_both_sides(tmp_path, autojump_clock, reason):
    async with network(tmp_path) as net:
        a, b = await friends(net)
        before = trio.current_time()
        await b.ask(RevokeTrust(a.name, Wish(reason=reason, grace_period=3600)))
        assert await state(b, a) == "revoked"
        standing = await b.standing(a)
        assert (standing.keys, standing.ingress, standing.egress) == (None, None, None)
        with pytest.raises(ProtocolError) as refused:
            standing.check_ingress("message_relay", "unclassified")
        assert refused.value.code is Code.TRUST_REVOKED
        await until(lambda: both_revoked(a, b))
        assert trio.current_time() - before < 2
        assert (await a.standing(b)).egress is None
        assert b.audited()[-1] == "trust_revoked revoke success"
        assert a.audited()[-1] == "trust_revoked revoked success"
        assert b.audit[-1].actor == "operator"
        detail = await b.ask(ShowTrust(a.name))
        assert [(server, status) for _, server, status in detail.told] == [(a.name, "accepted")]


async def test_with_grace_otherwise(tmp_path, autojump_clock):
    async with network(tmp_path) as net:
        a, b = await friends(net)
        await b.ask(RevokeTrust(a.name, Wish(reason="voluntary", grace_period=600)))
        await trio.sleep(590)
        assert await trusted(a, b)
        assert "has revoked all of it" in " ".join((await a.standing(b)).why)
        await trio.sleep(20)
        assert await both_revoked(a, b)


async def test_one_permission_alone(tmp_path, autojump_clock):
    async with network(tmp_path) as net:
        a, b = await friends(net)
        await b.ask(RevokeTrust(a.name, Wish(reason="voluntary", scope="partial", permissions=("user_discovery",))))

        async def narrowed() -> bool:
            egress = (await a.standing(b)).egress
            return egress is not None and egress.relation.permissions == {"message_relay"}

        await until(narrowed)
        assert await trusted(a, b)
        assert (await b.standing(a)).ingress.relation.permissions == {"message_relay"}
        assert (await b.standing(a)).egress.relation.permissions == {"message_relay", "user_discovery"}


async def test_what_caches_a_relation_hears_of_it_before_the_operator_does(tmp_path, autojump_clock):
    heard: list[str] = []

    class Cache(GenServer):
        async def init(self) -> None:
            Groups(self.system).join(RELATIONS, self.ref)

        async def handle_cast(self, message: object) -> None:
            assert isinstance(message, RelationChanged)
            heard.append(message.server)

    async with network(tmp_path) as net:
        a, b = await friends(net)
        await start_child(b.system.ref("node"), ChildSpec("cache", Cache))
        await b.ask(RevokeTrust(a.name, Wish(reason="compromised_key")))
        await trio.lowlevel.checkpoint()
        assert heard == [a.name]
        await trio.sleep(100)
        assert heard == [a.name]


async def test_nothing_to_revoke(tmp_path, autojump_clock):
    async with network(tmp_path) as net:
        a, b = await friends(net)
        with pytest.raises(TrustRefused, match="no certificate"):
            await a.ask(RevokeTrust("c.example", Wish(reason="voluntary")))
        with pytest.raises(TrustRefused, match="partial"):
            await a.ask(RevokeTrust(b.name, Wish(reason="voluntary", scope="partial")))
        await b.ask(RevokeTrust(a.name, Wish(reason="voluntary")))
        with pytest.raises(TrustRefused, match="no certificate"):
            await b.ask(RevokeTrust(a.name, Wish(reason="voluntary")))
        assert b.audited().count("trust_revoked revoke success") == 1


# --- Told until they know ---


async def test_a_revocation_is_told_until_it_is_acknowledged_and_the_operator_warned_once(tmp_path, autojump_clock):
    async with network(tmp_path) as net:
        a, b = await friends(net)
        net.cuts |= {(a.name, b.name), (b.name, a.name)}
        await b.ask(RevokeTrust(a.name, Wish(reason="compromised_key")))
        await trio.sleep(REVOCATION_ALARM_SECONDS - 10)
        warned = "security_incident revocation_unacknowledged failure"
        assert warned not in b.audited()
        await trio.sleep(30)
        assert b.audited().count(warned) == 1
        assert next(one for one in b.audit if one.action == "revocation_unacknowledged").risk_level == "critical"
        await net.stop(b)
        await net.start(b)
        await trio.sleep(600)
        assert b.audited().count(warned) == 1
        net.cuts.clear()
        await until(lambda: both_revoked(a, b), 120)

        async def acknowledged() -> bool:
            told = (await b.ask(ShowTrust(a.name))).told
            return [status for _, _, status in told] == ["accepted"]

        await until(acknowledged, 120)
        net.carried.clear()
        await trio.sleep(300)
        assert not [one for one in net.carried if REVOKE in one[2]]


async def test_the_same_revocation_twice_is_one_and_acknowledged_twice(tmp_path, autojump_clock):
    async with network(tmp_path) as net:
        a, b = await friends(net)
        net.cuts.add((a.name, b.name))  # what b says arrives, what a answers does not
        await b.ask(RevokeTrust(a.name, Wish(reason="compromised_key")))
        await trio.sleep(60)
        assert sum(REVOKE in one[2] for one in net.carried) > 1
        assert a.audited().count("trust_revoked revoked success") == 1
        net.cuts.clear()

        async def acknowledged() -> bool:
            return [status for _, _, status in (await b.ask(ShowTrust(a.name))).told] == ["accepted"]

        await until(acknowledged, 120)


async def test_third_servers_are_told_and_take_it_as_advice(tmp_path, autojump_clock):
    async with network(tmp_path) as net:
        a, b = await friends(net)
        c = await net.server("c.example")
        await befriend(c, b)
        await befriend(c, a)
        await b.ask(RevokeTrust(a.name, Wish(reason="policy_violation")))

        async def advised() -> bool:
            return "b.example revoked it: policy violation." in (await c.ask(ShowTrust(a.name))).opinions

        await until(advised)
        assert await trusted(c, a)
        assert await trusted(c, b)
        assert c.audited()[-1] == "trust_revoked recommended pending"
        assert len((await c.ask(ShowTrust(b.name))).revoked) == 1


async def test_an_appeal_is_recorded_and_changes_nothing(tmp_path, autojump_clock):
    async with network(tmp_path) as net:
        a, b = await friends(net)
        with pytest.raises(TrustRefused):
            await a.ask(Appeal(b.name, "disputed"))
        await b.ask(RevokeTrust(a.name, Wish(reason="policy_violation")))
        await until(lambda: both_revoked(a, b))
        await a.ask(Appeal(b.name, "appealing"))

        async def recorded() -> bool:
            return [status for _, _, status in (await b.ask(ShowTrust(a.name))).told] == ["appealing"]

        await until(recorded)
        assert await both_revoked(a, b)


async def test_trust_after_a_revocation_is_a_new_exchange(tmp_path, autojump_clock):
    async with network(tmp_path) as net:
        a, b = await friends(net)
        await b.ask(RevokeTrust(a.name, Wish(reason="compromised_key")))
        await until(lambda: both_revoked(a, b))
        await asked(a, b, goal())
        shown = (await b.ask(ShowTrust(a.name))).exchanges[0]
        assert "1 of its certificates were revoked here for reasons of security." in shown.why
        await b.ask(Approve(a.name, organisation_checked=True))
        await until(lambda: trusted(a, b))


async def test_a_revocation_ends_what_was_being_asked(tmp_path, autojump_clock):
    async with network(tmp_path) as net:
        a, b = await friends(net, "basic")
        await asked(a, b, goal())
        await b.ask(RevokeTrust(a.name, Wish(reason="compromised_key")))
        with pytest.raises(TrustRefused, match="has not asked"):
            await b.ask(Approve(a.name, organisation_checked=True))


async def test_revoked_stays_revoked_over_restarts_and_renewals_do_not_bring_it_back(tmp_path, autojump_clock):
    async with network(tmp_path) as net:
        a, b = await friends(net, lifetime=900)
        first = (await b.ask(ShowTrust(a.name))).issued
        await trio.sleep(650)
        assert (await b.ask(ShowTrust(a.name))).issued != first  # renewed in its last third
        await b.ask(RevokeTrust(a.name, Wish(reason="compromised_key")))
        await until(lambda: both_revoked(a, b))
        for server in (a, b):
            await net.stop(server)
            await net.start(server)
        assert await both_revoked(a, b)
        await trio.sleep(900)
        assert (await b.standing(a)).ingress is None


# --- Lists ---


async def test_a_revocation_that_was_never_told_is_found_in_the_list(tmp_path, autojump_clock):
    async with network(tmp_path) as net:
        a, b = await friends(net)
        c = await net.server("c.example")
        await befriend(c, b)
        net.cuts.add((b.name, c.name))  # pushes and answers of b do not get there …
        await b.ask(RevokeTrust(a.name, Wish(reason="compromised_key")))
        revoked = {(await b.ask(ShowTrust(a.name))).issued.id}
        await trio.sleep(20)
        assert (await c.ask(ShowTrust(b.name))).revoked == frozenset()
        b.net.cuts.clear()
        net.servers[b.name].system.ref("crl_manager").kill()  # … and whoever pushes begins anew; c asks by itself

        async def known() -> bool:
            return (await c.ask(ShowTrust(b.name))).revoked == revoked

        await until(known, CRL_POLL_SECONDS + 30)


async def test_without_a_list_for_five_minutes_a_relation_is_suspended_and_comes_back(tmp_path, autojump_clock):
    async with network(tmp_path) as net:
        a, b = await friends(net)
        await trio.sleep(300)
        assert await trusted(a, b)
        net.cuts |= {(a.name, b.name), (b.name, a.name)}
        await trio.sleep(CRL_FRESH_SECONDS - CRL_POLL_SECONDS - 40)
        assert await trusted(a, b)
        await trio.sleep(CRL_POLL_SECONDS + 60)
        assert (await state(a, b), await state(b, a)) == ("suspended", "suspended")
        assert (await a.standing(b)).egress is not None
        assert a.audited().count("security_incident crl_stale failure") == 1
        net.cuts.clear()
        await until(lambda: trusted(a, b), 90)
        await trio.sleep(300)
        assert a.audited().count("security_incident crl_stale failure") == 1


async def test_peers_are_asked_once_a_minute(tmp_path, autojump_clock):
    async with network(tmp_path) as net:
        a, b = await friends(net)
        net.carried.clear()
        await trio.sleep(600)
        polls = [one for one in net.carried if one[2] == (REQUEST,)]
        assert 2 * 10 <= len(polls) <= 2 * 13
        assert {(source, target) for source, target, _ in polls} == {(a.name, b.name), (b.name, a.name)}


async def test_a_list_from_the_future_is_held_and_does_not_count(tmp_path, autojump_clock):
    async with network(tmp_path) as net:
        a, b = await friends(net)
        b.clock_off = 600
        await trio.sleep(400)
        assert await state(a, b) == "suspended"
        assert "security_incident crl_from_the_future failure" in a.audited()
        b.clock_off = 0
        await until(lambda: trusted(a, b), 700)


async def test_whoever_lost_its_trust_is_not_told_the_list(tmp_path, autojump_clock):
    async with network(tmp_path) as net:
        a, b = await friends(net)
        await b.ask(RevokeTrust(a.name, Wish(reason="compromised_key")))
        await until(lambda: both_revoked(a, b))
        net.carried.clear()
        await trio.sleep(300)
        assert not [one for one in net.carried if REQUEST in one[2]]


async def test_the_number_of_the_list_rises_over_restarts(tmp_path, autojump_clock):
    async with network(tmp_path) as net:
        a, b = await friends(net)
        c = await net.server("c.example")
        await befriend(c, b)

        async def number() -> int:
            state = await get_state(b.system.ref("crl_manager"))
            assert isinstance(state, dict)
            return int(state["_own"].number)

        assert await number() == 0
        await b.ask(RevokeTrust(a.name, Wish(reason="compromised_key")))
        await trio.sleep(1)
        assert await number() == 1
        await net.stop(b)
        await net.start(b)
        assert await number() == 1
        await b.ask(RevokeTrust(c.name, Wish(reason="voluntary", grace_period=50)))
        await trio.sleep(10)
        assert await number() == 1
        await trio.sleep(50)
        assert await number() == 2
