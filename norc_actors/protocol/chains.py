"""The chain of a sender's messages in a conversation, and when a message is fresh (section 6; §6.6, §6.7; rows
`B66`, `B67`).

A chain belongs to (sender device, conversation) and is named by a random `chain_id`. Its first message has a random
24-bit sequence and 32 zeroes as `prev_message_hash`; each further one has the next number and the hash of the
ciphertext *sent* before it (D-30).

Receiving, by number `s` of a message that opened, was signed and meant for this conversation:

| case | what happens |
|---|---|
| chain unknown, `prev` zeroes, s < 2²⁴ | START |
| chain unknown otherwise | MIDDLE: accepted, marked incomplete |
| s = last + 1, `prev` fits | NEXT |
| s = last + 1, the message before was lost here | NEXT, marked as following a gap |
| s > last + 1 | GAP: held 2 s for reordering, then accepted and marked |
| s in a recorded gap, hashes fit on both sides where known | FILL |
| a known neighbour's hash does not fit, a second start, or a number before the start | `ChainBrokenError`: alert |
| s was accepted already, or lies below the window | `ReplayedError` |

Freshness: |now − timestamp| ≤ 300 s; else only NEXT, FILL, START and MIDDLE, and not too old: now ≤ `expires_at` if
given, else age ≤ the state's `message_ttl`, else age ≤ 30 days. So old traffic can be handed in once and in order,
or not at all.

A message that was refused for good leaves a hole; `ReceivingChain.lost` records it, or every later message of a backlog
would count as a gap and, being old, be refused too. The number of what was lost is not authenticated: a server that
invents one gains no more than by dropping that message, and the real one still fills the gap.

All states are frozen; what is returned replaces what was passed in, in the transaction that stores the message.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import cast

from norc_actors.crypto.layout import ZERO_HASH
from norc_actors.crypto.secret import same
from norc_actors.ids import Random, new_uuid
from norc_actors.limits import (
    FIRST_SEQUENCE_LIMIT,
    FRESHNESS_SECONDS,
    MESSAGE_MAX_AGE_SECONDS,
    WINDOW_MESSAGES,
)

from .canonical import Value

# --- Window ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Which of the last `size` numbers were seen; below it everything counts as seen.

    `seen` is a bit set: bit 0 is `highest`, bit n is highest − n. An empty window has highest −1.
    """

    size: int = WINDOW_MESSAGES
    highest: int = -1
    seen: int = 0

    def may_accept(self, number: int) -> bool:
        """Whether `number` is new: above the highest, or unseen within the window."""
        behind = self.highest - number
        return number >= 0 and (behind < 0 or (behind < self.size and not self.seen >> behind & 1))

    def accept(self, number: int) -> "Window":
        """The window with `number` seen; `ReplayedError` if it may not be accepted."""
        if not self.may_accept(number):
            raise ReplayedError(number)
        behind = self.highest - number
        if behind >= 0:
            return replace(self, seen=self.seen | 1 << behind)
        ahead = min(-behind, self.size)
        return replace(self, highest=number, seen=(self.seen << ahead | 1) & (1 << self.size) - 1)

    def skip(self, number: int) -> "Window":
        """The window moved on to `number` without seeing it."""
        if number <= self.highest:
            return self
        ahead = min(number - self.highest, self.size)
        return replace(self, highest=number, seen=self.seen << ahead & (1 << self.size) - 1)

    @property
    def lowest(self) -> int:
        """The smallest number that could still be accepted."""
        return max(0, self.highest - self.size + 1)


class ReplayedError(Exception):
    """A number that was accepted already or lies below the window."""

    def __init__(self, number: int) -> None:
        super().__init__(f"number {number} was used before")
        self.number = number


class ChainBrokenError(Exception):
    """A message that does not fit a chain whose neighbour is known: something was inserted or exchanged."""


# --- Sending ---


