"""`norc node`: run a node, and look into or at a running one through its control socket."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from norc_actors.cli.control import ask
from norc_actors.cli.errors import UsageError
from norc_actors.cli.options import DEFAULT_DIR, Json, ServerDir
from norc_actors.cli.output import JsonValue, Output

group = typer.Typer(help="Run a node (without a command); see its supervision tree; end one of its actors.")


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="node")


@group.callback(invoke_without_command=True)
def run_node(
    context: typer.Context,
    directory: ServerDir = DEFAULT_DIR,
    config: Annotated[
        Path | None, typer.Option("--config", help="Configuration file. Default: norc.toml in --dir.")
    ] = None,
) -> None:
    """Run a node in the foreground until Ctrl-C or SIGTERM, which end it in order; or look into a running one."""
    if context.invoked_subcommand is not None:
        return
    path = config or directory / "norc.toml"
    if not path.is_file():
        raise UsageError(f"There is no configuration at {path}.", f"Make one: norc init --dir {directory}")
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "norc_actors.node", "--config", str(path)])  # signals are its own


@group.command()
def status(directory: ServerDir = DEFAULT_DIR, json: Json = False) -> None:
    """Whether the node runs, since when, and how many are connected."""
    answer = ask(directory, {"command": "status"})
    Output(json).emit(answer, "\n".join(f"{key}: {value}" for key, value in answer.items() if key != "ok"))


@group.command()
def tree(directory: ServerDir = DEFAULT_DIR, json: Json = False) -> None:
    """The running supervision tree: every actor, its restarts, its mailbox."""
    from norc_actors.cli.tree import draw

    answer = ask(directory, {"command": "tree"})
    Output(json).emit(answer, draw(answer["tree"]))


@group.command()
def kill(
    name: Annotated[
        str | None, typer.Argument(help="The actor's name in the tree, for example message_router.")
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option("--kind", help="Instead of a name: any one actor of this kind, for example connection_worker."),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="With --kind: which one, repeatably.")] = None,
    directory: ServerDir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """End one actor brutally. Its supervisor restarts it; nothing that was acknowledged is lost."""
    if (name is None) == (kind is None):
        raise UsageError("Give either a name or --kind.", "See the names: norc node tree")
    request: dict[str, JsonValue] = {"command": "kill"}
    request |= {"name": name} if name is not None else {"kind": kind}
    if seed is not None:
        request["seed"] = seed
    answer = ask(directory, request)
    Output(json).emit(answer, f"Killed {answer.get('killed', name or kind)}.")
