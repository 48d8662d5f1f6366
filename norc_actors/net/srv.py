"""Where a server listens, as DNS has it: SRV records and their order (RFC 2782), metadata in TXT (F§3.1).

Rules
- Lower priorities come first, all of them before the next. Within one priority each is drawn with a chance in
  proportion to its weight among those left; those of weight 0 come first in the drawing, so they have a small chance
  beside others and none is left out.
- Randomness is passed in.
- A record whose target is no host name, or whose port is 0, is left out; `MAX_ENDPOINTS` are kept.
- Metadata are `key=value` texts, the first of a key counts, keys in lower case; the rest is ignored.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from norc_actors import limits
from norc_actors.ids import InvalidIdError, Random, parse_server_id

SERVICE = "_norc-federation._tcp"
CHALLENGE = "_norc-trust-challenge"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One place to connect to; `host` is a name or an address."""

    host: str
    port: int
    priority: int = 0
    weight: int = 0


@dataclass(frozen=True, slots=True)
class Located:
    """What a look-up found: `endpoints` in the order in which to try them, this time; `ttl` seconds for which it may
    be kept."""

    endpoints: tuple[Endpoint, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)
    ttl: int = 0

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What the TXT record says of the server; unsigned, so a hint."""
        return tuple(name for name in self.metadata.get("capabilities", "").split(",") if name)


def make_endpoint(host: str, port: int, priority: int, weight: int) -> Endpoint | None:
    """`None` if that is no place to connect to."""
    try:
        return Endpoint(parse_server_id(host.rstrip(".").lower()), port, priority, weight) if port else None
    except InvalidIdError:
        return None


def in_order(endpoints: Sequence[Endpoint], random: Random) -> tuple[Endpoint, ...]:
    """The order in which to try them; another one each time."""
    ordered: list[Endpoint] = []
    for priority in sorted({one.priority for one in endpoints}):
        left = sorted((one for one in endpoints if one.priority == priority), key=lambda one: one.weight > 0)
        while left:
            ordered.append(left.pop(_draw([one.weight for one in left], random)))
    return tuple(ordered[: limits.MAX_ENDPOINTS])


def _draw(weights: Sequence[int], random: Random) -> int:
    """RFC 2782: the first whose running sum reaches a number drawn from 0 to the sum, both included."""
    sums = list(accumulate(weights))
    drawn = int.from_bytes(random(8), "big") % (sums[-1] + 1)
    return next(place for place, reached in enumerate(sums) if reached >= drawn)


def read_metadata(texts: Iterable[str]) -> dict[str, str]:
    """See the module."""
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if equals and key.strip():
            found.setdefault(key.strip().lower(), value.strip())
    return found
