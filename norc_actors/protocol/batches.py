"""Batches of federation frames: one signature for up to 256 of them (section 8, *Batches*; F§7.2; D-19, D-46; row
`B98`).

```
signature = Sign(identity key, "fed-request:v1", len‖"batch" ‖ len‖requesting ‖ len‖target ‖ timestamp:u64 ‖ H(frames))
```
Rules
- H is the hash of the link's suite.
- `frames` is federation frames in a row (`ver` 2 at 2.0): at most 256 and 1 MiB, a longer frame alone. An empty batch
  is an answer that says nothing.
- `requesting` is who sends this batch, also in an answer. Nothing in it is acted on before it verifies; the names must
  be the link's two ends, and a timestamp off by more than 60 s is refused (5605).
- Sealed frames of a link may come on any stream: `Ordered` lets them out by `sequence` and holds at most 32 that are
  ahead, for at most 10 s; beyond, the link closes.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from norc_actors.crypto.errors import BadSignatureError
from norc_actors.crypto.layout import lv, u64
from norc_actors.crypto.signatures import Signer, verify
from norc_actors.crypto.suites import Suite
from norc_actors.ids import InvalidIdError, ServerId, UserId, parse_server_id, parse_user_id, server_of
from norc_actors.limits import (
    BATCH_BYTES,
    BATCH_FRAMES,
    BATCH_SKEW_SECONDS,
    DEFAULT_FEDERATION_FRAME,
    FRAMES_AHEAD,
    FRAMES_AHEAD_SECONDS,
)

from .canonical import Value
from .errors import Code, ProtocolError, malformed
from .frames import FederationFrame, decode_v2, encode_federation, federation_stream
from .messages.federation import Batch
from .schema import SignedMap

BATCH_VERSION = 2


def batch_body(suite: Suite, requesting: str, target: str, timestamp: int, frames: bytes) -> bytes:
    """What `fed-request:v1` signs."""
    return lv(b"batch") + lv(requesting.encode()) + lv(target.encode()) + u64(timestamp) + suite.hash(frames)


def pack(frames: Iterable[tuple[int, bytes]]) -> Iterator[bytes]:
    """(type code, body) in order as the `frames` of as few batches as the limits allow."""
    held: list[bytes] = []
    size = 0
    for code, body in frames:
        frame = encode_federation(BATCH_VERSION, code, body)
        if held and (len(held) >= BATCH_FRAMES or size + len(frame) > BATCH_BYTES):
            yield b"".join(held)
            held, size = [], 0
        held.append(frame)
        size += len(frame)
    if held:
        yield b"".join(held)


def make_batch(key: Signer, suite: Suite, requesting: str, target: str, frames: bytes, now: int) -> SignedMap:
    """The `batch` map around packed frames (empty: nothing to say), signed."""
    signature = key.sign("fed-request:v1", batch_body(suite, requesting, target, now, frames))
    return batch_map(requesting, target, frames, now, signature)


def batch_map(requesting: str, target: str, frames: bytes, now: int, signature: bytes) -> SignedMap:
    """The `batch` map around packed frames and a signature over `batch_body`."""
    return {
        "type": "batch",
        "requesting": requesting,
        "target": target,
        "timestamp": now,
        "frames": frames,
        "signature": signature,
    }


def open_batch(
    batch: Batch, suite: Suite, remote_key: bytes, *, remote: str, own_server: str, now: float
) -> Sequence[FederationFrame]:
    """The frames of a batch that `remote` signed for this server. `ProtocolError`: 5206 for other names, 5605 for
    another time, 5604 for a signature that does not hold, 3001 and 5602 for what is inside."""
    if (batch.requesting, batch.target) != (remote, own_server):
        raise ProtocolError(Code.WRONG_TARGET, f"a batch from {batch.requesting} to {batch.target}")
    body = batch_body(suite, batch.requesting, batch.target, batch.timestamp, batch.frames)
    try:
        verify(remote_key, "fed-request:v1", body, batch.signature)
    except BadSignatureError as error:
        raise ProtocolError(Code.BAD_SIGNATURE, "a batch") from error
    if abs(now - batch.timestamp) > BATCH_SKEW_SECONDS:
        raise ProtocolError(Code.CLOCK_SKEW, f"{batch.timestamp}, here it is {int(now)}")
    stream = federation_stream(DEFAULT_FEDERATION_FRAME)
    frames = stream.feed(batch.frames)
    if not stream.between_frames or any(frame.version != BATCH_VERSION for frame in frames):
        raise malformed("a batch with half a frame, or one of another version")
    if len(frames) > BATCH_FRAMES or (len(frames) > 1 and len(batch.frames) > BATCH_BYTES):
        raise ProtocolError(Code.MESSAGE_TOO_LARGE, f"{len(frames)} frames of {len(batch.frames)} bytes in a batch")
    return frames


# --- Messages of NORC-C on a link ---


class Addressed(NamedTuple):
    """A NORC-C map that travelled between servers: the map as its device made it, and for whom."""

    message: SignedMap
    origin_server: ServerId
    target_server: ServerId
    target_users: tuple[UserId, ...]


LINK_MEMBERS = ("origin_server", "target_server", "target_users")


def to_link(message: Mapping[str, Value], origin: str, target: str, users: Sequence[str]) -> SignedMap:
    """The map with the three members that a link adds; `ValueError` if it has one of them by itself."""
    if not set(LINK_MEMBERS).isdisjoint(message):
        raise ValueError("this map is addressed already")
    return {**message, "origin_server": origin, "target_server": target, "target_users": [*users]}


def from_link(message: Mapping[str, Value], *, own_server: str) -> Addressed:
    """The map without what the link added: only then is a signature checked, or the map passed on.

    `ProtocolError` 3001 for members that are missing or no names, 5206 for another target and for users of another
    server.
    """
    origin, target, users = (message.get(name) for name in LINK_MEMBERS)
    try:
        if type(origin) is not str or type(target) is not str or type(users) is not list:
            raise malformed("a message on a link names its origin, its target and its users")
        names = tuple(parse_user_id(user if type(user) is str else "") for user in users)
        addressed = parse_server_id(origin), parse_server_id(target), names
    except InvalidIdError as error:
        raise malformed("no server or user") from error
    if target != own_server or any(server_of(user) != own_server for user in names):
        raise ProtocolError(Code.WRONG_TARGET, f"for {target}")
    plain: SignedMap = {name: value for name, value in message.items() if name not in LINK_MEMBERS}
    return Addressed(plain, *addressed)


# --- Order ---


class Ordered:
    """Sealed frames of one direction of a link in the order of their `sequence`, whatever stream they came on."""

    def __init__(self, max_frame: int = DEFAULT_FEDERATION_FRAME) -> None:
        self._max_frame = max_frame
        self._next: int | None = None
        self._ahead: dict[int, tuple[float, bytes]] = {}

    def feed(self, data: bytes, now: float) -> list[bytes]:
        """The frames that are due now. `ProtocolError` 5606 when too many or too old ones wait: close the link.

        The first frame sets where the direction begins: until its answer no other request is sent. What lies behind
        (a repetition) is let out too: the sealed session counts it as a failure.
        """
        self.check(now)
        sequence = decode_v2(data, self._max_frame).sequence
        if self._next is None:
            self._next = sequence
        if sequence > self._next:
            if len(self._ahead) >= FRAMES_AHEAD or sequence in self._ahead:
                raise ProtocolError(Code.BAD_SEQUENCE, f"{len(self._ahead)} frames wait for {self._next}")
            self._ahead[sequence] = (now, data)
            return []
        due = [data]
        if sequence == self._next:
            self._next += 1
            while self._next in self._ahead:
                due.append(self._ahead.pop(self._next)[1])
                self._next += 1
        return due

    def check(self, now: float) -> None:
        """`ProtocolError` 5606 if a frame has waited for 10 s."""
        if any(now - since >= FRAMES_AHEAD_SECONDS for since, _ in self._ahead.values()):
            raise ProtocolError(Code.BAD_SEQUENCE, f"frame {self._next} did not come")

    @property
    def waiting(self) -> int:
        """How many frames are ahead."""
        return len(self._ahead)
