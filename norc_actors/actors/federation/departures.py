"""Rows of the outbox as frames of a batch: signed, routed, with their place on the link (section 8, *Relay*).

- A relay of ours is signed when it leaves, and each time anew: the row keeps the map, so that the identity key of the
  day signs. One that goes straight to its target needs no signature for its route.
- A relay in transit has its origin's signature and gets a hop of ours.
- Receipts of one relay that wait together go in one `relay_ack`, signed by us as its target.
- Everything else (other servers' answers in transit, conversations, revocations) leaves as the bytes that were stored.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from norc_actors.ids import DeviceId, ServerId, UserId
from norc_actors.protocol.canonical import canonical
from norc_actors.protocol.codec import decode_as, decode_map, encode_map
from norc_actors.protocol.errors import Code, ProtocolError
from norc_actors.protocol.messages import MessageAck, RelayAck
from norc_actors.protocol.registry import code_of
from norc_actors.protocol.relay import hop_body, relay_body, sent_directly, with_hop
from norc_actors.protocol.relaying import receipts_ack
from norc_actors.protocol.schema import SignedMap
from norc_actors.store.messages import OutboxRow

_ACK = code_of(RelayAck)
Stuck = tuple[OutboxRow, Code]
"""A row that will not leave, and why."""
SignAll = Callable[[tuple[tuple[str, bytes], ...]], Awaitable[tuple[bytes, ...]]]
"""Gives the identity key's signature over each (label, body)."""


@dataclass(frozen=True, slots=True)
class Departure:
    """One frame of a batch and the rows that it carries; a refusal names it by `request_id`. A relay is a map."""

    rows: tuple[OutboxRow, ...]
    request_id: str
    code: int
    body: bytes | SignedMap


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """Where a batch leaves from and to, and when (µs); `users` has the user of each device that gave a receipt,
    `permits` refuses (`ProtocolError`) what trust does not let out."""

    own_server: ServerId
    public_key: bytes
    next_hop: ServerId
    now_us: int
    users: Mapping[DeviceId, UserId]
    permits: Callable[[str, str | None], None]


@dataclass(slots=True, eq=False)
class _Frame:
    rows: tuple[OutboxRow, ...]
    members: SignedMap | None = None
    """The map that still has to be signed or routed; None: the row's bytes go as they are."""


async def prepare(rows: Sequence[OutboxRow], way: Way, sign: SignAll) -> tuple[list[Departure], list[Stuck]]:
    """The frames of these rows in their order (receipts stand where the first of their relay stood), and what can never
    leave: it is past its time, trust forbids it, its way has a loop or too many hops."""
    stuck: list[Stuck] = []
    frames = [frame for frame in _frames(rows, way) if not _is_relay(frame) or _may_leave(frame, way, stuck)]
    unsigned = [frame for frame in frames if frame.members is not None and "signature" not in frame.members]
    if unsigned:
        signatures = await sign(tuple(("relay:v1", _body(frame.members or {}, way)) for frame in unsigned))
        for frame, signature in zip(unsigned, signatures, strict=True):
            frame.members = {**(frame.members or {}), "signature": signature}
    await _route([frame for frame in frames if _is_relay(frame)], way, sign)
    departures = []
    for frame in frames:
        row = frame.rows[0]
        body: bytes | SignedMap = row.body
        if frame.members is not None:
            body = frame.members if _is_relay(frame) else encode_map(frame.members)
        code = _ACK if row.kind == "receipt" else row.code
        departures.append(Departure(frame.rows, row.federation_id or "", code, body))
    return departures, stuck


def _frames(rows: Sequence[OutboxRow], way: Way) -> list[_Frame]:
    frames: list[_Frame] = []
    receipts: dict[str, list[OutboxRow]] = {}
    for row in rows:
        match row.kind:
            case "relay" | "transit":
                frames.append(_Frame((row,), decode_map(row.body)))
            case "receipt":
                receipts.setdefault(row.federation_id or "", []).append(row)
                if len(receipts[row.federation_id or ""]) == 1:
                    frames.append(_Frame((row,)))
            case _:
                frames.append(_Frame((row,)))
    for frame in frames:
        group = receipts.get(frame.rows[0].federation_id or "") if frame.rows[0].kind == "receipt" else None
        if group is not None:
            frame.rows, frame.members = tuple(group), _receipts(group, way)
    return frames


def _receipts(rows: Sequence[OutboxRow], way: Way) -> SignedMap:
    first = rows[0]
    answers = [
        (way.users[device], device, decode_as(MessageAck, row.body).message)
        for row in rows
        if (device := row.device_id) is not None and device in way.users
    ]
    return receipts_ack(first.federation_id or "", first.message_id or "", way.own_server, answers, way.now_us)


def _is_relay(frame: _Frame) -> bool:
    return frame.members is not None and frame.members["type"] == "message_relay"


def _body(members: SignedMap, way: Way) -> bytes:
    if members["type"] == "message_relay":
        return relay_body(members, way.public_key)
    return canonical(members, less=("signature",))


def _may_leave(frame: _Frame, way: Way, stuck: list[Stuck]) -> bool:
    row, members = frame.rows[0], frame.members or {}
    try:
        if row.expires_at * 1_000_000 <= way.now_us:
            raise ProtocolError(Code.TTL_EXPIRED, "in the outbox")
        way.permits("message_relay", str(members.get("classification")))
        if not _direct(frame, way):
            hop_body(way.public_key, {**members, "signature": b""}, way.own_server, way.next_hop, way.now_us)
    except ProtocolError as error:
        stuck.append((row, error.code))
        return False
    return True


def _direct(frame: _Frame, way: Way) -> bool:
    return frame.rows[0].kind == "relay" and frame.rows[0].target == way.next_hop


async def _route(relays: Sequence[_Frame], way: Way, sign: SignAll) -> None:
    """Give each relay its hop."""
    routed = []
    for frame in relays:
        if _direct(frame, way):
            frame.members = sent_directly(frame.members or {}, way.own_server, way.now_us)
        else:
            routed.append(frame)
    if not routed:
        return
    bodies = [
        hop_body(way.public_key, frame.members or {}, way.own_server, way.next_hop, way.now_us) for frame in routed
    ]
    entries = await sign(tuple(("route:v1", body) for body in bodies))
    for frame, entry in zip(routed, entries, strict=True):
        frame.members = with_hop(frame.members or {}, way.own_server, way.now_us, entry)
