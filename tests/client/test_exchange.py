"""The client library against a real node: messages, devices, groups, and what goes wrong on the way."""

import dataclasses
import os
import time
from pathlib import Path

import msgpack
import pytest
import trio

from norc_actors.client import Client, Group, Message, Status
from norc_actors.client.errors import (
    AlreadyEnrolledError,
    ClientUsageError,
    ClockWrongError,
    DeviceRevokedError,
    DiskFullError,
    DisplacedError,
    EnrolmentRefusedError,
    FingerprintMismatchError,
    LinkError,
    MessageTooLongError,
    NotPermittedError,
    NoUserKeyError,
    OfflineError,
    ProfileInUseError,
    SendFailedError,
    ServerKeyChangedError,
    TlsRefusedError,
    UnknownConversationError,
    UnknownDeviceError,
    UnknownMessageError,
    UnknownUserError,
    UnreachableError,
)
from norc_actors.client.events import ConnectionDown, DeviceRevoked, GroupChanged, MessageDelayed, UserKeyPinned
from norc_actors.client.opening import make_unlock
from norc_actors.client.profile import open_profile
from norc_actors.client.records import IN_SESSIONS
from norc_actors.client.transaction import Ledger
from norc_actors.limits import MAX_TEXT_BYTES
from tests.support.clients import next_event, next_message, texts, town
from tests.support.house import LIMITS, house

ALICE, BOB, CAROL = "alice@localhost", "bob@localhost", "carol@localhost"
STRICT = "[limits]\nmessages_per_minute = 600\nmessages_burst = 5\nregistrations_per_hour = 1000\n"


async def test_a_message_there_and_back_with_all_its_statuses(tmp_path: Path) -> None:
    async with town(tmp_path, "alice", "bob") as built, built.open("alice") as alice, built.open("bob") as bob:
        sent = await alice.send(BOB, "Hello Bob")
        assert sent.status.status in (Status.WAITING, Status.SENDING)
        accepted = await sent.wait_accepted()
        assert accepted.conversation_id is not None
        received = await next_message(bob)
        assert (received.text, received.sender, received.sender_device) == ("Hello Bob", ALICE, alice.device_id)
        assert (received.own, received.group, received.gap, received.verified) == (False, False, False, False)
        assert received.conversation_id == accepted.conversation_id
        assert (await sent.wait_delivered()).status in (Status.DELIVERED, Status.READ)
        await bob.read(received)
        with trio.fail_after(5):
            read = await sent.wait_read()
        assert [r.status for r in read.recipients] == [Status.READ]
        assert (await alice.status(sent.message_id)).status is Status.READ
        answer = await bob.send(received.conversation_id, "Hello Alice")
        assert (await next_message(alice)).text == "Hello Alice"
        await answer.wait_delivered()
        with pytest.raises(UnknownMessageError):
            await alice.status(answer.message_id)
        assert await alice.outbox_count() == 0


async def test_order_and_number_hold_in_a_long_run(tmp_path: Path) -> None:
    async with town(tmp_path, "alice", "bob") as built, built.open("alice") as alice, built.open("bob") as bob:
        wanted = [f"line {n}" for n in range(150)]
        sent = await alice.send_all(BOB, wanted[:100])
        for text in wanted[100:]:
            sent.append(await alice.send(BOB, text))
        assert await texts(bob, 150) == wanted
        with trio.fail_after(10):
            for one in sent:
                await one.wait_delivered()
            await alice.wait_outbox_empty()


async def test_both_write_at_once_and_still_have_one_conversation(tmp_path: Path) -> None:
    async with town(tmp_path, "alice", "bob") as built, built.open("alice") as alice, built.open("bob") as bob:
        await alice.wait_connected()
        await bob.wait_connected()
        first, second = await alice.send(BOB, "from Alice"), await bob.send(ALICE, "from Bob")
        with trio.fail_after(10):
            one, two = await first.wait_accepted(), await second.wait_accepted()
        assert one.conversation_id == two.conversation_id
        assert await texts(alice, 1) == ["from Bob"]
        assert await texts(bob, 1) == ["from Alice"]


