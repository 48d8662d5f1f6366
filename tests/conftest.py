"""What holds for every test."""

import signal
from collections.abc import Iterator

import pytest
import structlog

# A run in the background inherits an ignored SIGINT and would pass it on to every program that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _logs_go_where_they_went() -> Iterator[None]:
    """A test that configures the logs, as a node does, must not leave them on its own captured stream."""
    yield
    structlog.reset_defaults()
