"""Rows of the account tables as the values of `account_values`."""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, Table, select

V = TypeVar("V", bound=msgspec.Struct)


def as_value(kind: type[V], row: Mapping[Any, Any]) -> V:
    """The row as a value: its fields are named like the columns (a column that it lacks is not shown)."""
    return kind(**{name: row[name] for name in kind.__struct_fields__})


def one(connection: Connection, kind: type[V], table: Table, where: Any) -> V | None:
    """The one row of `table` that satisfies `where`, if there is one."""
    row = connection.execute(select(table).where(where)).mappings().one_or_none()
    return None if row is None else as_value(kind, row)
