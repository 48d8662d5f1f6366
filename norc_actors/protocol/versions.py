"""Versions and their negotiation (section 2; §1.2, §7.1; D-3, D-43; rows B1–B3).

Rules
- A version is `(0|[1-9]\\d{0,4})\\.(0|[1-9]\\d{0,4})`, compared as a pair of integers. Any other entry, an empty list
  and one of more than 16 are `ERR_PROTOCOL`.
- `negotiate`: the highest that both list; else, if the policy `allow_amc_bridge` is set, among the pairs (one of each
  list) whose majors differ by at most 1 the highest lower member, which is spoken while the newer side translates; else
  none. The order inside a list chooses nothing.
- `compatibility_mode` = the major that is spoken differs from the highest major in the two lists.
- Both lists are in the transcript, so a peer that picked lower is found out: `check_choice` raises DOWNGRADE. A peer's
  highest completed version is remembered, less is refused (`check_remembered`).
"""

import re
from collections.abc import Iterable, Sequence

from norc_actors.limits import MAX_VERSIONS

from .errors import Code, ProtocolError, malformed

NORC_C = ("1.0", "1.1", "2.0")
"""Every NORC-C version that section 2 names."""
SPOKEN = ("2.0",)
"""What this build speaks: sealed connections; translation to 1.x is not built."""

_VERSION = re.compile(r"(0|[1-9][0-9]{0,4})\.(0|[1-9][0-9]{0,4})")

Pair = tuple[int, int]


def parse_version(text: str) -> Pair:
    """(major, minor), or `ProtocolError`."""
    match = _VERSION.fullmatch(text)
    if match is None:
        raise malformed("no version")
    return int(match[1]), int(match[2])


def version_text(version: Pair) -> str:
    """The one spelling of a version."""
    return f"{version[0]}.{version[1]}"


def parse_list(versions: Sequence[str]) -> list[Pair]:
    """The versions of a list, or `ProtocolError` if it is empty, longer than 16 or holds anything else."""
    if not 1 <= len(versions) <= MAX_VERSIONS:
        raise malformed("a list of 1 to 16 versions")
    return [parse_version(text) for text in versions]


def negotiate(client: Sequence[str], server: Sequence[str], allow_amc_bridge: bool = False) -> tuple[str, bool]:
    """(wire version, compatibility_mode); `ProtocolError` NO_COMPATIBLE_VERSION if there is none."""
    ours, theirs = parse_list(client), parse_list(server)
    wire = max(set(ours) & set(theirs), default=None)
    if wire is None and allow_amc_bridge:
        wire = max((min(a, b) for a in ours for b in theirs if abs(a[0] - b[0]) <= 1), default=None)
    if wire is None:
        raise ProtocolError(Code.NO_COMPATIBLE_VERSION, f"{list(client)} and {list(server)}")
    return version_text(wire), wire[0] != max(ours + theirs)[0]


def check_choice(
    client: Sequence[str], server: Sequence[str], allow_amc_bridge: bool, chosen: str, compatibility_mode: bool
) -> None:
    """Raise DOWNGRADE unless a peer chose exactly what `negotiate` gives for the two lists."""
    if (chosen, compatibility_mode) != negotiate(client, server, allow_amc_bridge):
        raise ProtocolError(Code.DOWNGRADE, f"{chosen} was chosen from {list(client)} and {list(server)}")


def check_remembered(remembered: str | None, chosen: str) -> None:
    """Raise DOWNGRADE if `chosen` is less than the highest version once completed with this peer."""
    if remembered is not None and parse_version(chosen) < parse_version(remembered):
        raise ProtocolError(Code.DOWNGRADE, f"{chosen}, after {remembered} with this peer")


def compatibility_table(versions: Iterable[str]) -> list[tuple[str, str, str]]:
    """(client, server, what happens) for every pair of `versions`: the published table, computed by the rule itself."""
    listed = list(versions)
    return [(client, server, _outcome(client, server)) for client in listed for server in listed]


def _outcome(client: str, server: str) -> str:
    for bridge, words in ((False, "spoken: {}"), (True, "with `allow_amc_bridge`: {}{}")):
        try:
            wire, compatibility = negotiate([client], [server], bridge)
        except ProtocolError:
            continue
        return words.format(wire, ", compatibility mode" if compatibility else "")
    return "refused"
