"""One registry of what can go wrong between peers (fields.md, *Error codes*; §9.1).

Rules
- What a peer, a caller or a test must tell apart is a `Code`, never a text: `ProtocolError.code` decides, its
  `detail` is for the local log alone and is never sent.
- What is sent is `ErrorInfo.text`: fixed, safe, the same for every cause of one code, so that it tells an outsider
  nothing. Towards the unauthenticated every 1xxx is the bare 1000 (`outward`).
- `action` says what follows: `close` (the connection cannot go on), `retry` (the same request may succeed later),
  `tell` (final; the request's user is told).
- The error frame, the documents' table and the tests derive from `ERRORS`; a code stands nowhere else.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

Category = Literal["authentication", "authorization", "protocol", "crypto", "federation", "rate_limit", "server"]
Action = Literal["close", "retry", "tell"]


class Code(IntEnum):
    """Every error code, by number."""

    AUTHENTICATION = 1000
    INVALID_DEVICE = 1001
    INVALID_SIGNATURE = 1002
    DEVICE_REVOKED = 1003
    SESSION_EXPIRED = 1004
    AUTHORIZATION = 2000
    INVALID_RECIPIENT = 2001
    STALE_DEVICES = 2002
    TOO_LARGE = 2003
    CONVERSATION_NOT_FOUND = 2004
    NOT_PERMITTED = 2005
    CLASSIFICATION = 2006
    PROTOCOL = 3000
    MALFORMED = 3001
    WRONG_STATE = 3002
    NO_COMPATIBLE_VERSION = 3003
    UNKNOWN_TYPE = 3004
    CRYPTO = 4000
    KEY_NOT_FOUND = 4001
    KEY_EXPIRED = 4002
    KEY_REVOKED = 4003
    ALGORITHM_UNSUPPORTED = 4004
    DOWNGRADE = 4005
    FEDERATION = 5000
    SERVER_NOT_TRUSTED = 5001
    TRUST_EXPIRED = 5002
    TRUST_REVOKED = 5003
    INSUFFICIENT_TRUST = 5004
    PERMISSION_DENIED = 5005
    CLASSIFICATION_EXCEEDED = 5006
    NO_ROUTE = 5201
    TTL_EXPIRED = 5202
    LOOP_DETECTED = 5203
    USER_NOT_FOUND = 5204
    REMOTE_STALE_DEVICES = 5205
    WRONG_TARGET = 5206
    RATE_EXCEEDED = 5401
    BANDWIDTH_EXCEEDED = 5402
    QUOTA_EXCEEDED = 5403
    PROTOCOL_VERSION = 5601
    MESSAGE_TOO_LARGE = 5602
    CAPABILITY_MISSING = 5603
    BAD_SIGNATURE = 5604
    CLOCK_SKEW = 5605
    BAD_SEQUENCE = 5606
    PQ_REQUIRED = 5607
    RATE_LIMIT = 6000
    RATE_MESSAGES = 6001
    RATE_CALLS = 6002
    RATE_FILES = 6003
    RATE_KEY_LOOKUPS = 6004
    RATE_REGISTRATIONS = 6005
    SERVER = 9000


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorInfo:
    """What one code means: its name in fields.md, its category, what follows, and the one text that may be sent."""

    code: Code
    name: str
    category: Category
    action: Action
    text: str


_CATEGORIES: dict[int, Category] = {
    1: "authentication",
    2: "authorization",
    3: "protocol",
    4: "crypto",
    5: "federation",
    6: "rate_limit",
    9: "server",
}

_TABLE: tuple[tuple[Code, str, Action, str], ...] = (
    (Code.AUTHENTICATION, "authentication", "close", "Authentication failed."),
    (Code.INVALID_DEVICE, "invalid_device", "close", "This device is not accepted."),
    (Code.INVALID_SIGNATURE, "invalid_signature", "close", "A signature does not hold."),
    (Code.DEVICE_REVOKED, "device_revoked", "close", "This device was revoked."),
    (Code.SESSION_EXPIRED, "session_expired", "close", "This session has ended."),
    (Code.AUTHORIZATION, "authorization", "tell", "Not allowed."),
    (Code.INVALID_RECIPIENT, "invalid_recipient", "tell", "A recipient is not valid."),
    (Code.STALE_DEVICES, "stale_devices", "retry", "The list of devices is not current."),
    (Code.TOO_LARGE, "too_large", "tell", "Too large."),
    (Code.CONVERSATION_NOT_FOUND, "conversation_not_found", "tell", "No such conversation."),
    (Code.NOT_PERMITTED, "not_permitted", "tell", "Not permitted."),
    (Code.CLASSIFICATION, "classification", "tell", "This classification is not allowed here."),
    (Code.PROTOCOL, "protocol", "close", "The protocol was not followed."),
    (Code.MALFORMED, "malformed", "close", "The message is malformed."),
    (Code.WRONG_STATE, "wrong_state", "close", "Not expected now."),
    (Code.NO_COMPATIBLE_VERSION, "no_compatible_version", "close", "No version in common."),
    (Code.UNKNOWN_TYPE, "unknown_type", "close", "Unknown type of message."),
    (Code.CRYPTO, "crypto", "close", "A cryptographic check failed."),
    (Code.KEY_NOT_FOUND, "key_not_found", "tell", "No such key."),
    (Code.KEY_EXPIRED, "key_expired", "tell", "The key has expired."),
    (Code.KEY_REVOKED, "key_revoked", "tell", "The key was revoked."),
    (Code.ALGORITHM_UNSUPPORTED, "algorithm_unsupported", "close", "No cipher suite in common."),
    (Code.DOWNGRADE, "downgrade", "close", "A downgrade was refused."),
    (Code.FEDERATION, "federation", "tell", "Federation failed."),
    (Code.SERVER_NOT_TRUSTED, "server_not_trusted", "tell", "The server is not trusted."),
    (Code.TRUST_EXPIRED, "trust_expired", "tell", "Trust has expired."),
    (Code.TRUST_REVOKED, "trust_revoked", "tell", "Trust was revoked."),
    (Code.INSUFFICIENT_TRUST, "insufficient_trust", "tell", "The trust level is too low."),
    (Code.PERMISSION_DENIED, "permission_denied", "tell", "The trust relation does not permit this."),
    (Code.CLASSIFICATION_EXCEEDED, "classification_exceeded", "tell", "The classification exceeds the trust level."),
    (Code.NO_ROUTE, "no_route", "tell", "No route to that server."),
    (Code.TTL_EXPIRED, "ttl_expired", "tell", "The message was on its way for too long."),
    (Code.LOOP_DETECTED, "loop_detected", "tell", "The route has a loop."),
    (Code.USER_NOT_FOUND, "user_not_found", "tell", "No such user."),
    (Code.REMOTE_STALE_DEVICES, "stale_devices", "retry", "The list of devices is not current."),
    (Code.WRONG_TARGET, "wrong_target", "tell", "Not meant for this server."),
    (Code.RATE_EXCEEDED, "rate_exceeded", "retry", "Too many messages."),
    (Code.BANDWIDTH_EXCEEDED, "bandwidth_exceeded", "retry", "Too many bytes."),
    (Code.QUOTA_EXCEEDED, "quota_exceeded", "retry", "The quota is used up."),
    (Code.PROTOCOL_VERSION, "protocol_version", "tell", "No federation version in common."),
    (Code.MESSAGE_TOO_LARGE, "message_too_large", "tell", "Too large for this trust level."),
    (Code.CAPABILITY_MISSING, "capability_missing", "tell", "A required capability is missing."),
    (Code.BAD_SIGNATURE, "bad_signature", "tell", "A signature does not hold."),
    (Code.CLOCK_SKEW, "clock_skew", "tell", "The clocks differ too much."),
    (Code.BAD_SEQUENCE, "bad_sequence", "tell", "Out of sequence."),
    (Code.PQ_REQUIRED, "pq_required", "tell", "A hybrid cipher suite is required."),
    (Code.RATE_LIMIT, "rate_limit", "retry", "Too many requests."),
    (Code.RATE_MESSAGES, "messages", "retry", "Too many messages."),
    (Code.RATE_CALLS, "calls", "retry", "Too many calls."),
    (Code.RATE_FILES, "files", "retry", "Too many files."),
    (Code.RATE_KEY_LOOKUPS, "key_lookups", "retry", "Too many key look-ups."),
    (Code.RATE_REGISTRATIONS, "registrations", "retry", "Too many registrations."),
    (Code.SERVER, "server", "retry", "The server cannot do this now."),
)

ERRORS: dict[Code, ErrorInfo] = {
    code: ErrorInfo(code=code, name=name, category=_CATEGORIES[code // 1000], action=action, text=text)
    for code, name, action, text in _TABLE
}
"""Every code with what it means; complete, which a test checks."""


class ProtocolError(Exception):
    """A peer broke a rule of the protocol; `code` says which kind, `detail` (never sent) says where, for the log.

    `retry_after` (s) goes with codes whose action is `retry`.
    """

    def __init__(self, code: Code, detail: str = "", *, retry_after: int | None = None) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail
        self.retry_after = retry_after

    @property
    def info(self) -> ErrorInfo:
        """The registry's entry of `code`."""
        return ERRORS[self.code]

    def __str__(self) -> str:
        return (
            f"{self.code.value} {self.info.name}: {self.detail}"
            if self.detail
            else f"{self.code.value} {self.info.name}"
        )


