"""`norc send`: one message, or one per line of standard input."""

import sys
from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from norc_actors.cli.errors import CliError, UsageError
from norc_actors.cli.exits import Exit
from norc_actors.cli.opening import open_client, run
from norc_actors.cli.options import Json, KeyFile, Profile, Within
from norc_actors.cli.output import JsonValue, Output

if TYPE_CHECKING:
    from norc_actors.client import Client, MessageStatus, Sent


class Until(StrEnum):
    """How far messages must have come before the command ends."""

    WAITING = "waiting"
    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"


class Classification(StrEnum):
    """How a message is classified; from `confidential` on both sides must be hybrid post-quantum."""

    UNCLASSIFIED = "unclassified"
    OFFICIAL_USE_ONLY = "official_use_only"
    CONFIDENTIAL = "confidential"
    SECRET = "secret"
    TOP_SECRET = "top_secret"
    NATO_RESTRICTED = "nato_restricted"
    NATO_CONFIDENTIAL = "nato_confidential"
    NATO_SECRET = "nato_secret"


def register(app: typer.Typer) -> None:
    app.command()(send)


def send(
    to: Annotated[str, typer.Argument(help="A person (name@server), or a group's name or id.")],
    text: Annotated[
        str | None, typer.Argument(help="The message. Without it, each line of standard input is one.")
    ] = None,
    until: Annotated[Until, typer.Option("--until", help="Wait until the messages are at least this.")] = Until.SENT,
    classification: Annotated[Classification, typer.Option("--classification")] = Classification.UNCLASSIFIED,
    profile: Profile = None,
    key_file: KeyFile = None,
    within: Within = 30.0,
    json: Json = False,
) -> None:
    """Send a message. It is in the outbox on this disk at once and leaves as soon as the server can be reached."""
    texts = [text] if text is not None else [line for line in sys.stdin.read().splitlines() if line.strip()]
    if not texts or not all(texts):
        raise UsageError("There is nothing to send.", f"norc send {to} 'Hello'")
    out = Output(json)

    async def main() -> tuple[int, int]:
        async with open_client(profile, key_file, within=within) as client:
            return await _send(client, out, to, texts, until, classification, within)

    unfinished, failed = run(main)
    if failed:
        raise CliError(
            f"{failed} of {len(texts)} messages will not be sent.", "Correct the cause above and send them anew."
        )
    if unfinished:
        raise CliError(
            f"{unfinished} of {len(texts)} messages were not {until.value} within {within:g} s.",
            "They are safe in the outbox and leave with the next command that reaches the server.",
            code="offline",
            exit_code=Exit.OFFLINE,
        )


async def _send(
    client: "Client",
    out: Output,
    to: str,
    texts: Sequence[str],
    until: Until,
    classification: Classification,
    within: float,
) -> tuple[int, int]:
    """Commit the messages, wait as asked, tell of each. Returns (not finished in time, failed)."""
    import trio

    from norc_actors.client.errors import SendFailedError

    target = to if "@" in to else (await client.group(to)).conversation_id
    if classification is Classification.UNCLASSIFIED:
        sent = await client.send_all(target, texts)
    else:
        sent = [await client.send(target, text, classification=classification.value) for text in texts]
    unfinished = failed = 0
    deadline = trio.current_time() + within
    for one in sent:
        cause = ""
        try:
            with trio.fail_at(deadline):
                await _wait(one, until)
        except trio.TooSlowError:
            unfinished += 1
        except SendFailedError as error:
            failed += 1
            cause = error.what
        out.emit(_record(one.status), f"{one.message_id}  {one.status.status.value}{'  ' + cause if cause else ''}")
    return unfinished, failed


def _wait(sent: "Sent", until: Until) -> Awaitable[object]:
    steps: dict[Until, Callable[[], Awaitable[object]]] = {
        Until.SENT: sent.wait_accepted,
        Until.DELIVERED: sent.wait_delivered,
        Until.READ: sent.wait_read,
    }
    return steps.get(until, _nothing)()


async def _nothing() -> None:
    """`--until waiting`: the local commit is enough."""


def _record(status: "MessageStatus") -> dict[str, JsonValue]:
    record: dict[str, JsonValue] = {
        "message_id": status.message_id,
        "conversation_id": status.conversation_id,
        "status": status.status.value,
    }
    if status.cause:
        record |= {"cause": status.cause, "error_code": status.error_code}
    return record
