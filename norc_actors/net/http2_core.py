"""One end of an HTTP/2 connection (RFC 9113), without I/O: h2 with our limits around it.

Rules
- Bytes in (`receive`), events out; `frames_to_send` and `replies` give bytes. No bytes raise: what breaks the rules is
  the event `Ended`, after which there are no more, and a GOAWAY to send.
- One path, `POST /norc-f`, bodies opaque and whole. A server answers all else with a status of its own.
- *Order*: headers and bodies leave in the order of the calls, each body whole before the next begins, so that a peer
  can open sealed frames as they come. A peer that gives one body no window has all of them wait: it slows itself.
- A body over `max_body` is refused before it is buffered: by its announced length at once (413), else when it exceeds.
- What is held is bounded: see `http2_intake` for bodies, `http2_guard` for frames. h2 keeps the ends of
  `HTTP2_CLOSED_STREAMS` streams, and its compression table stays small, whatever the peer offers.
- A stream that the peer has not ended is reset, without error, after its answer.

The two ends, a client's and a server's, are in `http2_ends`. Time is passed in.
"""

from collections import deque
from contextlib import suppress
from dataclasses import dataclass

import h2.events
from h2.config import H2Configuration
from h2.connection import ConnectionState, H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import NoSuchStreamError, ProtocolError
from h2.settings import SettingCodes, Settings
from hpack import NeverIndexedHeaderTuple

from norc_actors import limits
from norc_actors.net.http2_guard import DATA_FRAME, EXCHANGE, SMALL, FrameGuard, GuardError
from norc_actors.net.http2_intake import Body, Intake

_ORDERLY, _BROKEN, _CUT, _ABUSED = 1000, 1002, 1006, 1008

Headers = list[tuple[bytes, bytes]]


class Outgoing:
    """A body that is on its way out, and its headers. For a client also the request's handle."""

    __slots__ = ("begun", "body", "headers", "sent", "since", "stream")

    def __init__(self, stream: int, headers: Headers, body: bytes) -> None:
        self.stream = stream  # 0: not opened yet
        # A length is worth its bytes when room has to be made for the body.
        self.headers = [*headers, length_of(body)] if len(body) > limits.HTTP2_WINDOW_BYTES else headers
        self.body = body
        self.sent = 0
        self.begun = False
        self.since: float | None = None  # when its turn came

    def overdue(self, now: float) -> bool:
        """Whether the peer leaves it too little window for too long."""
        if self.since is None:
            return False
        return now - self.since > limits.HTTP2_STALL_SECONDS + self.sent / limits.HTTP2_LEAST_BYTES_PER_SECOND


@dataclass(frozen=True, slots=True)
class Ready:
    """The peer's settings have come: it speaks HTTP/2, and (a server) has accepted our certificate."""


@dataclass(frozen=True, slots=True)
class Requested:
    """A server got a whole request."""

    stream: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Answered:
    """A client got the whole answer to `request`."""

    request: Outgoing
    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Lost:
    """The server reset a client's `request`; `why` is HTTP/2's name for it."""

    request: Outgoing
    why: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The connection is over; `code` is WebSocket's, see `ClosedError`. `by_peer`: it sent GOAWAY."""

    code: int
    reason: str
    by_peer: bool = False


Event = Ready | Requested | Answered | Lost | Ended


class _Connection(H2Connection):
    MAX_CLOSED_STREAMS = limits.HTTP2_CLOSED_STREAMS


