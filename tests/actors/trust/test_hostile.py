"""What a peer may try: each with the code that it must get, and nothing changes (rows B133, B145–B149; issue 5)."""

import trio

from norc_actors.actors.trust import granter
from norc_actors.actors.trust.requests import ListTrust, ShowTrust, TrustFrames
from norc_actors.ids import new_uuid
from norc_actors.limits import CHALLENGE_SECONDS, TRUST_SKEW_SECONDS
from norc_actors.protocol.codec import decode, encode_map
from norc_actors.protocol.errors import Code
from norc_actors.protocol.messages.federation import FederationError
from norc_actors.protocol.registry import CODES, NAMES
from norc_actors.trust import requesting
from norc_actors.trust.drafts import draft_certificate, draft_message
from norc_actors.trust.exchange import sent
from tests.support.people import NOW
from tests.support.trust import Party, party, profile
from tests.support.trust_net import TrustServer, befriend, friends, goal, network

MALLORY = party("m.example")


async def say(target: TrustServer, source: TrustServer, *messages, key=None, name=None):
    """What `target` answers to signed maps that come over the link of `source`: codes of refusals, or types."""
    received = tuple(decode(CODES[str(one["type"])], encode_map(one)) for one in messages)
    link_key = key or source.party.key.public_key
    answers = await target.ask(TrustFrames(name or source.name, link_key, True, received))
    found = []
    for code, body in answers:
        message = decode(code, body).message
        found.append(Code(message.error_code) if isinstance(message, FederationError) else NAMES[code])
    return found


def signed(by, plain):
    return draft_message(by.key.public_key, plain).by(by.key)


def revoke(source, certificate, **changes):
    plain = {
        "type": "trust_revoke", "revocation_id": new_uuid(MALLORY.random), "revoking_server": source.name,
        "target_server": certificate.subject, "trust_certificate_id": certificate.id,
        "revocation_reason": "compromised_key", "effective_date": NOW, "evidence": [], "revocation_scope": "full",
        "partial_revocation_permissions": [], "grace_period": 0, "timestamp": NOW,
    }  # fmt: skip
    return plain | changes


def crl(source, number=1, entries=(), **changes):
    plain = {
        "type": "trust_crl", "issuer_server": source.name, "number": number, "this_update": NOW + 1,
        "next_update": NOW + 400, "revoked_certificates": list(entries), "timestamp": NOW,
    }  # fmt: skip
    return plain | changes


async def test_revocations_that_do_not_bind(tmp_path, autojump_clock):
    async with network(tmp_path) as net:
        a, b = await friends(net)
        c = await net.server("c.example")
        await befriend(c, a)
        held = (await a.ask(ShowTrust(b.name))).held
        good = signed(b.party, revoke(b, held))
        assert await say(a, b, signed(MALLORY, revoke(b, held))) == [Code.BAD_SIGNATURE]
        assert await say(a, b, good | {"grace_period": 9}) == [Code.BAD_SIGNATURE]
        assert await say(a, c, good) == [Code.WRONG_TARGET]  # another's revocation, whole and true
        stranger = {"key": MALLORY.key.public_key, "name": MALLORY.name}
        assert await say(a, b, signed(MALLORY, revoke(MALLORY, held)), **stranger) == [Code.SERVER_NOT_TRUSTED]
        assert await say(a, c, signed(c.party, revoke(c, held))) == ["revocation_acknowledgment"]  # advice
        assert (await a.standing(b)).state == "trusted"
        assert await say(a, b, good) == ["revocation_acknowledgment"]
        assert (await a.standing(b)).state == "revoked"


async def test_a_withheld_revocation_is_noticed_at_the_next(tmp_path, autojump_clock):
    async with network(tmp_path) as net:
        a, b = await friends(net)
        held = (await a.ask(ShowTrust(b.name))).held
        withheld = bytes(range(32))
        later = revoke(b, held, revocation_scope="partial", partial_revocation_permissions=["user_discovery"],
                       revocation_reason="voluntary", prev_revocation_hash=withheld)  # fmt: skip
        net.carried.clear()
        assert await say(a, b, signed(b.party, later)) == ["revocation_acknowledgment"]
        await trio.sleep(1)
        assert "security_incident revocation_chain failure" in a.audited()
        assert (a.name, b.name, (CODES["crl_request"],)) in net.carried  # and the list is asked for at once
        assert [risk.risk_type for risk in (await a.ask(ShowTrust(b.name))).health.risks] == ["revocation_chain"]


