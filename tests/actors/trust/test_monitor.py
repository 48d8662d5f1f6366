"""Deadlines act on time, once, also over restarts; risks are shown (rows B140, B154)."""

import pytest
import trio

from norc_actors.actors.trust.requests import AskOpinion, Reissue, ShowTrust, TrustRefused
from norc_actors.protocol.messages.trust_decision import TrustCondition
from tests.support.people import NOW
from tests.support.trust_net import befriend, friends, network, until

DUE = 1000


def condition(action):
    return TrustCondition(condition="compliance_audit", deadline=NOW + DUE, auto_action=action)


def entries(server):
    kinds = ("compliance_check", "trust_revoked")
    return [line for line in server.audited() if line.startswith(kinds)]


@pytest.mark.parametrize(
    ("action", "entry", "level"),
    [
        ("revoke", "trust_revoked revoke success", "untrusted"),
        ("downgrade", "compliance_check condition_missed failure", "basic"),
        ("notify", "compliance_check condition_missed failure", "verified"),
    ],
)
async def test_a_missed_deadline_acts_on_time_on_both_sides_and_is_recorded_once(
    tmp_path, autojump_clock, action, entry, level
):
    async with network(tmp_path) as net:
        a, b = await friends(net, conditions=(condition(action),))
        await trio.sleep(DUE - 2 - trio.current_time())
        assert (await a.standing(b)).level == (await b.standing(a)).level == "verified"
        assert entries(b) == []
        await trio.sleep(4)
        assert (await a.standing(b)).level == (await b.standing(a)).level == level
        assert entries(b) == [entry]
        await net.stop(b)
        await net.start(b)
        await trio.sleep(200)
        assert entries(b) == [entry]
        if action == "revoke":
            assert next(one.actor for one in b.audit if one.action == "revoke") == "condition"


async def test_what_came_due_while_a_server_was_away_is_done_when_it_is_back(tmp_path, autojump_clock):
    async with network(tmp_path) as net:
        a, b = await friends(net, conditions=(condition("revoke"),))
        await net.stop(b)
        await trio.sleep(DUE + 100)
        assert (await a.standing(b)).egress is None
        await net.start(b)

        async def revoked() -> bool:
            return (await a.standing(b)).state == "revoked"

        await until(revoked, 100)
        assert entries(b) == ["trust_revoked revoke success"]


async def test_a_condition_that_was_met_is_gone(tmp_path, autojump_clock):
    async with network(tmp_path) as net:
        a, b = await friends(net, conditions=(condition("revoke"),))
        await trio.sleep(500)
        await b.ask(Reissue(a.name))
        await trio.sleep(DUE)
        assert (await a.standing(b)).level == (await b.standing(a)).level == "verified"
        assert entries(b) == []


async def test_what_endangers_a_relation_is_shown(tmp_path, autojump_clock):
    async with network(tmp_path) as net:
        a, b = await friends(net, lifetime=86400 * 20, renewable=False)
        health = (await a.ask(ShowTrust(b.name))).health
        assert [risk.risk_type for risk in health.risks] == ["certificate_expiry"]
        assert health.score == 85


# --- Opinions ---


async def test_what_others_think_is_asked_and_counts_as_their_operators_let_it(tmp_path, autojump_clock):
    async with network(tmp_path) as net:
        a = await net.server("a.example")
        b = await net.server("b.example", speaks_of_others=True)
        c = await net.server("c.example")
        d = await net.server("d.example")
        await befriend(a, b)
        await befriend(a, d)
        await befriend(c, b)
        for asked in (b, d):
            await a.ask(AskOpinion(asked.name, c.name, "verified"))

        async def told() -> bool:
            return len((await a.ask(ShowTrust(c.name))).opinions) == 2

        await until(told)
        assert set((await a.ask(ShowTrust(c.name))).opinions) == {
            "b.example: positive, low confidence, verified.", "d.example: declined, low confidence, untrusted.",
        }  # fmt: skip
        with pytest.raises(TrustRefused, match="is not trusted"):
            await a.ask(AskOpinion(c.name, b.name, "basic"))
