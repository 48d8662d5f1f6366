"""Bodies that come in, and how much of them may: the memory of one HTTP/2 connection is bounded here.

Rules
- Every stream may send `HTTP2_WINDOW_BYTES` of a body at once. Room for the rest is taken out of one pool of
  `max_body` bytes for the whole connection, and the stream's window is opened by it: at the request's headers if they
  say how long the body is, else when half of the first room is used. Without room the stream waits in line; nothing
  else does.
- So all bodies of a connection, those that the application still answers included, have at most
  `HTTP2_STREAMS · HTTP2_WINDOW_BYTES + max_body` bytes, and whoever is first in line always gets what it needs, since
  a body longer than `max_body` is refused: no two half-sent bodies wait for each other for ever.
- Padding is not kept, and what it took from a window is given back.
- A body that is incomplete must end within `HTTP2_STALL_SECONDS` and the time that what came of it takes at
  `HTTP2_LEAST_BYTES_PER_SECOND`; in line no time counts.
"""

from collections import deque
from collections.abc import Callable

from norc_actors import limits


class Body:
    """A body that is coming in, or is held until it is answered."""

    __slots__ = ("complete", "data", "declared", "reserved", "since", "stream", "wanted", "window")

    def __init__(self, stream: int, declared: int | None, now: float) -> None:
        self.stream = stream
        self.declared = declared
        self.data = bytearray()
        self.window = limits.HTTP2_WINDOW_BYTES  # what the peer may still send, padding included
        self.reserved = 0
        self.wanted = 0  # waits in line for so much
        self.complete = False
        self.since = now

    def overdue(self, now: float) -> bool:
        """Whether it takes too long."""
        if self.complete or self.wanted:
            return False
        allowed = limits.HTTP2_STALL_SECONDS + len(self.data) / limits.HTTP2_LEAST_BYTES_PER_SECOND
        return now - self.since > allowed


class Intake:
    """See the module. `widen(stream, bytes)` opens a stream's window."""

    def __init__(self, max_body: int, widen: Callable[[int, int], None]) -> None:
        self.max_body = max_body
        self._pool = max_body
        self._widen = widen
        self._line: deque[Body] = deque()
        self._bodies: dict[int, Body] = {}

    def get(self, stream: int) -> Body | None:
        """The stream's body, if one is expected or held."""
        return self._bodies.get(stream)

    def open(self, stream: int, declared: int | None, now: float) -> None:
        """A body begins; `declared` is at most `max_body`."""
        body = self._bodies[stream] = Body(stream, declared, now)
        if declared is not None and declared > limits.HTTP2_WINDOW_BYTES:
            self._want(body, declared, now)

    def add(self, body: Body, data: bytes, consumed: int, now: float) -> bool:
        """More of it, `consumed` bytes with padding; whether it is still no longer than `max_body`."""
        body.window -= consumed
        body.data += data
        if len(body.data) > self.max_body:
            return False
        unknown = body.declared is None and not body.reserved and not body.wanted
        if unknown and len(body.data) > limits.HTTP2_WINDOW_BYTES // 2:
            self._want(body, self.max_body, now)
        elif len(data) < consumed:
            self._refill(body)
        return True

    def close(self, stream: int, now: float) -> None:
        """The body is answered, refused or reset: its room is free for the next in line."""
        body = self._bodies.pop(stream, None)
        if body is None:
            return
        self._pool += body.reserved
        if body.wanted:
            self._line.remove(body)
        while self._line and self._pool >= self._line[0].wanted:
            self._grant(self._line.popleft(), now)

    def overdue(self, now: float) -> list[int]:
        """Streams whose bodies take too long."""
        return [body.stream for body in self._bodies.values() if body.overdue(now)]

    def _want(self, body: Body, size: int, now: float) -> None:
        body.wanted = size
        if self._line or self._pool < size:
            self._line.append(body)
        else:
            self._grant(body, now)

    def _grant(self, body: Body, now: float) -> None:
        body.reserved, body.wanted = body.wanted, 0
        body.since = now
        self._pool -= body.reserved
        self._refill(body)

    def _refill(self, body: Body) -> None:
        """Open the window by what is missing for the rest of what the body has room for."""
        room = max(body.reserved, limits.HTTP2_WINDOW_BYTES) - len(body.data)
        if not body.complete and body.window < room:
            self._widen(body.stream, room - body.window)
            body.window = room
