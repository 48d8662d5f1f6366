"""`norc peer`: other organisations' servers as this node sees them (complaints C.10, C.11)."""

import time
from typing import Annotated

import typer

from norc_actors.cli.control import ask
from norc_actors.cli.exits import Exit
from norc_actors.cli.options import DEFAULT_DIR, Json, ServerDir
from norc_actors.cli.output import JsonValue, Output, printable, table

group = typer.Typer(help="Other organisations' servers: how they stand, the way to them.", no_args_is_help=True)
Server = Annotated[str, typer.Argument(help="The other server's name, like b.example.")]
CHECK_SECONDS = 60.0


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="peer")


@group.command()
def status(
    server: Annotated[str | None, typer.Argument(help="Only this one.")] = None,
    directory: ServerDir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """Every server that this node has to do with: link, trust, queue, last success, last error in words."""
    answer = ask(directory, {"command": "peers"})
    found = answer.get("peers")
    peers = [peer for peer in found if isinstance(peer, dict)] if isinstance(found, list) else []
    if server is not None:
        peers = [peer for peer in peers if peer.get("server") == server]
    out, now = Output(json), time.time()
    for peer in peers:
        out.emit(peer)
    if not json:
        rows = [_row(peer, now) for peer in peers]
        out.emit({}, table(rows, ["server", "link", "trust", "level", "queued", "last success", "last error"]))


@group.command()
def check(server: Server, directory: ServerDir = DEFAULT_DIR, json: Json = False) -> None:
    """The way to a server, step by step: DNS, TCP, TLS, ALPN, certificate, HTTP/2, handshake, trust, time."""
    answer = ask(directory, {"command": "peer_check", "server": server}, seconds=CHECK_SECONDS)
    found = answer.get("steps")
    steps = [step for step in found if isinstance(step, dict)] if isinstance(found, list) else []
    out = Output(json)
    for step in steps:
        mark, what = ("ok  ", step.get("found")) if step.get("ok") else ("FAIL", step.get("cause"))
        advice = "" if step.get("ok") else f"\n      next: {printable(str(step.get('next')))}"
        out.emit(step, f"{mark}  {step.get('name')!s:12} {printable(str(what))}{advice}")
    if not all(step.get("ok") for step in steps):
        raise typer.Exit(Exit.FAILED)


@group.command()
def retry(server: Server, directory: ServerDir = DEFAULT_DIR, json: Json = False) -> None:
    """Dial a server now, however long it would still be waited for."""
    answer = ask(directory, {"command": "peer_retry", "server": server})
    Output(json).emit(answer, f"Dialling {server}. See: norc peer status {server}")


def _row(peer: dict[str, JsonValue], now: float) -> list[str]:
    names = ("server", "link", "trust", "level", "queued")
    error = printable(str(peer.get("last_error") or "-"), keep="")
    return [*(str(peer.get(name)) for name in names), ago(peer.get("last_success"), now), error]


def ago(at: JsonValue, now: float) -> str:
    """How long ago a time was, in words."""
    if not isinstance(at, int) or at <= 0:
        return "never"
    seconds = max(0, int(now - at))
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"
