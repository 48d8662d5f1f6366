"""`norc doctor`: what is wrong, in words; for a node's folder, or for this device."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from norc_actors.cli.errors import CliError, explain
from norc_actors.cli.exits import Exit
from norc_actors.cli.opening import open_client, run
from norc_actors.cli.options import Json, KeyFile, Profile, Within, profile_path
from norc_actors.cli.output import JsonValue, Output

if TYPE_CHECKING:
    from norc_actors.doctor import Finding


def register(app: typer.Typer) -> None:
    app.command()(doctor)


def doctor(
    directory: Annotated[
        Path | None, typer.Option("--dir", envvar="NORC_DIR", help="Look at this node's folder.")
    ] = None,
    profile: Profile = None,
    key_file: KeyFile = None,
    within: Within = 10.0,
    json: Json = False,
) -> None:
    """Look at a node (--dir) or at this device, and say what is wrong and what to do. Changes nothing."""
    findings = look_at_node(directory) if directory is not None else look_at_device(profile, key_file, within)
    out = Output(json)
    for finding in findings:
        record: dict[str, JsonValue] = {"check": finding.name, "ok": finding.good, "what": finding.what}
        line = f"{'ok ' if finding.good else 'BAD'}  {finding.name}: {finding.what}"
        if finding.next:
            line += f"\n       -> {finding.next}"
        out.emit(record | {"next": finding.next}, line)
    wrong = [finding.name for finding in findings if not finding.good]
    if wrong:
        what = f"{len(wrong)} of {len(findings)} checks failed: {', '.join(wrong)}."
        raise CliError(what, "Do what stands beside them.", code="unwell")


def look_at_node(directory: Path) -> "list[Finding]":
    """The node's own self-check, which needs no running node."""
    from norc_actors.doctor import examine

    return examine(directory)


def look_at_device(profile: Path | None, key_file: Path | None, within: float) -> "list[Finding]":
    """Profile, connection and outbox of this device; what cannot be looked at after a failure is left out."""
    from norc_actors.doctor import Finding

    path = profile_path(profile)
    if not path.exists():
        return [
            Finding(name="profile", good=False, what=f"there is none at {path}.", next="norc enroll YOU@SERVER LINK")
        ]

    async def main() -> list[Finding]:
        findings = []
        async with open_client(profile, key_file, within=within) as client:
            what = f"{path} opens: {client.user_id}, device {client.device_id}."
            findings.append(Finding(name="profile", good=True, what=what))
            started = time.monotonic()
            try:
                await client.wait_connected(within)
            except Exception as error:
                failure = explain(error)
                if failure is None:
                    raise
                findings.append(Finding(name="connection", good=False, what=failure.what, next=failure.next))
            else:
                took = (time.monotonic() - started) * 1000
                what = f"authenticated with {client.server_id} in {took:.0f} ms."
                findings.append(Finding(name="connection", good=True, what=what))
            waiting = await client.outbox_count()
            findings.append(Finding(name="outbox", good=True, what=f"{waiting} messages wait for the server."))
        return findings

    try:
        return run(main)
    except Exception as error:
        failure = explain(error)
        if failure is None or failure.exit is Exit.USAGE:
            raise
        return [Finding(name="profile", good=False, what=failure.what, next=failure.next)]
