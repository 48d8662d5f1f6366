"""States of a NORC-C connection as one table (row B30): which type may come or go when, and what follows.

```
connecting ──connection_request──▶ handshaking ──connection_accepted──▶ unauthenticated ──auth_response──▶ active
     └──────────────────── close, from every state ────────────────────▶ closed
```
Rules
- The table is read by both ends and both directions: what one end may send in a state, the other may receive in it.
- A type that is not in the table for its state is `WRONG_STATE`; a code of no type, or of a type that NORC-C does not
  have, is `UNKNOWN_TYPE`. `Link` moves only on legal steps.
- Enrolment takes place while unauthenticated, on the connection that then authenticates; key rotation and the
  approval of a further device use the same types while active.
- The table is the protocol's. What this build's ends do not serve yet (`NOT_SERVED`) is refused by `Link` like a type
  that is not known: nothing behind it ever sees such a message.
- `session_rekey` never gets here: the sealed session consumes it.
"""

from typing import Literal

from .errors import Code, ProtocolError
from .registry import CODES, NAMES

State = Literal["connecting", "handshaking", "unauthenticated", "active", "closed"]
Sender = Literal["client", "server"]
STATES: tuple[State, ...] = ("connecting", "handshaking", "unauthenticated", "active", "closed")

_FROM_CLIENT: dict[State, tuple[str, ...]] = {
    "unauthenticated": ("auth_request", "device_register", "registration_response", "ping", "pong", "error"),
    "active": (
        "device_register", "registration_response", "device_revoke", "ping", "pong", "error", "extension",
        "message_send", "message_ack", "presence_update", "presence_subscribe", "key_request", "session_key_exchange",
        "time_sync", "prekey_upload", "file_upload_request", "file_chunk", "file_chunk_ack", "file_download_request",
        "conversation_create", "conversation_join", "conversation_leave", "conversation_state", "conversation_update",
        "call_invite", "call_response", "call_update", "call_end",
    ),
}  # fmt: skip
_FROM_SERVER: dict[State, tuple[str, ...]] = {
    "handshaking": ("error",),
    "unauthenticated": ("registration_challenge", "registration_success", "ping", "pong", "error"),
    "active": (
        "device_register", "registration_challenge", "registration_success", "device_revoke", "ping", "pong", "error",
        "extension", "message_received", "message_ack", "presence_notification", "key_response",
        "session_key_exchange", "time_sync", "prekey_status", "file_upload_complete", "file_chunk", "file_chunk_ack",
        "conversation_create", "conversation_join", "conversation_leave", "conversation_state", "conversation_update",
        "call_invite", "call_response", "call_update", "call_end",
    ),
}  # fmt: skip
_MOVES: dict[tuple[Sender, State, str], State] = {
    ("client", "connecting", "connection_request"): "handshaking",
    ("server", "handshaking", "connection_accepted"): "unauthenticated",
    ("server", "unauthenticated", "auth_response"): "active",
}


def _table() -> dict[tuple[Sender, State, int], State]:
    table: dict[tuple[Sender, State, int], State] = {}
    sides: tuple[tuple[Sender, dict[State, tuple[str, ...]]], ...] = (
        ("client", _FROM_CLIENT),
        ("server", _FROM_SERVER),
    )
    for sender, legal in sides:
        for state, names in legal.items():
            table.update({(sender, state, CODES[name]): state for name in names})
    table.update({(sender, state, CODES[name]): after for (sender, state, name), after in _MOVES.items()})
    return table


TABLE: dict[tuple[Sender, State, int], State] = _table()
"""(who sends, state, type code) → the state after it; what is absent is refused."""

NOT_SERVED: frozenset[int] = frozenset(
    CODES[name]
    for name in (
        "presence_update", "presence_subscribe", "presence_notification", "file_upload_request", "file_chunk",
        "file_chunk_ack", "file_upload_complete", "file_download_request", "call_invite", "call_response",
        "call_update", "call_end", "conversation_join", "conversation_leave", "time_sync", "extension",
    )
)  # fmt: skip
"""Types of the table that no end of this build serves; take a name out with the code that serves it."""

KNOWN: frozenset[int] = frozenset(code for _, _, code in TABLE)


def after(sender: Sender, state: State, code: int) -> State:
    """The state after `sender` sent a message of type `code` in `state`; `ProtocolError` if it may not."""
    following = TABLE.get((sender, state, code))
    if following is not None:
        return following
    if code not in KNOWN:
        raise ProtocolError(Code.UNKNOWN_TYPE, f"type {code:#04x} ({NAMES.get(code, 'in no registry')})")
    raise ProtocolError(Code.WRONG_STATE, f"{NAMES[code]} from the {sender} when {state}")


class Link:
    """The state of one connection, as one of its ends sees it."""

    __slots__ = ("_peer", "_self", "state")

    def __init__(self, role: Sender) -> None:
        self._self: Sender = role
        self._peer: Sender = "server" if role == "client" else "client"
        self.state: State = "connecting"

    def received(self, code: int) -> None:
        """The peer sent a message of this type; `ProtocolError` if it may not now, or if nobody here serves it."""
        if code in NOT_SERVED:
            raise ProtocolError(Code.UNKNOWN_TYPE, f"type {code:#04x} ({NAMES[code]}), not served")
        self.state = after(self._peer, self.state, code)

    def sent(self, code: int) -> None:
        """We send a message of this type; `ProtocolError` if we may not now, which is our own mistake."""
        self.state = after(self._self, self.state, code)

    def close(self) -> None:
        """The connection is over; nothing is legal any more."""
        self.state = "closed"
