"""HTTP/2 frames judged by their headers, before the library sees them.

h2 keeps the protocol's rules, but waits for the whole of a frame before it says that the frame is too long, joins
header blocks before their size is judged, remembers every setting that it is told, and answers floods as long as they
last. So every frame's nine bytes are looked at first.

Rules
- A frame is refused by its header, before its payload is waited for: longer than `HTTP2_FRAME_BYTES`, a header block
  over `HTTP2_HEADER_BYTES` or `HTTP2_HEADER_FRAMES`, more than `HTTP2_SETTINGS` settings.
- *Waste* is counted: points for frames that carry no body, more for those that make us work (a reset stream, an empty
  frame). Points are forgiven by time (`HTTP2_WASTE_PER_SECOND`) and by what is useful (`earn`): an exchange that
  completes, a frame of some size that we send. Over `HTTP2_WASTE` the connection is over: `ENHANCE_YOUR_CALM`. So an
  honest peer, whose frames belong to exchanges, never meets the limit at any speed, and a flood costs at most the
  limit and the rate: rapid resets (CVE-2023-44487), settings, pings, empty or one-byte frames, padding, windows opened
  by single bytes.
- What is kept: nine bytes, some integers. Bytes in pieces are judged as the same bytes whole.
"""

from h2.errors import ErrorCodes

from norc_actors import limits

_PREFACE = len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
_HEADER = 9
_DATA, _HEADERS, _PRIORITY, _RESET, _SETTINGS, _PUSH, _PING, _GOAWAY, _WINDOW, _CONTINUATION = range(10)
_END_STREAM, _END_HEADERS, _PADDED = 0x1, 0x4, 0x8
_PADDING = 256  # at most
_POINTS = {_HEADERS: 2, _PRIORITY: 1, _RESET: 10, _SETTINGS: 20, _PUSH: 10, _PING: 2, _WINDOW: 1, _CONTINUATION: 5}
_UNKNOWN = 2  # and GOAWAY, which ends the connection anyway
SMALL = 256
"""A DATA frame below this, the last of a body apart, carries less than it costs."""

EXCHANGE = 4
"""Points that an exchange earns: its headers, and a reset of the rest that nobody needs."""
DATA_FRAME = 2
"""Points that a DATA frame which we send earns, unless it is small: the peer opens two windows for it."""
REFUSED = 10
"""Points that a refused request costs."""


class GuardError(Exception):
    """The connection is to be closed with `code`."""

    def __init__(self, code: ErrorCodes, text: str) -> None:
        super().__init__(text)
        self.code = code


class FrameGuard:
    """See the module."""

    __slots__ = ("_block", "_block_frames", "_pending", "_skip", "_waste", "_when")

    def __init__(self, *, server: bool, now: float) -> None:
        self._skip = _PREFACE if server else 0  # h2 checks what it says
        self._pending = b""
        self._block = self._block_frames = 0
        self._waste = 0.0
        self._when = now

    def look(self, data: bytes, now: float) -> None:
        """Judge the frames that begin in `data`. Raises `GuardError`."""
        self._waste = max(0.0, self._waste - (now - self._when) * limits.HTTP2_WASTE_PER_SECOND)
        self._when = now
        at = self._skip
        if self._pending:
            data = self._pending + data
        end = len(data)
        while at + _HEADER <= end:
            length = int.from_bytes(data[at : at + 3], "big")
            self._judge(data[at + 3], data[at + 4], length)
            at += _HEADER + length
        self._pending = data[at:]
        self._skip = max(0, at - end)

    def earn(self, points: int) -> None:
        """Something useful was done."""
        self._waste -= points
        if self._waste < 0:
            self._waste = 0.0

    def charge(self, points: int, what: str) -> None:
        """Something useless was done. Raises `GuardError`."""
        self._waste += points
        if self._waste > limits.HTTP2_WASTE:
            raise GuardError(ErrorCodes.ENHANCE_YOUR_CALM, f"too much that serves no request, {what} at last")

    def _judge(self, kind: int, flags: int, length: int) -> None:
        if length > limits.HTTP2_FRAME_BYTES:
            raise GuardError(ErrorCodes.FRAME_SIZE_ERROR, f"a frame of {length} bytes")
        if kind == _DATA:
            if flags & _PADDED:
                length -= _PADDING
            if length < SMALL and (flags & _PADDED or not flags & _END_STREAM):
                self.charge(2 if length == 0 else 1, "small or padded data")
            return
        if kind in (_HEADERS, _PUSH, _CONTINUATION):
            self._header_block(kind, flags, length)
        elif kind == _SETTINGS and length > 6 * limits.HTTP2_SETTINGS:
            raise GuardError(ErrorCodes.ENHANCE_YOUR_CALM, f"{length // 6} settings in one frame")
        self.charge(_POINTS.get(kind, _UNKNOWN), f"frames of type {kind}")

    def _header_block(self, kind: int, flags: int, length: int) -> None:
        if kind != _CONTINUATION:
            self._block = self._block_frames = 0
        self._block += length
        self._block_frames += 1
        if self._block > limits.HTTP2_HEADER_BYTES or self._block_frames > limits.HTTP2_HEADER_FRAMES:
            raise GuardError(ErrorCodes.ENHANCE_YOUR_CALM, f"over {limits.HTTP2_HEADER_BYTES} bytes of headers")
        if flags & _END_HEADERS:
            self._block = self._block_frames = 0
