"""Handles on sent messages: what `Client.send` returns."""

import weakref

from norc_actors.client.core import Core, Signal
from norc_actors.client.errors import SendFailedError
from norc_actors.client.model import MessageStatus, Status

_ORDER = (Status.WAITING, Status.SENDING, Status.SENT, Status.DELIVERED, Status.READ)

WORDS = {
    "unknown_user": ("The server knows no such user, or the user has no device.", "Check the spelling (name@server)."),
    "no_devices": ("No recipient has a device that could be trusted.", "Ask them whether they have enrolled one."),
    "alone": ("There is nobody else in this conversation.", "Add a member first."),
    "no_session": ("A device of a recipient has no keys to write to it with.", "Ask them to connect once; send again."),
    "untrusted_device": (
        "The server insists on a device that the recipient's key does not vouch for.",
        "Nothing was sent to it. Ask the recipient whether that device is theirs, and tell the operator.",
    ),
    "member_key_changed": ("The key of a member is another one than the pinned one.", "Compare fingerprints."),
    "unknown_conversation": ("There is no such conversation, or you are no member.", "List your groups."),
    "stale_devices": ("The devices of the recipients have changed meanwhile.", "Send it again."),
    "invalid_recipient": ("The members of the conversation have changed meanwhile.", "Send it again."),
    "not_permitted": ("Your role does not permit sending here.", "Ask an owner."),
    "left": ("You are no member of this conversation any more.", "Ask an owner to add you."),
    "too_large": ("The message is too large for the server.", "Send it in parts."),
    "server_not_trusted": (
        "Your organisation and the recipient's do not trust each other.",
        "Ask your operator: norc trust request SERVER.",
    ),
    "trust_expired": ("The trust between the two organisations has ended.", "Ask your operator to renew it."),
    "trust_revoked": ("One of the two organisations has revoked its trust.", "Ask your operator why."),
    "insufficient_trust": ("The organisations trust each other too little for this.", "Ask your operator."),
    "permission_denied": ("What the organisations agreed on does not permit this.", "Ask your operator."),
    "classification_exceeded": (
        "The classification is higher than the organisations' trust allows.",
        "Send it at a lower classification if that is right, or ask your operator.",
    ),
    "message_too_large": ("The message is too large for the recipient's server.", "Send it in parts."),
    "no_route": ("There is no way to the recipient's server.", "Ask your operator: norc peer check SERVER."),
    "ttl_expired": ("The recipient's server could not be reached in time.", "Send it again."),
    "user_not_found": ("The recipient's server knows no such user.", "Check the spelling (name@server)."),
    "not_opened": ("The recipient's device could not open it.", "Send it again; if it fails again, tell the operator."),
}
"""Causes of `failed` in words: what happened, what to do."""


class Sent:
    """A message that was committed to the outbox. Made by `Client.send`."""

    def __init__(self, core: Core, status: MessageStatus) -> None:
        self._core = core
        self._status = status
        self._changed = Signal()
        self.message_id = status.message_id

    @property
    def status(self) -> MessageStatus:
        """Where the message stands now."""
        return self._status

    async def wait_accepted(self) -> MessageStatus:
        """Wait until the home server has committed it; `SendFailedError` if it never will."""
        return await self._wait(Status.SENT)

    async def wait_delivered(self) -> MessageStatus:
        """Wait until every recipient user has it on a device (signed receipts); `SendFailedError` if it failed."""
        return await self._wait(Status.DELIVERED)

    async def wait_read(self) -> MessageStatus:
        """Wait until every recipient user has read it; `SendFailedError` if it failed."""
        return await self._wait(Status.READ)

    async def _wait(self, least: Status) -> MessageStatus:
        while True:
            status = self._status
            if status.status is Status.FAILED:
                what, advice = WORDS.get(status.cause, (f"The message was refused ({status.cause}).", None))
                raise SendFailedError(self.message_id, status.cause, what, advice, status.error_code)
            if _ORDER.index(status.status) >= _ORDER.index(least):
                return status
            self._core.check()
            await self._changed.wait()

    def update(self, status: MessageStatus | None) -> None:
        """The client's: a new status, or None when it ends."""
        self._status = status or self._status
        self._changed.notify()


class SentRegister:
    """The handles that somebody still holds."""

    def __init__(self) -> None:
        self._handles: weakref.WeakValueDictionary[str, Sent] = weakref.WeakValueDictionary()

    def add(self, sent: Sent) -> None:
        """Keep a handle up to date from here on."""
        self._handles[sent.message_id] = sent

    def update(self, status: MessageStatus) -> None:
        """A status has changed."""
        sent = self._handles.get(status.message_id)
        if sent is not None:
            sent.update(status)

    def wake(self) -> None:
        """The client has ended."""
        for sent in list(self._handles.values()):
            sent.update(None)
