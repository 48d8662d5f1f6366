"""Levels of trust between servers and what each allows (section 9; §5.1, §6.4; D-41; rows `B88`, `B115`).

| level | classifications | hybrid | largest `ciphertext` |
|---|---|---|---|
| basic | unclassified, official_use_only | if both can | 4 MiB |
| verified | + confidential, nato_restricted | mandatory | 16 MiB |
| classified | + secret, top_secret | mandatory | 16 MiB |
| nato | + nato_confidential, nato_secret; secret and top_secret only if the agreement lists them | mandatory | 16 MiB |

Rules
- `untrusted < basic < verified < classified < nato`; the effective level of a path is the least on it.
- An unknown or absent classification is refused at every level; `restricted` is not an atom.
- `nato` is no superset of `classified`: its secrets need the agreement's word.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

TrustLevel = Literal["untrusted", "basic", "verified", "classified", "nato"]
LEVELS: tuple[TrustLevel, ...] = get_args(TrustLevel)
"""Lowest first."""

_BASIC = frozenset({"unclassified", "official_use_only"})
_VERIFIED = _BASIC | {"confidential", "nato_restricted"}
NATIONAL_SECRETS: frozenset[str] = frozenset({"secret", "top_secret"})
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """One row of the table."""

    classifications: frozenset[str]
    hybrid: bool
    max_message: int


ALLOWANCES: dict[TrustLevel, Allowance] = {
    "untrusted": Allowance(classifications=frozenset(), hybrid=False, max_message=0),
    "basic": Allowance(classifications=_BASIC, hybrid=False, max_message=4 * MIB),
    "verified": Allowance(classifications=_VERIFIED, hybrid=True, max_message=16 * MIB),
    "classified": Allowance(classifications=_VERIFIED | NATIONAL_SECRETS, hybrid=True, max_message=16 * MIB),
    "nato": Allowance(
        classifications=_VERIFIED | {"nato_confidential", "nato_secret"}, hybrid=True, max_message=16 * MIB
    ),
}


def at_least(level: TrustLevel, wanted: TrustLevel) -> bool:
    """Whether `level` is `wanted` or above."""
    return LEVELS.index(level) >= LEVELS.index(wanted)


def lowest(levels: Iterable[TrustLevel]) -> TrustLevel:
    """The least of the levels; `untrusted` of none."""
    return min(levels, key=LEVELS.index, default="untrusted")


def allows(level: TrustLevel, classification: str, agreement: frozenset[str] = frozenset()) -> bool:
    """Whether a message of this classification may pass at `level`; `agreement` lists the national secrets that a NATO
    agreement covers, and counts at `nato` alone."""
    if level == "nato" and classification in NATIONAL_SECRETS:
        return classification in agreement
    return classification in ALLOWANCES[level].classifications
