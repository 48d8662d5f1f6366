"""Asks the server for what a decision lacks, and teaches the profile the answer (see `needs`).

Rules
- Each need is asked for once at a time; whoever else wants it waits for the same answer.
- Nothing is believed here: answers go through the directory's and the conversations' own rules.
- A bundle is used in the transaction that takes the answer which brought it, and never kept (section 5).
- A conversation's states are walked back to the first one that is here, then taken in order.
"""

from collections.abc import Sequence
from functools import partial

import trio

from norc_actors.client.connection import Connection
from norc_actors.client.conversations import Carrier
from norc_actors.client.core import Core
from norc_actors.client.errors import RateLimitedError, RequestRefusedError
from norc_actors.client.events import Event
from norc_actors.client.needs import FinalError, Need, WantingError
from norc_actors.client.records import PINS, Pin
from norc_actors.client.transaction import Transaction
from norc_actors.ids import ConversationId, UserId, new_uuid
from norc_actors.limits import MAX_EPOCHS_BEHIND, MAX_KEY_REQUEST_USERS
from norc_actors.protocol.devices import Device
from norc_actors.protocol.errors import Code
from norc_actors.protocol.messages import (
    ConversationCreate,
    ConversationState,
    ConversationStateRequest,
    ConversationUpdate,
    KeyRequest,
    KeyResponse,
)
from norc_actors.protocol.schema import Message, SignedMap

Keys = dict[str, dict[str, SignedMap]]


class _Running:
    def __init__(self) -> None:
        self.done = trio.Event()
        self.error: Exception | None = None