async def test_messages_wait_for_whoever_is_away(tmp_path: Path) -> None:
    async with town(tmp_path, "alice", "bob") as built:
        async with built.open("alice") as alice:
            for text in ("one", "two", "three"):
                await (await alice.send(BOB, text)).wait_accepted()
        async with built.open("bob") as bob:
            assert await texts(bob, 3) == ["one", "two", "three"]


async def test_the_outbox_waits_for_the_node(tmp_path: Path) -> None:
    async with town(tmp_path, "alice", "bob") as built, built.open("alice") as alice:
        await (await alice.send(BOB, "first")).wait_accepted()
    async with Client.open(
        built.path("alice"), key_file=built.key_file, options=dataclasses.replace(built.options, request_timeout=0.3)
    ) as alice:
        await alice.send(BOB, "second")
        await alice.send("nobody@localhost", "third")
        assert await alice.outbox_count() == 2
        with pytest.raises((UnreachableError, OfflineError)):
            await alice.wait_connected()
        with pytest.raises(OfflineError):
            await alice.fingerprint(CAROL)
    port = built.options.address.port if built.options.address else 0
    config = tmp_path / "node" / "norc.toml"
    config.write_text(config.read_text().replace("127.0.0.1:0", f"127.0.0.1:{port}"))
    async with house(tmp_path / "node"), built.open("alice") as alice, built.open("bob") as bob:
        assert await texts(bob, 2) == ["first", "second"]
        with trio.fail_after(10):
            await alice.wait_outbox_empty()


async def test_what_is_sent_to_nobody_fails_and_holds_up_nothing(tmp_path: Path) -> None:
    async with town(tmp_path, "alice", "bob") as built, built.open("alice") as alice, built.open("bob") as bob:
        lost = [await alice.send("nobody@localhost", text) for text in "abc"]
        await alice.send(BOB, "for Bob")
        assert await texts(bob, 1) == ["for Bob"]
        for one in lost:
            with trio.fail_after(10), pytest.raises(SendFailedError) as failure:
                await one.wait_accepted()
            assert failure.value.cause == "unknown_user"
            assert (await alice.status(one.message_id)).status is Status.FAILED
        assert await alice.outbox_count() == 0


async def test_calls_that_make_no_sense_are_refused_at_once(tmp_path: Path) -> None:
    async with town(tmp_path, "alice") as built, built.open("alice") as alice:
        for to, text in ((BOB, ""), ("Bob@localhost", "x"), (ALICE, "x"), (BOB, "\ud800")):
            with pytest.raises(ClientUsageError):
                await alice.send(to, text)
        with pytest.raises(MessageTooLongError):
            await alice.send(BOB, "x" * (MAX_TEXT_BYTES + 1))
        with pytest.raises(UnknownConversationError):
            await alice.send("no such group", "x")
        with pytest.raises(UnknownConversationError):
            await alice.send("00000000-0000-4000-8000-000000000000", "x")
        with pytest.raises(UnknownUserError):
            await alice.fingerprint("nobody@localhost")
        with pytest.raises(UnknownUserError):
            await alice.create_group("team", ["nobody@localhost"])
        with pytest.raises(ClientUsageError):
            await alice.create_group(" ", [])
        with pytest.raises(ClientUsageError):
            await alice.revoke(alice.device_id, "boredom")
        with pytest.raises(ProfileInUseError):
            async with built.open("alice"):
                pass