class PeerError(Exception):
    """The peer sent an `error`: its code as number (it may be one that we do not know) and its retry_after."""

    def __init__(self, error_code: int, retry_after: int | None = None) -> None:
        super().__init__(error_code, retry_after)
        self.error_code = error_code
        self.retry_after = retry_after

    @property
    def info(self) -> ErrorInfo:
        """The registry's entry, or that of the code's category for a number outside the registry."""
        return info_of(self.error_code)

    def __str__(self) -> str:
        return f"the peer answered {self.error_code} {self.info.name}"


def malformed(detail: str) -> ProtocolError:
    """The refusal of section 1 (`ERR_PROTOCOL`, 3001); `detail` names the rule for the local log."""
    return ProtocolError(Code.MALFORMED, detail)


def info_of(error_code: int) -> ErrorInfo:
    """The entry of a received number; an unknown one counts as its category's first code, else as 9000."""
    for candidate in (error_code, error_code // 1000 * 1000):
        try:
            return ERRORS[Code(candidate)]
        except ValueError:
            continue
    return ERRORS[Code.SERVER]


def outward(code: Code, *, authenticated: bool) -> Code:
    """The code that may be told: towards the unauthenticated every 1xxx is 1000 (fields.md)."""
    return Code.AUTHENTICATION if code // 1000 == 1 and not authenticated else code
