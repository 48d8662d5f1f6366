"""`norc trust`: with whom this organisation federates, and how far it trusts them. Every level needs an operator."""

import time
from typing import Annotated

import typer

from norc_actors.cli.control import ask
from norc_actors.cli.options import DEFAULT_DIR, Json, ServerDir
from norc_actors.cli.output import JsonValue, Output, printable, table

group = typer.Typer(help="Trust in other organisations: ask, decide, renew, revoke.", no_args_is_help=True)
Server = Annotated[str, typer.Argument(help="The other server's name, like b.example.")]
Level = Annotated[
    str,
    typer.Option("--level", help="basic, verified, classified or nato: what may be sent, and what has to be proven."),
]
Permit = Annotated[
    list[str] | None, typer.Option("--permit", help="A permission, again for each. Default: messages and look-ups.")
]
Transit = Annotated[bool, typer.Option("--transit", help="It may hand on messages of third organisations.")]


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="trust")


@group.command("list")
def list_(directory: ServerDir = DEFAULT_DIR, json: Json = False) -> None:
    """Every server that there is anything about."""
    servers = _maps(ask(directory, {"command": "trust_list"}).get("servers"))
    out = Output(json)
    for server in servers:
        out.emit(server)
    if not json:
        rows = [
            [
                str(server.get("server")),
                str(server.get("state")),
                str(server.get("level")),
                _day(server.get("ends_at")),
                "you decide: norc trust show"
                if server.get("waits_for_operator")
                else printable(str(server.get("note"))),
            ]
            for server in servers
        ]
        out.emit({}, table(rows, ["server", "trust", "level", "until", ""]))


@group.command()
def show(server: Server, directory: ServerDir = DEFAULT_DIR, json: Json = False) -> None:
    """One server: what each trusts the other with and why, open requests with their evidence, keys, risks."""
    answer = ask(directory, {"command": "trust_show", "server": server})
    Output(json).emit(answer, "\n".join(_shown(answer)))


