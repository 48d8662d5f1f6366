"""The account of every message: what was to be sent, what was sent, and what each device's application saw. Pure.

It knows nothing of the protocol and trusts no counter of it: it compares the plan's numbers and digests with what the
device processes reported that their applications were given. Reports come over several pipes in any order, so they
are only noted when they come, and judged at the end.

Verdict
- *lost*: a device of the conversation did not see a message that another sent; or a line was never sent, or never
  acknowledged.
- *duplicate*: a device saw one message twice.
- *reordered*: a device saw, from one sender in one conversation, a lower number after a higher one.
- *altered*: the text seen is not the text sent. *stranger*: a message seen that nobody sent.
- *unopened*: a device was given a message that it could not open.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from norc_actors.cli.demo.plan import AUDIENCE, Conversation, Device, Line

ACKNOWLEDGED = frozenset({"sent", "delivered", "read"})
DELIVERED = frozenset({"delivered", "read"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What is to be reported. Times in seconds; the lists name message numbers and devices."""

    planned: int
    sent: int
    acknowledged: int
    delivered: int
    read: int
    expected_copies: int
    copies: int
    lost: tuple[str, ...]
    duplicates: tuple[str, ...]
    reordered: tuple[str, ...]
    altered: tuple[str, ...]
    strangers: tuple[str, ...]
    unopened: tuple[str, ...]
    latency_p50: float
    latency_p99: float
    latency_max: float

    @property
    def faults(self) -> dict[str, tuple[str, ...]]:
        """Everything that must be empty, by name."""
        return {
            "lost": self.lost,
            "duplicates": self.duplicates,
            "reordered": self.reordered,
            "altered": self.altered,
            "strangers": self.strangers,
            "unopened": self.unopened,
        }

    @property
    def good(self) -> bool:
        """Whether nothing was lost, doubled, reordered, altered, invented or unreadable."""
        return not any(self.faults.values())


@dataclass(frozen=True, slots=True)
class _Seen:
    message_id: str
    digest: str
    at: float


class Ledger:
    """Takes reports while the demo runs; `verdict` judges. Times are seconds of one clock."""

    def __init__(self, lines: Sequence[Line], audience: Mapping[Conversation, frozenset[Device]] = AUDIENCE) -> None:
        self._lines = {line.number: line for line in lines}
        self._audience = audience
        self._sent: dict[int, tuple[str, float]] = {}
        self._seen: dict[Device, list[_Seen]] = defaultdict(list)
        self._status: dict[str, str] = {}
        self._unopened: list[str] = []
        self.copies = 0
        self.expected_copies = sum(len(audience[line.conversation]) - 1 for line in lines)

    @property
    def sent_count(self) -> int:
        """How many lines are in an outbox or further."""
        return len(self._sent)

    @property
    def complete(self) -> bool:
        """Whether as many copies were seen as there should be (which says nothing of their being the right ones)."""
        return len(self._sent) == len(self._lines) and self.copies >= self.expected_copies

    def sent(self, number: int, message_id: str, at: float) -> None:
        """A device committed line `number` to its outbox under this id."""
        self._sent[number] = (message_id, at)

    def seen(self, device: Device, message_id: str, digest: str, at: float) -> None:
        """The application on a device was given a message."""
        self._seen[device].append(_Seen(message_id, digest, at))
        self.copies += 1

    def status(self, message_id: str, status: str) -> None:
        """A sending device's last word on a message of its own."""
        self._status[message_id] = status

    def unopened(self, device: Device, message_id: str, cause: str) -> None:
        """The application on a device was told that a message could not be opened."""
        self._unopened.append(f"{message_id} at {device.value}: {cause}")

    def verdict(self) -> Verdict:
        """Judge all that was reported."""
        number_of = {message_id: number for number, (message_id, _) in self._sent.items()}
        latencies = sorted(
            seen.at - self._sent[number_of[seen.message_id]][1]
            for all_seen in self._seen.values()
            for seen in all_seen
            if seen.message_id in number_of
        )
        statuses = [self._status.get(message_id, "") for message_id in number_of]
        return Verdict(
            planned=len(self._lines),
            sent=len(self._sent),
            acknowledged=sum(status in ACKNOWLEDGED for status in statuses),
            delivered=sum(status in DELIVERED for status in statuses),
            read=sum(status == "read" for status in statuses),
            expected_copies=self.expected_copies,
            copies=self.copies,
            lost=tuple(self._lost()),
            duplicates=tuple(self._duplicates()),
            reordered=tuple(self._reordered(number_of)),
            altered=tuple(self._altered(number_of)),
            strangers=tuple(
                f"{seen.message_id} at {device.value}"
                for device, all_seen in self._seen.items()
                for seen in all_seen
                if seen.message_id not in number_of
            ),
            unopened=tuple(self._unopened),
            latency_p50=_percentile(latencies, 0.5),
            latency_p99=_percentile(latencies, 0.99),
            latency_max=latencies[-1] if latencies else 0.0,
        )

    def _lost(self) -> Iterable[str]:
        seen_at = {device: {seen.message_id for seen in all_seen} for device, all_seen in self._seen.items()}
        for number, line in self._lines.items():
            if number not in self._sent:
                yield f"{number} was never sent by {line.sender.value}"
                continue
            message_id = self._sent[number][0]
            if self._status.get(message_id) not in ACKNOWLEDGED:
                yield f"{number} from {line.sender.value} was never acknowledged"
            for device in sorted(self._audience[line.conversation] - {line.sender}):
                if message_id not in seen_at.get(device, ()):
                    yield f"{number} from {line.sender.value} is not at {device.value}"

    def _duplicates(self) -> Iterable[str]:
        for device, all_seen in self._seen.items():
            counts = Counter(seen.message_id for seen in all_seen)
            yield from (f"{message_id} at {device.value}, {n} times" for message_id, n in counts.items() if n > 1)

    def _reordered(self, number_of: Mapping[str, int]) -> Iterable[str]:
        for device, all_seen in self._seen.items():
            last: dict[tuple[Device, Conversation], int] = {}
            for seen in all_seen:
                number = number_of.get(seen.message_id)
                if number is None:
                    continue
                line = self._lines[number]
                chain = (line.sender, line.conversation)
                if number < last.get(chain, -1):
                    yield f"{number} after {last[chain]} at {device.value}"
                last[chain] = max(number, last.get(chain, -1))

    def _altered(self, number_of: Mapping[str, int]) -> Iterable[str]:
        for device, all_seen in self._seen.items():
            for seen in all_seen:
                number = number_of.get(seen.message_id)
                if number is not None and seen.digest != self._lines[number].digest:
                    yield f"{number} at {device.value}"


def _percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which `share` of the sorted values lie (nearest rank); 0 of nothing."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
