"""Messages on their way out: drafts finished, the outbox sent, answers taken (section 7).

Two tasks: `prepare` finishes drafts, asking for what they need, and lives as long as the client; `pump` sends what is
finished, and lives as long as a connection. Answers are decided by `outbox` and change the flight after their commit.

Rules
- A message for other devices than the one before it in its conversation leaves once that one is answered, which may be
  with a refusal of its device list. So the order of a chain holds at the server, too.
- One resolution runs per need; drafts of other lanes go on meanwhile.
- A draft whose need was answered but that still needs it is tried again a few times (a device may be enrolled but
  without prekeys yet), then fails.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import trio

from norc_actors.client.connection import Connection
from norc_actors.client.core import Core
from norc_actors.client.errors import ClientError, ProfileError
from norc_actors.client.events import Event
from norc_actors.client.needs import FinalError, Need, WantingError
from norc_actors.client.outbox import Change
from norc_actors.client.records import OUTBOX, Outgoing
from norc_actors.client.resolver import Resolver
from norc_actors.client.transaction import Transaction
from norc_actors.ids import DeviceId
from norc_actors.limits import NEED_RETRIES, NEED_RETRY_SECONDS, RETRY_PAUSE_SECONDS
from norc_actors.protocol.codec import decode_as, encode
from norc_actors.protocol.errors import Code, info_of
from norc_actors.protocol.messages import ErrorMessage, MessageAck, MessageSend, UnknownSession, Wrap
from norc_actors.protocol.registry import code_of
from norc_actors.protocol.schema import SignedMap, replace
from norc_actors.protocol.sessions import OpenRefusedError, verify_unknown

_SEND = code_of(MessageSend)


@dataclass(slots=True)
class _Prepared:
    """What one pass over the drafts did."""

    finished: list[int] = field(default_factory=list)
    removed: list[int] = field(default_factory=list)
    wanted: set[Need] = field(default_factory=set)
    events: list[Event] = field(default_factory=list)


class Transmission:
    """The outbox of an open client in motion."""

    def __init__(self, core: Core, resolver: Resolver) -> None:
        self._core = core
        self._resolver = resolver
        self._asking: set[Need] = set()
        self._failed: dict[Need, FinalError] = {}
        self._attempts: dict[Need, int] = {}

    async def load(self) -> None:
        """Take the outbox over from the profile."""
        after = 0
        while rows := await self._core.do(partial(_next_rows, after=after)):
            for sequence, outgoing in rows:
                self._core.flight.add(sequence, outgoing.message_id, ready=outgoing.draft is None)
            after = rows[-1][0]

    # --- Drafts ---

    async def prepare(self) -> None:
        """Finish drafts as they come and as their needs are satisfied."""
        async with trio.open_nursery() as nursery:
            while True:
                since = self._core.drafts_changed.count
                drafts = self._core.flight.drafts()
                try:
                    wanted = await self._pass(drafts) if drafts else set()
                except ProfileError:
                    await trio.sleep(RETRY_PAUSE_SECONDS)  # a full disk: the drafts stay
                    continue
                for need in wanted - self._asking:
                    self._asking.add(need)
                    nursery.start_soon(self._ask, need)
                await self._core.drafts_changed.wait(since)

    async def _pass(self, drafts: list[int]) -> set[Need]:
        """One pass over the drafts, in order: what they want. A lane stops at the first that wants something."""
        failed, self._failed = self._failed, {}

        def operation(tx: Transaction) -> _Prepared:
            prepared = _Prepared()
            blocked: set[str] = set()
            for sequence in drafts:
                self._one(tx, sequence, failed, blocked, prepared)
            return prepared

        prepared = await self._core.do(operation, self._prepared)
        for need in self._attempts.keys() - prepared.wanted - self._asking:
            del self._attempts[need]
        return prepared.wanted

    def _one(
        self,
        tx: Transaction,
        sequence: int,
        failed: dict[Need, FinalError],
        blocked: set[str],
        prepared: _Prepared,
    ) -> None:
        rows = tx.queue(OUTBOX, sequence - 1, 1)
        if not rows or rows[0][0] != sequence or (draft := rows[0][1].draft) is None or draft.lane in blocked:
            return
        outgoing, now_us = rows[0][1], self._core.engine.now_us()
        layer = tx.nested()
        events: list[Event] = []
        try:
            self._core.engine.sending.prepare(layer, sequence, outgoing, now_us, events)
        except WantingError as wanting:
            error = failed.get(wanting.need)
            if error is None:
                blocked.add(draft.lane)
                prepared.wanted.add(wanting.need)
                return
        except FinalError as final:
            error = final
        else:
            tx.absorb(layer)
            prepared.finished.append(sequence)
            prepared.events += events
            return
        change = self._core.engine.outbox.refused(tx, sequence, 0, error.cause, now_us)
        prepared.removed += change.removed
        prepared.events += change.events

    def _prepared(self, prepared: _Prepared) -> None:
        for sequence in prepared.finished:
            self._core.flight.finished(sequence)
        for sequence in prepared.removed:
            self._core.flight.remove(sequence)
        if prepared.finished or prepared.removed:
            self._core.flight_changed.notify()
        self._core.publish(prepared.events)

    async def _ask(self, need: Need) -> None:
        """Have a need satisfied, whatever number of connections it takes."""
        attempts = self._attempts.get(need, 0)
        try:
            if attempts:
                await trio.sleep(NEED_RETRY_SECONDS * 2 ** (attempts - 1))
            if attempts >= NEED_RETRIES:
                raise FinalError("no_session", "A device of a recipient has no keys to write to it with.")
            await self._satisfied(need)
        except FinalError as error:
            self._failed[need] = error
        self._attempts[need] = attempts + 1
        self._asking.discard(need)
        self._core.drafts_changed.notify()

    async def _satisfied(self, need: Need) -> None:
        while True:
            while self._core.connection is None:
                await self._core.link_changed.wait()
            try:
                await self._resolver.satisfy(need)
            except ClientError:
                await trio.sleep(NEED_RETRY_SECONDS)  # no connection, or a full disk
                continue
            except WantingError as wanting:
                raise FinalError("unverifiable", f"A key is missing: {wanting.need}.") from None
            return

    # --- Sending ---

    async def pump(self, connection: Connection) -> None:
        """Send what is finished, in order and within the window, until cancelled."""
        core = self._core
        written: dict[str, bytes] = {}
        while True:
            sequences = core.flight.take(trio.current_time())
            if not sequences:
                with trio.move_on_at(core.flight.wakes_at(trio.current_time())):
                    await core.flight_changed.wait()
                continue
            rows = await core.do(partial(_rows, wanted=sequences))
            for sequence in set(sequences) - {sequence for sequence, _ in rows}:
                core.flight.remove(sequence)
            for index, (sequence, outgoing) in enumerate(rows):
                other = written.get(outgoing.conversation_id, outgoing.fanout) != outgoing.fanout
                if other and outgoing.fanout and core.flight.flying > len(rows) - index:
                    core.flight.hold_back([number for number, _ in rows[index:]])
                    break
                if outgoing.fanout:
                    written[outgoing.conversation_id] = outgoing.fanout
                await self._put(connection, sequence, outgoing)

    async def _put(self, connection: Connection, sequence: int, outgoing: Outgoing) -> None:
        parts = split(outgoing.frame, connection.max_message)
        if any(len(part) > connection.max_message for part in parts):
            outbox, now_us = self._core.engine.outbox, self._core.engine.now_us
            await self._decide(lambda tx: outbox.refused(tx, sequence, Code.TOO_LARGE.value, "too_large", now_us()))
            return
        for part in parts:
            connection.put_encoded(_SEND, part)

    # --- Answers ---

    async def acknowledged(self, ack: MessageAck) -> None:
        """An answer about a message: accepted, refused, received, read."""
        if ack.receipt is not None:
            receipt = ack.receipt
            await self._decide(
                lambda tx: self._core.engine.outbox.receipt(tx, ack.message_id, receipt, self._core.engine.now_us())
            )
        elif ack.status == "sent":
            await self._accepted(ack)
        elif ack.status == "failed":
            await self._refused(ack.message_id, ack.error_code or 0, ack.stale_devices, 0.0)

    async def refused(self, error: ErrorMessage) -> bool:
        """A refusal that came as `error`; whether its request_id is a message in flight."""
        message_id = error.request_id or ""
        if not self._core.flight.in_flight(message_id):
            return False
        await self._refused(message_id, error.error_code, None, float(error.retry_after or 0))
        return True

    async def _accepted(self, ack: MessageAck) -> None:
        sequence = self._core.flight.answered(ack.message_id)
        if ack.error_code == Code.REMOTE_STALE_DEVICES and ack.stale_devices:
            await self._decide(
                lambda tx: self._core.engine.outbox.missing(
                    tx, ack.message_id, ack.stale_devices or (), self._core.engine.now_us()
                )
            )
        if sequence is None:
            return
        self._core.flight.accepted()
        await self._decide(
            lambda tx: self._core.engine.outbox.accepted(tx, sequence, ack.message_id, self._core.engine.now_us())
        )

    async def _refused(
        self, message_id: str, code: int, stale: tuple[SignedMap, ...] | None, retry_after: float
    ) -> None:
        core = self._core
        sequence = core.flight.answered(message_id)
        if sequence is None:
            if info_of(code).action != "retry" and not stale:
                await self._decide(
                    lambda tx: core.engine.outbox.failed_later(tx, message_id, code, core.engine.now_us())
                )
            return
        if code == Code.STALE_DEVICES and stale is not None:
            await self._decide(lambda tx: core.engine.outbox.stale(tx, sequence, stale, core.engine.now_us()))
        elif info_of(code).action == "retry" or code == Code.SERVER:
            core.flight.pause(trio.current_time() + max(retry_after, RETRY_PAUSE_SECONDS))
            core.flight.again(sequence)
            core.flight_changed.notify()
        else:
            cause = info_of(code).name
            await self._decide(lambda tx: core.engine.outbox.refused(tx, sequence, code, cause, core.engine.now_us()))

    async def _decide(self, operation: Callable[[Transaction], Change]) -> None:
        await self._core.committer.post(operation, self._changed, self._core.broken)

    def _changed(self, change: Change) -> None:
        flight = self._core.flight
        for sequence in change.removed:
            flight.remove(sequence)
        for sequence in change.again:
            flight.again(sequence)
        for sequence, message_id in change.added:
            flight.add(sequence, message_id, ready=True)
        if change.removed or change.again or change.added:
            self._core.flight_changed.notify()
        self._core.publish(change.events)

    # --- Lost sessions ---

    async def unknown_session(self, unknown: UnknownSession, received: SignedMap) -> None:
        """A device has lost a session of ours: open a new one and send supplements."""
        core = self._core
        engine = core.engine
        device = await core.do(lambda tx: engine.directory.device(tx, unknown.sender_user, unknown.sender_device))
        if device is None:
            return
        try:
            verify_unknown(received, own=engine.own, device=device)
        except OpenRefusedError:
            return
        lost = await core.do(lambda tx: engine.outbox.lost(tx, unknown.session_id, device))
        if not lost:
            return
        try:
            devices = await self._resolver.devices(unknown.sender_user, (unknown.sender_device,), renew=True)
        except (FinalError, ClientError):
            return  # it asks again
        await self._decide(lambda tx: engine.outbox.supplement(tx, lost, devices, engine.now_us()))


def _next_rows(tx: Transaction, after: int) -> list[tuple[int, Outgoing]]:
    return tx.queue(OUTBOX, after, 256)


def _rows(tx: Transaction, wanted: list[int]) -> list[tuple[int, Outgoing]]:
    """The outbox rows of these sequence numbers that are still there and finished."""
    found = []
    for sequence in wanted:
        rows = tx.queue(OUTBOX, sequence - 1, 1)
        if rows and rows[0][0] == sequence and rows[0][1].draft is None:
            found.append(rows[0])
    return found


def split(frame: bytes, limit: int) -> list[bytes]:
    """An encoded `message_send` in parts of at most `limit` bytes each: the same ciphertext, the wraps shared out.

    Deterministic, so that a retry sends the same parts. A ciphertext that does not fit at all comes back whole.
    """
    if len(frame) <= limit:
        return [frame]
    message = decode_as(MessageSend, frame).message
    wraps = list(message.encrypted_keys.items())
    count = 2
    while count <= len(wraps):
        size = -(-len(wraps) // count)
        shares = [dict(wraps[start : start + size]) for start in range(0, len(wraps), size)]
        last = len(shares) - 1
        parts = [
            encode(_part(message, share, first=number == 0, more=number < last)) for number, share in enumerate(shares)
        ]
        if all(len(part) <= limit for part in parts):
            return parts
        count += 1
    return [frame]


def _part(message: MessageSend, share: dict[DeviceId, Wrap], *, first: bool, more: bool) -> MessageSend:
    supplement = message.supplement or not first
    return replace(message, encrypted_keys=share, supplement=supplement, more=more)
