"""Exit codes of `norc`: what a script may rely on (docs/operations.md has the same table)."""

from enum import IntEnum


class Exit(IntEnum):
    """How a command ended."""

    OK = 0
    """Done."""
    FAILED = 1
    """Understood and not done: refused, not found, lost; the message says why."""
    USAGE = 2
    """The command line or a configuration file is wrong; nothing was tried."""
    NO_PROFILE = 3
    """The profile is missing, in use, damaged or not enrolled."""
    WRONG_PASSPHRASE = 4
    """The passphrase or key file does not open the profile."""
    OFFLINE = 5
    """The server or node could not be reached, or not in time: the same command may work later."""
    SECURITY = 6
    """A key, certificate, fingerprint or handshake is not what it should be: stop and look."""
    INTERNAL = 70
    """A fault of norc itself; its details are in the log file that the message names."""
    INTERRUPTED = 130
    """Ended by Ctrl-C."""
