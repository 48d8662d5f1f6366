"""The control socket's client, against a server that answers well, badly, or not at all."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from norc_actors.cli import main as cli
from norc_actors.cli.control import SOCKET_NAME, NodeAnswerError, ask
from norc_actors.cli.errors import CliError
from norc_actors.cli.exits import Exit

Captured = pytest.CaptureFixture[str]
Serve = Callable[[bytes], list[dict[str, object]]]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """A node that gives one fixed answer to everything; returns the list that its requests go into."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    threads: list[threading.Thread] = []

    def start(answer: bytes) -> list[dict[str, object]]:
        requests: list[dict[str, object]] = []
        server.bind(str(tmp_path / SOCKET_NAME))
        server.listen()

        def loop() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    requests.append(json.loads(connection.recv(65536)))
                    connection.sendall(answer)

        threads.append(threading.Thread(target=loop, daemon=True))
        threads[0].start()
        return requests

    yield start
    server.shutdown(socket.SHUT_RDWR) if threads else None
    server.close()
    for thread in threads:
        thread.join(timeout=5)


def test_a_good_answer_is_returned(serve: Serve, tmp_path: Path) -> None:
    requests = serve(b'{"ok": true, "uptime_s": 4}\n')
    assert ask(tmp_path, {"command": "status"}) == {"ok": True, "uptime_s": 4}
    assert requests == [{"command": "status"}]


def test_a_refusal_says_what_to_do(serve: Serve, tmp_path: Path) -> None:
    serve(b'{"ok": false, "error": "no such actor", "next": "norc node tree"}\n')
    with pytest.raises(NodeAnswerError) as caught:
        ask(tmp_path, {"command": "kill", "name": "x"})
    assert (caught.value.what, caught.value.advice) == ("no such actor", "norc node tree")


@pytest.mark.parametrize("answer", [b"not json\n", b"[1]\n", b"\n"])
def test_nonsense_is_told_as_such(serve: Serve, tmp_path: Path, answer: bytes) -> None:
    serve(answer)
    with pytest.raises(CliError) as caught:
        ask(tmp_path, {"command": "status"})
    assert caught.value.code == "protocol"


def test_a_node_that_dies_while_answering_is_offline(serve: Serve, tmp_path: Path) -> None:
    serve(b'{"ok": tr')
    with pytest.raises(CliError) as caught:
        ask(tmp_path, {"command": "status"})
    assert caught.value.exit_code is Exit.OFFLINE


def test_no_node_is_offline(tmp_path: Path, capsys: Captured) -> None:
    assert cli.run(["node", "status", "--dir", str(tmp_path)]) == Exit.OFFLINE
    assert "norc node" in capsys.readouterr().err


def test_a_socket_that_nobody_serves_is_offline(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left_behind:
        left_behind.bind(str(tmp_path / SOCKET_NAME))
    with pytest.raises(CliError) as caught:
        ask(tmp_path, {"command": "status"})
    assert caught.value.exit_code is Exit.OFFLINE


def test_invite_shows_the_link_and_the_qr_code(serve: Serve, tmp_path: Path, capsys: Captured) -> None:
    requests = serve(b'{"ok": true, "link": "norc://localhost/enroll?v=1", "expires_at": 1900000000}\n')
    assert cli.run(["user", "invite", "bob@localhost", "--dir", str(tmp_path), "--expires", "2h"]) == Exit.OK
    shown = capsys.readouterr()
    assert shown.out == "norc://localhost/enroll?v=1\n"
    assert "█" in shown.err
    assert "norc enroll bob@localhost" in shown.err
    assert requests == [{"command": "invite", "user_id": "bob@localhost", "expires_s": 7200}]


def test_a_short_name_is_completed(serve: Serve, tmp_path: Path) -> None:
    requests = serve(b'{"ok": true, "server_id": "localhost", "link": "norc://x", "expires_at": 1}\n')
    assert cli.run(["user", "invite", "bob", "--json", "--dir", str(tmp_path)]) == Exit.OK
    assert requests[-1]["user_id"] == "bob@localhost"


def test_kill_names_the_victim(serve: Serve, tmp_path: Path, capsys: Captured) -> None:
    requests = serve(b'{"ok": true, "killed": "node/connections/worker-3"}\n')
    assert cli.run(["node", "kill", "--kind", "connection_worker", "--seed", "3", "--dir", str(tmp_path)]) == Exit.OK
    assert requests == [{"command": "kill", "kind": "connection_worker", "seed": 3}]
    assert "worker-3" in capsys.readouterr().out


def test_tree_is_drawn(serve: Serve, tmp_path: Path, capsys: Captured) -> None:
    serve(b'{"ok": true, "tree": {"spec": "node", "children": [{"spec": "storage", "children": []}]}}\n')
    assert cli.run(["node", "tree", "--dir", str(tmp_path)]) == Exit.OK
    assert capsys.readouterr().out.splitlines() == ["node", "└── storage"]