async def test_lists_that_are_not_taken(tmp_path, autojump_clock):
    async with network(tmp_path) as net:
        a, b = await friends(net)
        held = (await a.ask(ShowTrust(b.name))).held
        entry = {"certificate_id": held.id, "revocation_date": NOW, "revocation_reason": "key_compromise"}
        await trio.sleep(61)
        for wrong, code in (
            (signed(MALLORY, crl(b, 9, [entry])), Code.BAD_SIGNATURE),
            (signed(b.party, crl(MALLORY, 9, [entry])), Code.WRONG_TARGET),
            (signed(b.party, crl(b, 0, [entry], this_update=NOW + 90)), Code.BAD_SEQUENCE),  # another list 0
        ):
            assert await say(a, b, wrong) == [code]
        assert (await a.standing(b)).state == "trusted"
        assert a.audited().count("security_incident crl_sequence failure") == 1
        assert await say(a, b, signed(b.party, crl(b, 5, [entry], this_update=NOW + 90))) == []
        assert (await a.standing(b)).state == "revoked"
        assert a.audited()[-1] == "trust_revoked listed success"
        assert await say(a, b, signed(b.party, crl(b, 4, this_update=NOW + 91))) != []


async def test_what_trust_does_not_allow(tmp_path, autojump_clock):
    async with network(tmp_path) as net:
        a, b = await friends(net)
        stranger = {"key": MALLORY.key.public_key, "name": MALLORY.name}
        question = {
            "type": "crl_request", "requesting_server": MALLORY.name, "issuer_server": a.name, "timestamp": NOW,
        }  # fmt: skip
        assert await say(a, b, signed(MALLORY, question), **stranger) == [Code.SERVER_NOT_TRUSTED]
        other = question | {"requesting_server": b.name, "issuer_server": "c.example"}
        assert await say(a, b, signed(b.party, other)) == [Code.WRONG_TARGET]
        assert await say(a, b, signed(MALLORY, question | {"requesting_server": b.name})) == [Code.BAD_SIGNATURE]
        report = {
            "type": "compliance_report", "report_id": new_uuid(MALLORY.random), "requesting_authority": "x",
            "target_server": a.name, "compliance_standard": "y", "report_period": {"start_time": 0, "end_time": 1},
            "report_scope": [], "evidence_required": False, "timestamp": NOW,
        }  # fmt: skip
        assert await say(a, b, signed(b.party, report)) == [Code.CAPABILITY_MISSING]


async def test_messages_of_no_exchange(tmp_path, autojump_clock):
    async with network(tmp_path) as net:
        a, b = await friends(net)
        ids = {"request_id": new_uuid(MALLORY.random), "challenge_id": new_uuid(MALLORY.random)}
        response = {
            "type": "trust_response", **ids, "responding_server": b.name, "challenge_responses": [],
            "organization_proofs": [], "timestamp": NOW,
        }  # fmt: skip
        challenge = {
            "type": "trust_challenge", **ids, "target_server": a.name, "challenging_server": b.name,
            "validation_method": "manual", "challenges": [], "deadline": NOW, "timestamp": NOW,
        }  # fmt: skip
        for message in (response, challenge):
            assert await say(a, b, signed(b.party, message)) == [Code.WRONG_STATE]


async def test_a_certificate_out_of_nowhere_changes_nothing_inwards(tmp_path, autojump_clock):
    """A peer may say at any time what it grants; it can never grant itself anything here."""
    async with network(tmp_path) as net:
        a, b = await friends(net, "basic")
        before = (await a.standing(b)).ingress
        held = (await a.ask(ShowTrust(b.name))).held
        later = held.terms.not_before + 1
        raised = held.map | {
            "certificate_id": new_uuid(MALLORY.random), "trust_level": "classified", "not_before": later,
        }  # fmt: skip
        certificate = draft_certificate(b.party.key.public_key, raised).by(b.party.key)
        decision = {
            "type": "trust_decision", "request_id": new_uuid(MALLORY.random), "decision_server": b.name,
            "target_server": a.name, "decision": "accept", "granted_trust_level": "classified", "trust_conditions": [],
            "trust_metadata": {"established_at": NOW, "expires_at": NOW + 9, "renewable": True, "revocable": True,
                               "trust_score": 100, "validation_evidence": []},
            "federation_permissions": certificate["permissions"], "mutual_trust_required": False,
            "certificate": certificate, "timestamp": NOW,
        }  # fmt: skip
        assert await say(a, b, signed(b.party, decision)) == ["trust_acknowledgment"]
        after = await a.standing(b)
        assert after.ingress == before
        assert after.egress.relation.level == "basic"
        forged = certificate | {"trust_level": "nato"}
        assert await say(a, b, signed(b.party, decision | {"certificate": forged})) == [Code.BAD_SIGNATURE]
        assert await say(a, b, signed(MALLORY, decision)) == [Code.BAD_SIGNATURE]


