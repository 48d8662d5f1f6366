"""What can go wrong with the database, as types: an owner decides by the class, a person reads the text."""


class StoreError(Exception):
    """The database did not do what was asked; nothing of the transaction remains."""


class StoreUnavailableError(StoreError):
    """The database cannot be opened: no such folder, no permission, no file of ours."""


class NewerSchemaError(StoreError):
    """The database was written by a newer release; opening it with this one could lose what it holds.

    `written_by` is the release that migrated it last, `revision` its schema.
    """

    def __init__(self, location: str, *, written_by: str, revision: str) -> None:
        super().__init__(
            f"{location} was written by norc-actors {written_by} (schema {revision}), newer than this release: "
            f"install {written_by} or later, or point `data` at another folder"
        )
        self.written_by = written_by
        self.revision = revision


class StoreRefusedError(StoreError):
    """The disk, or another process, refuses for now. Nothing is broken: the same transaction may work later."""


class StoreFullError(StoreRefusedError):
    """No room left on the disk (or beyond a size limit): free some space, nothing else is wrong."""


class StoreReadOnlyError(StoreRefusedError):
    """The database file or its folder cannot be written."""


class StoreCorruptError(StoreError):
    """The file is no database or is damaged: restore it from a backup."""


class StoreBusyError(StoreRefusedError):
    """Another process held the write lock for longer than the busy time-out."""


class StoreIOError(StoreRefusedError):
    """The disk refused a read or a write."""


class ConflictError(StoreError):
    """A row that must be unique is there already: two writers raced. Asking again gives the domain's own answer."""


# --- accounts ---


class AccountError(StoreError):
    """A rule of the account tables forbids the change; nothing was written."""


class TokenUnknownError(AccountError):
    """No such enrolment token was ever issued here."""


class TokenUsedError(AccountError):
    """The enrolment token was redeemed before."""


class TokenExpiredError(AccountError):
    """The enrolment token's time is over."""


class UserUnknownError(AccountError):
    """No such user."""


class UserExistsError(AccountError):
    """The user has another user key already; replacing it needs a `user_rotation` (section 5)."""


class DeviceExistsError(AccountError):
    """The device_id is known already (section 1: a server refuses it)."""


class DeviceUnknownError(AccountError):
    """No such device, or it is revoked."""


class ConversationExistsError(AccountError):
    """The conversation_id is taken."""


class DirectExistsError(AccountError):
    """The two users have a direct conversation already: `conversation_id`."""

    def __init__(self, conversation_id: str) -> None:
        super().__init__(f"the two users share the direct conversation {conversation_id} already")
        self.conversation_id = conversation_id


class EpochConflictError(AccountError):
    """The new state is not the successor of the stored one: `current` is the newest epoch, 0 if there is none."""

    def __init__(self, current: int) -> None:
        super().__init__(f"the newest stored epoch is {current}")
        self.current = current
