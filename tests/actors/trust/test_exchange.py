"""Two servers with the real trust branch come to trust one another: operators, DNS, lost answers, restarts (rows
B136–B142, B158, B183)."""

import dataclasses

import pytest
import trio

from norc_actors.actors.trust.requests import Approve, ListTrust, Reject, RequestTrust, ShowTrust, TrustRefused
from norc_actors.crypto.signatures import SigningKey
from norc_actors.trust.certificates import Grant
from norc_actors.trust.drafts import key_fingerprint
from tests.support.people import NOW, seeded
from tests.support.trust import policies
from tests.support.trust_net import asked, friends, goal, network, trusted, until


async def test_from_the_request_to_trust(tmp_path, autojump_clock):
    async with network(tmp_path) as net:
        a, b = await net.server("a.example"), await net.server("b.example")
        await asked(a, b, goal())
        seen = (await b.ask(ShowTrust(a.name))).exchanges[0]
        assert seen.waits_for_operator
        assert (seen.requested, seen.level, seen.organisation.name) == ("verified", "basic", "a.example Ltd")
        assert "verified needs a check of the organisation by an operator." in seen.against["verified"]
        assert (await b.standing(a)).state == "none"
        granted = await b.ask(Approve(a.name, organisation_checked=True))
        assert granted.state == "decided"
        await until(lambda: trusted(a, b))
        mine, theirs = await a.standing(b), await b.standing(a)
        assert (mine.level, theirs.level) == ("verified", "verified")
        assert mine.keys == (b.party.key.public_key,)
        assert a.audited() == ["trust_request request pending", "trust_granted acknowledge success"]
        assert b.audited() == [
            "trust_request judged pending", "trust_granted approve success", "trust_granted acknowledged success",
        ]  # fmt: skip
        assert [one.actor for one in b.audit] == ["", "operator", ""]
        assert b.audit[1].evidence


async def test_nothing_is_granted_without_an_operator(tmp_path, autojump_clock):
    async with network(tmp_path) as net:
        a, b = await net.server("a.example"), await net.server("b.example")
        await asked(a, b, goal("basic"))
        await trio.sleep(3600)
        assert (await b.standing(a)).state == "none"
        with pytest.raises(TrustRefused, match="basic was asked for"):
            await b.ask(Approve(a.name, grant=Grant(level="verified"), organisation_checked=True))


async def test_basic_may_be_granted_by_policy(tmp_path, autojump_clock):
    async with network(tmp_path) as net:
        a = await net.server("a.example")
        b = await net.server("b.example", profile={"policies": policies(auto_accept_basic=True)})
        await a.ask(RequestTrust(b.name, goal("basic")))
        await until(lambda: trusted(a, b))
        assert [one.actor for one in b.audit if one.action == "approve"] == ["policy"]


async def test_what_was_not_proven_is_not_granted_and_the_operator_learns_what(tmp_path, autojump_clock):
    async with network(tmp_path) as net:
        a, b = await net.server("a.example"), await net.server("b.example")
        await asked(a, b, goal())
        with pytest.raises(TrustRefused) as refused:
            await b.ask(Approve(a.name))
        assert "verified needs a check of the organisation by an operator" in refused.value.why
        assert (await b.standing(a)).state == "none"
        await b.ask(Approve(a.name, grant=Grant(level="basic")))
        await until(lambda: trusted(a, b))
        assert (await a.standing(b)).level == "basic"


async def test_a_rejection_reaches_the_other_with_its_reason(tmp_path, autojump_clock):
    async with network(tmp_path) as net:
        a, b = await net.server("a.example"), await net.server("b.example")
        await asked(a, b, goal())
        await b.ask(Reject(a.name, "We have never met."))

        async def told() -> bool:
            return (await a.ask(ShowTrust(b.name))).exchanges[0].note == "We have never met."

        await until(told)
        assert (await a.standing(b)).state == "none"
        assert b.audited()[-1] == "access_denied reject success"
        assert a.audited()[-1] == "trust_request decision failure"
        with pytest.raises(TrustRefused):
            await b.ask(Reject(a.name))


async def test_forged_evidence_is_refused_without_an_operator(tmp_path, autojump_clock):
    async with network(tmp_path) as net:
        a = await net.server("a.example", profile={"chain": (b"bad",)})
        b = await net.server("b.example")
        await a.ask(RequestTrust(b.name, goal(domain_challenge=bytes(32))))

        async def over() -> bool:
            return (await a.ask(ShowTrust(b.name))).exchanges[0].note == "The evidence does not hold."

        await until(over)
        assert "access_denied reject failure" in b.audited()


