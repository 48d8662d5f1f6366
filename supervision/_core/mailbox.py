"""Mailbox policies: how many messages may wait, and what happens to the next one.

Rules
- Every mailbox is bounded. What its owner did not bound, it cannot promise to survive.
- `block`: the sender waits (a caller already waits for its reply). `refuse`: the sender gets `MailboxFull` at once.
  `drop_oldest`: the oldest cast or info makes room; a call is never dropped in silence, its caller gets `MailboxFull`.
  `divert`: casts and infos go to the actor of that name instead, as `Diverted`; calls are refused.
- The bound is for messages. Exits, `Down`s and timers are never refused and never dropped: an actor must be able to
  learn that its world ended, however far behind it is.
- Crossing `high_water` is an event, once, until the mailbox was empty again.
"""

from dataclasses import dataclass
from typing import Literal, get_args

Overflow = Literal["block", "refuse", "drop_oldest", "divert"]
"""What happens to a message that finds the mailbox full."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A policy. `capacity` in messages; `high_water` is the part of it (0–1) whose crossing is reported; `divert_to`
    names the actor that gets what finds no room.

    Raises `ValueError` when built with figures that mean nothing.
    """

    capacity: int = 1000
    overflow: Overflow = "block"
    high_water: float = 0.8
    divert_to: str | None = None

    def __post_init__(self) -> None:
        if self.capacity < 1:
            raise ValueError(f"mailbox capacity is {self.capacity}; it must hold at least one message")
        if self.overflow not in get_args(Overflow):
            raise ValueError(f"mailbox overflow is {self.overflow!r}; choose one of {', '.join(get_args(Overflow))}")
        if (self.overflow == "divert") != (self.divert_to is not None):
            raise ValueError("mailbox overflow 'divert' and divert_to, the name of an actor, go together")
        if not 0 < self.high_water <= 1:
            raise ValueError(
                f"mailbox high_water is {self.high_water}; it is a part of the capacity, over 0 and up to 1"
            )

    @property
    def high_mark(self) -> int:
        """The depth that is reported, in messages."""
        return max(1, int(self.capacity * self.high_water))


DEFAULT_MAILBOX = Mailbox()
CONTROL_MAILBOX = Mailbox(capacity=100_000)
"""A supervisor's: only its own calls are bounded by it."""
