"""What the store does between servers, said again in the plainest way: lists and dicts, one operation at a time."""

from dataclasses import dataclass, field
from typing import Any

from norc_actors import limits
from norc_actors.store.messages import (
    Accept,
    Accepted,
    AcceptRelay,
    Acknowledge,
    Acknowledged,
    Confirmed,
    Duplicate,
    Enqueue,
    Enqueued,
    Forward,
    Operation,
    QuotaFull,
    Relaying,
    RelayKnown,
    RemoteReceipt,
    Sent,
    Settle,
    Settled,
    Supplement,
    Supplemented,
    Taken,
    Unknown,
)
from norc_actors.store.operations import NORMAL

Key = tuple[str, str, str]
"""message_id, sender_device, sender_user"""
OWN = "@example.org"


@dataclass
class Row:
    """A row of the outbox; `name` is what a test can compare, `once` what may wait once."""

    target: str
    priority: int
    name: tuple[Any, ...]
    once: str | None
    expires_at: int


@dataclass
class Model:
    """The state; `apply` gives the type of the outcome, and with it what must be equal."""

    messages: dict[Key, str] = field(default_factory=dict)  # with the conversation
    sources: dict[Key, str] = field(default_factory=dict)
    deliveries: dict[tuple[str, Key], bytes] = field(default_factory=dict)
    receipts: dict[tuple[str, str, str, str], bytes] = field(default_factory=dict)
    relayed: dict[tuple[str, str], tuple[str, int, bytes | None]] = field(default_factory=dict)
    outbox: list[Row] = field(default_factory=list)

    def apply(self, operation: Operation) -> tuple[object, ...]:
        """Carry one out."""
        match operation:
            case Accept():
                return self._accept(operation)
            case Supplement():
                return self._supplement(operation)
            case AcceptRelay(supplement=True):
                return (Unknown,) if _key(operation) not in self.messages else self._relay(operation)
            case AcceptRelay():
                return self._relay(operation)
            case Forward(relaying=relaying):
                return self._forward(operation, relaying)
            case Acknowledge():
                return self._acknowledge(operation)
            case RemoteReceipt():
                return self._remote_receipt(operation)
            case Enqueue():
                return self._enqueue(operation)
            case Settle():
                return self._settle(operation)
        raise TypeError(operation)

    def sent(self, sent: Sent, rows: list[tuple[Any, ...]]) -> tuple[object, ...]:
        """The rows are named by what they are: the model has no numbers."""
        gone = [r for r in self.outbox if r.target == sent.target and r.name in rows and r.name[0] in _UNTOLD]
        self.outbox = [row for row in self.outbox if row not in gone]
        return Confirmed, len(gone)

    def purge(self, now: int) -> None:
        """What goes with age alone."""
        before = (now - limits.RELAY_CACHE_SECONDS) // 3600 * 3600
        self.relayed = {key: row for key, row in self.relayed.items() if row[1] >= before}
        self.outbox = [row for row in self.outbox if row.name[0] not in _UNTOLD or row.expires_at > now]

    # --- messages ---

    def _accept(self, accept: Accept | AcceptRelay) -> tuple[object, ...]:
        key = _key(accept)
        if key in self.messages:
            return (Duplicate,)
        self.messages[key] = accept.conversation_id
        self._deliver(key, accept)
        if isinstance(accept, Accept):
            self._send(accept)
        return (Accepted,)

    def _supplement(self, supplement: Supplement) -> tuple[object, ...]:
        key = _key(supplement)
        if key not in self.messages:
            return (Unknown,)
        self._deliver(key, supplement)
        self._send(supplement)
        return (Supplemented,)

    def _deliver(self, key: Key, message: Accept | Supplement | AcceptRelay) -> None:
        self.deliveries.update({(device, key): wrap for device, wrap in message.deliveries})

    def _send(self, message: Accept | Supplement) -> None:
        for r in message.relays:
            name = ("relay", r.federation_id, None, message.message_id, message.sender_device, r.body)
            self.outbox.append(Row(r.target, r.priority, name, r.federation_id, r.expires_at))

    # --- relays ---

    def _relay(self, relay: AcceptRelay) -> tuple[object, ...]:
        refused = self._refused(relay.origin, relay.federation_id, relay.remote)
        if refused is not None:
            return refused
        self.relayed[relay.origin, relay.federation_id] = relay.remote, relay.accepted_at, relay.ack
        if relay.supplement:
            self._deliver(_key(relay), relay)
            return (Supplemented,)
        outcome = self._accept(relay)
        if outcome == (Accepted,):
            self.sources[_key(relay)] = relay.federation_id
        return outcome

    def _forward(self, forward: Forward, r: Relaying) -> tuple[object, ...]:
        refused = self._refused(forward.origin, r.federation_id, forward.remote)
        if refused is not None:
            return refused
        name = ("transit", r.federation_id, forward.origin, forward.message_id, None, r.body)
        if not self._put(Row(r.target, r.priority, name, r.federation_id, r.expires_at)):
            return (Taken,)
        self.relayed[forward.origin, r.federation_id] = forward.remote, r.created_at, None
        return Enqueued, True

    def _refused(self, origin: str, federation_id: str, remote: str) -> tuple[object, ...] | None:
        if (origin, federation_id) in self.relayed:
            return RelayKnown, self.relayed[origin, federation_id][2]
        held = sum(row[0] == remote for row in self.relayed.values())
        return (QuotaFull,) if held >= limits.RELAY_QUOTA else None

    def _settle(self, settle: Settle) -> tuple[object, ...]:
        for row in self.outbox:
            kind, _, origin, message_id, device, _ = row.name
            if kind not in _UNTOLD and (row.target, row.once) == (settle.target, settle.federation_id):
                break
        else:
            return (Unknown,)
        self.outbox.remove(row)
        cached = self.relayed.get((origin, settle.federation_id))
        if cached is not None and settle.ack is not None:
            self.relayed[origin, settle.federation_id] = (*cached[:2], settle.ack)
        if kind == "transit":
            return Settled, None, 0
        for index, notice in enumerate(settle.notices):
            self._keep(device, message_id, settle.target, f"{settle.federation_id}/{index}", notice)
        return Settled, device, len(settle.notices)

    def _enqueue(self, e: Enqueue) -> tuple[object, ...]:
        once = None if e.key is None else f"key {e.key}"
        name = ("addressed", None, None, None, None, e.body)
        return Enqueued, self._put(Row(e.target, e.priority, name, once, e.expires_at))

    def _put(self, row: Row) -> bool:
        if row.once is not None and any((r.target, r.once) == (row.target, row.once) for r in self.outbox):
            return False
        self.outbox.append(row)
        return True

    # --- receipts ---

    def _acknowledge(self, ack: Acknowledge) -> tuple[object, ...]:
        named = [key for key, talk in self.messages.items() if key[0] == ack.message_id and talk == ack.conversation_id]
        waits = [key for key in named if (ack.device_id, key) in self.deliveries]
        found = waits or (named if ack.status == "read" else [])
        if not found:
            return (Unknown,)
        key = found[0]
        self.deliveries.pop((ack.device_id, key), None)
        assert ack.receipt is not None
        if key[2].endswith(OWN):
            kept = self._keep(key[1], ack.message_id, ack.device_id, ack.status, ack.receipt)
            return Acknowledged, key[1], kept, None
        server = key[2].partition("@")[2]
        name = ("receipt", self.sources[key], None, ack.message_id, ack.device_id, ack.receipt)
        once = f"receipt {key} {ack.device_id} {ack.status}"
        self._put(Row(server, NORMAL, name, once, ack.now + limits.RETENTION_SECONDS))
        return Acknowledged, key[1], False, server

    def _remote_receipt(self, receipt: RemoteReceipt) -> tuple[object, ...]:
        for key, talk in self.messages.items():
            if key[0] == receipt.message_id and key[2].endswith(OWN) and talk == receipt.conversation_id:
                source = f"{receipt.device_id}@{receipt.from_server}"
                kept = self._keep(key[1], receipt.message_id, source, receipt.status, receipt.receipt)
                return Acknowledged, key[1], kept, None
        return (Unknown,)

    def _keep(self, target: str, message_id: str, source: str, status: str, body: bytes) -> bool:
        if (target, message_id, source, status) in self.receipts:
            return False
        self.receipts[target, message_id, source, status] = body
        return True


_UNTOLD = ("receipt", "addressed")


def _key(message: Accept | Supplement | AcceptRelay) -> Key:
    return message.message_id, message.sender_device, message.sender_user


def summary(outcome: object) -> tuple[object, ...]:
    """What of an outcome the model foretells."""
    match outcome:
        case RelayKnown(ack=ack):
            return RelayKnown, ack
        case Acknowledged(sender_device=device, receipt_id=number, relayed_to=server):
            return Acknowledged, device, number is not None, server
        case Confirmed(count=count):
            return Confirmed, count
        case Enqueued(id=number):
            return Enqueued, number is not None
        case Settled(sender_device=device, receipt_ids=numbers):
            return Settled, device, len(numbers)
        case _:
            return (type(outcome),)