async def test_a_record_that_is_published_later_is_waited_for(tmp_path, autojump_clock):
    async with network(tmp_path) as net:
        a, b = await net.server("a.example"), await net.server("b.example")
        await a.ask(RequestTrust(b.name, goal()))
        await trio.sleep(86400)
        view = (await a.ask(ShowTrust(b.name))).exchanges[0]
        assert (view.state, list(view.records)) == ("challenged", ["_norc-trust-challenge.a.example"])
        net.txt[a.name] = ["other=1", *view.records.values()]

        async def judged() -> bool:
            return (await b.ask(ShowTrust(a.name))).exchanges[0].score is not None

        await until(judged)
        assert "It put the challenge into the DNS of a.example." in (await b.ask(ShowTrust(a.name))).exchanges[0].why


async def test_dns_that_hangs_delays_one_and_nobody_else(tmp_path, autojump_clock):
    async with network(tmp_path) as net:
        b = await net.server("b.example")
        others = [await net.server(f"s{number}.example") for number in range(20)]
        net.silent_dns.add(others[0].name)
        begun = trio.current_time()
        for other in others:
            await other.ask(RequestTrust(b.name, goal(domain_challenge=bytes(32))))

        async def judged() -> bool:
            lines = await b.ask(ListTrust())
            views = [(await b.ask(ShowTrust(line.server))).exchanges[0] for line in lines]
            return len(views) == 20 and sum(view.score is not None for view in views) >= 19

        await until(judged)
        assert trio.current_time() - begun < 2
        await trio.sleep(30)
        late = (await b.ask(ShowTrust(others[0].name))).exchanges[0]
        assert "did not answer: no answer within" in " ".join(late.why)


async def test_an_expected_key_that_is_not_shown_ends_it(tmp_path, autojump_clock):
    async with network(tmp_path) as net:
        a, b = await net.server("a.example"), await net.server("b.example")
        await a.ask(RequestTrust(b.name, goal("basic", fingerprint="0000 1111")))

        async def over() -> bool:
            return "its key is" in (await a.ask(ShowTrust(b.name))).exchanges[0].note

        await until(over)
        assert (await a.ask(ShowTrust(b.name))).exchanges[0].state == "closed"
        await asked(a, b, goal("basic", fingerprint=key_fingerprint(b.party.key.public_key)))


async def test_a_server_that_is_away_is_asked_until_it_is_there(tmp_path, autojump_clock):
    async with network(tmp_path) as net:
        a, b = await net.server("a.example"), await net.server("b.example")
        net.cuts.add((a.name, b.name))
        await a.ask(RequestTrust(b.name, goal("basic")))
        await trio.sleep(120)
        view = (await a.ask(ShowTrust(b.name))).exchanges[0]
        assert (view.state, "cannot be reached" in view.note) == ("requested", True)
        net.cuts.clear()

        async def heard() -> bool:
            return bool(await b.ask(ListTrust()))

        await until(heard, 120)


async def test_a_request_that_is_too_old_when_it_arrives_is_begun_anew(tmp_path, autojump_clock):
    async with network(tmp_path) as net:
        a, b = await net.server("a.example"), await net.server("b.example")
        net.cuts.add((a.name, b.name))
        await a.ask(RequestTrust(b.name, goal("basic")))
        await trio.sleep(3600)
        net.cuts.clear()

        async def judged() -> bool:
            exchanges = (await b.ask(ShowTrust(a.name))).exchanges
            return bool(exchanges) and exchanges[0].score is not None

        await until(judged, 300)
        notes = [view.note for view in (await a.ask(ShowTrust(b.name))).exchanges]
        assert "too old when it arrived; begun anew" in notes


LOST = [(direction, kind) for direction in ("there", "back") for kind in ("request", "response", "decision")]