@dataclass(frozen=True, slots=True, kw_only=True)
class SendingChain:
    """This device's chain in one conversation: the number and hash that the next message carries."""

    chain_id: str
    conversation_id: str
    next_number: int
    last_hash: bytes = ZERO_HASH

    @classmethod
    def start(cls, conversation_id: str, random: Random) -> "SendingChain":
        """A new chain: random id, random 24-bit number (19 bytes of `random`)."""
        return cls(
            chain_id=new_uuid(random),
            conversation_id=conversation_id,
            next_number=int.from_bytes(random(3), "big"),
        )

    def sent(self, ciphertext_hash: bytes) -> "SendingChain":
        """The chain after the message that took `next_number`."""
        return replace(self, next_number=self.next_number + 1, last_hash=ciphertext_hash)

    def to_map(self) -> dict[str, Value]:
        """For the encrypted profile."""
        return {
            "chain_id": self.chain_id,
            "conversation_id": self.conversation_id,
            "next_number": self.next_number,
            "last_hash": self.last_hash,
        }

    @classmethod
    def from_map(cls, kept: Mapping[str, Value]) -> "SendingChain":
        """The inverse of `to_map`."""
        return cls(
            chain_id=cast("str", kept["chain_id"]),
            conversation_id=cast("str", kept["conversation_id"]),
            next_number=cast("int", kept["next_number"]),
            last_hash=cast("bytes", kept["last_hash"]),
        )


# --- Receiving ---


