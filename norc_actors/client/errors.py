"""What can go wrong at a client, each as its own type that says what to do next.

Rules
- Every error has `code` (a stable word for `--json` and tests), `what` (one sentence: what happened) and `advice`
  (one sentence: what to do now). `str(error)` is both.
- An error of one call ends that call alone. An error that ends the whole client (`fatal = True`: the device was
  revoked, the server's key is another one, …) is raised by every later call and out of the `async with` block as well.
- Nothing here carries keys, passphrases or message texts.
"""

from typing import ClassVar

__all__ = [
    "AlreadyEnrolledError",
    "AuthenticationRefusedError",
    "ClientError",
    "ClientUsageError",
    "ClockWrongError",
    "ConnectionFailedError",
    "DeviceRevokedError",
    "DiskFullError",
    "DisplacedError",
    "EnrolmentRefusedError",
    "EnrolmentTimeoutError",
    "FingerprintMismatchError",
    "HandshakeRefusedError",
    "KeyFileError",
    "LinkError",
    "MessageTooLongError",
    "NoUserKeyError",
    "NotEnrolledError",
    "NotPermittedError",
    "OfflineError",
    "PassphraseError",
    "ProfileDamagedError",
    "ProfileError",
    "ProfileExistsError",
    "ProfileInUseError",
    "ProfileMissingError",
    "ProfileTooNewError",
    "RateLimitedError",
    "RequestRefusedError",
    "SendFailedError",
    "ServerKeyChangedError",
    "TlsRefusedError",
    "UnknownConversationError",
    "UnknownDeviceError",
    "UnknownMessageError",
    "UnknownUserError",
    "UnreachableError",
    "UserKeyChangedError",
    "VersionRefusedError",
]


class ClientError(Exception):
    """Any error of the client library."""

    code: ClassVar[str] = "client"
    fatal: ClassVar[bool] = False
    default_advice: ClassVar[str] = "Try again; if it happens again, look at the logs."

    def __init__(self, what: str, advice: str | None = None) -> None:
        self.what = what
        self.advice = self.default_advice if advice is None else advice
        super().__init__(f"{what} {self.advice}")


class ClientUsageError(ClientError):
    """A call that makes no sense: an empty text, a second `open` of the same client, …"""

    code = "usage"
    default_advice = "Correct the call."


# --- Profile ---


class ProfileError(ClientError):
    """The profile file cannot be used."""

    code = "profile"


class ProfileMissingError(ProfileError):
    """No profile at this path."""

    code = "profile_missing"
    default_advice = "Enrol this device first (norc enroll), or give the right path."


class ProfileExistsError(ProfileError):
    """A profile is already at this path; nothing was overwritten."""

    code = "profile_exists"
    default_advice = "Open it, or choose another path."


class PassphraseError(ProfileError):
    """The passphrase or key file does not open this profile."""

    code = "wrong_passphrase"
    default_advice = "Check the passphrase or the key file and try again; nothing was changed."


class KeyFileError(ProfileError):
    """The key file cannot be read, is too short, or passphrase and key file were both (or neither) given."""

    code = "key_file"
    default_advice = "Give either a passphrase or a readable key file of at least 32 random bytes."


class ProfileInUseError(ProfileError):
    """Another process has the profile open."""

    code = "profile_in_use"
    default_advice = "Close the other program that uses this device, then try again."


class ProfileTooNewError(ProfileError):
    """The profile was written by a newer version."""

    code = "profile_too_new"
    default_advice = "Update norc; this version does not touch the file."


class ProfileDamagedError(ProfileError):
    """The file is no profile, or a record in it does not open with the right key."""

    code = "profile_damaged"
    default_advice = "Enrol this device anew under another path; keys are never restored from a copy."


class DiskFullError(ProfileError):
    """The disk is full: the call changed nothing, and nothing that was committed before is lost."""

    code = "disk_full"
    default_advice = "Free some space and try again."


class NotEnrolledError(ProfileError):
    """The profile was made but its device never finished enrolment."""

    code = "not_enrolled"
    default_advice = "Run the enrolment again with the same path; it goes on where it stopped."


# --- Connection ---


class ConnectionFailedError(ClientError):
    """The server could not be reached or talked to; the client goes on trying unless `fatal`."""

    code = "connection"


class OfflineError(ConnectionFailedError):
    """The call needs the server and there was no connection within its time."""

    code = "offline"
    default_advice = "Check the network and the server; messages already sent stay in the outbox."


class UnreachableError(ConnectionFailedError):
    """No TCP connection or no WebSocket at the address."""

    code = "unreachable"
    default_advice = "Check host, port and that the node runs (norc doctor on the server)."


class TlsRefusedError(ConnectionFailedError):
    """The server's TLS certificate is not acceptable, or it does not speak TLS 1.3."""

    code = "tls"
    default_advice = "Give the server's CA file (--ca), or ask the operator; never switch the check off."


class VersionRefusedError(ConnectionFailedError):
    """Client and server have no version in common."""

    code = "version"
    fatal = True
    default_advice = "Update the older side."


