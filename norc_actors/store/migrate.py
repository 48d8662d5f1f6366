"""Bringing the schema forward.

Migrations are Alembic's, in `migrations/versions`, each with the next four-digit revision. They run in the
foreground, in the transaction of whoever opens first; there is no way back but a backup. `about.written_by` names the
release that ran the last one, so that an older release can say what it met.
"""

from importlib import metadata, resources

from sqlalchemy import Connection, inspect, text

from norc_actors.store.errors import NewerSchemaError, StoreCorruptError
from norc_actors.store.schema import SCHEMA


def bring_forward(connection: Connection, location: str) -> None:
    """Migrate to `SCHEMA` inside the caller's transaction. Raises `NewerSchemaError`, or `StoreCorruptError` for a
    foreign file."""
    current = current_schema(connection, location)
    if current == SCHEMA:
        return
    if current is not None and current > SCHEMA:
        writer = connection.execute(text("SELECT value FROM about WHERE key = 'written_by'")).scalar()
        raise NewerSchemaError(location, written_by=str(writer or "of unknown version"), revision=current)
    _upgrade(connection)
    connection.execute(text("DELETE FROM about WHERE key = 'written_by'"))
    connection.execute(
        text("INSERT INTO about (key, value) VALUES ('written_by', :version)"),
        {"version": _release()},
    )


def current_schema(connection: Connection, location: str) -> str | None:
    """The revision that the database is at; None for an empty one."""
    tables = set(inspect(connection).get_table_names())
    if "alembic_version" not in tables:
        if tables:
            raise StoreCorruptError(
                f"{location}: this database belongs to another program: point `data` at another folder"
            )
        return None
    return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one())


def _upgrade(connection: Connection) -> None:
    from alembic import command  # half a second of imports that most starts do not need
    from alembic.config import Config

    with resources.as_file(resources.files("norc_actors.store") / "migrations") as folder:
        config = Config()
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _release() -> str:
    try:
        return metadata.version("norc-actors")
    except metadata.PackageNotFoundError:
        return "from a source checkout"
