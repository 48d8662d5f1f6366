"""How Erlang writes what a trace tells: atoms, integers, reasons.

Rules
- Text is Latin-1, as in OTP's runner: a byte of the scenario is a character, and goes out as the byte it was.
- What Erlang cannot read is a `ScenarioError`, where its runner would break off.
"""

import re
from typing import Final

from supervision._core.reasons import Crash, ExitReason, FailedToStart, Killed, NameTaken, Normal, Shutdown
from supervision._core.specs import InvalidSpecError

BAD_START_SPEC: Final = "bad_start_spec"
_REFUSALS: Final = {
    "invalid_strategy": "supervisor_data",
    "invalid_intensity": "supervisor_data",
    "invalid_period": "supervisor_data",
    "invalid_auto_shutdown": "supervisor_data",
    BAD_START_SPEC: BAD_START_SPEC,
}
"""What a supervisor that refuses its flags or specs ends with, by the broken rule; for every other, `start_spec`."""

RESERVED: Final = """
after and andalso band begin bnot bor bsl bsr bxor case catch cond div end fun if let not of or orelse receive rem try
when xor
"""
ATOM_LENGTH: Final = 255
"""Characters of an atom, at most."""

DIGITS: Final = 4000
"""Of an integer, at most: Python reads no more. Erlang does."""

_RESERVED: Final = frozenset(RESERVED.split())
_PLAIN: Final = re.compile(r"[a-z\xdf-\xf6\xf8-\xff][A-Za-z0-9_@\xc0-\xd6\xd8-\xf6\xf8-\xff]*")
_INTEGER: Final = re.compile(r"[+-]?[0-9]+")
_NAMED: Final = {"\n": "n", "\r": "r", "\t": "t", "\v": "v", "\b": "b", "\f": "f", "\x1b": "e", "\x7f": "d"}


class ScenarioError(ValueError):
    """OTP's runner would break off here; the message says why."""


class Boom(Exception):  # noqa: N818 - OTP's reason
    """The child was told to crash."""

    def __str__(self) -> str:
        return "boom"


class BadArguments(Exception):  # noqa: N818 - OTP's reason
    """A child cannot even be started with these arguments."""

    def __str__(self) -> str:
        return "EXIT"


class Refused(Exception):  # noqa: N818 - OTP's reason
    """The child was told to refuse its next start."""


def why(reason: ExitReason) -> str:
    """A reason in the words of the trace."""
    match reason:
        case Normal():
            return "normal"
        case Killed():
            return "killed"
        case Shutdown(detail=FailedToStart(child=child, reason=inner)):
            return f"failed_to_start {atom(child)} {why(inner)}"
        case Shutdown(detail=NameTaken()):
            return "already_started"
        case Shutdown():
            return "shutdown"
        case Crash(exception=Refused()):
            return "refused"
        case Crash(exception=InvalidSpecError(rule=rule)):
            return _REFUSALS.get(rule, "start_spec")
        case Crash():
            return str(reason.exception)
        case _:
            return "noproc"


def atom(text: str) -> str:
    """An atom as Erlang writes it: quoted unless it is a plain word."""
    if _PLAIN.fullmatch(text) and text not in _RESERVED:
        return text
    return f"'{''.join(map(_quoted, text))}'"


def _quoted(character: str) -> str:
    if character in "'\\":
        return f"\\{character}"
    if character in _NAMED:
        return f"\\{_NAMED[character]}"
    return character if " " <= character <= "~" or character >= "\xa0" else f"\\{ord(character):03o}"


def as_atom(word: str) -> str:
    """A word that must be an atom. Raises `ScenarioError`."""
    if len(word) > ATOM_LENGTH:
        raise ScenarioError(f"{word[:20]!r}... is longer than {ATOM_LENGTH} characters")
    return word


def as_integer(word: str) -> int:
    """A word that must be an integer as Erlang reads one. Raises `ScenarioError`."""
    if not _INTEGER.fullmatch(word):
        raise ScenarioError(f"{word!r} is no integer")
    if len(word) > DIGITS:
        raise ScenarioError(f"{word[:20]!r}... is longer than {DIGITS} digits")
    return int(word)
