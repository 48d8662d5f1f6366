"""What the answers to sent messages change: accepted, refused, delivered, read, asked for again (section 7).

| answer | what is done |
|---|---|
| `sent` | out of the outbox; status `sent` |
| `failed` 2002 with the current entries | wraps for missing devices added, those of gone ones taken off; sent again |
| the same, but nothing changes by that | failed: the server insists on a device that is not trusted |
| `failed` 6001 | sent again after `retry_after` |
| `failed` otherwise | failed, finally, unless the server had accepted it before |
| 5205 with entries, or `session_key_exchange{unknown}` | a supplement: the same content key in new wraps |
| a receipt | its signature decides; per device the status only rises |

All functions are of a transaction; their results are acted on after its commit.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from norc_actors.client.conversations import Conversations
from norc_actors.client.directory import Directory
from norc_actors.client.events import Event, IntegrityAlert, StatusChanged
from norc_actors.client.model import MessageStatus, RecipientStatus, Status
from norc_actors.client.records import OUTBOX, SENT, Outgoing, SentMessage, Target, expiry
from norc_actors.client.sending import Sending, outgoing_of
from norc_actors.client.transaction import Transaction
from norc_actors.crypto.errors import BadSignatureError
from norc_actors.protocol import sealing
from norc_actors.protocol.codec import decode_as, encode
from norc_actors.protocol.conversations import State
from norc_actors.protocol.devices import Device, EntryRefusedError, OwnDevice
from norc_actors.protocol.errors import ProtocolError, info_of
from norc_actors.protocol.messages import MessageSend, ReadReceipt
from norc_actors.protocol.receipts import verify_receipt
from norc_actors.protocol.schema import SignedMap
from norc_actors.protocol.sessions import SessionEndedError

UNSEALABLE = (sealing.SealRefusedError, EntryRefusedError, SessionEndedError)
RANK = {"": 0, "delivered": 1, "read": 2}


@dataclass(slots=True)
class Change:
    """What follows a commit. `removed`, `again`, `added`: sequence numbers for the flight, with the ids of what was
    added."""

    events: list[Event] = field(default_factory=list)
    removed: list[int] = field(default_factory=list)
    again: list[int] = field(default_factory=list)
    added: list[tuple[int, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbox:
    """The rules over one profile's outbox and sent messages."""

    own: OwnDevice
    directory: Directory
    conversations: Conversations
    sending: Sending

    # --- Acceptance ---

    def accepted(self, tx: Transaction, sequence: int, message_id: str, now_us: int) -> Change:
        """The home server has committed a message (or a supplement of it)."""
        tx.remove(OUTBOX, sequence)
        record = tx.get(SENT, message_id)
        if record is None or record.accepted_us:
            return Change(removed=[sequence])
        status = _overall(record.targets, self.own.user_id, Status.SENT)
        record = msgspec.structs.replace(record, accepted_us=now_us, status=status.value)
        tx.put(SENT, message_id, record, expires=expiry(now_us))
        return Change(removed=[sequence], events=[_changed(message_id, record)])

    def refused(self, tx: Transaction, sequence: int, code: int, cause: str, now_us: int) -> Change:
        """The home server will not take it."""
        outgoing = self._outgoing(tx, sequence)
        if outgoing is None:
            return Change(removed=[sequence])
        failed = self.sending.give_up(tx, sequence, outgoing, cause, code, now_us)
        events: list[Event] = [_changed(outgoing.message_id, failed)] if failed is not None else []
        return Change(removed=[sequence], events=events)

    # --- Stale device lists ---

    def stale(self, tx: Transaction, sequence: int, entries: Iterable[SignedMap], now_us: int) -> Change:
        """2002: make the entries of a message those of the current devices, and send it again."""
        outgoing = self._outgoing(tx, sequence)
        record = tx.get(SENT, outgoing.message_id) if outgoing else None
        if outgoing is None or record is None or not record.content_key:
            return Change(removed=[sequence])
        now = now_us // 1_000_000
        change = Change()
        current, users = self._learn(tx, entries, now, change)
        message = decode_as(MessageSend, outgoing.frame).message
        missing = [device for device in current if device.device_id not in message.encrypted_keys]
        for user_id in set(message.recipients) - users:
            self.directory.set_active(tx, user_id, (), now)
        gone = set(message.encrypted_keys) - {device.device_id for device in current}
        change.events += self.sending.open_sessions(tx, missing, now)
        state = self._state(tx, message)
        targets = self._targets(tx, missing, now)
        if state is None or (not targets and not gone):
            refused = self.refused(tx, sequence, 2002, "untrusted_device", now_us)
            return Change(events=change.events + refused.events, removed=refused.removed)
        try:
            updated, sessions = sealing.add_devices(
                message, record.content_key, own=self.own, state=state, targets=targets, now=now, gone=gone
            )
        except UNSEALABLE:  # a new device that does not run the message's suite: it would be another message
            refused = self.refused(tx, sequence, 2002, "stale_devices", now_us)
            return Change(events=change.events + refused.events, removed=refused.removed)
        self.sending.put_sessions(tx, sessions)
        kept = tuple(target for target in record.targets if target.device_id not in gone)
        record = msgspec.structs.replace(record, targets=(*kept, *_listed(targets)))
        tx.put(SENT, outgoing.message_id, record, expires=expiry(now_us))
        tx.replace(OUTBOX, sequence, outgoing_of(updated))
        change.again.append(sequence)
        return change

    def _learn(
        self, tx: Transaction, entries: Iterable[SignedMap], now: int, change: Change
    ) -> tuple[list[Device], set[str]]:
        """Judge the current entries: the devices that count, and the users in them, whose lists they are now."""
        by_user: dict[str, dict[str, SignedMap]] = {}
        for entry in entries:
            record = entry.get("record")
            if isinstance(record, dict):
                user_id, device_id = record.get("user_id"), record.get("device_id")
                if isinstance(user_id, str) and isinstance(device_id, str):
                    by_user.setdefault(user_id, {})[device_id] = entry
        devices: list[Device] = []
        for user_id, listing in by_user.items():
            learned = self.directory.learn(tx, user_id, listing, now, complete=True)
            devices += learned.devices
            change.events += learned.events
        counting = [d for d in devices if d.device_id != self.own.device_id and d.revoked_at is None]
        return counting, set(by_user)

    # --- Supplements ---

    def lost(self, tx: Transaction, session_id: str, device: Device) -> list[str]:
        """The messages that a device cannot open without this session: sent to it with it, and no receipt yet."""

        def concerned(target: Target) -> bool:
            place = (target.session_id, target.user_id, target.device_id)
            return place == (session_id, device.user_id, device.device_id) and not target.status

        return [
            message_id
            for message_id, record in tx.all(SENT).items()
            if record.content_key and any(concerned(target) for target in record.targets)
        ]

    def missing(self, tx: Transaction, message_id: str, entries: Iterable[SignedMap], now_us: int) -> Change:
        """5205: a remote server has devices that the message lacks; they get a supplement."""
        change = Change()
        now = now_us // 1_000_000
        devices, _ = self._learn(tx, entries, now, change)
        change.events += self.sending.open_sessions(tx, devices, now)
        supplement = self.supplement(tx, [message_id], devices, now_us)
        return Change(events=change.events + supplement.events, added=supplement.added)

    def supplement(self, tx: Transaction, message_ids: Sequence[str], devices: Sequence[Device], now_us: int) -> Change:
        """Wrap the content keys of these messages anew for these devices, whose sessions are open."""
        now = now_us // 1_000_000
        change = Change()
        found = [(message_id, record) for message_id in message_ids if (record := tx.get(SENT, message_id)) is not None]
        heads = [
            (message_id, record, decode_as(MessageSend, record.head).message)
            for message_id, record in found
            if record.content_key
        ]
        for message_id, record, message in sorted(
            heads, key=lambda head: (head[1].created_us, head[2].sequence_number)
        ):
            state = self._state(tx, message)
            members = [d for d in devices if state is not None and state.member(d.user_id) is not None]
            targets = self._targets(tx, members, now)
            if state is None or not targets:
                continue
            try:
                made, sessions = sealing.supplement(
                    message, record.content_key, own=self.own, state=state, targets=targets, now=now
                )
            except UNSEALABLE:
                continue  # it cannot be given to these devices, and shows there as what it is
            self.sending.put_sessions(tx, sessions)
            renewed = {target.device.device_id for target in targets}
            kept = tuple(target for target in record.targets if target.device_id not in renewed)
            tx.put(
                SENT,
                message_id,
                msgspec.structs.replace(record, targets=(*kept, *_listed(targets))),
                expires=expiry(now_us),
            )
            sequence = tx.append(OUTBOX, Outgoing(message_id=message_id, frame=encode(made), supplement=True))
            change.added.append((sequence, message_id))
        return change

    def _targets(self, tx: Transaction, devices: Iterable[Device], now: int) -> list[sealing.Target]:
        found = []
        for device in devices:
            session = self.sending.session(tx, device)
            if session is not None and session.usable(now):
                found.append(sealing.Target(device=device, session=session))
        return found

    # --- Receipts ---

    def receipt(self, tx: Transaction, message_id: str, receipt: SignedMap, now_us: int) -> Change:
        """A device's signed word; what is not signed as it must be changes nothing and is shown."""
        record = tx.get(SENT, message_id)
        if record is None:
            return Change()
        typed = self._verified(tx, message_id, record, receipt)
        if isinstance(typed, IntegrityAlert):
            return Change(events=[typed])
        target = next((t for t in record.targets if (t.user_id, t.device_id) == (typed.user_id, typed.device_id)), None)
        if target is None or RANK[typed.status] <= RANK[target.status]:
            return Change()
        self.sending.acknowledged(tx, target.user_id, target.device_id, target.session_id)
        moved = msgspec.structs.replace(target, status=typed.status, receipt_us=typed.timestamp)
        targets = tuple(moved if t is target else t for t in record.targets)
        status = _overall(targets, self.own.user_id, Status.SENT)
        record = msgspec.structs.replace(
            record, targets=targets, status=status.value, accepted_us=record.accepted_us or now_us
        )
        if all(t.status for t in targets):
            record = msgspec.structs.replace(record, content_key=b"", head=b"")
        tx.put(SENT, message_id, record, expires=expiry(now_us))
        return Change(events=[_changed(message_id, record)])

    def _verified(
        self, tx: Transaction, message_id: str, record: SentMessage, receipt: SignedMap
    ) -> ReadReceipt | IntegrityAlert:
        user_id, device_id = str(receipt.get("user_id", "")), str(receipt.get("device_id", ""))
        device = self.directory.device(tx, user_id, device_id)
        try:
            if device is None:
                raise BadSignatureError("of a device that is not known")
            return verify_receipt(
                receipt,
                device,
                message_id=message_id,
                conversation_id=record.conversation_id,
                ciphertext_hash=record.ciphertext_hash,
            )
        except (BadSignatureError, ProtocolError) as error:
            return IntegrityAlert(
                text=f"A receipt in the name of {user_id or 'nobody'} does not hold ({error}); it was ignored.",
                conversation_id=record.conversation_id,
                user_id=user_id,
                device_id=device_id,
                cause="bad_receipt",
            )

    def failed_later(self, tx: Transaction, message_id: str, code: int, now_us: int) -> Change:
        """A message that the home server had accepted did not arrive: another server did not take it, or a recipient's
        device could not open it."""
        record = tx.get(SENT, message_id)
        if record is None or record.error_code == code:
            return Change()
        others = [t for t in record.targets if t.user_id != self.own.user_id]
        record = msgspec.structs.replace(record, error_code=code, cause=_late_cause(code))
        if len(others) == 1 and not others[0].status:
            record = msgspec.structs.replace(record, status=Status.FAILED.value, content_key=b"", head=b"")
        tx.put(SENT, message_id, record, expires=expiry(now_us))
        return Change(events=[_changed(message_id, record)])

    # --- Helpers ---

    def _outgoing(self, tx: Transaction, sequence: int) -> Outgoing | None:
        found = tx.queue(OUTBOX, after=sequence - 1, limit=1)
        return found[0][1] if found and found[0][0] == sequence else None

    def _state(self, tx: Transaction, message: MessageSend) -> State | None:
        return self.conversations.state(tx, message.conversation_id, message.epoch)


