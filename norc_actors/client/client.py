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

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from norc_actors.client.events import Event
from norc_actors.client.model import (
    Address,
    DeviceInfo,
    Enrolled,
    Group,
    Message,
    MessageStatus,
    PendingDevice,
    Received,
    UserInfo,
)

StrPath = str | os.PathLike[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class ClientOptions:
    """What may differ from the defaults.

    `address`: where to dial, remembered in the profile. `ca_file`: PEM of the CA that signed the server's certificate,
    remembered in the profile; without one the system's. `request_timeout`: seconds that a call waits for the server.
    `auto_connect`: False leaves the client offline (looking at what is in the profile).
    """

    address: Address | None = None
    ca_file: Path | None = None
    request_timeout: float = 30.0
    auto_connect: bool = True


DEFAULT_OPTIONS = ClientOptions()


class Sent:
    """A message that was committed to the outbox."""

    message_id: str

    @property
    def status(self) -> MessageStatus:
        """Where the message stands now."""
        raise NotImplementedError

    async def wait_accepted(self) -> MessageStatus:
        """Wait until the home server has committed it; `SendFailedError` if it never will."""
        raise NotImplementedError

    async def wait_delivered(self) -> MessageStatus:
        """Wait until every recipient user has it on a device (signed receipts); `SendFailedError` if it failed."""
        raise NotImplementedError

    async def wait_read(self) -> MessageStatus:
        """Wait until every recipient user has read it; `SendFailedError` if it failed."""
        raise NotImplementedError


class Client:
    """One enrolled device. Made by `Client.open` alone."""

    user_id: str
    device_id: str
    server_id: str

    # --- Enrolment ---

    @classmethod
    async def enroll(
        cls,
        path: StrPath,
        link: str,
        user_id: str,
        *,
        passphrase: str | None = None,
        key_file: StrPath | None = None,
        device_name: str = "",
        options: ClientOptions = DEFAULT_OPTIONS,
    ) -> Enrolled:
        """Make a profile at `path` and enrol it as the *first* device of `user_id` (section 5), then close it.

        `link`: `norc://server_id/enroll?v=1&t=…&k=…`. Exactly one of `passphrase` and `key_file`. Killed half-way, the
        same call goes on where it stopped. Raises `LinkError`, `EnrolmentRefusedError`, `AlreadyEnrolledError`,
        `ProfileError`, `ConnectionFailedError`.
        """
        raise NotImplementedError

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
        within: float = 600.0,
        options: ClientOptions = DEFAULT_OPTIONS,
    ) -> Enrolled:
        """Make a profile at `path` and enrol it as a *further* device of `user_id`; waits for the approval.

        `on_code` is awaited once with the code to show; the person types it on an enrolled device (`approve`).
        `link`: any link of the server, for its key; without one the key is pinned at first use (shown in the result).
        Raises `EnrolmentTimeoutError`, `EnrolmentRefusedError`, `AlreadyEnrolledError`, `ProfileError`,
        `ConnectionFailedError`.
        """
        raise NotImplementedError

    @classmethod
    def open(
        cls,
        path: StrPath,
        *,
        passphrase: str | None = None,
        key_file: StrPath | None = None,
        options: ClientOptions = DEFAULT_OPTIONS,
    ) -> AbstractAsyncContextManager["Client"]:
        """Open an enrolled profile and keep it connected inside the block.

        Entering raises `ProfileError` kinds at once and does not wait for the connection (`wait_connected` does).
        Leaving sends what can be sent at once, commits, closes. A fatal error (`ClientError.fatal`) is raised out of
        the calls that wait, and by `messages()` and `events()`.
        """
        raise NotImplementedError

    # --- Connection ---

    async def wait_connected(self, within: float | None = None) -> None:
        """Wait until authenticated, `within` seconds (default: the options'); raises the cause, else `OfflineError`."""
        raise NotImplementedError

    @property
    def connected(self) -> bool:
        """Whether the client is authenticated right now."""
        raise NotImplementedError

    def events(self) -> AsyncIterator[Event]:
        """Everything that happens from this call on, until the client closes (see `client.events`)."""
        raise NotImplementedError

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
        """Send a text to a user (its direct conversation is found or made) or to a conversation.

        Returns after the local commit. Raises `UnknownConversationError`, `MessageTooLongError`, `DiskFullError`,
        `InvalidIdError`; that a user does not exist is learnt later (`wait_accepted`).
        """
        raise NotImplementedError

    async def send_all(self, to: Group | str, texts: Sequence[str]) -> list[Sent]:
        """Send many texts in order with one commit: all of them are in the outbox, or none."""
        raise NotImplementedError

    def messages(self) -> AsyncIterator[Received]:
        """All messages in the order of their commit, first those not consumed yet; ends when the client closes.

        One reader at a time. A message is consumed when the next is asked for, or by `read`.
        """
        raise NotImplementedError

    async def read(self, message: Message) -> None:
        """Consume the message and send its sender a signed read receipt."""
        raise NotImplementedError

    async def status(self, message_id: str) -> MessageStatus:
        """Where a sent message stands. `UnknownMessageError` if this device did not send it."""
        raise NotImplementedError

    async def outbox_count(self) -> int:
        """How many messages the home server has not accepted yet."""
        raise NotImplementedError

    async def wait_outbox_empty(self) -> None:
        """Wait until every message was accepted or has failed."""
        raise NotImplementedError

    # --- Devices and keys ---

    async def devices(self) -> list[DeviceInfo]:
        """This user's devices, asked of the server now if there is a connection, else as last known."""
        raise NotImplementedError

    def pending_devices(self) -> list[PendingDevice]:
        """Further devices that wait for approval."""
        raise NotImplementedError

    async def approve(self, device_id: str, code: str) -> None:
        """Sign the waiting device with the user key, if `code` is the one on its screen.

        Raises `UnknownDeviceError`, `FingerprintMismatchError`, `NoUserKeyError`, `OfflineError`.
        """
        raise NotImplementedError

    async def revoke(self, device_id: str, reason: str = "retired") -> None:
        """Revoke a device of this user (`reason`: lost compromised retired policy), binding when this returns.

        With the user key any device; without it this device alone (`NoUserKeyError` for another).
        """
        raise NotImplementedError

    async def fingerprint(self, user_id: str) -> str:
        """The 60 digits that both users see: 12 groups of 5 (section 5). Pins the user's key if it was not yet."""
        raise NotImplementedError

    async def verify(self, user_id: str, digits: str) -> None:
        """Mark the user verified if `digits` (blanks ignored) are the fingerprint; else `FingerprintMismatchError`."""
        raise NotImplementedError

    async def users(self) -> list[UserInfo]:
        """The users whose keys are pinned."""
        raise NotImplementedError

    async def accept_user_key(self, user_id: str) -> None:
        """Pin the new key that the server showed for a user whose key changed; the user is unverified after it."""
        raise NotImplementedError

    # --- Conversations ---

    async def groups(self) -> list[Group]:
        """The groups of which this user is or was a member, by name."""
        raise NotImplementedError

    async def group(self, name_or_id: str) -> Group:
        """The group of this id, or the only one of this name; `UnknownConversationError` otherwise."""
        raise NotImplementedError

    async def create_group(self, name: str, members: Sequence[str]) -> Group:
        """Make a group, this user its owner. `UnknownUserError`, `OfflineError`, `RequestRefusedError`."""
        raise NotImplementedError

    async def add_member(self, group: Group | str, user_id: str, role: str = "member") -> Group:
        """Add a member (owner or admin only: `NotPermittedError`); the new member is told the name."""
        raise NotImplementedError

    async def remove_member(self, group: Group | str, user_id: str) -> Group:
        """Remove a member (owner or admin only: `NotPermittedError`)."""
        raise NotImplementedError

    async def rename_group(self, group: Group | str, name: str) -> Group:
        """Tell all members a new name, end to end."""
        raise NotImplementedError

    async def leave_group(self, group: Group | str) -> None:
        """Leave: sending stops at once, the members change with the next state that an owner signs."""
        raise NotImplementedError
