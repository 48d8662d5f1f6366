"""Every kind of record that a profile holds, on one page: what a device must remember to go on after a kill.

| kind | key | what |
|---|---|---|
| self | "self" | who this device is, its private keys, how far its enrolment came |
| server | "server" | the pinned server key |
| prekeys · one_time | "prekeys" · id | private halves, and the next ids |
| pin | user | a user's pinned key |
| device | user/device | a verified entry, or why it was refused |
| list | user | the devices last known as active |
| revocation | user/signed_by | the last revocation of a signer's chain |
| out · in | user/device · user/device/session | end-to-end sessions, sending and receiving |
| chain_out · chain_in | conversation · user/device/conversation/chain | chain heads |
| last_chain | user/device/conversation | the chain last seen of a device |
| refused | user/device/message | a message that was refused for good, so that it is shown once |
| conversation · state | id · id/epoch | verified states |
| direct | user | the direct conversation with a user |
| seen | user/device/message | the dedupe key, with the recorded receipt |
| lane | user or conversation | drafts that wait |
| sent | message | a message of this device: status, receipts, what a supplement needs |
| read | message | read receipts that the server has not confirmed |
| asked | user/device/session | sessions asked for (`status: unknown`), so that it happens once |
| outbox (queue) | – | messages that the home server has not accepted |
| inbox (queue) | – | messages that the application has not consumed |

Times are seconds unless they end in `_us`. Maps of the protocol (`SignedMap`) are stored as they came.
"""

import msgspec

from norc_actors.client.transaction import Kind, Queue
from norc_actors.limits import SENT_KEPT_DAYS
from norc_actors.protocol.canonical import Value
from norc_actors.protocol.schema import SignedMap

DAY = 86400


class _Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A stored value."""


class Self(_Record, frozen=True, kw_only=True, omit_defaults=True):
    """Who this device is. `stage`: new, waiting (for approval), enrolled, revoked."""

    user_id: str
    device_id: str
    server_id: str
    host: str
    port: int
    ca_pem: bytes
    device_seed: bytes
    record: SignedMap
    register: SignedMap
    user_key: bytes = b""
    user_seed: bytes = b""
    stage: str = "new"


class ServerPin(_Record, frozen=True, kw_only=True, omit_defaults=True):
    """The server's identity key; `key_hashes` from an enrolment link hold until the first connection. `former_keys`
    were replaced by rotation: certificates are still held against them, connections are not."""

    key: bytes = b""
    key_hashes: tuple[bytes, ...] = ()
    former_keys: tuple[bytes, ...] = ()


class Prekeys(_Record, frozen=True, kw_only=True, omit_defaults=True):
    """Private halves of bundles (`BundleSecret.to_map`), newest last, and the next ids."""

    bundles: tuple[dict[str, Value], ...] = ()
    next_prekey_id: int = 1
    next_one_time_id: int = 1


class OneTime(_Record, frozen=True, kw_only=True, omit_defaults=True):
    """The private half of a one-time key."""

    x25519: bytes


class Pin(_Record, frozen=True, kw_only=True, omit_defaults=True):
    """A user's key as pinned. `offered`: another key that the server has shown and that was not accepted."""

    user_key: bytes
    pinned_at: int
    order: int
    verified: bool = False
    offered: bytes = b""


class KnownDevice(_Record, frozen=True, kw_only=True, omit_defaults=True):
    """A device as last listed. `fault`: why it was refused, "" if its record verified under the pinned key."""

    entry: SignedMap
    fault: str = ""
    revoked_at: int | None = None


class DeviceList(_Record, frozen=True, kw_only=True, omit_defaults=True):
    """The devices of a user that the server last listed as active and that verified; `fetched_at` 0 = ask again."""

    device_ids: tuple[str, ...]
    fetched_at: int


class Revocation(_Record, frozen=True, kw_only=True, omit_defaults=True):
    """The last `device_revoke` of a chain."""

    revocation: SignedMap


class State(_Record, frozen=True, kw_only=True, omit_defaults=True):
    """A session or chain as its rules keep it."""

    state: dict[str, Value]


class Conversation(_Record, frozen=True, kw_only=True, omit_defaults=True):
    """A conversation of this user. `epoch`: the latest verified; `name`: told end to end, at `named_us`."""

    type: str
    epoch: int
    peer: str = ""
    name: str = ""
    named_us: int = 0
    left: bool = False


class SignedState(_Record, frozen=True, kw_only=True, omit_defaults=True):
    """A verified state with its signature."""

    state: SignedMap
    signer_user: str
    signer_device: str
    signature: bytes


class Direct(_Record, frozen=True, kw_only=True, omit_defaults=True):
    """Which conversation is the direct one with a user."""

    conversation_id: str


