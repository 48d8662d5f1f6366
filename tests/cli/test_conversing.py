"""Commands over a client that is played: what they ask of the library, what they print, how they end."""

import io
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

import pytest
import trio

from norc_actors.cli import main as cli
from norc_actors.cli.exits import Exit
from norc_actors.client import (
    Cause,
    Client,
    DeviceInfo,
    Group,
    Member,
    Message,
    MessageStatus,
    PendingDevice,
    Received,
    Role,
    Status,
    Undecryptable,
)
from norc_actors.client.errors import FingerprintMismatchError, OfflineError, SendFailedError, UnknownConversationError
from norc_actors.client.events import Event, UserKeyPinned
from norc_actors.ids import ConversationId, DeviceId, MessageId, UserId

ALICE = UserId("alice@localhost")
BOB = UserId("bob@localhost")
TEAM = ConversationId("11111111-1111-4111-8111-111111111111")
DIGITS = " ".join(f"{n:05}" for n in range(12))
T = TypeVar("T")
Captured = pytest.CaptureFixture[str]


@dataclass
class PlayedSent:
    """A sent message that ends as the scene wants."""

    message_id: str
    becomes: Status

    @property
    def status(self) -> MessageStatus:
        return MessageStatus(
            message_id=MessageId(self.message_id),
            conversation_id=TEAM,
            status=self.becomes,
            created_us=1,
            cause=self.cause,
        )

    @property
    def cause(self) -> str:
        return "unknown_user" if self.becomes is Status.FAILED else ""

    async def wait_accepted(self) -> MessageStatus:
        if self.becomes is Status.FAILED:
            raise SendFailedError(self.message_id, "unknown_user", "There is no such user.")
        if self.becomes is Status.WAITING:
            await trio.sleep_forever()
        return self.status

    wait_delivered = wait_read = wait_accepted


class Then(Generic[T]):
    """Gives the items, and then nothing more for ever."""

    def __init__(self, items: Sequence[T]) -> None:
        self._items = iter(items)

    def __aiter__(self) -> "Then[T]":
        return self

    async def __anext__(self) -> T:
        for item in self._items:
            return item
        await trio.sleep_forever()
        raise AssertionError


@dataclass
class PlayedClient:
    """What a test wants to happen, and what the command did."""

    incoming: list[Received] = field(default_factory=list)
    happens: list[Event] = field(default_factory=list)
    becomes: Status = Status.SENT
    pending: list[PendingDevice] = field(default_factory=list)
    offline: bool = False
    done: list[tuple[object, ...]] = field(default_factory=list)
    user_id: UserId = ALICE
    device_id: str = "d"
    server_id: str = "localhost"
    team: Group = field(
        default_factory=lambda: Group(
            conversation_id=TEAM, name="te\x1bam", epoch=2, members=(Member(user_id=BOB, role=Role.OWNER),)
        )
    )

    async def wait_connected(self, within: float | None = None) -> None:
        if self.offline:
            raise OfflineError("No connection.")

    async def send_all(self, to: str, texts: Sequence[str]) -> list[PlayedSent]:
        self.done.append(("send", to, *texts))
        return [PlayedSent(f"m{n}", self.becomes) for n, _ in enumerate(texts)]

    async def send(self, to: str, text: str, classification: str = "unclassified") -> PlayedSent:
        self.done.append(("send", to, text, classification))
        return PlayedSent("m0", self.becomes)

    def messages(self) -> "Then[Received]":
        return Then(self.incoming)

    def events(self) -> "Then[Event]":
        return Then(self.happens)

    async def read(self, message: Message) -> None:
        self.done.append(("read", message.message_id))

    async def outbox_count(self) -> int:
        return 3 if self.becomes is Status.WAITING else 0

    async def wait_outbox_empty(self) -> None:
        if self.becomes is Status.WAITING:
            await trio.sleep_forever()

    async def groups(self) -> list[Group]:
        return [self.team]

    async def group(self, name: str) -> Group:
        if name not in ("team", TEAM):
            raise UnknownConversationError(f"There is no group {name}.")
        return self.team

    async def create_group(self, name: str, members: Sequence[str]) -> Group:
        self.done.append(("create", name, *members))
        return self.team

    async def add_member(self, group: Group, user: str, role: str) -> Group:
        self.done.append(("add", user, role))
        return group

    async def remove_member(self, group: Group, user: str) -> Group:
        self.done.append(("remove", user))
        return group

    async def leave_group(self, group: Group) -> None:
        self.done.append(("leave", group.conversation_id))

    async def rename_group(self, group: Group, name: str) -> Group:
        self.done.append(("rename", name))
        return group

    async def devices(self) -> list[DeviceInfo]:
        return [
            DeviceInfo(device_id=DeviceId(name), this_device=mine, trusted=trusted, revoked=False, not_before=1,
                       not_after=1_900_000_000, fingerprint="12345 67890")
            for name, mine, trusted in (("d", True, True), ("rogue", False, False))
        ]  # fmt: skip

    def pending_devices(self) -> list[PendingDevice]:
        return self.pending

    async def approve(self, device: str, code: str) -> None:
        if code != "12345":
            raise FingerprintMismatchError("The code is another one.")
        self.done.append(("approve", device))

    async def user_fingerprint(self) -> str:
        return DIGITS[:35]

    async def revoke(self, device: str, reason: str) -> None:
        self.done.append(("revoke", device, reason))

    async def fingerprint(self, user: str) -> str:
        return DIGITS

    async def verify(self, user: str, digits: str) -> None:
        if digits != DIGITS:
            raise FingerprintMismatchError("The digits differ.")
        self.done.append(("verify", user))


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> PlayedClient:
    """A profile that opens as a played client."""
    client = PlayedClient()

    @asynccontextmanager
    async def open_played(*_: object, **__: object) -> AsyncIterator[PlayedClient]:
        yield client

    (tmp_path / "profile").touch()
    monkeypatch.setattr(Client, "open", open_played)
    monkeypatch.setenv("NORC_PROFILE", str(tmp_path / "profile"))
    monkeypatch.setenv("NORC_PASSPHRASE", "words")
    return client