class HandshakeRefusedError(ConnectionFailedError):
    """The server's handshake is not acceptable: a downgrade, a wrong signature, another server's name."""

    code = "handshake"
    default_advice = "Someone may be interfering: try from another network and tell the operator."


class ServerKeyChangedError(ConnectionFailedError):
    """The server shows another identity key than the pinned one, without a signed rotation."""

    code = "server_key_changed"
    fatal = True
    default_advice = "Do not go on: ask the operator, over another channel, whether the server's key was replaced."


class AuthenticationRefusedError(ConnectionFailedError):
    """The server does not accept this device."""

    code = "authentication"
    default_advice = "The device may be revoked or unknown: ask another device of yours (norc devices) or the operator."


class ClockWrongError(ConnectionFailedError):
    """This machine's clock and the server's differ by more than authentication allows. `offset`: seconds ahead."""

    code = "clock"
    default_advice = "Set the clock (or the server's) by NTP."

    def __init__(self, offset: int) -> None:
        self.offset = offset
        ahead = "ahead of" if offset > 0 else "behind"
        super().__init__(f"This machine's clock is {abs(offset)} s {ahead} the server's.")


class DisplacedError(ConnectionFailedError):
    """Another program connected as this very device."""

    code = "displaced"
    fatal = True
    default_advice = "A device is used by one program at a time: close the other, then open this one again."


class DeviceRevokedError(ConnectionFailedError):
    """This device has been revoked; its profile is of no more use for sending or receiving."""

    code = "device_revoked"
    fatal = True
    default_advice = "Enrol as a new device under another path."


# --- Enrolment ---


class LinkError(ClientError):
    """The enrolment link or token is malformed."""

    code = "link"
    default_advice = "Copy the whole link, or ask for a new one (norc user invite)."


class EnrolmentRefusedError(ClientError):
    """The server refused the registration: token wrong, used or expired, name taken, device not accepted."""

    code = "enrolment_refused"
    default_advice = "Ask the operator for a new invitation (norc user invite)."


class EnrolmentTimeoutError(ClientError):
    """No other device approved this one in time."""

    code = "enrolment_timeout"
    default_advice = "Start again, and approve the code on a device that is already enrolled within ten minutes."


class AlreadyEnrolledError(ClientError):
    """The profile at this path is an enrolled device already."""

    code = "already_enrolled"
    default_advice = "Use it as it is, or enrol under another path."


# --- People, devices, keys ---


class UnknownUserError(ClientError):
    """The server knows no such user, or the user has no device."""

    code = "unknown_user"
    default_advice = "Check the spelling (name@server) and that the user has enrolled a device."


class UnknownDeviceError(ClientError):
    """No such device of this user."""

    code = "unknown_device"
    default_advice = "List the devices (norc devices list)."


class UserKeyChangedError(ClientError):
    """The server shows another key for a user than the pinned one; nothing is encrypted to the new one."""

    code = "user_key_changed"
    default_advice = "Compare fingerprints with that person over another channel before you accept the new key."


class FingerprintMismatchError(ClientError):
    """The digits compared are not the same: the user stays unverified."""

    code = "fingerprint_mismatch"
    default_advice = (
        "Compare again, digit by digit; if they still differ, someone may be listening in: do not trust this key."
    )


class NoUserKeyError(ClientError):
    """The call needs the user key, which is on another device."""

    code = "no_user_key"
    default_advice = "Do this on the device that you enrolled first."


# --- Sending, conversations ---


class NotPermittedError(ClientError):
    """Your role in the conversation, or your account, does not permit this."""

    code = "not_permitted"
    default_advice = "Ask an owner of the conversation, or the operator."


class UnknownConversationError(ClientError):
    """No such conversation, or you are no member of it."""

    code = "unknown_conversation"
    default_advice = "List the groups (norc group list)."


class UnknownMessageError(ClientError):
    """No message of this id was sent or received by this device."""

    code = "unknown_message"
    default_advice = "Check the message id."


class MessageTooLongError(ClientError):
    """The text is longer than one message may be."""

    code = "too_long"
    default_advice = "Send it in parts."


class RateLimitedError(ClientError):
    """The server's limit is reached. `retry_after`: seconds (messages wait by themselves; other requests do not)."""

    code = "rate_limited"
    default_advice = "Wait and try again."

    def __init__(self, what: str, retry_after: float) -> None:
        self.retry_after = retry_after
        super().__init__(what, f"Try again in {retry_after:.0f} s.")


class RequestRefusedError(ClientError):
    """The server refused a request. `error_code`: the protocol's number (fields.md, error codes)."""

    code = "refused"

    def __init__(self, what: str, error_code: int, advice: str | None = None) -> None:
        self.error_code = error_code
        super().__init__(what, advice)


class SendFailedError(ClientError):
    """A message will not be sent, finally. `cause`: a stable word; `error_code`: the server's number, 0 if none."""

    code = "send_failed"

    def __init__(self, message_id: str, cause: str, what: str, advice: str | None = None, error_code: int = 0) -> None:
        self.message_id = message_id
        self.cause = cause
        self.error_code = error_code
        super().__init__(what, advice)
