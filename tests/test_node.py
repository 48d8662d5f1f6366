"""The command `python -m norc_actors.node`: what it makes, how it ends, what it says when it cannot start (row E1)."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import trio

from bench.lean_device import Line
from bench.serving import serving_in
from norc_actors import node
from norc_actors.doctor import examine
from norc_actors.net.errors import ClosedError
from norc_actors.net.tls import client_context
from norc_actors.protocol import messages as m
from norc_actors.store.database import Database

COMMAND = [sys.executable, "-m", "norc_actors.node"]


@contextmanager
def running(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """A node of its own process, past its first word."""
    arguments = ["--dev", str(folder), "--listen", "127.0.0.1:0"]
    with subprocess.Popen([*COMMAND, *arguments], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if '"serving"' in line:
                    break
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def failed(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Exit code and message of a node that does not start."""
    code = node.main(arguments)
    return code, capsys.readouterr().err


def test_dev_makes_all_that_is_needed_and_says_what_to_do_next(tmp_path: Path) -> None:
    folder = tmp_path / "dev"
    with running(folder) as process:
        assert {path.name for path in folder.iterdir()} >= {"norc.toml", "ca.pem", "server.pem", "identity.pem", "data"}
        assert len((folder / "norc.toml").read_text().strip().splitlines()) <= 15
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert all(finding.good for finding in examine(folder))


def test_sighup_takes_over_a_renewed_certificate(tmp_path: Path) -> None:
    with running(tmp_path) as process:
        assert process.stderr is not None
        os.kill(process.pid, signal.SIGHUP)
        assert '"certificate"' in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def dev(folder: Path) -> Path:
    """A folder as `--dev` leaves it."""
    with running(folder) as process:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    return folder / "norc.toml"


def test_a_port_in_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = dev(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config.write_text(config.read_text().replace('"127.0.0.1:0"', f'"127.0.0.1:{port}"'))
        code, said = failed(capsys, "--config", str(config))
        assert code == node.EXIT_ADDRESS
        assert str(port) in said
        [found] = [finding for finding in examine(tmp_path) if finding.name == "node"]
        assert not found.good


def test_a_misspelt_key_is_named_with_the_nearest_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = dev(tmp_path)
    config.write_text(config.read_text().replace("audit_key", "audit_kye"))
    code, said = failed(capsys, "--config", str(config))
    assert code == node.EXIT_CONFIG
    assert "audit_kye" in said
    assert "audit_key" in said
    assert [finding.name for finding in examine(tmp_path)] == ["configuration"]


def test_a_key_that_others_may_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = dev(tmp_path)
    (tmp_path / "identity.pem").chmod(0o644)
    code, said = failed(capsys, "--config", str(config))
    assert code == node.EXIT_CONFIG
    assert "chmod 600" in said
    [found] = [finding for finding in examine(tmp_path) if not finding.good]
    assert found.name == "identity key"


def test_a_certificate_that_is_gone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = dev(tmp_path)
    (tmp_path / "server.pem").unlink()
    code, said = failed(capsys, "--config", str(config))
    assert code == node.EXIT_CONFIG
    assert "server.pem" in said
    assert "certificate" in [finding.name for finding in examine(tmp_path) if not finding.good]


def test_a_database_of_a_newer_release(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = dev(tmp_path)
    with sqlite3.connect(tmp_path / "data" / "norc.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    code, said = failed(capsys, "--config", str(config))
    assert code == node.EXIT_CONFIG
    assert "newer" in said
    [found] = [finding for finding in examine(tmp_path) if not finding.good]
    assert found.name == "database"


def test_a_database_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = dev(tmp_path)
    (tmp_path / "data" / "norc.db").write_bytes(b"not a database at all" * 100)
    code, said = failed(capsys, "--config", str(config))
    assert code == node.EXIT_CONFIG
    assert "no database" in said


def test_a_second_node_on_the_same_data_does_not_break_the_first(tmp_path: Path) -> None:
    with running(tmp_path) as process:
        Database.open(tmp_path / "data" / "norc.db").close()
        found = {finding.name: finding for finding in examine(tmp_path)}
        assert f"process {process.pid}" in found["node"].what


def test_wrong_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        node.main([])
    assert ended.value.code == node.EXIT_USAGE
    assert "--dev" in capsys.readouterr().err


async def send_until_closed(line: Line, sealed: list[m.MessageSend], after: int, then: Callable[[], None]) -> set[str]:
    """Send as fast as the server acknowledges; `then` after so many. The ids of what was acknowledged."""
    sent: set[str] = set()
    room = trio.Semaphore(32)

    async def send() -> None:
        with suppress(ClosedError):
            for message in sealed:
                await room.acquire()
                await line.send(message)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        with suppress(ClosedError):
            while True:
                message = await line.receive()
                if isinstance(message, m.MessageAck) and message.status == "sent":
                    sent.add(message.message_id)
                    room.release()
                    if len(sent) == after:
                        then()
        nursery.cancel_scope.cancel()
    return sent


@pytest.mark.parametrize("signal_", [signal.SIGTERM, signal.SIGKILL])
async def test_a_node_ended_under_load_keeps_what_it_acknowledged(tmp_path: Path, signal_: signal.Signals) -> None:
    """Row B38: SIGTERM ends it in order within 30 s; and SIGKILL at any moment loses nothing either."""
    async with serving_in(tmp_path) as (served, process):
        context = client_context(served.ca)
        alice, bob = await served.enrolled(["alice", "bob"])
        async with alice.connected(served.host, served.port, context) as line:
            await alice.authenticate(line)
            talk = await alice.talk_to(line, bob)
            sealed = [talk.seal(str(i)) for i in range(900)]
            sent = await send_until_closed(line, sealed, 300, lambda: process.send_signal(signal_))
        began = trio.current_time()
        code = await trio.to_thread.run_sync(process.wait, 30)
        assert code == (0 if signal_ == signal.SIGTERM else -signal.SIGKILL)
        assert trio.current_time() - began < 30
    assert 300 <= len(sent) < len(sealed)
    async with serving_in(tmp_path) as (served, _):
        came: list[str] = []
        async with bob.connected(served.host, served.port, client_context(served.ca)) as line:
            await bob.authenticate(line)
            while not sent <= set(came):
                received = await line.receive()
                if isinstance(received, m.MessageReceived):
                    came.append(received.message_id)
                    await line.send(bob.receipt(received))
    assert came == [message.message_id for message in sealed[: len(came)]]
