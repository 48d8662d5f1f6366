"""The two ends of an HTTP/2 connection between servers, without I/O; the rules of both are in `http2_core`.

`ClientEnd` opens streams as far as both sides' limits allow, the rest waits in the order of the calls. `ServerEnd`
hands out whole requests and answers by itself whatever is none of ours.
"""

from h2.errors import ErrorCodes
from h2.exceptions import NoAvailableStreamIDError, ProtocolError

from norc_actors import limits
from norc_actors.net.http2_core import Answered, End, Event, Headers, Lost, Outgoing, Requested, error_name, length_of
from norc_actors.net.http2_guard import REFUSED
from norc_actors.net.http2_intake import Body

PATH = "/norc-f"
CONTENT_TYPE = b"application/norc-f"


class ClientEnd(End):
    """See the module."""

    def __init__(self, *, authority: str, max_body: int, now: float) -> None:
        super().__init__(client=True, max_body=max_body, now=now)
        self._requests: dict[int, Outgoing] = {}  # streams that are open
        self._status: dict[int, int] = {}
        self._exhausted = False
        self._headers: Headers = [
            (b":method", b"POST"),
            (b":scheme", b"https"),
            (b":authority", authority.encode()),
            (b":path", PATH.encode()),
            (b"content-type", CONTENT_TYPE),
        ]

    def request(self, body: bytes) -> Outgoing:
        """Send a request when its turn comes; `Answered` or `Lost` will name what is returned."""
        outgoing = Outgoing(0, self._headers, body)
        self._out.append(outgoing)
        return outgoing

    def cancel(self, request: Outgoing, now: float) -> None:
        """Nobody wants the answer any more. What has not begun to leave stays here."""
        if request in self._out:
            self._out.remove(request)
        if self._requests.pop(request.stream, None) is not None and not self.ended:
            self._drop(request.stream, now)

    def _begin(self, head: Outgoing) -> bool:
        most = min(self._h2.remote_settings.max_concurrent_streams, limits.HTTP2_STREAMS)
        if len(self._requests) >= most:
            return False
        try:
            head.stream = self._h2.get_next_available_stream_id()
        except NoAvailableStreamIDError:
            self._exhausted = True
            return False
        self._h2.send_headers(head.stream, head.headers, end_stream=not head.body)
        head.begun = True
        self._requests[head.stream] = head
        return True

    def _used_up(self) -> bool:
        return self._exhausted and not self._requests

    def _take_headers(self, stream: int, headers: dict[bytes, bytes], now: float, out: list[Event]) -> None:
        if stream not in self._requests:
            return
        try:
            self._status[stream] = int(headers[b":status"])
        except ValueError as error:
            raise ProtocolError("a status that is no number") from error
        declared = _declared(headers)
        if declared is not None and declared > self._intake.max_body:
            self._too_long(stream, now, out)
        else:
            self._intake.open(stream, declared, now)

    def _completed(self, body: Body, now: float, out: list[Event]) -> None:
        stream = body.stream
        request = self._requests.pop(stream, None)
        status = self._status.pop(stream, 0)
        self._intake.close(stream, now)
        if request is not None:
            if request.sent < len(request.body):  # answered before all was said
                self._forget_outgoing(stream)
                self._reset(stream, ErrorCodes.CANCEL)
            out.append(Answered(request, status, bytes(body.data)))

    def _too_long(self, stream: int, now: float, out: list[Event]) -> None:
        self._give_up(stream, f"an answer of over {self._intake.max_body} bytes", now, out)

    def _stalled(self, stream: int, now: float, out: list[Event]) -> None:
        self._give_up(stream, "an answer that stalled", now, out)

    def _give_up(self, stream: int, why: str, now: float, out: list[Event]) -> None:
        request = self._requests.pop(stream, None)
        self._drop(stream, now)
        if request is not None:
            out.append(Lost(request, why))

    def _drop(self, stream: int, now: float) -> None:
        self._forget_outgoing(stream)
        self._status.pop(stream, None)
        self._intake.close(stream, now)
        self._reset(stream, ErrorCodes.CANCEL)

    def _was_reset(self, stream: int, code: ErrorCodes | int, now: float, out: list[Event]) -> None:
        self._status.pop(stream, None)
        request = self._requests.pop(stream, None)
        if request is not None:
            out.append(Lost(request, error_name(code)))


class ServerEnd(End):
    """See the module. With `plain` (the peer speaks HTTP/2, and nothing of ours) every request is answered with 421."""

    def __init__(self, *, max_body: int, plain: bool, now: float) -> None:
        super().__init__(client=False, max_body=max_body, now=now)
        self._plain = plain
        self._unfinished: set[int] = set()  # refused, while the peer may still send the rest

    def respond(self, stream: int, status: int, body: bytes, now: float) -> None:
        """Answer a request, when its turn comes. One whose stream was reset meanwhile is dropped."""
        if self._intake.get(stream) is not None and not self.ended:
            self._intake.close(stream, now)
            self._out.append(Outgoing(stream, _answer(status, CONTENT_TYPE), body))

    def _begin(self, head: Outgoing) -> bool:
        self._h2.send_headers(head.stream, head.headers, end_stream=not head.body)
        head.begun = True
        return True

    def _sent(self, head: Outgoing) -> None:
        if head.stream in self._unfinished:
            self._unfinished.discard(head.stream)
            self._reset(head.stream, ErrorCodes.NO_ERROR)

    def _take_headers(self, stream: int, headers: dict[bytes, bytes], now: float, out: list[Event]) -> None:
        declared = _declared(headers)
        if self._plain:
            self._refuse(stream, 421, "This is a NORC-F server: ALPN norc-f/2.0 is needed.", now)
        elif headers.get(b":path") != PATH.encode():
            self._refuse(stream, 404, f"There is nothing but {PATH}.", now)
        elif headers.get(b":method") != b"POST":
            self._refuse(stream, 405, f"POST alone is answered at {PATH}.", now)
        elif declared is not None and declared > self._intake.max_body:
            self._too_long(stream, now, out)
        else:
            self._intake.open(stream, declared, now)

    def _completed(self, body: Body, now: float, out: list[Event]) -> None:
        out.append(Requested(body.stream, bytes(body.data)))
        body.data = bytearray()  # the application has it now; its room stays taken until it is answered

    def _too_long(self, stream: int, now: float, out: list[Event]) -> None:
        self._refuse(stream, 413, f"A body has at most {self._intake.max_body} bytes.", now)

    def _stalled(self, stream: int, now: float, out: list[Event]) -> None:
        self._refuse(stream, 408, "The body took too long.", now)

    def _refuse(self, stream: int, status: int, text: str, now: float) -> None:
        self._guard.charge(REFUSED, f"a request answered with {status}")
        self._intake.close(stream, now)
        self._unfinished.add(stream)
        body = text.encode() + b"\n"
        headers = [*_answer(status, b"text/plain; charset=utf-8"), length_of(body)]
        if status == 405:
            headers.append((b"allow", b"POST"))
        self._out.append(Outgoing(stream, headers, body))

    def _ended_unexpected(self, stream: int) -> None:
        self._unfinished.discard(stream)

    def _was_reset(self, stream: int, code: ErrorCodes | int, now: float, out: list[Event]) -> None:
        self._unfinished.discard(stream)


def _answer(status: int, content_type: bytes) -> Headers:
    return [(b":status", b"%d" % status), (b"content-type", content_type)]


def _declared(headers: dict[bytes, bytes]) -> int | None:
    """The announced length of the body; h2 has checked that it is a number and will hold the peer to it."""
    text = headers.get(b"content-length")
    return None if text is None else int(text)
