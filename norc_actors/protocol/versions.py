"""Versions and their negotiation (section 2; §1.2, §7.1; D-3, D-43; rows B1–B3, B9, B14).

Rules
- A version is `(0|[1-9]\\d{0,4})\\.(0|[1-9]\\d{0,4})`, compared as a pair of integers. Any other entry, an empty list
  and one of more than 16 are `ERR_PROTOCOL`.
- `negotiate`: the highest that both list; else, if the policy `allow_amc_bridge` is set, among the pairs (one of each
  list) whose majors differ by at most 1 the highest lower member, which is spoken while the newer side translates; else
  none. The order inside a list chooses nothing.
- `compatibility_mode` = the major that is spoken differs from the highest major in the two lists.
- Both lists are in the transcript, so a peer that picked lower is found out: `check_choice` raises DOWNGRADE. A peer's
  highest completed version is remembered (`remember`), less is refused (`check_remembered`).
- `Policies` are a server's own: each can only refuse what `negotiate` gives, none changes it, so both ends still
  compute one result. What a policy refuses is NO_COMPATIBLE_VERSION, not DOWNGRADE: nobody took anything away (B14).

| policy | refuses |
|---|---|
| `enforce_amc` | ends whose highest majors differ by more than 1, even where an old version is common |
| `allow_downgrade` unset | a wire major below our own highest: no compatibility mode on our side |
| `require_latest_minor` | a wire version below the latest minor of its major that we list |
| `allow_amc_bridge` unset | what only a bridge would make: lists without a common version |

- Between servers norc_f and norc_t are negotiated each for itself; together they are a pair whose majors differ by at
  most 1, or there is no link (PROTOCOL_VERSION; row B9).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from norc_actors.limits import MAX_VERSIONS

from .errors import Code, ProtocolError, malformed

NORC_C = ("1.0", "1.1", "2.0")
"""Every NORC-C version that section 2 names."""
NORC_F = ("1.0", "1.1", "1.2", "2.0")
NORC_T = ("1.0", "1.1")
SPOKEN = ("2.0",)
"""What this build's client and node list: sealed connections. `translation.py` has the forms of 1.x."""

_VERSION = re.compile(r"(0|[1-9][0-9]{0,4})\.(0|[1-9][0-9]{0,4})")

Number = tuple[int, int]


def parse_version(text: str) -> Number:
    """(major, minor), or `ProtocolError`."""
    match = _VERSION.fullmatch(text)
    if match is None:
        raise malformed("no version")
    return int(match[1]), int(match[2])


def version_text(version: Number) -> str:
    """The one spelling of a version."""
    return f"{version[0]}.{version[1]}"


def parse_list(versions: Sequence[str]) -> list[Number]:
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


def remember(remembered: str | None, completed: str) -> str:
    """What to remember of a peer after a handshake that completed with `completed`."""
    if remembered is None or parse_version(remembered) < parse_version(completed):
        return completed
    return remembered


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """What a server allows beyond the rule; see the module's table."""

    enforce_amc: bool = True
    allow_downgrade: bool = True
    require_latest_minor: bool = False
    allow_amc_bridge: bool = False

    def negotiate(self, ours: Sequence[str], theirs: Sequence[str]) -> tuple[str, bool]:
        """Like the module's `negotiate`, or NO_COMPATIBLE_VERSION if a policy refuses the result."""
        text, compatibility = negotiate(ours, theirs, self.allow_amc_bridge)
        wire, own, other = parse_version(text), parse_list(ours), parse_list(theirs)
        highest = max(own)[0]
        if self.enforce_amc and abs(highest - max(other)[0]) > 1:
            raise _refused_by("enforce_amc", text)
        if not self.allow_downgrade and wire[0] < highest:
            raise _refused_by("allow_downgrade", text)
        if self.require_latest_minor and wire < max((v for v in own if v[0] == wire[0]), default=wire):
            raise _refused_by("require_latest_minor", text)
        return text, compatibility


def _refused_by(policy: str, version: str) -> ProtocolError:
    return ProtocolError(Code.NO_COMPATIBLE_VERSION, f"{policy} refuses {version}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """What two servers speak: the versions of both protocols, and whether norc_f is an older major than one end has."""

    norc_f: str
    norc_t: str
    compatibility_mode: bool


def negotiate_pair(
    ours: tuple[Sequence[str], Sequence[str]],
    theirs: tuple[Sequence[str], Sequence[str]],
    policies: Policies = Policies(),
) -> Pair:
    """The pair of a link, from both ends' (norc_f, norc_t) lists; PROTOCOL_VERSION if there is none."""
    try:
        norc_f, compatibility = policies.negotiate(ours[0], theirs[0])
        norc_t, _ = policies.negotiate(ours[1], theirs[1])
    except ProtocolError as error:
        if error.code is not Code.NO_COMPATIBLE_VERSION:
            raise
        raise ProtocolError(Code.PROTOCOL_VERSION, error.detail) from error
    if abs(parse_version(norc_f)[0] - parse_version(norc_t)[0]) > 1:
        raise ProtocolError(Code.PROTOCOL_VERSION, f"norc_f {norc_f} and norc_t {norc_t} are no pair")
    return Pair(norc_f=norc_f, norc_t=norc_t, compatibility_mode=compatibility)


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