async def test_one_bad_message_does_not_take_its_batch_along(tmp_path, autojump_clock):
    async with network(tmp_path) as net:
        a, b = await friends(net)
        question = {"type": "crl_request", "requesting_server": b.name, "issuer_server": a.name, "timestamp": NOW}
        bad = signed(MALLORY, revoke(b, (await a.ask(ShowTrust(b.name))).held))
        assert await say(a, b, bad, signed(b.party, question)) == [Code.BAD_SIGNATURE, "trust_crl"]


def first_words(source: Party, target: TrustServer, now: int):
    """The capabilities and the request of a stranger."""
    own = profile(source)
    exchange = requesting.begin(own, target.name, request_id=new_uuid(source.random), now=now)
    said = requesting.draft_capabilities(exchange, own, now).by(source.key)
    exchange = sent(exchange, said)
    wanted = goal("basic")
    return said, requesting.draft_request(exchange, own, wanted, now).by(source.key)


async def test_strangers_who_only_say_who_they_are_leave_nothing_behind(tmp_path, autojump_clock):
    async with network(tmp_path) as net:
        a = await net.server("a.example")
        said, _ = first_words(MALLORY, a, NOW)
        stranger = {"key": MALLORY.key.public_key, "name": MALLORY.name}
        assert await say(a, a, said, **stranger) == ["trust_capabilities"]
        shown = await a.ask(ShowTrust(MALLORY.name))
        assert (shown.exchanges, shown.keys, await a.ask(ListTrust())) == ((), (), ())


async def test_a_flood_of_requests_is_bounded_and_passes(tmp_path, autojump_clock, monkeypatch):
    monkeypatch.setattr(granter, "OPEN_EXCHANGES", 3)
    async with network(tmp_path) as net:
        a = await net.server("a.example")
        strangers = [party(f"m{number}.example") for number in range(4)]
        for stranger, answer in zip(strangers, ["trust_challenge"] * 3 + [Code.RATE_EXCEEDED], strict=True):
            words = first_words(stranger, a, NOW)
            link = {"key": stranger.key.public_key, "name": stranger.name}
            assert await say(a, a, *words, **link) == ["trust_capabilities", answer]
        again = first_words(strangers[0], a, NOW)  # one that is open is replaced by the same server's next
        link = {"key": strangers[0].key.public_key, "name": strangers[0].name}
        assert await say(a, a, *again, **link) == ["trust_capabilities", "trust_challenge"]
        assert len(await a.ask(ListTrust())) == 3
        await trio.sleep(CHALLENGE_SECONDS + 2 * TRUST_SKEW_SECONDS + 60)  # nobody answered: they are over
        assert await a.ask(ListTrust()) == ()


async def test_a_request_without_capabilities_and_one_that_is_over(tmp_path, autojump_clock):
    async with network(tmp_path) as net:
        a = await net.server("a.example")
        words = first_words(MALLORY, a, NOW)
        link = {"key": MALLORY.key.public_key, "name": MALLORY.name}
        assert await say(a, a, words[1], **link) == [Code.WRONG_STATE]
        assert await say(a, a, *words, **link) == ["trust_capabilities", "trust_challenge"]
        assert await say(a, a, words[1], **link) == ["trust_challenge"]
        assert await say(a, a, words[1], **link | {"key": b"k" * 32}) == [Code.BAD_SIGNATURE]
        await trio.sleep(CHALLENGE_SECONDS + 2 * TRUST_SKEW_SECONDS + 60)
        assert await say(a, a, *words, **link) == ["trust_capabilities", Code.BAD_SEQUENCE]
        other = first_words(party("m.example", seed=1), a, NOW)
        assert await say(a, a, *other, **link) == ["trust_capabilities", "trust_challenge"]
