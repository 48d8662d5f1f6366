"""`norc listen`: print messages as they come."""

from typing import TYPE_CHECKING, Annotated

import typer

from norc_actors.cli.errors import CliError
from norc_actors.cli.exits import Exit
from norc_actors.cli.opening import open_client, run
from norc_actors.cli.options import Json, KeyFile, Profile
from norc_actors.cli.output import Output, printable

if TYPE_CHECKING:
    from norc_actors.client import Client


def register(app: typer.Typer) -> None:
    app.command()(listen)


def listen(
    count: Annotated[int | None, typer.Option("--count", min=1, help="End after this many messages.")] = None,
    within: Annotated[
        float | None,
        typer.Option("--within", min=0.1, help="End after this many seconds; with --count, fail if fewer came."),
    ] = None,
    read: Annotated[
        bool, typer.Option("--read/--no-read", help="Tell the senders that their messages were read.")
    ] = True,
    profile: Profile = None,
    key_file: KeyFile = None,
    json: Json = False,
) -> None:
    """Print messages as they come, each once, until Ctrl-C. What cannot be opened is shown with its cause."""
    out = Output(json)

    async def main() -> int:
        import trio

        async with open_client(profile, key_file) as client, trio.open_nursery() as nursery:
            nursery.start_soon(show_security_events, client, out)
            with trio.move_on_after(within if within is not None else float("inf")):
                await print_messages(client, out, count, read=read)
                nursery.cancel_scope.cancel()
                return 0
            nursery.cancel_scope.cancel()
        return 1

    if run(main) and count is not None:
        raise CliError(
            f"Fewer than {count} messages came within {within:g} s.",
            "Check the connection: norc doctor",
            code="offline",
            exit_code=Exit.OFFLINE,
        )


async def print_messages(client: "Client", out: Output, count: int | None, *, read: bool) -> None:
    """Print up to `count` messages (None: all until the client closes); each counts as read once it was printed."""
    from norc_actors.cli.show import message_line, message_record
    from norc_actors.client import Message

    groups = {group.conversation_id: group for group in await client.groups()}
    seen = 0
    async for received in client.messages():
        group = groups.get(received.conversation_id)
        if group is None or not group.name:  # new, or its name, a message of its own, had not come yet
            groups |= {group.conversation_id: group for group in await client.groups()}
        out.emit(message_record(received), message_line(received, groups))
        if read and isinstance(received, Message) and not received.own:
            await client.read(received)
        seen += 1
        if seen == count:
            return


async def show_security_events(client: "Client", out: Output) -> None:
    """Tell what a person must see: pinned and changed keys, refused and revoked devices, broken chains."""
    from norc_actors.client.events import SecurityEvent

    async for event in client.events():
        if isinstance(event, SecurityEvent):
            text = printable(event.text, keep="")
            out.emit({"event": "security", "kind": type(event).__name__, "text": text}, f"! {text}")
