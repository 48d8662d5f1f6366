"""`python -m norc_actors.cli.demo`: play the demo and report."""

import json as json_module
import secrets
import signal
import sys
from pathlib import Path
from typing import Annotated

import trio
import typer
from rich.console import Console

from norc_actors.cli.demo import plan
from norc_actors.cli.demo.report import record, render
from norc_actors.cli.demo.run import FLOW_SECONDS, Settings, play
from norc_actors.cli.errors import UsageError
from norc_actors.cli.exits import Exit
from norc_actors.cli.main import run
from norc_actors.limits import MAX_TEXT_BYTES

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def lines_of(path: Path) -> list[str]:
    """The lines of a text file that have something on them; `UsageError` if it is none or has none."""
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is no UTF-8 text.", "Give a plain text file, one message a line.") from error
    lines = [line.removesuffix("\r") for line in text.split("\n") if line.strip()]
    if not lines:
        raise UsageError(f"{path} has no lines.", "Give a plain text file, one message a line.")
    longest = max(lines, key=lambda line: len(line.encode()))
    if len(longest.encode()) > MAX_TEXT_BYTES:
        raise UsageError(f"A line of {path} is longer than a message may be ({longest[:40]}…).", "Break it in two.")
    return lines


@app.command()
def demo(
    text: Annotated[
        Path | None, typer.Option("--input", help="A text file, one message a line. Default: 2,400 of its own.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="The same victims in the same order again.")] = None,
    capture: Annotated[Path | None, typer.Option("--capture", help="Keep every frame in this folder.")] = None,
    folder: Annotated[
        Path | None, typer.Option("--keep", help="Work in this folder and leave everything there.")
    ] = None,
    seconds: Annotated[float, typer.Option("--seconds", min=1, help="How long messages flow.")] = FLOW_SECONDS,
    json: Annotated[bool, typer.Option("--json", help="End with one JSON object instead of the report.")] = False,
) -> None:
    """A node and four devices under fire; every message accounted for."""
    console = Console(stderr=json)
    chosen = secrets.randbelow(10**6) if seed is None else seed
    texts = lines_of(text) if text else plan.own_lines(chosen)
    settings = Settings(texts=texts, seed=chosen, capture=capture, folder=folder, flow_seconds=seconds)
    outcome = trio.run(play, settings, console)
    if json:
        sys.stdout.write(json_module.dumps(record(outcome)) + "\n")
    else:
        console.print(render(outcome))
    raise typer.Exit(Exit.OK if outcome.good else Exit.FAILED)


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):  # either way, the processes that this one started end with it
        signal.signal(number, signal.default_int_handler)
    sys.exit(run(sys.argv[1:], app, "python -m norc_actors.cli.demo"))
