"""Every table and column of the server: delivery information only (rows B79, B177; section 10).

Rules
- No column holds content, keys that open content, names or file names. What a device or a user signed is stored as the
  bytes that came (a map, MessagePack), unknown members included, and is passed on unread.
- `tests/store/columns.txt` is the golden list of these columns: a new one is a decision, not an accident.
- Ids are canonical text, times are integer seconds since the epoch.
- `messages` rows outlive their payload for 30 days: they are the dedupe record (section 7). The payload stands in a
  table of its own, so that dedupe rows stay small, and goes with the last delivery.
- `counters` numbers messages and receipts. A number is never used twice, also after the newest row is gone, and in
  one database no smaller number becomes visible after a larger one: whoever allocates holds the row until it commits.
- SQL stays within what SQLite and PostgreSQL share: ON CONFLICT, RETURNING, partial indexes.

A change here needs a migration in `migrations/versions`; a test compares both.
"""

from sqlalchemy import Column, Index, Integer, LargeBinary, MetaData, Table, Text, text
from sqlalchemy.types import BigInteger

SCHEMA = "0001"
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
