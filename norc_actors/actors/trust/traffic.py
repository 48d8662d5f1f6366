"""From signed maps to frames and back, for what trust says over links."""

from collections.abc import Iterable, Sequence

import structlog

from norc_actors.actors.federation.requests import Frames
from norc_actors.ids import Random, new_uuid
from norc_actors.protocol.codec import Received, decode, encode, encode_map
from norc_actors.protocol.errors import Code, ProtocolError
from norc_actors.protocol.frames import FederationFrame
from norc_actors.protocol.messages.federation import FederationError
from norc_actors.protocol.registry import CODES
from norc_actors.protocol.schema import Message, SignedMap

log = structlog.get_logger("norc.trust")

_ERROR = CODES["federation_error"]


def frames_of(messages: Iterable[SignedMap]) -> Frames:
    """Frames of signed messages, in order."""
    return tuple((CODES[str(message["type"])], encode_map(message)) for message in messages)


def said_in(frames: Sequence[FederationFrame]) -> list[Received[Message]]:
    """The messages of an answer, refusals left out. `ProtocolError` for what is none."""
    return [decode(frame.type, frame.body) for frame in frames if frame.type != _ERROR]


def refusal_in(frames: Sequence[FederationFrame]) -> int | None:
    """The code of the first refusal of an answer."""
    for frame in frames:
        if frame.type == _ERROR:
            message = decode(frame.type, frame.body).message
            if isinstance(message, FederationError):
                return message.error_code
    return None


def refuse(code: Code, received: Received[Message], random: Random, now: float) -> tuple[int, bytes]:
    """The frame that refuses a message, under its request_id if it has one."""
    named = getattr(received.message, "request_id", None)
    request_id = named if isinstance(named, str) else new_uuid(random)
    return _ERROR, encode(FederationError.of(code, now=now, request_id=request_id))


def read(frames: Sequence[FederationFrame], remote: str) -> list[Received[Message]]:
    """As `said_in`, but what is malformed is logged and left out: for answers that several questions share."""
    try:
        return said_in(frames)
    except ProtocolError as error:
        log.warning("malformed answer", remote=remote, why=str(error))
        return []
