"""The client as an application uses it: one enrolled device, open.

    async with Client.open("alice.norc", passphrase="…") as client:
        sent = await client.send("bob@example.org", "Hello")
        await sent.wait_accepted()
        async for received in client.messages():
            ...

Rules
- `send` returns when the message is committed on this disk; everything after that (keys, connection, refusals, retries)
  is the client's business and survives a kill.
- `messages()` gives each message once, also across restarts: a message counts as consumed when the application asks for
  the next one or calls `read`. What cannot be opened is given as `Undecryptable`, never swallowed.
- The client works offline: reading what is there, sending into the outbox. Calls that need the server wait for the
  connection for `request_timeout` seconds and raise `OfflineError`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import trio

from norc_actors.client import groups, people
from norc_actors.client.applying import enrol, make_applicant, read_link
from norc_actors.client.errors import ClientUsageError as UsageError
from norc_actors.client.errors import (
    MessageTooLongError,
    NotEnrolledError,
    OfflineError,
    UnknownConversationError,
    UnknownMessageError,
    UnreachableError,
)
from norc_actors.client.events import Event
from norc_actors.client.inbox import MessageStream, read
from norc_actors.client.model import (
    DeviceInfo,
    Enrolled,
    Group,
    Message,
    MessageStatus,
    PendingDevice,
    Received,
    UserInfo,
)
from norc_actors.client.opening import StrPath, make_unlock, open_at
from norc_actors.client.options import DEFAULT_OPTIONS, ClientOptions
from norc_actors.client.outbox import status_of
from norc_actors.client.records import CONVERSATIONS, SENT, Draft
from norc_actors.client.runtime import Runtime, identity_of
from norc_actors.client.sent import Sent
from norc_actors.client.transaction import Transaction
from norc_actors.ids import is_uuid, new_uuid
from norc_actors.limits import MAX_TEXT_BYTES

APPROVAL_SECONDS = 600.0


class Client:
    """One enrolled device. Made by `Client.open` alone."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._core = runtime.core
        self._resolver = runtime.resolver
        self._stream: MessageStream | None = None
        self.user_id = runtime.own.user_id
        self.device_id = runtime.own.device_id
        self.server_id = runtime.own.server_id

    # --- Enrolment ---

    @classmethod
    async def enroll(
        cls,
        path: StrPath,
        link: str | None,
        user_id: str,
        *,
        passphrase: str | None = None,
        key_file: StrPath | None = None,
        device_name: str = "",
        options: ClientOptions = DEFAULT_OPTIONS,
    ) -> Enrolled:
        """Make a profile at `path` and enrol it as the *first* device of `user_id` (section 5), then close it.

        `link`: `norc://server_id/enroll?v=1&t=…&k=…`; None where the server takes anybody who does the work that it
        asks for (seconds to minutes), then its key is pinned at first use. Exactly one of `passphrase` and
        `key_file`. Killed half-way, the same call goes on where it stopped. Raises `LinkError`,
        `EnrolmentRefusedError`, `AlreadyEnrolledError`, `ProfileError`, `ConnectionFailedError`.
        """
        unlock, name = make_unlock(passphrase, key_file), groups.user(user_id)
        parsed = read_link(link, name) if link is not None else None
        applicant = make_applicant(name, device_name, parsed, options, first=True)
        return await enrol(path, unlock, applicant, options)

    @classmethod
    async def enroll_further(
        cls,
        path: StrPath,
        user_id: str,
        *,
        on_code: Callable[[str], Awaitable[None]],
        passphrase: str | None = None,
        key_file: StrPath | None = None,
        device_name: str = "",
        link: str | None = None,
        within: float = APPROVAL_SECONDS,
        options: ClientOptions = DEFAULT_OPTIONS,
    ) -> Enrolled:
        """Make a profile at `path` and enrol it as a *further* device of `user_id`; waits for the approval.

        `on_code` is awaited once with the code to show; the person types it on an enrolled device (`approve`).
        `link`: any link of the server, for its key; without one the key is pinned at first use (shown in the result).
        Raises `EnrolmentTimeoutError`, `EnrolmentRefusedError`, `AlreadyEnrolledError`, `ProfileError`,
        `ConnectionFailedError`.
        """
        unlock, name = make_unlock(passphrase, key_file), groups.user(user_id)
        parsed = read_link(link, name) if link is not None else None
        applicant = make_applicant(name, device_name, parsed, options, first=False)
        return await enrol(path, unlock, applicant, options, on_code, within)

    @staticmethod
    @asynccontextmanager
    async def open(
        path: StrPath,
        *,
        passphrase: str | None = None,
        key_file: StrPath | None = None,
        options: ClientOptions = DEFAULT_OPTIONS,
    ) -> AsyncIterator["Client"]:
        """Open an enrolled profile and keep it connected inside the block.

        Entering raises `ProfileError` kinds at once and does not wait for the connection (`wait_connected` does).
        Leaving commits what was received, writes what can be written at once, and closes. A fatal error
        (`ClientError.fatal`) is raised out of the calls that wait, and by `messages()` and `events()`.
        """
        profile = await open_at(path, make_unlock(passphrase, key_file))
        try:
            ledger, own = identity_of(profile)
            if own is None or own.stage != "enrolled":
                raise NotEnrolledError(f"The profile {path} is no enrolled device yet.")
            runtime = Runtime(ledger, own, options)
            async with runtime.running():
                yield Client(runtime)
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(profile.close)

    # --- Connection ---

    async def wait_connected(self, within: float | None = None) -> None:
        """Wait until authenticated, `within` seconds (default: the options'); raises the cause, else `OfflineError`.

        A server that cannot be reached is waited for; what waiting cannot mend (certificate, clock, a device that is
        not accepted) is raised at once.
        """
        seconds = self._runtime.options.request_timeout if within is None else within
        with trio.move_on_after(seconds):
            while self._core.connection is None:
                self._core.check()
                error = self._runtime.link.last_error
                if error is not None and error.code not in ("connection_lost", "unreachable"):
                    raise error
                await self._core.link_changed.wait()
            return
        last = self._runtime.link.last_error
        if isinstance(last, UnreachableError):
            raise last
        raise OfflineError("There is no connection to the server.")

    @property
    def connected(self) -> bool:
        """Whether the client is authenticated right now."""
        return self._core.connection is not None

    def events(self) -> AsyncIterator[Event]:
        """Everything that happens from this call on, until the client closes (see `client.events`)."""
        return self._core.hub.subscribe()

    # --- Messages ---

    async def send(
        self,
        to: Group | str,
        text: str,
        *,
        classification: str = "unclassified",
        reply_to: str | None = None,
        expires_at: int | None = None,
    ) -> Sent:
        """Send a text to a user (its direct conversation is found or made), a conversation's id, or a group's name.

        Returns after the local commit. Raises `UnknownConversationError`, `MessageTooLongError`, `DiskFullError`,
        `ClientUsageError`; that a user does not exist is learnt later (`wait_accepted`).
        """
        draft = Draft(
            message_type="text",
            text=text,
            classification=classification,
            lane="",
            reply_to=reply_to,
            expires_at=expires_at,
        )
        return (await self._submit(to, [draft]))[0]

    async def send_all(self, to: Group | str, texts: Sequence[str]) -> list[Sent]:
        """Send many texts in order with one commit: all of them are in the outbox, or none."""
        return await self._submit(to, [Draft(message_type="text", text=text, lane="") for text in texts])

    async def _submit(self, to: Group | str, drafts: Sequence[Draft]) -> list[Sent]:
        for draft in drafts:
            _check_text(draft.text)
        core, engine = self._core, self._core.engine
        core.check()

        def operation(tx: Transaction) -> tuple[list[tuple[int, bool, MessageStatus]], list[Event]]:
            lane, direct = self._lane(tx, to)
            rows: list[tuple[int, bool, MessageStatus]] = []
            events: list[Event] = []
            for draft in drafts:
                message_id = new_uuid(engine.random)
                placed = _placed(draft, lane, direct=direct)
                sequence, ready = engine.sending.submit(tx, message_id, placed, engine.now_us(), events)
                record = tx.get(SENT, message_id)
                assert record is not None
                rows.append((sequence, ready, status_of(message_id, record)))
            return rows, events

        handles: list[Sent] = []

        def after(result: tuple[list[tuple[int, bool, MessageStatus]], list[Event]]) -> None:
            for sequence, ready, status in result[0]:
                sent = Sent(core, status)
                self._runtime.sent.add(sent)
                handles.append(sent)
                core.submitted(sequence, status.message_id, ready=ready)
            core.publish(result[1])

        await core.do(operation, after)
        return handles

    def _lane(self, tx: Transaction, to: Group | str) -> tuple[str, bool]:
        """(lane, whether it is direct) of where to send."""
        place = to.conversation_id if isinstance(to, Group) else to
        if "@" in place:
            peer = groups.user(place)
            if peer == self.user_id:
                raise UsageError("A message to yourself has no recipient.", "Your other devices get what you send.")
            return peer, True
        if not is_uuid(place):
            return groups.find(self._core, tx, place).conversation_id, False
        known = tx.get(CONVERSATIONS, place)
        if known is None:
            raise UnknownConversationError(f"There is no conversation {place} here.")
        return (known.peer, True) if known.peer else (place, False)

    def messages(self) -> AsyncIterator[Received]:
        """All messages in the order of their commit, first those not consumed yet; ends when the client closes.

        One reader at a time: a new one takes over. A message is consumed when the next is asked for, or by `read`.
        """
        if self._stream is not None:
            self._stream.ended = True
            self._core.inbox_changed.notify()
        self._stream = MessageStream(self._core)
        return self._stream

    async def read(self, message: Message) -> None:
        """Consume the message and send its sender a signed read receipt."""
        await read(self._core, self._stream, message)

    async def status(self, message_id: str) -> MessageStatus:
        """Where a sent message stands. `UnknownMessageError` if this device did not send it."""
        record = await self._core.do(lambda tx: tx.get(SENT, message_id))
        if record is None:
            raise UnknownMessageError(f"This device sent no message {message_id}.")
        return status_of(message_id, record)

    async def outbox_count(self) -> int:
        """How many messages the home server has not accepted yet."""
        await trio.lowlevel.checkpoint()
        return len(self._core.flight)

    async def wait_outbox_empty(self) -> None:
        """Wait until every message was accepted or has failed."""
        while len(self._core.flight):
            self._core.check()
            await self._core.flight_changed.wait()

    # --- Devices and keys ---

    async def devices(self) -> list[DeviceInfo]:
        """This user's devices, asked of the server now if there is a connection, else as last known."""
        return await people.devices(self._core, self._resolver)

    def pending_devices(self) -> list[PendingDevice]:
        """Further devices that wait for approval."""
        return [device for device, _ in self._core.pending.values()]

    async def approve(self, device_id: str, code: str) -> None:
        """Sign the waiting device with the user key, if `code` is the one on its screen.

        Raises `UnknownDeviceError`, `FingerprintMismatchError`, `NoUserKeyError`, `OfflineError`.
        """
        await people.approve(self._core, device_id, code)

    async def user_fingerprint(self) -> str:
        """The 30 digits of this user's own key: every device of the user shows the same."""
        return await people.own_fingerprint(self._core, self._resolver)

    async def revoke(self, device_id: str, reason: str = "retired") -> None:
        """Revoke a device of this user (`reason`: lost compromised retired policy), binding when this returns.

        With the user key any device; without it this device alone (`NoUserKeyError` for another).
        """
        await people.revoke(self._core, device_id, reason)

    async def fingerprint(self, user_id: str) -> str:
        """The 60 digits that both users see: 12 groups of 5 (section 5). Pins the user's key if it was not yet."""
        return await people.fingerprint(self._core, self._resolver, user_id)

    async def verify(self, user_id: str, digits: str) -> None:
        """Mark the user verified if `digits` (blanks ignored) are the fingerprint; else `FingerprintMismatchError`."""
        await people.verify(self._core, self._resolver, user_id, digits)

    async def users(self) -> list[UserInfo]:
        """The users whose keys are pinned."""
        return await self._core.do(people.users)

    async def accept_user_key(self, user_id: str) -> None:
        """Pin the new key that the server showed for a user whose key changed; the user is unverified after it."""
        await people.accept_key(self._core, user_id)

    # --- Conversations ---

    async def groups(self) -> list[Group]:
        """The groups of which this user is or was a member, by name."""
        return await self._core.do(lambda tx: groups.listed(self._core, tx))

    async def group(self, name_or_id: str) -> Group:
        """The group of this id, or the only one of this name; `UnknownConversationError` otherwise."""
        return await self._core.do(lambda tx: groups.find(self._core, tx, name_or_id))

    async def create_group(self, name: str, members: Sequence[str]) -> Group:
        """Make a group, this user its owner. `UnknownUserError`, `OfflineError`, `RequestRefusedError`."""
        return await groups.create(self._core, self._resolver, name, members)

    async def add_member(self, group: Group | str, user_id: str, role: str = "member") -> Group:
        """Add a member (owner or admin only: `NotPermittedError`); the new member is told the name."""
        return await groups.add(self._core, self._resolver, _id_of(group), user_id, role)

    async def remove_member(self, group: Group | str, user_id: str) -> Group:
        """Remove a member (owner or admin only: `NotPermittedError`)."""
        return await groups.remove(self._core, self._resolver, _id_of(group), user_id)

    async def rename_group(self, group: Group | str, name: str) -> Group:
        """Tell all members a new name, end to end."""
        found = await self.group(_id_of(group))
        return await groups.tell_name(self._core, found.conversation_id, name)

    async def leave_group(self, group: Group | str) -> None:
        """Leave: sending stops at once. An owner or admin also takes itself out of the members; any other member is
        one until an owner removes it."""
        await groups.leave(self._core, self._resolver, _id_of(group))


def _id_of(group: Group | str) -> str:
    return group.conversation_id if isinstance(group, Group) else group


def _check_text(text: str) -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise UsageError("The text is no valid Unicode.") from error
    if not text:
        raise UsageError("The text is empty.")
    if size > MAX_TEXT_BYTES:
        raise MessageTooLongError(f"The text has {size} bytes; one message has at most {MAX_TEXT_BYTES}.")


def _placed(draft: Draft, lane: str, *, direct: bool) -> Draft:
    return Draft(
        message_type=draft.message_type,
        text=draft.text,
        classification=draft.classification,
        lane=lane,
        direct=direct,
        reply_to=draft.reply_to,
        expires_at=draft.expires_at,
    )
