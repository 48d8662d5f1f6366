"""Logs: lines that machines and people read, and nothing that is not meant for them."""

import enum
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from norc_actors.config import ConfigError
from norc_actors.crypto.secret import Secret
from norc_actors.logs import describe, plain, setup_logs


@pytest.fixture
def output() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield io.StringIO()
    structlog.reset_defaults()
    root.handlers[:], root.level = before, level


def lines(output: io.StringIO) -> list[dict]:
    return [json.loads(line) for line in output.getvalue().splitlines()]


class Colour(enum.Enum):
    RED = 1


class Body:
    """Something with content."""

    def __repr__(self) -> str:
        return "Body(canary)"


def test_json_lines(output: io.StringIO) -> None:
    setup_logs("info", "json", output)
    log = structlog.get_logger().bind(device="d1")
    log.info("accepted", seq=3, path=Path("/x"), colour=Colour.RED, parts=[1, "two"], more={"a": None})
    log.debug("not shown")
    [line] = lines(output)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "accepted",
        "level": "info",
        "device": "d1",
        "seq": 3,
        "path": "/x",
        "colour": "RED",
        "parts": [1, "two"],
        "more": {"a": None},
    }


def test_console_lines(output: io.StringIO) -> None:
    setup_logs("debug", "console", output)
    structlog.get_logger().debug("accepted", seq=3)
    assert "accepted" in output.getvalue()
    assert "seq=3" in output.getvalue()


@pytest.mark.parametrize("form", ["json", "console"])
def test_what_is_not_plain_is_not_shown(output: io.StringIO, form: str) -> None:
    setup_logs("debug", form, output)
    log = structlog.get_logger()
    log.info("one", key=b"canary", secret=Secret(b"canary"), body=Body(), deep=[{"x": (b"canary", Body())}])
    log.info("two", buffer=bytearray(b"canary"), view=memoryview(b"canary"))
    logging.getLogger("library").warning("got %s and %r", b"canary", Body())
    text = output.getvalue()
    assert "canary" not in text
    assert "<6 bytes>" in text
    assert "<Secret>" in text
    assert "<Body>" in text


def test_deep_nesting_ends(output: io.StringIO) -> None:
    value: list = []
    value.append(value)
    setup_logs("info", "json", output)
    structlog.get_logger().info("loop", value=value)
    assert "<list>" in output.getvalue()


def fail_with(error: Exception) -> None:
    canary = "canary"  # a local variable, which no traceback shows
    assert canary
    raise error


@pytest.mark.parametrize("form", ["json", "console"])
def test_an_exception_is_its_type_and_places(output: io.StringIO, form: str) -> None:
    setup_logs("info", form, output)
    try:
        fail_with(KeyError("canary"))
    except KeyError:
        structlog.get_logger().exception("crashed")
    assert "canary" not in output.getvalue()
    assert "KeyError" in output.getvalue()
    assert "fail_with" in output.getvalue()


def test_our_own_and_the_systems_errors_show_their_text(output: io.StringIO) -> None:
    setup_logs("info", "json", output)
    log = structlog.get_logger()
    log.error("one", error=ConfigError("line 3: what to do"))
    log.error("two", exc_info=OSError(28, "No space left on device"))
    log.error("three", error=ExceptionGroup("canary", [ValueError("canary"), ConfigError("ours")]))
    one, two, three = lines(output)
    assert one["error"] == "ConfigError: line 3: what to do"
    assert two["exception"] == "OSError: [Errno 28] No space left on device"
    assert three["error"] == "ExceptionGroup(ValueError, ConfigError: ours)"


def test_libraries_are_heard_from_warning_on(output: io.StringIO) -> None:
    setup_logs("debug", "json", output)
    logging.getLogger("trio-websocket").debug("canary")
    logging.getLogger("trio-websocket").info("canary")
    logging.getLogger("trio-websocket").warning("%d bytes", 3)
    [line] = lines(output)
    assert (line["event"], line["level"], line["logger"]) == ("3 bytes", "warning", "trio-websocket")


def test_exceptions_of_libraries_are_described_too(output: io.StringIO) -> None:
    setup_logs("info", "json", output)
    try:
        fail_with(ValueError("canary"))
    except ValueError:
        logging.getLogger("library").exception("oops")
    [line] = lines(output)
    assert "canary" not in output.getvalue()
    assert line["exception"] == "ValueError"


def test_plain_and_describe_by_themselves() -> None:
    assert plain(True) is True
    assert plain({1: b""}) == {"1": "<0 bytes>"}
    assert describe(ValueError("x")) == "ValueError"
