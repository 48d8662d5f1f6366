"""Two organisations, real nodes and clients: trust, and messages between their users (rows B114–B116, B121, B141)."""

from pathlib import Path

import pytest
import trio

from norc_actors.client import Status
from norc_actors.client.errors import SendFailedError
from tests.support.clients import next_message, texts
from tests.support.country import country

A, B, C = "a.example", "b.example", "c.example"
ALICE, BOB, CAROL = f"alice@{A}", f"bob@{B}", f"carol@{C}"


async def test_messages_and_receipts_cross(tmp_path: Path) -> None:
    async with country(tmp_path, A, B) as land:
        await land.trust(A, B)
        await land.enroll(ALICE, BOB)
        async with land.open(ALICE) as alice, land.open(BOB) as bob:
            sent = await alice.send(BOB, "Hello over there")
            received = await next_message(bob)
            assert (received.text, received.sender) == ("Hello over there", ALICE)
            await bob.read(received)
            with trio.fail_after(20):
                assert (await sent.wait_read()).status is Status.READ
            back = [await bob.send(ALICE, f"answer {number}") for number in range(20)]
            assert await texts(alice, 20) == [f"answer {number}" for number in range(20)]
            with trio.fail_after(20):
                for one in back:
                    await one.wait_delivered()


async def test_a_group_over_three_organisations(tmp_path: Path) -> None:
    """Alice's group has its home at A; Carol's server gets every epoch, and who is removed reads nothing more."""
    async with country(tmp_path, A, B, C) as land:
        for one, other in ((A, B), (A, C), (B, C)):
            await land.trust(one, other)
        await land.enroll(ALICE, BOB, CAROL)
        async with land.open(ALICE) as alice, land.open(BOB) as bob, land.open(CAROL) as carol:
            group = await alice.create_group("Across", [BOB])
            await alice.send(group.conversation_id, "two of us")
            assert await texts(bob, 1) == ["two of us"]
            await alice.add_member(group.conversation_id, CAROL)
            await alice.send(group.conversation_id, "three of us")
            assert await texts(bob, 2) == ["two of us", "three of us"]
            assert await texts(carol, 1) == ["three of us"]
            await bob.send(group.conversation_id, "from b")
            assert await texts(alice, 1) == ["from b"]
            assert await texts(carol, 2) == ["three of us", "from b"]


async def test_what_waits_for_a_server_that_is_away_arrives_when_it_is_back(tmp_path: Path) -> None:
    """Sent is committed here; the other server comes back, speaks, and has it within seconds (row B125)."""
    async with country(tmp_path, A, B) as land:
        await land.trust(A, B)
        await land.enroll(ALICE, BOB)
        async with land.open(ALICE) as alice:
            async with land.open(BOB) as bob:
                await (await alice.send(BOB, "first")).wait_delivered()
                assert await texts(bob, 1) == ["first"]
            await land.stop(B)
            waiting = [await alice.send(BOB, f"while away {number}") for number in range(10)]
            for one in waiting:
                await one.wait_accepted()
            await land.stop(A)
            await land.start(A)
            await land.start(B)
            async with land.open(BOB) as bob:
                assert await texts(bob, 11) == ["first", *(f"while away {number}" for number in range(10))]


async def test_revocation_ends_it_at_once(tmp_path: Path) -> None:
    """Nothing passes after a revocation: what is queued fails back, what is sent is refused (rows B145, B148)."""
    async with country(tmp_path, A, B) as land:
        await land.trust(A, B)
        await land.enroll(ALICE, BOB)
        async with land.open(ALICE) as alice, land.open(BOB) as bob:
            await (await alice.send(BOB, "before")).wait_delivered()
            assert await texts(bob, 1) == ["before"]
            await land[B].ask("trust_revoke", server=A, reason="policy_violation")
            await land.until(land[A], B, lambda line: line["state"] == "revoked")
            refused = await alice.send(BOB, "after")
            with trio.fail_after(20), pytest.raises(SendFailedError):
                await refused.wait_delivered()
            assert refused.status.cause == "trust_revoked"
            refused = await bob.send(ALICE, "back")
            with trio.fail_after(20), pytest.raises(SendFailedError):
                await refused.wait_delivered()


async def test_strangers_are_refused_in_words(tmp_path: Path) -> None:
    """Without trust no key look-up, no message; the sender learns what to do."""
    async with country(tmp_path, A, B) as land:
        await land.enroll(ALICE, BOB)
        async with land.open(ALICE) as alice:
            refused = await alice.send(BOB, "hello?")
            with trio.fail_after(20), pytest.raises(SendFailedError):
                await refused.wait_delivered()


async def test_an_operator_sees_the_way_there(tmp_path: Path) -> None:
    """`norc peer check`: every step, until one fails, each with a cause and the next command (C.10, C.11)."""
    async with country(tmp_path, A, B) as land:
        steps = (await land[A].ask("peer_check", server=B))["steps"]
        assert [(step["name"], step["ok"]) for step in steps][-2:] == [("handshake", True), ("trust", False)]
        assert "norc trust" in steps[-1]["next"]
        await land.trust(A, B)
        steps = (await land[A].ask("peer_check", server=B))["steps"]
        names = ["dns", "tcp", "tls", "alpn", "certificate", "http2", "handshake", "trust", "time"]
        assert [step["name"] for step in steps] == names
        assert all(step["ok"] for step in steps), steps
        (peer,) = (await land[A].ask("peers"))["peers"]
        assert (peer["server"], peer["trust"], peer["queued"]) == (B, "trusted", 0)
        await land.stop(B)
        steps = (await land[A].ask("peer_check", server=B))["steps"]
        assert steps[-1]["name"] == "tcp"
        assert steps[-1]["next"]
