"""Structured logs: JSON lines or console lines on stderr.

Redaction is by construction: only values of plain types are printed, bytes never (their length is), and `Secret`s
never.
"""

from typing import Literal, TextIO


def setup_logs(
    level: Literal["debug", "info", "warning", "error"], form: Literal["json", "console"], stream: TextIO
) -> None:
    """Configure structlog, and the standard library's loggers to go through it. Called once by a program's main."""
    raise NotImplementedError
