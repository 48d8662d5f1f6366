"""A sealed connection as the server sees it: messages in and out, the state table, the seals (section 4).

Frames are sealed and handed to the socket in one step without an await between, and the socket keeps the order of its
writers, so the order of the seals is the order on the wire, whoever sends.

A device's own `error` is never answered, or two ends could go on telling each other so: it is logged, and ends the
connection if its code does.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import structlog

from norc_actors.net.errors import ClosedError
from norc_actors.net.websocket import WebSocket
from norc_actors.protocol.codec import Received, code_of, decode, encode
from norc_actors.protocol.errors import info_of
from norc_actors.protocol.messages import ErrorMessage
from norc_actors.protocol.schema import Message
from norc_actors.protocol.sealed import Discarded, Opened, Rekeyed, SealedSession
from norc_actors.protocol.states import Link

log = structlog.get_logger("norc.channel")

_GIVEN_UP = 1000


@dataclass(frozen=True, slots=True)
class Encoded:
    """A message that is encoded already: its type code and bytes."""

    code: int
    data: bytes


class Channel:
    """See the module. `discarded` counts frames that did not open and got no answer (row B65)."""

    __slots__ = ("_sealed", "_socket", "discarded", "link")

    def __init__(self, socket: WebSocket, sealed: SealedSession, link: Link) -> None:
        self._socket = socket
        self._sealed = sealed
        self.link = link
        self.discarded = 0

    async def receive(self) -> Received[Message]:
        """The next message. `ProtocolError`: the connection has to end; `ClosedError`: the peer is gone."""
        while True:
            event = self._sealed.receive(await self._socket.receive())
            match event:
                case Opened(code=code, plaintext=plaintext):
                    self.link.received(code)
                    received = decode(code, plaintext)
                    if not isinstance(received.message, ErrorMessage):
                        return received
                    self._told(received.message)
                case Rekeyed(frames=frames):
                    if frames:
                        await self._socket.send_many(frames)
                case Discarded():
                    self.discarded += 1

    def _told(self, error: ErrorMessage) -> None:
        log.info("the device says that something is wrong", code=error.error_code)
        if info_of(error.error_code).action == "close":
            raise ClosedError(_GIVEN_UP)

    async def send(self, *messages: Message) -> None:
        """Seal and send, in this order. Raises `ClosedError` when the peer is gone."""
        await self.send_encoded([Encoded(code_of(type(message)), encode(message)) for message in messages])

    async def pass_on(self, received: Received[Message]) -> None:
        """Send what another device made, as it came: its signature covers members that we do not know, too."""
        await self.send_encoded([Encoded(code_of(type(received.message)), received.data)])

    def fits(self, length: int) -> bool:
        """Whether a message of so many bytes is not longer than the peer takes."""
        return self._sealed.fits(length)

    async def send_encoded(self, messages: Iterable[Encoded]) -> None:
        """Like `send`, all in one write. What the peer's max_frame does not allow is left out: a connection that broke
        over it would break again over the same message."""
        frames: list[bytes] = []
        for message in messages:
            if not self._sealed.fits(len(message.data)):
                log.warning("longer than the peer takes", type=message.code, bytes=len(message.data))
                continue
            self.link.sent(message.code)
            frames += self._sealed.seal(message.code, message.data)
        await self._socket.send_many(frames)

    def rest(self) -> None:
        """Nothing is going on: give back what the next frame can make again."""
        self._sealed.rest()

    async def close(self, code: int, reason: str) -> None:
        """End the WebSocket and wipe the keys."""
        self.link.close()
        self._sealed.close()
        await self._socket.close(code, reason)
