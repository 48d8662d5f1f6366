"""`norc user`: invitations, made by the operator at the node."""

import time
from pathlib import Path
from typing import Annotated

import typer

from norc_actors.cli.control import ask
from norc_actors.cli.errors import UsageError
from norc_actors.cli.options import DEFAULT_DIR, Json, ServerDir
from norc_actors.cli.output import Output

group = typer.Typer(help="People of this server.", no_args_is_help=True)
UNITS = {"m": 60, "h": 3600, "d": 86400}


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="user")


@group.callback()
def root() -> None:
    """Keeps `invite` a command of its own although it is the only one."""


@group.command()
def invite(
    user: Annotated[str, typer.Argument(help="The person: name, or name@server.")],
    expires: Annotated[str, typer.Option("--expires", help="How long the link works: 30m, 12h, 7d.")] = "24h",
    directory: ServerDir = DEFAULT_DIR,
    qr: Annotated[bool, typer.Option("--qr/--no-qr", help="Show the link as a QR code too.")] = True,
    json: Json = False,
) -> None:
    """Make a one-time link with which a person enrols a first device."""
    lasts = seconds(expires)
    user_id = user if "@" in user else f"{user}@{ask(directory, {'command': 'status'}).get('server_id', '')}"
    answer = ask(directory, {"command": "invite", "user_id": user_id, "expires_s": lasts})
    link, out = str(answer["link"]), Output(json)
    if qr and not json:
        from norc_actors.cli.qr import qr_text

        out.note(qr_text(link))
    out.emit(answer, link)
    until = answer.get("expires_at")
    until_text = time.strftime("%d %B %Y %H:%M", time.localtime(until)) if isinstance(until, int) else f"in {expires}"
    out.note(f"Works once, until {until_text}. On their machine: norc enroll {user_id} LINK{_dialling(directory)}")


def seconds(text: str) -> int:
    """`30m`, `12h`, `7d` in seconds."""
    number, unit = text[:-1], UNITS.get(text[-1:])
    if unit is None or not number.isascii() or not number.isdigit() or not 0 < int(number) * unit <= 365 * 86400:
        raise UsageError(f"{text!r} is no duration.", "Write 30m, 12h or 7d, a year at most.")
    return int(number) * unit


def _dialling(directory: Path) -> str:
    """The options with which a client finds a node that runs on a private CA."""
    ca = directory / "ca.pem"
    return f" --address HOST:PORT --ca {ca.name}" if ca.is_file() else ""
