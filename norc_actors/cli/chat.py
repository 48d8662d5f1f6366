"""`norc chat`: write and read in one terminal."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from norc_actors.cli.listen import print_messages, show_security_events
from norc_actors.cli.opening import open_client, run
from norc_actors.cli.options import Json, KeyFile, Profile
from norc_actors.cli.output import Output

if TYPE_CHECKING:
    from norc_actors.client import Client
    from norc_actors.client.events import Event


def register(app: typer.Typer) -> None:
    app.command()(chat)


def chat(
    to: Annotated[str, typer.Argument(help="A person (name@server), or a group's name or id.")],
    profile: Profile = None,
    key_file: KeyFile = None,
    json: Json = False,
) -> None:
    """Each line that you type is a message; what comes in from anybody is shown. Ctrl-D ends it."""
    out = Output(json)

    async def main() -> None:
        import trio

        async with open_client(profile, key_file) as client:
            target = to if "@" in to else (await client.group(to)).conversation_id
            out.note(f"You are {client.user_id}. A line is a message to {to}; Ctrl-D ends it.")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(show_security_events, client, out)
                nursery.start_soon(_show_progress, client, out)
                nursery.start_soon(_print_all, client, out)
                await _send_lines(client, target)
                with trio.move_on_after(5):
                    await client.wait_outbox_empty()
                nursery.cancel_scope.cancel()
            waiting = await client.outbox_count()
        if waiting:
            out.note(f"{waiting} of your messages wait in the outbox; they leave with the next command.")

    run(main)


async def _print_all(client: "Client", out: Output) -> None:
    await print_messages(client, out, None, read=True)


async def _send_lines(client: "Client", target: str) -> None:
    import trio

    while line := await trio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True):
        if text := line.rstrip("\n"):
            await client.send(target, text)


async def _show_progress(client: "Client", out: Output) -> None:
    """Failures loudly, receipts only to scripts, the connection's ups and downs to the person."""
    async for event in client.events():
        _show(event, out)


def _show(event: "Event", out: Output) -> None:
    from norc_actors.client import Status
    from norc_actors.client.events import ConnectionDown, ConnectionUp, StatusChanged

    match event:
        case StatusChanged(status=status):
            failed = f"! A message was not sent: {status.cause}" if status.status is Status.FAILED else None
            out.emit({"event": "status", "message_id": status.message_id, "status": status.status.value}, failed)
        case ConnectionDown(reason=reason):
            out.note(f"- not connected: {reason}")
        case ConnectionUp():
            out.note("- connected")
        case _:
            pass