def _late_cause(code: int) -> str:
    info = info_of(code)
    return info.name if info.category == "federation" else "not_opened"


def _listed(targets: Iterable[sealing.Target]) -> tuple[Target, ...]:
    return tuple(
        Target(user_id=t.device.user_id, device_id=t.device.device_id, session_id=t.session.session_id) for t in targets
    )


def _overall(targets: Sequence[Target], own_user: str, least: Status) -> Status:
    """The status of a message: delivered or read once each recipient user has it so on a device."""
    best: dict[str, int] = {}
    for target in targets:
        if target.user_id != own_user:
            best[target.user_id] = max(best.get(target.user_id, 0), RANK[target.status])
    reached = min(best.values(), default=0)
    return (least, Status.DELIVERED, Status.READ)[reached]


def status_of(message_id: str, record: SentMessage) -> MessageStatus:
    """A record as the application sees it."""
    reached = Status(record.status)
    recipients = tuple(
        RecipientStatus(
            user_id=target.user_id,
            device_id=target.device_id,
            status=Status(target.status) if target.status else min(reached, Status.SENT, key=list(Status).index),
            receipt_us=target.receipt_us,
        )
        for target in record.targets
    )
    return MessageStatus(
        message_id=message_id,
        conversation_id=record.conversation_id or None,
        status=reached,
        created_us=record.created_us,
        accepted_us=record.accepted_us,
        recipients=recipients,
        cause=record.cause,
        error_code=record.error_code,
    )


def _changed(message_id: str, record: SentMessage) -> StatusChanged:
    return StatusChanged(status=status_of(message_id, record))
