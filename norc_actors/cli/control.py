"""Talking to a running node through its control socket: one JSON object per line there, one back.

The socket belongs to the node's own user alone (mode 0600), so that whoever may use it could as well stop the process.
"""

import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path

from norc_actors.cli.errors import CliError
from norc_actors.cli.exits import Exit
from norc_actors.cli.output import JsonValue

SOCKET_NAME = "control.sock"
CONFIG_NAME = "norc.toml"


class NodeAnswerError(CliError):
    """The node understood the request and refused it."""


def ask(directory: Path, request: Mapping[str, JsonValue], *, seconds: float = 10.0) -> dict[str, JsonValue]:
    """Send one request to the node whose folder this is and return its answer (`ok` is true in it).

    Raises `CliError` with exit code OFFLINE if no node runs there, `NodeAnswerError` if it refuses.
    """
    path = socket_of(directory)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(seconds)
            connection.connect(str(path))
            connection.sendall(json.dumps(request).encode() + b"\n")
            answer = _read_line(connection)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise _unreachable(directory) from error
    except PermissionError as error:
        raise CliError(
            f"{path} belongs to another user.", "Run this as the user that runs the node.", code="permission"
        ) from error
    except OSError as error:  # a path too long for a socket, a node that died, a time-out
        raise CliError(
            f"The node at {directory} does not answer: {error}.",
            f"Look at its log, or run: norc doctor --dir {directory}",
            code="offline",
            exit_code=Exit.OFFLINE,
        ) from error
    return _checked(answer)


def _read_line(connection: socket.socket) -> bytes:
    parts: list[bytes] = []
    while not parts or not parts[-1].endswith(b"\n"):
        part = connection.recv(65536)
        if not part:
            raise ConnectionResetError("it closed the connection")
        parts.append(part)
    return b"".join(parts)


def socket_of(directory: Path) -> Path:
    """Where the node of this folder listens for its operator: as its configuration says, if there is one."""
    config = directory / CONFIG_NAME
    if not config.is_file():
        return directory / SOCKET_NAME
    from norc_actors.config import load

    return load(config, os.environ).control_socket


def _unreachable(directory: Path) -> CliError:
    return CliError(
        f"No node runs at {directory}.",
        f"Start it: norc node --dir {directory}",
        code="offline",
        exit_code=Exit.OFFLINE,
    )


def _checked(line: bytes) -> dict[str, JsonValue]:
    try:
        answer = json.loads(line)
    except ValueError as error:
        raise CliError("The node's answer is no JSON.", "Use a norc of the node's version.", code="protocol") from error
    if not isinstance(answer, dict):
        raise CliError("The node's answer is no object.", "Use a norc of the node's version.", code="protocol")
    if answer.get("ok") is not True:
        what, advice = str(answer.get("error") or "The node refused."), str(answer.get("next") or "Look at its log.")
        raise NodeAnswerError(what, advice, code="refused")
    return answer
