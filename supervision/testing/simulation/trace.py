"""What happened in a run, in order: the schedule, the network, what the scenario noted. And its hash.

Rules
- The hash is over text that is the same on every machine: tasks by their number of birth, hosts by name, times as
  `repr` writes them. No address of an object, no order of a set, no length of a packet: real cryptography may vary it.
- The hash is always taken; the lines themselves are kept only if somebody wants to read them, the last few otherwise.
"""

from collections import deque
from hashlib import blake2b

import trio

LAST = 40
"""Lines that a run keeps when nobody asked for all."""

_CHUNK = 4096


class Trace:
    """The story of one run."""

    __slots__ = ("_hash", "_lines", "_pending", "count", "whole")

    def __init__(self, *, whole: bool = False) -> None:
        self.count = 0
        self.whole = whole
        self._hash = blake2b(digest_size=16)
        self._lines: deque[str] = deque(maxlen=None if whole else LAST)
        self._pending: list[str] = []

    def add(self, what: str, detail: str = "") -> None:
        """Note one event, at Trio's present time; `detail` is for the reader and does not count for the hash."""
        self.count += 1
        line = f"{trio.current_time()!r} {what}"
        self._lines.append(f"{line} {detail}" if detail else line)
        self.mix(line)

    def remark(self, what: str) -> None:
        """A line for the reader that does not count for the hash."""
        self._lines.append(f"{trio.current_time()!r} {what}")

    def mix(self, what: str) -> None:
        """Let something count for the hash that nobody will want to read."""
        self._pending.append(what)
        if len(self._pending) >= _CHUNK:
            self._flush()

    def lines(self) -> tuple[str, ...]:
        """The events, or the last of them."""
        return tuple(self._lines)

    def hexdigest(self) -> str:
        """The hash of all so far."""
        self._flush()
        return self._hash.hexdigest()

    def _flush(self) -> None:
        self._hash.update("\n".join([*self._pending, ""]).encode())
        self._pending.clear()