async def test_long_texts_arrive_whole(tmp_path: Path) -> None:
    async with town(tmp_path, "alice", "bob") as built, built.open("alice") as alice, built.open("bob") as bob:
        stream = bob.messages()
        for size in (1, 200, 70_000, MAX_TEXT_BYTES):
            text = "é" * (size // 2) + "x" * (size % 2)
            await alice.send(BOB, text)
            with trio.fail_after(10):
                received = await anext(stream)
            assert isinstance(received, Message)
            assert received.text == text


async def drained(client: Client) -> None:
    """Read until the client ends."""
    async for _ in client.messages():
        pass


# --- Several devices ---


async def test_own_devices_get_what_is_sent_and_what_comes(tmp_path: Path) -> None:
    async with town(tmp_path, "alice", "bob") as built, built.open("alice") as alice:
        await built.enroll_further("alice2", "alice", alice)
        async with built.open("alice2") as second, built.open("bob") as bob:
            sent = await alice.send(BOB, "from the first")
            assert await texts(bob, 1) == ["from the first"]
            copy = await next_message(second)
            assert (copy.text, copy.own, copy.sender_device) == ("from the first", True, alice.device_id)
            status = await sent.wait_delivered()
            assert {r.user_id for r in status.recipients} == {ALICE, BOB}
            await bob.send(ALICE, "to both")
            assert await texts(alice, 1) == ["to both"]
            assert await texts(second, 2) == ["from the first", "to both"]
            await second.send(BOB, "from the second")
            assert await texts(bob, 2) == ["from the first", "from the second"]
            assert await texts(alice, 2) == ["to both", "from the second"]
            devices = await second.devices()
            assert {(d.device_id, d.this_device, d.trusted) for d in devices} == {
                (alice.device_id, False, True),
                (second.device_id, True, True),
            }


async def test_a_new_device_makes_lists_stale_and_the_message_goes_to_all(tmp_path: Path) -> None:
    async with town(tmp_path, "alice", "bob") as built, built.open("alice") as alice, built.open("bob") as bob:
        await (await alice.send(BOB, "before")).wait_delivered()
        await built.enroll_further("bob2", "bob", bob)
        sent = await alice.send_all(BOB, [f"after {n}" for n in range(20)])
        with trio.fail_after(10):
            for one in sent:
                await one.wait_accepted()
        async with built.open("bob2") as second:
            assert await texts(second, 20) == [f"after {n}" for n in range(20)]
        assert await texts(bob, 21) == ["before", *(f"after {n}" for n in range(20))]


async def test_a_revoked_device_gets_nothing_more(tmp_path: Path) -> None:
    async with town(tmp_path, "alice", "bob") as built, built.open("alice") as alice, built.open("bob") as bob:
        await built.enroll_further("bob2", "bob", bob)
        async with built.open("bob2") as second:
            await (await alice.send(BOB, "to both")).wait_accepted()
            assert await texts(second, 1) == ["to both"]
            with pytest.raises(NoUserKeyError):
                await second.revoke(bob.device_id)
            events = bob.events()
            await bob.revoke(second.device_id, "lost")
            with trio.fail_after(5), pytest.raises(DeviceRevokedError):
                await drained(second)
            assert (await next_event(events, DeviceRevoked)).device_id == second.device_id
        await (await alice.send(BOB, "to one")).wait_delivered()
        assert await texts(bob, 2) == ["to both", "to one"]
        assert {(d.device_id, d.revoked) for d in await bob.devices()} == {
            (bob.device_id, False),
            (second.device_id, True),
        }


async def test_approval_needs_the_code_and_the_user_key(tmp_path: Path) -> None:
    async with town(tmp_path, "alice") as built, built.open("alice") as alice:
        with pytest.raises(UnknownDeviceError):
            await alice.approve("00000000-0000-4000-8000-000000000000", "1")
        await built.enroll_further("alice2", "alice", alice)
        codes: list[str] = []

        async def on_code(code: str) -> None:
            codes.append(code)

        async def ask(scope: trio.CancelScope) -> None:
            with scope:
                await Client.enroll_further(
                    built.path("alice3"), ALICE, on_code=on_code, key_file=built.key_file, options=built.options
                )

        async with built.open("alice2") as second, trio.open_nursery() as nursery:
            scope = trio.CancelScope()
            nursery.start_soon(ask, scope)
            with trio.fail_after(10):
                while not (alice.pending_devices() and second.pending_devices()):  # noqa: ASYNC110
                    await trio.sleep(0.01)
            waiting = alice.pending_devices()[0].device_id
            wrong = codes[0].translate(str.maketrans("0123456789", "1234567890"))
            with pytest.raises(FingerprintMismatchError):
                await alice.approve(waiting, wrong)
            with pytest.raises(NoUserKeyError):
                await second.approve(waiting, codes[0])
            scope.cancel()


async def test_a_second_program_takes_the_device_over(tmp_path: Path) -> None:
    async with town(tmp_path, "alice") as built:
        copy = tmp_path / "copy.norc"
        copy.write_bytes(built.path("alice").read_bytes())
        async with built.open("alice") as alice:
            await alice.wait_connected()
            async with Client.open(copy, key_file=built.key_file, options=built.options) as other:
                await other.wait_connected()
                with trio.fail_after(5), pytest.raises(DisplacedError):
                    await drained(alice)
                with pytest.raises(DisplacedError):
                    await alice.send(BOB, "x")


async def test_a_device_that_lost_its_sessions_is_given_new_keys(tmp_path: Path) -> None:
    async with town(tmp_path, "alice", "bob") as built, built.open("alice") as alice:
        async with built.open("bob") as bob:
            await (await alice.send(BOB, "before")).wait_delivered()
            assert await texts(bob, 1) == ["before"]
        for text in ("one", "two"):
            await (await alice.send(BOB, text)).wait_accepted()
        forget_sessions(built.path("bob"), built.key_file)
        async with built.open("bob") as bob:
            events = bob.events()
            assert await texts(bob, 3) == ["before", "one", "two"]
            assert (await next_event(events, MessageDelayed)).sender == ALICE
            await bob.send(ALICE, "thanks")
            assert await texts(alice, 1) == ["thanks"]
        assert await alice.outbox_count() == 0


def forget_sessions(path: Path, key_file: Path) -> None:
    """Take all receiving sessions out of a closed profile."""
    profile = open_profile(path, make_unlock(None, key_file), os.urandom)
    ledger = Ledger(profile)
    transaction = ledger.begin()
    for key in transaction.all(IN_SESSIONS):
        transaction.delete(IN_SESSIONS, key)
    profile.commit(transaction.writes())
    profile.close()


async def test_a_new_reader_takes_over_and_closing_ends_it(tmp_path: Path) -> None:
    async with town(tmp_path, "alice", "bob") as built, built.open("alice") as alice:
        async with built.open("bob") as bob:
            await alice.send_all(BOB, ["one", "two", "three"])
            first = bob.messages()
            with trio.fail_after(10):
                assert (await anext(first)).message_id
                second = bob.messages()
                with pytest.raises(StopAsyncIteration):
                    await anext(first)
                again = await anext(second)
            assert isinstance(again, Message)
            assert again.text == "one"
            await bob.read(again)
            await bob.read(again)
            waiting = bob.messages()
            stranger = dataclasses.replace(again, message_id="00000000-0000-4000-8000-000000000000")
            with pytest.raises(UnknownMessageError):
                await bob.read(stranger)
        with pytest.raises(StopAsyncIteration):
            await anext(waiting)
        async with built.open("bob") as bob:
            assert await texts(bob, 2) == ["two", "three"]


# --- Groups ---


async def test_a_group_from_its_making_to_its_end(tmp_path: Path) -> None:
    async with (
        town(tmp_path, "alice", "bob", "carol") as built,
        built.open("alice") as alice,
        built.open("bob") as bob,
        built.open("carol") as carol,
    ):
        await bob.wait_connected()
        events = bob.events()
        group = await alice.create_group("team", [BOB])
        assert [(m.user_id, m.role.value) for m in group.members] == [(ALICE, "owner"), (BOB, "member")]
        assert group.name == "team"
        seen = await next_named(events, "team")
        assert seen.members == group.members
        await alice.send(group, "welcome")
        message = await next_message(bob)
        assert (message.text, message.group, message.conversation_id) == ("welcome", True, group.conversation_id)
        with pytest.raises(NotPermittedError):
            await bob.add_member("team", CAROL)
        grown = await alice.add_member("team", CAROL)
        assert grown.epoch == 2
        await bob.send("team", "hello all")
        assert await texts(alice, 1) == ["hello all"]
        assert await texts(carol, 1) == ["hello all"]
        assert (await carol.group("team")).members == grown.members
        shrunk = await alice.remove_member("team", BOB)
        assert BOB not in [m.user_id for m in shrunk.members]
        await (await alice.send("team", "without Bob")).wait_delivered()
        assert await texts(carol, 2) == ["hello all", "without Bob"]
        with trio.fail_after(5):
            while not (await bob.group(group.conversation_id)).left:
                late = await bob.send(group.conversation_id, "too late")
                with pytest.raises(SendFailedError):
                    await late.wait_accepted()
                break
        await alice.rename_group("team", "pair")
        with trio.fail_after(5):
            while [g.name for g in await carol.groups()] != ["pair"]:  # noqa: ASYNC110
                await trio.sleep(0.02)
        with pytest.raises(NotPermittedError):
            await alice.leave_group("pair")
        await carol.leave_group("pair")
        with pytest.raises(SendFailedError) as failure:
            await (await carol.send(group.conversation_id, "gone")).wait_accepted()
        assert failure.value.cause == "left"


async def next_named(events: object, name: str) -> Group:
    while True:
        changed = await next_event(events, GroupChanged)  # type: ignore[arg-type]
        if changed.group.name == name:
            return changed.group


async def test_a_member_that_was_away_learns_the_group_by_its_messages(tmp_path: Path) -> None:
    async with town(tmp_path, "alice", "bob", "carol") as built:
        async with built.open("alice") as alice:
            group = await alice.create_group("team", [BOB])
            await alice.send(group, "one")
            await alice.add_member(group, CAROL)
            await (await alice.send(group, "two")).wait_accepted()
        async with built.open("carol") as carol, built.open("bob") as bob:
            assert await texts(carol, 1) == ["two"]
            assert await texts(bob, 2) == ["one", "two"]
            assert (await carol.group("team")).epoch == 2


# --- Trust ---


async def test_fingerprints_agree_and_make_users_verified(tmp_path: Path) -> None:
    async with town(tmp_path, "alice", "bob") as built, built.open("alice") as alice, built.open("bob") as bob:
        events = alice.events()
        digits = await alice.fingerprint(BOB)
        assert (await next_event(events, UserKeyPinned)).user_id == BOB
        assert digits == await bob.fingerprint(ALICE)
        assert [len(group) for group in digits.split()] == [5] * 12
        with pytest.raises(FingerprintMismatchError):
            await alice.verify(BOB, digits[::-1])
        await alice.verify(BOB, digits.replace(" ", "  "))
        assert {u.user_id: u.verified for u in await alice.users()} == {ALICE: True, BOB: True}
        await bob.send(ALICE, "hello")
        assert (await next_message(alice)).verified
        with pytest.raises(ClientUsageError):
            await alice.accept_user_key(BOB)


async def test_enrolment_refuses_what_it_must(tmp_path: Path) -> None:
    async with town(tmp_path, "alice") as built:
        link = await built.invite("bob")
        key_file, options = built.key_file, built.options
        with pytest.raises(LinkError):
            await Client.enroll(built.path("bob"), link[:-3], BOB, key_file=key_file, options=options)
        with pytest.raises(LinkError):
            await Client.enroll(built.path("bob"), link, "bob@elsewhere", key_file=key_file, options=options)
        with pytest.raises(EnrolmentRefusedError):
            await Client.enroll(built.path("bob"), link, "bobby@localhost", key_file=key_file, options=options)
        with pytest.raises(AlreadyEnrolledError):
            await Client.enroll(built.path("bob"), link, BOB, key_file=key_file, options=options)
        built.path("bob").unlink()
        enrolled = await Client.enroll(built.path("bob"), link, BOB, key_file=key_file, options=options)
        assert (enrolled.user_id, enrolled.server_id) == (BOB, "localhost")
        with pytest.raises(EnrolmentRefusedError):
            await Client.enroll(built.path("eve"), link, BOB, key_file=key_file, options=options)
        with pytest.raises(AlreadyEnrolledError):
            await Client.enroll(built.path("bob"), link, BOB, key_file=key_file, options=options)


async def test_open_registration_needs_no_link(tmp_path: Path) -> None:
    limits = LIMITS + "[registration]\nopen = true\ndifficulty = 8\n"
    async with town(tmp_path, "alice", limits=limits) as built:
        enrolled = await Client.enroll(built.path("bob"), None, BOB, key_file=built.key_file, options=built.options)
        assert enrolled.server_fingerprint
        async with built.open("alice") as alice, built.open("bob") as bob:
            await alice.send(BOB, "welcome")
            assert await texts(bob, 1) == ["welcome"]


async def test_without_a_link_a_closed_server_refuses(tmp_path: Path) -> None:
    async with town(tmp_path) as built:
        with pytest.raises(EnrolmentRefusedError):
            await Client.enroll(built.path("bob"), None, BOB, key_file=built.key_file, options=built.options)


async def test_a_further_device_shows_the_same_user_key(tmp_path: Path) -> None:
    async with town(tmp_path, "alice") as built, built.open("alice") as alice:
        enrolled = await built.enroll_further("alice2", "alice", alice)
        async with built.open("alice2") as second:
            shown = await second.user_fingerprint()
        assert enrolled.user_fingerprint == shown == await alice.user_fingerprint()
        assert len(shown.split()) == 6


async def test_a_server_with_another_key_is_refused(tmp_path: Path) -> None:
    async with town(tmp_path, "alice") as built:
        link = await built.invite("bob")
        other = link[: link.index("&k=")] + "&k=" + "A" * 43
        with pytest.raises(ServerKeyChangedError):
            await Client.enroll(built.path("bob"), other, BOB, key_file=built.key_file, options=built.options)
    (tmp_path / "node" / "identity.pem").unlink()
    port = built.options.address.port if built.options.address else 0
    config = tmp_path / "node" / "norc.toml"
    config.write_text(config.read_text().replace("127.0.0.1:0", f"127.0.0.1:{port}"))
    async with house(tmp_path / "node"), built.open("alice") as alice:
        with pytest.raises(ServerKeyChangedError):
            await alice.wait_connected()


async def test_a_certificate_of_another_ca_is_refused(tmp_path: Path) -> None:
    async with town(tmp_path, "alice") as built:
        link = await built.invite("bob")
        options = dataclasses.replace(built.options, ca_file=None)
        with pytest.raises(TlsRefusedError):
            await Client.enroll(built.path("bob"), link, BOB, key_file=built.key_file, options=options)


async def test_a_wrong_clock_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with town(tmp_path, "alice") as built:

        class Fast:
            @staticmethod
            def time() -> float:
                return time.time() + 3600

        monkeypatch.setattr("norc_actors.client.runtime.time", Fast)
        async with built.open("alice") as alice:
            with pytest.raises(ClockWrongError) as wrong:
                await alice.wait_connected()
            assert 3595 < wrong.value.offset < 3605


# --- Trouble ---


async def test_a_full_disk_is_told_to_the_sender_and_loses_nothing(tmp_path: Path) -> None:
    async with town(tmp_path, "alice", "bob") as built, built.open("alice") as alice, built.open("bob") as bob:
        await (await alice.send(BOB, "before")).wait_delivered()
        fill(alice)
        sent: list[str] = []
        with pytest.raises(DiskFullError):
            await send_on(alice, sent)
        empty(alice)
        await alice.send(BOB, "after")
        got = await texts(bob, len(sent) + 2)
        assert [text.split()[0] for text in got] == ["before", *sent, "after"]


async def send_on(client: Client, sent: list[str]) -> None:
    """Send until something is raised, noting what was taken."""
    for number in map(str, range(1000)):
        await client.send(BOB, f"{number} " + "x" * 5000)
        sent.append(number)


async def test_a_full_disk_at_the_receiver_loses_nothing(tmp_path: Path) -> None:
    async with town(tmp_path, "alice", "bob") as built, built.open("alice") as alice, built.open("bob") as bob:
        await (await alice.send(BOB, "before")).wait_delivered()
        events = bob.events()
        fill(bob)
        sent = await alice.send_all(BOB, [f"{n} " + "x" * 5000 for n in range(20)])
        for one in sent:
            await one.wait_accepted()
        assert "disk is full" in (await next_event(events, ConnectionDown)).reason
        empty(bob)
        got = await texts(bob, 21)
        assert [text.split()[0] for text in got] == ["before", *map(str, range(20))]


def fill(client: Client) -> None:
    """Make the disk of this client full."""
    database = client._core.committer._ledger.profile._db  # noqa: SLF001
    pages = database.execute("PRAGMA page_count").fetchone()[0]
    database.execute(f"PRAGMA max_page_count = {pages + 4}")


def empty(client: Client) -> None:
    """Make room on the disk of this client."""
    client._core.committer._ledger.profile._db.execute("PRAGMA max_page_count = 1000000")  # noqa: SLF001


async def test_every_record_of_a_profile_is_plain_messagepack(tmp_path: Path) -> None:
    async with town(tmp_path, "alice", "bob") as built:
        async with built.open("alice") as alice, built.open("bob") as bob:
            await alice.create_group("team", [BOB])
            await (await alice.send("team", "hello")).wait_delivered()
            await bob.send(ALICE, "hello back")
            assert await texts(alice, 1) == ["hello back"]
        kinds = set()
        for name in ("alice", "bob"):
            profile = open_profile(built.path(name), make_unlock(None, built.key_file), os.urandom)
            for table, record in profile.records():
                key, value = msgpack.unpackb(record, strict_map_key=True)
                assert isinstance(value, dict)
                assert isinstance(key, str if table == "items" else int)
                kinds.add(table)
            profile.close()
        assert kinds == {"items", "inbox"}


@pytest.mark.parametrize("victim", ["message_router", "message_store", "account_store", "session_manager"])
async def test_nothing_is_lost_or_doubled_when_a_part_of_the_node_dies(tmp_path: Path, victim: str) -> None:
    async with town(tmp_path, "alice", "bob") as built, built.open("alice") as alice, built.open("bob") as bob:
        await (await alice.send(BOB, "start")).wait_delivered()
        wanted = [f"line {n}" for n in range(60)]
        got: list[str] = []

        async def listen() -> None:
            async for received in bob.messages():
                assert isinstance(received, Message)
                got.append(received.text)
                if len(got) == 61:
                    return

        with trio.fail_after(25):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(listen)
                for number, text in enumerate(wanted):
                    await alice.send(BOB, text)
                    if number in (15, 40):
                        await built.house.kill(victim)
        assert got == ["start", *wanted]


async def test_a_lost_connection_is_shown_and_mended(tmp_path: Path) -> None:
    async with town(tmp_path, "alice", "bob") as built, built.open("alice") as alice:
        await alice.wait_connected()
        events = alice.events()
        await built.house.kill("message_router")
        down = await next_event(events, ConnectionDown)
        assert 0 < down.retry_in < 5
        with trio.fail_after(10):
            await alice.wait_connected()


async def test_the_rate_limit_slows_and_loses_nothing(tmp_path: Path) -> None:
    async with (
        town(tmp_path, "alice", "bob", limits=STRICT) as built,
        built.open("alice") as alice,
        built.open("bob") as bob,
    ):
        wanted = [f"line {n}" for n in range(12)]
        await alice.send_all(BOB, wanted)
        assert await texts(bob, 12) == wanted
