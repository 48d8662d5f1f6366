"""The options that many commands share, each spelled once."""

import os
from pathlib import Path
from typing import Annotated

import typer

from norc_actors.cli.errors import UsageError

Json = Annotated[bool, typer.Option("--json", help="One JSON object per line on stdout, nothing else.")]
ServerDir = Annotated[
    Path,
    typer.Option("--dir", envvar="NORC_DIR", help="The node's folder: configuration, keys, database, control socket."),
]
Profile = Annotated[
    Path | None,
    typer.Option(
        "--profile", envvar="NORC_PROFILE", help="This device's encrypted profile. Default: in your data folder."
    ),
]
KeyFile = Annotated[
    Path | None,
    typer.Option("--key-file", envvar="NORC_KEY_FILE", help="Open the profile with this file instead of a passphrase."),
]
Within = Annotated[float, typer.Option("--within", min=0.1, help="Seconds to wait for the server or for others.")]
Address = Annotated[
    str | None,
    typer.Option("--address", help="host:port to dial, if it is not the server's own name. Remembered in the profile."),
]
CaFile = Annotated[
    Path | None,
    typer.Option("--ca", help="PEM file of the CA that signed the server's certificate. Remembered in the profile."),
]

DEFAULT_DIR = Path("norc-server")


def profile_path(given: Path | None) -> Path:
    """The profile to use: the one given, else `norc/device.norc` in the user's data folder."""
    if given is not None:
        return given
    data = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(data) / "norc" / "device.norc"


def split_address(text: str) -> tuple[str, int]:
    """`host:port` or `[v6]:port` as a pair; `UsageError` otherwise."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise UsageError(f"{text!r} is no address.", "Write it as host:port, for example --address localhost:8443.")
    return host, int(port)