class End:
    """What both ends have in common; see the module."""

    def __init__(self, *, client: bool, max_body: int, now: float) -> None:
        self.ended = False
        self._h2 = _Connection(
            H2Configuration(
                client_side=client,
                header_encoding=None,
                validate_outbound_headers=False,  # they are ours, and always the same
                normalize_outbound_headers=False,
            )
        )
        self._guard = FrameGuard(server=not client, now=now)
        self._intake = Intake(max_body, self._widen)
        self._out: deque[Outgoing] = deque()
        self._unreturned = 0  # bytes received that the connection's window has not got back
        self._window = limits.HTTP2_STREAMS * limits.HTTP2_WINDOW_BYTES + max_body
        self._heard = now
        self._pinged = False
        self._ready = False
        self._h2.local_settings = Settings(
            client=client,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.INITIAL_WINDOW_SIZE: limits.HTTP2_WINDOW_BYTES,
                SettingCodes.MAX_FRAME_SIZE: limits.HTTP2_FRAME_BYTES,
                SettingCodes.MAX_CONCURRENT_STREAMS: limits.HTTP2_STREAMS,
                SettingCodes.MAX_HEADER_LIST_SIZE: limits.HTTP2_HEADER_BYTES,
            },
        )
        self._h2.decoder.max_header_list_size = limits.HTTP2_HEADER_BYTES
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(self._window - 65535)

    @property
    def unsent(self) -> int:
        """Bytes of bodies that wait for their turn or for a window, and one more for each body."""
        return sum(len(one.body) - one.sent + 1 for one in self._out)

    def receive(self, data: bytes, now: float) -> list[Event]:
        """What `data` brings about."""
        if self.ended:
            return []
        self._heard, self._pinged = now, False
        out: list[Event] = []
        try:
            self._guard.look(data, now)
            for event in self._h2.receive_data(data):
                self._take(event, now, out)
                if self.ended:
                    break
            else:
                self._return_window()
        except GuardError as error:
            self._say_goodbye(error.code)
            out.append(Ended(_ABUSED, str(error)))
        except ProtocolError as error:
            if not self._over():  # else h2 has written the GOAWAY itself
                self._h2.close_connection(error.error_code)
            self.ended = True
            out.append(Ended(_BROKEN, str(error)))
        return out

    def replies(self) -> bytes:
        """What the protocol itself answers; to be sent before the next `frames_to_send`."""
        return self._h2.data_to_send()

    def frames_to_send(self, now: float) -> bytes:
        """Frames in their order, about `HTTP2_WRITE_BYTES` at most; b"" if nothing can go."""
        written = 0
        while self._out and written < limits.HTTP2_WRITE_BYTES and not self.ended:
            head = self._out[0]
            if head.since is None:
                head.since = now
            if not head.begun and not self._begin(head):
                head.since = None  # it waits for others of ours, not for a window
                break
            before = head.sent
            whole = self._push(head, limits.HTTP2_WRITE_BYTES - written)
            written += head.sent - before + 1
            if not whole:
                break
            self._out.popleft()
            self._sent(head)
        return self._h2.data_to_send()

    def check(self, now: float) -> list[Event]:
        """To be called every `HTTP2_CHECK_SECONDS`: pings a silent peer, ends what is stalled."""
        out: list[Event] = []
        if self.ended:
            return out
        silence = now - self._heard
        if silence >= limits.DEAD_PEER_SECONDS:
            self._end(Ended(_CUT, f"silent for {silence:.0f} s"), out)
        elif self._out and self._out[0].overdue(now):
            self._end(Ended(_ABUSED, "it takes nothing"), out)
        elif self._used_up():
            self._say_goodbye(ErrorCodes.NO_ERROR)
            out.append(Ended(_ORDERLY, "all stream numbers are used"))
        else:
            if silence >= limits.PING_SECONDS and not self._pinged:
                self._pinged = True
                self._h2.ping(bytes(8))
            self._end_stalled(now, out)
        return out

    def goodbye(self) -> None:
        """Close in order: a GOAWAY."""
        if not self.ended:
            self._say_goodbye(ErrorCodes.NO_ERROR)

    # --- for the two ends ---

    def _begin(self, head: Outgoing) -> bool:
        """Send its headers; False if it cannot be its turn yet."""
        raise NotImplementedError

    def _sent(self, head: Outgoing) -> None:
        """It has left, whole."""

    def _used_up(self) -> bool:
        return False

    def _take_headers(self, stream: int, headers: dict[bytes, bytes], now: float, out: list[Event]) -> None:
        raise NotImplementedError

    def _completed(self, body: Body, now: float, out: list[Event]) -> None:
        raise NotImplementedError

    def _too_long(self, stream: int, now: float, out: list[Event]) -> None:
        raise NotImplementedError

    def _stalled(self, stream: int, now: float, out: list[Event]) -> None:
        raise NotImplementedError

    def _was_reset(self, stream: int, code: ErrorCodes | int, now: float, out: list[Event]) -> None:
        raise NotImplementedError

    def _ended_unexpected(self, stream: int) -> None:
        """The peer has ended a stream of which nothing more is wanted."""

    def _forget_outgoing(self, stream: int) -> None:
        for item in self._out:
            if item.stream == stream:
                self._out.remove(item)
                return

    # --- within ---

    def _take(self, event: h2.events.Event, now: float, out: list[Event]) -> None:
        match event:
            case h2.events.DataReceived():
                self._take_data(event, now, out)
            case h2.events.RequestReceived() | h2.events.ResponseReceived():
                self._take_headers(event.stream_id, dict(event.headers), now, out)
            case h2.events.StreamEnded(stream_id=stream):
                body = self._intake.get(stream)
                if body is None:
                    self._ended_unexpected(stream)
                else:
                    body.complete = True
                    self._guard.earn(EXCHANGE)
                    self._completed(body, now, out)
            case h2.events.StreamReset(stream_id=stream, error_code=code):
                self._forget_outgoing(stream)
                self._was_reset(stream, ErrorCodes.CANCEL if code is None else code, now, out)
                self._intake.close(stream, now)
            case h2.events.RemoteSettingsChanged():
                if self._h2.encoder.header_table_size > limits.HTTP2_HEADER_TABLE_BYTES:
                    self._h2.encoder.header_table_size = limits.HTTP2_HEADER_TABLE_BYTES
                if not self._ready:
                    self._ready = True
                    out.append(Ready())
            case h2.events.ConnectionTerminated(error_code=code):
                self.ended = True
                if code == ErrorCodes.NO_ERROR:
                    out.append(Ended(_ORDERLY, "the peer closed the connection", by_peer=True))
                else:
                    out.append(Ended(_BROKEN, f"the peer closed the connection: {error_name(code)}", by_peer=True))

    def _take_data(self, event: h2.events.DataReceived, now: float, out: list[Event]) -> None:
        self._unreturned += event.flow_controlled_length
        body = self._intake.get(event.stream_id)
        if body is not None and not self._intake.add(body, event.data, event.flow_controlled_length, now):
            self._too_long(event.stream_id, now, out)

    def _push(self, head: Outgoing, most: int) -> bool:
        """Send of its body what windows and `most` allow; whether it is all gone."""
        size = len(head.body)
        view = memoryview(head.body)
        connection, frame = self._h2, limits.HTTP2_FRAME_BYTES
        while head.sent < size and most > 0:
            room = min(connection.local_flow_control_window(head.stream), frame)
            if room <= 0:
                return False
            end = min(head.sent + room, size)
            connection.send_data(head.stream, view[head.sent : end], end_stream=end == size)
            if end == size or end - head.sent >= SMALL:
                self._guard.earn(DATA_FRAME)
            most -= end - head.sent
            head.sent = end
        return head.sent == size

    def _end_stalled(self, now: float, out: list[Event]) -> None:
        try:
            for stream in self._intake.overdue(now):
                self._stalled(stream, now, out)
        except GuardError as error:
            self._end(Ended(_ABUSED, str(error)), out)

    def _over(self) -> bool:
        """Whether a GOAWAY has been read already, though its event is still to come: nothing may be written then."""
        return self._h2.state_machine.state is ConnectionState.CLOSED

    def _widen(self, stream: int, size: int) -> None:
        if not self._over():
            with suppress(NoSuchStreamError):  # it ended in the same bytes
                self._h2.increment_flow_control_window(size, stream)

    def _reset(self, stream: int, code: ErrorCodes) -> None:
        if not self._over():
            with suppress(NoSuchStreamError):
                self._h2.reset_stream(stream, code)

    def _return_window(self) -> None:
        """The streams' windows bind; the connection's is given back by halves."""
        if self._unreturned >= self._window // 2 and not self._over():
            self._h2.increment_flow_control_window(self._unreturned)
            self._unreturned = 0

    def _end(self, event: Ended, out: list[Event]) -> None:
        self._say_goodbye(ErrorCodes.ENHANCE_YOUR_CALM)
        out.append(event)

    def _say_goodbye(self, code: ErrorCodes) -> None:
        self.ended = True
        self._out.clear()
        self._h2.close_connection(code)


def length_of(body: bytes) -> tuple[bytes, bytes]:
    """The header; never indexed, since it would fill the table with numbers that do not come again."""
    return NeverIndexedHeaderTuple(b"content-length", b"%d" % len(body))


def error_name(code: ErrorCodes | int | None) -> str:
    return code.name if isinstance(code, ErrorCodes) else f"error {code}"
