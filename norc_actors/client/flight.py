"""Which messages of the outbox are on their way: order, window, pauses. No I/O, no time of its own.

Rules
- Messages leave in the order of the outbox. After a reconnect all that were not accepted leave again, in that order.
  Drafts are passed over: they are of other lanes (within a lane, order was settled when messages were finished).
- A refused message is sent again before anything else leaves: what is in flight is answered first, then all that were
  refused go in order. Otherwise a new message would overtake those whose refusals are still on their way.
- At most `OUTBOX_WINDOW` are un-acknowledged. A rate-limit refusal pauses until its time and narrows the window to one,
  so that nothing overtakes what was refused; each acceptance after that widens it by one.
- Acknowledgements name a message_id; a supplement has its message's, so they are matched first come first served.
"""

import math
from collections import OrderedDict
from dataclasses import dataclass

from norc_actors.limits import OUTBOX_WINDOW


@dataclass(slots=True)
class _Item:
    message_id: str
    ready: bool
    sent: bool = False
    answered: bool = False
    fenced: bool = False


class Flight:
    """The outbox as the connection sees it; filled from the profile, kept in step after each commit."""

    def __init__(self) -> None:
        self._items: OrderedDict[int, _Item] = OrderedDict()
        self._by_id: dict[str, list[int]] = {}
        self._in_flight = 0
        self._window = OUTBOX_WINDOW
        self._draining = False
        self.paused_until = 0.0

    def __len__(self) -> int:
        return len(self._items)

    # --- Keeping in step with the outbox ---

    def add(self, sequence: int, message_id: str, *, ready: bool) -> None:
        """A message was committed to the end of the outbox; `ready`: it is finished."""
        self._items[sequence] = _Item(message_id, ready)
        self._by_id.setdefault(message_id, []).append(sequence)

    def finished(self, sequence: int) -> None:
        """A draft was finished."""
        item = self._items.get(sequence)
        if item is not None:
            item.ready = True

    def remove(self, sequence: int) -> None:
        """A message was accepted or given up."""
        item = self._items.pop(sequence, None)
        if item is None:
            return
        if item.sent:
            self._in_flight -= 1
        left = self._by_id[item.message_id]
        left.remove(sequence)
        if not left:
            del self._by_id[item.message_id]

    # --- Sending ---

    def in_flight(self, message_id: str) -> bool:
        """Whether an answer about this message is awaited."""
        items = (self._items[sequence] for sequence in self._by_id.get(message_id, ()))
        return any(item.sent and not item.answered for item in items)

    def wakes_at(self, now: float) -> float:
        """When a pause ends; infinity if there is none."""
        return self.paused_until if self.paused_until > now else math.inf

    def take(self, now: float) -> list[int]:
        """The sequence numbers to send now, in order; they count as in flight from here on."""
        if now < self.paused_until or (self._draining and self._in_flight):
            return []
        self._draining = False
        taken = []
        for sequence, item in self._items.items():
            if self._in_flight >= self._window:
                break
            if item.ready and not item.sent:
                if item.fenced and self._in_flight:
                    break
                item.fenced = False
                item.sent = True
                self._in_flight += 1
                taken.append(sequence)
        return taken

    def hold_back(self, taken: list[int]) -> None:
        """These were taken and not sent, since the first of them must wait until all before it are answered."""
        for sequence in taken:
            item = self._items.get(sequence)
            if item is not None and item.sent:
                item.sent = False
                item.fenced = sequence == taken[0]
                self._in_flight -= 1

    @property
    def flying(self) -> int:
        """How many are in flight."""
        return self._in_flight

    def answered(self, message_id: str) -> int | None:
        """The sequence number that an answer about this message is for, which then has had its answer; None if none
        is in flight."""
        for sequence in self._by_id.get(message_id, ()):
            item = self._items[sequence]
            if item.sent and not item.answered:
                item.answered = True
                return sequence
        return None

    def again(self, sequence: int) -> None:
        """A message was refused and will be sent again."""
        item = self._items.get(sequence)
        if item is not None and item.sent:
            item.sent = item.answered = False
            self._in_flight -= 1
            self._draining = True

    def accepted(self) -> None:
        """The server accepted something: the window may widen."""
        self._window = min(self._window + 1, OUTBOX_WINDOW)

    def pause(self, until: float) -> None:
        """The rate limit is reached."""
        self.paused_until = max(self.paused_until, until)
        self._window = 1

    def disconnected(self) -> None:
        """The connection is gone: all that were in flight are sent again on the next."""
        for item in self._items.values():
            item.sent = item.answered = False
        self._in_flight = 0
        self._draining = False

    def drafts(self) -> list[int]:
        """The sequence numbers of the drafts, in order."""
        return [sequence for sequence, item in self._items.items() if not item.ready]
