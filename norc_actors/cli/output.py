"""What a command prints: lines for people, or with `--json` one JSON object per line and nothing else.

A text that came from another person goes to the terminal only through `printable`: control characters and changes of
writing direction could otherwise rewrite what stands on the screen.
"""

import json
import sys
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TextIO

JsonValue = str | int | float | bool | None | list["JsonValue"] | dict[str, "JsonValue"]

_BIDI = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def printable(text: str, *, keep: str = "\n\t") -> str:
    """`text` with every control character (but those in `keep`) and every direction mark shown as U+FFFD."""
    return "".join("\ufffd" if char not in keep and _dangerous(char) else char for char in text)


def _dangerous(char: str) -> bool:
    return unicodedata.category(char) in {"Cc", "Cs"} or char in _BIDI


@dataclass(frozen=True, slots=True)
class Output:
    """Where and how a command speaks."""

    json: bool

    def emit(self, record: Mapping[str, JsonValue], line: str | None = None) -> None:
        """One result: the record with `--json`, else the line (no line: nothing for people to see)."""
        if self.json:
            _write(sys.stdout, json.dumps(record, ensure_ascii=False, separators=(",", ":")))
        elif line is not None:
            _write(sys.stdout, line)

    def note(self, line: str) -> None:
        """Something for a person who watches, never part of the result: to stderr, and not at all with `--json`."""
        if not self.json:
            _write(sys.stderr, line)


def _write(stream: TextIO, line: str) -> None:
    stream.write(line.encode(stream.encoding or "utf-8", "replace").decode(stream.encoding or "utf-8") + "\n")
    stream.flush()


def table(rows: list[list[str]], head: list[str]) -> str:
    """Columns of plain text, aligned, a head line first; one line if there are no rows."""
    if not rows:
        return "(none)"
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in [head, *rows]
    )
