"""A database per test. An engine that is added joins ENGINES, and every store test runs on it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from norc_actors.store.database import Database

ENGINES = ["sqlite"]

Opener = Callable[[], Database]


@pytest.fixture(params=ENGINES)
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """Opens the test's database, as often as wanted: each time another connection to the same data."""
    opened: list[Database] = []

    def open_database() -> Database:
        opened.append(Database.open(tmp_path / "norc.db"))
        return opened[-1]

    yield open_database
    for database in opened:
        database.close()


@pytest.fixture
def database(opener: Opener) -> Database:
    return opener()
