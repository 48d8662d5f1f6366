"""What travels on a link once its handshake is over: bodies of sealed batches, in order (section 8, *Batches*; D-19).

Rules
- A body, of a request or of an answer, is one sealed v2 frame of type `batch` or `session_rekey`; a
  `session_rekey{update}` may stand before the batch in the same body.
- Bodies are written in the order in which they were sealed; streams may bring them in another one. `arrived` lets them
  out in the order of their sequence, each with the key (the stream) that it came with.
- A batch is signed before it is sealed, and the identity key is not here: `to_sign` says what, `seal` takes the
  signature.
- Nothing of a batch is given out before its signature, its names and its time were checked.
- The initiator asks for the dh re-key every 24 h, with no other request outstanding, and says `dh_done` in the next
  request; the responder answers the former with its half, the latter with an empty batch.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from norc_actors.ids import ServerId

from .batches import Ordered, batch_body, batch_map, open_batch
from .codec import decode_as, encode_map
from .errors import malformed
from .frames import V2_HEADER, FederationFrame, split_v2
from .links import LinkEstablished
from .messages.federation import Batch
from .registry import CODES
from .sealed import Opened, Rekeyed

BATCH = CODES["batch"]
K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Arrived(Generic[K]):
    """A body whose turn it is. `frames`: what its batch holds, None if it was no batch that opened. `rekey`: a body
    that has to be sent before any other, as the answer to this request or, at the initiator, as the next request."""

    key: K
    frames: tuple[FederationFrame, ...] | None
    rekey: bytes = b""


class LinkTraffic(Generic[K]):
    """One end of an established link; `own_server` is this end's name, `max_frame` what it takes."""

    __slots__ = ("_keys", "_max_frame", "_ordered", "_own", "link")

    def __init__(self, link: LinkEstablished, *, own_server: ServerId, max_frame: int) -> None:
        self.link = link
        self._own = own_server
        self._max_frame = max_frame
        self._ordered = Ordered(max_frame)
        self._keys: dict[int, tuple[K, bool]] = {}  # by sequence: whose body, and whether it ends with this frame

    # --- Sending ---

    def to_sign(self, frames: bytes, now: int) -> bytes:
        """What `fed-request:v1` signs for a batch of these packed frames."""
        return batch_body(self.link.suite, self._own, self.link.peer, now, frames)

    def seal(self, frames: bytes, now: int, signature: bytes) -> bytes:
        """The body that carries this batch; the next thing that is written. `ProtocolError` 2003 beyond the peer's
        max_frame."""
        batch = batch_map(self._own, self.link.peer, frames, now, signature)
        return b"".join(self.link.sealed.seal(BATCH, encode_map(batch)))

    def dh_due(self, now: float) -> bool:
        """Whether this end should renew the keys."""
        return self.link.sealed.dh_due(now)

    def ask_dh(self, now: float) -> bytes:
        """The body that asks for a dh re-key (the initiator's, when `dh_due` and nothing is outstanding)."""
        return b"".join(self.link.sealed.ask_dh(now))

    # --- Receiving ---

    def arrived(self, key: K, body: bytes, now: float) -> list[Arrived[K]]:
        """What is due now that `body` came; nothing if it is ahead of one that did not come yet.

        `ProtocolError`: the link cannot go on.
        """
        due: list[bytes] = []
        bodies = split_v2(body, self._max_frame)
        for number, frame in enumerate(bodies, 1):
            self._keys[_sequence(frame)] = (key, number == len(bodies))
            due += self._ordered.feed(frame, now)
        return [arrived for frame in due for arrived in self._open(frame, now)]

    def check(self, now: float) -> None:
        """`ProtocolError` 5606 if a body has waited too long for an earlier one."""
        self._ordered.check(now)

    def _open(self, frame: bytes, now: float) -> Iterator[Arrived[K]]:
        key, last = self._keys.pop(_sequence(frame))
        event = self.link.sealed.receive(frame)
        if isinstance(event, Rekeyed):
            if event.frames:
                yield Arrived(key, None, b"".join(event.frames))
            elif last:  # a dh_done; an update has its batch behind it
                yield Arrived(key, ())
        elif not isinstance(event, Opened):
            yield Arrived(key, None)
        elif event.code != BATCH:
            raise malformed(f"a sealed frame of type {event.code:#04x} on a link")
        else:
            batch = decode_as(Batch, event.plaintext).message
            remote, suite = self.link.peer, self.link.suite
            frames = open_batch(batch, suite, self.link.peer_key, remote=remote, own_server=self._own, now=now)
            yield Arrived(key, tuple(frames))


def _sequence(frame: bytes) -> int:
    sequence: int = V2_HEADER.unpack_from(frame)[4]
    return sequence
