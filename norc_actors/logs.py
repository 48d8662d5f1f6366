"""Structured logs: JSON lines or console lines.

Redaction is by construction, not by a list of bad words (row B177, section 10):
- a value is printed only if it is of a plain type; of bytes only their number, of any other object only its type's
  name;
- an exception is printed as its type and the places that it passed through; its text only if the type is one of ours
  or the system's (OSError), whose texts are written to be read. Local variables never.
What remains is what a caller passes as text, so callers pass names of events and identifiers, nothing that a user
wrote.
"""

import logging
import sys
import traceback
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Literal, TextIO

import msgspec
import structlog
from structlog.typing import EventDict, WrappedLogger

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["json", "console"]

_OURS = ("norc_actors", "supervision")
_DEPTH = 6


def setup_logs(level: Level, form: Format, stream: TextIO) -> None:
    """Configure structlog, and the standard library's loggers to go through it. Called once by a program's main.

    Libraries are heard from `warning` on, whatever the level.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        plain_values,
    ]
    render = _json if form == "json" else structlog.dev.ConsoleRenderer(colors=stream.isatty())
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
    )
    handler.setFormatter(formatter)
    handler.addFilter(_without_arguments)
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)


def plain_values(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """The processor that decides what is printed: see the module."""
    exc_info = event.pop("exc_info", None)
    result = {key: plain(value) for key, value in event.items() if not key.startswith("_")}
    kept = {key: value for key, value in event.items() if key.startswith("_")}  # structlog's own, removed later
    error = sys.exc_info()[1] if exc_info is True else exc_info[1] if isinstance(exc_info, tuple) else exc_info
    if isinstance(error, BaseException):
        result["exception"] = describe(error)
        result["at"] = places(error)
    return result | kept


def plain(value: object, depth: int = 0) -> object:
    """`value` as it may be printed."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, str | Path):
        return str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if isinstance(value, BaseException):
        return describe(value)
    if depth < _DEPTH and isinstance(value, Mapping):
        return {str(key): plain(item, depth + 1) for key, item in value.items()}
    if depth < _DEPTH and isinstance(value, list | tuple | set | frozenset):
        return [plain(item, depth + 1) for item in value]
    return f"<{type(value).__name__}>"


def describe(error: BaseException) -> str:
    """An exception in a line: its type, and its text if that is ours to show; a group with what is in it."""
    kind = type(error)
    if isinstance(error, BaseExceptionGroup):
        return f"{kind.__name__}({', '.join(describe(inner) for inner in error.exceptions)})"
    shown = kind.__module__.partition(".")[0] in _OURS or isinstance(error, OSError)
    return f"{kind.__name__}: {error}" if shown else kind.__name__


def places(error: BaseException) -> list[str]:
    """Where the exception passed, innermost last, as `file:line function`."""
    frames = traceback.extract_tb(error.__traceback__)[-20:]
    return [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]


def _json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    return msgspec.json.encode(event).decode()


def _without_arguments(record: logging.LogRecord) -> bool:
    """Libraries' arguments go through `plain` too."""
    if isinstance(record.args, tuple):
        record.args = tuple(item if isinstance(item, int | float) else plain(item) for item in record.args)
    return True
