"""What is done with each message of a ready connection, one case a type."""

from functools import partial

import structlog
import trio

from norc_actors.client.connection import Connection
from norc_actors.client.conversations import Carrier
from norc_actors.client.core import Core
from norc_actors.client.directory import Directory
from norc_actors.client.errors import DeviceRevokedError
from norc_actors.client.events import DeviceApprovalWanted, Event, IntegrityAlert
from norc_actors.client.intake import Intake, Job
from norc_actors.client.model import PendingDevice
from norc_actors.client.needs import FinalError, Need, WantingError
from norc_actors.client.records import DAY, READS, PendingRead
from norc_actors.client.resolver import Resolver, direct_key
from norc_actors.client.transaction import Transaction
from norc_actors.client.transmission import Transmission
from norc_actors.crypto.errors import BadSignatureError
from norc_actors.limits import PREKEY_CHECK_SECONDS, PREKEY_UPLOADS
from norc_actors.protocol import messages as m
from norc_actors.protocol.codec import Received
from norc_actors.protocol.errors import ProtocolError
from norc_actors.protocol.schema import Message, SignedMap

log = structlog.get_logger("norc.client")


class Reader:
    """The receiving side of one ready connection."""

    def __init__(
        self,
        core: Core,
        resolver: Resolver,
        transmission: Transmission,
        intake: Intake,
        connection: Connection,
        nursery: trio.Nursery,
    ) -> None:
        self._core = core
        self._resolver = resolver
        self._transmission = transmission
        self._intake = intake
        self._connection = connection
        self._nursery = nursery
        self._prekeys: m.PrekeyStatus | None = None
        self._prekeys_at = trio.current_time()
        self._uploads = 0
        self._delivered = 0
        self._sent_reads: set[str] = set()
        self._aged_reads: set[str] = set()
        self._pinged_reads: set[str] = set()
        self._renewing: set[str] = set()

    async def greet(self) -> None:
        """What this side says first: the read receipts that were never confirmed."""
        for key, pending in (await self._core.do(lambda tx: tx.all(READS))).items():
            self.read(key, pending)

    async def take(self, received: Received[Message]) -> None:  # noqa: C901 - one case a type
        """Act on a message."""
        core, message = self._core, received.message
        match message:
            case m.MessageReceived():
                self._delivered += 1
                await self._intake.message(message)
            case m.MessageAck():
                await self._transmission.acknowledged(message)
            case m.Ping(timestamp=timestamp):
                pong = m.Pong(timestamp=timestamp)
                await core.committer.post(lambda tx: pong, self._say, core.broken)
            case m.Pong():
                await self._confirmed()
            case m.KeyResponse():
                core.requests.answered(message.request_id, received)
            case m.ConversationState():
                await self._conversation_state(received, message)
            case m.ConversationCreate() | m.ConversationUpdate():
                await self._conversation(message)
            case m.UnknownSession():
                self._unknown_session(message, received.map)
            case m.PrekeyStatus():
                await self._prekey_status(message)
            case m.DeviceRegister():
                self._device_register(message, received)
            case m.DeviceRevoke():
                await self._revoked(message, received)
            case m.ErrorMessage():
                if not core.requests.refused(message) and not await self._transmission.refused(message):
                    log.info("refused", code=message.error_code)
            case _:
                log.debug("ignored", type=type(message).__name__)

    def _say(self, message: Message) -> None:
        self._connection.offer(message)

    # --- Keep-alive and what comes with it ---

    async def every_half_minute(self) -> None:
        """Ping, and what is due now and then."""
        self._pinged_reads |= self._aged_reads
        self._aged_reads, self._sent_reads = self._sent_reads, set()
        self._connection.put(m.Ping(timestamp=self._core.engine.now()))
        if not self._delivered:
            keyring, now = self._core.engine.keyring, self._core.engine.now()
            await self._core.committer.post(lambda tx: keyring.retire(tx, now), lambda _: None, self._core.broken)
        self._delivered = 0
        await self._prune()
        if self._prekeys is not None and trio.current_time() - self._prekeys_at >= PREKEY_CHECK_SECONDS:
            self._uploads = 0
            await self._prekey_status(self._prekeys)

    async def _prune(self) -> None:
        """Once a day; what had expired when the profile was opened went then."""
        today = self._core.engine.now() // DAY
        if today != self._core.pruned_on:
            self._core.pruned_on = today
            await self._core.committer.prune(today)

    async def _confirmed(self) -> None:
        """A pong, half a minute or more after these read receipts were sent, on the same connection (decision 047)."""
        confirmed, self._pinged_reads = self._pinged_reads, set()
        if confirmed:
            await self._core.committer.post(partial(_forget_reads, keys=confirmed), lambda _: None, self._core.broken)

    def read(self, key: str, pending: PendingRead) -> None:
        """Send a read receipt; it is kept until this connection has outlived it by a ping interval."""
        receipt = pending.receipt
        ack = m.MessageAck(
            message_id=receipt["message_id"],  # type: ignore[arg-type]  # made by `make_receipt`
            status="read",
            timestamp=receipt["timestamp"],  # type: ignore[arg-type]
            receipt=receipt,
        )
        if self._connection.offer(ack):
            self._sent_reads.add(key)

    async def _prekey_status(self, status: m.PrekeyStatus) -> None:
        self._prekeys, self._prekeys_at = status, trio.current_time()
        engine = self._core.engine
        if self._uploads >= PREKEY_UPLOADS:
            return
        await self._core.committer.post(
            lambda tx: engine.keyring.refill(tx, status, engine.now(), engine.random), self._upload, self._core.broken
        )

    def _upload(self, upload: m.PrekeyUpload | None) -> None:
        if upload is not None:
            self._uploads += 1
            self._connection.offer(upload)

    # --- Conversations ---

    async def _conversation_state(self, received: Received[Message], state: m.ConversationState) -> None:
        if self._core.requests.answered(state.conversation_id, received):
            return
        members = state.state.get("members")
        own = self._core.engine.own.user_id
        for member in members if isinstance(members, list) else []:
            peer = member.get("user_id") if isinstance(member, dict) else None
            if isinstance(peer, str) and peer != own and self._core.requests.answered(direct_key(peer), received):
                return
        await self._conversation(state)

    async def _conversation(self, carrier: Carrier) -> None:
        """A state that was pushed."""
        conversations, now = self._core.engine.conversations, self._core.engine.now()

        def decide(tx: Transaction, tried: set[Need]) -> list[Event]:
            layer = tx.nested()
            try:
                events = conversations.take(layer, carrier, now)
            except WantingError as wanting:
                if wanting.need not in tried:
                    raise
                return [_bad_state(carrier, "it cannot be verified")]
            except FinalError as error:
                return [_bad_state(carrier, error.what)]
            tx.absorb(layer)
            return events

        await self._intake.judge(Job(decide=decide, after=self._core.publish))

    # --- Sessions, devices ---

    def _unknown_session(self, unknown: m.UnknownSession, received: SignedMap) -> None:
        if unknown.session_id not in self._renewing:
            self._renewing.add(unknown.session_id)
            self._nursery.start_soon(self._renew, unknown, received)

    async def _renew(self, unknown: m.UnknownSession, received: SignedMap) -> None:
        await self._transmission.unknown_session(unknown, received)
        self._renewing.discard(unknown.session_id)

    def _device_register(self, register: m.DeviceRegister, received: Received[Message]) -> None:
        if self._core.requests.answered(register.device_id, received):
            self._core.pending.pop(register.device_id, None)
            return
        if register.user_key is not None or register.user_id != self._core.engine.own.user_id:
            return
        device = PendingDevice(
            device_id=register.device_id, name=register.device_info.name, since=self._core.engine.now()
        )
        self._core.pending[register.device_id] = (device, received.map)
        self._core.publish([DeviceApprovalWanted(device=device)])

    async def _revoked(self, revoke: m.DeviceRevoke, received: Received[Message]) -> None:
        engine = self._core.engine
        operation = partial(_revoke, directory=engine.directory, revocation=received.map)
        await self._core.committer.post(operation, self._core.publish, self._core.broken)
        self._core.requests.answered(revoke.revocation_id, received)
        if revoke.device_id == engine.own.device_id and revoke.user_id == engine.own.user_id:
            raise DeviceRevokedError("This device has been revoked.")


def _revoke(tx: Transaction, directory: Directory, revocation: SignedMap) -> list[Event]:
    try:
        events = directory.revoke(tx, revocation, directory.server_keys[0] if directory.server_keys else b"")
    except (BadSignatureError, ProtocolError) as error:
        log.info("revocation refused", why=str(error))
        return []
    user_id = revocation.get("user_id")
    if isinstance(user_id, str):
        directory.forget_list(tx, user_id)
    return events


def _forget_reads(tx: Transaction, keys: set[str]) -> None:
    for key in keys:
        tx.delete(READS, key)


def _bad_state(carrier: Carrier, what: str) -> IntegrityAlert:
    return IntegrityAlert(
        text=f"A change of a conversation's members was refused: {what}.",
        conversation_id=carrier.conversation_id,
        user_id=carrier.signer_user,
        device_id=carrier.signer_device,
        cause="bad_state",
    )
