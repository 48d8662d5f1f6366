"""Every table and column of the server: delivery information only (rows B79, B177; section 10).

Rules
- No column holds content, keys that open content, names or file names. What a device or a user signed is stored as the
  bytes that came (a map, MessagePack), unknown members included, and is passed on unread.
- `tests/store/columns.txt` is the golden list of these columns: a new one is a decision, not an accident.
- Ids are canonical text, times are integer seconds since the epoch.
- `messages` rows outlive their payload for 30 days: they are the dedupe record (section 7). The payload stands in a
  table of its own, so that dedupe rows stay small, and goes with the last delivery.
- `counters` numbers messages, receipts and the outbox. A number is never used twice, also after the newest row is
  gone, and in one database no smaller number becomes visible after a larger one: whoever allocates holds the row until
  it commits.
- What belongs to other servers stands in tables of its own: a message between users of this server touches none.
- SQL stays within what SQLite and PostgreSQL share: ON CONFLICT, RETURNING, partial indexes.

A change here needs a migration in `migrations/versions`; a test compares both.
"""

from sqlalchemy import Column, Index, Integer, LargeBinary, MetaData, Table, Text, text
from sqlalchemy.types import BigInteger

SCHEMA = "0003"
"""The newest migration; `migrations/versions` ends with it."""

metadata = MetaData()

_Number = BigInteger().with_variant(Integer(), "sqlite")

