"""Flow control of what is pushed to one connection, with the store behind it (rule 4: back-pressure everywhere).

A lane carries numbered rows of the store (deliveries, or receipts) to one device, in the order of their numbers,
without loss and without an unbounded queue:

- *live*: the router offers each row as it is committed; an admitted row is in memory on its way to the socket.
- *behind*: the lane was full, or the connection has just begun. Offers are refused and only remembered as `missed`; the
  worker reads rows from the store instead, after `last`, as room comes back, until one read found the end and nothing
  was missed meanwhile. Then the lane is live again.

The argument for "no row is skipped": a row is committed before it is offered. While behind, an offer sets `missed`; the
worker clears `missed` *before* it reads, so a row committed after the read began is either in the answer or has set
`missed` again, and the lane stays behind for another read. `fetched` decides live or behind without an await in
between. For "no row twice": `last` only grows and rows at or below it are refused.
"""

from collections.abc import Sequence


class Lane:
    """At most `limit` rows on their way to the device. A new lane is behind: what waits in the store comes first."""

    __slots__ = ("behind", "last", "limit", "missed", "outstanding")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.outstanding = 0
        self.last = 0
        self.behind = True
        self.missed = False

    def offer(self, number: int) -> bool:
        """The router's side: may row `number` go to the worker now? If not, the store keeps it and it is fetched."""
        if self.behind or self.outstanding >= self.limit:
            self.behind = self.missed = True
            return False
        if number <= self.last:
            return False
        self.outstanding += 1
        self.last = number
        return True

    def settle(self, count: int = 1) -> None:
        """`count` rows were acknowledged by the device."""
        self.outstanding = max(0, self.outstanding - count)

    @property
    def wants_fetch(self) -> bool:
        """Whether the worker should read from the store now: behind, and at least half of the room is free."""
        return self.behind and self.outstanding <= self.limit // 2

    def begin_fetch(self) -> tuple[int, int]:
        """Start a read: returns (after, at most), the last number that was pushed and the room."""
        self.missed = False
        return self.last, self.limit - self.outstanding

    def fetched(self, numbers: Sequence[int], asked: int) -> None:
        """A read that asked for `asked` rows gave `numbers`, rising: they are on their way now."""
        if numbers:
            self.last = numbers[-1]
            self.outstanding += len(numbers)
        self.behind = self.missed or len(numbers) == asked
