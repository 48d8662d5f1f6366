"""`norc init`: a folder with all that a node needs."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from norc_actors.cli.errors import UsageError
from norc_actors.cli.options import DEFAULT_DIR, Json, ServerDir, split_address
from norc_actors.cli.output import Output
from norc_actors.ids import parse_server_id

GENEROUS = """
[limits]
messages_per_minute = 600000
messages_burst = 600000
key_lookups_per_minute = 60000
registrations_per_hour = 10000
"""
"""Limits for the demo and for benchmarks, whose clients send more in a second than a person in an hour."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """What `make_server` made. `ca` is what clients trust, `config` what the node is started with."""

    server_id: str
    listen: str
    config: Path
    ca: Path


def register(app: typer.Typer) -> None:
    app.command()(init)


def init(
    directory: ServerDir = DEFAULT_DIR,
    server_id: Annotated[str, typer.Option("--server-id", help="The server's name, as in name@server.")] = "localhost",
    listen: Annotated[str, typer.Option("--listen", help="Where the node listens, host:port.")] = "127.0.0.1:8443",
    defaults: Annotated[
        bool, typer.Option("--print-defaults", help="Only print every key of the configuration.")
    ] = False,
    json: Json = False,
) -> None:
    """Make a node's folder: keys, a private CA, a certificate, a configuration. What is there already stays."""
    out = Output(json)
    if defaults:
        from norc_actors.config import print_defaults

        text = print_defaults()
        out.emit({"ok": True, "defaults": text}, text.rstrip())
        return
    server = make_server(directory, server_id=server_id, listen=listen)
    out.emit(
        {"ok": True, "config": str(server.config), "ca": str(server.ca), "server_id": server_id, "listen": listen},
        f"Made {directory}: configuration {server.config.name}, keys, a private CA, a certificate for {server_id}.",
    )
    out.note(f"Start it:        norc node --dir {directory}")
    out.note(f"Invite someone:  norc user invite alice@{server_id} --dir {directory}")
    out.note(f"On their device: norc enroll alice@{server_id} LINK --address {listen} --ca {server.ca}")
    out.note(
        "The CA's key lies in this folder too: good for trying out; in earnest, name your own certificate in the file."
    )


def make_server(directory: Path, *, server_id: str, listen: str, extra: str = "") -> Server:
    """Make what is missing in the folder; `extra` (TOML) goes to the end of a new configuration."""
    from norc_actors.devpki import make_dev

    split_address(listen)
    if directory.exists() and not directory.is_dir():
        raise UsageError(f"{directory} is no folder.", "Choose another --dir.")
    made = make_dev(
        directory,
        parse_server_id(server_id),
        random=os.urandom,
        clock=time.time,
        listen=listen,
        extra=extra,
    )
    return Server(server_id=server_id, listen=listen, config=made.config, ca=made.ca)