def message(number: int = 0, *, text: str = "Hello", own: bool = False, **more: bool) -> Message:
    return Message(
        message_id=MessageId(f"in{number}"), conversation_id=TEAM, sender=BOB, sender_device=DeviceId("b"),
        message_type="text", text=text, body={}, sent_us=1, accepted_at=1_700_000_000, classification="unclassified",
        own=own, **more,
    )  # fmt: skip


BROKEN = Undecryptable(
    message_id=MessageId("in9"), conversation_id=TEAM, sender=BOB, sender_device=DeviceId("b"), cause=Cause.NOT_OPENED,
    accepted_at=1_700_000_000,
)  # fmt: skip


def lines_of(captured: Captured) -> list[dict[str, object]]:
    return [json.loads(line) for line in captured.readouterr().out.splitlines()]


class TestSend:
    def test_a_message_is_sent_and_told(self, played: PlayedClient, capsys: Captured) -> None:
        assert cli.run(["send", "bob@localhost", "Hello"]) == Exit.OK
        assert played.done == [("send", "bob@localhost", "Hello")]
        assert capsys.readouterr().out == "m0  sent\n"

    def test_lines_of_standard_input_are_messages(self, played: PlayedClient, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sys.stdin", io.StringIO("one\n\n two\n"))
        assert cli.run(["send", "team"]) == Exit.OK
        assert played.done == [("send", TEAM, "one", " two")]

    def test_a_text_may_begin_with_a_dash(self, played: PlayedClient) -> None:
        assert cli.run(["send", "bob@localhost", "--", "--json is an option"]) == Exit.OK
        assert played.done == [("send", "bob@localhost", "--json is an option")]

    def test_a_classification_is_passed_on(self, played: PlayedClient) -> None:
        assert cli.run(["send", "bob@localhost", "Hello", "--classification", "secret"]) == Exit.OK
        assert played.done == [("send", "bob@localhost", "Hello", "secret")]

    def test_what_cannot_leave_waits_and_that_is_told(self, played: PlayedClient, capsys: Captured) -> None:
        played.becomes = Status.WAITING
        assert cli.run(["send", "bob@localhost", "Hello", "--within", "0.1"]) == Exit.OFFLINE
        shown = capsys.readouterr()
        assert shown.out == "m0  waiting\n"
        assert "safe in the outbox" in shown.err

    def test_a_final_failure_is_a_failure(self, played: PlayedClient, capsys: Captured) -> None:
        played.becomes = Status.FAILED
        assert cli.run(["send", "nobody@localhost", "Hello", "--json"]) == Exit.FAILED
        first, last = lines_of(capsys)
        assert (first["status"], first["cause"]) == ("failed", "unknown_user")
        assert last["ok"] is False

    def test_an_unknown_group_is_named(self, played: PlayedClient, capsys: Captured) -> None:
        assert cli.run(["send", "taem", "Hello"]) == Exit.FAILED
        assert "taem" in capsys.readouterr().err


class TestListen:
    def test_messages_are_printed_and_read(self, played: PlayedClient, capsys: Captured) -> None:
        played.incoming = [message(1), message(2, own=True), BROKEN]
        assert cli.run(["listen", "--count", "3"]) == Exit.OK
        first, second, third = capsys.readouterr().out.splitlines()
        assert "bob@localhost: Hello" in first
        assert "you, on another device: Hello" in second
        assert "could not be opened: it was altered on the way" in third
        assert played.done == [("read", "in1")]

    def test_json_has_everything(self, played: PlayedClient, capsys: Captured) -> None:
        played.incoming = [message(1, text="\x1b[2J"), BROKEN]
        assert cli.run(["listen", "--count", "2", "--json", "--no-read"]) == Exit.OK
        first, second = lines_of(capsys)
        assert (first["event"], first["text"], first["sender"]) == ("message", "\x1b[2J", "bob@localhost")
        assert (second["event"], second["cause"]) == ("undecryptable", "not_opened")
        assert played.done == []

    def test_a_peer_cannot_write_to_the_terminal(self, played: PlayedClient, capsys: Captured) -> None:
        played.incoming = [message(1, text="\x1b[2Jspoof")]
        assert cli.run(["listen", "--count", "1"]) == Exit.OK
        assert "\x1b" not in capsys.readouterr().out

    def test_too_few_in_time_is_a_failure(self, played: PlayedClient) -> None:
        assert cli.run(["listen", "--count", "1", "--within", "0.1"]) == Exit.OFFLINE
        assert cli.run(["listen", "--within", "0.1"]) == Exit.OK

    def test_gaps_and_verified_senders_are_marked(self, played: PlayedClient, capsys: Captured) -> None:
        played.incoming = [message(1, gap=True, verified=True)]
        assert cli.run(["listen", "--count", "1"]) == Exit.OK
        assert "bob@localhost ✓: Hello (earlier messages are missing)" in capsys.readouterr().out

    def test_security_events_are_always_shown(self, played: PlayedClient, capsys: Captured) -> None:
        played.happens = [UserKeyPinned(user_id=BOB, text="Bob's key was pinned.")]
        assert cli.run(["listen", "--within", "0.1"]) == Exit.OK
        assert "! Bob's key was pinned." in capsys.readouterr().out


class TestChat:
    def test_typed_lines_are_sent_and_messages_shown(
        self, played: PlayedClient, monkeypatch: pytest.MonkeyPatch, capsys: Captured
    ) -> None:
        played.incoming = [message(1)]
        monkeypatch.setattr("sys.stdin", io.StringIO("one\n\ntwo\n"))
        assert cli.run(["chat", "bob@localhost"]) == Exit.OK
        sent = [what for what in played.done if what[0] == "send"]
        assert sent == [("send", "bob@localhost", t, "unclassified") for t in ("one", "two")]
        assert "bob@localhost: Hello" in capsys.readouterr().out


class TestDevices:
    def test_the_list_says_what_is_not_trusted(self, played: PlayedClient, capsys: Captured) -> None:
        assert cli.run(["devices", "list"]) == Exit.OK
        head, mine, rogue = capsys.readouterr().out.splitlines()
        assert head.startswith("device")
        assert "trusted, this one" in mine
        assert "NOT TRUSTED" in rogue

    def test_json_lists_the_waiting_ones_too(self, played: PlayedClient, capsys: Captured) -> None:
        played.pending = [PendingDevice(device_id=DeviceId("new"), name="phone", since=1)]
        assert cli.run(["devices", "list", "--json"]) == Exit.OK
        assert lines_of(capsys)[-1] == {"device_id": "new", "pending": True, "name": "phone", "since": 1}

    def test_the_code_lets_a_device_in(self, played: PlayedClient) -> None:
        played.pending = [PendingDevice(device_id=DeviceId("new"), name="phone", since=1)]
        assert cli.run(["devices", "approve", "12345"]) == Exit.OK
        assert played.done == [("approve", "new")]
        assert cli.run(["devices", "approve", "54321"]) == Exit.SECURITY

    def test_of_several_one_must_be_named(self, played: PlayedClient, capsys: Captured) -> None:
        played.pending = [PendingDevice(device_id=DeviceId(name), name=name, since=1) for name in ("a", "b")]
        assert cli.run(["devices", "approve", "12345"]) == Exit.FAILED
        assert "--device a" in capsys.readouterr().err
        assert cli.run(["devices", "approve", "12345", "--device", "b"]) == Exit.OK
        assert played.done == [("approve", "b")]

    def test_none_waiting_is_told(self, played: PlayedClient) -> None:
        assert cli.run(["devices", "approve", "12345", "--within", "0.1"]) == Exit.OFFLINE

    def test_revoking(self, played: PlayedClient) -> None:
        assert cli.run(["devices", "revoke", "d", "--reason", "lost"]) == Exit.OK
        assert played.done == [("revoke", "d", "lost")]

    def test_offline_is_told(self, played: PlayedClient) -> None:
        played.offline = True
        assert cli.run(["devices", "list"]) == Exit.OFFLINE


class TestVerify:
    def test_the_digits_are_shown(self, played: PlayedClient, capsys: Captured) -> None:
        assert cli.run(["verify", "bob@localhost"]) == Exit.OK
        shown = capsys.readouterr()
        assert shown.out.strip() == DIGITS
        assert "█" in shown.err

    def test_the_right_digits_verify(self, played: PlayedClient) -> None:
        assert cli.run(["verify", "bob@localhost", DIGITS]) == Exit.OK
        assert played.done == [("verify", "bob@localhost")]

    def test_the_wrong_ones_are_a_matter_of_security(self, played: PlayedClient) -> None:
        assert cli.run(["verify", "bob@localhost", "1"]) == Exit.SECURITY
        assert played.done == []


class TestGroup:
    @pytest.mark.parametrize(
        ("arguments", "done"),
        [
            (["create", "team", "bob@localhost"], ("create", "team", "bob@localhost")),
            (["add", "team", "eve@localhost", "--role", "observer"], ("add", "eve@localhost", "observer")),
            (["remove", "team", "bob@localhost"], ("remove", "bob@localhost")),
            (["rename", "team", "crew"], ("rename", "crew")),
            (["leave", "team"], ("leave", TEAM)),
        ],
    )
    def test_each_change(
        self, played: PlayedClient, capsys: Captured, arguments: list[str], done: tuple[object, ...]
    ) -> None:
        assert cli.run(["group", *arguments, "--json"]) == Exit.OK
        assert played.done == [done]
        assert lines_of(capsys)[0]["ok"] is True

    def test_the_list_shows_no_escape_sequence(self, played: PlayedClient, capsys: Captured) -> None:
        assert cli.run(["group", "list"]) == Exit.OK
        shown = capsys.readouterr().out
        assert "am" in shown
        assert "\x1b" not in shown

    def test_a_name_that_cannot_leave_is_told(self, played: PlayedClient, capsys: Captured) -> None:
        played.becomes = Status.WAITING
        assert cli.run(["group", "create", "team", "bob@localhost", "--within", "0.1"]) == Exit.OFFLINE
        assert "outbox" in capsys.readouterr().err

    def test_a_wrong_name_is_a_usage_error(self, played: PlayedClient) -> None:
        assert cli.run(["group", "create", "team", "bob"]) == Exit.USAGE
        assert cli.run(["group", "add", "team", "bob@localhost", "--role", "king"]) == Exit.USAGE


class TestDoctor:
    def test_a_healthy_device(self, played: PlayedClient, capsys: Captured) -> None:
        assert cli.run(["doctor"]) == Exit.OK
        assert [line[:3] for line in capsys.readouterr().out.splitlines()] == ["ok ", "ok ", "ok "]

    def test_no_connection_is_said_in_words(self, played: PlayedClient, capsys: Captured) -> None:
        played.offline = True
        assert cli.run(["doctor", "--json"]) == Exit.FAILED
        checks = lines_of(capsys)
        assert [check["ok"] for check in checks] == [True, False, True, False]
        assert checks[1]["next"]

    def test_no_profile_is_said_in_words(self, capsys: Captured, tmp_path: Path) -> None:
        assert cli.run(["doctor", "--profile", str(tmp_path / "none")]) == Exit.FAILED
        assert "norc enroll" in capsys.readouterr().out


def test_without_a_profile_every_command_says_how_to_get_one(capsys: Captured, tmp_path: Path) -> None:
    assert cli.run(["listen", "--profile", str(tmp_path / "none")]) == Exit.NO_PROFILE
    assert "norc enroll" in capsys.readouterr().err