@group.command()
def request(
    server: Server,
    level: Level = "verified",
    permit: Permit = None,
    transit: Transit = False,
    method: Annotated[
        str | None, typer.Option("--method", help="How to prove it, if not by what its level takes.")
    ] = None,
    fingerprint: Annotated[
        str | None, typer.Option("--fingerprint", help="Of their identity key, if you have it from them.")
    ] = None,
    directory: ServerDir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """Ask a server for trust, and grant it the same in return once its operator has approved."""
    wish: dict[str, JsonValue] = {"command": "trust_request", "server": server, "level": level, "transit": transit}
    wish |= {"permissions": list(permit or []), "method": method, "fingerprint": fingerprint}
    answer = ask(directory, wish, seconds=40)
    out = Output(json)
    out.emit(answer, f"Asked {server} for {level}: {answer.get('state')}.")
    records = answer.get("records")
    for name, value in records.items() if isinstance(records, dict) else ():
        out.note(f'Publish this record to prove your domain:\n  {name}. IN TXT "{value}"')
    out.note(f"Their operator decides now. See: norc trust show {server}")


@group.command()
def approve(
    server: Server,
    checked: Annotated[
        bool,
        typer.Option("--organization-checked", help="You have checked who they are: `verified` and above need it."),
    ] = False,
    level: Annotated[str | None, typer.Option("--level", help="Grant this level, not the one asked for.")] = None,
    permit: Permit = None,
    transit: Transit = False,
    days: Annotated[int | None, typer.Option("--days", min=1, help="How long the certificate is good.")] = None,
    directory: ServerDir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """Grant what a server asked for."""
    wish: dict[str, JsonValue] = {"command": "trust_approve", "server": server, "organisation_checked": checked}
    wish |= {"level": level, "permissions": list(permit or []), "transit": transit, "days": days}
    answer = ask(directory, wish, seconds=40)
    Output(json).emit(answer, f"{server}: {answer.get('state')}, level {answer.get('level')}.")


@group.command()
def reject(
    server: Server,
    why: Annotated[str, typer.Option("--why", help="A word for their operator.")] = "",
    directory: ServerDir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """Refuse what a server asked for."""
    answer = ask(directory, {"command": "trust_reject", "server": server, "why": why})
    Output(json).emit(answer, f"Refused {server}.")


@group.command()
def renew(
    server: Server,
    level: Annotated[str | None, typer.Option("--level", help="Ask for another level at once.")] = None,
    directory: ServerDir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """Ask a server to renew what it granted; the old certificate stays good meanwhile."""
    answer = ask(directory, {"command": "trust_renew", "server": server, "level": level}, seconds=40)
    Output(json).emit(answer, f"Asked {server} to renew. See: norc trust show {server}")


@group.command()
def revoke(
    server: Server,
    reason: Annotated[
        str, typer.Option("--reason", help="compromised_key and policy_violation take effect at once, without grace.")
    ] = "voluntary",
    permit: Annotated[
        list[str] | None, typer.Option("--permission", help="Take only this permission, again for each.")
    ] = None,
    grace: Annotated[int, typer.Option("--grace", min=0, help="Seconds until it takes effect.")] = 0,
    directory: ServerDir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """Take back trust, all of it or single permissions: links close, what is queued fails back, every peer is told."""
    wish: dict[str, JsonValue] = {"command": "trust_revoke", "server": server, "reason": reason, "grace_s": grace}
    answer = ask(directory, wish | {"permissions": list(permit or [])}, seconds=40)
    what = ", ".join(permit) if permit else "all trust"
    Output(json).emit(answer, f"Revoked {what} in {server}.")


# --- For people ---


def _shown(answer: dict[str, JsonValue]) -> list[str]:
    lines = [f"{answer.get('server')}: {answer.get('state')}, level {answer.get('level')}"]
    lines += [f"  {printable(str(why))}" for why in _items(answer.get("why"))]
    lines += [f"  identity key {key}" for key in _items(answer.get("keys"))]
    for exchange in _maps(answer.get("exchanges")):
        lines += _exchange(exchange, str(answer.get("server")))
    health = answer.get("health")
    for risk in _maps(health.get("risks")) if isinstance(health, dict) else []:
        lines.append(f"  risk: {risk.get('risk')} ({risk.get('severity')})")
    for told in _maps(answer.get("told")):
        lines.append(f"  revocation told to {told.get('server')}: {told.get('answer')}")
    return lines


def _exchange(exchange: dict[str, JsonValue], server: str) -> list[str]:
    lines = [
        f"  {exchange.get('role')} {exchange.get('requested')} by {exchange.get('method')}: {exchange.get('state')}"
    ]
    organisation = exchange.get("organisation")
    if isinstance(organisation, dict):
        said = ", ".join(printable(str(organisation.get(name))) for name in ("name", "country", "contact_email"))
        lines.append(f"    says it is {said}")
    if exchange.get("score") is not None:
        lines.append(f"    score {exchange.get('score')}, proven: {exchange.get('level')}")
    lines += [f"    {printable(str(why))}" for why in _items(exchange.get("why"))]
    missing = exchange.get("missing")
    if isinstance(missing, dict):
        for level, reasons in missing.items():
            lines += [f"    {level} lacks: {printable(str(reason))}" for reason in _items(reasons)]
    if exchange.get("key"):
        lines.append(f"    identity key {exchange.get('key')}: compare it with their operator")
    if exchange.get("note"):
        lines.append(f"    {printable(str(exchange.get('note')))}")
    if exchange.get("waits_for_operator"):
        lines.append(f"    -> norc trust approve {server} --organization-checked · norc trust reject {server}")
    return lines


def _items(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []


def _maps(value: JsonValue) -> list[dict[str, JsonValue]]:
    return [item for item in _items(value) if isinstance(item, dict)]


def _day(at: JsonValue) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(at)) if isinstance(at, int) else "-"
