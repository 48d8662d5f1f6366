"""Where the secret of a profile comes from, and the one way commands open a client and run.

Order: --key-file, else the environment's NORC_PASSPHRASE, else a prompt on the terminal. A passphrase is never an
argument: arguments are seen by every user of the machine.
"""

import getpass
import hmac
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, TypeVar

from norc_actors.cli.errors import CliError, UsageError
from norc_actors.cli.exits import Exit
from norc_actors.cli.options import profile_path, split_address

if TYPE_CHECKING:
    from norc_actors.client import Client, ClientOptions

R = TypeVar("R")


class Secret(TypedDict, total=False):
    """Exactly one of the two ways into a profile, as the client library takes them."""

    passphrase: str
    key_file: Path


def secret_for(key_file: Path | None, *, new: bool = False) -> Secret:
    """The passphrase or key file to use; `new` asks twice. `UsageError` if there is none and nobody to ask."""
    if key_file is not None:
        return {"key_file": key_file}
    given = os.environ.get("NORC_PASSPHRASE")
    if given is not None:
        if not given:
            raise UsageError("NORC_PASSPHRASE is empty.", "Set it to the passphrase, or unset it to be asked.")
        return {"passphrase": given}
    if not sys.stdin.isatty():
        raise UsageError(
            "No passphrase was given and there is no terminal to ask on.", "Set NORC_PASSPHRASE or give --key-file."
        )
    passphrase = getpass.getpass("Passphrase of this device: ")
    if not passphrase:
        raise UsageError("The passphrase is empty.", "Type one; a few words that belong together nowhere are best.")
    if new and not hmac.compare_digest(getpass.getpass("The same again: ").encode(), passphrase.encode()):
        raise UsageError("The two passphrases differ.", "Run the command again and type the same one twice.")
    return {"passphrase": passphrase}


def client_options(
    address: str | None, ca: Path | None, *, within: float = 30.0, connect: bool = True
) -> "ClientOptions":
    """The client library's options for what the command line gave."""
    from norc_actors.client import Address, ClientOptions

    dial = None
    if address is not None:
        host, port = split_address(address)
        dial = Address(host=host, port=port)
    if ca is not None and not ca.is_file():
        raise UsageError(f"{ca} is no file.", "Give the server's CA file (the node's folder has it as ca.pem).")
    return ClientOptions(address=dial, ca_file=ca, request_timeout=within, auto_connect=connect)


def open_client(
    profile: Path | None, key_file: Path | None, *, within: float = 30.0, connect: bool = True
) -> AbstractAsyncContextManager["Client"]:
    """The enrolled profile, opened as the command line says."""
    from norc_actors.client import Client

    path = profile_path(profile)
    if not path.exists():
        raise CliError(
            f"There is no profile at {path}.",
            "Enrol this device: norc enroll YOU@SERVER LINK",
            code="profile_missing",
            exit_code=Exit.NO_PROFILE,
        )
    return Client.open(path, options=client_options(None, None, within=within, connect=connect), **secret_for(key_file))


def run(main: Callable[[], Awaitable[R]]) -> R:
    """Run an asynchronous command to its end."""
    import trio

    return trio.run(main)


async def empty_outbox(client: "Client", within: float) -> None:
    """Wait until everything in the outbox has left; `CliError` (offline) if that takes longer than `within` seconds."""
    import trio

    with trio.move_on_after(within):
        await client.wait_outbox_empty()
        return
    raise CliError(
        f"{await client.outbox_count()} messages still wait in the outbox after {within:g} s.",
        "They are safe and leave with the next command that reaches the server.",
        code="offline",
        exit_code=Exit.OFFLINE,
    )
