"""`norc verify`: compare fingerprints with a person over another channel, and remember that they were the same."""

from typing import Annotated

import typer

from norc_actors.cli.opening import open_client, run
from norc_actors.cli.options import Json, KeyFile, Profile, Within
from norc_actors.cli.output import JsonValue, Output
from norc_actors.ids import parse_user_id


def register(app: typer.Typer) -> None:
    app.command()(verify)


def verify(
    user: Annotated[str, typer.Argument(help="The other person: name@server.")],
    digits: Annotated[str | None, typer.Argument(help="What they read to you, or what you scanned: 60 digits.")] = None,
    profile: Profile = None,
    key_file: KeyFile = None,
    qr: Annotated[bool, typer.Option("--qr/--no-qr", help="Show the digits as a QR code too.")] = True,
    within: Within = 30.0,
    json: Json = False,
) -> None:
    """Show the 60 digits that you and another person share; with their digits given, mark the person verified."""
    user_id = parse_user_id(user)

    async def main() -> str:
        async with open_client(profile, key_file, within=within) as client:
            shown = await client.fingerprint(user_id)
            if digits is not None:
                await client.verify(user_id, digits)
            return shown

    shown, out = run(main), Output(json)
    record: dict[str, JsonValue] = {
        "ok": True,
        "user_id": user_id,
        "fingerprint": shown,
        "verified": digits is not None,
    }
    if digits is not None:
        out.emit(record, f"Verified: {user_id}. You will be told if this person's key ever changes.")
        return
    if qr and not json:
        from norc_actors.cli.qr import qr_text

        out.note(qr_text("".join(shown.split())))
    out.emit(record, shown)
    out.note(f"Read these to each other, over the telephone or face to face. Then: norc verify {user_id} DIGITS")
