"""A person's mistakes and bad luck, against a real node: each has its exit code, a sentence, no stack trace."""

import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

from norc_actors.cli import main as cli
from norc_actors.cli.control import ask
from norc_actors.cli.demo.processes import NodeProcess
from norc_actors.cli.exits import Exit
from norc_actors.cli.init import GENEROUS, Server, make_server
from norc_actors.client.opening import make_unlock
from norc_actors.client.profile import open_profile

Captured = pytest.CaptureFixture[str]


@dataclass(frozen=True)
class Town:
    """A running node and two enrolled devices, opened by one key file."""

    folder: Path
    server: Server
    node: NodeProcess

    @property
    def directory(self) -> Path:
        return self.folder / "server"

    @property
    def key_file(self) -> Path:
        return self.folder / "key"

    def profile(self, name: str) -> str:
        return str(self.folder / f"{name}.norc")

    def options(self, name: str) -> list[str]:
        return ["--profile", self.profile(name), "--key-file", str(self.key_file)]

    def dialling(self) -> list[str]:
        return ["--address", self.server.listen, "--ca", str(self.server.ca)]

    def invite(self, name: str) -> str:
        answer = ask(self.directory, {"command": "invite", "user_id": f"{name}@localhost", "expires_s": 600})
        return str(answer["link"])

    def enroll(self, name: str, link: str, *more: str) -> int:
        return cli.run(["enroll", f"{name}@localhost", link, *self.options(name), *(more or self.dialling())])


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder = tmp_path_factory.mktemp("town")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{probe.getsockname()[1]}"
    server = make_server(folder / "server", server_id="localhost", listen=listen, extra=GENEROUS)
    (folder / "key").write_bytes(os.urandom(32))
    (folder / "key").chmod(0o600)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "norc_actors.node", "--config", str(server.config)], stdout=log, stderr=log
        )
    built = Town(folder, server, NodeProcess(folder / "server"))
    try:
        trio.run(built.node.ask_patiently, {"command": "status"})
        for name in ("alice", "bob"):
            assert built.enroll(name, built.invite(name)) == Exit.OK
        yield built
    finally:
        process.terminate()
        assert process.wait(timeout=40) == 0


@pytest.fixture(autouse=True)
def no_trace(capsys: Captured) -> Iterator[Callable[[], str]]:
    """What was shown; nothing that any test shows is a stack trace."""
    seen: list[str] = []

    def shown() -> str:
        captured = capsys.readouterr()
        seen.append(captured.out + captured.err)
        return seen[-1]

    yield shown
    shown()
    assert not [text for text in seen if "Traceback" in text]


Shown = Callable[[], str]


class TestEnrolling:
    def test_a_link_that_is_none(self, town: Town) -> None:
        assert town.enroll("eve", "https://localhost/enroll") == Exit.USAGE

    def test_a_truncated_link(self, town: Town) -> None:
        assert town.enroll("eve", town.invite("eve")[:-20]) == Exit.USAGE

    def test_a_used_invitation(self, town: Town, no_trace: Shown) -> None:
        link = town.invite("dora")
        assert town.enroll("dora", link) == Exit.OK
        second = [*town.options("dora2"), *town.dialling()]
        assert cli.run(["enroll", "dora@localhost", link, *second]) == Exit.FAILED
        assert "norc user invite" in no_trace()

    def test_an_invitation_for_somebody_else(self, town: Town, no_trace: Shown) -> None:
        assert town.enroll("mallory", town.invite("frank")) == Exit.FAILED
        assert "norc user invite" in no_trace()

    def test_a_profile_that_is_enrolled_already(self, town: Town) -> None:
        assert town.enroll("alice", town.invite("alice")) == Exit.FAILED

    def test_a_server_of_another_ca(self, town: Town, no_trace: Shown, tmp_path: Path) -> None:
        other = make_server(tmp_path, server_id="localhost", listen="localhost:1")
        more = ["--address", town.server.listen, "--ca", str(other.ca)]
        assert town.enroll("grace", town.invite("grace"), *more) == Exit.SECURITY
        assert "--ca" in no_trace()

    def test_a_server_with_another_key_than_the_link_names(self, town: Town) -> None:
        head, _, _ = town.invite("henry").partition("&k=")
        assert town.enroll("henry", f"{head}&k={'A' * 43}") == Exit.SECURITY

    def test_a_server_that_is_not_there(self, town: Town) -> None:
        more = ["--address", "127.0.0.1:1", "--ca", str(town.server.ca)]
        assert town.enroll("ida", town.invite("ida"), *more) == Exit.OFFLINE

    def test_nobody_approves(self, town: Town, no_trace: Shown) -> None:
        options = [*town.options("tablet"), *town.dialling(), "--further", "--within", "1"]
        assert cli.run(["enroll", "alice@localhost", *options]) == Exit.OFFLINE
        assert "Code of this device" in no_trace()


