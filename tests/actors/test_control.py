"""The operator's socket: what it tells, what it does, and how it refuses (rows E8, E9, E15)."""

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trio

from norc_actors import limits
from tests.support.house import house


async def test_status_and_tree(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        status = await home.served.ask({"command": "status"})
        assert (status["ok"], status["server_id"], status["pid"]) == (True, "localhost", os.getpid())
        assert status["connected"] == 0
        tree: Any = (await home.served.ask({"command": "tree"}))["tree"]
        branches = {branch["spec"]: [child["spec"] for child in branch["children"]] for branch in tree["children"]}
        assert branches == {
            "storage": ["message_store", "account_store", "audit_log"],
            "crypto": ["key_manager", "registrar", "session_manager"],
            "trust": ["certificate_store", "trust_manager", "trust_validator", "crl_manager", "trust_monitor"],
            "messages": ["message_router", "conversations"],
            "connections": ["connection_workers", "client_listener"],
            "observer": ["control", "health"],
        }
        assert [branch["strategy"] for branch in tree["children"]] == [
            "one_for_all", "one_for_one", "rest_for_one", "rest_for_one", "rest_for_one", "one_for_one",
        ]  # fmt: skip


async def test_only_the_nodes_own_account_may_open_it(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        assert stat.S_IMODE(home.config.control_socket.stat().st_mode) == 0o600
    assert not home.config.control_socket.exists()


async def test_a_killed_actor_is_counted_as_restarted(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        await home.kill("key_manager")
        with trio.fail_after(5):
            while True:
                tree: Any = (await home.served.ask({"command": "tree"}))["tree"]
                [manager] = [c for b in tree["children"] for c in b["children"] if c["spec"] == "key_manager"]
                if manager["status"] == "running" and manager["restarts"] == 1:
                    return
                await trio.sleep(0.01)


async def test_one_of_the_connections_is_killed_by_seed(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        alice, bob = await home.served.enrolled(["alice", "bob"])
        async with home.line(alice), home.line(bob):
            killed = {
                str((await home.served.ask({"command": "kill", "kind": "connection_worker", "seed": seed}))["killed"])
                for seed in (0, 1)
            }
            assert len(killed) == 2


@pytest.mark.parametrize(
    ("request_", "part"),
    [
        ({"command": "dance"}, "unknown command"),
        ({}, "unknown command"),
        ({"command": "kill", "name": "nobody"}, "no actor is named"),
        ({"command": "kill", "name": "control"}, "does not end itself"),
        ({"command": "kill", "kind": "connection_worker"}, "nobody is connected"),
        ({"command": "invite", "user_id": "alice"}, "is no user"),
        ({"command": "invite", "user_id": "alice@elsewhere"}, "not of this server"),
        ({"command": "invite", "user_id": "alice@localhost", "expires_s": 0}, "expires_s"),
        ({"command": "invite", "user_id": "alice@localhost", "expires_s": "soon"}, "expires_s"),
    ],
)
async def test_a_refusal_says_what_is_wrong_and_what_to_do(
    tmp_path: Path, request_: dict[str, object], part: str
) -> None:
    async with house(tmp_path) as home:
        answer = await home.served.ask(request_)
        assert answer["ok"] is False
        assert part in str(answer["error"])
        assert answer["next"]


@pytest.mark.parametrize("line", [b"not json\n", b"[1]\n", b"\xff\n"])
async def test_what_is_no_request_is_answered_too(tmp_path: Path, line: bytes) -> None:
    async with house(tmp_path) as home, await trio.open_unix_socket(str(home.config.control_socket)) as stream:
        await stream.send_all(line)
        assert b'"ok": false' in await stream.receive_some()


async def test_a_line_without_end_is_cut_off(tmp_path: Path) -> None:
    async with house(tmp_path) as home, await trio.open_unix_socket(str(home.config.control_socket)) as stream:
        with suppress(trio.BrokenResourceError):
            await stream.send_all(b"x" * 2 * limits.CONTROL_LINE_BYTES)
        try:
            assert await stream.receive_some() == b""
        except trio.BrokenResourceError:
            return  # cut off with bytes unread: a reset instead of an end


async def test_the_audit_chain_is_walked(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        await home.served.enrolled(["alice"])
        assert (await home.served.ask({"command": "audit"}))["entries"] == 2


async def test_the_whole_tree_ends_in_time_even_if_every_actor_takes_all_of_its_own(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        [alice] = await home.served.enrolled(["alice"])
        async with home.line(alice):
            assert home.system.root is not None
            assert home.system.root.shutdown_budget() <= limits.SHUTDOWN_SECONDS < 30
