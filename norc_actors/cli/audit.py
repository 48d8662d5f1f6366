"""`norc audit`: the chain of what was done at this node."""

import typer

from norc_actors.cli.control import ask
from norc_actors.cli.options import DEFAULT_DIR, Json, ServerDir
from norc_actors.cli.output import Output

group = typer.Typer(help="The audit log of this node.", no_args_is_help=True)
VERIFY_SECONDS = 90.0


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="audit")


@group.callback()
def root() -> None:
    """Keeps `verify` a command of its own although it is the only one."""


@group.command()
def verify(directory: ServerDir = DEFAULT_DIR, json: Json = False) -> None:
    """Walk the whole chain: every entry is hashed with the one before it, so that none can be changed or left out."""
    answer = ask(directory, {"command": "audit"}, seconds=VERIFY_SECONDS)
    Output(json).emit(answer, f"{answer.get('entries')} entries, an unbroken chain.")
