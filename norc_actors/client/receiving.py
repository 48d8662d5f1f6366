"""A received message: opened, judged and put into the inbox by one pure decision (section 6, *Receiving*; §7.3).

Cases, for each `message_received`

| what | committed | answered |
|---|---|---|
| opens, in order | session, chain, dedupe record, message, receipt | `message_ack{delivered}` |
| known already | nothing | the recorded receipt again |
| messages before it are missing | nothing | nothing: held 2 s by the caller, then taken with `held` |
| its device or state is not here | nothing | nothing: `WantingError`; asked for, then judged anew |
| its session is not here | that it was asked for | `session_key_exchange{unknown}`, once a minute |
| refused for good | the refusal, shown as `Undecryptable` | `message_ack{failed}` |

Rules
- All that a message changes is put in one transaction, and only after its commit is anything answered: a kill in
  between brings the same message again, which then is known.
- A refusal is shown once, and recorded by its ciphertext: the genuine message under that id can still come.
- `system` messages (a group's name) are not for the inbox; they have receipts like all others.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

from norc_actors.client.conversations import Conversations
from norc_actors.client.directory import Directory
from norc_actors.client.events import Event, IntegrityAlert, MessageDelayed
from norc_actors.client.keyring import Keyring
from norc_actors.client.model import Cause
from norc_actors.client.needs import Need, WantingError
from norc_actors.client.records import (
    ASKED,
    CONVERSATIONS,
    DAY,
    IN_CHAINS,
    IN_SESSIONS,
    INBOX,
    LAST_CHAINS,
    ONE_TIME,
    PINS,
    REFUSED,
    SEEN,
    Asked,
    Incoming,
    LastChain,
    Refused,
    Seen,
    State,
    join,
)
from norc_actors.client.sending import Sending
from norc_actors.client.transaction import Transaction
from norc_actors.ids import MessageId
from norc_actors.limits import ASK_AGAIN_SECONDS, SEEN_KEPT_DAYS, SESSION_KEPT_SECONDS
from norc_actors.protocol import opening
from norc_actors.protocol.canonical import Value
from norc_actors.protocol.chains import Place, ReceivingChain
from norc_actors.protocol.codec import convert
from norc_actors.protocol.devices import Device, EntryFault, OwnDevice
from norc_actors.protocol.errors import ProtocolError
from norc_actors.protocol.messages import MessageAck, MessageReceived, SystemBody, UnknownSession
from norc_actors.protocol.prekeys import BundleSecret, OneTimeSecret
from norc_actors.protocol.receipts import make_receipt
from norc_actors.protocol.schema import SignedMap
from norc_actors.protocol.sealing import ciphertext_hash
from norc_actors.protocol.sessions import ReceivingSession, make_unknown, starts_fresh


@dataclass(slots=True)
class Outcome:
    """What follows once the changes are committed. `hold`: try again when one before it came, or after 2 s;
    `waiting`: after a while, its session was asked for."""

    acks: list[MessageAck] = field(default_factory=list)
    unknown: list[UnknownSession] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    hold: bool = False
    waiting: bool = False
    shown: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiving:
    """The rules of receiving over one profile."""

    own: OwnDevice
    keyring: Keyring
    directory: Directory
    conversations: Conversations
    sending: Sending

    def receive(
        self,
        tx: Transaction,
        message: MessageReceived,
        now_us: int,
        *,
        held: bool = False,
        tried: Collection[Need] = (),
    ) -> Outcome:
        """Judge a message. `tried`: what was asked for it already. `WantingError` for what has to be asked first."""
        key = join(message.sender_user, message.sender_device, message.message_id)
        seen = tx.get(SEEN, key)
        try:
            opened = self._open(tx, message, seen, now_us // 1_000_000, held=held, tried=tried)
        except opening.MessageRefusedError as error:
            return self._refuse(tx, message, key, error, now_us)
        if isinstance(opened, opening.Again):
            return Outcome(acks=[_ack(message, "delivered", now_us, seen.receipt if seen else None)])
        if isinstance(opened, opening.Hold):
            return Outcome(hold=True)
        return self._accept(tx, message, key, opened, now_us)

    # --- Opening ---

    def _open(
        self,
        tx: Transaction,
        message: MessageReceived,
        seen: Seen | None,
        now: int,
        *,
        held: bool,
        tried: Collection[Need],
    ) -> opening.Opened | opening.Again | opening.Hold:
        sender = self._sender(tx, message, tried)
        state = self.conversations.state(tx, message.conversation_id, message.epoch)
        need = Need(conversation=message.conversation_id, epoch=message.epoch)
        if state is None and seen is None and need not in tried:
            raise WantingError(need)
        wrap = message.encrypted_keys.get(self.own.device_id)  # type: ignore[call-overload]
        session_id = wrap.session_id if wrap is not None else ""
        session = tx.get(IN_SESSIONS, join(message.sender_user, message.sender_device, session_id))
        prekey_id, one_time_id = opening.prekeys_named(message, self.own.device_id)
        chain = tx.get(IN_CHAINS, self._chain_key(message))
        return opening.open_message(
            message,
            own=self.own,
            sender=sender,
            recorded_hash=seen.ciphertext_hash if seen else None,
            session=ReceivingSession.from_map(session.state) if session else None,
            bundle=self._bundle(tx, prekey_id) if session is None else None,
            one_time=self._one_time(tx, one_time_id) if session is None else None,
            state=state,
            chain=ReceivingChain.from_map(chain.state) if chain else None,
            now=now,
            held=held,
        )

    def _sender(self, tx: Transaction, message: MessageReceived, tried: Collection[Need]) -> Device:
        user_id, device_id = message.sender_user, message.sender_device
        device = self.directory.device(tx, user_id, device_id)
        if device is not None:
            return device
        need = Need(users=(user_id,), devices=(device_id,))
        if need not in tried:
            raise WantingError(need)
        fault = self.directory.fault(tx, user_id, device_id)
        known = fault in EntryFault.__members__.values()
        cause = opening.cause_of(EntryFault(fault)) if known else opening.Cause.UNTRUSTED_DEVICE
        raise opening.MessageRefusedError(cause, f"its device: {fault or 'unknown'}")

    def _bundle(self, tx: Transaction, prekey_id: int | None) -> BundleSecret | None:
        return next((secret for secret in self.keyring.secrets(tx) if secret.prekey_id == prekey_id), None)

    def _one_time(self, tx: Transaction, one_time_id: int | None) -> OneTimeSecret | None:
        stored = None if one_time_id is None else tx.get(ONE_TIME, str(one_time_id))
        return OneTimeSecret(one_time_id=one_time_id, x25519=stored.x25519) if stored and one_time_id else None

    def _chain_key(self, message: MessageReceived) -> str:
        return join(message.sender_user, message.sender_device, message.conversation_id, message.chain_id)

    # --- Accepting ---

    def _accept(
        self, tx: Transaction, message: MessageReceived, key: str, opened: opening.Opened, now_us: int
    ) -> Outcome:
        now = now_us // 1_000_000
        receipt = make_receipt(
            self.own.key,
            message_id=message.message_id,
            conversation_id=message.conversation_id,
            ciphertext_hash=opened.ciphertext_hash,
            status="delivered",
            user_id=self.own.user_id,
            device_id=self.own.device_id,
            timestamp_us=now_us,
        )
        seen = Seen(ciphertext_hash=opened.ciphertext_hash, conversation_id=message.conversation_id, receipt=receipt)
        tx.put(SEEN, key, seen, expires=now // DAY + SEEN_KEPT_DAYS)
        self._put_session(tx, message, opened)
        new_chain = self._put_chain(tx, message, opened)
        if starts_fresh(message.metadata.classification):
            self.sending.end_session(tx, message.sender_user, message.sender_device)
        outcome = Outcome(acks=[_ack(message, "delivered", now_us, receipt)])
        if opened.inner.message_type == "system":
            outcome.events += self._system(tx, message, opened)
        else:
            tx.append(INBOX, self._incoming(tx, message, opened, new_chain=new_chain))
            outcome.shown = True
        return outcome

    def _put_session(self, tx: Transaction, message: MessageReceived, opened: opening.Opened) -> None:
        session = opened.session
        key = join(message.sender_user, message.sender_device, session.session_id)
        expires = (session.expires_at + SESSION_KEPT_SECONDS) // DAY + 1
        tx.put(IN_SESSIONS, key, State(state=session.to_map()), expires=expires)
        if opened.used_one_time is not None:
            tx.delete(ONE_TIME, str(opened.used_one_time))

    def _put_chain(self, tx: Transaction, message: MessageReceived, opened: opening.Opened) -> bool:
        """Put the chain; whether the device has begun a new one."""
        tx.put(IN_CHAINS, self._chain_key(message), State(state=opened.chain.to_map()))
        place = join(message.sender_user, message.sender_device, message.conversation_id)
        last = tx.get(LAST_CHAINS, place)
        if last is not None and last.chain_id == message.chain_id:
            return False
        if last is None or opened.place is not Place.FILL:
            tx.put(LAST_CHAINS, place, LastChain(chain_id=message.chain_id))
        return last is not None

    def _incoming(
        self, tx: Transaction, message: MessageReceived, opened: opening.Opened, *, new_chain: bool
    ) -> Incoming:
        inner = opened.inner
        body: dict[str, Value] | None = None if isinstance(inner.body, str) else inner.body
        known = tx.get(CONVERSATIONS, message.conversation_id)
        pin = tx.get(PINS, message.sender_user)
        own = message.sender_user == self.own.user_id
        return Incoming(
            message_id=message.message_id,
            conversation_id=message.conversation_id,
            sender=message.sender_user,
            sender_device=message.sender_device,
            accepted_at=message.accepted_at,
            message_type=inner.message_type,
            text=inner.body if isinstance(inner.body, str) else "",
            body=body,
            sent_us=message.metadata.timestamp,
            classification=message.metadata.classification,
            reply_to=inner.reply_to,
            own=own,
            group=known is not None and known.type != "direct",
            gap=opened.incomplete,
            new_chain=new_chain,
            verified=own or (pin is not None and pin.verified),
        )

    def _system(self, tx: Transaction, message: MessageReceived, opened: opening.Opened) -> list[Event]:
        if not isinstance(opened.inner.body, dict):
            return []
        try:
            body = convert(opened.inner.body, SystemBody)
        except ProtocolError:
            return []  # of a version that says more; it has had its receipt, and nobody waits for it
        if body.name is None:
            return []
        return self.conversations.rename(
            tx, message.conversation_id, body.name, message.sender_user, message.metadata.timestamp
        )

    # --- Refusing ---

    def _refuse(
        self, tx: Transaction, message: MessageReceived, key: str, error: opening.MessageRefusedError, now_us: int
    ) -> Outcome:
        if error.cause is opening.Cause.UNKNOWN_SESSION:
            return self._ask(tx, message, now_us // 1_000_000)
        digest = ciphertext_hash(message)
        outcome = Outcome(acks=[_ack(message, "failed", now_us, None)])
        refused = tx.get(REFUSED, key)
        if refused is not None and refused.ciphertext_hash == digest:
            return outcome
        expires = now_us // 1_000_000 // DAY + SEEN_KEPT_DAYS
        tx.put(REFUSED, key, Refused(ciphertext_hash=digest), expires=expires)
        chain = tx.get(IN_CHAINS, self._chain_key(message))
        if chain is not None and not error.alert:
            lost = ReceivingChain.from_map(chain.state).lost(message.sequence_number)
            tx.put(IN_CHAINS, self._chain_key(message), State(state=lost.to_map()))
        tx.append(
            INBOX,
            Incoming(
                message_id=message.message_id,
                conversation_id=message.conversation_id,
                sender=message.sender_user,
                sender_device=message.sender_device,
                accepted_at=message.accepted_at,
                cause=error.cause.value,
            ),
        )
        outcome.shown = True
        if error.alert:
            outcome.events.append(_alert(message, error))
        return outcome

    def _ask(self, tx: Transaction, message: MessageReceived, now: int) -> Outcome:
        """The session is not here: ask its opener once, and leave the message with the server until it answers."""
        wrap = message.encrypted_keys.get(self.own.device_id)  # type: ignore[call-overload]
        if wrap is None:
            return Outcome()
        key = join(message.sender_user, message.sender_device, wrap.session_id)
        asked = tx.get(ASKED, key)
        if asked is not None and now - asked.at < ASK_AGAIN_SECONDS:
            return Outcome(waiting=True)
        tx.put(ASKED, key, Asked(at=now), expires=now // DAY + SEEN_KEPT_DAYS)
        unknown = make_unknown(self.own, wrap.session_id, message.sender_user, message.sender_device, now)
        delayed = MessageDelayed(
            message_id=message.message_id,
            conversation_id=message.conversation_id,
            sender=message.sender_user,
            sender_device=message.sender_device,
            cause=Cause.UNKNOWN_SESSION,
        )
        events: list[Event] = [delayed] if asked is None else []
        return Outcome(unknown=[convert(unknown, UnknownSession)], events=events, waiting=True)


def _ack(message: MessageReceived, status: str, now_us: int, receipt: SignedMap | None) -> MessageAck:
    return MessageAck(
        message_id=MessageId(message.message_id),
        status=status,  # type: ignore[arg-type]
        timestamp=now_us,
        error_code=opening.WIRE_CODE.value if status == "failed" else None,
        receipt=receipt,
    )


def _alert(message: MessageReceived, error: opening.MessageRefusedError) -> IntegrityAlert:
    what = {
        opening.Cause.BROKEN_CHAIN: "does not continue what the device sent before",
        opening.Cause.REPLAYED: "repeats a number or an id that was used already",
    }.get(error.cause, error.cause.value)
    return IntegrityAlert(
        text=f"A message from {message.sender_user} {what}: something was inserted, replaced or replayed on the way.",
        conversation_id=message.conversation_id,
        user_id=message.sender_user,
        device_id=message.sender_device,
        cause=error.cause.value,
    )
