"""One wall between what goes wrong and what a person sees: every failure is a code, a sentence, and the next step.

Rules
- A typed error of the libraries carries `code`, `what` and `advice` (or a message); its exit code is looked up by
  `code`.
- Task groups wrap errors: the wall looks through them for the first that can be explained.
- Anything else is our fault: the person gets one line and the name of a log file, never a stack trace.
"""

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass

from norc_actors.cli.exits import Exit
from norc_actors.ids import InvalidIdError


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """What to tell: a stable word, one sentence, the next step, and how the process ends."""

    code: str
    what: str
    next: str
    exit: Exit


class CliError(Exception):
    """A failure that a command itself finds; `advice` is the next command to run."""

    def __init__(self, what: str, advice: str, *, code: str = "failed", exit_code: Exit = Exit.FAILED) -> None:
        super().__init__(what)
        self.what = what
        self.advice = advice
        self.code = code
        self.exit_code = exit_code


class UsageError(CliError):
    """The command line makes no sense; nothing was tried."""

    def __init__(self, what: str, advice: str) -> None:
        super().__init__(what, advice, code="usage", exit_code=Exit.USAGE)


EXIT_OF_CODE = {
    "usage": Exit.USAGE,
    "link": Exit.USAGE,
    "key_file": Exit.USAGE,
    "config": Exit.USAGE,
    "profile": Exit.NO_PROFILE,
    "profile_missing": Exit.NO_PROFILE,
    "profile_exists": Exit.NO_PROFILE,
    "profile_in_use": Exit.NO_PROFILE,
    "profile_too_new": Exit.NO_PROFILE,
    "profile_damaged": Exit.NO_PROFILE,
    "not_enrolled": Exit.NO_PROFILE,
    "wrong_passphrase": Exit.WRONG_PASSPHRASE,
    "offline": Exit.OFFLINE,
    "unreachable": Exit.OFFLINE,
    "connection": Exit.OFFLINE,
    "enrolment_timeout": Exit.OFFLINE,
    "rate_limited": Exit.OFFLINE,
    "tls": Exit.SECURITY,
    "handshake": Exit.SECURITY,
    "server_key_changed": Exit.SECURITY,
    "user_key_changed": Exit.SECURITY,
    "fingerprint_mismatch": Exit.SECURITY,
}


def explain(error: BaseException) -> Failure | None:
    """The failure that `error` (or, in a group, its first explicable leaf) stands for; None: a fault of ours."""
    for leaf in _leaves(error):
        failure = _explain_one(leaf)
        if failure is not None:
            return failure
    return None


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _explain_one(error: BaseException) -> Failure | None:
    if isinstance(error, CliError):
        return Failure(code=error.code, what=error.what, next=error.advice, exit=error.exit_code)
    if isinstance(error, InvalidIdError):
        return Failure(code="usage", what=f"{error}.", next="Correct the name and try again.", exit=Exit.USAGE)
    if isinstance(error, OSError):
        return _explain_os(error)
    if isinstance(error, _set_up_errors()):
        return Failure(code="config", what=str(error), next=DEFAULTS_ADVICE, exit=Exit.USAGE)
    code, what, advice = (getattr(error, name, None) for name in ("code", "what", "advice"))
    if isinstance(code, str) and isinstance(what, str) and isinstance(advice, str):
        return Failure(code=code, what=what, next=advice, exit=EXIT_OF_CODE.get(code, Exit.FAILED))
    return None


DEFAULTS_ADVICE = "Correct it and try again; every key with its default: norc init --print-defaults"


def _set_up_errors() -> tuple[type[Exception], ...]:
    """Errors of configuration and key files, whose text says all; imported late to keep the command line quick."""
    from norc_actors.config import ConfigError
    from norc_actors.devpki import KeyFileError

    return ConfigError, KeyFileError


_OS_ADVICE = {
    errno.ENOENT: "Check the path.",
    errno.EACCES: "Check who owns the file, and its permissions.",
    errno.EPERM: "Check who owns the file, and its permissions.",
    errno.ENOSPC: "Free some space and try again; nothing that was committed is lost.",
    errno.EISDIR: "Give a file, not a folder.",
    errno.ENOTDIR: "Give a folder, not a file.",
    errno.EEXIST: "Choose another path.",
    errno.EADDRINUSE: "Another program listens there: stop it, or choose another port.",
}


def _explain_os(error: OSError) -> Failure | None:
    advice = _OS_ADVICE.get(error.errno or 0)
    if advice is None:
        return None
    where = f"{error.filename}: " if error.filename else ""
    return Failure(code="os", what=f"{where}{os.strerror(error.errno or 0)}.", next=advice, exit=Exit.FAILED)
