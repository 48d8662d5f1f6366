"""From what is to be said to finished bytes in the outbox: one pure decision per message (section 6).

Rules
- Chain head, session states, finished bytes and the record of the message are put by one transaction; only after its
  commit are the bytes sent. What was finished is never made again: a retry sends the same bytes.
- A message is encrypted to all active devices of all members and to this user's other devices, each vouched for by a
  pinned key. Devices, sessions, states that are missing are needs; a member whose key is not the pinned one ends it.
- Messages of one lane (a direct peer, or a conversation) are finished in the order in which they were given: while a
  draft
  waits in a lane, whatever comes after it waits too.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import msgspec

from norc_actors.client.conversations import Conversations
from norc_actors.client.directory import Directory, refused_device
from norc_actors.client.events import DeviceRefused, Event
from norc_actors.client.model import Status
from norc_actors.client.needs import FinalError, Need, WantingError
from norc_actors.client.records import (
    CONVERSATIONS,
    DAY,
    LANES,
    OUT_CHAINS,
    OUT_SESSIONS,
    OUTBOX,
    PINS,
    SENT,
    Draft,
    Lane,
    Outgoing,
    SentMessage,
    State,
    Target,
    expiry,
    join,
)
from norc_actors.client.transaction import Transaction
from norc_actors.crypto.suites import SUITES
from norc_actors.ids import MessageId, Random
from norc_actors.protocol import conversations as rules
from norc_actors.protocol import sealing
from norc_actors.protocol.chains import SendingChain
from norc_actors.protocol.codec import encode
from norc_actors.protocol.devices import Device, EntryRefusedError, OwnDevice, without_duplicates
from norc_actors.protocol.errors import ProtocolError
from norc_actors.protocol.messages import Classification, Inner, MessageSend
from norc_actors.protocol.prekeys import PrekeyRefusedError
from norc_actors.protocol.schema import replace
from norc_actors.protocol.sessions import NoCommonSuiteError, SendingSession, open_session


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """The rules of sending over one profile."""

    own: OwnDevice
    directory: Directory
    conversations: Conversations
    random: Random

    # --- Taking a message ---

    def submit(
        self, tx: Transaction, message_id: str, draft: Draft, now_us: int, events: list[Event]
    ) -> tuple[int, bool]:
        """Put a message into the outbox, finished if all that it needs is here: its sequence number, and whether."""
        record = SentMessage(created_us=now_us, status=Status.WAITING.value)
        lane = tx.get(LANES, draft.lane)
        if lane is None or not lane.waiting:
            attempt = tx.nested()
            try:
                finished = self.finish(attempt, message_id, draft, record, now_us, events)
            except (WantingError, FinalError):
                pass  # the preparer asks for what is missing, and tells the application what is final
            else:
                tx.absorb(attempt)
                return tx.append(OUTBOX, finished), True
        tx.put(LANES, draft.lane, Lane(waiting=(lane.waiting if lane else 0) + 1))
        tx.put(SENT, message_id, record, expires=expiry(now_us))
        return tx.append(OUTBOX, Outgoing(message_id=message_id, draft=draft)), False

    def prepare(self, tx: Transaction, sequence: int, outgoing: Outgoing, now_us: int, events: list[Event]) -> None:
        """Finish a draft of the outbox in its place. `WantingError`, `FinalError` as `finish`."""
        draft = outgoing.draft
        record = tx.get(SENT, outgoing.message_id)
        if draft is None or record is None:
            return
        tx.replace(OUTBOX, sequence, self.finish(tx, outgoing.message_id, draft, record, now_us, events))
        self._leave_lane(tx, draft)

    def give_up(
        self, tx: Transaction, sequence: int, outgoing: Outgoing, cause: str, error_code: int, now_us: int
    ) -> SentMessage | None:
        """Take a message out of the outbox for good; its record says why."""
        tx.remove(OUTBOX, sequence)
        if outgoing.draft is not None:
            self._leave_lane(tx, outgoing.draft)
        record = tx.get(SENT, outgoing.message_id)
        if record is None or record.accepted_us:
            return None
        failed = msgspec.structs.replace(
            record, status=Status.FAILED.value, cause=cause, error_code=error_code, content_key=b"", head=b""
        )
        tx.put(SENT, outgoing.message_id, failed, expires=expiry(now_us))
        return failed

    def _leave_lane(self, tx: Transaction, draft: Draft) -> None:
        lane = tx.get(LANES, draft.lane)
        if lane is not None and lane.waiting > 1:
            tx.put(LANES, draft.lane, Lane(waiting=lane.waiting - 1))
        elif lane is not None:
            tx.delete(LANES, draft.lane)

    # --- Finishing ---

    def finish(
        self, tx: Transaction, message_id: str, draft: Draft, record: SentMessage, now_us: int, events: list[Event]
    ) -> Outgoing:
        """The finished message for the outbox, its chain, sessions and record put.

        `WantingError` for what has to be asked first; `FinalError` if it cannot be sent.
        """
        state = self._state(tx, draft)
        targets = self._targets(tx, state, now_us // 1_000_000, events)
        outgoing = sealing.Outgoing(
            message_id=message_id,
            state=state,
            inner=_inner(draft),
            timestamp_us=now_us,
            classification=cast("Classification", draft.classification),
            expires_at=draft.expires_at,
        )
        sealed = self._seal(tx, outgoing, targets)
        tx.put(OUT_CHAINS, state.conversation_id, State(state=sealed.chain.to_map()))
        self.put_sessions(tx, sealed.sessions)
        listed = tuple(
            Target(user_id=t.device.user_id, device_id=t.device.device_id, session_id=t.session.session_id)
            for t in targets
        )
        finished = msgspec.structs.replace(
            record,
            status=Status.SENDING.value,
            conversation_id=state.conversation_id,
            content_key=sealed.content_key,
            ciphertext_hash=sealed.ciphertext_hash,
            head=encode(replace(sealed.message, encrypted_keys={})),
            targets=listed,
        )
        tx.put(SENT, message_id, finished, expires=expiry(now_us))
        return outgoing_of(sealed.message)

    def _seal(self, tx: Transaction, outgoing: sealing.Outgoing, targets: list[sealing.Target]) -> sealing.Sealed:
        try:
            return sealing.seal(
                outgoing,
                own=self.own,
                chain=self._chain(tx, outgoing.state.conversation_id),
                targets=targets,
                now=outgoing.timestamp_us // 1_000_000,
                random=self.random,
            )
        except (sealing.SealRefusedError, EntryRefusedError) as error:  # a device of tomorrow, by a clock set back
            raise FinalError("refused", f"The message cannot be sent: {error}.") from error
        except NoCommonSuiteError as error:
            raise FinalError("no_common_suite", f"The message cannot be encrypted: {error}.") from error

    def _state(self, tx: Transaction, draft: Draft) -> rules.State:
        conversation_id = self.conversations.direct(tx, draft.lane) if draft.direct else draft.lane
        if conversation_id is None:
            raise WantingError(Need(direct=draft.lane))
        known = tx.get(CONVERSATIONS, conversation_id)
        state = self.conversations.latest(tx, conversation_id)
        if known is None or state is None:
            raise WantingError(Need(conversation=conversation_id))
        if known.left:
            raise FinalError("left", "You are no member of this conversation any more.")
        if not state.permits(self.own.user_id, "send_messages"):
            raise FinalError("not_permitted", "Your role in this conversation does not permit sending.")
        self.conversations.check_members(tx, state)
        return state

    def _targets(self, tx: Transaction, state: rules.State, now: int, events: list[Event]) -> list[sealing.Target]:
        devices = self._devices(tx, state, now, events)
        targets = []
        lacking: list[str] = []
        for device in devices:
            session = self.session(tx, device)
            if session is None or not session.usable(now):
                lacking.append(device.user_id)
            else:
                targets.append(sealing.Target(device=device, session=session))
        if lacking:
            raise WantingError(Need(users=tuple(sorted(set(lacking)))))
        return targets

    def _devices(self, tx: Transaction, state: rules.State, now: int, events: list[Event]) -> list[Device]:
        """All devices that shall read a message, in the order in which their users were pinned: of two users that list
        one device_id, the one pinned later is refused and shown."""
        recipients = sorted(state.recipients(self.own.user_id), key=lambda user: self._pin_order(tx, user))
        unknown = [user for user in (*recipients, self.own.user_id) if self.directory.active(tx, user, now) is None]
        if unknown:
            raise WantingError(Need(users=tuple(sorted(unknown))))
        listed = [
            device for user in (self.own.user_id, *recipients) for device in self.directory.active(tx, user, now) or ()
        ]
        found, refused = without_duplicates(listed)
        events += [refused_device(error) for error in refused]
        found = [device for device in found if device.device_id != self.own.device_id]
        if not recipients and not found:
            raise FinalError("alone", "There is nobody else in this conversation.")
        if recipients and all(device.user_id == self.own.user_id for device in found):
            raise FinalError(
                "no_devices",
                "No recipient has a device that could be trusted with this message.",
                "Ask them whether they have enrolled one, and look at the security events.",
            )
        return found

    def _pin_order(self, tx: Transaction, user_id: str) -> int:
        pin = tx.get(PINS, user_id)
        return pin.order if pin else 0

    def _chain(self, tx: Transaction, conversation_id: str) -> SendingChain:
        stored = tx.get(OUT_CHAINS, conversation_id)
        return SendingChain.from_map(stored.state) if stored else SendingChain.start(conversation_id, self.random)

    # --- Sessions ---

    def session(self, tx: Transaction, device: Device) -> SendingSession | None:
        """The session towards a device."""
        stored = tx.get(OUT_SESSIONS, join(device.user_id, device.device_id))
        return SendingSession.from_map(stored.state) if stored else None

    def open_sessions(
        self, tx: Transaction, devices: Iterable[Device], now: int, *, renew: bool = False
    ) -> list[Event]:
        """Open sessions with devices that just came with fresh bundles, where there is none that is usable.

        `renew` replaces usable ones too (the peer has lost it). A device without usable prekeys is shown.
        """
        events: list[Event] = []
        for device in devices:
            if device.device_id == self.own.device_id or device.revoked_at is not None:
                continue
            current = self.session(tx, device)
            if current is not None and current.usable(now) and not renew:
                continue
            try:
                opened = open_session(self.own, device, now=now, random=self.random)
            except (PrekeyRefusedError, NoCommonSuiteError, EntryRefusedError, ProtocolError) as error:
                text = f"No session with device {device.device_id} of {device.user_id}: {error}."
                events.append(
                    DeviceRefused(text=text, user_id=device.user_id, device_id=device.device_id, cause="no_session")
                )
            else:
                self.put_sessions(tx, (opened,))
        return events

    def acknowledged(self, tx: Transaction, user_id: str, device_id: str, session_id: str) -> None:
        """A device has signed a receipt for a message of this session: `open` need not travel any more."""
        key = join(user_id, device_id)
        stored = tx.get(OUT_SESSIONS, key)
        if stored is None or stored.state.get("session_id") != session_id or "open" not in stored.state:
            return
        self.put_sessions(tx, (SendingSession.from_map(stored.state).acknowledged(),))

    def end_session(self, tx: Transaction, user_id: str, device_id: str) -> None:
        """Start anew with the next message."""
        tx.delete(OUT_SESSIONS, join(user_id, device_id))

    def put_sessions(self, tx: Transaction, sessions: Iterable[SendingSession]) -> None:
        """Put the states that follow; before their commit nothing made with them is sent."""
        for session in sessions:
            expires = session.expires_at // DAY + 1
            key = join(session.target_user, session.target_device)
            tx.put(OUT_SESSIONS, key, State(state=session.to_map()), expires=expires)


def outgoing_of(message: MessageSend) -> Outgoing:
    """A finished message as the outbox keeps it."""
    devices = "".join(sorted(message.encrypted_keys)).encode()
    return Outgoing(
        message_id=message.message_id,
        frame=encode(message),
        conversation_id=message.conversation_id,
        fanout=SUITES["0001"].hash(devices)[:8],
    )


def _inner(draft: Draft) -> Inner:
    return Inner(
        message_type=draft.message_type,  # type: ignore[arg-type]
        body=draft.text if draft.body is None else draft.body,
        reply_to=MessageId(draft.reply_to) if draft.reply_to else None,
    )
