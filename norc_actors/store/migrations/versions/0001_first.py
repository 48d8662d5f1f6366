"""Everything that the first release stores; the columns are explained in `store.schema`."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make all tables."""
    _accounts()
    _conversations()
    _messages()
    op.execute("INSERT INTO counters (name, value) VALUES ('messages', 0), ('receipts', 0), ('serials', 0)")


def _accounts() -> None:
    op.create_table(
        "bundles",
        sa.Column("device_id", sa.Text, primary_key=True),
        sa.Column("bundle", sa.LargeBinary, nullable=False),
        sa.Column("expires_at", number, nullable=False),
    )
    op.create_table(
        "devices",
        sa.Column("device_id", sa.Text, primary_key=True),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("public_key", sa.LargeBinary, nullable=False),
        sa.Column("record", sa.LargeBinary, nullable=False),
        sa.Column("user_signature", sa.LargeBinary, nullable=False),
        sa.Column("certificate", sa.LargeBinary, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("not_after", number, nullable=False),
        sa.Column("last_seen", number, nullable=False),
    )
    op.create_index("ix_devices_user_id", "devices", ["user_id"])
    op.create_table(
        "enrolment_tokens",
        sa.Column("token_hash", sa.LargeBinary, primary_key=True),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("expires_at", number, nullable=False),
        sa.Column("used_at", number),
    )
    op.create_table(
        "handouts",
        sa.Column("requesting_device", sa.Text, primary_key=True),
        sa.Column("target_device", sa.Text, primary_key=True),
        sa.Column("handed_out_at", number, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "old_records",
        sa.Column("device_id", sa.Text, primary_key=True),
        sa.Column("public_key", sa.LargeBinary, primary_key=True),
        sa.Column("record", sa.LargeBinary, nullable=False),
        sa.Column("user_signature", sa.LargeBinary, nullable=False),
        sa.Column("certificate", sa.LargeBinary, nullable=False),
        sa.Column("replaced_at", number, nullable=False),
    )
    op.create_table(
        "one_time_keys",
        sa.Column("device_id", sa.Text, primary_key=True),
        sa.Column("one_time_id", number, primary_key=True),
        sa.Column("one_time", sa.LargeBinary),
        sa.Column("handed_out_at", number),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "revocations",
        sa.Column("number", number, primary_key=True),
        sa.Column("device_id", sa.Text, nullable=False, unique=True),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("revocation_id", sa.Text, nullable=False, unique=True),
        sa.Column("signed_by", sa.Text, nullable=False),
        sa.Column("effective", number, nullable=False),
        sa.Column("keep_until", number, nullable=False),
        sa.Column("revocation", sa.LargeBinary, nullable=False),
    )
    op.create_index("ix_revocations_user_id", "revocations", ["user_id"])
    op.create_table(
        "users",
        sa.Column("user_id", sa.Text, primary_key=True),
        sa.Column("user_key", sa.LargeBinary, nullable=False),
        sa.Column("user_rotation", sa.LargeBinary),
        sqlite_with_rowid=False,
    )


def _messages() -> None:
    op.create_table(
        "about",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_table(
        "audit",
        sa.Column("node_id", sa.Text, primary_key=True),
        sa.Column("seq", number, primary_key=True),
        sa.Column("event", sa.LargeBinary, nullable=False),
        sa.Column("prev_hash", sa.LargeBinary, nullable=False),
        sa.Column("entry_hash", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "counters",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", number, nullable=False),
    )
    op.create_table(
        "deliveries",
        sa.Column("device_id", sa.Text, primary_key=True),
        sa.Column("seq", number, primary_key=True),
        sa.Column("wrap", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_deliveries_seq", "deliveries", ["seq"])
    op.create_table(
        "messages",
        sa.Column("seq", number, primary_key=True, autoincrement=False),
        sa.Column("message_id", sa.Text, nullable=False),
        sa.Column("sender_device", sa.Text, nullable=False),
        sa.Column("sender_user", sa.Text, nullable=False),
        sa.Column("conversation_id", sa.Text, nullable=False),
        sa.Column("accepted_at", number, nullable=False),
    )
    op.create_index("messages_dedupe", "messages", ["message_id", "sender_device", "sender_user"], unique=True)
    op.create_table(
        "payloads",
        sa.Column("seq", number, primary_key=True, autoincrement=False),
        sa.Column("expires_at", number),
        sa.Column("payload", sa.LargeBinary, nullable=False),
    )
    op.create_index(
        "payloads_expiry",
        "payloads",
        ["expires_at"],
        sqlite_where=sa.text("expires_at IS NOT NULL"),
        postgresql_where=sa.text("expires_at IS NOT NULL"),
    )
    op.create_table(
        "receipts",
        sa.Column("target_device", sa.Text, primary_key=True),
        sa.Column("id", number, primary_key=True),
        sa.Column("message_id", sa.Text, nullable=False),
        sa.Column("from_device", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("stored_at", number, nullable=False),
        sa.Column("receipt", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("receipts_once", "receipts", ["target_device", "message_id", "from_device", "status"], unique=True)


def _conversations() -> None:
    op.create_table(
        "conversation_members",
        sa.Column("conversation_id", sa.Text, primary_key=True),
        sa.Column("user_id", sa.Text, primary_key=True),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_conversation_members_user_id", "conversation_members", ["user_id"])
    op.create_table(
        "conversations",
        sa.Column("conversation_id", sa.Text, primary_key=True),
        sa.Column("epoch", number, primary_key=True),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("signed_state", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "direct_pairs",
        sa.Column("first_user", sa.Text, primary_key=True),
        sa.Column("second_user", sa.Text, primary_key=True),
        sa.Column("conversation_id", sa.Text, nullable=False, unique=True),
        sqlite_with_rowid=False,
    )
