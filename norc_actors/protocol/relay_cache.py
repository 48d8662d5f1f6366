"""Which relays a server has accepted, so that a retry is answered and never delivered again (section 8; D-20, D-37).

Rules
- The unique index is (origin_server, federation_id): the origin draws a federation_id per target server and per
  supplement and keeps it on retry.
- An entry holds the recorded `relay_ack`. It is kept as long as its relay could pass the checks of time again, and goes
  with the whole hour in which it was accepted: expiry drops buckets, it searches nothing.
- Each remote (the server at the other end of the link) has a quota. A full one refuses new relays with 5403 until its
  oldest hour goes; nothing is ever evicted, or a flood could make an old relay new again.
- Time never runs backwards here: an earlier `now` counts as the latest one.

This is the logic; the node's store keeps the same rows in the transaction that stores the message.
"""

from collections import Counter

from norc_actors.limits import RELAY_CACHE_SECONDS, RELAY_QUOTA

from .errors import Code, ProtocolError
from .schema import SignedMap

Key = tuple[str, str]
"""(origin_server, federation_id)."""
_HOUR = 3600


class RelayCache:
    """Accepted relays with their answers; see the module's rules."""

    def __init__(self, *, quota: int = RELAY_QUOTA, kept_seconds: float = RELAY_CACHE_SECONDS) -> None:
        self._quota = quota
        self._kept = kept_seconds
        self._answers: dict[Key, SignedMap] = {}
        self._hours: dict[int, list[tuple[Key, str]]] = {}
        self._held: Counter[str] = Counter()
        self._now = 0.0

    def recorded(self, origin_server: str, federation_id: str) -> SignedMap | None:
        """The answer to a relay that was accepted, None for a new one."""
        return self._answers.get((origin_server, federation_id))

    def record(self, origin_server: str, federation_id: str, remote: str, ack: SignedMap, now: float) -> None:
        """Keep the answer to a relay that `remote` brought. `ProtocolError` 5403 if its quota is full; `ValueError` for
        one that is recorded: look it up first."""
        self.expire(now)
        key = (origin_server, federation_id)
        if key in self._answers:
            raise ValueError("this relay was accepted before")
        if self._held[remote] >= self._quota:
            raise ProtocolError(Code.QUOTA_EXCEEDED, remote, retry_after=_HOUR)
        self._answers[key] = ack
        self._hours.setdefault(int(self._now // _HOUR), []).append((key, remote))
        self._held[remote] += 1

    def expire(self, now: float) -> int:
        """Drop the hours whose entries are all past their time; returns how many entries went."""
        self._now = max(self._now, now)
        gone = [hour for hour in self._hours if (hour + 1) * _HOUR + self._kept <= self._now]
        count = 0
        for hour in gone:
            for key, remote in self._hours.pop(hour):
                del self._answers[key]
                self._held[remote] -= 1
                count += 1
        return count

    def statistics(self) -> dict[str, int]:
        """Entries in all and remotes that hold any."""
        return {"entries": len(self._answers), "remotes": sum(1 for held in self._held.values() if held)}