class Resolver:
    """Satisfies needs over one connection at a time."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._running: dict[Need, _Running] = {}

    async def satisfy(self, need: Need) -> None:
        """Ask for it and learn the answer. `FinalError`: it cannot be had. `OfflineError`, `LostError`: not now."""
        running = self._running.get(need)
        if running is not None:
            await running.done.wait()
            if running.error is not None:
                raise running.error
            return
        running = self._running[need] = _Running()
        try:
            await self._ask(need)
        except Exception as error:
            running.error = error
            raise
        finally:
            del self._running[need]
            running.done.set()

    async def _ask(self, need: Need) -> None:
        if need.direct:
            await self._direct(need.direct)
        elif need.conversation:
            await self._state(need.conversation, need.epoch)
        elif need.devices:
            await self.devices(need.users[0], need.devices)
        else:
            await self.users(need.users)

    # --- Keys ---

    async def users(self, users: Sequence[str]) -> None:
        """Learn the active devices of these users and open sessions with those that lack one."""
        keys: Keys = {}
        for start in range(0, len(users), MAX_KEY_REQUEST_USERS):
            keys |= await self._keys(users[start : start + MAX_KEY_REQUEST_USERS], "active", include_revoked=False)

        def learn(tx: Transaction) -> list[Event]:
            events: list[Event] = []
            now = self._core.engine.now()
            for user_id in users:
                learned = self._core.engine.directory.learn(tx, user_id, keys.get(user_id, {}), now, complete=True)
                events += learned.events
                events += self._core.engine.sending.open_sessions(tx, learned.devices, now)
            return events

        await self._core.do(learn, self._core.publish)
        missing = [user_id for user_id in users if not keys.get(user_id)]
        if missing:
            raise FinalError(
                "unknown_user",
                f"The server knows no device of {', '.join(missing)}.",
                "Check the spelling (name@server), and that they have enrolled a device.",
            )

    async def all_devices(self, user_id: str) -> None:
        """Learn all devices of a user, revoked ones too, and which of them are active."""
        keys = await self._keys((user_id,), "all", include_revoked=True)
        directory, now = self._core.engine.directory, self._core.engine.now()

        def learn(tx: Transaction) -> list[Event]:
            return directory.learn(tx, user_id, keys.get(user_id, {}), now, complete=False).events

        await self._core.do(learn, self._core.publish)
        await self.users((user_id,))

    async def devices(self, user_id: str, device_ids: tuple[str, ...], *, renew: bool = False) -> list[Device]:
        """Learn these devices, revoked ones too; `renew` opens new sessions with them."""
        keys = await self._keys((user_id,), device_ids, include_revoked=True)

        def learn(tx: Transaction) -> tuple[list[Device], list[Event]]:
            now = self._core.engine.now()
            learned = self._core.engine.directory.learn(tx, user_id, keys.get(user_id, {}), now, complete=False)
            if renew:
                learned.events += self._core.engine.sending.open_sessions(tx, learned.devices, now, renew=True)
            return learned.devices, learned.events

        devices, _ = await self._core.do(learn, lambda result: self._core.publish(result[1]))
        return devices

    async def _keys(self, users: Sequence[str], device_filter: str | tuple[str, ...], *, include_revoked: bool) -> Keys:
        while True:
            request = KeyRequest(
                request_id=new_uuid(self._core.engine.random),
                user_ids=tuple(UserId(user) for user in users),
                device_filter=device_filter,  # type: ignore[arg-type]  # an atom or device ids, checked by the struct
                include_revoked=include_revoked,
            )
            try:
                answers = await self._core.ask(partial(_put, request), request.request_id)
            except RateLimitedError as error:
                await trio.sleep(error.retry_after)
                continue
            except RequestRefusedError as error:
                raise FinalError("refused", error.what) from error
            keys: Keys = {}
            for received in answers:
                if isinstance(received.message, KeyResponse):
                    for user_id, listing in received.message.keys.items():
                        keys.setdefault(user_id, {}).update(listing)  # type: ignore[arg-type]
            return keys

    # --- Conversations ---

    async def _state(self, conversation_id: str, epoch: int) -> None:
        await self.take(await self._fetch(conversation_id, epoch))

    async def _fetch(self, conversation_id: str, epoch: int) -> ConversationState:
        request = ConversationStateRequest(conversation_id=ConversationId(conversation_id), epoch=epoch or None)
        return await self.conversation(request, conversation_id)

    async def conversation(
        self,
        request: ConversationStateRequest | ConversationCreate | ConversationUpdate,
        *keys: str,
    ) -> ConversationState:
        """Put a question about a conversation; its answer is a state."""
        try:
            answers = await self._core.ask(partial(_put, request), *keys)
        except RequestRefusedError as error:
            cause = "unknown_conversation" if error.error_code == Code.CONVERSATION_NOT_FOUND else "refused"
            raise FinalError(cause, error.what) from error
        message = answers[0].message
        if not isinstance(message, ConversationState):
            raise FinalError("refused", "The server did not answer with a conversation.")
        return message

    async def take(self, carrier: Carrier) -> None:
        """Verify and store a state, after those before it. `FinalError` if it cannot be verified."""
        stack: list[Carrier] = [carrier]
        tried: set[Need] = set()
        while stack:
            operation = partial(self._core.engine.conversations.take, carrier=stack[-1], now=self._core.engine.now())
            try:
                await self._core.do(operation, self._core.publish)
            except WantingError as wanting:
                need = wanting.need
                if need in tried or len(stack) > MAX_EPOCHS_BEHIND:
                    raise FinalError("unverifiable", "The members of the conversation cannot be verified.") from None
                tried.add(need)
                if need.conversation:
                    stack.append(await self._fetch(need.conversation, need.epoch))
                else:
                    await self.satisfy(need)
            else:
                stack.pop()

    async def _direct(self, peer: str) -> None:
        """Find or make the direct conversation with a user."""
        core = self._core
        for user_id in (peer, core.engine.own.user_id):
            if await core.do(partial(_pinned, user_id=user_id)) is None:
                await self.users((user_id,))
        conversation_id = new_uuid(core.engine.random)
        create = await core.do(lambda tx: core.engine.conversations.make_direct(tx, conversation_id, peer))
        state = await self.conversation(create, conversation_id, direct_key(peer))
        await self.take(state)


def _pinned(tx: Transaction, user_id: str) -> Pin | None:
    return tx.get(PINS, user_id)


def direct_key(peer: str) -> str:
    """By what the answer to the creation of a direct conversation is known: it may be an existing one of another id."""
    return f"direct/{peer}"


def _put(message: Message, connection: Connection) -> None:
    connection.put(message)
