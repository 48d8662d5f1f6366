"""`norc group`: groups of people; their names are end-to-end secrets like the messages."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from norc_actors.cli.opening import empty_outbox, open_client, run
from norc_actors.cli.options import Json, KeyFile, Profile, Within
from norc_actors.cli.output import JsonValue, Output, printable, table
from norc_actors.ids import parse_user_id

if TYPE_CHECKING:
    from norc_actors.client import Group

group = typer.Typer(help="Groups.", no_args_is_help=True)
Which = Annotated[str, typer.Argument(help="The group's name or id.")]
Who = Annotated[str, typer.Argument(help="name@server.")]


class GivenRole(StrEnum):
    """The roles that a new member can have."""

    ADMIN = "admin"
    MODERATOR = "moderator"
    MEMBER = "member"
    OBSERVER = "observer"


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="group")


def _record(group: "Group") -> dict[str, JsonValue]:
    members: list[JsonValue] = [{"user_id": member.user_id, "role": member.role.value} for member in group.members]
    return {
        "conversation_id": group.conversation_id,
        "name": group.name,
        "epoch": group.epoch,
        "members": members,
        "left": group.left,
    }


def _line(group: "Group") -> str:
    return f"{printable(group.name)}: {', '.join(member.user_id for member in group.members)} (epoch {group.epoch})"


@group.command()
def create(
    name: Annotated[str, typer.Argument(help="What its members call it; the server never learns it.")],
    members: Annotated[list[str], typer.Argument(help="The other members: name@server …")],
    profile: Profile = None,
    key_file: KeyFile = None,
    within: Within = 30.0,
    json: Json = False,
) -> None:
    """Make a group of which you are the owner."""
    users = [parse_user_id(member) for member in members]

    async def main() -> "Group":
        async with open_client(profile, key_file, within=within) as client:
            made = await client.create_group(name, users)
            await empty_outbox(client, within)  # the name travels as a message: without it the members see none
            return made

    made = run(main)
    Output(json).emit({"ok": True} | _record(made), f"Made {_line(made)}")


@group.command()
def add(
    which: Which,
    user: Who,
    role: Annotated[GivenRole, typer.Option("--role", help="What the member may do.")] = GivenRole.MEMBER,
    profile: Profile = None,
    key_file: KeyFile = None,
    within: Within = 30.0,
    json: Json = False,
) -> None:
    """Add a person. They see what is written from now on."""
    user_id = parse_user_id(user)

    async def main() -> "Group":
        async with open_client(profile, key_file, within=within) as client:
            changed = await client.add_member(await client.group(which), user_id, role.value)
            await empty_outbox(client, within)
            return changed

    changed = run(main)
    Output(json).emit({"ok": True} | _record(changed), _line(changed))


@group.command()
def remove(
    which: Which,
    user: Who,
    profile: Profile = None,
    key_file: KeyFile = None,
    within: Within = 30.0,
    json: Json = False,
) -> None:
    """Remove a person. What is written from now on is encrypted without them."""
    user_id = parse_user_id(user)

    async def main() -> "Group":
        async with open_client(profile, key_file, within=within) as client:
            return await client.remove_member(await client.group(which), user_id)

    changed = run(main)
    Output(json).emit({"ok": True} | _record(changed), _line(changed))


@group.command()
def rename(
    which: Which,
    name: Annotated[str, typer.Argument(help="The new name.")],
    profile: Profile = None,
    key_file: KeyFile = None,
    within: Within = 30.0,
    json: Json = False,
) -> None:
    """Tell all members a new name, end to end."""

    async def main() -> "Group":
        async with open_client(profile, key_file, within=within) as client:
            changed = await client.rename_group(await client.group(which), name)
            await empty_outbox(client, within)
            return changed

    changed = run(main)
    Output(json).emit({"ok": True} | _record(changed), _line(changed))


@group.command()
def leave(
    which: Which, profile: Profile = None, key_file: KeyFile = None, within: Within = 30.0, json: Json = False
) -> None:
    """Leave a group."""

    async def main() -> None:
        async with open_client(profile, key_file, within=within) as client:
            await client.leave_group(await client.group(which))

    run(main)
    Output(json).emit({"ok": True, "left": which}, f"Left {printable(which)}.")


@group.command("list")
def list_groups(profile: Profile = None, key_file: KeyFile = None, json: Json = False) -> None:
    """The groups that you are or were in, as this device knows them; needs no connection."""

    async def main() -> "list[Group]":
        async with open_client(profile, key_file, connect=False) as client:
            return await client.groups()

    groups, out = run(main), Output(json)
    if json:
        for one in groups:
            out.emit(_record(one))
        return
    rows = [
        [printable(g.name) or "(unnamed)", g.conversation_id, str(len(g.members)), "left" if g.left else ""]
        for g in groups
    ]
    out.emit({}, table(rows, ["name", "id", "members", ""]))