@pytest.mark.parametrize(("direction", "kind"), LOST)
async def test_lost_words_and_lost_answers_change_nothing(tmp_path, autojump_clock, direction, kind):
    """Whatever is lost on the way, on the way there or on the way back, both end where they would have ended."""
    async with network(tmp_path) as net:
        a, b = await net.server("a.example"), await net.server("b.example")
        sender, hearer = (b, a) if kind == "decision" else (a, b)
        way = (sender.name, hearer.name) if direction == "there" else (hearer.name, sender.name)
        if kind == "request":
            net.cuts.add(way)
        await a.ask(RequestTrust(b.name, goal("basic", domain_challenge=None)))
        if kind == "response":
            net.cuts.add(way)
        await trio.sleep(20)
        net.cuts.clear()

        async def judged() -> bool:
            exchanges = (await b.ask(ShowTrust(a.name))).exchanges
            return bool(exchanges) and exchanges[0].score is not None

        await until(judged, 200)
        if kind == "decision":
            net.cuts.add(way)
        await b.ask(Approve(a.name))
        await trio.sleep(20)
        net.cuts.clear()
        await until(lambda: trusted(a, b), 200)
        assert b.audited().count("trust_granted approve success") == 1
        assert a.audited().count("trust_granted acknowledge success") == 1
        assert len((await a.ask(ShowTrust(b.name))).exchanges) == 1


@pytest.mark.parametrize("who", ["a", "b"])
@pytest.mark.parametrize("when", ["requested", "challenged", "judged", "decided"])
async def test_a_restart_at_any_time_changes_nothing(tmp_path, autojump_clock, when, who):
    async with network(tmp_path) as net:
        a, b = await net.server("a.example"), await net.server("b.example")

        async def restart() -> None:
            victim = a if who == "a" else b
            await net.stop(victim)
            await net.start(victim)

        if when == "requested":
            net.cuts.add((a.name, b.name))
        await a.ask(RequestTrust(b.name, goal()))
        await trio.sleep(2)
        if when in ("requested", "challenged"):
            await restart()
            net.cuts.clear()
        records = {}

        async def judged() -> bool:
            records.update((await a.ask(ShowTrust(b.name))).exchanges[0].records)
            net.txt[a.name] = list(records.values())
            exchanges = (await b.ask(ShowTrust(a.name))).exchanges
            return bool(exchanges) and exchanges[0].score is not None

        await until(judged, 300)
        if when == "judged":
            await restart()
        if when == "decided":
            net.cuts |= {(a.name, b.name), (b.name, a.name)}
        await b.ask(Approve(a.name, organisation_checked=True))
        if when == "decided":
            await trio.sleep(1)
            await restart()
            net.cuts.clear()
        await until(lambda: trusted(a, b), 300)
        assert b.audited().count("trust_granted approve success") == 1


async def test_trust_survives_a_restart_of_both(tmp_path, autojump_clock):
    async with network(tmp_path) as net:
        a, b = await friends(net)
        before = await a.standing(b)
        for server in (a, b):
            await net.stop(server)
        for server in (a, b):
            await net.start(server)
        after = await a.standing(b)
        assert dataclasses.replace(after, why=before.why, until=before.until) == before
        assert (await b.ask(ListTrust()))[0].state == "trusted"


async def test_a_server_does_not_ask_itself(tmp_path, autojump_clock):
    async with network(tmp_path) as net:
        a = await net.server("a.example")
        with pytest.raises(TrustRefused, match="this server"):
            await a.ask(RequestTrust(a.name, goal("basic")))
        with pytest.raises(TrustRefused, match="has not asked"):
            await a.ask(Approve("b.example"))


async def test_a_level_above_needs_a_new_exchange_under_the_same_key(tmp_path, autojump_clock):
    async with network(tmp_path) as net:
        a, b = await friends(net, "basic")
        await asked(a, b, goal())
        await b.ask(Approve(a.name, organisation_checked=True))

        async def verified() -> bool:
            return (await a.standing(b)).level == (await b.standing(a)).level == "verified"

        await until(verified)
        assert (await a.ask(ShowTrust(b.name))).issued.established_at > NOW


async def test_a_second_key_beside_an_open_exchange_is_refused(tmp_path, autojump_clock):
    async with network(tmp_path) as net:
        a, b = await net.server("a.example"), await net.server("b.example")
        await asked(a, b, goal("basic"))
        await net.stop(a)
        net.folder.joinpath("a.example.db").unlink()
        impostor = await net.server("a.example", key=SigningKey.generate("ed25519", seeded("impostor")))
        before = (await b.ask(ShowTrust(a.name))).exchanges[0]
        await impostor.ask(RequestTrust(b.name, goal("basic")))

        async def refused() -> bool:
            return "2005" in (await impostor.ask(ShowTrust(b.name))).exchanges[0].note

        await until(refused)
        assert (await b.ask(ShowTrust(a.name))).exchanges[0] == before