class Place(StrEnum):
    """Where a message stands in its sender's chain."""

    START = "start"
    MIDDLE = "middle"
    """First seen in its middle: the chain is incomplete here."""
    NEXT = "next"
    GAP = "gap"
    """Messages before it are missing so far."""
    FILL = "fill"
    """One of the missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What accepting a message makes of its chain. `after_gap`: the message before it is missing."""

    place: Place
    chain: "ReceivingChain"
    after_gap: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivingChain:
    """What is known of one sender device's chain in one conversation.

    `hashes`: of accepted messages whose successor is not accepted yet, by number. `claims`: the hash that an accepted
    message names for the one before it, by that one's number, while it is missing. Both stay inside the window.
    `first`: the lowest number accepted.
    """

    chain_id: str
    window: Window
    first: int
    hashes: Mapping[int, bytes]
    claims: Mapping[int, bytes]
    complete: bool
    """Whether it was seen from its start on (gaps may still be open)."""

    @property
    def last(self) -> int:
        """The highest number accepted or given up."""
        return self.window.highest

    def lost(self, number: int) -> "ReceivingChain":
        """Record that the message after the last one will not come as it is; another number changes nothing."""
        return replace(self, window=self.window.skip(number)) if number == self.last + 1 else self

    def to_map(self) -> dict[str, Value]:
        """For the encrypted profile."""
        return {
            "chain_id": self.chain_id,
            "size": self.window.size,
            "highest": self.window.highest,
            "first": self.first,
            "seen": self.window.seen.to_bytes(-(-self.window.size // 8), "big"),
            "hashes": {str(number): value for number, value in self.hashes.items()},
            "claims": {str(number): value for number, value in self.claims.items()},
            "complete": self.complete,
        }

    @classmethod
    def from_map(cls, kept: Mapping[str, Value]) -> "ReceivingChain":
        """The inverse of `to_map`."""
        window = Window(
            size=cast("int", kept["size"]),
            highest=cast("int", kept["highest"]),
            seen=int.from_bytes(cast("bytes", kept["seen"]), "big"),
        )
        hashes, claims = cast("dict[str, bytes]", kept["hashes"]), cast("dict[str, bytes]", kept["claims"])
        return cls(
            chain_id=cast("str", kept["chain_id"]),
            window=window,
            first=cast("int", kept["first"]),
            hashes={int(number): value for number, value in hashes.items()},
            claims={int(number): value for number, value in claims.items()},
            complete=cast("bool", kept["complete"]),
        )


def take(
    chain: ReceivingChain | None, *, chain_id: str, number: int, prev_message_hash: bytes, ciphertext_hash: bytes
) -> Step:
    """Where a message stands and the chain with it accepted; `chain` is None if this chain was never seen.

    `ChainBrokenError` or `ReplayedError` as in the table above. Nothing is decided about holding or freshness.
    """
    starts = prev_message_hash == ZERO_HASH
    if chain is None:
        return _first(chain_id, number, prev_message_hash, ciphertext_hash, starts=starts)
    if not chain.window.may_accept(number):
        raise ReplayedError(number)
    before = chain.hashes.get(number - 1)
    if before is not None and not same(before, prev_message_hash):
        raise ChainBrokenError(f"message {number} does not follow message {number - 1}")
    claim = chain.claims.get(number)
    if claim is not None and not same(claim, ciphertext_hash):
        raise ChainBrokenError(f"message {number} is not the one that message {number + 1} follows")
    if starts and (chain.complete or number > chain.first):
        raise ChainBrokenError("a chain starts once")
    if chain.complete and number < chain.first:
        raise ChainBrokenError("a message before the start of its chain")
    place = Place.FILL if number <= chain.last else Place.NEXT if number == chain.last + 1 else Place.GAP
    return _accepted(chain, place, number, prev_message_hash, ciphertext_hash, starts=starts)


def _first(chain_id: str, number: int, prev_hash: bytes, ciphertext_hash: bytes, *, starts: bool) -> Step:
    if starts and number >= FIRST_SEQUENCE_LIMIT:
        raise ChainBrokenError("a chain starts below 2^24")
    chain = ReceivingChain(
        chain_id=chain_id,
        window=Window().accept(number),
        first=number,
        hashes={number: ciphertext_hash},
        claims={} if starts else {number - 1: prev_hash},
        complete=starts,
    )
    return Step(place=Place.START if starts else Place.MIDDLE, chain=chain, after_gap=not starts)


def _accepted(
    chain: ReceivingChain, place: Place, number: int, prev_hash: bytes, ciphertext_hash: bytes, *, starts: bool
) -> Step:
    window = chain.window.accept(number)
    hashes, claims = dict(chain.hashes), dict(chain.claims)
    after_gap = hashes.pop(number - 1, None) is None and not starts
    if after_gap:
        claims[number - 1] = prev_hash
    if claims.pop(number, None) is None:
        hashes[number] = ciphertext_hash
    lowest = window.lowest - 1
    return Step(
        place=place,
        chain=replace(
            chain,
            window=window,
            first=min(chain.first, number),
            hashes={at: value for at, value in hashes.items() if at >= lowest},
            claims={at: value for at, value in claims.items() if at >= lowest},
            complete=chain.complete or starts,
        ),
        after_gap=after_gap,
    )


# --- Freshness ---


def is_fresh(timestamp_us: int, now: float) -> bool:
    """Whether a message's timestamp is within 300 s of now."""
    return abs(now - timestamp_us / 1_000_000) <= FRESHNESS_SECONDS


def too_old(timestamp_us: int, now: float, *, expires_at: int | None, message_ttl: int | None) -> bool:
    """Whether a message is past its time, by the first of expires_at, message_ttl and 30 days that is given."""
    if expires_at is not None:
        return now > expires_at
    limit = MESSAGE_MAX_AGE_SECONDS if message_ttl is None else message_ttl
    return now - timestamp_us / 1_000_000 > limit


def in_time(place: Place, timestamp_us: int, now: float, *, expires_at: int | None, message_ttl: int | None) -> bool:
    """Section 6, *Freshness*, for a message at this place in its chain."""
    if is_fresh(timestamp_us, now):
        return True
    return place is not Place.GAP and not too_old(timestamp_us, now, expires_at=expires_at, message_ttl=message_ttl)


# --- Dedupe ---


class Known(StrEnum):
    """What the dedupe key (sender_user, sender_device, message_id) says about an arriving message."""

    NEW = "new"
    AGAIN = "again"
    """The same ciphertext: answer with the recorded receipt again."""
    EXCHANGED = "exchanged"
    """Another ciphertext under a known id: integrity alert."""


def known(recorded_hash: bytes | None, ciphertext_hash: bytes) -> Known:
    """The decision, from the ciphertext hash recorded under the key (None if there is none)."""
    if recorded_hash is None:
        return Known.NEW
    return Known.AGAIN if same(recorded_hash, ciphertext_hash) else Known.EXCHANGED