class TestProfiles:
    def test_the_wrong_key_file(self, town: Town, tmp_path: Path, no_trace: Shown) -> None:
        (tmp_path / "key").write_bytes(os.urandom(32))
        options = ["--profile", town.profile("alice"), "--key-file", str(tmp_path / "key")]
        assert cli.run(["group", "list", *options]) == Exit.WRONG_PASSPHRASE
        assert "nothing was changed" in no_trace()

    def test_a_key_file_that_is_none(self, town: Town, tmp_path: Path) -> None:
        options = ["--profile", town.profile("alice"), "--key-file", str(tmp_path / "none")]
        assert cli.run(["group", "list", *options]) == Exit.USAGE

    def test_a_profile_in_use(self, town: Town, no_trace: Shown) -> None:
        unlock = make_unlock(None, str(town.key_file))
        other_program = open_profile(Path(town.profile("alice")), unlock, os.urandom)
        try:
            assert cli.run(["group", "list", *town.options("alice")]) == Exit.NO_PROFILE
        finally:
            other_program.close()
        assert "Close the other program" in no_trace()

    def test_a_file_that_is_no_profile(self, town: Town) -> None:
        Path(town.profile("text")).write_text("no profile", "utf-8")
        assert cli.run(["group", "list", *town.options("text")]) == Exit.NO_PROFILE


class TestTalking:
    def test_a_user_that_does_not_exist(self, town: Town, no_trace: Shown) -> None:
        assert cli.run(["send", "nobody@localhost", "Hello", *town.options("alice")]) == Exit.FAILED
        assert "failed" in no_trace()

    def test_a_group_that_does_not_exist(self, town: Town, no_trace: Shown) -> None:
        assert cli.run(["send", "nogroup", "Hello", *town.options("alice")]) == Exit.FAILED
        assert "norc group list" in no_trace()

    def test_a_text_that_is_too_long(self, town: Town) -> None:
        assert cli.run(["send", "bob@localhost", "x" * 5_000_000, *town.options("alice")]) == Exit.FAILED

    def test_wrong_digits(self, town: Town, no_trace: Shown) -> None:
        assert cli.run(["verify", "bob@localhost", "12345 " * 12, *town.options("alice")]) == Exit.SECURITY
        assert "digit by digit" in no_trace()

    def test_a_device_that_is_not_ours(self, town: Town) -> None:
        unknown = "11111111-1111-4111-8111-111111111111"
        assert cli.run(["devices", "revoke", unknown, *town.options("alice")]) == Exit.FAILED

    def test_a_member_changes_a_group(self, town: Town, no_trace: Shown) -> None:
        assert cli.run(["group", "create", "ours", "bob@localhost", *town.options("alice")]) == Exit.OK
        assert cli.run(["listen", "--within", "2", *town.options("bob")]) == Exit.OK
        assert cli.run(["group", "remove", "ours", "alice@localhost", *town.options("bob")]) == Exit.FAILED
        assert "owner" in no_trace()

    def test_a_peer_that_never_answers(self, town: Town) -> None:
        waiting = ["--until", "read", "--within", "1"]
        assert cli.run(["send", "bob@localhost", "Hello", *waiting, *town.options("alice")]) == Exit.OFFLINE


class TestNode:
    def run_node(self, directory: Path) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "norc_actors.cli.main", "node", "--dir", str(directory)]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)

    def test_a_port_in_use(self, town: Town, tmp_path: Path) -> None:
        make_server(tmp_path / "second", server_id="localhost", listen=town.server.listen)
        done = self.run_node(tmp_path / "second")
        assert done.returncode == 75
        assert town.server.listen.rpartition(":")[2] in done.stderr
        assert "Traceback" not in done.stderr
        assert cli.run(["doctor", "--dir", str(tmp_path / "second")]) == Exit.FAILED

    def test_a_wrong_key_in_the_configuration(self, tmp_path: Path) -> None:
        made = make_server(tmp_path, server_id="localhost", listen="127.0.0.1:1")
        made.config.write_text(made.config.read_text("utf-8").replace("listen", "lisen"), "utf-8")
        done = self.run_node(tmp_path)
        assert done.returncode == 78
        assert "lisen" in done.stderr
        assert "Traceback" not in done.stderr

    def test_a_database_of_a_newer_release(self, tmp_path: Path) -> None:
        make_server(tmp_path, server_id="localhost", listen="127.0.0.1:1")
        (tmp_path / "data").mkdir(exist_ok=True)
        with sqlite3.connect(tmp_path / "data/norc.db") as database:
            database.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
            database.execute("INSERT INTO alembic_version VALUES ('9999')")
        database.close()
        done = self.run_node(tmp_path)
        assert done.returncode == 78
        assert "newer" in done.stderr
        assert "Traceback" not in done.stderr

    def test_an_unwell_folder_is_diagnosed(self, tmp_path: Path, no_trace: Shown) -> None:
        make_server(tmp_path, server_id="localhost", listen="127.0.0.1:1")
        (tmp_path / "identity.pem").chmod(0o644)
        assert cli.run(["doctor", "--dir", str(tmp_path)]) == Exit.FAILED
        assert "BAD  identity key" in no_trace()
