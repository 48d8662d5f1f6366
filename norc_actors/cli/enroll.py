"""`norc enroll`: make this machine a device of a person."""

import platform
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from norc_actors.cli.errors import UsageError
from norc_actors.cli.opening import Secret, client_options, run, secret_for
from norc_actors.cli.options import Address, CaFile, Json, KeyFile, Profile, profile_path
from norc_actors.cli.output import Output
from norc_actors.ids import UserId, parse_user_id

if TYPE_CHECKING:
    from norc_actors.client import ClientOptions, Enrolled


def register(app: typer.Typer) -> None:
    app.command()(enroll)


def enroll(
    user: Annotated[str, typer.Argument(help="Who you are: name@server.")],
    link: Annotated[
        str | None, typer.Argument(help="The invitation, norc://…; for a further device it is not needed.")
    ] = None,
    further: Annotated[
        bool, typer.Option("--further", help="You have a device already: it approves this one by a code.")
    ] = False,
    uninvited: Annotated[
        bool, typer.Option("--open", help="Without invitation, where the server takes whoever does some work for it.")
    ] = False,
    name: Annotated[str, typer.Option("--name", help="What this device is called.")] = platform.node() or "device",
    profile: Profile = None,
    key_file: KeyFile = None,
    address: Address = None,
    ca: CaFile = None,
    within: Annotated[
        float, typer.Option("--within", min=1, help="With --further: seconds to wait for the approval.")
    ] = 600.0,
    json: Json = False,
) -> None:
    """Make keys on this machine and register it as a device: the first one with an invitation, others with a code."""
    if [link is not None and not further, further, uninvited].count(True) != 1:
        raise UsageError(
            "An invitation link is missing, or too much is given.",
            "Give a link; or --further if you have a device already; or --open if the server takes anybody.",
        )
    user_id = parse_user_id(user)
    options = client_options(address, ca)
    path = profile_path(profile)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    secret = secret_for(key_file, new=not path.exists())
    out = Output(json)
    if further:
        enrolled = _enroll_further(out, path, user_id, link, name, within, options, secret)
    else:
        enrolled = _enroll_first(path, user_id, link, name, options, secret)
    _tell(out, enrolled, path, pinned=link is None)
    if further:
        out.note(f"Your user key: {enrolled.user_fingerprint}. The device that approved shows the same.")
        out.note(f"If not, the server gave this device another key: norc devices revoke {enrolled.device_id}")


def _enroll_first(
    path: Path, user_id: UserId, link: str | None, name: str, options: "ClientOptions", secret: Secret
) -> "Enrolled":
    from norc_actors.client import Client

    return run(lambda: Client.enroll(path, link, user_id, device_name=name, options=options, **secret))


def _enroll_further(
    out: Output,
    path: Path,
    user_id: UserId,
    link: str | None,
    name: str,
    within: float,
    options: "ClientOptions",
    secret: Secret,
) -> "Enrolled":
    from norc_actors.client import Client

    async def show(code: str) -> None:
        out.emit({"event": "code", "code": code}, f"Code of this device: {code}")
        out.note(f"On a device that you have: norc devices approve '{code}'")

    return run(
        lambda: Client.enroll_further(
            path, user_id, on_code=show, device_name=name, link=link, within=within, options=options, **secret
        )
    )


def _tell(out: Output, enrolled: "Enrolled", path: Path, *, pinned: bool) -> None:
    out.emit(
        {
            "ok": True,
            "user_id": enrolled.user_id,
            "device_id": enrolled.device_id,
            "server_id": enrolled.server_id,
            "server_fingerprint": enrolled.server_fingerprint,
            "user_fingerprint": enrolled.user_fingerprint,
            "profile": str(path),
        },
        f"Enrolled: {enrolled.user_id}, device {enrolled.device_id}.",
    )
    if pinned:
        out.note(f"The server's key was taken on trust; compare it with the operator's: {enrolled.server_fingerprint}")
    out.note(f"Keys and messages are in {path}, encrypted. There is no way in without the passphrase or key file.")
