"""What one device may cause in a while, whichever of its connections it comes by (§6.16).

A budget belongs to the device, not to the connection: who came back for a new one would pay a handshake for a full
bucket. The session manager keeps it between two connections and hands it to each; a device has one at a time.

`writes` are messages and whatever else a request makes the server store or pass on; `lookups` are key requests.
"""

from norc_actors.config import Rates
from norc_actors.protocol.buckets import TokenBucket


class Budget:
    """See the module. `now` in seconds, of a clock that may step."""

    __slots__ = ("lookups", "writes")

    def __init__(self, rates: Rates, now: float) -> None:
        self.writes = TokenBucket(rate=rates.messages_per_minute / 60, burst=rates.messages_burst, now=now)
        self.lookups = TokenBucket(rate=rates.key_lookups_per_minute / 60, burst=rates.key_lookups_per_minute, now=now)

    def full(self, now: float) -> bool:
        """Whether nothing is left to remember."""
        return self.writes.full(now) and self.lookups.full(now)
