"""What waits for other servers, what came from them, and what is known of their users."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the tables; no row of an older one changes."""
    _accounts()
    _outbox()
    _relayed()
    op.execute("INSERT INTO counters (name, value) VALUES ('outbox', 0), ('link_epochs', 0)")


def _accounts() -> None:
    op.create_table(
        "lookups",
        sa.Column("user_id", sa.Text, primary_key=True),
        sa.Column("server", sa.Text, primary_key=True),
        sa.Column("looked_up_at", number, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "remote_devices",
        sa.Column("device_id", sa.Text, primary_key=True),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("seen_at", number, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_remote_devices_user_id", "remote_devices", ["user_id"])
    op.create_table(
        "remote_revocations",
        sa.Column("number", number, primary_key=True),
        sa.Column("device_id", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("revocation_id", sa.Text, nullable=False),
        sa.Column("signed_by", sa.Text, nullable=False),
        sa.Column("effective", number, nullable=False),
        sa.Column("keep_until", number, nullable=False),
        sa.Column("revocation", sa.LargeBinary, nullable=False),
    )
    op.create_index("remote_revocations_once", "remote_revocations", ["user_id", "device_id"], unique=True)


def _outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", number, primary_key=True, autoincrement=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("priority", number, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("code", number, nullable=False),
        sa.Column("once", sa.Text),
        sa.Column("federation_id", sa.Text),
        sa.Column("origin", sa.Text),
        sa.Column("message_id", sa.Text),
        sa.Column("device_id", sa.Text),
        sa.Column("created_at", number, nullable=False),
        sa.Column("expires_at", number, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_index("ix_outbox_expires_at", "outbox", ["expires_at"])
    op.create_index("outbox_order", "outbox", ["target", "priority", "id"])
    op.create_index(
        "outbox_once",
        "outbox",
        ["target", "once"],
        unique=True,
        sqlite_where=sa.text("once IS NOT NULL"),
        postgresql_where=sa.text("once IS NOT NULL"),
    )


def _relayed() -> None:
    op.create_table(
        "relayed",
        sa.Column("origin", sa.Text, primary_key=True),
        sa.Column("federation_id", sa.Text, primary_key=True),
        sa.Column("remote", sa.Text, nullable=False),
        sa.Column("accepted_at", number, nullable=False),
        sa.Column("ack", sa.LargeBinary),
    )
    op.create_index("ix_relayed_accepted_at", "relayed", ["accepted_at"])
    op.create_table(
        "relay_quotas",
        sa.Column("remote", sa.Text, primary_key=True),
        sa.Column("held", number, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "relay_sources",
        sa.Column("seq", number, primary_key=True, autoincrement=False),
        sa.Column("federation_id", sa.Text, nullable=False),
    )
