"""Trust between servers: certificates, exchanges, revocations, lists."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the tables; no row of an older one changes."""
    _certificates()
    _revocations()
    _peers()


def _certificates() -> None:
    op.create_table(
        "trust_certificates",
        sa.Column("number", number, primary_key=True),
        sa.Column("issuer", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("certificate_id", sa.Text, nullable=False),
        sa.Column("not_after", number, nullable=False),
        sa.Column("certificate", sa.LargeBinary, nullable=False),
    )
    op.create_index("trust_certificates_once", "trust_certificates", ["issuer", "certificate_id"], unique=True)
    op.create_table(
        "trust_exchanges",
        sa.Column("remote", sa.Text, primary_key=True),
        sa.Column("role", sa.Text, primary_key=True),
        sa.Column("request_id", sa.Text, primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("updated_at", number, nullable=False),
        sa.Column("exchange", sa.LargeBinary, nullable=False),
        sa.Column("goal", sa.LargeBinary),
        sa.Column("findings", sa.LargeBinary),
    )


def _revocations() -> None:
    op.create_table(
        "trust_revocations",
        sa.Column("number", number, primary_key=True),
        sa.Column("hash", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("signer", sa.Text, nullable=False),
        sa.Column("certificate_id", sa.Text, nullable=False),
        sa.Column("received_at", number, nullable=False),
        sa.Column("revocation", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "trust_pushes",
        sa.Column("hash", sa.LargeBinary, primary_key=True),
        sa.Column("remote", sa.Text, primary_key=True),
        sa.Column("created_at", number, nullable=False),
        sa.Column("alarmed_at", number),
        sa.Column("acknowledged_at", number),
        sa.Column("status", sa.Text),
    )
    op.create_table(
        "trust_lists",
        sa.Column("issuer", sa.Text, primary_key=True),
        sa.Column("list", sa.LargeBinary, nullable=False),
    )


def _peers() -> None:
    op.create_table(
        "trust_peers",
        sa.Column("server", sa.Text, primary_key=True),
        sa.Column("first_seen", number, nullable=False),
        sa.Column("version", sa.Text),
        sa.Column("shown_key", sa.LargeBinary),
        sa.Column("capabilities", sa.LargeBinary),
        sa.Column("government", sa.LargeBinary),
        sa.Column("monitored_until", number, nullable=False),
    )
    op.create_table(
        "trust_recommendations",
        sa.Column("recommender", sa.Text, primary_key=True),
        sa.Column("subject", sa.Text, primary_key=True),
        sa.Column("expires", number, nullable=False),
        sa.Column("recommendation", sa.LargeBinary, nullable=False),
    )