about = Table(
    "about",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

counters = Table(
    "counters",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", _Number, nullable=False),
)

# --- accounts ---

users = Table(
    "users",
    metadata,
    Column("user_id", Text, primary_key=True),
    Column("user_key", LargeBinary, nullable=False),
    Column("user_rotation", LargeBinary),
    sqlite_with_rowid=False,
)

devices = Table(
    "devices",
    metadata,
    Column("device_id", Text, primary_key=True),
    Column("user_id", Text, nullable=False, index=True),
    Column("public_key", LargeBinary, nullable=False),
    Column("record", LargeBinary, nullable=False),
    Column("user_signature", LargeBinary, nullable=False),
    Column("certificate", LargeBinary, nullable=False),
    Column("status", Text, nullable=False),
    Column("not_after", _Number, nullable=False),
    Column("last_seen", _Number, nullable=False),
)

old_records = Table(
    "old_records",
    metadata,
    Column("device_id", Text, primary_key=True),
    Column("public_key", LargeBinary, primary_key=True),
    Column("record", LargeBinary, nullable=False),
    Column("user_signature", LargeBinary, nullable=False),
    Column("certificate", LargeBinary, nullable=False),
    Column("replaced_at", _Number, nullable=False),
)

enrolment_tokens = Table(
    "enrolment_tokens",
    metadata,
    Column("token_hash", LargeBinary, primary_key=True),
    Column("user_id", Text, nullable=False),
    Column("expires_at", _Number, nullable=False),
    Column("used_at", _Number),
)

bundles = Table(
    "bundles",
    metadata,
    Column("device_id", Text, primary_key=True),
    Column("bundle", LargeBinary, nullable=False),
    Column("expires_at", _Number, nullable=False),
)

one_time_keys = Table(
    "one_time_keys",
    metadata,
    Column("device_id", Text, primary_key=True),
    Column("one_time_id", _Number, primary_key=True),
    Column("one_time", LargeBinary),
    Column("handed_out_at", _Number),
    sqlite_with_rowid=False,
)

handouts = Table(
    "handouts",
    metadata,
    Column("requesting_device", Text, primary_key=True),
    Column("target_device", Text, primary_key=True),
    Column("handed_out_at", _Number, nullable=False),
    sqlite_with_rowid=False,
)

revocations = Table(
    "revocations",
    metadata,
    Column("number", _Number, primary_key=True, autoincrement=True),
    Column("device_id", Text, nullable=False, unique=True),
    Column("user_id", Text, nullable=False, index=True),
    Column("revocation_id", Text, nullable=False, unique=True),
    Column("signed_by", Text, nullable=False),
    Column("effective", _Number, nullable=False),
    Column("keep_until", _Number, nullable=False),
    Column("revocation", LargeBinary, nullable=False),
)

conversations = Table(
    "conversations",
    metadata,
    Column("conversation_id", Text, primary_key=True),
    Column("epoch", _Number, primary_key=True),
    Column("type", Text, nullable=False),
    Column("signed_state", LargeBinary, nullable=False),
)

conversation_members = Table(
    "conversation_members",
    metadata,
    Column("conversation_id", Text, primary_key=True),
    Column("user_id", Text, primary_key=True, index=True),
    sqlite_with_rowid=False,
)

direct_pairs = Table(
    "direct_pairs",
    metadata,
    Column("first_user", Text, primary_key=True),
    Column("second_user", Text, primary_key=True),
    Column("conversation_id", Text, nullable=False, unique=True),
    sqlite_with_rowid=False,
)

remote_devices = Table(
    "remote_devices",
    metadata,
    Column("device_id", Text, primary_key=True),
    Column("user_id", Text, nullable=False, index=True),
    Column("seen_at", _Number, nullable=False),
    sqlite_with_rowid=False,
)
"""Which devices users of other servers have, as their servers said; a device has one user, the first that named it."""

remote_revocations = Table(
    "remote_revocations",
    metadata,
    Column("number", _Number, primary_key=True, autoincrement=True),
    Column("device_id", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("revocation_id", Text, nullable=False),
    Column("signed_by", Text, nullable=False),
    Column("effective", _Number, nullable=False),
    Column("keep_until", _Number, nullable=False),
    Column("revocation", LargeBinary, nullable=False),
    Index("remote_revocations_once", "user_id", "device_id", unique=True),
)
"""As `revocations`, but nothing that another server chooses is unique beyond its own users."""

lookups = Table(
    "lookups",
    metadata,
    Column("user_id", Text, primary_key=True),
    Column("server", Text, primary_key=True),
    Column("looked_up_at", _Number, nullable=False),
    sqlite_with_rowid=False,
)
"""Which servers looked a user of this one up: they are told when a device of the user is revoked."""

# --- messages ---

messages = Table(
    "messages",
    metadata,
    Column("seq", _Number, primary_key=True, autoincrement=False),
    Column("message_id", Text, nullable=False),
    Column("sender_device", Text, nullable=False),
    Column("sender_user", Text, nullable=False),
    Column("conversation_id", Text, nullable=False),
    Column("accepted_at", _Number, nullable=False),
    Index("messages_dedupe", "message_id", "sender_device", "sender_user", unique=True),
)
"""Never changed after the insert."""

payloads = Table(
    "payloads",
    metadata,
    Column("seq", _Number, primary_key=True, autoincrement=False),
    Column("expires_at", _Number),
    Column("payload", LargeBinary, nullable=False),
    Index(
        "payloads_expiry",
        "expires_at",
        sqlite_where=text("expires_at IS NOT NULL"),
        postgresql_where=text("expires_at IS NOT NULL"),
    ),
)
"""There exactly as long as the message has a delivery row."""

deliveries = Table(
    "deliveries",
    metadata,
    Column("device_id", Text, primary_key=True),
    Column("seq", _Number, primary_key=True, index=True),
    Column("wrap", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

receipts = Table(
    "receipts",
    metadata,
    Column("target_device", Text, primary_key=True),
    Column("id", _Number, primary_key=True),
    Column("message_id", Text, nullable=False),
    Column("from_device", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("stored_at", _Number, nullable=False),
    Column("receipt", LargeBinary, nullable=False),
    Index("receipts_once", "target_device", "message_id", "from_device", "status", unique=True),
    sqlite_with_rowid=False,
)

# --- between servers ---

outbox = Table(
    "outbox",
    metadata,
    Column("id", _Number, primary_key=True, autoincrement=False),
    Column("target", Text, nullable=False),
    Column("priority", _Number, nullable=False),
    Column("kind", Text, nullable=False),
    Column("code", _Number, nullable=False),
    Column("once", Text),
    Column("federation_id", Text),
    Column("origin", Text),
    Column("message_id", Text),
    Column("device_id", Text),
    Column("created_at", _Number, nullable=False),
    Column("expires_at", _Number, nullable=False, index=True),
    Column("body", LargeBinary, nullable=False),
    Index("outbox_order", "target", "priority", "id"),
    Index(
        "outbox_once",
        "target",
        "once",
        unique=True,
        sqlite_where=text("once IS NOT NULL"),
        postgresql_where=text("once IS NOT NULL"),
    ),
)
"""What waits for other servers. `once` is what may wait for a target only once: a relay's federation_id, a receipt's
message, device and status, a sender's own key."""

relayed = Table(
    "relayed",
    metadata,
    Column("origin", Text, primary_key=True),
    Column("federation_id", Text, primary_key=True),
    Column("remote", Text, nullable=False),
    Column("accepted_at", _Number, nullable=False, index=True),
    Column("ack", LargeBinary),
)
"""The relay cache: what was accepted, from which link, and the answer to it (null while a transit has none)."""

relay_quotas = Table(
    "relay_quotas",
    metadata,
    Column("remote", Text, primary_key=True),
    Column("held", _Number, nullable=False),
    sqlite_with_rowid=False,
)
"""How many rows of `relayed` each remote holds."""

relay_sources = Table(
    "relay_sources",
    metadata,
    Column("seq", _Number, primary_key=True, autoincrement=False),
    Column("federation_id", Text, nullable=False),
)
"""The relay that brought a message, as long as the message is known: receipts come up to 30 days later."""

# --- trust ---

trust_certificates = Table(
    "trust_certificates",
    metadata,
    Column("number", _Number, primary_key=True, autoincrement=True),
    Column("issuer", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("certificate_id", Text, nullable=False),
    Column("not_after", _Number, nullable=False),
    Column("certificate", LargeBinary, nullable=False),
    Index("trust_certificates_once", "issuer", "certificate_id", unique=True),
)
"""Issued by this server and held of others, in the order in which they were recorded."""

trust_exchanges = Table(
    "trust_exchanges",
    metadata,
    Column("remote", Text, primary_key=True),
    Column("role", Text, primary_key=True),
    Column("request_id", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("updated_at", _Number, nullable=False),
    Column("exchange", LargeBinary, nullable=False),
    Column("goal", LargeBinary),
    Column("findings", LargeBinary),
)
"""Every exchange with all its messages; what an operator asked (`goal`), and what was found out (`findings`)."""

trust_revocations = Table(
    "trust_revocations",
    metadata,
    Column("number", _Number, primary_key=True, autoincrement=True),
    Column("hash", LargeBinary, nullable=False, unique=True),
    Column("signer", Text, nullable=False),
    Column("certificate_id", Text, nullable=False),
    Column("received_at", _Number, nullable=False),
    Column("revocation", LargeBinary, nullable=False),
)
"""Own ones and others', those that bind and those that only recommend."""

trust_pushes = Table(
    "trust_pushes",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("remote", Text, primary_key=True),
    Column("created_at", _Number, nullable=False),
    Column("alarmed_at", _Number),
    Column("acknowledged_at", _Number),
    Column("status", Text),
)
"""To whom a revocation of this server has to be told, and what they answered."""

trust_lists = Table(
    "trust_lists",
    metadata,
    Column("issuer", Text, primary_key=True),
    Column("list", LargeBinary, nullable=False),
)
"""What is known of every issuer's numbered list of revocations, this server's own included."""

trust_peers = Table(
    "trust_peers",
    metadata,
    Column("server", Text, primary_key=True),
    Column("first_seen", _Number, nullable=False),
    Column("version", Text),
    Column("shown_key", LargeBinary),
    Column("capabilities", LargeBinary),
    Column("government", LargeBinary),
    Column("monitored_until", _Number, nullable=False),
)
"""What another server said of itself, the key that it showed, and the highest version of a link with it."""

trust_recommendations = Table(
    "trust_recommendations",
    metadata,
    Column("recommender", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("expires", _Number, nullable=False),
    Column("recommendation", LargeBinary, nullable=False),
)

# --- audit ---

audit = Table(
    "audit",
    metadata,
    Column("node_id", Text, primary_key=True),
    Column("seq", _Number, primary_key=True),
    Column("event", LargeBinary, nullable=False),
    Column("prev_hash", LargeBinary, nullable=False),
    Column("entry_hash", LargeBinary, nullable=False),
)
