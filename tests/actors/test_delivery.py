"""A node delivers: once, in order, whatever ends in between (section 7; rows B33, B75, B78–B82)."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from bench.lean_device import LeanDevice, Talk
from norc_actors import limits
from norc_actors.protocol import messages as m
from norc_actors.protocol.errors import Code
from tests.support.house import House, ack_of, house, next_of, until_closed


async def conversation(home: House, alice: LeanDevice, bob: LeanDevice) -> Talk:
    async with home.line(alice) as line:
        return await alice.talk_to(line, bob)


async def test_sent_after_the_commit_delivered_and_read_by_signed_receipts(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        alice, bob = await home.served.enrolled(["alice", "bob"])
        talk = await conversation(home, alice, bob)
        async with home.line(alice) as a, home.line(bob) as b:
            message = talk.seal("hello")
            await a.send(message)
            await ack_of(a, message.message_id, "sent")
            received = await b.expect(m.MessageReceived)
            assert received.ciphertext == message.ciphertext
            assert (received.sender_user, received.sender_device) == (alice.user_id, alice.device_id)
            assert list(received.encrypted_keys) == [bob.device_id]
            for status in ("delivered", "read"):
                mine = bob.receipt(received, status)
                await b.send(mine)
                passed = await ack_of(a, message.message_id, status)
                assert passed.receipt == mine.receipt


async def test_the_same_message_twice_is_one_delivery_and_the_same_answer(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        alice, bob = await home.served.enrolled(["alice", "bob"])
        talk = await conversation(home, alice, bob)
        async with home.line(alice) as a, home.line(bob) as b:
            first, second = talk.seal("once"), talk.seal("after")
            await a.send(first, first, second)
            for message in (first, first, second):
                await ack_of(a, message.message_id, "sent")
            assert (await b.expect(m.MessageReceived)).message_id == first.message_id
            assert (await b.expect(m.MessageReceived)).message_id == second.message_id


async def test_a_backlog_longer_than_the_window_comes_whole_and_in_order(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        alice, bob = await home.served.enrolled(["alice", "bob"])
        talk = await conversation(home, alice, bob)
        sealed = [talk.seal(str(i)) for i in range(3 * limits.DELIVERY_WINDOW + 7)]
        async with home.line(alice) as a:
            for message in sealed:
                await a.send(message)
                await ack_of(a, message.message_id, "sent")
        async with home.line(bob) as b:
            for message in sealed:
                received = await b.expect(m.MessageReceived)
                assert received.message_id == message.message_id
                await b.send(bob.receipt(received))


async def test_what_was_not_acknowledged_comes_again_and_nothing_else(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        alice, bob = await home.served.enrolled(["alice", "bob"])
        talk = await conversation(home, alice, bob)
        sealed = [talk.seal(str(i)) for i in range(4)]
        async with home.line(alice) as a:
            await a.send(*sealed)
            async with home.line(bob) as b:
                received = [await b.expect(m.MessageReceived) for _ in sealed]
                await b.send(bob.receipt(received[0]), bob.receipt(received[2]))
                await ack_of(a, sealed[2].message_id, "delivered")
            async with home.line(bob) as b:
                assert (await b.expect(m.MessageReceived)).message_id == sealed[1].message_id
                assert (await b.expect(m.MessageReceived)).message_id == sealed[3].message_id


async def test_receipts_wait_for_the_sender_until_it_confirmed_them(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        alice, bob = await home.served.enrolled(["alice", "bob"])
        talk = await conversation(home, alice, bob)
        many = limits.RECEIPTS_BEFORE_PING + 3
        sealed = [talk.seal(str(i)) for i in range(many)]
        async with home.line(alice) as a:
            for message in sealed:
                await a.send(message)
                await ack_of(a, message.message_id, "sent")
        async with home.line(bob) as b:
            for _ in sealed:
                await b.send(bob.receipt(await b.expect(m.MessageReceived)))
        async with home.line(alice) as a:
            for message in sealed:
                await ack_of(a, message.message_id, "delivered")
            await a.send(m.Ping(timestamp=1))
            await next_of(a, m.Pong)  # our own pong, sent after the 64th, is with the server now
        async with home.line(alice) as a:
            again = {(await ack_of(a, message.message_id, "delivered")).message_id for message in sealed[-3:]}
            assert again == {message.message_id for message in sealed[-3:]}
            await a.send(m.Ping(timestamp=1))
            assert isinstance(await a.receive(), m.Pong)


@pytest.mark.parametrize("victim", ["message_router", "message_store", "account_store"])
async def test_a_killed_part_of_the_way_ends_connections_and_loses_nothing(tmp_path: Path, victim: str) -> None:
    async with house(tmp_path) as home:
        alice, bob = await home.served.enrolled(["alice", "bob"])
        talk = await conversation(home, alice, bob)
        sealed = [talk.seal(str(i)) for i in range(50)]
        sent: set[str] = set()
        async with home.line(alice) as a:
            await a.send(*sealed)
            await home.kill(victim)
            for message in await until_closed(a):
                if isinstance(message, m.ErrorMessage):
                    assert (message.error_code, message.retry_after) == (Code.SERVER, None)
                elif isinstance(message, m.MessageAck):
                    sent.add(message.message_id)
        async with home.line(alice) as a, home.line(bob) as b:
            for message in sealed:
                if message.message_id not in sent:
                    await a.send(message)
                    await ack_of(a, message.message_id, "sent")
            for message in sealed:
                received = await b.expect(m.MessageReceived)
                assert received.message_id == message.message_id
                await b.send(bob.receipt(received))


@pytest.mark.parametrize("victim", ["session_manager", "key_manager", "registrar", "conversations", "client_listener"])
async def test_a_killed_part_beside_the_way_is_not_noticed(tmp_path: Path, victim: str) -> None:
    async with house(tmp_path) as home:
        alice, bob = await home.served.enrolled(["alice", "bob"])
        talk = await conversation(home, alice, bob)
        async with home.line(alice) as a, home.line(bob) as b:
            await home.kill(victim)
            message = talk.seal("hello")
            await a.send(message)
            await ack_of(a, message.message_id, "sent")
            await b.send(bob.receipt(await b.expect(m.MessageReceived)))
            await ack_of(a, message.message_id, "delivered")


async def test_a_node_that_starts_again_has_all_that_it_acknowledged(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        alice, bob = await home.served.enrolled(["alice", "bob"])
        talk = await conversation(home, alice, bob)
        sealed = [talk.seal(str(i)) for i in range(20)]
        async with home.line(alice) as a:
            await a.send(*sealed)
            for message in sealed:
                await ack_of(a, message.message_id, "sent")
    async with house(tmp_path) as home, home.line(bob) as b:
        for message in sealed:
            assert (await b.expect(m.MessageReceived)).message_id == message.message_id


async def test_a_stale_device_list_is_refused_whole_with_the_current_entries(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        alice, bob = await home.served.enrolled(["alice", "bob"])
        talk = await conversation(home, alice, bob)
        async with home.line(alice) as a, home.line(bob) as b:
            message = talk.seal("hello")
            unknown = {"0b5c0e1e-0000-4000-8000-000000000001": next(iter(message.encrypted_keys.values()))}
            stale = m.MessageSend(
                **{name: getattr(message, name) for name in message.__struct_fields__} | {"encrypted_keys": unknown}
            )
            await a.send(stale)
            refused = await ack_of(a, message.message_id, "failed")
            assert refused.error_code == Code.STALE_DEVICES
            entries = {entry["record"]["device_id"]: entry for entry in refused.stale_devices or ()}
            assert entries.keys() == {alice.device_id, bob.device_id}
            assert "bundle" in entries[bob.device_id]
            await a.send(message)
            await ack_of(a, message.message_id, "sent")
            assert (await b.expect(m.MessageReceived)).message_id == message.message_id


async def test_a_device_that_reads_nothing_holds_up_nobody(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        alice, bob, carol = await home.served.enrolled(["alice", "bob", "carol"])
        to_bob, to_carol = await conversation(home, alice, bob), await conversation(home, alice, carol)
        async with home.line(alice) as a, home.line(bob), home.line(carol) as c:
            for i in range(2 * limits.DELIVERY_WINDOW):
                await a.send(to_bob.seal("x" * 2000))
                message = to_carol.seal(str(i))
                await a.send(message)
                received = await c.expect(m.MessageReceived)
                assert received.message_id == message.message_id
                await c.send(carol.receipt(received))
            tree = (await home.served.ask({"command": "tree"}))["tree"]
            assert max(depths(tree)) <= limits.WORKER_MAILBOX


def depths(node: dict) -> list[int]:
    own = [node["mailbox"]["depth"]] if node["mailbox"] else []
    return own + [depth for child in node["children"] for depth in depths(child)]


async def test_a_node_told_to_end_says_so_and_keeps_everything(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        alice, bob = await home.served.enrolled(["alice", "bob"])
        talk = await conversation(home, alice, bob)
        async with home.line(alice) as a:
            message = talk.seal("last words")
            await a.send(message)
            await ack_of(a, message.message_id, "sent")
            started = trio.current_time()
            home.scope.cancel()
            with pytest.raises(trio.Cancelled):
                await a.receive()
    assert trio.current_time() - started < limits.SHUTDOWN_SECONDS
    async with house(tmp_path) as home, home.line(bob) as b:
        assert (await b.expect(m.MessageReceived)).message_id == message.message_id


@contextmanager
def full_disk(folder: Path) -> Iterator[None]:
    """No file of this process may grow beyond what the database's log has now: the kernel refuses, as with a quota."""
    log = folder / "data" / "norc.db-wal"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (max(log.stat().st_size, 500_000), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk_refuses_and_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        alice, bob = await home.served.enrolled(["alice", "bob"])
        talk = await conversation(home, alice, bob)
        sealed = [talk.seal("x" * 60_000) for _ in range(40)]
        async with home.line(bob) as b:
            with full_disk(tmp_path):
                async with home.line(alice) as a:
                    await a.send(*sealed)
                    answers = await until_closed(a)
                sent = {ack.message_id for ack in answers if isinstance(ack, m.MessageAck)}
                [error] = [error for error in answers if isinstance(error, m.ErrorMessage)]
                assert (error.error_code, error.retry_after) == (Code.SERVER, limits.DISK_RETRY_SECONDS)
                assert len(sent) < len(sealed)
                await b.send(m.Ping(timestamp=5))
                await next_of(b, m.Pong)
            status = await home.served.ask({"command": "tree"})
            assert '"restarts": 1' not in str(status).replace("'", '"')
            async with home.line(alice) as a:
                await a.send(*sealed)
                for message in sealed:
                    await ack_of(a, message.message_id, "sent")
        async with home.line(bob) as b:
            for message in sealed:
                received = await b.expect(m.MessageReceived)
                assert received.message_id == message.message_id
                await b.send(bob.receipt(received))
