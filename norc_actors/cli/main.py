"""`norc`: the command line, and the wall that stands between a failure and the person.

Commands raise; `run` alone decides what is printed and how the process ends (`exits.py`). Only what nobody foresaw is
written to a log file with its trace, and the person gets one line that names it. Libraries are imported inside the
commands that need them, so that `norc --help` answers at once.
"""

import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from norc_actors.cli import (
    audit,
    chat,
    devices,
    doctor,
    enroll,
    group,
    init,
    inspect,
    listen,
    node,
    peer,
    send,
    trust,
    user,
    verify,
)
from norc_actors.cli.errors import Failure, explain
from norc_actors.cli.exits import Exit
from norc_actors.cli.output import Output

HELP = """Secure messages between people and organisations.

A server:  norc init · norc node · norc user invite · norc doctor · norc audit

Others:    norc trust · norc peer

A device:  norc enroll · norc send · norc listen · norc chat · norc group · norc verify · norc devices

Exit codes: 0 done · 1 failed · 2 wrong usage · 3 profile · 4 passphrase · 5 unreachable · 6 security · 70 fault of norc
"""

app = typer.Typer(name="norc", help=HELP, no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False)
SERVER = (init, node, user, trust, peer, audit)
DEVICE = (enroll, devices, verify, group, send, listen, chat, doctor, inspect)
for module in (*SERVER, *DEVICE):
    module.register(app)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("norc-actors"))
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """See `HELP`; without this callback Typer would not show the program's own options."""


def run(arguments: Sequence[str], commands: typer.Typer = app, name: str = "norc") -> int:
    """Run one command and return its exit code; whatever happens is told, nothing is raised."""
    own = list(arguments[: arguments.index("--")]) if "--" in arguments else list(arguments)
    out = Output(json="--json" in own)
    try:
        result = commands(args=list(arguments), prog_name=name, standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        out.note("")
        return Exit.INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader left: nobody to tell
        return Exit.FAILED
    except Exception as error:  # noqa: BLE001  the wall: whatever it is, a person gets a sentence
        return _tell(out, error)
    except BaseExceptionGroup as group:  # Ctrl-C inside a task group arrives wrapped
        if group.subgroup(KeyboardInterrupt) is None:
            raise
        out.note("")
        return Exit.INTERRUPTED
    return result if isinstance(result, int) else Exit.OK


def _tell(out: Output, error: Exception) -> int:
    failure = _usage(error) or explain(error) or _fault(error)
    out.emit(
        {"ok": False, "error": failure.code, "what": failure.what, "next": failure.next, "exit": int(failure.exit)}
    )
    out.note(f"norc: {failure.what}\n  -> {failure.next}")
    return failure.exit


def _usage(error: Exception) -> Failure | None:
    """What Typer found wrong in the command line."""
    if not isinstance(error, typer.TyperException):
        return None
    context = getattr(error, "ctx", None)
    command = getattr(context, "command_path", "norc")
    what = error.format_message()
    return Failure(code="usage", what=what, next=f"See: {command} --help", exit=Exit.USAGE)


def _fault(error: Exception) -> Failure:
    """A fault of ours: keep the trace for a report. It holds no message text and no key: values are not printed."""
    with tempfile.NamedTemporaryFile("w", prefix="norc-fault-", suffix=".log", delete=False, encoding="utf-8") as log:
        traceback.print_exception(error, file=log)
    return Failure(
        code="internal",
        what=f"norc met a fault of its own ({type(error).__name__}).",
        next=f"Please report it with {log.name}; what was committed before is safe.",
        exit=Exit.INTERNAL,
    )


def main() -> NoReturn:
    """The entry point of the installed command."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
