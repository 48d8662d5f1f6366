"""A crash between every two commits: the profile is opened again and nothing is lost, doubled or reordered.

The crash is an exception out of `Profile.commit`, either before the changes are on disk or just after (nobody was
told): the client's tasks end, its memory is gone, the file stays, exactly as after SIGKILL.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from norc_actors.client import Client, Message
from norc_actors.client.errors import ClientUsageError
from norc_actors.client.opening import make_unlock
from norc_actors.client.profile import Profile, Write, open_profile
from norc_actors.client.records import SENT
from norc_actors.client.transaction import Ledger
from tests.support.clients import Town, town

BOB = "bob@localhost"
TEXTS = ["one", "two", "three"]


class CrashError(Exception):
    """The process was killed."""


class Killer:
    """Crashes one profile's n-th commit."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._commit = Profile.commit
        self._path: Path | None = None
        self._left = -1
        self._after = False
        monkeypatch.setattr(Profile, "commit", lambda profile, writes: self.commit(profile, writes))

    @contextmanager
    def armed(self, path: Path, number: int, *, after: bool) -> Iterator[None]:
        """Crash commit `number` (from 0) of the profile at `path`, before or after it is done."""
        self._path, self._left, self._after = path, number, after
        yield
        self._path = None

    @property
    def struck(self) -> bool:
        """Whether the crash has happened."""
        return self._left < 0

    def commit(self, profile: Profile, writes: list[Write]) -> None:
        if profile.path != self._path:
            self._commit(profile, writes)
            return
        self._left -= 1
        if self._left == -1 and not self._after:
            raise CrashError
        if self._left < -1:
            raise CrashError  # the process is dead: nothing is written after its end
        self._commit(profile, writes)
        if self._left == -1:
            raise CrashError


def crashed(error: BaseException) -> bool:
    """Whether this is a crash and what follows from it: whoever waited for the commit is told that nobody commits."""
    if isinstance(error, BaseExceptionGroup):
        return all(crashed(inner) for inner in error.exceptions)
    return isinstance(error, CrashError | ClientUsageError)


@contextmanager
def surviving() -> Iterator[None]:
    """The block's process may be killed."""
    try:
        yield
    except BaseException as error:
        if not crashed(error):
            raise


def committed(town_: Town, name: str) -> int:
    """How many messages a closed profile says that it has sent."""
    profile = open_profile(town_.path(name), make_unlock(None, town_.key_file), os.urandom)
    count = len(Ledger(profile).begin().all(SENT))
    profile.close()
    return count


async def told(client: Client, got: list[str], last: str) -> None:
    """Note what comes, up to `last`, and consume it."""
    stream = client.messages()
    with trio.fail_after(10):
        async for received in stream:
            assert isinstance(received, Message), received
            got.append(received.text)
            if received.text == last:
                await client.read(received)
                return


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_the_sender_is_killed_at_each_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    killer = Killer(monkeypatch)
    async with town(tmp_path, "alice", "bob") as built, built.open("bob") as bob:
        fresh = built.path("alice").read_bytes()
        for number in range(100):
            built.path("alice").write_bytes(fresh)
            with killer.armed(built.path("alice"), number, after=after):
                with surviving():
                    async with built.open("alice") as alice:
                        await alice.send_all(BOB, TEXTS)
                        with trio.fail_after(10):
                            await alice.wait_outbox_empty()
                struck = killer.struck
            kept = committed(built, "alice")
            assert kept in (0, len(TEXTS))
            async with built.open("alice") as alice:
                if not kept:
                    await alice.send_all(BOB, TEXTS)
                await alice.send(BOB, f"end {number}")
                got: list[str] = []
                await told(bob, got, f"end {number}")
                assert got == [*TEXTS, f"end {number}"]
            if not struck:
                break
        assert number > 3


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_the_receiver_is_killed_at_each_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    killer = Killer(monkeypatch)
    async with town(tmp_path, "alice", "bob") as built, built.open("alice") as alice:
        for number in range(100):
            wanted = [f"{text} {number}" for text in (*TEXTS, "end")]
            sent = await alice.send_all(BOB, wanted)
            got: list[str] = []
            again: list[str] = []
            with killer.armed(built.path("bob"), number, after=after):
                with surviving():
                    async with built.open("bob") as bob:
                        await told(bob, got, wanted[-1])
                struck = killer.struck
            async with built.open("bob") as bob:
                await alice.send(BOB, f"over {number}")
                await told(bob, again, f"over {number}")
                with trio.fail_after(10):
                    for one in sent:
                        await one.wait_delivered()
            # what the application was handling when it was killed may be seen again: that one message, no other
            if got and again[0] == got[-1]:
                again = again[1:]
            assert got + again == [*wanted, f"over {number}"], (number, got, again)
            if not struck:
                break
        assert number > 3