class Seen(_Record, frozen=True, kw_only=True, omit_defaults=True):
    """A message that was received, finally. `receipt`: as sent, absent for one that was refused."""

    ciphertext_hash: bytes
    conversation_id: str
    receipt: SignedMap | None = None


class Refused(_Record, frozen=True, kw_only=True, omit_defaults=True):
    """A message that was refused and shown; the same ciphertext again is refused in silence."""

    ciphertext_hash: bytes


class LastChain(_Record, frozen=True, kw_only=True, omit_defaults=True):
    """The chain last seen of a sender device in a conversation."""

    chain_id: str


class Target(_Record, frozen=True, kw_only=True, omit_defaults=True):
    """A device to which a message goes, and the last signed word of it."""

    user_id: str
    device_id: str
    session_id: str
    status: str = ""
    receipt_us: int = 0


class SentMessage(_Record, frozen=True, kw_only=True, omit_defaults=True):
    """A message of this device. `head` is the finished `message_send` less its wraps; it and `content_key` are kept
    for supplements until every device has answered."""

    created_us: int
    status: str
    conversation_id: str = ""
    accepted_us: int = 0
    content_key: bytes = b""
    ciphertext_hash: bytes = b""
    head: bytes = b""
    targets: tuple[Target, ...] = ()
    cause: str = ""
    error_code: int = 0


class Lane(_Record, frozen=True, kw_only=True, omit_defaults=True):
    """How many drafts wait to be finished for one user (direct) or conversation: those after them wait too."""

    waiting: int


class Draft(_Record, frozen=True, kw_only=True, omit_defaults=True):
    """What is to be said, before keys and place are known."""

    message_type: str
    text: str = ""
    body: dict[str, Value] | None = None
    classification: str = "unclassified"
    lane: str
    """The user of a direct message, else the conversation."""
    direct: bool = False
    reply_to: str | None = None
    expires_at: int | None = None


class Outgoing(_Record, frozen=True, kw_only=True, omit_defaults=True):
    """A message on its way to the home server: a draft, or the finished bytes of its frame's body."""

    message_id: str
    draft: Draft | None = None
    frame: bytes = b""
    supplement: bool = False
    conversation_id: str = ""
    fanout: bytes = b""
    """A hash of the devices that it is for; empty for drafts and supplements."""


class Incoming(_Record, frozen=True, kw_only=True, omit_defaults=True):
    """A message for the application: the fields of `model.Message` or `model.Undecryptable` (then with `cause`)."""

    message_id: str
    conversation_id: str
    sender: str
    sender_device: str
    accepted_at: int
    message_type: str = ""
    text: str = ""
    body: dict[str, Value] | None = None
    sent_us: int = 0
    classification: str = ""
    reply_to: str | None = None
    own: bool = False
    group: bool = False
    gap: bool = False
    new_chain: bool = False
    verified: bool = False
    cause: str = ""


class PendingRead(_Record, frozen=True, kw_only=True, omit_defaults=True):
    """A signed read receipt that the server has not confirmed."""

    receipt: SignedMap


class Asked(_Record, frozen=True, kw_only=True, omit_defaults=True):
    """When a lost session was asked for."""

    at: int


SELF = Kind("self", Self)
SERVER = Kind("server", ServerPin)
PREKEYS = Kind("prekeys", Prekeys)
ONE_TIME = Kind("one_time", OneTime)
PINS = Kind("pin", Pin)
DEVICES = Kind("device", KnownDevice)
LISTS = Kind("list", DeviceList)
REVOCATIONS = Kind("revocation", Revocation)
OUT_SESSIONS = Kind("out", State)
IN_SESSIONS = Kind("in", State)
OUT_CHAINS = Kind("chain_out", State)
IN_CHAINS = Kind("chain_in", State)
CONVERSATIONS = Kind("conversation", Conversation)
STATES = Kind("state", SignedState)
DIRECTS = Kind("direct", Direct)
LAST_CHAINS = Kind("last_chain", LastChain)
SEEN = Kind("seen", Seen)
REFUSED = Kind("refused", Refused)
SENT = Kind("sent", SentMessage)
LANES = Kind("lane", Lane)
READS = Kind("read", PendingRead)
ASKED = Kind("asked", Asked)
OUTBOX = Queue("outbox", Outgoing)
INBOX = Queue("inbox", Incoming)


def expiry(now_us: int) -> int:
    """The day after which the record of a message sent now may go."""
    return now_us // 1_000_000 // DAY + SENT_KEPT_DAYS


def join(*parts: str) -> str:
    """A record's key of several ids."""
    return "/".join(parts)
